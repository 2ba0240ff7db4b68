"""Mosaics of a picture: lattice, cells and pixels, one after another."""

import numpy as np

from oppai.mosaic_lattices import find_lattices
from oppai.mosaic_search import MosaicSearch


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
