"""The upper part of the clothes: torso, its pattern, folds, and each cut.

The frame is the body's: see `illustkit._drawing.limbs`.
"""

import numpy as np

from illustkit._drawing.collars import (
    draw_bow,
    draw_buttons,
    draw_lapels,
    draw_round_collar,
    draw_sailor_collar,
    draw_scarf,
    draw_shirt_collar,
    draw_tie,
)
from illustkit._drawing.curves import bend, ellipse, spline, symmetric
from illustkit._drawing.patterns import box_outline, draw_motif, draw_pattern

# Collar, waist and sides of the upper garment: (left, top, right, bottom).
EXTENT = (-0.95, 0.3, 0.95, 2.05)


def torso_outline(bottom=2.7):
    """Closed outline of the torso down to y = `bottom`."""
    half = [(0.3, 0.27), (0.52, 0.38), (0.86, 0.54), (0.97, 0.78), (0.84, 1.25)]
    half += [(0.7, 1.95)]
    if bottom > 2.3:
        half += [(0.84, bottom)]
    edge = spline(half, steps=6)
    return symmetric(np.concatenate([[(0.0, 0.34)], edge, [(0.0, edge[-1, 1] + 0.05)]]))


def tucked(outfit):
    """Whether the upper garment ends at the waist, under skirt or trousers."""
    return outfit.garment in ("shirt", "dress", "kimono", "overalls", "tee")


def draw_torso(canvas, outfit, *, line=0.032):
    """Cloth of the torso with its pattern and folds: see `draw_cut` for the rest."""
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


def draw_cut(canvas, outfit, *, line=0.032):
    """Collar, buttons and whatever else makes the garment what it is."""
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
