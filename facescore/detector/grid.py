"""The cells of the detector's three grids, and the boxes that they predict."""

from collections.abc import Sequence
from typing import Any

import numpy as np

STRIDES = (8, 16, 32)
BINS = 16  # a distance is a distribution over 0 to 15 strides


def grid_cells(size: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the centres and strides of the cells of a picture's predictions.

    Args:
        size: (width, height) of the network's input in pixels, multiples of 32.

    Returns:
        `(centres, strides)`: float32 `(cells, 2)` in pixels (x, y), and `(cells,)`.

    Raises:
        ValueError: If a side is not a multiple of 32.
    """
    width, height = size
    if width % STRIDES[-1] or height % STRIDES[-1] or min(size) < STRIDES[-1]:
        raise ValueError(
            f"The detector's input has sides that are multiples of {STRIDES[-1]}. "
            f"Received: {size=}"
        )
    centres, strides = [], []
    for stride in STRIDES:
        x, y = np.meshgrid(np.arange(width // stride), np.arange(height // stride))
        centres.append((np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * stride)
        strides.append(np.full(x.size, stride))
    return (
        np.concatenate(centres).astype("float32"),
        np.concatenate(strides).astype("float32"),
    )


def decode(distances: Any, centres: np.ndarray, strides: np.ndarray) -> Any:
    """Turn distributions of distances into boxes.

    A distance is the mean of its distribution, in strides.

    Args:
        distances: Logits `(..., cells, 64)`: 16 bins each of left, top, right, bottom;
            a NumPy array, or a tensor.
        centres: Pixels `(cells, 2)`.
        strides: Pixels `(cells,)`.

    Returns:
        xyxy in pixels `(..., cells, 4)`: an array, or a tensor.

    Reference:
        Li et al., "Generalized Focal Loss" (2020), equation 3.
    """
    xp: Any
    if isinstance(distances, np.ndarray):
        xp, softmax, shape = np, _softmax, distances.shape
    else:
        from keras import ops

        xp, softmax, shape = ops, ops.softmax, ops.shape(distances)
    logits = xp.reshape(distances, (*shape[:-1], 4, BINS))
    sides = xp.sum(softmax(logits, axis=-1) * xp.arange(BINS, dtype="float32"), -1)
    sides = sides * strides[:, None]
    return xp.concatenate([centres - sides[..., :2], centres + sides[..., 2:]], -1)


def _softmax(x, axis):
    # SciPy's takes a tenth of a second to import.
    powers = np.exp(x - x.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)
