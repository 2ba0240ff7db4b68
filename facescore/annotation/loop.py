"""The loop that makes labels: a cascade begins, a person corrects, a detector goes on.

`start`, then again and again `review`, `train`, `label`. Every step may be stopped and
called again.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from facescore.annotation.store import ACCEPTED, CASCADE, DETECTOR, STATES, Annotations
from facescore.detector.cascade import Cascade
from facescore.labels import label_path
from illustkit.files import write_whole
from illustkit.images import read_image

SHRINK = 0.85
_RECORD = "annotations.json"


@dataclass
class LabelReport:
    """What a labelling did.

    Attributes:
        pictures: Number of pictures looked at now.
        with_face: How many of them have a face.
        faces: Number of faces found.
        already: Pictures that an earlier call had done, or that are accepted.
        left_out: Pairs (path, reason) of pictures that could not be read.
    """

    pictures: int = 0
    with_face: int = 0
    faces: int = 0
    already: int = 0
    left_out: list = field(default_factory=list)

    def __str__(self):
        share = self.with_face / max(1, self.pictures)
        lines = [
            f"{self.faces} faces in {self.with_face} of {self.pictures} pictures "
            f"({share:.0%}); {self.already} were done before, "
            f"{len(self.left_out)} left out."
        ]
        return "\n".join(lines + [f"  {reason}" for _, reason in self.left_out])


def start(folder, *, first=1000, cascade=None, shrink=SHRINK, progress=True, **options):
    """Let the cascade suggest faces in the first pictures.

    The suggestions wait for `review`; they are no labels. Pictures that are accepted or
    were seen before are passed over, so the call resumes.

    Example:
    ```python
    print(start("pictures"))   # 214 faces in 198 of 1000 pictures (20%); ...
    ```

    Args:
        folder: Folder of the pictures.
        first: Number of pictures, in natural order. Defaults to 1000, as the article's.
        cascade: Path of the XML. Defaults to what `find_cascade` finds.
        shrink: Factor on the cascade's boxes, which are too large for labels. Defaults
            to 0.85.
        progress: Show a progress bar. Defaults to `True`.
        **options: `scale_factor`, `min_neighbors`, `min_size` of `Cascade.detect`.

    Returns:
        A `LabelReport`.

    Raises:
        ValueError: for a folder without pictures, or without a cascade.
    """
    if first < 1:
        raise ValueError(f"first must be 1 or more. Received: {first}")
    annotations = Annotations(folder)
    detector = Cascade(cascade)
    options = {"shrink": shrink, **options}

    def detect(image):
        return detector.detect(image, **options)

    images = annotations.images[:first]
    name = f"{CASCADE}-{_stamp(detector.path, options)}"
    return _suggest(annotations, images, name, detect, progress)


def review(folder, *, port=0, open_browser=True):
    """Show the pictures in the browser, to correct and accept their boxes.

    Accepted boxes become label files at once, with every key; Ctrl-C ends.

    Args:
        folder: Folder of the pictures.
        port: TCP port on this machine; 0 takes a free one. Defaults to 0.
        open_browser: Open the page by itself. Defaults to `True`.

    Raises:
        ValueError: for a folder without pictures, or a port that is taken.
    """
    from facescore.annotation.review import ReviewApp
    from illustkit.web.server import serve

    serve(ReviewApp(Annotations(folder)), port=port, open_browser=open_browser)


def train(folder, run, **settings):
    """Train a detector on the accepted pictures.

    Args:
        folder: Folder of the pictures.
        run: Folder of the training. The same one resumes it as long as the labels are
            the same; further rounds take another.
        **settings: Of `facescore.train_detector`.

    Returns:
        The `Run`.

    Raises:
        LabelError: naming file and line of every problem in the labels.
        ValueError: if nothing is accepted yet, or `run` was trained on other labels.
    """
    from illustkit.training.runs import SETTINGS

    images = Annotations(folder).accepted()
    if not images:
        raise ValueError(
            f"{folder}: no picture is accepted yet. Accept some in the review first."
        )
    seen = hashlib.sha256()
    for image in images:
        seen.update(f"{image.relative_to(folder).as_posix()}\n".encode())
        seen.update(label_path(image).read_bytes())
    record = {"pictures": len(images), "labels": seen.hexdigest()}
    path = Path(run) / _RECORD
    trained = (Path(run) / SETTINGS).exists() and path.exists()
    if trained and (before := json.loads(path.read_text("utf-8"))) != record:
        raise ValueError(
            f"{run}: was trained on {before['pictures']} pictures with other labels; "
            f"now {len(images)} are accepted. Name another folder."
        )
    import keras

    from facescore.detector.training import train_detector

    # Written as the first step begins: what is refused before leaves no trace.
    keep = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: write_whole(path, json.dumps(record))
    )
    return train_detector(images, run, callbacks=[keep], **settings)


def label(folder, run, *, conf=0.25, iou=0.5, progress=True, **options):
    """Let a trained detector suggest faces in every picture not yet accepted.

    Its suggestions take the place of the cascade's and of earlier detectors'; drafts
    edited by hand and accepted labels stay. An interrupted call resumes.

    Args:
        folder: Folder of the pictures.
        run: Folder of the training.
        conf: Least confidence of a face. Defaults to 0.25.
        iou: Overlap from which two boxes are one face. Defaults to 0.5.
        progress: Show a progress bar. Defaults to `True`.
        **options: Of `facescore.detect_faces`.

    Returns:
        A `LabelReport`.

    Raises:
        ValueError: for a folder without pictures or without a training.
    """
    from facescore.detector.prediction import detect_faces, load_detector
    from illustkit.training.runs import Run

    annotations = Annotations(folder)
    weights = Run(run).weights_path
    detector = load_detector(run)
    options = {"conf": conf, "iou": iou, **options}

    def detect(image):
        return detect_faces(image, detector, **options)

    name = f"{DETECTOR}-{_stamp(weights, options)}"
    report = _suggest(annotations, annotations.images, name, detect, progress)
    annotations.forget_before(annotations.source(name))
    return report


def count_states(folder):
    """Count the pictures of a folder by the state of their labels.

    Returns:
        Dict from "new", "suggested", "draft", "accepted" and "problem" to a number.
    """
    states = [state for state, _ in Annotations(folder).summaries()]
    return {state: states.count(state) for state in STATES}


def _stamp(path, options):
    """Names a labelling, so that an interrupted one goes on and another begins anew."""
    stamp = hashlib.sha256(path.read_bytes())
    stamp.update(json.dumps(options, sort_keys=True, default=str).encode())
    return stamp.hexdigest()[:12]


def _suggest(annotations, images, name, detect, progress):
    from tqdm import tqdm

    report, source = LabelReport(), annotations.source(name)
    for image in tqdm(images, unit="picture", disable=not progress):
        seen = annotations.suggested_by(image, source)
        if seen or annotations.summary(image)[0] == ACCEPTED:
            report.already += 1
            continue
        try:
            faces = detect(read_image(image))
            annotations.suggest(image, faces, source)
        except (ValueError, OSError, MemoryError) as error:
            reason = str(error) or type(error).__name__
            named = reason if str(image) in reason else f"{image}: {reason}"
            report.left_out.append((image, named))
            continue
        report.pictures += 1
        report.with_face += bool(faces)
        report.faces += len(faces)
    return report
