"""Write a ranking: gallery, table, JSON, and on request the best pictures."""

import base64
import csv
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from illustkit.errors import UserError, reading
from illustkit.files import inside, replacing, write_whole
from illustkit.tables import read_json
from illustkit.web.requests import SHARED

GALLERY = "gallery.html"
_PAGES = Path(__file__).parents[1] / "pages"


def write_gallery(
    output: str | os.PathLike,
    pictures: Sequence[Any],
    folder: str | os.PathLike,
    explained: Mapping[str, Sequence[Any]] | None = None,
) -> Path:
    """Write `gallery.html`: pictures sorted by score, faces boxed, a threshold slider.

    The page holds its style, its script and the scores; thumbnails and pictures stay
    files beside it, and only those in sight are loaded. It uses no network, and its
    policy lets no other script run.

    Example:
    ```python
    write_gallery("ranking", ranking.pictures, "pictures")
    ```

    Args:
        output: Folder to write to; thumbnails are named relative to it.
        pictures: List of `RankedPicture`, in the order to show them.
        folder: Folder that the pictures are named from.
        explained: What made the scores of some files' faces, as
            `facescore.ranking.explanations.explain_ranked` returns it. Defaults to
            nothing.

    Returns:
        Path of the page.
    """
    output = Path(output)
    best = {p.file: i for i, p in enumerate(pictures) if p.duplicate_of is None}
    base = _base(Path(folder), output)
    entries = [_entry(picture, best, base, explained or {}) for picture in pictures]
    # Within a script element only "<" could end it; the others are for old parsers.
    data = json.dumps({"pictures": entries}, separators=(",", ":"))
    data = re.sub("[<>&]", lambda match: f"\\u{ord(match[0]):04x}", data)
    parts = {"data": data, "script": _page("gallery.js")}
    return write_whole(output / GALLERY, fill_page(GALLERY, "gallery.css", parts))


def fill_page(name: str, style: str, parts: Mapping[str, str]) -> str:
    """Fill a page of the package with its style, its script and a policy for these.

    Args:
        name: File of the page, with `{{name}}` for each part.
        style: File of its style, which follows the common one.
        parts: Dict from names to texts; "script", if there, may run.

    Returns:
        The page, in which nothing else may run or be loaded but pictures beside it.
    """
    css = _page("common.css") + _page(style)
    scripts = _hash(parts["script"]) if "script" in parts else "'none'"
    policy = (
        "default-src 'none'; img-src 'self' file: data:; base-uri 'none'; "
        f"form-action 'none'; script-src {scripts}; style-src {_hash(css)}"
    )
    filled = {**parts, "style": css, "policy": policy}
    # In one pass, since the data may themselves hold "{{data}}".
    return re.sub(r"\{\{(\w+)\}\}", lambda found: filled[found[1]], _page(name))


def _entry(picture, best, base, explained):
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
        # Fractions of width and height, for any size that the picture is shown in.
        "faces": [
            [
                *(round(v / size[i % 2], 4) for i, v in enumerate(face.box)),
                round(face.confidence, 3),
                round(face.score, 4),
            ]
            for face in picture.faces
        ],
        "why": explained.get(picture.file),
    }


def _base(folder, output):
    """Return the folder's URL with a slash, relative to the page if possible."""
    try:
        relative = os.path.relpath(folder.resolve(), output.resolve())
    except ValueError:  # another drive
        return folder.resolve().as_uri() + "/"
    return f"./{quote(os.fsencode(Path(relative).as_posix()))}/"


def _page(name):
    own = _PAGES / name
    return (own if own.exists() else SHARED / name).read_text("utf-8")


def _hash(text):
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


TABLE, RECORDS = "ranking.csv", "ranking.json"
TOP, _TOP_LIST = "top", "top.json"
_COLUMNS = (
    *("rank", "file", "picture_score", "face", "left", "top", "right", "bottom"),
    *("confidence", "score", "duplicate_of", "state", "reason"),
)


def write_table(output: Path, pictures: Iterable[Any]) -> Path:
    """Write `ranking.csv`: a row for each face, the best of a picture first.

    A picture without a face, or one that cannot be read, has one row with empty cells
    and its `state`.

    Args:
        output: Folder to write to.
        pictures: List of `RankedPicture`.

    Returns:
        Path of the file.
    """
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(_COLUMNS)
    for picture in pictures:
        score = "" if picture.score is None else f"{picture.score:.4f}"
        start = picture.rank, picture.file, score
        end = picture.duplicate_of, picture.state, picture.error
        for number, (box, confidence, face_score) in enumerate(picture.faces, 1):
            numbers = [f"{v:.2f}" for v in box]
            marks = f"{confidence:.4f}", f"{face_score:.4f}"
            table.writerow([*start, number, *numbers, *marks, *end])
        if not picture.faces:
            table.writerow([*start, *[""] * 7, *end])
    # File names that are no Unicode keep their bytes.
    data = stream.getvalue().encode("utf-8", "surrogateescape")
    return write_whole(output / TABLE, data)


def write_records(
    output: Path, pictures: Iterable[Any], about: Mapping[str, Any]
) -> Path:
    """Write `ranking.json`: the table's content, with a dict for each picture.

    Args:
        output: Folder to write to.
        pictures: List of `RankedPicture`.
        about: Dict of the settings of the whole ranking.

    Returns:
        Path of the file.
    """
    records = [
        {
            "rank": picture.rank,
            "file": picture.file,
            "score": picture.score,
            "state": picture.state,
            "duplicate_of": picture.duplicate_of,
            "reason": picture.error,
            "width": picture.width,
            "height": picture.height,
            "faces": [face._asdict() for face in picture.faces],
        }
        for picture in pictures
    ]
    # A line for each picture, for reading and for diff.
    lines = ",\n".join(json.dumps(record) for record in records)
    head = json.dumps(about)[1:-1]
    return write_whole(output / RECORDS, f'{{{head}, "pictures": [\n{lines}\n]}}\n')


def gather_top(
    pictures: Iterable[Any],
    folder: Path,
    output: Path,
    count: int,
    *,
    link: bool = False,
) -> list[Path]:
    """Copy or link the best pictures into `top/`, their rank before their name.

    Of pictures that look alike only the best goes there. The files of an earlier call
    are removed, no others. The pictures themselves are only read.

    Args:
        pictures: List of `RankedPicture`, by rank.
        folder: Folder that they are named from.
        output: Folder for `top/`.
        count: Number of pictures.
        link: Make symbolic links instead of copies. Defaults to `False`.

    Returns:
        Paths in `top/`, the best first.

    Raises:
        UserError: If links cannot be made, or another file has the name.
    """
    chosen = [p for p in pictures if p.rank and p.duplicate_of is None][:count]
    digits = max(2, len(str(max((p.rank for p in chosen), default=0))))
    targets = [output / TOP / _top_name(p, digits) for p in chosen]
    listed = output / _TOP_LIST
    earlier: list[Path] = []
    if listed.exists():
        with reading(listed, "Delete it, and what it listed."):
            names = [str(name) for name in read_json(listed)]
            names = [name for name in names if "/" not in name and "\\" not in name]
            earlier = [inside(output / TOP, name) for name in names]
    for path in earlier:
        path.unlink(missing_ok=True)
    (output / TOP).mkdir(parents=True, exist_ok=True)
    # The list is written before the files, so that a kill leaves none unlisted.
    write_whole(listed, json.dumps([target.name for target in targets]))
    for picture, target in zip(chosen, targets, strict=True):
        if os.path.lexists(target):
            raise UserError(f"{target}: exists already. Move it elsewhere.")
        source = (folder / picture.file).resolve()
        with replacing(target) as part:
            _symlink(source, part) if link else shutil.copy2(source, part)
    return targets


def _symlink(source, target):
    try:
        os.symlink(source, target)
    except (OSError, NotImplementedError) as error:
        raise UserError(
            f"{target.parent}: links cannot be made here ({error}). Use link=False."
        ) from error


def _top_name(picture, digits):
    start = f"{picture.rank:0{digits}d}_{picture.score:.2f}_"
    name = picture.file.rsplit("/", 1)[-1]
    if len(os.fsencode(start + name)) > 240:  # file systems take 255 bytes
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        name = f"{digest}{os.path.splitext(name)[1]}"
    return start + name
