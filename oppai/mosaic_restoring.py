"""Restore the marked parts of a picture with a restorer that sees mosaics."""

import math
from dataclasses import dataclass

import numpy as np

from oppai.grids import Grid
from oppai.regions import Region, cut_square, find_regions

SIDE = 256
# Mosaics are shrunk until their blocks have at most so many pixels: the network has
# seen blocks of 4 to 32.
_LARGEST_BLOCK = 24


@dataclass(frozen=True)
class Mosaic:
    """One mosaic in a picture.

    Args:
        hole: bool `(height, width)` of the whole picture.
        grid: Its `Grid` in pixels of the picture.
    """

    hole: np.ndarray
    grid: Grid


@dataclass(frozen=True)
class Task:
    """A region, and what the network is told of it.

    Args:
        region: A `Region`.
        mosaic: Its `Mosaic`, or `None` where content is missing.
    """

    region: Region
    mosaic: Mosaic | None


def plan_tasks(alpha, mosaics):
    """Part what is marked into mosaics, at their own scale, and missing parts.

    A mosaic is covered by squares of 256 pixels of the picture that overlap by a
    quarter; of larger squares, brought to 256, where its blocks are larger than 24. The
    rest goes as in `oppai.regions.find_regions`.

    Args:
        alpha: uint8 `(height, width)`, 0 = kept.
        mosaics: List of `Mosaic`.

    Returns:
        List of `Task`; their pixels are disjoint.
    """
    tasks, rest = [], alpha.copy()
    for mosaic in mosaics:
        hole = mosaic.hole & (rest > 0)
        if not hole.any():
            continue
        ys, xs = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
        box = int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1
        inside = np.s_[box[1] : box[3], box[0] : box[2]]
        part = np.where(hole[inside], rest[inside], 0)
        shrink = max(1.0, max(mosaic.grid.block) / _LARGEST_BLOCK)
        squares = tile_squares(box, alpha.shape[::-1], round(SIDE * shrink))
        tasks.append(Task(Region(box, part, squares), mosaic))
        rest[hole] = 0
    if rest.any():
        tasks += [Task(r, None) for r in find_regions(rest, SIDE)]
    return tasks


def tile_squares(box, size, side):
    """Squares of one side that cover a box with context round it.

    Args:
        box: Int `(left, top, right, bottom)` inside the picture.
        size: `(width, height)` of the picture.
        side: Of the squares, in pixels. Where the picture is smaller they overhang it.

    Returns:
        List of int boxes.
    """
    corners = []
    for axis in (0, 1):
        margin = side // 8
        start = max(box[axis] - margin, 0)
        stop = min(box[axis + 2] + margin, size[axis])
        if stop - start <= side:
            middle = (start + stop - side) // 2
            corners.append([min(max(middle, 0), max(size[axis] - side, 0))])
            continue
        count = 1 + math.ceil((stop - start - side) / (side * 3 // 4))
        spread = np.linspace(start, stop - side, count)
        corners.append(spread.round().astype(int).tolist())
    return [(x, y, x + side, y + side) for y in corners[1] for x in corners[0]]


def predict_tasks(picture, alpha, tasks, restorer, batch_size=4):
    """Predict every square of every task, a batch at a time.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        alpha: uint8 `(height, width)`, 0 = valid.
        tasks: List of `Task`.
        restorer: An `oppai.MosaicRestorer`.
        batch_size: Squares at once. Defaults to 4.

    Yields:
        uint8 `(256, 256, 3)`, in the order of the tasks and their squares.
    """
    hole = alpha > 0
    jobs = [(t.mosaic, square) for t in tasks for square in t.region.squares]
    for start in range(0, len(jobs), batch_size):
        cut = [_cut(picture, hole, *job) for job in jobs[start : start + batch_size]]
        patches, masks, grids, missing = zip(*cut, strict=True)
        yield from restorer.restore_patches(
            np.stack(patches),
            np.stack(masks),
            grids,
            missing=np.stack(missing),
            batch_size=batch_size,
        )


def _cut(picture, hole, mosaic, square):
    patch, mask = cut_square(picture, hole, square, SIDE)
    mask = mask[..., 0]
    if mosaic is None:
        return patch, mask, None, mask < 255
    left, top, right, _ = square
    grid = mosaic.grid.moved(-left, -top).scaled(SIDE / (right - left))
    _, others = cut_square(picture, hole & ~mosaic.hole, square, SIDE)
    return patch, mask, grid, others[..., 0] < 255
