"""Labels to and from COCO's JSON."""

import json
import math
import os
import re
from pathlib import Path

import numpy as np

from facescore.boxes import as_boxes, box_areas, clip_boxes, convert_boxes
from illustkit.files import inside, picture_size, write_whole

NAME = "anime_face"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_OVER = 0.01  # Ultralytics takes shares up to 1.01; rounding of others goes that far.
_MAX_BYTES = 1_000_000


class LabelError(ValueError):
    """Label files hold what is no label; one line for each place.

    Attributes:
        problems: List of "file, line n: what is wrong. The mend."
    """

    def __init__(self, problems):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


def read_rows(path, columns=None):
    """Read the distinct lines of a label file.

    Args:
        path: The text file.
        columns: 5 for labels, 6 for predictions. Defaults to what the first line has.

    Returns:
        float64 `(n, columns)`; `None` where there is no such file.

    Raises:
        LabelError: naming file and line of every problem.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LabelError(f"{path}: cannot be read ({error.strerror}).") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if len(data) > _MAX_BYTES or "\0" in text:
        raise LabelError(f"{path}: is no label file. Write lines of numbers.")
    rows, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        columns = columns or (len(line.split()) if len(line.split()) == 6 else 5)
        try:
            rows.append(_read_row(line.split(), columns))
        except ValueError as error:
            problems.append(f"{path}, line {number}: {error}")
    if problems:
        raise LabelError(problems)
    rows = list(dict.fromkeys(rows))
    return np.asarray(rows, np.float64).reshape(len(rows), columns or 5)


def _read_row(words, columns):
    if len(words) != columns:
        meant = {
            5: "a label without a confidence, where predictions have six",
            6: "a prediction with its confidence, no label; accept it in the review",
        }.get(len(words), "a line is class, x, y, width, height")
        raise ValueError(f"{len(words)} columns where {columns} are due: {meant}.")
    for word in words:
        if not _NUMBER.fullmatch(word):
            raise ValueError(f"{word!r} is no number.")
    values = tuple(float(word) for word in words)
    if values[0] != 0:
        raise ValueError(f"class {words[0]}: the only class is 0, {NAME}.")
    x, y, width, height = values[1:5]
    if min(values[1:]) < 0 or max(values[1:5]) > 1 + _OVER:
        raise ValueError("a share beyond 0..1: pixels are divided by the picture's.")
    if not (width > 0 and height > 0):
        raise ValueError("a box without width or height. Take the line out.")
    if x - width / 2 >= 1 or y - height / 2 >= 1:
        raise ValueError("a box outside the picture. Take the line out.")
    if columns == 6 and values[5] > 1:
        raise ValueError(f"confidence {words[5]}: it is 0 to 1.")
    return values


UNLABELLED, NO_FACE = "unlabelled", "no face"
LABELS, PREDICTIONS = "labels", "predictions"


def label_path(image_path):
    """Where YOLO tools look for a picture's labels.

    Example:
    ```python
    label_path("set/images/a/1.png")   # set/labels/a/1.txt
    label_path("pictures/1.png")       # pictures/1.txt
    ```

    Args:
        image_path: Path of the picture.

    Returns:
        `Path` ending in `.txt`: beside the picture, or with the last folder called
        `images` turned into `labels`.
    """
    path = Path(image_path)
    parts = list(path.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def label_kind(path):
    """What a label file says of its picture, without the picture.

    Args:
        path: The text file.

    Returns:
        "unlabelled" (no file), "no face" (an empty file), "labels" (five columns) or
        "predictions" (six).

    Raises:
        LabelError: naming file and line of every problem.
    """
    rows = read_rows(path, None)
    if rows is None:
        return UNLABELLED
    if not len(rows):
        return NO_FACE
    return LABELS if rows.shape[1] == 5 else PREDICTIONS


def read_labels(path, image_size):
    """Read the faces that a person has labelled.

    Duplicate lines count once, and boxes are clipped to the picture, as Ultralytics
    does; shares up to 1.01 are taken.

    Example:
    ```python
    boxes = read_labels(label_path(picture), picture_size(picture))
    ```

    Args:
        path: The text file.
        image_size: (width, height) of the upright picture, in pixels.

    Returns:
        float64 xyxy `(n, 4)` in pixels; `(0, 4)` where there is no face; `None` where
        the picture is unlabelled: there is no such file.

    Raises:
        LabelError: naming file and line of every problem; predictions are one.
    """
    rows = read_rows(path, 5)
    return None if rows is None else _pixels(rows, image_size)


def read_predictions(path, image_size):
    """Read what a detector wrote with `save_txt` and `save_conf`: six columns.

    Args:
        path: The text file.
        image_size: (width, height) of the upright picture, in pixels.

    Returns:
        `(boxes, confidence)`: float64 xyxy `(n, 4)` in pixels and `(n,)`, or `None`
        where there is no such file.

    Raises:
        LabelError: naming file and line of every problem; a missing confidence is one.
    """
    rows = read_rows(path, 6)
    if rows is None:
        return None
    return _pixels(rows, image_size), rows[:, 5] if len(rows) else np.zeros(0)


def read_confidences(path):
    """Read the sixth column alone, which needs no picture's size.

    Args:
        path: The text file.

    Returns:
        float64 `(n,)`, or `None` where there is no such file.

    Raises:
        LabelError: as `read_predictions`.
    """
    rows = read_rows(path, 6)
    return None if rows is None else rows[:, 5] if len(rows) else np.zeros(0)


def write_labels(path, boxes, image_size, confidence=None):
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
        ValueError: for a box that is empty or lies outside the picture, or as many
            confidences as there are not boxes.
    """
    clipped = clip_boxes(boxes, image_size)
    if len(empty := np.flatnonzero(box_areas(clipped) <= 0)):
        raise ValueError(
            f"{path}: every box needs an area within the picture of {image_size}. "
            f"Received: {as_boxes(boxes)[empty[0]].tolist()}"
        )
    rows = convert_boxes(clipped, "xyxy", "yolo", image_size)
    if confidence is not None:
        confidence = np.asarray(confidence, np.float64).reshape(-1, 1)
        good = (confidence >= 0) & (confidence <= 1)
        if len(confidence) != len(rows) or not good.all():
            raise ValueError(
                f"{path}: there must be a confidence, 0..1, for each of {len(rows)} "
                f"boxes. Received: {confidence.ravel().tolist()}"
            )
        rows = np.concatenate([rows, confidence], axis=1)
    lines = ["0 " + " ".join(f"{v:.8f}" for v in row) + "\n" for row in rows]
    return write_whole(path, "".join(lines))


def check_labels(image_paths):
    """Find every problem of the labels of many pictures.

    Args:
        image_paths: Paths of pictures.

    Returns:
        List of "file, line n: what is wrong"; empty where all is well. Two pictures
        that would share one label file are a problem too.
    """
    problems, owners = [], {}
    for image in image_paths:
        path = label_path(image)
        if path in owners:
            problems.append(
                f"{path}: belongs to both {owners[path].name} and {Path(image).name}. "
                "Rename one of the pictures."
            )
        owners[path] = Path(image)
        try:
            label_kind(path)
        except LabelError as error:
            problems += error.problems
    return problems


def _pixels(rows, image_size):
    return clip_boxes(
        convert_boxes(rows[:, 1:5], "yolo", "xyxy", image_size), image_size
    )


def to_coco(images, path, *, root=None):
    """Write the labels of pictures as one COCO file.

    A picture without a face becomes an image without annotations; an unlabelled one is
    left out.

    Example:
    ```python
    to_coco(list_images("pictures"), "faces.json", root="pictures")
    ```

    Args:
        images: Paths of pictures, whose labels stand where `label_path` says.
        path: The JSON file to write.
        root: Folder that `file_name` is relative to. Defaults to the nearest that
            holds all pictures.

    Returns:
        (number of pictures written, number of faces).

    Raises:
        LabelError: naming file and line of every problem in the labels.
        ValueError: for a picture that is none, or outside `root`.
    """
    images = [Path(image) for image in images]
    root = Path(root) if root else _common_folder(images)
    entries, faces, problems = [], [], []
    for image in images:
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


def from_coco(path, labels_folder, *, category=None):
    """Write a COCO file's boxes as YOLO text files.

    A picture without annotations gets an empty file: no face. Crowds (`iscrowd`) are
    left out.

    Example:
    ```python
    from_coco("faces.json", "pictures")   # beside the pictures they name
    ```

    Args:
        path: The JSON file.
        labels_folder: Folder the text files are written under, by `file_name`.
        category: Name of the category to take, where the file has several.

    Returns:
        List of the paths written.

    Raises:
        LabelError: naming the file and the entry of every problem; then nothing is
            written.
    """
    images, annotations, wanted = _read_coco(path, category)
    problems, boxes, targets, taken, known = [], {}, {}, set(), set()
    for number, image in enumerate(images):
        try:
            known.add(image["id"])
            target = inside(labels_folder, image["file_name"]).with_suffix(".txt")
            size = int(image["width"]), int(image["height"])
            if min(size) < 1:
                raise ValueError(f"a size of {size}")
            if target in taken:
                raise ValueError(f"{target.name} is the file of another picture")
            taken.add(target)
            targets[image["id"]], boxes[image["id"]] = (target, size), []
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{path}, images[{number}]: {_what(error)}")
    for number, face in enumerate(annotations):
        try:
            if face["image_id"] not in known:
                raise ValueError(f"no image has the id {face['image_id']!r}")
            if face.get("iscrowd") or face["category_id"] != wanted:
                continue
            x, y, width, height = (float(v) for v in face["bbox"])
            if not all(map(math.isfinite, (x, y, width, height))):
                raise ValueError(f"a box of {face['bbox']}")
            if face["image_id"] not in targets:
                continue
            columns, rows = targets[face["image_id"]][1]
            inside_x = min(x + width, columns) > max(x, 0)
            if not (inside_x and min(y + height, rows) > max(y, 0)):
                raise ValueError(f"a box of {face['bbox']} outside the picture")
            boxes[face["image_id"]].append((x, y, x + width, y + height))
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{path}, annotations[{number}]: {_what(error)}")
    if problems:
        raise LabelError(problems)
    return [write_labels(t, boxes[i], size) for i, (t, size) in targets.items()]


def _read_coco(path, category):
    try:
        data = json.loads(Path(path).read_text("utf-8-sig"))
        images, annotations = data["images"], data["annotations"]
        names = {c["name"]: c["id"] for c in data["categories"]}
        if not (isinstance(images, list) and isinstance(annotations, list)):
            raise ValueError("images and annotations must be lists")
    except FileNotFoundError:
        raise LabelError(f"{path}: no such file. Check the path.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabelError(f"{path}: is no COCO file ({_what(error)}).") from error
    if category is None and len(names) == 1:
        category = next(iter(names))
    if category not in names:
        raise LabelError(
            f"{path}: name one category of {sorted(names)}. Received: {category!r}"
        )
    return images, annotations, names[category]


def _common_folder(images):
    if not images:
        raise ValueError("There must be a picture. Received: none")
    folders = [image.resolve().parent for image in images]
    return Path(os.path.commonpath(folders))


def _what(error):
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
