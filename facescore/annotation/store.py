"""What is known of a folder's faces: accepted by a person, or only suggested.

Accepted labels are the text files where every YOLO tool looks for them, and their
being there is all that says so. Suggestions, with confidences, lie apart in
`.facescore/` of the folder: `drafts/` edited by hand, `suggestions/<number>-<name>/`
one folder for each labelling by a cascade or a detector. Drafts count first, then the
newest detector's, then the newest cascade's.
"""

import os
import shutil
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
from illustkit.images import list_images, picture_size

HIDDEN = ".facescore"
CASCADE, DETECTOR = "cascade", "detector"
NEW, SUGGESTED, DRAFT, ACCEPTED, PROBLEM = STATES = (
    *("new", "suggested", "draft"),
    *("accepted", "problem"),
)


class Annotation(NamedTuple):
    """One picture's faces as they stand.

    Args:
        state: "new" (nothing known), "suggested", "draft" (edited, not accepted),
            "accepted", or "problem" (its label file cannot be read).
        faces: List of `Face`.
        message: The problem, else "".
    """

    state: str
    faces: list
    message: str = ""


class Annotations:
    """The pictures of a folder and the state of their labels, always from the disk.

    Example:
    ```python
    annotations = Annotations("pictures")
    annotations.save(annotations.images[0], [Face((10, 10, 60, 60))], accept=True)
    ```

    Args:
        folder: Folder of the pictures; sub-folders count.

    Raises:
        ValueError: if there is no picture, or two share one label file (`a.png`,
            `a.jpg`).
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.images = list_images(self.folder)
        self._labels = {image: label_path(image) for image in self.images}
        self._names = {
            image: image.relative_to(self.folder).with_suffix(".txt")
            for image in self.images
        }
        if twins := list(_shared(self._labels)):
            raise ValueError("\n".join(twins))

    def accepted(self):
        """Pictures whose labels a person has accepted.

        Returns:
            List of paths.

        Raises:
            LabelError: naming file and line of every problem in all labels.
        """
        if problems := check_labels(self.images):
            raise LabelError(problems)
        kinds = {image: label_kind(self._labels[image]) for image in self.images}
        return [i for i, k in kinds.items() if k not in (UNLABELLED, PREDICTIONS)]

    def summaries(self):
        """Give the `summary` of every picture, in their order."""
        sources = self._sources()
        return [self.summary(image, sources) for image in self.images]

    def summary(self, image, sources=None):
        """State of a picture and its lowest confidence, without opening the picture.

        Args:
            image: One of `images`.
            sources: Folders of suggestions, where they are known.

        Returns:
            (state, confidence): 1 where accepted, 0 where no face was found or nothing
            is known.
        """
        try:
            kind = label_kind(self._labels[image])
        except LabelError:
            return PROBLEM, 0.0
        if kind not in (UNLABELLED, PREDICTIONS):
            return ACCEPTED, 1.0
        path, state = self._suggestion(image, sources)
        if path is None:
            return NEW, 0.0
        try:
            confidence = read_confidences(path)
        except LabelError:
            return NEW, 0.0
        return state, float(confidence.min()) if len(confidence) else 0.0

    def load(self, image):
        """Faces of a picture.

        Args:
            image: One of `images`.

        Returns:
            An `Annotation`.

        Raises:
            ValueError: if the picture cannot be read.
        """
        size = picture_size(image)
        try:
            if label_kind(self._labels[image]) not in (UNLABELLED, PREDICTIONS):
                boxes = read_labels(self._labels[image], size).tolist()
                return Annotation(ACCEPTED, [Face(tuple(box)) for box in boxes])
        except LabelError as error:
            return Annotation(PROBLEM, [], str(error))
        path, state = self._suggestion(image)
        if path is None:
            return Annotation(NEW, [])
        try:
            boxes, confidence = read_predictions(path, size)
        except LabelError as error:
            return Annotation(NEW, [], str(error))
        pairs = zip(boxes.tolist(), confidence.tolist(), strict=True)
        return Annotation(state, [Face(tuple(box), c) for box, c in pairs])

    def save(self, image, faces, *, accept):
        """Keep what a person has drawn.

        Args:
            image: One of `images`.
            faces: List of `Face`; empty says that there is none.
            accept: Whether it is a label now; otherwise a draft, and a label that was
                there is taken back. A file there that was no label goes to
                `.facescore/replaced/`.

        Raises:
            ValueError: for a box without area in the picture.
        """
        size, label = picture_size(image), self._labels[image]
        draft = self._draft(image)
        boxes = [face.box for face in faces]
        if self.summary(image)[0] != ACCEPTED and label.exists():
            # Not made here: kept, should it hold what somebody still needs.
            aside = self.folder / HIDDEN / "replaced" / self._names[image]
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.replace(label, aside)
        if accept:
            write_labels(label, boxes, size)
            draft.unlink(missing_ok=True)
        else:
            write_labels(draft, boxes, size, [face.confidence for face in faces])
            label.unlink(missing_ok=True)

    def forget(self, image):
        """Remove what a person has drawn: the draft, and a label that was accepted.

        Args:
            image: One of `images`.
        """
        if self.summary(image)[0] == ACCEPTED:
            self._labels[image].unlink()
        self._draft(image).unlink(missing_ok=True)

    def suggest(self, image, faces, source):
        """Keep what a cascade or a detector has found, as predictions, apart.

        Boxes of which nothing lies in the picture are left out.

        Args:
            image: One of `images`.
            faces: List of `Face`.
            source: Folder of the labelling, as of `source`.
        """
        size = picture_size(image)
        boxes = clip_boxes([face.box for face in faces], size)
        confidence = np.asarray([face.confidence for face in faces], np.float64)
        seen = box_areas(boxes) > 0
        path = source / self._names[image]
        write_labels(path, boxes[seen], size, confidence[seen])

    def source(self, name):
        """Folder for the suggestions of a labelling; the same name goes on with it.

        Args:
            name: "cascade-" or "detector-" and what tells it from others.
        """
        there = self._sources()
        for folder in there:
            if folder.name.partition("-")[2] == name:
                return folder
        number = max((_number(folder) for folder in there), default=-1) + 1
        folder = self.folder / HIDDEN / "suggestions" / f"{number:03d}-{name}"
        folder.mkdir(parents=True)
        return folder

    def suggested_by(self, image, source):
        """Whether a labelling has already seen a picture."""
        return (source / self._names[image]).exists()

    def forget_before(self, source):
        """Remove the suggestions that count less than a labelling's."""
        there = self._sources()
        for folder in there[there.index(source) + 1 :]:
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
        foreign = self._labels[image]  # six columns beside the picture, of another tool
        return (foreign, SUGGESTED) if foreign.exists() else (None, NEW)

    def _draft(self, image):
        return self.folder / HIDDEN / "drafts" / self._names[image]


def _number(source):
    return int(source.name.partition("-")[0])


def _shared(labels):
    owners = {}
    for image, path in labels.items():
        other = owners.setdefault(path, image)
        if other != image:
            yield f"{image}: would share its labels with {other.name}. Rename one."
