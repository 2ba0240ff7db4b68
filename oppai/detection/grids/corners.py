"""Where a mosaic's grid begins: mostly at the corner of the part that was shrunk.

Programs draw blocks of 10.67 pixels as 10 or 11 pixels each. With `NEAREST`, Pillow
draws the pixels whose middles lie in a block, so that its lines lie at 0, 11, 21, 32;
OpenCV those that begin in it: 0, 11, 22, 32. The colours are the means of the blocks
themselves in both. So the lines alone leave half a pixel open, and the corner tells it.
"""

from collections.abc import Iterator

import numpy as np

from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import Region
from oppai.detection.grids.combs import LINE_CAP, on_comb

_BESIDE = 3  # pixels beside a region in which lines count
# Blocks by which a side of a region may be off, and pixels by which a grid's line.
_REACH, _NEAR = 2.1, 1.5
_OFF = 0.04  # by which a block's size may be off, as a fraction
# What a score loses for each block by which a side is off, and for a block of another
# size: of those with the same lines, the one at hand is the middle one.
_AWAY, _OTHER = 0.03, 0.5
# How much of the steps on a grid's lines the lines from a corner have to explain, and
# by how much one kind of lines has to be better than the other.
_EXPLAINED, _SURER = 0.97, 0.02
# Lines more that a grid from a corner has to explain than one of whole pixels does, and
# by how much its blocks have to differ.
_LINE, _ALIKE = 0.5, 0.01
# Which point of a pixel lies in its block: the middle (Pillow) or the edge (OpenCV).
_PIXELS = (0.5, 0.0)


def lines_from(start: int, block: float, n: int, pixel: float) -> np.ndarray:
    """Return the first pixels of `n` blocks that begin at a pixel, and of the next.

    Example:
    ```python
    lines_from(0, 32 / 3, 3, 0.5)  # Pillow's: 0, 11, 21, 32
    lines_from(0, 32 / 3, 3, 0)  # OpenCV's: 0, 11, 22, 32
    ```

    Args:
        start: The first pixel.
        block: In pixels.
        n: Number of blocks.
        pixel: Which point of a pixel lies in its block: 0.5, the middle; 0, the edge.

    Returns:
        int `(n + 1,)`.
    """
    # The rounding of a multiple of 32 / 3 begins no new pixel.
    return start + np.ceil(block * np.arange(n + 1) - pixel - 1e-6).astype(int)


def from_corner(grey: np.ndarray, region: Region) -> Grid:
    """Return a mosaic's grid, from its corner where that explains its lines.

    Args:
        grey: uint8 `(height, width)`.
        region: A `Region` with a grid.

    Returns:
        A `Grid`: the region's own where neither the region's corners nor the picture's
        explain the lines, or, where it is of whole pixels, no more of them.

    Raises:
        ValueError: If the region has no grid.
    """
    grid = region.grid
    if grid is None:
        raise ValueError(f"Only a mosaic has a grid. Received: {region.kind}")
    if grid.soft:
        return grid
    across, down = region.slices[1], region.slices[0]
    sides = [
        _Side(grey[down], across, region.mask, grid.block[0], grid.origin[0]),
        _Side(grey[:, across].T, down, region.mask.T, grid.block[1], grid.origin[1]),
    ]
    middle, edge = (sum(side.best[pixel][0] for side in sides) for pixel in _PIXELS)
    pixel = None if abs(middle - edge) < _SURER else _PIXELS[edge > middle]
    (x, left), (y, top) = (side.chosen(pixel) for side in sides)
    return Grid((x, y), (left, top))


class _Side:
    """The lines of a grid along one side of a region.

    Args:
        view: uint8 `(rows, columns)`, the region's rows of the picture.
        across: The region's columns.
        mask: bool, the region's.
        block: Width of the grid's blocks in pixels.
        origin: A line of it.

    Attributes:
        best: Dict from the kind of lines to `(score, block, origin)` of the best grid
            that begins and ends at whole pixels; the score is the steps on its lines,
            as a fraction of those on the lines of the grid at hand.
    """

    def __init__(self, view, across, mask, block, origin):
        self.block, self.origin = block, origin
        self.across, self.length = across, view.shape[1]
        first = max(1, across.start - _BESIDE)
        last = min(self.length, across.stop + _BESIDE + 1)
        room = max(0, across.start - first), max(0, last - across.stop)
        hole = np.pad(mask, ((0, 0), room), mode="edge")[:, -(last - first) :]
        steps = np.abs(np.diff(view[:, first - 1 : last].astype(np.int16), axis=1))
        profile = (steps * hole).sum(0) / np.maximum(hole.sum(0), 8)
        profile = np.maximum(profile - np.median(profile), 0)
        self.profile, self.first = np.minimum(profile, LINE_CAP), first
        self.best = {pixel: (0.0, block, origin) for pixel in _PIXELS}
        self._fit()

    def _fit(self):
        at = self.first + np.arange(len(self.profile))
        own = self.profile[on_comb(at, self.block, self.origin)].sum()
        if own <= 0:
            return
        for low, high, off in self._ends():
            n = round((high - low) / self.block)
            other = abs((high - low) / max(n, 1) / self.block - 1)
            if n < 1 or other > _OFF:
                continue
            for pixel in _PIXELS:
                at = lines_from(low, (high - low) / n, n, pixel) - self.first
                at = at[(at >= 0) & (at < len(self.profile))]
                score = float(self.profile[at].sum() / own)
                score -= _AWAY * off + _OTHER * other
                if score > self.best[pixel][0]:
                    self.best[pixel] = score, (high - low) / n, float(low)

    def _ends(self) -> Iterator[tuple[int, int, float]]:
        """Yield where the part that was shrunk may begin and end, and how far off."""
        yield 0, self.length, 0.0
        starts, stops = (self._near(at) for at in (self.across.start, self.across.stop))
        for low in starts:
            for high in stops:
                if low < high:
                    off = abs(low - self.across.start) + abs(high - self.across.stop)
                    yield low, high, off / self.block

    def _near(self, side):
        """Return the pixels near a side of the region that are near a line."""
        reach = round(_REACH * self.block)
        at = np.arange(max(0, side - reach), min(self.length, side + reach) + 1)
        off = np.abs((at - self.origin + self.block / 2) % self.block - self.block / 2)
        return at[off <= _NEAR].tolist()

    def chosen(self, pixel):
        """Return block and origin, if lines are of that kind; `None` is either."""
        score, block, origin = (
            max(self.best.values()) if pixel is None else self.best[pixel]
        )
        if self.block % 1 == 0 == self.origin % 1:
            # Three blocks of 52 pixels have inner lines of blocks of 17 as well. Of
            # blocks that are nearly as large the last one was cut.
            length = self.across.stop - self.across.start
            is_other = abs(block / self.block - 1) > _ALIKE
            if is_other and score >= 1 + _LINE * self.block / length:
                return block, origin
            return self.block, self.origin
        if pixel is None:
            return self.block, self.origin
        if score >= _EXPLAINED:
            return block, origin
        # The lines at hand are those of pixels whose middles lie in a block.
        return self.block, self.origin - (0.5 - pixel)
