"""A whole head: what it looks like and the order its parts are drawn in."""

from dataclasses import dataclass, replace

import numpy as np

from illustkit.samples import colours, limbs
from illustkit.samples.canvas import Canvas
from illustkit.samples.colours import Tones, pick
from illustkit.samples.curves import ellipse, sides
from illustkit.samples.hands import Hand
from illustkit.samples.heads import accessories, faces, hair, profile
from illustkit.samples.heads.hair import Fringe
from illustkit.samples.heads.poses import GESTURES, Pose, Turn


@dataclass(frozen=True)
class Head:
    """Describes a head; the names are those of the tables they come from."""

    face: faces.Face
    skin_name: str
    hair: Tones
    hair_name: str
    eye_name: str
    style: str
    fringe: Fringe
    fringe_kind: str
    side_locks: float
    length: float
    reach: float
    stray_lock: bool
    accessory: str
    side: int
    ribbon: Tones
    glasses: bool
    mark: str
    line: float


def choose_head(rng: np.random.Generator, *, icon: bool = False) -> Head:
    """Choose a random `Head`; with `icon`, one of a set drawn in a single style."""
    hair_name, eye_name = pick(rng, colours.HAIR), pick(rng, colours.EYES)
    skin_name = _pick_skin(rng)
    style, fringe_kind = pick(rng, hair.STYLES), pick(rng, hair.FRINGES)
    if style == "spiky" and fringe_kind == "blunt":
        fringe_kind = "spiky"
    tones = colours.tones(colours.HAIR[hair_name])
    line = 0.046 if icon else 0.034
    if icon:
        tones = tones._replace(line=colours.INK)
        skin = colours.SKINS[skin_name]._replace(line=(112, 58, 60))
    else:
        skin = colours.SKINS[skin_name]
    yaw = float(rng.uniform(-1, 1))
    face = faces.Face(
        skin=skin,
        iris=colours.tones(colours.EYES[eye_name]),
        brow=tones.line,
        lash=colours.mix(colours.INK, tones.line, 0.4),
        expression=pick(rng, (*faces.EXPRESSIONS, "smile", "smile", "joy", "eager")),
        slant=float(rng.uniform(-0.12, 0.16)),
        eye_scale=1.06 if icon else float(rng.uniform(0.94, 1.08)),
        jaw=float(rng.uniform(-0.3, 0.8)) if not icon else 0.6,
        yaw=0.4 * yaw if icon else yaw,
        gaze=float(rng.uniform(-0.6, 0.6)),
        lashes=bool(style != "spiky" and rng.random() < 0.8),
        pupil=pick(rng, ("round",) * 18 + ("heart", "star")),
        line=line,
    )
    long_sides = style in ("long", "wavy", "medium", "twin tails", "ponytail")
    locks = 0.0
    if long_sides and rng.random() < 0.75:
        locks = float(rng.uniform(0.9, 1.2 if icon else 1.9))
    roomy = icon and style in ("short", "spiky", "bob", "medium", "long", "plaits")
    marks = ("heart", "note", "drop", "spark") if roomy else ()
    side_length = float(rng.uniform(0.35, 0.7))
    return Head(
        face=face,
        skin_name=skin_name,
        hair=tones,
        hair_name=hair_name,
        eye_name=eye_name,
        style=style,
        fringe=hair.make_fringe(fringe_kind, rng, side_length=side_length),
        fringe_kind=fringe_kind,
        side_locks=locks,
        length=1.22 if icon else float(rng.uniform(2.2, 3.6)),
        reach=0.42 if icon else 1.0,
        stray_lock=bool(rng.random() < 0.3),
        accessory=pick(rng, accessories.ACCESSORIES),
        side=int(rng.choice((-1, 1))),
        ribbon=colours.tones(colours.CLOTH[pick(rng, _RIBBONS)], line=0.75),
        glasses=bool(rng.random() < 0.1),
        mark=pick(rng, (*marks, "none", "none", "none", "none")),
        line=line,
    )


_RIBBONS = ("red", "pink", "yellow", "sky", "mint", "white", "purple", "orange")


def _pick_skin(rng):
    return pick(rng, ("fair", "fair", "fair", "light", "light", "tan", "brown"))


def draw_head_back(canvas: Canvas, head: Head, rng: np.random.Generator) -> None:
    """Draw the hair that lies behind the body."""
    hair.draw_back_hair(
        canvas,
        head.style,
        head.hair,
        rng,
        side=head.side,
        line=head.line,
        length=head.length,
        reach=head.reach,
    )


def draw_head_front(canvas: Canvas, head: Head, rng: np.random.Generator) -> None:
    """Draw the face and the hair before it, after the body."""
    face, tones, line = head.face, head.hair, head.line
    faces.draw_ears(canvas, face)
    faces.draw_face(canvas, face, shadow=head.fringe.outline)
    if head.glasses:
        accessories.draw_glasses(canvas, face, tones, line=line)
    if head.style == "plaits":
        hair.draw_plaits(canvas, tones, min(head.length, 2.4), head.ribbon, line=line)
    if head.side_locks:
        hair.draw_side_locks(canvas, tones, head.side_locks, rng, line=line)
    if head.stray_lock:
        accessories.draw_stray_lock(canvas, tones, head.side, line=line)
    hair.draw_fringe(canvas, head.fringe, tones, rng, line=line)
    faces.draw_brows(canvas, face)
    accessories.draw_tie(canvas, head.style, head.side, head.ribbon, line=line)
    if head.mark != "none":
        accessories.draw_mark(canvas, head.mark, -head.side, line=line)
    accessories.draw_accessory(
        canvas, head.accessory, head.ribbon, head.side, line=line
    )


_MOUTHS = ("shout", "teeth", "small", "lips", "tilted", "wave", "round", "flat")
_STATES = ("closed", "shut", "half", "half", "wide")


def vary_head(head: Head, hand: Hand, pose: Pose, rng: np.random.Generator) -> Head:
    """Return a head as a hand other than "cel" draws it: eyes, nose, mouth, colours."""
    tall = float(rng.uniform(0.72, 1.12))
    states = ("", "")
    if rng.random() < 0.22:
        states = (pick(rng, _STATES),) * 2
    face = replace(
        head.face,
        turn=pose.turn,
        states=states,
        mouth=pick(rng, _MOUTHS) if rng.random() < 0.35 else "",
        eye_tall=tall,
        eye_wide=float(rng.uniform(0.88, 1.12)),
        eye_scale=float(rng.uniform(0.8, 1.12)),
        iris_size=float(rng.uniform(0.72, 1.1)),
        slant=float(rng.uniform(-0.16, 0.22)),
        shine=pick(rng, ("one", "one", "two", "low", "none")),
        nose=pick(rng, ("hook", "dot", "shade", "bridge", "none")),
        blush=float(rng.uniform(-0.8, 0.3)),
        yaw=0.3 * head.face.yaw,
    )
    fringe = head.fringe
    if hand.chibi:
        face = replace(
            face,
            eye_scale=float(rng.uniform(1.05, 1.25)),
            eye_tall=float(rng.uniform(0.9, 1.15)),
            nose=pick(rng, ("none", "none", "dot")),
            jaw=1.0,
            lashes=False,
        )
    if pose.profile:
        fringe = hair.make_side_fringe(rng)
    return hand.coloured(replace(head, face=face, fringe=fringe))


def posed(canvas: Canvas, pose: Pose) -> Canvas:
    """Return the frame that the face and hair of a head in a pose are drawn in."""
    if pose.profile:
        return canvas if pose.turn > 0 else canvas.placed(flip=True)
    return canvas.turned(Turn(pose.turn, pose.pitch))


def head_extent(head: Head, pose: Pose) -> np.ndarray:
    """Return the rim `(n, 2)` of the face that is seen, in the frame `posed` gives."""
    if pose.profile:
        return profile.profile_extent(head.face)
    return np.maximum(faces.face_outline(head.face), (-2.0, -0.75))


def draw_posed_back(
    canvas: Canvas, head: Head, pose: Pose, rng: np.random.Generator
) -> None:
    """Draw the hair that lies behind the body, of a head in a pose."""
    draw_head_back(canvas if pose.profile else posed(canvas, pose), head, rng)


def draw_posed_front(
    canvas: Canvas,
    head: Head,
    pose: Pose,
    rng: np.random.Generator,
    sleeve: Tones,
    elbow: tuple[float, float] = (1.25, 2.75),
) -> None:
    """Draw the face and all before it, of a head in a pose.

    Args:
        canvas: Sheet in the head's frame.
        head: What to draw, from `vary_head`.
        pose: How it is held.
        rng: NumPy generator.
        sleeve: Of the arm of a hand before the face.
        elbow: Where that arm begins on the right, in the head's frame.
    """
    face, tones, line = head.face, head.hair, head.line
    part = posed(canvas, pose)
    if pose.profile:
        profile.draw_profile(part, face, shadow=head.fringe.outline)
        hair.draw_fringe(part, head.fringe, tones, rng, line=line)
        profile.draw_profile_brow(part, face)
    else:
        bare = replace(
            head,
            accessory="none" if pose.hat != "none" else head.accessory,
            stray_lock=head.stray_lock and pose.hat == "none",
            mark="none",
        )
        draw_head_front(part, bare, rng)
        if pose.veil:
            accessories.draw_veil(part, tones, pose.veil, line=line)
    if pose.hat != "none":
        hat = canvas.placed(0.06 * pose.turn, 0.05 * pose.pitch)
        lining = head.ribbon._replace(base=head.ribbon.light)
        accessories.draw_hat(hat, pose.hat, head.ribbon, lining, line=line)
    if pose.gesture != "none":
        _draw_gesture(canvas, pose.gesture, face.skin, sleeve, elbow, line)


def _draw_gesture(canvas, gesture, skin, sleeve, elbow, line):
    """Draw a hand before the face and its forearm, which ends round at the elbow."""
    x, y, angle, kind = GESTURES[gesture]
    wrist, bend = np.array((x, y)), np.array(elbow) * (np.sign(x), 1)
    palm = canvas.placed(x, y, scale=1.45, angle=angle)
    limbs.draw_hand(palm, kind, skin, line=line / 1.45)
    way = (bend - wrist) / np.hypot(*(bend - wrist))
    left, right = sides([wrist, (wrist + bend) / 2, bend], [0.19, 0.24, 0.25])
    turn = float(np.degrees(np.arctan2(way[1], way[0])))
    cap = ellipse(*bend, 0.25, angle=turn, start=90, stop=-90, count=12)
    arm = np.concatenate([left, cap, right[::-1]])
    with canvas.inside(arm) as part:
        part.wash([(0, sleeve.base)])
        part.fill(arm + (0.2, 0.05), sleeve.dark)
    canvas.outline(arm, sleeve.line, line)
