"""Measure the evidence that a plain region was laid over a picture.

A drawn white or black thing has an outline, a form of its own and colours that belong
to it. What was laid over a picture cuts through lines and colours: they end at its rim,
they differ along the rim, and nothing runs parallel to it.
"""

import math

import numpy as np

from oppai.censoring.regions import Region
from oppai.detection.segmenter import load_weights

_PIXELS = -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6  # along the normal of the rim
_WIDER = 0.0075, 0.015, 0.025, 0.04, 0.06  # outwards, of the picture's shorter side
_POINTS = 256  # of a rim
_SAME = 6  # levels: the noise of a JPEG
_EDGE = 20  # levels from which a difference is an edge
_LARGEST = 1024  # pixels of the sides of what is looked at
_THUMBNAIL = 160
_REACH = 3.0  # standard deviations
# Edges that end at what was laid over a picture, at least; part of a light's rim with a
# line along it from which the light is drawn.
_ENDED, _LINED = 4, 0.5
NAMES = (
    "log odds of the network",
    "area",
    "pixels of one colour",
    "noise",
    "islands",
    "least of its colour",
    "greatest of its colour",
    "solidity",
    "rectangle",
    "ellipse",
    "length of the rim",
    "rim along rows and columns",
    "rim at the picture's edge",
    "area of one colour",
    "its solidity",
    "its rectangle",
    "its ellipse",
    "its rim at the edge",
    "same colour near",
    "same colour further out",
    "same colour elsewhere",
    "brightness elsewhere",
    "edges elsewhere",
    "edges along the rim, 3 pixels",
    "edges along the rim, near",
    "edges along the rim, further out",
    "longest even part of the rim, 3 pixels",
    "longest even part of the rim, near",
    "variation, 3 pixels",
    "variation, near",
    "variation, further out",
    "outline",
    "line beside",
    "dark beside",
    "difference, 1 pixel",
    "difference, 3 pixels",
    "difference, near",
    "difference, further out",
    "least difference",
    "difference near to further out",
    "sharp rim",
    "width of the rim",
    "variation of its width",
    "rising differences",
    "likeness of 3 pixels and near",
    "likeness of 3 pixels and further out",
)


def gather_overlay_evidence(
    picture: np.ndarray, region: Region, log_odds: float
) -> np.ndarray:
    """Measure the evidence that a region was laid over a picture.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        region: A `Region` of one colour, or nearly so.
        log_odds: Mean log odds of the network inside the region.

    Returns:
        float32 `(46,)`, named in `NAMES`.
    """
    import cv2

    region, crop, n, place = _reduced(picture, region)
    mask = region.mask
    colours = crop[region.slices][mask]
    colour = np.median(colours, axis=0).astype(np.float32)
    inside = difference(colours, colour)
    outer, form = measure_form(mask)
    filled = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(filled, [outer], -1, 1, cv2.FILLED)
    height, width = picture.shape[:2]
    side = min(height, width) / n
    points, normals = contour_normals(outer, _POINTS)
    points += region.box[:2]
    at_edge = _beyond(points + 3 * normals, picture.shape, place, n)
    elsewhere = _elsewhere(picture, region, place, n, colour)
    evidence = [
        log_odds,
        math.log(mask.sum() * n * n / (height * width)),
        (inside <= 2).mean(),
        math.log1p(inside.std()),
        1 - mask[filled > 0].mean(),
        colour.min() / 255,
        colour.max() / 255,
        *form,
        (np.abs(normals).max(1) > 0.997).mean(),
        at_edge.mean(),
        *_one_colour(crop, region, colour),
    ]
    seen = ~at_edge if (~at_edge).sum() >= 8 else np.ones_like(at_edge)
    same, along = _rim(crop, points[seen], normals[seen], colour, side)
    return np.array([*evidence, *same, *elsewhere, *along], np.float32)


def weigh_overlay(evidence: np.ndarray, kind: str) -> float:
    """Return the log odds that a region was laid over a picture.

    Args:
        evidence: float32 `(46,)` of `gather_overlay_evidence`.
        kind: "white", "black" or "light".
    """
    stored = load_weights()
    names = "mean", "scale", "w1", "b1", "w2", "b2"
    mean, scale, w1, b1, w2, b2 = (stored[f"overlay.{kind}.{name}"] for name in names)
    hidden = np.maximum(scaled(evidence, mean, scale) @ w1 + b1, 0)
    return float(hidden @ w2 + b2)


def is_drawn(evidence: np.ndarray, kind: str) -> bool:
    """Return whether a region belongs to the picture, whatever all measures say.

    What was laid over a picture ends some edges; a spot on one colour ends none. And a
    light fades out, so that no line can run along half of its rim.

    Args:
        evidence: float32 `(46,)` of `gather_overlay_evidence`.
        kind: "white", "black" or "light".
    """
    edges = evidence[NAMES.index("edges along the rim, further out")]
    outline = evidence[NAMES.index("outline")]
    return bool(edges < math.log1p(_ENDED) or (kind == "light" and outline >= _LINED))


def scaled(evidence: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return evidence in standard deviations, clipped to what was seen in training."""
    return np.clip((evidence - mean) / scale, -_REACH, _REACH)


def difference(colours: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Return the greatest difference of the channels: float32 `(…)` of `(…, 3)`."""
    # NumPy's maximum along an axis of three takes ten times as long.
    r, g, b = (np.abs(colours[..., k] - np.float32(colour[..., k])) for k in range(3))
    return np.maximum(np.maximum(r, g), b)


def _reduced(picture, region):
    """Return the region in a crop around it, every n-th pixel, and where that lies."""
    height, width = picture.shape[:2]
    left, top, right, bottom = region.box
    margin = math.ceil(0.07 * min(height, width)) + 8
    x0, y0 = max(0, left - margin), max(0, top - margin)
    x1, y1 = min(width, right + margin), min(height, bottom + margin)
    n = max(1, math.ceil(max(x1 - x0, y1 - y0) / _LARGEST))
    mask = np.zeros((y1 - y0, x1 - x0), bool)
    mask[top - y0 : bottom - y0, left - x0 : right - x0] = region.mask
    mask = mask[::n, ::n]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    inner = mask[box[1] : box[3], box[0] : box[2]]
    return Region(box, inner, region.kind), picture[y0:y1:n, x0:x1:n], n, (x0, y0)


def measure_form(mask: np.ndarray) -> tuple[np.ndarray, tuple[float, ...]]:
    """Return the outer contour of a mask, and how regular its form is.

    Args:
        mask: bool `(height, width)`.

    Returns:
        `(contour, form)`: OpenCV's contour `(n, 1, 2)`, and solidity, likeness to a
        rectangle and to an ellipse, and the logarithm of the contour's length squared
        over the area.
    """
    import cv2

    padded = np.pad(mask.astype(np.uint8), 1)
    contours, _ = cv2.findContours(padded, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outer = max(contours, key=len) - 1
    # Pixels are squares around the contour's points.
    area = cv2.contourArea(outer) + len(outer) / 2 + 1
    hull = cv2.convexHull(outer)
    around = cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1
    _, (a, b), _ = cv2.minAreaRect(hull)
    points = np.argwhere(mask)[:: max(1, mask.sum() // 4096)]
    spread = np.linalg.det(np.cov(points.T) + np.eye(2) / 12) if len(points) > 2 else 1
    solidity, rectangle = area / around, area / ((a + 1) * (b + 1))
    # 1 for an ellipse, 0.95 for a rectangle, less for any other form.
    ellipse = mask.sum() / (4 * math.pi * math.sqrt(max(spread, 0.01)))
    length = math.log(cv2.arcLength(outer, True) ** 2 / area + 1)
    return outer, (solidity, rectangle, ellipse, length)


def contour_normals(outer: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points along a contour and the outward normals: float32 `(n, 2)` each.

    Args:
        outer: Contour of `measure_form`.
        most: Greatest number of points.
    """
    points = outer[:, 0].astype(np.float32)
    n = len(points)
    reach = int(np.clip(n // 16, 2, 8))
    at = np.arange(0, n, max(1, n / most)).astype(int)
    along = points[(at + reach) % n] - points[(at - reach) % n]
    normals = np.stack([along[:, 1], -along[:, 0]], 1)
    normals /= np.maximum(np.hypot(*normals.T)[:, None], 1e-6)
    # The signed area tells which way the contour runs.
    x, y = points.T
    area = float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
    return points[at], normals if area > 0 else -normals


def _beyond(points, shape, place, n):
    x, y = (n * points + place).T
    return (x < 0) | (x > shape[1] - 1) | (y < 0) | (y > shape[0] - 1)


def _one_colour(crop, region, colour):
    """Measure the area that has the region's colour, to which the region belongs."""
    import cv2

    gap = difference(crop, colour)
    _, labels = cv2.connectedComponents((gap <= _SAME).astype(np.uint8))
    own = labels[region.slices][region.mask]
    own = own[own > 0]
    if not own.size:
        return -4.0, 0.0, 0.0, 0.0, 0.0
    area = labels == np.bincount(own).argmax()
    _, (solidity, rectangle, ellipse, _) = measure_form(area)
    ends = np.concatenate([area[0], area[-1], area[:, 0], area[:, -1]]).mean()
    larger = math.log(area.sum() / region.mask.sum())
    return larger, solidity, rectangle, ellipse, ends


def _elsewhere(picture, region, place, n, colour):
    """Measure the rest of the picture, in a thumbnail of single pixels."""
    import cv2

    height, width = picture.shape[:2]
    step = max(1, round(math.sqrt(height * width) / _THUMBNAIL))
    small = picture[::step, ::step]
    (x0, y0), box = place, region.box
    rows = (np.arange(0, height, step) - y0) // n - box[1]
    columns = (np.arange(0, width, step) - x0) // n - box[0]
    row_in = (rows >= 0) & (rows < region.mask.shape[0])
    column_in = (columns >= 0) & (columns < region.mask.shape[1])
    rest = np.ones(small.shape[:2], bool)
    under = region.mask[rows[row_in]][:, columns[column_in]]
    rest[np.ix_(row_in, column_in)] = ~under
    if not rest.any():
        return 0.0, 0.0, 0.0
    same = difference(small, colour)[rest] <= _SAME
    grey = cv2.cvtColor(np.ascontiguousarray(small), cv2.COLOR_RGB2GRAY)
    square = np.ones((3, 3), np.uint8)
    edges = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, square) > _EDGE
    return math.log(0.001 + same.mean()), grey[rest].mean() / 255, edges[rest].mean()


def _rim(crop, points, normals, colour, side):
    """Measure colours along lines that cross the rim.

    Returns:
        `(same, along)`: how much of the region's colour goes on, and 22 measures.
    """
    import cv2

    wider = [share * side for share in _WIDER]
    away = np.array([*_PIXELS, *wider], np.float32)
    x = points[:, :1] + normals[:, :1] * away
    y = points[:, 1:] + normals[:, 1:] * away
    profile = cv2.remap(
        np.ascontiguousarray(crop), x, y, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE
    ).astype(np.float32)
    grey = profile @ np.array([0.299, 0.587, 0.114], np.float32)
    gap = difference(profile, colour)
    one, two, three, four, six = (_PIXELS.index(v) for v in (1, 2, 3, 4, 6))
    k = len(_PIXELS)
    beside, near, further, far = k, k + 1, k + 2, k + 3
    mean = gap.mean(0)
    # Drawn things have a dark line along the rim, with something brighter beyond it.
    darkest = grey[:, [one, two, three, four, beside, near]].min(1)
    beyond = np.maximum(grey[:, further], grey[:, far])
    inner = grey[:, _PIXELS.index(-4)]
    outline = (darkest < beyond - 25) & (darkest < inner - 25)
    line = darkest < np.minimum(grey[:, further], grey[:, far]) - 12
    close = mean[[two, three, four, six, beside, near]].max()
    # A rim is as wide as the way to most of the greatest difference.
    way = np.array([0, 1, 2, 3, 4, 6, *wider])
    order = np.argsort(way)
    at = np.array([*(_PIXELS.index(v) for v in (0, 1, 2, 3, 4, 6)), *range(k, k + 5)])
    rising = gap[:, at[order]]
    greatest = rising.max(1)
    clear = greatest > _EDGE
    widths = way[order][(rising >= 0.7 * greatest[:, None]).argmax(1)][clear] / side
    jumps, total = np.diff(gap[:, :k], axis=1).max(1), gap[:, :k].max(1)
    steep = total > _EDGE
    same = (gap[:, three] <= _SAME).mean(), (gap[:, further] <= _SAME).mean()
    along = [
        *(_edges_along(profile[:, at]) for at in (three, near, far)),
        *(_longest_even(profile[:, at]) for at in (three, near)),
        *(math.log1p(profile[:, at].std(0).mean()) for at in (three, near, far)),
        outline.mean(),
        line.mean(),
        (darkest < 80).mean(),
        *(mean[at] / 255 for at in (one, three, near, far)),
        np.quantile(gap[:, near], 0.1) / 255,
        math.log(max(0.05, close / max(mean[[far, far + 1]].mean(), 4))),
        (jumps[steep] > 0.8 * total[steep]).mean() if steep.any() else 0,
        math.log(0.001 + np.median(widths)) if widths.size else -7,
        math.log(0.001 + widths.std()) if widths.size else -7,
        (np.diff(rising, axis=1) > -8).mean(),
        _likeness(grey[:, three], grey[:, near]),
        _likeness(grey[:, three], grey[:, far]),
    ]
    return same, along


def _edges_along(colours):
    return math.log1p((difference(np.roll(colours, -1, 0), colours) > _EDGE).sum())


def _longest_even(colours):
    """Return the longest part of a rim without a change of colour, as a fraction."""
    changes = difference(np.roll(colours, -1, 0), colours) > _SAME + 2
    at = np.flatnonzero(changes)
    if len(at) < 2:
        return 1.0
    return np.diff(at, append=at[0] + len(changes)).max() / len(changes)


def _likeness(a, b):
    """Return the correlation of two rows of greys, 0 where they hardly vary."""
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).mean() / (a.std() * b.std() + 25))
