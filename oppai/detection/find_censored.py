"""Finds the censored parts of a picture: mosaics, lights, white and black bars."""

from dataclasses import dataclass

import numpy as np

from illustkit.images import read_image
from oppai.censoring.block_grid import Grid


@dataclass(frozen=True, eq=False)
class FoundRegion:
    """One censored part of a picture.

    Args:
        box: `(left, top, right, bottom)` in pixels of the picture, half-open.
        kind: "mosaic", "light", "white" or "black".
        grid: A mosaic's `Grid` in the picture, else `None`.
        hole: bool array of the box's size, true where the picture is censored.
    """

    box: tuple
    kind: str
    grid: Grid | None
    hole: np.ndarray


@dataclass(frozen=True, eq=False)
class Found:
    """What is censored in a picture.

    Args:
        mask: uint8 `(height, width)`, 255 = valid, 0 = hole.
        regions: Tuple of `FoundRegion`, mosaics first, none upon another.
    """

    mask: np.ndarray
    regions: tuple


def find_censored(image):
    """Find the censored parts of a picture.

    A mosaic has steps on a lattice of whole pixels, blocks of 4 to 32, and nothing
    between them. What is of one colour inside a mosaic and outside looks alike, so
    that there its rim is a guess.

    Lights (white that fades out, or lets something through), white-out and black bars
    of any form are seen by a network, in the picture at 192 pixels: what hides less
    than 0.2 % of it is not found, nor what touches a mosaic.

    A picture that shows next to nothing outside what was found is pixel art, enlarged,
    or a drawn form, and not taken for censored.

    Example:
    ```python
    found = find_censored("character.png")
    for region in found.regions:
        print(region.kind, region.box, region.grid)
    ```

    Args:
        image: Path, or uint8 RGB array `(height, width, 3)`, never written into.

    Returns:
        A `Found`.

    Raises:
        ImageError: If `image` is no readable picture.
    """
    from oppai.detection.solid import flat_regions

    picture = read_image(image)
    hidden = np.zeros(picture.shape[:2], bool)
    regions = find_mosaics(picture)
    for region in regions:
        _part(hidden, region.box)[region.hole] = True
    mosaics = _grown(hidden, max((max(r.grid.block) for r in regions), default=0))
    for kind, hole, corner in flat_regions(picture):
        region = _region(kind, None, hole, corner)
        under = _part(hidden, region.box)
        on_mosaic = _part(mosaics, region.box)[hole].any()
        hole &= ~under
        if hole.any() and not on_mosaic:
            under |= hole
            regions.append(region)
    if regions and _shows_nothing_else(picture, hidden):
        hidden[:], regions = False, []
    mask = np.where(hidden, 0, 255).astype(np.uint8)
    return Found(mask, tuple(regions))


def find_mosaics(picture):
    """Find the mosaics of a picture, be there anything else in it or not.

    Args:
        picture: uint8 RGB `(height, width, 3)`.

    Returns:
        List of `FoundRegion` of the kind "mosaic", none upon another.
    """
    import cv2

    from oppai.detection.mosaic import mosaic_regions

    regions = []
    for part in mosaic_regions(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)):
        block_x, x, block_y, y = part.lattice
        grid = Grid((block_x, block_y), (x, y))
        regions.append(_region("mosaic", grid, part.mask, part.corner))
    return regions


def _region(kind, grid, hole, corner):
    (x, y), (height, width) = corner, hole.shape
    return FoundRegion((x, y, x + width, y + height), kind, grid, hole)


def _grown(mask, n):
    """A mask, wider by `n` pixels on every side."""
    import cv2

    square = np.ones((2 * int(n) + 1,) * 2, np.uint8)
    return cv2.dilate(mask.astype(np.uint8), square) > 0


def _part(a, box):
    return a[box[1] : box[3], box[0] : box[2]]


def _shows_nothing_else(picture, hidden):
    """Whether a picture has hardly a step outside what is hidden."""
    import cv2

    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    square = np.ones((3, 3), np.uint8)
    steps = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, square) > 12
    return (steps & ~_grown(hidden, 3)).sum() < 0.03 * steps.sum()
