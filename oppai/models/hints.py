"""Where a pixel lies in its block, and the mean of a block, for Keras and NumPy alike.

`numpy` and `keras.ops` have the same names for what is computed here. All is float32.
"""

import math
from typing import Any


def hints_of(hole: Any, missing: Any, grid: Any, has_grid: Any, numpy: Any) -> Any:
    """Return what `oppai.models.mosaic_unet.Hints` does.

    Example:
    ```python
    grid = np.array([[8, 8, 0, 0]], "float32")
    hole = np.ones((1, 16, 16, 1), "float32")
    hints_of(hole, 0 * hole, grid, 1.0, np).shape  # (1, 16, 16, 8)
    ```

    Args:
        hole: `(batch, height, width, 1)`, 1 = hidden.
        missing: Of that shape, 1 where the hole shows no mosaic.
        grid: `(batch, 4)`, as in `MosaicUNet`.
        has_grid: 1 where there is a grid, else 0; `(batch, 1, 1, 1)`, or one number.
        numpy: The module that computes: `numpy` or `keras.ops`.

    Returns:
        `(batch, height, width, 8)`.
    """
    (width, height), (left, top) = _numbers(grid, numpy)
    _, n_rows, n_columns, _ = numpy.shape(hole)
    x = _phase(n_columns, width, left, numpy)[:, None]  # (batch, 1, width, 2)
    y = _phase(n_rows, height, top, numpy)[:, :, None]
    size = numpy.log(numpy.stack([width, height], -1) / 8) / math.log(2)
    mosaic = (hole - missing) * has_grid
    # Times the mosaic, which brings every part to the picture's size.
    parts = [mosaic * part for part in (x, y, size[:, None])]
    return numpy.concatenate([hole, missing, *parts], -1)


def averaging(n_rows: Any, n_columns: Any, grid: Any, numpy: Any) -> tuple[Any, Any]:
    """Return the matrices that give every pixel of a side the mean of its block.

    With the fraction `s` of a pixel in a block and the length `c` of the block inside
    the picture, pixel `q` weighs `Σ s(p, block) · s(q, block) / c(block)` in pixel `p`.
    A block is a pixel wide or wider, so a pixel lies in one block or in two.

    Example:
    ```python
    grid = np.array([[2, 2, 0, 0]], "float32")
    rows, columns = averaging(4, 4, grid, np)
    rows[0, 0]  # .5, .5, 0, 0
    ```

    Args:
        n_rows: Height in pixels.
        n_columns: Width in pixels.
        grid: As in `hints_of`.
        numpy: As in `hints_of`.

    Returns:
        `(batch, rows, rows)` and `(batch, columns, columns)`.
    """
    (width, height), (left, top) = _numbers(grid, numpy)
    rows = _averaging(n_rows, height, top, numpy)
    return rows, _averaging(n_columns, width, left, numpy)


def _numbers(grid, numpy):
    """Return width and height of the blocks and a corner, each `(batch, 1)`.

    Where there is no grid, a block is a pixel: neither division nor logarithm fails.
    """
    width, height, left, top = (grid[:, i : i + 1] for i in range(4))
    return (numpy.maximum(width, 1.0), numpy.maximum(height, 1.0)), (left, top)


def _places(length, numpy):
    """Return where each pixel of a side begins: `(1, length)`."""
    return numpy.arange(length, dtype="float32")[None]


def _phase(length, block, origin, numpy):
    """Return cosine and sine of each pixel's place in its block: (batch, length, 2)."""
    place = (_places(length, numpy) + 0.5 - origin) / block
    # Less than a turn: float32 keeps few digits of the angle of a far block.
    turn = 2 * math.pi * (place - numpy.floor(place))
    return numpy.stack([numpy.cos(turn), numpy.sin(turn)], -1)


def _averaging(length, block, origin, numpy):
    place = _places(length, numpy)
    size = place[:, -1:] + 1
    # number of the block a pixel begins in
    first = numpy.floor((place - origin) / block)
    border = origin + block * (first + 1)
    # a pixel's fraction in the next block
    second = numpy.clip(place + 1 - border, 0.0, 1.0)

    def weighed(fraction, start):
        # length of the block inside the picture
        stop = numpy.minimum(numpy.maximum(start + block, 0.0), size)
        inside = stop - numpy.minimum(numpy.maximum(start, 0.0), size)
        return fraction / numpy.maximum(inside, 1e-6)

    parts = [(first, 1 - second, border - block), (first + 1, second, border)]
    total: Any = 0.0
    for number, fraction, start in parts:
        mean = weighed(fraction, start)[:, None]
        for other, share, _ in parts:
            same = numpy.equal(other[:, :, None], number[:, None])
            total = total + numpy.where(same, share[:, :, None] * mean, 0.0)
    return total
