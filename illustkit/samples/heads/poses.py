"""How a head is held and what hides a part of it; for every hand but "cel"."""

from dataclasses import dataclass

import numpy as np

from illustkit.samples.colours import pick

HATS = ("cap", "beanie", "brim", "hood", "ears")
# Where a hand is before the face: its wrist in the frame of the head, the angle of its
# fingers (0: down), and the kind of hand.
GESTURES = {
    "chin": (-0.5, 1.3, 150.0, "fist"),
    "cheek": (-0.95, 1.1, 172.0, "relaxed"),
    "mouth": (0.35, 1.35, 160.0, "relaxed"),
    "peace": (-0.95, 0.75, 165.0, "peace"),
    "brow": (1.05, 0.1, 140.0, "open"),
}


@dataclass(frozen=True)
class Pose:
    """Says how a head is held.

    Args:
        turn: From -1 (three quarters to the left) over 0 to 1 (to the right).
        profile: Whether the head is seen from the side that `turn` points to.
        pitch: From -1 (looks up) to 1 (looks down).
        tilt: Degrees, clockwise.
        hat: One of `HATS`, or "none".
        gesture: One of `GESTURES`, or "none".
        veil: Side (-1 or 1) of the eye that hair hides; 0 for none.
    """

    turn: float = 0.0
    profile: bool = False
    pitch: float = 0.0
    tilt: float = 0.0
    hat: str = "none"
    gesture: str = "none"
    veil: int = 0

    @property
    def view(self) -> str:
        """Name of the view: "profile", "three-quarter" or "front"."""
        if self.profile:
            return "profile"
        return "three-quarter" if abs(self.turn) > 0.4 else "front"


_PROFILE = 0.88  # the part of heads that are not in profile


def choose_pose(rng: np.random.Generator) -> Pose:
    """Choose a random `Pose`."""
    kind = rng.random()
    turn = float(rng.uniform(-0.3, 0.3))
    if kind > 0.45:
        turn = float(rng.choice((-1, 1)) * rng.uniform(0.45, 1.0))
    wide = rng.random() < 0.22
    tilt = float(rng.uniform(-45, 45) if wide else rng.normal(0, 9))
    hat = pick(rng, HATS) if rng.random() < 0.16 else "none"
    gesture = pick(rng, GESTURES) if rng.random() < 0.1 else "none"
    if kind > _PROFILE:
        gesture = "none"
    veil = int(rng.choice((-1, 1))) if rng.random() < 0.08 else 0
    return Pose(
        turn=turn,
        profile=bool(kind > _PROFILE),
        pitch=float(np.clip(rng.normal(0, 0.4), -1, 1)),
        tilt=float(np.clip(tilt, -45, 45)),
        hat=hat,
        gesture=gesture,
        veil=veil,
    )


class Turn:
    """Moves points of a head seen from the front to where they are once it is turned.

    The features slide over a ball, so the far half gets narrower; the outline of the
    skull stays where it is. Points are `(..., 2)` in the frame of the head.

    Args:
        turn: As in `Pose`.
        pitch: As in `Pose`.
    """

    def __init__(self, turn: float, pitch: float = 0.0) -> None:
        self.shift = 0.4 * turn  # of the middle of the face, in units
        self.drop = 0.11 * pitch

    def __call__(self, points: np.ndarray) -> np.ndarray:
        x, y = points[..., 0], points[..., 1]
        # Half width of the skull at each height; hair and chin hang under it.
        dome = np.clip((y + 0.26) / 1.3, -1, 0)
        half = 1.12 * np.sqrt(np.maximum(1 - dome**2, 1e-4))
        ratio = np.abs(x) / half
        near = x * self.shift < 0
        # The near cheek moves in, up to the temple, where hair begins.
        hold = np.where(near, 1 - 0.5 * np.clip((y + 0.3) / 0.4, 0, 1), 1.0)
        slide = 1 - hold * np.minimum(ratio, 1) ** 2
        slide *= np.clip((1.6 - ratio) / 0.6, 0, 1) * np.clip((2.4 - y) / 1.3, 0, 1)
        level = np.clip(1 - ((y + 0.15) / 1.3) ** 2, 0, 1)
        return np.stack([x + self.shift * slide, y + self.drop * level], axis=-1)
