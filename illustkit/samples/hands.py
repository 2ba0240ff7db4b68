"""The hands that the illustrator draws with: their lines, colours and finish.

A hand is a set of parameters over the same drawing: `Hand.brush` changes lines and
shading, `Hand.ink` the colours, and `Hand.finish` goes over the finished picture.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import cv2
import numpy as np

from illustkit.errors import UserError
from illustkit.samples.canvas import CEL, Brush
from illustkit.samples.colours import WHITE, Tones, mix, shade

Described = TypeVar("Described")  # a dataclass with fields of `Tones`


@dataclasses.dataclass(frozen=True)
class Hand:
    """Says how one picture is drawn.

    Args:
        name: One of `HANDS`.
        brush: Lines and modelling.
        ink: Turns the tones of a material into those of the hand.
        finish: Goes over a picture, uint8 RGB, and returns it.
        chibi: Whether the body is small under a large head.
        paper: How far the background fades to white, 0 to 1.
    """

    name: str = "cel"
    brush: Brush = CEL
    ink: Callable[[Tones], Tones] | None = None
    finish: Callable[[np.ndarray], np.ndarray] | None = None
    chibi: bool = False
    paper: float = 0.0

    def coloured(self, described: Described) -> Described:
        """Return a `Head`, `Face` or `Outfit` in the colours of this hand."""
        if self.ink is None:
            return described
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(described):  # type: ignore[arg-type]
            value = getattr(described, field.name)
            if field.name == "iris" and self.name == "manga":  # never paper white
                value = Tones(*(mix(c, (0, 0, 0), 0.4) for c in value))
            if isinstance(value, Tones):
                changes[field.name] = self.ink(value)
            elif dataclasses.is_dataclass(value):
                changes[field.name] = self.coloured(value)
            elif field.name in ("brow", "lash"):
                changes[field.name] = self.ink(Tones(*[value] * 4)).line
        return dataclasses.replace(described, **changes)  # type: ignore[type-var]

    def paled(self, pixels: np.ndarray) -> None:
        """Fade a background, uint8 RGB, in place."""
        if self.paper:
            cv2.addWeighted(
                pixels, 1 - self.paper, pixels, 0.0, 255 * self.paper, dst=pixels
            )

    def finished(self, picture: np.ndarray) -> np.ndarray:
        """Return a picture, uint8 RGB, with the finish of this hand."""
        return picture if self.finish is None else self.finish(picture)


def choose_hand(name: str, rng: np.random.Generator) -> Hand:
    """Return a `Hand` of a name; its widths, light and tones vary with `rng`.

    Raises:
        UserError: If there is no such hand.
    """
    if name not in _TABLE:
        raise UserError(f"`hand` is one of {', '.join(HANDS)}. Received: {name!r}")
    return _TABLE[name](rng)


def _cel(rng):
    return Hand()


def _thin(rng):
    fade, colour = rng.uniform(0.0, 0.3), rng.uniform(0.15, 0.6)

    def ink(t):
        pale = [mix(c, WHITE, fade) for c in t[:3]]
        return Tones(*pale, mix(shade(t.dark, 0.62), t.line, colour))

    width = rng.uniform(0.3, 0.65)
    soft = rng.choice((0.0, 0.012))
    return Hand("thin", Brush(width, rng.uniform(0.55, 0.85), soft), ink)


def _side_light(rng, least, most):
    angle = np.radians(rng.choice((180, 0)) + rng.uniform(-35, 35))
    strength = rng.uniform(least, most)
    # Light falls from above: y is down.
    return strength * np.cos(angle), -0.4 * strength * abs(np.sin(angle)) - 0.03


def _painted(rng):
    edge = rng.uniform(0.1, 0.4)

    def ink(t):
        return t._replace(line=mix(shade(t.dark, 0.85), t.line, edge))

    brush = Brush(
        outline=float(rng.choice((0.0, 0.3, 0.5))),
        stroke=rng.uniform(0.7, 1.0),
        soft=rng.uniform(0.015, 0.035),
        light=_side_light(rng, 0.08, 0.28),
    )
    grain = int(rng.integers(2**31))
    return Hand("painted", brush, ink, lambda picture: _grained(picture, grain))


def _grained(picture, seed):
    """Vary the value a little in slanted strokes, as paint does."""
    height, width = picture.shape[:2]
    rng = np.random.default_rng(seed)
    noise = rng.normal(128, 1.5, (int(rng.integers(30, 90)), 16)).astype(np.uint8)
    noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.multiply(picture, cv2.merge([noise] * 3), scale=1 / 128)


# Colour of the light on two sides of the picture, as factors on RGB, and how many
# times more light there is in the middle.
_LIGHTS = {
    "night": ((0.30, 0.38, 0.70), (0.48, 0.50, 0.80), 1.15),
    "dusk": ((1.05, 0.62, 0.45), (0.60, 0.42, 0.62), 1.1),
    "sunset": ((1.15, 0.80, 0.50), (0.85, 0.50, 0.50), 1.1),
    "lamp": ((1.10, 0.82, 0.52), (0.30, 0.24, 0.26), 1.15),
    "stage": ((0.95, 0.38, 0.72), (0.28, 0.62, 0.98), 1.2),
    "forest": ((0.55, 0.85, 0.55), (0.26, 0.46, 0.42), 1.15),
    "dim": ((0.42, 0.40, 0.44), (0.62, 0.60, 0.62), 1.05),
}


def _dark(rng):
    base = _painted(rng) if rng.random() < 0.6 else _thin(rng)
    names = tuple(_LIGHTS)
    one, other, middle = _LIGHTS[names[int(rng.integers(len(names)))]]
    if rng.random() < 0.5:
        one, other = other, one
    angle = rng.uniform(-30, 30)
    middle *= rng.uniform(0.7, 1.1)
    brush = base.brush
    if rng.random() < 0.5:
        brush = dataclasses.replace(brush, light=_side_light(rng, 0.15, 0.35))

    def finish(picture):
        height, width = picture.shape[:2]
        v, u = np.mgrid[-1:1:17j, -1:1:17j]
        across = np.radians(angle)
        place = np.clip(0.5 + 0.6 * (u * np.cos(across) + v * np.sin(across)), 0, 1)
        tint = np.asarray(one) + (np.subtract(other, one)) * place[..., None]
        tint = tint * (middle - 0.35 * (u**2 + v**2) / 2)[..., None]
        table = np.clip(tint * 128, 0, 255).astype(np.uint8)
        table = cv2.resize(table, (width, height), interpolation=cv2.INTER_LINEAR)
        return cv2.multiply(picture, table, scale=1 / 128)

    return Hand("dark", brush, base.ink, finish)


def _grey(colour):
    return float(np.dot(colour, (0.299, 0.587, 0.114)))


def _manga(rng):
    black = rng.uniform(8, 40)
    levels = np.sort(rng.uniform((60, 130, 190), (110, 190, 235)))
    low, middle, high = rng.uniform((60, 95, 140), (110, 125, 190))

    def ink(t):
        """Ink black, two screentones, and paper white, by the value of a colour."""
        line = (int(black),) * 3
        value = _grey(t.base)
        if value > high:  # skin, pale hair and cloth stay paper; shade gets a tone
            tone, under = 255, levels[2]
        elif value > middle:
            tone, under = levels[2], levels[1]
        elif value > low:
            tone, under = levels[1], levels[0]
        else:
            tone, under = black + 14, black
        light = 255 if tone > 200 or value <= low else 0.5 * (tone + 255)
        greys = [(int(v),) * 3 for v in (light, tone, under)]
        return Tones(*greys, line)

    screen = rng.uniform(0.85, 1.35), rng.uniform(30, 60), rng.random() < 0.4
    brush = Brush(rng.uniform(0.45, 1.1), rng.uniform(0.5, 0.9))
    # Two in three pictures are faint behind the figure, as most panels are.
    paper = rng.uniform(0.6, 1.0) if rng.random() < 0.67 else 0.0
    return Hand(
        "manga", brush, ink, lambda picture: _screened(picture, *screen), paper=paper
    )


def _screened(picture, coarse, angle, hatched):
    """Turn a picture into ink on paper: dots, or hatching in the deeper greys."""
    height, width = picture.shape[:2]
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    period = coarse * max(2.2, min(height, width) / 120)  # pixels between two dots
    c, s = (2 * np.pi / period) * np.array(
        (np.cos(np.radians(angle)), np.sin(np.radians(angle)))
    )
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    # cos(a + b) = cos a cos b - sin a sin b, so that rows and columns do for all.
    one = np.outer(np.cos(s * y), np.cos(c * x)) - np.outer(
        np.sin(s * y), np.sin(c * x)
    )
    two = np.outer(np.cos(c * y), np.cos(s * x)) + np.outer(
        np.sin(c * y), np.sin(s * x)
    )
    screen = 127.5 + 63.75 * (one + two).astype(np.float32)
    if hatched:
        lines = 127.5 + 127.5 * one.astype(np.float32)
        screen = np.where(grey < 130, lines, screen)
    # A dot's rim is as soft as one pixel of the picture.
    value = grey.astype(np.float32)
    toned = np.clip(127.5 + 0.32 * period * (value - screen), 0, 255)
    ink = np.clip((value - 60) / 30, 0, 1)  # lines and blacks are no tone
    paper = np.clip((value - 225) / 20, 0, 1)
    out = toned * ink * (1 - paper) + value * (1 - ink) + 255 * paper
    out = np.clip(out, 0, 255).astype(np.uint8)
    return cv2.merge([out] * 3)


def _chibi(rng):
    base = (_cel, _thin, _painted)[int(rng.choice(3, p=(0.5, 0.3, 0.2)))](rng)
    brush = base.brush
    if base.name == "cel":
        brush = Brush(rng.uniform(0.8, 1.5), rng.uniform(0.9, 1.2))
    return Hand("chibi", brush, base.ink, base.finish, chibi=True)


_TABLE = {
    "cel": _cel,
    "thin": _thin,
    "painted": _painted,
    "dark": _dark,
    "manga": _manga,
    "chibi": _chibi,
}
HANDS = tuple(_TABLE)
