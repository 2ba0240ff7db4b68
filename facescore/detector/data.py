"""Labelled pictures, their augmentation, and the batches a detector trains on."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facescore.boxes import Boxes, as_boxes, box_areas, clip_boxes
from facescore.crops import failure, read_each
from facescore.detector.views import GREY
from facescore.labels import check_labels, label_path, read_labels
from illustkit.errors import UserError
from illustkit.files import expand_user
from illustkit.images import file_stamps, list_images, store_pictures
from illustkit.images.cache import StoredPictures
from illustkit.training.batches import Batches

LEAST_SIDE = 4.0  # pixels; a smaller face is not learnt
LEAST_VISIBLE = 0.4  # fraction of a box that must stay inside


def random_view(
    pictures: Sequence[tuple[np.ndarray, Boxes]],
    rng: np.random.Generator,
    *,
    size: int,
    scale: tuple[float, float],
    translate: float = 0.1,
    mosaic: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Make one training picture of one picture, or of four in a mosaic.

    Each picture is scaled to fit the square, times a random factor, and placed so that
    it covers its window as well as it can, give or take `translate`. In a mosaic four
    windows meet at a random point.

    Args:
        pictures: One or four pairs `(image, boxes)`.
        rng: `np.random.Generator`.
        size: Side of the result in pixels.
        scale: (least, greatest) factor; its logarithm is uniform.
        translate: Fraction of the window by which a picture may shift. Defaults to 0.1.
        mosaic: Whether there are four pictures. Defaults to `False`.

    Returns:
        `(image, boxes)`: uint8 `(size, size, 3)` and its boxes. A face with too little
        of it inside is dropped.
    """
    out, moved = np.full((size, size, 3), GREY, np.uint8), []
    windows = [(0, 0, size, size)]
    if mosaic:
        x, y = (int(n) for n in rng.uniform(0.25 * size, 0.75 * size, 2))
        windows = [(0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size)]
    for (image, boxes), window in zip(pictures, windows, strict=True):
        gain = size / max(image.shape[:2]) * np.exp(rng.uniform(*np.log(scale)))
        left, top, right, bottom = window
        room = np.array([right - left, bottom - top])
        spare = room - gain * np.array(image.shape[1::-1])
        shift = rng.uniform(np.minimum(spare, 0), np.maximum(spare, 0))
        shift = shift + rng.uniform(-translate, translate, 2) * room
        view, inner = move(image, boxes, gain, shift, room)
        out[top:bottom, left:right] = view
        moved.append(inner + np.tile([left, top], 2))
    return out, np.concatenate(moved)


def move(
    image: np.ndarray,
    boxes: Boxes,
    gain: float,
    shift: Any,
    size: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Scale a picture by `gain`, move it by `shift`, and cut `size` out of it.

    Args:
        image: uint8 RGB.
        boxes: xyxy in its pixels `(n, 4)`.
        gain: Pixels of the result for one of the picture.
        shift: (x, y) of the picture's corner in the result.
        size: (width, height) of the result.

    Returns:
        `(image, boxes)`, with the boxes clipped. A box is dropped if less than 0.4 of
        it stays inside, or less than 4 pixels.
    """
    boxes = as_boxes(boxes) * gain + np.tile(shift, 2)
    clipped = clip_boxes(boxes, size)
    sides = (clipped[:, 2:] - clipped[:, :2]).min(axis=1, initial=np.inf)
    kept = box_areas(clipped) >= LEAST_VISIBLE * box_areas(boxes)
    while gain <= 0.5:  # bilinear sampling alone would skip pixels
        half = max(1, image.shape[1] // 2), max(1, image.shape[0] // 2)
        if half[0] * 2 != image.shape[1] or half[1] * 2 != image.shape[0]:
            image = image[: half[1] * 2, : half[0] * 2]
        image, gain = cv2.resize(image, half, interpolation=cv2.INTER_AREA), gain * 2
    # OpenCV counts from the centre of the first pixel, boxes from its corner.
    corner = np.asarray(shift) + 0.5 * gain - 0.5
    matrix = np.array([[gain, 0, corner[0]], [0, gain, corner[1]]])
    moved = cv2.warpAffine(
        image,
        matrix,
        tuple(int(n) for n in size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(GREY,) * 3,
    )
    return moved, clipped[kept & (sides >= LEAST_SIDE)]


def flip(image: np.ndarray, boxes: Boxes) -> tuple[np.ndarray, np.ndarray]:
    """Mirror a picture and its boxes left to right."""
    width = image.shape[1]
    mirrored = as_boxes(boxes)[:, [2, 1, 0, 3]] * (-1, 1, -1, 1) + (width, 0, width, 0)
    return np.ascontiguousarray(image[:, ::-1]), mirrored


def jitter_colours(
    image: np.ndarray,
    rng: np.random.Generator,
    *,
    hue: float = 0.015,
    saturation: float = 0.7,
    value: float = 0.4,
) -> np.ndarray:
    """Shift the hue, and multiply saturation and value by random factors.

    Args:
        image: uint8 RGB.
        rng: `np.random.Generator`.
        hue: Greatest shift of the hue, as a fraction of the circle. Defaults to 0.015.
        saturation: Greatest relative change. Defaults to 0.7.
        value: Greatest relative change. Defaults to 0.4.

    Returns:
        uint8 RGB of the same shape.
    """
    turn, *factors = rng.uniform(-1, 1, 3) * (hue * 180, saturation, value)
    levels = np.arange(256)
    tables = [np.mod(levels + turn, 180)]
    tables += [np.clip(levels * (1 + f), 0, 255) for f in factors]
    table = np.stack(tables, axis=-1).astype(np.uint8)[None]
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    return cv2.cvtColor(cv2.LUT(hsv, table), cv2.COLOR_HSV2RGB)


def rotate(
    image: np.ndarray, boxes: Boxes, angle: float
) -> tuple[np.ndarray, np.ndarray]:
    """Turn a picture about its middle; what lies outside is grey.

    A face is about an ellipse: its new box is that of the turned ellipse within the
    old box, `w' = sqrt((w cos a)² + (h sin a)²)`, where the box of the turned corners
    would be too large.

    Args:
        image: uint8 RGB.
        boxes: xyxy in its pixels `(n, 4)`.
        angle: Degrees, counterclockwise.

    Returns:
        `(image, boxes)`, with the boxes clipped; a box is dropped as in `move`.
    """
    boxes = as_boxes(boxes)
    height, width = image.shape[:2]
    middle = np.array([width, height]) / 2
    # OpenCV counts from the centre of the first pixel, boxes from its corner.
    matrix = cv2.getRotationMatrix2D(tuple(middle - 0.5), angle, 1.0)
    turned = cv2.warpAffine(
        image,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(GREY,) * 3,
    )
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 - middle
    centres = centres @ np.array([[cos, -sin], [sin, cos]]) + middle
    sizes = boxes[:, 2:] - boxes[:, :2]
    halves = np.stack(
        [
            np.hypot(sizes[:, 0] * cos, sizes[:, 1] * sin),
            np.hypot(sizes[:, 0] * sin, sizes[:, 1] * cos),
        ],
        axis=-1,
    )
    halves = halves / 2
    moved = np.concatenate([centres - halves, centres + halves], axis=-1)
    clipped = clip_boxes(moved, (width, height))
    kept = box_areas(clipped) >= LEAST_VISIBLE * box_areas(moved)
    sides = (clipped[:, 2:] - clipped[:, :2]).min(axis=1, initial=np.inf)
    return turned, clipped[kept & (sides >= LEAST_SIDE)]


def restyle(image: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """Draw a picture by another hand: grey, tinted, dark, screened, in lines, worn.

    Each of these happens by itself: light from a colour, greys (half of them as a
    screentone or as lines alone), another gamma, a blur, noise, JPEG.

    Args:
        image: uint8 RGB.
        rng: `np.random.Generator`.
        share: Probability of each.

    Returns:
        uint8 RGB of the same shape.
    """
    if rng.random() < share:
        light = rng.uniform(0.55, 1.15, 3)
        image = np.clip(image * light, 0, 255).astype(np.uint8)
    if rng.random() < share:
        gamma = np.exp(rng.uniform(-0.9, 0.7))
        levels = 255 * (np.arange(256) / 255) ** gamma
        image = cv2.LUT(image, levels.round().astype(np.uint8))
    if rng.random() < share:
        image = np.repeat(_grey(image, rng)[..., None], 3, axis=-1)
    if rng.random() < share:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.6))
    if rng.random() < share:
        noise = rng.normal(0, rng.uniform(2, 12), image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < share:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))]
        code = cv2.imencode(".jpg", image[..., ::-1], quality)[1]
        decoded: Any = cv2.imdecode(code, cv2.IMREAD_COLOR)
        image = decoded[..., ::-1]
    return np.ascontiguousarray(image)


def _grey(image, rng):
    """Return a grey picture: as it is, screened with dots, or its lines alone."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    kind = rng.random()
    if kind < 0.5:
        return grey
    if kind < 0.75:  # dots at 45 degrees, whose size follows the tone
        y, x = np.mgrid[: grey.shape[0], : grey.shape[1]]
        step = rng.uniform(3, 6)
        u, v = (x + y) * np.pi / step, (x - y) * np.pi / step
        screen = 127.5 + 127.5 * np.cos(u) * np.cos(v)
        tone = np.where(grey > screen, 255, 40)
        lines = grey < 80  # ink stays ink
        return np.where(lines, grey, 0.3 * grey + 0.7 * tone).astype(np.uint8)
    blurred = cv2.GaussianBlur(grey, (0, 0), rng.uniform(1.5, 4)).astype(int)
    lines = 255 - np.clip((blurred - grey - 2) * rng.uniform(4, 9), 0, 255)
    return lines.astype(np.uint8)


def pad_boxes(boxes: Boxes, n: int) -> np.ndarray:
    """Pad boxes to the fixed number of rows that a network's targets have.

    Args:
        boxes: xyxy `(m, 4)`; if there are more than `n`, the largest stay.
        n: Number of rows.

    Returns:
        float32 `(n, 5)`: the box and 1, or zeros.
    """
    boxes = as_boxes(boxes)
    if len(boxes) > n:
        boxes = boxes[np.argsort(-box_areas(boxes), kind="stable")[:n]]
    rows = np.zeros((n, 5), np.float32)
    rows[: len(boxes), :4], rows[: len(boxes), 4] = boxes, 1
    return rows


class LabelledPictures:
    """Pictures of many shapes in one file that is read as needed, and their boxes.

    Example:
    ```python
    pictures = build_pictures(labelled_images("set")[0], side=640, cache="cache")
    image, boxes = pictures[0]
    ```

    Args:
        pictures: `StoredPictures`; its rows say "path" and "scale".
        boxes: For each picture xyxy `(n, 4)` in the pixels of the stored picture.
    """

    def __init__(self, pictures: StoredPictures, boxes: list[np.ndarray]) -> None:
        self.pictures, self.boxes = pictures, boxes

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.pictures[index], self.boxes[index]

    @property
    def paths(self) -> list[str]:
        """Paths of the pictures."""
        return [row["path"] for row in self.pictures.rows]

    def select(self, paths: Iterable[str | os.PathLike]) -> "LabelledPictures":
        """Return the pictures of the given paths, without loading them.

        Args:
            paths: Paths as given to `build_pictures`.
        """
        names = {str(path) for path in paths}
        kept = [i for i, path in enumerate(self.paths) if path in names]
        return LabelledPictures(
            self.pictures.select(kept), [self.boxes[i] for i in kept]
        )


def labelled_images(
    images: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    face_class: int | None = None,
) -> tuple[list[Path], list[Path]]:
    """Find the pictures that have labels; one without a face has an empty file.

    Args:
        images: A folder, several folders, or a list of pictures' paths.
        face_class: See `facescore.read_labels`.

    Returns:
        `(labelled, unlabelled)`: lists of `Path`.

    Raises:
        UserError: If no picture is labelled; or naming every problem of the labels.
    """
    if isinstance(images, (str, os.PathLike)):
        images = [images]
    paths: list[Path] = []
    for path in map(expand_user, images):
        if not (path.exists() or path.is_symlink()):  # a dead link is left out later
            raise UserError(f"{path}: no such file or folder. Check the path.")
        paths += list_images(path) if path.is_dir() else [path]
    paths = list(dict.fromkeys(paths))
    if problems := check_labels(paths, face_class=face_class):
        more = [f"... and {len(problems) - 20} more"] if len(problems) > 20 else []
        raise UserError(problems[:20] + more)
    labelled = [path for path in paths if label_path(path).exists()]
    if not labelled:
        raise UserError(
            f"None of the {len(paths)} pictures has labels: there must be a .txt file "
            "beside each, or in `labels/` if they are in `images/`."
        )
    return labelled, [path for path in paths if path not in set(labelled)]


def build_pictures(
    paths: Iterable[str | os.PathLike],
    *,
    side: int,
    cache: str | os.PathLike,
    face_class: int | None = None,
    left_out: list[tuple[Path, str]] | None = None,
    progress: Callable[[int], object] | None = None,
) -> LabelledPictures:
    """Store pictures, scaled down so that the longer side is `side` pixels at most.

    What an earlier call stored for the same files is used again. A picture takes
    `side * side * 3` bytes at most. Labels are always read anew.

    Args:
        paths: Paths of labelled pictures.
        side: Longer side in pixels.
        cache: Folder to write to.
        face_class: See `facescore.read_labels`.
        left_out: List that receives pairs (path, reason) of the pictures that cannot
            be read. Defaults to none: they raise an error.
        progress: Called with the number of pictures done. Defaults to none.

    Returns:
        `LabelledPictures`.

    Raises:
        UserError: If a picture or a label cannot be read.
    """
    paths, gone = list(map(str, paths)), {}
    for path in paths:
        try:
            os.stat(path)
        except OSError as error:
            gone[path] = failure(path, error)
    there = [path for path in paths if path not in gone]

    def fill(writer):
        damaged: list[tuple[str, str]] = []
        for path, image in read_each(there, damaged, progress):
            height, width = image.shape[:2]
            scale = min(1.0, side / max(height, width))
            if scale < 1:
                size = max(1, round(width * scale)), max(1, round(height * scale))
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            writer.add(image, path=path, size=(width, height), scale=scale)
        writer.details["left_out"] = dict(damaged)

    stored = store_pictures(
        cache,
        {"side": side, "files": file_stamps(there)},
        fill,
        obsolete=("pictures.bin",),
    )
    gone |= stored.details.get("left_out", {})
    if gone and left_out is None:
        raise UserError(list(gone.values()))
    if left_out is not None:
        left_out += [(Path(path), reason) for path, reason in gone.items()]
    boxes = []
    for row in stored.rows:
        size = tuple(row["size"])
        labels = read_labels(label_path(row["path"]), size, face_class=face_class)
        boxes.append(as_boxes([] if labels is None else labels) * row["scale"])
    return LabelledPictures(stored, boxes)


class DetectorBatches(Batches):
    """Batches of augmented pictures and their boxes, all of one shape.

    An epoch is a fixed number of pictures. It continues in the list where the epoch
    before ended.

    Args:
        pictures: `LabelledPictures`.
        preset: A `facescore.detector.training.DetectorPreset`.
        seed: Int. Defaults to 0.
    """

    def __init__(self, pictures: LabelledPictures, preset: Any, *, seed: int = 0):
        super().__init__(preset.epoch_size, batch_size=preset.batch_size, seed=seed)
        self.pictures, self.preset = pictures, preset
        self.order = np.random.default_rng((*self.seed, 7)).permutation(len(pictures))

    def make(
        self, indices: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        preset, n = self.preset, len(self.pictures)
        images, rows = [], []
        open_mosaic = self.epoch < preset.epochs - preset.close_mosaic
        for index in indices:
            first = self.order[(self.epoch * self.size + int(index)) % n]
            mosaic = open_mosaic and rng.random() < preset.mosaic
            chosen = [first, *rng.integers(n, size=3)] if mosaic else [first]
            image, boxes = random_view(
                [self.pictures[i] for i in chosen],
                rng,
                size=preset.image_size,
                scale=preset.scale,
                translate=preset.translate,
                mosaic=mosaic,
            )
            if preset.rotate:
                # The cube of a uniform number: mostly upright, as heads are.
                turn = rng.uniform(-1, 1) ** 3 * preset.rotate
                image, boxes = rotate(image, boxes, turn)
            if rng.random() < preset.flip:
                image, boxes = flip(image, boxes)
            image = jitter_colours(
                image,
                rng,
                hue=preset.hue,
                saturation=preset.saturation,
                value=preset.value,
            )
            if preset.restyle:
                image = restyle(image, rng, preset.restyle)
            images.append(image)
            rows.append(pad_boxes(boxes, preset.max_faces))
        return np.stack(images), np.stack(rows)
