"""Straighten a grid: every block gets the same whole number of pixels.

Programs draw blocks of 10.67 pixels as 10 or 11 pixels each. With one pixel more or
less within each block they are blocks of 11, as everything that looks at cells takes
them.
"""

import math
from dataclasses import dataclass

import numpy as np

from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import Box, Region, bounds, region_at


@dataclass(frozen=True, eq=False)
class Straight:
    """A picture whose grid has whole pixels, and the way back.

    Args:
        grey: uint8 `(rows, columns)`, the picture with some lines twice or left out.
        grid: Its `Grid`, of whole pixels.
        own: The `Grid` in the picture itself.
        columns: int `(columns,)`, the picture's column at each.
        rows: int `(rows,)`, the picture's row at each.
        size: `(width, height)` of the picture.
    """

    grey: np.ndarray
    grid: Grid
    own: Grid
    columns: np.ndarray
    rows: np.ndarray
    size: tuple[int, int]

    def box(self, box: Box) -> Box:
        """Return where a box of the picture lies."""
        left, right = np.searchsorted(self.columns, (box[0], box[2])).tolist()
        top, bottom = np.searchsorted(self.rows, (box[1], box[3])).tolist()
        return left, top, right, bottom

    def back(self, region: Region) -> Region | None:
        """Return a region as it lies in the picture; `None` if nothing of it does.

        Its grid keeps its number of blocks: of a grid twice as coarse, the picture's is
        twice as coarse as its own.
        """
        width, height = self.size
        across = np.searchsorted(self.columns, np.arange(width)).clip(
            max=len(self.columns) - 1
        )
        down = np.searchsorted(self.rows, np.arange(height)).clip(
            max=len(self.rows) - 1
        )
        left, top, right, bottom = region.box
        xs = np.flatnonzero((across >= left) & (across < right))
        ys = np.flatnonzero((down >= top) & (down < bottom))
        if not (len(xs) and len(ys)):
            return None
        mask = region.mask[down[ys] - top][:, across[xs] - left]
        inner = bounds(mask)
        if inner is None:
            return None
        x, y, x1, y1 = inner
        return region_at(
            (int(xs[0]) + x, int(ys[0]) + y),
            mask[y:y1, x:x1],
            kind=region.kind,
            grid=self.grid_back(region.grid),
            confidence=region.confidence,
        )

    def grid_back(self, grid: Grid | None) -> Grid | None:
        """Return a grid of the straight picture as it lies in the picture."""
        if grid is None:
            return None
        blocks, origins = [], []
        for axis in (0, 1):
            scale = self.own.block[axis] / self.grid.block[axis]
            shift = grid.origin[axis] - self.grid.origin[axis]
            blocks.append(grid.block[axis] * scale)
            origins.append(self.own.origin[axis] + shift * scale)
        return Grid((blocks[0], blocks[1]), (origins[0], origins[1]))


def straighten(grey: np.ndarray, grid: Grid) -> Straight:
    """Return a picture in which every block of a grid has equally many pixels.

    Args:
        grey: uint8 `(height, width)`.
        grid: A `Grid`, of whole pixels or not.

    Returns:
        A `Straight`; the picture itself where the grid is of whole pixels.
    """
    height, width = grey.shape
    columns, block_x, x = _lines(width, grid.block[0], grid.origin[0])
    rows, block_y, y = _lines(height, grid.block[1], grid.origin[1])
    straight = Grid((block_x, block_y), (x, y))
    if len(columns) != width or (columns != np.arange(width)).any():
        grey = grey[:, columns]
    if len(rows) != height or (rows != np.arange(height)).any():
        grey = grey[rows]
    grey = np.ascontiguousarray(grey)
    return Straight(grey, straight, grid, columns, rows, (width, height))


def borders(length: int, block: float, origin: float) -> np.ndarray:
    """Return the first pixel of each block: int, the first at 0 or before.

    A pixel belongs to the block in which its middle lies. The last one is at `length`
    or beyond.
    """
    first = math.floor((0.5 - origin) / block)
    last = math.ceil((length + 0.5 - origin) / block)
    return np.ceil(origin + block * np.arange(first, last + 1) - 0.5).astype(int)


def _lines(length, block, origin):
    """Return the lines of a straight picture, its block and its origin."""
    starts = borders(length, block, origin)
    side = max(1, round(block))
    n = np.diff(starts)
    inner = (np.arange(side) + 0.5) * n[:, None] / side
    lines = starts[:-1, None] + np.floor(inner).astype(int)
    inside = (lines >= 0) & (lines < length)
    before = int(inside[0].sum()) if starts[0] < 0 else 0
    return lines[inside], side, before % side
