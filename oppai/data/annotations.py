"""Import boxes from annotation tools (VoTT, COCO, YOLO), and export them."""

import contextlib
import json
import math
import os
import urllib.parse
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from illustkit.errors import UserError
from illustkit.files import expand_user, write_whole
from illustkit.tables import read_json, read_table
from illustkit.yolo import (
    CLASSES,
    format_rows,
    read_classes,
    read_rows,
    to_fractions,
    to_pixels,
    upright_boxes,
)
from oppai.data.metadata import Box, Entry, MetadataError, parse_entries, plain_name

_VOTT_COLUMNS = ["image", "xmin", "ymin", "xmax", "ymax", "label"]
_VOTT_NOT_VISITED = 0
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


def import_annotations(
    source: str | os.PathLike,
    pictures: str | os.PathLike | None = None,
    *,
    like: Sequence[Entry] | None = None,
    labels: Sequence[str] | None = None,
    left_out: list[str] | None = None,
    notes: list[str] | None = None,
) -> list[Entry]:
    """Make entries of the chapter's metadata from what an annotation tool wrote.

    Sizes come from the pictures, or without them from `like` or the file itself. A
    picture that nobody has visited is left out; one without a box becomes an entry
    without boxes. Where EXIF turns a picture, boxes in stored pixels are turned too;
    the size in the file says which they are in.

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
        labels: Labels to take; needed if the file has several. Defaults to the only
            one.
        left_out: List that receives a line for each problem of a picture or a box that
            is left out. Defaults to none: they are raised.
        notes: List that receives a line for each picture whose boxes may be turned.
            Defaults to none: they are warnings.

    Returns:
        List of `Entry`.

    Raises:
        MetadataError: If the file cannot be used, or anything in it is invalid and
            `left_out` is not given, with a line for each problem.
    """
    doubts: list[str] = []
    names = _Names(pictures, like, doubts)
    source = expand_user(source)
    if source.is_dir():
        annotated, problems = _read_yolo_folder(source, names)
    elif source.suffix.lower() == ".csv":
        annotated, problems = _read_vott_csv(source, names)
    else:
        annotated, problems = _read_json(source)
    if unclear := _check_labels(source, annotated, labels):
        raise MetadataError([*problems, *unclear])
    items: list[dict[str, Any]] = []
    for picture in annotated:
        if picture.refused and not picture.boxes:
            continue
        try:
            items.append(names.item(picture, labels, number=len(items)))
        except UserError as error:
            problems.append(f"{picture.place}: {str(error).removesuffix('.')}.")
    entries, invalid = parse_entries(items)
    problems += [f"{source}: {problem}" for problem in invalid]
    if not entries and not problems:
        problems = [f"{source}: holds no annotated picture."]
    if problems and (left_out is None or not entries):
        raise MetadataError(problems)
    if left_out is not None:
        left_out += problems
    for doubt in doubts:
        if notes is None:
            warnings.warn(doubt, stacklevel=2)
        else:
            notes.append(doubt)
    return entries


@dataclass
class _AnnotatedPicture:
    """Hold what a file says of one picture.

    Args:
        name: The picture's name in the file.
        place: Where the file says so, for errors.
        size: (width, height) in pixels, or `None` if it does not say.
        boxes: List of `(label, (left, top, right, bottom))`, floats in pixels.
        more: Dict of what else an entry holds: "id", "image_url", "original_url".
        encoded: Whether the name is encoded as in an address, as VoTT does.
        upright: Whether the boxes are known to be those of the upright picture.
        refused: Whether a box of it was refused: without any other box, it is not to
            pass for a picture without boxes.
    """

    name: str
    place: str
    size: tuple[int, int] | None = None
    boxes: list[tuple[str, Box]] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    encoded: bool = False
    upright: bool = False
    refused: bool = False


class _Names:
    """Find the picture of a name, in a folder or among the entries of metadata."""

    def __init__(self, pictures, like, doubts):
        self.folder = expand_user(pictures) if pictures is not None else None
        self.like = {plain_name(entry.name): entry for entry in like or ()}
        self.doubts = doubts
        self.paths: dict[str, list[Path]] = {}
        if self.folder is not None:
            from illustkit.images import list_images

            for path in list_images(self.folder):
                self.paths.setdefault(plain_name(path.name), []).append(path)

    def all(self) -> Iterator[tuple[str, str, tuple[int, int] | None]]:
        """Yield `(stem of the label file, name, size)` of all pictures."""
        if self.folder is None:
            for entry in self.like.values():
                stem = PurePosixPath(entry.name).stem
                yield stem, entry.name, (entry.width, entry.height)
            return
        for paths in self.paths.values():
            for path in paths:
                relative = path.relative_to(self.folder)
                yield relative.with_suffix("").as_posix(), relative.as_posix(), None

    def knows(self, name):
        """Return whether there is a picture of this name."""
        texts = [PurePosixPath(text).name for text in _spellings(name)]
        return any(text in self.paths or text in self.like for text in texts)

    def path(self, name):
        """Return the path of a picture by its relative path or its unique name."""
        for text in _spellings(name):
            paths = self.paths.get(PurePosixPath(text).name, [])
            exact = [p for p in paths if self._relative(p) == text]
            if len(paths) == 1 or exact:
                return (exact or paths)[0]
            if paths:
                raise UserError(f"several pictures are called {text[:80]!r}")
        raise UserError(f"there is no picture {name[:80]!r} in {self.folder}")

    def _relative(self, path):
        return plain_name(path.relative_to(self.folder).as_posix())

    def item(self, picture, labels, number):
        """Return the chapter's object of one picture."""
        name, size = picture.name, picture.size
        entry = next(
            (
                self.like[key]
                for key in (PurePosixPath(text).name for text in _spellings(name))
                if key in self.like
            ),
            None,
        )
        if self.folder is not None:
            path = self.path(name)
            name = path.name
            true_size, turned = self._upright(path, picture)
            filepath = path.relative_to(self.folder).as_posix()
        else:
            if entry:
                name, filepath = entry.name, entry.filepath
            else:
                name = urllib.parse.unquote(name) if picture.encoded else name
                name, filepath = PurePosixPath(name).name if "/" in name else name, name
            true_size = (entry.width, entry.height) if entry else size
            turned = picture.boxes
            if size is not None and tuple(size) != tuple(true_size):
                raise UserError(f"{name!r} is {true_size}, but was annotated at {size}")
        if true_size is None:
            raise UserError("no size is known: name the folder of the pictures")
        boxes = dict.fromkeys(
            box for label, box in turned if not labels or label in labels
        )
        more = {"id": number, "image_url": "", "original_url": ""}
        more |= {k: v for k, v in picture.more.items() if v is not None}
        if entry:
            more = {key: getattr(entry, key) for key in more}
        return {
            "name": name,
            "filepath": filepath,
            "size": {"width": true_size[0], "height": true_size[1]},
            "bounding_boxes": [
                {
                    "left": left,
                    "top": top,
                    "width": right - left,
                    "height": bottom - top,
                }
                for left, top, right, bottom in boxes
            ],
            "n_bounding_boxes": len(boxes),
            **more,
        }

    def _upright(self, path, picture):
        """Return a picture's upright size, and its boxes in upright pixels."""
        from illustkit.images.opening import stored_size

        stored, orientation = stored_size(path)
        seen = stored[::-1] if orientation in (5, 6, 7, 8) else stored
        size = None if picture.size is None else tuple(picture.size)
        if size not in (None, seen, stored):
            raise UserError(f"{path.name!r} is {seen}, but was annotated at {size}")
        boxes = picture.boxes
        if orientation == 1 or picture.upright or not boxes:
            return seen, boxes
        if size is None and not _fit(boxes, seen) and _fit(boxes, stored):
            size = stored
        if size not in (None, seen):
            labels, corners = zip(*boxes, strict=True)
            corners = upright_boxes(corners, stored, orientation).tolist()
            return seen, list(zip(labels, map(tuple, corners), strict=True))
        if size in (None, stored):
            self.doubts.append(
                f"{path}: EXIF turns it, and {picture.place} does not say whether its "
                "boxes are turned. They are taken as they are: look at them."
            )
        return seen, boxes


def _spellings(name):
    """Return how a name may be meant: as it is, or encoded (%20) as VoTT does."""
    return dict.fromkeys((plain_name(name), plain_name(urllib.parse.unquote(name))))


def _fit(boxes, size):
    return all(
        right <= size[0] + 1 and bottom <= size[1] + 1
        for _, (_, _, right, bottom) in boxes
    )


def _check_labels(source, annotated, labels):
    """Return a problem if it is not clear which labels to take."""
    present = sorted({label for picture in annotated for label, _ in picture.boxes})
    if not labels and len(present) > 1:
        return [f"{source}: has the labels {present[:10]}. Say which to take."]
    missing = sorted(set(labels or ()) - set(present))
    return [f"{source}: has no label {m!r}; it has {present[:10]}." for m in missing]


# Each reader returns `(annotated, problems)`: a list of `_AnnotatedPicture`, and a list
# of texts.


def _read_vott_csv(path, names):
    """Read VoTT's CSV export: one line per box, `image,xmin,ymin,xmax,ymax,label`.

    It lists neither pictures without a box nor sizes.
    """
    annotated: dict[str, _AnnotatedPicture] = {}
    problems = []
    try:
        table = read_table(
            path, _VOTT_COLUMNS, exists=lambda row: names.knows(row["image"])
        )
    except UserError as error:
        return [], list(error.problems)
    for line, row in table:
        place = f"{path}, line {line}"
        name, *corners, label = (row[column] for column in _VOTT_COLUMNS)
        picture = annotated.setdefault(
            name, _AnnotatedPicture(name, place, encoded=True)
        )
        try:
            box = tuple(_finite(_with_point(text)) for text in corners)
        except UserError as error:
            problems.append(f"{place}: {error}.")
            picture.refused = True
            continue
        # A box with several tags has one line for each.
        if (label, box) not in picture.boxes:
            picture.boxes.append((label, box))
    return list(annotated.values()), problems


def _with_point(text):
    """Return a number as Python writes it; spreadsheets may write 1,5."""
    return text.replace(",", ".") if text.count(",") == 1 else text


def _read_json(path):
    """Read VoTT's JSON export or COCO's JSON, whichever it is."""
    try:
        data = read_json(path)
    except UserError as error:
        return [], list(error.problems)
    if isinstance(data, dict) and isinstance(data.get("assets"), (dict, list)):
        return _read_vott(path, data["assets"])
    keys = ("images", "annotations", "categories")
    if isinstance(data, dict) and all(isinstance(data.get(k), list) for k in keys):
        return _read_coco(path, *(data[key] for key in keys))
    return [], [f"{path}: is neither VoTT's JSON export nor COCO."]


def _read_vott(path, assets):
    annotated, problems = [], []
    pairs = assets.items() if isinstance(assets, dict) else enumerate(assets)
    for key, value in pairs:
        place = f"{path}, asset {str(key)[:40]}"
        try:
            asset = value["asset"]
            if asset.get("state") == _VOTT_NOT_VISITED:
                continue
            name, size = _text(asset["name"]), _size(asset.get("size"))
            picture = _AnnotatedPicture(name, place, size, encoded=True)
            for region in value["regions"]:
                box = _vott_box(region)
                picture.boxes += [(_text(tag), box) for tag in region["tags"]]
            annotated.append(picture)
        except _MALFORMED as error:
            problems.append(f"{place}: {_reason(error)}.")
    return annotated, problems


def _vott_box(region):
    box = region.get("boundingBox")
    if box is None:
        points = [(_finite(p["x"]), _finite(p["y"])) for p in region["points"]]
        xs, ys = zip(*points, strict=True)
        return min(xs), min(ys), max(xs), max(ys)
    left, top = _finite(box["left"]), _finite(box["top"])
    return left, top, left + _finite(box["width"]), top + _finite(box["height"])


def _read_coco(path, images, annotations, categories):
    annotated: dict[Any, _AnnotatedPicture] = {}
    problems, labels = [], {}
    for number, category in enumerate(categories):
        try:
            labels[category["id"]] = _text(category["name"])
        except _MALFORMED as error:
            problems.append(f"{path}, categories[{number}]: {_reason(error)}.")
    for number, image in enumerate(images):
        place = f"{path}, images[{number}]"
        try:
            if image["id"] in annotated:
                raise UserError(f"the id {image['id']!r} comes twice")
            more = {
                "id": image.get("work_id"),
                "image_url": image.get("coco_url"),
                "original_url": image.get("original_url"),
            }
            name = _text(image["file_name"]).replace("\\", "/")
            picture = _AnnotatedPicture(name, place, _size(image), more=more)
            annotated[image["id"]] = picture
        except _MALFORMED as error:
            problems.append(f"{place}: {_reason(error)}.")
    for number, box in enumerate(annotations):
        try:
            if box.get("iscrowd"):
                continue
            left, top, width, height = (_finite(v) for v in box["bbox"])
            label = labels[box["category_id"]]
            corners = left, top, left + width, top + height
            annotated[box["image_id"]].boxes.append((label, corners))
        except _MALFORMED as error:
            problems.append(f"{path}, annotations[{number}]: {_reason(error)}.")
            with contextlib.suppress(*_MALFORMED):
                annotated[box["image_id"]].refused = True
    return list(annotated.values()), problems


def _read_yolo_folder(folder, names):
    """Read YOLO's text files, each by the path or the name of its picture."""
    from illustkit.images import picture_size

    classes = read_classes(folder)
    files = {
        plain_name(p.relative_to(folder).as_posix()): p for p in folder.rglob("*.txt")
    }
    files.pop(CLASSES, None)
    annotated, problems = [], []
    for stem, name, size in names.all():
        stem = plain_name(stem)
        path = files.pop(f"{stem}.txt", None)
        if path is None:
            path = files.pop(f"{PurePosixPath(stem).name}.txt", None)
        if path is None:
            continue
        try:
            size = size or picture_size(names.folder / name)
            rows = read_rows(path, columns=5, allow_empty=True)
        except UserError as error:
            problems += error.problems
            continue
        kinds = [str(int(kind)) for kind in rows[:, 0]]
        kinds = [classes[int(k)] if int(k) < len(classes) else k for k in kinds]
        boxes = map(tuple, to_pixels(rows[:, 1:], size).tolist())
        boxes = list(zip(kinds, boxes, strict=True))
        # Fractions are those of the upright picture, as Ultralytics reads them.
        annotated.append(_AnnotatedPicture(name, str(path), size, boxes, upright=True))
    problems += [f"{path}: there is no picture for it." for path in files.values()]
    return annotated, problems


def _size(value):
    if value is None:
        return None
    return value["width"], value["height"]


def _text(value):
    if not isinstance(value, str):
        raise UserError(f"{value!r:.60} is no text")
    return value


def _finite(value):
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{value!r:.60} is no number of pixels")
    return number


def _reason(error):
    if isinstance(error, KeyError):
        return f"no {error.args[0]!r:.60}"
    return " ".join(str(error).split())[:200] or type(error).__name__


def export_coco(
    entries: Sequence[Entry],
    path: str | os.PathLike,
    *,
    label: str = "region",
    overwrite: bool = False,
) -> int:
    """Write entries as COCO's JSON.

    Example:
    ```python
    export_coco(load_metadata("oppai_meta.json"), "exported.json")
    ```

    Args:
        entries: Sequence of `Entry`.
        path: The file, written whole or not at all.
        label: Name of the one category. Defaults to "region".
        overwrite: Whether to replace another file. Defaults to `False`.

    Returns:
        Number of boxes.

    Raises:
        UserError: If another file is there and `overwrite` is `False`.
    """
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
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
    text = json.dumps(data, ensure_ascii=False, indent=1)
    _write_new({expand_user(path): text}, overwrite)
    return len(boxes)


def _write_new(files, overwrite):
    """Write texts to files, unless a file that differs exists."""
    data = {p: t.encode("utf-8", "surrogateescape") for p, t in files.items()}
    existing = {path for path in data if path.exists()}
    same = {p for p in existing if p.is_file() and p.read_bytes() == data[p]}
    if existing - same and not overwrite:
        raise UserError(
            [
                f"{path}: another file is here. Give `overwrite`, or another place."
                for path in files
                if path in existing - same
            ]
        )
    for path in data.keys() - same:
        write_whole(path, data[path])


def export_yolo(
    entries: Sequence[Entry],
    folder: str | os.PathLike,
    *,
    label: str = "region",
    overwrite: bool = False,
) -> int:
    """Write entries as YOLO's text files, `<name>.txt`, and `classes.txt`.

    Example:
    ```python
    export_yolo(load_metadata("oppai_meta.json"), "exported")
    ```

    Args:
        entries: Sequence of `Entry`.
        folder: Folder to write to.
        label: Name of the one class. Defaults to "region".
        overwrite: Whether to replace other files. Defaults to `False`.

    Returns:
        Number of boxes.

    Raises:
        MetadataError: If two pictures would share a file, with a line for each; then
            nothing is written.
        UserError: If other files are there and `overwrite` is `False`, likewise.
    """
    files: dict[str, np.ndarray] = {}
    problems = []
    for entry in entries:
        name = f"{PurePosixPath(entry.name).stem}.txt"
        if name in files or name == CLASSES:
            problems.append(f"{entry.name}: its labels would be another's {name}.")
        boxes = to_fractions(np.asarray(entry.boxes), (entry.width, entry.height))
        files[name] = np.insert(boxes, 0, 0, axis=1)
    if problems:
        raise MetadataError(problems)
    folder = expand_user(folder)
    texts = {folder / name: format_rows(rows, 10) for name, rows in files.items()}
    _write_new({folder / CLASSES: f"{label}\n", **texts}, overwrite)
    return sum(map(len, files.values()))
