"""Things worn on the head, and the stray lock on top of it.

The frame is the head's: see `illustkit.samples.faces`.
"""

import numpy as np

from illustkit.samples.canvas import Canvas
from illustkit.samples.colours import INK, WHITE, Tones
from illustkit.samples.curves import bend, ellipse, star
from illustkit.samples.eyes import EYE_X, EYE_Y
from illustkit.samples.faces import Face
from illustkit.samples.garments import draw_bow
from illustkit.samples.patterns import draw_motif

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
