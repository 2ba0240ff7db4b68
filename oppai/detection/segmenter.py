"""What a mosaic's cells look like, and the small network that tells which are censored.

Every cell of a lattice is seen as 4x4 samples of 12 features, in grey. A few dilated
convolutions over cells give back the censored share of every sample. The network runs
in plain NumPy; `oppai.detection.training` makes its weights.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from oppai.data.crops import crop_padded

SAMPLES = 4  # along a cell's side
CHANNELS = 12
FEATURES = 32
DILATIONS = (1, 2, 4, 6, 4, 2, 1)
WEIGHTS = Path(__file__).parents[1] / "weights" / "censor_finder.npz"


def grid_features(grey, grid, box):
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


def cell_targets(hole, grid, box):
    """Return the hidden fraction of every sample: float32 `(4 rows, 4 columns)`."""
    (block_x, block_y), (origin_x, origin_y) = grid.whole
    x0, nx = _cells(box[0], box[2], block_x, origin_x)
    y0, ny = _cells(box[1], box[3], block_y, origin_y)
    outer = x0, y0, x0 + nx * block_x, y0 + ny * block_y
    inside = crop_padded(hole, outer).astype(np.float32)
    return _means(_means(inside, _samples(block_y, ny)).T, _samples(block_x, nx)).T


def hidden_cells(features):
    """Return the probability that each sample of a mosaic's cells is hidden.

    Args:
        features: float32 `(4 rows, 4 columns, 12)` of `grid_features`.

    Returns:
        float32 `(4 rows, 4 columns)`, 0..1.
    """
    return 1 / (1 + np.exp(-run_network(to_cells(features), "", DILATIONS)))


def run_network(cells, name, dilations):
    """Logits that a network gives the samples of cells.

    Args:
        cells: float32 `(rows, columns, n)`, as `to_cells` makes them.
        name: What the names of its weights begin with.
        dilations: Of its convolutions, one after another.

    Returns:
        float32 `(4 rows, 4 columns)`.
    """
    weights = load_weights()

    def layer(key):
        return weights[f"{name}{key}.w"], weights[f"{name}{key}.b"]

    kernel, bias = layer("embed")
    x = _relu(cells @ kernel + bias)
    for k, dilation in enumerate(dilations):
        x = x + _relu(_convolve(x, *layer(f"look_{k}"), dilation))
    kernel, bias = layer("share")
    logits = x @ kernel + bias
    rows, columns = logits.shape[:2]
    logits = logits.reshape(rows, columns, SAMPLES, SAMPLES).swapaxes(1, 2)
    return logits.reshape(SAMPLES * rows, SAMPLES * columns)


def to_cells(samples):
    """Samples `(..., 4 rows, 4 columns, n)` as cells `(..., rows, columns, 16 n)`."""
    *batch, rows, columns, n = samples.shape
    cells = samples.reshape(
        *batch, rows // SAMPLES, SAMPLES, columns // SAMPLES, SAMPLES, n
    ).swapaxes(-3, -4)
    return cells.reshape(
        *batch, rows // SAMPLES, columns // SAMPLES, SAMPLES * SAMPLES * n
    )


def steps(grey):
    """Difference of every pixel from the one before it along x.

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
    beside = cv2.dilate(d, np.uint8([[1, 0, 1]]))
    return d, np.where(d > cv2.add(beside, beside), d, 0)


@lru_cache(maxsize=1)
def load_weights():
    """The finder's weights: dict from name to float32 array."""
    with np.load(WEIGHTS) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


def _convolve(x, kernel, bias, dilation):
    """3x3 convolution, zeros beyond the edge: one product per place of the kernel."""
    height, width, _ = x.shape
    padded = np.pad(x, ((dilation, dilation), (dilation, dilation), (0, 0)))
    out = np.empty_like(x)
    out[:] = bias
    for i in range(3):
        for j in range(3):
            a, b = i * dilation, j * dilation
            out += padded[a : a + height, b : b + width] @ kernel[i, j]
    return out


def _relu(x):
    return np.maximum(x, 0, out=x)


def _cells(start, stop, block, origin):
    """First pixel and number of the cells that cover `start..stop`."""
    first = (start - origin) // block
    last = -((origin - stop) // block)
    return first * block + origin, last - first


def _samples(block, n):
    """First pixel of every sample, counted from the first cell."""
    inner = np.arange(SAMPLES) * block // SAMPLES
    return (np.arange(n)[:, None] * block + inner).ravel()


def _means(a, rows):
    sums = np.add.reduceat(a, rows, 0, dtype=np.float32)
    return sums / np.diff(rows, append=len(a))[:, None]


def _tops(a, rows, columns):
    tops = np.maximum.reduceat(np.maximum.reduceat(a, rows, 0), columns, 1)
    return tops.astype(np.float32)
