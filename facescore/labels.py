"""Labels as YOLO tools keep them: one text file a picture, one line a face.

A line is `class x y width height`: centre and size as shares of the upright picture's.
No file means nobody has looked; an empty file says that there is no face. A sixth
column is a confidence: the line is a prediction, no label.
"""

from pathlib import Path

import numpy as np

from facescore.boxes import as_boxes, box_areas, clip_boxes, convert_boxes
from facescore.label_rows import LabelError, read_rows
from illustkit.files import write_whole

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
