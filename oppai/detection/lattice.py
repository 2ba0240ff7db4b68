"""Grids of mosaics: vote for them by periodic edges, and score their evidence."""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import Region
from oppai.detection.segmenter import SAMPLES, load_weights, steps

# Side of the window, least and greatest block, and how long a step must run along its
# line, all in pixels. A window shows four blocks or more of its greatest size. Sizes
# overlap: both sides of a block that is not square are searched in one window.
_SCALES = (
    (24, 4, 6, 3),
    (36, 5, 9, 4),
    (48, 6, 12, 6),
    (72, 8, 18, 6),
    (104, 12, 26, 8),
    (128, 17, 32, 8),
    (192, 17, 32, 8),
)
_STRIDES = 4  # steps of a window along its own side
_CAP = 16  # levels: a stronger step counts no more
_LINE_CAP = 4.0  # mean levels: a line of the grid counts no more


def find_grids(
    grey: np.ndarray, *, least: float = 0.4, most: int = 16
) -> list[tuple[Grid, list[tuple[int, int, int]]]]:
    """Find grids that many windows of a picture agree on, the likeliest first.

    In every window the profile of long sharp steps along x, and along y, is compared
    with all combs of 4 to 32 pixels; the score is the fraction of the steps that
    lies on the best comb, less chance.

    Args:
        grey: uint8 `(height, width)`.
        least: Least score of a window along either side. Defaults to 0.4.
        most: Number of grids at most. Defaults to 16.

    Returns:
        List of `(Grid, windows)`; windows are `(left, top, side)` in pixels.
    """
    turned = np.ascontiguousarray(grey.T)
    across, down = steps(grey)[1], steps(turned)[1]
    votes: dict[tuple, float] = defaultdict(float)
    windows: dict[tuple, list[tuple[int, int, int]]] = defaultdict(list)
    for size, lo, hi, length in _SCALES:
        if min(grey.shape) < size:
            break
        x_sums = _window_profiles(long_steps(across, length), size)
        y_sums = _window_profiles(long_steps(down, length), size)
        keys = _combs(size, lo, hi)[1]
        for i, j, x_profile, y_profile in _busy(x_sums, y_sums, size):
            (sx, kx), (sy, ky) = (
                _best(p, size, lo, hi) for p in (x_profile, y_profile)
            )
            x, y = j * (size // _STRIDES), i * (size // _STRIDES)
            score = np.minimum(sx, sy)
            for n in np.flatnonzero(score > least):
                (p, o), (q, r) = keys[kx[n]], keys[ky[n]]
                # A tuple, since a `Grid` takes long to make a million times.
                key = int(p), int((x[n] + o) % p), int(q), int((y[n] + r) % q)
                votes[key] += float(score[n]) * size * size
                windows[key].append((int(x[n]), int(y[n]), size))
    best = sorted(votes, key=votes.__getitem__, reverse=True)[:most]
    return [(Grid((k[0], k[2]), (k[1], k[3])), windows[k]) for k in best]


def long_steps(sharp: np.ndarray, length: int) -> np.ndarray:
    """Return the steps that run over some rows: uint8 `(height, width)`, capped."""
    import cv2

    # The least of 16 levels and of all rows along the line.
    return cv2.erode(np.minimum(sharp, np.uint8(_CAP)), np.ones((length, 1), np.uint8))


def best_comb(profile: np.ndarray, *, tie: float = 0.1) -> tuple[int, int, float]:
    """Return the block and origin that explain one profile of steps best.

    A fraction of the block explains the same steps as well: of the best combs the one
    with the largest block is taken. It has three lines or more.

    Args:
        profile: float `(length,)`, mean steps on each line of pixels.
        tie: By how much a larger block's score may be lower. Defaults to 0.1.

    Returns:
        `(block, origin, score)`; the score is 0 if nothing fits.
    """
    profile = np.minimum(profile, _LINE_CAP).astype(np.float32)
    length = len(profile)
    if length < 12:
        return 4, 0, 0.0
    (scores,), keys = _scores(profile[None], 4, min(32, length // 2))
    best = np.flatnonzero(scores >= scores.max() - tie)
    best = best[keys[best, 0] == keys[best, 0].max()]
    k = best[scores[best].argmax()]
    return int(keys[k][0]), int(keys[k][1]), float(scores[k])


def comb_score(profile: np.ndarray, block: int, origin: int) -> float:
    """Return the fraction of a profile of steps on a comb, less chance: up to 1."""
    profile = np.minimum(profile, _LINE_CAP)
    on, chance = profile[origin::block].sum() / max(profile.sum(), 1e-6), 1 / block
    return float((on - chance) / (1 - chance))


def coarsest_grid(grey: np.ndarray, region: Region) -> Grid:
    """Return a mosaic's grid, or a multiple on which nearly all its steps lie.

    Args:
        grey: uint8 `(height, width)`.
        region: A `Region` with a grid.

    Returns:
        A `Grid`.
    """
    (left, top, _, _), mask = region.box, region.mask
    inside = grey[region.slices].astype(np.int32)
    sides, origins = _whole(region)
    blocks, starts = [], []
    for view, hole, start, block, origin, across in (
        (inside, mask, left, sides[0], origins[0], sides[1]),
        (inside.T, mask.T, top, sides[1], origins[1], sides[0]),
    ):
        rise = np.maximum(np.abs(np.diff(view, axis=1)) - 2, 0)
        lines = (rise * (hole[:, 1:] & hole[:, :-1])).sum(0)
        place = np.arange(1, len(lines) + 1) + start
        for times in (2, 2, 2, 3):  # blocks have 4 to 32 pixels
            number, rest = np.divmod(place - origin, block)
            if np.count_nonzero(rest == 0) < 2 * times + 1 or block * times > 32:
                continue
            sums = np.bincount(number % times, lines * (rest == 0), times)
            # Blocks are square nearly always.
            least = 0.7 if block * times == across else 0.85
            if sums.max() > least * sums.sum():
                origin = (origin + int(sums.argmax()) * block) % (block * times)
                block *= times
        blocks.append(block)
        starts.append(origin)
    return Grid((blocks[0], blocks[1]), (starts[0], starts[1]))


def _best(profiles, size, lo, hi):
    scores, _ = _scores(profiles, lo, hi)
    k = scores.argmax(1)
    return scores[np.arange(len(k)), k], k


def _scores(profiles, lo, hi):
    comb, keys = _combs(profiles.shape[1], lo, hi)
    total = profiles.sum(1, keepdims=True)
    chance = 1 / keys[:, 0]
    scores = (profiles @ comb / np.maximum(total, 1e-6) - chance) / (1 - chance)
    n_lines = (profiles > 0.1).astype(np.float32) @ comb
    return np.where(n_lines < 3, 0, scores), keys


@lru_cache(maxsize=32)
def _combs(length, lo, hi):
    """Return all combs, float32 `(length, n)`, and `(block, origin)` of each."""
    keys = [(p, o) for p in range(lo, hi + 1) for o in range(p)]
    comb = np.zeros((length, len(keys)), np.float32)
    for k, (p, o) in enumerate(keys):
        comb[o::p, k] = 1
    return comb, np.array(keys)


def _window_profiles(steps, size):
    """Return means of all strips of a window's height: float32 `(n strips, width)`."""
    import cv2

    s = size // _STRIDES
    n, width = len(steps) // s, steps.shape[1]
    strips = np.empty((n, width), np.float32)
    for i in range(n):
        cv2.reduce(steps[i * s : (i + 1) * s], 0, cv2.REDUCE_SUM, strips[i : i + 1], 5)
    rows = n - _STRIDES + 1
    return sum(strips[i : i + rows] for i in range(_STRIDES)) / np.float32(s * _STRIDES)


def _busy(x_sums, y_sums, size, batch=4096):
    """Yield the windows with three lines of steps or more each way, in batches."""
    s = size // _STRIDES
    rows = np.minimum(x_sums, _LINE_CAP), np.minimum(y_sums, _LINE_CAP)
    n_x, n_y = _n_lines(rows[0], size), _n_lines(rows[1], size).T
    ny, nx = min(len(n_x), len(n_y)), min(n_x.shape[1], n_y.shape[1])
    i, j = np.nonzero((n_x[:ny, :nx] >= 3) & (n_y[:ny, :nx] >= 3))
    span = np.arange(size)
    for start in range(0, len(i), batch):
        a, b = i[start : start + batch], j[start : start + batch]
        yield (
            a,
            b,
            rows[0][a[:, None], b[:, None] * s + span],
            rows[1][b[:, None], a[:, None] * s + span],
        )


def _n_lines(rows, size):
    s = size // _STRIDES
    n = rows.shape[1] // s
    hit = (rows[:, : n * s] > 0.1).reshape(len(rows), n, s).sum(2)
    return sum(hit[:, k : n - _STRIDES + 1 + k] for k in range(_STRIDES))


_LEVELS = 2, 6, 12  # grey levels from which a difference counts as a step
_MOST = 600  # cells: more of them are no further evidence
_REACH = 3.0  # standard deviations: nothing further out was seen in training
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
)
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
        float32 `(14,)`, named in `NAMES`.
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
        float(_is_jpeg_grid(grid)),
        np.log2(block) - 3,
        np.log1p(shrink * n_cells),
    ]
    return np.array(values, np.float32)


def weigh(evidence: np.ndarray) -> float:
    """Return the log odds that a region is a mosaic."""
    weights = load_weights()
    x = (evidence - weights["evidence.mean"]) / weights["evidence.scale"]
    return float(with_products(x) @ weights["evidence.w"] + weights["evidence.b"])


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
    profiles = step_profiles(grey, region)
    return [
        comb_score(profile, block, (origin - start) % block)
        for profile, start, block, origin in zip(
            profiles, region.box[:2], *_whole(region), strict=True
        )
    ]


def step_profiles(grey: np.ndarray, region: Region) -> list[np.ndarray]:
    """Return the means of a region's long sharp steps on its columns and its rows."""
    inside, mask = grey[region.slices], region.mask
    (block_x, block_y), _ = _whole(region)
    profiles = []
    for view, hole, length in ((inside, mask, block_y), (inside.T, mask.T, block_x)):
        sharp = steps(np.ascontiguousarray(view))[1]
        long = long_steps(sharp, max(3, length // 2))
        profiles.append((long * hole).sum(0) / np.maximum(hole.sum(0), 8))
    return profiles


def _whole(region):
    return region.grid.whole


def _is_jpeg_grid(grid):
    """Return whether the blocks of a JPEG may make the grid."""
    return not any(value % 8 for pair in grid.whole for value in pair)
