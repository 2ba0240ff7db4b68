"""The lines of a label file, and everything that can be wrong with them."""

import re

import numpy as np

NAME = "anime_face"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_OVER = 0.01  # Ultralytics takes shares up to 1.01; rounding of others goes that far.
_MAX_BYTES = 1_000_000


class LabelError(ValueError):
    """Label files hold what is no label; one line for each place.

    Attributes:
        problems: List of "file, line n: what is wrong. The mend."
    """

    def __init__(self, problems):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


def read_rows(path, columns=None):
    """Read the distinct lines of a label file.

    Args:
        path: The text file.
        columns: 5 for labels, 6 for predictions. Defaults to what the first line has.

    Returns:
        float64 `(n, columns)`; `None` where there is no such file.

    Raises:
        LabelError: naming file and line of every problem.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LabelError(f"{path}: cannot be read ({error.strerror}).") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if len(data) > _MAX_BYTES or "\0" in text:
        raise LabelError(f"{path}: is no label file. Write lines of numbers.")
    rows, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        columns = columns or (len(line.split()) if len(line.split()) == 6 else 5)
        try:
            rows.append(_read_row(line.split(), columns))
        except ValueError as error:
            problems.append(f"{path}, line {number}: {error}")
    if problems:
        raise LabelError(problems)
    rows = list(dict.fromkeys(rows))
    return np.asarray(rows, np.float64).reshape(len(rows), columns or 5)


def _read_row(words, columns):
    if len(words) != columns:
        meant = {
            5: "a label without a confidence, where predictions have six",
            6: "a prediction with its confidence, no label; accept it in the review",
        }.get(len(words), "a line is class, x, y, width, height")
        raise ValueError(f"{len(words)} columns where {columns} are due: {meant}.")
    for word in words:
        if not _NUMBER.fullmatch(word):
            raise ValueError(f"{word!r} is no number.")
    values = tuple(float(word) for word in words)
    if values[0] != 0:
        raise ValueError(f"class {words[0]}: the only class is 0, {NAME}.")
    x, y, width, height = values[1:5]
    if min(values[1:]) < 0 or max(values[1:5]) > 1 + _OVER:
        raise ValueError("a share beyond 0..1: pixels are divided by the picture's.")
    if not (width > 0 and height > 0):
        raise ValueError("a box without width or height. Take the line out.")
    if x - width / 2 >= 1 or y - height / 2 >= 1:
        raise ValueError("a box outside the picture. Take the line out.")
    if columns == 6 and values[5] > 1:
        raise ValueError(f"confidence {words[5]}: it is 0 to 1.")
    return values
