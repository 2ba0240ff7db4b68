"""Patterns and motifs printed on cloth."""

import numpy as np

from illustkit.samples.canvas import Canvas
from illustkit.samples.colours import Tones, mix
from illustkit.samples.curves import ellipse, heart, scattered, star

PATTERNS = (
    "plain",
    "stripes",
    "pinstripes",
    "checks",
    "plaid",
    "dots",
    "flowers",
    "stars",
    "hearts",
    "diamonds",
)


def box_outline(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """Return the outline of a rectangle."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)


def _places(extent, step):
    """Middles of a brick pattern that covers `extent`."""
    left, top, right, bottom = extent
    rows = np.arange(np.floor(top / step), np.ceil(bottom / step) + 1)
    columns = np.arange(np.floor(left / step) - 1, np.ceil(right / step) + 1)
    across, down = np.meshgrid(columns, rows)
    return np.stack([(across + 0.5 * (down % 2)) * step, down * step], 2).reshape(-1, 2)


def draw_pattern(
    canvas: Canvas,
    kind: str,
    cloth: Tones,
    accent: Tones,
    extent: tuple[float, float, float, float],
    *,
    step: float = 0.3,
) -> None:
    """Cover `extent` with a pattern; clip it with `Canvas.inside`.

    Args:
        canvas: A clipped sheet.
        kind: One of `PATTERNS`.
        cloth: `Tones` of the ground, which is painted already.
        accent: `Tones` of the pattern.
        extent: (left, top, right, bottom) in units.
        step: Distance of one repeat to the next, in units.
    """
    left, top, right, bottom = extent
    colour = accent.base
    rows = np.arange(np.floor(top / step), np.ceil(bottom / step)) * step
    columns = np.arange(np.floor(left / step), np.ceil(right / step)) * step
    if kind == "stripes":
        bands = [box_outline(left, y, right, y + 0.45 * step) for y in rows]
        canvas.fill_all(bands, colour)
    elif kind == "pinstripes":
        bands = [box_outline(x, top, x + 0.12 * step, bottom) for x in columns]
        canvas.fill_all(bands, mix(cloth.base, colour, 0.8))
    elif kind == "checks":
        half = mix(cloth.base, colour, 0.45)
        canvas.fill_all([box_outline(left, y, right, y + step / 2) for y in rows], half)
        canvas.fill_all(
            [box_outline(x, top, x + step / 2, bottom) for x in columns], half
        )
        squares = [
            box_outline(x, y, x + step / 2, y + step / 2) for x in columns for y in rows
        ]
        canvas.fill_all(squares, mix(cloth.base, colour, 0.85))
    elif kind == "plaid":
        half = mix(cloth.base, accent.dark, 0.35)
        wide = 1.6 * step
        places = np.arange(np.floor(left / wide), np.ceil(right / wide)) * wide
        heights = np.arange(np.floor(top / wide), np.ceil(bottom / wide)) * wide
        for share, thickness, ink in ((0.0, 0.5, half), (0.7, 0.06, colour)):
            a, b = share * wide, (share + thickness) * wide
            canvas.fill_all(
                [box_outline(left, y + a, right, y + b) for y in heights], ink
            )
            canvas.fill_all(
                [box_outline(x + a, top, x + b, bottom) for x in places], ink
            )
    elif kind == "dots":
        dot = ellipse(0, 0, 0.22 * step, count=14)
        dots = scattered(dot, _places(extent, step))
        canvas.fill_all(dots, colour)
    elif kind == "flowers":
        wide = 1.35 * step
        places = _places(extent, wide)
        petal = ellipse(0, 0, 0.13 * wide, count=10)
        for turn in ellipse(0, 0, 0.16 * wide, count=6)[:-1]:
            canvas.fill_all(scattered(petal, places + turn), colour)
        middle = ellipse(0, 0, 0.1 * wide, count=10)
        canvas.fill_all(scattered(middle, places), (255, 236, 150))
    elif kind == "stars":
        wide = 1.25 * step
        places = _places(extent, wide)
        canvas.fill_all(scattered(star(0, 0, 0.3 * wide), places), colour)
    elif kind == "hearts":
        wide = 1.25 * step
        places = _places(extent, wide)
        canvas.fill_all(scattered(heart(0, 0, 0.22 * wide), places), colour)
    elif kind == "diamonds":
        wide = 1.5 * step
        diamond = np.array([(0, -0.5), (0.28, 0), (0, 0.5), (-0.28, 0)]) * wide
        canvas.fill_all(scattered(diamond, _places(extent, wide)), colour)


def draw_motif(
    canvas: Canvas, kind: str, x: float, y: float, size: float, accent: Tones
) -> None:
    """Draw a motif of half width `size`: "star", "heart", "cat" or "flower"."""
    if kind == "star":
        canvas.fill(star(x, y, size * 1.1), accent.base)
    elif kind == "heart":
        canvas.fill(heart(x, y, size), accent.base)
    elif kind == "flower":
        for c, s in ellipse(0, 0, 1, count=6)[:-1]:
            petal = ellipse(
                x + 0.5 * size * c, y + 0.5 * size * s, 0.42 * size, count=16
            )
            canvas.fill(petal, accent.base)
        canvas.dot(x, y, 0.3 * size, (255, 236, 150))
    else:
        for side in (-1, 1):
            ear = np.array([(0.2, -0.6), (0.85, -1.05), (0.9, -0.1)]) * (side, 1)
            canvas.fill(ear * size + (x, y), accent.base)
        canvas.fill(ellipse(x, y, size, 0.78 * size), accent.base)
        for side in (-1, 1):
            canvas.dot(x + 0.4 * side * size, y - 0.08 * size, 0.12 * size, accent.line)
        nose = ellipse(x, y + 0.2 * size, 0.1 * size, 0.07 * size, count=10)
        canvas.fill(nose, accent.line)
