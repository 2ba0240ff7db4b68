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

_BOX = 0.85  # part of the box around a region that it fills, to have corners
# Blocks by which a side of a region may be off, and pixels by which a grid's line.
_REACH, _NEAR = 2.1, 1.5
_PLAIN = 0.7  # part of a region's pixels that begin no block
_BESIDE = 3  # pixels more that are looked at
_STRONG = 16  # levels: a stronger step counts no more
_OFF = 0.04  # by which a block's size may be off, as a fraction; of few blocks `_NEAR`
# What a score loses for each block by which a side is off, and for a block of another
# size: of those with the same lines, the one at hand is the middle one.
_AWAY, _OTHER = 0.03, 0.5
# How much of the steps on a grid's lines those from a corner may leave unexplained, and
# by how much one kind of lines has to be better than the other.
_LOSS, _SURER = 0.03, 0.06
# Lines more that a grid from a corner has to explain than one of whole pixels does, and
# by how much its blocks have to differ.
_LINE, _ALIKE = 0.5, 0.01
_FEW = 8  # oblong blocks of whole pixels that may as well be of others
_NEVER = -1e3  # a score
_LACKING = 0.7  # part of a step that a line without one costs
_EITHER = 0.25  # pixels: half of what the two kinds of lines differ by
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
        block: In pixels; `n` of them are whole pixels long.
        n: Number of blocks.
        pixel: Which point of a pixel lies in its block: 0.5, the middle; 0, the edge.

    Returns:
        int `(n + 1,)`.
    """
    length = round(n * block)
    step = n / length
    # As the programs round, where a point lies exactly between two blocks: OpenCV
    # multiplies, Pillow adds the step again and again.
    if pixel == 0:
        places = np.arange(length) * (1 / (length / n))
    else:
        places = np.cumsum(np.append(pixel * step, np.full(length - 1, step)))
    lines = np.searchsorted(np.floor(places), np.arange(n + 1))
    return start + lines


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
    pixel: float | None = _PIXELS[int(edge > middle)]
    if abs(middle - edge) < _SURER or not any(s.is_corner(pixel) for s in sides):
        pixel = None
    # Who cuts blocks draws squares of whole pixels. Many lines of such are no chance.
    is_square = grid.block[0] == grid.block[1]
    most = 0 if is_square else _FEW if grid.is_whole else np.inf
    (x, left), (y, top) = (side.chosen(pixel, most) for side in sides)
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
        best: Dict from the kind of lines to `(score, gain, block, origin)` of the best
            grid that begins and ends at whole pixels. The score is the steps on its
            lines less those between them, as a fraction of those on the lines of the
            grid at hand; the gain is how much more that is than of the grid at hand,
            cut at the same pixels.
    """

    def __init__(self, view, across, mask, block, origin):
        self.block, self.origin = block, origin
        self.across, self.length = across, view.shape[1]
        self.extent = across.stop - across.start
        self.is_box = mask.mean() >= _BOX
        self.reach = round(_REACH * block)
        room = self.reach + _BESIDE
        first = max(1, across.start - room)
        last = min(self.length, across.stop + room + 1)
        room = max(0, across.start - first), max(0, last - across.stop)
        hole = np.pad(mask, ((0, 0), room), mode="edge")[:, -(last - first) :]
        steps = np.abs(np.diff(view[:, first - 1 : last].astype(np.int16), axis=1))
        # What a few rows beyond the rim show counts little.
        steps = np.minimum(steps, _STRONG)
        profile = (steps * hole).sum(0) / np.maximum(hole.sum(0), 8)
        # A region at the picture's edge may have no pixel after its first line.
        own = profile[room[0] : len(profile) - room[1]]
        profile = np.maximum(profile - (np.quantile(own, _PLAIN) if len(own) else 0), 0)
        self.profile, self.first = np.minimum(profile, LINE_CAP), first
        self.best = {pixel: (_NEVER, -1.0, block, origin) for pixel in _PIXELS}
        self._fit()

    def _fit(self):
        pixels = np.arange(self.first, self.first + len(self.profile))
        lines = pixels[on_comb(pixels, self.block, self.origin)]
        inner = lines[(lines > self.across.start) & (lines < self.across.stop)]
        total = self.profile[inner - self.first].sum()
        if total <= 0:
            return
        for low, high, off in self._ends():
            n = round((high - low) / self.block)
            other = abs((high - low) / max(n, 1) / self.block - 1)
            if n < 1 or other > max(_OFF, _NEAR / self.extent):
                continue
            is_part = off is not None
            seen = (low, high) if is_part else (self.across.start, self.across.stop)
            # The grid at hand may be cut there as well.
            cut = np.r_[low, lines, high]
            own = self._score(cut, *seen) - self._lacking(cut, *seen)
            for pixel in _PIXELS:
                at = lines_from(low, (high - low) / n, n, pixel)
                score = self._score(at, *seen)
                gain = (score - self._lacking(at, *seen) - own) / total
                gain -= _OTHER * other
                score = score / total - _AWAY * (off or 0) - _OTHER * other
                if score > self.best[pixel][0]:
                    self.best[pixel] = score, gain, (high - low) / n, float(low)

    def _score(self, lines, low, high):
        """Return the steps on some lines less all others between two pixels."""
        steps = self.profile[max(0, low - self.first) : max(0, high + 1 - self.first)]
        return float(2 * self._steps(lines, low, high).sum() - steps.sum())

    def _lacking(self, lines, low, high):
        """Return what lines between two pixels lack, where blocks differ or not."""
        return _LACKING * float((LINE_CAP - self._steps(lines, low, high)).sum())

    def _steps(self, lines, low, high):
        lines = np.unique(lines[(lines >= low) & (lines <= high)]) - self.first
        return self.profile[lines[(lines >= 0) & (lines < len(self.profile))]]

    def _ends(self) -> Iterator[tuple[int, int, float | None]]:
        """Yield where the part that was shrunk may begin and end, and how far off.

        The whole picture, of which the region may be any part, is off by `None`.
        """
        yield 0, self.length, None
        if not self.is_box:
            return
        starts, stops = (self._near(at) for at in (self.across.start, self.across.stop))
        for low in starts:
            for high in stops:
                if low < high:
                    off = abs(low - self.across.start) + abs(high - self.across.stop)
                    yield low, high, off / self.block

    def _near(self, side):
        """Return the pixels near a side of the region that are near a line."""
        low, high = side - self.reach, side + self.reach
        at = np.arange(max(0, low), min(self.length, high) + 1)
        off = np.abs((at - self.origin + self.block / 2) % self.block - self.block / 2)
        return at[off <= _NEAR].tolist()

    def is_corner(self, pixel):
        """Return whether a grid from a corner explains the lines as well."""
        return self.best[pixel][0] > 0 and self.best[pixel][1] >= -_LOSS

    def chosen(self, pixel, most):
        """Return block and origin.

        Args:
            pixel: The kind of lines; `None` is either.
            most: Blocks of whole pixels up to which the last one is not cut.
        """
        kind = pixel
        if kind is None:
            kind = max(_PIXELS, key=lambda pixel: self.best[pixel])
        _, gain, block, origin = self.best[kind]
        others = {grid[2:] for grid in self.best.values()}
        if pixel is None and len(others) > 1:
            # Halfway between the lines of one program and those of the other.
            origin += _EITHER if kind == 0 else -_EITHER
        if self.block % 1 == 0 == self.origin % 1:
            # Three blocks of 52 pixels have inner lines of blocks of 17 as well. Of
            # square blocks that are nearly as large the last one was cut.
            is_other = abs(block / self.block - 1) > _ALIKE
            more = is_other and gain >= _LINE * self.block / self.extent
            is_cut = self.extent > most * self.block
            if more or (not is_cut and gain >= -_LOSS):
                return block, origin
            return self.block, self.origin
        if gain >= -_LOSS:
            return block, origin
        # The lines at hand are those of pixels whose middles lie in a block.
        shift = _EITHER if pixel is None else 0.5 - pixel
        return self.block, self.origin - shift
