"""Views of a picture: what a detector searches of it, and one list of all it finds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from facescore.boxes import box_areas, iou_matrix
from illustkit.errors import UserError

AUTO = "auto"
GREY = 114  # of what lies outside a picture, as in Ultralytics
IMAGE_SIZE = 640
SIZES = 320, IMAGE_SIZE  # of the longer side, pixels: a face may fill a picture
LARGE, LARGE_SIZES = 900, (320, 480, 960, 1920)
BEST = 0.2  # part of a confidence that its best size alone decides
SEEN = 8.0, 512.0  # sides of faces that the network can see: a cell, its training crop


class View(NamedTuple):
    """A part of a picture, scaled to a shape in which the network searches it.

    Attributes:
        window: (left, top, right, bottom) in the picture, ints.
        shape: (width, height) that the network gets.
        level: 0 for the coarsest look at the picture, 1 for the next.
    """

    window: tuple[int, int, int, int]
    shape: tuple[int, int]
    level: int


def plan_views(
    size: Sequence[int],
    image_size: int | None = None,
    tile: Any = AUTO,
    fixed: tuple[int, int] | None = None,
) -> list[View]:
    """Return what is searched of a picture.

    Example:
    ```python
    [view.shape for view in plan_views((640, 480))]   # [(320, 256), (640, 480)]
    ```

    Args:
        size: (width, height) of the picture.
        image_size: See `Detector.detect_all`.
        tile: See `Detector.detect_all`.
        fixed: The one shape that a network takes. Defaults to any.

    Returns:
        List of `View`, the whole picture first.
    """
    everything = 0, 0, int(size[0]), int(size[1])
    side_of_windows = None if tile == AUTO else tile
    if tile == AUTO and image_size is None:
        is_large = max(size) > LARGE
        if fixed is None:
            return [
                View(everything, choose_shape(size, network_shapes(side)), level)
                for level, side in enumerate(LARGE_SIZES if is_large else SIZES)
            ]
        side_of_windows = -(-max(size) // 2) if is_large else None
    side = -(-(image_size or IMAGE_SIZE) // 32) * 32
    shapes = network_shapes(side) if fixed is None else [fixed]
    return [
        View(window, choose_shape(_size(window), shapes), min(number, 1))
        for number, window in enumerate(windows(size, side_of_windows))
    ]


def _size(window):
    return window[2] - window[0], window[3] - window[1]


def cut_out(image: np.ndarray, view: View) -> np.ndarray:
    """Return the pixels of a view's window.

    Args:
        image: uint8 `(height, width, 3)`.
        view: The `View`.
    """
    left, top, right, bottom = view.window
    return image[top:bottom, left:right]


def network_shapes(side: int) -> list[tuple[int, int]]:
    """Return the few shapes in which pictures are searched, the smallest first.

    A picture of 640×360 in a square of 640 pixels would be 44 % grey.

    Args:
        side: Longer side in pixels, a multiple of 32.

    Returns:
        List of (width, height), multiples of 32: the shorter side is about 4/8 to 8/8
        of the longer.
    """
    shorter = sorted({-(-side * n // 8 // 32) * 32 for n in range(4, 9)})
    wide = [(side, n) for n in shorter]
    return sorted({*wide, *((n, side) for n in shorter)}, key=lambda s: s[0] * s[1])


def choose_shape(
    size: Sequence[int], shapes: Sequence[tuple[int, int]]
) -> tuple[int, int]:
    """Return the smallest shape that a picture fits in, its longer side filled.

    Args:
        size: (width, height) of the picture.
        shapes: What `network_shapes` returned.
    """
    side, (width, height) = max(max(shape) for shape in shapes), size
    scale = side / max(width, height)
    needed = round(width * scale), round(height * scale)
    fitting = (s for s in shapes if s[0] >= needed[0] and s[1] >= needed[1])
    return next(fitting, shapes[-1])  # a file of one broad shape takes tall ones too


def windows(
    size: Sequence[int], tile: int | None = None, overlap: float = 0.25
) -> list[tuple[int, int, int, int]]:
    """Return the whole picture, and windows of `tile` pixels that overlap.

    Args:
        size: (width, height) of the picture.
        tile: Side of a window in pixels, or `None`.
        overlap: Least overlap of neighbours, as a fraction of the side. Defaults to
            0.25.

    Returns:
        List of (left, top, right, bottom), ints.

    Raises:
        UserError: If a window has under 32 pixels.
    """
    width, height = size
    whole_window = (0, 0, width, height)
    if tile is None or max(size) <= tile:
        return [whole_window]
    if tile < 32:
        raise UserError(f"`tile` is 32 pixels or more. Received: {tile}")

    def starts(n):
        if n <= tile:
            return [0]
        steps = int(np.ceil((n - tile) / (tile * (1 - overlap))))
        return [round(i * (n - tile) / steps) for i in range(steps + 1)]

    return [whole_window] + [
        (x, y, min(x + tile, width), min(y + tile, height))
        for y in starts(height)
        for x in starts(width)
    ]


def letterbox(
    image: np.ndarray, size: int | tuple[int, int]
) -> tuple[np.ndarray, float, np.ndarray]:
    """Scale a whole picture into a square or a rectangle, with grey beside it.

    Example:
    ```python
    square, scale, offset = letterbox(image, 640)
    boxes_in_square = boxes * scale + np.tile(offset, 2)
    ```

    Args:
        image: uint8 RGB `(height, width, 3)`.
        size: Side of the square in pixels, or (width, height).

    Returns:
        `(boxed, scale, offset)`: uint8 of that size; pixels of it for one of the
        picture; and the picture's corner in it, float `(x, y)`.
    """
    import cv2

    columns, rows = (size, size) if isinstance(size, int) else size
    height, width = image.shape[:2]
    scale = min(columns / width, rows / height)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    if (w, h) != (width, height):
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = cv2.resize(image, (w, h), interpolation=how)
    x, y = (columns - w) // 2, (rows - h) // 2
    boxed = np.full((rows, columns, 3), GREY, np.uint8)
    boxed[y : y + h, x : x + w] = image
    return boxed, scale, np.array([x, y], float)


def whole(
    boxes: np.ndarray, window: Sequence[int], size: Sequence[int], margin: float
) -> np.ndarray:
    """Return which boxes a window does not cut: the next window has the cut ones whole.

    Args:
        boxes: xyxy `(n, 4)` in pixels of the picture.
        window: (left, top, right, bottom).
        size: (width, height) of the picture; its own border cuts nothing.
        margin: Boxes nearer to the window's border are cut, pixels.

    Returns:
        bool `(n,)`.
    """
    left, top, right, bottom = window
    low = np.where([left > 0, top > 0], np.add((left, top), margin), -np.inf)
    high = np.where(
        [right < size[0], bottom < size[1]],
        np.subtract((right, bottom), margin),
        np.inf,
    )
    return np.all(boxes[:, :2] >= low, axis=1) & np.all(boxes[:, 2:] <= high, axis=1)


def fuse(
    boxes: np.ndarray,
    scores: np.ndarray,
    levels: np.ndarray,
    scales: Sequence[float],
    *,
    iou: float,
    least: float,
    top: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Make one box of all that overlap, of neighbouring cells and of several levels.

    As in weighted boxes fusion (Solovyev, Wang and Gabruseva 2021) the box is a mean,
    here by squared confidences. The confidence is a fifth of the best one and four
    fifths of the mean of the best ones of all levels, 0 where a level has found
    nothing: a face that is seen at several sizes is surer. A level at which the face is
    too small or too large to be seen does not count. With one level it is the best one.

    Args:
        boxes: xyxy `(n, 4)`.
        scores: Confidences `(n,)`.
        levels: int `(n,)`, from 0; see `View`.
        scales: Of each level that was searched, pixels that the network gets for one of
            the picture.
        iou: Overlap up to which two boxes are two faces.
        least: Least confidence of a face.
        top: Most faces.

    Returns:
        `(boxes, confidences)`, best first.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, scores, levels = boxes[order], scores[order], levels[order]
    left, all_scales = np.ones(len(boxes), bool), np.asarray(scales, float)
    fused: list[tuple[Any, float]] = []
    for number, best in enumerate(scores):
        if best < least or len(fused) == top:
            break
        if not left[number]:
            continue
        alike = left & (iou_matrix(boxes[number : number + 1], boxes)[0] > iou)
        alike[number] = True
        left &= ~alike
        found = np.zeros(len(scales))
        np.maximum.at(found, levels[alike], scores[alike])
        shown = float(box_areas(boxes[number : number + 1])[0]) ** 0.5 * all_scales
        counts = (found > 0) | ((shown >= SEEN[0]) & (shown <= SEEN[1]))
        confidence = float(BEST * best + (1 - BEST) * found[counts].mean())
        if confidence >= least:
            box = np.average(boxes[alike], axis=0, weights=scores[alike] ** 2)
            fused.append((box, confidence))
    fused.sort(key=lambda pair: -pair[1])
    return (
        np.array([box for box, _ in fused]).reshape(-1, 4),
        np.array([confidence for _, confidence in fused]),
    )


def is_piece(boxes: np.ndarray) -> np.ndarray:
    """Return which boxes are pieces of a better one.

    A window may show a part of a face that it takes for a whole one. Its IoU with the
    whole is small; but it lies within it, and is too large for a face in front of it.

    Args:
        boxes: xyxy `(n, 4)`, best first.

    Returns:
        bool `(n,)`.
    """
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = box_areas(boxes)
    within = shared > 0.85 * areas[:, None]
    large = areas[:, None] > 0.3 * areas[None]
    better = np.tri(len(boxes), k=-1, dtype=bool)  # row: a box, column: a better one
    return (within & large & better).any(axis=1)
