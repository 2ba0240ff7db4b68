"""Tiles: cover what is hidden, predict each tile, and merge them without a seam."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from illustkit import progress
from illustkit.errors import UserError
from illustkit.images import signed_to_unit
from oppai.censoring.regions import Box, Region, bounds, overlap, region_at
from oppai.data.crops import Crop, cover_box
from oppai.data.mosaic_inputs import (
    Case,
    blur_scale,
    crop_around,
    network_scale,
    take_case,
)

if TYPE_CHECKING:
    from oppai.models.restorers import BaseRestorer

# Least valid fraction of what the network sees that counts as context.
_CONTEXT = 1 / 16
# Least side, in pixels, of the squares that together cover a long region.
_LEAST_SIDE = 64
# Pixels between regions that are predicted together.
_NEAR = 16
# Longest side that one crop predicts, and how far neighbours overlap, in its pixels.
_LONGEST, _OVERLAP = 384, 32
# Half the width of missing content from which on it is shrunk.
_WIDEST = 64


@dataclass(frozen=True, eq=False)
class Tile:
    """A rectangle of the picture that is predicted at once.

    Args:
        box: `(left, top, right, bottom)` of what the tile predicts, in pixels of the
            picture.
        crop: The `Crop` that the network sees: the box with its context.
        across: float32 `(width,)`, the tile's weight in each column of its box.
        down: float32 `(height,)`, its weight in each row.
    """

    box: Box
    crop: Crop
    across: np.ndarray
    down: np.ndarray


def plan_tiles(
    hole: np.ndarray, restorer: "BaseRestorer", censors: Sequence[Region] = ()
) -> list[tuple[Region, list[Tile]]]:
    """Divide what is hidden into regions, and cover each with tiles.

    A restorer of patches of a fixed size gets squares with context, as in training. One
    that takes any size gets each mosaic and blur at the scale it was trained on.

    Example:
    ```python
    plan = plan_tiles(alpha > 0, restorer)
    ```

    Args:
        hole: bool `(height, width)`, all that is hidden.
        restorer: A `BaseRestorer`.
        censors: The `Region`s of the mosaics and blurs in it. Defaults to none.

    Returns:
        List of `(Region, tiles)`. The regions share no pixel and cover the hole.

    Raises:
        UserError: If nothing or everything is hidden, or so much that the network would
            see no valid pixel.
    """
    if not hole.any():
        raise UserError("There is nothing to restore: no pixel is marked.")
    if hole.all():
        raise UserError(
            "The whole picture is to be restored: nothing is left to restore it from. "
            f"Received: a picture of {hole.shape[1]}x{hole.shape[0]} pixels"
        )
    if restorer.image_size is None:
        regions = split_by_censor(hole, censors)
        return [(region, _scaled_tiles(region, restorer.divisor)) for region in regions]
    return _square_tiles(hole, restorer.image_size, restorer.minimum)


def predict_regions(
    picture: np.ndarray,
    hole: np.ndarray,
    plan: Sequence[tuple[Region, list[Tile]]],
    restorer: "BaseRestorer",
    batch_size: int = 8,
) -> Iterator[np.ndarray]:
    """Predict the regions of a picture, and merge each one's tiles.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        hole: bool `(height, width)`, all that is hidden.
        plan: What `plan_tiles` returned.
        restorer: A `BaseRestorer`.
        batch_size: Tiles that are predicted at once. Defaults to 8.

    Yields:
        float32 `(height, width, 3)` of each region's box, 0..255.
    """
    size = picture.shape[1], picture.shape[0]
    progress.begin("restoring tiles", sum(len(tiles) for _, tiles in plan))
    for group in _groups(plan, restorer, batch_size):
        cases = [
            _case(picture, hole, region, tile.crop)
            for region, tiles in group
            for tile in tiles
        ]
        predictions = iter(restorer.predict_all(cases, batch_size))
        for region, tiles in group:
            left, top, right, bottom = region.box
            total = np.zeros((bottom - top, right - left, 3), np.float32)
            weights = np.zeros(total.shape[:2], np.float32)
            for tile in tiles:
                box, pixels = tile.crop.give(next(predictions), size)
                # Where the tile lies in the region, and in what was predicted.
                place, _ = overlap(region.box, tile.box)
                inside, _ = overlap(box, tile.box)
                weight = tile.down[:, None] * tile.across
                total[place] += weight[..., None] * pixels[inside]
                weights[place] += weight
            signed = np.clip(total / weights[..., None], -1, 1)
            yield 255 * np.asarray(signed_to_unit(signed))


def _groups(plan, restorer, batch_size):
    """Yield lists of regions whose tiles are predicted together."""
    if restorer.image_size is None:
        # Crops differ in size; and a region of many tiles fills the memory alone.
        yield from ([pair] for pair in plan)
        return
    group: list = []
    for pair in plan:
        group.append(pair)
        if sum(len(tiles) for _, tiles in group) >= batch_size:
            yield group
            group = []
    if group:
        yield group


def _case(picture, hole, region, crop) -> Case:
    """Return what the restorer sees of a tile, cut out before it is resampled."""
    x, y, right, bottom = crop.pixels
    x, y = max(x, 0), max(y, 0)
    left, top = crop.box[:2]
    inside = np.s_[y:bottom, x:right]
    around = hole[inside]
    far = crop.box[2] - x, crop.box[3] - y
    moved = replace(crop, box=(left - x, top - y, *far))
    if region.grid is None and region.sigma is None:
        return take_case(moved, picture[inside], around)
    missing = around.copy()
    height, width = around.shape
    here, there = overlap((x, y, x + width, y + height), region.box)
    missing[here] &= ~region.mask[there]
    grid = region.grid and region.grid.moved(-x, -y)
    return take_case(moved, picture[inside], around, grid, missing)


# Any size: each mosaic and blur at its own scale.


def split_by_censor(hole: np.ndarray, censors: Sequence[Region] = ()) -> list[Region]:
    """Divide what is hidden by the mosaics and blurs that lie in it.

    Hidden pixels near a mosaic or blur belong to it, even outside its region; those far
    from any are missing content.

    Args:
        hole: bool `(height, width)`.
        censors: `Region`s with grids or `sigma`. Defaults to none.

    Returns:
        List of `Region`, which share no pixel and cover the hole.
    """
    import cv2

    near = cv2.dilate(hole.astype(np.uint8), np.ones((_NEAR + 1, _NEAR + 1), np.uint8))
    n, labels, stats, _ = cv2.connectedComponentsWithStats(near)
    regions = []
    for label in range(1, n):
        left, top, width, height = stats[label, :4].tolist()
        inside = np.s_[top : top + height, left : left + width]
        group = hole[inside] & (labels[inside] == label)
        owners = _owners(group, (left, top, left + width, top + height), censors)
        for owner in np.unique(owners[group]):
            own = group & (owners == owner)
            x, y, right, down = bounds(own) or (0, 0, 0, 0)  # never empty
            corner, mask = (left + x, top + y), own[y:down, x:right]
            if owner < 0:
                regions.append(region_at(corner, mask))
            else:
                censor = censors[owner]
                fields = {"grid": censor.grid, "sigma": censor.sigma}
                regions.append(region_at(corner, mask, kind=censor.kind, **fields))
    return regions


def _owners(group, box, censors):
    """Return for every pixel of a group the number of its censor, or -1."""
    owners = np.full(group.shape, -1)
    sizes = {}
    for number, censor in enumerate(censors):
        here, there = overlap(box, censor.box)
        own = censor.mask[there] & group[here]
        if own.any():
            owners[here][own] = number
            sizes[number] = np.count_nonzero(own)
    if sizes:
        owners[owners < 0] = max(sizes, key=sizes.get)
    return owners


def _scaled_tiles(region, divisor):
    """Cover a region with tiles that overlap and fade into one another."""
    scales = _scales(region)
    sides = []
    for axis, scale in enumerate(scales):
        start, stop = region.box[axis], region.box[axis + 2]
        n = math.ceil((stop - start) * scale / _LONGEST)
        cuts = np.linspace(start, stop, n + 1).round().astype(int).tolist()
        fade = math.ceil(_OVERLAP / 2 / scale)
        side = []
        for i in range(n):
            before, after = (0 if i == 0 else fade), (0 if i == n - 1 else fade)
            low, high = max(cuts[i] - before, start), min(cuts[i + 1] + after, stop)
            side.append((low, high, _ramp(high - low, 2 * before, 2 * after)))
        sides.append(side)
    tiles = []
    for top, bottom, down in sides[1]:
        for left, right, across in sides[0]:
            box = left, top, right, bottom
            crop = crop_around(box, region.grid, scales=scales, divisor=divisor)
            tiles.append(Tile(box, crop, across, down))
    return tiles


def _scales(region):
    if region.grid is not None:
        return network_scale(region.grid)
    if region.sigma is not None:
        return (blur_scale(region.sigma),) * 2
    import cv2

    # Across a wide hole the network sees no rim.
    inner = cv2.distanceTransform(
        np.pad(region.mask, 1).astype(np.uint8), cv2.DIST_L2, 3
    ).max()
    return (min(1.0, _WIDEST / inner),) * 2


def _ramp(length, first, last):
    """Return weights along one side that fade over `first` and `last` pixels."""
    place = np.arange(length) + 0.5
    ramp = np.ones(length, np.float32)
    if first:
        ramp = np.minimum(ramp, place / first)
    if last:
        ramp = np.minimum(ramp, (length - place) / last)
    return ramp.astype(np.float32)


# Patches of a fixed size: squares with context, as in training.


def _square_tiles(hole, image_size, minimum, scale=1.5):
    """Divide a hole into regions, the largest first, and cover them with squares.

    Touching boxes are one region, so that nothing is predicted twice; small regions
    that lie well inside a larger one's square join it.
    """
    import cv2

    size = hole.shape[1], hole.shape[0]
    _, labels, stats, _ = cv2.connectedComponentsWithStats(hole.astype(np.uint8))
    boxes = stats[:, :4].copy()
    boxes[:, 2:] += boxes[:, :2]
    free = np.ones(len(boxes), bool)
    free[0] = False  # the background
    plan = []
    for index in np.argsort(-stats[:, cv2.CC_STAT_AREA], kind="stable"):
        if not free[index]:
            continue
        squares = _cover(size, boxes[index].tolist(), scale, minimum)
        joined = np.zeros(len(boxes), bool)
        if len(squares) == 1:
            joined = free & _well_inside(boxes, squares[0], size)
        joined[index] = True
        free &= ~joined
        left, top = boxes[joined, :2].min(axis=0).tolist()
        right, bottom = boxes[joined, 2:].max(axis=0).tolist()
        box = left, top, right, bottom
        region = Region(box, joined[labels[top:bottom, left:right]])
        squares = [_with_context(square, hole, image_size) for square in squares]
        plan.append((region, [_square_tile(s, image_size, box) for s in squares]))
    return plan


def _square_tile(square, image_size, box):
    """Return a tile that counts with a tent, highest in the middle of its square."""
    side = square[2] - square[0]
    crop = Crop(square, (image_size, image_size), patch=True)
    tent = np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1))
    tent = (tent / side).astype(np.float32)
    (rows, columns), _ = overlap(square, box)
    x, y = square[:2]
    inner = x + columns.start, y + rows.start, x + columns.stop, y + rows.stop
    return Tile(inner, crop, tent[columns], tent[rows])


def _well_inside(boxes, square, size):
    """Return which boxes lie an eighth of the square inside it, or at the edge."""
    margin = (square[2] - square[0]) // 8
    low = [start + margin if start > 0 else 0 for start in square[:2]]
    high = [
        end - margin if end < limit else limit
        for end, limit in zip(square[2:], size, strict=True)
    ]
    return (boxes[:, :2] >= low).all(axis=1) & (boxes[:, 2:] <= high).all(axis=1)


def _cover(size, box, scale, minimum):
    """Cover a box with one square, or with a row of overlapping ones."""
    sides = box[2] - box[0], box[3] - box[1]
    axis = 0 if sides[0] > sides[1] else 1
    long, short, room = sides[axis], sides[1 - axis], size[1 - axis]
    # Width of the band of the picture along the box in which the squares may lie.
    band = room
    if long > 4 * short:
        # In one square a narrow strip would shrink to a few pixels.
        band = min(room, max(minimum, math.ceil(2 * scale * short)))
    if long > room:
        # Squares of a few pixels would be thousands: they may overhang the picture.
        band = max(band, min(_LEAST_SIDE, size[axis]))
    shift = [0, 0]
    shift[1 - axis] = _corner((box[1 - axis] + box[3 - axis]) // 2, band, room)
    inner = np.subtract(box, shift * 2)
    limits = (size[0], band) if axis == 0 else (band, size[1])
    squares = cover_box(limits, inner, scale=scale, minimum=minimum)
    return [tuple(np.add(square, shift * 2).tolist()) for square in squares]


def _corner(middle, side, limit):
    """Return where a span of this side begins: inside 0..limit if it fits."""
    if side > limit:
        return (limit - side) // 2
    return min(max(middle - side // 2, 0), limit - side)


def _with_context(square, hole, image_size):
    """Enlarge a square, beyond the picture if necessary, until it holds context."""
    size = hole.shape[1], hole.shape[0]
    centre = (square[0] + square[2]) // 2, (square[1] + square[3]) // 2
    while True:
        side = square[2] - square[0]
        crop = Crop(square, (image_size, image_size), patch=True)
        context = 1 - np.mean(crop.take_hole(hole))
        if context >= _CONTEXT or (context and side >= max(size)):
            return square
        if side >= max(size):
            raise UserError(
                "Too little is left of the picture to restore it from. Received: no "
                f"valid pixel once it is brought to {image_size}x{image_size} pixels"
            )
        side = min(side + side // 2 + 1, max(size))
        x, y = (_corner(m, side, n) for m, n in zip(centre, size, strict=True))
        square = x, y, x + side, y + side
