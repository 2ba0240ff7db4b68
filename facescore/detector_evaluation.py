"""How good a detector is: AP, its curve, and pictures to look at."""

from typing import NamedTuple

import cv2
import numpy as np

from facescore.average_precision import Precision, average_precision, match
from facescore.boxes import shrink
from facescore.detecting import as_detector
from facescore.detector_inference import Detector
from illustkit.images import read_image

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
    from facescore.detector_data import labelled_images
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

    from facescore.average_precision import RECALLS
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
