"""Forms of mosaics: from what each sample or pixel looks like to a mask of pixels."""

from collections.abc import Sequence

import numpy as np

from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import Box, Region, bounds, overlap, region_at
from oppai.data.crops import crop_padded
from oppai.detection.segmenter import SAMPLES

_EDGE = 0.25  # gain of a pixel of a side that is a step, in samples
_ALIKE = 0.88  # IoU from which a form counts as a rectangle
# Of a block: how much of it a region covers, levels by which one beside it differs, by
# how many times the quieter blocks' deviation its own may be greater, and from where to
# where that is allowed, in levels.
_COVERED, _DIFFERS, _PLAIN, _DEVIATION = 0.3, 4.0, 3.0, (3.0, 9.0)
# What a rectangle loses by a plain block that shows nothing, and by one with steps.
_NO_SIGN, _MIXED = 0.02, 2.0
_FEWEST, _FILLED = 3, 0.7  # blocks along a side; part of a rectangle that is all of it
_NEAR = 0.03  # what a rectangle loses by a pixel up to a block beyond its blocks
_SMALL = 5  # pixels: blocks of which all lines count


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


def trimmed(grey: np.ndarray, region: Region) -> Region | None:
    """Return the rectangle of a region's blocks that have one colour each.

    What looks at cells takes a row or more of the picture beside a mosaic for a part of
    it where the picture has few steps. Blocks are taken that are plain and differ from
    a plain one beside them; those that have steps within count against a rectangle.

    Args:
        grey: uint8 `(height, width)`.
        region: A `Region` on a grid of whole pixels.

    Returns:
        A `Region` of whole blocks; `None` where three by three such blocks are missing.
    """
    grid = region.grid
    if grid is None:
        raise ValueError(f"Only a mosaic has a grid. Received: {region.kind}")
    block = grid.whole[0]
    around = _whole_blocks(region.box, grid)
    left, top, right, bottom = around
    view = crop_padded(grey, around)
    own = np.zeros(view.shape, bool)
    here, _ = overlap(around, region.box)
    own[here] = region.mask
    a, b, c, d = best_rectangle(_scores(view, own, block))
    if min(c - a, d - b) < _FEWEST:
        return None
    # Up to a block further out, or two pixels in, a side moves to the picture's steps.
    gain = np.full(view.shape, -1.0, np.float32)
    for x, y, value in ((*block, -_NEAR), (0, 0, _NEAR), (-2, -2, 1.0)):
        rows = slice(max(0, b * block[1] - y), d * block[1] + y)
        gain[rows, max(0, a * block[0] - x) : c * block[0] + x] = value
    box = a * block[0], b * block[1], c * block[0], d * block[1]
    x0, y0, x1, y1 = likely_rectangle(gain, view, box, block)
    height, width = grey.shape
    x0, y0 = max(x0, -left), max(y0, -top)
    mask = own[y0 : min(y1, height - top), x0 : min(x1, width - left)]
    if mask.mean() > _FILLED:  # what a rectangle lacks is plain
        mask = np.ones_like(mask)
    inner = bounds(mask)
    if inner is None:
        return None
    corner = left + x0 + inner[0], top + y0 + inner[1]
    mask = mask[inner[1] : inner[3], inner[0] : inner[2]]
    return region_at(corner, mask, kind="mosaic", grid=grid)


def _whole_blocks(box, grid):
    """Return the box of the blocks that a box touches."""
    (width, height), (x, y) = grid.whole
    left, top, right, bottom = box
    return (
        x + (left - x) // width * width,
        y + (top - y) // height * height,
        x - (x - right) // width * width,
        y - (y - bottom) // height * height,
    )


def _scores(view, own, block):
    """Return what each block says for a mosaic: float `(rows, columns)`."""
    height, width = view.shape
    shape = height // block[1], block[1], width // block[0], block[0]
    covered = own.reshape(shape).mean((1, 3)) > _COVERED
    # The first and last lines may be the neighbour's: a grid may be a little off.
    down, across = (slice(n > _SMALL, n - (n > _SMALL)) for n in block[::-1])
    cells = view.reshape(shape)[:, down, :, across].astype(np.float32)
    means, spread = cells.mean((1, 3)), cells.std((1, 3))
    beside = (np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])

    def differs(among):
        found = np.zeros(means.shape, bool)
        for after, before in beside:
            rise = np.abs(means[after] - means[before]) > _DIFFERS
            rise &= among[after] & among[before]
            found[after] |= rise
            found[before] |= rise
        return found

    noise = spread[differs(covered)]
    limit = _PLAIN * np.quantile(noise, 0.25) if len(noise) else 0
    plain = spread <= np.clip(limit, *_DEVIATION)
    score = np.where(differs(plain), 1.0, np.where(plain, -_NO_SIGN, -_MIXED))
    return np.where(covered, score, -_NO_SIGN)


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
