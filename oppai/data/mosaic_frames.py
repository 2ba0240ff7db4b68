"""Frames: boxes of a picture, brought to the scale at which the network works.

A mosaic of blocks of 16 pixels asks for the same as one of 8 in a picture of half the
size. So the network sees all of them at one scale, blocks of 8 pixels that begin in the
frame's corner, and small ones at another, blocks of 4.
"""

import math
from dataclasses import dataclass

import numpy as np

from illustkit.images import uint8_to_signed
from oppai.censoring.block_grid import averaging, block_means, spreading, upsample_means

# Averages over neighbours at a level are this over its pixels, so that each level costs
# alike; fewer leave a surface that is less smooth (0.7 dB at 4 for every level).
_SWEEPS = 2**17


def fill_smoothly(picture, missing):
    """Fill missing pixels with a smooth surface through the valid ones.

    Averages of the valid pixels are halved in size until nothing is missing; on the way
    back every level begins with the coarser one, and a few averages over neighbours
    bring it near the harmonic surface: the smoothest that meets the rim. Averaging
    over what is valid is a partial convolution with a kernel of ones.

    Example:
    ```python
    base = fill_smoothly(picture, mask < 255)
    ```

    Args:
        picture: `(height, width, channels)`, any colour scale; what is missing does
            not matter.
        missing: bool `(height, width)`.

    Returns:
        float32 `(height, width, channels)`, equal to the picture where it is valid.
        Where everything is missing it is 0.

    Reference:
        Gortler et al., "The Lumigraph" (1996), section 3.4 (push and pull).
    """
    picture = np.asarray(picture, np.float32)
    if not missing.any():
        return picture
    return _fill(np.where(missing[..., None], 0, picture), ~missing)


def _fill(picture, valid):
    import cv2

    height, width = valid.shape
    if valid.all() or max(height, width) == 1:
        return picture
    small = (width + 1) // 2, (height + 1) // 2
    share = cv2.resize(valid.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    mean = mean.reshape(*share.shape, -1) / np.maximum(share, 1e-6)[..., None]
    below = _fill(mean, share > 1e-6)
    hole = ~valid[..., None]
    filled = cv2.resize(below, (width, height), interpolation=cv2.INTER_LINEAR)
    filled = np.where(hole, filled.reshape(picture.shape), picture)
    for _ in range(int(np.clip(_SWEEPS / (width * height), 4, 200))):
        even = cv2.blur(filled, (3, 3), borderType=cv2.BORDER_REPLICATE)
        filled = np.where(hole, even.reshape(picture.shape), picture)
    return filled


HINTS = 8
INPUTS = ("censored", "base", "hints", "rows", "columns")


def mosaic_inputs(censored, mask, grid=None, missing=None):
    """Prepare one censored picture for `oppai.MosaicUNet`.

    The base is what a filter can do: the picture where it is valid, its block means
    upsampled where there is a mosaic, a smooth filling where content is missing. The
    network adds to it. The hints are the hole, the missing part of it, cosine and sine
    of the place in the block for x and y, and the octaves of the block's width and
    height over 8 pixels; the last six are 0 outside mosaics.

    Example:
    ```python
    inputs = mosaic_inputs(censored, mask, Grid((8, 8), (3, 5)))
    network({k: v[None] for k, v in inputs.items()})
    ```

    Args:
        censored: uint8 RGB `(height, width, 3)`.
        mask: uint8 `(height, width)`; under 255 is hole.
        grid: The mosaic's `Grid`; without one everything in the hole is missing.
            Defaults to `None`.
        missing: bool `(height, width)`, what of the hole shows no mosaic, if only part.
            Defaults to `None`: all of it without a grid, else nothing.

    Returns:
        Dict of float32 arrays: `censored` and `base` `(height, width, 3)`, signed
        scale; `hints` `(height, width, 8)`; `rows` `(height, height)` and `columns`
        `(width, width)`, which give every pixel the mean of its block (zeros without
        a grid).
    """
    height, width = mask.shape
    hole = mask < 255
    missing = np.full_like(hole, grid is None) if missing is None else missing
    missing = missing & hole
    mosaic = hole & ~missing
    signed = uint8_to_signed(censored)
    base = fill_smoothly(signed, missing) if missing.any() else signed
    hints = np.zeros((height, width, HINTS), np.float32)
    hints[..., 0], hints[..., 1] = hole, missing
    rows = np.zeros((height, height), np.float32)
    columns = np.zeros((width, width), np.float32)
    if grid is not None and mosaic.any():
        up = upsample_means(block_means(base, grid), (width, height), grid)
        base = np.where(mosaic[..., None], np.clip(up, -1, 1), base)
        (bx, by), (x, y) = grid.block, grid.origin
        rows = spreading(height, by, y) @ averaging(height, by, y)
        columns = spreading(width, bx, x) @ averaging(width, bx, x)
        hints[..., 2], hints[..., 3] = _phase(width, bx, x)
        hints[..., 4], hints[..., 5] = (v[:, None] for v in _phase(height, by, y))
        hints[..., 6], hints[..., 7] = np.log2(bx / 8), np.log2(by / 8)
        hints[..., 2:] *= mosaic[..., None]
    return {
        "censored": np.asarray(signed, np.float32),
        "base": np.asarray(base, np.float32),
        "hints": hints,
        "rows": rows,
        "columns": columns,
    }


def stack_inputs(inputs):
    """Stack the inputs of several pictures of one size into a batch.

    Args:
        inputs: List of dicts of `mosaic_inputs`.

    Returns:
        Dict of float32 arrays with the batch as first axis.
    """
    return {name: np.stack([one[name] for one in inputs]) for name in INPUTS}


def _phase(length, block, origin):
    turn = 2 * np.pi * (np.arange(length) + 0.5 - origin) / block
    return np.cos(turn), np.sin(turn)


# Levels of 255 between which the network comes in, and the pixels looked at.
_MOSAIC, _WINDOW = (1, 3), 17
_MISSING, _RING = (4, 12), 6


def activity(base, hole, missing):
    """How far the network's change of the base is wanted, from 0 to 1.

    A mosaic is flat where the base, its upsampled block means, is of one colour for two
    blocks around; missing content where nine tenths of what surrounds it are. There the
    truth is that colour nearly always, and a network's answer a level or two beside it.

    Example:
    ```python
    result = base + activity(base, hole, missing)[..., None] * (prediction - base)
    ```

    Args:
        base: float32 `(height, width, 3)`, signed scale.
        hole: bool `(height, width)`.
        missing: bool `(height, width)`, what of the hole shows no mosaic.

    Returns:
        float32 `(height, width)`.
    """
    import cv2

    window = np.ones((_WINDOW, _WINDOW), np.uint8)
    spread = cv2.dilate(base, window) - cv2.erode(base, window)
    wanted = _between(127.5 * spread.max(-1), _MOSAIC)
    if missing.any():
        ring = np.ones((2 * _RING + 1,) * 2, np.uint8)
        ring = (cv2.dilate(missing.astype(np.uint8), ring) > 0) & ~hole
        colours = base[ring] if ring.any() else base.reshape(-1, 3)
        low, high = np.percentile(colours, (5, 95), axis=0)
        wanted[missing] = _between(127.5 * (high - low).max(), _MISSING)
    return wanted


def _between(value, levels):
    return np.clip((value - levels[0]) / (levels[1] - levels[0]), 0, 1)


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
