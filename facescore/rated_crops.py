"""Crops with their scores, kept ready at a network's size, and split by picture."""

import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facescore.crop_folder import TABLE
from facescore.ratings import Rating, read_ratings
from illustkit.files import write_whole
from illustkit.images import read_image

MANIFEST = "crops.json"


@dataclass(frozen=True)
class RatedCrops:
    """Crops of a network's size, and their scores.

    Args:
        pictures: uint8 `(n, height, width, 3)`, an array or a memory map.
        scores: float32 `(n,)`, 1 to 5.
        rows: int array: which of the pictures this view holds.
    """

    pictures: np.ndarray
    scores: np.ndarray
    rows: np.ndarray

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        """Pictures of one index, or of several."""
        return np.asarray(self.pictures[self.rows[index]])

    def select(self, indices):
        """Those of the crops, without loading them."""
        indices = np.asarray(indices, int)
        return RatedCrops(
            self.pictures,
            self.scores[indices],
            self.rows[indices],
        )


def fit_crop(crop, image_size):
    """Scale a crop to a network's size; every crop goes through here.

    Args:
        crop: uint8 RGB `(height, width, 3)`.
        image_size: (width, height) in pixels.

    Returns:
        uint8 RGB, stretched where its shape differs.
    """
    from PIL import Image

    if crop.shape[1::-1] == tuple(image_size):
        return crop
    image = Image.fromarray(crop)
    return np.asarray(image.resize(tuple(image_size), Image.Resampling.LANCZOS))


def rated_crops(crops, ratings=None):
    """Join crops and ratings.

    Where the folder has `crops.csv`, crops of one picture are known to belong together,
    and ratings of the pictures go over to their crops.

    Args:
        crops: Folder of crops.
        ratings: A CSV, or a folder of scores: of the crops, or of the pictures they
            were cut from; or a list of `Rating`. Defaults to what the folder of
            crops itself says: `1/` to `5/`, or `ratings.csv`.

    Returns:
        `(ratings, sources)`: a list of `Rating` of crops, and for each the name of the
        picture that it was cut from.

    Raises:
        ValueError: where no crop has a rating, or the ratings are none.
    """
    crops = Path(crops)
    origin = _origins(crops)
    if ratings is None:
        found = read_ratings(crops)
    elif isinstance(ratings, (str, Path)):
        found = read_ratings(ratings)
        base = Path(ratings) if Path(ratings).is_dir() else Path(ratings).parent
        if base.resolve() != crops.resolve():
            here = crops.resolve()
            direct = [
                rating for rating in found if here in rating.path.resolve().parents
            ]
            found = direct or _of_pictures(found, base, origin)
    else:
        found = [Rating(Path(path), score) for path, score in ratings]
    if not found:
        raise ValueError(
            f"{crops}: no crop here has a rating. Sort them into folders 1/ to 5/, or "
            "rate them on the rating page."
        )
    sources = [origin.get(path.resolve(), str(path)) for path, _ in found]
    return found, sources


def _origins(crops):
    """Dict from a crop's path to the name of its picture, where a table says it."""
    try:
        with open(crops / TABLE, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {(crops / row["crop"]).resolve(): row["picture"] for row in rows}
    except FileNotFoundError:
        return {}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{crops / TABLE}: is no table of crops ({error}). Cut the crops again."
        ) from error


def _of_pictures(ratings, base, origin):
    scores = {path.relative_to(base).as_posix(): score for path, score in ratings}
    return [
        Rating(crop, scores[picture])
        for crop, picture in origin.items()
        if picture in scores and crop.is_file()
    ]


def store_crops(ratings, image_size, cache, progress=None):
    """Store rated crops at a network's size, or take what an earlier call stored.

    Args:
        ratings: List of `Rating`.
        image_size: (width, height) in pixels.
        cache: Folder to write to: 3 bytes a pixel.
        progress: Called with the number of crops done. Defaults to none.

    Returns:
        `RatedCrops`, mapped into memory.

    Raises:
        ValueError: for a crop that cannot be read.
    """
    cache = Path(cache)
    cache.mkdir(parents=True, exist_ok=True)
    stats = [os.stat(path) for path, _ in ratings]
    stamps = [
        [str(r.path), s.st_mtime_ns, s.st_size]
        for r, s in zip(ratings, stats, strict=True)
    ]
    wanted = {"image_size": list(image_size), "stamps": stamps}
    try:
        stored = json.loads((cache / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        stored = None
    width, height = image_size
    shape, file = (len(ratings), height, width, 3), cache / "crops.bin"
    if stored != wanted:
        (cache / MANIFEST).unlink(missing_ok=True)
        with open(file, "wb") as stream:
            for n, (path, _) in enumerate(ratings, 1):
                crop = fit_crop(read_image(path), image_size)
                stream.write(np.ascontiguousarray(crop).tobytes())
                if progress is not None:
                    progress(n)
        write_whole(cache / MANIFEST, json.dumps(wanted))
    pictures = np.memmap(file, np.uint8, "r", shape=shape)
    scores = np.asarray([score for _, score in ratings], "float32")
    return RatedCrops(pictures, scores, np.arange(len(ratings)))
