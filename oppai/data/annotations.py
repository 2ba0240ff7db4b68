"""The chapter's metadata as COCO's JSON and as YOLO's text files."""

import csv
import json
import math
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from illustkit.files import picture_size, write_whole
from oppai.data.metadata import MetadataError, parse_entries

CLASSES = "classes.txt"
_MAX_BYTES = 4 << 20
_OVER = 0.01  # Ultralytics takes shares up to 1.01


def read_classes(folder):
    """Names of the classes, in order; empty where there is no `classes.txt`.

    Args:
        folder: Folder of the text files.

    Returns:
        List of str.
    """
    path = Path(folder, CLASSES)
    return path.read_text("utf-8-sig").splitlines() if path.is_file() else []


def read_yolo(path, size, classes=()):
    """Read one text file.

    Args:
        path: The file.
        size: (width, height) of its picture, pixels.
        classes: Names of the classes; a class without one is called by its number.

    Returns:
        `(boxes, problems)`: list of `(label, (left, top, right, bottom))` in pixels,
        and list of texts.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        return [], [f"{path}: cannot be read ({error.strerror})."]
    except UnicodeDecodeError:
        text = "\0"
    if len(data) > _MAX_BYTES or "\0" in text:
        return [], [f"{path}: is no label file. Write lines of numbers."]
    boxes, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            kind, box = _read_line(line.split(), size)
        except ValueError as error:
            problems.append(f"{path}, line {number}: {error}.")
            continue
        boxes.append((classes[kind] if kind < len(classes) else str(kind), box))
    return boxes, problems


def _read_line(words, size):
    if len(words) != 5:
        raise ValueError(f"{len(words)} columns; a line is class x y width height")
    kind, *shares = words
    if not (kind.isascii() and kind.isdigit() and len(kind) < 6):
        raise ValueError(f"{kind[:20]!r} is no class: 0, 1, 2, …")
    x, y, width, height = (float(share) for share in shares)
    if not all(0 <= v <= 1 + _OVER for v in (x, y, width, height)):  # NaN neither
        raise ValueError("a share beyond 0..1: divide pixels by the picture's")
    columns, rows = size
    x, width, y, height = x * columns, width * columns, y * rows, height * rows
    box = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return int(kind), box


def yolo_line(kind, box, size):
    """The line of one box.

    Args:
        kind: Number of its class.
        box: (left, top, right, bottom) in pixels.
        size: (width, height) of its picture, pixels.

    Returns:
        str, without an end of line.
    """
    left, top, right, bottom = box
    shares = (
        (left + right) / 2 / size[0],
        (top + bottom) / 2 / size[1],
        (right - left) / size[0],
        (bottom - top) / size[1],
    )
    if not all(map(math.isfinite, shares)):
        raise ValueError(f"A box has finite corners. Received: {box}")
    return " ".join([str(kind), *(f"{share:.10f}" for share in shares)])


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


def import_annotations(source, pictures=None, *, like=None, labels=None):
    """Make entries of the chapter's metadata from what an annotation tool wrote.

    Sizes come from the pictures, or without them from `like` or the file itself. A
    picture that nobody has looked at is left out; one without a box is an entry
    without boxes.

    Example:
    ```python
    entries = import_annotations("vott-csv-export/faces-export.csv", "pictures")
    entries = import_annotations("labels", "pictures")                # YOLO
    entries = import_annotations("coco.json", labels=["face"])
    ```

    Args:
        source: VoTT's CSV or JSON export, COCO's JSON, or a folder of YOLO's text
            files.
        pictures: Folder of the pictures. Defaults to none.
        like: Entries to take sizes, paths, ids and addresses from, by name. Defaults
            to none.
        labels: Labels to take; needed where the file has several. Defaults to the only
            one.

    Returns:
        List of `Entry`.

    Raises:
        MetadataError: with a line for each problem.
    """
    places = _Places(pictures, like)
    source = Path(source)
    if source.is_dir():
        found, problems = _read_yolo_folder(source, places)
    elif source.suffix.lower() == ".csv":
        found, problems = read_vott_csv(source)
    else:
        found, problems = read_json(source)
    problems += _check_labels(source, found, labels)
    items = []
    for picture in found:
        try:
            items.append(places.item(picture, labels, number=len(items)))
        except ValueError as error:
            problems.append(f"{picture.where}: {error}.")
    entries, wrong = parse_entries(items)
    problems += [f"{source}: {problem}" for problem in wrong]
    if not entries and not problems:
        problems = [f"{source}: holds no annotated picture."]
    if problems:
        raise MetadataError(problems)
    return entries


class _Places:
    """Which picture is meant by a name: one in a folder, or one of known entries."""

    def __init__(self, pictures, like):
        self.folder = Path(pictures) if pictures is not None else None
        self.like = {entry.name: entry for entry in like or ()}
        self.paths = {}
        if self.folder is not None:
            from illustkit.images import list_images

            for path in list_images(self.folder):
                self.paths.setdefault(path.name, []).append(path)

    def all(self):
        """`(stem of the label file, name, size)` of all pictures."""
        if self.folder is None:
            for entry in self.like.values():
                stem = PurePosixPath(entry.name).stem
                yield stem, entry.name, (entry.width, entry.height)
        for paths in self.paths.values():
            for path in paths:
                inside = path.relative_to(self.folder)
                yield inside.with_suffix("").as_posix(), inside.as_posix(), None

    def path(self, name):
        """Path of a picture by its relative path or, where only one has it, its name.

        VoTT writes a blank as %20.
        """
        for text in (name, urllib.parse.unquote(name)):
            paths = self.paths.get(PurePosixPath(text).name, [])
            exact = [p for p in paths if p.relative_to(self.folder).as_posix() == text]
            if len(paths) == 1 or exact:
                return (exact or paths)[0]
            if paths:
                raise ValueError(f"several pictures are called {text[:80]!r}")
        raise ValueError(f"there is no picture {name[:80]!r} in {self.folder}")

    def item(self, found, labels, number):
        """The chapter's object of one picture."""
        name, size = found.name, found.size
        known = self.like.get(PurePosixPath(name).name)
        filepath = known.filepath if known else name
        if self.folder is not None:
            path = self.path(name)
            name, true_size = path.name, picture_size(path)
            filepath = path.relative_to(self.folder).as_posix()
        else:
            name = PurePosixPath(name).name if "/" in name else name
            true_size = (known.width, known.height) if known else size
        if true_size is None:
            raise ValueError("no size is known: name the folder of the pictures")
        if size is not None and tuple(size) != tuple(true_size):
            raise ValueError(f"{name!r} is {true_size}, but was annotated at {size}")
        boxes = dict.fromkeys(b for label, b in found.boxes if _taken(label, labels))
        boxes = [
            {"left": b[0], "top": b[1], "width": b[2] - b[0], "height": b[3] - b[1]}
            for b in boxes
        ]
        more = {"id": number, "image_url": "", "original_url": ""}
        more |= {k: v for k, v in found.more.items() if v is not None}
        if known:
            more = {key: getattr(known, key) for key in more}
        return {
            "name": name,
            "filepath": filepath,
            "size": {"width": true_size[0], "height": true_size[1]},
            "bounding_boxes": boxes,
            "n_bounding_boxes": len(boxes),
            **more,
        }


def _read_yolo_folder(folder, places):
    classes = read_classes(folder)
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*.txt")}
    files.pop(CLASSES, None)
    found, problems = [], []
    for stem, name, size in places.all():
        path = files.pop(f"{stem}.txt", None)
        if path is None:
            path = files.pop(f"{PurePosixPath(stem).name}.txt", None)
        if path is None:
            continue
        try:
            size = size or picture_size(places.folder / name)
        except ValueError as error:
            problems.append(str(error))
            continue
        boxes, wrong = read_yolo(path, size, classes)
        problems += wrong
        found.append(Found(name, str(path), size, boxes))
    problems += [f"{path}: there is no picture for it." for path in files.values()]
    return found, problems


def _check_labels(source, found, labels):
    """A text where the labels to take are not clear."""
    there = sorted({label for picture in found for label, _ in picture.boxes})
    if not labels and len(there) > 1:
        return [f"{source}: has the labels {there[:10]}. Say which to take."]
    missing = sorted(set(labels or ()) - set(there))
    return [f"{source}: has no label {m!r}; it has {there[:10]}." for m in missing]


def _taken(label, labels):
    return not labels or label in labels


def export_coco(entries, path, *, label="region"):
    """Write entries as COCO's JSON.

    Args:
        entries: Sequence of `Entry`.
        path: The file; replaced as a whole.
        label: Name of the one category. Defaults to "region".

    Returns:
        Number of boxes.
    """
    images, boxes = [], []
    for number, entry in enumerate(entries, 1):
        images.append(
            {
                "id": number,
                "file_name": entry.filepath,
                "width": entry.width,
                "height": entry.height,
                "coco_url": entry.image_url,
                "original_url": entry.original_url,
                "work_id": entry.id,
            }
        )
        for left, top, right, bottom in entry.boxes:
            width, height = right - left, bottom - top
            boxes.append(
                {
                    "id": len(boxes) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": [left, top, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                }
            )
    data = {
        "images": images,
        "annotations": boxes,
        "categories": [{"id": 1, "name": label}],
    }
    write_whole(path, json.dumps(data, ensure_ascii=False, indent=1))
    return len(boxes)


def export_yolo(entries, folder, *, label="region"):
    """Write entries as YOLO's text files, `<name>.txt`, and `classes.txt`.

    Args:
        entries: Sequence of `Entry`.
        folder: Where to.
        label: Name of the one class. Defaults to "region".

    Returns:
        Number of boxes.

    Raises:
        MetadataError: with a line for each picture whose file another has; then
            nothing is written.
    """
    files, problems = {}, []
    for entry in entries:
        name = f"{PurePosixPath(entry.name).stem}.txt"
        if name in files or name == CLASSES:
            problems.append(f"{entry.name}: its labels would be another's {name}.")
        size = entry.width, entry.height
        files[name] = [yolo_line(0, box, size) + "\n" for box in entry.boxes]
    if problems:
        raise MetadataError(problems)
    write_whole(Path(folder, CLASSES), f"{label}\n")
    for name, lines in files.items():
        write_whole(Path(folder, name), "".join(lines))
    return sum(map(len, files.values()))
