"""What annotation tools write: VoTT's CSV and JSON, COCO's JSON.

Each reader gives a list of `Found` and a list of problems, and decides nothing: which
labels count, and which picture is meant, is for `oppai.annotations`.
"""

import csv
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

_VOTT_COLUMNS = ["image", "xmin", "ymin", "xmax", "ymax", "label"]
_VOTT_NOT_VISITED = 0
_WRONG = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


@dataclass
class Found:
    """What a file says of one picture.

    Args:
        name: The picture's name, as the file has it.
        where: Where that stands, for errors.
        size: (width, height) in pixels, or `None` where it says none.
        boxes: List of `(label, (left, top, right, bottom))`, floats in pixels.
        more: Dict of what else an entry holds: "id", "image_url", "original_url".
    """

    name: str
    where: str
    size: tuple | None = None
    boxes: list = field(default_factory=list)
    more: dict = field(default_factory=dict)


def read_vott_csv(path):
    """Read VoTT's CSV export: a line a box, `image,xmin,ymin,xmax,ymax,label`.

    Pictures without a box do not stand in it, nor do sizes.

    Args:
        path: The file.

    Returns:
        `(found, problems)`.
    """
    found, problems = {}, []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, strict=True)
            if (header := next(rows, [])) != _VOTT_COLUMNS:
                return [], [
                    f"{path}: VoTT's CSV begins with {','.join(_VOTT_COLUMNS)}. "
                    f"Received: {','.join(header)[:80]!r}"
                ]
            for row in filter(None, rows):
                where = f"{path}, line {rows.line_num}"
                try:
                    name, *corners, label = row
                    box = tuple(_finite(v) for v in corners)
                    if len(box) != 4:
                        raise ValueError("a line has 6 columns")
                except ValueError as error:
                    problems.append(f"{where}: {error}.")
                    continue
                picture = found.setdefault(name, Found(name, where))
                # A box with several tags has a line for each.
                if (label, box) not in picture.boxes:
                    picture.boxes.append((label, box))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        return [], [f"{path}: cannot be read as CSV ({_reason(error)})."]
    return list(found.values()), problems


def read_json(path):
    """Read VoTT's JSON export or COCO's JSON, whichever it is.

    Args:
        path: The file.

    Returns:
        `(found, problems)`.
    """
    try:
        data = json.loads(Path(path).read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        return [], [f"{path}: cannot be read as JSON ({_reason(error)})."]
    if isinstance(data, dict) and isinstance(data.get("assets"), (dict, list)):
        return _vott(path, data["assets"])
    keys = ("images", "annotations", "categories")
    if isinstance(data, dict) and all(isinstance(data.get(k), list) for k in keys):
        return _coco(path, *(data[key] for key in keys))
    return [], [f"{path}: is neither VoTT's JSON export nor COCO."]


def _vott(path, assets):
    found, problems = [], []
    pairs = assets.items() if isinstance(assets, dict) else enumerate(assets)
    for key, value in pairs:
        where = f"{path}, asset {str(key)[:40]}"
        try:
            asset = value["asset"]
            if asset.get("state") == _VOTT_NOT_VISITED:
                continue  # nobody has looked at it
            picture = Found(_text(asset["name"]), where, _size(asset.get("size")))
            for region in value["regions"]:
                box = _region_box(region)
                picture.boxes += [(_text(tag), box) for tag in region["tags"]]
            found.append(picture)
        except _WRONG as error:
            problems.append(f"{where}: {_reason(error)}.")
    return found, problems


def _region_box(region):
    box = region.get("boundingBox")
    if box is None:
        points = [(_finite(p["x"]), _finite(p["y"])) for p in region["points"]]
        xs, ys = zip(*points, strict=True)
        return min(xs), min(ys), max(xs), max(ys)
    left, top = _finite(box["left"]), _finite(box["top"])
    return left, top, left + _finite(box["width"]), top + _finite(box["height"])


def _coco(path, images, annotations, categories):
    found, problems, names = {}, [], {}
    for number, category in enumerate(categories):
        try:
            names[category["id"]] = _text(category["name"])
        except _WRONG as error:
            problems.append(f"{path}, categories[{number}]: {_reason(error)}.")
    for number, image in enumerate(images):
        where = f"{path}, images[{number}]"
        try:
            if image["id"] in found:
                raise ValueError(f"the id {image['id']!r} comes twice")
            more = {
                "id": image.get("work_id"),
                "image_url": image.get("coco_url"),
                "original_url": image.get("original_url"),
            }
            name = _text(image["file_name"]).replace("\\", "/")
            found[image["id"]] = Found(name, where, _size(image), more=more)
        except _WRONG as error:
            problems.append(f"{where}: {_reason(error)}.")
    for number, box in enumerate(annotations):
        try:
            if box.get("iscrowd"):
                continue
            left, top, width, height = (_finite(v) for v in box["bbox"])
            label = names[box["category_id"]]
            corners = left, top, left + width, top + height
            found[box["image_id"]].boxes.append((label, corners))
        except _WRONG as error:
            problems.append(f"{path}, annotations[{number}]: {_reason(error)}.")
    return list(found.values()), problems


def _size(value):
    if value is None:
        return None
    return value["width"], value["height"]


def _text(value):
    if not isinstance(value, str):
        raise ValueError(f"a text is due, not {value!r:.60}")
    return value


def _finite(value):
    if isinstance(value, bool) or not math.isfinite(number := float(value)):
        raise ValueError(f"{value!r:.60} is no number of pixels")
    return number


def _reason(error):
    if isinstance(error, KeyError):
        return f"no {error.args[0]!r:.60}"
    return " ".join(str(error).split())[:200] or type(error).__name__
