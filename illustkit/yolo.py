"""YOLO's label files: one box in a line, `class x y width height [confidence]`.

Of a polygon, `class x1 y1 x2 y2 x3 y3 …`, the box around it is taken.
"""

import codecs
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from illustkit.errors import UserError
from illustkit.files import expand_user, read_text, write_whole

CLASSES = "classes.txt"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_CLASS = re.compile(r"\d{1,5}", re.ASCII)
_OVER = 0.01  # Ultralytics takes fractions up to 1.01; rounding of others goes that far
_MAX_BYTES = 1_000_000


class LabelError(UserError):
    """A label file is invalid; one line for each problem, with file and line."""


def label_path(image_path: str | os.PathLike) -> Path:
    """Return where YOLO tools look for a picture's labels.

    The last folder called `images` of the absolute path becomes `labels`, so that the
    place is the same however the folder is named (`.`, `~`, a link, an absolute path).
    Labels that are located beside the picture all the same are found there.

    Example:
    ```python
    label_path("set/images/a/1.png")   # set/labels/a/1.txt
    label_path("pictures/1.png")       # pictures/1.txt
    ```

    Args:
        image_path: Path of the picture; it need not exist.

    Returns:
        `Path` ending in `.txt`: in `labels`, or beside the picture if no folder is
        called `images`, or if the only label file is there.
    """
    path = expand_user(image_path)
    beside = path.with_suffix(".txt")
    for way in (beside, Path.cwd() / beside, beside.parent.resolve() / beside.name):
        if ".." in way.parts or (there := _in_labels(way)) == way:
            continue
        return beside if not there.exists() and _holds_labels(beside) else there
    return beside


def _in_labels(path):
    parts = list(path.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*parts)


def _holds_labels(path):
    """Return whether a text file is one of labels, and not a caption, say."""
    try:
        return read_rows(path) is not None
    except LabelError:
        return False


def read_classes(folder: str | os.PathLike) -> list[str]:
    """Return the names of the classes, in order; empty without a `classes.txt`.

    Args:
        folder: Folder of the label files.
    """
    path = Path(folder, CLASSES)
    return read_text(path).splitlines() if path.is_file() else []


def read_rows(
    path: str | os.PathLike,
    *,
    columns: int | None = None,
    classes: Sequence[str] | None = None,
    only: int | None = None,
    allow_empty: bool = False,
) -> np.ndarray | None:
    """Read the distinct lines of a label file.

    Fractions from -0.01 to 1.01 and polygons are accepted, as Ultralytics does; so are
    commas between the numbers, and UTF-16 with its byte order mark.

    Example:
    ```python
    rows = read_rows(label_path("set/images/1.png"), columns=5, classes=["face"])
    boxes = to_pixels(rows[:, 1:5], (width, height))
    ```

    Args:
        path: The text file.
        columns: 5 for labels, 6 for predictions. Defaults to what the first line has.
        classes: Names of the only classes allowed. Defaults to any.
        only: Number of the one class whose lines are returned, whatever `classes`
            says. Defaults to all.
        allow_empty: Whether a box may lack width or height. Defaults to `False`.

    Returns:
        float64 `(n, columns)`: class, centre x and y, width, height as fractions of
        the picture's, and the confidence; `None` where there is no such file.

    Raises:
        LabelError: Naming file and line of every problem.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LabelError(f"{path}: cannot be read ({error.strerror}).") from error
    utf16 = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if len(data) > _MAX_BYTES or "\0" in text:
        raise LabelError(f"{path}: is no label file. Write lines of numbers.")
    rows, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if "," in line and "." in line:  # not of decimals
            words = line.replace(",", " ").split()
        if not words:
            continue
        columns = columns or (6 if len(words) == 6 else 5)
        try:
            row = _parse_row(words, columns, None if only is not None else classes)
            if only is not None and row[0] != only:
                continue
            _check_row(row, allow_empty)
            rows.append(row)
        except UserError as error:
            problems.append(f"{path}, line {number}: {error}")
    if problems:
        raise LabelError(problems)
    rows = list(dict.fromkeys(rows))
    return np.asarray(rows, np.float64).reshape(len(rows), columns or 5)


def _parse_row(words, columns, classes):
    polygon = columns == 5 and len(words) >= 7 and len(words) % 2
    if len(words) != columns and not polygon:
        meant = {
            5: "a label without a confidence, where predictions have six",
            6: "a prediction with its confidence, no label; accept it in the review",
        }.get(len(words), "a line is class, x, y, width, height")
        raise UserError(f"{len(words)} columns where {columns} are due: {meant}.")
    for word in words:
        if not _NUMBER.fullmatch(word):
            mend = ": write decimals with a point." if "," in word else "."
            raise UserError(f"{word!r:.20} is no number{mend}")
    values = tuple(float(word) for word in words)
    if classes is not None and values[0] not in range(len(classes)):
        raise UserError(
            f"class {words[0]}: the only class is 0, {classes[0]}."
            if len(classes) == 1
            else f"class {words[0]}: there are {len(classes)}, counted from 0."
        )
    if classes is None and not _CLASS.fullmatch(words[0]):
        raise UserError(f"class {words[0]:.20}: a class is a number 0, 1, 2, …")
    fractions = values[1:] if polygon else values[1:5]
    if min(fractions) < -_OVER or max(fractions) > 1 + _OVER:
        raise UserError(
            "a fraction beyond 0..1: divide pixels by the picture's width and height."
        )
    if not polygon:
        return values
    low = [min(values[axis::2]) for axis in (1, 2)]
    high = [max(values[axis::2]) for axis in (1, 2)]
    centre = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    return (values[0], *centre, *(b - a for a, b in zip(low, high, strict=True)))


def _check_row(values, allow_empty):
    x, y, width, height = values[1:5]
    least = min(width, height)
    if least < 0 or (least == 0 and not allow_empty):
        raise UserError("a box without width or height. Take the line out.")
    if x - width / 2 >= 1 or y - height / 2 >= 1:
        raise UserError("a box outside the picture. Take the line out.")
    if not 0 <= values[-1] <= 1 and len(values) == 6:
        raise UserError(f"confidence {values[5]:g}: it is 0 to 1.")


def write_rows(path: str | os.PathLike, rows: np.ndarray, *, digits: int = 8) -> Path:
    """Write a label file, the whole file or none.

    Args:
        path: The text file.
        rows: `(n, 5)`, or `(n, 6)` with confidences, as `read_rows` returns them; an
            empty list writes an empty file, which says that there is no object.
        digits: Decimals of each fraction. Defaults to 8.

    Returns:
        The path written.

    Raises:
        UserError: For a number that is not finite.
    """
    rows = np.asarray(rows, np.float64)
    if not np.isfinite(rows).all():
        raise UserError(f"{path}: a box has finite corners. Received: {rows.tolist()}")
    return write_whole(path, format_rows(rows, digits))


def format_rows(rows: np.ndarray, digits: int = 8) -> str:
    """Return the text of a label file; see `write_rows`."""
    lines = [
        f"{kind:.0f} " + " ".join(f"{v:.{digits}f}" for v in values) + "\n"
        for kind, *values in rows.tolist()
    ]
    return "".join(lines)


def to_pixels(fractions: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Convert centres and sizes as fractions to corners in pixels.

    Args:
        fractions: `(n, 4)`: centre x, centre y, width, height.
        image_size: (width, height) of the upright picture, in pixels.

    Returns:
        float64 `(n, 4)`, `(left, top, right, bottom)`, not clipped.
    """
    scaled = np.reshape(np.asarray(fractions, np.float64), (-1, 4)) * (
        *image_size,
        *image_size,
    )
    centre, half = scaled[:, :2], scaled[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def upright_boxes(
    boxes: Any, stored_size: tuple[int, int], orientation: int
) -> np.ndarray:
    """Turn boxes the way that EXIF turns their picture.

    Example:
    ```python
    upright_boxes([(24, 8, 56, 16)], (64, 40), 6)    # [[24., 24., 32., 56.]]
    ```

    Args:
        boxes: `(n, 4)`, `(left, top, right, bottom)` in stored pixels.
        stored_size: (width, height) of the stored picture, in pixels.
        orientation: EXIF's 1 (upright) to 8; see
            `illustkit.images.opening.stored_size`.

    Returns:
        float64 `(n, 4)` in pixels of the upright picture.
    """
    corners = np.reshape(np.asarray(boxes, np.float64), (-1, 2, 2))
    width, height = stored_size
    if orientation in (5, 6, 7, 8):
        corners, (width, height) = corners[..., ::-1], (height, width)
    if orientation in (3, 4, 7, 8):
        corners = np.stack([corners[..., 0], height - corners[..., 1]], axis=-1)
    if orientation in (2, 3, 6, 7):
        corners = np.stack([width - corners[..., 0], corners[..., 1]], axis=-1)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def to_fractions(boxes: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Convert corners in pixels to centres and sizes as fractions.

    Args:
        boxes: `(n, 4)`, `(left, top, right, bottom)`.
        image_size: (width, height) of the upright picture, in pixels.

    Returns:
        float64 `(n, 4)`: centre x, centre y, width, height.
    """
    first, second = np.split(np.reshape(np.asarray(boxes, np.float64), (-1, 4)), 2, 1)
    boxes = np.concatenate([(first + second) / 2, second - first], axis=1)
    return boxes / (*image_size, *image_size)
