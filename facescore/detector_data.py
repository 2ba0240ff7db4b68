"""Labelled pictures, kept ready to be cut, and the batches a detector trains on."""

import json
import os
from pathlib import Path

import cv2
import numpy as np

from facescore.augmentation import flip, jitter_colours, pad_boxes, random_view
from facescore.boxes import as_boxes
from facescore.labels import check_labels, label_path, read_labels
from illustkit.batches import Batches
from illustkit.images import list_images, read_image

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
        preset: A `facescore.presets.DetectorPreset`.
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
