"""A procedural illustrator: clothed cartoon characters and face icons.

The pictures serve as a data set wherever none is at hand. They come from a seed
alone, the same bytes every time, and they are free of any rights.
"""

import operator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from illustkit.errors import UserError
from illustkit.samples import backgrounds, limbs
from illustkit.samples.canvas import Canvas
from illustkit.samples.clothes import garments
from illustkit.samples.clothes.bottoms import draw_bottom
from illustkit.samples.clothes.outfits import Outfit, choose_outfit
from illustkit.samples.colours import EYES, HAIR, SKINS, pick
from illustkit.samples.hands import Hand, choose_hand
from illustkit.samples.heads import accessories, faces, hair, whole
from illustkit.samples.heads.poses import GESTURES, Pose, choose_pose

# Height of the picture in units of the body, and the fraction of it above the chin.
_FRAMINGS = {
    "figure": (8.9, 0.35),
    "knees": (6.9, 0.42),
    "waist": (5.6, 0.52),
    "bust": (5.0, 0.59),
    "face": (2.7, 0.76),  # of every hand but cel
    "chibi": (5.2, 0.55),
    "chibi bust": (3.9, 0.72),
}


class Character(NamedTuple):
    """A picture, and where and what its parts are.

    Args:
        image: uint8 RGB array `(height, width, 3)`.
        face_box: Tight box of the face, (left, top, right, bottom) in pixels: from
            cheek to cheek and from the fringe to the chin.
        garment_box: Box of the upper garment, from the collar to the waist.
        attributes: Names of what was drawn: hair colour, expression, pattern, ...
    """

    image: np.ndarray
    face_box: tuple[int, int, int, int]
    garment_box: tuple[int, int, int, int]
    attributes: dict[str, str]


class Person(NamedTuple):
    """A character before it is drawn; `pose` is `None` in the hand "cel"."""

    head: whole.Head
    outfit: Outfit
    arms: list[str]
    tilt: float
    lean: float
    strokes: int
    pose: Pose | None = None


class Plan(NamedTuple):
    """What `draw_character` draws: who, in which hand, and where.

    `place` is the chin's x and y in pixels, the pixels of a unit, and the lean in
    degrees; `rng` draws the background.
    """

    person: Person
    style: Hand
    framing: str
    scene: str
    place: tuple[float, float, float, float]
    rng: np.random.Generator

    def placed(self, sheet: Canvas) -> Canvas:
        """Return a sheet whose frame is the character's."""
        x, chin, unit, lean = self.place
        return sheet.placed(x, chin, scale=unit, angle=lean)


def draw_character(
    seed: int, size: tuple[int, int] = (600, 848), hand: str = "cel"
) -> Character:
    """Draw one clothed cartoon character.

    Every hand but "cel" also turns and tilts the head (up to 45 degrees, to the
    profile), varies eyes, noses and mouths, and adds hats, hands before the face, hair
    over an eye and head shots.

    Example:
    >>> character = draw_character(7)
    >>> character.image.shape
    (848, 600, 3)

    Args:
        seed: Non-negative integer. The same seed gives the same picture; another
            size shows the same character.
        size: (width, height) in pixels, each 16 or more. Defaults to (600, 848).
        hand: One of `illustkit.samples.HANDS`: "cel" (flat, thick outlines), "thin"
            (thin coloured lines), "painted" (soft shading lit from a side, hardly a
            line), "dark" (night, sunset and coloured light), "manga" (ink, screentone
            and hatching) or "chibi" (a small body under a large head). Defaults to
            "cel".

    Returns:
        A `Character`: image (uint8 RGB), face and garment boxes (pixels), attributes.
        The face box of a head in profile is that of the skin that is seen.

    Raises:
        UserError: If `size` is too small to draw on, or there is no such hand.
    """
    plan = plan_character(seed, size, hand)
    width, height = checked_size(size)
    head, outfit, pose = plan.person.head, plan.person.outfit, plan.person.pose
    sheet = Canvas.blank((width, height), plan.style.brush)
    backdrop = sheet.placed(scale=float(width))
    backgrounds.draw_background(backdrop, plan.scene, plan.rng, height / width)
    plan.style.paled(sheet.pixels)
    body = plan.placed(sheet)
    frame, extent = draw_person(body, plan.person, plan.style)
    pose = pose or Pose(turn=0.0)
    trunk = _trunk(body, plan.style)

    return Character(
        image=plan.style.finished(sheet.picture((width, height))),
        face_box=_box(sheet, frame, extent, (width, height)),
        garment_box=_box(sheet, trunk, _corners(garments.EXTENT), (width, height)),
        attributes={
            "hand": hand,
            "view": pose.view,
            "hat": pose.hat,
            "gesture": pose.gesture,
            "hair_colour": head.hair_name,
            "hair_style": head.style,
            "fringe": head.fringe_kind,
            "eye_colour": head.eye_name,
            "skin": head.skin_name,
            "expression": head.face.expression,
            "accessory": head.accessory,
            "garment": outfit.garment,
            "garment_colour": outfit.colour,
            "pattern": outfit.pattern,
            "bottom": outfit.bottom,
            "pose": "+".join(plan.person.arms),
            "framing": plan.framing,
            "background": plan.scene,
        },
    )


def plan_character(seed: int, size: tuple[int, int], hand: str) -> Plan:
    """Choose all of a character that `draw_character` then draws."""
    width, height = checked_size(size)
    extras = np.random.default_rng((seed, 40961))  # "cel" draws from `rng` alone
    style = choose_hand(hand, extras)
    rng = np.random.default_rng(seed)
    head, outfit = whole.choose_head(rng), choose_outfit(rng)
    framing = pick(rng, ("figure", "knees", "waist", "waist", "bust"))
    scene = pick(rng, backgrounds.BACKGROUNDS)
    poses = [pick(rng, limbs.ARMS) for _ in range(2)]
    if "clasp" in poses:
        poses = ["clasp", "clasp"]
    tilt, lean = rng.uniform(-9, 9), rng.uniform(-3, 3)
    shift, grow = rng.uniform(-1, 1), rng.uniform(0.94, 1.04)
    person = Person(head, outfit, poses, tilt, lean, int(rng.integers(2**31)))
    person = restyled(person, style, extras)
    room = 3.5  # least width of the picture in units
    if hand != "cel" and not style.chibi and extras.random() < 0.25:
        framing, room = "face", extras.uniform(2.0, 2.6)
    if style.chibi:
        framing, room = pick(extras, ("chibi", "chibi bust")), 2.9
    tall, above = _FRAMINGS[framing]
    unit = grow * min(height / tall, width / room)
    # A broad picture cannot hold a broad figure lower down than its own height.
    chin = above * height if unit * tall > 0.9 * height else above * unit * tall
    spare = max(0.0, width / 2 - 1.6 * unit)
    x = width / 2 + 0.5 * shift * spare
    return Plan(person, style, framing, scene, (x, chin, unit, lean), rng)


def draw_face_icon(seed: int, size: int = 128) -> np.ndarray:
    """Draw a head on white, as one of a set of icons by a single illustrator.

    Example:
    >>> draw_face_icon(3).shape
    (128, 128, 3)

    Args:
        seed: Non-negative integer. The same seed gives the same picture.
        size: Width and height in pixels, 16 or more. Defaults to 128.

    Returns:
        uint8 RGB array `(size, size, 3)` with white corners.

    Raises:
        UserError: If `size` is too small to draw on.
    """
    checked_size((size, size))
    rng = np.random.default_rng(seed)
    head = whole.choose_head(rng, icon=True)
    tilt = rng.uniform(-6, 6)
    sheet = Canvas.blank((size, size))
    skull = sheet.placed(size / 2, 0.535 * size, scale=0.26 * size, angle=tilt)
    pen = np.random.default_rng(int(rng.integers(2**31)))
    whole.draw_head_back(skull, head, pen)
    whole.draw_head_front(skull, head, pen)
    return sheet.picture((size, size))


FACE_ICON_ATTRIBUTES = {
    "hair": tuple(HAIR),
    "hairstyle": hair.STYLES,
    "eyes": tuple(EYES),
    "expression": tuple(faces.EXPRESSIONS),
    "skin": tuple(SKINS),
    "glasses": ("no", "yes"),
    "accessory": accessories.ACCESSORIES,
}
"""What `describe_face_icon` says, and the values that it may have."""


def describe_face_icon(seed: int) -> dict[str, str]:
    """Describe the icon that `draw_face_icon` draws of a seed, without drawing it.

    Example:
    >>> describe_face_icon(3)["hair"]
    'blue'

    Args:
        seed: Non-negative integer.

    Returns:
        Dict from each name in `FACE_ICON_ATTRIBUTES` to one of its values: "hair" and
        "eyes" are colours.
    """
    head = whole.choose_head(np.random.default_rng(seed), icon=True)
    return {
        "hair": head.hair_name,
        "hairstyle": head.style,
        "eyes": head.eye_name,
        "expression": head.face.expression,
        "skin": head.skin_name,
        "glasses": "yes" if head.glasses else "no",
        "accessory": head.accessory,
    }


def draw_head(
    seed: int, size: float = 128, hand: str = "cel"
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a head on a transparent ground, to be pasted onto other pictures.

    Example:
    >>> picture, face_box = draw_head(5, size=64)
    >>> picture.shape[2]
    4

    Args:
        seed: Non-negative integer. The same seed gives the same head.
        size: Longer side of the face's box in pixels, over 0; about that in every
            hand but "cel". Defaults to 128.
        hand: As in `draw_character`. Defaults to "cel".

    Returns:
        `(picture, face_box)`: uint8 RGBA, about twice as wide as the face, and the
        face's box, float xyxy in its pixels.

    Raises:
        UserError: If `size` is not positive, or there is no such hand.
    """
    if not size > 0:
        raise UserError(f"A face has a size over 0. Received: size={size}")
    extras = np.random.default_rng((seed, 40961))
    style = choose_hand(hand, extras)
    rng = np.random.default_rng(seed)
    head = whole.choose_head(rng, icon=bool(rng.random() < 0.5))
    outfit = choose_outfit(np.random.default_rng((seed, 5)))
    tilt, strokes = rng.uniform(-14, 14), int(rng.integers(2**31))
    person = restyled(Person(head, outfit, [], tilt, 0.0, strokes), style, extras)
    unit = size / 1.94  # a face is 1.94 units wide
    side = int(np.ceil(4.2 * unit))
    shots = []
    for grey in (255, 0):
        sheet = Canvas.blank((side, side), style.brush)
        sheet.pixels[:] = grey
        skull = sheet.placed(side / 2, 0.5 * side, scale=unit, angle=person.tilt)
        frame, extent = _draw_head(skull, person, lambda: None)
        shots.append(sheet.picture((side, side)))
    # white: aC + (1-a)255; black: aC. Their difference is (1-a)255.
    alpha = 255 - (shots[0].astype(int) - shots[1]).max(axis=-1).clip(0, 255)
    colour = np.minimum(shots[1] * (255 / np.maximum(alpha, 1))[..., None], 255)
    picture = np.dstack([colour, alpha]).round().astype(np.uint8)
    picture[..., :3] = style.finished(picture[..., :3].copy())
    points = frame.to_sheet(extent) / (len(sheet.pixels) / side)
    return picture, np.concatenate([points.min(axis=0), points.max(axis=0)])


def draw_background(
    seed: int | np.random.Generator, size: tuple[int, int] = (600, 848)
) -> np.ndarray:
    """Draw the background of a character alone.

    Example:
    >>> draw_background(2, (64, 48)).shape
    (48, 64, 3)

    Args:
        seed: Non-negative integer, or a `np.random.Generator` to go on drawing from.
        size: (width, height) in pixels, each 16 or more. Defaults to (600, 848).

    Returns:
        uint8 RGB array `(height, width, 3)`.

    Raises:
        UserError: If `size` is too small to draw on.
    """
    width, height = checked_size(size)
    rng = np.random.default_rng(seed)
    sheet = Canvas.blank((width, height))
    scene = pick(rng, backgrounds.BACKGROUNDS)
    backdrop = sheet.placed(scale=float(width))
    backgrounds.draw_background(backdrop, scene, rng, height / width)
    return sheet.picture((width, height))


def restyled(person: Person, style: Hand, rng: np.random.Generator) -> Person:
    """Return a person as a hand draws it, in a pose of its own; "cel" changes none."""
    if style.name == "cel":
        return person
    pose = choose_pose(rng)
    if style.chibi:  # whose eyes are too wide to be turned far
        pose = replace(pose, turn=0.6 * pose.turn)
    arms = list(person.arms)
    if pose.gesture != "none" and arms:
        arms = ["behind", "behind"] if arms[0] == "clasp" else arms
        arms[0 if GESTURES[pose.gesture][0] < 0 else 1] = "raised"
    return person._replace(
        arms=arms,
        head=whole.vary_head(person.head, style, pose, rng),
        outfit=style.coloured(person.outfit),
        tilt=pose.tilt,
        pose=pose,
    )


def draw_person(body: Canvas, person: Person, style: Hand) -> tuple[Canvas, np.ndarray]:
    """Draw a person whose chin is at the origin of `body`.

    Returns:
        `(frame, rim)`: the frame of the face, and the rim `(n, 2)` of what is seen of
        it in that frame.
    """
    skull = body.placed(0, -0.05, angle=person.tilt)
    skull = skull.placed(0, -0.95, tall=0.92 if style.chibi else 1.0)
    trunk = _trunk(body, style)
    return _draw_head(
        skull,
        person,
        lambda: _draw_body(trunk, person.head, person.outfit, person.arms),
        chibi=style.chibi,
    )


def _trunk(body, style):
    return body.placed(0, -0.08, scale=0.56, tall=0.8) if style.chibi else body


def _draw_head(skull, person, draw_body, *, chibi=False):
    """Draw the hair behind, then what `draw_body` draws, then the face."""
    head, pose, pen = person.head, person.pose, np.random.default_rng(person.strokes)
    if pose is None:
        whole.draw_head_back(skull, head, pen)
        draw_body()
        whole.draw_head_front(skull, head, pen)
        return skull, faces.face_extent(head.face)
    whole.draw_posed_back(skull, head, pose, pen)
    draw_body()
    elbow = (0.75, 1.75) if chibi else (1.25, 2.75)
    bare = person.outfit.sleeves in ("short", "puff")
    sleeve = head.face.skin if bare else person.outfit.cloth
    whole.draw_posed_front(skull, head, pose, pen, sleeve, elbow)
    return whole.posed(skull, pose), whole.head_extent(head, pose)


def _draw_body(body, head, outfit, poses):
    skin, line = head.face.skin, head.line
    sides = list(zip((-1, 1), poses, strict=True))
    for side, pose in sides:
        if limbs.arm_is_behind(pose):
            limbs.draw_upper_arm(body, side, pose, outfit, skin, line=line)
            limbs.draw_forearm(body, side, pose, outfit, skin, line=line)
    limbs.draw_legs(body, outfit, skin, line=line)
    faces.draw_neck(body, skin, 0.29, line=line)
    if not garments.tucked(outfit):
        draw_bottom(body, outfit, line=line)
    garments.draw_torso(body, outfit, line=line)
    sides = [(side, pose) for side, pose in sides if not limbs.arm_is_behind(pose)]
    for side, pose in sides:
        limbs.draw_upper_arm(body, side, pose, outfit, skin, line=line)
    garments.draw_cut(body, outfit, line=line)
    if garments.tucked(outfit):
        draw_bottom(body, outfit, line=line)
    for side, pose in sides:
        if pose != "raised":  # drawn with the head, which it is before
            limbs.draw_forearm(body, side, pose, outfit, skin, line=line)


def checked_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return (width, height), each 16 or more; anything else is a `UserError`."""
    width, height = (operator.index(n) for n in size)
    if min(width, height) < 16:
        raise UserError(f"A picture needs 16 pixels each way. Received: size={size}")
    return width, height


def _corners(extent):
    left, top, right, bottom = extent
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _box(sheet, frame, points, size):
    """Box around `points` of a frame, in whole pixels of the picture."""
    points = (frame.to_sheet(points) - sheet.matrix[:, 2]) / sheet.unit
    low = np.maximum(np.floor(points.min(axis=0)), 0)
    high = np.minimum(np.ceil(points.max(axis=0)), size)
    return tuple(int(n) for n in (*low, *high))
