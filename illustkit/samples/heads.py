"""A whole head: what it looks like and the order its parts are drawn in."""

from dataclasses import dataclass

import numpy as np

from illustkit.samples import accessories, colours, faces, hair
from illustkit.samples.canvas import Canvas
from illustkit.samples.colours import Tones, pick
from illustkit.samples.hair import Fringe


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
