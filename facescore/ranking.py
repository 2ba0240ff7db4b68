"""A ranking: the pictures of a folder in order, and what is known about each."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facescore.boxes import Face
from facescore.duplicates import group_duplicates
from facescore.gallery import GALLERY


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
