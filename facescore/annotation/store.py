"""Store the faces of a folder: accepted by a person, or suggested only.

Accepted labels are the text files where every YOLO tool looks for them; a picture with
such a file is accepted. Suggestions, with confidences, are in `.facescore/` of the
folder: `drafts/` edited by hand, and `suggestions/<number>-<name>/`, one folder for
each labelling by a cascade or a detector. Drafts count first, then the newest
detector's suggestions, then the newest cascade's. `aside/` names the pictures that a
person took out, or is not sure of.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facescore.boxes import Face, box_areas, clip_boxes
from facescore.labels import (
    PREDICTIONS,
    UNLABELLED,
    LabelError,
    check_labels,
    label_kind,
    label_path,
    read_confidences,
    read_labels,
    read_predictions,
    write_labels,
)
from illustkit.errors import UserError
from illustkit.files import expand_user, read_text, write_whole
from illustkit.images import list_images, picture_size
from illustkit.yolo import read_classes, read_rows, to_pixels

HIDDEN = ".facescore"
CASCADE, DETECTOR = "cascade", "detector"
NEW, SUGGESTED, DRAFT, ACCEPTED, PROBLEM, SKIPPED, UNSURE = STATES = (
    *("new", "suggested", "draft"),
    *("accepted", "problem"),
    *("skipped", "unsure"),
)
ASIDE = SKIPPED, UNSURE  # neither asked about again nor trained on


class Annotation(NamedTuple):
    """The current faces of one picture.

    Args:
        state: "new" (no suggestion), "suggested", "draft" (edited, not accepted),
            "accepted", "problem" (its label file cannot be read), "skipped" (taken
            out) or "unsure".
        faces: List of `Face`.
        message: The problem, else "".
    """

    state: str
    faces: list[Face]
    message: str = ""


class Annotations:
    """The pictures of a folder and the state of their labels, always read from disk.

    Example:
    ```python
    annotations = Annotations("pictures")
    annotations.save(annotations.images[0], [Face((10, 10, 60, 60))], accept=True)
    ```

    Args:
        folder: Folder of the pictures, with its sub-folders.
        face_class: Number of the class that is a face, in labels of several classes;
            the lines of the others stay as they are. Defaults to 0, where any other
            class is a problem.

    Raises:
        UserError: If there is no picture, or two share one label file (`a.png`,
            `a.jpg`).
    """

    def __init__(
        self, folder: str | os.PathLike, *, face_class: int | None = None
    ) -> None:
        self.folder = expand_user(folder)
        self.face_class = face_class
        self.images = list_images(self.folder)
        self._labels = {image: label_path(image) for image in self.images}
        self._names = {
            image: image.relative_to(self.folder).with_suffix(".txt")
            for image in self.images
        }
        if twins := list(_shared(self._labels)):
            raise UserError(twins)

    def accepted(self) -> list[Path]:
        """Return the pictures whose labels a person has accepted.

        Raises:
            LabelError: Naming file and line of every problem in all labels.
        """
        if problems := check_labels(self.images, face_class=self.face_class):
            raise LabelError(problems)
        return [image for image in self.images if self._is_accepted(image)]

    def summaries(self) -> list[tuple[str, float]]:
        """Return the `summary` of every picture, in their order."""
        sources = self._sources()
        return [self.summary(image, sources) for image in self.images]

    def summary(
        self, image: Path, sources: Iterable[Path] | None = None
    ) -> tuple[str, float]:
        """Return the state of a picture and its lowest confidence, without opening it.

        Args:
            image: One of `images`.
            sources: Folders of suggestions, if the caller has listed them.

        Returns:
            (state, confidence): the confidence is 1 if accepted, and 0 without a face
            or a suggestion.
        """
        try:
            if self._is_accepted(image):
                return ACCEPTED, 1.0
        except LabelError:
            return PROBLEM, 0.0
        path, state = self._suggestion(image, sources)
        state = self._aside(image) or state
        if path is None:
            return state, 0.0
        try:
            confidence = read_confidences(path)
        except LabelError:
            return self._aside(image) or NEW, 0.0
        if confidence is None or not len(confidence):
            return state, 0.0
        return state, float(confidence.min())

    def load(self, image: Path) -> Annotation:
        """Read the faces of a picture.

        Args:
            image: One of `images`.

        Returns:
            An `Annotation`.

        Raises:
            UserError: If the picture cannot be read.
        """
        size = picture_size(image)
        try:
            if self._is_accepted(image):
                labels = read_labels(
                    self._labels[image], size, face_class=self.face_class
                )
                boxes = [] if labels is None else labels.tolist()
                return Annotation(ACCEPTED, [Face(tuple(box)) for box in boxes])
        except LabelError as error:
            return Annotation(PROBLEM, [], str(error))
        path, state = self._suggestion(image)
        aside = self._aside(image)
        if path is None:
            return Annotation(aside or NEW, [])
        try:
            predictions = read_predictions(path, size)
        except LabelError as error:
            return Annotation(aside or NEW, [], str(error))
        if predictions is None:
            return Annotation(aside or NEW, [])
        pairs = zip(*(column.tolist() for column in predictions), strict=True)
        return Annotation(aside or state, [Face(tuple(box), c) for box, c in pairs])

    def others(
        self, image: Path, size: tuple[int, int]
    ) -> list[tuple[tuple[float, ...], str]]:
        """Read the boxes of a picture's other classes, which the review only shows.

        Args:
            image: One of `images`.
            size: (width, height) of the upright picture, in pixels.

        Returns:
            Pairs (box, name): xyxy in pixels, and the class's name in the `classes.txt`
            beside the labels, else "class 3". No pair without a `face_class`.
        """
        if self.face_class is None:
            return []
        try:
            rows = read_rows(self._labels[image])
        except LabelError:  # `load` says what is wrong with the file
            return []
        rows = np.zeros((0, 5)) if rows is None else rows
        rows = rows[rows[:, 0] != self.face_class]
        boxes = clip_boxes(to_pixels(rows[:, 1:5], size), size).tolist()
        named = dict(enumerate(read_classes(self._labels[image].parent)))
        numbers = rows[:, 0].astype(int).tolist()
        names = [named.get(n, f"class {n}") for n in numbers]
        return [(tuple(box), name) for box, name in zip(boxes, names, strict=True)]

    def save(
        self, image: Path, faces: Iterable[Face], *, accept: bool, aside: str = ""
    ) -> None:
        """Write the faces that a person has drawn.

        Args:
            image: One of `images`.
            faces: `Face`s; none says that the picture has no face.
            accept: Whether to write a label; otherwise a draft, and an existing label
                is removed. An existing file that is no label is moved to
                `.facescore/replaced/`.
            aside: "skipped" takes the picture out, "unsure" leaves it for later: its
                boxes stay a draft. Defaults to neither.

        Raises:
            ValueError: If a box has no area in the picture, or `aside` is another
                word or comes with `accept`.
        """
        if aside and (accept or aside not in ASIDE):
            raise UserError(
                f"`aside` is skipped or unsure, and no accepted picture is either. "
                f"Received: {aside!r}"
            )
        size, label = picture_size(image), self._labels[image]
        draft = self._draft(image)
        faces = list(faces)
        boxes = [face.box for face in faces]
        if self.summary(image)[0] == PROBLEM or self._kind(image) == PREDICTIONS:
            # Somebody else made it and may still need it.
            replaced = self.folder / HIDDEN / "replaced" / self._names[image]
            replaced.parent.mkdir(parents=True, exist_ok=True)
            os.replace(label, replaced)
        if accept:
            write_labels(label, boxes, size, face_class=self.face_class)
            draft.unlink(missing_ok=True)
        else:
            write_labels(draft, boxes, size, [face.confidence for face in faces])
            self._remove_label(image)
        if aside:
            write_whole(self._mark(image), f"{aside}\n")
        else:
            self._mark(image).unlink(missing_ok=True)

    def forget(self, image: Path) -> None:
        """Remove what a person has done: draft, accepted label, skipped or unsure.

        Args:
            image: One of `images`.
        """
        if self.summary(image)[0] == ACCEPTED:
            self._remove_label(image)
        self._draft(image).unlink(missing_ok=True)
        self._mark(image).unlink(missing_ok=True)

    def suggest(self, image: Path, faces: Iterable[Face], source: Path) -> None:
        """Write the faces that a cascade or a detector has found, as suggestions.

        Boxes outside the picture are left out.

        Args:
            image: One of `images`.
            faces: `Face`s.
            source: Folder of the labelling, from `source`.
        """
        faces = list(faces)
        size = picture_size(image)
        boxes = clip_boxes([face.box for face in faces], size)
        confidence = np.asarray([face.confidence for face in faces], np.float64)
        inside = box_areas(boxes) > 0
        path = source / self._names[image]
        write_labels(path, boxes[inside], size, confidence[inside])

    def source(self, name: str) -> Path:
        """Return the folder of a labelling's suggestions; make a new one if needed.

        Args:
            name: "cascade-" or "detector-" and a stamp of the labelling.
        """
        sources = self._sources()
        for folder in sources:
            if folder.name.partition("-")[2] == name:
                return folder
        number = max((_number(folder) for folder in sources), default=-1) + 1
        folder = self.folder / HIDDEN / "suggestions" / f"{number:03d}-{name}"
        folder.mkdir(parents=True)
        return folder

    def suggested_by(self, image: Path, source: Path) -> bool:
        """Return whether a labelling has searched a picture already."""
        return (source / self._names[image]).exists()

    def forget_before(self, source: Path) -> None:
        """Remove the suggestions that count less than a labelling's."""
        sources = self._sources()
        for folder in sources[sources.index(source) + 1 :]:
            shutil.rmtree(folder)

    def _sources(self):
        folders = (self.folder / HIDDEN / "suggestions").glob("[0-9]*-*")
        return sorted(
            folders, key=lambda f: (f"-{DETECTOR}-" in f.name, _number(f)), reverse=True
        )

    def _suggestion(self, image, sources=None):
        if (draft := self._draft(image)).exists():
            return draft, DRAFT
        relative = self._names[image]
        for folder in self._sources() if sources is None else sources:
            if (path := folder / relative).exists():
                return path, SUGGESTED
        foreign = self._labels[image]  # another tool's, six columns, beside the picture
        return (foreign, SUGGESTED) if foreign.exists() else (None, NEW)

    def _draft(self, image):
        return self.folder / HIDDEN / "drafts" / self._names[image]

    def _mark(self, image):
        return self.folder / HIDDEN / "aside" / self._names[image]

    def _aside(self, image):
        try:
            word = read_text(self._mark(image)).strip()
        except FileNotFoundError:
            return ""
        return word if word in ASIDE else ""

    def _kind(self, image):
        return label_kind(self._labels[image], face_class=self.face_class)

    def _is_accepted(self, image):
        if self._kind(image) in (UNLABELLED, PREDICTIONS):
            return False
        # A file of several classes stays where its faces are no longer accepted.
        undone = self._draft(image).exists() or self._mark(image).exists()
        return self.face_class is None or not undone

    def _remove_label(self, image):
        label = self._labels[image]
        if self.face_class is not None and label.exists():
            write_labels(label, [], picture_size(image), face_class=self.face_class)
            if label.stat().st_size:
                return
        label.unlink(missing_ok=True)


def _number(source: Path) -> int:
    return int(source.name.partition("-")[0])


def _shared(labels: Mapping[Path, Path]) -> Iterator[str]:
    owners: dict[Path, Path] = {}
    for image, path in labels.items():
        owner = owners.setdefault(path, image)
        if owner != image:
            yield f"{image}: would share its labels with {owner.name}. Rename one."
