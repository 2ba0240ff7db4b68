"""Restore the censored parts of one picture of any size."""

from functools import cache
from pathlib import Path

import numpy as np

from illustkit.images import read_image, read_picture
from oppai.data.crops import merge_patches
from oppai.detection.find_censored import find_censored, find_mosaics
from oppai.inference.marks import boxes_alpha, fill_painted, mask_alpha, painted_mask
from oppai.inference.tiling import (
    check_hole,
    crop_padded,
    cut_square,
    find_parts,
    find_regions,
    predict_parts,
)

# Pixels round what is marked in which its mosaic is looked for.
_ROUND = 100


def restore(
    image,
    *,
    restorer=None,
    boxes=None,
    mask=None,
    mask_colour=None,
    tolerance=0,
    blend=None,
    feather=8,
    batch_size=8,
):
    """Restore the marked parts of a picture and leave every other pixel as it is.

    With the soft alpha `a` of what is marked, the network's prediction `p` and the
    given picture `c`, the result is `c + a · blend · (p − c)`: bit-exact where `a` is
    0, and without a seam. Each marked region is cut out with the square round it, as
    in training (1.5 times its long side, at least `restorer.minimum` pixels or 256),
    brought to the network's size, predicted and brought back. A region longer than the
    picture is wide, and a long strip, is covered by overlapping squares whose
    predictions fade into one another. A restorer that sees mosaics, as the package's
    own, gets each mosaic at the scale it was trained at instead (`oppai.data.mosaic_frames`).

    With nothing marked, `oppai.find_censored` looks for what is censored; and it finds
    the blocks of marked mosaics for a restorer that sees them.

    Example:
    ```python
    restored = oppai.restore("a.png")  # what it finds, with the package's own weights
    restorer = oppai.load_restorer("runs/first")
    restored = oppai.restore("a.png", boxes=[(57, 258, 344, 471)], restorer=restorer)
    restored = oppai.restore("b.png", mask="b_mask.png", restorer=restorer)
    restored = oppai.restore("c.png", mask_colour=(0, 255, 0), restorer=restorer)
    ```

    Args:
        image: Path, or uint8 RGB array (height, width, 3), never written into. Of a
            file, what is transparent is laid over white.
        restorer: What predicts: `image_size`, `blend` and
            `restore_patches(censored, mask)`, as of `oppai.load_restorer`.
            Defaults to `None`, the one that comes with the package.
        boxes: Boxes (left, top, right, bottom) in pixels of the picture. Give one of
            `boxes`, `mask` and `mask_colour`, or none.
        mask: Path, or bool or uint8 array (height, width): white is restored, greys
            are the soft rim. As large as the picture.
        mask_colour: RGB colour, 0..255, with which the parts are painted over, as
            (0, 255, 0) for DeepCreamPy.
        tolerance: Largest difference from `mask_colour` per channel, in levels of
            255; a JPEG needs some 40. Defaults to `0`.
        blend: Part of the prediction in the result inside the mask, 0..1; the rest is
            the picture as given. Defaults to the restorer's (the chapter's is 0.5, that
            of the package's own 1).
            Paint has no content to blend with, so there it is always 1.
        feather: Width in pixels of the soft rim outside boxes, paint and masks of
            black and white. Defaults to `8`.
        batch_size: Squares that are predicted at once. Defaults to `8`.

    Returns:
        A new uint8 RGB array of the picture's size.

    Raises:
        ValueError: If what to restore is given twice, or not and nothing is found; if
            it lies outside the picture, is of another size, is nothing or is all of the
            picture.
        ImageError: If a path is no readable picture.

    Reference:
        The chapter, "Inference" and its result figures (the blend of 0.5).
    """
    picture = read_image(image)
    given = {"boxes": boxes, "mask": mask, "mask_colour": mask_colour}
    given = [name for name, value in given.items() if value is not None]
    if len(given) > 1:
        raise ValueError(
            "Say what to restore by one of boxes, mask and mask_colour. "
            f"Received: {' and '.join(given)}"
        )
    restorer = load_default() if restorer is None else restorer
    sees_mosaics, found = hasattr(restorer, "restore_frames"), None
    if boxes is not None:
        alpha = boxes_alpha(picture.shape, boxes, feather=feather)
    elif mask is not None:
        if isinstance(mask, (str, Path)):
            mask = _read_mask(mask)
        alpha = mask_alpha(mask, picture.shape, feather=feather)
    elif not given:
        found = find_censored(picture)
        if not found.regions:
            raise ValueError(
                "Nothing censored was found: mark it with boxes, a mask or paint."
            )
        alpha = _alpha(picture, found)
    else:
        if blend not in (None, 1):
            raise ValueError(
                f"Under paint there is nothing to blend with: blend is 1 there. "
                f"Received: blend={blend}"
            )
        blend = 1
        painted = painted_mask(picture, mask_colour, tolerance=tolerance)
        alpha = mask_alpha(painted, picture.shape, feather=feather)
        if not alpha.any():
            raise ValueError(
                f"Nothing is painted in the colour {tuple(mask_colour)}. A JPEG needs "
                f"a tolerance. Received: tolerance={tolerance}"
            )
        if not painted.all():
            picture = fill_painted(picture, painted)
    blend = restorer.blend if blend is None else blend
    if not 0 <= blend <= 1:
        raise ValueError(f"blend is a part, 0..1. Received: blend={blend}")
    if sees_mosaics:
        mosaics = _mosaics(picture, alpha > 0, found, painted=mask_colour is not None)
        return _restore_parts(picture, alpha, mosaics, restorer, blend, batch_size)
    return _restore_regions(picture, alpha, restorer, blend, batch_size)


@cache
def load_default():
    """The restorer that comes with the package, loaded once."""
    from oppai.models.pretrained import load_shipped

    return load_shipped()


def _alpha(picture, found):
    """What is found, with the rims over which white, black and light fade out."""
    from oppai.detection.solid import with_rim

    alpha = 255 - found.mask
    for region in found.regions:
        if region.grid is None:
            rim, (x, y) = with_rim(picture, region)
            alpha[y : y + rim.shape[0], x : x + rim.shape[1]][rim] = 255
    return alpha


def _mosaics(picture, hole, found, painted):
    """Mosaics under what is marked: list of (box, hole of the box, grid)."""
    if painted or not hole.any():
        return []
    crops = [(0, 0, *hole.shape[::-1])] if found else _crops(hole)
    mosaics = []
    for left, top, right, bottom in crops:
        crop = picture[top:bottom, left:right]
        seen = found.regions if found else find_mosaics(crop)
        shift = np.array((left, top) * 2)
        mosaics += [
            (tuple((shift + r.box).tolist()), r.hole, r.grid.moved(left, top))
            for r in seen
            if r.grid is not None
        ]
    return mosaics


def _crops(hole):
    """Boxes round what is marked: of each part, or where that is more, of all."""
    import cv2

    near = cv2.dilate(hole.astype(np.uint8), np.ones((17, 17), np.uint8))
    stats = cv2.connectedComponentsWithStats(near)[2][1:, :4]
    corners = np.hstack([stats[:, :2], stats[:, :2] + stats[:, 2:]])
    corners = np.vstack([corners, [*corners[:, :2].min(0), *corners[:, 2:].max(0)]])
    corners += np.array([-_ROUND, -_ROUND, _ROUND, _ROUND])
    corners = corners.clip(0, hole.shape[::-1] * 2)
    areas = np.prod(corners[:, 2:] - corners[:, :2], axis=1)
    chosen = corners[:-1] if areas[:-1].sum() < areas[-1] else corners[-1:]
    return chosen.tolist()


def _restore_parts(picture, alpha, mosaics, restorer, blend, batch_size):
    hole = alpha > 0
    check_hole(hole)
    parts = find_parts(hole, mosaics)
    output = picture.copy()
    predictions = predict_parts(picture, hole, parts, restorer, batch_size)
    for part, prediction in zip(parts, predictions, strict=True):
        left, top, right, bottom = part.box
        place = np.s_[top:bottom, left:right]
        given = picture[place].astype(np.float32)
        weight = (blend / 255) * alpha[place] * part.hole
        mixed = np.rint(given + weight[..., None] * (prediction - given))
        np.copyto(output[place], mixed, where=part.hole[..., None], casting="unsafe")
    return output


def _read_mask(path):
    """Read a mask file; transparent pixels count as black."""
    picture = read_picture(path)
    mask = picture.rgb.max(axis=-1)
    if picture.alpha is None:
        return mask
    return np.rint(mask * (picture.alpha / 255)).astype(np.uint8)


def _restore_regions(picture, alpha, restorer, blend, batch_size):
    minimum = getattr(restorer, "minimum", 256)
    regions = find_regions(alpha, restorer.image_size, minimum=minimum)
    squares = [square for region in regions for square in region.squares]
    predictions = iter(_predict(picture, alpha > 0, squares, restorer, batch_size))
    output = picture.copy()
    for region in regions:
        patches = [next(predictions) for _ in region.squares]
        _merge_region(output, picture, region, patches, blend)
    return output


def _predict(picture, hole, squares, restorer, batch_size):
    """Yield the prediction of every square, at the network's size."""
    for start in range(0, len(squares), batch_size):
        pairs = [
            cut_square(picture, hole, square, restorer.image_size)
            for square in squares[start : start + batch_size]
        ]
        patches, masks = (np.stack(part) for part in zip(*pairs, strict=True))
        predictions = np.asarray(restorer.restore_patches(patches, masks))
        if predictions.shape != patches.shape or predictions.dtype != np.uint8:
            raise ValueError(
                f"restore_patches has to return uint8 {patches.shape}. "
                f"Received: {predictions.dtype} {predictions.shape}"
            )
        yield from predictions


def _merge_region(output, picture, region, patches, blend):
    corners = np.array(region.squares)
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    local = crop_padded(picture, (*low, *high))
    left, top, right, bottom = region.box
    inside = np.s_[top - low[1] : bottom - low[1], left - low[0] : right - low[0]]
    mask = np.full(local.shape[:2], 255, np.uint8)
    # a·(blend·p + (1 − blend)·c) + (1 − a)·c = a·blend·p + (1 − a·blend)·c
    mask[inside] -= np.rint(blend * region.alpha).astype(np.uint8)
    merged = merge_patches(local, patches, corners - np.tile(low, 2), mask)
    part = output[top:bottom, left:right]
    np.copyto(part, merged[inside], where=region.alpha[..., None] > 0)
