"""Hair in front of the face: fringe, side locks, the band of shine.

The frame is the head's: see `illustkit._drawing.faces`.
"""

from typing import NamedTuple

import numpy as np

from illustkit._drawing.colours import mix
from illustkit._drawing.curves import bend, ellipse, spline, tube

FRINGES = ("classic", "blunt", "parted", "swept", "spiky", "feathered")
CROWN = np.array((0.0, -1.3))


class Fringe(NamedTuple):
    """Closed outline; the lower edge of it; valleys between tufts; their root."""

    outline: np.ndarray
    edge: np.ndarray
    valleys: np.ndarray
    tips: np.ndarray
    root: np.ndarray


def _pattern(kind, side_length):
    """Tips and valleys from the left to the right, valleys one fewer."""
    low = side_length
    if kind == "blunt":
        x = np.array([-0.62, -0.36, -0.1, 0.14, 0.4, 0.64])
        tips = [(a, -0.16 + 0.05 * a * a) for a in x]
        valleys = [(a, -0.28) for a in (x[:-1] + x[1:]) / 2]
        valleys = [(-0.84, -0.2), *valleys, (0.84, -0.2)]
    elif kind == "parted":
        tips = [(-0.78, 0.02), (0.84, 0.0)]
        valleys = [(-0.88, -0.12), (0.08, -0.98), (0.92, -0.12)]
    elif kind == "swept":
        tips = [(-0.72, 0.0), (-0.02, -0.12), (0.36, -0.1), (0.74, 0.02)]
        valleys = [(-0.86, -0.15), (-0.5, -0.72), (0.12, -0.3), (0.5, -0.28)]
        valleys += [(0.88, -0.15)]
    elif kind == "spiky":
        x = [-0.7, -0.4, -0.08, 0.24, 0.56]
        tips = [(a + 0.06, -0.06 - 0.14 * (k % 2)) for k, a in enumerate(x)]
        valleys = [(-0.86, -0.2), (-0.58, -0.46), (-0.28, -0.54), (0.06, -0.5)]
        valleys += [(0.38, -0.5), (0.86, -0.25)]
    elif kind == "feathered":
        tips = [(-0.66, -0.1), (-0.3, -0.16), (0.02, -0.02), (0.3, -0.2), (0.68, -0.1)]
        valleys = [(-0.85, -0.15), (-0.5, -0.36), (-0.18, -0.5), (0.16, -0.5)]
        valleys += [(0.46, -0.36), (0.86, -0.15)]
    else:  # classic: a long tuft between the eyes
        tips = [(-0.62, -0.08), (-0.02, 0.04), (0.5, -0.12)]
        valleys = [(-0.84, -0.18), (-0.34, -0.5), (0.16, -0.52), (0.84, -0.22)]
    tips = [(-1.0, low), *tips, (1.0, low)]
    return np.array(tips), np.array(valleys)


def make_fringe(kind, rng, *, side_length=0.5, spread=1.0):
    """Outline of a fringe of this `kind`, a little different each time.

    Args:
        kind: One of `FRINGES`.
        rng: NumPy generator.
        side_length: y down to which the tufts beside the face hang.
        spread: How far the tufts vary.
    """
    tips, valleys = _pattern(kind, side_length)
    loose = 0.015 if kind == "blunt" else 0.05 * spread
    tips[1:-1] += rng.uniform(-loose, loose, (len(tips) - 2, 2))
    tips[[0, -1], 1] += rng.uniform(-0.08, 0.08, 2)
    valleys[1:-1] += rng.uniform(-loose, loose, (len(valleys) - 2, 2))
    if rng.random() < 0.5:
        tips, valleys = tips[::-1] * (-1, 1), valleys[::-1] * (-1, 1)
    root = CROWN + (0.1 * rng.uniform(-1, 1), 0)
    if kind in ("parted", "swept"):
        root = valleys[valleys[:, 1].argmin()] + (0, -0.25)  # the parting
    over = ellipse(0, -0.26, 1.15, 1.26, start=170, stop=370, count=80)
    edge = []
    # From the right to the left: tip, valley, tip, ...
    here = over[-1]
    for k in range(len(tips) - 1, -1, -1):
        tip = tips[k]
        edge.append(_side(here, tip, root, outer=k == len(tips) - 1))
        if k:
            valley = valleys[k - 1]
            edge.append(_side(valley, tip, root)[::-1])
            here = valley
    edge.append(_side(over[0], tips[0], root, outer=True)[::-1])
    edge = np.concatenate(edge)
    return Fringe(np.concatenate([over, edge]), edge, valleys, tips, root)


def _side(valley, tip, root, *, outer=False):
    """Side of a tuft: it leaves the valley away from the root of the hair."""
    valley, tip = np.asarray(valley, float), np.asarray(tip, float)
    away = (0.0, 1.0) if outer else valley - root
    away = np.asarray(away) / max(float(np.hypot(*away)), 1e-6)
    reach = np.hypot(*(tip - valley))
    control = 0.6 * valley + 0.4 * tip + (0.3 if outer else 0.2) * reach * away
    return bend(valley, control, tip, steps=12)


def draw_fringe(canvas, fringe, hair, rng, *, line=0.034, shine=True):
    """Fill, shade and outline a fringe."""
    with canvas.inside(fringe.outline) as part:
        top, bottom = mix(hair.base, hair.light, 0.25), mix(hair.base, hair.dark, 0.3)
        part.wash([(-1.4, top), (-0.5, hair.base), (0.6, bottom)])
        for valley in fringe.valleys:
            _wedge(part, valley, fringe.root, hair.dark)
        for side in (-1, 1):
            rim = ellipse(0, -0.26, 1.17, 1.28, start=-80, stop=25, count=24)
            depth = 0.17 * np.sin(np.linspace(0, 0.75 * np.pi, 24))[:, None]
            inner = rim - depth * (1.0, -0.2)
            crescent = np.concatenate([rim, inner[::-1]])
            part.fill(crescent * (side, 1), hair.dark)
        if shine:
            draw_shine(part, hair, rng)
        for tip in fringe.tips[1 : -1 : 2 if len(fringe.tips) > 6 else 1]:
            start = tip + 0.25 * (fringe.root - tip)
            stop = tip + 0.62 * (fringe.root - tip)
            part.stroke(_arched(start, stop), hair.dark, 0.026)
    for x in rng.uniform(-0.75, 0.75, 3):  # a few strands down from the crown
        side = 0.25 * x + np.clip(fringe.root[0], -0.3, 0.3)
        start = np.array((side, -0.2 - 1.26 * np.sqrt(1 - (side / 1.15) ** 2)))
        stop = np.array((x, -1.1 + 0.25 * abs(x)))
        strand = bend(start, (0.8 * x, start[1] + 0.08), stop, steps=8)
        canvas.stroke(strand, hair.dark, 0.024, ends=(0.6, 0.0), swell=0.2)
    for valley in fringe.valleys[1:-1]:
        stop = valley + rng.uniform(0.3, 0.5) * (fringe.root - valley)
        canvas.stroke(_arched(valley, stop), hair.line, line, ends=(1, 0.1), swell=0.05)
    canvas.outline(fringe.outline, hair.line, line, sharp=True)


def _arched(start, stop):
    """Curve along the round of the head from `start` up to `stop`."""
    middle = (start + stop) / 2
    return spline([start, middle + (0.1 * middle[0], -0.02), stop], steps=6)


def _wedge(canvas, valley, root, colour):
    """Shade between two tufts, wide at the valley."""
    stop = valley + 0.55 * (root - valley)
    across = np.array((0.09, 0.0))
    left = bend(valley - across + (0, 0.16), valley - across * 0.6, stop)
    right = bend(valley + across + (0, 0.16), valley + across * 0.6, stop)
    canvas.fill(np.concatenate([left, [stop], right[::-1]]), colour)


def draw_shine(canvas, hair, rng):
    """A band of light around the head with a ragged edge."""
    colour = mix(hair.base, hair.light, 0.85)
    gap = rng.uniform(0.1, 0.4)
    for start, stop in ((-0.84, gap - 0.05), (gap + 0.05, 0.84)):
        count = 2 * max(2, round(6 * (stop - start))) + 1
        step = (stop - start) / (count - 1)
        u = np.linspace(start, stop, count)
        u[1:-1] += rng.uniform(-0.3, 0.3, count - 2) * step
        level = -0.98 + 0.36 * u**2
        along = (u - u[0]) / (u[-1] - u[0])
        thick = 0.11 * np.sin(np.pi * along) ** 0.7
        ragged = np.where(np.arange(count) % 2, 1.3, 0.1) * rng.uniform(0.6, 1.2, count)
        upper = np.stack([1.06 * u, level - thick * (0.4 + 0.4 * ragged)], axis=1)
        lower = np.stack([1.03 * u, level + thick * (0.3 + ragged)], axis=1)
        canvas.fill(np.concatenate([upper, lower[::-1]]), colour)


def draw_side_locks(canvas, hair, length, rng, *, line=0.034, width=0.17):
    """Locks before the ears, down to y = `length`."""
    for side in (-1, 1):
        sway = rng.uniform(-0.06, 0.06)
        spine = [(0.93, -0.7), (1.06, -0.1), (1.04, 0.45 * length)]
        spine += [(1.0 + sway, 0.8 * length), (0.9 + 2 * sway, length)]
        spine = np.array(spine) * (side, 1)
        lock = tube(spine, [0.1, width, width, 0.75 * width, 0.0], steps=6)
        stops = [(0.0, hair.base), (length, mix(hair.base, hair.dark, 0.6))]
        canvas.graded(lock, stops)
        canvas.outline(lock, hair.line, line, sharp=True)
        strand = spline(spine[1:] + (0.04, 0), steps=6)
        canvas.stroke(strand, hair.dark, 0.03, ends=(0.1, 0.1))
