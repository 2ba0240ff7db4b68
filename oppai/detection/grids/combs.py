"""Combs: which block and origin, whole or not, explain a profile of steps.

Programs draw blocks of 10.67 pixels as 10 or 11 pixels each. A pixel belongs to the
block in which its middle lies, so that a line of the grid falls on pixel `x` where
`(x + 1/2 - origin) mod block < 1`.
"""

from functools import lru_cache

import numpy as np

LEAST, MOST = 4, 32  # pixels: the blocks that are searched
LINE_CAP = 4.0  # mean levels: a line of the grid counts no more
_CAP = 16  # levels: a stronger step counts no more
_FRACTION = 8  # origins are tried in steps of an eighth of a pixel
_SURE = 0.995  # fraction of the best score that counts as equal
_WHOLE = 0.97  # from which a comb of whole pixels is taken: nearly all are
# Pixels of a profile that are searched for all combs: few, since banks are kept.
_LENGTHS = 160, 120, 90, 64, 48, 32, 24, 16, 12


def on_comb(
    pixels: np.ndarray, block: float | np.ndarray, origin: float | np.ndarray
) -> np.ndarray:
    """Return which pixels begin a block: bool, of the pixels' shape."""
    return (pixels + 0.5 - origin) % block < 1


@lru_cache(maxsize=32)
def _weighed_bank(length, least, most, whole):
    """Return combs, keys, and the combs that score a profile of sum 1, less chance."""
    combs, keys = comb_bank(length, least, most, whole)
    chance = (1 / keys[:, 0]).astype(np.float32)
    # (fraction - chance) / (1 - chance)
    return combs, keys, (combs - chance) / (1 - chance)


def comb_bank(
    length: int, least: float, most: float, whole: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the combs of a window: every block and origin that can be told apart.

    Two neighbouring blocks put the lines at a window's ends half a pixel apart.

    Args:
        length: Of the window in pixels.
        least: Least block in pixels.
        most: Greatest block.
        whole: Only combs of whole pixels. Defaults to `False`.

    Returns:
        `(combs, keys)`: float32 `(length, n)` of 0 and 1, and `(block, origin)` of
        each, float64 `(n, 2)`. Origins lie near the window's middle; those of whole
        pixels in the first block.
    """
    pixels = np.arange(length)[:, None]
    if whole:
        sides = range(int(least), int(most) + 1)
        keys = np.array([(float(p), float(o)) for p in sides for o in range(p)])
        return on_comb(pixels, *keys.T).astype(np.float32), keys
    n = int(np.ceil(length * np.log(most / least)))
    blocks = least * (most / least) ** (np.arange(n + 1) / n)
    # Whole blocks are by far the most frequent.
    blocks = np.unique(np.r_[blocks, np.arange(np.ceil(least), np.floor(most) + 1)])
    middle = length // 2
    counts = np.ceil(2 * blocks - 0.5).astype(int)
    steps = np.concatenate([np.arange(n) / 2 for n in counts])
    keys = np.stack([blocks.repeat(counts), middle + steps], 1)
    combs = on_comb(pixels, *keys.T)
    return combs.astype(np.float32), keys


def same_lines(
    length: int, first: tuple[float, float], second: tuple[float, float]
) -> bool:
    """Return whether two combs `(block, origin)` have the same lines in a profile."""
    pixels = np.arange(length)
    return bool((on_comb(pixels, *first) == on_comb(pixels, *second)).all())


def comb_score(profile: np.ndarray, block: float, origin: float) -> float:
    """Return the fraction of a profile of steps on a comb, less chance: up to 1."""
    profile = np.minimum(profile, LINE_CAP)
    on = profile[on_comb(np.arange(len(profile)), block, origin)].sum()
    fraction, chance = on / max(profile.sum(), 1e-6), 1 / block
    return float((fraction - chance) / (1 - chance))


def fit_comb(
    profile: np.ndarray, block: float, origin: float, length: float
) -> tuple[float, float]:
    """Move a comb that was found in a short window until it fits a longer profile.

    Of combs that explain the same steps the middle one is taken, or one of whole
    pixels.

    Args:
        profile: float `(n,)`, mean steps on each line of pixels.
        block: Block in pixels, as found.
        origin: A line of the comb, in the profile, in the middle of the window.
        length: Of the window, in pixels.

    Returns:
        `(block, origin)` in pixels.
    """
    profile = np.minimum(profile, LINE_CAP)
    at = np.flatnonzero(profile > 0.1)
    if not len(at):
        return block, origin
    weight = profile[at]
    # Whatever the window could not tell apart: a pixel at its ends, a pixel beside.
    reach, step = 1.5 * block / length, 0.25 * block / len(profile)
    n = int(np.ceil(reach / step))
    blocks = block + step * np.arange(-n, n + 1)
    blocks = blocks[(blocks >= LEAST - 0.2) & (blocks <= MOST + 0.5)]
    shifts = np.arange(-_FRACTION, _FRACTION + 1) / _FRACTION
    phase = at + 0.5 - origin - shifts[:, None]
    sums = np.stack([((phase % b) < 1) @ weight for b in blocks])
    good = np.argwhere(sums >= _SURE * sums.max())
    # Equal combs may lie apart: those around the one with the most equals about it.
    best = good[np.argmin(np.abs(good - np.median(good, 0)).sum(1))]
    near = good[(np.abs(good - best) <= (4 * len(shifts), 4)).all(1)].mean(0)
    fitted = (
        float(np.interp(near[0], np.arange(len(blocks)), blocks)),
        float(origin + np.interp(near[1], np.arange(len(shifts)), shifts)),
    )
    if ((at + 0.5 - fitted[1]) % fitted[0] < 1) @ weight < _SURE * sums.max():
        fitted = float(blocks[best[0]]), float(origin + shifts[best[1]])
    return _whole_if_equal(at, weight, fitted, sums.max())


def _whole_if_equal(at, weight, fitted, most):
    block = float(round(fitted[0]))
    for start in np.floor(fitted[1]) + np.array((0, 1, -1, 2)):
        if ((at + 0.5 - start) % block < 1) @ weight >= _WHOLE * most:
            return block, float(start)
    return fitted


def best_comb(
    profile: np.ndarray, *, tie: float = 0.1, whole: bool = False
) -> tuple[float, float, float]:
    """Return the block and origin that explain one profile of steps best.

    A fraction of the block explains the same steps as well: of the best combs the one
    with the largest block is taken. It has three lines or more.

    Args:
        profile: float `(length,)`, mean steps on each line of pixels.
        tie: By how much a larger block's score may be lower. Defaults to 0.1.
        whole: Only combs of whole pixels. Defaults to `False`.

    Returns:
        `(block, origin, score)`; the score is 0 if nothing fits.
    """
    profile = np.minimum(profile, LINE_CAP).astype(np.float32)
    length = len(profile)
    if length < 12:
        return 4, 0, 0.0
    if whole:
        (scores,), keys = bank_scores(
            profile[None], LEAST, min(MOST, length // 2), whole
        )
        best = np.flatnonzero(scores >= scores.max() - tie)
        best = best[keys[best, 0] == keys[best, 0].max()]
        k = best[scores[best].argmax()]
        return float(keys[k, 0]), float(keys[k, 1]), float(scores[k])
    n = next(n for n in _LENGTHS if n <= length)
    # All combs in the busiest part; the whole profile tells which is meant.
    sums = np.cumsum(np.append(0, profile))
    start = int((sums[n:] - sums[:-n]).argmax())
    (scores,), keys = bank_scores(profile[None, start : start + n], LEAST, MOST)
    scores = np.where(keys[:, 0] <= n / 2, scores, 0)
    good = np.flatnonzero(scores >= scores.max() - tie)
    # A comb a little off is as good as another: they are one until they are fitted.
    largest = good[keys[good, 0] >= keys[good, 0].max() * (1 - 2 / n) - 0.3]
    k = largest[scores[largest].argmax()]
    block, origin = fit_comb(profile, keys[k, 0], keys[k, 1] + start, n)
    return block, origin, comb_score(profile, block, origin)


def bank_scores(
    profiles: np.ndarray, least: float, most: float, whole: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Score all combs of a bank on some profiles.

    Args:
        profiles: float32 `(n, length)`, capped.
        least: Least block.
        most: Greatest block.
        whole: Only combs of whole pixels. Defaults to `False`.

    Returns:
        `(scores, keys)`: float32 `(n, combs)`, and `(block, origin)` of each comb. In
        the profiles whose best comb has fewer than three lines such combs score 0.
    """
    combs, keys, weighed = _weighed_bank(profiles.shape[1], least, most, whole)
    total = np.maximum(profiles.sum(1, keepdims=True), 1e-6)
    scores = (profiles / total) @ weighed
    lines = profiles > 0.1
    best = scores.argmax(1)
    few = (lines & (combs[:, best].T > 0)).sum(1) < 3
    if few.any():
        n_lines = lines[few].astype(np.float32) @ combs
        scores[few] = np.where(n_lines < 3, 0, scores[few])
    return scores, keys


def long_steps(sharp: np.ndarray, length: int) -> np.ndarray:
    """Return the steps that run over some rows: uint8 `(height, width)`, capped."""
    import cv2

    # The least of 16 levels and of all rows along the line.
    return cv2.erode(np.minimum(sharp, np.uint8(_CAP)), np.ones((length, 1), np.uint8))
