"""The evidence that a region is a mosaic: counts of steps on its grid, weighed."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import Region
from oppai.detection.grids.combs import LEAST, comb_score, long_steps
from oppai.detection.grids.straight import borders
from oppai.detection.segmenter import SAMPLES, load_weights, steps

_LEVELS = 2, 6, 12  # grey levels from which a difference counts as a step
_MOST = 600  # cells: more of them are no further evidence
_REACH = 3.0  # standard deviations: nothing further out was seen in training
_SLIGHT = 4, 12  # levels of a change from block to block that shading makes, too
_SAME = 6  # levels by which a pixel may differ from its block's mean
# Variance that blocks leave, at least, and the part of it that their halves may leave,
# where two blocks were taken for one: ramps of a few pixels leave half of it.
_UNEXPLAINED, _HALF_REST = 0.2, 0.33
_FULL = 12  # samples of 16 that are hidden in a cell that counts as inside
NAMES = (
    *(f"{name}, {level} levels" for level in _LEVELS for name in ("sides", "whole")),
    "lines",
    "colours",
    "sureness",
    "least of the grid's scores",
    "mean of the grid's scores",
    "grid of a JPEG",
    "size of a block",
    "cells",
    "oblong",
    "whole pixels",
)
_OF_ANY = 2  # numbers that say nothing where blocks are whole pixels wide
_LINES, _COLOURS = NAMES.index("lines"), NAMES.index("colours")


def gather_evidence(
    on: np.ndarray,
    middles: np.ndarray,
    probability: np.ndarray,
    inside: np.ndarray,
    grid: Grid,
    scores: Sequence[float],
) -> np.ndarray:
    """Measure the evidence that a region of a picture is a mosaic.

    Args:
        on: float `(4 rows, 4 columns, 2)`, the steps on the grid along x and y, as
            `grid_features` scales them.
        middles: int `(rows, columns)`, grey of each cell's middle.
        probability: float32 `(4 rows, 4 columns)`, 0..1, of the network.
        inside: bool `(4 rows, 4 columns)`, the region's samples.
        grid: The `Grid`.
        scores: What `grid_scores` returns.

    Returns:
        float32 `(16,)`, named in `NAMES`.
    """
    rows, columns = middles.shape
    sure = np.clip(probability[inside], 1e-3, 1 - 1e-3)
    inside = inside.reshape(rows, SAMPLES, columns, SAMPLES).sum((1, 3)) >= _FULL
    # As if the region had no more than so many cells, of the same kind.
    n_cells = int(np.count_nonzero(inside))
    shrink = min(1.0, _MOST / max(n_cells, 1))
    beside_x = inside[:, 1:] & inside[:, :-1]
    beside_y = inside[1:] & inside[:-1]
    values, n_lines = [], 0
    for level in np.log1p(_LEVELS) / 3:
        left = (on[:, ::SAMPLES, 0] > level).reshape(rows, SAMPLES, columns).sum(1)
        top = (on[::SAMPLES, :, 1] > level).reshape(rows, columns, SAMPLES).sum(2)
        left, top = left[:, 1:] * beside_x, top[1:] * beside_y
        whole = int((left == SAMPLES).sum() + (top == SAMPLES).sum())
        touched = int(np.count_nonzero(left) + np.count_nonzero(top))
        values += [np.log1p(shrink * whole), whole / max(touched, 1)]
        n_lines = n_lines or min(
            (left == SAMPLES).any(0).sum(), (top == SAMPLES).any(1).sum()
        )
    n_colours = len(np.unique(middles[inside] // 6))
    block = np.sqrt(grid.block[0] * grid.block[1])
    values += [
        np.log1p(max(min(n_lines, 2), np.sqrt(shrink) * n_lines)),
        np.log1p(n_colours),
        np.log(sure / (1 - sure)).mean() / 4,
        min(scores),
        sum(scores) / 2,
        float(is_jpeg_grid(grid)),
        np.log2(block) - 3,
        np.log1p(shrink * n_cells),
        abs(np.log2(grid.block[0] / grid.block[1])),
        float(sum(side % 1 == 0 for side in grid.block)),
    ]
    return np.array(values, np.float32)


def weigh(evidence: np.ndarray, *, whole: bool) -> float:
    """Return the log odds that a region is a mosaic.

    Args:
        evidence: float32 `(16,)` of `gather_evidence`.
        whole: Whether only grids of whole pixels were searched: there are fewer, so
            that less evidence will do.

    Returns:
        Float.
    """
    weights, name = load_weights(), weights_of(whole)
    x = (relevant(evidence, whole) - weights[f"{name}.mean"]) / weights[f"{name}.scale"]
    return float(with_products(x) @ weights[f"{name}.w"] + weights[f"{name}.b"])


def weights_of(whole: bool) -> str:
    """Return what the names of the weights begin with."""
    return "evidence" if whole else "any_evidence"


def relevant(evidence: np.ndarray, whole: bool) -> np.ndarray:
    """Return the numbers that are weighed: among whole pixels all but the last two."""
    return evidence[..., :-_OF_ANY] if whole else evidence


def with_products(x: np.ndarray) -> np.ndarray:
    """Return clipped numbers `(…, n)` and their products: `(…, n + n (n + 1) / 2)`."""
    x = np.clip(x, -_REACH, _REACH)
    i, j = np.triu_indices(x.shape[-1])
    return np.concatenate([x, x[..., i] * x[..., j]], -1)


def is_grid(evidence: np.ndarray) -> bool:
    """Return whether a region has two lines of a grid each way, and four colours."""
    return bool(evidence[_LINES] >= np.log1p(2) and evidence[_COLOURS] >= np.log1p(4))


def grid_scores(grey: np.ndarray, region: Region) -> list[float]:
    """Return the fraction of a region's long sharp steps on its grid, less chance.

    Args:
        grey: uint8 `(height, width)`.
        region: A `Region` with a grid.

    Returns:
        `[along x, along y]`, 1 where all steps lie on the grid.
    """
    return scores_on_grid(step_profiles(grey, region), region)


def scores_on_grid(profiles: list[np.ndarray], region: Region) -> list[float]:
    """Return what `grid_scores` does, from what `step_profiles` returns."""
    grid = _grid_of(region)
    return [
        comb_score(profile, block, origin - start)
        for profile, start, block, origin in zip(
            profiles, region.box[:2], grid.block, grid.origin, strict=True
        )
    ]


def explained_by_blocks(grey: np.ndarray, region: Region) -> float:
    """Return the fraction of a region's local variance that its blocks' means explain.

    The lines of a check lie on a grid too, but the colour beside them is the same.

    Args:
        grey: uint8 `(height, width)`.
        region: A `Region` with a grid.

    Returns:
        1 where every block has one colour; a plain region gives 0.
    """
    return _explained(_beside_means(grey, region), region)


def finest_grid(grey: np.ndarray, region: Region) -> Grid:
    """Return a mosaic's grid, or halves of its blocks if these explain far more.

    Args:
        grey: uint8 `(height, width)`.
        region: A `Region` with a grid.

    Returns:
        A `Grid`; blocks stay four pixels or larger.
    """
    grid = _grid_of(region)
    values = _beside_means(grey, region)
    rest = 1 - _explained(values, region)
    if rest < _UNEXPLAINED:
        return grid
    x, y = grid.block
    sides = [(x / 2, y), (x, y / 2), (x / 2, y / 2)]
    grids = [replace(grid, block=side) for side in sides if min(side) >= LEAST]
    rests = [1 - _explained(values, replace(region, grid=own)) for own in grids]
    if min(rests, default=1.0) > _HALF_REST * rest:
        return grid
    return grids[int(np.argmin(rests))]


def _beside_means(grey, region):
    """Return by how much pixels differ from the means of nine blocks around them."""
    import cv2

    values = grey[region.slices].astype(np.float32)
    size = [2 * round(1.5 * block) + 1 for block in _grid_of(region).block]
    return values - cv2.blur(values, tuple(size))


def _explained(values, region):
    """Return the fraction of some values' variance that blocks' means explain."""
    numbers, values = _numbers(region)[region.mask], values[region.mask]
    counts = np.maximum(np.bincount(numbers), 1)
    means = np.bincount(numbers, values) / counts
    total = float((values**2).mean())
    rest = float(((values - means[numbers]) ** 2).mean())
    return 1 - rest / max(total, 1e-6) if total > 1 else 0.0


def plain_part(grey: np.ndarray, region: Region) -> float:
    """Return the part of a region's pixels that have the colour of their block.

    Of three rows of blocks what lies beyond the rim is much of the variance, and little
    of the pixels.

    Args:
        grey: uint8 `(height, width)`.
        region: A `Region` with a grid.

    Returns:
        0..1; pixels beside a line do not count.
    """
    block, start = _grid_of(region).block, region.box[:2]
    inner = []
    for k, length in enumerate(region.mask.shape[::-1]):
        place = np.arange(length) + 0.5 + start[k] - _grid_of(region).origin[k]
        away = np.minimum(place % block[k], -place % block[k])
        inner.append(away >= min(1, block[k] / 4))
    seen = region.mask & inner[1][:, None] & inner[0]
    numbers, values = _numbers(region)[seen], grey[region.slices][seen].astype(float)
    if not len(numbers):
        return 0.0
    counts = np.maximum(np.bincount(numbers), 1)
    means = np.bincount(numbers, values) / counts
    return float((np.abs(values - means[numbers]) <= _SAME).mean())


def _numbers(region):
    """Return the number of the block of every pixel of a region's box."""
    grid = _grid_of(region)
    x, y = (
        np.floor((np.arange(start, stop) + 0.5 - origin) / block).astype(int)
        for start, stop, origin, block in zip(
            region.box[:2], region.box[2:], grid.origin, grid.block, strict=True
        )
    )
    return (y - y[0])[:, None] * (x[-1] - x[0] + 1) + x - x[0]


def changes_at_lines(grey: np.ndarray, region: Region) -> tuple[int, int]:
    """Count the slight changes from block to block, and those that are steps.

    The frame of a window lies on a grid as well, but the shading of its pane changes
    everywhere, and not where blocks end.

    Args:
        grey: uint8 `(height, width)`.
        region: A `Region` with a grid.

    Returns:
        `(steps, changes)`: pairs of neighbouring blocks whose middles differ by 4 to 12
        levels, and of these such as have half of it between two pixels at their line.
    """
    left, top = region.box[:2]
    grid = _grid_of(region).moved(-left, -top)
    inside, mask = grey[region.slices].astype(np.int16), region.mask
    n_steps = n_changes = 0
    for k, (view, hole) in enumerate(((inside, mask), (inside.T, mask.T))):
        half = int(grid.block[k] / 2)
        across = borders(len(view), grid.block[1 - k], grid.origin[1 - k])
        rows = ((across[:-1] + across[1:]) // 2).clip(0, len(view) - 1)
        lines = borders(view.shape[1], grid.block[k], grid.origin[k])
        lines = lines[(lines > half + 1) & (lines < view.shape[1] - half - 1)]
        if not len(lines):
            continue
        view, hole = view[rows], hole[rows]
        before, after = lines - half - 1, lines + half
        change = np.abs(view[:, after] - view[:, before])
        slight = (change >= _SLIGHT[0]) & (change < _SLIGHT[1])
        slight &= hole[:, before] & hole[:, lines] & hole[:, after]
        # A line may be off by a pixel.
        jumps = [view[:, lines + n] - view[:, lines + n - 1] for n in (-1, 0, 1)]
        is_step = 2 * np.abs(jumps).max(0) >= change
        n_steps += int((slight & is_step).sum())
        n_changes += int(slight.sum())
    return n_steps, n_changes


def step_profiles(grey: np.ndarray, region: Region) -> list[np.ndarray]:
    """Return the means of a region's long sharp steps on its columns and its rows."""
    inside, mask = grey[region.slices], region.mask
    (block_x, block_y), _ = _grid_of(region).whole
    profiles = []
    for view, hole, length in ((inside, mask, block_y), (inside.T, mask.T, block_x)):
        sharp = steps(np.ascontiguousarray(view))[1]
        long = long_steps(sharp, max(3, length // 2))
        profiles.append((long * hole).sum(0) / np.maximum(hole.sum(0), 8))
    return profiles


def _grid_of(region: Region) -> Grid:
    if region.grid is None:
        raise ValueError(f"Only a mosaic has a grid. Received: {region.kind}")
    return region.grid


def is_jpeg_grid(grid: Grid) -> bool:
    """Return whether the blocks of a JPEG may make the grid."""
    return not any(value % 8 for pair in (grid.block, grid.origin) for value in pair)
