"""Recognise what hides a marked part of a picture."""

from collections.abc import Sequence

import numpy as np

from oppai.censoring.regions import Region, overlap, region_at
from oppai.detection.blur import marked_sigma
from oppai.detection.mosaic import find_mosaics
from oppai.detection.solid import hidden_pixels

# Pixels around a part that are looked at with it, at least.
_AROUND = 100
# Confidence from which a region counts: somebody marked it, so it needs to be no surer.
_MARKED = 0.1
# Fraction of a marked part that a censor covers: marks are drawn loosely.
_COVERED = 0.2
# Fraction from which white, light or black surely hides a part, and log odds from which
# less of it was blurred instead: something dark below a blur looks hidden by black.
_SURELY, _BLURRED = 0.6, 2.0
# Fraction of a part that has one colour, and of its surroundings that may have it too.
_PLAIN, _BESIDE = 0.6, 0.1
_SAME = 6  # levels: the noise of a JPEG


def mosaics_under(picture: np.ndarray, hole: np.ndarray) -> list[Region]:
    """Find the mosaics under what is marked.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        hole: bool `(height, width)`, what is marked.

    Returns:
        List of `Region` of the kind "mosaic".
    """
    mosaics = []
    for left, top, right, bottom in _crops(hole):
        inside = np.s_[top:bottom, left:right]
        found = find_mosaics(picture[inside], least=_MARKED, marked=hole[inside])
        for region in found:
            under = hole[inside][region.slices][region.mask].mean()
            if region.grid is None or under < _COVERED:
                continue
            x, y = region.box[0] + left, region.box[1] + top
            grid = region.grid.moved(left, top)
            fields = {"kind": "mosaic", "grid": grid, "opacity": region.opacity}
            mosaics.append(region_at((x, y), region.mask, **fields))
    return mosaics


def blurs_under(
    picture: np.ndarray, hole: np.ndarray, mosaics: Sequence[Region]
) -> tuple[list[Region], np.ndarray]:
    """Find the blurs under what is marked, and the parts that show no known censor.

    A part is known if a mosaic covers some of it, if white, light or black does, if
    most of it has one colour that its surroundings do not have, or if it was blurred.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        hole: bool `(height, width)`, what is marked.
        mosaics: What `mosaics_under` returns.

    Returns:
        `(blurs, unknown)`: list of `Region` of the kind "blur", and bool
        `(height, width)`. Both are whole connected parts of `hole`.
    """
    import cv2

    n, labels, stats, _ = cv2.connectedComponentsWithStats(hole.astype(np.uint8))
    blurs, unknown = [], np.zeros(hole.shape, bool)
    for label in range(1, n):
        left, top, width, height = stats[label, :4].tolist()
        box = left, top, left + width, top + height
        part = labels[top : box[3], left : box[2]] == label
        covered = np.zeros_like(part)
        for mosaic in mosaics:
            here, there = overlap(box, mosaic.box)
            covered[here] |= mosaic.mask[there]
        if covered[part].mean() >= _COVERED:
            continue
        share = _plain_share(picture, box, part)
        if share >= _SURELY:
            continue
        is_plain = share >= _COVERED
        least = {"least": _BLURRED} if is_plain else {}
        inside = picture[top : box[3], left : box[2]][part]
        # A blur leaves some shade of what it hides.
        is_even = np.ptp(inside.astype(np.int16), axis=0).max() <= _SAME
        sigma = None if is_even else marked_sigma(picture, box, part, **least)
        if sigma is None and is_plain:
            continue
        if sigma is None:
            unknown[top : box[3], left : box[2]] |= part
        else:
            blurs.append(region_at((left, top), part, kind="blur", sigma=sigma))
    return blurs, unknown


def _plain_share(picture, box, part):
    """Return how much of a part white, light, black or one other colour hides."""
    left, top, right, bottom = box
    height, width = picture.shape[:2]
    x, y = max(_AROUND, right - left), max(_AROUND, bottom - top)
    x0, y0 = max(0, left - x), max(0, top - y)
    x1, y1 = min(width, right + x), min(height, bottom + y)
    around = np.ascontiguousarray(picture[y0:y1, x0:x1])
    mask = np.zeros(around.shape[:2], bool)
    mask[top - y0 : bottom - y0, left - x0 : right - x0] = part
    if _has_one_colour(around, mask):
        return 1.0
    import cv2

    probability = hidden_pixels(around)
    size = around.shape[1::-1]
    probability = cv2.resize(probability, size, interpolation=cv2.INTER_LINEAR)
    return float((probability[mask] > 0.5).mean())


def _has_one_colour(picture, mask):
    """Return whether most of a part has one colour that its surroundings lack."""
    colours = picture[mask].astype(np.int16)
    gap = np.abs(colours - np.median(colours, axis=0)).max(1)
    if (gap <= _SAME).mean() < _PLAIN:
        return False
    outside = picture[~mask].astype(np.int16)
    if not len(outside):
        return True
    gap = np.abs(outside - np.median(colours, axis=0)).max(1)
    return bool((gap <= _SAME).mean() <= _BESIDE)


def _crops(hole):
    """Return boxes around each connected component, or a smaller one around all."""
    import cv2

    near = cv2.dilate(hole.astype(np.uint8), np.ones((17, 17), np.uint8))
    stats = cv2.connectedComponentsWithStats(near)[2][1:, :4]
    corners = np.hstack([stats[:, :2], stats[:, :2] + stats[:, 2:]])
    corners = np.vstack([corners, [*corners[:, :2].min(0), *corners[:, 2:].max(0)]])
    corners += np.array([-_AROUND, -_AROUND, _AROUND, _AROUND])
    corners = corners.clip(0, hole.shape[::-1] * 2)
    areas = np.prod(corners[:, 2:] - corners[:, :2], axis=1)
    chosen = corners[:-1] if areas[:-1].sum() < areas[-1] else corners[-1:]
    return chosen.tolist()
