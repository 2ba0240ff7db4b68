"""A ranking as one page to look at, without a server and without the network."""

import base64
import hashlib
import json
import os
import re
from pathlib import Path
from urllib.parse import quote

from illustkit.files import write_whole

GALLERY = "gallery.html"
_PAGES = Path(__file__).parent / "pages"


def write_gallery(output, pictures, folder):
    """Write `gallery.html`: pictures sorted by score, faces boxed, a threshold slider.

    The page holds its style, its script and the scores; thumbnails and pictures stay
    files beside it, and only what is in sight is loaded. It asks nothing of the
    network, and its policy lets no other script run.

    Example:
    ```python
    write_gallery("ranking", ranking.pictures, "pictures")
    ```

    Args:
        output: Folder to write to, the one that thumbnails are named from.
        pictures: List of `RankedPicture`, in the order to show them.
        folder: Folder that the pictures are named from.

    Returns:
        Path of the page.
    """
    output = Path(output)
    best = {p.file: i for i, p in enumerate(pictures) if p.duplicate_of is None}
    base = _base(Path(folder), output)
    entries = [_entry(picture, best, base) for picture in pictures]
    # Within a script element only "<" could end it; the others are for old parsers.
    data = json.dumps({"pictures": entries}, separators=(",", ":"))
    data = re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", data)
    style = "".join(_page(name) for name in ("common.css", "gallery.css"))
    script = _page("gallery.js")
    parts = {
        "data": data,
        "style": style,
        "script": script,
        "policy": (
            "default-src 'none'; img-src 'self' file: data:; base-uri 'none'; "
            f"form-action 'none'; script-src {_hash(script)}; style-src {_hash(style)}"
        ),
    }
    # In one pass: what is filled in may itself hold "{{data}}".
    page = re.sub(r"\{\{(\w+)\}\}", lambda f: parts[f[1]], _page(GALLERY))
    return write_whole(output / GALLERY, page)


def _entry(picture, best, base):
    size = picture.width, picture.height
    return {
        "file": picture.file,
        "link": base + quote(os.fsencode(picture.file)),
        "thumbnail": picture.thumbnail if picture.error is None else None,
        "state": picture.state,
        "error": picture.error,
        "width": size[0],
        "height": size[1],
        "rank": picture.rank,
        "score": None if picture.score is None else round(picture.score, 4),
        "alike": picture.alike,
        "group": best[picture.duplicate_of or picture.file],
        "duplicate": picture.duplicate_of is not None,
        # Shares of width and height, whatever size the picture is shown in.
        "faces": [
            [
                *(round(v / size[i % 2], 4) for i, v in enumerate(face.box)),
                round(face.confidence, 3),
                round(face.score, 4),
            ]
            for face in picture.faces
        ],
    }


def _base(folder, output):
    """URL of the folder, relative to the page where it can be, with a slash."""
    try:
        relative = os.path.relpath(folder.resolve(), output.resolve())
    except ValueError:  # another drive
        return folder.resolve().as_uri() + "/"
    return f"./{quote(os.fsencode(Path(relative).as_posix()))}/"


def _page(name):
    return (_PAGES / name).read_text("utf-8")


def _hash(text):
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
