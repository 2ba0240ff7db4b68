"""Mosaics of a picture: lattice, cells and pixels, one after another."""

from dataclasses import dataclass, replace

import numpy as np

from oppai.data.mosaic_frames import bounds
from oppai.detection.lattice import (
    best_comb,
    coarsest,
    find_lattices,
    gather_evidence,
    is_lattice,
    lattice_scores,
    step_profiles,
    weigh,
)
from oppai.detection.segmenter import (
    DILATIONS,
    PARTS,
    censored_share,
    lattice_features,
)

_EDGE = 0.25  # gain of a pixel of a side that is a step, in samples
_ALIKE = 0.88  # IoU from which a form counts as a rectangle


def fit_form(grey, lattice, share, start):
    """Turn the shares of a lattice's samples into a mask of pixels.

    The shares are interpolated and cut at one half. Where that is nearly a rectangle,
    each of its sides moves to where shares and steps of the picture agree best.

    Args:
        grey: uint8 `(height, width)`, the whole picture.
        lattice: `(block x, origin x, block y, origin y)` in pixels.
        share: float32 `(4 rows, 4 columns)`, 0..1.
        start: Pixel `(x, y)` of the picture at which the first sample begins.

    Returns:
        `(mask, (x, y))`: bool mask of the pixels, cut to what is found, and where in
        the picture its upper left corner lies; `None` without a pixel.
    """
    height, width = grey.shape
    block_x, _, block_y, _ = lattice
    x0, y0 = max(0, start[0]), max(0, start[1])
    x1 = min(width, start[0] + share.shape[1] // PARTS * block_x)
    y1 = min(height, start[1] + share.shape[0] // PARTS * block_y)
    values = _interpolated(share, np.arange(y0, y1) - start[1], block_y, 0)
    values = _interpolated(values, np.arange(x0, x1) - start[0], block_x, 1)
    mask = values > 0.5
    if not mask.any():
        return None
    box = bounds(mask)
    box = _rectangle(2 * values - 1, grey[y0:y1, x0:x1], box, (block_x, block_y))
    rectangle = np.zeros_like(mask)
    rectangle[box[1] : box[3], box[0] : box[2]] = True
    if (mask & rectangle).sum() > _ALIKE * (mask | rectangle).sum():
        mask = rectangle
    left, top, right, bottom = bounds(mask)
    return mask[top:bottom, left:right], (x0 + left, y0 + top)


def _interpolated(a, pixels, block, axis):
    """Values of samples at pixels, linear between the samples' middles."""
    inner = np.arange(PARTS) * block // PARTS
    middle = (inner + np.append(inner[1:], block) - 1) / 2
    n = a.shape[axis] // PARTS
    places = (np.arange(n)[:, None] * block + middle).ravel()
    right = np.clip(np.searchsorted(places, pixels), 1, len(places) - 1)
    gap = places[right] - places[right - 1]
    part = np.clip((pixels - places[right - 1]) / gap, 0, 1).astype(np.float32)
    part = part[:, None] if axis == 0 else part
    return a.take(right - 1, axis) * (1 - part) + a.take(right, axis) * part


def _rectangle(gain, grey, box, block):
    """Likeliest rectangle near a first one, side by side."""
    d = grey.astype(np.int16)
    edges = []
    for axis in (1, 0):
        step = np.minimum(np.abs(np.diff(d, axis=axis)), 8) / np.float32(8)
        edges.append(np.insert(step, 0, 0, axis))
    gains, edges = (gain, gain.T), (edges[0], edges[1].T)
    box = list(box)
    for side in (0, 2, 1, 3) * 3:
        axis = side % 2  # 0: a side that is a column
        a, b = box[1 - axis], box[3 - axis]
        total = np.r_[0, np.cumsum(gains[axis][a:b].sum(0))]
        bonus = np.r_[edges[axis][a:b].sum(0), 0] * (_EDGE * block[axis] / PARTS)
        opposite = box[(side + 2) % 4]
        if side < 2:
            scores = total[opposite] - total + bonus
            scores[opposite:] = -np.inf
        else:
            scores = total - total[opposite] + bonus
            scores[: opposite + 1] = -np.inf
        box[side] = int(scores.argmax())
    return box


_MARGIN = 8  # cells looked at round the windows
_STRIP = 60_000  # cells that the network sees at a time
_FEW = 2_000  # cells of a picture that is looked at as a whole at once
_WIDEST = 40_000  # cells of a view that grows no more, however far a part goes on
_WHOLE = 200_000  # cells of a picture that is searched again for more of a mosaic
_LEAST = 24  # samples of a part
_SURE = 0.3  # log odds from which a part is taken for a mosaic


@dataclass(frozen=True, eq=False)
class MosaicPart:
    """What the network takes for a mosaic, or for a part of one.

    Args:
        lattice: `(block x, origin x, block y, origin y)` in pixels.
        mask: bool `(height, width)`, the part's pixels.
        corner: `(x, y)` of the mask's upper left corner in the picture.
        evidence: As `gather_evidence` gives it.
    """

    lattice: tuple
    mask: np.ndarray
    corner: tuple
    evidence: np.ndarray

    @property
    def is_sure(self):
        """Whether the evidence is for a mosaic."""
        return weigh(self.evidence) > _SURE

    @property
    def place(self):
        """Slices of the picture where the mask lies."""
        (x, y), (height, width) = self.corner, self.mask.shape
        return np.s_[y : y + height, x : x + width]


class MosaicSearch:
    """Looks for mosaics in a picture, nowhere twice on the same lattice."""

    def __init__(self, grey):
        self.grey = grey
        self._done = set()
        self._wholes = {}  # what was seen of the whole picture, by lattice

    def refined(self, lattice, place):
        """Parts in a place, on the lattice that explains the first of them best."""
        for _ in range(3):
            if not {lattice, (lattice, place)}.isdisjoint(self._done):
                break
            self._done.add((lattice, place))
            better, margin, goes_on = lattice, _MARGIN, True
            while goes_on and better == lattice:
                parts, goes_on = self._segment(lattice, place, margin)
                if parts:
                    better = _fit_lattice(self.grey, parts[0])
                margin *= 4
            if better == lattice:
                return parts
            lattice = better
        return []

    def whole(self, parts):
        """All parts of a mosaic of which some are known, on its coarsest lattice."""
        height, width = self.grey.shape
        if not parts or not parts[0].is_sure:
            return []
        lattice = parts[0].lattice
        if height * width < _WHOLE * lattice[0] * lattice[2]:
            self._done.add(lattice)
            # What the network sees no more with the whole picture round it was none.
            parts, _ = self._segment(lattice, (0, 0, width, height), 0)
        parts = [part for part in parts if part.is_sure]
        if parts:
            lattice = coarsest(self.grey, lattice, parts[0].mask, parts[0].corner)
        return [replace(part, lattice=lattice) for part in parts]

    def _segment(self, lattice, place, margin):
        """Parts censored in and round a place, the surest first; whether they go on."""
        import cv2

        height, width = self.grey.shape
        left, top, right, bottom = place
        block_x, _, block_y, _ = lattice
        view = 0, 0, width, height
        if height * width > _FEW * block_x * block_y:
            view = (
                max(0, left - margin * block_x),
                max(0, top - margin * block_y),
                min(width, right + margin * block_x),
                min(height, bottom + margin * block_y),
            )
        features, share, (x, y) = self._look(lattice, view)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            (share > 0.5).astype(np.uint8)
        )
        seed = labels[
            max(0, top - y) * PARTS // block_y : (bottom - y) * PARTS // block_y,
            max(0, left - x) * PARTS // block_x : (right - x) * PARTS // block_x,
        ]
        counts = np.bincount(seed.ravel(), minlength=len(stats))
        here = np.flatnonzero((counts > 0) & (stats[:, cv2.CC_STAT_AREA] > _LEAST))
        boxes = [(k, *stats[k, :4].tolist()) for k in here[here > 0]]
        middles = _middles(self.grey, lattice, (x, y), features.shape)
        parts = []
        for k, a, b, w, h in boxes:
            # Whole cells round a part, and one more for its rim.
            a, b = max(0, a // PARTS - 1), max(0, b // PARTS - 1)
            c, d = a + w // PARTS + 4, b + h // PARTS + 4
            samples = np.s_[b * PARTS : d * PARTS, a * PARTS : c * PARTS]
            part = labels[samples] == k
            own = np.where(part, share[samples], share[samples].clip(max=0.3))
            start = x + a * block_x, y + b * block_y
            form = fit_form(self.grey, lattice, own, start)
            if form is not None:
                scores = lattice_scores(self.grey, lattice, *form)
                seen = features[samples], middles[b:d, a:c], own, part
                evidence = gather_evidence(*seen, lattice, scores)
                parts.append(MosaicPart(lattice, *form, evidence))
        # The one with the most sides on the lattice first.
        parts.sort(key=lambda p: (is_lattice(p.evidence), p.evidence[0]), reverse=True)
        goes_on = share.size <= _WIDEST * PARTS**2 and _touch_rim(
            boxes, share.shape, (view[0], view[1], width - view[2], height - view[3])
        )
        return parts if parts and is_lattice(parts[0].evidence) else [], goes_on

    def _look(self, lattice, view):
        height, width = self.grey.shape
        if height * width > _FEW * lattice[0] * lattice[2]:
            return _look(self.grey, lattice, view)
        if lattice not in self._wholes:
            self._wholes[lattice] = _look(self.grey, lattice, view)
        return self._wholes[lattice]


def _touch_rim(boxes, shape, beyond):
    """Whether parts come near a side of a view beyond which there is more."""
    rim = PARTS * 2
    near = [
        (a < rim, b < rim, a + w > shape[1] - rim, b + h > shape[0] - rim)
        for _, a, b, w, h in boxes
    ]
    return bool((np.array(near, bool).reshape(-1, 4) & (np.array(beyond) > 0)).any())


def _fit_lattice(grey, part):
    """Lattice that explains the steps in a part best."""
    fitted = []
    profiles = step_profiles(grey, part.lattice, part.mask, part.corner)
    for profile, start in zip(profiles, part.corner, strict=True):
        block, origin, _ = best_comb(profile)
        fitted += [block, (origin + start) % block]
    return tuple(fitted)


def _look(grey, lattice, view):
    """Steps on the lattice and shares of a view, in strips that the memory holds."""
    left, top, right, bottom = view
    block_x, _, block_y, origin_y = lattice
    columns = (right - left) // block_x + 2
    rows = max(16, _STRIP // columns)
    overlap = sum(DILATIONS) + 1
    top -= (top - origin_y) % block_y
    strips = []
    for y in range(top, bottom, rows * block_y):
        before = min(overlap, (y - top) // block_y)
        region = (
            left,
            y - before * block_y,
            right,
            min(bottom, y + (rows + overlap) * block_y),
        )
        features, corner = lattice_features(grey, lattice, region)
        share = censored_share(features)
        own = np.s_[before * PARTS : (before + rows) * PARTS]
        strips.append((features[own][..., :8:4].astype(np.float16), share[own]))
    features, share = (np.concatenate(v) for v in zip(*strips, strict=True))
    return features, share, (corner[0], top)


def _middles(grey, lattice, start, shape):
    """Grey of the middle of every cell."""
    at = []
    for n, first, block, length in (
        (shape[0], start[1], lattice[2], grey.shape[0]),
        (shape[1], start[0], lattice[0], grey.shape[1]),
    ):
        middles = first + block // 2 + block * np.arange(n // PARTS)
        at.append(np.clip(middles, 0, length - 1))
    return grey[at[0]][:, at[1]].astype(int)


def mosaic_regions(grey):
    """Find the mosaics of a picture.

    Args:
        grey: uint8 `(height, width)`.

    Returns:
        List of `MosaicPart`, none upon another.
    """
    search, regions = MosaicSearch(grey), []
    taken = np.zeros(grey.shape, bool)
    for lattice, windows in find_lattices(grey):
        for place in _places(windows, grey.shape):
            left, top, right, bottom = place
            if taken[top:bottom, left:right].mean() > 0.3:
                continue
            for part in search.whole(search.refined(lattice, place)):
                hidden = taken[part.place]
                if (part.mask & hidden).sum() < 0.3 * part.mask.sum():
                    part.mask[hidden] = False
                    hidden |= part.mask
                    regions.append(part)
    return regions


def candidates(grey):
    """Every part of a picture that the network takes for a mosaic, true or not.

    Args:
        grey: uint8 `(height, width)`.

    Returns:
        List of `MosaicPart`.
    """
    search = MosaicSearch(grey)
    return [
        part
        for lattice, windows in find_lattices(grey)
        for place in _places(windows, grey.shape)
        for part in search.refined(lattice, place)
    ]


def _places(windows, shape):
    """Boxes round the groups of windows that touch, with room on every side."""
    import cv2

    unit = 16
    grid = np.zeros((shape[0] // unit + 2, shape[1] // unit + 2), np.uint8)
    for x, y, size in windows:
        room = size // 4
        x0, y0 = max(0, x - room) // unit, max(0, y - room) // unit
        x1, y1 = (x + size + room) // unit + 1, (y + size + room) // unit + 1
        grid[y0:y1, x0:x1] = 1
    _, _, stats, _ = cv2.connectedComponentsWithStats(grid)
    for x, y, w, h, _ in stats[1:].tolist():
        x, y, right, bottom = (v * unit for v in (x, y, x + w, y + h))
        yield x, y, min(right, shape[1]), min(bottom, shape[0])
