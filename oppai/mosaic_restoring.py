"""Restore the marked parts of a picture with a restorer that sees mosaics."""

import math
from dataclasses import dataclass

import numpy as np

from illustkit.images import signed_to_unit
from oppai.frames import Frame, bounds, frame_round, frame_scale
from oppai.grids import Grid

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

    A part is brought to the network's scale (`oppai.frames`). A long one is predicted
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
    """Arguments of `oppai.frames.frame_case`, cut out round the frame."""
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
