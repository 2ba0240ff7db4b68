"""Find the censored regions of a picture: mosaics, blurs, lights, white and black."""

import os
from dataclasses import dataclass

import numpy as np

from illustkit.images import read_image
from oppai.censoring.regions import Region, widened


@dataclass(frozen=True, eq=False)
class Found:
    """The censored regions of a picture. `oppai.restore` takes it as it is.

    Args:
        regions: Tuple of `Region`, mosaics first; no two share a pixel.
        mask: uint8 `(height, width)`, 255 = hidden, 0 = valid.
    """

    regions: tuple[Region, ...]
    mask: np.ndarray


def find_censored(image: str | os.PathLike[str] | np.ndarray) -> Found:
    """Find the censored regions of a picture.

    A mosaic has steps on a grid, blocks of 4 to 64 pixels, and nothing between them.
    Blocks need not be whole pixels wide, as where a part of the picture was shrunk to
    15×15 pixels and enlarged again. Where picture and mosaic have one colour, both look
    alike, so that the mosaic's rim is a guess there.

    A network finds lights (white that fades out, or lets something through), white-out
    and black bars of any form in the picture at 192 pixels. A second one weighs whether
    they were laid over the picture: whether lines and colours end at the rim. It would
    rather miss one than take a cloud or a window for one. White upon what is nearly
    white, thin strokes and faint lights are often missed: mark them. Regions that are
    smaller than 0.2 % of the picture, or that touch a mosaic, are not found.

    Blurs of a standard deviation of 3 to 20 pixels, Gaussian or the mean over a square,
    are found where lines around them are sharp and end at the blur's rim. Small
    networks weigh that; they would rather miss a blur than take a shadow or the unsharp
    background of a photograph for one.

    A picture that shows next to nothing outside the regions is enlarged pixel art or a
    drawn form, and is not reported as censored.

    Example:
    ```python
    found = oppai.find_censored("censored.png")
    for region in found.regions:
        print(region.kind, region.box, region.grid, region.sigma, region.confidence)
    restored = oppai.restore("censored.png", found=found)
    ```

    Args:
        image: Path, or uint8 RGB array `(height, width, 3)`, which is not changed.

    Returns:
        A `Found`.

    Raises:
        ImageError: If `image` is no readable picture.
    """
    from oppai.detection.blur import find_blurs
    from oppai.detection.mosaic import find_mosaics
    from oppai.detection.solid import find_solid

    picture = read_image(image)
    hidden = np.zeros(picture.shape[:2], bool)
    regions = find_mosaics(picture)
    for region in regions:
        hidden[region.slices][region.mask] = True
    blocks = [side for region in regions if region.grid for side in region.grid.block]
    mosaics = widened(hidden, int(max(blocks, default=0)))
    for region in find_solid(picture):
        under, mask = hidden[region.slices], region.mask
        on_mosaic = mosaics[region.slices][mask].any()
        mask &= ~under
        if mask.any() and not on_mosaic:
            under |= mask
            regions.append(region)
    for region in find_blurs(picture):
        place = region.slices
        # A soft mosaic or light looks blurred.
        if not (mosaics | hidden)[place][region.mask].any():
            hidden[place] |= region.mask
            regions.append(region)
    if regions and _shows_nothing_else(picture, hidden):
        hidden[:], regions = False, []
    return Found(tuple(regions), np.where(hidden, 255, 0).astype(np.uint8))


def _shows_nothing_else(picture, hidden):
    """Return whether a picture has hardly a step outside what is hidden."""
    import cv2

    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    square = np.ones((3, 3), np.uint8)
    steps = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, square) > 12
    return (steps & ~widened(hidden, 3)).sum() < 0.03 * steps.sum()
