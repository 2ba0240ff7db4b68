"""Outlines as arrays of points: splines, ellipses, tubes, stars and hearts.

Every function takes and returns points `(n, 2)` in the units of the caller, x to
the right and y down.
"""

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


@functools.lru_cache(maxsize=64)
def _catmull_rom(steps):
    """Weights `(steps, 4)` of the four control points along one segment."""
    t = np.arange(steps) / steps
    return 0.5 * np.stack(
        [
            -t + 2 * t**2 - t**3,
            2 - 5 * t**2 + 3 * t**3,
            t + 4 * t**2 - 3 * t**3,
            -(t**2) + t**3,
        ],
        axis=1,
    )


@functools.lru_cache(maxsize=64)
def _quadratic(steps):
    t = np.arange(steps) / steps
    return np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], axis=1)


@functools.lru_cache(maxsize=256)
def _arc(start, stop, count):
    angles = np.radians(np.linspace(start, stop, count))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def spline(points: ArrayLike, *, closed: bool = False, steps: int = 8) -> np.ndarray:
    """Return the Catmull-Rom curve through all `points`."""
    points = np.asarray(points, float)
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        first = 2 * points[:1] - points[1:2]
        last = 2 * points[-1:] - points[-2:-1]
        padded = np.concatenate([first, points, last])
    windows = np.stack(
        [padded[k : len(padded) - 3 + k] for k in range(4)], axis=1
    )  # (segments, 4, 2)
    curve = (_catmull_rom(steps) @ windows).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, points[-1:]])


def bend(
    start: ArrayLike, control: ArrayLike, stop: ArrayLike, *, steps: int = 8
) -> np.ndarray:
    """Return a quadratic Bezier curve without its last point, to join to others."""
    return _quadratic(steps) @ np.array([start, control, stop], float)


def ellipse(
    x: float,
    y: float,
    rx: float,
    ry: float | None = None,
    *,
    angle: float = 0.0,
    start: float = 0,
    stop: float = 360,
    count: int = 32,
) -> np.ndarray:
    """Return an ellipse or, between `start` and `stop` degrees, an arc of it."""
    ring = _arc(start, stop, count) * (rx, rx if ry is None else ry)
    if angle:
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        ring = ring @ np.array([[c, s], [-s, c]])
    return ring + (x, y)


def mirror(points: ArrayLike) -> np.ndarray:
    """Reflect points in the vertical axis."""
    return np.asarray(points, float) * (-1, 1)


def symmetric(half: ArrayLike) -> np.ndarray:
    """Close the outline of a `half` that runs down the right side of the axis."""
    half = np.asarray(half, float)
    return np.concatenate([half, mirror(half)[::-1]])


def normals(points: np.ndarray, *, closed: bool = False) -> np.ndarray:
    """Return the unit normals of a polyline."""
    if closed:
        tangent = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
    else:
        tangent = np.empty_like(points)
        tangent[1:-1] = points[2:] - points[:-2]
        tangent[0] = points[1] - points[0]
        tangent[-1] = points[-1] - points[-2]
    length = np.sqrt((tangent**2).sum(axis=1, keepdims=True))
    return tangent[:, ::-1] * (-1, 1) / np.maximum(length, 1e-9)


def sides(
    spine: ArrayLike, widths: Sequence[float] | np.ndarray, *, steps: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """Return both sides of a bent tube.

    Args:
        spine: Points that the middle of the tube runs through.
        widths: Half width at each of these points.
        steps: Samples between two points. Defaults to 8.

    Returns:
        The two sides, each from the first point of the spine to the last.
    """
    middle = spline(spine, steps=steps)
    places = np.linspace(0, len(widths) - 1, len(middle))
    half = np.interp(places, np.arange(len(widths)), widths)[:, None]
    offset = normals(middle) * half
    return middle + offset, middle - offset


def tube(
    spine: ArrayLike, widths: Sequence[float] | np.ndarray, *, steps: int = 8
) -> np.ndarray:
    """Return the closed outline of a bent tube: see `sides`."""
    left, right = sides(spine, widths, steps=steps)
    return np.concatenate([left, right[::-1]])


def turned(
    points: ArrayLike, angle: float, *, about: tuple[float, float] = (0.0, 0.0)
) -> np.ndarray:
    """Turn points clockwise (y is down) by `angle` degrees."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return (np.asarray(points, float) - about) @ np.array([[c, s], [-s, c]]) + about


def star(
    x: float,
    y: float,
    radius: float,
    *,
    points: int = 5,
    inner: float = 0.45,
    angle: float = -90.0,
) -> np.ndarray:
    """Return a star or, with a large `inner`, a flower-like outline."""
    rays = np.radians(angle + np.arange(2 * points) * 180.0 / points)
    reach = np.where(np.arange(2 * points) % 2, inner * radius, radius)
    return np.stack([x + reach * np.cos(rays), y + reach * np.sin(rays)], axis=1)


def scattered(points: ArrayLike, places: ArrayLike) -> np.ndarray:
    """Repeat an outline at each of `places`: `(k, n, 2)`."""
    return np.asarray(points, float) + np.asarray(places, float)[:, None]


@functools.lru_cache(maxsize=1)
def _heart():
    t = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    wave = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([np.sin(t) ** 3, -wave / 16], axis=1)


def heart(x: float, y: float, radius: float) -> np.ndarray:
    """Return a heart of half width `radius`."""
    return _heart() * radius + (x, y)
