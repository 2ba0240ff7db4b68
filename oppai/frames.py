"""Frames: boxes of a picture, brought to the scale at which the network works.

A mosaic of blocks of 16 pixels asks for the same as one of 8 in a picture of half the
size. So the network sees all of them at one scale, blocks of 8 pixels that begin in the
frame's corner, and small ones at another, blocks of 4.
"""

import math
from dataclasses import dataclass

import numpy as np

STEP = 16
# Pixels of the frame seen round a hole.
MARGIN = 24
# The network has learnt blocks of these sides.
SIDES = (4, 8)


@dataclass(frozen=True)
class Frame:
    """A box of a picture and its size for the network.

    Args:
        box: Int `(left, top, right, bottom)` in pixels of the picture; it may overhang
            the picture, whose edge is repeated then.
        size: `(width, height)` of the frame.
    """

    box: tuple
    size: tuple

    def take(self, picture):
        """Cut the box out of a picture and bring it to the frame's size.

        Args:
            picture: uint8 or float32 `(height, width)` or `(height, width, channels)`.

        Returns:
            Array of the frame's size and the picture's dtype; shrunk by areas, enlarged
            bicubically.
        """
        return resized(self._cut(picture), self.size)

    def take_mosaic(self, picture):
        """As `take`, but enlarged by nearest pixels, so that blocks stay blocks."""
        return resized(self._cut(picture), self.size, sharp=True)

    def take_hole(self, hole):
        """The frame's pixels that the hole touches: bool, of the frame's size."""
        cut = self._cut(hole.astype(np.float32))
        return resized(cut, self.size, linear=True) > 1e-3

    def give(self, frame, size):
        """Bring a frame back to its place in a picture.

        Args:
            frame: float32 array of the frame's size.
            size: `(width, height)` of the picture.

        Returns:
            `((left, top, right, bottom), array)`: the box inside the picture and what
            it holds.
        """
        left, top, right, bottom = self.box
        array = resized(frame, (right - left, bottom - top))
        inner = max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])
        rows = slice(inner[1] - top, inner[3] - top)
        return inner, array[rows, inner[0] - left : inner[2] - left]

    def grid(self, grid):
        """The picture's `Grid` as it lies in the frame."""
        left, top, right, bottom = self.box
        scale = self.size[0] / (right - left), self.size[1] / (bottom - top)
        return grid.moved(-left, -top).scaled(*scale)

    def _cut(self, picture):
        import cv2

        left, top, right, bottom = self.box
        height, width = picture.shape[:2]
        part = picture[max(top, 0) : bottom, max(left, 0) : right]
        over = (
            max(-top, 0),
            max(bottom - height, 0),
            max(-left, 0),
            max(right - width, 0),
        )
        if any(over):
            part = cv2.copyMakeBorder(part, *over, cv2.BORDER_REPLICATE)
        return part


def frame_case(frame, picture, hole, grid=None, missing=None):
    """What the network is to see of a censored picture, as it lies in a frame.

    Args:
        frame: A `Frame`.
        picture: uint8 RGB `(height, width, 3)`, censored.
        hole: bool `(height, width)`.
        grid: The mosaic's `Grid` in the picture. Defaults to `None`.
        missing: bool `(height, width)`, what of the hole shows no mosaic, if only part.
            Defaults to `None`: all of it without a grid, else nothing.

    Returns:
        `(picture, hole, grid, missing)` of the frame; `missing` is bool, never `None`.
    """
    seen, inside = frame.take(picture), frame.take_hole(hole)
    missing = np.full_like(hole, grid is None) if missing is None else missing
    lost = frame.take_hole(missing & hole)
    if grid is not None:
        mosaic = inside & ~lost
        seen = np.where(mosaic[..., None], frame.take_mosaic(picture), seen)
        grid = frame.grid(grid)
    return seen, inside, grid, lost


def frame_scale(grid):
    """Factors `(x, y)` that bring a grid's blocks to a side the network has learnt.

    Args:
        grid: A `Grid`; `None` gives 1.

    Returns:
        Two floats.
    """
    if grid is None:
        return 1.0, 1.0
    return tuple(network_side(block) / block for block in grid.block)


def network_side(block):
    """The side that blocks of that many pixels are brought to: 4 or 8."""
    return SIDES[block > math.sqrt(SIDES[0] * SIDES[1])]


def frame_round(box, grid=None, *, scales=None, margin=MARGIN):
    """The frame of a box with what is seen round it.

    Args:
        box: Int `(left, top, right, bottom)` in pixels of the picture.
        grid: The `Grid` of the mosaic in the box; the frame begins at a corner of a
            block. Defaults to `None`.
        scales: Factors `(x, y)`. Defaults to `None`: those of `frame_scale`.
        margin: Least pixels of the frame round the box. Defaults to 24.

    Returns:
        A `Frame`, whose sides are multiples of 16.
    """
    sides, scales = [], frame_scale(grid) if scales is None else scales
    for axis, scale in enumerate(scales):
        start = box[axis] - margin / scale
        if grid is not None:
            block, origin = grid.block[axis], grid.origin[axis]
            start = origin + block * math.floor((start - origin) / block)
        length = (box[axis + 2] - start) * scale + margin
        size = STEP * math.ceil(length / STEP - 1e-6)
        sides.append((round(start), round(start + size / scale), size))
    (left, right, width), (top, bottom, height) = sides
    return Frame((left, top, right, bottom), (width, height))


def bounds(hole):
    """Box `(left, top, right, bottom)` of what is true: ints, `None` where nothing is.

    Args:
        hole: bool `(height, width)`.
    """
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    if not len(rows):
        return None
    ends = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return tuple(int(v) for v in ends)


def resized(picture, size, *, sharp=False, linear=False):
    """Shrink by areas, enlarge bicubically; each side in its own way.

    Args:
        picture: uint8 or float32 array, `(height, width)` with or without channels.
        size: `(width, height)`.
        sharp: Whether to enlarge by nearest pixels. Defaults to `False`.
        linear: Whether to enlarge linearly. Defaults to `False`.

    Returns:
        Array of that size.
    """
    import cv2

    larger = cv2.INTER_NEAREST_EXACT if sharp else cv2.INTER_CUBIC
    larger = cv2.INTER_LINEAR if linear else larger
    height, width = picture.shape[:2]
    if size[0] != width:
        way = cv2.INTER_AREA if size[0] < width else larger
        picture = cv2.resize(picture, (size[0], height), interpolation=way)
    if size[1] != height:
        way = cv2.INTER_AREA if size[1] < height else larger
        picture = cv2.resize(picture, (size[0], size[1]), interpolation=way)
    return picture
