"""Eyes and brows. The frame is the head's: see `illustkit.samples.heads.faces`."""

from typing import Any

import numpy as np

from illustkit.samples.canvas import Canvas
from illustkit.samples.colours import INK, WHITE, mix, shade
from illustkit.samples.curves import ellipse, heart, spline, star

EYE_X, EYE_Y = 0.47, 0.17


def draw_eye(canvas: Canvas, side: int, face: Any, state: str) -> None:
    """Draw an eye at the origin of the frame; x runs outwards for its outline.

    Args:
        canvas: Sheet whose frame has its origin at the middle of the eye.
        side: -1 for the eye on the left of the picture, 1 for the right.
        face: A `Face`.
        state: "open", "wide", "half", "closed" (curved up) or "shut" (curved down).
    """
    canvas, line = canvas.flat(), face.lash
    if state in ("closed", "shut"):
        arch = -0.15 if state == "closed" else 0.12
        y = 0.1 if state == "closed" else 0.02
        points = [(-0.27, y), (-0.13, y + 0.8 * arch), (0.03, y + arch)]
        points += [(0.18, y + 0.75 * arch), (0.3, y - 0.02)]
        curve = spline(points) * (side, 1)
        canvas.stroke(curve, line, 0.075, ends=(0.35, 0.45), swell=0.55)
        if state == "shut" and face.lashes:
            for x in (0.14, 0.26):
                lash = np.array([(x, 0.1), (x + 0.09, 0.16)]) * (side, 1)
                canvas.stroke(lash, line, 0.035, ends=(1, 0.2), swell=0.2)
        return
    tall = {"wide": 1.1, "half": 1.0}.get(state, 1.0)
    top = 0.3 if state == "half" else 1.0
    slant = face.slant
    upper = np.array(
        [
            (-0.29, 0.02 + 0.3 * slant),
            (-0.2, -0.16 * top - 0.01),
            (-0.02, -0.27 * top),
            (0.17, -0.22 * top),
            (0.29, -0.02 - 0.4 * slant),
        ]
    ) * (face.eye_wide, tall * face.eye_tall)
    lower = np.array(
        [(0.25, 0.17 - 0.3 * slant), (0.1, 0.29), (-0.1, 0.29), (-0.22, 0.19)]
    ) * (face.eye_wide, tall * face.eye_tall)
    mirrored = np.array((side, 1))
    lid = spline(upper * mirrored, steps=12)
    rim = spline(lower * mirrored, steps=12)
    white = np.concatenate([lid, rim])
    with canvas.inside(white) as ball:
        ball.wash([(-0.28, (214, 210, 226)), (-0.05, (252, 250, 252))])
        _draw_iris(ball, side, face, small=state == "wide")
        # The lid throws a shadow on the eye.
        shadow = np.concatenate([lid + (0, -0.03), (lid + (0, 0.05))[::-1]])
        ball.fill(shadow, mix(face.iris.line, INK, 0.4))
        _draw_lights(ball, face)
    wing = np.array([(0.38 * face.eye_wide, -0.05 - 0.5 * slant)])
    edge = np.concatenate([upper, wing]) * mirrored
    canvas.stroke(spline(edge), line, 0.1, ends=(0.2, 0.12), swell=0.62)
    if face.lashes:
        for x, y, dx, dy in ((0.3, 0.0, 0.1, 0.03), (0.21, -0.18, 0.1, -0.1)):
            y *= top * tall * face.eye_tall
            root = np.array((x * face.eye_wide, y - 0.4 * slant * (x > 0.22)))
            lash = spline([root, root + (0.6 * dx, 0.35 * dy), root + (dx, dy)])
            canvas.stroke(lash * mirrored, line, 0.04, ends=(1, 0.1), swell=0.1)
    corner = spline(lower[[0, 1]] * mirrored)
    canvas.stroke(corner, line, 0.034, ends=(0.7, 0.1), swell=0.3)
    fold = (upper[1:4] * (0.85, 1) + (0.03, -0.095)) * mirrored
    canvas.stroke(spline(fold), face.skin.line, 0.02, ends=(0.1, 0.2))


def _draw_iris(ball, side, face, *, small):
    x, y = -0.015 * side + 0.05 * face.gaze, 0.03
    rx, ry = (0.165, 0.22) if small else (0.205, 0.275)
    rx *= face.iris_size
    ry *= face.iris_size * (0.4 + 0.6 * face.eye_tall)
    iris = face.iris
    disc = ellipse(x, y, rx, ry)
    ball.fill(disc, iris.line)
    core = ellipse(x, y + 0.012, rx * 0.87, ry * 0.9)
    dark = shade(iris.base, 0.52)
    bright = mix(iris.base, WHITE, 0.5)
    stops = [(y - 0.8 * ry, dark), (y, iris.base), (y + 0.85 * ry, bright)]
    ball.graded(core, stops)
    if face.pupil == "heart":
        ball.fill(heart(x, y + 0.02, 0.13), mix(iris.line, (190, 30, 80), 0.5))
    elif face.pupil == "star":
        ball.fill(star(x, y + 0.02, 0.15), mix(bright, (255, 240, 150), 0.6))
    else:
        ball.fill(ellipse(x, y - 0.01, 0.4 * rx, 0.42 * ry), mix(iris.line, INK, 0.5))
    # Light that went through the eye gathers at the bottom, as a crescent.
    glint = np.concatenate(
        [
            ellipse(x, y, rx * 0.72, ry * 0.76, start=25, stop=155, count=14),
            ellipse(x, y, rx * 0.66, ry * 0.52, start=155, stop=25, count=14),
        ]
    )
    ball.fill(glint, mix(bright, WHITE, 0.35))


def _draw_lights(ball, face):
    """Highlights; the light comes from the left for both eyes."""
    x = 0.05 * face.gaze
    if face.shine == "none":
        return
    if face.shine == "low":
        ball.fill(ellipse(x + 0.06, -0.1, 0.05, 0.04, angle=20, count=16), WHITE)
        return
    if face.shine == "two":
        ball.fill(ellipse(x - 0.08, -0.12, 0.06, 0.1, angle=-25, count=20), WHITE)
        ball.fill(ellipse(x + 0.08, 0.12, 0.05, 0.07, angle=-25, count=16), WHITE)
        ball.dot(x - 0.1, 0.12, 0.022, WHITE)
        return
    ball.fill(ellipse(x - 0.085, -0.085, 0.075, 0.09, angle=-15, count=20), WHITE)
    ball.dot(x + 0.1, 0.14, 0.035, WHITE)


def draw_brow(canvas: Canvas, side: int, face: Any, mood: str) -> None:
    """Draw a brow; `mood` is "soft", "raised", "angry", "sad" or "flat"."""
    inner, middle, outer = {
        "soft": (-0.3, -0.38, -0.29),
        "raised": (-0.38, -0.48, -0.38),
        "angry": (-0.2, -0.32, -0.4),
        "sad": (-0.42, -0.37, -0.24),
        "flat": (-0.3, -0.32, -0.29),
    }[mood]
    x = 0.05 * face.yaw
    points = [(0.25, inner), (0.45, middle), (0.7, outer)]
    curve = spline(np.array(points) * (side, 1) + (x, 0))
    canvas.stroke(curve, face.brow, 0.045, ends=(0.7, 0.15), swell=0.3)
