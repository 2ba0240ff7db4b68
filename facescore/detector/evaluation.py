"""Measure a detector: average precision, its curve, and pictures to look at."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from facescore.boxes import Boxes, Face, as_boxes, iou_matrix, shrink
from facescore.crops import read_each
from facescore.detector import CONFIDENCE
from facescore.detector.data import labelled_images
from facescore.detector.prediction import (
    as_detector,
    check_finding,
    find_faces,
    ultralytics_names,
)
from facescore.detector.results import draw_faces
from facescore.detector.views import AUTO
from facescore.labels import label_path, read_labels
from illustkit.errors import UserError
from illustkit.figures import save_figure, sheet
from illustkit.images import write_image

COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10))
RECALLS = np.linspace(0, 1, 101)


class Precision(NamedTuple):
    """Average precision and the curves behind it.

    Args:
        ap: Array `(thresholds,)`; NaN without true faces.
        precision: Array `(thresholds, 101)`: precision at recalls 0, 0.01, ..., 1.
        thresholds: The IoU thresholds.
        n_faces: Number of true faces.
    """

    ap: np.ndarray
    precision: np.ndarray
    thresholds: tuple[float, ...]
    n_faces: int

    @property
    def ap50(self) -> float:
        """AP at IoU 0.5."""
        return float(self.ap[np.argmin(np.abs(np.subtract(self.thresholds, 0.5)))])

    @property
    def ap50_95(self) -> float:
        """Mean AP over the thresholds; over 0.5, 0.55, ..., 0.95 it is COCO's AP."""
        return float(np.mean(self.ap))


def average_precision(
    predictions: Iterable[tuple[Boxes, Sequence[float]]],
    truths: Iterable[Boxes],
    iou_thresholds: Sequence[float] = COCO_THRESHOLDS,
    *,
    most: int = 100,
) -> Precision:
    """Measure predictions against true boxes.

    By falling confidence, each prediction takes the true face that it overlaps most,
    among those still free in its picture, if the IoU reaches the threshold. Precision
    is made monotonic and averaged over 101 recalls. pycocotools measures the same, and
    needs a compiler to install.

    Example:
    ```python
    result = average_precision([([(0, 0, 9, 9)], [0.8])], [[(0, 0, 10, 10)]])
    result.ap50, result.ap50_95   # 1.0, 0.7
    ```

    Args:
        predictions: For each picture `(boxes, confidences)`: `(n, 4)` and `(n,)`.
        truths: For each picture its true boxes `(m, 4)`.
        iou_thresholds: Defaults to 0.5, 0.55, ..., 0.95.
        most: Predictions counted in a picture. Defaults to 100.

    Returns:
        A `Precision`.

    Raises:
        UserError: If predictions and truths differ in number.

    Reference:
        Lin et al., "Microsoft COCO: Common Objects in Context" (2014); its pycocotools.
    """
    predictions, truths = list(predictions), [as_boxes(t) for t in truths]
    if len(predictions) != len(truths):
        raise UserError(
            "Each picture needs predictions. "
            f"Received: {len(predictions)} predictions, {len(truths)} truths"
        )
    thresholds = tuple(np.atleast_1d(iou_thresholds).tolist())
    confidences, hits = [], []
    for (boxes, scores), true in zip(predictions, truths, strict=True):
        values = np.asarray(scores, np.float64)
        order = np.argsort(-values, kind="stable")[:most]
        confidences.append(values[order])
        hits.append(match(as_boxes(boxes)[order], true, thresholds))
    n_faces = sum(map(len, truths))
    curves = np.full((len(thresholds), len(RECALLS)), np.nan)
    if n_faces:
        order = np.argsort(-np.concatenate(confidences), kind="stable")
        by_confidence = np.concatenate(hits, axis=1)[:, order]
        curves = np.stack([_curve(row, n_faces) for row in by_confidence])
    return Precision(curves.mean(axis=1), curves, thresholds, n_faces)


def match(boxes: Boxes, true: Boxes, thresholds: Sequence[float]) -> np.ndarray:
    """Decide which predictions of one picture find a face.

    Args:
        boxes: xyxy `(n, 4)`, by falling confidence.
        true: xyxy `(m, 4)`.
        thresholds: IoU thresholds.

    Returns:
        bool `(thresholds, n)`.
    """
    overlaps = iou_matrix(boxes, true)
    hits = np.zeros((len(thresholds), len(boxes)), bool)
    for t, threshold in enumerate(thresholds):
        free = np.ones(len(true), bool)
        for i, row in enumerate(overlaps):
            row = np.where(free, row, -1.0)
            if not len(row):
                break
            # Of equal overlaps pycocotools takes the last.
            best = len(row) - 1 - int(np.argmax(row[::-1]))
            if row[best] >= min(threshold, 1 - 1e-10):
                hits[t, i], free[best] = True, False
    return hits


def _curve(hits, n_faces):
    """Return the precision at the 101 recalls; predictions by falling confidence."""
    true = np.cumsum(hits)
    recall = true / n_faces
    precision = true / (np.arange(1, len(hits) + 1) + np.spacing(1))
    precision = np.maximum.accumulate(precision[::-1])[::-1]  # the envelope
    at = np.searchsorted(recall, RECALLS, side="left")
    return np.append(precision, 0.0)[np.minimum(at, len(precision))]


class DetectorScores(NamedTuple):
    """Scores of a detector on labelled pictures.

    Args:
        ap50: Average precision at IoU 0.5.
        ap50_95: Its mean over the IoUs 0.5, 0.55, ..., 0.95.
        precision: Fraction of the detections at `conf` that are faces, at IoU 0.5.
        recall: Fraction of the faces that are detected at `conf`, at IoU 0.5.
        conf: The confidence that precision and recall belong to.
        n_pictures: Number of pictures.
        n_faces: Number of true faces.
        curves: The `Precision` behind it.
    """

    ap50: float
    ap50_95: float
    precision: float
    recall: float
    conf: float
    n_pictures: int
    n_faces: int
    curves: Precision


@ultralytics_names
def measure(
    samples: Iterable[tuple[np.ndarray, Boxes]],
    detector: Any,
    *,
    confidence: float = CONFIDENCE,
    iou: float | None = None,
    image_size: int | None = None,
    tile: int | str | None = AUTO,
    shrunk: float = 1.0,
) -> tuple[DetectorScores, list[list[Face]]]:
    """Measure a detector on pictures in memory.

    Args:
        samples: Pairs `(image, boxes)`; may be a generator.
        detector: What `as_detector` returned.
        confidence: Confidence of precision and recall. Defaults to 0.4.
        iou: Overlap up to which two boxes are two faces. Defaults to 0.5.
        image_size: Side that pictures are scaled to. Defaults to 640.
        tile: See `facescore.detect_faces`. Defaults to "auto".
        shrunk: Factor on the sides of the boxes found. Defaults to 1.

    Returns:
        `(scores, detections)`: `DetectorScores`, and a list of faces for each picture.
    """
    detections, truths = [], []
    # AP needs the whole curve, so that nearly everything is let through.
    options: dict[str, Any] = {"iou": iou, "image_size": image_size, "tile": tile}
    for image, boxes in samples:
        (faces,) = find_faces([image], detector, confidence=0.001, top=100, **options)
        if shrunk != 1 and faces:
            smaller = shrink([face.box for face in faces], shrunk)
            faces = [
                face._replace(box=tuple(box.tolist()))
                for face, box in zip(faces, smaller, strict=True)
            ]
        detections.append(faces)
        truths.append(boxes)
    curves = average_precision(map(_arrays, detections), truths)
    hits = n_detections = 0
    for faces, true in zip(detections, truths, strict=True):
        kept = [face for face in faces if face.confidence >= confidence]
        hits += int(match([face.box for face in kept], true, (0.5,)).sum())
        n_detections += len(kept)
    scores = DetectorScores(
        ap50=curves.ap50,
        ap50_95=curves.ap50_95,
        precision=hits / n_detections if n_detections else float("nan"),
        recall=hits / curves.n_faces if curves.n_faces else float("nan"),
        conf=confidence,
        n_pictures=len(truths),
        n_faces=curves.n_faces,
        curves=curves,
    )
    return scores, detections


def evaluate_detector(
    images: str | os.PathLike | Iterable[str | os.PathLike],
    detector: Any,
    *,
    sheet_path: str | os.PathLike | None = None,
    n_examples: int = 12,
    face_class: int | None = None,
    left_out: list[tuple[Path, str]] | None = None,
    progress: Callable[[int], object] | None = None,
    **options: Any,
) -> DetectorScores:
    """Measure a detector on a folder of labelled pictures.

    Example:
    ```python
    scores = evaluate_detector("unseen", "runs/detector", sheet_path="examples.png")
    print(scores.ap50, scores.ap50_95)
    ```

    Args:
        images: Folder of pictures with YOLO labels, several, or a list of paths.
        detector: "default", "cascade", a run folder, or what `load_detector` returned.
        sheet_path: File for a sheet of examples: the truth in green, the detections in
            red. Defaults to none.
        n_examples: Pictures on the sheet. Defaults to 12.
        face_class: See `facescore.read_labels`.
        left_out: List that receives pairs (path, reason) of the pictures that cannot
            be read. Defaults to none: the first of them raises its error.
        progress: Called with the number of pictures done. Defaults to none.
        **options: `confidence`, `iou`, `image_size`, `tile` and `shrunk` of `measure`.

    Returns:
        `DetectorScores`.

    Raises:
        UserError: If no picture is labelled; or naming every problem of the labels.
    """
    paths, _ = labelled_images(images, face_class=face_class)
    detector = as_detector(detector)
    check_finding(detector, **{k: v for k, v in options.items() if k != "shrunk"})
    examples: list[np.ndarray] = []
    truths: list[Any] = []

    def samples():
        for path, image in read_each(paths, left_out, progress):
            size = image.shape[1::-1]
            truths.append(read_labels(label_path(path), size, face_class=face_class))
            if len(examples) < n_examples and sheet_path is not None:
                examples.append(image)
            yield image, truths[-1]

    scores, detections = measure(samples(), detector, **options)
    if sheet_path is not None:
        drawn = [
            draw_faces(image, [f for f in faces if f.confidence >= scores.conf], truth)
            for image, faces, truth in zip(examples, detections, truths, strict=False)
        ]
        write_image(sheet_path, sheet(drawn, columns=4))
    return scores


def plot_precision_recall(
    scores: Mapping[str, DetectorScores], path: str | os.PathLike
) -> Path:
    """Draw the precision-recall curves of one or more detectors.

    Args:
        scores: Dict from a name to its `DetectorScores`.
        path: Picture to write.

    Returns:
        The path.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    axis = figure.subplots()
    for name, score in scores.items():
        curves = score.curves
        row = int(np.argmin(np.abs(np.subtract(curves.thresholds, 0.5))))
        figures = (score.ap50, score.ap50_95)
        ap50, ap = ("undefined" if np.isnan(f) else f"{f:.3f}" for f in figures)
        label = f"{name}: AP50 {ap50}, AP50-95 {ap}"
        axis.plot(RECALLS, curves.precision[row], label=label)
    axis.set(
        xlabel="recall", ylabel="precision at IoU 0.5", xlim=(0, 1), ylim=(0, 1.02)
    )
    axis.legend(loc="lower left")
    axis.grid(alpha=0.3)
    return save_figure(figure, path)


def _arrays(faces):
    return [face.box for face in faces], [face.confidence for face in faces]
