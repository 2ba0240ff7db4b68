"""How good a detector is: AP, its curve, and pictures to look at."""

from typing import NamedTuple

import cv2
import numpy as np

from facescore.boxes import as_boxes, iou_matrix, shrink
from facescore.detector.prediction import Detector, as_detector
from illustkit.images import read_image

COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10))
RECALLS = np.linspace(0, 1, 101)


class Precision(NamedTuple):
    """Average precision and the curves behind it.

    Args:
        ap: Array `(thresholds,)`; NaN where there is no true face.
        precision: Array `(thresholds, 101)`: precision at recalls 0, 0.01, ..., 1.
        thresholds: The IoU thresholds.
        n_faces: Number of true faces.
    """

    ap: np.ndarray
    precision: np.ndarray
    thresholds: tuple
    n_faces: int

    @property
    def ap50(self):
        """AP at IoU 0.5."""
        return float(self.ap[np.argmin(np.abs(np.subtract(self.thresholds, 0.5)))])

    @property
    def ap50_95(self):
        """Mean AP over the thresholds; over 0.5, 0.55, ..., 0.95 it is COCO's AP."""
        return float(np.mean(self.ap))


def average_precision(predictions, truths, iou_thresholds=COCO_THRESHOLDS, *, most=100):
    """Measure predictions against true boxes.

    By falling confidence, each prediction takes the true face that it overlaps most,
    among those left in its picture, if the IoU reaches the threshold. Precision is made
    monotonous and averaged over 101 recalls.

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
        ValueError: where predictions and truths differ in number.

    Reference:
        Lin et al., "Microsoft COCO: Common Objects in Context" (2014); its pycocotools.
    """
    predictions, truths = list(predictions), [as_boxes(t) for t in truths]
    if len(predictions) != len(truths):
        raise ValueError(
            "There must be predictions for each picture. "
            f"Received: {len(predictions)} predictions, {len(truths)} truths"
        )
    thresholds = tuple(np.atleast_1d(iou_thresholds).tolist())
    confidences, hits = [], []
    for (boxes, scores), true in zip(predictions, truths, strict=True):
        scores = np.asarray(scores, np.float64)
        order = np.argsort(-scores, kind="stable")[:most]
        confidences.append(scores[order])
        hits.append(match(as_boxes(boxes)[order], true, thresholds))
    n_faces = sum(map(len, truths))
    curves = np.full((len(thresholds), len(RECALLS)), np.nan)
    if n_faces:
        scores = np.concatenate(confidences)
        hits = np.concatenate(hits, axis=1)[:, np.argsort(-scores, kind="stable")]
        curves = np.stack([_curve(row, n_faces) for row in hits])
    return Precision(curves.mean(axis=1), curves, thresholds, n_faces)


def match(boxes, true, thresholds):
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
        left = np.ones(len(true), bool)
        for i, row in enumerate(overlaps):
            row = np.where(left, row, -1.0)
            if not len(row):
                break
            # Of equal overlaps pycocotools takes the last.
            best = len(row) - 1 - int(np.argmax(row[::-1]))
            if row[best] >= min(threshold, 1 - 1e-10):
                hits[t, i], left[best] = True, False
    return hits


def _curve(hits, n_faces):
    """Precision at the 101 recalls, of predictions by falling confidence."""
    true = np.cumsum(hits)
    recall = true / n_faces
    precision = true / (np.arange(1, len(hits) + 1) + np.spacing(1))
    precision = np.maximum.accumulate(precision[::-1])[::-1]  # the envelope
    at = np.searchsorted(recall, RECALLS, side="left")
    return np.append(precision, 0.0)[np.minimum(at, len(precision))]


TRUTH, FOUND = (40, 170, 60), (230, 40, 40)
WHITE = 255, 255, 255


class DetectorScores(NamedTuple):
    """What a detector reaches on labelled pictures.

    Args:
        ap50: Average precision at IoU 0.5.
        ap50_95: Its mean over the IoUs 0.5, 0.55, ..., 0.95.
        precision: Share of the faces found at `conf` that are faces, at IoU 0.5.
        recall: Share of the faces that are found at `conf`, at IoU 0.5.
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


def measure(samples, detector, *, conf=0.25, iou=0.5, imgsz=640, tile=None, shrunk=1.0):
    """Measure a detector on pictures in memory.

    Args:
        samples: Pairs `(image, boxes)`; may be a generator.
        detector: A `Detector` or a `Cascade`.
        conf: Confidence at which precision and recall are given. Defaults to 0.25.
        iou: Overlap up to which two boxes are two faces. Defaults to 0.5.
        imgsz: Side that pictures are scaled to. Defaults to 640.
        tile: Side of windows to search as well. Defaults to none.
        shrunk: Factor on the sides of what is found; 0.85 suits the cascade.
            Defaults to 1.

    Returns:
        `(scores, found)`: `DetectorScores`, and a list of faces for each picture.
    """
    found, truths = [], []
    for image, boxes in samples:
        if isinstance(detector, Detector):
            # AP wants the whole curve, so that nearly everything is let through.
            faces = detector.detect(
                image, conf=0.001, iou=iou, imgsz=imgsz, tile=tile, top=100
            )
        else:
            faces = detector.detect(image)
        if shrunk != 1 and faces:
            boxes_found = shrink([face.box for face in faces], shrunk)
            faces = [
                face._replace(box=tuple(box.tolist()))
                for face, box in zip(faces, boxes_found, strict=True)
            ]
        found.append(faces)
        truths.append(boxes)
    curves = average_precision(map(_arrays, found), truths)
    hits = n_found = 0
    for faces, true in zip(found, truths, strict=True):
        kept = [face for face in faces if face.confidence >= conf]
        hits += int(match([face.box for face in kept], true, (0.5,)).sum())
        n_found += len(kept)
    scores = DetectorScores(
        ap50=curves.ap50,
        ap50_95=curves.ap50_95,
        precision=hits / n_found if n_found else float("nan"),
        recall=hits / curves.n_faces if curves.n_faces else float("nan"),
        conf=conf,
        n_pictures=len(truths),
        n_faces=curves.n_faces,
        curves=curves,
    )
    return scores, found


def evaluate_detector(images, detector, *, sheet_path=None, n_examples=12, **options):
    """Measure a detector on a folder of labelled pictures.

    Example:
    ```python
    scores = evaluate_detector("unseen", "runs/detector", sheet_path="examples.png")
    print(scores.ap50, scores.ap50_95)
    ```

    Args:
        images: Folder of pictures with YOLO labels, several, or a list of paths.
        detector: "cascade", a run folder, or what `load_detector` returned.
        sheet_path: Where a sheet of examples goes: the truth green, what was found
            red. Defaults to none.
        n_examples: Pictures on the sheet. Defaults to 12.
        **options: `conf`, `iou`, `imgsz`, `tile` and `shrunk` of `measure`.

    Returns:
        `DetectorScores`.

    Raises:
        ValueError: where nothing is labelled, or naming every problem of the labels.
    """
    from facescore.detector.data import labelled_images
    from facescore.labels import label_path, read_labels
    from illustkit.figures import sheet
    from illustkit.images import write_image

    paths, _ = labelled_images(images)
    examples, truths = [], []

    def samples():
        for path in paths:
            image = read_image(path)
            truths.append(read_labels(label_path(path), image.shape[1::-1]))
            if len(examples) < n_examples and sheet_path is not None:
                examples.append(image)
            yield image, truths[-1]

    scores, found = measure(samples(), as_detector(detector), **options)
    if sheet_path is not None:
        drawn = [
            draw_faces(image, [f for f in faces if f.confidence >= scores.conf], truth)
            for image, faces, truth in zip(examples, found, truths, strict=False)
        ]
        write_image(sheet_path, sheet(drawn, columns=4))
    return scores


def plot_precision_recall(scores, path):
    """Draw the precision-recall curves of one or more detectors.

    Args:
        scores: Dict from a name to its `DetectorScores`.
        path: Picture to write.

    Returns:
        The path.
    """
    from matplotlib.figure import Figure

    from illustkit.figures import save_figure

    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    axis = figure.subplots()
    for name, score in scores.items():
        curves = score.curves
        row = int(np.argmin(np.abs(np.subtract(curves.thresholds, 0.5))))
        label = f"{name}: AP50 {score.ap50:.3f}, AP50-95 {score.ap50_95:.3f}"
        axis.plot(RECALLS, curves.precision[row], label=label)
    axis.set(
        xlabel="recall", ylabel="precision at IoU 0.5", xlim=(0, 1), ylim=(0, 1.02)
    )
    axis.legend(loc="lower left")
    axis.grid(alpha=0.3)
    return save_figure(figure, path)


def draw_faces(image, faces, truth=(), side=320):
    """Draw what was found (red, with confidences) and the truth (green) on a picture.

    Args:
        image: uint8 RGB.
        faces: List of `Face`.
        truth: True boxes. Defaults to none.
        side: Longer side of the result in pixels. Defaults to 320.

    Returns:
        uint8 RGB.
    """
    scale = side / max(image.shape[:2])
    size = tuple(max(1, round(n * scale)) for n in image.shape[1::-1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(image, size, interpolation=how)
    for box in truth:
        _rectangle(image, np.asarray(box) * scale, TRUTH)
    for face in faces:
        left, top = _rectangle(image, np.asarray(face.box) * scale, FOUND)
        place = (left + 2, top + 14 if top < 15 else top - 5)
        for colour, width in ((WHITE, 4), (FOUND, 1)):  # legible on anything
            text = f"{face.confidence:.2f}"[-3:]
            cv2.putText(image, text, place, 0, 0.45, colour, width, cv2.LINE_AA)
    return image


def _rectangle(image, box, colour):
    left, top, right, bottom = (int(round(v)) for v in box)
    cv2.rectangle(image, (left, top), (right - 1, bottom - 1), colour, 2)
    return left, top


def _arrays(faces):
    return [face.box for face in faces], [face.confidence for face in faces]
