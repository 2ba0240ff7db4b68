"""Boxes of faces: the record of one face, formats, overlap and suppression.

A box is `(left, top, right, bottom)` in pixels of the picture: floats, half-open, so
that its width is `right - left`. Everything here is NumPy.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from illustkit.errors import UserError

Boxes = np.ndarray | Sequence[Any]  # (n, 4), or n boxes of four numbers

FORMATS = ("xyxy", "xywh", "coco", "cxcywh", "yolo")


class Face(NamedTuple):
    """One face in a picture.

    Args:
        box: `(left, top, right, bottom)`, float pixels of the picture.
        confidence: The detector's confidence, 0..1; 1 for a box drawn by hand.
        score: The scorer's score, or `None`.
    """

    box: tuple[float, ...]
    confidence: float = 1.0
    score: float | None = None


def as_face(face: Any) -> Face:
    """Return a face as it is, and a box as a `Face`."""
    return face if isinstance(face, Face) else Face(tuple(face))


def whole_picture(image: np.ndarray) -> Face:
    """Return the face that a whole picture is taken for.

    Args:
        image: uint8 RGB `(height, width, 3)`.
    """
    height, width = image.shape[:2]
    return Face((0.0, 0.0, float(width), float(height)))


def as_boxes(boxes: Boxes) -> np.ndarray:
    """Return boxes as a float64 array `(n, 4)`; an empty list gives `(0, 4)`.

    Raises:
        UserError: If a box is not four finite numbers.
    """
    array = np.asarray(boxes, np.float64)
    if array.size == 0:
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4 or not np.isfinite(array).all():
        raise UserError(
            f"Boxes are four finite numbers each, (n, 4). Received: {boxes!r}"
        )
    return array


def convert_boxes(
    boxes: Boxes,
    source: str,
    target: str,
    image_size: Sequence[int] | None = None,
) -> np.ndarray:
    """Convert boxes from one format to another.

    Formats: "xyxy" is left, top, right, bottom; "xywh" and "coco" are left, top, width,
    height; "cxcywh" is centre and size; all in pixels. "yolo" is centre and size as
    fractions of the picture's width and height.

    Example:
    ```python
    convert_boxes([(10, 20, 30, 60)], "xyxy", "yolo", image_size=(100, 100))
    # [[0.2, 0.4, 0.2, 0.4]]
    ```

    Args:
        boxes: `(n, 4)`.
        source: Their format.
        target: Format of the result.
        image_size: (width, height) in pixels; only "yolo" needs it.

    Returns:
        float64 `(n, 4)`.

    Raises:
        UserError: If a format is unknown, or "yolo" has no `image_size`.
    """
    for name in (source, target):
        if name not in FORMATS:
            raise UserError(f"A box format is one of {FORMATS}. Received: {name!r}")
    boxes = as_boxes(boxes)
    scale = np.ones(4)
    if "yolo" in (source, target):
        if image_size is None or min(image_size) <= 0:
            raise UserError(
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


def clip_boxes(boxes: Boxes, image_size: Sequence[int]) -> np.ndarray:
    """Clip boxes to a picture; a box outside becomes empty, none is dropped.

    Args:
        boxes: xyxy `(n, 4)`.
        image_size: (width, height) in pixels.

    Returns:
        float64 `(n, 4)`.
    """
    return np.clip(as_boxes(boxes), 0, np.asarray([*image_size, *image_size]))


def shrink(boxes: Boxes, factor: float) -> np.ndarray:
    """Scale boxes around their centres.

    The cascade's boxes are about 1.25 times as wide as a tight face; 0.85 suits them.

    Args:
        boxes: xyxy `(n, 4)`.
        factor: Factor on the sides; over 1 the boxes grow.

    Returns:
        float64 `(n, 4)`.

    Raises:
        UserError: If the factor is not positive.
    """
    if not factor > 0:
        raise UserError(f"`factor` must be positive. Received: {factor}")
    boxes = convert_boxes(boxes, "xyxy", "cxcywh")
    boxes[:, 2:] *= factor
    return convert_boxes(boxes, "cxcywh", "xyxy")


def box_areas(boxes: Boxes) -> np.ndarray:
    """Return areas in square pixels, `(n,)`; that of an inverted box is 0."""
    boxes = as_boxes(boxes)
    return np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)


def intersections(a: Boxes, b: Boxes) -> np.ndarray:
    """Return the areas that each of `a` shares with each of `b`, `(len(a), len(b))`."""
    a, b = as_boxes(a)[:, None], as_boxes(b)[None]
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    return np.prod(np.maximum(high - low, 0), axis=-1)


def iou_matrix(a: Boxes, b: Boxes) -> np.ndarray:
    """Compute the intersection over union of every pair.

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


def nms(
    boxes: Boxes,
    scores: np.ndarray | Sequence[float],
    iou: float = 0.5,
    top: int = 300,
) -> np.ndarray:
    """Suppress boxes that overlap a better one (greedy non-maximum suppression).

    The best box stays, those that overlap it by more than `iou` go, and so on. Equal
    scores keep their order.

    Args:
        boxes: xyxy `(n, 4)`.
        scores: `(n,)`.
        iou: Overlap up to which two boxes are two faces. Defaults to 0.5.
        top: Most boxes to keep. Defaults to 300.

    Returns:
        int64 indices of the boxes that stay, best first.

    Raises:
        UserError: If `boxes` and `scores` differ in length.
    """
    boxes, scores = as_boxes(boxes), np.asarray(scores, np.float64)
    if scores.shape != (len(boxes),):
        raise UserError(
            "Each box needs one score. "
            f"Received: {len(boxes)} boxes, scores of shape {scores.shape}"
        )
    waiting = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(waiting) and len(kept) < top:
        best, waiting = waiting[0], waiting[1:]
        kept.append(best)
        if len(waiting):
            overlaps = iou_matrix(boxes[best : best + 1], boxes[waiting])[0]
            waiting = waiting[overlaps <= iou]
    return np.asarray(kept, np.int64)
