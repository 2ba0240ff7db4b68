"""The face: its outline, shading, features and expressions.

The frame of a head has its origin at the middle of the skull, the cheeks at
x = -1 and 1, the chin at y = 1.05 and the crown near y = -1.45 (y down).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from illustkit.samples.canvas import Canvas
from illustkit.samples.colours import INK, WHITE, Colour, Tones, mix
from illustkit.samples.curves import ellipse, mirror, spline, symmetric
from illustkit.samples.heads.eyes import EYE_X, EYE_Y, draw_brow, draw_eye

# Expression: state of the eyes (left, right), brows, mouth, blush 0..1.
EXPRESSIONS = {
    "smile": ("open", "open", "soft", "smile", 0.6),
    "joy": ("open", "open", "raised", "open", 0.8),
    "laugh": ("closed", "closed", "raised", "open", 0.9),
    "calm": ("open", "open", "flat", "flat", 0.35),
    "surprise": ("wide", "wide", "raised", "round", 0.4),
    "pout": ("open", "open", "angry", "pout", 0.8),
    "sad": ("open", "open", "sad", "frown", 0.4),
    "wink": ("open", "closed", "raised", "grin", 0.7),
    "smug": ("half", "half", "flat", "cat", 0.5),
    "shy": ("open", "open", "sad", "wave", 1.0),
    "dreamy": ("shut", "shut", "soft", "smile", 0.7),
    "eager": ("open", "open", "angry", "grin", 0.6),
}


@dataclass(frozen=True)
class Face:
    """Says how a face looks; `yaw` and `gaze` run from -1 (left) to 1 (right).

    Args:
        turn: How far the head is turned aside beyond `yaw`, -1 to 1: see `poses`.
        states: States of the eyes (left, right); "" takes those of the expression.
        mouth: Kind of mouth; "" takes that of the expression.
        eye_wide: Factor on the width of the eyes; `eye_tall` on their height.
        iris_size: Factor on the size of the iris.
        shine: Highlights: "one", "two", "low", "none".
        nose: "hook", "dot", "shade", "bridge" or "none".
        blush: Added to the blush of the expression, -1 to 1.
    """

    skin: Tones
    iris: Tones
    brow: Colour
    lash: Colour = INK
    expression: str = "smile"
    slant: float = 0.0
    eye_scale: float = 1.0
    jaw: float = 0.0
    yaw: float = 0.0
    gaze: float = 0.0
    lashes: bool = True
    pupil: str = "round"
    line: float = 0.032
    turn: float = 0.0
    states: tuple[str, str] = ("", "")
    mouth: str = ""
    eye_wide: float = 1.0
    eye_tall: float = 1.0
    iris_size: float = 1.0
    shine: str = "one"
    nose: str = "hook"
    blush: float = 0.0


def face_outline(face: Face) -> np.ndarray:
    """Return the closed outline of the head without hair, chin at the bottom."""
    j = face.jaw
    half = [(0.0, -1.15), (0.55, -1.03), (0.92, -0.6), (0.98, -0.1), (0.96, 0.2)]
    half += [(0.88 + 0.03 * j, 0.5), (0.68 + 0.06 * j, 0.76), (0.36 + 0.08 * j, 0.96)]
    right = np.array(half + [(0.09 + 0.05 * j, 1.05)])
    left = mirror(right)[:0:-1]
    points = np.concatenate([right, left])
    # A head turned aside shows more of one cheek, and its chin moves over.
    low = np.clip((points[:, 1] + 0.3) / 1.35, 0, 1)
    points[:, 0] += 0.07 * face.yaw * low
    if face.turn:  # the far eye lies in a hollow, the far cheek stands out
        far = np.clip(points[:, 0] * np.sign(face.turn) - 0.6, 0, 0.3) / 0.3
        hollow = np.exp(-(((points[:, 1] - 0.02) / 0.22) ** 2))
        cheek = np.exp(-(((points[:, 1] - 0.42) / 0.25) ** 2))
        points[:, 0] += face.turn * far * (0.05 * cheek - 0.09 * hollow)
    return spline(points, closed=True, steps=8)


def face_extent(face: Face) -> np.ndarray:
    """Return the corners of the tight box: cheeks, fringe line and chin."""
    x = 0.07 * face.yaw
    return np.array(
        [(-0.97, -0.75), (0.97, -0.75), (0.97 + x, 1.05), (-0.97 + x, 1.05)]
    )


def draw_ears(canvas: Canvas, face: Face) -> None:
    """Draw the ears, behind the face."""
    for side in (-1, 1):
        if face.turn * side > 0.25:  # hidden by the face
            continue
        x = -0.05 * face.yaw
        ear = [(0.9, 0.0), (1.06, -0.02), (1.12, 0.16), (1.05, 0.4), (0.9, 0.46)]
        points = spline(np.array(ear) * (side, 1) + (x, 0), closed=True, steps=5)
        canvas.shape(points, face.skin.base, face.skin.line, face.line)
        fold = spline(np.array([(1.0, 0.08), (1.05, 0.18), (0.98, 0.3)]) * (side, 1))
        canvas.stroke(fold + (x, 0), face.skin.dark, 0.03)


def draw_face(canvas: Canvas, face: Face, *, shadow: ArrayLike | None = None) -> None:
    """Draw the skin, its shading, and the features.

    Args:
        canvas: Sheet in the head's frame.
        face: What to draw.
        shadow: Outline whose shadow falls on the forehead, such as the fringe.
    """
    left, right, _, mouth, blush = EXPRESSIONS[face.expression]
    left, right = face.states[0] or left, face.states[1] or right
    mouth, blush = face.mouth or mouth, min(1.0, max(0.0, blush + face.blush))
    outline = face_outline(face)
    with canvas.inside(outline) as skin:
        skin.wash([(-0.3, face.skin.base), (0.9, mix(*face.skin[1::-1], 0.5))])
        rim = spline([(0.8, -0.4), (0.84, 0.2), (0.72, 0.55), (0.4, 0.86), (0.1, 1.08)])
        rim = np.concatenate([rim, [(1.3, 1.1), (1.3, -0.4)]])
        skin.fill(rim + (0.07 * face.yaw, 0), mix(*face.skin[1:3], 0.45))
        if shadow is not None:
            skin.fill(np.asarray(shadow) + (0.02, 0.1), mix(*face.skin[1:3], 0.75))
        pink = mix(face.skin.base, (246, 84, 96), 0.5)
        for side in (-1, 1):
            x = 0.6 * side + 0.1 * face.yaw
            skin.glow(x, 0.53, 0.3, 0.19, pink, 0.25 + 0.6 * blush)
            if blush >= 0.8:
                for k in range(3):
                    start = np.array((x + 0.09 * (k - 1), 0.49))
                    hatch = np.array([start + (0.03, 0), start + (-0.03, 0.09)])
                    skin.stroke(hatch, mix(pink, (226, 70, 84), 0.6), 0.022)
    canvas.outline(outline, face.skin.line, face.line)
    _draw_nose(canvas, face)
    draw_mouth(canvas.placed(0.13 * face.yaw, 0.74), face, mouth)
    for side, state in ((-1, left), (1, right)):
        far = 1 - 0.1 * max(0.0, face.yaw * side)
        eye = canvas.placed(
            EYE_X * side * far + 0.1 * face.yaw, EYE_Y, scale=face.eye_scale
        )
        draw_eye(eye, side, face, state)


def draw_brows(canvas: Canvas, face: Face) -> None:
    """Draw the brows, which show through the fringe."""
    mood = EXPRESSIONS[face.expression][2]
    for side in (-1, 1):
        draw_brow(canvas, side, face, mood)


def _draw_nose(canvas, face):
    x = 0.15 * face.yaw
    if face.nose == "none":
        return
    if face.nose == "dot":
        canvas.dot(x, 0.5, 0.024, mix(face.skin.dark, face.skin.line, 0.5))
        return
    if face.nose == "shade":
        side = 1 if face.yaw + face.turn >= 0 else -1
        wedge = np.array([(-0.05, 0.5), (0.05, 0.3), (0.06, 0.52), (0.0, 0.55)])
        canvas.fill(
            wedge * (-side, 1) + (x, 0), mix(face.skin.base, face.skin.dark, 0.8)
        )
        return
    if face.nose == "bridge":
        side = 1 if face.yaw + face.turn >= 0 else -1
        bridge = [(0.03, 0.18), (0.05, 0.36), (0.1, 0.5), (0.0, 0.55)]
        bridge = spline(np.array(bridge) * (side, 1)) + (x, 0)
        canvas.stroke(bridge, face.skin.line, 0.028, ends=(0.0, 0.5), swell=0.8)
        return
    nose = np.array([(-0.02, 0.47), (0.025, 0.52), (-0.015, 0.545)])
    canvas.stroke(nose + (x, 0), face.skin.line, 0.028, ends=(0.2, 0.5), swell=0.6)


def draw_mouth(canvas: Canvas, face: Face, kind: str) -> None:
    """Draw a mouth at the origin of the frame."""
    canvas, line = canvas.flat(), mix(face.skin.line, INK, 0.35)
    inside = (168, 62, 72)
    if kind in ("open", "grin", "shout"):
        deep = {"open": 0.25, "grin": 0.16}.get(kind, 0.34)
        lip = spline([(-0.2, -0.05), (0.0, -0.015), (0.2, -0.05)])
        jaw = spline([(0.2, -0.05), (0.13, 0.65 * deep), (0.0, deep - 0.03)])[1:]
        jaw = np.concatenate([jaw, mirror(jaw)[::-1]])
        shape = np.concatenate([lip, jaw])
        with canvas.inside(shape) as hollow:
            hollow.wash([(0, inside)])
            hollow.fill(ellipse(0, deep, 0.13, 0.1, count=24), (240, 130, 130))
            hollow.fill(lip + (0, -0.02), WHITE)
            teeth = np.concatenate([lip, (lip + (0, 0.045))[::-1]])
            hollow.fill(teeth, WHITE)
        canvas.outline(shape, line, 0.028)
        corner = spline([(-0.225, -0.06), (0.0, -0.02), (0.225, -0.06)])
        canvas.stroke(corner, line, 0.034, ends=(0.5, 0.5))
        return
    if kind == "round":
        canvas.shape(ellipse(0, 0.05, 0.075, 0.1, count=24), inside, line, 0.03)
        with canvas.inside(ellipse(0, 0.05, 0.065, 0.09, count=24)) as hollow:
            hollow.dot(0, 0.14, 0.06, (240, 130, 130))
        return
    if kind == "teeth":
        shape = spline(
            [(-0.2, -0.04), (0, 0.0), (0.2, -0.04), (0.13, 0.1), (-0.13, 0.1)]
        )
        canvas.shape(shape, WHITE, line, 0.03)
        canvas.stroke(np.array([(-0.16, 0.035), (0.16, 0.035)]), line, 0.018)
        return
    if kind == "small":
        canvas.fill(ellipse(0, 0.03, 0.06, 0.04, count=16), mix(inside, line, 0.3))
        return
    if kind == "lips":
        upper = [
            (-0.14, 0.02),
            (-0.04, -0.03),
            (0.0, -0.015),
            (0.04, -0.03),
            (0.14, 0.02),
        ]
        lower = [(0.08, 0.07), (0.0, 0.085), (-0.08, 0.07)]
        lips = spline([*upper, *lower], closed=True, steps=5)
        canvas.fill(lips, mix(face.skin.base, (206, 66, 78), 0.6))
        canvas.stroke(spline([upper[0], (0, 0.025), upper[-1]]), line, 0.022)
        return
    curves = {
        "tilted": [(-0.14, 0.06), (-0.02, 0.03), (0.15, -0.04)],
        "smile": [(-0.17, -0.02), (-0.08, 0.045), (0.08, 0.045), (0.17, -0.02)],
        "flat": [(-0.1, 0.02), (0.0, 0.03), (0.1, 0.02)],
        "pout": [(-0.1, 0.06), (-0.03, 0.0), (0.03, 0.0), (0.1, 0.06)],
        "frown": [(-0.13, 0.07), (0.0, 0.01), (0.13, 0.07)],
        "wave": [(-0.16, 0.03), (-0.08, 0.0), (0.0, 0.04), (0.08, 0.0), (0.16, 0.04)],
        "cat": [(-0.18, -0.02), (-0.09, 0.06), (0.0, 0.0), (0.09, 0.06), (0.18, -0.02)],
    }
    canvas.stroke(spline(curves[kind]), line, 0.036, ends=(0.4, 0.4))
    if kind in ("smile", "flat"):
        lip = np.array([(-0.04, 0.125), (0.04, 0.125)])
        canvas.stroke(lip, face.skin.dark, 0.022)


def draw_neck(
    canvas: Canvas, skin: Tones, width: float, *, line: float = 0.032
) -> None:
    """Draw the neck, shaded by the chin; the origin of the frame is under the chin."""
    half = [(width, -0.5), (width, 0.1), (width + 0.06, 0.3), (0.5, 0.46)]
    neck = symmetric(spline(half + [(0.46, 0.8)]))
    canvas.shape(neck, skin.base, skin.line, line)
    with canvas.inside(neck) as part:
        part.fill(ellipse(0.05, -0.22, 0.75, 0.42), skin.dark)
