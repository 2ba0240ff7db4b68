"""Censoring: what turns a whole picture into a training pair.

A mask is uint8 `(height, width)`: 255 = hidden, 0 = valid, between = soft rim.
Censoring is one sum, `out = picture·(1 - a) + filling·a` with `a = mask / 255`, so that
pixels above 0 and only those change. The filling is a mosaic, a blur, white, or added
light.

Faults of the chapter's code that are fixed here:

- The rectangle's y offset is taken from the box's height, so a box may have any shape.
- Every resampling has a name: Gaussian blur as Pillow's, down by the mean of each block
  (area), up by nearest. Blocks are `block` pixels wide wherever the grid starts; the
  last ones are cut, never stretched.
- Every pixel above 0 counts as hidden, so the blur widens the hidden area: with the
  default of 10 a square of 128 becomes one of 178. The network never sees what lies
  under the rim. `blur_size=0` hides just the rectangle, without a rim.
- A box smaller than the blur would hardly be hidden: `blur_size` counts up to a quarter
  of the rectangle's short side.

Reference:
    The chapter ("DeepCreamPyで学ぶモザイク除去", chapter 10), "Overall plan", step 2.
"""

import math
from collections.abc import Sequence

import numpy as np

from illustkit.errors import UserError
from oppai.censoring.block_grid import Grid
from oppai.censoring.filters import (
    blur_kernel,
    check_picture,
    gaussian_blur,
    pixelate,
)
from oppai.censoring.masks import box_mask
from oppai.censoring.regions import Censored

KINDS = ("mosaic", "light", "white", "blur")
# Box blurs one after another that make each blur.
_BOXES = {"gaussian": 3, "box": 1}


def add_mosaic(
    patch: np.ndarray,
    box: Sequence[float],
    *,
    blur_size: float = 10,
    block: int = 8,
    picture_blur: float = 5,
    coverage: float = 0.8,
) -> Censored:
    """Put a soft-rimmed mosaic over the middle of a box.

    Example:
    ```python
    censored = add_mosaic(patch, (64, 80, 192, 176), block=12)
    restored = oppai.restore(censored)
    ```

    Args:
        patch: uint8 RGB `(height, width, 3)`; it is not changed.
        box: `(left, top, right, bottom)` in pixels of the patch.
        blur_size: Standard deviation in pixels of the mask's rim. Defaults to 10.
        block: Side of a mosaic block in pixels. Defaults to 8.
        picture_blur: Standard deviation in pixels of the Gaussian blur before the
            picture is shrunk; 0 leaves it out. Defaults to 5.
        coverage: Fraction of the box's sides that is covered. Defaults to 0.8.

    Returns:
        A `Censored`: `image`, uint8 `(height, width, 3)`, `mask`, uint8
        `(height, width)` with 255 = hidden, and `grid`. It unpacks as image and mask.

    Raises:
        UserError: If the patch, the box or an option is out of range.

    Reference:
        The chapter's `add_mosaic`.
    """
    size = check_picture(patch)
    mask = box_mask(size, box, blur_size=blur_size, coverage=coverage)
    image = censor(patch, mask, block=block, picture_blur=picture_blur)
    return Censored(image, mask, Grid((block, block)), "mosaic")


def add_light(
    patch: np.ndarray,
    box: Sequence[float],
    *,
    blur_size: float = 10,
    coverage: float = 0.8,
    strength: float = 1.0,
) -> Censored:
    """Put a white light over the middle of a box.

    Example:
    ```python
    censored = add_light(patch, (64, 80, 192, 176))
    restored = oppai.restore(censored)
    ```

    Args:
        patch: uint8 RGB `(height, width, 3)`; it is not changed.
        box: `(left, top, right, bottom)` in pixels of the patch.
        blur_size: Standard deviation in pixels of the light's rim. Defaults to 10.
        coverage: Fraction of the box's sides that is covered. Defaults to 0.8.
        strength: Brightness in the middle; 1 is plain white. Defaults to 1.

    Returns:
        A `Censored`: `image`, uint8 `(height, width, 3)`, and `mask`, uint8
        `(height, width)` with 255 = hidden. It unpacks as image and mask.

    Raises:
        UserError: If the patch, the box or an option is out of range.

    Reference:
        The chapter's remark on a white light in the mosaic's place.
    """
    size = check_picture(patch)
    mask = box_mask(size, box, blur_size=blur_size, coverage=coverage)
    image = censor(patch, mask, kind="light", strength=strength)
    return Censored(image, mask, kind="light")


def add_blur(
    patch: np.ndarray,
    box: Sequence[float],
    *,
    sigma: float = 6,
    filter: str = "gaussian",
    blur_size: float = 10,
    coverage: float = 0.8,
) -> Censored:
    """Blur the middle of a box.

    Example:
    ```python
    censored = add_blur(patch, (64, 80, 192, 176), sigma=8)
    restored = oppai.restore(censored)
    ```

    Args:
        patch: uint8 RGB `(height, width, 3)`; it is not changed.
        box: `(left, top, right, bottom)` in pixels of the patch.
        sigma: Standard deviation of the blur in pixels. Defaults to 6.
        filter: `"gaussian"`, or `"box"`, the mean over a square, which is `√12 · sigma`
            pixels wide. Defaults to `"gaussian"`.
        blur_size: Standard deviation in pixels of the mask's rim. Defaults to 10.
        coverage: Fraction of the box's sides that is covered. Defaults to 0.8.

    Returns:
        A `Censored`: `image`, uint8 `(height, width, 3)`, `mask`, uint8
        `(height, width)` with 255 = hidden, and `sigma`. It unpacks as image and mask.

    Raises:
        UserError: If the patch, the box or an option is out of range.
    """
    size = check_picture(patch)
    mask = box_mask(size, box, blur_size=blur_size, coverage=coverage)
    image = censor(patch, mask, kind="blur", sigma=sigma, filter=filter)
    return Censored(image, mask, kind="blur", sigma=sigma)


def censor(
    patch: np.ndarray,
    mask: np.ndarray,
    *,
    kind: str = "mosaic",
    block: int = 8,
    picture_blur: float = 5,
    strength: float = 1.0,
    origin: tuple[int, int] = (0, 0),
    sigma: float = 6,
    filter: str = "gaussian",
) -> np.ndarray:
    """Censor a picture under any mask.

    Example:
    ```python
    mask = box_mask((256, 256), (64, 80, 192, 176))
    censored = censor(patch, mask, kind="white")
    ```

    Args:
        patch: uint8 RGB `(height, width, 3)`; it is not changed.
        mask: uint8 `(height, width)`, 255 = hidden, 0 = valid. Pixels at 0 are kept
            bit-exact.
        kind: `"mosaic"`; `"blur"`; `"light"`, white added through the mask; or
            `"white"`, white blended through the mask. Defaults to `"mosaic"`.
        block: Side of a mosaic block in pixels. Defaults to 8.
        picture_blur: Standard deviation of the blur before the mosaic. Defaults to 5.
        strength: Brightness of the light, 1 = plain white. Defaults to 1.
        origin: `(x, y)` of a corner of the mosaic's grid. Defaults to `(0, 0)`.
        sigma: Standard deviation of a blur in pixels. Defaults to 6.
        filter: `"gaussian"` or `"box"`, of a blur. Defaults to `"gaussian"`.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        UserError: If the picture, the mask or an option is out of range.
    """
    _check_mask(mask, check_picture(patch))
    if kind not in KINDS:
        raise UserError(f"`kind` is one of {KINDS}. Received: {kind!r}")
    if not 0 < strength <= 1:
        raise UserError(f"`strength` lies in (0, 1]. Received: {strength}")
    if filter not in _BOXES:
        raise UserError(f"`filter` is one of {tuple(_BOXES)}. Received: {filter!r}")
    if not 0 < sigma < math.inf:
        raise UserError(f"`sigma` is a number of pixels over 0. Received: {sigma}")
    boxes = _BOXES[filter]
    # Blocks and blur at the hole's rim reach so far; beyond, nothing needs computing.
    reach = 0
    if kind == "mosaic":
        reach = int(block) + len(blur_kernel(float(picture_blur))) // 2
    elif kind == "blur":
        reach = len(blur_kernel(float(sigma), boxes)) // 2
    rows, columns = (_hole_span(mask, axis, reach) for axis in (1, 0))
    picture, mask = patch[rows, columns], mask[rows, columns]
    output = patch.copy()
    if not picture.size:
        return output
    if kind == "mosaic":
        corner = origin[0] - columns.start, origin[1] - rows.start
        filling = pixelate(picture, block, picture_blur=picture_blur, origin=corner)
        output[rows, columns] = blend(picture, filling, mask)
    elif kind == "blur":
        filling = gaussian_blur(picture, sigma, boxes)
        output[rows, columns] = blend(picture, filling, mask)
    elif kind == "white":
        output[rows, columns] = blend(picture, np.full_like(picture, 255), mask)
    else:
        light = np.rint(strength * mask.astype(np.float64)).astype(np.uint16)[..., None]
        output[rows, columns] = np.minimum(picture + light, 255)
    return output


def blend(
    picture: np.ndarray, filling: np.ndarray, mask: np.ndarray, amount: float = 1.0
) -> np.ndarray:
    """Compute `picture + amount · mask / 255 · (filling - picture)`, rounded.

    A uint8 filling of amount 1 is blended in integers, rounded half up: where the mask
    is 0 the picture's bytes are kept, where it is 255 the filling's are taken.

    Example:
    ```python
    mixed = blend(censored, prediction, mask, 0.5)  # the chapter's figure
    ```

    Args:
        picture: uint8 `(height, width, 3)`, or a batch of them.
        filling: uint8, or float with values in 0..255, of the same shape.
        mask: uint8 or float of the same shape without the channels, 255 = filling.
        amount: Weight of the filling where the mask is 255, 0 to 1. Defaults to 1.

    Returns:
        A new uint8 array of the picture's shape.
    """
    if filling.dtype == np.uint8 and mask.dtype == np.uint8 and amount == 1:
        # One weight a byte: NumPy is three times slower at broadcasting over channels.
        m = (255 - mask).repeat(3).reshape(picture.shape).astype(np.uint16)
        # At most 255·255 + 127, which uint16 holds.
        total = picture * m + filling * (255 - m) + np.uint16(127)
        return (total // np.uint16(255)).astype(np.uint8)
    given = picture.astype(np.float32)
    weight = (amount / 255) * mask.astype(np.float64)
    mixed = np.rint(given + weight[..., None] * (filling - given))
    return mixed.astype(np.uint8)


def _hole_span(mask, axis, reach):
    """Slice of the rows (`axis=1`) or columns that come within reach of the hole."""
    hole = np.flatnonzero(mask.max(axis=axis))
    if not len(hole):
        return slice(0, 0)
    return slice(max(0, int(hole[0]) - reach), int(hole[-1]) + 1 + reach)


def _check_mask(mask, size):
    shape, dtype = np.shape(mask), getattr(mask, "dtype", None)
    if shape != (size[1], size[0]) or dtype != np.uint8:
        raise UserError(
            f"A mask is uint8 (height, width), here {(size[1], size[0])}. "
            f"Received: shape={shape}, dtype={dtype}"
        )
