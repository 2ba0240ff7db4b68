"""Rated crops and their batches, and the split that judges a scorer."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facescore.crops import failure, fit_crop, read_crop_table
from facescore.scorer.ratings import Rating, read_ratings
from illustkit.errors import UserError
from illustkit.files import expand_user, name_within
from illustkit.images import file_stamps, read_image, store_pictures
from illustkit.images.cache import StoredPictures
from illustkit.tables import read_json
from illustkit.training.batches import Batches
from illustkit.training.fingerprint import fingerprint_file
from illustkit.training.folder import DATA
from illustkit.training.runs import Run
from illustkit.training.split import read_split, split_run, write_split


@dataclass(frozen=True)
class RatedCrops:
    """Crops of a network's size, and their scores.

    Args:
        pictures: `StoredPictures`, uint8 `(n, height, width, 3)`.
        scores: float32 `(n,)`, 1 to 5.
    """

    pictures: StoredPictures
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: Any) -> np.ndarray:
        """Return the pictures of one index, or of several."""
        return self.pictures[index]

    def select(self, indices: Any) -> "RatedCrops":
        """Return some of the crops, without loading them.

        Args:
            indices: Their numbers.
        """
        indices = np.asarray(indices, int)
        return RatedCrops(self.pictures.select(indices), self.scores[indices])


def rated_crops(
    crops: str | os.PathLike,
    ratings: Any = None,
    *,
    gone: list[Rating] | None = None,
) -> tuple[list[Rating], list[str]]:
    """Join crops and ratings.

    If the folder has `crops.csv`, it says which crops come from one picture, wherever
    in the folder they were moved to, and ratings of pictures apply to their crops.

    Args:
        crops: Folder of crops.
        ratings: A CSV, or a folder of scores: of the crops, or of the pictures they
            were cut from; or a list of `Rating`. Defaults to the ratings in the folder
            of crops itself: `1/` to `5/`, or `ratings.csv`.
        gone: See `ratings_from_csv`.

    Returns:
        `(ratings, sources)`: a list of `Rating` of crops, and for each the name of the
        picture that it was cut from, or its own name within the folder.

    Raises:
        UserError: If no crop has a rating, or ratings are invalid.
    """
    crops = expand_user(crops)
    table = read_crop_table(crops)
    if ratings is None:
        rated = read_ratings(crops, gone=gone)
    elif isinstance(ratings, (str, os.PathLike)):
        ratings = expand_user(ratings)
        rated = read_ratings(ratings, gone=gone)
        base = ratings if ratings.is_dir() else ratings.parent
        if base.resolve() != crops.resolve():
            here = crops.resolve()
            direct = [
                rating for rating in rated if here in rating.path.resolve().parents
            ]
            rated = direct or _of_pictures(rated, base, table)
    else:
        rated = [Rating(Path(path), score) for path, score in ratings]
    if not rated:
        raise UserError(
            f"{crops}: no crop here has a rating. Sort them into folders 1/ to 5/, or "
            "rate them on the rating page."
        )
    pictures = _pictures(crops, table)
    names = crop_names(crops, rated)
    return rated, [pictures.get(name, name) for name in names]


def crop_names(crops: str | os.PathLike, ratings: Iterable[Rating]) -> list[str]:
    """Return the name of each rated crop within the folder, however both are written.

    Args:
        crops: Folder of crops.
        ratings: List of `Rating`; one outside the folder keeps its whole path.
    """

    def name(path):
        try:
            return name_within(crops, path)
        except UserError:
            return Path(path).as_posix()

    return [name(path) for path, _ in ratings]


def _pictures(crops, table):
    """Return a dict from a crop's name to that of its picture.

    Where a crop may be of several pictures, since the table has its name twice, those
    count as one, so that they stay on one side of a split.
    """
    pictures: dict[str, list[str]] = {}
    for row, places in table:
        for place in places:
            name = place.relative_to(crops).as_posix()
            pictures.setdefault(name, []).append(row["picture"])
    joined: dict[str, str] = {}

    def first(picture):
        while picture in joined:
            picture = joined[picture]
        return picture

    for candidates in pictures.values():
        low, *rest = sorted({first(picture) for picture in candidates})
        joined.update(dict.fromkeys(rest, low))
    return {name: first(candidates[0]) for name, candidates in pictures.items()}


def _of_pictures(ratings, base, table):
    scores = {name_within(base, path): score for path, score in ratings}
    return [
        Rating(places[0], scores[row["picture"]])
        for row, places in table
        if len(places) == 1 and row["picture"] in scores
    ]


def store_crops(
    ratings: Sequence[Rating],
    image_size: Sequence[int],
    cache: str | os.PathLike,
    progress: Callable[[int], object] | None = None,
    *,
    damaged: dict[int, str] | None = None,
) -> RatedCrops:
    """Store rated crops at a network's size, or open what an earlier call stored.

    Args:
        ratings: List of `Rating`.
        image_size: (width, height) in pixels.
        cache: Folder to write to: 3 bytes a pixel.
        progress: Called with the number of crops done. Defaults to none.
        damaged: Dict that receives the numbers of the crops that cannot be read, each
            with its reason; they are not among those returned. Defaults to none: they
            raise an error.

    Returns:
        `RatedCrops`, mapped into memory.

    Raises:
        UserError: If a crop cannot be read.
    """

    def fill(writer):
        reasons = writer.details.setdefault("damaged", {})
        for number, (path, _) in enumerate(ratings):
            try:
                writer.add(fit_crop(read_image(path), image_size))
            except Exception as error:
                reasons[str(number)] = failure(path, error)
            if progress is not None:
                progress(number + 1)

    key = {
        "image_size": list(image_size),
        "files": file_stamps([path for path, _ in ratings]),
    }
    stored = store_pictures(cache, key, fill, name="crops", obsolete=("crops.bin",))
    reasons = {int(i): text for i, text in stored.details.get("damaged", {}).items()}
    if reasons and damaged is None:
        raise UserError(list(reasons.values()))
    if damaged is not None:
        damaged.update(reasons)
    scores = [score for i, (_, score) in enumerate(ratings) if i not in reasons]
    return RatedCrops(stored, np.asarray(scores, "float32"))


class CropBatches(Batches):
    """Batches `(pictures, scores)` of crops that are varied anew in every epoch.

    Crops are mirrored, shifted, scaled, rotated, lit and blurred a little, as detectors
    and file formats vary them and a taste does not notice. Colours stay.

    Args:
        crops: `facescore.scorer.data.RatedCrops`.
        preset: A `facescore.scorer.training.ScorerPreset`.
        seed: Int. Defaults to 0.

    Returns:
        `batches[i]`: uint8 `(batch, height, width, 3)`, float32 `(batch,)`.
    """

    def __init__(self, crops: RatedCrops, preset: Any, *, seed: int = 0) -> None:
        super().__init__(len(crops), batch_size=preset.batch_size, seed=seed)
        self.crops, self.preset = crops, preset

    def make(
        self, indices: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        pictures = [vary(self.crops[int(i)], rng, self.preset) for i in indices]
        return np.stack(pictures), self.crops.scores[indices]


def vary(picture: np.ndarray, rng: np.random.Generator, preset: Any) -> np.ndarray:
    """Vary one crop.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        rng: `np.random.Generator`.
        preset: `ScorerPreset`; its `flip`, `shift`, `zoom`, `turn`, `brightness` and
            `blur` say how much.

    Returns:
        uint8 RGB of the same shape; the border is repeated if the crop moves in.
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
        matrix[:, 2] = matrix[:, 2] + shift
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


def split_by_source(
    sources: Sequence[str],
    scores: Sequence[float] | np.ndarray,
    *,
    holdout: float = 0.1,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out a fraction of the pictures, all crops of one on the same side.

    The same fraction of each score is held out, so that rare scores are on both sides.

    Args:
        sources: For each crop the name of its picture.
        scores: For each crop its score.
        holdout: Fraction to hold out, between 0 and 1. Defaults to 0.1.
        seed: Int. Defaults to 0.

    Returns:
        `(training, held_out)`: two int arrays, numbers of crops.

    Raises:
        UserError: If the fraction is not between 0 and 1, or there are fewer than two
            pictures.
    """
    names = sorted(set(sources))
    if not 0 < holdout < 1 or len(names) < 2:
        raise UserError(
            "Two pictures or more are needed, and `holdout` is between 0 and 1. "
            f"Received: {len(names)} pictures, holdout={holdout}"
        )
    rng = np.random.default_rng((seed, 23))
    score = dict(zip(sources, scores, strict=True))
    # By score, in random order within it: every (1 / holdout)-th is held out.
    order = sorted(rng.permutation(len(names)), key=lambda i: score[names[i]])
    count = np.floor(np.arange(len(names) + 1) * holdout + rng.uniform())
    chosen = np.flatnonzero(np.diff(count))[: len(names) - 1]
    if not len(chosen):
        chosen = np.array([rng.integers(len(names))])
    held = {names[order[i]] for i in chosen}
    is_held = np.asarray([source in held for source in sources])
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)


def split_crops(
    folder: str | os.PathLike,
    crops: str | os.PathLike,
    sources: Sequence[str],
    scores: Sequence[float] | np.ndarray,
    *,
    holdout: float = 0.1,
    seed: int = 0,
    stored_as: Mapping[str, str] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Split crops as the run in a folder has split them, or by `split_by_source`.

    Args:
        folder: Folder of the run; nothing is written to it.
        crops: Folder of crops.
        sources: See `split_by_source`, likewise what follows.
        scores: Score of each crop.
        holdout: Fraction to hold out.
        seed: Int.
        stored_as: Dict from a source to the name that the run may have it under.

    Returns:
        `(training, held_out)`: two int arrays, numbers of crops.
    """

    def choose(names):
        chosen = split_by_source(sources, scores, holdout=holdout, seed=seed)
        return tuple(_names(sources, side) for side in chosen)

    training, held_out = split_run(
        folder,
        sources,
        choose=choose,
        holdout=holdout,
        seed=seed,
        stored_as={**_names_of_version_0_1(crops, sources), **(stored_as or {})},
    )
    sides = set(training), set(held_out)
    return tuple(  # type: ignore[return-value]  # two of them
        np.asarray([i for i, source in enumerate(sources) if source in side], int)
        for side in sides
    )


def _names(sources, indices):
    return sorted({sources[i] for i in indices})


def _names_of_version_0_1(crops, sources):
    """Return what runs of version 0.1 stored for a crop without a picture's name."""
    return {source: str(Path(crops, source)) for source in sources}


def write_source_split(
    folder: str | os.PathLike,
    sources: Sequence[str],
    training: np.ndarray,
    held_out: np.ndarray,
) -> None:
    """Write the names of the pictures that a run trains on into its folder.

    Args:
        folder: Folder of the run.
        sources: For each crop the name of its picture.
        training: Numbers of the crops to train on.
        held_out: Numbers of the crops held out.
    """
    write_split(folder, _names(sources, training), _names(sources, held_out))


def held_out_ratings(
    run: Run,
    crops: str | os.PathLike,
    ratings: Any = None,
    *,
    gone: list[Rating] | None = None,
) -> list[Rating]:
    """Return the ratings of the crops that a run did not train on.

    Of the run's own crops these are the held-out ones; of other crops all.

    Example:
    ```python
    held_out = held_out_ratings(run, "crops")
    scores = score_crops([path for path, _ in held_out], run)
    ```

    Args:
        run: `illustkit.training.runs.Run` of a scorer.
        crops: Folder of crops.
        ratings: As in `train_scorer`.
        gone: See `ratings_from_csv`.

    Returns:
        List of `facescore.scorer.ratings.Rating`.

    Raises:
        UserError: If the run has no split, or trained on every crop.
    """
    trained = set(read_split(run.folder)[0])
    rated, sources = rated_crops(crops, ratings, gone=gone)
    old_names = _names_of_version_0_1(crops, sources)
    renamed = _renamed(run, crops, rated)
    names = crop_names(crops, rated)
    kept = [
        rating
        for rating, source, name in zip(rated, sources, names, strict=True)
        if not {source, name, renamed.get(name), old_names[source]} & trained
    ]
    if not kept:
        raise UserError(
            f"{crops}: the run trained on every picture of it. Name other crops."
        )
    return kept


def _renamed(run, crops, rated):
    """Return a dict from crops' names to those that the run knows the same files by."""
    path = run.folder / DATA
    files = read_json(path).get("files", {}) if path.exists() else {}
    known = {content: name for name, content in files.items() if content}
    contents = [fingerprint_file(path) for path, _ in rated] if known else []
    return {
        name: known[content]
        for name, content in zip(crop_names(crops, rated), contents, strict=False)
        if content in known
    }
