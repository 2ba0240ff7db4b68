"""Pictures of many people, near and far, each face with its box."""

from typing import NamedTuple

import cv2
import numpy as np

from illustkit.errors import UserError
from illustkit.samples import backgrounds, limbs
from illustkit.samples.canvas import Canvas
from illustkit.samples.clothes.outfits import choose_outfit
from illustkit.samples.colours import pick
from illustkit.samples.hands import choose_hand
from illustkit.samples.heads import whole
from illustkit.samples.illustrator import Person, checked_size, draw_person, restyled

# Least part of a face that stays visible.
_VISIBLE = 0.5
_TRIES = 3  # places that are tried for a person


class Crowd(NamedTuple):
    """A picture of many people.

    Args:
        image: uint8 RGB array `(height, width, 3)`.
        face_boxes: Tight boxes of the whole faces, clipped to the picture: float64
            `(n, 4)`, (left, top, right, bottom) in pixels.
    """

    image: np.ndarray
    face_boxes: np.ndarray


def draw_crowd(
    seed: int,
    size: tuple[int, int] = (848, 600),
    hand: str = "cel",
    *,
    people: tuple[int, int] = (6, 15),
) -> Crowd:
    """Draw people of several sizes, who hide one another in part.

    At least half of each face is seen.

    Example:
    >>> crowd = draw_crowd(3, (320, 240), "thin")
    >>> crowd.face_boxes.shape[1]
    4

    Args:
        seed: Non-negative integer. The same arguments give the same picture.
        size: (width, height) in pixels, each 16 or more. Defaults to (848, 600).
        hand: As in `draw_character`. Defaults to "cel".
        people: Least and greatest number of people; there are fewer where they find
            no room. Defaults to (6, 15).

    Returns:
        A `Crowd`: image (uint8 RGB) and the boxes of the faces (pixels).

    Raises:
        UserError: If `size` is too small, or there is no such hand or range.
    """
    width, height = checked_size(size)
    if not 1 <= people[0] <= people[1]:
        raise UserError(f"`people` is (least, greatest). Received: {people}")
    rng = np.random.default_rng((seed, 52711))
    style = choose_hand(hand, rng)
    sheet = Canvas.blank((width, height), style.brush)
    scene = pick(rng, backgrounds.BACKGROUNDS)
    backdrop = sheet.placed(scale=float(width))
    backgrounds.draw_background(backdrop, scene, rng, height / width)
    style.paled(sheet.pixels)

    count = int(rng.integers(people[0], people[1] + 1))
    # Half widths of faces: who is far stands higher and is drawn first.
    far = max(4.0, 0.02 * min(width, height))
    near = max(far, rng.uniform(0.06, 0.13) * min(width, height))
    units = np.sort(np.exp(rng.uniform(np.log(far), np.log(near), count)))
    faces: list[_Seen] = []
    for unit in units:
        person = _choose(rng, style)
        depth = np.log(unit / far) / max(np.log(near / far), 1e-6)  # 0 far, 1 near
        for _ in range(_TRIES):
            x = rng.uniform(0.04, 0.96) * width
            chin = (0.25 + 0.4 * depth + rng.uniform(-0.1, 0.16)) * height
            chin = max(chin, 1.2 * unit)
            before = sheet.pixels.copy()
            body = sheet.placed(x, chin, scale=unit, angle=person.lean)
            frame, rim = draw_person(body, person, style)
            changed = (before != sheet.pixels).any(axis=2)
            face = _Seen(frame.to_sheet(rim), changed.shape)
            if face.fits and all(other.survives(changed) for other in faces):
                for other in faces:
                    other.hide(changed)
                faces.append(face)
                break
            sheet.pixels[:] = before
    boxes = np.array([face.box for face in faces]).reshape(-1, 4) / sheet.unit
    return Crowd(style.finished(sheet.picture((width, height))), boxes)


def _choose(rng, style):
    head, outfit = whole.choose_head(rng), choose_outfit(rng)
    arms = [pick(rng, limbs.ARMS) for _ in range(2)]
    tilt, lean = rng.uniform(-9, 9), rng.uniform(-3, 3)
    person = Person(head, outfit, arms, tilt, lean, int(rng.integers(2**31)))
    return restyled(person, style, rng)


class _Seen:
    """A face on the sheet: its box, and the pixels of it that are still seen."""

    def __init__(self, rim, shape):
        height, width = shape
        low, high = rim.min(axis=0), rim.max(axis=0)
        self.box = np.clip([*low, *high], 0, [width, height] * 2)
        left, top = np.floor(low).astype(int)
        right, bottom = np.ceil(high).astype(int) + 1
        mask = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillPoly(mask, [np.rint(rim - (left, top)).astype(np.int32)], 1)
        self.area = int(mask.sum())
        self.window = np.s_[max(top, 0) : bottom, max(left, 0) : right]
        self.seen = mask[max(-top, 0) : height - top, max(-left, 0) : width - left] > 0
        self.fits = self.seen.sum() >= 0.75 * self.area

    def survives(self, changed):
        left = self.seen & ~changed[self.window]
        return left.sum() >= _VISIBLE * self.area

    def hide(self, changed):
        self.seen &= ~changed[self.window]
