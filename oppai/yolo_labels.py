"""YOLO's text files: one a picture, a line `class x y width height` a box.

Centre and size are shares of the picture's. No file means that nobody has looked, an
empty one that there is no box. Names of the classes stand in `classes.txt`.
"""

import math
from pathlib import Path

CLASSES = "classes.txt"
_MAX_BYTES = 4 << 20
_OVER = 0.01  # Ultralytics takes shares up to 1.01


def read_classes(folder):
    """Names of the classes, in order; empty where there is no `classes.txt`.

    Args:
        folder: Folder of the text files.

    Returns:
        List of str.
    """
    path = Path(folder, CLASSES)
    return path.read_text("utf-8-sig").splitlines() if path.is_file() else []


def read_yolo(path, size, classes=()):
    """Read one text file.

    Args:
        path: The file.
        size: (width, height) of its picture, pixels.
        classes: Names of the classes; a class without one is called by its number.

    Returns:
        `(boxes, problems)`: list of `(label, (left, top, right, bottom))` in pixels,
        and list of texts.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        return [], [f"{path}: cannot be read ({error.strerror})."]
    except UnicodeDecodeError:
        text = "\0"
    if len(data) > _MAX_BYTES or "\0" in text:
        return [], [f"{path}: is no label file. Write lines of numbers."]
    boxes, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            kind, box = _read_line(line.split(), size)
        except ValueError as error:
            problems.append(f"{path}, line {number}: {error}.")
            continue
        boxes.append((classes[kind] if kind < len(classes) else str(kind), box))
    return boxes, problems


def _read_line(words, size):
    if len(words) != 5:
        raise ValueError(f"{len(words)} columns; a line is class x y width height")
    kind, *shares = words
    if not (kind.isascii() and kind.isdigit() and len(kind) < 6):
        raise ValueError(f"{kind[:20]!r} is no class: 0, 1, 2, …")
    x, y, width, height = (float(share) for share in shares)
    if not all(0 <= v <= 1 + _OVER for v in (x, y, width, height)):  # NaN neither
        raise ValueError("a share beyond 0..1: divide pixels by the picture's")
    columns, rows = size
    x, width, y, height = x * columns, width * columns, y * rows, height * rows
    box = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return int(kind), box


def yolo_line(kind, box, size):
    """The line of one box.

    Args:
        kind: Number of its class.
        box: (left, top, right, bottom) in pixels.
        size: (width, height) of its picture, pixels.

    Returns:
        str, without an end of line.
    """
    left, top, right, bottom = box
    shares = (
        (left + right) / 2 / size[0],
        (top + bottom) / 2 / size[1],
        (right - left) / size[0],
        (bottom - top) / size[1],
    )
    if not all(map(math.isfinite, shares)):
        raise ValueError(f"A box has finite corners. Received: {box}")
    return " ".join([str(kind), *(f"{share:.10f}" for share in shares)])
