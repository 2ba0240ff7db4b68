"""Crops: boxes of a picture, brought to a network's scale and back.

Pictures are uint8 RGB `(height, width, 3)`; boxes and squares are
`(left, top, right, bottom)` in pixels of the picture. A patch is a square crop of a
fixed size, as the chapter's network is trained on.

Every filter has a name here; the book's code leaves it to Pillow.

Reference:
    The chapter ("DeepCreamPyで学ぶモザイク除去", chapter 10), "Overall plan", steps 1
    and 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from illustkit.errors import UserError
from oppai.censoring.block_grid import Grid, keys_cubic
from oppai.censoring.regions import Box

# Pixels of a block from which on those at its rim are not read.
_RIMMED = 6
_CUBIC = -0.75  # OpenCV's parameter of cubic convolution


def expand_box(
    image_size: tuple[int, int],
    box: Sequence[float],
    *,
    scale: float = 1.5,
    minimum: int = 256,
) -> tuple[Box, Box]:
    """Place a square with context around a box, inside the picture.

    The square has `scale` times the box's long side, at least `minimum`, at most the
    picture's short side, and is moved inside the picture. A box longer than the
    picture's short side sticks out of it: see `cover_box`.

    Example:
    ```python
    square, relative_box = expand_box((600, 848), (57.4, 258.2, 343.8, 471.0))
    # (0, 150, 430, 580), (57, 108, 344, 321)
    ```

    Args:
        image_size: `(width, height)` of the picture.
        box: `(left, top, right, bottom)`, floats allowed; what lies outside the picture
            is cut off.
        scale: Side of the square over the box's long side. Defaults to 1.5.
        minimum: Least side of the square in pixels. Defaults to 256.

    Returns:
        `(square, relative_box)`, four ints each: the square in the picture, and the box
        in pixels of the square, widened to whole pixels, cut at the square and never
        empty.

    Raises:
        UserError: If the box is invalid or lies outside the picture.

    Reference:
        The chapter, "Overall plan", step 1.
    """
    box = _clip_box(image_size, box)
    side = _side(image_size, max(_sides(box)), scale, minimum)
    square = _place(image_size, _centre(box), side)
    relative = [_whole_span(box[i], box[i + 2], square[i], side) for i in (0, 1)]
    (left, right), (top, bottom) = relative
    return square, (left, top, right, bottom)


def cover_box(
    image_size: tuple[int, int],
    box: Sequence[float],
    *,
    scale: float = 1.5,
    minimum: int = 256,
) -> list[Box]:
    """Cover a box with squares that hold context, one where that is enough.

    A box longer than the picture's short side fits into no square. It is covered by a
    row of equal squares, which overlap by a third of their side or more and reach past
    its ends by a sixth of a side (what a square 1.5 times its box has) or to the
    picture's edge.

    Example:
    ```python
    squares = cover_box((1000, 300), (100, 100, 900, 200))
    # [(50, 0, 350, 300), (250, ...), (450, ...), (650, 0, 950, 300)]
    ```

    Args:
        image_size: `(width, height)` of the picture.
        box: `(left, top, right, bottom)`, floats allowed.
        scale: As in `expand_box`. Defaults to 1.5.
        minimum: As in `expand_box`. Defaults to 256.

    Returns:
        List of squares, four ints each, left to right or top to bottom.

    Raises:
        UserError: If the box is invalid or lies outside the picture.
    """
    square, _ = expand_box(image_size, box, scale=scale, minimum=minimum)
    box = _clip_box(image_size, box)
    side = square[2] - square[0]
    axis = int(np.argmax(_sides(box)))
    start, stop = math.floor(box[axis]), math.ceil(box[axis + 2])
    if stop - start <= side:
        return [square]
    context = side // 6
    first = max(0, start - context)
    last = min(image_size[axis], stop + context) - side
    step = max(1, side - math.ceil(side / 3))
    count = 1 + math.ceil((last - first) / step)
    squares = []
    for corner in np.linspace(first, last, count).round().astype(int).tolist():
        corners = list(square[:2])
        corners[axis] = corner
        x, y = corners
        squares.append((x, y, x + side, y + side))
    return squares


def _clip_box(image_size, box):
    """Cut a box at the picture's edges; floats."""
    left, top, right, bottom = (float(v) for v in box)
    width, height = image_size
    finite = all(math.isfinite(v) for v in (left, top, right, bottom))
    if not finite or left > right or top > bottom:
        raise UserError(
            "A box is (left, top, right, bottom) in pixels, in this order. "
            f"Received: {tuple(box)}"
        )
    if left >= width or top >= height or right < 0 or bottom < 0:
        raise UserError(
            f"The box lies outside the picture of {width}×{height}. "
            f"Received: {tuple(box)}"
        )
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)


def _sides(box):
    return box[2] - box[0], box[3] - box[1]


def _centre(box):
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _side(image_size, long_side, scale, minimum):
    return min(max(math.ceil(scale * long_side), minimum), *image_size)


def _place(image_size, centre, side):
    """Return the square of this side around a point, moved inside the picture."""
    corner = [
        min(max(math.floor(c - side / 2 + 0.5), 0), n - side)
        for c, n in zip(centre, image_size, strict=True)
    ]
    return (*corner, corner[0] + side, corner[1] + side)


def _whole_span(start, stop, corner, side):
    """Return the pixels, counted from the corner, that `start..stop` touches."""
    first = min(max(math.floor(start) - corner, 0), side - 1)
    last = min(max(math.ceil(stop) - corner, first + 1), side)
    return first, last


@dataclass(frozen=True)
class Crop:
    """A box of a picture and the size to which it is brought for a network.

    Example:
    ```python
    crop = Crop((-8, 0, 120, 128), (256, 256))
    seen = crop.take(picture)  # the left column is repeated eight times
    box, pixels = crop.give(network(seen), (width, height))
    ```

    Args:
        box: `(left, top, right, bottom)` in pixels of the picture; where it overhangs
            the picture, the picture's edge is repeated. A crop of a grid whose blocks
            are no whole pixels wide begins and ends between pixels.
        size: `(width, height)` of the crop in the network's pixels.
        patch: Whether the crop is a patch as `cut_patch` cuts them for training: both
            sides are resampled at once, and every pixel into which a hidden one is
            mixed is hidden. Defaults to `False`.
    """

    box: tuple[float, float, float, float]
    size: tuple[int, int]
    patch: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether the crop begins and ends at whole pixels."""
        return all(value % 1 == 0 for value in self.box)

    @property
    def pixels(self) -> Box:
        """The box of all whole pixels that the crop touches."""
        left, top, right, bottom = self.box
        return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)

    def take(self, picture: np.ndarray) -> np.ndarray:
        """Cut the box out of a picture and bring it to the crop's size.

        Args:
            picture: uint8 or float32 `(height, width)` or `(height, width, channels)`.

        Returns:
            Array of the crop's size and the picture's dtype; shrunk by areas, enlarged
            bicubically.
        """
        if self.is_whole:
            pixels = crop_padded(picture, self.pixels)
            return resize(pixels, self.size, at_once=self.patch)
        taken = self._resampled(picture)
        if picture.dtype == np.uint8:
            return np.rint(taken).clip(0, 255).astype(np.uint8)
        return taken

    def _resampled(self, array):
        """Return the crop of an array, for a box between pixels: float32."""
        left, top, right, bottom = self.box
        taken = np.asarray(array, np.float32)
        taken = resample(taken, 1, left, right, self.size[0])
        return resample(taken, 0, top, bottom, self.size[1])

    def take_mosaic(self, picture: np.ndarray, grid: Grid | None = None) -> np.ndarray:
        """Cut as `take` does, but enlarge by nearest pixels, so that blocks stay.

        Args:
            picture: As in `take`.
            grid: The picture's `Grid`. Where its blocks are no whole pixels wide, every
                pixel of the crop is taken from its own block, and not from the block's
                rim, over which a picture that was resized fades; where they are soft,
                from the block's middle. Defaults to `None`.

        Returns:
            As `take`.
        """
        if grid is None or (grid.is_whole and not grid.soft):
            pixels = crop_padded(picture, self.pixels)
            return resize(pixels, self.size, filter="nearest")
        columns, rows = (
            _pixels_of_blocks(
                self.box[axis],
                self.box[axis + 2],
                self.size[axis],
                grid.block[axis],
                grid.origin[axis],
                grid.soft,
            ).clip(0, picture.shape[1 - axis] - 1)
            for axis in (0, 1)
        )
        return picture[rows][:, columns]

    def take_hole(self, hole: np.ndarray) -> np.ndarray:
        """Return the crop's pixels that a hole touches: bool, of the crop's size."""
        if not self.is_whole:
            return self._resampled(hole) > 1e-3
        holes = crop_padded(hole, self.pixels).astype(np.float32)
        if not self.patch:
            return resize(holes, self.size, filter="linear") > 1e-3
        if self.size[0] > len(holes):
            import cv2

            # The patch's bicubic filter reads two pixels to each side, which a
            # picture of a few pixels cannot spare.
            wider = cv2.dilate(holes, np.ones((5, 5), np.uint8))
            holes = holes if wider.all() else np.asarray(wider, np.float32)
        # When shrinking, the area filter has a positive weight on all that it touches.
        return resize(holes, self.size, filter="nearest", at_once=True) > 1e-6

    def give(
        self, array: np.ndarray, image_size: tuple[int, int]
    ) -> tuple[Box, np.ndarray]:
        """Bring an array of the crop's size back to its place in the picture.

        Args:
            array: float32, of the crop's size.
            image_size: `(width, height)` of the picture.

        Returns:
            `(box, array)`: the box inside the picture, and its pixels.
        """
        left, top, right, bottom = self.pixels
        width, height = image_size
        inner = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        if not self.is_whole:
            for axis in (0, 1):
                low, high = self.box[axis], self.box[axis + 2]
                scale = self.size[axis] / (high - low)
                first, last = inner[axis], inner[axis + 2]
                place = (first - low) * scale, (last - low) * scale
                array = resample(array, 1 - axis, *place, last - first)
            return inner, array
        array = resize(array, (right - left, bottom - top), at_once=self.patch)
        rows = slice(inner[1] - top, inner[3] - top)
        return inner, array[rows, inner[0] - left : inner[2] - left]

    def grid(self, grid: Grid) -> Grid:
        """Return the picture's `Grid` as it lies in the crop."""
        left, top, right, bottom = self.box
        scale = self.size[0] / (right - left), self.size[1] / (bottom - top)
        moved = grid.moved(-left, -top).scaled(*scale)
        # What begins at the crop's corner begins there, whatever the rounding.
        block, origin = (np.round(v, 6).tolist() for v in (moved.block, moved.origin))
        return Grid(tuple(block), tuple(origin), moved.soft)


def _pixels_of_blocks(start, stop, size, block, origin, soft):
    """Return from which pixel of a side each of `size` is taken, by its block.

    Some programs draw the pixels whose middles lie in a block, others those that begin
    in it. So of a block that has one, a pixel is taken that lies in it as a whole.
    """
    place = start + (np.arange(size) + 0.5) * (stop - start) / size
    number = np.floor((place - origin) / block)
    if soft:
        return np.floor(origin + block * (number + 0.5)).astype(int)
    low, high = origin + block * number, origin + block * (number + 1)
    first, last = np.ceil(low - 0.5).astype(int), np.ceil(high - 0.5).astype(int)
    rim = (last - first >= _RIMMED).astype(int)
    inner = first + np.floor((place - low) / block * (last - first)).astype(int)
    # Whole pixels of a block that is 10.67 pixels wide: 1e-6 is the rounding of thirds.
    least = np.maximum(np.ceil(low - 1e-6).astype(int), first + rim)
    most = np.minimum(np.floor(high + 1e-6).astype(int), last - rim) - 1
    return np.where(least <= most, np.clip(inner, least, most), inner)


def resample(
    array: np.ndarray, axis: int, start: float, stop: float, n: int
) -> np.ndarray:
    """Bring a part of one side, which may begin between pixels, to `n` pixels.

    Shrunk by areas, enlarged by cubic convolution, as `resize` does from whole pixels.

    Example:
    ```python
    wider = resample(picture, 1, 0.5, 10.5, 20)  # ten columns to twenty
    ```

    Args:
        array: float32, any shape.
        axis: The side.
        start: Where the part begins, in pixels; its edge is repeated beyond the array.
        stop: Where it ends.
        n: Number of pixels.

    Returns:
        float32, of `n` pixels along the side.
    """
    step = (stop - start) / n
    low = start + step * np.arange(n)
    if step > 1:
        at = np.floor(low).astype(int)[:, None] + np.arange(math.ceil(step) + 1)
        weights = np.minimum(at + 1, (low + step)[:, None]) - np.maximum(
            at, low[:, None]
        )
        weights = np.maximum(weights, 0)
    else:
        place = (low + step / 2 - 0.5)[:, None]
        at = np.floor(place).astype(int) + np.arange(-1, 3)
        weights = keys_cubic(place - at, _CUBIC)
    weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    at = at.clip(0, array.shape[axis] - 1)
    shape = [1] * array.ndim
    shape[axis] = n
    return np.asarray(
        sum(
            array.take(pixels, axis) * weight.reshape(shape)
            for pixels, weight in zip(at.T, weights.T, strict=True)
        )
    )


def crop_padded(array: np.ndarray, box: Box) -> np.ndarray:
    """Cut a box out of an array, whose edge is repeated where the box overhangs it.

    Example:
    ```python
    crop_padded(picture, (-8, 0, 56, 64))  # the left column eight times more
    ```

    Args:
        array: `(height, width)` or `(height, width, channels)`.
        box: `(left, top, right, bottom)`, ints, that meets the array.

    Returns:
        Array `(bottom - top, right - left, ...)`; a view if nothing overhangs.
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


def resize(
    picture: np.ndarray,
    size: tuple[int, int],
    *,
    filter: str = "cubic",
    at_once: bool = False,
) -> np.ndarray:
    """Shrink a picture by areas, or enlarge it by a filter.

    Args:
        picture: uint8 or float32 array, `(height, width)` with or without channels.
        size: `(width, height)`.
        filter: "cubic", "linear" or "nearest", for enlarging. Defaults to "cubic".
        at_once: Resample both sides in one step, by their common factor, instead of one
            after the other, each by its own. Defaults to `False`.

    Returns:
        Array of that size; the picture itself where it has that size.
    """
    import cv2

    enlarging = {
        "cubic": cv2.INTER_CUBIC,
        "linear": cv2.INTER_LINEAR,
        "nearest": cv2.INTER_NEAREST_EXACT,
    }[filter]

    def resampled(width: int, height: int, shrinks: bool) -> np.ndarray:
        way = cv2.INTER_AREA if shrinks else enlarging
        return cv2.resize(picture, (width, height), interpolation=way)

    height, width = picture.shape[:2]
    if at_once and size != (width, height):
        return resampled(*size, size[0] < width)
    if size[1] < height and size[0] > width:  # shrunk first: it may be a long line
        picture = resampled(width, size[1], True)
        return resampled(*size, False)
    if size[0] != width:
        picture = resampled(size[0], height, size[0] < width)
    if size[1] != height:
        picture = resampled(*size, size[1] < height)
    return picture


def cut_patch(picture: np.ndarray, square: Box, size: int) -> np.ndarray:
    """Cut a square out of a picture and bring it to the network's size.

    Enlarged by bicubic interpolation, which is the chapter's and keeps outlines sharper
    than bilinear does. Shrunk by area means: OpenCV's bicubic reads four by four pixels
    however far apart they come to lie, and so breaks up thin outlines. A square of the
    size itself is copied.

    Example:
    ```python
    patch = cut_patch(picture, square, 256)
    ```

    Args:
        picture: uint8 `(height, width, 3)`.
        square: `(left, top, right, bottom)`, ints, inside the picture.
        size: Side of the patch in pixels.

    Returns:
        A new uint8 array `(size, size, 3)`.

    Raises:
        UserError: If the square is invalid or reaches out of the picture.
    """
    left, top, right, bottom = square
    height, width = picture.shape[:2]
    inside = 0 <= left < right <= width and 0 <= top < bottom <= height
    if not inside or right - left != bottom - top:
        raise UserError(
            f"A square has equal sides, inside the picture of {width}×{height}. "
            f"Received: {tuple(square)}"
        )
    if size != int(size) or size < 1:
        raise UserError(f"A patch has a side of 1 pixel or more. Received: {size}")
    return Crop(square, (int(size), int(size)), patch=True).take(picture).copy()


def is_grey(picture: np.ndarray, *, threshold: float = 0.995) -> bool:
    """Return whether a picture has no colours: its channels rise and fall together.

    The mean of the channels' correlation matrix is at least `threshold`. So a tinted
    drawing of one hue counts as grey as well, as in the chapter. Where a channel is
    constant, correlation has no value: two constant channels of one value then count
    as 1, others as 0. Large pictures are judged by every n-th pixel of every n-th row.

    Args:
        picture: uint8 `(height, width, 3)`.
        threshold: Least mean correlation of a grey picture. Defaults to 0.995.

    Returns:
        Bool.

    Reference:
        The chapter leaves such pictures out of training.
    """
    # About 128×128 pixels are enough for a mean.
    step = max(1, math.isqrt(picture.shape[0] * picture.shape[1]) // 128)
    pixels = picture[::step, ::step].reshape(-1, 3).T.astype(np.float64, order="C")
    mean = pixels.mean(axis=1)
    pixels -= mean[:, None]
    covariance = pixels @ pixels.T
    deviation = np.sqrt(covariance.diagonal())
    same = np.equal.outer(mean, mean) & np.equal.outer(deviation, deviation)
    scale = np.multiply.outer(deviation, deviation)
    correlation = np.divide(
        covariance, scale, out=same.astype(np.float64), where=scale > 0
    )
    return bool(correlation.mean() >= threshold)
