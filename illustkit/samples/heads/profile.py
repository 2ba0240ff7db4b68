"""The face of a head in profile that looks to the right.

The frame is the head's: see `illustkit.samples.heads.faces`.
"""

import numpy as np

from illustkit.samples.canvas import Canvas
from illustkit.samples.colours import INK, WHITE, mix, shade
from illustkit.samples.curves import ellipse, spline
from illustkit.samples.heads.faces import EXPRESSIONS, Face


def profile_outline(face: Face) -> np.ndarray:
    """Return the closed outline of the head without hair."""
    j = 0.05 * face.jaw
    front = [(0.0, -1.2), (0.5, -1.08), (0.8, -0.75), (0.9, -0.35), (0.9, -0.08)]
    front += [(0.87, 0.12), (0.95, 0.3), (1.05, 0.41), (1.03, 0.47), (0.95, 0.51)]
    front += [(0.96, 0.57), (0.94, 0.63), (0.95, 0.7), (0.89, 0.78), (0.9, 0.9)]
    jaw = [(0.84, 1.03), (0.66, 1.05), (0.25, 0.88 + j), (-0.12, 0.66 + j)]
    back = [(-0.25, 0.4), (-0.7, 0.2), (-0.9, -0.4), (-0.5, -1.05)]
    return spline(front + jaw + back, closed=True, steps=6)


def profile_extent(face: Face) -> np.ndarray:
    """Return the rim of the skin that is seen: from the ear to the nose."""
    rim = profile_outline(face)
    return np.clip(rim, (-0.05, -0.62), (2.0, 2.0))[rim[:, 0] > -0.05]


def draw_profile(canvas: Canvas, face: Face, *, shadow: np.ndarray) -> None:
    """Draw the skin, its shading and the features.

    Args:
        canvas: Sheet in the head's frame.
        face: What to draw.
        shadow: Outline of the fringe, whose shadow falls on the forehead.
    """
    _, state, mood, mouth, blush = EXPRESSIONS[face.expression]
    state, mouth = face.states[1] or state, face.mouth or mouth
    outline = profile_outline(face)
    with canvas.inside(outline) as skin:
        skin.wash([(-0.3, face.skin.base), (0.9, mix(*face.skin[1::-1], 0.5))])
        jaw = spline([(-0.9, 0.2), (-0.1, 0.5), (0.35, 0.78), (0.86, 1.02)])
        jaw = np.concatenate([jaw, [(0.8, 1.3), (-0.9, 1.3)]])
        skin.fill(jaw, mix(*face.skin[1:3], 0.5))
        skin.fill(shadow + (0.0, 0.1), mix(*face.skin[1:3], 0.75))
        pink = mix(face.skin.base, (246, 84, 96), 0.5)
        warm = min(1.0, max(0.0, blush + face.blush))
        skin.glow(0.5, 0.53, 0.3, 0.18, pink, 0.25 + 0.6 * warm)
    canvas.outline(outline, face.skin.line, face.line)
    ear = [(-0.2, -0.02), (0.02, -0.06), (0.08, 0.12), (0.0, 0.36), (-0.16, 0.4)]
    canvas.shape(
        spline(ear, closed=True, steps=5), face.skin.base, face.skin.line, face.line
    )
    _draw_mouth(canvas, face, mouth)
    _draw_eye(canvas.placed(0.62, 0.16, scale=face.eye_scale), face, state)


def draw_profile_brow(canvas: Canvas, face: Face) -> None:
    """Draw the brow, which shows through the fringe."""
    mood = EXPRESSIONS[face.expression][2]
    inner, outer = {"angry": (-0.18, -0.36), "sad": (-0.38, -0.24)}.get(
        mood, (-0.32, -0.34)
    )
    curve = spline([(0.82, inner), (0.66, -0.38), (0.42, outer)])
    canvas.stroke(curve, face.brow, 0.045, ends=(0.7, 0.15), swell=0.3)


def _draw_eye(canvas, face, state):
    """Draw the eye at the origin, its front to the right."""
    canvas, line, tall = canvas.flat(), face.lash, face.eye_tall
    if state in ("closed", "shut"):
        arch = -0.13 if state == "closed" else 0.12
        curve = spline([(0.14, 0.06), (0.03, 0.06 + arch), (-0.24, 0.04)])
        canvas.stroke(curve, line, 0.07, ends=(0.4, 0.4), swell=0.5)
        return
    top = 0.35 if state == "half" else 1.0
    lid = spline([(0.16, -0.14 * top), (0.05, -0.26 * top), (-0.24, -0.04)])
    lid *= (1, tall)
    rim = spline([(-0.22, 0.1), (-0.06, 0.27), (0.1, 0.26), (0.17, 0.06)]) * (1, tall)
    with canvas.inside(np.concatenate([lid, rim])) as ball:
        ball.wash([(-0.28, (214, 210, 226)), (-0.05, (252, 250, 252))])
        x, rx, ry = 0.06, 0.11 * face.iris_size, 0.27 * face.iris_size * tall
        ball.fill(ellipse(x, 0.03, rx, ry), face.iris.line)
        bright = mix(face.iris.base, WHITE, 0.5)
        stops = [(-0.2, shade(face.iris.base, 0.52)), (0.03, face.iris.base)]
        ball.graded(ellipse(x, 0.04, 0.85 * rx, 0.9 * ry), [*stops, (0.27, bright)])
        ball.fill(ellipse(x + 0.01, 0.03, 0.45 * rx, 0.45 * ry), mix(line, INK, 0.5))
        ball.fill(
            np.concatenate([lid + (0, -0.03), (lid + (0, 0.05))[::-1]]),
            mix(face.iris.line, INK, 0.4),
        )
        if face.shine != "none":
            ball.fill(ellipse(x - 0.01, -0.09, 0.045, 0.08, count=16), WHITE)
    wing = np.concatenate([lid, [(-0.34, -0.02)]])
    canvas.stroke(wing, line, 0.1, ends=(0.3, 0.12), swell=0.35)
    if face.lashes:
        lash = spline([(0.15, -0.16), (0.23, -0.2), (0.29, -0.28)]) * (1, tall)
        canvas.stroke(lash, line, 0.05, ends=(1, 0.1), swell=0.1)
    canvas.stroke(rim[:9], line, 0.03, ends=(0.7, 0.1), swell=0.3)


def _draw_mouth(canvas, face, kind):
    line = mix(face.skin.line, INK, 0.35)
    if kind in ("open", "grin", "shout", "round", "teeth"):
        deep = {"open": 0.2, "shout": 0.28}.get(kind, 0.13)
        outline = [(0.97, 0.6), (0.8, 0.6), (0.66, 0.57), (0.76, 0.62 + 0.7 * deep)]
        outline = spline([*outline, (0.93, 0.63 + deep)], closed=True, steps=4)
        canvas.shape(outline, WHITE if kind == "teeth" else (168, 62, 72), line, 0.026)
        return
    drop = {"frown": 0.06, "sad": 0.05, "pout": 0.03}.get(kind, -0.03)
    curve = spline([(0.96, 0.635), (0.84, 0.645), (0.72, 0.64 + drop)])
    canvas.stroke(curve, line, 0.034, ends=(0.6, 0.4))
