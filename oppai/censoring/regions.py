"""What is hidden in a picture: a censored picture, and regions of one."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from oppai.censoring.block_grid import Grid

Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Censored:
    """A censored picture, its mask, and its mosaic's grid or its blur's strength.

    `oppai.restore` takes it as it is. It unpacks as image and mask.

    Example:
    ```python
    censored = oppai.add_mosaic(picture, (64, 80, 192, 176), block=12)
    image, mask = censored
    restored = oppai.restore(censored)
    ```

    Args:
        image: uint8 RGB `(height, width, 3)`; `None` where only a mask was drawn.
        mask: uint8 `(height, width)`, 255 = hidden, 0 = valid, between = soft rim.
        grid: The mosaic's `Grid`; `None` without a mosaic. Defaults to `None`.
        kind: "mosaic", "blur", "light", "white", "black" or "missing". Defaults to
            "missing".
        sigma: Standard deviation of a blur in pixels; `None` without one, or where it
            is not known. Defaults to `None`.
    """

    image: np.ndarray | None
    mask: np.ndarray
    grid: Grid | None = None
    kind: str = "missing"
    sigma: float | None = None

    def __iter__(self) -> Iterator[np.ndarray | None]:
        return iter((self.image, self.mask))


@dataclass(frozen=True, eq=False)
class Region:
    """A hidden region of a picture.

    Args:
        box: `(left, top, right, bottom)` in pixels of the picture, half-open.
        mask: bool array of the box's size, true where the picture is hidden.
        kind: "mosaic", "blur", "light", "white", "black" or "missing". Defaults to
            "missing".
        grid: A mosaic's `Grid` in the picture, else `None`. Defaults to `None`.
        confidence: Probability, 0 to 1, that the region is censored, of a detector;
            `None` where it was marked by hand. Defaults to `None`.
        sigma: A blur's standard deviation in pixels, else `None`. Defaults to `None`.
        opacity: Weight of a mosaic through which the picture shows, below 1; `None`
            where nothing shows through, or it is not known. Defaults to `None`.
    """

    box: Box
    mask: np.ndarray
    kind: str = "missing"
    grid: Grid | None = None
    confidence: float | None = None
    sigma: float | None = None
    opacity: float | None = None

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the picture at which the mask lies."""
        left, top, right, bottom = self.box
        return slice(top, bottom), slice(left, right)

    @property
    def hole(self) -> np.ndarray:
        """Return the mask; the name of version 0.1."""
        warnings.warn(
            "`Region.hole` is deprecated: use `mask`.", DeprecationWarning, stacklevel=2
        )
        return self.mask


def region_at(corner: tuple[int, int], mask: np.ndarray, **fields) -> Region:
    """Make a region of a mask and the place of its upper left corner.

    Args:
        corner: `(x, y)` in pixels of the picture.
        mask: bool `(height, width)`.
        **fields: The other fields of `Region`.

    Returns:
        A `Region`.
    """
    (x, y), (height, width) = corner, mask.shape
    return Region((x, y, x + width, y + height), mask, **fields)


def bounds(mask: np.ndarray) -> Box | None:
    """Return the box of what is true.

    Args:
        mask: bool `(height, width)`.

    Returns:
        `(left, top, right, bottom)`, or `None` where nothing is true.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


Slices = tuple[slice, slice]


def overlap(first: Box, second: Box) -> tuple[Slices, Slices]:
    """Return where two boxes meet, as slices of either.

    Args:
        first: `(left, top, right, bottom)`.
        second: Another box.

    Returns:
        `((rows, columns) of the first, (rows, columns) of the second)`, counted from
        each box's corner; empty where they do not meet.
    """
    left, top = max(first[0], second[0]), max(first[1], second[1])
    right = max(left, min(first[2], second[2]))
    bottom = max(top, min(first[3], second[3]))

    def within(box: Box) -> Slices:
        x, y = box[:2]
        return slice(top - y, bottom - y), slice(left - x, right - x)

    return within(first), within(second)


def widened(mask: np.ndarray, n: int) -> np.ndarray:
    """Return a bool mask that is wider by `n` pixels on every side."""
    import cv2

    square = np.ones((2 * int(n) + 1,) * 2, np.uint8)
    return cv2.dilate(mask.astype(np.uint8), square) > 0
