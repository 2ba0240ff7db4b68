"""Censoring: what turns a whole picture into a training pair.

A mask is uint8 `(height, width)`: 255 = valid, 0 = hole, between = soft rim. Censoring
is one sum, `out = picture·m + filling·(1 - m)` with `m = mask / 255`, so that pixels
under 255 and only those change. The filling is a mosaic, white, or added white light.

Where the chapter's code went wrong, and what holds here:

- The rectangle's y offset is taken from the box's height, so a box may have any shape.
- Every resampling has a name: Gaussian blur as Pillow's, down by the mean of each block
  (area), up by nearest. Blocks are `block` pixels wide wherever the grid starts; the
  last ones are cut, never stretched.
- Every pixel under 255 counts as hole, so the blur makes the hole wider: with the
  default of 10 a square of 128 becomes one of 178. The network never sees what lies
  under the rim. `blur_size=0` gives a rim-less hole of just the rectangle.
- A box smaller than the blur would hardly be hidden: `blur_size` counts up to a quarter
  of the rectangle's short side.

Reference:
    The chapter ("DeepCreamPyで学ぶモザイク除去", chapter 10), "Overall plan", step 2.
"""

import numpy as np

from oppai.censoring.filters import blur_kernel, check_picture, gaussian_blur, pixelate
from oppai.censoring.masks import box_mask, irregular_mask

__all__ = [
    "KINDS",
    "add_light",
    "add_mosaic",
    "blend",
    "box_mask",
    "censor",
    "gaussian_blur",
    "irregular_mask",
    "pixelate",
]

KINDS = ("mosaic", "light", "white")


def add_mosaic(patch, box, *, blur_size=10, block=8, picture_blur=5, coverage=0.8):
    """Put a soft-rimmed mosaic over the middle of a box.

    Example:
    ```python
    censored, mask = add_mosaic(patch, (64, 80, 192, 176), block=12)
    ```

    Args:
        patch: uint8 RGB `(height, width, 3)`; it stays as it is.
        box: `(left, top, right, bottom)` in pixels of the patch.
        blur_size: Standard deviation in pixels of the mask's rim. Defaults to 10.
        block: Side of a mosaic block in pixels. Defaults to 8.
        picture_blur: Standard deviation in pixels of the Gaussian blur before the
            picture is shrunk; 0 leaves it out. Defaults to 5.
        coverage: Part of the box's sides that the rectangle covers. Defaults to 0.8.

    Returns:
        `(censored, mask)`: uint8 `(height, width, 3)` and uint8 `(height, width)`.

    Raises:
        ValueError: for a patch, box or option out of range.

    Reference:
        The chapter's `add_mosaic`.
    """
    size = check_picture(patch)
    mask = box_mask(size, box, blur_size=blur_size, coverage=coverage)
    return censor(patch, mask, block=block, picture_blur=picture_blur), mask


def add_light(patch, box, *, blur_size=10, coverage=0.8, strength=1.0):
    """Put a white light over the middle of a box.

    Example:
    ```python
    censored, mask = add_light(patch, (64, 80, 192, 176))
    ```

    Args:
        patch: uint8 RGB `(height, width, 3)`; it stays as it is.
        box: `(left, top, right, bottom)` in pixels of the patch.
        blur_size: Standard deviation in pixels of the light's rim. Defaults to 10.
        coverage: Part of the box's sides that the rectangle covers. Defaults to 0.8.
        strength: Brightness in the middle; 1 is plain white. Defaults to 1.

    Returns:
        `(censored, mask)`: uint8 `(height, width, 3)` and uint8 `(height, width)`.

    Raises:
        ValueError: for a patch, box or option out of range.

    Reference:
        The chapter's remark on a white light in the mosaic's place.
    """
    size = check_picture(patch)
    mask = box_mask(size, box, blur_size=blur_size, coverage=coverage)
    return censor(patch, mask, kind="light", strength=strength), mask


def censor(
    patch,
    mask,
    *,
    kind="mosaic",
    block=8,
    picture_blur=5,
    strength=1.0,
    origin=(0, 0),
):
    """Censor a picture under any mask.

    Example:
    ```python
    mask = irregular_mask((256, 256), np.random.default_rng(0))
    censored = censor(patch, mask, kind="white")
    ```

    Args:
        patch: uint8 RGB `(height, width, 3)`; it stays as it is.
        mask: uint8 `(height, width)`, 255 = valid, 0 = hole. Pixels at 255 come back
            bit-exact.
        kind: `"mosaic"`; `"light"`, white added through the mask; or `"white"`, white
            blended through the mask. Defaults to `"mosaic"`.
        block: Side of a mosaic block in pixels. Defaults to 8.
        picture_blur: Standard deviation of the blur before the mosaic. Defaults to 5.
        strength: Brightness of the light, 1 = plain white. Defaults to 1.
        origin: `(x, y)` of a corner of the mosaic's grid. Defaults to `(0, 0)`.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        ValueError: for a picture, mask or option out of range.
    """
    _check_mask(mask, check_picture(patch))
    if kind not in KINDS:
        raise ValueError(f"`kind` is one of {KINDS}. Received: {kind!r}")
    if not 0 < strength <= 1:
        raise ValueError(f"`strength` lies in (0, 1]. Received: {strength}")
    # Blocks and blur at the hole's rim reach so far; beyond, nothing needs computing.
    blur_reach = len(blur_kernel(float(picture_blur))) // 2
    reach = int(block) + blur_reach if kind == "mosaic" else 0
    rows, columns = (_hole_span(mask, axis, reach) for axis in (1, 0))
    picture, mask = patch[rows, columns], mask[rows, columns]
    output = patch.copy()
    if not picture.size:
        return output
    if kind == "mosaic":
        origin = origin[0] - columns.start, origin[1] - rows.start
        filling = pixelate(picture, block, picture_blur=picture_blur, origin=origin)
        output[rows, columns] = blend(picture, filling, mask)
    elif kind == "white":
        output[rows, columns] = blend(picture, np.full_like(picture, 255), mask)
    else:
        light = np.rint(strength * (255.0 - mask)).astype(np.uint16)[..., None]
        output[rows, columns] = np.minimum(picture + light, 255)
    return output


def blend(picture, filling, mask):
    """Lay a filling under a picture: `picture·m + filling·(1 - m)`, rounded.

    Integer arithmetic: where the mask is 255 the picture's bytes come back, where it is
    0 the filling's.

    Args:
        picture: uint8 `(height, width, 3)`.
        filling: uint8 `(height, width, 3)`.
        mask: uint8 `(height, width)`, 255 = picture, 0 = filling.

    Returns:
        A new uint8 array `(height, width, 3)`.
    """
    # One weight a byte: NumPy is three times slower at broadcasting over channels.
    m = mask.repeat(3).reshape(picture.shape).astype(np.uint16)
    # At most 255·255 + 127, which uint16 holds.
    total = picture * m + filling * (255 - m) + np.uint16(127)
    return (total // np.uint16(255)).astype(np.uint8)


def _hole_span(mask, axis, reach):
    """Slice of the rows (`axis=1`) or columns that come within reach of the hole."""
    hole = np.flatnonzero(mask.min(axis=axis) < 255)
    if not len(hole):
        return slice(0, 0)
    return slice(max(0, int(hole[0]) - reach), int(hole[-1]) + 1 + reach)


def _check_mask(mask, size):
    shape, dtype = np.shape(mask), getattr(mask, "dtype", None)
    if shape != (size[1], size[0]) or dtype != np.uint8:
        raise ValueError(
            f"A mask is uint8 (height, width), here {(size[1], size[0])}. "
            f"Received: shape={shape}, dtype={dtype}"
        )
