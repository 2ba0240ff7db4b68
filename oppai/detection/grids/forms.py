"""Forms of mosaics: from what each sample or pixel looks like to a mask of pixels."""

from collections.abc import Sequence

import numpy as np

from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import Box, Region, bounds, region_at
from oppai.detection.segmenter import SAMPLES

_EDGE = 0.25  # gain of a pixel of a side that is a step, in samples
_ALIKE = 0.88  # IoU from which a form counts as a rectangle


def fit_form(
    grey: np.ndarray, grid: Grid, probability: np.ndarray, start: tuple[int, int]
) -> Region | None:
    """Turn the probabilities of a grid's samples into a mask of pixels.

    The probabilities are interpolated and cut at one half. Where that is nearly a
    rectangle, each of its sides moves to where probabilities and steps of the picture
    agree best.

    Args:
        grey: uint8 `(height, width)`, the whole picture.
        grid: The `Grid`.
        probability: float32 `(4 rows, 4 columns)`, 0..1.
        start: Pixel `(x, y)` of the picture at which the first sample begins.

    Returns:
        A `Region` of the kind "mosaic"; `None` without a pixel.
    """
    height, width = grey.shape
    (block_x, block_y), _ = grid.whole
    x0, y0 = max(0, start[0]), max(0, start[1])
    x1 = min(width, start[0] + probability.shape[1] // SAMPLES * block_x)
    y1 = min(height, start[1] + probability.shape[0] // SAMPLES * block_y)
    values = _interpolated(probability, np.arange(y0, y1) - start[1], block_y, 0)
    values = _interpolated(values, np.arange(x0, x1) - start[0], block_x, 1)
    mask = values > 0.5
    around = bounds(mask)
    if around is None:
        return None
    box = likely_rectangle(
        2 * values - 1, grey[y0:y1, x0:x1], around, (block_x, block_y)
    )
    rectangle = np.zeros_like(mask)
    rectangle[box[1] : box[3], box[0] : box[2]] = True
    if (mask & rectangle).sum() > _ALIKE * (mask | rectangle).sum():
        mask = rectangle
    left, top, right, bottom = bounds(mask) or (0, 0, 0, 0)  # never empty
    mask = mask[top:bottom, left:right]
    return region_at((x0 + left, y0 + top), mask, kind="mosaic", grid=grid)


def _interpolated(a, pixels, block, axis):
    """Interpolate the values of samples at pixels, between the samples' middles."""
    inner = np.arange(SAMPLES) * block // SAMPLES
    middle = (inner + np.append(inner[1:], block) - 1) / 2
    n = a.shape[axis] // SAMPLES
    places = (np.arange(n)[:, None] * block + middle).ravel()
    right = np.clip(np.searchsorted(places, pixels), 1, len(places) - 1)
    gap = places[right] - places[right - 1]
    weight = np.clip((pixels - places[right - 1]) / gap, 0, 1).astype(np.float32)
    weight = weight[:, None] if axis == 0 else weight
    return a.take(right - 1, axis) * (1 - weight) + a.take(right, axis) * weight


def likely_rectangle(
    gain: np.ndarray, grey: np.ndarray, box: Sequence[int], block: tuple[int, int]
) -> Box:
    """Return the likeliest rectangle near a first one, fitted side by side.

    Args:
        gain: float `(height, width)`, above 0 where a pixel belongs to it, else below.
        grey: uint8 `(height, width)`; a side lies where it has steps.
        box: `(left, top, right, bottom)` to begin with.
        block: Width and height of a block in pixels.

    Returns:
        A box.
    """
    d = grey.astype(np.int16)
    edges = []
    for axis in (1, 0):
        step = np.minimum(np.abs(np.diff(d, axis=axis)), 8) / np.float32(8)
        edges.append(np.insert(step, 0, 0, axis))
    gains, edges = (gain, gain.T), [edges[0], edges[1].T]
    box = list(box)
    for side in (0, 2, 1, 3) * 3:
        axis = side % 2  # 0: a side that is a column
        a, b = box[1 - axis], box[3 - axis]
        total = np.r_[0, np.cumsum(gains[axis][a:b].sum(0))]
        bonus = np.r_[edges[axis][a:b].sum(0), 0] * (_EDGE * block[axis] / SAMPLES)
        opposite = box[(side + 2) % 4]
        if side < 2:
            scores = total[opposite] - total + bonus
            scores[opposite:] = -np.inf
        else:
            scores = total - total[opposite] + bonus
            scores[: opposite + 1] = -np.inf
        box[side] = int(scores.argmax())
    return box[0], box[1], box[2], box[3]


def best_rectangle(score: np.ndarray) -> Box:
    """Return the rectangle over which a score has the greatest sum.

    Args:
        score: float `(rows, columns)`, above 0 somewhere.

    Returns:
        `(left, top, right, bottom)`, half-open.
    """
    rows, columns = score.shape
    sums = np.zeros((rows + 1, columns + 1))
    sums[1:, 1:] = score.cumsum(0).cumsum(1)
    best, found = -np.inf, (0, 0, 0, 0)
    for top in range(rows):
        strips = sums[top + 1 :] - sums[top]  # of every height, up to each column
        least = np.minimum.accumulate(strips, axis=1)[:, :-1]
        gain = strips[:, 1:] - least
        height, right = np.unravel_index(gain.argmax(), gain.shape)
        if gain[height, right] > best:
            best = gain[height, right]
            left = int(strips[height, : right + 1].argmin())
            found = left, top, int(right) + 1, top + int(height) + 1
    return found
