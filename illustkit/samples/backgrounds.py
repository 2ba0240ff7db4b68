"""Backgrounds of a character. The frame is the unit picture: both axes 0 to 1."""

import numpy as np

from illustkit.samples.canvas import Canvas
from illustkit.samples.clothes.patterns import box_outline
from illustkit.samples.colours import WHITE, mix, shade
from illustkit.samples.curves import bend, ellipse, heart, scattered, star

BACKGROUNDS = (
    "gradient",
    "dots",
    "stripes",
    "sky",
    "room",
    "night",
    "rays",
    "petals",
    "hills",
    "bokeh",
    "tiles",
    "plain",
)

_HUES = {
    "pink": (252, 214, 222),
    "peach": (254, 224, 200),
    "lemon": (252, 242, 196),
    "mint": (206, 240, 224),
    "sky": (200, 228, 248),
    "lavender": (222, 214, 246),
    "grey": (226, 228, 234),
    "cream": (250, 242, 230),
}


def draw_background(
    canvas: Canvas, kind: str, rng: np.random.Generator, aspect: float
) -> None:
    """Cover the whole sheet.

    Args:
        canvas: Sheet whose frame is one unit wide; it is `aspect` units high.
        kind: One of `BACKGROUNDS`.
        rng: NumPy generator.
        aspect: Height over width.
    """
    names = list(_HUES)
    hue = _HUES[names[int(rng.integers(len(names)))]]
    other = _HUES[names[int(rng.integers(len(names)))]]
    pale = mix(hue, WHITE, 0.5)
    _SCENES[kind](canvas, rng, aspect, hue, other, pale)


def _gradient(canvas, rng, h, hue, other, pale):
    canvas.wash([(0, shade(hue, 0.94)), (0.5 * h, pale), (h, other)])


def _plain(canvas, rng, h, hue, other, pale):
    canvas.wash([(0, pale)])


def _grid(h, step):
    rows = int(np.ceil(h / step)) + 1
    columns = int(np.ceil(1 / step)) + 2
    across, down = np.meshgrid(np.arange(columns), np.arange(rows))
    return np.stack([(across - 0.5 * (down % 2)) * step, down * step], 2).reshape(-1, 2)


def _dots(canvas, rng, h, hue, other, pale):
    canvas.wash([(0, hue), (h, mix(hue, other, 0.6))])
    step = rng.uniform(0.1, 0.18)
    dot = ellipse(0, 0, 0.26 * step, count=32)
    canvas.fill_all(scattered(dot, _grid(h, step)), pale)


def _stripes(canvas, rng, h, hue, other, pale):
    canvas.wash([(0, pale)])
    step = rng.uniform(0.08, 0.16)
    lean = rng.choice((-1, 0, 1)) * h * 0.6
    starts = np.arange(-1.5 * h - step, 1 + 1.5 * h, 2 * step)
    bands = [
        np.array([(x, 0), (x + step, 0), (x + step + lean, h), (x + lean, h)])
        for x in starts
    ]
    canvas.fill_all(bands, hue)


def _cloud(canvas, x, y, size):
    puffs = (
        (-0.9, 0.1, 0.5),
        (-0.35, -0.22, 0.62),
        (0.35, -0.1, 0.55),
        (0.95, 0.14, 0.42),
    )
    for dy, colour in ((0.1, (214, 232, 246)), (0.0, WHITE)):
        for px, py, radius in puffs:
            canvas.dot(x + px * size, y + (py + dy) * size, radius * size, colour)
        bar = box_outline(
            x - 1.2 * size, y + dy * size, x + 1.2 * size, y + (0.45 + dy) * size
        )
        canvas.fill(bar, colour)


def _sky(canvas, rng, h, hue, other, pale):
    canvas.wash([(0, (96, 168, 236)), (0.7 * h, (188, 226, 250)), (h, (238, 248, 254))])
    for _ in range(int(rng.integers(3, 6))):
        size = rng.uniform(0.08, 0.16)
        _cloud(canvas, rng.uniform(0, 1), rng.uniform(0.05, 0.8) * h, size)


def _night(canvas, rng, h, hue, other, pale):
    canvas.wash([(0, (34, 36, 84)), (0.6 * h, (84, 72, 140)), (h, (196, 138, 176))])
    for x, y in rng.random((40, 2)):
        canvas.dot(x, y * 0.9 * h, 0.002 + 0.004 * (x * 7 % 1), (255, 250, 220))
    for x, y in rng.random((5, 2)):
        canvas.fill(star(x, 0.8 * y * h, 0.022, points=4, inner=0.3), (255, 246, 200))
    x = rng.choice((0.14, 0.86))
    canvas.glow(x, 0.14 * h, 0.2, 0.2, (255, 244, 206), 0.4)
    canvas.dot(x, 0.14 * h, 0.08, (255, 246, 214))


def _rays(canvas, rng, h, hue, other, pale):
    canvas.wash([(0, pale)])
    middle = np.array((0.5, 0.42 * h))
    angles = np.radians(np.arange(0, 360, 15) + rng.uniform(0, 15))
    rays = []
    for a in angles[::2]:
        ends = [(np.cos(b), np.sin(b)) for b in (a, a + np.radians(15))]
        rays.append(np.concatenate([middle[None], middle + 2.0 * h * np.array(ends)]))
    for ray in rays:
        canvas.fill(ray, hue)


def _petals(canvas, rng, h, hue, other, pale):
    canvas.wash(
        [(0, (206, 230, 250)), (0.7 * h, (252, 236, 242)), (h, (250, 214, 226))]
    )
    for x, y in rng.random((26, 2)) * (1, h):
        size = rng.uniform(0.014, 0.03)
        petal = canvas.placed(x, y, scale=size, angle=rng.uniform(0, 360))
        edge = bend((0, -1), (1.0, -0.3), (0.25, 1), steps=6)
        outline = np.concatenate([edge, [(0, 0.7)], (edge * (-1, 1))[::-1]])
        petal.fill(outline, mix((250, 176, 200), WHITE, rng.uniform(0, 0.4)))


def _hills(canvas, rng, h, hue, other, pale):
    canvas.wash([(0, (132, 196, 244)), (0.6 * h, (226, 244, 252))])
    for _ in range(3):
        _cloud(
            canvas,
            rng.uniform(0, 1),
            rng.uniform(0.05, 0.4) * h,
            rng.uniform(0.06, 0.12),
        )
    x = np.linspace(0, 1, 40)
    for level, colour in (
        (0.62, (156, 212, 150)),
        (0.72, (124, 194, 122)),
        (0.84, (96, 170, 100)),
    ):
        phase, waves = rng.uniform(0, 6), rng.uniform(3, 7)
        ridge = np.stack([x, (level + 0.04 * np.sin(waves * x + phase)) * h], axis=1)
        canvas.fill(np.concatenate([ridge, [(1, h), (0, h)]]), colour)


def _room(canvas, rng, h, hue, other, pale):
    floor = 0.8 * h
    canvas.wash([(0, pale), (floor, hue)])
    step = 0.09
    bands = [box_outline(x, 0, x + 0.4 * step, floor) for x in np.arange(0, 1, step)]
    canvas.fill_all(bands, mix(hue, WHITE, 0.3))
    canvas.fill(box_outline(0, floor, 1, h), (206, 164, 124))
    for y in np.linspace(floor, h, 5)[:-1]:
        canvas.fill(box_outline(0, y, 1, y + 0.006), (168, 124, 90))
    canvas.fill(box_outline(0, floor - 0.03, 1, floor), (250, 246, 238))
    left = rng.choice((0.05, 0.55))
    frame = box_outline(left, 0.08 * h, left + 0.4, 0.5 * h)
    canvas.fill(frame, (250, 246, 238))
    glass = box_outline(left + 0.02, 0.08 * h + 0.02, left + 0.38, 0.5 * h - 0.02)
    with canvas.inside(glass) as pane:
        pane.wash([(0.08 * h, (150, 206, 246)), (0.5 * h, (226, 244, 252))])
        _cloud(pane, left + 0.14, 0.3 * h, 0.06)
    for bar in (
        box_outline(left + 0.19, 0.08 * h, left + 0.21, 0.5 * h),
        box_outline(left, 0.28 * h, left + 0.4, 0.28 * h + 0.02),
    ):
        canvas.fill(bar, (250, 246, 238))
    canvas.outline(frame, (176, 150, 130), 0.006)
    for x, wide in ((left - 0.03, 0.09), (left + 0.34, 0.09)):
        curtain = box_outline(x, 0.06 * h, x + wide, 0.56 * h)
        canvas.fill(curtain, other)
        canvas.fill_all(
            [
                box_outline(x + k * wide, 0.06 * h, x + (k + 0.12) * wide, 0.56 * h)
                for k in (0.2, 0.5, 0.8)
            ],
            shade(other, 0.88),
        )


def _bokeh(canvas, rng, h, hue, other, pale):
    canvas.wash([(0, shade(hue, 0.85)), (h, shade(other, 0.8))])
    for x, y in rng.random((18, 2)) * (1, h):
        radius = rng.uniform(0.03, 0.1)
        canvas.glow(x, y, radius, radius, WHITE, rng.uniform(0.3, 0.75))


def _tiles(canvas, rng, h, hue, other, pale):
    canvas.wash([(0, hue)])
    step = rng.uniform(0.12, 0.2)
    kind = int(rng.integers(3))
    places = _grid(h, step)
    if kind == 0:
        canvas.fill_all(scattered(heart(0, 0, 0.2 * step), places), pale)
    elif kind == 1:
        canvas.fill_all(scattered(star(0, 0, 0.28 * step), places), pale)
    else:
        canvas.fill_all(scattered(box_outline(0, 0, step / 2, step / 2), places), pale)


_SCENES = {
    "gradient": _gradient,
    "dots": _dots,
    "stripes": _stripes,
    "sky": _sky,
    "room": _room,
    "night": _night,
    "rays": _rays,
    "petals": _petals,
    "hills": _hills,
    "bokeh": _bokeh,
    "tiles": _tiles,
    "plain": _plain,
}
