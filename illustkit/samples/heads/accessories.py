"""Things worn on the head, and the stray lock on top of it.

The frame is the head's: see `illustkit.samples.heads.faces`.
"""

import numpy as np

from illustkit.samples.canvas import Canvas
from illustkit.samples.clothes.garments import draw_bow
from illustkit.samples.clothes.patterns import draw_motif
from illustkit.samples.colours import INK, WHITE, Tones, mix
from illustkit.samples.curves import bend, ellipse, spline, star
from illustkit.samples.heads.eyes import EYE_X, EYE_Y
from illustkit.samples.heads.faces import Face

ACCESSORIES = ("none", "bow", "clips", "flower", "band", "star")


def draw_stray_lock(
    canvas: Canvas, hair: Tones, lean: float, *, line: float = 0.034
) -> None:
    """Draw a lock that stands up from the crown ("ahoge")."""
    outer = bend((-0.1, -1.46), (-0.02, -1.95), (0.42, -1.84), steps=10)
    inner = bend((0.42, -1.84), (0.12, -1.78), (0.08, -1.46), steps=10)
    lock = np.concatenate([outer, inner, [(0.06, -1.4), (-0.08, -1.4)]])
    lock = lock * (lean, 1)
    canvas.fill(lock, hair.base)
    canvas.stroke(lock[:21], hair.line, line, ends=(0.6, 0.6))


def draw_tie(
    canvas: Canvas, style: str, side: int, tones: Tones, *, line: float = 0.034
) -> None:
    """Draw what holds tails together; `hair` draws the tails."""
    places = {
        "twin tails": [(-1.02, -0.96), (1.02, -0.96)],
        "ponytail": [(0.5 * side, -1.38)],
        "side tail": [(1.06 * side, -0.38)],
    }.get(style, [])
    for x, y in places:
        bow = canvas.placed(x, y, angle=float(np.degrees(np.arctan2(x, -y))))
        draw_bow(bow, tones, 0.32, line=line)


def draw_accessory(
    canvas: Canvas, kind: str, tones: Tones, side: int, *, line: float = 0.034
) -> None:
    """Draw one of `ACCESSORIES`, worn on `side` (-1 or 1)."""
    if kind == "bow":
        bow = canvas.placed(0.72 * side, -1.08, angle=32.0 * side)
        draw_bow(bow, tones, 0.4, line=line)
    elif kind == "clips":
        for k in range(2):
            clip = canvas.placed(0.78 * side, -0.56 + 0.17 * k, angle=-24.0 * side)
            bar = ellipse(0, 0, 0.17, 0.05, count=18)
            clip.shape(bar, tones.base, tones.line, 0.8 * line)
    elif kind in ("flower", "star"):
        spot = canvas.placed(0.76 * side, -0.74, angle=12.0 * side)
        if kind == "star":
            spot.shape(star(0, 0, 0.24), tones.base, tones.line, line)
        else:
            back = tones._replace(base=tones.line)
            draw_motif(spot, "flower", 0, 0, 0.285, back)
            draw_motif(spot, "flower", 0, 0, 0.25, tones)
    elif kind == "band":
        over = ellipse(0, -0.24, 1.19, 1.16, start=188, stop=352, count=36)
        under = ellipse(0, -0.24, 1.19, 1.02, start=352, stop=188, count=36)
        canvas.shape(np.concatenate([over, under]), tones.base, tones.line, line)
        glint = ellipse(0, -0.24, 1.17, 1.1, start=225, stop=260, count=12)
        canvas.stroke(glint, tones.light, 0.05)


def draw_glasses(
    canvas: Canvas, face: Face, tones: Tones, *, line: float = 0.034
) -> None:
    """Draw round spectacles."""
    x = 0.1 * face.yaw
    for side in (-1, 1):
        rim = ellipse(EYE_X * side + x, EYE_Y + 0.05, 0.37, 0.34, count=36)
        canvas.outline(rim, tones.line, 1.5 * line)
        glint = np.array([(-0.22, -0.12), (-0.14, -0.2)]) + (EYE_X * side + x, EYE_Y)
        canvas.stroke(glint, WHITE, 0.03)
        arm = np.array([(0.83 * side + x, 0.14), (1.0 * side + 0.3 * x, 0.06)])
        canvas.stroke(arm, tones.line, 1.3 * line, ends=(1, 1))
    bridge = bend((x - 0.11, 0.2), (x, 0.14), (x + 0.11, 0.2), steps=6)
    canvas.stroke(bridge, tones.line, 1.3 * line, ends=(1, 1))


def draw_mark(canvas: Canvas, kind: str, side: int, *, line: float = 0.034) -> None:
    """Draw a sign of a mood beside a head: "heart", "note", "drop" or "spark"."""
    spot = canvas.placed(1.32 * side, -1.1)
    if kind == "drop":
        right = bend((0, -0.28), (0.22, 0.06), (0, 0.16), steps=8)
        drop = np.concatenate([right, [(0, 0.16)], (right * (-1, 1))[::-1]])
        spot.shape(drop, (150, 212, 250), (54, 96, 150), line)
        spot.dot(-0.04, 0.03, 0.03, WHITE)
    elif kind == "heart":
        draw_motif(spot, "heart", 0, 0, 0.24, _flat((126, 34, 60)))
        draw_motif(spot, "heart", 0, 0, 0.2, _flat((250, 110, 140)))
    elif kind == "note":
        spot.fill(ellipse(-0.08, 0.12, 0.12, 0.09, angle=-20), INK)
        spot.stroke(np.array([(0.02, 0.1), (0.02, -0.26)]), INK, 0.05, ends=(1, 1))
        flag = bend((0.02, -0.26), (0.14, -0.16), (0.2, 0.0), steps=6)
        spot.stroke(flag, INK, 0.07, ends=(1, 0.2), swell=0.1)
    elif kind == "spark":
        for x, y, size in ((0, 0, 0.26), (0.2, -0.26, 0.14)):
            spot.shape(
                star(x, y, size, points=4, inner=0.32),
                (255, 222, 110),
                (150, 104, 40),
                0.7 * line,
            )


def _flat(colour):
    """Tones of an object of a single colour."""
    return Tones(colour, colour, colour, colour)


def draw_hat(
    canvas: Canvas, kind: str, tones: Tones, band: Tones, *, line: float = 0.034
) -> None:
    """Draw a hat over the hair: one of `poses.HATS`.

    Args:
        canvas: Sheet in the head's frame.
        kind: "cap", "beanie", "brim" (a sun hat), "hood" or "ears" (a band with ears).
        tones: Of the hat.
        band: Of its ribbon or lining.
        line: Width of outlines.
    """
    if kind == "ears":
        for side in (-1, 1):
            for size, tone in ((1.0, tones), (0.55, band)):
                ear = np.array([(0.3, -1.3), (0.82, -1.98), (1.0, -0.95)])
                ear = ear.mean(axis=0) + size * (ear - ear.mean(axis=0))
                ear = spline(ear * (side, 1), closed=True, steps=6)
                canvas.shape(ear, tone.base, tone.line, line)
        return
    if kind == "hood":
        outer = ellipse(0, -0.2, 1.38, 1.48, start=140, stop=400, count=60)
        inner = ellipse(0, -0.12, 1.1, 1.05, start=400, stop=140, count=60)
        hood = np.concatenate([outer, inner])
        with canvas.inside(hood) as part:
            part.wash([(-1.6, tones.base), (0.8, mix(tones.base, tones.dark, 0.7))])
            part.stroke(inner, tones.dark, 0.16, ends=(1, 1))
        canvas.outline(hood, tones.line, line)
        return
    high = {"cap": 1.42, "beanie": 1.55, "brim": 1.36}[kind]
    dome = ellipse(0, -0.52, 1.22, high - 0.4, start=180, stop=360, count=48)
    rim = bend((1.22, -0.52), (0, -0.86), (-1.22, -0.52), steps=12)
    crown = np.concatenate([dome, rim])
    with canvas.inside(crown) as part:
        part.wash([(-1.5, mix(tones.base, tones.light, 0.3)), (-0.6, tones.base)])
        shade = ellipse(0.1, -0.4, 1.22, high - 0.4, start=-75, stop=10, count=24)
        part.fill(np.concatenate([shade, [(0.6, -0.5)]]), tones.dark)
        if kind == "beanie":
            for x in np.linspace(-0.9, 0.9, 7):
                rib = bend((x, -0.6), (0.8 * x, -1.2), (0.3 * x, -1.6), steps=6)
                part.stroke(rib, tones.dark, 0.03)
        elif kind == "cap":
            for x in (-0.55, 0.5):
                seam = bend((x, -0.6), (0.9 * x, -1.3), (0, -1.5), steps=6)
                part.stroke(seam, tones.line, 0.02)
    canvas.outline(crown, tones.line, line)
    wide, drop = {"cap": (0.86, 0.1), "beanie": (1.24, 0.0), "brim": (1.85, 0.16)}[kind]
    upper = bend((-wide, -0.5), (0, -0.92), (wide, -0.5), steps=14)
    low = bend((wide, -0.5 + drop), (0, -0.58), (-wide, -0.5 + drop), steps=14)
    if kind == "beanie":
        low = bend((wide, -0.3), (0, -0.6), (-wide, -0.3), steps=14)
        canvas.shape(ellipse(0, -1.7, 0.25, 0.23), band.base, band.line, line)
    shape = np.concatenate([upper, [(wide, -0.5)], low, [(-wide, -0.5 + drop)]])
    canvas.shape(shape, band.base if kind == "beanie" else tones.base, tones.line, line)
    if kind == "brim":
        sash = upper * (1.2 / wide, 1) + (0, -0.04)
        canvas.stroke(sash, band.base, 0.16, ends=(1, 1))


def draw_veil(canvas: Canvas, hair: Tones, side: int, *, line: float = 0.034) -> None:
    """Draw a heavy lock of the fringe that hides the eye on `side` (-1 or 1)."""
    outer = spline([(0.05, -1.05), (0.7, -0.7), (0.92, -0.1), (0.72, 0.66)])
    inner = spline([(0.72, 0.66), (0.5, 0.4), (0.22, -0.1), (0.02, -0.7)])
    lock = np.concatenate([outer, inner]) * (side, 1)
    stops = [(-1.0, hair.base), (0.0, mix(hair.base, hair.light, 0.2))]
    with canvas.inside(lock) as part:
        part.wash([*stops, (0.6, mix(hair.base, hair.dark, 0.5))])
        for x in (0.35, 0.55):
            strand = spline([(0.5 * x, -0.8), (1.1 * x, -0.2), (1.15 * x, 0.35)])
            part.stroke(strand * (side, 1), hair.dark, 0.03)
    canvas.outline(lock, hair.line, line, sharp=True)
