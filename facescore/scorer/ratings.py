"""Ratings from 1 to 5, as a table or as folders."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from illustkit.errors import UserError
from illustkit.files import expand_user, name_within, named_file
from illustkit.images import list_images
from illustkit.tables import read_table, write_table

SCORES = 1, 2, 3, 4, 5
RATING_TABLE = "ratings.csv"
_COLUMNS = "file", "score"


class Rating(NamedTuple):
    """A picture and a person's score of it.

    Args:
        path: `Path` of the picture.
        score: Whole number, 1 to 5.
    """

    path: Path
    score: int


class RatingError(UserError):
    """Ratings are invalid; one line for each problem, with file and line."""


def read_ratings(
    source: str | os.PathLike, *, gone: list[Rating] | None = None
) -> list[Rating]:
    """Read ratings from a CSV or a folder.

    Example:
    ```python
    for path, score in read_ratings("crops"):   # crops/1 ... crops/5
        ...
    ```

    Args:
        source: A CSV, or a folder that holds either `1/` to `5/` or `ratings.csv`.
        gone: See `ratings_from_csv`.

    Returns:
        List of `Rating`.

    Raises:
        RatingError: Naming every problem; a folder with both, or neither, is one.
    """
    source = expand_user(source)
    if not source.is_dir():
        return ratings_from_csv(source, gone=gone)
    table = source / RATING_TABLE
    folders = any((source / str(score)).is_dir() for score in SCORES)
    if folders and table.exists():
        raise RatingError(
            f"{source}: holds both folders of scores and {RATING_TABLE}. Name "
            f"{source / RATING_TABLE}, or move it elsewhere."
        )
    if table.exists():
        return ratings_from_csv(table, gone=gone)
    return ratings_from_folders(source)


def ratings_from_folders(folder: str | os.PathLike) -> list[Rating]:
    """Read ratings from the folders that hold the pictures, `1/` to `5/`.

    Args:
        folder: The folder that holds them; a score without pictures may be missing.

    Returns:
        List of `Rating`, by score.

    Raises:
        RatingError: If none of the five exists, or two of them hold the same file.
    """
    folder = expand_user(folder)
    scores = [score for score in SCORES if (folder / str(score)).is_dir()]
    if not scores:
        raise RatingError(
            f"{folder}: holds no folders 1/ to 5/ and no {RATING_TABLE}. Sort pictures "
            "into folders, or rate them on the rating page."
        )
    ratings: list[Rating] = []
    homes: dict[Path, Path] = {}
    problems = []
    for score in scores:
        base = folder / str(score)
        for path in list_images(base, allow_empty=True):
            first = homes.setdefault(path.relative_to(base), path)
            if first != path:
                problems.append(f"{path}: is in {first.parent} too. Keep one.")
            ratings.append(Rating(path, score))
    if problems:
        raise RatingError(problems)
    return ratings


def ratings_from_csv(
    path: str | os.PathLike,
    folder: str | os.PathLike | None = None,
    *,
    gone: list[Rating] | None = None,
) -> list[Rating]:
    """Read ratings from a CSV with the columns `file` and `score`.

    Args:
        path: The CSV, see `illustkit.tables.read_table`; other columns are ignored.
        folder: Folder that the files are named from. Defaults to the CSV's own.
        gone: List that receives the ratings of pictures that do not exist. Defaults to
            none: such a rating is a problem.

    Returns:
        List of `Rating`, in the order of the lines.

    Raises:
        RatingError: Naming file and line of every problem: a score that is no whole
            number from 1 to 5, a missing picture, a name that leaves the folder, two
            lines for one picture.
    """
    path = expand_user(path)
    folder = path.parent if folder is None else expand_user(folder)

    def exists(row):
        try:
            picture = _picture(folder, row["file"])
        except UserError:
            return False
        # Among names of such bytes one more may have been, whose file is gone.
        return os.path.isfile(picture) or _has_raw_names(picture.parent)

    try:
        rows = read_table(path, _COLUMNS, exists=exists)
    except UserError as error:
        raise RatingError(error.problems) from None
    ratings: list[Rating] = []
    lines: dict[Path, int] = {}
    problems = []
    for number, row in rows:
        try:
            score = _score(row["score"])
            picture = _picture(folder, row["file"])
            if picture in lines:
                raise UserError(f"{row['file']} is in line {lines[picture]} too.")
            lines[picture] = number
            if os.path.isfile(picture):
                ratings.append(Rating(picture, score))
            elif gone is None:
                raise UserError(f"there is no picture {picture}.")
            else:
                gone.append(Rating(picture, score))
        except UserError as error:
            problems.append(f"{path}, line {number}: {error}")
    if problems:
        raise RatingError(problems)
    return ratings


def _picture(folder, name):
    """Return the path of a rated picture, which may be gone, whatever it is called."""
    try:
        return named_file(folder, name)
    except UserError:
        own = Path(name)
        if not name or own.anchor or ".." in own.parts:
            raise
        return folder / own


def _has_raw_names(folder):
    """Return whether files in a folder have names that are no UTF-8."""
    names = os.listdir(folder) if folder.is_dir() else []
    return any("\udc80" <= c <= "\udcff" for name in names for c in name)


def write_ratings(
    path: str | os.PathLike,
    ratings: Iterable[tuple[str | os.PathLike, int]],
    folder: str | os.PathLike | None = None,
) -> Path:
    """Write ratings as a CSV, the whole file or none.

    Args:
        path: The CSV.
        ratings: Pairs (path of the picture, score).
        folder: Folder that the files are named from. Defaults to the CSV's own.

    Returns:
        The path written.

    Raises:
        UserError: If a picture is outside the folder, or a score is not 1 to 5.
    """
    path = expand_user(path)
    folder = path.parent if folder is None else folder
    rows = [(name_within(folder, picture), _score(score)) for picture, score in ratings]
    write_table(path, _COLUMNS, rows)
    return path


def _score(value):
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if number not in SCORES:
        raise UserError(f"a score is 1, 2, 3, 4 or 5. Received: {value!r}")
    return int(number)
