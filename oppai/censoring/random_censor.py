"""Censors of every kind, drawn at random: what the default restorer learns from."""

import numpy as np

from oppai.censoring.block_grid import Grid, block_means, spreading
from oppai.censoring.censor import blend
from oppai.censoring.filters import gaussian_blur
from oppai.censoring.masks import irregular_mask
from oppai.censoring.regions import Censored


def draw_censor(
    picture: np.ndarray,
    rng: np.random.Generator,
    *,
    mosaics: float = 0.7,
    blocks: tuple[int, int] = (4, 32),
    grid: Grid | None = None,
    fractional: float = 0.0,
    blurs: float = 0.0,
    sigmas: tuple[float, float] = (3, 20),
    jpeg: float = 0.35,
) -> Censored:
    """Censor a picture somewhere, with a censor of some kind.

    Mosaics have blocks that are square or not, of averaged or sampled colours, on a
    grid that starts anywhere. Blurs are Gaussian or, every third, the mean over a
    square. The others are light, white-out and black bars. The hole is a rectangle, an
    ellipse, a turned rectangle or a free form, its rim hard or soft; some pictures have
    been through a JPEG afterwards.

    Example:
    ```python
    censored = draw_censor(patch, np.random.default_rng(0))
    ```

    Args:
        picture: uint8 RGB `(height, width, 3)`; it is not changed.
        rng: `np.random.Generator`.
        mosaics: Fraction of mosaics. Defaults to 0.7.
        blocks: Least and greatest side of a block in pixels. Defaults to `(4, 32)`.
        grid: The `Grid` of the mosaics, instead of a drawn one. Defaults to `None`.
        fractional: Fraction of mosaics whose blocks are no whole pixels wide. Defaults
            to 0.
        blurs: Fraction of blurs. Defaults to 0.
        sigmas: Least and greatest standard deviation of a blur in pixels. Defaults to
            `(3, 20)`.
        jpeg: Fraction of pictures that have been through a JPEG of quality 60 to 100.
            Defaults to 0.35.

    Returns:
        A `Censored`.
    """
    height, width = picture.shape[:2]
    chance, sigma = rng.random(), None
    is_mosaic, is_blur = chance < mosaics, mosaics <= chance < mosaics + blurs
    ratio = (0.15, 0.65) if is_mosaic or is_blur else (0.06, 0.35)
    mask = draw_mask((width, height), rng, hole_ratio=ratio)
    if is_mosaic:
        kind = "mosaic"
        grid = draw_grid(rng, blocks, fractional) if grid is None else grid
        censored = blend(picture, _mosaic(picture, grid, rng), mask)
    elif is_blur:
        kind, grid = "blur", None
        sigma = sigmas[0] * (sigmas[1] / sigmas[0]) ** rng.random()
        censored = blend(picture, _blur(picture, sigma, rng), mask)
    else:
        grid = None
        kind = ("light", "white", "black")[rng.choice(3, p=(0.35, 0.4, 0.25))]
        filling = np.full_like(picture, 0 if kind == "black" else 255)
        if kind == "light":
            light = rng.uniform(0.6, 1.2) * mask[..., None].astype(np.float64)
            censored = np.rint(np.minimum(picture + light, 255)).astype(np.uint8)
        else:
            censored = blend(picture, filling, mask)
    if rng.random() < jpeg:
        censored = through_jpeg(censored, int(rng.integers(60, 101)))
    return Censored(censored, mask, grid, kind, sigma)


def draw_grid(
    rng: np.random.Generator,
    blocks: tuple[int, int] = (4, 32),
    fractional: float = 0.0,
) -> Grid:
    """Draw a mosaic's grid; small blocks are as likely as large ones.

    Args:
        rng: `np.random.Generator`.
        blocks: Least and greatest side in pixels.
        fractional: Fraction of grids whose blocks are no whole pixels wide; width and
            height then differ by up to 5 %, as where a number of blocks is given.
            Defaults to 0.

    Returns:
        A `Grid`.
    """
    least, most = blocks
    width = least * (most / least) ** rng.random()
    height = width * (2 ** rng.uniform(-1, 1) if rng.random() < 0.2 else 1)
    if fractional and rng.random() < fractional:
        width, height = np.clip((width, height * rng.uniform(0.95, 1.05)), least, most)
        return Grid((width, height), (rng.uniform(0, width), rng.uniform(0, height)))
    x, y = (int(np.clip(np.rint(v), least, most)) for v in (width, height))
    return Grid((x, y), (int(rng.integers(0, x)), int(rng.integers(0, y))))


def draw_mask(
    size: tuple[int, int],
    rng: np.random.Generator,
    *,
    hole_ratio: tuple[float, float],
) -> np.ndarray:
    """Draw the mask of a censor: a rectangle, an ellipse or a free form.

    Args:
        size: `(width, height)`.
        rng: `np.random.Generator`.
        hole_ratio: Least and greatest hidden fraction of the picture, rim aside.

    Returns:
        uint8 `(height, width)`, 255 = hidden, 0 = valid, between = soft rim.
    """
    shape = rng.choice(4, p=(0.45, 0.2, 0.15, 0.2))
    if shape == 3:
        mask = irregular_mask(size, rng, hole_ratio=hole_ratio).mask
    else:
        mask = _plain_shape(size, rng, hole_ratio, shape)
    if rng.random() < 0.4:
        # Blurred as a mask of what is valid, so that halves are rounded as ever.
        mask = 255 - gaussian_blur(255 - mask, rng.uniform(1, 8) * min(size) / 256)
    return mask


def _plain_shape(size, rng, hole_ratio, shape):
    import cv2

    width, height = size
    mask = np.zeros((height, width), np.uint8)
    area = width * height * rng.uniform(*hole_ratio)
    aspect = 2 ** rng.uniform(-1, 1)
    sides = np.array([np.sqrt(area * aspect), np.sqrt(area / aspect)])
    sides = np.minimum(sides, 0.9 * np.array(size))
    middle = rng.uniform(sides / 2, np.array(size) - sides / 2)
    x, y = np.rint(middle).astype(int).tolist()
    a, b = np.maximum(np.rint(sides / 2), 2).astype(int).tolist()
    if shape == 0:
        mask[max(y - b, 0) : y + b, max(x - a, 0) : x + a] = 255
    elif shape == 1:
        cv2.ellipse(mask, (x, y), (a, b), rng.uniform(0, 180), 0, 360, 255, cv2.FILLED)
    else:
        turned = cv2.boxPoints(((x, y), (2 * a, 2 * b), rng.uniform(0, 180)))
        cv2.fillConvexPoly(mask, np.rint(turned).astype(np.int32), 255)
    return mask


def _mosaic(picture, grid, rng):
    blurred = picture
    if rng.random() < 0.1:  # the chapter blurs before its mosaic
        blurred = gaussian_blur(picture, rng.uniform(0.2, 0.6) * min(grid.block))
    height, width = picture.shape[:2]
    (bx, by), (x, y) = grid.block, grid.origin
    if rng.random() < 0.1:  # programs without a filter sample one pixel of a block
        at_x, at_y = _middles(width, bx, x), _middles(height, by, y)
        return blurred[at_y][:, at_x]
    means = np.rint(block_means(blurred, grid))
    rows, columns = spreading(height, by, y), spreading(width, bx, x)
    return means[rows.argmax(1)][:, columns.argmax(1)].astype(np.uint8)


def _blur(picture, sigma, rng):
    import cv2

    if rng.random() < 0.35:
        # The mean over n pixels has the variance (n² − 1) / 12.
        n = max(3, round((12 * sigma**2 + 1) ** 0.5))
        return cv2.blur(picture, (n, n), borderType=cv2.BORDER_REPLICATE)
    if rng.random() < 0.5:
        return gaussian_blur(picture, sigma)
    return cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def _middles(length, block, origin):
    pixel = np.arange(length)
    middle = (pixel + 0.5 - origin) // block * block + origin + block / 2
    return np.clip(np.floor(middle).astype(int), 0, length - 1)


def through_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """Return a uint8 RGB picture as a JPEG of that quality stores it."""
    import cv2

    bgr = np.ascontiguousarray(picture[..., ::-1])
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return np.ascontiguousarray(decoded[..., ::-1])
