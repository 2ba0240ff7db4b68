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

from oppai.censor import blend
from oppai.squares import cover_box, expand_box

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
