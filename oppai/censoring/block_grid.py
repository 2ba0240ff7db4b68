"""The grid of a mosaic: block means, their upsampling, all as small matrices.

Along one side every step is a matrix, so that a picture `I` has the block means
`A_y I A_xᵀ`, and block means `M` the upsampling `U_y M U_xᵀ`. Blocks may have any width
and height, whole or not, and the grid may start anywhere.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from illustkit.errors import UserError


@dataclass(frozen=True)
class Grid:
    """The size of a mosaic's blocks, and where in a picture they lie.

    Example:
    ```python
    grid = Grid((8, 8), (3, 5))
    grid.moved(-2, 0).scaled(0.5)  # blocks of 4, a corner at (0.5, 2.5)
    ```

    Args:
        block: `(width, height)` of a block in pixels, from 1 up.
        origin: `(x, y)` in pixels of any corner of a block. Defaults to `(0, 0)`.
        soft: Whether blocks fade into one another, as where a small picture was
            enlarged bilinearly: each has its colour in its middle alone. Defaults to
            `False`.

    Raises:
        UserError: If a block is smaller than a pixel.
    """

    block: tuple[float, float]
    origin: tuple[float, float] = (0, 0)
    soft: bool = False

    def __post_init__(self) -> None:
        block = tuple(float(v) for v in self.block)
        origin = tuple(float(v) for v in self.origin)
        if not (len(block) == len(origin) == 2 and min(block) >= 1):
            raise UserError(
                "A grid has blocks (width, height) of a pixel or more and a corner "
                f"(x, y). Received: block={self.block}, origin={self.origin}"
            )
        phase = tuple(o % b for o, b in zip(origin, block, strict=True))
        object.__setattr__(self, "block", block)
        object.__setattr__(self, "origin", phase)

    @property
    def whole(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Block and origin in whole pixels, as detected grids have them."""
        (width, height), (x, y) = self.block, self.origin
        return (round(width), round(height)), (round(x), round(y))

    @property
    def is_whole(self) -> bool:
        """Whether block and origin are whole pixels."""
        return all(value % 1 == 0 for value in (*self.block, *self.origin))

    def moved(self, x: float, y: float) -> "Grid":
        """Return the grid as it lies in a picture whose corner is at (-x, -y)."""
        return replace(self, origin=(self.origin[0] + x, self.origin[1] + y))

    def scaled(self, x: float, y: float | None = None) -> "Grid":
        """Return the grid of a picture enlarged by `x`, or by `x` and `y`."""
        y = x if y is None else y
        (width, height), (left, top) = self.block, self.origin
        block, origin = (width * x, height * y), (left * x, top * y)
        return replace(self, block=block, origin=origin)

    def mirrored(self, width: float) -> "Grid":
        """Return the grid of the mirrored picture of that width."""
        return replace(self, origin=(width - self.origin[0], self.origin[1]))


def block_means(picture: Any, grid: Grid) -> np.ndarray:
    """Compute the mean colour of every block; of a cut block, of what remains of it.

    Args:
        picture: `(height, width, channels)`.
        grid: A `Grid`.

    Returns:
        float32 `(rows, columns, channels)`.
    """
    rows, columns = _sides(picture, grid)
    return _apply(averaging(*rows), averaging(*columns), picture)


def upsample_means(means: np.ndarray, size: tuple[int, int], grid: Grid) -> np.ndarray:
    """Enlarge block means bicubically, each placed in the middle of its block.

    Args:
        means: `(rows, columns, channels)` of `block_means`.
        size: `(width, height)` of the picture.
        grid: The `Grid`.

    Returns:
        float32 `(height, width, channels)`; it may overshoot the colours' range.

    Reference:
        Keys, "Cubic convolution interpolation for digital image processing" (1981),
        a = -1/2.
    """
    rows, columns = _sides(np.empty((size[1], size[0], 0)), grid)
    return _apply(cubic(*rows), cubic(*columns), means)


def spreading(length: int, block: float, origin: float) -> np.ndarray:
    """Return the fraction of every pixel in every block: float32 `(length, n_blocks)`.

    Its rows add up to 1. Times the averaging matrix it gives every pixel the mean of
    its block.
    """
    return _matrices(length, float(block), float(origin))[0]


def averaging(length: int, block: float, origin: float) -> np.ndarray:
    """Return the pixels' weights in each block's mean: float32 `(n_blocks, length)`."""
    return _matrices(length, float(block), float(origin))[1]


def cubic(length: int, block: float, origin: float) -> np.ndarray:
    """Return the blocks' bicubic weights in a pixel: float32 `(length, n_blocks)`."""
    return _matrices(length, float(block), float(origin))[2]


@lru_cache(maxsize=512)
def _matrices(length, block, origin):
    first = origin % block
    first = first - block if first > 1e-6 else 0.0
    n = int(np.ceil((length - first) / block - 1e-6))
    left = first + block * np.arange(n)
    pixels = np.arange(length)[:, None]
    overlap = np.minimum(pixels + 1, left + block) - np.maximum(pixels, left)
    spread = np.maximum(overlap, 0)
    spread /= spread.sum(1, keepdims=True)
    spread = spread[:, keep := spread.sum(0) > 1e-6]
    average = (spread / spread.sum(0)).T
    # Position of a pixel's middle among the blocks' middles.
    place = (np.arange(length) + 0.5 - (left[keep][0] + block / 2)) / block
    weights = np.zeros_like(spread)
    base = np.floor(place).astype(int)
    for step in (-1, 0, 1, 2):
        at = np.clip(base + step, 0, weights.shape[1] - 1)
        np.add.at(weights, (np.arange(length), at), keys_cubic(place - (base + step)))
    result = tuple(m.astype(np.float32) for m in (spread, average, weights))
    for matrix in result:
        matrix.setflags(write=False)  # the cache hands it out again
    return result


def keys_cubic(x: np.ndarray, a: float = -0.5) -> np.ndarray:
    """Return the weights of cubic convolution at distances `x`, by Keys' parameter."""
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def _sides(picture, grid):
    height, width = picture.shape[:2]
    (block_x, block_y), (x, y) = grid.block, grid.origin
    return (height, block_y, y), (width, block_x, x)


def _apply(rows, columns, picture):
    """Product of rows, picture and columnsᵀ, for every channel."""
    picture = np.asarray(picture, np.float32)
    n, width, channels = picture.shape
    down = (rows @ picture.reshape(n, -1)).reshape(len(rows), width, channels)
    return np.matmul(columns, down)
