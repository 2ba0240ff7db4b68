"""Labelled pictures, kept ready to be cut, and the batches a detector trains on."""

import json
import os
from pathlib import Path

import cv2
import numpy as np

from facescore.boxes import as_boxes, box_areas, clip_boxes
from facescore.labels import check_labels, label_path, read_labels
from illustkit.images import list_images, read_image
from illustkit.training.batches import Batches

GREY = 114  # what lies outside of a picture, as Ultralytics has it
LEAST_SIDE = 4.0  # pixels; a smaller face is not learnt
LEAST_VISIBLE = 0.4  # share of a box that must stay inside


def letterbox(image, size):
    """Scale a picture into a square, whole, with grey beside it.

    Example:
    ```python
    square, scale, offset = letterbox(image, 640)
    boxes_in_square = boxes * scale + np.tile(offset, 2)
    ```

    Args:
        image: uint8 RGB `(height, width, 3)`.
        size: Side of the square in pixels.

    Returns:
        `(square, scale, offset)`: uint8 `(size, size, 3)`; pixels of the square for one
        of the picture; and where the picture's corner lies in it, float `(x, y)`.
    """
    height, width = image.shape[:2]
    scale = size / max(height, width)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    if (w, h) != (width, height):
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = cv2.resize(image, (w, h), interpolation=how)
    x, y = (size - w) // 2, (size - h) // 2
    square = np.full((size, size, 3), GREY, np.uint8)
    square[y : y + h, x : x + w] = image
    return square, scale, np.array([x, y], float)


def random_view(pictures, rng, *, size, scale, translate=0.1, mosaic=False):
    """Make one training picture of one picture, or of four in a mosaic.

    Each picture is scaled to fit the square, times a random factor, and put where it
    covers its window as well as it can, give or take `translate`. In a mosaic four
    windows meet at a random point.

    Args:
        pictures: One or four pairs `(image, boxes)`.
        rng: `np.random.Generator`.
        size: Side of the result in pixels.
        scale: (least, greatest) factor; its logarithm is uniform.
        translate: Share of the window by which a picture may slip. Defaults to 0.1.
        mosaic: Whether there are four pictures. Defaults to `False`.

    Returns:
        `(image, boxes)`: uint8 `(size, size, 3)` and the boxes that are left. A face of
        which too little is inside is dropped.
    """
    out, found = np.full((size, size, 3), GREY, np.uint8), []
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
        part, boxes = move(image, boxes, gain, shift, room)
        out[top:bottom, left:right] = part
        found.append(boxes + np.tile([left, top], 2))
    return out, np.concatenate(found)


def move(image, boxes, gain, shift, size):
    """Scale a picture by `gain`, move it by `shift`, and cut `size` out of it.

    Args:
        image: uint8 RGB.
        boxes: xyxy in its pixels `(n, 4)`.
        gain: Pixels of the result for one of the picture.
        shift: (x, y) of the picture's corner in the result.
        size: (width, height) of the result.

    Returns:
        `(image, boxes)`, with the boxes clipped; those of which less than 0.4 stays
        inside, or less than 4 pixels, are dropped.
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
    # OpenCV counts from the middle of the first pixel, boxes from its corner.
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


def flip(image, boxes):
    """Mirror a picture and its boxes left to right."""
    width = image.shape[1]
    mirrored = as_boxes(boxes)[:, [2, 1, 0, 3]] * (-1, 1, -1, 1) + (width, 0, width, 0)
    return np.ascontiguousarray(image[:, ::-1]), mirrored


def jitter_colours(image, rng, *, hue=0.015, saturation=0.7, value=0.4):
    """Multiply hue, saturation and value by random factors.

    Args:
        image: uint8 RGB.
        rng: `np.random.Generator`.
        hue: Greatest change of the hue, as a share of the circle. Defaults to 0.015.
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


def pad_boxes(boxes, n):
    """Give boxes the fixed number of rows that a network's targets have.

    Args:
        boxes: xyxy `(m, 4)`; of more than `n` the largest stay.
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


MANIFEST, PIXELS = "pictures.json", "pictures.bin"


class LabelledPictures:
    """Pictures of many shapes in one file that is read as it is needed, and boxes.

    Example:
    ```python
    pictures = build_pictures(labelled_images("set"), side=640, cache="cache")
    image, boxes = pictures[0]
    ```

    Args:
        folder: Where `build_pictures` wrote.
        rows: For each picture a dict: path, offset, shape, scale.
        boxes: For each picture xyxy `(n, 4)` in the pixels of the stored one.
    """

    def __init__(self, folder, rows, boxes):
        self.folder, self.rows, self.boxes = Path(folder), rows, boxes
        self._pixels = np.memmap(self.folder / PIXELS, np.uint8, "r")

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index]
        start, shape = row["offset"], row["shape"]
        pixels = self._pixels[start : start + int(np.prod(shape))]
        return pixels.reshape(shape), self.boxes[index]

    @property
    def paths(self):
        """Paths of the pictures."""
        return [row["path"] for row in self.rows]

    def select(self, paths):
        """Those of the pictures whose paths are given."""
        wanted = {str(path) for path in paths}
        kept = [i for i, row in enumerate(self.rows) if row["path"] in wanted]
        rows, boxes = [self.rows[i] for i in kept], [self.boxes[i] for i in kept]
        return LabelledPictures(self.folder, rows, boxes)


def labelled_images(images):
    """Find the pictures that have labels; one without a face has an empty file.

    Args:
        images: A folder, several folders, or a list of pictures' paths.

    Returns:
        `(labelled, unlabelled)`: lists of `Path`.

    Raises:
        ValueError: where no picture is labelled, or naming every problem of the labels.
    """
    if isinstance(images, (str, Path)):
        images = [images]
    paths = []
    for path in map(Path, images):
        if not path.exists():
            raise ValueError(f"{path}: no such file or folder. Check the path.")
        paths += list_images(path) if path.is_dir() else [path]
    paths = list(dict.fromkeys(paths))
    if problems := check_labels(paths):
        more = f"\n... and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise ValueError("\n".join(problems[:20]) + more)
    labelled = [path for path in paths if label_path(path).exists()]
    if not labelled:
        raise ValueError(
            f"None of the {len(paths)} pictures has labels: there must be a .txt file "
            "beside each, or in `labels/` where they stand in `images/`."
        )
    return labelled, [path for path in paths if path not in set(labelled)]


def build_pictures(paths, *, side, cache, progress=None):
    """Store pictures, scaled down so that the longer side is `side` pixels at most.

    What was stored by an earlier call for the same files is used again. A picture takes
    `side * side * 3` bytes at most. Labels are always read anew.

    Args:
        paths: Paths of labelled pictures.
        side: Longer side in pixels.
        cache: Folder to write to.
        progress: Called with the number of pictures done. Defaults to none.

    Returns:
        `LabelledPictures`.

    Raises:
        ValueError: for a picture or a label that cannot be read.
    """
    cache = Path(cache)
    cache.mkdir(parents=True, exist_ok=True)
    stamps = [[str(p), os.stat(p).st_mtime_ns, os.stat(p).st_size] for p in paths]
    try:
        manifest = json.loads((cache / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        manifest = {}
    if manifest.get("stamps") != stamps or manifest.get("side") != side:
        manifest = {"stamps": stamps, "side": side, "rows": []}
        _store(paths, side, cache, manifest["rows"], progress)
        part = cache / (MANIFEST + ".part")
        part.write_text(json.dumps(manifest), encoding="utf-8")
        os.replace(part, cache / MANIFEST)
    boxes = []
    for row in manifest["rows"]:
        found = read_labels(label_path(row["path"]), row["size"])
        boxes.append(as_boxes([] if found is None else found) * row["scale"])
    return LabelledPictures(cache, manifest["rows"], boxes)


def _store(paths, side, cache, rows, progress):
    (cache / MANIFEST).unlink(missing_ok=True)
    offset = 0
    with open(cache / PIXELS, "wb") as file:
        for path in paths:
            image = read_image(path)
            height, width = image.shape[:2]
            scale = min(1.0, side / max(height, width))
            if scale < 1:
                size = max(1, round(width * scale)), max(1, round(height * scale))
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            file.write(np.ascontiguousarray(image).tobytes())
            rows.append(
                {
                    "path": str(path),
                    "offset": offset,
                    "shape": image.shape,
                    "size": (width, height),
                    "scale": scale,
                }
            )
            offset += image.size
            if progress is not None:
                progress(len(rows))


class DetectorBatches(Batches):
    """Batches of augmented pictures with their boxes, of one shape for ever.

    An epoch is a fixed number of pictures, and goes on in the list where the last one
    stopped.

    Args:
        pictures: `LabelledPictures`.
        preset: A `facescore.detector.training.DetectorPreset`.
        seed: Int. Defaults to 0.
    """

    def __init__(self, pictures, preset, *, seed=0):
        super().__init__(preset.epoch_size, batch_size=preset.batch_size, seed=seed)
        self.pictures, self.preset = pictures, preset
        self.order = np.random.default_rng((*self.seed, 7)).permutation(len(pictures))

    def make(self, indices, rng):
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
            if rng.random() < preset.flip:
                image, boxes = flip(image, boxes)
            image = jitter_colours(
                image,
                rng,
                hue=preset.hue,
                saturation=preset.saturation,
                value=preset.value,
            )
            images.append(image)
            rows.append(pad_boxes(boxes, preset.max_faces))
        return np.stack(images), np.stack(rows)
