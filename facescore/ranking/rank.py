"""Rank a folder of pictures by what a scorer makes of the faces in them."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facescore.boxes import Face
from facescore.ranking.duplicates import group_duplicates
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
    Models,
    fingerprint,
    rate_pictures,
    stamp,
)
from illustkit.images import list_images


@dataclass
class RankedPicture:
    """A picture in its place.

    Attributes:
        file: Name within the folder, with "/".
        faces: List of `Face` with scores, the best first.
        score: Of the best face, or their mean; `None` without a face.
        rank: From 1; `None` without a face.
        duplicate_of: The best of the pictures that look like this one, if that is
            another one.
        alike: Number of pictures that look alike, this one among them.
        error: Why it could not be read, or `None`.
        thumbnail: Path within the output, or `None`.
        width, height: In pixels, as seen.
    """

    file: str
    faces: list = field(default_factory=list)
    score: float | None = None
    rank: int | None = None
    duplicate_of: str | None = None
    alike: int = 1
    error: str | None = None
    thumbnail: str | None = None
    width: int | None = None
    height: int | None = None

    @property
    def state(self):
        """One of "ranked", "no face" and "broken"."""
        if self.error is not None:
            return "broken"
        return "ranked" if self.faces else "no face"


@dataclass
class Ranking:
    """What `rank_folder` found.

    Attributes:
        pictures: List of `RankedPicture`: by rank, then those without a face, then
            those that could not be read.
        output: Folder with `ranking.csv`, `ranking.json`, `gallery.html`.
        top: Paths of the best pictures' copies, if they were asked for.
        done: Number of pictures worked on in this call; the others were known.
        seconds: Dict from stage to seconds: of processor time in the threads for
            "decode", "thumbnail" and "hash", of the wall for "wait", "detect",
            "crop", "score" and "journal".
    """

    pictures: list
    output: Path
    top: list = field(default_factory=list)
    done: int = 0
    seconds: dict = field(default_factory=dict)

    def in_state(self, state):
        """The pictures that are "ranked", without a face ("no face"), or "broken"."""
        return [picture for picture in self.pictures if picture.state == state]

    def __str__(self):
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


def ranked(records, picture_score="best", duplicates=6):
    """Put the pictures of a journal in order, and find those that look alike.

    Args:
        records: Dicts as `rate_pictures` makes them, a picture each.
        picture_score: "best" face or "mean" of the faces. Defaults to "best".
        duplicates: As in `rank_folder`.

    Returns:
        List of `RankedPicture`. Those of equal score keep their order.
    """
    pictures = []
    for record in records:
        faces = [Face(tuple(f[:4]), f[4], f[5]) for f in record.get("faces", ())]
        faces.sort(key=lambda face: -face.score)
        scores = [face.score for face in faces]
        score = None
        if faces:
            mean = picture_score == "mean"
            score = sum(scores) / len(scores) if mean else scores[0]
        pictures.append(
            RankedPicture(
                file=record["file"],
                faces=faces,
                score=score,
                error=record.get("error"),
                **{key: record.get(key) for key in ("thumbnail", "width", "height")},
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
    whole = [i for i, picture in enumerate(pictures) if picture.error is None]
    if duplicates is not None and whole:
        groups = group_duplicates(
            [int(records[i]["hash"], 16) for i in whole],
            [list(bytes.fromhex(records[i]["colours"])) for i in whole],
            threshold=duplicates,
        )
        sizes = np.bincount(groups)
        # By rank, so that the first of a group is its best.
        for i, group in zip(whole, groups.tolist(), strict=True):
            pictures[i].alike = int(sizes[group])
            if whole[group] != i:
                pictures[i].duplicate_of = pictures[whole[group]].file
    return pictures


PICTURE_SCORES = "best", "mean"


def rank_folder(
    folder,
    *,
    scorer,
    output,
    detector="cascade",
    top_k=None,
    link=False,
    resume=True,
    picture_score="best",
    duplicates=6,
    workers=2,
    progress=True,
    conf=0.25,
    iou=0.5,
    imgsz=640,
    tile=None,
):
    """Score every face of every picture, and put the pictures in order.

    The best face decides a picture's rank. The output folder gets `ranking.csv` (a row
    a face), `ranking.json`, a gallery to look at (`gallery.html`), and on request the
    best pictures in `top/`. A picture without a face is listed at the end, one that
    cannot be read after that with the reason, and the run goes on. The pictures
    themselves are only read.

    A run that was interrupted goes on where it stopped, by `ranking.jsonl`: only
    pictures that are new, changed or were broken are looked at again.

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
        detector: "cascade", a run folder, what `load_detector` returned, or a function
            from an image to its faces; `None` scores whole pictures. Defaults to
            "cascade".
        top_k: How many of the best to copy to `top/`, of pictures that look alike one
            only. Defaults to none.
        link: Make symbolic links there instead of copies. Defaults to `False`.
        resume: Go on with the ranking in `output`. Defaults to `True`.
        picture_score: "best" face or "mean" of the faces. Defaults to "best".
        duplicates: Most bits of 64 in which the hashes of pictures that look alike
            differ, or `None` not to look. Defaults to 6.
        workers: Threads that decode pictures. Defaults to 2.
        progress: Show a progress bar. Defaults to `True`.
        conf: Least confidence of a face; this and what follows for trained detectors.
        iou: Overlap up to which two boxes are two faces.
        imgsz: Side that pictures are scaled to for the detector, in pixels.
        tile: Side of windows to search as well, in pixels. Defaults to none.

    Returns:
        A `Ranking`.

    Raises:
        ValueError: for an option that is none, a folder without pictures, an output
            that holds something else, or a ranking with another scorer or detector.
    """
    folder, output = Path(folder), Path(output)
    if picture_score not in PICTURE_SCORES:
        raise ValueError(
            f"picture_score is one of {PICTURE_SCORES}. Received: {picture_score!r}"
        )
    if workers < 1 or (top_k is not None and top_k < 1):
        raise ValueError(
            "workers and top_k are 1 or more. "
            f"Received: workers={workers}, top_k={top_k}"
        )
    if duplicates is not None:
        group_duplicates([], threshold=duplicates)  # refuses a wrong one at once
    images = _images(folder, output)
    options = {"conf": conf, "iou": iou, "imgsz": imgsz, "tile": tile}
    models = Models(_scorer(scorer), _detector(detector), options)
    settings = {
        "folder": str(folder.resolve()),
        "scorer": fingerprint(models.scorer),
        "detector": fingerprint(models.detector),
        **options,
    }
    clock = Clock()
    with Journal(output / NAME, settings, resume) as journal:
        done = _work(journal, images, folder, output, models, workers, progress, clock)
        records = {record["file"]: record for record in journal.records()}
    names = [image.relative_to(folder).as_posix() for image in images]
    pictures = ranked([records[name] for name in names], picture_score, duplicates)
    about = {"picture_score": picture_score, **settings}
    write_table(output, pictures)
    write_records(output, pictures, about)
    write_gallery(output, pictures, folder)
    top = gather_top(pictures, folder, output, top_k, link=link) if top_k else []
    return Ranking(pictures, output, top, done, dict(clock))


def _work(journal, images, folder, output, models, workers, progress, clock):
    """Bring the journal up to date; returns how many pictures that took."""
    from tqdm import tqdm

    known = {}
    for record in journal.records():
        whole = "error" not in record and (output / record["thumbnail"]).exists()
        known[record["file"]] = whole and (record["size"], record["time"])
    todo = []
    for image in images:
        before = known.get(image.relative_to(folder).as_posix())
        if not before or not image.exists() or before != tuple(stamp(image).values()):
            todo.append(image)
    bar = tqdm(
        total=len(images),
        initial=len(images) - len(todo),
        unit="picture",
        disable=not progress,
    )
    with bar:
        for records in rate_pictures(
            todo, folder, output, models, workers=workers, clock=clock
        ):
            with clock.time("journal"):
                journal.append(records)
            bar.update(len(records))
    return len(todo)


def _images(folder, output):
    """The folder's pictures, without those that a ranking has written."""
    inside = folder.resolve()
    if output.resolve() in [inside, *inside.parents]:
        raise ValueError(
            "The ranking would mix with the pictures: name a folder of its own. "
            f"Received: output={output} for the pictures in {folder}"
        )
    if output.exists() and not (output / NAME).is_file():
        if not output.is_dir() or any(output.iterdir()):
            raise ValueError(
                f"{output}: holds something else than a ranking. Name a new folder."
            )
    images, known = [], {folder: False}

    def written(place):
        if place not in known:
            known[place] = (place / NAME).is_file() or written(place.parent)
        return known[place]

    for image in list_images(folder):
        if not written(image.parent):
            images.append(image)
    if not images:
        raise ValueError(f"{folder}: no pictures here but those of a ranking.")
    return images


def _scorer(scorer):
    if hasattr(scorer, "predict_scores"):
        return scorer
    from facescore.scorer.model import load_scorer

    return load_scorer(scorer)


def _detector(detector):
    if detector is None or callable(detector) or hasattr(detector, "detect"):
        return detector
    from facescore.detector.prediction import as_detector

    return as_detector(detector)
