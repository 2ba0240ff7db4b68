"""Labels of faces: YOLO text files beside the pictures, to and from COCO's JSON."""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from facescore.boxes import Boxes, as_boxes, box_areas, clip_boxes, convert_boxes
from illustkit import yolo
from illustkit.deprecation import renamed_keywords
from illustkit.errors import UserError
from illustkit.files import (
    expand_user,
    name_within,
    named_file,
    read_text,
    write_whole,
)
from illustkit.images import picture_size
from illustkit.images.formats import MAX_SIDE
from illustkit.images.opening import stored_size
from illustkit.tables import read_json
from illustkit.yolo import LabelError as LabelError
from illustkit.yolo import label_path as label_path
from illustkit.yolo import upright_boxes

NAME = "anime_face"
UNLABELLED, NO_FACE = "unlabelled", "no face"
LABELS, PREDICTIONS = "labels", "predictions"

PathLike = str | os.PathLike[str]
Size = tuple[int, int]  # (width, height) in pixels


def label_kind(path: PathLike, *, face_class: int | None = None) -> str:
    """Return what a label file says of its picture, without opening the picture.

    Args:
        path: The text file.
        face_class: See `read_labels`.

    Returns:
        "unlabelled" (no file), "no face" (an empty file), "labels" (five columns) or
        "predictions" (six).

    Raises:
        LabelError: Naming file and line of every problem.
    """
    rows = _read_rows(path, None, face_class)
    if rows is None:
        return UNLABELLED
    if not len(rows):
        return NO_FACE
    return LABELS if rows.shape[1] == 5 else PREDICTIONS


def read_labels(
    path: PathLike, image_size: Size, *, face_class: int | None = None
) -> np.ndarray | None:
    """Read the faces that a person has labelled.

    Duplicate lines count once, and boxes are clipped to the picture, as Ultralytics
    does; what else is accepted `illustkit.yolo.read_rows` says.

    Example:
    ```python
    boxes = read_labels(label_path(picture), picture_size(picture))
    ```

    Args:
        path: The text file.
        image_size: (width, height) of the upright picture, in pixels.
        face_class: Number of the class that is a face, in labels of several classes;
            the boxes of the others are passed over. Defaults to 0, where any other
            class is a problem.

    Returns:
        float64 xyxy `(n, 4)` in pixels; `(0, 4)` if the picture has no face; `None` if
        it is unlabelled: there is no such file.

    Raises:
        LabelError: Naming file and line of every problem; a prediction is one.
    """
    rows = _read_rows(path, 5, face_class)
    return None if rows is None else _pixels(rows, image_size)


def read_predictions(
    path: PathLike, image_size: Size
) -> tuple[np.ndarray, np.ndarray] | None:
    """Read what a detector wrote with `save_txt` and `save_conf`: six columns.

    Args:
        path: The text file.
        image_size: (width, height) of the upright picture, in pixels.

    Returns:
        `(boxes, confidence)`: float64 xyxy `(n, 4)` in pixels and `(n,)`; `None` if
        there is no such file.

    Raises:
        LabelError: Naming file and line of every problem; a missing confidence is one.
    """
    rows = _read_rows(path, 6)
    return None if rows is None else (_pixels(rows, image_size), rows[:, 5])


def read_confidences(path: PathLike) -> np.ndarray | None:
    """Read the sixth column alone, which needs no picture's size.

    Args:
        path: The text file.

    Returns:
        float64 `(n,)`; `None` if there is no such file.

    Raises:
        LabelError: See `read_predictions`.
    """
    rows = _read_rows(path, 6)
    return None if rows is None else rows[:, 5]


def write_labels(
    path: PathLike,
    boxes: Boxes,
    image_size: Size,
    confidence: Any = None,
    *,
    face_class: int | None = None,
) -> Path:
    """Write labels, or with `confidence` predictions; the whole file or none.

    Example:
    ```python
    write_labels(label_path(picture), [(10, 10, 50, 50)], picture_size(picture))
    write_labels(label_path(picture), [], size)   # no face here
    ```

    Args:
        path: The text file.
        boxes: xyxy `(n, 4)` in pixels of the picture; clipped to it.
        image_size: (width, height) of the upright picture, in pixels.
        confidence: `(n,)`, 0..1, the sixth column. Defaults to none: labels.
        face_class: Number of the class that is a face, in a file of several classes;
            the lines of the others stay. Defaults to 0, and the file holds no other.

    Returns:
        The path written.

    Raises:
        UserError: If a box is empty or lies outside the picture, or if `confidence`
            and `boxes` differ in length.
    """
    clipped = clip_boxes(boxes, image_size)
    if len(empty := np.flatnonzero(box_areas(clipped) <= 0)):
        raise UserError(
            f"{path}: every box needs an area within the picture of {image_size}. "
            f"Received: {as_boxes(boxes)[empty[0]].tolist()}"
        )
    kind = np.full((len(clipped), 1), face_class or 0)
    columns = [kind, yolo.to_fractions(clipped, image_size)]
    if confidence is not None:
        confidence = np.asarray(confidence, np.float64).reshape(-1, 1)
        valid = (confidence >= 0) & (confidence <= 1)
        if len(confidence) != len(clipped) or not valid.all():
            raise UserError(
                f"{path}: each of {len(clipped)} boxes needs a confidence, 0..1. "
                f"Received: {confidence.ravel().tolist()}"
            )
        columns.append(confidence)
    rows = np.concatenate(columns, axis=1)
    if face_class is None or not os.path.exists(path):
        return yolo.write_rows(path, rows)
    others = [
        f"{line}\n"
        for line in read_text(path).splitlines()
        if line.strip() and int(line.replace(",", " ").split()[0]) != face_class
    ]
    return write_whole(path, yolo.format_rows(rows) + "".join(others))


def check_labels(
    image_paths: Iterable[PathLike], *, face_class: int | None = None
) -> list[str]:
    """Find every problem of the labels of many pictures.

    Args:
        image_paths: Paths of pictures.
        face_class: See `read_labels`.

    Returns:
        List of "file, line n: what is wrong"; empty if all is well. Two pictures that
        would share one label file are a problem too.
    """
    problems: list[str] = []
    owners: dict[Path, Path] = {}
    for image in map(Path, image_paths):
        path = label_path(image)
        if path in owners:
            problems.append(
                f"{path}: belongs to both {owners[path].name} and {image.name}. "
                "Rename one of the pictures."
            )
        owners[path] = image
        try:
            label_kind(path, face_class=face_class)
        except LabelError as error:
            problems += error.problems
    return problems


def _read_rows(path, columns, face_class=None):
    try:
        return yolo.read_rows(path, columns=columns, classes=(NAME,), only=face_class)
    except LabelError as error:
        advice = f"{NAME}. `face_class` takes another."
        raise LabelError(
            [problem.replace(f"{NAME}.", advice) for problem in error.problems]
        ) from None


def _pixels(rows, image_size):
    return clip_boxes(yolo.to_pixels(rows[:, 1:5], image_size), image_size)


def labelled_entries(
    images: Iterable[PathLike],
    root: PathLike | None,
    face_class: int | None,
    left_out: list[str] | None,
) -> list[tuple[str, tuple[int, int], np.ndarray]]:
    """Read the labels of pictures, for a file of another format.

    Args:
        images: Paths of pictures.
        root: Folder that the names are relative to, or `None` for the nearest that
            holds all pictures.
        face_class: See `read_labels`.
        left_out: List that receives a line for each problem, or `None` to raise them.

    Returns:
        Triples (name, size, boxes) of the labelled pictures: (width, height), and xyxy
        in pixels `(n, 4)`.

    Raises:
        LabelError: Naming every problem of the pictures and labels, file and line.
        UserError: If a picture is outside `root`, or there is none.
    """
    paths = [expand_user(image) for image in images]
    root = expand_user(root) if root else common_folder(paths)
    entries: list[tuple[str, tuple[int, int], np.ndarray]] = []
    problems: list[str] = []
    for image in paths:
        name, label = name_within(root, image), label_path(image)
        try:
            if label_kind(label, face_class=face_class) == UNLABELLED:
                continue
            size = picture_size(image)
            boxes = read_labels(label, size, face_class=face_class)
        except UserError as error:
            problems += error.problems
            continue
        entries.append((name, size, np.zeros((0, 4)) if boxes is None else boxes))
    tell_problems(problems, left_out)
    return entries


def to_coco(
    images: Iterable[PathLike],
    path: PathLike,
    *,
    root: PathLike | None = None,
    face_class: int | None = None,
    overwrite: bool = False,
    left_out: list[str] | None = None,
) -> tuple[int, int]:
    """Write the labels of pictures as one COCO file.

    A picture without a face becomes an image without annotations; an unlabelled picture
    is left out. Sizes and boxes are those of the upright picture.

    Example:
    ```python
    to_coco(list_images("pictures"), "faces.json", root="pictures")
    ```

    Args:
        images: Paths of pictures; `label_path` says where their labels are.
        path: The JSON file to write.
        root: Folder that `file_name` is relative to. Defaults to the nearest that
            holds all pictures.
        face_class: See `read_labels`.
        overwrite: Replace another file that is there. Defaults to `False`.
        left_out: List that receives a line for each problem of a picture that cannot
            be written. Defaults to none: nothing is written then, and all are raised.

    Returns:
        (number of pictures written, number of faces).

    Raises:
        LabelError: Naming every problem of the pictures and labels, file and line.
        UserError: If a picture is outside `root`, or there is none, or another file is
            there.
    """
    entries: list[dict[str, Any]] = []
    faces: list[dict[str, Any]] = []
    for name, size, boxes in labelled_entries(images, root, face_class, left_out):
        entries.append(
            {
                "id": len(entries) + 1,
                "file_name": name,
                "width": size[0],
                "height": size[1],
            }
        )
        rows = convert_boxes(boxes, "xyxy", "coco")
        for row, area in zip(rows.tolist(), box_areas(boxes).tolist(), strict=True):
            faces.append(
                {
                    "id": len(faces) + 1,
                    "image_id": len(entries),
                    "category_id": 1,
                    "bbox": [round(v, 4) for v in row],
                    "area": round(area, 4),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": 1, "name": NAME}]
    record = {"images": entries, "annotations": faces, "categories": categories}
    path = expand_user(path)
    text = json.dumps(record, ensure_ascii=False, indent=1)
    if path.exists() and not overwrite and read_text(path) != text:
        raise UserError(
            f"{path}: another file is here. Give `overwrite`, or another place."
        )
    write_whole(path, text)
    return len(entries), len(faces)


@renamed_keywords(labels_folder="folder")
def from_coco(
    path: PathLike,
    folder: PathLike,
    *,
    category: str | None = None,
    overwrite: bool = False,
    left_out: list[str] | None = None,
    notes: list[str] | None = None,
) -> list[Path]:
    """Write a COCO file's boxes as YOLO text files.

    A picture without annotations gets an empty file: no face. One whose annotations are
    all invalid gets none. Crowds (`iscrowd`) are left out. Where the pictures are there
    and EXIF turns them, boxes in stored pixels are turned too; the image's width and
    height say which they are in.

    Example:
    ```python
    from_coco("faces.json", "pictures")   # where `label_path` says
    ```

    Args:
        path: The JSON file.
        folder: Folder of the pictures that `file_name` is relative to; `label_path`
            says where their labels go.
        category: Name of the category to take; needed if the file has several.
        overwrite: Replace label files that exist. Defaults to `False`: they stay.
        left_out: List that receives a line for each entry that is invalid. Defaults to
            none: they are raised when the valid ones have been written.
        notes: List that receives what else there is to say: files that exist already,
            pictures whose boxes may be turned. Defaults to none.

    Returns:
        List of the paths written.

    Raises:
        LabelError: Naming the file and the entry of every problem; or if the file is
            no COCO file.
    """
    images, annotations, chosen, categories = _read_coco(path, category)
    problems: list[str] = []
    notes = [] if notes is None else notes
    boxes: dict[str, list[tuple[float, ...]]] = {}
    entries: dict[str, Entry] = {}
    refused: set[str] = set()  # with entries that are invalid
    taken: dict[Path, str] = {}
    for number, image in enumerate(images):
        identity = ""
        try:
            identity = _identity(image["id"])
            if identity in entries:
                raise UserError(f"the id {identity} is that of another image")
            picture = named_file(folder, str(image["file_name"]))
            target = label_path(picture)
            if target in taken:
                raise UserError(f"{target.name} is the file of another picture")
            entries[identity] = entry_of(image, picture, target, notes)
            taken[target], boxes[identity] = identity, []
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            problems.append(f"{path}, images[{number}]: {reason_of(error)}.")
            refused.add(identity)
    for number, face in enumerate(annotations):
        identity = ""
        try:
            identity = _identity(face["image_id"])
            if identity not in entries and identity not in refused:
                raise UserError(f"no image has the id {identity}")
            kind = _identity(face["category_id"])
            if kind not in categories:
                raise UserError(f"no category has the id {kind}")
            if face.get("iscrowd") or kind not in chosen or identity not in entries:
                continue
            x, y, width, height = (float(v) for v in face["bbox"])
            if not all(map(math.isfinite, (x, y, width, height))):
                raise UserError(f"a box of {face['bbox']}")
            if not (width > 0 and height > 0):
                raise UserError(f"a box of {face['bbox']} has no area")
            box = x, y, x + width, y + height
            if box_areas(clip_boxes([box], entries[identity].size))[0] <= 0:
                raise UserError(f"a box of {face['bbox']} outside the picture")
            boxes[identity].append(box)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            problems.append(f"{path}, annotations[{number}]: {reason_of(error)}.")
            refused.add(identity)
    written, kept = [], 0
    for identity, entry in entries.items():
        if not boxes[identity] and identity in refused:
            continue  # an empty file would say that there is no face
        if entry.target.exists() and not overwrite:
            kept += 1
            continue
        written.append(write_entry(entry, boxes[identity]))
    note_kept(kept, notes)
    tell_problems(problems, left_out)
    return written


class Entry(NamedTuple):
    """An image of another format: where its labels go, and what its boxes are in."""

    target: Path
    size: Size
    orientation: int  # by which its boxes are to be turned


def entry_of(
    image: Mapping[str, Any], picture: PathLike, target: Path, notes: list[str]
) -> Entry:
    """Return an image's `Entry`, from its width and height and from its picture."""
    size = int(image["width"]), int(image["height"])
    if min(size) < 1 or max(size) > MAX_SIDE:
        raise UserError(f"a size of {str(size):.80}")
    if not os.path.isfile(picture):
        return Entry(target, size, 1)
    stored, orientation = stored_size(picture)
    seen = stored[::-1] if orientation in (5, 6, 7, 8) else stored
    if not _alike(size, seen) and not _alike(size, stored):
        raise UserError(
            f"{picture} is {seen[0]}x{seen[1]}, not {size[0]}x{size[1]}: its boxes are "
            "of another picture"
        )
    if orientation != 1 and _alike(size, seen) and _alike(size, stored):
        notes.append(
            f"{picture}: EXIF turns it, and its size does not say whether its boxes "
            "are turned. They are taken as they are: look at them."
        )
    return Entry(target, size, 1 if _alike(size, seen) else orientation)


def write_entry(entry: Entry, boxes: Any) -> Path:
    """Write an image's boxes as its label file, turned as the picture is."""
    rows: Any = upright_boxes(boxes, entry.size, entry.orientation)
    size = entry.size[::-1] if entry.orientation in (5, 6, 7, 8) else entry.size
    return write_labels(entry.target, rows, size)


def note_kept(kept: int, notes: list[str]) -> None:
    """Note how many label files were there already and stay."""
    if kept:
        notes.append(f"Label files that exist and stay: {kept}. See `overwrite`.")


def _alike(a, b):
    """Return whether two sizes have the same shape, up to rounding."""
    return abs(a[0] * b[1] / (a[1] * b[0]) - 1) < 0.02


def _identity(value):
    """Return an id as a text: exporters write 7, "7" and 7.0."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise UserError(f"an id is a number or a text. Received: {value!r:.40}")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _read_coco(path, category):
    try:
        data = read_json(path)
    except UserError as error:
        raise LabelError(error.problems) from None
    try:
        parts = [data[name] for name in ("images", "annotations", "categories")]
        if not all(isinstance(part, list) for part in parts):
            raise UserError("images, annotations and categories are lists")
        names: dict[str, set[str]] = {}  # several ids may have one name
        for kind in parts[2]:
            names.setdefault(str(kind["name"]), set()).add(_identity(kind["id"]))
    except (KeyError, TypeError, UserError) as error:
        raise LabelError(f"{path}: is no COCO file ({reason_of(error)}).") from None
    if category is None and len(names) == 1:
        category = next(iter(names))
    if category not in names:
        raise LabelError(
            f"{path}: name one `category` of {sorted(names)}. Received: {category!r}"
        )
    return *parts[:2], names[category], set().union(*names.values())


def tell_problems(problems: list[str], left_out: list[str] | None) -> None:
    """Add problems to a list, or raise them where there is none."""
    if left_out is not None:
        left_out += problems
    elif problems:
        raise LabelError(problems)


def common_folder(images: Sequence[Path]) -> Path:
    """Return the nearest folder that holds all pictures."""
    if not images:
        raise UserError("There must be one picture or more. Received: none")
    folders = [os.path.abspath(image.parent) for image in images]
    return Path(os.path.commonpath(folders))


def reason_of(error: Exception) -> str:
    """Return what is wrong with an entry, without a full stop."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return str(error).rstrip(".")
