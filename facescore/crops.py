"""Faces cut out of their pictures, one by one or for a folder with a table."""

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from facescore.boxes import Face, as_face
from facescore.labels import label_path, read_labels
from illustkit.errors import UserError, as_user_error
from illustkit.files import expand_user, named_file
from illustkit.images import (
    MAX_PIXELS,
    check_image,
    list_images,
    picture_size,
    read_image,
    write_image,
)
from illustkit.tables import read_table, write_table

MARGIN = 0.30, 0.15, 0.0
OUTSIDE = "edge", "white"

PathLike = TypeVar("PathLike", str, Path)
Margin = Sequence[float]  # (top, sides, bottom) as fractions of the face


def crop_region(
    box: Sequence[float], *, margin: Margin = MARGIN, square: bool = True
) -> tuple[float, float, float, float]:
    """Return the region that a crop shows; it may reach beyond the picture.

    Args:
        box: (left, top, right, bottom) of the face in pixels.
        margin: (top, sides, bottom), each a fraction of the face: of its height above
            and below, of its width on either side. Negative cuts into the face.
        square: Grow the shorter side around the centre until the region is square.

    Returns:
        (left, top, right, bottom), float pixels.

    Raises:
        UserError: If a box has no area, or the margin leaves nothing of it.
    """
    left, top, right, bottom = (float(v) for v in box)
    width, height = right - left, bottom - top
    above, sides, below = _margin(margin)
    if not (width > 0 and height > 0 and math.isfinite(width + height)):
        raise UserError(f"A face's box has an area. Received: {tuple(box)}")
    left, right = left - sides * width, right + sides * width
    top, bottom = top - above * height, bottom + below * height
    if not (right > left and bottom > top):
        raise UserError(f"The margin leaves nothing of the face. Received: {margin}")
    if square:
        half = max(right - left, bottom - top) / 2
        x, y = (left + right) / 2, (top + bottom) / 2
        left, top, right, bottom = x - half, y - half, x + half, y + half
    return left, top, right, bottom


def crop_face(
    image: np.ndarray,
    box: Sequence[float],
    *,
    margin: Margin = MARGIN,
    square: bool = True,
    size: int | Sequence[int] | None = 360,
    outside: str = "edge",
) -> np.ndarray:
    """Cut one face out.

    Example:
    ```python
    crop = crop_face(image, face.box)                      # whole head, 360x360
    tight = crop_face(image, face.box, margin=(0, 0, 0), square=False)
    ```

    Args:
        image: uint8 RGB `(height, width, 3)`.
        box: (left, top, right, bottom) of the face in pixels.
        margin: (top, sides, bottom) as fractions of the face. Defaults to 0.30, 0.15,
            0, with the hair, as the cascade's author advises.
        square: Widen the region to a square, so that nothing is stretched; otherwise
            it is stretched to `size`, as in the article. Defaults to `True`.
        size: Side in pixels, or (width, height), or `None` for the picture's own
            pixels. Defaults to 360.
        outside: How to fill the region outside the picture: "edge" repeats the
            picture's border, "white" paints it white. Defaults to "edge".

    Returns:
        uint8 RGB `(size, size, 3)`.

    Raises:
        UserError: If an option is invalid, or the region lies outside the picture.
    """
    from PIL import Image

    check_image(image)
    if outside not in OUTSIDE:
        raise UserError(f"`outside` must be one of {OUTSIDE}. Received: {outside!r}")
    region = crop_region(box, margin=margin, square=square)
    if size is None:
        left, top = math.floor(region[0] + 0.5), math.floor(region[1] + 0.5)
        right = left + max(1, round(region[2] - region[0]))
        bottom = top + max(1, round(region[3] - region[1]))
        return _cut(image, (left, top, right, bottom), outside)
    low = math.floor(region[0]), math.floor(region[1])
    high = math.ceil(region[2]), math.ceil(region[3])
    patch = Image.fromarray(_cut(image, (*low, *high), outside))
    within = (
        *(region[0] - low[0], region[1] - low[1]),
        *(region[2] - low[0], region[3] - low[1]),
    )
    return np.asarray(patch.resize(_size(size), Image.Resampling.LANCZOS, box=within))


def fit_crop(crop: np.ndarray, image_size: Sequence[int]) -> np.ndarray:
    """Scale a whole crop to a network's size.

    Args:
        crop: uint8 RGB `(height, width, 3)`.
        image_size: (width, height) in pixels.

    Returns:
        uint8 RGB, stretched if its shape differs.
    """
    from PIL import Image

    if crop.shape[1::-1] == tuple(image_size):
        return crop
    image = Image.fromarray(crop)
    return np.asarray(image.resize(_size(image_size), Image.Resampling.LANCZOS))


def crop_faces(
    image: np.ndarray | str | os.PathLike,
    faces: Iterable[Any] | None = None,
    **options: Any,
) -> list[np.ndarray]:
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
        UserError: If the picture has no labels and `faces` is not given.
    """
    pixels = read_image(image)
    if faces is None:
        if isinstance(image, np.ndarray):
            raise UserError("Give the faces of an array. Received: faces=None")
        faces = labelled_faces(image, pixels.shape[1::-1])
    return [crop_face(pixels, as_face(face).box, **options) for face in faces]


def labelled_faces(
    path: str | os.PathLike, size: tuple[int, int], face_class: int | None = None
) -> list[Face]:
    """Return the faces in a picture's label file.

    Args:
        path: Path of the picture.
        size: (width, height) of the upright picture, in pixels.
        face_class: See `facescore.read_labels`.

    Raises:
        UserError: If there is no such file, or its labels are invalid.
    """
    boxes = read_labels(label_path(path), size, face_class=face_class)
    if boxes is None:
        raise UserError(f"{path}: is unlabelled. Label it, or name a detector.")
    return [Face(tuple(box)) for box in boxes.tolist()]


def failure(path: str | os.PathLike, error: Exception) -> str:
    """Return one line that names a picture and what failed with it.

    Args:
        path: Path of the picture.
        error: What was raised; its own text may name the path already.

    Raises:
        Exception: The same error, if it is a bug rather than the picture's fault.
    """
    if (problem := as_user_error(error, path)) is None:
        raise error
    return " ".join(str(problem).split())


def read_each(
    paths: Iterable[PathLike],
    left_out: list[tuple[PathLike, str]] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Iterator[tuple[PathLike, np.ndarray]]:
    """Read pictures one by one, without those that cannot be read.

    Args:
        paths: Paths of pictures.
        left_out: List that receives pairs (path, reason) of the pictures that cannot
            be read. Defaults to none: the first of them raises its error.
        progress: Called with the number of a picture before it is read. Defaults to
            none.

    Yields:
        `(path, image)`: the path as given, and uint8 RGB `(height, width, 3)`.
    """
    for number, path in enumerate(paths, 1):
        if progress is not None:
            progress(number)
        try:
            image = read_image(path)
        except Exception as error:
            if left_out is None:
                raise
            left_out.append((path, failure(path, error)))
        else:
            yield path, image


def _margin(margin):
    values = tuple(margin) if isinstance(margin, (tuple, list)) else ()
    if len(values) != 3 or not all(-1 < float(v) <= 10 for v in values):
        raise UserError(
            "`margin` is (top, sides, bottom), fractions of the face, over -1 and at "
            f"most 10. Received: {margin!r}"
        )
    return tuple(float(v) for v in values)


def _size(size):
    size = (size, size) if isinstance(size, int) else tuple(size)
    if len(size) != 2 or not all(isinstance(v, int) and v > 0 for v in size):
        raise UserError(f"`size` is pixels, or (width, height). Received: {size!r}")
    return size


def _cut(image, region, outside):
    """Return the pixels of a region of whole numbers; fill those outside."""
    height, width = image.shape[:2]
    left, top, right, bottom = region
    if (right - left) * (bottom - top) > MAX_PIXELS:
        raise UserError(
            f"The crop would have {right - left} x {bottom - top} pixels. Stretch it "
            "(`square`), or take the box out."
        )
    inner = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if inner[0] >= inner[2] or inner[1] >= inner[3]:
        raise UserError(
            f"The face lies outside the picture of {width} x {height}. "
            f"Received: the region {region}"
        )
    part = image[inner[1] : inner[3], inner[0] : inner[2]]
    pad = (inner[1] - top, bottom - inner[3]), (inner[0] - left, right - inner[2])
    if outside == "edge":
        return np.pad(part, (*pad, (0, 0)), mode="edge")
    return np.pad(part, (*pad, (0, 0)), constant_values=255)


CROP_TABLE = "crops.csv"
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_COLUMNS = (
    *("crop", "picture", "face", "confidence"),
    *("left", "top", "right", "bottom"),
    *("region_left", "region_top", "region_right", "region_bottom"),
)


@dataclass
class CropReport:
    """The result of `crop_folder`.

    Attributes:
        table: Path of the CSV that says where every crop comes from.
        crops: Paths of the crops written, in the order of the table.
        without_face: Pictures without a face.
        left_out: Pairs (picture, reason) of the pictures that could not be cut.
        already: Paths of the crops that an earlier call wrote, and that stay.
    """

    table: Path
    crops: list[Path] = field(default_factory=list)
    without_face: list[Path] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    already: list[Path] = field(default_factory=list)

    def __str__(self) -> str:
        before = f" ({len(self.already)} before)" if self.already else ""
        lines = [
            f"{len(self.crops)} faces cut out{before}, {len(self.without_face)} "
            f"pictures without a face, {len(self.left_out)} left out."
        ]
        return "\n".join(lines + [f"  {reason}" for _, reason in self.left_out])


def crop_folder(
    folder: str | os.PathLike,
    output: str | os.PathLike,
    *,
    detect: Callable[[np.ndarray], Iterable[Any]] | None = None,
    face_class: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
    **options: Any,
) -> CropReport:
    """Cut out the faces of all pictures of a folder, and write where each comes from.

    Sub-folders stay (`3/a.png` gives `3/a_0.png`), so that crops keep the folders of
    scores. A picture that cannot be read is left out. Crops of an earlier call stay,
    wherever in `output` they were sorted to, unless the picture, its labels, the margin
    or the shape have changed.

    Example:
    ```python
    report = crop_folder("pictures", "crops")                       # by their labels
    report = crop_folder("pictures", "crops", detect=Cascade().detect)
    ```

    Args:
        folder: Folder of pictures.
        output: Folder for the crops and `crops.csv`; not within `folder`.
        detect: Function from an image to its faces. Defaults to the labels; pictures
            without labels are left out then.
        face_class: See `facescore.read_labels`.
        overwrite: Cut out again what an earlier call has cut. Defaults to `False`.
        progress: Show a progress bar. Defaults to `True`.
        **options: `margin`, `square`, `size`, `outside` of `crop_face`.

    Returns:
        A `CropReport`.

    Raises:
        UserError: If the folder has no pictures, or an option is invalid.
    """
    from tqdm import tqdm

    folder, output = expand_user(folder), expand_user(output)
    if folder.resolve() in [output.resolve(), *output.resolve().parents]:
        raise UserError(
            "The crops need a folder outside that of the pictures. Received: output="
            f"{output} within {folder}"
        )
    crop_face(np.zeros((9, 9, 3), np.uint8), (3, 3, 6, 6), **options)
    images = list_images(folder)
    stems = [image.with_suffix("") for image in images]
    uses = Counter(stems)
    rows, report = [], CropReport(output / CROP_TABLE)
    before = {} if overwrite else _cut_before(output)
    bar = tqdm(images, unit="picture", disable=not progress)
    try:
        for image, stem in zip(bar, stems, strict=True):
            name = image.relative_to(folder)
            target = output / (name if uses[stem] > 1 else name.with_suffix(""))
            known = before.pop(name.as_posix(), [])
            try:
                cuts = _cut_picture(
                    image, name, target, detect, face_class, options, known
                )
            except Exception as error:
                rows += [row for _, row, _ in known]
                report.left_out.append((image, failure(image, error)))
                continue
            for path, row, crop in cuts:
                if crop is None:
                    report.already.append(path)
                else:
                    write_image(path, crop)
                report.crops.append(path)
                rows.append(row)
            if not cuts:
                report.without_face.append(image)
    finally:  # the table has the crops of an interrupted run too
        rows += [row for cuts in before.values() for _, row, _ in cuts]
        write_table(report.table, _COLUMNS, rows)
    return report


# A cut is a tuple: the crop's path, its row of the table, and its pixels, or `None` if
# the file is there.
_Cut = tuple[Path, list[str], np.ndarray | None]


def _cut_picture(image, name, target, detect, face_class, options, known):
    """Return the cuts of one picture; those `known` if they are still right."""
    chosen = {k: v for k, v in options.items() if k in ("margin", "square")}
    pixels = None
    if detect is None:
        faces = labelled_faces(image, picture_size(image), face_class)
    elif known and _is_current(known, image, options):
        boxes = [[float(v) for v in row[4:12]] for _, row, _ in known]
        regions = [crop_region(box[:4], **chosen) for box in boxes]
        # The table has two decimals.
        if np.allclose([box[4:] for box in boxes], regions, rtol=1e-3, atol=0.1):
            return known
    if detect is not None:
        pixels = read_image(image)
        faces = list(map(as_face, detect(pixels)))
    cuts = []
    for number, face in enumerate(faces):
        path = target.with_name(f"{target.name}_{number}.png")
        region = crop_region(face.box, **chosen)
        row = [
            (name.parent / path.name).as_posix(),
            *(name.as_posix(), str(number), f"{face.confidence:.4f}"),
            *(f"{v:.2f}" for v in (*face.box, *region)),
        ]
        if number < len(known):  # where it was moved to
            path = known[number][0]
        cuts.append((path, row, face))
    same = [row[1:] for _, row, _ in cuts] == [row[1:] for _, row, _ in known]
    if detect is None and known and same and _is_current(known, image, options):
        return known
    if pixels is None:
        pixels = read_image(image)
    return [(p, row, crop_face(pixels, f.box, **options)) for p, row, f in cuts]


def _is_current(known, image, options):
    """Return whether crops exist, of this size, and are newer than their picture."""
    size = options.get("size", 360)
    changed = image.stat().st_mtime_ns
    return all(
        path.is_file()
        and path.stat().st_mtime_ns >= changed
        and (size is None or picture_size(path) == tuple(_size(size)))
        for path, _, _ in known
    )


def _cut_before(output) -> dict[str, list[_Cut]]:
    """Return the cuts of an earlier call by the names of their pictures."""
    pictures: dict[str, list[_Cut]] = {}
    for row, places in read_crop_table(output):
        values = [row.get(column, "") for column in _COLUMNS]
        if len(places) == 1 and all(map(_NUMBER.fullmatch, values[2:])):
            cuts = pictures.setdefault(row["picture"], [])
            cuts.append((places[0], values, None))
    return pictures


def read_crop_table(
    folder: str | os.PathLike,
) -> list[tuple[dict[str, str], list[Path]]]:
    """Read where the crops of a folder come from.

    A crop that was moved within the folder is found by its name, as those that are
    sorted into `1/` to `5/`.

    Args:
        folder: Folder of crops.

    Returns:
        List of pairs (row of `crops.csv`, the files that may be the crop: none if it is
        gone, several if the name occurs twice); empty if there is no table.

    Raises:
        UserError: If the table is something else.
    """
    folder = expand_user(folder)
    if not (folder / CROP_TABLE).exists():
        return []
    rows, named = [], []
    for line, row in read_table(folder / CROP_TABLE, ("crop", "picture")):
        try:
            named.append(named_file(folder, row["crop"]))
        except UserError as error:
            raise UserError(f"{folder / CROP_TABLE}, line {line}: {error}") from None
        rows.append(row)
    files = {path for path in named if os.path.isfile(path)}
    moved: dict[str, list[Path]] = {}
    if len(files) < len(named):
        for path in list_images(folder, allow_empty=True):
            if path not in files:
                moved.setdefault(path.name, []).append(path)
    return [
        (row, [path] if path in files else moved.get(path.name, []))
        for row, path in zip(rows, named, strict=True)
    ]
