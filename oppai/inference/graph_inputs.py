"""What `MosaicUNet` sees, computed inside an exported network from four numbers."""

from typing import Any

import keras
import numpy as np
from keras import ops

from oppai.data.mosaic_inputs import INPUTS, sweeps


class _GraphInputs(keras.layers.Layer):
    """Compute the inputs of `MosaicUNet` from a picture, a mask and a grid.

    It equals `oppai.data.mosaic_inputs.mosaic_inputs` within 1e-3, with operations that
    ONNX and TFLite have.

    Example:
    ```python
    picture, mask = np.zeros((1, 32, 32, 3)), np.zeros((1, 32, 32, 1))
    inputs = _GraphInputs()([picture, mask, np.array([[8, 8, 0, 0]])])
    inputs["base"].shape  # (1, 32, 32, 3)
    ```

    Call arguments:
        inputs: `[picture (1, height, width, 3), signed scale; mask (1, height, width,
            1), 0 valid, 1 hidden, 2 hidden without a mosaic; grid (1, 4)]`. A grid of
            zeros: content is missing in all of the hole. Blocks of one pixel: the hole
            is a blur.

    Returns:
        Dict as of `mosaic_inputs`, with a batch of one.
    """

    def call(self, inputs):
        picture, mask, grid = (ops.cast(x, "float32") for x in inputs)
        hole = ops.cast(mask > 0.5, "float32")
        none = ops.cast(grid[:, :1] < 0.5, "float32")[..., None, None]
        missing = ops.maximum(ops.cast(mask > 1.5, "float32"), hole * none)
        has_grid = ops.cast(grid[:, :1] > 1, "float32")
        base = _fill(picture * (1 - missing), 1 - missing)
        block_x, block_y = ops.maximum(grid[0, 0], 1.0), ops.maximum(grid[0, 1], 1.0)
        rows = _bicubic(picture.shape[1], block_y, grid[0, 3])
        columns = _bicubic(picture.shape[2], block_x, grid[0, 2])
        up = ops.clip(_along(rows, columns, base), -1.0, 1.0)
        mosaic = (hole - missing) * has_grid[..., None, None]
        base = ops.where(mosaic > 0.5, up, base)
        # Where nothing shows the mosaic there is no grid.
        shown = ops.max(mosaic, axis=(1, 2, 3))[:, None]
        arrays = picture, base, hole, missing, grid * has_grid * shown
        named = ("censored", "base", "hole", "missing", "grid")
        return {name: arrays[named.index(name)] for name in INPUTS}

    def compute_output_shape(self, input_shape):
        picture, mask, grid = (tuple(shape) for shape in input_shape)
        return dict(censored=picture, base=picture, hole=mask, missing=mask, grid=grid)


def _along(rows, columns, x):
    """Multiply a picture `(1, height, width, channels)` by matrices on both sides."""
    return _multiply(columns, _multiply(rows, x, 1), 2)


def _bicubic(length, block, origin):
    """Return the matrix that averages over blocks and enlarges the means bicubically.

    The product of `cubic` and `averaging` of `oppai.censoring.block_grid`, whose number
    of blocks a graph of a fixed shape does not know: there may be one more than pixels.
    """
    pixel = ops.arange(length, dtype="float32")[:, None]
    number = ops.arange(length + 1, dtype="float32")[None]
    first = origin - block * ops.floor(origin / block)
    start = ops.where(first > 1e-4, first - block, 0.0)
    left = start + block * number
    overlap = ops.minimum(pixel + 1, left + block) - ops.maximum(pixel, left)
    overlap = ops.maximum(overlap, 0.0)
    average = overlap / ops.maximum(ops.sum(overlap, axis=0, keepdims=True), 1e-6)
    last = ops.ceil((length - start) / block - 1e-4) - 1
    # Position of a pixel's middle among the blocks' middles.
    place = (pixel + 0.5 - start) / block - 0.5
    base = ops.floor(place)
    weights: Any = 0.0
    for step in (-1, 0, 1, 2):
        at = ops.minimum(ops.maximum(base + step, 0.0), last)
        same = ops.cast(ops.abs(number - at) < 0.5, "float32")
        weights = weights + same * _keys(place - (base + step))
    return ops.matmul(weights, ops.transpose(average))


def _keys(x):
    """As `oppai.censoring.block_grid.keys_cubic`."""
    x = ops.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return ops.where(x <= 1, near, ops.where(x < 2, far, 0.0))


def _fill(picture, valid):
    """As `oppai.data.mosaic_inputs.fill_smoothly`; the sizes are known."""
    _, height, width, _ = picture.shape
    if max(height, width) == 1:
        return picture
    fraction = _shrink(_shrink(valid, 1), 2)
    mean = _shrink(_shrink(picture, 1), 2) / ops.maximum(fraction, 1e-6)
    below = _fill(mean, ops.cast(fraction > 1e-6, "float32"))
    enlarged = _enlarge(_enlarge(below, 1, height), 2, width)
    hole = valid < 0.5
    filled = ops.where(hole, enlarged, picture)

    def sweep(_, x):
        return ops.where(hole, _blur(x), picture)

    return ops.fori_loop(0, sweeps(width, height), sweep, filled)


def _shrink(x, axis):
    """Halve a side by area; of an odd one, a pixel more than half remains."""
    length = x.shape[axis]
    if length % 2:
        return _multiply(_area((length + 1) // 2, length), x, axis)
    shape = list(x.shape)
    shape[axis : axis + 1] = [length // 2, 2]
    return ops.mean(ops.reshape(x, shape), axis + 1)


def _enlarge(x, axis, length):
    """Double a side linearly, or bring it to the odd length that was halved."""
    if length % 2:
        return _multiply(_linear(length, x.shape[axis]), x, axis)
    n = x.shape[axis]
    wide = _with_edges(x, axis)
    before, _ = ops.split(wide, [n], axis)
    _, after = ops.split(wide, [2], axis)
    pair = ops.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis + 1)
    shape = list(x.shape)
    shape[axis] = length
    return ops.reshape(pair, shape)


def _multiply(matrix, x, axis):
    return ops.einsum("ij,bjwc->biwc" if axis == 1 else "kw,biwc->bikc", matrix, x)


def _blur(x):
    """Take means of 3×3 pixels; those beyond the edge are as the edge."""
    for axis in (1, 2):
        x = _with_edges(x, axis)
    return ops.average_pool(x, 3, strides=1, padding="valid")


def _with_edges(x, axis):
    """Repeat the first and the last pixel of a side."""
    n = x.shape[axis]
    if n == 1:
        return ops.concatenate([x, x, x], axis)
    first, _ = ops.split(x, [1], axis)
    _, last = ops.split(x, [n - 1], axis)
    return ops.concatenate([first, x, last], axis)


def _area(n, length):
    """Return the weights of area interpolation from a length to `n`."""
    pixel, step = np.arange(length), length / n
    left = step * np.arange(n)[:, None]
    overlap = np.minimum(pixel + 1, left + step) - np.maximum(pixel, left)
    return (np.maximum(overlap, 0) / step).astype(np.float32)


def _linear(n, length):
    """Return the weights of linear interpolation from a length to `n`."""
    place = np.clip((np.arange(n) + 0.5) * length / n - 0.5, 0, length - 1)
    distance = np.abs(place[:, None] - np.arange(length))
    return np.maximum(1 - distance, 0).astype(np.float32)
