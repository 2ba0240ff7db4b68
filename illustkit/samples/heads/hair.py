"""Hair: the fringe and locks before the face, the volume and tails behind it.

The frame is the head's: see `illustkit.samples.heads.faces`.
"""

from typing import NamedTuple

import numpy as np

from illustkit.samples.canvas import Canvas
from illustkit.samples.colours import Tones, mix
from illustkit.samples.curves import bend, ellipse, spline, tube

FRINGES = ("classic", "blunt", "parted", "swept", "spiky", "feathered")
CROWN = np.array((0.0, -1.3))


class Fringe(NamedTuple):
    """Closed outline, its lower edge, tips and valleys of the tufts, and their root."""

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


def make_fringe(
    kind: str,
    rng: np.random.Generator,
    *,
    side_length: float = 0.5,
    spread: float = 1.0,
) -> Fringe:
    """Make the outline of a fringe, a little different each time.

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
    return _assembled(tips, valleys, root)


def make_side_fringe(rng: np.random.Generator, *, side_length: float = 0.6) -> Fringe:
    """Make the hair of a head in profile that looks to the right.

    Args:
        rng: NumPy generator.
        side_length: y down to which the lock before the ear hangs.
    """
    pattern = [(-0.98, 0.7), (-0.45, 0.85), (0.12, side_length), (0.6, -0.1)]
    tips = np.array([*pattern, (0.98, -0.12)])
    valleys = np.array([(-0.75, 0.55), (-0.05, 0.2), (0.38, -0.42), (0.78, -0.45)])
    tips += rng.uniform(-0.05, 0.05, tips.shape)
    valleys += rng.uniform(-0.05, 0.05, valleys.shape)
    return _assembled(tips, valleys, CROWN + (-0.1, 0.0), stop=345)


def _assembled(tips, valleys, root, stop=370):
    """Fringe of tips and valleys under the crown; it ends at `stop` degrees."""
    over = ellipse(0, -0.26, 1.15, 1.26, start=170, stop=stop, count=80)
    sides = []
    # From the right to the left: tip, valley, tip, ...
    here = over[-1]
    for k in range(len(tips) - 1, -1, -1):
        tip = tips[k]
        sides.append(_side(here, tip, root, outer=k == len(tips) - 1))
        if k:
            valley = valleys[k - 1]
            sides.append(_side(valley, tip, root)[::-1])
            here = valley
    sides.append(_side(over[0], tips[0], root, outer=True)[::-1])
    edge = np.concatenate(sides)
    return Fringe(np.concatenate([over, edge]), edge, valleys, tips, root)


def _side(valley, tip, root, *, outer=False):
    """Side of a tuft: it leaves the valley away from the root of the hair."""
    valley, tip = np.asarray(valley, float), np.asarray(tip, float)
    away = (0.0, 1.0) if outer else valley - root
    away = np.asarray(away) / max(float(np.hypot(*away)), 1e-6)
    reach = np.hypot(*(tip - valley))
    control = 0.6 * valley + 0.4 * tip + (0.3 if outer else 0.2) * reach * away
    return bend(valley, control, tip, steps=12)


def draw_fringe(
    canvas: Canvas,
    fringe: Fringe,
    hair: Tones,
    rng: np.random.Generator,
    *,
    line: float = 0.034,
    shine: bool = True,
) -> None:
    """Draw a fringe: fill, shade and outline."""
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
    """Curve along the curvature of the head from `start` up to `stop`."""
    middle = (start + stop) / 2
    return spline([start, middle + (0.1 * middle[0], -0.02), stop], steps=6)


def _wedge(canvas, valley, root, colour):
    """Shade between two tufts, wide at the valley."""
    stop = valley + 0.55 * (root - valley)
    across = np.array((0.09, 0.0))
    left = bend(valley - across + (0, 0.16), valley - across * 0.6, stop)
    right = bend(valley + across + (0, 0.16), valley + across * 0.6, stop)
    canvas.fill(np.concatenate([left, [stop], right[::-1]]), colour)


def draw_shine(canvas: Canvas, hair: Tones, rng: np.random.Generator) -> None:
    """Draw a band of light around the head, with a ragged edge."""
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


def draw_side_locks(
    canvas: Canvas,
    hair: Tones,
    length: float,
    rng: np.random.Generator,
    *,
    line: float = 0.034,
    width: float = 0.17,
) -> None:
    """Draw locks before the ears, down to y = `length`."""
    for side in (-1, 1):
        sway = rng.uniform(-0.06, 0.06)
        right = [(0.93, -0.7), (1.06, -0.1), (1.04, 0.45 * length)]
        right += [(1.0 + sway, 0.8 * length), (0.9 + 2 * sway, length)]
        spine = np.array(right) * (side, 1)
        lock = tube(spine, [0.1, width, width, 0.75 * width, 0.0], steps=6)
        stops = [(0.0, hair.base), (length, mix(hair.base, hair.dark, 0.6))]
        canvas.graded(lock, stops)
        canvas.outline(lock, hair.line, line, sharp=True)
        strand = spline(spine[1:] + (0.04, 0), steps=6)
        canvas.stroke(strand, hair.dark, 0.03, ends=(0.1, 0.1))


STYLES = (
    "short",
    "spiky",
    "bob",
    "medium",
    "long",
    "wavy",
    "twin tails",
    "ponytail",
    "side tail",
    "buns",
    "plaits",
)


def draw_back_hair(
    canvas: Canvas,
    style: str,
    hair: Tones,
    rng: np.random.Generator,
    *,
    side: int = 1,
    line: float = 0.034,
    length: float = 3.2,
    reach: float = 1.0,
) -> None:
    """Draw the hair that hangs behind the body.

    Args:
        canvas: Sheet in the head's frame.
        style: One of `STYLES`.
        hair: `Tones`.
        rng: NumPy generator.
        side: -1 or 1, where a single tail hangs.
        line: Width of outlines.
        length: y that long hair reaches.
        reach: How far tails stand off, relative to the usual.
    """
    deep = hair._replace(
        base=mix(hair.base, hair.dark, 0.55), dark=mix(hair.dark, hair.line, 0.25)
    )
    if style == "twin tails":
        for each in (-1, 1):
            _tail(canvas, each, hair, rng, line, _TWIN, length / 3.2, reach)
    elif style == "ponytail":
        _tail(canvas, side, hair, rng, line, _PONY, length / 3.2, reach)
    elif style == "side tail":
        _tail(canvas, side, hair, rng, line, _SIDE, length / 3.2, reach)
    elif style == "buns":
        for each in (-1, 1):
            _bun(canvas, each, hair, line)
    _mass(canvas, _mass_outline(style, rng, length), deep, rng, line)


def _mass_outline(style, rng, length):
    """Closed outline of the hair behind head and shoulders."""
    dome = ellipse(0, -0.22, 1.2, 1.27, start=180, stop=360, count=64)
    if style == "spiky":
        return _spiked(rng)
    bottom, wide, tufts, wave = {
        "short": (0.72, 1.16, 6, 0.0),
        "bob": (1.12, 1.36, 5, 0.0),
        "medium": (min(1.75, length), 1.4, 7, 0.04),
        "long": (length, 1.5, 8, 0.03),
        "wavy": (length, 1.56, 7, 0.1),
    }.get(style, (0.78, 1.1, 5, 0.0))
    inward = {"short": 0.62, "bob": 0.78, "long": 0.8, "wavy": 0.95}.get(style, 0.72)
    y = np.array([-0.1, 0.3, 0.55, 0.8, 1.0]) * (bottom + 0.22) - 0.22
    x = np.interp(
        y, [-0.2, 0.5 * bottom, 0.75 * bottom, bottom], [1.2, wide, wide, wide]
    )
    x[-1] = wide * (inward + 1) / 2
    x += wave * np.array([0, 1, -1, 1, -1])
    right = spline([(1.2, -0.22), *np.stack([x, y], axis=1)[1:]], steps=8)[1:]
    left = right[::-1] * (-1, 1)
    ends = np.linspace(right[-1, 0], left[0, 0], tufts + 1)
    ends[1:-1] += rng.uniform(-0.09, 0.09, tufts - 1)
    hem = []
    for a, b in zip(ends[:-1], ends[1:], strict=True):
        drop = rng.uniform(0.25, 0.75) * abs(a - b) * (1 + 0.15 * bottom)
        tip = (0.5 * (a + b) * 0.96 + rng.uniform(-0.1, 0.1), bottom + drop)
        hem += [bend((a, bottom), (a, bottom + 0.5 * drop), tip, steps=5)]
        hem += [bend(tip, (b, bottom + 0.5 * drop), (b, bottom), steps=5)]
    return np.concatenate([dome, right, *hem, left])


def _spiked(rng):
    """Short hair that stands off in spikes."""
    angles = np.radians(np.linspace(140, 400, 14))
    pieces = []
    for k, (a, b) in enumerate(zip(angles[:-1], angles[1:], strict=True)):
        reach = rng.uniform(0.14, 0.3) * (0.15 if 3 <= k <= 9 else 1.0)
        lean = 0.1 if np.cos((a + b) / 2) > 0 else -0.1
        middle = (a + b) / 2 + lean

        def at(angle, radius):
            return np.array(
                (1.13 * radius * np.cos(angle), -0.2 + 1.2 * radius * np.sin(angle))
            )

        tip = at(middle, 1.0 + reach)
        pieces += [bend(at(a, 1.0), at((a + middle) / 2, 1.08), tip, steps=4)]
        pieces += [bend(tip, at((b + middle) / 2, 1.06), at(b, 1.0), steps=4)]
    return np.concatenate(pieces)


def _mass(canvas, outline, hair, rng, line):
    low = outline[:, 1].max()
    top = mix(hair.base, hair.dark, 0.55)
    stops = [(-0.2, hair.base), (0.55, top), (0.5 * (low + 1), hair.base)]
    with canvas.inside(outline) as part:
        part.wash([*stops, (low, mix(hair.base, hair.light, 0.15))])
        if low > 1.0:
            for x in np.linspace(-1.2, 1.2, 9) + rng.uniform(-0.1, 0.1, 9):
                start, stop = low * rng.uniform(0.1, 0.5), low - rng.uniform(0.05, 0.4)
                strand = [(0.9 * x, start), (x, (start + stop) / 2), (0.92 * x, stop)]
                width = rng.uniform(0.025, 0.07)
                part.stroke(
                    spline(strand), hair.dark, width, ends=(0.0, 0.1), swell=0.7
                )
    canvas.outline(outline, hair.line, line, sharp=True)


# Spine of a tail on the right side, and its half widths.
_TWIN = (
    [(0.95, -0.95), (1.5, -0.85), (1.85, 0.1), (1.9, 1.3), (1.62, 2.3), (1.75, 3.1)],
    [0.12, 0.36, 0.46, 0.46, 0.32, 0.0],
)
_PONY = (
    [(0.3, -1.25), (1.0, -1.65), (1.75, -1.0), (1.95, 0.3), (1.7, 1.6), (1.9, 2.6)],
    [0.14, 0.34, 0.42, 0.46, 0.34, 0.0],
)
_SIDE = (
    [(1.0, -0.4), (1.45, -0.2), (1.6, 0.5), (1.5, 1.3), (1.3, 2.0), (1.42, 2.7)],
    [0.12, 0.3, 0.38, 0.36, 0.26, 0.0],
)


def _tail(canvas, side, hair, rng, line, form, stretch, reach):
    spine = np.array(form[0])
    spine[:, 0] = np.where(spine[:, 0] > 1, 1 + (spine[:, 0] - 1) * reach, spine[:, 0])
    spine[:, 1] = np.maximum(spine[:, 1], -1.65 + 0.15 * (1 - reach))
    spine[2:, 1] = spine[2, 1] + (spine[2:, 1] - spine[2, 1]) * stretch
    spine[2:, 0] += rng.uniform(-0.08, 0.08)
    spine *= (side, 1)
    widths = np.array(form[1]) * (0.4 + 0.6 * reach)
    # A loose strand behind, the tail itself, then strands on it.
    aside = np.array([(0.0, 0.0), (0.12, 0), (0.3, 0), (0.42, -0.25)])
    stray = spine[2:] + aside * (side * reach, 1)
    for points, width in (
        (stray, widths.max() * np.array([0.7, 0.8, 0.5, 0])),
        (spine, widths),
    ):
        outline = tube(points, width, steps=10)
        low = points[-1, 1]
        stops = [(-1.0, hair.base), (0.0, mix(hair.base, hair.light, 0.2))]
        stops += [(low, mix(hair.base, hair.dark, 0.7))]
        with canvas.inside(outline) as part:
            part.wash(stops)
            shaded = tube(points + (0.22, 0.05), np.asarray(width) * 0.55, steps=10)
            part.fill(shaded, hair.dark)
            for shift in (-0.5, -0.1, 0.4):
                offset = np.interp(
                    np.arange(len(width)), [0, 2, len(width) - 1], [0, 1, 0]
                )
                strand = points + np.stack([0.4 * shift * offset, 0 * offset], axis=1)
                part.stroke(spline(strand), mix(hair.dark, hair.line, 0.4), 0.028)
        canvas.outline(outline, hair.line, line, sharp=True)


def _bun(canvas, side, hair, line):
    ball = ellipse(0.86 * side, -1.2, 0.46, 0.44)
    canvas.graded(ball, [(-1.6, hair.light), (-1.2, hair.base), (-0.8, hair.dark)])
    canvas.outline(ball, hair.line, line)
    for radius, stop in ((0.3, 250), (0.16, 300)):
        swirl = ellipse(0.86 * side, -1.18, radius, start=20, stop=stop, count=20)
        canvas.stroke(swirl, hair.line, 0.026, ends=(0.2, 0.2))


def draw_plaits(
    canvas: Canvas, hair: Tones, length: float, tie: Tones, *, line: float = 0.034
) -> None:
    """Draw two plaits that fall before the shoulders, each with a ribbon."""
    for side in (-1, 1):
        count = max(2, int(round((length - 0.7) / 0.24)))
        for k in range(count, -1, -1):
            y = 0.6 + 0.24 * k
            x = side * (1.02 - 0.05 * np.sin(0.6 * k))
            size = 0.2 - 0.006 * k
            for lobe in (-1, 1):
                knot = ellipse(
                    x + 0.5 * size * lobe, y, 0.72 * size, 0.19, angle=32 * lobe
                )
                canvas.shape(knot, hair.base, hair.line, line)
                glint = ellipse(
                    x + 0.55 * size * lobe, y - 0.07, 0.3 * size, 0.05, count=14
                )
                canvas.fill(glint, mix(hair.base, hair.light, 0.5))
        end = 0.6 + 0.24 * count
        tuft = tube(
            [(1.0 * side, end), (1.0 * side, end + 0.2), (0.96 * side, end + 0.42)],
            [0.1, 0.15, 0.0],
        )
        canvas.shape(tuft, hair.base, hair.line, line)
        canvas.shape(ellipse(side, end + 0.06, 0.14, 0.08), tie.base, tie.line, line)
