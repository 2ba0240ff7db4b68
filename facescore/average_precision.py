"""Average precision of a detector, as COCO measures it, for one class."""

from typing import NamedTuple

import numpy as np

from facescore.boxes import as_boxes, iou_matrix

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
