"""JSON and CSV files: names of any bytes go in and out, and faults are one line.

A name of a file may be bytes that are no UTF-8. In a `str` they are surrogates, which
these files keep as the bytes they were (`surrogateescape`).
"""

import codecs
import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from illustkit.errors import UserError, as_user_error
from illustkit.files import expand_user, read_text, write_whole

_DELIMITERS = ",", ";", "\t"  # spreadsheets of many countries write the second


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file.

    Example:
    ```python
    entries = read_json("meta.json")
    ```

    Args:
        path: The file, in UTF-8; a byte order mark is left out.

    Returns:
        What it holds.

    Raises:
        UserError: If the file is missing, cannot be read or is no whole JSON file.
    """
    try:
        return json.loads(read_text(path))
    except OSError as error:
        raise as_user_error(error, path) or error from None
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: is no whole JSON file ({_line(error)}). Fetch or write it again."
        ) from None


def write_json(path: str | os.PathLike, value: Any, *, indent: int | None = 1) -> None:
    """Write a JSON file, the whole file or none.

    Example:
    ```python
    write_json("found.json", {"files": ["a.png"]})
    ```

    Args:
        path: The file; missing folders are made.
        value: What JSON can hold.
        indent: Blanks of a level; `None` writes one line. Defaults to 1.
    """
    write_whole(path, json.dumps(value, ensure_ascii=False, indent=indent))


def read_table(
    path: str | os.PathLike,
    columns: Sequence[str],
    *,
    exists: Callable[[dict[str, str]], bool] | None = None,
) -> list[tuple[int, dict[str, str]]]:
    """Read a CSV file whose first line names its columns.

    It may be saved by a spreadsheet: with a byte order mark, with semicolons or tabs,
    or as UTF-16.

    Example:
    ```python
    write_table("ratings.csv", ["file", "score"], [["a.png", 5], ["b.png", 2]])
    for line, row in read_table("ratings.csv", ["file", "score"]):
        print(line, row["file"], row["score"])    # 2 a.png 5
    ```

    Args:
        path: The file.
        columns: Names of the columns that have to be there; others may be.
        exists: Says whether the file that a row names exists. If it does not and the
            table is no UTF-8, the table's encoding is at fault. Defaults to no check.

    Returns:
        List of pairs (line, dict from a column's name to its text), without empty rows.

    Raises:
        UserError: Naming the file and line, and the fix.
    """
    try:
        data = expand_user(path).read_bytes()
    except OSError as error:
        raise as_user_error(error, path) or error from None
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16") if wide else ""
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is no text ({error}). Save it as UTF-8.") from None
    text = text or data.decode("utf-8-sig", "surrogateescape")
    first = text.split("\n", 1)[0].rstrip("\r")
    delimiter = max(_DELIMITERS, key=first.count)
    table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        heads = next(table, [])
        if missing := [name for name in columns if name not in heads]:
            raise UserError(
                f"{path}, line 1: no column {' and '.join(missing)}. The first line is "
                f"{','.join(columns)}. Received: {first[:80]!r}"
            )
        rows = []
        for values in filter(None, table):
            values += [""] * (len(heads) - len(values))
            rows.append((table.line_num, dict(zip(heads, values, strict=False))))
    except csv.Error as error:
        raise UserError(f"{path}, line {table.line_num}: {error}.") from None
    if exists is not None:
        for line, row in rows:
            raw = any("\udc80" <= c <= "\udcff" for v in row.values() for c in v)
            if raw and not exists(row):
                raise UserError(
                    f"{path}, line {line}: the table is no UTF-8. Save it as "
                    '"CSV UTF-8" (a spreadsheet\'s plain "CSV" is not).'
                )
    return rows


def write_table(
    path: str | os.PathLike, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Write a CSV file, the whole file or none.

    Example:
    ```python
    write_table("ratings.csv", ["file", "score"], [["a.png", 5], ["b.png", 2]])
    ```

    Args:
        path: The file; missing folders are made.
        columns: Names of the columns.
        rows: The values of each row.
    """
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows([columns, *rows])
    write_whole(path, stream.getvalue())


def _line(error):
    return " ".join((str(error) or type(error).__name__).split())
