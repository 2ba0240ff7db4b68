"""Attributes that icons are learnt with and asked for by, each with its values."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from illustkit.errors import UserError
from illustkit.files import expand_user
from illustkit.tables import read_table

FOLDERS = "folders"
FOLDER, FILE = "folder", "file"
Wish = Mapping[str, Any]
Schema = Mapping[str, Sequence[str]]


def encode(schema: Schema, wishes: Sequence[Wish]) -> np.ndarray:
    """Encode wishes as vectors: one number for each value, 1 where it is wished.

    An attribute that a wish does not name is all zeros: whatever the model likes.

    Example:
    ```python
    encode({"hair": ["red", "blue"], "glasses": ["no", "yes"]}, [{"hair": "blue"}])
    # [[0, 1, 0, 0]]
    ```

    Args:
        schema: The attributes' names, each with its values.
        wishes: One dict a picture, of names to values; `True` and `False` stand for
            "yes" and "no".

    Returns:
        float32 `(n, width(schema))`.

    Raises:
        UserError: If there is no such attribute or value.
    """
    starts = dict(zip(schema, groups(schema), strict=True))
    vectors = np.zeros((len(wishes), width(schema)), "float32")
    for row, wish in zip(vectors, wishes, strict=True):
        for name, value in wish.items():
            if name not in schema:
                known = ", ".join(schema) or "none: it was trained without attributes"
                raise UserError(
                    f"This model has no attribute {name!r}. It has: {known}"
                )
            if isinstance(value, bool):
                value = "yes" if value else "no"
            if value not in schema[name]:
                raise UserError(
                    f"The attribute {name} takes one of: {', '.join(schema[name])}. "
                    f"Received: {value}"
                )
            row[starts[name].start + list(schema[name]).index(value)] = 1
    return vectors


def width(schema: Schema) -> int:
    """Return the number of all values: the length of an encoded wish."""
    return sum(map(len, schema.values()))


def groups(schema: Schema) -> list[slice]:
    """Return the place of each attribute in an encoded wish."""
    ends = np.cumsum([0, *map(len, schema.values())]).tolist()
    return [slice(*pair) for pair in zip(ends, ends[1:], strict=False)]


def forget(vectors: np.ndarray, schema: Schema, rng: np.random.Generator) -> np.ndarray:
    """Forget some attributes of encoded wishes, so that a model learns to do without.

    Each picture forgets a share of its own, from none to all, so that as many wishes
    of one attribute as of most are learnt, and one in n + 1 (of n attributes) says
    nothing: what classifier-free guidance compares with.

    Args:
        vectors: float32 `(n, width(schema))`.
        schema: The attributes.
        rng: NumPy generator.

    Returns:
        A new array of the same shape.

    Reference:
        Ho and Salimans, "Classifier-free diffusion guidance" (2022), section 3.2.
    """
    kept = rng.random((len(vectors), len(schema))) >= rng.random((len(vectors), 1))
    sizes = [len(values) for values in schema.values()]
    return vectors * np.repeat(kept, sizes, axis=1)


def parse_attributes(text: str | None) -> dict[str, str] | None:
    """Parse "hair=red, glasses=yes" to a dict; `None` stays `None`.

    Args:
        text: Names and values, with commas.

    Returns:
        A dict of names to values.

    Raises:
        UserError: If the text is not of that form.
    """
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name.strip() and sign and value.strip() for name, sign, value in pairs):
        raise UserError(f"--attributes takes hair=red,glasses=yes. Received: {text}")
    return {name.strip(): value.strip() for name, _, value in pairs}


def read_attributes(
    source: str | os.PathLike, names: Sequence[str]
) -> tuple[dict[str, list[str]], list[dict[str, str]]]:
    """Read the attributes of a folder's pictures.

    Args:
        source: "folders": the name of the sub-folder that a picture lies in is the
            value of its attribute "folder", with "/" for more than one level. Or a
            table (CSV) whose column "file" holds the pictures' names, relative to their
            folder, and every other column an attribute; an empty cell says nothing.
        names: The pictures' names, relative to their folder, with "/".

    Returns:
        `(schema, wishes)`: the attributes with their values in the order of the
        alphabet, and one dict a picture.

    Raises:
        UserError: If the table cannot be read or lacks every picture, or no attribute
            has two values.
    """
    if source == FOLDERS:
        wishes = [_folder_of(name) for name in names]
        where = "Its sub-folders"
    else:
        path = expand_user(source)
        where = str(path)
        said = {
            row[FILE]: {
                name: value.strip()
                for name, value in row.items()
                if name != FILE and value.strip()
            }
            for _, row in read_table(path, [FILE])
        }
        if not set(names) & set(said):
            raise UserError(
                f"{path}: names no picture of the folder. Name them as they lie there, "
                "such as a/1.png."
            )
        wishes = [said.get(name, {}) for name in names]
    values: dict[str, set[str]] = {}
    for wish in wishes:
        for name, value in wish.items():
            values.setdefault(name, set()).add(value)
    schema = {name: sorted(found) for name, found in sorted(values.items())}
    if not any(len(found) > 1 for found in schema.values()):
        raise UserError(
            f"{where}: no attribute has two values: there is nothing to steer by."
        )
    return schema, wishes


def _folder_of(name):
    parent = Path(name).parent.as_posix()
    return {} if parent == "." else {FOLDER: parent}
