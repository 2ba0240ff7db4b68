"""One picture's entry in the metadata, and what an object must hold to be one."""

import math
import re
from dataclasses import dataclass

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
