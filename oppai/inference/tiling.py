"""Restore the marked parts of a picture with a restorer that sees mosaics."""

import math
from dataclasses import dataclass

import numpy as np

from illustkit.images import signed_to_unit
from oppai.censoring.block_grid import Grid
from oppai.data.crops import cover_box, cut_patch
from oppai.data.mosaic_frames import Frame, bounds, frame_round, frame_scale

# Least part of what the network sees that has to be valid to count as context.
_CONTEXT = 1 / 16
# Least side, in pixels, of the squares that together cover a long region.
_LEAST_SIDE = 64


@dataclass(frozen=True)
class Region:
    """One part of a picture that is predicted, mixed and pasted as a whole.

    Attributes:
        box: (left, top, right, bottom), ints, in pixels of the picture.
        alpha: uint8 (height, width) of the box: 255 = restored, 0 = kept.
        squares: List of int boxes of equal width and height that together cover
            `box`. A square may overhang the picture, whose edge is repeated there.
    """

    box: tuple
    alpha: np.ndarray
    squares: list


def find_regions(alpha, image_size, *, scale=1.5, minimum=256):
    """Part a soft alpha into regions, each with the squares to predict it from.

    Overlapping and touching boxes are one region, so that nothing is predicted twice;
    small parts that lie well inside a larger part's square join it.

    Example:
    ```python
    regions = find_regions(alpha, 256)
    ```

    Args:
        alpha: uint8 (height, width), 0 = kept.
        image_size: Side of the network's pictures, in pixels.
        scale: Side of a square over the long side of its region. Defaults to `1.5`
            (the chapter).
        minimum: Least side of a square, in pixels. Defaults to `256` (the chapter).

    Returns:
        List of `Region`, the largest first. Their pixels are disjoint.

    Raises:
        ValueError: If nothing or everything is to be restored, or so much that the
            network would see no valid pixel.
    """
    import cv2

    hole = alpha > 0
    check_hole(hole)
    size = alpha.shape[1], alpha.shape[0]
    _, labels, stats, _ = cv2.connectedComponentsWithStats(hole.astype(np.uint8))
    boxes = stats[:, :4].copy()
    boxes[:, 2:] += boxes[:, :2]
    free = np.ones(len(boxes), bool)
    free[0] = False  # the background
    regions = []
    for index in np.argsort(-stats[:, cv2.CC_STAT_AREA], kind="stable"):
        if not free[index]:
            continue
        squares = _cover(size, boxes[index].tolist(), scale, minimum)
        joined = np.zeros(len(boxes), bool)
        if len(squares) == 1:
            joined = free & _well_inside(boxes, squares[0], size)
        joined[index] = True
        free &= ~joined
        left, top = boxes[joined, :2].min(axis=0)
        right, bottom = boxes[joined, 2:].max(axis=0)
        crop = np.s_[top:bottom, left:right]
        regions.append(
            Region(
                (int(left), int(top), int(right), int(bottom)),
                np.where(joined[labels[crop]], alpha[crop], 0),
                [_with_context(square, hole, image_size) for square in squares],
            )
        )
    return regions


def check_hole(hole):
    """Raise where nothing or everything is marked.

    Args:
        hole: bool (height, width).

    Raises:
        ValueError: in both cases.
    """
    if not hole.any():
        raise ValueError("There is nothing to restore: no pixel is marked.")
    if hole.all():
        raise ValueError(
            "The whole picture is to be restored: nothing is left to restore it from. "
            f"Received: a picture of {hole.shape[1]}x{hole.shape[0]} pixels"
        )


def _well_inside(boxes, square, size):
    """Which boxes keep an eighth of the square as context (or end with the picture)."""
    margin = (square[2] - square[0]) // 8
    low = [start + margin if start > 0 else 0 for start in square[:2]]
    high = [
        end - margin if end < limit else limit
        for end, limit in zip(square[2:], size, strict=True)
    ]
    return (boxes[:, :2] >= low).all(axis=1) & (boxes[:, 2:] <= high).all(axis=1)


def _cover(size, box, scale, minimum):
    """Squares over a box: one, or a row of overlapping ones along its long side."""
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
    """Where a span of this side begins: inside 0..limit if there is room for it."""
    if side > limit:
        return (limit - side) // 2
    return min(max(middle - side // 2, 0), limit - side)


def _with_context(square, hole, image_size):
    """Enlarge a square, beyond the picture where need be, until it holds context."""
    size = hole.shape[1], hole.shape[0]
    centre = (square[0] + square[2]) // 2, (square[1] + square[3]) // 2
    while True:
        side = square[2] - square[0]
        context = np.mean(_network_mask(hole, square, image_size) == 255)
        if context >= _CONTEXT or (context and side >= max(size)):
            return square
        if side >= max(size):
            raise ValueError(
                "Too little is left of the picture to restore it from. Received: no "
                f"valid pixel once it is brought to {image_size}x{image_size} pixels"
            )
        side = min(side + side // 2 + 1, max(size))
        x, y = (_corner(m, side, n) for m, n in zip(centre, size, strict=True))
        square = x, y, x + side, y + side


def cut_square(picture, hole, square, image_size):
    """Cut a square out and bring it to the network's size, with the network's mask.

    Example:
    ```python
    patch, mask = cut_square(picture, alpha > 0, regions[0].squares[0], 256)
    ```

    Args:
        picture: uint8 (height, width, 3).
        hole: bool (height, width), every pixel that is to be restored.
        square: Int box, possibly overhanging the picture.
        image_size: Side of the network's pictures, in pixels.

    Returns:
        uint8 (image_size, image_size, 3) and uint8 (image_size, image_size, 1) with
        0 = hole, 255 = valid. A pixel into which any hole pixel is mixed is hole.
    """
    side = square[2] - square[0]
    patch = cut_patch(crop_padded(picture, square), (0, 0, side, side), image_size)
    return patch, _network_mask(hole, square, image_size)[..., None]


def _network_mask(hole, square, image_size):
    import cv2

    size = image_size, image_size
    holes = crop_padded(hole, square).astype(np.float32)
    if image_size < len(holes):
        # The area filter of the patch has a positive weight on all that it touches.
        holes = cv2.resize(holes, size, interpolation=cv2.INTER_AREA)
    elif image_size > len(holes):
        # The bicubic filter of the patch reads two pixels to each side, which a
        # picture of a few pixels cannot spare.
        wider = cv2.dilate(holes, np.ones((5, 5), np.uint8))
        holes = holes if wider.all() else wider
        holes = cv2.resize(holes, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return np.where(holes > 1e-6, 0, 255).astype(np.uint8)


def crop_padded(array, box):
    """Cut a box out of an array, whose edge is repeated where the box overhangs it.

    Example:
    ```python
    crop_padded(picture, (-8, 0, 56, 64))  # the left column eight times more
    ```

    Args:
        array: (height, width) or (height, width, channels).
        box: Int (left, top, right, bottom) that meets the array.

    Returns:
        Array (bottom - top, right - left, ...); a view if nothing overhangs.
    """
    left, top, right, bottom = box
    height, width = array.shape[:2]
    crop = array[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    margins = [
        (max(-top, 0), max(bottom - height, 0)),
        (max(-left, 0), max(right - width, 0)),
    ]
    if not np.any(margins):
        return crop
    return np.pad(crop, margins + [(0, 0)] * (array.ndim - 2), mode="edge")


# Pixels between parts that are predicted together.
_NEAR = 16
# Largest side that one frame predicts, and how far neighbours overlap, in its pixels.
_LONGEST, _OVERLAP = 384, 32
# Half the width of missing content, from which on it is shrunk.
_WIDEST = 64


@dataclass(frozen=True)
class Part:
    """A part of a picture, marked, and the mosaic in it.

    Args:
        box: Int `(left, top, right, bottom)`.
        hole: bool `(height, width)` of the box: what belongs to the part.
        grid: The mosaic's `Grid` in the picture; `None` where content is missing.
    """

    box: tuple
    hole: np.ndarray
    grid: Grid | None


def find_parts(hole, mosaics=()):
    """Part what is marked by the mosaics that lie in it.

    Marked pixels near a mosaic belong to it, though they lie outside what was found of
    it; those far from any are missing content.

    Args:
        hole: bool `(height, width)`.
        mosaics: List of `(box, hole of the box, grid)`. Defaults to none.

    Returns:
        List of `Part`; their pixels are disjoint and are all that is marked.
    """
    import cv2

    near = cv2.dilate(hole.astype(np.uint8), np.ones((_NEAR + 1, _NEAR + 1), np.uint8))
    n, labels, stats, _ = cv2.connectedComponentsWithStats(near)
    parts = []
    for label in range(1, n):
        left, top, width, height = stats[label, :4].tolist()
        inside = np.s_[top : top + height, left : left + width]
        group = hole[inside] & (labels[inside] == label)
        owners = _owners(group, (left, top), mosaics)
        for owner in np.unique(owners[group]):
            own = group & (owners == owner)
            x, y, right, down = bounds(own)
            box = left + x, top + y, left + right, top + down
            grid = mosaics[owner][2] if owner >= 0 else None
            parts.append(Part(box, own[y:down, x:right], grid))
    return parts


def _owners(group, corner, mosaics):
    """For every pixel of a group the number of its mosaic; -1 where there is none."""
    owners = np.full(group.shape, -1)
    sizes = {}
    for number, (box, hole, _) in enumerate(mosaics):
        overlap = _overlap((*corner, *group.shape[::-1]), (*box[:2], *hole.shape[::-1]))
        if overlap is None:
            continue
        here, there = overlap
        part = hole[there] & group[here]
        if part.any():
            owners[here][part] = number
            sizes[number] = np.count_nonzero(part)
    if sizes:
        owners[owners < 0] = max(sizes, key=sizes.get)
    return owners


def predict_parts(picture, hole, parts, restorer, batch_size=4):
    """Predict the parts of a picture.

    A part is brought to the network's scale (`oppai.data.mosaic_frames`). A long one is predicted
    in frames that overlap, and fade into one another.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        hole: bool `(height, width)`, all that is marked.
        parts: List of `Part`.
        restorer: What has `restore_frames`, as `oppai.MosaicRestorer`.
        batch_size: Frames at once. Defaults to 4.

    Yields:
        float32 `(height, width, 3)` of each part's box, 0..255.
    """
    size = picture.shape[1::-1]
    for part in parts:
        left, top, right, bottom = part.box
        total = np.zeros((bottom - top, right - left, 3), np.float32)
        weights = np.zeros(total.shape[:2], np.float32)
        scales = _scales(part)
        tiles = _tiles(part, scales)
        frames = [frame_round(tile, part.grid, scales=scales) for tile, _ in tiles]
        jobs = [_job(picture, hole, part, frame) for frame in frames]
        predictions = restorer.restore_frames(jobs, batch_size)
        for (tile, fades), frame, signed in zip(
            tiles, frames, predictions, strict=True
        ):
            (x, y, _, _), array = frame.give(signed, size)
            rows = slice(tile[1] - top, tile[3] - top)
            columns = slice(tile[0] - left, tile[2] - left)
            weight = _ramp(tile[3] - tile[1], *fades[1])[:, None]
            weight = weight * _ramp(tile[2] - tile[0], *fades[0])
            array = array[tile[1] - y : tile[3] - y, tile[0] - x : tile[2] - x]
            total[rows, columns] += weight[..., None] * array
            weights[rows, columns] += weight
        signed = np.clip(total / weights[..., None], -1, 1)
        yield 255 * np.asarray(signed_to_unit(signed))


def _scales(part):
    if part.grid is not None:
        return frame_scale(part.grid)
    import cv2

    # Across a wide hole the network sees no rim.
    inner = cv2.distanceTransform(
        np.pad(part.hole, 1).astype(np.uint8), cv2.DIST_L2, 3
    ).max()
    return (min(1.0, _WIDEST / inner),) * 2


def _job(picture, hole, part, frame):
    """Arguments of `oppai.data.mosaic_frames.frame_case`, cut out round the frame."""
    x, y = max(frame.box[0], 0), max(frame.box[1], 0)
    inside = np.s_[y : frame.box[3], x : frame.box[2]]
    box = tuple(v - (x, y)[i % 2] for i, v in enumerate(frame.box))
    moved, around = Frame(box, frame.size), hole[inside]
    if part.grid is None:
        return moved, picture[inside], around, None, None
    missing = around.copy()
    here, there = _overlap(
        (x, y, *around.shape[::-1]), (*part.box[:2], *part.hole.shape[::-1])
    )
    missing[here] &= ~part.hole[there]
    return moved, picture[inside], around, part.grid.moved(-x, -y), missing


def _overlap(one, other):
    """Slices of two boxes `(x, y, width, height)` where they meet, or `None`."""
    here, there = [], []
    for axis in (1, 0):
        start = max(one[axis], other[axis])
        stop = min(one[axis] + one[axis + 2], other[axis] + other[axis + 2])
        if start >= stop:
            return None
        here.append(slice(start - one[axis], stop - one[axis]))
        there.append(slice(start - other[axis], stop - other[axis]))
    return tuple(here), tuple(there)


def _tiles(part, scales):
    """Boxes that cover a part, each with how far its sides fade, in pixels."""
    sides = []
    for axis, scale in enumerate(scales):
        start, stop = part.box[axis], part.box[axis + 2]
        n = math.ceil((stop - start) * scale / _LONGEST)
        cuts = np.linspace(start, stop, n + 1).round().astype(int).tolist()
        fade = math.ceil(_OVERLAP / 2 / scale)
        side = []
        for i in range(n):
            first, last = i == 0, i == n - 1
            low = cuts[i] - (0 if first else fade)
            high = cuts[i + 1] + (0 if last else fade)
            fades = 0 if first else 2 * fade, 0 if last else 2 * fade
            side.append((max(low, start), min(high, stop), fades))
        sides.append(side)
    return [
        ((left, top, right, bottom), (across, down))
        for top, bottom, down in sides[1]
        for left, right, across in sides[0]
    ]


def _ramp(length, first, last):
    """Weights of a tile along one side: they fade over `first` and `last` pixels."""
    place = np.arange(length) + 0.5
    ramp = np.ones(length, np.float32)
    if first:
        ramp = np.minimum(ramp, place / first)
    if last:
        ramp = np.minimum(ramp, (length - place) / last)
    return ramp.astype(np.float32)
