"""Patches: squares cut from a picture, and merged back without a seam.

Pictures are uint8 RGB `(height, width, 3)`; boxes and squares are
`(left, top, right, bottom)` in pixels of the picture.

The book's code leaves the filter to Pillow and pastes the whole square back: a hard
seam, and valid pixels that were resampled twice. Here every filter has a name, and what
comes back is weighted with the mask, which is 255 at the square's rim: there is no seam
to see, and pixels outside the mask keep their bytes.

Reference:
    The chapter ("DeepCreamPyで学ぶモザイク除去", chapter 10), "Overall plan", steps 1
    and 2.
"""

import math

import numpy as np

from oppai.censoring.censor import blend


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


__all__ = [
    "cover_box",
    "cut_patch",
    "expand_box",
    "is_grey",
    "merge_patch",
    "merge_patches",
]


def cut_patch(picture, square, size):
    """Cut a square out of a picture and bring it to the network's size.

    Enlarged by bicubic interpolation, which is the chapter's and keeps outlines sharper
    than bilinear does. Shrunk by area means: OpenCV's bicubic reads four by four pixels
    however far apart they come to lie, and so breaks up thin outlines. A square of the
    size itself is copied.

    Example:
    ```python
    patch = cut_patch(picture, square, 256)
    ```

    Args:
        picture: uint8 `(height, width, 3)`.
        square: `(left, top, right, bottom)`, ints, inside the picture.
        size: Side of the patch in pixels.

    Returns:
        A new uint8 array `(size, size, 3)`.

    Raises:
        ValueError: for a square that is none or sticks out of the picture.
    """
    left, top, right, bottom = _check_square(picture, square)
    return _resize(picture[top:bottom, left:right], size)


def is_grey(picture, *, threshold=0.995):
    """Tell whether a picture has no colours: its three channels rise and fall together.

    The mean of the channels' correlation matrix is at least `threshold`. So a tinted
    drawing of one hue counts as grey as well, as in the chapter. Where a channel is
    constant, correlation has no value: two constant channels of one value then count
    as 1, others as 0. Large pictures are judged by every n-th pixel of every n-th row.

    Args:
        picture: uint8 `(height, width, 3)`.
        threshold: Least mean correlation of a grey picture. Defaults to 0.995.

    Returns:
        Bool.

    Reference:
        The chapter leaves such pictures out of training.
    """
    # About 128×128 pixels are enough for a mean.
    step = max(1, math.isqrt(picture.shape[0] * picture.shape[1]) // 128)
    pixels = picture[::step, ::step].reshape(-1, 3).T.astype(np.float64, order="C")
    mean = pixels.mean(axis=1)
    pixels -= mean[:, None]
    covariance = pixels @ pixels.T
    deviation = np.sqrt(covariance.diagonal())
    same = np.equal.outer(mean, mean) & np.equal.outer(deviation, deviation)
    scale = np.multiply.outer(deviation, deviation)
    correlation = np.divide(
        covariance, scale, out=same.astype(np.float64), where=scale > 0
    )
    return bool(correlation.mean() >= threshold)


def merge_patch(picture, patch, square, mask):
    """Lay a patch back into its square through the soft mask.

    `out = picture·m + patch·(1 - m)` with `m = mask / 255`. The mask is in pixels of
    the picture, not of the patch: resampling a mask would spread it, and its 255 is
    what keeps bytes as they are. No seam shows where the mask rises to 255 within the
    square, as `box_mask`'s does; at a picture's edge it need not.

    Example:
    ```python
    left, top, right, bottom = square
    merged = merge_patch(picture, patch, square, mask[top:bottom, left:right])
    ```

    Args:
        picture: uint8 `(height, width, 3)`; it stays as it is.
        patch: uint8 `(size, size, 3)`, of any size.
        square: `(left, top, right, bottom)`, ints, inside the picture.
        mask: uint8 `(side, side)` of the square, 255 = the picture's pixel stays.

    Returns:
        A new uint8 array `(height, width, 3)`.

    Raises:
        ValueError: for a square outside the picture or a mask of another size.
    """
    left, top, right, bottom = _check_square(picture, square)
    if np.shape(mask) != (bottom - top, right - left):
        raise ValueError(
            f"The mask has the square's size, {(bottom - top, right - left)}. "
            f"Received: {np.shape(mask)}"
        )
    output = picture.copy()
    inside = picture[top:bottom, left:right]
    filling = _resize(patch, right - left)
    output[top:bottom, left:right] = blend(inside, filling, mask)
    return output


def merge_patches(picture, patches, squares, mask):
    """Lay overlapping patches back, each fading into the next, through one mask.

    Laid over one another, patches would show an edge inside the hole. Here each counts
    with a tent, highest in its middle, and their weighted mean is merged once.

    Example:
    ```python
    merged = merge_patches(picture, patches, cover_box(size, box), mask)
    ```

    Args:
        picture: uint8 `(height, width, 3)`; it stays as it is.
        patches: Sequence of uint8 `(size, size, 3)`.
        squares: Their squares in the picture.
        mask: uint8 `(height, width)` of the whole picture. Pixels that no square
            covers stay.

    Returns:
        A new uint8 array `(height, width, 3)`.

    Raises:
        ValueError: for a square outside the picture or a mask of another size.
    """
    if np.shape(mask) != picture.shape[:2]:
        raise ValueError(
            f"The mask has the picture's size, {picture.shape[:2]}. "
            f"Received: {np.shape(mask)}"
        )
    total = np.zeros(picture.shape, np.float32)
    weights = np.zeros((*picture.shape[:2], 1), np.float32)
    for patch, square in zip(patches, squares, strict=True):
        left, top, right, bottom = _check_square(picture, square)
        side = right - left
        tent = np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1))
        weight = np.multiply.outer(tent, tent)[..., None] / np.float32(side**2)
        total[top:bottom, left:right] += weight * _resize(patch, side)
        weights[top:bottom, left:right] += weight
    covered = weights > 0
    mean = np.divide(total, weights, out=total, where=covered)
    filling = np.where(covered, np.rint(mean), picture).astype(np.uint8)
    return blend(picture, filling, mask)


def _check_square(picture, square):
    left, top, right, bottom = square
    height, width = picture.shape[:2]
    inside = 0 <= left < right <= width and 0 <= top < bottom <= height
    if not inside or right - left != bottom - top:
        raise ValueError(
            f"A square has equal sides, inside the picture of {width}×{height}. "
            f"Received: {tuple(square)}"
        )
    return square


def _resize(picture, size):
    if size != int(size) or size < 1:
        raise ValueError(f"A patch has a side of 1 pixel or more. Received: {size}")
    if picture.shape[0] == size:
        return picture.copy()
    import cv2

    enlarged = size > picture.shape[0]
    interpolation = cv2.INTER_CUBIC if enlarged else cv2.INTER_AREA
    return cv2.resize(picture, (size, size), interpolation=interpolation)
