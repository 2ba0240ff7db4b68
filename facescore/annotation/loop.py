"""Label faces in rounds: a detector begins, a person corrects, their own continues.

Call `start`, then again and again `review`, `train`, `label`. Every step may be stopped
and called again.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facescore.annotation.store import ACCEPTED, CASCADE, DETECTOR, STATES, Annotations
from facescore.boxes import Face
from facescore.crops import failure
from facescore.detector import CONFIDENCE
from facescore.detector.cascade import SHRINK, Cascade, check_cascade
from facescore.detector.prediction import (
    DEFAULT,
    IOU,
    as_detector,
    check_finding,
    ultralytics_names,
)
from facescore.labels import label_path
from facescore.ranking.pipeline import fingerprint
from illustkit.deprecation import renamed_keywords
from illustkit.errors import UserError
from illustkit.files import expand_user
from illustkit.images import read_image
from illustkit.options import check_number
from illustkit.tables import read_json, write_json

_RECORD = "annotations.json"


@dataclass
class LabelReport:
    """The result of `start` or `label`.

    Attributes:
        pictures: Number of pictures searched in this call.
        with_face: Number of them that have a face.
        faces: Number of faces found.
        already: Number of pictures that an earlier call searched, or that are accepted.
        left_out: Pairs (path, reason) of pictures that could not be read.
    """

    pictures: int = 0
    with_face: int = 0
    faces: int = 0
    already: int = 0
    left_out: list[tuple[Path, str]] = field(default_factory=list)

    def __str__(self) -> str:
        fraction = self.with_face / max(1, self.pictures)
        lines = [
            f"{self.faces} faces in {self.with_face} of {self.pictures} pictures "
            f"({fraction:.0%}); {self.already} were done before, "
            f"{len(self.left_out)} left out."
        ]
        return "\n".join(lines + [f"  {reason}" for _, reason in self.left_out])


@renamed_keywords(first="limit")
def start(
    folder: str | os.PathLike,
    *,
    limit: int = 1000,
    detector: Any = DEFAULT,
    cascade: str | os.PathLike | None = None,
    shrink: float = SHRINK,
    face_class: int | None = None,
    progress: bool = True,
    **options: Any,
) -> LabelReport:
    """Let the package's detector, or the cascade, suggest faces in the first pictures.

    The suggestions wait for `review`; they are no labels. Pictures that are accepted or
    were searched before are skipped, so that the call resumes.

    Example:
    ```python
    print(start("pictures"))   # 214 faces in 198 of 1000 pictures (20%); ...
    ```

    Args:
        folder: Folder of the pictures.
        limit: Most pictures, in natural order. Defaults to 1000, as in the article.
        detector: "default", "cascade" as in the article, a run folder, or what
            `load_detector` returned. Defaults to "default".
        cascade: Path of the cascade's XML. Defaults to what `find_cascade` finds.
        shrink: Factor on the cascade's boxes. Defaults to 0.85.
        face_class: See `Annotations`.
        progress: Show a progress bar. Defaults to `True`.
        **options: `scale_factor`, `min_neighbors`, `min_size` of `Cascade.detect`; or
            `confidence`, `iou`, `image_size` and `tile` of `detect_faces`.

    Returns:
        A `LabelReport`.

    Raises:
        UserError: If the folder has no pictures, or there is no such detector.
    """
    check_number("limit", limit, whole=True, least=1)
    annotations = Annotations(folder, face_class=face_class)
    images = annotations.images[:limit]
    if detector == CASCADE:
        options = {"shrink": shrink, **options}
        check_cascade(**options)
        searcher = Cascade(cascade)
        name = f"{CASCADE}-{_stamp(searcher.path.read_bytes(), options)}"
        return _suggest(
            annotations,
            images,
            name,
            lambda image: searcher.detect(image, **options),
            progress,
        )
    if cascade is not None or shrink != SHRINK:
        raise UserError("`cascade` and `shrink` need detector='cascade'.")
    from facescore.detector.prediction import detect_faces

    model = as_detector(detector)
    check_finding(model, **options)
    # A cascade's name: what a detector of one's own suggests later counts more.
    name = f"{CASCADE}-{_stamp(fingerprint(model).encode(), options)}"
    return _suggest(
        annotations,
        images,
        name,
        lambda image: detect_faces(image, model, **options),
        progress,
    )


def review(
    folder: str | os.PathLike,
    *,
    face_class: int | None = None,
    port: int = 0,
    host: str = "127.0.0.1",
    open_browser: bool = True,
) -> None:
    """Show the pictures in the browser, to correct and accept their boxes.

    Accepted boxes are written as label files at once; Ctrl-C ends.

    Args:
        folder: Folder of the pictures.
        face_class: See `Annotations`.
        port: TCP port on this machine; 0 takes a free one. Defaults to 0.
        host: See `illustkit.web.server.LocalServer`. Defaults to "127.0.0.1".
        open_browser: Open the page. Defaults to `True`.

    Raises:
        UserError: If the folder has no pictures, or the port is taken.
    """
    from facescore.annotation.review import ReviewApp
    from illustkit.web.server import serve

    app = ReviewApp(Annotations(folder, face_class=face_class))
    serve(app, port=port, host=host, open_browser=open_browser)


def train(
    folder: str | os.PathLike,
    run: str | os.PathLike,
    *,
    face_class: int | None = None,
    **settings: Any,
) -> Any:
    """Train a detector on the accepted pictures.

    Args:
        folder: Folder of the pictures.
        run: Folder of the training. The same call resumes it while the labels are the
            same; further rounds need another folder.
        face_class: See `Annotations`.
        **settings: Options of `facescore.train_detector`.

    Returns:
        The `Run`.

    Raises:
        LabelError: Naming file and line of every problem in the labels.
        UserError: If nothing is accepted yet, or `run` was trained on other labels.
    """
    from illustkit.training.folder import has_trained

    folder, run = expand_user(folder), expand_user(run)
    images = Annotations(folder, face_class=face_class).accepted()
    if not images:
        raise UserError(
            f"{folder}: no picture is accepted yet. Accept some in the review first."
        )
    digest = hashlib.sha256()
    for image in images:
        name = image.relative_to(folder).as_posix()
        digest.update(f"{name}\n".encode("utf-8", "surrogateescape"))
        digest.update(label_path(image).read_bytes())
    record = {"pictures": len(images), "labels": digest.hexdigest()}
    path = run / _RECORD
    if path.exists() and has_trained(run) and read_json(path) != record:
        raise UserError(
            f"{run}: was trained on other labels; now {len(images)} pictures are "
            "accepted. Name another folder."
        )
    import keras

    from facescore.detector.training import train_detector

    # Written as the first step begins, so that a refused call leaves no trace.
    keep = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: write_json(path, record)
    )
    if face_class is not None:
        settings["face_class"] = face_class
    settings["callbacks"] = [keep, *settings.get("callbacks", ())]
    return train_detector(images, run, root=folder, **settings)


@ultralytics_names
def label(
    folder: str | os.PathLike,
    run: str | os.PathLike,
    *,
    confidence: float = CONFIDENCE,
    iou: float | None = None,
    engine: str = "auto",
    face_class: int | None = None,
    progress: bool = True,
    **options: Any,
) -> LabelReport:
    """Let a trained detector suggest faces in every picture not yet accepted.

    Its suggestions replace those of the cascade and of earlier detectors; drafts edited
    by hand and accepted labels stay. An interrupted call resumes.

    Args:
        folder: Folder of the pictures.
        run: Folder of the training.
        confidence: Least confidence of a face. Defaults to 0.4.
        iou: Overlap from which two boxes are one face. Defaults to 0.5.
        engine: See `facescore.load_detector`. Defaults to "auto".
        face_class: See `Annotations`.
        progress: Show a progress bar. Defaults to `True`.
        **options: More options of `facescore.detect_faces`.

    Returns:
        A `LabelReport`.

    Raises:
        UserError: If the folder has no pictures, `run` has no training, or there is no
            such engine.
    """
    from facescore.detector.prediction import detect_faces, load_detector
    from illustkit.training.runs import Run

    annotations = Annotations(folder, face_class=face_class)
    weights = Run(run).weights_path
    detector = load_detector(run, engine=engine)
    options |= {"confidence": confidence} | ({} if iou is None else {"iou": iou})
    check_finding(detector, **options)

    def detect(image):
        return detect_faces(image, detector, **options)

    # The names of the options in the stamps of every version.
    old = {"confidence": "conf", "image_size": "imgsz"}
    stamped = {old.get(name, name): value for name, value in options.items()}
    stamped.setdefault("iou", IOU)
    name = f"{DETECTOR}-{_stamp(weights.read_bytes(), stamped)}"
    report = _suggest(annotations, annotations.images, name, detect, progress)
    annotations.forget_before(annotations.source(name))
    return report


def count_states(
    folder: str | os.PathLike, *, face_class: int | None = None
) -> dict[str, int]:
    """Count the pictures of a folder by the state of their labels.

    Args:
        folder: Folder of the pictures.
        face_class: See `Annotations`.

    Returns:
        Dict from "new", "suggested", "draft", "accepted", "problem", "skipped" and
        "unsure" to a number.
    """
    annotations = Annotations(folder, face_class=face_class)
    states = [state for state, _ in annotations.summaries()]
    return {state: states.count(state) for state in STATES}


def _stamp(weights: bytes, options: dict[str, Any]) -> str:
    """Return a name for a labelling, by which an interrupted one resumes."""
    stamp = hashlib.sha256(weights)
    stamp.update(json.dumps(options, sort_keys=True, default=str).encode())
    return stamp.hexdigest()[:12]


def _suggest(
    annotations: Annotations,
    images: Iterable[Path],
    name: str,
    detect: Callable[[np.ndarray], list[Face]],
    progress: bool,
) -> LabelReport:
    from tqdm import tqdm

    report, source = LabelReport(), annotations.source(name)
    for image in tqdm(images, unit="picture", disable=not progress):
        searched = annotations.suggested_by(image, source)
        if searched or annotations.summary(image)[0] == ACCEPTED:
            report.already += 1
            continue
        try:
            faces = detect(read_image(image))
            annotations.suggest(image, faces, source)
        except Exception as error:
            report.left_out.append((image, failure(image, error)))
            continue
        report.pictures += 1
        report.with_face += bool(faces)
        report.faces += len(faces)
    return report
