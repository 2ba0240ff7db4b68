"""Sharpen blurred parts: find the kernel, and the picture whose blur is what is seen.

A blur is a known operation but for its strength, and it leaves traces of what it hides
down to the rounding of the pixels. The picture with the least total variation whose
blur is what is seen has sharp edges where the blurred ones lay; with a kernel that is
too wide it rings, with one that is too narrow its edges stay soft, and both have more
steps of middling height than the right one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

import numpy as np

from oppai.censoring.filters import blur_kernel
from oppai.censoring.regions import Region, bounds, widened
from oppai.inference.deconvolution import deconvolve

# Standard deviations in pixels to which a blur is brought by shrinking the picture: to
# choose the kernel, to sharpen, and to sharpen what is larger than `_LARGE` pixels.
_TO_CHOOSE, _TO_SHARPEN, _LEAST = 2.5, 4.0, 2.5
_LARGE = 250_000
_WINDOW = 128  # pixels of the longer side of what the kernel is chosen by
_LONGEST = 768  # pixels of the longer side of what is sharpened at once
_STEEP = 64  # levels from pixel to pixel; steeper steps, which may be rims, count so
_GAUSSIAN, _BOX = 3, 1  # box blurs, one after another
# Of the estimated deviation: what is surely too narrow, and what is tried.
_FIRST, _FACTORS = 0.3, np.geomspace(0.8, 1.25, 7)
_RATIO, _MOST = _FACTORS[1] / _FACTORS[0], 19  # down to .33
_MISLED = 0.7  # of the estimate: one that wrong is replaced, and all is tried anew
_DIP = 0.85  # of what narrower squares leave unexplained
# Steps of so many levels count half in what tells the kernel; the weight of what the
# blurred result leaves unexplained, the levels that rounding leaves, and how much of
# the noise a kernel may leave.
_STEP, _UNEXPLAINED, _ROUNDING, _EXPLAINED = 4.0, 0.15, 0.05, 2.0
# How much of the noise a kernel may leave that is not surely wrong, and how many are
# tried beyond the widest of those.
_NEARLY, _BEYOND = 3.0, 4
# The deviation of a Gaussian with the fewest steps is too small by so much, and counts
# so much beside the estimate.
_TOO_SMALL, _CHOSEN = 1.04, 0.8
# Of what a narrow kernel leaves unexplained near a pixel, beside the typical: from
# there on it was not blurred.
_STRANGE, _STRANGE_LEVELS = 3.0, 0.7
_WORST = 3.0  # levels: a part that no blur explains better is left to the network
_WORST_NEAR = 8.0  # levels, around a pixel
_LEFT = 0.3  # standard deviation of what is left of a blur, of what it was
_NARROW = 2.0  # pixels, the least that is left
_LEAST_SIDE = 16  # pixels of a part, brought to `_TO_CHOOSE`
_REACH = 3.0  # standard deviations after which a kernel ends
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, eq=False)
class Sharpened:
    """Holds a picture whose blurs were sharpened.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        censors: The censors; what was sharpened has what is left of its `sigma`.
        mask: bool `(height, width)`, where something was sharpened.
    """

    picture: np.ndarray
    censors: list[Region]
    mask: np.ndarray

    def mean(self, prediction: np.ndarray, place: tuple[slice, slice]) -> np.ndarray:
        """Return the mean of a network's prediction and of what was sharpened.

        Args:
            prediction: uint8 `(rows, columns, 3)`.
            place: Rows and columns of the picture that it is of.

        Returns:
            uint8 of the same shape; the prediction itself where nothing was sharpened.
        """
        sharp, own = self.picture[place], self.mask[place][..., None]
        both = (sharp.astype(np.uint16) + prediction + 1) // 2
        return np.where(own, both.astype(np.uint8), prediction)


def sharpen_blurs(
    picture: np.ndarray, alpha: np.ndarray, censors: Sequence[Region]
) -> Sharpened:
    """Sharpen the blurred parts of a picture.

    Whether the blur saw what lies around the part is not known, so that nothing beyond
    its rim counts. A part that no blur explains stays as it is.

    Args:
        picture: uint8 RGB `(height, width, 3)`; it is not changed.
        alpha: uint8 `(height, width)`: how much of each pixel is replaced. Only where
            all of it is, a pixel is taken for blurred.
        censors: `Region`s; those with a `sigma` are blurs.

    Returns:
        A `Sharpened`.
    """
    result, mask = picture, np.zeros(picture.shape[:2], bool)
    left = list(censors)
    for i, region in enumerate(left):
        if region.sigma is None:
            continue
        inside = _soft(picture, region) & (alpha[region.slices] == 255)
        found = _sharpen(picture[region.slices], inside, region.sigma)
        if found is None:
            continue
        sharp, inside = found
        if result is picture:
            result = picture.copy()
        result[region.slices][inside] = sharp[inside]
        mask[region.slices] |= inside
        left[i] = replace(region, sigma=max(_NARROW, _LEFT * region.sigma))
    return Sharpened(result, left, mask)


def _soft(picture, region):
    """Return which pixels of a region may be blurred: where no sharp edge is.

    Marks are drawn beyond the rim of what they mark.
    """
    import cv2

    # The second difference of an edge after a mean over a square is at most its height
    # over the square's side, √12 sigma; after a Gaussian it is less.
    highest = 12 + 255 / (math.sqrt(12) * region.sigma)
    left, top, right, bottom = region.box
    height, width = picture.shape[:2]
    x, y = max(left - 1, 0), max(top - 1, 0)
    around = picture[y : min(bottom + 1, height), x : min(right + 1, width)]
    around = around.astype(np.float32)
    edges = np.zeros(around.shape[:2], bool)
    for kernel in ((1, -2, 1), (1, 0, -2, 0, 1)):
        line = np.float32(kernel)
        for across in (line[None], line[:, None]):
            curve = cv2.filter2D(around, -1, across, borderType=cv2.BORDER_REPLICATE)
            edges |= np.abs(curve).max(2) > highest * (len(kernel) - 1) / 2
    edges = edges[top - y :, left - x :][: bottom - top, : right - left]
    # Noise is no edge.
    lines = edges.astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(lines, connectivity=8)
    long = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] >= 6)
    return region.mask & ~widened(np.isin(labels, long[long > 0]), 2)


def _sharpen(seen, inside, sigma):
    """Return what is sharper, uint8 of the part's size, and where it counts (bool).

    Returns:
        `(sharp, inside)`, or `None` if no blur explains the part.
    """
    chosen = _choose(seen, inside, sigma)
    if chosen is None:
        return None
    boxes, sigma = chosen
    to = _TO_SHARPEN
    area = inside.size * min(1.0, to / sigma) ** 2
    if area > _LARGE:
        to = max(_LEAST, to * math.sqrt(_LARGE / area))
    result, explained = seen.copy(), np.zeros_like(inside)
    for tile, own in _tiles(inside.shape, _LONGEST / min(1.0, to / sigma), 4 * sigma):
        part = _explained(seen[tile], inside[tile], sigma)
        small = _shrunk(seen[tile].astype(np.float32), part, sigma, to)
        if small is None:
            continue
        sharp, again = deconvolve(*small.arguments, small.kernel(sigma, boxes))
        if math.sqrt(np.square((again - small.seen)[small.data]).mean()) > _WORST:
            continue
        part &= ~small.enlarged(small.left_near(again) > _WORST_NEAR)
        sharp = np.rint(small.enlarged(sharp).clip(0, 255)).astype(np.uint8)
        result[tile][own], explained[tile][own] = sharp[own], part[own]
    return (result, explained) if explained.any() else None


def _tiles(shape, side, overlap):
    """Yield rows and columns of tiles, and of each tile's own part in it."""
    spans = []
    for length in shape:
        n = math.ceil(length / max(side, 4 * overlap))
        cuts = np.linspace(0, length, n + 1).round().astype(int).tolist()
        span = []
        for start, stop in pairwise(cuts):
            low, high = max(0, start - int(overlap)), min(length, stop + int(overlap))
            span.append((slice(low, high), slice(start - low, stop - low)))
        spans.append(span)
    for rows, columns in product(*spans):
        yield (rows[0], columns[0]), (rows[1], columns[1])


def _explained(seen, inside, sigma):
    """Return which pixels a blur explains that is surely narrower than the part's."""
    small = _shrunk(seen.astype(np.float32), inside, sigma, _TO_CHOOSE)
    if small is None:
        return inside
    kernel = small.kernel(_FIRST * sigma, _GAUSSIAN)
    _, again = deconvolve(*small.arguments, kernel, steps=30)
    left = small.left_near(again)
    typical = float(np.median(left[small.data]))
    return inside & ~small.enlarged(left > _STRANGE * typical + _STRANGE_LEVELS)


def _choose(seen, inside, sigma, again=2):
    """Return the boxes and the deviation of the kernel that leaves the fewest steps.

    Returns:
        `(boxes, sigma)`, or `None` where no kernel leaves fewer than there are.
    """
    cut = _busiest(seen, inside, math.ceil(_WINDOW * max(1.0, sigma / _TO_CHOOSE)))
    part = _explained(seen[cut], inside[cut], sigma)
    grey = _shrunk((seen[cut] @ _GREY)[..., None], part, sigma, _TO_CHOOSE)
    if grey is None:
        return None
    # A kernel that is surely too narrow leaves the noise alone unexplained.
    noise = _measure(grey, _FIRST * sigma, _GAUSSIAN)[1]
    squares = _Search(grey, sigma, _BOX)
    squares.narrow(noise)
    if (at := squares.dip()) is not None:
        near = np.abs(np.arange(len(squares.steps)) - at) <= 1
        return _BOX, squares.lowest(near)[1]
    gaussians = _Search(grey, sigma, _GAUSSIAN)
    gaussians.narrow(noise)
    most = max(_NEARLY * noise, _EXPLAINED * gaussians.unexplained.min())
    at, deviation = gaussians.lowest(gaussians.unexplained <= most)
    square, width = squares.lowest(squares.unexplained <= 2 * _NEARLY * noise)
    cost, steps, boxes = gaussians.costs[at], gaussians.steps[at], _GAUSSIAN
    misled = deviation < _MISLED * sigma
    if width is not None and (misled or squares.costs[square] < cost):
        steps, boxes, deviation = squares.steps[square], _BOX, width
    elif misled and again > 0:
        return _choose(seen, inside, deviation, again - 1)
    if steps >= _count_steps(grey.seen, grey.data):
        return None
    if boxes == _GAUSSIAN:
        deviation *= _TOO_SMALL
        if _FACTORS[0] <= deviation / sigma <= _FACTORS[-1]:
            deviation = deviation**_CHOSEN * sigma ** (1 - _CHOSEN)
    return boxes, deviation


def _busiest(seen, inside, side):
    """Return rows and columns of the square of that side that has the most edges."""
    import cv2

    height, width = inside.shape
    rows, columns = min(side, height), min(side, width)
    grey = seen @ _GREY
    slopes = np.abs(np.diff(grey, axis=0, prepend=grey[:1]))
    slopes += np.abs(np.diff(grey, axis=1, prepend=grey[:, :1]))
    sums = cv2.integral(np.minimum(slopes, _STEEP) * inside)
    sums = sums[rows:] - sums[:-rows]
    sums = sums[:, columns:] - sums[:, :-columns]
    top, left = np.unravel_index(np.argmax(sums), sums.shape)
    return slice(top, top + rows), slice(left, left + columns)


class _Search:
    """Holds what kernels around an estimate leave: steps, and levels unexplained."""

    def __init__(self, grey, sigma, boxes):
        self.grey, self.boxes = grey, boxes
        self.deviations = sigma * _FACTORS
        rows = [_measure(grey, deviation, boxes) for deviation in self.deviations]
        self.steps, self.unexplained = np.array(rows).T

    @property
    def costs(self):
        return np.log(self.steps) + _UNEXPLAINED * np.log(self.unexplained)

    def dip(self):
        """Return where less is left than by a narrower kernel, or `None`.

        What a mean over a square takes away wholly, no other square's explains; after a
        Gaussian, a wider kernel always explains less.
        """
        most = np.maximum.accumulate(self.unexplained)
        dips = np.flatnonzero(self.unexplained < _DIP * most)
        return dips[np.argmin(self.costs[dips])] if len(dips) else None

    def narrow(self, noise):
        """Try narrower kernels, down to some that surely explain the part."""
        more = 0
        while len(self.deviations) < _MOST:
            if self.unexplained[0] > _NEARLY * noise:
                more = _BEYOND
            if more == 0:
                break
            more -= 1
            self.deviations = np.r_[self.deviations[0] / _RATIO, self.deviations]
            row = _measure(self.grey, self.deviations[0], self.boxes)
            self.steps = np.r_[row[0], self.steps]
            self.unexplained = np.r_[row[1], self.unexplained]

    def lowest(self, allowed):
        """Return the index of the lowest curve, and where it is, between its points."""
        if not allowed.any():
            return None, None
        values = self.costs if self.boxes == _BOX else np.log(self.steps)
        values = np.where(allowed, values, np.inf)
        at = int(np.argmin(values))
        near, x = values[max(at - 1, 0) : at + 2], self.deviations
        if len(near) < 3 or not np.isfinite(near).all():
            return at, float(x[at])
        a, b, _ = np.polyfit(np.log(x[at - 1 : at + 2]), near, 2)
        return at, float(np.exp(-b / (2 * a)))


def _measure(grey, sigma, boxes):
    """Return how many steps a sharpened part has, and the levels left unexplained."""
    sharp, again = deconvolve(*grey.arguments, grey.kernel(sigma, boxes), steps=50)
    unexplained = math.sqrt(np.square((again - grey.seen)[grey.data]).mean())
    return _count_steps(sharp, grey.data), unexplained + _ROUNDING


def _count_steps(grey, data):
    """Return the mean of what steps from pixel to pixel count, 0 to 1."""
    import cv2

    x, y = (np.diff(grey[..., 0], axis=axis) for axis in (1, 0))
    slopes = np.hypot(x[:-1], y[:, :-1])
    inner = cv2.erode(data.astype(np.uint8), np.ones((3, 3), np.uint8))[:-1, :-1] > 0
    slopes = slopes[inner if inner.any() else data[:-1, :-1]]
    return max(float(np.mean(slopes / (slopes + _STEP))), 1e-6)


@dataclass(frozen=True, eq=False)
class _Small:
    """Holds a part at the scale at which its blur has the wanted deviation."""

    seen: np.ndarray  # float32 (height, width, channels), with a margin
    data: np.ndarray  # bool (height, width): blurred pixels
    scale: float
    margin: int
    size: tuple[int, int]  # the part's own (width, height)

    @property
    def arguments(self):
        return self.seen, self.data

    def kernel(self, sigma, boxes):
        return blur_kernel(sigma * self.scale, boxes)

    def left_near(self, again):
        """Return the root mean square of what is unexplained around every pixel."""
        import cv2

        left = np.where(self.data[..., None], again - self.seen, 0).astype(np.float32)
        left = np.abs(left).max(2)
        return np.sqrt(cv2.boxFilter(left * left, -1, (5, 5)))

    def enlarged(self, values):
        """Return a result of this scale at the part's own size, without the margin."""
        import cv2

        m = self.margin
        inner = values[m : values.shape[0] - m, m : values.shape[1] - m]
        if inner.dtype != bool:
            return cv2.resize(inner, self.size, interpolation=cv2.INTER_CUBIC)
        wide = widened(inner, 1).astype(np.float32)
        return cv2.resize(wide, self.size, interpolation=cv2.INTER_LINEAR) > 0.5


def _shrunk(seen, inside, sigma, to):
    """Return a part in which a blur has the deviation `to`, or `None` if too little."""
    import cv2

    scale = min(1.0, to / sigma)
    height, width = inside.shape
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    area = cv2.INTER_AREA
    small = cv2.resize(seen, size, interpolation=area).reshape(*size[::-1], -1)
    data = cv2.resize(inside.astype(np.float32), size, interpolation=area) > 0.999
    # Its rim is soft, and a JPEG's blocks reach over it.
    data = cv2.erode(data.astype(np.uint8), np.ones((3, 3)), borderValue=0) > 0
    box = bounds(data)
    least = _LEAST_SIDE * to / _TO_CHOOSE
    if box is None or min(box[2] - box[0], box[3] - box[1]) < least:
        return None
    margin = math.ceil(_REACH * to * _FACTORS[-1])
    pad = (margin, margin), (margin, margin)
    small = np.pad(small, (*pad, (0, 0)), mode="edge")
    return _Small(small, np.pad(data, pad), scale, margin, (width, height))
