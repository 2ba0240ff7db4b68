"""The chapter's metadata: read, check, write and fetch it, and find its pictures."""

import json
import math
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from illustkit.errors import UserError, as_user_error
from illustkit.files import (
    cache_folder,
    expand_user,
    fetch_pinned,
    is_pinned,
    leads_outside,
    unsafe_name,
    write_whole,
)
from illustkit.tables import read_json

Box = tuple[float, float, float, float]

URL = (
    "https://raw.githubusercontent.com/koshian2/DeepCreamPyBook/master/"
    "Oppai/oppai_dataset/oppai_meta.json"
)
SHA256 = "30cfead6977421830f8c8b0a346b1a0bda2ed11a01495b22d6425f42f0fc78f8"
LICENCE = (
    "The boxes are koshian2's annotation, under AGPL-3.0 "
    "(https://www.gnu.org/licenses/agpl-3.0.html). The pictures belong to their "
    "illustrators and are not part of it: do not pass them on."
)
_MAX_BYTES = 16 << 20
_MAX_BOXES = 10_000
_MAX_SIDE = 1_000_000
# Annotation tools round: a box may exceed its picture by this many pixels.
_OVERSHOOT = 1.0


class MetadataError(UserError):
    """The metadata is invalid; each line names the file and the entry."""


@dataclass(frozen=True)
class Entry:
    """Hold what the metadata says of one picture.

    Args:
        name: File name without folders, unique in the metadata.
        filepath: Path relative to the folder of the pictures, with `/`.
        id: Number of the work at its source.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        boxes: Tuple of `(left, top, right, bottom)`, floats in pixels, all inside the
            picture. A box may be empty.
        image_url: Address of the picture, may be empty.
        original_url: Address of the page that shows it, may be empty.
    """

    name: str
    filepath: str
    id: int
    width: int
    height: int
    boxes: tuple[Box, ...]
    image_url: str = ""
    original_url: str = ""


def load_metadata(path: str | os.PathLike) -> list[Entry]:
    """Read and check a metadata file.

    Example:
    ```python
    entries = load_metadata("oppai_dataset/oppai_meta.json")
    ```

    Args:
        path: Path of the JSON file.

    Returns:
        List of `Entry`, in the file's order. Boxes that exceed their picture by a
        pixel or less are cut at its edge.

    Raises:
        MetadataError: If the file cannot be read, is not JSON or not such a list, or
            if an entry is invalid; the message names it.
    """
    entries, problems = parse_entries(_read_items(path))
    if problems:
        more = len(problems) - 1
        hint = f" ({more} more: `oppai check` lists them)" if more else ""
        raise MetadataError(f"{path}: {problems[0]}{hint}")
    return entries


def _read_items(path: str | os.PathLike) -> list[Any]:
    """Return the objects of a metadata file, unchecked."""
    try:
        data = read_json(path)
    except UserError as error:
        raise MetadataError(error.problems) from None
    if not isinstance(data, list) or not data:
        raise MetadataError(
            f"{path}: metadata is a list with one entry per picture. "
            f"Received: {_short(data)}"
        )
    return data


def save_metadata(entries: Iterable[Entry], path: str | os.PathLike) -> None:
    """Write entries in the chapter's format; `load_metadata` reads them back equal.

    Example:
    ```python
    save_metadata([e for e in entries if e.boxes], "with_boxes.json")
    ```

    Args:
        entries: The entries.
        path: Path of the JSON file, written whole or not at all.

    Raises:
        UserError: If `load_metadata` would refuse an entry; nothing is written.
    """
    items = [_as_item(entry) for entry in entries]
    names = Counter(item["name"] for item in items)
    for item in items:
        try:
            _parse_entry(item)
            if names[item["name"]] > 1:
                raise UserError("has the name of another entry")
        except ValueError as error:
            raise UserError(f"The entry {item['name']!r} {error}.") from None
    write_whole(path, json.dumps(items, indent=1, ensure_ascii=False))


def is_metadata_of(entries: Sequence[Entry], path: str | os.PathLike) -> bool:
    """Return whether a file exists and holds these entries."""
    try:
        return load_metadata(path) == list(entries)
    except MetadataError:
        return False


def _as_item(entry: Entry) -> dict[str, Any]:
    """Return the chapter's JSON object of an `Entry`."""
    return {
        "name": entry.name,
        "filepath": entry.filepath,
        "id": entry.id,
        "size": {"width": entry.width, "height": entry.height},
        "image_url": entry.image_url,
        "original_url": entry.original_url,
        "bounding_boxes": [
            {"height": bottom - top, "width": right - left, "left": left, "top": top}
            for left, top, right, bottom in entry.boxes
        ],
        "n_bounding_boxes": len(entry.boxes),
    }


def parse_entries(items: Sequence[Any]) -> tuple[list[Entry], list[str]]:
    """Parse and check all objects of the chapter's format.

    Args:
        items: What JSON gave, valid or not.

    Returns:
        `(entries, problems)`: list of `Entry`, and list of texts, each with the number
        and the name of an invalid entry.
    """
    entries: list[Entry] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    for index, item in enumerate(items):
        try:
            entry = _parse_entry(item)
            if entry.name in seen:
                raise UserError(f"has the name of entry {seen[entry.name]}")
        except ValueError as error:
            name = item.get("name") if isinstance(item, dict) else None
            named = f" ({_short(name)})" if name is not None else ""
            problems.append(f"entry {index}{named} {error}.")
            continue
        seen[entry.name] = index
        entries.append(entry)
    return entries, problems


def _parse_entry(item: Any) -> Entry:
    """Return the `Entry` of an object; the text of an error follows "entry 3 "."""
    if not isinstance(item, dict):
        raise UserError(f"is no object: {_short(item)}")
    size = _get(item, "size", dict)
    width, height = (_side(size, key) for key in ("width", "height"))
    boxes = _get(item, "bounding_boxes", list)
    if len(boxes) > _MAX_BOXES:
        raise UserError(f"has {len(boxes)} boxes, more than {_MAX_BOXES}")
    count = _get(item, "n_bounding_boxes", int)
    if count != len(boxes):
        raise UserError(f"has {len(boxes)} boxes, but n_bounding_boxes is {count}")
    return Entry(
        name=_safe_path(item, "name", folders=False),
        filepath=_safe_path(item, "filepath", folders=True),
        id=_get(item, "id", int),
        width=width,
        height=height,
        boxes=tuple(_parse_box(b, i, width, height) for i, b in enumerate(boxes)),
        image_url=_get(item, "image_url", str),
        original_url=_get(item, "original_url", str),
    )


def _get(item, key, kind):
    if key not in item:
        raise UserError(f"has no {key!r}")
    value = item[key]
    # In Python True is an int.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(f"has a wrong {key!r}: {_short(value)}")
    return value


def _side(size, key):
    side = _get(size, key, int)
    if not 0 < side <= _MAX_SIDE:
        raise UserError(f"has a {key} of {_short(side)} pixels")
    return side


def _safe_path(item, key, *, folders):
    text = _get(item, key, str)
    reason = unsafe_name(text, portable=True)
    if reason is None and "/" in text and not folders:
        reason = "is in a folder"
    if any("\ud800" <= c <= "\udfff" for c in text):
        reason = "is no text in UTF-8 (rename the file)"
    if reason is not None:
        raise UserError(f"has an unsafe {key!r}, which {reason}: {_short(text)}")
    return text


def _parse_box(box, index, width, height):
    if not isinstance(box, dict):
        raise UserError(f"has a wrong box {index}: {_short(box)}")
    try:
        values = [
            float(_get(box, key, (int, float)))
            for key in ("left", "top", "width", "height")
        ]
    except OverflowError:
        raise UserError(f"has a box {index} with too large a number") from None
    except ValueError as error:
        raise UserError(f"has a box {index} that {error}") from None
    left, top, box_width, box_height = values
    right, bottom = left + box_width, top + box_height
    if not all(math.isfinite(v) for v in (*values, right, bottom)):
        raise UserError(f"has a box {index} with a NaN or Inf: {_short(box)}")
    if box_width < 0 or box_height < 0:
        raise UserError(f"has a box {index} of negative size: {_short(box)}")
    if max(-left, -top, right - width, bottom - height) > _OVERSHOOT:
        raise UserError(
            f"has a box {index} outside the picture of {width}x{height}: {_short(box)}"
        )
    left, right = (min(max(v, 0.0), float(width)) for v in (left, right))
    top, bottom = (min(max(v, 0.0), float(height)) for v in (top, bottom))
    return left, top, right, bottom


def _short(value):
    """Return the value as Python prints it, 80 characters at most."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


@dataclass
class Check:
    """Hold what `check_metadata` reports.

    Args:
        entries: List of the valid `Entry`.
        problems: List of texts, one line each: what has to be fixed.
        notes: List of texts: what training leaves out, which does no harm.
    """

    entries: list[Entry]
    problems: list[str]
    notes: list[str]

    def __str__(self) -> str:
        boxes = sum(len(entry.boxes) for entry in self.entries)
        return (
            f"{len(self.entries):,} pictures, {boxes:,} boxes, "
            f"{len(self.problems):,} problems, {len(self.notes):,} notes"
        )


def check_metadata(
    path: str | os.PathLike,
    pictures: str | os.PathLike | None = None,
    *,
    progress: bool = True,
) -> Check:
    """Check a metadata file and, if given, its pictures, and name each problem.

    Example:
    ```python
    for problem in check_metadata("meta.json", "pictures").problems:
        print(problem)
    ```

    Args:
        path: The JSON file.
        pictures: Folder of the pictures; each is decoded. Defaults to none.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        `Check`.

    Raises:
        MetadataError: If the file cannot be read, or is not a list in JSON.
        UserError: If `pictures` is not a folder.
    """
    entries, problems = parse_entries(_read_items(path))
    problems = [f"{path}: {problem}" for problem in problems]
    notes = []
    names: dict[str, str] = {}  # of the filepath as a system without case sees it
    for entry in entries:
        key = plain_name(entry.filepath).casefold()
        if key in names:
            problems.append(
                f"{path}: {entry.name!r} has the filepath of {names[key]!r}."
            )
        names[key] = entry.name
        empty = sum(
            right <= left or bottom <= top for left, top, right, bottom in entry.boxes
        )
        if empty:
            notes.append(f"{path}: {entry.name!r} has {empty} empty boxes.")
        elif not entry.boxes:
            notes.append(f"{path}: {entry.name!r} has no box.")
    if pictures is not None:
        problems += _check_pictures(entries, pictures, progress)
    return Check(entries, problems, notes)


def _check_pictures(entries, root, progress):
    from tqdm import tqdm

    from illustkit.images import read_image

    paths, missing = find_pictures(entries, root)
    problems = [f"{Path(root, name)}: is missing." for name in missing]
    sizes = {entry.name: (entry.width, entry.height) for entry in entries}
    bar = tqdm(paths.items(), "Checking", unit=" pictures", disable=not progress)
    for name, path in bar:
        try:
            height, width = read_image(path).shape[:2]
        except Exception as error:
            if (problem := as_user_error(error, path)) is None:
                raise
            problems.append(str(problem))
            continue
        if (width, height) != sizes[name]:
            stated = "{}×{}".format(*sizes[name])
            problems.append(f"{path}: is {width}×{height}, the metadata says {stated}.")
    return problems


def find_pictures(
    entries: Sequence[Entry], root: str | os.PathLike
) -> tuple[dict[str, Path], list[str]]:
    """Find the pictures of a metadata file in any folder.

    Each is looked for at `root/filepath`, `root/name`, `root/images/name`, and then by
    name anywhere under `root` (the one with the fewest folders above it). A link that
    leads out of `root` counts as missing.

    Example:
    ```python
    paths, missing = find_pictures(load_metadata("oppai_meta.json"), "downloads")
    ```

    Args:
        entries: Sequence of `Entry`.
        root: Folder.

    Returns:
        `(paths, missing)`: dict from name to `Path`, and list of names, both in the
        entries' order.

    Raises:
        UserError: If `root` is not a folder.
    """
    root = expand_user(root)
    if not root.is_dir():
        raise UserError(f"{root}: there is no such folder of pictures. Check the path.")
    index = None
    paths: dict[str, Path] = {}
    missing = []
    for entry in entries:
        places = [entry.filepath, entry.name, f"images/{entry.name}"]
        path = _first_inside(root, places)
        if path is None:
            index = _index_names(root) if index is None else index
            path = _first_inside(root, index.get(plain_name(entry.name), []))
        if path is None:
            missing.append(entry.name)
        else:
            paths[entry.name] = path
    return paths, missing


def _first_inside(root, places):
    for place in places:
        path = root / place
        # os.path, as Path.is_file raises where a name is too long or a loop
        if os.path.isfile(path) and not leads_outside(root, path):
            return path
    return None


def plain_name(name):
    """Return a name as all systems spell it: in Unicode's normal form C."""
    return unicodedata.normalize("NFC", name)


def _index_names(root):
    """Return the paths of all files by name, those with fewest folders first."""
    index: dict[str, list[Path]] = {}
    for folder, _, files in os.walk(root):
        for name in files:
            path = Path(folder, name).relative_to(root)
            index.setdefault(plain_name(name), []).append(path)
    return {n: sorted(p, key=lambda q: (len(q.parts), q)) for n, p in index.items()}


def fetch_metadata(
    path: str | os.PathLike = "oppai_dataset/oppai_meta.json",
    *,
    overwrite: bool = False,
) -> Path:
    """Fetch the chapter's `oppai_meta.json`: 4,264 pictures, 4,949 boxes.

    A file fetched before comes from the cache (`$XDG_CACHE_HOME/illustkit`). Only the
    pinned content (SHA-256) is accepted. The file is under AGPL-3.0 and not a part of
    this project.

    Example:
    ```python
    entries = load_metadata(fetch_metadata())
    ```

    Args:
        path: Where to write it. Defaults to the chapter's place.
        overwrite: Whether to replace another file at `path`. Defaults to `False`.

    Returns:
        `Path` of the file.

    Raises:
        UserError: If the file cannot be fetched or has other content, or if another
            file is at `path`.

    Reference:
        https://github.com/koshian2/DeepCreamPyBook, folder Oppai/oppai_dataset
    """
    path = expand_user(path)
    if path.exists():
        if path.is_file() and is_pinned(path, SHA256):
            return path
        if not overwrite or not path.is_file():
            raise UserError(
                f"{path}: another file is here. Give `overwrite`, or another path."
            )
    advice = f"Fetch it by other means and put it at {path}."
    cached = cache_folder() / URL.rsplit("/", 1)[1]
    fetch_pinned(URL, SHA256, cached, max_bytes=_MAX_BYTES, advice=advice)
    return write_whole(path, cached.read_bytes())
