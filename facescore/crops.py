"""The faces of a folder as pictures of their own, and a table of where each is from."""

import csv
import io
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facescore.boxes import Face
from facescore.labels import label_path, read_labels
from illustkit.files import write_whole
from illustkit.images import check_image, list_images, read_image, write_image

MARGIN = 0.30, 0.15, 0.0
OUTSIDE = "edge", "white"


def crop_region(box, *, margin=MARGIN, square=True):
    """The part of a picture's plane that a crop shows; it may reach beyond the picture.

    Args:
        box: (left, top, right, bottom) of the face in pixels.
        margin: (top, sides, bottom), each a share of the face: of its height above and
            below, of its width on either side. Negative cuts into the face.
        square: Grow the shorter side about the centre until the region is square.

    Returns:
        (left, top, right, bottom), float pixels.

    Raises:
        ValueError: for a box without area, or a margin that leaves nothing.
    """
    left, top, right, bottom = (float(v) for v in box)
    width, height = right - left, bottom - top
    above, sides, below = _margin(margin)
    if not (width > 0 and height > 0 and math.isfinite(width + height)):
        raise ValueError(f"A face's box has an area. Received: {tuple(box)}")
    left, right = left - sides * width, right + sides * width
    top, bottom = top - above * height, bottom + below * height
    if not (right > left and bottom > top):
        raise ValueError(f"The margin leaves nothing of the face. Received: {margin}")
    if square:
        half = max(right - left, bottom - top) / 2
        x, y = (left + right) / 2, (top + bottom) / 2
        left, top, right, bottom = x - half, y - half, x + half, y + half
    return left, top, right, bottom


def crop_face(image, box, *, margin=MARGIN, square=True, size=360, outside="edge"):
    """Cut one face out.

    Example:
    ```python
    crop = crop_face(image, face.box)                      # whole head, 360x360
    tight = crop_face(image, face.box, margin=(0, 0, 0), square=False)
    ```

    Args:
        image: uint8 RGB `(height, width, 3)`.
        box: (left, top, right, bottom) of the face in pixels.
        margin: (top, sides, bottom) as shares of the face. Defaults to 0.30, 0.15, 0:
            the hair too, by the advice of the cascade's author.
        square: Widen the region to a square, so that nothing is stretched; otherwise
            it is stretched to `size`, as in the article. Defaults to `True`.
        size: Side in pixels, or (width, height), or `None` for the picture's own
            pixels. Defaults to 360.
        outside: What stands where the region leaves the picture: "edge", its border
            drawn out, or "white". Defaults to "edge".

    Returns:
        uint8 RGB `(size, size, 3)`.

    Raises:
        ValueError: for an option that is none, or a region wholly outside the picture.
    """
    from PIL import Image

    check_image(image)
    if outside not in OUTSIDE:
        raise ValueError(f"outside must be one of {OUTSIDE}. Received: {outside!r}")
    region = crop_region(box, margin=margin, square=square)
    if size is None:
        left, top = math.floor(region[0] + 0.5), math.floor(region[1] + 0.5)
        right = left + max(1, round(region[2] - region[0]))
        bottom = top + max(1, round(region[3] - region[1]))
        return _cut(image, (left, top, right, bottom), outside)
    low = math.floor(region[0]), math.floor(region[1])
    high = math.ceil(region[2]), math.ceil(region[3])
    patch = Image.fromarray(_cut(image, (*low, *high), outside))
    within = tuple(v - low[i % 2] for i, v in enumerate(region))
    return np.asarray(patch.resize(_size(size), Image.Resampling.LANCZOS, box=within))


def crop_faces(image, faces=None, **options):
    """Cut all faces out of one picture.

    Example:
    ```python
    crops = crop_faces("picture.png", detect_faces("picture.png"))
    ```

    Args:
        image: uint8 RGB `(height, width, 3)`, or a path.
        faces: `Face`s or boxes. Defaults to the labels of the picture's path.
        **options: `margin`, `square`, `size`, `outside` of `crop_face`.

    Returns:
        List of uint8 RGB arrays, in the order of the faces.

    Raises:
        ValueError: for a picture without labels where `faces` is not given.
    """
    pixels = read_image(image)
    if faces is None:
        if isinstance(image, np.ndarray):
            raise ValueError("Give the faces of an array. Received: faces=None")
        faces = labelled_faces(image, pixels)
    return [crop_face(pixels, as_face(face).box, **options) for face in faces]


def labelled_faces(path, pixels):
    """Faces that the label file of the picture at `path` names; it must be there."""
    boxes = read_labels(label_path(path), (pixels.shape[1], pixels.shape[0]))
    if boxes is None:
        raise ValueError(f"{path}: is unlabelled. Label it, or name a detector.")
    return [Face(tuple(box)) for box in boxes.tolist()]


def as_face(face):
    """A `Face` of a face or of a box."""
    return face if isinstance(face, Face) else Face(tuple(face))


def _margin(margin):
    values = tuple(margin) if isinstance(margin, (tuple, list)) else ()
    if len(values) != 3 or not all(-1 < float(v) <= 10 for v in values):
        raise ValueError(
            "margin is (top, sides, bottom), shares of the face, over -1, at most 10. "
            f"Received: {margin!r}"
        )
    return tuple(float(v) for v in values)


def _size(size):
    size = (size, size) if isinstance(size, int) else tuple(size)
    if len(size) != 2 or not all(isinstance(v, int) and v > 0 for v in size):
        raise ValueError(f"size is pixels, or (width, height). Received: {size!r}")
    return size


def _cut(image, region, outside):
    """Whole pixels of a region, those beyond the picture filled in."""
    height, width = image.shape[:2]
    left, top, right, bottom = region
    inner = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if inner[0] >= inner[2] or inner[1] >= inner[3]:
        raise ValueError(
            f"The face lies outside the picture of {width} x {height}. "
            f"Received: the region {region}"
        )
    part = image[inner[1] : inner[3], inner[0] : inner[2]]
    pad = (inner[1] - top, bottom - inner[3]), (inner[0] - left, right - inner[2])
    if outside == "edge":
        return np.pad(part, (*pad, (0, 0)), mode="edge")
    return np.pad(part, (*pad, (0, 0)), constant_values=255)


CROP_TABLE = "crops.csv"
_COLUMNS = (
    *("crop", "picture", "face", "confidence"),
    *("left", "top", "right", "bottom"),
    *("region_left", "region_top", "region_right", "region_bottom"),
)


@dataclass
class CropReport:
    """What was cut out of a folder.

    Attributes:
        crops: Paths of the crops written, in the order of the table.
        table: Path of the CSV: where every crop came from.
        without_face: Pictures in which there is no face.
        left_out: Pairs (picture, reason) of those that could not be cut.
    """

    table: Path
    crops: list = field(default_factory=list)
    without_face: list = field(default_factory=list)
    left_out: list = field(default_factory=list)

    def __str__(self):
        lines = [
            f"{len(self.crops)} faces cut out, {len(self.without_face)} pictures "
            f"without a face, {len(self.left_out)} left out."
        ]
        return "\n".join(lines + [f"  {reason}" for _, reason in self.left_out])


def crop_folder(folder, output, *, detect=None, progress=True, **options):
    """Cut the faces of all pictures of a folder, and say where each came from.

    Sub-folders stay (`3/a.png` gives `3/a_0.png`), so folders of scores go over to the
    crops. A picture that cannot be read is left out, and the run goes on.

    Example:
    ```python
    report = crop_folder("pictures", "crops")                       # by their labels
    report = crop_folder("pictures", "crops", detect=Cascade().detect)
    ```

    Args:
        folder: Folder of pictures.
        output: Folder for the crops and `crops.csv`; not within `folder`.
        detect: Function from an image to its faces. Defaults to the labels; pictures
            without labels are then left out.
        progress: Show a progress bar. Defaults to `True`.
        **options: `margin`, `square`, `size`, `outside` of `crop_face`.

    Returns:
        A `CropReport`.

    Raises:
        ValueError: for a folder without pictures, or an option that is none.
    """
    from tqdm import tqdm

    folder, output = Path(folder), Path(output)
    if folder.resolve() in [output.resolve(), *output.resolve().parents]:
        raise ValueError(
            f"The crops would mix with the pictures. Received: output={output} "
            f"within {folder}"
        )
    crop_face(np.zeros((9, 9, 3), np.uint8), (3, 3, 6, 6), **options)
    images = list_images(folder)
    stems = [image.with_suffix("") for image in images]
    uses = Counter(stems)
    rows, report = [], CropReport(output / CROP_TABLE)
    bar = {"total": len(images), "unit": "picture", "disable": not progress}
    try:
        for image, stem in tqdm(zip(images, stems, strict=True), **bar):
            name = image.relative_to(folder)
            target = output / (name if uses[stem] > 1 else name.with_suffix(""))
            try:
                faces = _crop_picture(image, target, detect, options)
            except (ValueError, OSError, MemoryError) as error:
                reason = str(error) or type(error).__name__
                named = reason if str(image) in reason else f"{image}: {reason}"
                report.left_out.append((image, named))
                continue
            for number, (path, face) in enumerate(faces):
                report.crops.append(path)
                rows.append(_row(path.relative_to(output), name, number, face, options))
            if not faces:
                report.without_face.append(image)
    finally:  # what an interruption has written stands in the table too
        _write_table(report.table, rows)
    return report


def _crop_picture(image, target, detect, options):
    """Pairs (path of a crop, its face)."""
    pixels = read_image(image)
    faces = detect(pixels) if detect else labelled_faces(image, pixels)
    crops = []
    for number, face in enumerate(map(as_face, faces)):
        path = target.with_name(f"{target.name}_{number}.png")
        write_image(path, crop_face(pixels, face.box, **options))
        crops.append((path, face))
    return crops


def _row(crop, picture, number, face, options):
    chosen = {k: v for k, v in options.items() if k in ("margin", "square")}
    region = crop_region(face.box, **chosen)
    numbers = [f"{v:.2f}" for v in (*face.box, *region)]
    start = crop.as_posix(), picture.as_posix(), number, f"{face.confidence:.4f}"
    return [*start, *numbers]


def _write_table(path, rows):
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([_COLUMNS, *rows])
    write_whole(path, stream.getvalue())
