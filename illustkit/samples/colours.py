"""Colours as uint8 RGB triples, and the tones of light and shade made of one."""

import colorsys
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

Colour = tuple[int, ...]  # uint8 RGB

WHITE: Colour = (255, 255, 255)
INK: Colour = (58, 40, 52)


class Tones(NamedTuple):
    """One material: where light falls, its own colour, in shade, and its outline."""

    light: Colour
    base: Colour
    dark: Colour
    line: Colour


def mix(first: Colour, second: Colour, amount: float) -> Colour:
    """Return `first` with `amount` (0 to 1) of `second`."""
    return tuple(
        int(round(a + (b - a) * amount)) for a, b in zip(first, second, strict=True)
    )


def shade(
    colour: Colour, value: float = 0.8, *, cool: float = 0.03, rich: float = 1.12
) -> Colour:
    """Return the shadow of a colour: darker, richer and turned towards violet."""
    h, s, v = colorsys.rgb_to_hsv(*(c / 255 for c in colour))
    # Yellow and orange go through red, so that they do not turn green.
    towards = -0.05 - h if h < 0.2 else 0.75 - h
    h += max(-cool, min(cool, towards))
    s = min(1.0, s * rich + 0.03)
    return tuple(int(round(255 * c)) for c in colorsys.hsv_to_rgb(h % 1, s, v * value))


def tones(colour: Colour, *, line: float = 0.75) -> Tones:
    """Return the tones of a cloth, hair or object of a colour.

    Args:
        colour: Its own colour.
        line: How near the outline comes to plain ink, 0 to 1. Defaults to 0.75.
    """
    return Tones(
        mix(colour, WHITE, 0.42),
        colour,
        shade(colour, 0.8),
        mix(shade(colour, 0.42), INK, line),
    )


SKINS = {
    "fair": Tones((255, 244, 236), (255, 232, 218), (243, 190, 176), (140, 74, 70)),
    "light": Tones((255, 238, 224), (253, 222, 200), (234, 174, 150), (128, 66, 58)),
    "tan": Tones((246, 212, 180), (232, 190, 154), (200, 142, 110), (104, 54, 42)),
    "brown": Tones((206, 156, 122), (182, 130, 98), (146, 94, 72), (76, 40, 34)),
}

HAIR = {
    "black": (66, 60, 78),
    "brown": (124, 82, 62),
    "chestnut": (168, 104, 66),
    "blonde": (248, 214, 122),
    "honey": (228, 172, 92),
    "silver": (206, 212, 226),
    "white": (240, 236, 240),
    "red": (206, 72, 68),
    "orange": (240, 140, 76),
    "pink": (248, 164, 186),
    "lavender": (192, 168, 228),
    "purple": (132, 96, 170),
    "navy": (62, 76, 128),
    "blue": (98, 152, 224),
    "teal": (82, 178, 182),
    "green": (112, 172, 110),
    "mint": (160, 222, 196),
}

EYES = {
    "brown": (142, 84, 52),
    "amber": (226, 154, 44),
    "red": (204, 56, 64),
    "rose": (228, 96, 140),
    "violet": (136, 84, 190),
    "blue": (56, 120, 214),
    "sky": (84, 184, 232),
    "teal": (34, 160, 160),
    "green": (78, 162, 84),
    "grey": (116, 124, 142),
}

CLOTH = {
    "white": (250, 250, 252),
    "cream": (252, 240, 214),
    "navy": (52, 66, 112),
    "blue": (92, 144, 212),
    "sky": (170, 214, 242),
    "red": (212, 68, 72),
    "wine": (142, 52, 74),
    "pink": (250, 182, 196),
    "yellow": (252, 216, 110),
    "orange": (244, 156, 84),
    "green": (98, 162, 112),
    "mint": (176, 228, 208),
    "lavender": (196, 182, 232),
    "purple": (124, 96, 166),
    "grey": (158, 162, 176),
    "charcoal": (82, 82, 98),
    "brown": (140, 100, 76),
    "beige": (226, 204, 172),
}


def pick(rng: np.random.Generator, names: Iterable[str]) -> str:
    """Choose a name, each as likely as the others; repeat a name to favour it."""
    names = tuple(names)
    return names[int(rng.integers(len(names)))]
