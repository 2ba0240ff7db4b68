"""Features of a mosaic's cells, and the network that tells which are hidden.

Every cell of a grid is seen as 4x4 samples of 12 features, in grey. A few dilated
convolutions over cells return the hidden fraction of every sample.
`oppai.detection.training` trains the network.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from illustkit.engines import OnnxGraph, open_graph
from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import Box
from oppai.data.crops import crop_padded

SAMPLES = 4  # along a cell's side
CHANNELS = 12
FEATURES = 32
DILATIONS = (1, 2, 4, 6, 4, 2, 1)
_RAMP = 8  # levels: what differs less is noise
WEIGHTS = Path(__file__).parents[1] / "weights" / "censor_finder.npz"


def grid_features(
    grey: np.ndarray, grid: Grid, box: Box
) -> tuple[np.ndarray, tuple[int, int]]:
    """Compute steps on and off a grid, sampled four times along every cell.

    Args:
        grey: uint8 `(height, width)`.
        grid: A `Grid` of whole pixels.
        box: `(left, top, right, bottom)` in pixels; it is widened to whole cells,
            beyond the picture if necessary.

    Returns:
        `(features, (left, top))`: float32 `(4 rows, 4 columns, 12)` and the pixel of
        the picture, maybe negative, at which the first cell begins.
    """
    (block_x, block_y), (origin_x, origin_y) = grid.whole
    x0, nx = _cells(box[0], box[2], block_x, origin_x)
    y0, ny = _cells(box[1], box[3], block_y, origin_y)
    outer = x0 - 1, y0 - 1, x0 + nx * block_x + 1, y0 + ny * block_y + 1
    view = np.ascontiguousarray(crop_padded(grey, outer))
    turned = np.ascontiguousarray(view.T)
    xs, ys = _samples(block_x, nx), _samples(block_y, ny)
    features = np.empty((len(ys), len(xs), CHANNELS), np.float32)
    for k, (pixels, a, b, block) in enumerate(
        ((view, xs, ys, block_x), (turned, ys, xs, block_y))
    ):
        plain, sharp = steps(pixels)
        plain, sharp = plain[1:-1, 1:-1], sharp[1:-1, 1:-1]
        on = np.zeros((len(b), len(a)), np.float32)
        on[:, ::SAMPLES] = _means(np.minimum(sharp[:, a[::SAMPLES]], 64), b)
        # Where on the grid the picture is smooth but not of one colour.
        smooth = np.where(sharp > 0, 0, plain)[:, ::block]
        smooth = _tops(smooth, b, np.arange(len(a) // SAMPLES)).repeat(SAMPLES, 1)
        off, off_sharp = plain.copy(), sharp.copy()
        off[:, ::block] = off_sharp[:, ::block] = 0
        values = on, _tops(off, b, a), _tops(off_sharp, b, a), smooth
        for n, value in enumerate(values):
            value = np.log1p(value) / 3
            features[..., 4 * k + n] = value if k == 0 else value.T
    features[..., 8] = np.tile(np.linspace(-1, 1, SAMPLES), nx)
    features[..., 9] = np.tile(np.linspace(-1, 1, SAMPLES), ny)[:, None]
    features[..., 10] = np.log2(block_x * block_y) / 2 - 3.5
    # Noise: how far the quieter cells with a step are from one colour.
    cells = features[..., [1, 5]].max(2).reshape(ny, SAMPLES, nx, SAMPLES).max((1, 3))
    busy = features[::SAMPLES, ::SAMPLES, [0, 4]].max(2) > 0.5
    features[..., 11] = np.quantile(cells[busy] if busy.any() else cells, 0.25)
    return features, (x0, y0)


def cell_targets(hole: np.ndarray, grid: Grid, box: Box) -> np.ndarray:
    """Return the hidden fraction of every sample: float32 `(4 rows, 4 columns)`."""
    (block_x, block_y), (origin_x, origin_y) = grid.whole
    x0, nx = _cells(box[0], box[2], block_x, origin_x)
    y0, ny = _cells(box[1], box[3], block_y, origin_y)
    outer = x0, y0, x0 + nx * block_x, y0 + ny * block_y
    inside = crop_padded(hole, outer).astype(np.float32)
    return _means(_means(inside, _samples(block_y, ny)).T, _samples(block_x, nx)).T


def hidden_cells(features: np.ndarray) -> np.ndarray:
    """Return the probability that each sample of a mosaic's cells is hidden.

    Args:
        features: float32 `(4 rows, 4 columns, 12)` of `grid_features`.

    Returns:
        float32 `(4 rows, 4 columns)`, 0..1.
    """
    logits = predict_cells(to_cells(features), "", DILATIONS)
    return 1 / (1 + np.exp(-logits))


def build_segmenter(channels: int, dilations: Sequence[int]):
    """Build the network that tells which samples of cells are hidden, to train it.

    Dilated convolutions over cells, each added to its input.

    Args:
        channels: Channels of a sample.
        dilations: Of the convolutions, one after another.

    Returns:
        A `keras.Model` from cells `(batch, rows, columns, 16 channels)` to the logits
        of their samples `(batch, rows, columns, 16)`.
    """
    import keras
    from keras import layers

    def convolve(x, size, dilation, name):
        convolution = layers.Conv2D(
            FEATURES,
            size,
            padding="same",
            dilation_rate=dilation,
            activation="relu",
            dtype="float32",
            name=name,
        )
        return convolution(x)

    cells = keras.Input((None, None, SAMPLES**2 * channels), name="cells")
    x = convolve(cells, 1, 1, "embed")
    for k, dilation in enumerate(dilations):
        y = convolve(x, 3, dilation, f"look_{k}")
        x = layers.Add(dtype="float32")([x, y])
    logits = layers.Conv2D(SAMPLES**2, 1, dtype="float32", name="share")(x)
    return keras.Model(cells, logits)


def predict_cells(cells: np.ndarray, name: str, dilations: Sequence[int]) -> np.ndarray:
    """Return the logits that a trained network gives the samples of cells.

    Args:
        cells: float32 `(rows, columns, n)`, as `to_cells` makes them.
        name: What the names of its weights begin with.
        dilations: Of its convolutions, one after another.

    Returns:
        float32 `(4 rows, 4 columns)`.
    """
    channels = cells.shape[-1] // SAMPLES**2
    logits = load_segmenter(name, channels, tuple(dilations))(cells)
    rows, columns = cells.shape[:2]
    logits = logits.reshape(rows, columns, SAMPLES, SAMPLES).swapaxes(1, 2)
    return logits.reshape(SAMPLES * rows, SAMPLES * columns)


@lru_cache(maxsize=4)
def load_segmenter(
    name: str, channels: int, dilations: tuple[int, ...]
) -> Callable[[np.ndarray], np.ndarray]:
    """Load a trained network, which OpenCV runs on any number of cells.

    Keras would take seconds to start, and compile it for each size on some backends.

    Args:
        name: What the names of its weights begin with.
        channels: Channels of a sample.
        dilations: Of its convolutions.

    Returns:
        Function from float32 cells `(rows, columns, n)` to their samples' logits
        `(rows, columns, 16)`.
    """
    weights = load_weights()
    graph = OnnxGraph()

    def convolve(x, part, dilation=1, output=None):
        kernel, bias = (weights[f"{name}{part}.{i}"].astype("float32") for i in "wb")
        # Kernels of 1 are stored as matrices.
        kernel = kernel.reshape(*kernel.shape[:-2] or (1, 1), *kernel.shape[-2:])
        size = kernel.shape[0]
        inputs = [x, graph.constant(kernel.transpose(3, 2, 0, 1)), graph.constant(bias)]
        options = {"dilations": [dilation] * 2, "pads": [dilation * (size // 2)] * 4}
        return graph.node(
            "Conv", inputs, output=output, kernel_shape=[size] * 2, **options
        )

    x = graph.node("Relu", [convolve("cells", "embed")])
    for k, dilation in enumerate(dilations):
        y = graph.node("Relu", [convolve(x, f"look_{k}", dilation)])
        x = graph.node("Add", [x, y])
    convolve(x, "share", output="logits")
    # OpenCV reads a size, and then takes every size.
    shapes = [(1, SAMPLES**2 * n, 32, 32) for n in (channels, 1)]
    run = open_graph(graph.file({"cells": shapes[0]}, {"logits": shapes[1]}), "opencv")
    return lambda cells: run(cells=cells.transpose(2, 0, 1)[None])[0].transpose(1, 2, 0)


def to_cells(samples: np.ndarray) -> np.ndarray:
    """Turn samples (…, 4 rows, 4 columns, n) into cells (…, rows, columns, 16 n)."""
    *batch, rows, columns, n = samples.shape
    cells = samples.reshape(
        *batch, rows // SAMPLES, SAMPLES, columns // SAMPLES, SAMPLES, n
    ).swapaxes(-3, -4)
    return cells.reshape(
        *batch, rows // SAMPLES, columns // SAMPLES, SAMPLES * SAMPLES * n
    )


def steps(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the difference of every pixel from the one before it along x.

    An anti-aliased line rises over two pixels, a mosaic's block from one to the next:
    a step is sharp where neither difference beside it is half as large.

    Args:
        grey: uint8 `(height, width)`.

    Returns:
        `(all, sharp)`, uint8 `(height, width)` each, `sharp` 0 elsewhere.
    """
    import cv2

    d = np.zeros_like(grey)
    cv2.absdiff(grey[:, 1:], grey[:, :-1], d[:, 1:])
    beside = cv2.dilate(d, np.array([[1, 0, 1]], np.uint8))
    return d, np.where(d > cv2.add(beside, beside), d, 0)


def sharpened(grey: np.ndarray) -> np.ndarray:
    """Turn ramps of a few pixels into steps: pixels take the nearer end's value.

    A mosaic that was resized rises over two to four pixels from block to block, as
    drawn lines do. Where the neighbours of a pixel along x differ by more than
    compression makes them, it becomes the least of the three or the greatest, whichever
    is nearer; then along y, and both again. A step stays a step.

    Args:
        grey: uint8 `(height, width)`.

    Returns:
        uint8 `(height, width)`.

    Reference:
        Kramer and Bruckner, "Iterations of a non-linear transformation for enhancement
        of digital images" (1975).
    """
    import cv2

    for size in ((1, 3), (3, 1)) * 2:
        near = np.ones(size, np.uint8)
        least, most = cv2.erode(grey, near), cv2.dilate(grey, near)
        up, down = most - grey, grey - least
        nearer = np.where(up < down, most, least)
        grey = np.where(most - least > _RAMP, nearer, grey)
    return grey


@lru_cache(maxsize=1)
def load_weights() -> dict[str, np.ndarray]:
    """Load the finder's weights: a dict from name to float32 array."""
    with np.load(WEIGHTS) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


def _cells(start, stop, block, origin):
    """Return the first pixel and the number of the cells that cover `start..stop`."""
    first = (start - origin) // block
    last = -((origin - stop) // block)
    return first * block + origin, last - first


def _samples(block, n):
    """Return the first pixel of every sample, counted from the first cell."""
    inner = np.arange(SAMPLES) * block // SAMPLES
    return (np.arange(n)[:, None] * block + inner).ravel()


def _means(a, rows):
    sums = np.add.reduceat(a, rows, 0, dtype=np.float32)
    return sums / np.diff(rows, append=len(a))[:, None]


def _tops(a, rows, columns):
    tops = np.maximum.reduceat(np.maximum.reduceat(a, rows, 0), columns, 1)
    return tops.astype(np.float32)
