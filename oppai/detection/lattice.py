"""What speaks for a mosaic where the network sees one, as one number."""

from collections import defaultdict
from functools import lru_cache

import numpy as np

from oppai.detection.segmenter import PARTS, load_weights, steps

# Side of the window, least and greatest block, and how long a step must run along its
# line, all in pixels. A window shows four blocks or more of its greatest size. Sizes
# overlap: both sides of a block that is not square are looked for in one window.
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
_LINE_CAP = 4.0  # mean levels: a line of the lattice counts no more


def find_lattices(grey, *, least=0.4, most=16):
    """Lattices that many windows of a picture agree on, the likeliest first.

    In every window the profile of long sharp steps along x, and along y, is compared
    with all combs of 4 to 32 pixels; the score is the part of the steps that lies on
    the best comb, less chance.

    Args:
        grey: uint8 `(height, width)`.
        least: Least score of a window along either side. Defaults to 0.4.
        most: Number of lattices at most. Defaults to 16.

    Returns:
        List of `((block x, origin x, block y, origin y), windows)`; windows are
        `(left, top, side)` in pixels.
    """
    turned = np.ascontiguousarray(grey.T)
    across, down = steps(grey)[1], steps(turned)[1]
    votes, windows = defaultdict(float), defaultdict(list)
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
                key = int(p), int((x[n] + o) % p), int(q), int((y[n] + r) % q)
                votes[key] += float(score[n]) * size * size
                windows[key].append((int(x[n]), int(y[n]), size))
    best = sorted(votes, key=votes.get, reverse=True)[:most]
    return [(key, windows[key]) for key in best]


def long_steps(sharp, length):
    """Steps that run over some rows: uint8 `(height, width)`, capped."""
    import cv2

    # The least of 16 levels and of all rows along the line.
    return cv2.erode(cv2.min(sharp, _CAP), np.ones((length, 1), np.uint8))


def best_comb(profile, *, tie=0.1):
    """Block and origin that explain one profile of steps best, three lines or more.

    A part of the block explains the same steps as well: of the best combs the one with
    the largest block is taken.

    Args:
        profile: float `(length,)`, mean steps on each line of pixels.
        tie: What a larger block may lack of the best score. Defaults to 0.1.

    Returns:
        `(block, origin, score)`; the score is 0 where nothing fits.
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


def comb_score(profile, block, origin):
    """Part of one profile of steps that lies on a comb, less chance: float up to 1."""
    profile = np.minimum(profile, _LINE_CAP)
    on, chance = profile[origin::block].sum() / max(profile.sum(), 1e-6), 1 / block
    return float((on - chance) / (1 - chance))


def coarsest(grey, lattice, mask, corner):
    """The lattice, or a multiple of it that nearly all the steps lie on already.

    Args:
        grey: uint8 `(height, width)`.
        lattice: `(block x, origin x, block y, origin y)` in pixels.
        mask: bool, the pixels of a mosaic.
        corner: `(x, y)` of the mask's upper left corner.

    Returns:
        A lattice.
    """
    x, y = corner
    part = grey[y : y + mask.shape[0], x : x + mask.shape[1]].astype(np.int32)
    found = []
    for view, hole, start, (block, origin), other in (
        (part, mask, x, lattice[:2], lattice[2]),
        (part.T, mask.T, y, lattice[2:], lattice[0]),
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
            share = 0.7 if block * times == other else 0.85
            if sums.max() > share * sums.sum():
                origin = (origin + int(sums.argmax()) * block) % (block * times)
                block *= times
        found += [block, origin]
    return tuple(found)


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
    """All combs of a length, float32 `(length, n)`, and `(block, origin)` of each."""
    keys = [(p, o) for p in range(lo, hi + 1) for o in range(p)]
    comb = np.zeros((length, len(keys)), np.float32)
    for k, (p, o) in enumerate(keys):
        comb[o::p, k] = 1
    return comb, np.array(keys)


def _window_profiles(steps, size):
    """Means of all strips of a window's height: float32 `(n strips, width)`."""
    import cv2

    s = size // _STRIDES
    n, width = len(steps) // s, steps.shape[1]
    strips = np.empty((n, width), np.float32)
    for i in range(n):
        cv2.reduce(steps[i * s : (i + 1) * s], 0, cv2.REDUCE_SUM, strips[i : i + 1], 5)
    rows = n - _STRIDES + 1
    return sum(strips[i : i + rows] for i in range(_STRIDES)) / np.float32(s * _STRIDES)


def _busy(x_sums, y_sums, size, batch=4096):
    """Windows with three lines of steps or more along x and along y, in batches."""
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
_MOST = 600  # cells: what larger parts have more of says nothing more
_REACH = 3.0  # standard deviations: nothing further out was seen in training
_FULL = 12  # samples of 16 that are censored in a cell that counts as inside
NAMES = (
    *(f"{name}, {level} levels" for level in _LEVELS for name in ("sides", "whole")),
    "lines",
    "colours",
    "sureness",
    "least of the lattice's scores",
    "mean of the lattice's scores",
    "grid of a JPEG",
    "size of a block",
    "cells",
)
_LINES, _COLOURS = NAMES.index("lines"), NAMES.index("colours")


def gather_evidence(on, middles, share, part, lattice, scores):
    """What is seen of a part of a picture that may be a mosaic, in numbers.

    Args:
        on: float `(4 rows, 4 columns, 2)`, the steps on the lattice along x and y, as
            `lattice_features` scales them.
        middles: int `(rows, columns)`, grey of each cell's middle.
        share: float `(4 rows, 4 columns)`, 0..1, of the network.
        part: bool `(4 rows, 4 columns)`, the part's samples.
        lattice: `(block x, origin x, block y, origin y)` in pixels.
        scores: What `lattice_scores` gives.

    Returns:
        float32 `(14,)`, named in `NAMES`.
    """
    rows, columns = middles.shape
    inside = part.reshape(rows, PARTS, columns, PARTS).sum((1, 3)) >= _FULL
    # As if the part had no more than so many cells, of the same kind.
    n_cells = np.count_nonzero(inside)
    shrink = min(1.0, _MOST / max(n_cells, 1))
    beside_x = inside[:, 1:] & inside[:, :-1]
    beside_y = inside[1:] & inside[:-1]
    values, n_lines = [], 0
    for level in np.log1p(_LEVELS) / 3:
        left = (on[:, ::PARTS, 0] > level).reshape(rows, PARTS, columns).sum(1)
        top = (on[::PARTS, :, 1] > level).reshape(rows, columns, PARTS).sum(2)
        left, top = left[:, 1:] * beside_x, top[1:] * beside_y
        whole = np.count_nonzero(left == PARTS) + np.count_nonzero(top == PARTS)
        touched = np.count_nonzero(left) + np.count_nonzero(top)
        values += [np.log1p(shrink * whole), whole / max(touched, 1)]
        n_lines = n_lines or min(
            (left == PARTS).any(0).sum(), (top == PARTS).any(1).sum()
        )
    n_colours = len(np.unique(middles[inside] // 6))
    sure = np.clip(share[part], 1e-3, 1 - 1e-3)
    block = np.sqrt(lattice[0] * lattice[2])
    values += [
        np.log1p(max(min(n_lines, 2), np.sqrt(shrink) * n_lines)),
        np.log1p(n_colours),
        np.log(sure / (1 - sure)).mean() / 4,
        min(scores),
        sum(scores) / 2,
        float(_is_jpeg_grid(lattice)),
        np.log2(block) - 3,
        np.log1p(shrink * n_cells),
    ]
    return np.array(values, np.float32)


def weigh(evidence):
    """Log odds that a part is one of a mosaic: float."""
    weights = load_weights()
    x = (evidence - weights["evidence.mean"]) / weights["evidence.scale"]
    return float(with_products(x) @ weights["evidence.w"] + weights["evidence.b"])


def with_products(x):
    """Numbers `(…, n)`, cut, and their products in twos: `(…, n + n (n + 1) / 2)`."""
    x = np.clip(x, -_REACH, _REACH)
    i, j = np.triu_indices(x.shape[-1])
    return np.concatenate([x, x[..., i] * x[..., j]], -1)


def is_lattice(evidence):
    """Whether a part has two lines of a lattice each way, and four colours."""
    return bool(evidence[_LINES] >= np.log1p(2) and evidence[_COLOURS] >= np.log1p(4))


def lattice_scores(grey, lattice, mask, corner):
    """Part of the long sharp steps in a mask that lie on a lattice, less chance.

    Args:
        grey: uint8 `(height, width)`.
        lattice: `(block x, origin x, block y, origin y)` in pixels.
        mask: bool, the part's pixels.
        corner: `(x, y)` of the mask's upper left corner.

    Returns:
        `(along x, along y)`, 1 where all do.
    """
    profiles = step_profiles(grey, lattice, mask, corner)
    starts = zip(profiles, corner, lattice[::2], lattice[1::2], strict=True)
    return [
        comb_score(profile, block, (origin - start) % block)
        for profile, start, block, origin in starts
    ]


def step_profiles(grey, lattice, mask, corner):
    """Mean of the long sharp steps in a mask on each of its columns, and its rows."""
    x, y = corner
    part = grey[y : y + mask.shape[0], x : x + mask.shape[1]]
    profiles = []
    for view, hole, length in ((part, mask, lattice[2]), (part.T, mask.T, lattice[0])):
        sharp = steps(np.ascontiguousarray(view))[1]
        long = long_steps(sharp, max(3, length // 2))
        profiles.append((long * hole).sum(0) / np.maximum(hole.sum(0), 8))
    return profiles


def _is_jpeg_grid(lattice):
    """Whether the blocks of a JPEG may make the lattice."""
    return not any(value % 8 for value in lattice)
