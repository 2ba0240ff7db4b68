"""Predict what is hidden once, and compose results of any blend and feather from it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from oppai.censoring.censor import blend as mix
from oppai.censoring.regions import Box, Region, bounds
from oppai.detection.find_censored import Found
from oppai.inference.marks import NothingCensoredError
from oppai.inference.restore import restore

REACH = 16  # widest feather, in pixels
# Painted pixels beyond a found region from which on both are searched anew.
_MORE = 16


@dataclass(frozen=True, eq=False)
class Prediction:
    """Holds what a restorer predicts of a picture, before it is blended in.

    Args:
        box: `(left, top, right, bottom)` of the part that was predicted, in pixels.
        pixels: uint8 RGB `(height, width, 3)` of the box.
        distance: float32 `(height, width)`: 0 where the prediction counts in full;
            beyond, the distance in pixels over which it fades; infinite where the
            picture stays.
        notes: Lines about marked parts that stay as they are.
    """

    box: Box
    pixels: np.ndarray
    distance: np.ndarray
    notes: Sequence[str] = ()

    def compose(
        self, picture: np.ndarray, *, blend: float = 1, feather: float = 8
    ) -> np.ndarray:
        """Blend the prediction into the picture that it is of.

        Args:
            picture: uint8 RGB `(height, width, 3)`.
            blend: Weight of the prediction, 0..1. Defaults to 1.
            feather: Width of the soft rim of what was painted, 0 to 16 pixels. A found
                region ends where its blocks do. Defaults to 8.

        Returns:
            A new uint8 array of the picture's size.
        """
        weight = np.clip(1 - self.distance / (feather + 1), 0, 1)
        alpha = np.rint(255 * weight).astype(np.uint8)
        left, top, right, bottom = self.box
        place = np.s_[top:bottom, left:right]
        output = picture.copy()
        output[place] = mix(picture[place], self.pixels, alpha, blend)
        return output


def predict_marked(
    picture: np.ndarray,
    mask: np.ndarray,
    found: Found | None = None,
    *,
    restorer: Any = "default",
    fill: bool = False,
) -> Prediction:
    """Predict the marked parts of a picture, with a rim for every feather.

    A found region that is marked as it was found is restored with its own blocks. What
    is painted beside or beyond it is searched for blocks as `oppai.restore` does.

    Example:
    ```python
    image, mask = oppai.add_mosaic(picture, (64, 80, 192, 176), block=12)
    prediction = predict_marked(image, mask)
    half = prediction.compose(image, blend=0.5)
    ```

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        mask: uint8 `(height, width)`, 255 = hidden.
        found: What `oppai.find_censored` found in the picture. Defaults to `None`.
        restorer: As in `oppai.restore`. Defaults to "default".
        fill: See `oppai.restore`. Defaults to `False`.

    Returns:
        A `Prediction`.

    Raises:
        NothingCensoredError: If nothing is marked, or it shows no known censor.
        UserError: If nothing is left to restore it from.
    """
    marked = mask > 127
    if not marked.any():
        raise NothingCensoredError("Nothing is marked.")
    kept = _kept(found, marked)
    result, notes = picture, []
    if kept.regions:
        result = restore(picture, found=kept, restorer=restorer, blend=1, fill=fill)
    whole = (kept.mask > 0) | (result != picture).any(axis=-1)
    painted = marked & ~whole
    distance = np.full(marked.shape, np.inf, np.float32)
    if painted.any():
        try:
            result, distance = _painted(result, painted, whole, restorer, fill)
        except NothingCensoredError as error:
            if not kept.regions:
                raise
            notes.append(str(error))
    distance[whole] = 0
    # What was erased of a found region stays, even where a rim would reach it.
    if found is not None:
        distance[(found.mask > 0) & ~marked] = np.inf
    box = bounds(np.isfinite(distance))
    if box is None:
        raise NothingCensoredError("Nothing is marked.")
    left, top, right, bottom = box
    place = np.s_[top:bottom, left:right]
    return Prediction(box, result[place], distance[place], tuple(notes))


def _painted(picture, painted, whole, restorer, fill):
    """Restore what is painted and a rim around it.

    Returns:
        `(result, distance)`: the picture with both predicted, and how far each pixel
        of the rim lies from the paint.
    """
    import cv2

    distance = cv2.distanceTransform(
        (~painted).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    # A rim as wide as a small picture would leave nothing to restore it from.
    reach = min(REACH, max(float(distance.max()) - 1, 0) / 2)
    rim = (distance <= reach) & ~whole
    distance[~rim] = np.inf
    result = restore(
        picture, mask=rim, restorer=restorer, blend=1, feather=0, fill=fill
    )
    return result, distance


def _kept(found, marked):
    """Return the found regions that are marked, but those that were painted over.

    Where paint goes beyond a region, more is hidden than was found: that part is
    restored as painted.
    """
    import cv2

    none = Found((), np.zeros(marked.shape, np.uint8))
    if found is None or not found.regions:
        return none
    _, labels = cv2.connectedComponents(marked.astype(np.uint8))
    extra = np.bincount(labels[marked & (found.mask == 0)], minlength=labels.max() + 1)
    larger = extra > _MORE
    larger[0] = True
    mask, regions = none.mask, []
    for region in found.regions:
        own = region.mask & ~larger[labels[region.slices]]
        if own.any():
            regions.append(_cut(region, own))
            mask[region.slices][own] = 255
    return Found(tuple(regions), mask)


def _cut(region: Region, mask: np.ndarray) -> Region:
    """Return a region as far as a mask of its box reaches."""
    return region if mask.sum() == region.mask.sum() else replace(region, mask=mask)
