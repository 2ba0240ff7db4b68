"""Collars, lapels, ties, bows and buttons.

The frame is the body's: see `illustkit._drawing.limbs`.
"""

import numpy as np

from illustkit._drawing.colours import mix
from illustkit._drawing.curves import bend, ellipse, mirror, spline, symmetric
from illustkit._drawing.patterns import box_outline, draw_pattern


def draw_buttons(canvas, x, heights, tones, *, radius=0.055):
    """A column of buttons."""
    for y in heights:
        canvas.shape(ellipse(x, y, radius, count=18), tones.light, tones.line, 0.024)
        for side in (-1, 1):
            canvas.dot(x + 0.35 * side * radius, y, 0.2 * radius, tones.line)


def draw_sailor_collar(canvas, outfit, *, line=0.032):
    """Wide collar that meets in a V, with two stripes, over a small panel."""
    panel = symmetric([(0.0, 0.3), (0.34, 0.26), (0.2, 0.8), (0.0, 1.15)])
    canvas.shape(panel, outfit.cloth.light, outfit.cloth.line, 0.8 * line)
    canvas.shadow(ellipse(0.0, 0.36, 0.3, 0.14), 0.2)
    for side in (-1, 1):
        inner = bend((0.33, 0.16), (0.28, 0.75), (0.0, 1.22), steps=10)
        outer = bend((0.12, 1.24), (0.7, 1.05), (0.84, 0.62), steps=10)
        top = bend((0.84, 0.62), (0.6, 0.34), (0.33, 0.16), steps=6)
        collar = np.concatenate([inner, outer, top]) * (side, 1)
        trim = outfit.trim
        canvas.fill(collar, trim.base)
        with canvas.inside(collar) as part:
            white = mix(trim.base, (255, 255, 255), 0.9)
            if sum(trim.base) > 600:
                white = outfit.ribbon.base
            for gap in (0.07, 0.14):
                stripe = np.concatenate([outer, [(0.84, 0.62)]]) * (1 - 0.9 * gap, 1)
                part.stroke((stripe - (0, gap)) * (side, 1), white, 0.032, ends=(1, 1))
        canvas.outline(collar, trim.line, line)


def draw_scarf(canvas, tones, *, line=0.032):
    """Neckerchief knotted at the V of a sailor collar, two long ends."""
    for side in (-1, 1):
        end = [(0.0, 1.18), (0.2, 1.35), (0.34, 1.9), (0.14, 1.78), (0.02, 1.4)]
        points = np.array(end) * (side, 1)
        canvas.shape(points, tones.base, tones.line, line)
        with canvas.inside(points) as part:
            part.shadow(
                np.array([(0.0, 1.1), (0.1, 1.4), (0.14, 1.9), (-0.1, 1.9)]) * (side, 1)
            )
    knot = spline(
        [(-0.13, 1.12), (0.13, 1.12), (0.11, 1.33), (-0.11, 1.33)], closed=True
    )
    canvas.shape(knot, tones.base, tones.line, line)


def draw_bow(canvas, tones, size, *, line=0.032, tails=False):
    """Ribbon bow at the origin, loops of length `size`."""
    s = size
    if tails:
        for side in (-1, 1):
            tail = [(0.0, 0.0), (0.25 * s, 0.1 * s), (0.75 * s, 1.35 * s)]
            tail += [(0.48 * s, 1.25 * s), (0.3 * s, 1.45 * s)]
            canvas.shape(np.array(tail) * (side, 1), tones.base, tones.line, line)
    for side in (-1, 1):
        loop = [(0.0, 0.0), (0.4 * s, -0.38 * s), (0.95 * s, -0.42 * s)]
        loop += [(1.05 * s, 0.05 * s), (0.92 * s, 0.42 * s), (0.4 * s, 0.3 * s)]
        points = spline(np.array(loop) * (side, 1), closed=True, steps=6)
        canvas.fill(points, tones.base)
        with canvas.inside(points) as part:
            part.fill(ellipse(0.62 * s * side, 0.42 * s, 0.6 * s, 0.3 * s), tones.dark)
            part.fill(
                ellipse(0.62 * s * side, -0.3 * s, 0.25 * s, 0.07 * s), tones.light
            )
        canvas.outline(points, tones.line, line)
        crease = np.array([(0.1 * s * side, 0.0), (0.5 * s * side, 0.03 * s)])
        canvas.stroke(crease, tones.line, 0.8 * line, ends=(1, 0.1), swell=0.1)
    knot = spline(
        np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * 0.19 * s, closed=True
    )
    canvas.shape(knot, tones.base, tones.line, line)


def draw_tie(canvas, tones, *, line=0.032):
    """Striped tie from the collar to the waist."""
    blade = np.array([(-0.1, 0.8), (0.1, 0.8), (0.17, 1.7), (0.0, 1.9), (-0.17, 1.7)])
    canvas.fill(blade, tones.base)
    with canvas.inside(blade) as part:
        for y in np.arange(0.7, 2.0, 0.26):
            stripe = np.array(
                [(-0.3, y + 0.2), (0.3, y), (0.3, y + 0.09), (-0.3, y + 0.29)]
            )
            part.fill(stripe, tones.light)
        part.shadow(box_outline(0.04, 0.6, 0.4, 2.0), 0.18)
    canvas.outline(blade, tones.line, line)
    knot = np.array([(-0.14, 0.56), (0.14, 0.56), (0.09, 0.82), (-0.09, 0.82)])
    canvas.shape(knot, tones.base, tones.line, line)


def draw_shirt_collar(canvas, tones, *, line=0.032):
    """Turned-down collar with points, buttoned up."""
    back = bend((-0.35, 0.16), (0.0, 0.55), (0.35, 0.16), steps=10)
    canvas.fill(
        np.concatenate([back, [(0.35, 0.16), (0.05, 0.66), (-0.05, 0.66)]]), tones.dark
    )
    canvas.stroke(back, tones.line, 0.8 * line, ends=(1, 1))
    for side in (-1, 1):
        flap = np.array(
            [(0.34, 0.14), (0.46, 0.36), (0.36, 0.76), (0.02, 0.58), (0.16, 0.42)]
        )
        canvas.shape(flap * (side, 1), tones.light, tones.line, line)


def draw_round_collar(canvas, tones, *, line=0.032):
    """Round collar of a dress, scalloped off at the front."""
    for side in (-1, 1):
        flap = [
            (0.0, 0.46),
            (0.22, 0.36),
            (0.35, 0.14),
            (0.6, 0.4),
            (0.52, 0.72),
            (0.2, 0.86),
        ]
        points = spline(np.array(flap) * (side, 1), closed=True)
        canvas.shape(points, tones.base, tones.line, line)


def draw_lapels(canvas, outfit, *, line=0.032, knit=False):
    """Open front of a jacket or cardigan over a shirt."""
    depth = 1.6
    opening = np.array([(0.0, 0.2), (0.36, 0.2), (0.3, 0.9), (0.0, depth)])
    shirt = symmetric(opening)
    canvas.shape(shirt, outfit.under.base, outfit.under.line, line)
    with canvas.inside(shirt) as part:
        part.stroke(
            np.array([(0, 0.6), (0, 1.6)]), outfit.under.line, 0.02, ends=(1, 1)
        )
        part.shadow(ellipse(0.02, 0.3, 0.4, 0.26), 0.2)
    draw_buttons(canvas, 0.0, (0.98, 1.28), outfit.under, radius=0.04)
    front = np.array([(0.0, depth), (0.0, 2.66)])
    canvas.stroke(front, outfit.cloth.line, 0.9 * line, ends=(1, 1))
    if knit:
        edge = bend((0.4, 0.16), (0.36, 0.9), (0.0, depth), steps=10)
        band = np.concatenate([edge, [(0, depth + 0.2)], (edge + (0.13, 0.05))[::-1]])
        for points in (band, mirror(band)):
            canvas.shape(points, outfit.trim.base, outfit.trim.line, line)
        strip = box_outline(-0.1, depth + 0.02, 0.1, 2.66)
        canvas.shape(strip, outfit.trim.base, outfit.trim.line, line)
    else:
        lapel = np.array(
            [
                (0.42, 0.24),
                (0.52, 0.66),
                (0.74, 0.72),
                (0.56, 1.1),
                (0.02, depth),
                (0.24, 0.85),
            ]
        )
        for points in (lapel, mirror(lapel)):
            with canvas.inside(points) as part:
                part.wash([(0, outfit.cloth.base)])
                extent = (-0.8, 0.2, 0.8, depth)
                draw_pattern(part, outfit.pattern, outfit.cloth, outfit.accent, extent)
            canvas.outline(points, outfit.cloth.line, line)
    draw_shirt_collar(canvas, outfit.under, line=line)
