"""Skirts, the skirt of a dress, and the robe of a kimono.

The frame is the body's: see `illustkit.samples.limbs`.
"""

import numpy as np

from illustkit.samples.canvas import Canvas
from illustkit.samples.clothes.outfits import Outfit
from illustkit.samples.clothes.patterns import box_outline, draw_pattern
from illustkit.samples.curves import bend, mirror, spline, symmetric


def draw_bottom(canvas: Canvas, outfit: Outfit, *, line: float = 0.032) -> None:
    """Draw what covers the hips; trousers and shorts show as a belt only."""
    if outfit.bottom in ("trousers", "shorts"):
        side = spline([(0.68, 1.98), (0.78, 2.3), (0.85, 2.75)])
        hips = symmetric(
            np.concatenate([[(0.0, 1.98)], side, [(0.3, 2.98), (0.0, 2.98)]])
        )
        _cloth(canvas, hips, outfit)
        ink = outfit.bottom_tones.line
        for edge in (side, mirror(side)):
            canvas.stroke(edge, ink, 1.2 * line, ends=(1, 0.7))
        canvas.stroke(np.array([(0, 2.1), (0, 2.99)]), ink, 0.8 * line, ends=(0.5, 1))
        belt = symmetric([(0.0, 1.92), (0.68, 1.9), (0.7, 2.06), (0.0, 2.1)])
        canvas.shape(belt, outfit.bottom_tones.dark, ink, line)
    elif outfit.bottom == "robe":
        _robe(canvas, outfit, line)
    else:
        _skirt(canvas, outfit, line)


def _cloth(canvas, outline, outfit):
    low, high = outline.min(axis=0), outline.max(axis=0)
    with canvas.inside(outline) as part:
        part.wash([(0, outfit.bottom_tones.base)])
        accent = outfit.accent if outfit.bottom in ("dress", "robe") else outfit.trim
        pattern = outfit.bottom_pattern
        draw_pattern(part, pattern, outfit.bottom_tones, accent, (*low, *high))
        part.shadow(box_outline(-2, 2.0, 2, 2.28), 0.2)


def _skirt(canvas, outfit, line):
    wide, bottom = {"pleated": (1.22, 3.6), "flared": (1.38, 3.7)}.get(
        outfit.bottom, (1.45, 3.95)
    )
    count = 9 if outfit.bottom == "pleated" else 7
    waist = np.stack([np.linspace(0.66, -0.66, count + 1), np.full(count + 1, 1.98)], 1)
    places = np.linspace(wide, -wide, count + 1)
    hem = np.stack([places, bottom - 0.1 * (places / wide) ** 2], axis=1)
    pieces = [bend(waist[0], (0.85, 2.5), hem[0], steps=8)]
    for k in range(count):
        a, b = hem[k], hem[k + 1]
        if outfit.bottom == "pleated":
            pieces.append(np.array([a, b + (0, 0.07), b]))
        else:
            pieces.append(bend(a, (a + b) / 2 + (0, 0.16), b, steps=6))
    pieces.append(bend(hem[-1], (-0.85, 2.5), waist[-1], steps=8))
    outline = np.concatenate(pieces)
    _cloth(canvas, outline, outfit)
    tones = outfit.bottom_tones
    with canvas.inside(outline) as part:
        for k in range(count):
            top, foot = waist[k + 1], hem[k + 1]
            middle = (top + foot) / 2 + (0.1 * foot[0], -0.1)
            edge = bend(top, middle, foot, steps=8)
            if outfit.bottom == "pleated" or k % 2:
                width = 0.3 * (places[0] - places[1])
                shade = np.concatenate([edge, [foot, foot + (width, 0.05)]])
                part.shadow(np.concatenate([shade, [top + (0.2, 0.9)]]), 0.18)
            start = 0 if outfit.bottom == "pleated" else 3
            part.stroke(edge[start:], tones.line, 0.024, ends=(0.5, 1), swell=0.8)
        if outfit.bottom != "flared":
            trim = hem - (0, 0.2)
            part.stroke(trim, outfit.ribbon.light, 0.055, ends=(1, 1))
    canvas.outline(outline, tones.line, line)
    belt = symmetric([(0.0, 1.92), (0.68, 1.9), (0.7, 2.06), (0.0, 2.1)])
    canvas.shape(belt, outfit.trim.base, outfit.trim.line, line)


def _robe(canvas, outfit, line):
    half = spline([(0.0, 1.9), (0.72, 1.9), (0.98, 2.8), (0.92, 4.0), (0.84, 5.05)])
    outline = symmetric(np.concatenate([half, [(0.0, 5.12)]]))
    _cloth(canvas, outline, outfit)
    front = spline([(0.3, 2.2), (0.26, 3.6), (0.1, 5.05)])
    with canvas.inside(outline) as part:
        part.shadow(np.concatenate([front, (front + (0.2, 0))[::-1]]), 0.2)
        for x in (-0.5, -0.2, 0.62):
            fold = spline([(x, 3.4), (1.1 * x, 4.2), (1.1 * x, 4.9)])
            part.stroke(fold, outfit.bottom_tones.line, 0.024, ends=(0.1, 0.8))
    canvas.outline(outline, outfit.bottom_tones.line, line)
    canvas.stroke(front, outfit.bottom_tones.line, line, ends=(1, 1))
