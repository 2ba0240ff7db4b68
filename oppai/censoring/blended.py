"""Take a blended mosaic off a picture again: it still shows the picture itself.

A mosaic `M` of opacity `a` over a picture `I` gives `P = (1 − a) I + a M`. The blocks'
colours are means of `I`, so they follow from `P`; then `I = (P − a M) / (1 − a)`, exact
but for the rounding of colours, which grows by `1 / (1 − a)`.
"""

import numpy as np

from oppai.censoring.block_grid import Grid, averaging
from oppai.censoring.regions import Box

# Which point of a pixel lies in the block that it is drawn in: Pillow takes the middle,
# OpenCV the edge.
PIXELS = 0.5, 0.0
_STEPS = 12  # of the blocks' colours towards their fixed point
_LEAST = 4.0  # levels: from block to block, to tell an opacity


def drawn_blocks(length: int, block: float, origin: float, pixel: float) -> np.ndarray:
    """Return in which block each pixel of a line is drawn.

    Example:
    ```python
    drawn_blocks(22, 32 / 3, 0, 0.5)  # 11 pixels of block 0, 10 of 1, one of 2
    ```

    Args:
        length: Of the line in pixels.
        block: In pixels.
        origin: Where any block begins, in pixels.
        pixel: Which point of a pixel lies in its block: 0.5, the middle; 0, the edge.

    Returns:
        int `(length,)`, counted as in `averaging`: 0 is the block at pixel 0.
    """
    first = origin % block
    first = first - block if first > 1e-6 else 0.0
    n = averaging(length, block, origin).shape[0]
    place = (np.arange(length) + pixel - first + 1e-6) / block
    return np.floor(place).astype(int).clip(0, n - 1)


def unblend(
    picture: np.ndarray, box: Box, grid: Grid, opacity: float, pixel: float = 0.5
) -> np.ndarray:
    """Return what a blended mosaic lies upon.

    Example:
    ```python
    clear = unblend(picture, region.box, region.grid, 0.5)
    ```

    Args:
        picture: `(height, width, 3)`, of any scale.
        box: `(left, top, right, bottom)` in pixels, the mosaic, a rectangle.
        grid: Its `Grid` in the picture.
        opacity: Weight of the mosaic, over 0 and below 1; the picture has the rest.
        pixel: Which point of a pixel lies in the block that it is drawn in: 0.5, its
            middle; 0, its edge. Defaults to 0.5.

    Returns:
        float32 `(bottom - top, right - left, 3)`, of the picture's scale; it may
        overshoot by rounding.
    """
    inside, blocks = _blocks_of(picture, box, grid, pixel)
    return (inside - opacity * blocks.drawn(opacity)) / (1 - opacity)


def estimate_opacity(
    picture: np.ndarray, box: Box, grid: Grid, pixel: float = 0.5
) -> tuple[float, float]:
    """Estimate how opaque a mosaic is, and how far the picture is from being one.

    Over a line of the grid the picture's jump exceeds the differences beside the line
    by `a` times that of the blocks' colours, wherever the picture below is smooth. The
    median of that ratio, weighed by the blocks' differences, is the opacity.

    Args:
        picture: `(height, width, 3)`, 0..255.
        box: `(left, top, right, bottom)` in pixels, the mosaic, a rectangle.
        grid: Its `Grid` in the picture.
        pixel: As in `unblend`. Defaults to 0.5.

    Returns:
        `(opacity, noise)`: 0 to 1, and the median of what the jumps are off, in levels;
        `(0, inf)` where the blocks hardly differ.
    """
    inside, blocks = _blocks_of(picture, box, grid, pixel)
    views = (inside, blocks.columns), (inside.swapaxes(0, 1), blocks.rows)
    lines = [_lines(numbers) for _, numbers in views]
    excess = np.concatenate(
        [jumps_at(view, at).ravel() for (view, _), at in zip(views, lines, strict=True)]
    )
    opacity, noise = 0.5, np.inf
    for _ in range(3):
        colours = blocks.colours(opacity)
        across = colours[blocks.rows][:, blocks.columns[lines[0]]]
        across = across - colours[blocks.rows][:, blocks.columns[lines[0] - 1]]
        down = colours[blocks.rows[lines[1]]] - colours[blocks.rows[lines[1] - 1]]
        down = down[:, blocks.columns].swapaxes(0, 1)
        rise = np.concatenate([across.ravel(), down.ravel()])
        clear = np.abs(rise) >= _LEAST
        if clear.sum() < 8:
            return 0.0, np.inf
        over, by = excess[clear], rise[clear]
        opacity = float(np.clip(weighted_median(over / by, np.abs(by)), 0, 0.99))
        noise = float(np.median(np.abs(over - opacity * by)))
    return opacity, noise


def jumps_at(view: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return by how much jumps over lines along x exceed the differences beside them.

    Args:
        view: float `(height, width, …)`.
        at: int `(n,)`, the first pixels after the lines, two or more from the sides.

    Returns:
        float `(height, n, …)`.
    """
    before, after = view[:, at - 1], view[:, at]
    return after - before - (view[:, at + 1] - after + before - view[:, at - 2]) / 2


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the value below which half of the weight lies."""
    order = np.argsort(values)
    sums = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(sums, sums[-1] / 2)])


def _lines(numbers):
    """Return the first pixels of blocks that are two or more from a line's ends."""
    at = np.flatnonzero(np.diff(numbers)) + 1
    return at[(at >= 2) & (at < len(numbers) - 1)]


def _blocks_of(picture, box, grid, pixel):
    left, top, right, bottom = box
    inside = np.asarray(picture[top:bottom, left:right], np.float32)
    return inside, _Blocks(inside, grid.moved(-left, -top), pixel)


class _Blocks:
    """The blocks of a mosaic that fills a picture.

    Their colours are the means of the blocks themselves, of any size, and they are
    drawn in whole pixels.
    """

    def __init__(self, inside, grid, pixel):
        height, width = inside.shape[:2]
        sides = (height, 1), (width, 0)
        self.rows, self.columns = (
            drawn_blocks(n, grid.block[k], grid.origin[k], pixel) for n, k in sides
        )
        self.down, self.across = (
            averaging(n, grid.block[k], grid.origin[k]) for n, k in sides
        )
        self.means = _averaged(inside, self.down, self.across)
        # What is drawn, averaged again.
        self.again = (
            self.down @ np.eye(len(self.down), dtype=np.float32)[self.rows],
            self.across @ np.eye(len(self.across), dtype=np.float32)[self.columns],
        )

    def colours(self, opacity):
        """Return the colours of the mosaic: float32 `(rows, columns, 3)`.

        The means of `P` are `(1 − a) m + a A S m` with the colours `m`, what is drawn
        `S m` and the means `A` of that, which is nearly `m`.
        """
        colours = self.means
        for _ in range(_STEPS):
            own = _averaged(colours, *self.again)
            colours = colours + self.means - (1 - opacity) * colours - opacity * own
        return colours

    def drawn(self, opacity):
        """Return the mosaic: float32 `(height, width, 3)`."""
        return self.colours(opacity)[self.rows][:, self.columns]


def _averaged(pixels, down, across):
    height, width, channels = pixels.shape
    rows = (down @ pixels.reshape(height, -1)).reshape(-1, width, channels)
    return np.matmul(across, rows)
