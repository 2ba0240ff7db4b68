"""Draw scenes with known faces: heads pasted on backgrounds, some half hidden.

They train and measure a detector without labelled pictures.
"""

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from illustkit.errors import UserError
from illustkit.images import read_image, read_picture, write_image
from illustkit.samples import (
    HANDS,
    draw_background,
    draw_character,
    draw_crowd,
    draw_head,
)
from illustkit.samples.hands import choose_hand
from illustkit.yolo import to_fractions, write_rows

Range = tuple[float, float]  # (least, greatest)


def cut_out(picture: np.ndarray | str | os.PathLike) -> np.ndarray:
    """Turn a picture on white into RGBA: white connected to the border is transparent.

    Args:
        picture: uint8 RGB or RGBA, or a path; RGBA is returned as it is.

    Returns:
        uint8 RGBA.
    """
    if not isinstance(picture, np.ndarray):
        read = read_picture(picture)
        if read.alpha is not None:
            return np.dstack([read.rgb, read.alpha])
        picture = read.rgb
    if picture.shape[-1] == 4:
        return picture
    framed = cv2.copyMakeBorder(
        picture, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=[255] * 3
    )
    mask = np.zeros((framed.shape[0] + 2, framed.shape[1] + 2), np.uint8)
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | 255 << 8
    cv2.floodFill(framed, mask, (0, 0), 0, (14,) * 3, (14,) * 3, flags)
    inside = (mask[2:-2, 2:-2] == 0).astype(np.uint8)
    inside = cv2.erode(inside, np.ones((3, 3), np.uint8), borderValue=1)  # pale rim
    return np.dstack([picture, cv2.GaussianBlur(inside * 255, (3, 3), 0)])


def choose_face(
    rng: np.random.Generator,
    faces: Sequence[Any] | None,
    side: float,
    hands: Sequence[str] = ("cel",),
) -> tuple[np.ndarray, np.ndarray]:
    """Return a face's RGBA, mirrored half the time, and its box of `side` pixels.

    Args:
        rng: `np.random.Generator`.
        faces: As in `draw_scene`.
        side: Longer side of the face's box in pixels.
        hands: As in `draw_scene`.

    Returns:
        `(picture, box)`: uint8 RGBA, and xyxy in its pixels, float `(4,)`.
    """
    if faces is not None:
        picture, box = _loaded_face(faces, int(rng.integers(len(faces))))
        angle = rng.uniform(-14, 14)
    elif rng.random() < 0.75 or side < 32:
        hand = _one_of(rng, hands)
        picture, box = draw_head(int(rng.integers(2**31)), side, hand)
        angle = 0.0
    else:
        picture, box = _panel(rng, side, _one_of(rng, hands))
        angle = 0.0
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
        width = picture.shape[1]
        box = np.array([width - box[2], box[1], width - box[0], box[3]])
    return _turned(picture, box, side, angle)


def _one_of(rng, hands):
    return hands[0] if len(hands) == 1 else hands[int(rng.integers(len(hands)))]


def _loaded_face(faces, index):
    face = faces[index]
    picture, box = face if isinstance(face, tuple) else (face, None)
    cached = _cut_out_file if isinstance(picture, (str, Path)) else cut_out
    picture = cached(picture)
    if box is None:
        rows, columns = np.nonzero(picture[..., 3] > 127)
        box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return picture, np.asarray(box, float)


@lru_cache(maxsize=1024)
def _cut_out_file(path):
    return cut_out(path)


def _panel(rng, side, hand):
    """Draw a character with its own background, cut around the face, as in a comic."""
    seed = int(rng.integers(2**31))
    # How large the face becomes.
    face = draw_character(seed, (150, 212), hand).face_box
    scale = side / (face[2] - face[0])
    size = int(np.clip(150 * scale, 32, 900)), int(np.clip(212 * scale, 45, 1272))
    character = draw_character(seed, size, hand)
    left, top, right, bottom = character.face_box
    room = rng.uniform((0.1, 0.3, 0.1, 0.1), (0.8, 0.9, 0.8, 1.6)) * (right - left)
    x0, y0 = max(0, int(left - room[0])), max(0, int(top - room[1]))
    x1, y1 = int(right + room[2]) + 1, int(bottom + room[3]) + 1
    cut = character.image[y0:y1, x0:x1]
    if rng.random() < 0.5:
        cut = cv2.copyMakeBorder(cut[2:-2, 2:-2], 2, 2, 2, 2, cv2.BORDER_CONSTANT)
    picture = np.dstack([cut, np.full(cut.shape[:2], 255, np.uint8)])
    return picture, np.array([left - x0, top - y0, right - x0, bottom - y0], float)


def _turned(picture, box, side, angle):
    """Scale a face to `side` pixels and rotate it; its box is scaled only."""
    height, width = picture.shape[:2]
    scale = side / max(box[2] - box[0], box[3] - box[1])
    if abs(scale - 1) < 0.02 and not angle:
        return picture, box
    middle = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    matrix = cv2.getRotationMatrix2D(tuple(middle), angle, scale)
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]])
    corners = corners @ matrix.T
    matrix[:, 2] -= corners.min(axis=0)
    size = tuple(int(np.ceil(n)) for n in np.ptp(corners, axis=0))
    if scale < 0.5:  # averaged first, since warping alone would alias
        return _turned(*_halved(picture, box), side, angle)
    turned = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR)
    middle = matrix @ (*middle, 1)
    half = scale * np.array([box[2] - box[0], box[3] - box[1]]) / 2
    return turned, np.concatenate([middle - half, middle + half])


def _halved(picture, box):
    size = max(1, picture.shape[1] // 2), max(1, picture.shape[0] // 2)
    ratio = np.tile([size[0] / picture.shape[1], size[1] / picture.shape[0]], 2)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), box * ratio


# Least visible fraction of a face's box.
VISIBLE = 0.5


def draw_scene(
    seed: int,
    *,
    size: tuple[int, int] = (640, 640),
    n_faces: tuple[int, int] = (1, 8),
    face_size: Range = (24, 400),
    backgrounds: Sequence[str | os.PathLike] | None = None,
    faces: Sequence[Any] | None = None,
    hands: Sequence[str] = ("cel",),
    crowds: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a picture with faces of many sizes, some of them partly covered.

    Heads and whole characters are pasted one over another, with things in front; at
    least half of every face stays visible. Boxes are those of the whole faces, clipped
    to the picture.

    Example:
    ```python
    image, boxes = draw_scene(7, size=(320, 240), face_size=(24, 120))
    ```

    Args:
        seed: Non-negative integer. The same arguments give the same picture.
        size: (width, height) in pixels. Defaults to (640, 640).
        n_faces: Least and greatest number of faces; there are fewer if they find no
            room. (0, 0) gives a picture without a face. Defaults to (1, 8).
        face_size: Least and greatest longer side of a face in pixels; the logarithm
            is uniform. Faces are at most 0.7 of the picture. Defaults to (24, 400).
        backgrounds: Paths of pictures to place behind and around the faces.
            Defaults to drawn backgrounds.
        faces: Faces to paste instead of drawn ones: each a picture (its path, or uint8
            RGB on white, or RGBA) or `(picture, box)`, where `box` is that of the face
            in the picture. Without a box the face is everything but the background.
            Defaults to heads and characters drawn from the seed.
        hands: Hands that draw the heads and characters, of `illustkit.samples.HANDS`.
            Two scenes in three are by one of them, the others by all. Defaults to
            ("cel",).
        crowds: Probability that the scene is a crowd instead: people of several sizes
            by one hand, as `illustkit.samples.draw_crowd` draws them, without anything
            pasted; `n_faces` and `face_size` then do not count. Defaults to 0.

    Returns:
        `(image, boxes)`: uint8 RGB `(height, width, 3)`, and float64 xyxy `(n, 4)` in
        pixels.

    Raises:
        UserError: If the size is under 16 pixels, a range is invalid, or there is no
            such hand.
    """
    width, height = (int(n) for n in size)
    low, high = (float(n) for n in face_size)
    if min(width, height) < 16 or not 0 < low <= high:
        raise UserError(
            "A scene needs 16 pixels each way and face_size=(least, greatest). "
            f"Received: {size=}, {face_size=}"
        )
    if not 0 <= n_faces[0] <= n_faces[1]:
        raise UserError(f"`n_faces` is (least, greatest). Received: {n_faces}")
    if not hands or not set(hands) <= set(HANDS):
        raise UserError(f"`hands` are of {', '.join(HANDS)}. Received: {hands}")
    # Of its own, so that the scenes of "cel" alone stay what they are.
    choice = np.random.default_rng((seed, 33029))
    if crowds and choice.random() < crowds:
        crowd = draw_crowd(seed, (width, height), _one_of(choice, hands))
        return crowd.image, crowd.face_boxes
    if choice.random() < 2 / 3:
        hands = [_one_of(choice, hands)]
    rng = np.random.default_rng((seed, 90271))
    ground = _background(rng, (width, height), backgrounds)
    if len(hands) == 1:
        ground = choose_hand(hands[0], choice).finished(ground)
    scene = _Scene(ground)
    for _ in range(int(rng.integers(0, 5))):  # things behind the faces
        _paste_thing(scene, rng, backgrounds, 0.6)
    high = min(high, 0.7 * min(width, height))
    n = int(rng.integers(n_faces[0], n_faces[1] + 1))
    sides = np.exp(rng.uniform(np.log(min(low, high)), np.log(high), n))
    for side in np.sort(sides)[::-1]:
        picture, box = choose_face(rng, faces, side, hands)
        for _ in range(6):
            if scene.paste_face(rng, picture, box):
                break
    for _ in range(int(rng.integers(0, 3))):  # things in front of the faces
        _paste_thing(scene, rng, backgrounds, 0.25)
    return scene.image, np.asarray(scene.boxes, np.float64).reshape(-1, 4)


def write_scenes(
    folder: str | os.PathLike,
    n: int,
    seed: int = 0,
    *,
    format: str = "png",
    progress: Callable[[int], object] | None = None,
    **options: Any,
) -> list[Path]:
    """Write scenes and their YOLO labels, for the training of a detector.

    Example:
    ```python
    write_scenes("scenes", 200, size=(320, 320))
    ```

    Args:
        folder: Folder for `scene-000000.png`, `scene-000000.txt`, ...
        n: Number of scenes.
        seed: Int. Two seeds have no scene in common. Defaults to 0.
        format: Extension of the pictures. Defaults to "png".
        progress: Called with the number written, after each. Defaults to none.
        **options: Passed to `draw_scene`.

    Returns:
        List of the pictures' paths.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i in range(n):
        image, boxes = draw_scene(seed * 1_000_003 + i, **options)
        path = folder / f"scene-{i:06d}.{format}"
        write_image(path, image)
        fractions = to_fractions(boxes, image.shape[1::-1])
        rows = np.concatenate([np.zeros((len(boxes), 1)), fractions], axis=1)
        write_rows(path.with_suffix(".txt"), rows, digits=6)
        paths.append(path)
        if progress is not None:
            progress(i + 1)
    return paths


class _Scene:
    """A picture, its boxes, and the face that is visible at each pixel (-1: none)."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.boxes: list[np.ndarray] = []
        self.areas: list[int] = []
        self.owner = np.full(image.shape[:2], -1, np.int16)

    def paste_face(self, rng, picture, box):
        """Paste RGBA with a face at `box` somewhere; return whether there is room."""
        height, width = self.owner.shape
        box = np.asarray(box, float)
        (w, h), middle = box[2:] - box[:2], (box[:2] + box[2:]) / 2
        margin = rng.choice([0.5, 0.25], p=[0.85, 0.15])  # 0.25: half of it outside
        limits = margin * np.array([w, h])
        at = rng.uniform(limits, np.maximum([width, height] - limits, limits + 1e-6))
        shift = np.rint(at - middle).astype(int)
        box = box + np.tile(shift, 2)
        clipped = np.clip(box, 0, [width, height, width, height])
        if np.prod(clipped[2:] - clipped[:2]) < VISIBLE * w * h:
            return False
        if not self.paste(picture, shift):
            return False
        left, top, right, bottom = np.rint(clipped).astype(int)
        self.owner[top:bottom, left:right] = len(self.boxes)
        self.boxes.append(clipped)
        self.areas.append(max(1, (right - left) * (bottom - top)))
        return True

    def paste(self, picture, shift):
        """Paste RGBA with its corner at `shift` (x, y), unless that hides a face."""
        height, width = self.owner.shape
        x, y = shift
        left, top = max(x, 0), max(y, 0)
        right = min(x + picture.shape[1], width)
        bottom = min(y + picture.shape[0], height)
        if right <= left or bottom <= top:
            return False
        inner = picture[top - y : bottom - y, left - x : right - x]
        covered = inner[..., 3] > 127
        owner = self.owner.copy()
        owner[top:bottom, left:right][covered] = -1
        visible = np.bincount(owner[owner >= 0], minlength=len(self.boxes))
        if any(n < VISIBLE * area for n, area in zip(visible, self.areas, strict=True)):
            return False
        self.owner = owner
        alpha = inner[..., 3:].astype(np.float32) / 255
        place = self.image[top:bottom, left:right]
        place[:] = np.rint(place + alpha * (inner[..., :3] - place.astype(np.float32)))
        return True


def _background(rng, size, paths):
    width, height = size
    if paths is not None and rng.random() < 0.7:
        image = _read(str(paths[int(rng.integers(len(paths)))]))
        scale = max(width / image.shape[1], height / image.shape[0])
        scale *= rng.uniform(1, 1.6)
        grown = cv2.resize(image, None, fx=scale, fy=scale) if scale != 1 else image
        grown = cv2.resize(
            grown, (max(width, grown.shape[1]), max(height, grown.shape[0]))
        )
        x = int(rng.integers(grown.shape[1] - width + 1))
        y = int(rng.integers(grown.shape[0] - height + 1))
        return grown[y : y + height, x : x + width].copy()
    return draw_background(rng, size)


@lru_cache(maxsize=256)
def _read(path):
    return read_image(path)


def _paste_thing(scene, rng, paths, largest):
    """Paste a picture or a plain shape without a face."""
    side = rng.uniform(0.05, largest) * min(scene.owner.shape)
    if paths is not None and rng.random() < 0.7:
        image = _read(str(paths[int(rng.integers(len(paths)))]))
        scale = side / max(image.shape[:2])
        size = [max(2, round(n * scale)) for n in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        thing = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    else:
        thing = _shape(rng, max(4, int(side)))
    height, width = scene.owner.shape
    scene.paste(thing, (int(rng.integers(-20, width)), int(rng.integers(-20, height))))


def _shape(rng, side):
    thing = np.zeros((side, side, 4), np.uint8)
    colour = (*(int(c) for c in rng.integers(0, 256, 3)), 255)
    kind, half = int(rng.integers(3)), side // 2
    if kind == 0:
        cv2.circle(thing, (half, half), half, colour, -1, cv2.LINE_AA)
    elif kind == 1:
        axes = half, max(2, int(half * rng.uniform(0.15, 0.5)))
        angle = float(rng.uniform(0, 180))
        cv2.ellipse(thing, (half, half), axes, angle, 0, 360, colour, -1, cv2.LINE_AA)
    else:
        thing[: max(2, int(side * rng.uniform(0.2, 1)))] = colour
    return thing
