"""Mosaics of a picture: lattice, cells and pixels, one after another."""

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
from oppai.mosaic_lattices import best_comb, coarsest, find_lattices

_MARGIN = 8  # cells looked at round the windows
_STRIP = 60_000  # cells that the network sees at a time
_WIDEST = 40_000  # cells of a view that grows no more, however far a part goes on
_WHOLE = 200_000  # cells of a picture that is searched again for more of a mosaic
_LEAST = 24  # samples of a part
_SURE = 0.0  # log odds from which a part is taken for a mosaic


def mosaic_regions(grey):
    """Find the mosaics of a picture.

    Args:
        grey: uint8 `(height, width)`.

    Returns:
        List of `(lattice, mask, (x, y))`: lattice as `(block x, origin x, block y,
        origin y)`, bool mask of the pixels and the place of its upper left corner.
    """
    regions, done = [], set()
    taken = np.zeros(grey.shape, bool)
    for lattice, windows in find_lattices(grey):
        for place in _places(windows, grey.shape):
            left, top, right, bottom = place
            if taken[top:bottom, left:right].mean() > 0.3:
                continue
            fitted, parts = _refined(grey, lattice, place, done)
            if parts:
                fitted, parts = _whole(grey, fitted, parts, done)
            for mask, (x, y) in parts:
                at = np.s_[y : y + mask.shape[0], x : x + mask.shape[1]]
                if (mask & taken[at]).sum() < 0.3 * mask.sum():
                    mask &= ~taken[at]
                    taken[at] |= mask
                    regions.append((fitted, mask, (x, y)))
    return regions


def candidates(grey):
    """Every part of a picture that the network takes for a mosaic, true or not.

    Args:
        grey: uint8 `(height, width)`.

    Returns:
        List of `(evidence, lattice, mask, (x, y))`, as `gather_evidence` and
        `mosaic_regions` give them.
    """
    found, done = [], set()
    for lattice, windows in find_lattices(grey):
        for place in _places(windows, grey.shape):
            fitted, parts = _refined(grey, lattice, place, done)
            found += [(seen, fitted, mask, at) for mask, at, seen in parts]
    return found


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


def _refined(grey, lattice, place, done):
    """Segment round a place until the lattice fits what is found: lattice, parts."""
    for _ in range(3):
        if (lattice, place) in done:
            break
        done.add((lattice, place))
        parts = _segment(grey, lattice, place)
        if not parts:
            break
        better = _fit_lattice(grey, lattice, *parts[0][:2])
        if better == lattice:
            return lattice, parts
        lattice = better
    return lattice, []


def _whole(grey, lattice, parts, done):
    """All parts of a mosaic of which some are known, and its lattice."""
    height, width = grey.shape
    if weigh(parts[0][2]) < _SURE or (lattice, "whole") in done:
        return lattice, []
    if height * width < _WHOLE * lattice[0] * lattice[2]:
        done.add((lattice, "whole"))
        # What the network sees no more with the whole picture round it was none.
        parts = _segment(grey, lattice, (0, 0, width, height))
    parts = [part[:2] for part in parts if weigh(part[2]) > _SURE]
    return coarsest(grey, lattice, *parts[0]) if parts else lattice, parts


def _fit_lattice(grey, lattice, mask, corner):
    """Lattice that explains the steps in a mask best."""
    fitted = []
    profiles = step_profiles(grey, lattice, mask, corner)
    for profile, start in zip(profiles, corner, strict=True):
        block, origin, _ = best_comb(profile)
        fitted += [block, (origin + start) % block]
    return tuple(fitted)


def _segment(grey, lattice, place):
    """Parts that the network finds censored in and round a place, the surest first."""
    import cv2

    height, width = grey.shape
    block_x, _, block_y, _ = lattice
    left, top, right, bottom = place
    margin = _MARGIN
    while True:
        view = (
            max(0, left - margin * block_x),
            max(0, top - margin * block_y),
            min(width, right + margin * block_x),
            min(height, bottom + margin * block_y),
        )
        features, share, (x, y) = _look(grey, lattice, view)
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
        rim = PARTS * 2
        if (
            not any(
                (a < rim and view[0] > 0)
                or (b < rim and view[1] > 0)
                or (a + w > share.shape[1] - rim and view[2] < width)
                or (b + h > share.shape[0] - rim and view[3] < height)
                for _, a, b, w, h in boxes
            )
            or share.size > _WIDEST * PARTS**2
        ):
            break
        margin *= 4
    middles = _middles(grey, lattice, (x, y), features.shape)
    parts = []
    for k, a, b, w, h in boxes:
        # Whole cells round a part, and one more for its rim.
        a, b = max(0, a // PARTS - 1), max(0, b // PARTS - 1)
        c, d = a + w // PARTS + 4, b + h // PARTS + 4
        samples = np.s_[b * PARTS : d * PARTS, a * PARTS : c * PARTS]
        part = labels[samples] == k
        own = np.where(part, share[samples], share[samples].clip(max=0.3))
        form = fit_form(grey, lattice, own, (x + a * block_x, y + b * block_y))
        if form is None:
            continue
        scores = lattice_scores(grey, lattice, *form)
        seen = features[samples], middles[b:d, a:c], own, part
        evidence = gather_evidence(*seen, lattice, scores)
        parts.append((*form, evidence))
    # The one with the most sides on the lattice first.
    parts.sort(key=lambda part: (is_lattice(part[2]), part[2][0]), reverse=True)
    return parts if parts and is_lattice(parts[0][2]) else []


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
