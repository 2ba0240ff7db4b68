"""Prepare what `MosaicUNet` sees: crops at its scale, and five arrays of each."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from illustkit.images import uint8_to_signed
from oppai.censoring.block_grid import Grid, block_means, upsample_means
from oppai.censoring.regions import Box
from oppai.data.crops import Crop

# Number by which the sides of a network of five stages are divisible.
DIVISOR = 16
# Least context around a hole, in pixels of the crop.
MARGIN = 24
# Sides of blocks that the network was trained on, in pixels.
SIDES = (4, 8)
# Standard deviation of a blur that the network was trained on, in pixels.
SIGMA = 2.0


class Case(NamedTuple):
    """A censored picture as a restorer's `predict` takes it.

    Attributes:
        picture: uint8 RGB `(height, width, 3)`.
        hole: bool `(height, width)`.
        grid: The mosaic's `Grid` in the picture, or `None`.
        missing: bool `(height, width)`, true where the hole shows no mosaic.
    """

    picture: np.ndarray
    hole: np.ndarray
    grid: Grid | None
    missing: np.ndarray


def take_case(
    crop: Crop,
    picture: np.ndarray,
    hole: np.ndarray,
    grid: Grid | None = None,
    missing: np.ndarray | None = None,
) -> Case:
    """Cut a crop of a censored picture, with its hole and its grid.

    Args:
        crop: A `Crop`.
        picture: uint8 RGB `(height, width, 3)`, censored.
        hole: bool `(height, width)`.
        grid: The mosaic's `Grid` in the picture. Defaults to `None`.
        missing: bool `(height, width)`, true where the hole shows no mosaic. Defaults
            to `None`: all of the hole without a grid, else nothing.

    Returns:
        A `Case` of the crop's size.
    """
    seen, inside = crop.take(picture), crop.take_hole(hole)
    if grid is None and missing is None:
        return Case(seen, inside, None, inside)
    missing = np.zeros_like(hole) if missing is None else missing
    lost = crop.take_hole(missing & hole)
    if grid is not None:
        mosaic = inside & ~lost
        seen = np.where(mosaic[..., None], crop.take_mosaic(picture, grid), seen)
        grid = crop.grid(grid)
    return Case(seen, inside, grid, lost)


def network_scale(grid: Grid | None) -> tuple[float, float]:
    """Return the factors `(x, y)` that bring a grid's blocks to 4 or 8 pixels.

    A mosaic of blocks of 16 pixels is the same problem as one of 8 in a picture of half
    the size. So the network sees all of them at one scale, blocks of 8 pixels that
    begin in the crop's corner, and small ones at another, blocks of 4.

    Args:
        grid: A `Grid`; `None` gives 1.

    Returns:
        Two floats.
    """
    if grid is None:
        return 1.0, 1.0
    x, y = (network_side(block) / block for block in grid.block)
    return x, y


def blur_scale(sigma: float) -> float:
    """Return the factor that brings a blur of that standard deviation to 2 pixels.

    A stronger blur is the same problem in a smaller picture. A weaker one is not
    enlarged.
    """
    return min(1.0, SIGMA / sigma)


def network_side(block: float) -> int:
    """Return the side, 4 or 8, to which blocks of that many pixels are brought."""
    return SIDES[block > math.sqrt(SIDES[0] * SIDES[1])]


def crop_around(
    box: Box,
    grid: Grid | None = None,
    *,
    scales: tuple[float, float] | None = None,
    margin: float = MARGIN,
    divisor: int = DIVISOR,
) -> Crop:
    """Return the crop that shows a box and its context at the network's scale.

    Args:
        box: Int `(left, top, right, bottom)` in pixels of the picture.
        grid: The `Grid` of the mosaic in the box; the crop begins at a corner of a
            block, be it between pixels. Defaults to `None`.
        scales: Factors `(x, y)`. Defaults to `None`: those of `network_scale`.
        margin: Least width of the context around the box, in the crop's pixels.
            Defaults to 24.
        divisor: What both sides of the crop are divisible by. Defaults to 16.

    Returns:
        A `Crop`.
    """
    sides, scales = [], network_scale(grid) if scales is None else scales
    for axis, scale in enumerate(scales):
        start = box[axis] - margin / scale
        if grid is not None:
            block, origin = grid.block[axis], grid.origin[axis]
            start = origin + block * math.floor((start - origin) / block)
        length = (box[axis + 2] - start) * scale + margin
        size = divisor * math.ceil(length / divisor - 1e-6)
        stop = start + size / scale
        # Blocks that are no whole pixels wide keep their corners, between pixels.
        if grid is None or round(stop - start, 6) % 1 == 0 == round(start, 6) % 1:
            start, stop = round(start), round(stop)
        sides.append((start, stop, size))
    (left, right, width), (top, bottom, height) = sides
    return Crop((left, top, right, bottom), (width, height))


INPUTS = ("censored", "base", "hole", "missing", "grid")


def mosaic_inputs(
    censored: np.ndarray,
    mask: np.ndarray,
    grid: Grid | None = None,
    missing: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Prepare one censored picture for `oppai.MosaicUNet`.

    The base is what a filter can do: the picture where it is valid, its block means
    upsampled where there is a mosaic, a smooth filling where content is missing. The
    network adds to it. A blur is a hole without a grid in which nothing is missing; its
    base is the blurred picture.

    Example:
    ```python
    inputs = mosaic_inputs(censored, mask, Grid((8, 8), (3, 5)))
    network({k: v[None] for k, v in inputs.items()})
    ```

    Args:
        censored: uint8 RGB `(height, width, 3)`.
        mask: uint8 or bool `(height, width)`; above 0 is hole.
        grid: The mosaic's `Grid`; without one everything in the hole is missing.
            Defaults to `None`.
        missing: bool `(height, width)`, true where the hole shows no mosaic. Defaults
            to `None`: all of the hole without a grid, else nothing.

    Returns:
        Dict of float32 arrays: `censored` and `base` `(height, width, 3)`, signed
        scale; `hole` and `missing` `(height, width, 1)`, 0 or 1; `grid` `(4,)`: width
        and height of a block and x and y of a corner of one in pixels, all 0 where
        there is no mosaic.
    """
    height, width = mask.shape
    hole = mask > 0
    missing = np.full_like(hole, grid is None) if missing is None else missing
    missing = missing & hole
    mosaic = hole & ~missing
    signed = uint8_to_signed(censored)
    base = fill_smoothly(signed, missing) if missing.any() else signed
    numbers = np.zeros(4, np.float32)
    if grid is not None and mosaic.any():
        up = upsample_means(block_means(base, grid), (width, height), grid)
        base = np.where(mosaic[..., None], np.clip(up, -1, 1), base)
        numbers[:] = *grid.block, *grid.origin
    return {
        "censored": np.asarray(signed, np.float32),
        "base": np.asarray(base, np.float32),
        "hole": hole[..., None].astype(np.float32),
        "missing": missing[..., None].astype(np.float32),
        "grid": numbers,
    }


def mirrored_inputs(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what `mosaic_inputs` makes of a mirrored picture, without computing it.

    Args:
        inputs: The dict that it made of the picture.

    Returns:
        A dict of the same arrays, mirrored from left to right.
    """
    mirrored = {k: x[:, ::-1] for k, x in inputs.items() if k != "grid"}
    numbers = inputs["grid"].copy()
    if numbers.any():
        numbers[2] = (inputs["hole"].shape[1] - numbers[2]) % numbers[0]
    return {**mirrored, "grid": numbers}


def stack_inputs(inputs: Sequence[dict]) -> dict[str, np.ndarray]:
    """Stack the inputs of several pictures of one size into a batch.

    Args:
        inputs: List of dicts of `mosaic_inputs`.

    Returns:
        Dict of float32 arrays with the batch as first axis.
    """
    return {name: np.stack([arrays[name] for arrays in inputs]) for name in INPUTS}


# Levels of 255 over which the network's weight rises, and the width of the window or
# ring that is examined, in pixels.
_MOSAIC, _WINDOW = (1, 3), 17
_MISSING, _RING = (4, 12), 6


def activity(base: np.ndarray, hole: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Compute the weight, 0 to 1, of the network's change of the base at every pixel.

    The weight is 0 in flat areas: for a mosaic, where the base, its upsampled block
    means, has one colour for two blocks around; for missing content, where nine tenths
    of the surrounding pixels have one colour. There the truth nearly always is that
    colour, and the network's answer is a level or two off.

    Example:
    ```python
    result = base + activity(base, hole, missing)[..., None] * (prediction - base)
    ```

    Args:
        base: float32 `(height, width, 3)`, signed scale.
        hole: bool `(height, width)`.
        missing: bool `(height, width)`, true where the hole shows no mosaic.

    Returns:
        float32 `(height, width)`.
    """
    import cv2

    window = np.ones((_WINDOW, _WINDOW), np.uint8)
    spread = cv2.dilate(base, window) - cv2.erode(base, window)
    weight = _between(127.5 * spread.max(-1), _MOSAIC)
    if missing.any():
        ring = np.ones((2 * _RING + 1,) * 2, np.uint8)
        ring = (cv2.dilate(missing.astype(np.uint8), ring) > 0) & ~hole
        colours = base[ring] if ring.any() else base.reshape(-1, 3)
        low, high = np.percentile(colours, (5, 95), axis=0)
        weight[missing] = _between(127.5 * (high - low).max(), _MISSING)
    return weight


def _between(value, levels):
    return np.clip((value - levels[0]) / (levels[1] - levels[0]), 0, 1)


# Each level gets this number over its pixels of averages over neighbours, so that all
# levels cost alike; 4 for every level give a rougher surface (0.7 dB less).
_SWEEPS = 2**17


def fill_smoothly(picture: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Fill missing pixels with a smooth surface by push–pull interpolation.

    Averages of the valid pixels are halved in size until nothing is missing. Then every
    level starts from the coarser one, and a few averages over neighbours bring it near
    the harmonic surface, the smoothest that meets the rim. Averaging over valid pixels
    is a partial convolution with a kernel of ones.

    Example:
    ```python
    base = fill_smoothly(picture, mask > 0)
    ```

    Args:
        picture: `(height, width, channels)`, any colour scale; the missing pixels are
            not read.
        missing: bool `(height, width)`.

    Returns:
        float32 `(height, width, channels)`, equal to the picture where it is valid.
        Where everything is missing it is 0.

    Reference:
        Gortler et al., "The Lumigraph" (1996), section 3.4 (push and pull).
    """
    picture = np.asarray(picture, np.float32)
    if not missing.any():
        return picture
    return _fill(np.where(missing[..., None], 0, picture), ~missing)


def sweeps(width: int, height: int) -> int:
    """Return how often `fill_smoothly` averages a level of that size."""
    return int(np.clip(_SWEEPS / (width * height), 4, 200))


def _fill(picture, valid):
    import cv2

    height, width = valid.shape
    if valid.all() or max(height, width) == 1:
        return picture
    small = (width + 1) // 2, (height + 1) // 2
    fraction = cv2.resize(valid.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    mean = mean.reshape(*fraction.shape, -1) / np.maximum(fraction, 1e-6)[..., None]
    below = _fill(mean, fraction > 1e-6)
    hole = ~valid[..., None]
    filled = cv2.resize(below, (width, height), interpolation=cv2.INTER_LINEAR)
    filled = np.where(hole, filled.reshape(picture.shape), picture)
    for _ in range(sweeps(width, height)):
        even = cv2.blur(filled, (3, 3), borderType=cv2.BORDER_REPLICATE)
        filled = np.where(hole, even.reshape(picture.shape), picture)
    return filled
