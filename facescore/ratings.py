"""One person's scores of pictures: folders `1/` to `5/`, or a CSV of file and score."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

from illustkit.files import inside, write_whole
from illustkit.images import list_images

SCORES = 1, 2, 3, 4, 5
TABLE = "ratings.csv"
_COLUMNS = "file", "score"


class Rating(NamedTuple):
    """A picture and what a person thought of it.

    Args:
        path: `Path` of the picture.
        score: Whole number, 1 to 5.
    """

    path: Path
    score: int


class RatingError(ValueError):
    """Ratings hold what is no rating; one line for each place.

    Attributes:
        problems: List of "file, line n: what is wrong".
    """

    def __init__(self, problems):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


def read_ratings(source):
    """Read ratings from wherever they are.

    Example:
    ```python
    for path, score in read_ratings("pictures"):   # pictures/1 ... pictures/5
        ...
    ```

    Args:
        source: A CSV, or a folder that holds either `1/` to `5/` or `ratings.csv`.

    Returns:
        List of `Rating`.

    Raises:
        RatingError: naming every problem; a folder with both, or neither, is one.
    """
    source = Path(source)
    if not source.is_dir():
        return ratings_from_csv(source)
    table = source / TABLE
    folders = any((source / str(score)).is_dir() for score in SCORES)
    if folders and table.exists():
        raise RatingError(
            f"{source}: holds both folders of scores and {TABLE}. Name the {TABLE}, "
            "or move it elsewhere."
        )
    return ratings_from_csv(table) if table.exists() else ratings_from_folders(source)


def ratings_from_folders(folder):
    """Read ratings from the folders that pictures lie in, `1/` to `5/`.

    Args:
        folder: The folder that holds them; a score without pictures may be missing.

    Returns:
        List of `Rating`, by score.

    Raises:
        RatingError: if none of the five is there, or the same file lies in two.
    """
    folder = Path(folder)
    there = [score for score in SCORES if (folder / str(score)).is_dir()]
    if not there:
        raise RatingError(
            f"{folder}: holds no folders 1/ to 5/ and no {TABLE}. Sort pictures into "
            "folders, or rate them on the rating page."
        )
    ratings, homes, problems = [], {}, []
    for score in there:
        base = folder / str(score)
        for path in list_images(base, allow_empty=True):
            other = homes.setdefault(path.relative_to(base), path)
            if other != path:
                problems.append(f"{path}: lies in {other.parent} too. Keep one.")
            ratings.append(Rating(path, score))
    if problems:
        raise RatingError(problems)
    return ratings


def ratings_from_csv(path, folder=None):
    """Read ratings from a CSV with the columns `file` and `score`.

    Args:
        path: The CSV, in UTF-8; further columns are passed over.
        folder: Folder that the files are named from. Defaults to the CSV's own.

    Returns:
        List of `Rating`, in the order of the lines.

    Raises:
        RatingError: naming file and line of every problem: a score that is no whole
            number from 1 to 5, a missing picture, a name that leaves the folder, two
            lines for one picture.
    """
    path = Path(path)
    folder = path.parent if folder is None else Path(folder)
    ratings, lines, problems = [], {}, []
    for number, row in _rows(path):
        try:
            score = _score(row["score"])
            picture = inside(folder, row["file"])
            if picture in lines:
                raise ValueError(f"{row['file']} stands in line {lines[picture]} too.")
            lines[picture] = number
            if not picture.is_file():
                raise ValueError(f"there is no picture {picture}.")
            ratings.append(Rating(picture, score))
        except ValueError as error:
            problems.append(f"{path}, line {number}: {error}")
    if problems:
        raise RatingError(problems)
    return ratings


def write_ratings(path, ratings, folder=None):
    """Write ratings as a CSV; the whole file appears at once or not at all.

    Args:
        path: The CSV.
        ratings: Pairs (path of the picture, score).
        folder: Folder that the files are named from. Defaults to the CSV's own.

    Returns:
        The path written.

    Raises:
        ValueError: for a picture outside the folder, or a score that is none.
    """
    path = Path(path)
    folder = path.parent if folder is None else Path(folder)
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(_COLUMNS)
    for picture, score in ratings:
        name = Path(picture).relative_to(folder).as_posix()
        table.writerow([name, _score(score)])
    return write_whole(path, stream.getvalue())


def _rows(path):
    """Pairs (line, dict of the columns)."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise RatingError(f"{path}: no such file. Check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RatingError(f"{path}: is no CSV in UTF-8 ({error}).") from error
    table = csv.DictReader(io.StringIO(text, newline=""), restval="")
    try:
        names = table.fieldnames or []
        if missing := [name for name in _COLUMNS if name not in names]:
            raise RatingError(
                f"{path}, line 1: no column {' and '.join(missing)}. The first line is "
                f"file,score. Received: {','.join(names)!r}"
            )
        return [(table.line_num, row) for row in table]
    except csv.Error as error:
        raise RatingError(f"{path}, line {table.line_num}: {error}") from error


def _score(value):
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if number not in SCORES:
        raise ValueError(f"a score is 1, 2, 3, 4 or 5. Received: {value!r}")
    return int(number)
