"""Score the faces of a picture, or crops that are already cut."""

import numpy as np

from facescore.boxes import Face
from facescore.crops import crop_face
from facescore.detector.prediction import as_detector, detect_faces
from facescore.scorer.data import fit_crop
from facescore.scorer.model import Scorer, load_scorer
from facescore.scorer.training import train_scorer as train_scorer
from illustkit.images import read_image


def score(image, *, scorer, detector="cascade", margin=None, square=None, **options):
    """Find the faces of a picture and score each.

    Example:
    ```python
    scorer = facescore.load_scorer("runs/taste")
    for face in facescore.score("picture.png", scorer=scorer, detector="runs/faces"):
        print(face.box, face.confidence, face.score)
    ```

    Args:
        image: uint8 RGB `(height, width, 3)`, or a path.
        scorer: A run folder, or what `load_scorer` returned; load it once where there
            are many pictures.
        detector: As in `detect_faces`; or `None`, to score the whole picture, as a
            scorer that was trained on whole pictures needs. Defaults to "cascade".
        margin: (top, sides, bottom) of the crops. Defaults to that of the training.
        square: Whether crops are square. Defaults to that of the training.
        **options: `conf`, `iou`, `imgsz` and `tile` of `detect_faces`.

    Returns:
        List of `Face` with scores, in the order of the detector: surest first.

    Raises:
        ValueError: for a picture, a scorer or a detector that cannot be had.
    """
    scorer = as_scorer(scorer)
    image = read_image(image)
    if detector is None:
        height, width = image.shape[:2]
        whole = (0.0, 0.0, float(width), float(height))
        return [Face(whole, 1.0, float(score_crops([image], scorer)[0]))]
    faces = detect_faces(image, as_detector(detector), **options)
    return score_faces(image, faces, scorer, margin=margin, square=square)


def score_faces(image, faces, scorer, *, margin=None, square=None):
    """Score faces that are already found.

    Args:
        image: uint8 RGB `(height, width, 3)`.
        faces: List of `Face`.
        scorer: As in `score`.
        margin: As in `score`.
        square: As in `score`.

    Returns:
        The same faces with scores.
    """
    scorer = as_scorer(scorer)
    crops = [
        crop_face(
            image,
            face.box,
            margin=scorer.margin if margin is None else margin,
            square=scorer.square if square is None else square,
            size=scorer.image_size,
        )
        for face in faces
    ]
    scores = score_crops(crops, scorer)
    return [
        face._replace(score=float(value))
        for face, value in zip(faces, scores, strict=True)
    ]


def score_crops(crops, scorer, *, batch_size=64):
    """Score crops.

    Example:
    ```python
    scores = score_crops([read_image(path) for path in list_images("crops")], scorer)
    ```

    Args:
        crops: Sequence of uint8 RGB arrays or paths, of any size; each is scaled to
            that of the network as it is needed.
        scorer: As in `score`.
        batch_size: Most crops in memory at once. Defaults to 64.

    Returns:
        float32 `(n,)`.
    """
    scorer = as_scorer(scorer)
    scores = np.zeros(len(crops), "float32")
    for start in range(0, len(crops), batch_size):
        part = [
            fit_crop(read_image(crop), scorer.image_size)
            for crop in crops[start : start + batch_size]
        ]
        scores[start : start + len(part)] = scorer.predict_scores(
            np.stack(part), batch_size
        )
    return scores


def as_scorer(scorer):
    """A `Scorer` of one, of a `Run` or of a run's folder."""
    return scorer if isinstance(scorer, Scorer) else load_scorer(scorer)
