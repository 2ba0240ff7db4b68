"""Which pictures a scorer trains on, and which are left to judge it by."""

import csv
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from facescore.crops import CROP_TABLE
from illustkit.files import inside, write_whole
from illustkit.images import list_images, read_image
from illustkit.training.batches import Batches

SCORES = 1, 2, 3, 4, 5
RATING_TABLE = "ratings.csv"
_COLUMNS = "file", "score"


class Rating(NamedTuple):
    """A picture and what a person thought of it.

    Args:
        path: `Path` of the picture.
        score: Whole number, 1 to 5.
    """

    path: Path
    score: int


class RatingError(ValueError):
    """Ratings hold what is no rating; one line for each place.

    Attributes:
        problems: List of "file, line n: what is wrong".
    """

    def __init__(self, problems):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


def read_ratings(source):
    """Read ratings from wherever they are.

    Example:
    ```python
    for path, score in read_ratings("pictures"):   # pictures/1 ... pictures/5
        ...
    ```

    Args:
        source: A CSV, or a folder that holds either `1/` to `5/` or `ratings.csv`.

    Returns:
        List of `Rating`.

    Raises:
        RatingError: naming every problem; a folder with both, or neither, is one.
    """
    source = Path(source)
    if not source.is_dir():
        return ratings_from_csv(source)
    table = source / RATING_TABLE
    folders = any((source / str(score)).is_dir() for score in SCORES)
    if folders and table.exists():
        raise RatingError(
            f"{source}: holds both folders of scores and {RATING_TABLE}. Name the {RATING_TABLE}, "
            "or move it elsewhere."
        )
    return ratings_from_csv(table) if table.exists() else ratings_from_folders(source)


def ratings_from_folders(folder):
    """Read ratings from the folders that pictures lie in, `1/` to `5/`.

    Args:
        folder: The folder that holds them; a score without pictures may be missing.

    Returns:
        List of `Rating`, by score.

    Raises:
        RatingError: if none of the five is there, or the same file lies in two.
    """
    folder = Path(folder)
    there = [score for score in SCORES if (folder / str(score)).is_dir()]
    if not there:
        raise RatingError(
            f"{folder}: holds no folders 1/ to 5/ and no {RATING_TABLE}. Sort pictures into "
            "folders, or rate them on the rating page."
        )
    ratings, homes, problems = [], {}, []
    for score in there:
        base = folder / str(score)
        for path in list_images(base, allow_empty=True):
            other = homes.setdefault(path.relative_to(base), path)
            if other != path:
                problems.append(f"{path}: lies in {other.parent} too. Keep one.")
            ratings.append(Rating(path, score))
    if problems:
        raise RatingError(problems)
    return ratings


def ratings_from_csv(path, folder=None):
    """Read ratings from a CSV with the columns `file` and `score`.

    Args:
        path: The CSV, in UTF-8; further columns are passed over.
        folder: Folder that the files are named from. Defaults to the CSV's own.

    Returns:
        List of `Rating`, in the order of the lines.

    Raises:
        RatingError: naming file and line of every problem: a score that is no whole
            number from 1 to 5, a missing picture, a name that leaves the folder, two
            lines for one picture.
    """
    path = Path(path)
    folder = path.parent if folder is None else Path(folder)
    ratings, lines, problems = [], {}, []
    for number, row in _rows(path):
        try:
            score = _score(row["score"])
            picture = inside(folder, row["file"])
            if picture in lines:
                raise ValueError(f"{row['file']} stands in line {lines[picture]} too.")
            lines[picture] = number
            if not picture.is_file():
                raise ValueError(f"there is no picture {picture}.")
            ratings.append(Rating(picture, score))
        except ValueError as error:
            problems.append(f"{path}, line {number}: {error}")
    if problems:
        raise RatingError(problems)
    return ratings


def write_ratings(path, ratings, folder=None):
    """Write ratings as a CSV; the whole file appears at once or not at all.

    Args:
        path: The CSV.
        ratings: Pairs (path of the picture, score).
        folder: Folder that the files are named from. Defaults to the CSV's own.

    Returns:
        The path written.

    Raises:
        ValueError: for a picture outside the folder, or a score that is none.
    """
    path = Path(path)
    folder = path.parent if folder is None else Path(folder)
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(_COLUMNS)
    for picture, score in ratings:
        name = Path(picture).relative_to(folder).as_posix()
        table.writerow([name, _score(score)])
    return write_whole(path, stream.getvalue())


def _rows(path):
    """Pairs (line, dict of the columns)."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise RatingError(f"{path}: no such file. Check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RatingError(f"{path}: is no CSV in UTF-8 ({error}).") from error
    table = csv.DictReader(io.StringIO(text, newline=""), restval="")
    try:
        names = table.fieldnames or []
        if missing := [name for name in _COLUMNS if name not in names]:
            raise RatingError(
                f"{path}, line 1: no column {' and '.join(missing)}. The first line is "
                f"file,score. Received: {','.join(names)!r}"
            )
        return [(table.line_num, row) for row in table]
    except csv.Error as error:
        raise RatingError(f"{path}, line {table.line_num}: {error}") from error


def _score(value):
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if number not in SCORES:
        raise ValueError(f"a score is 1, 2, 3, 4 or 5. Received: {value!r}")
    return int(number)


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
        with open(crops / CROP_TABLE, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {(crops / row["crop"]).resolve(): row["picture"] for row in rows}
    except FileNotFoundError:
        return {}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{crops / CROP_TABLE}: is no table of crops ({error}). Cut the crops again."
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


class CropBatches(Batches):
    """Batches `(pictures, scores)` of crops that are varied anew in every epoch.

    Mirroring, small shifts, scales and turns, light, contrast and lost resolution: what
    a detector and a file format vary, and a taste does not see. Colours stay.

    Args:
        crops: `facescore.scorer.data.RatedCrops`.
        preset: A `facescore.scorer.training.ScorerPreset`.
        seed: Int. Defaults to 0.

    Returns:
        Of `batches[i]`: uint8 `(batch, height, width, 3)`, float32 `(batch,)`.
    """

    def __init__(self, crops, preset, *, seed=0):
        super().__init__(len(crops), batch_size=preset.batch_size, seed=seed)
        self.crops, self.preset = crops, preset

    def make(self, indices, rng):
        pictures = [vary(self.crops[int(i)], rng, self.preset) for i in indices]
        return np.stack(pictures), self.crops.scores[indices]


def vary(picture, rng, preset):
    """Vary one crop.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        rng: `np.random.Generator`.
        preset: `ScorerPreset`; its `flip`, `shift`, `zoom`, `turn`, `brightness` and
            `blur` say how much.

    Returns:
        uint8 RGB of the same shape; the border is drawn out where the crop moved in.
    """
    height, width = picture.shape[:2]
    if rng.random() < preset.flip:
        picture = picture[:, ::-1]
    zoom = np.exp(rng.uniform(*np.log(preset.zoom)))
    turn = rng.uniform(-preset.turn, preset.turn)
    shift = rng.uniform(-preset.shift, preset.shift, 2) * (width, height)
    light, contrast = 1 + rng.uniform(-preset.brightness, preset.brightness, 2)
    blurred, lost = rng.random() < preset.blur, rng.uniform(1, 1.6)
    if (zoom, turn, *shift) != (1, 0, 0, 0):
        centre = (width - 1) / 2, (height - 1) / 2
        matrix = cv2.getRotationMatrix2D(centre, turn, zoom)
        matrix[:, 2] += shift
        picture = cv2.warpAffine(
            np.ascontiguousarray(picture),
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    if blurred:
        less = max(1, round(width / lost)), max(1, round(height / lost))
        picture = cv2.resize(
            np.ascontiguousarray(picture), less, interpolation=cv2.INTER_AREA
        )
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    if (light, contrast) != (1, 1):
        grey = 127.5
        table = ((np.arange(256) * light - grey) * contrast + grey).round()
        picture = np.clip(table, 0, 255).astype(np.uint8)[picture]
    return np.ascontiguousarray(picture)


SPLIT = "split.json"


def split_by_source(sources, scores, *, holdout=0.1, seed=0):
    """Hold out a share of the pictures, all crops of one on the same side.

    Of each score the same share is held out, so that rare scores are in both parts.

    Args:
        sources: For each crop the name of its picture.
        scores: For each crop its score.
        holdout: Share to hold out, between 0 and 1. Defaults to 0.1.
        seed: Int. Defaults to 0.

    Returns:
        `(training, held_out)`: two int arrays, numbers of crops.

    Raises:
        ValueError: for a share that is none, or fewer than two pictures.
    """
    names = sorted(set(sources))
    if not 0 < holdout < 1 or len(names) < 2:
        raise ValueError(
            "Two pictures or more are needed, and `holdout` is between 0 and 1. "
            f"Received: {len(names)} pictures, holdout={holdout}"
        )
    rng = np.random.default_rng((seed, 23))
    score = dict(zip(sources, scores, strict=True))
    # By score, chance within it: every (1 / holdout)-th is held out.
    order = sorted(rng.permutation(len(names)), key=lambda i: score[names[i]])
    count = np.floor(np.arange(len(names) + 1) * holdout + rng.uniform())
    out = np.flatnonzero(np.diff(count))[: len(names) - 1]
    if not len(out):
        out = [rng.integers(len(names))]
    held = {names[order[i]] for i in out}
    is_held = np.asarray([source in held for source in sources])
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)


def write_split(run, sources, training, held_out):
    """Write which pictures a run trains on into its folder.

    Args:
        run: `illustkit.training.runs.Run`.
        sources: For each crop the name of its picture.
        training: Numbers of the crops to train on.
        held_out: Numbers of those held out.
    """
    names = {"train": training, "held_out": held_out}
    names = {k: sorted({sources[i] for i in v}) for k, v in names.items()}
    (run.folder / SPLIT).write_text(json.dumps(names, indent=1), encoding="utf-8")


def held_out_ratings(run, crops, ratings=None):
    """Ratings of the crops that a run did not train on.

    Of the run's own crops these are the ones held out, of other crops all.

    Example:
    ```python
    held_out = held_out_ratings(run, "crops")
    scores = score_crops([path for path, _ in held_out], run)
    ```

    Args:
        run: `illustkit.training.runs.Run` of a scorer.
        crops: Folder of crops, named as it was for the training.
        ratings: As in `train_scorer`.

    Returns:
        List of `facescore.scorer.data.Rating`.

    Raises:
        ValueError: where the run knows no split, or trained on every crop.
    """
    try:
        trained = set(json.loads((run.folder / SPLIT).read_text("utf-8"))["train"])
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{run.folder / SPLIT} does not say which pictures were trained on "
            f"({error}): train again to evaluate on held-out ones."
        ) from None
    found, sources = rated_crops(crops, ratings)
    trained = set(trained)
    kept = [
        r for r, source in zip(found, sources, strict=True) if source not in trained
    ]
    if not kept:
        raise ValueError(
            f"{crops}: the run trained on every picture of it. Name other crops."
        )
    return kept
