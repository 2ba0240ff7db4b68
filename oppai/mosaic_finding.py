"""Mosaics of a picture: lattice, cells and pixels, one after another."""

import numpy as np

from oppai.cell_network import (
    DILATIONS,
    PARTS,
    censored_share,
    lattice_features,
    steps,
)
from oppai.mosaic_form import fit_form
from oppai.mosaic_lattices import best_comb, coarsest, find_lattices, long_steps

_MARGIN = 8  # cells looked at round the windows
_STRIP = 60_000  # cells that the network sees at a time
_WHOLE = 200_000  # cells of a picture that is searched again for more of a mosaic
# Feature of a sample on a step of 2 levels; of 12, what a JPEG of quality 10 makes.
_STEP, _JPEG_STEP = np.log1p((2, 12)) / 3
_FULL = 12  # samples of 16 that are censored in a cell that counts as inside
_PART = 0.2  # whole sides that are steps in a further part, of those in the surest
_ON_LATTICE = 0.8  # part of the steps in a mosaic that lie on its lattice, less chance


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
            lattice, parts = _refined(grey, lattice, place, done)
            for mask, (x, y) in parts:
                at = np.s_[y : y + mask.shape[0], x : x + mask.shape[1]]
                if (mask & taken[at]).sum() < 0.3 * mask.sum():
                    mask &= ~taken[at]
                    taken[at] |= mask
                    regions.append((lattice, mask, (x, y)))
    return regions


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
        better, score = _fit_lattice(grey, lattice, *parts[0])
        if better == lattice:
            if score < _ON_LATTICE:
                break
            height, width = grey.shape
            if height * width < _WHOLE * lattice[0] * lattice[2]:
                parts = _segment(grey, lattice, (0, 0, width, height))
            if parts:
                lattice = coarsest(grey, lattice, *parts[0])
                parts = _without_small(parts)
            return lattice, parts
        lattice = better
    return lattice, []


def _fit_lattice(grey, lattice, mask, corner):
    """Lattice that explains the steps in a mask best, and the lesser of its scores."""
    x, y = corner
    part = grey[y : y + mask.shape[0], x : x + mask.shape[1]]
    fitted, scores = [], []
    for view, hole, start, length in (
        (part, mask, x, lattice[2]),
        (part.T, mask.T, y, lattice[0]),
    ):
        long = long_steps(steps(np.ascontiguousarray(view))[1], max(3, length // 2))
        height = np.maximum(hole.sum(0), 8)
        block, origin, score = best_comb((long * hole).sum(0) / height)
        fitted += [block, (origin + start) % block]
        scores.append(score)
    return tuple(fitted), min(scores)


def _without_small(parts):
    """Parts of a mosaic, less those that are a tenth of the largest and smaller."""
    sizes = [np.count_nonzero(mask) for mask, _ in parts]
    pairs = zip(parts, sizes, strict=True)
    return [part for part, size in pairs if size > 0.1 * max(sizes)]


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
        here = np.flatnonzero((counts > 0) & (stats[:, cv2.CC_STAT_AREA] > _FULL * 2))
        boxes = [(k, *stats[k, :4].tolist()) for k in here[here > 0]]
        rim = PARTS * 2
        if not any(
            (a < rim and view[0] > 0)
            or (b < rim and view[1] > 0)
            or (a + w > share.shape[1] - rim and view[2] < width)
            or (b + h > share.shape[0] - rim and view[3] < height)
            for _, a, b, w, h in boxes
        ):
            break
        margin *= 4
    step = _JPEG_STEP if _is_jpeg_grid(lattice) else _STEP
    middles = _middles(grey, lattice, (x, y), features.shape)
    sides = []
    for k, a, b, w, h in boxes:
        # Whole cells round a part, and one more for its rim.
        a, b = max(0, a // PARTS - 1), max(0, b // PARTS - 1)
        c, d = a + w // PARTS + 4, b + h // PARTS + 4
        samples = np.s_[b * PARTS : d * PARTS, a * PARTS : c * PARTS]
        part = labels[samples] == k
        found = _whole_sides(features[samples] > step, middles[b:d, a:c], part)
        own = np.where(part, share[samples], share[samples].clip(max=0.3))
        sides.append((*found, own, (x + a * block_x, y + b * block_y)))
    # Small blocks lie by chance on a lattice more often.
    least = 12 + 48 / min(block_x, block_y)
    if not any(n >= least and is_sure for n, is_sure, *_ in sides):
        return []
    sides.sort(key=lambda side: -side[0])
    enough = max(2, min(_PART * sides[0][0], 2 * least))
    parts = (fit_form(grey, lattice, *own) for n, _, *own in sides if n >= enough)
    return [part for part in parts if part is not None]


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


def _is_jpeg_grid(lattice):
    """Whether the blocks of a JPEG may make the lattice."""
    block_x, origin_x, block_y, origin_y = lattice
    return not (origin_x % 8 or origin_y % 8 or block_x % 8 or block_y % 8)


def _whole_sides(steps, middles, part):
    """Number of cells' sides in a part that are steps, and if a mosaic has such."""
    rows, columns = middles.shape
    inside = part.reshape(rows, PARTS, columns, PARTS).sum((1, 3)) >= _FULL
    left = steps[:, ::PARTS, 0].reshape(rows, PARTS, columns).sum(1)
    top = steps[::PARTS, :, 1].reshape(rows, columns, PARTS).sum(2)
    left = left[:, 1:] * (inside[:, 1:] & inside[:, :-1])
    top = top[1:] * (inside[1:] & inside[:-1])
    whole = int((left == PARTS).sum() + (top == PARTS).sum())
    if whole < (left > 0).sum() + (top > 0).sum() - whole:
        return 0, False
    n_lines = min((left == PARTS).any(0).sum(), (top == PARTS).any(1).sum())
    n_colours = len(np.unique(middles[inside] // 6))
    return whole, n_lines >= 2 and n_colours >= 4
