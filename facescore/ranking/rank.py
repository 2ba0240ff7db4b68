"""Rank a folder of pictures by the scores of the faces in them."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from facescore.boxes import Face
from facescore.detector import CONFIDENCE
from facescore.detector.prediction import IOU, NAMES, ultralytics_names
from facescore.detector.views import AUTO, IMAGE_SIZE
from facescore.ranking.duplicates import BITS, group_duplicates
from facescore.ranking.output import (
    GALLERY,
    gather_top,
    write_gallery,
    write_records,
    write_table,
)
from facescore.ranking.pipeline import (
    NAME,
    Clock,
    Journal,
    RatingWorker,
    fingerprint,
    rate_pictures,
    stamp,
)
from facescore.scorer.prediction import FaceScorer, clip_score
from illustkit.cluster import (
    RAY,
    map_to_shards,
    read_shards,
    remove_shards,
    whole_path,
)
from illustkit.errors import UserError
from illustkit.files import expand_user
from illustkit.images import list_images
from illustkit.options import check_choice, check_number

PICTURE_SCORES = "best", "mean"
ENGINES = "auto", RAY
SHARDS = "shards"
_AT_ONCE = 1000  # records of the shards that are in memory


@dataclass
class RankedPicture:
    """A picture and its place in a ranking.

    Attributes:
        file: Name within the folder, with "/".
        faces: List of `Face` with scores, the best first.
        score: Score of the best face, or the mean of the faces; `None` without a face.
        rank: From 1; `None` without a face.
        duplicate_of: The best of the pictures that look like this one, if that is
            another picture.
        alike: Number of pictures that look alike, this one included.
        error: Why it could not be read, or `None`.
        thumbnail: Path within the output, or `None`.
        width: Width of the upright picture in pixels.
        height: Its height.
    """

    file: str
    faces: list[Face] = field(default_factory=list)
    score: float | None = None
    rank: int | None = None
    duplicate_of: str | None = None
    alike: int = 1
    error: str | None = None
    thumbnail: str | None = None
    width: int | None = None
    height: int | None = None

    @property
    def state(self) -> str:
        """One of "ranked", "no face" and "broken"."""
        if self.error is not None:
            return "broken"
        return "ranked" if self.faces else "no face"


@dataclass
class Ranking:
    """The result of `rank_folder`.

    Attributes:
        pictures: List of `RankedPicture`: by rank, then those without a face, then
            those that could not be read.
        output: Folder with `ranking.csv`, `ranking.json`, `gallery.html`, whose scores
            end at 1 and 5; those of `pictures` are the scorer's own numbers.
        top: Paths of the best pictures' copies, if they were asked for.
        done: Number of pictures rated in this call; the others were in the journal.
        seconds: Dict from stage to seconds: processor time of the threads for
            "decode", "thumbnail" and "hash", wall time for "wait", "detect", "crop",
            "score" and "journal".
    """

    pictures: list[RankedPicture]
    output: Path
    top: list[Path] = field(default_factory=list)
    done: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def in_state(self, state: str) -> list[RankedPicture]:
        """Return the pictures that are "ranked", have "no face", or are "broken"."""
        return [picture for picture in self.pictures if picture.state == state]

    def __str__(self) -> str:
        n = {s: len(self.in_state(s)) for s in ("ranked", "no face", "broken")}
        alike = sum(p.duplicate_of is not None for p in self.pictures)
        lines = [
            f"{n['ranked']} ranked, {n['no face']} without a face, {n['broken']} "
            f"that cannot be read; {alike} look like a better one.",
            f"Gallery: {self.output / GALLERY}",
        ]
        return "\n".join(
            lines + [f"  {p.file}: {p.error}" for p in self.in_state("broken")]
        )


def ranked(
    records: Iterable[Mapping[str, Any]],
    picture_score: str = "best",
    duplicates: int | None = 6,
) -> list[RankedPicture]:
    """Put the pictures of a journal in order, and find those that look alike.

    Args:
        records: Dicts from `rate_pictures`, one for each picture.
        picture_score: "best" face or "mean" of the faces. Defaults to "best".
        duplicates: As in `rank_folder`.

    Returns:
        List of `RankedPicture`. Those of equal score keep their order.
    """
    records = list(records)
    pictures = []
    for record in records:
        faces = [Face(tuple(f[:4]), f[4], f[5]) for f in record.get("faces", ())]
        faces.sort(key=lambda face: -(face.score or 0.0))
        scores = [face.score or 0.0 for face in faces]
        score = None
        if scores:
            mean = picture_score == "mean"
            score = sum(scores) / len(scores) if mean else scores[0]
        pictures.append(
            RankedPicture(
                file=record["file"],
                faces=faces,
                score=score,
                error=record.get("error"),
                thumbnail=record.get("thumbnail"),
                width=record.get("width"),
                height=record.get("height"),
            )
        )
    order = sorted(
        range(len(pictures)),
        key=lambda i: (
            ("ranked", "no face", "broken").index(pictures[i].state),
            -(pictures[i].score or 0),
        ),
    )
    pictures, records = [pictures[i] for i in order], [records[i] for i in order]
    for rank, picture in enumerate((p for p in pictures if p.faces), 1):
        picture.rank = rank
    intact = [i for i, picture in enumerate(pictures) if picture.error is None]
    if duplicates is not None and intact:
        groups = group_duplicates(
            [int(records[i]["hash"], 16) for i in intact],
            [list(bytes.fromhex(records[i]["colours"])) for i in intact],
            threshold=duplicates,
        )
        sizes = np.bincount(groups)
        # By rank, so that the first of a group is its best.
        for i, group in zip(intact, groups.tolist(), strict=True):
            pictures[i].alike = int(sizes[group])
            if intact[group] != i:
                pictures[i].duplicate_of = pictures[intact[group]].file
    return pictures


def within_limits(
    pictures: Iterable[RankedPicture], limits: tuple[float, float] | None
) -> list[RankedPicture]:
    """Return a ranking as people see it: scores within the scale, in the same order.

    Args:
        pictures: What `ranked` returned.
        limits: The scale's ends, which scores beyond them become; `None` for no scale.

    Returns:
        List of other `RankedPicture`.
    """
    return [
        replace(
            picture,
            score=clip_score(picture.score, limits),
            faces=[
                f._replace(score=clip_score(f.score, limits)) for f in picture.faces
            ],
        )
        for picture in pictures
    ]


@ultralytics_names
def rank_folder(
    folder: str | os.PathLike,
    *,
    scorer: Any,
    output: str | os.PathLike,
    detector: Any = "default",
    top_k: int | None = None,
    link: bool = False,
    resume: bool = True,
    picture_score: str = "best",
    duplicates: int | None = 6,
    workers: int | None = None,
    engine: str = "auto",
    explain: int | None = None,
    progress: bool = True,
    confidence: float = CONFIDENCE,
    iou: float | None = None,
    image_size: int | None = None,
    tile: int | str | None = AUTO,
) -> Ranking:
    """Score every face of every picture, and put the pictures in order.

    The best face decides a picture's rank. The output folder gets `ranking.csv` (a row
    for each face), `ranking.json`, a gallery (`gallery.html`), and on request the best
    pictures in `top/`. Pictures without a face come at the end; those that cannot be
    read come last, with the reason. The pictures themselves are only read.

    An interrupted run resumes by `ranking.jsonl`: only pictures that are new, changed
    or were broken are rated again.

    Example:
    ```python
    ranking = rank_folder("pictures", scorer="runs/taste", detector="runs/faces",
                          output="ranking", top_k=100)
    print(ranking.pictures[0].file, ranking.pictures[0].score)
    ```

    Args:
        folder: Folder of pictures, with its sub-folders.
        scorer: A run folder, or what `load_scorer` returned.
        output: Folder to write to; new, or that of an earlier ranking.
        detector: "default", "cascade", a run folder, what `load_detector` returned, or
            a function from an image to its faces; `None` scores whole pictures.
            Defaults to "default".
        top_k: How many of the best to copy to `top/`; of pictures that look alike only
            the best. Defaults to none.
        link: Make symbolic links there instead of copies. Defaults to `False`.
        resume: Continue the ranking in `output`. Defaults to `True`.
        picture_score: "best" face or "mean" of the faces. Defaults to "best".
        duplicates: Most bits of 64 in which the hashes of pictures that look alike
            differ, or `None` to ignore duplicates. Defaults to 6.
        workers: Threads that decode pictures, or with `engine` "ray" processes that do
            everything. Defaults to 2 threads, or a process for each core.
        engine: "auto", or "ray": Ray's processes rate the pictures, on this machine or
            on a cluster whose machines all see the folders; scorer and detector are
            then named, not opened. Defaults to "auto".
        explain: How many of the best to explain: the gallery shows what in their faces
            made the scores, where the mouse is. Defaults to none.
        progress: Show a progress bar. Defaults to `True`.
        confidence: Least confidence of a face. The options that follow are for trained
            detectors, and refused for others.
        iou: Overlap up to which two boxes are two faces. Defaults to 0.5.
        image_size: Side that pictures are scaled to for the detector, in pixels.
            Defaults to 640.
        tile: See `facescore.detect_faces`. Defaults to "auto".

    Returns:
        A `Ranking`.

    Raises:
        UserError: If an option is invalid, the folder has no pictures, or the output
            holds something else, or a ranking with another scorer or detector.
    """
    folder, output = expand_user(folder), expand_user(output)
    check_choice("picture_score", picture_score, PICTURE_SCORES)
    check_choice("engine", engine, ENGINES)
    check_number("workers", workers, whole=True, least=1)
    check_number("top_k", top_k, whole=True, least=1)
    check_number("explain", explain, whole=True, least=1)
    check_number("duplicates", duplicates, whole=True, least=0, most=BITS // 2 - 1)
    images = _images(folder, output)
    options: dict[str, Any] = {
        "confidence": confidence,
        "iou": iou,
        "image_size": image_size,
        "tile": tile,
    }
    named = scorer, detector
    if engine == RAY:
        opened = [n for n in named if not isinstance(n, str | os.PathLike | None)]
        if opened:
            raise UserError(
                "`engine` ray opens scorer and detector in each process: name their "
                f"runs or files. Received: {opened[0]!r}"
            )
    rate = FaceScorer(scorer, detector, **options)
    settings = {
        "folder": str(folder.resolve()),
        "scorer": fingerprint(rate.scorer),
        "detector": fingerprint(rate.detector),
        # The journals of every version have these names.
        "conf": confidence,
        "iou": IOU if iou is None else iou,
        "imgsz": IMAGE_SIZE if image_size is None else image_size,
        "tile": tile,
    }
    explainer = None
    if explain:  # before the work: not every scorer can be explained
        from facescore.scorer.explanation import Explainer

        explainer = Explainer(rate.scorer)
    clock = Clock()
    with Journal(output / NAME, settings, resume) as journal:
        if engine == RAY:
            done = _spread(
                journal, images, folder, output, named, options, workers, progress
            )
        else:
            done = _work(
                journal, images, folder, output, rate, workers or 2, progress, clock
            )
        records = {record["file"]: record for record in journal.records()}
    names = [image.relative_to(folder).as_posix() for image in images]
    pictures = ranked([records[name] for name in names], picture_score, duplicates)
    shown = within_limits(pictures, rate.limits)
    about = {"picture_score": picture_score, **settings}
    write_table(output, shown)
    write_records(output, shown, about)
    explained = None
    if explainer:
        from facescore.ranking.explanations import explain_ranked

        chosen = [p for p in pictures if p.rank and p.duplicate_of is None][:explain]
        explained = explain_ranked(
            chosen, folder, output, explainer, rate, progress=progress
        )
    write_gallery(output, shown, folder, explained)
    top = gather_top(shown, folder, output, top_k, link=link) if top_k else []
    return Ranking(pictures, output, top, done, dict(clock))


def _spread(journal, images, folder, output, models, options, workers, progress):
    """Bring the journal up to date by processes of Ray; return the number rated."""
    shards = output / SHARDS

    def merge():
        records = read_shards(shards)
        while some := list(islice(records, _AT_ONCE)):
            journal.append(some)
        remove_shards(shards)

    merge()  # what an interrupted run has left
    todo = _unrated(journal, images, folder, output)
    named = [whole_path(model, NAMES) for model in models]
    arguments = [str(folder.resolve()), str(output.resolve()), *named, options]
    map_to_shards(
        [image.relative_to(folder).as_posix() for image in todo],
        RatingWorker,
        arguments,
        shards,
        workers=workers,
        progress=progress,
    )
    merge()
    return len(todo)


def _unrated(journal, images, folder, output):
    """Return the pictures that are new, changed or were broken."""
    stamps = {}
    for record in journal.records():
        intact = "error" not in record and (output / record["thumbnail"]).exists()
        stamps[record["file"]] = intact and (record["size"], record["time"])
    todo = []
    for image in images:
        before = stamps.get(image.relative_to(folder).as_posix())
        if not before or not image.exists() or before != tuple(stamp(image).values()):
            todo.append(image)
    return todo


def _work(journal, images, folder, output, rate, workers, progress, clock):
    """Bring the journal up to date; return the number of pictures rated."""
    from tqdm import tqdm

    todo = _unrated(journal, images, folder, output)
    bar = tqdm(
        total=len(images),
        initial=len(images) - len(todo),
        unit="picture",
        disable=not progress,
    )
    with bar:
        for records in rate_pictures(
            todo, folder, output, rate, workers=workers, clock=clock
        ):
            with clock.time("journal"):
                journal.append(records)
            bar.update(len(records))
    return len(todo)


def _images(folder, output):
    """Return the folder's pictures, without those that a ranking has written."""
    inside = folder.resolve()
    if output.resolve() in [inside, *inside.parents]:
        raise UserError(
            "The ranking would mix with the pictures: name a folder of its own. "
            f"Received: output={output} for the pictures in {folder}"
        )
    if output.exists() and not (output / NAME).is_file():
        if not output.is_dir() or any(output.iterdir()):
            raise UserError(
                f"{output}: holds something else than a ranking. Name a new folder."
            )
    images, rankings = [], {folder: False}

    def written(place):
        if place not in rankings:
            rankings[place] = (place / NAME).is_file() or written(place.parent)
        return rankings[place]

    for image in list_images(folder):
        if not written(image.parent):
            images.append(image)
    if not images:
        raise UserError(f"{folder}: no pictures here but those of a ranking.")
    return images
