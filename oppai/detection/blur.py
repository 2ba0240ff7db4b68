"""Find the parts of a picture that were blurred, and estimate how strongly.

A blurred part has soft edges alone, while lines around it are sharp and end at its rim.
Drawn shading, shadows and the unsharp background of a photograph are soft too: they
have forms of their own, and colours change at their rims.

Small networks of one hidden layer weigh the evidence: two for the samples of a coarse
grid, one after the other, and one each for a region that was found, for a part that
was marked and for the standard deviation.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from oppai.censoring.regions import Box, Region, bounds, region_at, widened
from oppai.detection.overlay import contour_normals, measure_form, scaled

WEIGHTS = Path(__file__).parents[1] / "weights" / "blur_finder.npz"
SIDE = 128  # samples along the longer side of a picture
LARGEST = 1600  # pixels of the longer side of what is looked at
LEVELS = 5  # sizes of the picture, each half of the one before
_WINDOWS = 3, 9, 27  # samples
_QUANTILES = 0.5, 0.9, 0.97, 0.995
_INNER = 4  # pixels at a region's rim that are neither inside nor outside
_BAND = 48  # pixels around a region that show how sharp its surroundings are
_POINTS = 512  # of a rim
_ACROSS = -12, -6, -3, 0, 3, 6, 12  # pixels along the normal of the rim
_LEAST = 0.004  # least area of a region, as a fraction of the picture
# Log odds from which a region counts: one that was found, one that was marked.
_SURE, _MARKED = 2.7, 0.0
# Fraction of the samples' log odds that a rectangle must keep, and overlap with an
# ellipse, to be taken instead of a region.
_RECTANGLE, _ELLIPSE = 0.85, 0.88
_MOST = 6.0  # cap of the samples' log odds
# Standard deviations that are estimated, and the one of a part without an edge.
_RANGE, _CAUTIOUS = (2.0, 30.0), 4.0
_FLAT = 10  # levels: less over 16 pixels, or from point to point of a rim, is no edge


def find_blurs(picture: np.ndarray) -> list[Region]:
    """Find the regions that were blurred while their surroundings are sharp.

    Args:
        picture: uint8 RGB `(height, width, 3)`.

    Returns:
        List of `Region` of the kind "blur", with `sigma`. No two share a pixel.
    """
    view = BlurView(picture)
    regions = []
    for region, evidence in view.propose():
        log_odds = weigh("overlaid", evidence)[0]
        if log_odds > _SURE and _ends_edges(evidence):
            fields = {
                "kind": "blur",
                "confidence": 1 / (1 + math.exp(-log_odds)),
                "sigma": view.estimate_sigma(evidence),
            }
            regions.append(region_at(region.box[:2], region.mask, **fields))
    return regions


def _ends_edges(evidence):
    """Return whether edges end at a region's rim: shading ends at none."""
    return evidence[NAMES.index("edges along the rim outside")] >= _logs(_FLAT)


def marked_sigma(
    picture: np.ndarray, box: Box, part: np.ndarray, *, least: float = _MARKED
) -> float | None:
    """Estimate the strength of a blur that somebody marked.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        box: `(left, top, right, bottom)` of what is marked.
        part: bool, of the box's size.
        least: Log odds from which it counts as blurred. Defaults to 0.

    Returns:
        Standard deviation in pixels, or `None` if the part was not blurred.
    """
    left, top, right, bottom = box
    # Of a large picture, as much as is looked at without shrinking it.
    x, y = (max(_BAND, (LARGEST - side) // 2) for side in (right - left, bottom - top))
    x0, y0 = max(0, left - x), max(0, top - y)
    around = np.ascontiguousarray(picture[y0 : bottom + y, x0 : right + x])
    mask = np.zeros(around.shape[:2], bool)
    mask[top - y0 : bottom - y0, left - x0 : right - x0] = part
    view = BlurView(around)
    evidence = view.gather(mask, view.weigh_samples())
    if weigh("marked", evidence)[0] < least:
        return None
    return view.estimate_sigma(evidence)


class BlurView:
    """A picture as the search for blurs sees it.

    Args:
        picture: uint8 RGB `(height, width, 3)`. A large one is shrunk to 1,600 pixels.

    Attributes:
        n: How many pixels of the picture, along either side, were shrunk to one.
        steps: List of uint8 `(height, width)` at five sizes, each half of the one
            before: the greatest differences within 3x3 pixels.
    """

    def __init__(self, picture: np.ndarray):
        import cv2

        self.size = picture.shape[1::-1]
        self.n = max(1, math.ceil(max(self.size) / LARGEST))
        if self.n > 1:
            small = tuple(max(1, round(side / self.n)) for side in self.size)
            picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        self.picture = picture
        self.steps = []
        level = np.ascontiguousarray(picture)
        for k in range(LEVELS):
            if k:
                half = tuple(max(1, side // 2) for side in level.shape[1::-1])
                level = cv2.resize(level, half, interpolation=cv2.INTER_AREA)
            self.steps.append(_steps(level))

    def weigh_samples(self) -> np.ndarray:
        """Return whether each sample was blurred: log odds, float32 (rows, columns)."""
        features = surrounded(self.sample())
        first = weigh("samples", features)
        second = weigh("again", with_context(features, first))
        return second.clip(-_MOST, _MOST)

    def sample(self) -> np.ndarray:
        """Measure steps of every width at the samples of a coarse grid.

        Returns:
            float32 `(6, rows, columns)`, logarithms.
        """
        import cv2

        height, width = self.picture.shape[:2]
        side = max(1.0, max(height, width) / SIDE)
        rows, columns = math.ceil(height / side), math.ceil(width / side)
        y, x = np.arange(rows) * side, np.arange(columns) * side
        maps = [
            _logs(_tops(level, (y / 2**k).astype(int), (x / 2**k).astype(int)))
            for k, level in enumerate(self.steps)
        ]
        fine = np.float32(self.steps[0])
        mean = cv2.resize(fine, (columns, rows), interpolation=cv2.INTER_AREA)
        return np.stack([*maps, _logs(mean)])

    def propose(self) -> Iterator[tuple[Region, np.ndarray]]:
        """Propose regions that may have been blurred.

        Yields:
            `(region, evidence)`, the evidence as `gather` measures it.
        """
        import cv2

        log_odds = self.weigh_samples()
        n, labels, stats, _ = cv2.connectedComponentsWithStats(
            (log_odds > 0).astype(np.uint8)
        )
        for k in range(1, n):
            if stats[k, cv2.CC_STAT_AREA] < _LEAST * labels.size:
                continue
            own = labels == k
            part = np.where(own, log_odds, -_MOST / 2)
            part = cv2.resize(part, self.size, interpolation=cv2.INTER_LINEAR) > 0
            # What is enclosed is blurred too.
            contours, _ = cv2.findContours(
                part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
            )
            filled = np.zeros(part.shape, np.uint8)
            cv2.drawContours(filled, contours, -1, 1, cv2.FILLED)
            box = bounds(filled > 0)
            if box is None or min(box[2] - box[0], box[3] - box[1]) < 8:
                continue
            left, top, right, bottom = box
            mask = filled[top:bottom, left:right] > 0
            region = region_at((left, top), mask, kind="blur")
            evidence = self.gather(filled > 0, log_odds)
            yield self._fitted(region, own, log_odds), evidence

    def _fitted(self, region, own, log_odds):
        """Return a rectangle or an ellipse instead of a region that nearly is one."""
        inside = np.where(own, log_odds, np.minimum(log_odds, 0))
        box = _best_rectangle(inside, own)
        left, top, right, bottom = box
        within = own[top:bottom, left:right].sum()
        rectangle = within / (own.sum() + (right - left) * (bottom - top) - within)
        ellipse = _ellipse_like(region.mask)
        both = (ellipse & region.mask).sum()
        if both > max(_ELLIPSE, rectangle) * (ellipse | region.mask).sum():
            x, y, right, bottom = bounds(ellipse) or (0, 0, 1, 1)  # never empty
            corner = region.box[0] + x, region.box[1] + y
            return region_at(corner, ellipse[y:bottom, x:right], kind="blur")
        if inside[top:bottom, left:right].sum() > _RECTANGLE * inside[own].sum():
            side = max(self.size) / max(log_odds.shape)
            pixels = [min(round(v * side), self.size[k % 2]) for k, v in enumerate(box)]
            x, y, right, bottom = self._at_rim(pixels, side)
            whole = np.ones((bottom - y, right - x), bool)
            return region_at((x, y), whole, kind="blur")
        return region

    def _at_rim(self, box, side):
        """Move each side of a box to where steps end, at most by 1.5 samples."""
        fine = np.log1p(self.steps[0].astype(np.float32))
        box = [v // self.n for v in box]
        reach, near = math.ceil(1.5 * side / self.n), max(3, round(side / self.n))
        moved = list(box)
        for k in range(4):
            axis = k % 2  # 0: a column
            low, high = box[1 - axis], box[3 - axis]
            span = fine[low:high] if axis == 0 else fine[:, low:high]
            profile = span.mean(1 - axis if axis else 0)
            total = np.concatenate([[0], np.cumsum(profile)])
            best = 0.1
            for at in range(box[k] - reach, box[k] + reach + 1):
                if not near <= at <= len(profile) - near:
                    continue
                before = total[at] - total[at - near]
                after = total[at + near] - total[at]
                drop = (before - after) / near * (1 if k < 2 else -1)
                if drop > best:
                    best, moved[k] = drop, at
        return [v * self.n for v in moved]

    def gather(self, mask: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
        """Measure the evidence that a region was blurred, and how strongly.

        Args:
            mask: bool `(height, width)` of the picture.
            log_odds: Those of the samples.

        Returns:
            float32 `(n,)`, named in `NAMES`.
        """
        import cv2

        height, width = self.picture.shape[:2]
        if self.n > 1:
            small = cv2.resize(mask.astype(np.uint8), (width, height))
            mask = small > 0
        box = bounds(mask) or (0, 0, width, height)
        margin = 2 * _BAND
        x0, y0 = max(0, box[0] - margin), max(0, box[1] - margin)
        crop = np.s_[y0 : box[3] + margin, x0 : box[2] + margin]
        part = mask[crop]
        samples = cv2.resize(log_odds, (width, height))[crop][part]
        outer, form = measure_form(part)
        points, normals = contour_normals(outer, _POINTS)
        at = points + (x0, y0) + _INNER * normals
        at_edge = ((at < 0) | (at > (width - 1, height - 1))).any(1)
        sides = box[2] - box[0], box[3] - box[1]
        inner = ~widened(~np.pad(part, 1), _INNER)[1:-1, 1:-1]
        beyond = widened(part, _INNER)
        band = widened(part, _BAND) & ~beyond
        evidence = [
            samples.mean() / _MOST,
            (samples > 0).mean(),
            math.log(part.sum() / mask.size),
            math.log(min(sides)),
            *form,
            (np.abs(normals).max(1) > 0.997).mean(),
            at_edge.mean(),
            *self._quantiles(self.steps, inner, (x0, y0)),
            *self._quantiles(self.steps, band, (x0, y0)),
        ]
        view = np.ascontiguousarray(self.picture[crop])
        grey = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY).astype(np.float32)
        evidence += [*_widths(grey, inner), *_widths(grey, band)]
        seen = ~at_edge
        if seen.sum() < 16:
            evidence += [0.0] * len(RIM)
        else:
            evidence += _rim(grey, points[seen], normals[seen])
        return np.array(evidence, np.float32)

    def estimate_sigma(self, evidence: np.ndarray) -> float:
        """Estimate a blur's standard deviation in pixels of the picture.

        The blur may be Gaussian or the mean over a square of the same deviation. Where
        a region shows no edge, nothing tells: there it is 4, so that little is changed.

        Args:
            evidence: What `gather` returns.
        """
        sharpest = evidence[NAMES.index("inside, steps over 16 pixels, 0.995")]
        if sharpest < _logs(np.float32(_FLAT)):
            return _CAUTIOUS * self.n
        sigma = np.exp(weigh("sigma", evidence)[0])
        return float(np.clip(sigma, *_RANGE)) * self.n

    def _quantiles(self, levels, mask, corner):
        """Return logs of quantiles of each level where a crop's mask is true."""
        import cv2

        result, last = [], [0.0] * len(_QUANTILES)
        height, width = mask.shape
        for k, level in enumerate(levels):
            x, y = corner[0] >> k, corner[1] >> k
            rows, columns = (height >> k) or 1, (width >> k) or 1
            place = level[y : y + rows, x : x + columns]
            size = place.shape[1::-1]
            whole = cv2.resize(
                255 * mask.astype(np.uint8), size, interpolation=cv2.INTER_AREA
            )
            values = place[whole >= 250]
            if len(values) >= 12:
                last = _logs(np.quantile(values, _QUANTILES)).tolist()
            result += last
        return result


RIM = (
    "variation along the rim inside",
    "variation along the rim outside",
    "edges along the rim inside",
    "edges along the rim outside",
    "variation further inside",
    "variation further outside",
    "likeness",
    "likeness to what is smoothed over 9",
    "likeness to what is smoothed over 25",
    "difference to what is smoothed over 9",
    "step across the rim",
    "lower quartile of the step",
    "step inside the rim",
    "step outside the rim",
)
NAMES = (
    "log odds of the samples",
    "samples",
    "area",
    "shorter side",
    "solidity",
    "rectangle",
    "ellipse",
    "length of the rim",
    "rim along rows and columns",
    "rim at the picture's edge",
    *(
        f"{where} over {2 ** (k + 1)} pixels, {quantile}"
        for where in ("inside, steps", "outside, steps")
        for k in range(LEVELS)
        for quantile in _QUANTILES
    ),
    *(
        f"{where} over {2**k} pixels, {name}"
        for where in ("inside, widths", "outside, widths")
        for k in range(LEVELS)
        for name in ("0.2", "0.5", "0.8", "strong")
    ),
    *RIM,
)


def _best_rectangle(values, own):
    """Return the box whose values have the greatest sum, searched side by side."""
    total = np.pad(values.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    box = list(bounds(own) or (0, 0, 1, 1))
    for k in 3 * (0, 1, 2, 3):
        most = total.shape[1 - k % 2]
        at = np.arange(box[k + 2]) if k < 2 else np.arange(box[k - 2] + 1, most)
        x0, y0, x1, y1 = (at if j == k else v for j, v in enumerate(box))
        sums = total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0]
        box[k] = int(at[sums.argmax()])
    return box


def _ellipse_like(mask):
    """Return an ellipse of a mask's middle, area and spread: bool, of its size."""
    import cv2

    m = cv2.moments(mask.astype(np.uint8), binaryImage=True)
    spread = np.array([[m["mu20"], m["mu11"]], [m["mu11"], m["mu02"]]]) / m["m00"]
    lengths, axes = np.linalg.eigh(spread)
    # Half an axis is twice the standard deviation along it.
    axis = tuple(4 * np.sqrt(np.maximum(lengths, 0.25)))
    angle = math.degrees(math.atan2(axes[1, 0], axes[0, 0]))
    ellipse = np.zeros(mask.shape, np.uint8)
    middle = m["m10"] / m["m00"], m["m01"] / m["m00"]
    cv2.ellipse(ellipse, (middle, axis, angle), 1, cv2.FILLED)
    return ellipse > 0


def weigh(name: str, evidence: np.ndarray) -> np.ndarray:
    """Return what one of the small networks answers.

    Args:
        name: "samples", "again", "overlaid", "marked" or "sigma".
        evidence: float32 `(..., n)`.

    Returns:
        float32 `(...)`, with one element at least: log odds, or the logarithm of a
        standard deviation.
    """
    stored = load_weights()
    names = "mean", "scale", "w1", "b1", "w2", "b2"
    mean, scale, w1, b1, w2, b2 = (stored[f"{name}.{part}"] for part in names)
    x = scaled(np.atleast_2d(evidence), mean, scale)
    return np.maximum(x @ w1 + b1, 0) @ w2 + b2


def surrounded(maps: np.ndarray) -> np.ndarray:
    """Return what the first network sees of a sample: itself and its surroundings.

    Args:
        maps: float32 `(6, rows, columns)` of `BlurView.sample`.

    Returns:
        float32 `(rows, columns, 48)`.
    """
    import cv2

    layers = list(maps)
    for n in _WINDOWS:
        square = np.ones((n, n), np.uint8)
        layers += [cv2.dilate(values, square) for values in maps]
        layers += [cv2.blur(values, (n, n)) for values in maps]
    for values in (maps[0], maps[3]):
        for quantile in np.quantile(values, _QUANTILES[:3]):
            layers.append(np.full_like(values, quantile))
    return np.stack(layers, -1)


def with_context(features: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
    """Add a first network's log odds, and those around, to the samples' features."""
    import cv2

    first = np.clip(log_odds, -_MOST, _MOST).astype(np.float32)
    layers = [first]
    for n in _WINDOWS:
        square = np.ones((n, n), np.uint8)
        layers += [cv2.blur(first, (n, n)), cv2.dilate(first, square)]
        layers.append(cv2.erode(first, square))
    return np.concatenate([features, np.stack(layers, -1)], -1)


@lru_cache(maxsize=1)
def load_weights() -> dict[str, np.ndarray]:
    """Load the weights of the small networks: a dict from name to float32 array."""
    with np.load(WEIGHTS) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


def _steps(level):
    """Return the greatest difference of any channel within 3x3 pixels: uint8."""
    import cv2

    square = np.ones((3, 3), np.uint8)
    r, g, b = cv2.split(cv2.morphologyEx(level, cv2.MORPH_GRADIENT, square))
    return cv2.max(cv2.max(r, g), b)


def _logs(values):
    return np.log1p(np.asarray(values, np.float32)) / 3


def _tops(level, rows, columns):
    rows, columns = (
        np.minimum(at, n - 1)
        for at, n in zip((rows, columns), level.shape, strict=True)
    )
    return np.maximum.reduceat(np.maximum.reduceat(level, rows, 0), columns, 1)


def _widths(grey, mask):
    """Measure how wide the edges of a masked part are, at five sizes of the picture.

    An edge that a Gaussian of standard deviation `σ` blurred loses `√((σ² + 4 t²) /
    (σ² + t²))` of its slope between blurs of `t` and `2 t` more. The logarithm of that
    is measured where slopes are greatest, once among the local maxima (three quantiles)
    and once among the tenth that is steepest.

    Reference:
        Zhuo and Sim, "Defocus map estimation from a single image" (2011), section 3.
    """
    import cv2

    result, last = [], [0.0] * 4
    weight = mask.astype(np.float32)
    for k in range(LEVELS):
        if k:
            half = tuple(max(1, side // 2) for side in weight.shape[::-1])
            covered = cv2.resize(weight, half, interpolation=cv2.INTER_AREA)
            grey = cv2.resize(grey * weight, half, interpolation=cv2.INTER_AREA)
            grey, weight = grey / np.maximum(covered, 1e-3), covered
        slopes = []
        for t in (1, 2):
            # What lies outside the mask counts for nothing.
            near = cv2.GaussianBlur(weight, (0, 0), t)
            even = cv2.GaussianBlur(grey * weight, (0, 0), t) / np.maximum(near, 1e-3)
            x, y = (cv2.Sobel(even, cv2.CV_32F, a, 1 - a, ksize=1) for a in (1, 0))
            slopes.append(cv2.magnitude(x, y))
        sharp, soft = slopes
        inside = cv2.erode(weight, np.ones((5, 5), np.uint8)) > 0.99
        if inside.sum() >= 16:
            ratio = np.log((sharp + 0.02) / (soft + 0.02))
            steep = inside & (soft >= max(0.2, np.quantile(soft[inside], 0.9)))
            peak = cv2.dilate(np.where(inside, soft, 0), np.ones((5, 5), np.uint8))
            ridge = steep & (soft >= 0.97 * peak)
            if ridge.sum() >= 4:
                last = [
                    *np.quantile(ratio[ridge], (0.2, 0.5, 0.8)),
                    ratio[steep].mean(),
                ]
        result += last
    return result


def _rim(grey, points, normals):
    """Measure colours along lines that cross a rim; see `RIM`."""
    import cv2

    away = np.array(_ACROSS, np.float32)
    x, y = (points[:, k : k + 1] + normals[:, k : k + 1] * away for k in (0, 1))
    profile = cv2.remap(grey, x, y, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
    far_in, inside, close_in, _, close_out, outside, _ = profile.T
    change_in, change_out, further_in, further_out = (
        np.abs(np.diff(v, append=v[:1]))
        for v in (inside, outside, far_in, profile[:, -1])
    )
    step = np.abs(close_out - close_in)
    smooth = {n: cv2.blur(outside[:, None], (1, n))[:, 0] for n in (9, 25)}
    return [
        float(math.log1p(change_in.mean())),
        float(math.log1p(change_out.mean())),
        float(_logs(np.quantile(change_in, 0.98))),
        float(_logs(np.quantile(change_out, 0.98))),
        float(math.log1p(further_in.mean())),
        float(math.log1p(further_out.mean())),
        _likeness(inside, outside),
        _likeness(inside, smooth[9]),
        _likeness(inside, smooth[25]),
        float(math.log1p(np.abs(inside - smooth[9]).mean())),
        float(math.log1p(step.mean())),
        float(math.log1p(np.quantile(step, 0.25))),
        float(math.log1p(np.abs(inside - close_in).mean())),
        float(math.log1p(np.abs(outside - close_out).mean())),
    ]


def _likeness(a, b):
    """Return the correlation of two rows of greys, 0 where they hardly vary."""
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).mean() / (a.std() * b.std() + 25))
