"""The upper part of the clothes: torso, its pattern, folds, and each cut.

The frame is the body's: see `illustkit.samples.limbs`.
"""

from collections.abc import Iterable

import numpy as np

from illustkit.samples.canvas import Canvas
from illustkit.samples.clothes.outfits import Outfit
from illustkit.samples.clothes.patterns import box_outline, draw_motif, draw_pattern
from illustkit.samples.colours import Tones, mix
from illustkit.samples.curves import bend, ellipse, mirror, spline, symmetric


def draw_buttons(
    canvas: Canvas,
    x: float,
    heights: Iterable[float],
    tones: Tones,
    *,
    radius: float = 0.055,
) -> None:
    """Draw a column of buttons."""
    for y in heights:
        canvas.shape(ellipse(x, y, radius, count=18), tones.light, tones.line, 0.024)
        for side in (-1, 1):
            canvas.dot(x + 0.35 * side * radius, y, 0.2 * radius, tones.line)


def draw_sailor_collar(canvas: Canvas, outfit: Outfit, *, line: float = 0.032) -> None:
    """Draw a wide collar that meets in a V, with two stripes, over a small panel."""
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


def draw_scarf(canvas: Canvas, tones: Tones, *, line: float = 0.032) -> None:
    """Draw a scarf with two long ends, knotted at the V of a sailor collar."""
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


def draw_bow(
    canvas: Canvas,
    tones: Tones,
    size: float,
    *,
    line: float = 0.032,
    tails: bool = False,
) -> None:
    """Draw a bow at the origin, with loops of length `size`."""
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


def draw_tie(canvas: Canvas, tones: Tones, *, line: float = 0.032) -> None:
    """Draw a striped tie from the collar to the waist."""
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


def draw_shirt_collar(canvas: Canvas, tones: Tones, *, line: float = 0.032) -> None:
    """Draw a turned-down collar with points, buttoned up."""
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


def draw_round_collar(canvas: Canvas, tones: Tones, *, line: float = 0.032) -> None:
    """Draw the round collar of a dress, open at the front."""
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


def draw_lapels(
    canvas: Canvas, outfit: Outfit, *, line: float = 0.032, knit: bool = False
) -> None:
    """Draw the open front of a jacket or cardigan over a shirt."""
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


# Collar, waist and sides of the upper garment: (left, top, right, bottom).
EXTENT = (-0.95, 0.3, 0.95, 2.05)


def torso_outline(bottom: float = 2.7) -> np.ndarray:
    """Return the closed outline of the torso down to y = `bottom`."""
    half = [(0.3, 0.27), (0.52, 0.38), (0.86, 0.54), (0.97, 0.78), (0.84, 1.25)]
    half += [(0.7, 1.95)]
    if bottom > 2.3:
        half += [(0.84, bottom)]
    edge = spline(half, steps=6)
    return symmetric(np.concatenate([[(0.0, 0.34)], edge, [(0.0, edge[-1, 1] + 0.05)]]))


def tucked(outfit: Outfit) -> bool:
    """Return whether the upper garment ends at the waist, under skirt or trousers."""
    return outfit.garment in ("shirt", "dress", "kimono", "overalls", "tee")


def draw_torso(canvas: Canvas, outfit: Outfit, *, line: float = 0.032) -> None:
    """Draw the cloth of the torso, its pattern and folds: `draw_cut` draws the rest."""
    outline = torso_outline(2.1 if tucked(outfit) else 2.62)
    low, high = outline.min(axis=0), outline.max(axis=0)
    cloth = outfit.cloth
    with canvas.inside(outline) as part:
        part.wash([(0, cloth.base)])
        draw_pattern(part, outfit.pattern, cloth, outfit.accent, (*low, *high))
        for side in (-1, 1):
            under = [
                (0.72, 1.1),
                (0.58, 1.45),
                (0.56, 2.1),
                (0.6, 2.8),
                (1.2, 2.8),
                (1.2, 0.9),
            ]
            points = spline(under, steps=4) * (side, 1)
            part.shadow(points + (0.08, 0), 0.17)
        part.shadow(ellipse(0.03, 0.2, 0.55, 0.32), 0.2)
    canvas.outline(outline, cloth.line, line)
    for start, middle, stop in (
        ((0.8, 1.25), (0.66, 1.32), (0.5, 1.28)),
        ((0.68, 1.95), (0.52, 1.86), (0.4, 1.7)),
        ((0.7, 1.8), (0.6, 1.74), (0.52, 1.62)),
    ):
        for side in (-1, 1):
            fold = bend(start, middle, stop, steps=6) * (side, 1)
            canvas.stroke(fold, cloth.line, 0.024, ends=(1, 0.1), swell=0.1)


def draw_cut(canvas: Canvas, outfit: Outfit, *, line: float = 0.032) -> None:
    """Draw the collar, the buttons, and what else is special to the garment."""
    _CUTS[outfit.garment](canvas, outfit, line)


def _sailor(canvas, outfit, line):
    hem = symmetric([(0.0, 2.5), (0.82, 2.44), (0.84, 2.62), (0.0, 2.68)])
    canvas.shape(hem, outfit.trim.base, outfit.trim.line, line)
    draw_sailor_collar(canvas, outfit, line=line)
    if outfit.neckwear == "scarf":
        draw_scarf(canvas, outfit.ribbon, line=line)
    else:
        draw_bow(canvas.placed(0, 1.2), outfit.ribbon, 0.42, line=line, tails=True)


def _blazer(canvas, outfit, line):
    draw_lapels(canvas, outfit, line=line)
    _neckwear(canvas, outfit, line)
    draw_buttons(canvas, 0.06, (1.85, 2.15), outfit.accent)
    for side in (-1, 1):
        flap = box_outline(-0.17, -0.05, 0.17, 0.06) + (0.48 * side, 2.2)
        canvas.shape(flap, outfit.cloth.base, outfit.cloth.line, 0.8 * line)
    canvas.fill(box_outline(0.4, 1.22, 0.66, 1.26), outfit.cloth.line)


def _shirt(canvas, outfit, line):
    cloth = outfit.cloth
    placket = box_outline(-0.09, 0.6, 0.09, 2.1)
    canvas.shape(placket, cloth.base, cloth.line, 0.6 * line)
    draw_buttons(canvas, 0.0, (0.95, 1.25, 1.55, 1.85), outfit.accent)
    draw_shirt_collar(canvas, cloth, line=line)
    _neckwear(canvas, outfit, line)


def _hoodie(canvas, outfit, line):
    cloth = outfit.cloth
    if outfit.pattern == "print":
        draw_motif(canvas, outfit.motif, 0, 1.32, 0.3, outfit.accent)
    pocket = [(0.0, 1.92), (0.34, 1.92), (0.58, 2.2), (0.6, 2.48), (0.0, 2.5)]
    canvas.shape(symmetric(pocket), cloth.base, cloth.line, line)
    hem = symmetric([(0.0, 2.55), (0.84, 2.5), (0.82, 2.66), (0.0, 2.72)])
    canvas.shape(hem, cloth.dark, cloth.line, line)
    for side in (-1, 1):
        hood = [
            (0.0, 0.72),
            (0.2, 0.5),
            (0.34, 0.12),
            (0.62, 0.2),
            (0.6, 0.52),
            (0.3, 0.8),
        ]
        points = spline(np.array(hood) * (side, 1), closed=True)
        canvas.shape(points, cloth.base, cloth.line, line)
        with canvas.inside(points) as part:
            part.shadow(ellipse(0.2 * side, 0.3, 0.2, 0.45), 0.25)
        string = spline([(0.2 * side, 0.72), (0.22 * side, 0.95), (0.19 * side, 1.18)])
        canvas.stroke(string, outfit.cloth.line, 0.075, ends=(1, 1))
        canvas.stroke(string, outfit.accent.light, 0.04, ends=(1, 1))


def _kimono(canvas, outfit, line):
    edge = spline([(0.36, 0.25), (0.26, 0.55), (0.0, 0.98), (-0.36, 1.62)])
    band = np.concatenate([edge + (0.05, 0), (edge - (0.17, 0))[::-1]])
    lining = np.concatenate([edge - (0.15, 0), (edge - (0.23, 0))[::-1]])
    # The wearer's left side, on the right of the picture, lies over the other.
    for way in (-1, 1):
        under, trim = outfit.under, outfit.trim
        canvas.shape(lining * (way, 1), under.base, under.line, 0.7 * line)
        canvas.shape(band * (way, 1), trim.base, trim.line, line)
    sash = symmetric([(0.0, 1.52), (0.76, 1.5), (0.72, 2.12), (0.0, 2.16)])
    canvas.shape(sash, outfit.ribbon.base, outfit.ribbon.line, line)
    with canvas.inside(sash) as part:
        part.shadow(box_outline(0.5, 1.4, 1, 2.3), 0.2)
        for y in (1.62, 2.02):
            part.fill(box_outline(-1, y, 1, y + 0.05), outfit.ribbon.light)
    cord = symmetric([(0.0, 1.79), (0.75, 1.77), (0.74, 1.87), (0.0, 1.89)])
    canvas.shape(cord, outfit.accent.base, outfit.accent.line, 0.8 * line)
    canvas.shape(
        ellipse(0, 1.84, 0.11, 0.1), outfit.accent.light, outfit.accent.line, line
    )


def _dress(canvas, outfit, line):
    draw_buttons(canvas, 0.0, (1.15, 1.45, 1.75), outfit.under)
    draw_round_collar(canvas, outfit.under, line=line)
    if outfit.neckwear == "bow":
        draw_bow(canvas.placed(0, 0.72), outfit.ribbon, 0.34, line=line, tails=True)


def _sweater(canvas, outfit, line):
    cloth = outfit.cloth
    roll = symmetric(
        spline([(0.0, 0.0), (0.34, -0.03), (0.37, 0.22), (0.34, 0.44), (0.0, 0.5)])
    )
    canvas.shape(roll, cloth.base, cloth.line, line)
    hem = symmetric([(0.0, 2.46), (0.81, 2.4), (0.82, 2.62), (0.0, 2.68)])
    canvas.shape(hem, cloth.base, cloth.line, line)
    with canvas.inside(roll) as part:
        part.shadow(ellipse(0.05, -0.06, 0.5, 0.22), 0.25)
        ribs = [
            np.array([(x, 0.1), (1.05 * x, 0.46)]) for x in np.linspace(-0.3, 0.3, 8)
        ]
        for rib in ribs:
            part.stroke(rib, cloth.dark, 0.026)
    for x in np.linspace(-0.74, 0.74, 13):
        canvas.stroke(np.array([(x, 2.5), (x, 2.62)]), cloth.dark, 0.026)


def _overalls(canvas, outfit, line):
    denim = outfit.trim
    _crew_neck(canvas, outfit, line)
    for side in (-1, 1):
        strap = np.array([(0.5, 0.36), (0.7, 0.44), (0.54, 1.2), (0.34, 1.2)])
        canvas.shape(strap * (side, 1), denim.base, denim.line, line)
    bib = symmetric(
        [(0.0, 1.1), (0.52, 1.08), (0.58, 1.6), (0.74, 1.95), (0.74, 2.14), (0, 2.18)]
    )
    canvas.shape(bib, denim.base, denim.line, line)
    with canvas.inside(bib) as part:
        part.shadow(box_outline(0.34, 1, 1, 2.3), 0.16)
        seam = symmetric([(0.0, 1.15), (0.46, 1.14), (0.52, 1.6), (0.6, 1.9)])
        part.outline(seam, denim.light, 0.02)
    pocket = symmetric(
        [(0.0, 1.4), (0.26, 1.4), (0.26, 1.66), (0.18, 1.76), (0.0, 1.78)]
    )
    canvas.shape(pocket, denim.base, denim.line, 0.8 * line)
    draw_motif(canvas, outfit.motif, 0, 1.57, 0.09, outfit.accent)
    for side in (-1, 1):
        canvas.shape(
            ellipse(0.44 * side, 1.18, 0.08, count=20),
            (250, 214, 110),
            denim.line,
            0.8 * line,
        )


def _cardigan(canvas, outfit, line):
    draw_lapels(canvas, outfit, line=line, knit=True)
    _neckwear(canvas, outfit, line)
    draw_buttons(canvas, 0.0, (1.7, 2.0, 2.3), outfit.under)


def _tee(canvas, outfit, line):
    if outfit.pattern == "print":
        draw_motif(canvas, outfit.motif, 0, 1.25, 0.34, outfit.accent)
    _crew_neck(canvas, outfit, line)


def _crew_neck(canvas, outfit, line):
    upper = bend((-0.38, 0.24), (0, 0.86), (0.38, 0.24), steps=20)
    band = np.concatenate([upper, (upper * (1.18, 1.0) + (0, 0.1))[::-1]])
    tones = outfit.accent if outfit.garment == "tee" else outfit.cloth
    canvas.shape(band, tones.base, tones.line, line)


def _neckwear(canvas, outfit, line):
    if outfit.neckwear == "tie":
        draw_tie(canvas, outfit.ribbon, line=line)
    elif outfit.neckwear == "bow":
        draw_bow(canvas.placed(0, 0.72), outfit.ribbon, 0.32, line=line)


_CUTS = {
    "sailor": _sailor,
    "blazer": _blazer,
    "shirt": _shirt,
    "hoodie": _hoodie,
    "kimono": _kimono,
    "dress": _dress,
    "sweater": _sweater,
    "overalls": _overalls,
    "cardigan": _cardigan,
    "tee": _tee,
}
