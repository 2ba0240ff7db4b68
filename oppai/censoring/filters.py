"""The filters of a mosaic: Gaussian blur, area means and nearest pixels."""

import math
from functools import lru_cache

import numpy as np

from illustkit.errors import UserError


def pixelate(
    picture: np.ndarray,
    block: int,
    *,
    picture_blur: float = 0,
    origin: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """Turn a whole picture into a mosaic: blur, block means (area), nearest.

    Args:
        picture: uint8 `(height, width, 3)`.
        block: Side of a block in pixels; a block cut by the picture's edge is the mean
            of what remains of it.
        picture_blur: Standard deviation of the blur before. Defaults to 0.
        origin: `(x, y)` of any corner of the grid. Defaults to `(0, 0)`.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        UserError: If `block` is under 1 or the blur is negative.
    """
    width, height = check_picture(picture)
    if block != int(block) or block < 1:
        raise UserError(f"`block` is a whole number from 1 up. Received: {block}")
    x = _grid(width, int(block), int(origin[0]))
    y = _grid(height, int(block), int(origin[1]))
    rows, columns = np.diff(y, append=height), np.diff(x, append=width)
    blurred = gaussian_blur(picture, picture_blur)
    sums = np.add.reduceat(blurred, y, axis=0, dtype=np.uint32)
    sums = np.add.reduceat(sums, x, axis=1, dtype=np.int64)
    count = np.multiply.outer(rows, columns)[..., None]
    means = ((2 * sums + count) // (2 * count)).astype(np.uint8)
    return means.repeat(columns, axis=1).repeat(rows, axis=0)


def gaussian_blur(picture: np.ndarray, sigma: float, boxes: int = 3) -> np.ndarray:
    """Blur a picture as Pillow's `GaussianBlur(radius=sigma)`, the chapter's, does.

    One separable OpenCV filter with the kernel of Pillow's three box blurs costs a
    quarter of Pillow's time and differs by a few levels: Pillow rounds after each box
    and repeats the picture's edges anew for each.

    Args:
        picture: uint8 `(height, width)` or `(height, width, channels)`.
        sigma: Standard deviation in pixels; 0 returns the picture itself.
        boxes: Number of box blurs, as in `blur_kernel`. Defaults to 3.

    Returns:
        uint8 of the same shape.

    Raises:
        UserError: If `sigma` is negative.
    """
    kernel = blur_kernel(float(sigma), boxes)
    if len(kernel) == 1:
        return picture
    import cv2

    kernel = kernel.astype(np.float32)
    return cv2.sepFilter2D(picture, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)


@lru_cache(maxsize=64)
def blur_kernel(sigma: float, boxes: int = 3) -> np.ndarray:
    """Return the kernel of the Gaussian blur that the chapter uses, which is Pillow's.

    Pillow's radius is the standard deviation; three box blurs with fractional ends
    stand for the Gaussian, so that a rim ends after about 2.5 sigma.

    Args:
        sigma: Standard deviation in pixels, from 0 up.
        boxes: Number of box blurs, one after another: 3 stand for a Gaussian, 1 is the
            mean over a square. Defaults to 3.

    Returns:
        float64 array of odd length with sum 1.

    Raises:
        UserError: If `sigma` is negative or not finite.

    Reference:
        Gwosdek et al., "Theoretical Foundations of Gaussian Convolution by Extended
        Box Filtering" (2011), equations 7, 11 and 14.
    """
    if not sigma >= 0 or math.isinf(sigma):
        raise UserError(f"A blur is a number of pixels from 0 up. Received: {sigma}")
    variance = sigma**2 / boxes
    whole = int((math.sqrt(12 * variance + 1) - 1) / 2)
    end = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance)
    end /= 6 * (variance - (whole + 1) ** 2)
    box = np.r_[end, np.ones(2 * whole + 1), end] / (2 * (whole + end) + 1)
    kernel = np.ones(1)
    for _ in range(boxes if sigma else 0):
        kernel = np.convolve(kernel, box)
    kernel.setflags(write=False)  # the cache hands it out again
    return kernel


def _grid(length, block, origin):
    """Return the first pixels of the blocks along one side, from 0 on."""
    lines = np.arange(origin % block or block, length, block)
    return np.r_[0, lines]


def check_picture(picture: np.ndarray) -> tuple[int, int]:
    """Check that a picture is uint8 RGB and return its `(width, height)`."""
    shape, dtype = np.shape(picture), getattr(picture, "dtype", None)
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
        raise UserError(
            "A picture is uint8 RGB (height, width, 3). "
            f"Received: shape={shape}, dtype={dtype}"
        )
    return shape[1], shape[0]
