"""Letterbox, and the random changes of pictures and boxes that a detector learns from.

Boxes are xyxy in pixels, `(n, 4)`; pictures uint8 RGB; every change is NumPy.
"""

import cv2
import numpy as np

from facescore.boxes import as_boxes, box_areas, clip_boxes

GREY = 114  # what lies outside of a picture, as Ultralytics has it
LEAST_SIDE = 4.0  # pixels; a smaller face is not learnt
LEAST_VISIBLE = 0.4  # share of a box that must stay inside


def letterbox(image, size):
    """Scale a picture into a square, whole, with grey beside it.

    Example:
    ```python
    square, scale, offset = letterbox(image, 640)
    boxes_in_square = boxes * scale + np.tile(offset, 2)
    ```

    Args:
        image: uint8 RGB `(height, width, 3)`.
        size: Side of the square in pixels.

    Returns:
        `(square, scale, offset)`: uint8 `(size, size, 3)`; pixels of the square for one
        of the picture; and where the picture's corner lies in it, float `(x, y)`.
    """
    height, width = image.shape[:2]
    scale = size / max(height, width)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    if (w, h) != (width, height):
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = cv2.resize(image, (w, h), interpolation=how)
    x, y = (size - w) // 2, (size - h) // 2
    square = np.full((size, size, 3), GREY, np.uint8)
    square[y : y + h, x : x + w] = image
    return square, scale, np.array([x, y], float)


def random_view(pictures, rng, *, size, scale, translate=0.1, mosaic=False):
    """Make one training picture of one picture, or of four in a mosaic.

    Each picture is scaled to fit the square, times a random factor, and put where it
    covers its window as well as it can, give or take `translate`. In a mosaic four
    windows meet at a random point.

    Args:
        pictures: One or four pairs `(image, boxes)`.
        rng: `np.random.Generator`.
        size: Side of the result in pixels.
        scale: (least, greatest) factor; its logarithm is uniform.
        translate: Share of the window by which a picture may slip. Defaults to 0.1.
        mosaic: Whether there are four pictures. Defaults to `False`.

    Returns:
        `(image, boxes)`: uint8 `(size, size, 3)` and the boxes that are left. A face of
        which too little is inside is dropped.
    """
    out, found = np.full((size, size, 3), GREY, np.uint8), []
    windows = [(0, 0, size, size)]
    if mosaic:
        x, y = (int(n) for n in rng.uniform(0.25 * size, 0.75 * size, 2))
        windows = [(0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size)]
    for (image, boxes), window in zip(pictures, windows, strict=True):
        gain = size / max(image.shape[:2]) * np.exp(rng.uniform(*np.log(scale)))
        left, top, right, bottom = window
        room = np.array([right - left, bottom - top])
        spare = room - gain * np.array(image.shape[1::-1])
        shift = rng.uniform(np.minimum(spare, 0), np.maximum(spare, 0))
        shift = shift + rng.uniform(-translate, translate, 2) * room
        part, boxes = move(image, boxes, gain, shift, room)
        out[top:bottom, left:right] = part
        found.append(boxes + np.tile([left, top], 2))
    return out, np.concatenate(found)


def move(image, boxes, gain, shift, size):
    """Scale a picture by `gain`, move it by `shift`, and cut `size` out of it.

    Args:
        image: uint8 RGB.
        boxes: xyxy in its pixels `(n, 4)`.
        gain: Pixels of the result for one of the picture.
        shift: (x, y) of the picture's corner in the result.
        size: (width, height) of the result.

    Returns:
        `(image, boxes)`, with the boxes clipped; those of which less than 0.4 stays
        inside, or less than 4 pixels, are dropped.
    """
    boxes = as_boxes(boxes) * gain + np.tile(shift, 2)
    clipped = clip_boxes(boxes, size)
    sides = (clipped[:, 2:] - clipped[:, :2]).min(axis=1, initial=np.inf)
    kept = box_areas(clipped) >= LEAST_VISIBLE * box_areas(boxes)
    while gain <= 0.5:  # bilinear sampling alone would skip pixels
        half = max(1, image.shape[1] // 2), max(1, image.shape[0] // 2)
        if half[0] * 2 != image.shape[1] or half[1] * 2 != image.shape[0]:
            image = image[: half[1] * 2, : half[0] * 2]
        image, gain = cv2.resize(image, half, interpolation=cv2.INTER_AREA), gain * 2
    # OpenCV counts from the middle of the first pixel, boxes from its corner.
    corner = np.asarray(shift) + 0.5 * gain - 0.5
    matrix = np.array([[gain, 0, corner[0]], [0, gain, corner[1]]])
    moved = cv2.warpAffine(
        image,
        matrix,
        tuple(int(n) for n in size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(GREY,) * 3,
    )
    return moved, clipped[kept & (sides >= LEAST_SIDE)]


def flip(image, boxes):
    """Mirror a picture and its boxes left to right."""
    width = image.shape[1]
    mirrored = as_boxes(boxes)[:, [2, 1, 0, 3]] * (-1, 1, -1, 1) + (width, 0, width, 0)
    return np.ascontiguousarray(image[:, ::-1]), mirrored


def jitter_colours(image, rng, *, hue=0.015, saturation=0.7, value=0.4):
    """Multiply hue, saturation and value by random factors.

    Args:
        image: uint8 RGB.
        rng: `np.random.Generator`.
        hue: Greatest change of the hue, as a share of the circle. Defaults to 0.015.
        saturation: Greatest relative change. Defaults to 0.7.
        value: Greatest relative change. Defaults to 0.4.

    Returns:
        uint8 RGB of the same shape.
    """
    turn, *factors = rng.uniform(-1, 1, 3) * (hue * 180, saturation, value)
    levels = np.arange(256)
    tables = [np.mod(levels + turn, 180)]
    tables += [np.clip(levels * (1 + f), 0, 255) for f in factors]
    table = np.stack(tables, axis=-1).astype(np.uint8)[None]
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    return cv2.cvtColor(cv2.LUT(hsv, table), cv2.COLOR_HSV2RGB)


def pad_boxes(boxes, n):
    """Give boxes the fixed number of rows that a network's targets have.

    Args:
        boxes: xyxy `(m, 4)`; of more than `n` the largest stay.
        n: Number of rows.

    Returns:
        float32 `(n, 5)`: the box and 1, or zeros.
    """
    boxes = as_boxes(boxes)
    if len(boxes) > n:
        boxes = boxes[np.argsort(-box_areas(boxes), kind="stable")[:n]]
    rows = np.zeros((n, 5), np.float32)
    rows[: len(boxes), :4], rows[: len(boxes), 4] = boxes, 1
    return rows
