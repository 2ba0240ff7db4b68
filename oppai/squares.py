"""Squares with context round a box, always inside the picture.

Boxes and squares are `(left, top, right, bottom)` in pixels of the picture, sizes are
`(width, height)`. In the book's code 116 of the chapter's 4,949 boxes get squares with
negative corners, and 3 fall back to the bare box.

Reference:
    The chapter ("DeepCreamPyで学ぶモザイク除去", chapter 10), "Overall plan", step 1.
"""

import math

import numpy as np


def expand_box(image_size, box, *, scale=1.5, minimum=256):
    """Put a square with context round a box, inside the picture.

    The square has `scale` times the box's long side, at least `minimum`, at most the
    picture's short side, and is moved inside the picture. A box longer than the
    picture's short side sticks out of it: see `cover_box`.

    Example:
    ```python
    square, relative_box = expand_box((600, 848), (57.4, 258.2, 343.8, 471.0))
    # (0, 150, 430, 580), (57, 108, 344, 321)
    ```

    Args:
        image_size: `(width, height)` of the picture.
        box: `(left, top, right, bottom)`, floats allowed; what lies outside the picture
            is cut off.
        scale: Side of the square over the box's long side. Defaults to 1.5.
        minimum: Least side of the square in pixels. Defaults to 256.

    Returns:
        `(square, relative_box)`, four ints each: the square in the picture, and the box
        in pixels of the square, widened to whole pixels, cut at the square and never
        empty.

    Raises:
        ValueError: for a box that is none or lies outside the picture.

    Reference:
        The chapter, "Overall plan", step 1.
    """
    box = _clip_box(image_size, box)
    side = _side(image_size, max(_sides(box)), scale, minimum)
    square = _place(image_size, _centre(box), side)
    relative = [_whole_span(box[i], box[i + 2], square[i], side) for i in (0, 1)]
    (left, right), (top, bottom) = relative
    return square, (left, top, right, bottom)


def cover_box(image_size, box, *, scale=1.5, minimum=256):
    """Cover a box with squares that hold context, one where that is enough.

    A box longer than the picture's short side fits into no square. It is covered by a
    row of equal squares, which overlap by a third of their side or more and reach past
    its ends by a sixth of a side (what a square 1.5 times its box has) or to the
    picture's edge.

    Example:
    ```python
    squares = cover_box((1000, 300), (100, 100, 900, 200))
    # [(50, 0, 350, 300), (250, ...), (450, ...), (650, 0, 950, 300)]
    ```

    Args:
        image_size: `(width, height)` of the picture.
        box: `(left, top, right, bottom)`, floats allowed.
        scale: As in `expand_box`. Defaults to 1.5.
        minimum: As in `expand_box`. Defaults to 256.

    Returns:
        List of squares, four ints each, left to right or top to bottom. Merge them with
        `merge_patches`.

    Raises:
        ValueError: for a box that is none or lies outside the picture.
    """
    square, _ = expand_box(image_size, box, scale=scale, minimum=minimum)
    box = _clip_box(image_size, box)
    side = square[2] - square[0]
    axis = int(np.argmax(_sides(box)))
    start, stop = math.floor(box[axis]), math.ceil(box[axis + 2])
    if stop - start <= side:
        return [square]
    context = side // 6
    first = max(0, start - context)
    last = min(image_size[axis], stop + context) - side
    step = max(1, side - math.ceil(side / 3))
    count = 1 + math.ceil((last - first) / step)
    squares = []
    for corner in np.linspace(first, last, count).round().astype(int).tolist():
        corners = list(square[:2])
        corners[axis] = corner
        squares.append((*corners, corners[0] + side, corners[1] + side))
    return squares


def _clip_box(image_size, box):
    """The part of a box inside the picture, as floats."""
    left, top, right, bottom = (float(v) for v in box)
    width, height = image_size
    finite = all(math.isfinite(v) for v in (left, top, right, bottom))
    if not finite or left > right or top > bottom:
        raise ValueError(
            "A box is (left, top, right, bottom) in pixels, in this order. "
            f"Received: {tuple(box)}"
        )
    if left >= width or top >= height or right < 0 or bottom < 0:
        raise ValueError(
            f"The box lies outside the picture of {width}×{height}. "
            f"Received: {tuple(box)}"
        )
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)


def _sides(box):
    return box[2] - box[0], box[3] - box[1]


def _centre(box):
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _side(image_size, long_side, scale, minimum):
    return min(max(math.ceil(scale * long_side), minimum), *image_size)


def _place(image_size, centre, side):
    """The square of this side round a point, moved inside the picture."""
    corner = [
        min(max(math.floor(c - side / 2 + 0.5), 0), n - side)
        for c, n in zip(centre, image_size, strict=True)
    ]
    return (*corner, corner[0] + side, corner[1] + side)


def _whole_span(start, stop, corner, side):
    """Whole pixels, counted from the square's corner, that `start..stop` touches."""
    first = min(max(math.floor(start) - corner, 0), side - 1)
    last = min(max(math.ceil(stop) - corner, first + 1), side)
    return first, last
