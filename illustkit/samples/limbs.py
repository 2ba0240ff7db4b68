"""Arms, sleeves and hands.

The frame is the body's: origin under the chin, shoulders near y = 0.6, the waist
at y = 2, hips at y = 2.7, soles near y = 5.5 (y down), one unit as in the head.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from illustkit.samples.canvas import Canvas
from illustkit.samples.clothes.outfits import Outfit
from illustkit.samples.clothes.patterns import box_outline, draw_pattern
from illustkit.samples.colours import Tones, mix
from illustkit.samples.curves import ellipse, spline, symmetric, tube

# Arms that are drawn at random; "raised" is that of a hand before the face.
# Elbow and wrist of an arm on the right, the hand, and whether it goes behind.
ARMS = {
    "down": ((1.2, 1.72), (1.28, 2.6), "relaxed", False),
    "away": ((1.42, 1.6), (1.85, 2.35), "relaxed", False),
    "hip": ((1.72, 1.55), (0.98, 2.2), "fist", False),
    "wave": ((1.55, 1.5), (1.78, 0.55), "open", False),
    "peace": ((1.5, 1.55), (1.55, 0.6), "peace", False),
    "chest": ((1.25, 1.75), (0.42, 1.42), "relaxed", False),
    "clasp": ((1.24, 1.8), (0.22, 2.45), "fist", False),
    "behind": ((1.3, 1.7), (0.75, 2.4), "fist", True),
}


_FORMS = {**ARMS, "raised": ((1.25, 1.75), (0.42, 1.42), "relaxed", False)}


def arm_is_behind(pose: str) -> bool:
    """Return whether the arm is drawn before the torso."""
    return _FORMS[pose][3]


def _form(outfit):
    """Radii of a sleeve at shoulder, mid upper arm, elbow, mid forearm, wrist."""
    return {
        "wide": (0.28, 0.31, 0.35, 0.47, 0.58),
        "loose": (0.28, 0.28, 0.27, 0.31, 0.26),
        "long": (0.28, 0.25, 0.23, 0.24, 0.2),
    }.get(outfit.sleeves, (0.23, 0.2, 0.18, 0.17, 0.13))


def draw_upper_arm(
    canvas: Canvas,
    side: int,
    pose: str,
    outfit: Outfit,
    skin: Tones,
    *,
    line: float = 0.032,
) -> None:
    """Draw the upper arm; `side` is 1 for the right of the picture, or -1."""
    canvas = canvas if side > 0 else canvas.placed(flip=True)
    shoulder, elbow = np.array((0.7, 0.81)), np.array(_FORMS[pose][0])
    upper = _Part(shoulder, elbow, _form(outfit)[:3], closed=True)
    if outfit.sleeves not in ("short", "puff"):
        _draw_part(canvas, upper, outfit.cloth, line, outfit)
        return
    _draw_part(canvas, upper, skin, line)
    end = shoulder + 0.62 * (elbow - shoulder) + (0.03, 0)
    form = (0.28, 0.48, 0.27) if outfit.sleeves == "puff" else (0.28, 0.31, 0.34)
    sleeve = _Part(shoulder, end, form)
    _draw_part(canvas, sleeve, outfit.cloth, line, outfit)
    if outfit.cuffs:
        _cuff(canvas, sleeve, outfit.trim, line)


def draw_forearm(
    canvas: Canvas,
    side: int,
    pose: str,
    outfit: Outfit,
    skin: Tones,
    *,
    line: float = 0.032,
) -> None:
    """Draw the arm from the elbow to the hand, over the upper arm."""
    canvas = canvas if side > 0 else canvas.placed(flip=True)
    elbow, wrist = (np.array(p) for p in ARMS[pose][:2])
    way = (wrist - elbow) / np.hypot(*(wrist - elbow))
    angle = np.degrees(np.arctan2(way[1], way[0])) - 90
    hand = canvas.placed(*(wrist - 0.06 * way), angle=angle)
    part = _Part(elbow, wrist, _form(outfit)[2:])
    bare = outfit.sleeves in ("short", "puff")
    draw_hand(hand, ARMS[pose][2], skin, line=line)
    if bare:
        _draw_part(canvas, part, skin, line, joined=True)
    else:
        _draw_part(canvas, part, outfit.cloth, line, outfit, joined=True)
        if outfit.cuffs:
            _cuff(canvas, part, outfit.trim, line)
    # The crook of the elbow.
    ink = skin.line if bare else outfit.cloth.line
    across = part.outer[0] - part.inner[0]
    root = part.inner[2]
    for reach, drop in ((0.45, -0.06), (0.3, 0.1)):
        away = drop * (part.stop - part.start)
        middle = root + 0.5 * reach * across + 0.2 * away
        fold = spline([root, middle, root + reach * across + away])
        canvas.stroke(fold, ink, 0.024, ends=(1, 0.1), swell=0.1)


class _Part:
    """Outlines a straight piece of a limb: round at its start, flat or closed."""

    def __init__(
        self,
        start: ArrayLike,
        stop: ArrayLike,
        radii: Sequence[float],
        *,
        closed: bool = False,
    ) -> None:
        self.start, self.stop = np.asarray(start, float), np.asarray(stop, float)
        way = (self.stop - self.start) / np.hypot(*(self.stop - self.start))
        # Towards the outer side of an arm that hangs down.
        self.across = np.array((way[1], -way[0]))
        form = spline([(0.0, radii[0]), (0.5, radii[1]), (1.0, radii[2])], steps=10)
        middle = self.start + form[:, :1] * (self.stop - self.start)
        self.outer = middle + form[:, 1:] * self.across
        self.inner = middle - form[:, 1:] * self.across
        turn = np.degrees(np.arctan2(self.across[1], self.across[0]))
        x, y = self.start
        self.cap = ellipse(x, y, radii[0], start=-180, stop=0, count=18, angle=turn)
        self.end = np.empty((0, 2))
        if closed:
            x, y = self.stop
            self.end = ellipse(x, y, radii[2], start=0, stop=180, count=18, angle=turn)

    @property
    def outline(self) -> np.ndarray:
        return np.concatenate([self.cap, self.outer, self.end, self.inner[::-1]])


def _draw_part(canvas, part, tones, line, outfit=None, *, joined=False):
    """A part open at its start, where it meets the torso or another part.

    Args:
        canvas: Sheet in the body's frame.
        part: A `_Part`.
        tones: Of the skin or the cloth.
        line: Width of outlines.
        outfit: Whose pattern covers the part; `None` leaves it plain.
        joined: The part continues another one of the same width.
    """
    rim = [part.outer, part.end, part.inner[:3:-1]]
    if not joined:
        rim = [part.cap[9:], part.outer, part.end, part.inner[6:][::-1]]
    canvas.stroke(np.concatenate(rim), tones.line, 2.3 * line, ends=(0.6, 0.6))
    outline = part.outline
    low, high = outline.min(axis=0), outline.max(axis=0)
    with canvas.inside(outline) as inner:
        inner.wash([(0, tones.base)])
        if outfit is not None:
            extent = (*low, *high)
            draw_pattern(inner, outfit.pattern, tones, outfit.accent, extent)
        depth = np.sin(np.linspace(0.2 if joined else 0, 2.6, len(part.inner)))
        edge = 0.33 * depth[:, None] * (part.outer - part.inner)
        inner.shadow(np.concatenate([part.inner, (part.inner + edge)[::-1]]), 0.17)
    if not len(part.end):
        hem = np.array([part.outer[-1], part.inner[-1]])
        canvas.stroke(hem, tones.line, line, ends=(1, 1))


def _cuff(canvas, part, tones, line):
    cuff = np.concatenate([part.outer[-4:], part.inner[-4:][::-1]])
    canvas.shape(cuff, tones.base, tones.line, line)


def draw_hand(canvas: Canvas, kind: str, skin: Tones, *, line: float = 0.032) -> None:
    """Draw a hand at the origin of the frame, fingers towards positive y."""
    palm = spline(
        [
            (-0.13, -0.08),
            (-0.16, 0.14),
            (-0.1, 0.3),
            (0.1, 0.3),
            (0.16, 0.14),
            (0.13, -0.08),
        ],
        closed=True,
        steps=5,
    )
    thumb = tube([(0.1, 0.06), (0.2, 0.18), (0.19, 0.33)], [0.06, 0.065, 0.04], steps=5)
    if kind == "fist":
        parts = [ellipse(0, 0.14, 0.18, 0.18, count=20)]
    elif kind == "open":
        parts = [palm, _finger(0.16, 0.1, 0.36, 0.22)]
        parts += [
            _finger(x, 0.24, x + 1.3 * x, 0.24 + 0.3 - 0.5 * abs(x))
            for x in (-0.12, -0.04, 0.04, 0.11)
        ]
    elif kind == "peace":
        parts = [ellipse(0, 0.14, 0.17, 0.17, count=20)]
        parts += [_finger(-0.06, 0.24, -0.17, 0.58), _finger(0.06, 0.24, 0.12, 0.6)]
    else:
        fingers = symmetric(spline([(0.12, 0.2), (0.13, 0.36), (0.05, 0.48)], steps=5))
        parts = [palm, fingers, thumb]
    # Lines under all fills, so that only the rim of the whole stays.
    for part in parts:
        canvas.outline(part, skin.line, 2 * line)
    for part in parts:
        canvas.fill(part, skin.base)
    if kind in ("fist", "peace"):
        for x in (-0.07, 0.0, 0.07):
            finger = np.array([(x, 0.2), (x, 0.3)])
            canvas.stroke(finger, skin.line, 0.02, ends=(0.3, 1))
    elif kind == "relaxed":
        for x in (-0.04, 0.03):
            finger = np.array([(x, 0.34), (x, 0.46)])
            canvas.stroke(finger, skin.line, 0.018, ends=(0.2, 1))


def _finger(x, y, to_x, to_y):
    middle = ((x + to_x) / 2, (y + to_y) / 2)
    return tube([(x, y), middle, (to_x, to_y)], [0.065, 0.065, 0.045], steps=5)


def draw_legs(
    canvas: Canvas, outfit: Outfit, skin: Tones, *, line: float = 0.032
) -> None:
    """Draw legs in stockings or trousers, and shoes."""
    for side in (-1, 1):
        part = canvas if side > 0 else canvas.placed(flip=True)
        spine = np.array([(0.4, 2.6), (0.43, 3.3), (0.44, 4.1), (0.42, 5.15)])
        if outfit.bottom == "trousers":
            _shoe(part, outfit, line)
            leg = tube(spine, [0.46, 0.44, 0.37, 0.34])
            _trouser_leg(part, leg, outfit, line)
            continue
        leg = tube(spine, [0.38, 0.34, 0.27, 0.17])
        part.shape(leg, skin.base, skin.line, line)
        with part.inside(leg) as inner:
            top = {"tights": 2.0, "knee socks": 4.0, "high socks": 3.6}.get(
                outfit.socks, 4.85
            )
            stops = [(3.0, mix(skin.base, skin.dark, 0.8)), (3.9, skin.base)]
            inner.wash(stops)
            sock = outfit.sock_tones
            inner.fill(box_outline(-1, top, 2, 6), sock.base)
            inner.fill(box_outline(-1, top, 2, top + 0.05), sock.line)
            inner.shadow(tube(spine - (0.2, 0), [0.14, 0.14, 0.12, 0.08]), 0.2)
        part.outline(leg, mix(skin.line, outfit.sock_tones.line, 0.6), line)
        if outfit.bottom == "shorts":
            short = tube(spine[:2] + (0, 0.05), [0.45, 0.47], steps=10)
            _trouser_leg(part, short, outfit, line)
        _shoe(part, outfit, line)


def _trouser_leg(canvas, leg, outfit, line):
    cloth = outfit.bottom_tones
    low, high = leg.min(axis=0), leg.max(axis=0)
    with canvas.inside(leg) as part:
        part.wash([(0, cloth.base)])
        draw_pattern(part, outfit.bottom_pattern, cloth, outfit.trim, (*low, *high))
        part.shadow(box_outline(-0.5, 2, 0.24, 6), 0.2)
        part.fill(box_outline(-1, high[1] - 0.12, 2, high[1] - 0.09), cloth.line)
    canvas.outline(leg, cloth.line, line)
    if high[1] > 4:
        for y in (4.0, 4.15):
            fold = spline([(0.1, y), (0.3, y + 0.08), (0.45, y + 0.03)])
            canvas.stroke(fold, cloth.line, 0.026, ends=(1, 0.1), swell=0.1)


def _shoe(canvas, outfit, line):
    shoe = outfit.shoe_tones
    sole = [(0.22, 5.1), (0.62, 5.1), (0.68, 5.36), (0.64, 5.52), (0.24, 5.52)]
    points = spline([*sole, (0.18, 5.36)], closed=True, steps=5)
    canvas.shape(points, shoe.base, shoe.line, line)
    with canvas.inside(points) as part:
        part.fill(box_outline(0, 5.44, 1, 5.6), shoe.line)
        part.fill(ellipse(0.36, 5.24, 0.1, 0.05, count=14), shoe.light)
    strap = spline([(0.22, 5.2), (0.42, 5.26), (0.64, 5.2)])
    canvas.stroke(strap, shoe.line, 0.03, ends=(1, 1))
