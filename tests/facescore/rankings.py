"""A scorer, a detector and a folder whose ranking is known by hand."""

import hashlib

import numpy as np

from facescore.boxes import Face
from facescore.ranking.rank import rank_folder
from illustkit.errors import UserError
from illustkit.images import write_image


class Scorer:
    """The mean red of a crop, as a score of 1 to 5."""

    image_size, margin, square = (16, 16), (0.0, 0.0, 0.0), False

    def __init__(self):
        self.batches = []

    def predict_scores(self, crops):
        self.batches.append(crops.shape)
        return 1 + crops[..., 0].mean(axis=(1, 2)) / 63.75


def find_bright(image):
    """Faces are the two halves of a picture, where they are not black."""
    if image.shape[1] < 4:
        raise UserError("is too small to find a face in")
    half = image.shape[1] // 2
    boxes = [(0, 0, half, 9), (half, 0, 2 * half, 9)]
    confidences = 0.5, 0.75
    return [
        Face(box, c)
        for box, c in zip(boxes, confidences, strict=True)
        if image[:9, int(box[0]) : int(box[2])].any()
    ]


def picture(left, right):
    image = np.zeros((20, 16, 3), np.uint8)
    image[:9, :8, 0], image[:9, 8:, 0] = left, right
    return image


def make_folder(tmp_path):
    """Three pictures with faces, one without, two that fail."""
    folder = tmp_path / "pictures"
    write_image(folder / "low.png", picture(51, 0))
    write_image(folder / "sub" / "high.png", picture(0, 255))
    write_image(folder / "two.png", picture(204, 102))
    write_image(folder / "none.png", picture(0, 0))
    write_image(folder / "tiny.png", np.full((3, 3, 3), 90, np.uint8))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return folder


def run(folder, **options):
    options = {"scorer": Scorer(), "detector": find_bright, **options}
    options.setdefault("output", folder.parent / "ranking")
    return rank_folder(folder, progress=False, **options)


def contents(folder):
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
