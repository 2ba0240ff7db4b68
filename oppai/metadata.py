"""The chapter's metadata: which pictures there are, and the boxes in them.

The file is a JSON list with one entry a picture:

```json
[{"name": "a.png", "filepath": "images/a.png", "id": 1,
  "size": {"width": 600, "height": 848},
  "image_url": "", "original_url": "",
  "bounding_boxes": [{"left": 57.4, "top": 258.2, "width": 286.4, "height": 212.8}],
  "n_bounding_boxes": 1}]
```

It may come from anywhere, so everything in it is checked before use, and no name in it
can lead out of the pictures' folder.

Reference:
    The chapter ("DeepCreamPyで学ぶモザイク除去", chapter 10), its `oppai_meta.json`.
"""

import json
import math
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

MAX_BOXES = 10_000
MAX_SIDE = 1_000_000

# Annotation tools round: a box may stick out of its picture by so many pixels.
_OVERSHOOT = 1.0


class MetadataError(ValueError):
    """The metadata cannot be used; the message names the file and the entry."""


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
            f"Received: {_short(data)}"
        )
    entries, seen = [], {}
    for index, item in enumerate(data):
        try:
            entry = _parse(item)
            if entry.name in seen:
                raise ValueError(f"has the name of entry {seen[entry.name]}")
        except ValueError as error:
            name = item.get("name") if isinstance(item, dict) else None
            named = f" ({_short(name)})" if name is not None else ""
            raise MetadataError(f"{path}: entry {index}{named} {error}.") from None
        seen[entry.name] = index
        entries.append(entry)
    return entries


def save_metadata(entries, path):
    """Write entries in the chapter's format; `load_metadata` reads them back equal.

    Args:
        entries: Sequence of `Entry`.
        path: Path of the JSON file; it is replaced as a whole.

    Raises:
        ValueError: for an entry that `load_metadata` would refuse; nothing is written.
    """
    path = Path(path)
    data = [_as_json(entry) for entry in entries]
    names = Counter(item["name"] for item in data)
    for item in data:
        try:
            _parse(item)
            if names[item["name"]] > 1:
                raise ValueError("has the name of another entry")
        except ValueError as error:
            raise ValueError(f"The entry {item['name']!r} {error}.") from None
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    part.write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")
    part.replace(path)


def _parse(item):
    """Entry of a JSON object; a ValueError's text follows "entry 3 (name) "."""
    if not isinstance(item, dict):
        raise ValueError(f"is no object: {_short(item)}")
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
        raise ValueError(f"has a wrong {key!r}: {_short(value)}")
    return value


def _side(size, key):
    side = _get(size, key, int)
    if not 0 < side <= MAX_SIDE:
        raise ValueError(f"has a {key} of {_short(side)} pixels")
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
            f"{'relative path with /' if folders else 'file name'}: {_short(text)}"
        )
    return text


def _parse_box(box, index, width, height):
    if not isinstance(box, dict):
        raise ValueError(f"has a wrong box {index}: {_short(box)}")
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
        raise ValueError(f"has a box {index} with a NaN or Inf: {_short(box)}")
    if box_width < 0 or box_height < 0:
        raise ValueError(f"has a box {index} of negative size: {_short(box)}")
    if max(-left, -top, right - width, bottom - height) > _OVERSHOOT:
        raise ValueError(
            f"has a box {index} outside the picture of {width}x{height}: {_short(box)}"
        )
    left, right = (min(max(v, 0.0), float(width)) for v in (left, right))
    top, bottom = (min(max(v, 0.0), float(height)) for v in (top, bottom))
    return left, top, right, bottom


def _as_json(entry):
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


def _short(value):
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
