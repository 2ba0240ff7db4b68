"""Grids of mosaics: windows of a picture vote for them by periodic steps."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from illustkit import progress
from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import Region
from oppai.detection.grids.combs import (
    LINE_CAP,
    MOST,
    bank_scores,
    fit_comb,
    long_steps,
    on_comb,
)
from oppai.detection.segmenter import steps

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
_SEEDS = 48  # grids that are fitted at most
# Blocks over `MOST` are found by halves of them: up to how many pixels, and how many
# blocks of a side have to be seen.
_COARSEST, _SEEN = 64, 3.5


@dataclass(frozen=True, eq=False)
class _Votes:
    """Windows in which one comb along x and one along y explain the steps.

    Args:
        place: int `(n, 3)`: left, top and side.
        block: float `(n, 2)`: width and height.
        line: float `(n, 2)`: a line of each comb in the window's middle, in pixels of
            the picture.
        score: float `(n,)`.
        length: int `(n,)`, how long a step had to run.
    """

    place: np.ndarray
    block: np.ndarray
    line: np.ndarray
    score: np.ndarray
    length: np.ndarray

    def alike(self, grid: Grid) -> np.ndarray:
        """Return which windows agree with a grid: bool `(n,)`."""
        agree = np.ones(len(self.score), bool)
        for axis, (block, origin) in enumerate(
            zip(grid.block, grid.origin, strict=True)
        ):
            # What a window cannot tell: a pixel at its ends.
            off = np.abs(self.block[:, axis] / block - 1)
            agree &= off < 1.5 / self.place[:, 2]
            shift = self.line[:, axis] - origin
            shift = np.abs((shift + block / 2) % block - block / 2)
            agree &= shift <= 1.25
        return agree


def find_grids(
    grey: np.ndarray,
    *,
    whole: bool,
    least: float = 0.4,
    most: int = 16,
    measure: Callable[[np.ndarray], np.ndarray] | None = None,
) -> list[tuple[Grid, list[tuple[int, int, int]]]]:
    """Find grids that many windows of a picture agree on, the likeliest first.

    In every window the profile of long sharp steps along x, and along y, is compared
    with all combs of 4 to 32 pixels; the score is the fraction of the steps that lies
    on the best comb, less chance. Windows with the same grid of whole pixels vote for
    it. Of other grids, that of the surest window is fitted to more and more of the
    picture around it, and takes the windows that agree with it; then the next one's.

    Args:
        grey: uint8 `(height, width)`.
        whole: Whether blocks are whole pixels wide and high, or any size.
        least: Least score of a window along either side. Defaults to 0.4.
        most: Number of grids at most. Defaults to 16.
        measure: Function from a grey picture to its steps along x, uint8 of the same
            size. Defaults to `None`, the sharp ones of `steps`.

    Returns:
        List of `(Grid, windows)`; windows are `(left, top, side)` in pixels.
    """
    measure = measure or (lambda view: steps(view)[1])
    sharp = measure(grey), measure(np.ascontiguousarray(grey.T))
    found = list(_windows(sharp, grey.shape, least, whole))
    if not found:
        return []
    if whole:
        return _most_voted(found, most)
    votes = _Votes(*(np.concatenate(v) for v in zip(*found, strict=True)))
    weight = votes.score * votes.place[:, 2] ** 2
    free, grids = np.ones(len(weight), bool), []
    for _ in range(_SEEDS):
        if not free.any():
            break
        seed = int(np.where(free, weight, 0).argmax())
        grid = _fitted(votes, seed, sharp)
        agree = votes.alike(grid)
        free[seed], own = False, agree & free
        own[seed] = True
        free &= ~agree
        windows = [tuple(place) for place in votes.place[own].tolist()]
        grids.append((float(weight[own].sum()), grid, windows))
    grids.sort(key=lambda g: -g[0])
    return [(grid, windows) for _, grid, windows in grids[:most]]


def _most_voted(found, most):
    """Return the grids of whole pixels for which the most windows vote."""
    votes: dict[tuple, float] = defaultdict(float)
    windows: dict[tuple, list] = defaultdict(list)
    for places, blocks, lines, scores, _ in found:
        for place, block, line, score in zip(
            places.tolist(), blocks, lines, scores.tolist(), strict=True
        ):
            key = (*block, *(line % block))
            votes[key] += score * place[2] ** 2
            windows[key].append(tuple(place))
    best = sorted(votes, key=votes.__getitem__, reverse=True)[:most]
    return [(Grid(k[:2], k[2:]), windows[k]) for k in best]


def _fitted(votes, seed, sharp):
    """Fit a window's combs to the picture around it: a `Grid`."""
    left, top, side = votes.place[seed].tolist()
    height, width = sharp[0].shape
    blocks, origins = votes.block[seed].tolist(), votes.line[seed].tolist()
    length, run = side, int(votes.length[seed])
    middle = left + side // 2, top + side // 2
    for reach in (side, 2 * side):
        grid = Grid((blocks[0], blocks[1]), (origins[0], origins[1]))
        place = votes.place[votes.alike(grid)]
        gap = np.abs(place[:, :2] + place[:, 2:] / 2 - middle)
        place = np.vstack([place[(gap < reach).all(1)], votes.place[seed]])
        x0, y0 = place[:, :2].min(0).clip(0).tolist()
        x1, y1 = (place[:, :2] + place[:, 2:]).max(0).tolist()
        x1, y1 = min(width, x1), min(height, y1)
        views = sharp[0][y0:y1, x0:x1], sharp[1][x0:x1, y0:y1]
        for axis, (view, start) in enumerate(zip(views, (x0, y0), strict=True)):
            profile = long_steps(view, run).mean(0, dtype=np.float32)
            block, origin = fit_comb(
                profile, blocks[axis], origins[axis] - start, length
            )
            blocks[axis] = block
            line = origin + start
            line += block * round((middle[axis] - line) / block)
            origins[axis] = line
        length = max(length, min(x1 - x0, y1 - y0))
    return Grid((blocks[0], blocks[1]), (origins[0], origins[1]))


def _windows(sharp, shape, least, whole):
    """Yield the fields of `_Votes` of all windows whose score is high enough."""
    n = sum(size <= min(shape) for size, *_ in _SCALES)
    progress.begin("looking for grids", n)
    for size, lo, hi, length in _SCALES:
        if min(shape) < size:
            break
        progress.advance()
        x_sums, y_sums = (
            _window_profiles(long_steps(view, length), size) for view in sharp
        )
        for i, j, x_profile, y_profile in _busy(x_sums, y_sums, size):
            corner = np.stack([j, i], 1) * (size // _STRIDES)
            pairs = [_best(p, lo, hi, whole) for p in (x_profile, y_profile)]
            score = np.minimum(pairs[0][0], pairs[1][0])
            (good,) = np.nonzero(score > least)
            if len(good):
                keys = np.stack([pair[1][good] for pair in pairs], 1)
                place = np.c_[corner[good], np.full(len(good), size)]
                line = keys[..., 1] + corner[good]
                lengths = np.full(len(good), length)
                yield place, keys[..., 0], line, score[good], lengths


def _best(profiles, lo, hi, whole):
    scores, keys = bank_scores(profiles, lo, hi, whole)
    k = scores.argmax(1)
    return scores[np.arange(len(k)), k], keys[k]


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


def _busy(x_sums, y_sums, size, batch=1024) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the windows with three lines of steps or more each way, in batches."""
    s = size // _STRIDES
    rows = np.minimum(x_sums, LINE_CAP), np.minimum(y_sums, LINE_CAP)
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


def coarsest_grid(grey: np.ndarray, region: Region) -> Grid:
    """Return a mosaic's grid, or a multiple on which nearly all its steps lie.

    Blocks of 33 to 64 pixels, which no window is searched for, show as their halves.

    Args:
        grey: uint8 `(height, width)`.
        region: A `Region` with a grid.

    Returns:
        A `Grid`.

    Raises:
        ValueError: If the region has no grid.
    """
    (left, top, _, _), mask, grid = region.box, region.mask, region.grid
    if grid is None:
        raise ValueError(f"Only a mosaic has a grid. Received: {region.kind}")
    inside = grey[region.slices].astype(np.int32)
    sides = []
    for view, hole, start, axis in (
        (inside, mask, left, 0),
        (inside.T, mask.T, top, 1),
    ):
        block, origin = grid.block[axis], grid.origin[axis]
        across = grid.block[1 - axis]
        rise = np.maximum(np.abs(np.diff(view, axis=1)) - 2, 0)
        lines = (rise * (hole[:, 1:] & hole[:, :-1])).sum(0)
        place = np.arange(1, len(lines) + 1) + start
        for times in (2, 2, 2, 2, 3):  # blocks have 4 to 64 pixels
            on = on_comb(place, block, origin)
            number = np.floor((place + 0.5 - origin) / block).astype(int)
            coarse = block * times
            least = 0 if coarse <= MOST + 0.5 else _SEEN * coarse
            too_coarse = coarse > _COARSEST + 0.5 or len(lines) < least
            if np.count_nonzero(on) < 2 * times + 1 or too_coarse:
                continue
            sums = np.bincount(number % times, lines * on, times)
            # Blocks are square nearly always.
            least = 0.7 if abs(coarse - across) < 0.05 * across else 0.85
            if sums.max() > least * sums.sum():
                origin = (origin + int(sums.argmax()) * block) % coarse
                block = coarse
        sides.append((block, origin))
    return Grid((sides[0][0], sides[1][0]), (sides[0][1], sides[1][1]))
