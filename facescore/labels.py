"""Labels of faces: YOLO text files beside the pictures, to and from COCO's JSON."""

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from facescore.boxes import Boxes, as_boxes, box_areas, clip_boxes, convert_boxes
from illustkit import yolo
from illustkit.errors import UserError
from illustkit.files import inside, write_whole
from illustkit.images import picture_size
from illustkit.yolo import LabelError as LabelError
from illustkit.yolo import label_path as label_path

NAME = "anime_face"
UNLABELLED, NO_FACE = "unlabelled", "no face"
LABELS, PREDICTIONS = "labels", "predictions"

PathLike = str | os.PathLike[str]
Size = tuple[int, int]  # (width, height) in pixels


def label_kind(path: PathLike) -> str:
    """Return what a label file says of its picture, without opening the picture.

    Args:
        path: The text file.

    Returns:
        "unlabelled" (no file), "no face" (an empty file), "labels" (five columns) or
        "predictions" (six).

    Raises:
        LabelError: Naming file and line of every problem.
    """
    rows = _read_rows(path, None)
    if rows is None:
        return UNLABELLED
    if not len(rows):
        return NO_FACE
    return LABELS if rows.shape[1] == 5 else PREDICTIONS


def read_labels(path: PathLike, image_size: Size) -> np.ndarray | None:
    """Read the faces that a person has labelled.

    Duplicate lines count once, and boxes are clipped to the picture, as Ultralytics
    does; fractions up to 1.01 are accepted.

    Example:
    ```python
    boxes = read_labels(label_path(picture), picture_size(picture))
    ```

    Args:
        path: The text file.
        image_size: (width, height) of the upright picture, in pixels.

    Returns:
        float64 xyxy `(n, 4)` in pixels; `(0, 4)` if the picture has no face; `None` if
        it is unlabelled: there is no such file.

    Raises:
        LabelError: Naming file and line of every problem; a prediction is one.
    """
    rows = _read_rows(path, 5)
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
    columns = [np.zeros((len(clipped), 1)), yolo.to_fractions(clipped, image_size)]
    if confidence is not None:
        confidence = np.asarray(confidence, np.float64).reshape(-1, 1)
        valid = (confidence >= 0) & (confidence <= 1)
        if len(confidence) != len(clipped) or not valid.all():
            raise UserError(
                f"{path}: each of {len(clipped)} boxes needs a confidence, 0..1. "
                f"Received: {confidence.ravel().tolist()}"
            )
        columns.append(confidence)
    return yolo.write_rows(path, np.concatenate(columns, axis=1))


def check_labels(image_paths: Iterable[PathLike]) -> list[str]:
    """Find every problem of the labels of many pictures.

    Args:
        image_paths: Paths of pictures.

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
            label_kind(path)
        except LabelError as error:
            problems += error.problems
    return problems


def _read_rows(path, columns):
    return yolo.read_rows(path, columns=columns, classes=(NAME,))


def _pixels(rows, image_size):
    return clip_boxes(yolo.to_pixels(rows[:, 1:5], image_size), image_size)


def to_coco(
    images: Iterable[PathLike], path: PathLike, *, root: PathLike | None = None
) -> tuple[int, int]:
    """Write the labels of pictures as one COCO file.

    A picture without a face becomes an image without annotations; an unlabelled picture
    is left out.

    Example:
    ```python
    to_coco(list_images("pictures"), "faces.json", root="pictures")
    ```

    Args:
        images: Paths of pictures; `label_path` says where their labels are.
        path: The JSON file to write.
        root: Folder that `file_name` is relative to. Defaults to the nearest that
            holds all pictures.

    Returns:
        (number of pictures written, number of faces).

    Raises:
        LabelError: Naming file and line of every problem in the labels.
        UserError: If a picture cannot be read or is outside `root`.
    """
    paths = [Path(image) for image in images]
    root = Path(root) if root else _common_folder(paths)
    entries: list[dict[str, Any]] = []
    faces: list[dict[str, Any]] = []
    problems: list[str] = []
    for image in paths:
        size = picture_size(image)
        try:
            boxes = read_labels(label_path(image), size)
        except LabelError as error:
            problems += error.problems
            continue
        if boxes is None:
            continue
        entries.append(
            {
                "id": len(entries) + 1,
                "file_name": image.resolve().relative_to(root.resolve()).as_posix(),
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
    if problems:
        raise LabelError(problems)
    written = {
        "images": entries,
        "annotations": faces,
        "categories": [{"id": 1, "name": NAME}],
    }
    write_whole(path, json.dumps(written, ensure_ascii=False, indent=1))
    return len(entries), len(faces)


def from_coco(
    path: PathLike, labels_folder: PathLike, *, category: str | None = None
) -> list[Path]:
    """Write a COCO file's boxes as YOLO text files.

    A picture without annotations gets an empty file: no face. Crowds (`iscrowd`) are
    left out.

    Example:
    ```python
    from_coco("faces.json", "pictures")   # beside the pictures they name
    ```

    Args:
        path: The JSON file.
        labels_folder: Folder for the text files, which are named by `file_name`.
        category: Name of the category to take; needed if the file has several.

    Returns:
        List of the paths written.

    Raises:
        LabelError: Naming the file and the entry of every problem; nothing is written
            then.
    """
    images, annotations, category_id = _read_coco(path, category)
    problems: list[str] = []
    boxes: dict[Any, list[tuple[float, ...]]] = {}
    targets: dict[Any, tuple[Path, Size]] = {}
    taken: set[Path] = set()
    ids: set[Any] = set()
    for number, image in enumerate(images):
        try:
            ids.add(image["id"])
            target = inside(labels_folder, image["file_name"]).with_suffix(".txt")
            size = int(image["width"]), int(image["height"])
            if min(size) < 1:
                raise UserError(f"a size of {size}")
            if target in taken:
                raise UserError(f"{target.name} is the file of another picture")
            taken.add(target)
            targets[image["id"]], boxes[image["id"]] = (target, size), []
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{path}, images[{number}]: {_reason(error)}")
    for number, face in enumerate(annotations):
        try:
            if face["image_id"] not in ids:
                raise UserError(f"no image has the id {face['image_id']!r}")
            if face.get("iscrowd") or face["category_id"] != category_id:
                continue
            x, y, width, height = (float(v) for v in face["bbox"])
            if not all(map(math.isfinite, (x, y, width, height))):
                raise UserError(f"a box of {face['bbox']}")
            if face["image_id"] not in targets:
                continue
            columns, rows = targets[face["image_id"]][1]
            inside_x = min(x + width, columns) > max(x, 0)
            if not (inside_x and min(y + height, rows) > max(y, 0)):
                raise UserError(f"a box of {face['bbox']} outside the picture")
            boxes[face["image_id"]].append((x, y, x + width, y + height))
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{path}, annotations[{number}]: {_reason(error)}")
    if problems:
        raise LabelError(problems)
    return [write_labels(t, boxes[i], size) for i, (t, size) in targets.items()]


def _read_coco(path, category):
    try:
        data = json.loads(Path(path).read_text("utf-8-sig"))
        images, annotations = data["images"], data["annotations"]
        names = {c["name"]: c["id"] for c in data["categories"]}
        if not (isinstance(images, list) and isinstance(annotations, list)):
            raise UserError("images and annotations must be lists")
    except FileNotFoundError:
        raise LabelError(f"{path}: no such file. Check the path.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabelError(f"{path}: is no COCO file ({_reason(error)}).") from error
    if category is None and len(names) == 1:
        category = next(iter(names))
    if category not in names:
        raise LabelError(
            f"{path}: name one category of {sorted(names)}. Received: {category!r}"
        )
    return images, annotations, names[category]


def _common_folder(images):
    if not images:
        raise UserError("There must be one picture or more. Received: none")
    folders = [image.resolve().parent for image in images]
    return Path(os.path.commonpath(folders))


def _reason(error):
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
