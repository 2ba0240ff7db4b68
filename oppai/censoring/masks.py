"""Masks of what is censored: rectangles with a soft rim, and free forms.

A mask is uint8 `(height, width)`: 255 = hidden, 0 = valid, between = soft rim; every
pixel above 0 counts as hidden. Sizes are `(width, height)`.
"""

import math
from collections.abc import Sequence

import numpy as np

from illustkit.errors import UserError
from oppai.censoring.filters import blur_kernel
from oppai.censoring.regions import Censored


def box_mask(
    size: tuple[int, int],
    box: Sequence[float],
    *,
    blur_size: float = 10,
    coverage: float = 0.8,
) -> np.ndarray:
    """Return a mask of the middle of a box, with a soft rim.

    A blurred rectangle is the exact and cheap product of two blurred lines.

    Example:
    ```python
    mask = box_mask((256, 256), (64, 80, 192, 176))
    ```

    Args:
        size: `(width, height)` of the mask.
        box: `(left, top, right, bottom)` in pixels.
        blur_size: Standard deviation of the rim in pixels, as `gaussian_blur`'s; at
            most a quarter of the rectangle's short side counts. Defaults to 10.
        coverage: Fraction of the box's sides that is covered. Defaults to 0.8.

    Returns:
        uint8 `(height, width)`, 255 = hidden, 0 = valid.

    Raises:
        UserError: If the box lies outside the picture or an option is out of range.
    """
    if not 0 < coverage <= 1:
        raise UserError(f"`coverage` lies in (0, 1]. Received: {coverage}")
    left, top, right, bottom = (float(v) for v in box)
    spans = [
        _central_span(a, b, n, coverage, box)
        for a, b, n in zip((left, top), (right, bottom), size, strict=True)
    ]
    sigma = min(float(blur_size), min(b - a for a, b in spans) / 4)
    kernel = blur_kernel(sigma)
    pad = len(kernel) // 2
    lines = []
    for (a, b), n in zip(spans, size, strict=True):
        line = np.zeros(n)
        line[a:b] = 1.0
        lines.append(np.convolve(np.pad(line, pad, mode="edge"), kernel, "valid"))
    hole = np.multiply.outer(lines[1], lines[0])
    return np.rint(255 * hole).astype(np.uint8)


def irregular_mask(
    size: tuple[int, int],
    rng: np.random.Generator,
    *,
    hole_ratio: tuple[float, float] = (0.1, 0.4),
    feather: float = 0,
) -> Censored:
    """Draw a free-form mask of strokes and ellipses.

    Shapes are added, smaller and smaller, until the hidden area is the one drawn from
    `hole_ratio`, within 0.5 % of the picture. It is never empty.

    Example:
    ```python
    hidden = irregular_mask((256, 256), np.random.default_rng(0))
    restored = oppai.restore(picture, found=hidden)  # or mask=hidden.mask
    ```

    Args:
        size: `(width, height)` of the mask.
        rng: `np.random.Generator`.
        hole_ratio: `(least, most)` hidden fraction of the picture.
            Defaults to `(0.1, 0.4)`.
        feather: Width in pixels of a soft rim inside the hidden area, whose size it
            does not change. Defaults to 0.

    Returns:
        A `Censored` without an image; its `mask` is uint8 `(height, width)`,
        255 = hidden, 0 = valid.

    Raises:
        UserError: If the ratios are not in order within [0, 1], or the feather is not
            in [0, 255].

    Reference:
        Liu et al. (2018), section 4.1, speaks of random streaks and holes of arbitrary
        shapes; the shapes drawn here are our own.
    """
    least, most = hole_ratio
    if not 0 <= least <= most <= 1:
        raise UserError(
            f"`hole_ratio` is (least, most) in [0, 1]. Received: {hole_ratio}"
        )
    if not 0 <= feather <= 255:
        raise UserError(f"`feather` lies in [0, 255] pixels. Received: {feather}")
    import cv2

    width, height = size
    n_pixels = width * height
    tolerance = max(1, int(0.005 * n_pixels))
    target = max(1, round(n_pixels * rng.uniform(least, most)))
    hole = np.zeros((height, width), np.uint8)
    scale, n_hole = 1.0, 0
    while not n_hole or target - n_hole >= tolerance:
        trial = hole.copy()
        _draw_shape(trial, rng, scale)
        n_trial = cv2.countNonZero(trial)
        if n_trial > target:
            scale *= 0.8
        else:
            hole, n_hole = trial, n_trial
    if feather:
        # Distance to the nearest valid pixel, in pixels: at least 1 inside the hole.
        depth = cv2.distanceTransform(hole, cv2.DIST_L2, 5) / (feather + 1)
        hole = np.ceil(255 * np.minimum(depth, 1)).astype(np.uint8)
    return Censored(None, hole)


def _draw_shape(hole, rng, scale):
    import cv2

    height, width = hole.shape
    side = scale * min(width, height)
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    if rng.random() < 0.3:
        axes = [max(0, round(a)) for a in side * rng.uniform(0.04, 0.15, 2)]
        angle = rng.uniform(0, 180)
        cv2.ellipse(hole, (int(x), int(y)), axes, angle, 0, 360, 255, cv2.FILLED)
        return
    thickness = max(1, round(side * rng.uniform(0.03, 0.12)))
    angle = rng.uniform(0, 2 * math.pi)
    for _ in range(rng.integers(1, 7)):
        length = side * rng.uniform(0.05, 0.25)
        angle += rng.normal(0, 0.7)
        to = x + length * math.cos(angle), y + length * math.sin(angle)
        cv2.line(hole, (int(x), int(y)), (int(to[0]), int(to[1])), 255, thickness)
        x, y = to


def _central_span(start, stop, length, coverage, box):
    """Return the first and last-plus-one pixel of the middle of `start..stop`."""
    margin = (1 - coverage) / 2 * (stop - start)
    if not (math.isfinite(start) and math.isfinite(stop) and stop >= start):
        raise UserError(
            f"A box is (left, top, right, bottom) in pixels. Received: {box}"
        )
    first = math.floor(start + margin + 0.5)
    last = max(first + 1, math.floor(stop - margin + 0.5))
    first, last = max(0, first), min(length, last)
    if last <= first:
        raise UserError(f"The box lies outside the picture. Received: {box}")
    return first, last
