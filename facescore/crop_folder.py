"""The faces of a folder as pictures of their own, and a table of where each is from."""

import csv
import io
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facescore.crops import as_face, crop_face, crop_region, labelled_faces
from illustkit.files import write_whole
from illustkit.images import list_images, read_image, write_image

TABLE = "crops.csv"
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
    rows, report = [], CropReport(output / TABLE)
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
