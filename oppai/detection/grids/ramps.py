"""Where the lines of a mosaic lie that was resized afterwards: between pixels.

A program draws a mosaic's lines at whole pixels. Resizing turns them into ramps between
pixels. A ramp's place is told by what lies below it: from the middle of a block, of the
colour `a`, to the middle of the next one, of `b`, the pixels `p` up to `x` have

    sum (p - a) = (b - a) (x - place),

whatever kernel resized them, as long as it is symmetric.
"""

from dataclasses import dataclass

import numpy as np

from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import Region

_BETWEEN = 0.16  # pixels: mean distance from whole ones; of any place it is 1/4
_FIRST, _GROWTH = 4, 2  # lines on either side of the middle that are fitted at first
_LINES = 3  # fewer tell no size
_OTHER = 0.08  # by how much the size may change, as a fraction
_PLAIN = 400.0  # squared levels of all changes over a line that shows nothing
_SLIGHT = 4  # levels: less of a change tells no place
_JITTER, _NOISE = 0.1, 8.0  # squared pixels of any line, squared levels of a pixel
_ROBUST = 0.7  # pixels: a line that is off by more counts less than half
_RIM_NOISE = 0.15  # pixels that a rim is off
_CLEAR, _FLAT = 12, 0.25  # levels of a rim's change, and part of it that is no rim's
_REACH = 4  # pixels on either side of a rim
_ROWS = 6  # of pixels that show a rim, at least
# By how much rims lie before the lines' own: lines begin in the first whole pixel, and
# the picture was enlarged by no more than two. Two rims agree within:
_BEFORE, _AGREE = (-1.4, 0.6), 0.35
# Where no rim tells, half of what first pixels make: a pixel of the picture before it
# was resized scatters lines by .29 and makes them half a pixel late.
_EITHER = 0.25 / 0.29


def between_pixels(grey: np.ndarray, region: Region) -> Grid | None:
    """Fit a mosaic's grid to the places of all its lines, and of its rims.

    Lines that a program drew at the first whole pixel of a block all lie up to a pixel
    late; only the rims, where the part that was shrunk begins and ends, do not.

    Args:
        grey: uint8 `(height, width)`.
        region: A `Region` with a grid that is right to a few in a hundred.

    Returns:
        A `Grid`; `None` where the lines lie at whole pixels, or are too few.
    """
    grid = region.grid
    if grid is None or grid.soft:
        return None
    (left, top, _, _), mask = region.box, region.mask
    views = grey[region.slices[0]], grey[:, region.slices[1]].T
    sides: list[tuple[_Lines, list]] = []
    for view, hole, start, block, origin in zip(
        views, (mask, mask.T), (left, top), grid.block, grid.origin, strict=True
    ):
        hole = np.pad(hole, ((0, 0), (start, view.shape[1] - start - hole.shape[1])))
        view = np.ascontiguousarray(view, np.float32)
        middle = start + mask.shape[1 - len(sides)] / 2
        fit = _fitted(view, hole, block, origin, middle)
        if fit is None:
            return None
        sides.append((fit, _rims(view, hole, fit)))
    places = np.concatenate([fit.place for fit, _ in sides])
    weights = np.concatenate([fit.weight for fit, _ in sides])
    off = np.abs(places - np.rint(places))
    if (weights * off).sum() < _BETWEEN * weights.sum():
        return None
    late = _common([before for _, rims in sides for _, before in rims])
    (x, left), (y, top) = (_from_rims(fit, rims, late) for fit, rims in sides)
    return Grid((x, y), (left, top))


@dataclass(frozen=True, eq=False)
class _Lines:
    """Lines along one side: `place = origin + block number`, but for what is left.

    Args:
        block: In pixels.
        origin: The line of the number 0.
        number: int `(n,)`.
        place: float `(n,)`, in pixels.
        weight: float `(n,)`, of each in the fit.
    """

    block: float
    origin: float
    number: np.ndarray
    place: np.ndarray
    weight: np.ndarray

    @property
    def noise(self) -> float:
        rest = self.place - self.origin - self.block * self.number
        return float(np.sqrt((self.weight * rest**2).sum() / self.weight.sum()))


def _fitted(view, hole, block, origin, middle):
    """Fit a grid's lines along one side, first near the middle: `_Lines` or `None`."""
    origin += block * round((middle - origin) / block)
    own, fit, reach, last = block, None, _FIRST, False
    while not last:
        length = view.shape[1]
        last = reach * block >= length
        number, place, weight = _lines(view, hole, block, origin, reach)
        if len(number) >= _LINES and np.ptp(number) >= _LINES:
            fit = _fit(number, place, weight)
            if abs(fit.block / own - 1) > _OTHER:
                return None
            # Numbers are counted from the same line again.
            block, origin = fit.block, fit.origin
        reach *= _GROWTH
    return fit


def _fit(number, place, weight):
    """Return the `_Lines` of least squares, in which few lines may be off."""
    own = weight
    for _ in range(6):
        total = own.sum()
        middle, mean = (own * number).sum() / total, (own * place).sum() / total
        spread = (own * (number - middle) ** 2).sum()
        block = (own * (number - middle) * (place - mean)).sum() / max(spread, 1e-9)
        origin = mean - block * middle
        rest = place - origin - block * number
        own = weight / (1 + (rest / _ROBUST) ** 2)
    return _Lines(float(block), float(origin), number, place, own)


def _lines(view, hole, block, origin, reach):
    """Return the numbers of the lines that are seen, their places and weights."""
    length = view.shape[1]
    sums = np.pad(np.cumsum(view, axis=1), ((0, 0), (1, 0)))
    inside = np.pad(np.cumsum(hole, axis=1), ((0, 0), (1, 0)))
    q = max(1, round(0.2 * block))
    found = []
    for k in range(-reach, reach + 1):
        start, stop = (round(origin + (k + half) * block) for half in (-0.5, 0.5))
        low, high = start - q, stop + q
        if low < 0 or high > length:
            continue
        c = sums[(inside[:, high] - inside[:, low]) == high - low]
        a = (c[:, start + q] - c[:, low]) / (2 * q)
        change = (c[:, high] - c[:, stop - q]) / (2 * q) - a
        below = c[:, stop] - c[:, start] - a * (stop - start)
        clear = np.abs(change) >= _SLIGHT
        place, total = _agreed(stop - below[clear] / change[clear], change[clear])
        if total >= _PLAIN:
            found.append((k, place, 1 / (_JITTER + _NOISE * block / total)))
    number, place, weight = np.array(found).reshape(-1, 3).T
    return number, place, weight


def _rims(view, hole, fit):
    """Return where rims lie, `(number, place - line)` of those that are seen."""
    across = np.flatnonzero(hole.any(0))
    length = view.shape[1]
    found = []
    for at, turned in ((across[0], False), (across[-1] + 1, True)):
        number = round((at - fit.origin) / fit.block)
        line = fit.origin + fit.block * number
        if turned:
            place = _rim(view[:, ::-1], hole[:, ::-1], fit.block, length - line)
            place = None if place is None else length - place
        else:
            place = _rim(view, hole, fit.block, line)
        if place is not None:
            found.append((number, place - line))
    return found


def _rim(view, hole, block, at):
    """Return where a mosaic begins that lies to the right of about a pixel."""
    reach = max(2, min(_REACH, int(block / 2) - 1))
    start, stop, q = round(at) - reach, round(at) + reach, max(1, int(block / 4))
    if start < 2 or stop + q >= view.shape[1]:
        return None
    rows = hole[:, stop : stop + q].all(1) & ~hole[:, : start - 1].any(1)
    view = view[rows]
    before = view[:, start - 1]
    change = view[:, stop : stop + q].mean(1) - before
    # Whatever lies outside has to be of one colour there.
    other = np.abs(np.diff(view[:, start - 2 : start + 1], axis=1)).sum(1)
    good = (np.abs(change) > _CLEAR) & (other < _FLAT * np.abs(change))
    if good.sum() < _ROWS:
        return None
    below = view[good, start:stop].sum(1) - before[good] * (stop - start)
    return _agreed(stop - below / change[good], change[good])[0]


def _agreed(places, change):
    """Return the place on which rows of pixels agree, and their squared changes."""
    if not len(places):
        return 0.0, 0.0
    order, weight = np.argsort(places), change**2
    sums = np.cumsum(weight[order])
    middle = places[order][np.searchsorted(sums, sums[-1] / 2)]
    near = np.abs(places - middle) < _ROBUST
    total = weight[near].sum()
    return float((places[near] * weight[near]).sum() / total), float(total)


def _common(values):
    """Return the mean of the values on which most rims agree, or `None`."""
    values = np.array(values)
    near = (values > _BEFORE[0]) & (values < _BEFORE[1])
    if near.sum() < 2:
        return None
    middle = np.median(values[near])
    agree = np.abs(values - middle) < _AGREE
    if agree.sum() < 2 or 2 * agree.sum() < len(values):
        return None
    return float(values[agree].mean())


def _from_rims(fit, rims, late):
    """Return block and origin of lines, moved to where the rims say they begin."""
    if late is None:
        return fit.block, fit.origin - _EITHER * fit.noise
    rims = [(k, before) for k, before in rims if abs(before - late) < 2 * _AGREE]
    if len(rims) < 2:
        return fit.block, fit.origin + late
    own = float(np.mean([before for _, before in rims]))
    numbers, befores = np.array(rims).T
    lines = fit.weight / fit.weight.max() / max(fit.noise, 0.05) ** 2
    number = np.r_[fit.number, numbers]
    place = np.r_[fit.place + own, fit.origin + fit.block * numbers + befores]
    weight = np.r_[lines, np.full(len(rims), 1 / _RIM_NOISE**2)]
    fit = _fit(number, place, weight)
    return fit.block, fit.origin
