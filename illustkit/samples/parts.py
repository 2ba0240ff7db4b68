"""The same character as bare lines, and which part of it every pixel shows."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import cv2
import numpy as np
from scipy import ndimage

from illustkit.samples.canvas import Canvas
from illustkit.samples.colours import WHITE, Tones
from illustkit.samples.hands import Hand
from illustkit.samples.illustrator import checked_size, draw_person, plan_character

PARTS = ("background", "hair", "skin", "clothes")
"""What `draw_parts` tells apart, by the number of each."""

_MARKS = {"hair": (255, 0, 0), "skin": (0, 255, 0), "clothes": (0, 0, 255)}
_LINES = Hand("lines", ink=lambda t: Tones(WHITE, WHITE, WHITE, (0, 0, 0)))
# Shading darkens paper to three quarters, and overlaps: lines are what is darker.
_PAPER = 0.6


def draw_lines(
    seed: int, size: tuple[int, int] = (600, 848), hand: str = "cel"
) -> np.ndarray:
    """Draw the lines of a character alone, black on white.

    They are where `draw_character` draws those of the same seed, size and hand; the
    background is left out.

    Example:
    >>> draw_lines(7, (120, 160)).shape
    (160, 120)

    Args:
        seed: As in `draw_character`.
        size: (width, height) in pixels, each 16 or more. Defaults to (600, 848).
        hand: As in `draw_character`; lines that it leaves out or thins are drawn.
            Defaults to "cel".

    Returns:
        Grey uint8 array `(height, width)`, 255 is white.

    Raises:
        UserError: If `size` is too small to draw on, or there is no such hand.
    """
    plan = plan_character(seed, size, hand)
    brush = replace(
        plan.style.brush,
        outline=max(0.5, plan.style.brush.outline),
        stroke=max(0.7, plan.style.brush.stroke),
        soft=0.0,
        light=(0.0, 0.0),
    )
    sheet = Canvas.blank(checked_size(size), brush)
    person = plan.person._replace(
        head=_LINES.coloured(plan.person.head),
        outfit=_LINES.coloured(plan.person.outfit),
    )
    draw_person(plan.placed(sheet), person, plan.style)
    # What has a colour of its own, such as a ribbon, is white paper, too.
    value = sheet.picture(checked_size(size)).max(axis=2)
    return cv2.convertScaleAbs(value, alpha=1 / _PAPER)


def draw_parts(
    seed: int, size: tuple[int, int] = (600, 848), hand: str = "cel"
) -> np.ndarray:
    """Tell which part of a character every pixel of it shows.

    Example:
    >>> parts = draw_parts(7, (120, 160))
    >>> share_of_hair = (parts == PARTS.index("hair")).mean()

    Args:
        seed: As in `draw_character`.
        size: (width, height) in pixels, each 16 or more. Defaults to (600, 848).
        hand: As in `draw_character`. Defaults to "cel".

    Returns:
        uint8 array `(height, width)` of indices into `PARTS`. "skin" is the face with
        its features, neck, arms and legs; what is worn is "clothes", on the head, too.

    Raises:
        UserError: If `size` is too small to draw on, or there is no such hand.
    """
    plan = plan_character(seed, size, hand)
    person = plan.person._replace(
        head=_marked(plan.person.head, "skin"),
        outfit=_marked(plan.person.outfit, "clothes"),
    )
    brush = replace(plan.style.brush, soft=0.0, light=(0.0, 0.0))
    grounds = []
    for grey in (255, 0):
        sheet = Canvas.blank(checked_size(size), brush)
        sheet.pixels[:] = grey
        draw_person(plan.placed(sheet), person, plan.style)
        grounds.append(sheet.picture(checked_size(size)).astype(int))
    drawn = np.abs(grounds[0] - grounds[1]).max(axis=2) < 128
    inks = grounds[1]
    greatest, number = inks.max(axis=2), inks.argmax(axis=2)
    rest = inks.sum(axis=2) - greatest
    pure = drawn & (greatest > 96) & (rest < 0.2 * greatest)
    # Eyes, a mouth or a button have colours of their own: they lie in what is nearest.
    rows, columns = ndimage.distance_transform_edt(
        ~pure, return_distances=False, return_indices=True
    )
    return np.where(drawn & pure.any(), number[rows, columns] + 1, 0).astype("uint8")


def _marked(described: Any, part: str) -> Any:
    """Return a head or an outfit in the marks of its parts, told by their names."""
    changes: dict[str, Any] = {}
    for field in fields(described):
        value = getattr(described, field.name)
        mark = _MARKS[{"hair": "hair", "ribbon": "clothes"}.get(field.name, part)]
        if isinstance(value, Tones):
            changes[field.name] = Tones(*[mark] * 4)
        elif is_dataclass(value):
            changes[field.name] = _marked(value, part)
        elif field.name in ("brow", "lash"):
            changes[field.name] = mark
    return replace(described, **changes)
