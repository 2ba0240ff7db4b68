"""Hair behind the head: its volume, long hair, tails, buns and plaits.

The frame is the head's: see `illustkit._drawing.faces`.
"""

import numpy as np

from illustkit._drawing.colours import mix
from illustkit._drawing.curves import bend, ellipse, spline, tube

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
    canvas, style, hair, rng, *, side=1, line=0.034, length=3.2, reach=1.0
):
    """Hair that hangs behind the body.

    Args:
        canvas: Sheet in the head's frame.
        style: One of `STYLES`.
        hair: `Tones`.
        rng: NumPy generator.
        side: -1 or 1, where a single tail hangs.
        line: Width of outlines.
        length: y that long hair reaches.
        reach: How far tails stand off, as a share of the usual.
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


def draw_plaits(canvas, hair, length, tie, *, line=0.034):
    """Two plaits that fall before the shoulders, each with a ribbon."""
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
