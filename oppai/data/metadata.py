"""The chapter's metadata from its public repository."""

import json
import math
import os
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from illustkit.files import cache_folder, fetch_pinned, is_pinned, write_whole

MAX_BOXES = 10_000
MAX_SIDE = 1_000_000

# Annotation tools round: a box may stick out of its picture by so many pixels.
_OVERSHOOT = 1.0


@dataclass(frozen=True)
class Entry:
    """One picture of the metadata.

    Args:
        name: File name without folders, unique in the metadata.
        filepath: Path relative to the pictures' folder, with `/`.
        id: Number of the work at its source.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        boxes: Tuple of `(left, top, right, bottom)`, floats in pixels, all inside the
            picture. A box may be empty.
        image_url: Address of the picture, may be empty.
        original_url: Address of the page it stands on, may be empty.
    """

    name: str
    filepath: str
    id: int
    width: int
    height: int
    boxes: tuple
    image_url: str = ""
    original_url: str = ""


def parse_entries(items):
    """Check objects in the chapter's format, all of them.

    Args:
        items: List of what should be such objects.

    Returns:
        `(entries, problems)`: list of `Entry`, and list of texts, each with the number
        and the name of an entry that is wrong.
    """
    entries, problems, seen = [], [], {}
    for index, item in enumerate(items):
        try:
            entry = parse_entry(item)
            if entry.name in seen:
                raise ValueError(f"has the name of entry {seen[entry.name]}")
        except ValueError as error:
            name = item.get("name") if isinstance(item, dict) else None
            named = f" ({short(name)})" if name is not None else ""
            problems.append(f"entry {index}{named} {error}.")
            continue
        seen[entry.name] = index
        entries.append(entry)
    return entries, problems


def parse_entry(item):
    """Entry of a JSON object; a ValueError's text follows "entry 3 (name) "."""
    if not isinstance(item, dict):
        raise ValueError(f"is no object: {short(item)}")
    size = _get(item, "size", dict)
    width, height = (_side(size, key) for key in ("width", "height"))
    boxes = _get(item, "bounding_boxes", list)
    if len(boxes) > MAX_BOXES:
        raise ValueError(f"has {len(boxes)} boxes, more than {MAX_BOXES}")
    count = _get(item, "n_bounding_boxes", int)
    if count != len(boxes):
        raise ValueError(f"has {len(boxes)} boxes, but n_bounding_boxes is {count}")
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
        raise ValueError(f"has no {key!r}")
    value = item[key]
    # In Python True is an int.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"has a wrong {key!r}: {short(value)}")
    return value


def _side(size, key):
    side = _get(size, key, int)
    if not 0 < side <= MAX_SIDE:
        raise ValueError(f"has a {key} of {short(side)} pixels")
    return side


def _safe_path(item, key, *, folders):
    """A relative path that stays in its folder on every system."""
    text = _get(item, key, str)
    parts = text.split("/")
    unsafe = (
        any(part in ("", ".", "..") or part != part.strip() for part in parts)
        # Control characters, lone surrogates, and what Windows reads as a path.
        or re.search(r"[\x00-\x1f\x7f\ud800-\udfff\\:]", text)
        or max(len(part.encode("utf-8", "replace")) for part in parts) > 255
    )
    if unsafe or (len(parts) > 1 and not folders):
        raise ValueError(
            f"has an unsafe {key!r}, which has to be a plain "
            f"{'relative path with /' if folders else 'file name'}: {short(text)}"
        )
    return text


def _parse_box(box, index, width, height):
    if not isinstance(box, dict):
        raise ValueError(f"has a wrong box {index}: {short(box)}")
    try:
        values = [
            float(_get(box, key, (int, float)))
            for key in ("left", "top", "width", "height")
        ]
    except OverflowError:
        raise ValueError(f"has a box {index} beyond all numbers") from None
    except ValueError as error:
        raise ValueError(f"has a box {index} that {error}") from None
    left, top, box_width, box_height = values
    right, bottom = left + box_width, top + box_height
    if not all(math.isfinite(v) for v in (*values, right, bottom)):
        raise ValueError(f"has a box {index} with a NaN or Inf: {short(box)}")
    if box_width < 0 or box_height < 0:
        raise ValueError(f"has a box {index} of negative size: {short(box)}")
    if max(-left, -top, right - width, bottom - height) > _OVERSHOOT:
        raise ValueError(
            f"has a box {index} outside the picture of {width}x{height}: {short(box)}"
        )
    left, right = (min(max(v, 0.0), float(width)) for v in (left, right))
    top, bottom = (min(max(v, 0.0), float(height)) for v in (top, bottom))
    return left, top, right, bottom


def as_item(entry):
    """The chapter's object of an `Entry`, ready for JSON."""
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


def short(value):
    """The value as Python shows it, 80 characters at most."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class MetadataError(ValueError):
    """The metadata cannot be used; the message names the file and the entry.

    Args:
        problems: The message, or a list of them.

    Attributes:
        problems: List of messages, one line each.
    """

    def __init__(self, problems):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


def load_metadata(path):
    """Read and check a metadata file.

    Example:
    ```python
    entries = load_metadata("oppai_dataset/oppai_meta.json")
    ```

    Args:
        path: Path of the JSON file.

    Returns:
        List of `Entry`, in the file's order. Boxes that stick out of their picture by a
        pixel or less are cut at its edge.

    Raises:
        MetadataError: where the file cannot be read, is no JSON or no such list, or
            where an entry is wrong; the message names it.
    """
    entries, problems = parse_entries(read_items(path))
    if problems:
        more = len(problems) - 1
        more = f" ({more} more: `oppai check` lists them)" if more else ""
        raise MetadataError(f"{path}: {problems[0]}{more}")
    return entries


def read_items(path):
    """The objects of a metadata file, unchecked.

    Raises:
        MetadataError: where the file cannot be read, is no JSON or no such list.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise MetadataError(f"{path}: there is no such metadata file.") from None
    except OSError as error:
        raise MetadataError(f"{path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise MetadataError(f"{path}: is no text in UTF-8, so no metadata.") from None
    except (ValueError, RecursionError) as error:
        raise MetadataError(f"{path}: is no whole JSON file ({error}).") from None
    if not isinstance(data, list) or not data:
        raise MetadataError(
            f"{path}: metadata is a list with one entry a picture. "
            f"Received: {short(data)}"
        )
    return data


def save_metadata(entries, path):
    """Write entries in the chapter's format; `load_metadata` reads them back equal.

    Args:
        entries: Sequence of `Entry`.
        path: Path of the JSON file; it is replaced as a whole.

    Raises:
        ValueError: for an entry that `load_metadata` would refuse; nothing is written.
    """
    path = Path(path)
    data = [as_item(entry) for entry in entries]
    names = Counter(item["name"] for item in data)
    for item in data:
        try:
            parse_entry(item)
            if names[item["name"]] > 1:
                raise ValueError("has the name of another entry")
        except ValueError as error:
            raise ValueError(f"The entry {item['name']!r} {error}.") from None
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    part.write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")
    part.replace(path)


@dataclass
class Check:
    """What was found.

    Args:
        entries: List of the `Entry` that are right in themselves.
        problems: List of texts, one line each: what has to be mended.
        notes: List of texts: what is left out in training, and hurts nothing.
    """

    entries: list
    problems: list
    notes: list

    def __str__(self):
        boxes = sum(len(entry.boxes) for entry in self.entries)
        return (
            f"{len(self.entries):,} pictures, {boxes:,} boxes, "
            f"{len(self.problems):,} problems, {len(self.notes):,} notes"
        )


def check_metadata(path, pictures=None, *, progress=True):
    """Check a metadata file, and if they are given its pictures, and name each problem.

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
        MetadataError: where the file cannot be read, or is no list in JSON.
        ValueError: where `pictures` is no folder.
    """
    entries, problems = parse_entries(read_items(path))
    problems = [f"{path}: {problem}" for problem in problems]
    notes, taken = [], {}
    for entry in entries:
        key = unicodedata.normalize("NFC", entry.filepath).casefold()
        if key in taken:
            problems.append(f"{path}: {entry.name!r} has the filepath of {taken[key]}.")
        taken[key] = repr(entry.name)
        empty = sum(r <= l or b <= t for l, t, r, b in entry.boxes)  # noqa: E741
        if empty:
            notes.append(f"{path}: {entry.name!r} has {empty} empty boxes.")
        elif not entry.boxes:
            notes.append(f"{path}: {entry.name!r} has no box.")
    if pictures is not None:
        problems += _check_pictures(entries, pictures, progress)
    return Check(entries, problems, notes)


def _check_pictures(entries, root, progress):
    from tqdm import tqdm

    from illustkit.images import ImageError, read_image

    found, missing = find_pictures(entries, root)
    problems = [f"{Path(root, name)}: is missing." for name in missing]
    sizes = {entry.name: (entry.width, entry.height) for entry in entries}
    bar = tqdm(found.items(), "Checking", unit=" pictures", disable=not progress)
    for name, path in bar:
        try:
            height, width = read_image(path).shape[:2]
        except (ImageError, OSError) as error:
            problems.append(str(error))
            continue
        if (width, height) != sizes[name]:
            wanted = "{}×{}".format(*sizes[name])
            problems.append(f"{path}: is {width}×{height}, the metadata says {wanted}.")
    return problems


def find_pictures(entries, root):
    """Find the pictures of a metadata file under any folder.

    Looked for at `root/filepath`, `root/name`, `root/images/name`, and then anywhere
    under `root` by name (the one with the fewest folders above it). A link that leads
    out of `root` counts as missing.

    Example:
    ```python
    found, missing = find_pictures(load_metadata("oppai_meta.json"), "downloads")
    ```

    Args:
        entries: Sequence of `Entry`.
        root: Folder.

    Returns:
        `(found, missing)`: dict from name to `Path`, and list of names, both in the
        entries' order.

    Raises:
        ValueError: where `root` is no folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: there is no such folder of pictures.")
    index = None
    found, missing = {}, []
    for entry in entries:
        places = [entry.filepath, entry.name, f"images/{entry.name}"]
        path = _first_inside(root, places)
        if path is None:
            index = _index_names(root) if index is None else index
            path = _first_inside(root, index.get(entry.name, []))
        if path is None:
            missing.append(entry.name)
        else:
            found[entry.name] = path
    return found, missing


def _first_inside(root, places):
    inside = root.resolve()
    for place in places:
        path = root / place
        try:
            if path.is_file() and path.resolve().is_relative_to(inside):
                return path
        except (OSError, RuntimeError, ValueError):  # too long, a loop, a NUL
            continue
    return None


def _index_names(root):
    """Paths of all files under a folder by name, those with fewest folders first."""
    index = {}
    for folder, _, files in os.walk(root):
        for name in files:
            index.setdefault(name, []).append(Path(folder, name).relative_to(root))
    return {n: sorted(p, key=lambda q: (len(q.parts), q)) for n, p in index.items()}


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


def fetch_metadata(path="oppai_dataset/oppai_meta.json", *, overwrite=False):
    """Fetch the chapter's `oppai_meta.json`: 4,264 pictures, 4,949 boxes.

    It comes from the cache (`$XDG_CACHE_HOME/illustkit`) if it was fetched before, and
    only with the content known, by SHA-256. It is AGPL-3.0 and no part of this project.

    Example:
    ```python
    entries = load_metadata(fetch_metadata())
    ```

    Args:
        path: Where to put it. Defaults to where the chapter has it.
        overwrite: Whether to replace another file that stands there. Defaults to
            `False`.

    Returns:
        `Path` of the file.

    Raises:
        ValueError: if it cannot be fetched, is another than the one known, or another
            file stands at `path`.

    Reference:
        https://github.com/koshian2/DeepCreamPyBook, folder Oppai/oppai_dataset
    """
    path = Path(path)
    if path.exists():
        if path.is_file() and is_pinned(path, SHA256):
            return path
        if not overwrite or not path.is_file():
            raise ValueError(
                f"{path}: another file stands here. Give another path, or overwrite it."
            )
    advice = f"Fetch it by other means and put it at {path}."
    cached = cache_folder() / URL.rsplit("/", 1)[1]
    fetch_pinned(URL, SHA256, cached, max_bytes=_MAX_BYTES, advice=advice)
    return write_whole(path, cached.read_bytes())
