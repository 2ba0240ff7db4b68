"""Mark generated pictures visibly, and write a note into their files.

The preprint's illustrator allowed pictures to be published on the condition that they
bear a watermark, so that nobody takes them for material to use. So the mark covers the
whole picture, and the picture stays visible under it. A small icon bears it along its
lower edge, where it leaves the face free.

Reference:
    The preprint, §2.2.
"""

from __future__ import annotations

import functools
import io
import math
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from illustkit.errors import UserError
from illustkit.files import check_writable, expand_user
from illustkit.images.formats import EXTENSIONS, FORMATS
from illustkit.images.opening import without_warnings
from illustkit.images.write import write_bytes

WATERMARK = "AI-generated"
OPACITY = 0.35
LEAST = 7  # pixels of a letter's height
SMALL = 128  # the longer side, in pixels, up to which a picture bears the text once
_STYLES = ("bold", "black", "light", "thin", "italic", "oblique", "mono", "serif")
# Formats that hold a note, and the most pixels of a side.
_LARGEST = {".png": 2**31 - 1, ".webp": 16383, ".jpg": 65500, ".jpeg": 65500}
_KEY = "Description"  # one of PNG's own keywords
_DESCRIPTION, _EXIF, _COMMENT = 0x010E, 0x8769, 0x9286  # EXIF tags


def add_watermark(
    picture: np.ndarray,
    text: str = WATERMARK,
    *,
    opacity: float = OPACITY,
    font: str | os.PathLike | None = None,
) -> np.ndarray:
    """Write a text across a picture, dark on light areas and light on dark ones.

    Pictures of up to 128 pixels bear it once, along the lower edge, in several lines if
    need be; larger ones bear it in staggered rows.

    Example:
    ```python
    marked = add_watermark(picture, "AI-generated", opacity=0.35)
    ```

    Args:
        picture: uint8, grey `(height, width)` or `(height, width, 1)`, RGB or RGBA;
            16 pixels or more on each side. It is not changed.
        text: What to write. Defaults to "AI-generated".
        opacity: 0 (invisible) to 1 (opaque). Defaults to 0.35.
        font: Path of a TrueType or OpenType font. Defaults to the first that has all
            letters of the text: Pillow's own, DejaVu Sans, or one of this machine.

    Returns:
        uint8 of the same shape. Alpha is not changed.

    Raises:
        UserError: If the picture is of another kind or under 16 pixels, `opacity` is
            out of range, `text` is empty, or no font has its letters.
    """
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8:
        kind = getattr(picture, "dtype", type(picture).__name__)
        raise UserError(f"A picture to mark is a uint8 array. Received: {kind}")
    if picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (1,), (3,), (4,)):
        raise UserError(
            f"A picture to mark is grey, RGB or RGBA. Received: shape {picture.shape}"
        )
    if min(picture.shape[:2]) < 16:
        raise UserError(
            f"A watermark needs 16 pixels each way. Received: shape {picture.shape}"
        )
    if not 0 <= opacity <= 1:
        raise UserError(f"`opacity` is from 0 to 1. Received: opacity={opacity}")
    if not text or not text.strip():
        raise UserError(f"A watermark needs a text. Received: text={text!r}")
    # Some systems take é apart into e and an accent, for which fonts have no letter.
    text = unicodedata.normalize("NFC", text.strip())
    mark, size = _mark(picture.shape[1], picture.shape[0], text, _font(text, font))
    colours = picture.reshape(*picture.shape[:2], -1).astype(np.float32)
    colours = colours[..., :3] if colours.shape[-1] == 4 else colours
    light = _blurred(colours.mean(axis=-1), size) > 127.5
    ink = np.where(light, 0.0, 255.0)[..., None]
    amount = np.float32(opacity) * mark[..., None]
    marked = np.rint(colours + amount * (ink - colours)).astype(np.uint8)
    out = picture.copy()
    if picture.ndim == 2:
        return marked[..., 0]
    out[..., : marked.shape[-1]] = marked
    return out


def write_marked(
    path: str | os.PathLike, picture: np.ndarray, note: str = WATERMARK
) -> Path:
    """Write a picture, with a note in the file that says where it comes from.

    Example:
    ```python
    write_marked("new.png", add_watermark(picture))
    read_note("new.png")   # "AI-generated"
    ```

    Args:
        path: File to write, `.png`, `.jpg`, `.jpeg` or `.webp`, atomically. Missing
            folders are made.
        picture: uint8, grey, RGB or RGBA (not in a JPEG).
        note: Text. PNG: a "Description"; JPEG: a comment and EXIF; WebP: EXIF.
            Defaults to "AI-generated".

    Returns:
        The path written.

    Raises:
        UserError: If the extension is another, the format cannot hold the picture, or
            the file cannot be written.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    shape = picture.shape[:2] if picture.shape[2:] == (1,) else picture.shape
    image = Image.fromarray(np.ascontiguousarray(picture).reshape(shape))
    path = check_output(
        path, image.size, note=True, transparent=image.mode in ("LA", "RGBA")
    )
    kind = path.suffix.lower()
    options: dict[str, Any]
    if kind == ".png":
        info = PngInfo()
        info.add_itxt(_KEY, note)
        options = {"format": "PNG", "pnginfo": info}
    elif kind == ".webp":
        options = {"format": "WEBP", "lossless": True, "exact": True}
        options["exif"] = _exif(note)
    else:
        options = {"format": "JPEG", "quality": 95, "subsampling": 0}
        options |= {"comment": note.encode("utf-8"), "exif": _exif(note)}
    stream = io.BytesIO()
    image.save(stream, **options)
    return write_bytes(path, stream.getvalue())


def check_output(
    path: str | os.PathLike,
    size: Sequence[int] = (1, 1),
    *,
    note: bool,
    transparent: bool = False,
) -> Path:
    """Raise if a generated picture cannot be written to a path; before it is made.

    Example:
    ```python
    check_output("between.png", note=True)   # Path("between.png")
    ```

    Args:
        path: The file to be.
        size: (width, height) of the picture, in pixels.
        note: Whether `write_marked` writes it, or `illustkit.images.write_image`.
        transparent: Whether it has alpha. Defaults to `False`.

    Returns:
        The path.

    Raises:
        UserError: If the extension names a format that cannot hold the picture or the
            note, the path is a folder, or its folder cannot be written to.
    """
    path = expand_user(path)
    kind = path.suffix.lower()
    most = _LARGEST.get(kind)
    if path.is_dir():
        raise UserError(f"{path}: is a folder. Name a file in it, such as a .png.")
    if kind == ".gif" or kind not in (_LARGEST if note else EXTENSIONS):
        kinds = _LARGEST if note else [e for e in EXTENSIONS if e != ".gif"]
        what = " with a note" if note else ""
        raise UserError(
            f"{path}: no picture{what} can be written with this extension. "
            f"Use {', '.join(kinds)}."
        )
    if transparent and kind in (".jpg", ".jpeg"):
        raise UserError(f"{path}: a JPEG has no transparency. Use .png or .webp.")
    if most is not None and max(size) > most:
        raise UserError(
            f"{path}: a {kind} has {most} pixels a side at most. Write a .png instead. "
            f"Received: {'x'.join(map(str, size))}"
        )
    check_writable(path.parent)
    return path


def read_note(path: str | os.PathLike) -> str | None:
    """Read the note that `write_marked` wrote into a file.

    Example:
    ```python
    read_note("new/icons/icon-00000.png")   # "AI-generated"
    ```

    Args:
        path: A picture file.

    Returns:
        str, or `None` if there is none or the file is no picture.
    """
    from PIL import Image

    try:
        with without_warnings(), Image.open(path, formats=FORMATS) as image:
            if image.format == "PNG":
                image.load()
                return getattr(image, "text", {}).get(_KEY)
            comment = image.info.get("comment")
            if isinstance(comment, bytes):
                return comment.decode("utf-8", "replace")
            comment = image.getexif().get_ifd(_EXIF).get(_COMMENT)
    except Exception:  # Pillow raises nearly anything at a damaged file
        return None
    if isinstance(comment, bytes) and comment.startswith(b"UNICODE\0"):
        return comment[8:].decode("utf-16-be", "replace")
    return None


def shown(picture: np.ndarray, background: int = 255) -> np.ndarray:
    """Convert a picture to RGB: repeat grey, and lay transparency over a background.

    Args:
        picture: uint8 `(height, width, 1)`, `(height, width, 3)` or
            `(height, width, 4)`.
        background: Grey value. Defaults to white.

    Returns:
        uint8 `(height, width, 3)`.
    """
    if picture.shape[-1] == 1:
        return np.repeat(picture, 3, axis=-1)
    if picture.shape[-1] == 3:
        return picture
    alpha = picture[..., 3:].astype("float32") / 255
    rgb = alpha * picture[..., :3] + (1 - alpha) * background
    return np.round(rgb).astype(np.uint8)


def enlarged(picture: np.ndarray, least: int = 128) -> np.ndarray:
    """Repeat the pixels of a small picture, so that a watermark has room.

    Example:
    ```python
    marked = add_watermark(enlarged(icon))   # 32×32 -> 128×128
    ```

    Args:
        picture: uint8 `(height, width, channels)`.
        least: Size that the shorter side approaches from below. Defaults to 128.

    Returns:
        uint8; the same array if it is large enough.
    """
    factor = max(1, least // min(picture.shape[:2]))
    if factor == 1:
        return picture
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def _exif(note):
    from PIL import Image

    exif = Image.Exif()
    exif[_DESCRIPTION] = note.encode("ascii", "replace").decode()
    # The user comment is EXIF's only text that may hold any letters.
    exif.get_ifd(_EXIF)[_COMMENT] = b"UNICODE\0" + note.encode("utf-16-be")
    return exif.tobytes()


def _mark(width, height, text, font):
    """Draw the mark: ink of each pixel `(height, width)`, 0 to 1, and letter size."""
    from PIL import Image, ImageDraw

    lines, face, size = _fitted(width, height, text, font)
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    longest = max(draw.textlength(line, face) for line in lines)
    line_step = 1.15 * size
    block = line_step * len(lines)
    step_x, step_y = longest + 1.5 * size, block + 2.0 * size
    rows = max(1, math.floor((height + 2.0 * size) / step_y))
    # Centre of the first row, so that the rows are centred on the picture.
    first = height / 2 - (rows - 1) / 2 * step_y
    small = max(width, height) <= SMALL
    if small:  # along the lower edge
        rows, first = 1, max(height - block / 2, block / 2)
    once = small or step_x > 0.75 * width
    for row in range(rows):
        shift = 0 if once else (row % 2) * step_x / 2
        reach = 0 if once else math.ceil(width / step_x) + 1
        for column in range(-reach, reach + 1):
            x = width / 2 + shift + column * step_x
            for n, line in enumerate(lines):
                y = first + row * step_y + (n - (len(lines) - 1) / 2) * line_step
                draw.text((x, y), line, fill=255, font=face, anchor="mm")
    mark = np.asarray(image, np.float32) / 255
    # The strokes of small letters cover their pixels only partly: they get more ink.
    return np.minimum(1, mark * max(1.0, 14 / size)), size


def mark_of(
    width: int, height: int, text: str, font: str | os.PathLike | None = None
) -> tuple[np.ndarray, int]:
    """Draw the watermark of a picture, for those who add it themselves.

    `add_watermark` mixes in ink, black where the mean of a square of
    `2 * reach + 1` pixels is light and white elsewhere.

    Args:
        width: Width of the picture.
        height: Its height.
        text: See `add_watermark`.
        font: See `add_watermark`.

    Returns:
        `(mark, reach)`: the ink of each pixel, float32 `(height, width)` from 0 to 1,
        and the reach of the square.
    """
    text = unicodedata.normalize("NFC", text.strip())
    mark, size = _mark(width, height, text, _font(text, font))
    return mark, max(1, size)


def _fitted(width, height, text, font):
    """Return lines, font and letter size in pixels that fit a picture."""
    largest = max(9, round(0.11 * min(width, height)))
    for lines in (_broken(text, n) for n in range(1, 4)):
        for size in range(largest, LEAST - 1, -1):
            face = _face(font, size)
            longest = max(face.getlength(line) for line in lines)
            if longest <= 0.94 * width and 1.15 * size * len(lines) <= height:
                return lines, face, size
    # The picture is too small for the whole text: cut it at the edge.
    return _broken(text, 2), _face(font, LEAST), LEAST


def _broken(text, n):
    """Break a text into about n lines, at spaces and behind hyphens."""
    words = text.replace("-", "- ").split()
    n = min(n, len(words))
    lines = [words[round(i * len(words) / n) : round((i + 1) * len(words) / n)]
             for i in range(n)]  # fmt: skip
    return [" ".join(line).replace("- ", "-") for line in lines]


def _face(font, size):
    from PIL import ImageFont

    if font is None:
        return ImageFont.load_default(size)
    return ImageFont.truetype(str(font), size)


def _font(text, font):
    """Return the path of a font that has every letter of a text; `None` for Pillow's.

    Raises:
        UserError: If `font` cannot be read or lacks a letter, or no font has them all.
    """
    letters = frozenset(c for c in text if not _is_unseen(c))
    if font is None:
        return _font_of(letters)
    font = expand_user(font)
    if not font.is_file():
        raise UserError(f"{font}: no such file of a `font`. Check the path.")
    try:
        lacking = _lacking(letters, font)
        _face(font, LEAST)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{font}: cannot be read as a font ({reason}). Name a .ttf, .otf or .ttc."
        ) from None
    if lacking:
        raise UserError(
            f"{font}: has no letter {lacking[0]!r} of the watermark. Name another "
            "`font`, or give another text."
        )
    return font


@functools.lru_cache(maxsize=64)
def _font_of(letters):
    """Search a font that has all letters; `None` stands for Pillow's own."""
    # Pillow's font has all of ASCII: nothing has to be loaded to know it.
    if "".join(letters).isascii() and "".join(letters).isprintable():
        return None
    from PIL import ImageFont

    own = ImageFont.load_default(LEAST)
    if not _lacking(letters, io.BytesIO(own.font_bytes)):
        return None
    for path in _fonts_of_machine():
        try:
            if not _lacking(letters, path):
                _face(path, LEAST)  # fonts of bitmaps have one size alone
                return path
        except (OSError, RuntimeError):
            continue
    rare = [c for c in sorted(letters) if not (c.isascii() and c.isprintable())]
    names = ", ".join(map(repr, rare))
    raise UserError(
        f"No font of this machine has all letters of the watermark ({names}). Give "
        "the path of one that has them as `font`, or another text."
    )


def _fonts_of_machine():
    """Yield paths of fonts: matplotlib's DejaVu Sans, then plain sans-serif ones."""
    import matplotlib
    from matplotlib.font_manager import findSystemFonts

    yield Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")

    def rank(path):
        name = path.name.casefold()
        styled = any(word in name for word in _STYLES)
        return styled, "sans" not in name, name

    for path in sorted(map(Path, findSystemFonts()), key=rank):
        # These have a box, or nothing, for every letter there is.
        if not path.name.casefold().startswith(("lastresort", "adobeblank")):
            yield path


def _lacking(letters, font):
    """Return the letters for which a font, a path or an open file, has no glyph."""
    from matplotlib.ft2font import FT2Font

    face = FT2Font(font if isinstance(font, io.BytesIO) else str(font))
    return [c for c in sorted(letters) if not face.get_char_index(ord(c))]


def _is_unseen(character):
    """Return whether a character has no glyph of its own: blanks, joiners, variants."""
    if character.isspace() or unicodedata.category(character) == "Cf":
        return True
    return "\ufe00" <= character <= "\ufe0f"


def _blurred(values, size):
    """Average over a square of about two letters."""
    reach = max(1, size)
    padded = np.pad(values.astype(np.float64), reach, mode="edge")
    sums = np.pad(padded.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    n = 2 * reach + 1
    inside = sums[n:, n:] - sums[:-n, n:] - sums[n:, :-n] + sums[:-n, :-n]
    return inside / n**2
