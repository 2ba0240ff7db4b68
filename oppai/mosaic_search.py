"""Where a mosaic lies whose lattice is nearly known: cells, parts, pixels."""

from dataclasses import dataclass, replace

import numpy as np

from oppai.cell_network import (
    DILATIONS,
    PARTS,
    censored_share,
    lattice_features,
)
from oppai.mosaic_evidence import (
    gather_evidence,
    is_lattice,
    lattice_scores,
    step_profiles,
    weigh,
)
from oppai.mosaic_form import fit_form
from oppai.mosaic_lattices import best_comb, coarsest

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
