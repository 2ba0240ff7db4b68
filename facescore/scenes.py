"""Scenes with known faces: heads pasted on backgrounds, some of them half hidden.

They train and measure a detector wherever no labelled pictures are at hand.
"""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from facescore.boxes import convert_boxes
from facescore.scene_faces import choose_face
from illustkit.images import read_image, write_image
from illustkit.samples import draw_background

# A face counts where at least this share of its box can be seen.
VISIBLE = 0.5


def draw_scene(
    seed,
    *,
    size=(640, 640),
    n_faces=(1, 8),
    face_size=(24, 400),
    backgrounds=None,
    faces=None,
):
    """Draw a picture with faces of many sizes, some of them partly covered.

    Heads and whole characters are pasted one over another, with things before them; of
    every face at least half stays visible. Boxes are those of the whole faces, as
    far as they lie inside the picture.

    Example:
    ```python
    image, boxes = draw_scene(7, size=(320, 240), face_size=(24, 120))
    ```

    Args:
        seed: Non-negative integer. The same arguments give the same picture.
        size: (width, height) in pixels. Defaults to (640, 640).
        n_faces: Least and greatest number of faces; fewer where they find no room.
            (0, 0) gives a picture without a face. Defaults to (1, 8).
        face_size: Least and greatest longer side of a face in pixels; the logarithm
            is uniform. Faces are at most 0.7 of the picture. Defaults to (24, 400).
        backgrounds: Paths of pictures to lie behind and about the faces.
            Defaults to drawn backgrounds.
        faces: Faces to paste in the place of drawn ones: each a picture (its path, or
            uint8 RGB on white, or RGBA) or `(picture, box)`, where `box` is that of
            the face in the picture. Without a box the face is all of what is not
            background. Defaults to heads and characters drawn from the seed.

    Returns:
        `(image, boxes)`: uint8 RGB `(height, width, 3)`, and float64 xyxy `(n, 4)` in
        pixels.

    Raises:
        ValueError: for a size under 16 pixels or a range that is none.
    """
    width, height = (int(n) for n in size)
    low, high = (float(n) for n in face_size)
    if min(width, height) < 16 or not 0 < low <= high:
        raise ValueError(
            "A scene needs 16 pixels each way and face_size=(least, greatest). "
            f"Received: {size=}, {face_size=}"
        )
    if not 0 <= n_faces[0] <= n_faces[1]:
        raise ValueError(f"n_faces is (least, greatest). Received: {n_faces}")
    rng = np.random.default_rng((seed, 90271))
    scene = _Scene(_background(rng, (width, height), backgrounds))
    for _ in range(int(rng.integers(0, 5))):  # things behind the faces
        _paste_thing(scene, rng, backgrounds, 0.6)
    high = min(high, 0.7 * min(width, height))
    wanted = int(rng.integers(n_faces[0], n_faces[1] + 1))
    sides = np.exp(rng.uniform(np.log(min(low, high)), np.log(high), wanted))
    for side in np.sort(sides)[::-1]:
        picture, box = choose_face(rng, faces, side)
        for _ in range(6):
            if scene.paste_face(rng, picture, box):
                break
    for _ in range(int(rng.integers(0, 3))):  # things before the faces
        _paste_thing(scene, rng, backgrounds, 0.25)
    return scene.image, np.asarray(scene.boxes, np.float64).reshape(-1, 4)


def write_scenes(folder, n, seed=0, *, format="png", progress=None, **options):
    """Write scenes and their YOLO labels, as a detector trains on them.

    Example:
    ```python
    write_scenes("scenes", 200, size=(320, 320))
    ```

    Args:
        folder: Where `scene-000000.png`, `scene-000000.txt`, ... go.
        n: Number of scenes.
        seed: Int. Two seeds share no scene. Defaults to 0.
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
        size = image.shape[1::-1]
        yolo = convert_boxes(boxes, "xyxy", "yolo", size)
        text = "".join("0 " + " ".join(f"{v:.6f}" for v in b) + "\n" for b in yolo)
        path.with_suffix(".txt").write_text(text, encoding="utf-8")
        paths.append(path)
        if progress is not None:
            progress(i + 1)
    return paths


class _Scene:
    """A picture, its boxes, and which face is seen at which pixel (-1: none)."""

    def __init__(self, image):
        self.image, self.boxes, self.areas = image, [], []
        self.owner = np.full(image.shape[:2], -1, np.int16)

    def paste_face(self, rng, picture, box):
        """Paste RGBA with a face at `box` somewhere; False where there is no room."""
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
        """Lay RGBA with its corner at `shift` (x, y), unless that hides a face."""
        height, width = self.owner.shape
        x, y = shift
        left, top = max(x, 0), max(y, 0)
        right = min(x + picture.shape[1], width)
        bottom = min(y + picture.shape[0], height)
        if right <= left or bottom <= top:
            return False
        part = picture[top - y : bottom - y, left - x : right - x]
        covered = part[..., 3] > 127
        owner = self.owner.copy()
        owner[top:bottom, left:right][covered] = -1
        seen = np.bincount(owner[owner >= 0], minlength=len(self.boxes))
        if any(n < VISIBLE * area for n, area in zip(seen, self.areas, strict=True)):
            return False
        self.owner = owner
        alpha = part[..., 3:].astype(np.float32) / 255
        place = self.image[top:bottom, left:right]
        place[:] = np.rint(place + alpha * (part[..., :3] - place.astype(np.float32)))
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
    """Paste a picture or a plain shape that is no face."""
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
