"""Boxes of faces: the record of one face, formats, overlap and suppression.

A box is `(left, top, right, bottom)` in pixels of the picture: floats, half-open, so
that its width is `right - left`. Everything here is NumPy.
"""

from typing import NamedTuple

import numpy as np

FORMATS = ("xyxy", "xywh", "coco", "cxcywh", "yolo")


class Face(NamedTuple):
    """One face in a picture.

    Args:
        box: `(left, top, right, bottom)`, float pixels of the picture.
        confidence: The detector's certainty, 0..1; 1 for a box drawn by hand.
        score: What the scorer made of it, or `None`.
    """

    box: tuple
    confidence: float = 1.0
    score: float | None = None


def as_boxes(boxes):
    """Return boxes as a float64 array `(n, 4)`; an empty list gives `(0, 4)`.

    Raises:
        ValueError: where they are not four finite numbers each.
    """
    array = np.asarray(boxes, np.float64)
    if array.size == 0:
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4 or not np.isfinite(array).all():
        raise ValueError(
            f"Boxes are four finite numbers each, (n, 4). Received: {boxes!r}"
        )
    return array


def convert_boxes(boxes, source, target, image_size=None):
    """Convert boxes from one format to another.

    Formats: "xyxy" is left, top, right, bottom; "xywh" and "coco" are left, top, width,
    height; "cxcywh" is centre and size; all in pixels. "yolo" is centre and size as
    shares of the picture's width and height.

    Example:
    ```python
    convert_boxes([(10, 20, 30, 60)], "xyxy", "yolo", image_size=(100, 100))
    # [[0.2, 0.4, 0.2, 0.4]]
    ```

    Args:
        boxes: `(n, 4)`.
        source: Format they are in.
        target: Format wanted.
        image_size: (width, height) in pixels; needed for "yolo" only.

    Returns:
        float64 `(n, 4)`.

    Raises:
        ValueError: for an unknown format, or "yolo" without `image_size`.
    """
    for name in (source, target):
        if name not in FORMATS:
            raise ValueError(f"A box format is one of {FORMATS}. Received: {name!r}")
    boxes = as_boxes(boxes)
    scale = np.ones(4)
    if "yolo" in (source, target):
        if image_size is None or min(image_size) <= 0:
            raise ValueError(
                "The format 'yolo' needs image_size=(width, height). "
                f"Received: {image_size}"
            )
        scale = np.asarray([*image_size, *image_size], np.float64)
    first, second = np.split(boxes * (scale if source == "yolo" else 1.0), 2, axis=1)
    if source in ("xywh", "coco"):
        second = first + second
    elif source in ("cxcywh", "yolo"):
        first, second = first - second / 2, first + second / 2
    if target in ("xywh", "coco"):
        second = second - first
    elif target in ("cxcywh", "yolo"):
        first, second = (first + second) / 2, second - first
    boxes = np.concatenate([first, second], axis=1)
    return boxes / scale if target == "yolo" else boxes


def clip_boxes(boxes, image_size):
    """Clip boxes to a picture; one that lies outside becomes empty, none is dropped.

    Args:
        boxes: xyxy `(n, 4)`.
        image_size: (width, height) in pixels.

    Returns:
        float64 `(n, 4)`.
    """
    return np.clip(as_boxes(boxes), 0, np.asarray([*image_size, *image_size]))


def shrink(boxes, factor):
    """Scale boxes about their centres.

    The cascade's boxes are about 1.25 times those of a tight face; 0.85 suits them.

    Args:
        boxes: xyxy `(n, 4)`.
        factor: Share of the side that stays; over 1 grows.

    Returns:
        float64 `(n, 4)`.

    Raises:
        ValueError: where the factor is not positive.
    """
    if not factor > 0:
        raise ValueError(f"`factor` must be positive. Received: {factor}")
    boxes = convert_boxes(boxes, "xyxy", "cxcywh")
    boxes[:, 2:] *= factor
    return convert_boxes(boxes, "cxcywh", "xyxy")


def box_areas(boxes):
    """Areas in square pixels, `(n,)`; an inverted box has none."""
    boxes = as_boxes(boxes)
    return np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)


def intersections(a, b):
    """Areas that each box of `a` shares with each of `b`, `(len(a), len(b))`."""
    a, b = as_boxes(a)[:, None], as_boxes(b)[None]
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    return np.prod(np.maximum(high - low, 0), axis=-1)


def iou_matrix(a, b):
    """Intersection over union of every pair.

    Example:
    ```python
    iou_matrix([(0, 0, 2, 2)], [(0, 0, 2, 1), (5, 5, 6, 6)])   # [[0.5, 0.]]
    ```

    Args:
        a: xyxy `(n, 4)`.
        b: xyxy `(m, 4)`.

    Returns:
        float64 `(n, m)`, 0..1; 0 where both are empty.
    """
    shared = intersections(a, b)
    union = box_areas(a)[:, None] + box_areas(b)[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def nms(boxes, scores, iou=0.5, top=300):
    """Greedy non-maximum suppression.

    The best box stays, those that overlap it by more than `iou` go, and so on. Equal
    scores keep their order.

    Args:
        boxes: xyxy `(n, 4)`.
        scores: `(n,)`.
        iou: Overlap up to which two boxes are two faces. Defaults to 0.5.
        top: Most boxes to keep. Defaults to 300.

    Returns:
        int64 indices of those kept, best first.
    """
    boxes, scores = as_boxes(boxes), np.asarray(scores, np.float64)
    if scores.shape != (len(boxes),):
        raise ValueError(
            f"There must be a score a box. Received: {scores.shape}, {len(boxes)} boxes"
        )
    left = np.argsort(-scores, kind="stable")
    kept = []
    while len(left) and len(kept) < top:
        best, left = left[0], left[1:]
        kept.append(best)
        if len(left):
            left = left[iou_matrix(boxes[best : best + 1], boxes[left])[0] <= iou]
    return np.asarray(kept, np.int64)
