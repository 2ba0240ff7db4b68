"""What the mosaic-aware network sees of a censored picture."""

import numpy as np

from illustkit.images import uint8_to_signed
from oppai.filling import fill_smoothly
from oppai.grids import averaging, block_means, spreading, upsample_means

HINTS = 8
INPUTS = ("censored", "base", "hints", "rows", "columns")


def mosaic_inputs(censored, mask, grid=None, missing=None):
    """Prepare one censored picture for `oppai.MosaicUNet`.

    The base is what a filter can do: the picture where it is valid, its block means
    upsampled where there is a mosaic, a smooth filling where content is missing. The
    network adds to it. The hints are the hole, the missing part of it, cosine and sine
    of the place in the block for x and y, and the octaves of the block's width and
    height over 8 pixels; the last six are 0 outside mosaics.

    Example:
    ```python
    inputs = mosaic_inputs(censored, mask, Grid((8, 8), (3, 5)))
    network({k: v[None] for k, v in inputs.items()})
    ```

    Args:
        censored: uint8 RGB `(height, width, 3)`.
        mask: uint8 `(height, width)`; under 255 is hole.
        grid: The mosaic's `Grid`; without one everything in the hole is missing.
            Defaults to `None`.
        missing: bool `(height, width)`, what of the hole shows no mosaic, if only part.
            Defaults to `None`: all of it without a grid, else nothing.

    Returns:
        Dict of float32 arrays: `censored` and `base` `(height, width, 3)`, signed
        scale; `hints` `(height, width, 8)`; `rows` `(height, height)` and `columns`
        `(width, width)`, which give every pixel the mean of its block (zeros without
        a grid).
    """
    height, width = mask.shape
    hole = mask < 255
    missing = np.full_like(hole, grid is None) if missing is None else missing
    missing = missing & hole
    mosaic = hole & ~missing
    signed = uint8_to_signed(censored)
    base = fill_smoothly(signed, missing) if missing.any() else signed
    hints = np.zeros((height, width, HINTS), np.float32)
    hints[..., 0], hints[..., 1] = hole, missing
    rows = np.zeros((height, height), np.float32)
    columns = np.zeros((width, width), np.float32)
    if grid is not None and mosaic.any():
        up = upsample_means(block_means(base, grid), (width, height), grid)
        base = np.where(mosaic[..., None], np.clip(up, -1, 1), base)
        (bx, by), (x, y) = grid.block, grid.origin
        rows = spreading(height, by, y) @ averaging(height, by, y)
        columns = spreading(width, bx, x) @ averaging(width, bx, x)
        hints[..., 2], hints[..., 3] = _phase(width, bx, x)
        hints[..., 4], hints[..., 5] = (v[:, None] for v in _phase(height, by, y))
        hints[..., 6], hints[..., 7] = np.log2(bx / 8), np.log2(by / 8)
        hints[..., 2:] *= mosaic[..., None]
    return {
        "censored": np.asarray(signed, np.float32),
        "base": np.asarray(base, np.float32),
        "hints": hints,
        "rows": rows,
        "columns": columns,
    }


def stack_inputs(inputs):
    """Stack the inputs of several pictures of one size into a batch.

    Args:
        inputs: List of dicts of `mosaic_inputs`.

    Returns:
        Dict of float32 arrays with the batch as first axis.
    """
    return {name: np.stack([one[name] for one in inputs]) for name in INPUTS}


def _phase(length, block, origin):
    turn = 2 * np.pi * (np.arange(length) + 0.5 - origin) / block
    return np.cos(turn), np.sin(turn)
