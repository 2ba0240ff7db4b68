"""Find, crop and score: the faces of pictures, or crops that are already cut."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from facescore.boxes import Face, as_face
from facescore.crops import crop_face, fit_crop
from facescore.detector.prediction import as_detector, check_finding, find_faces
from facescore.detector.results import Faces
from illustkit.errors import UserError
from illustkit.exported import is_exported
from illustkit.images import read_image

Image = np.ndarray | str | os.PathLike


class FaceScorer:
    """A detector and a scorer, in three steps: `find`, `crop` and `score`.

    `facescore.score`, `rank_folder` and `stability` all work through it, so that a
    picture has one score.

    Example:
    ```python
    rate = FaceScorer("runs/taste", "runs/faces")
    faces = rate(image)
    ```

    Args:
        scorer: A run folder, or what `load_scorer` returned: an object with
            `predict_scores`, `image_size`, `margin` and `square`.
        detector: See `as_detector`; `None` takes whole pictures for faces.
        margin: (top, sides, bottom) of the crops. Defaults to that of the training.
        square: Whether crops are square. Defaults to that of the training.
        **options: `confidence`, `iou`, `image_size` and `tile` of `detect_faces`.
    """

    def __init__(
        self,
        scorer: Any,
        detector: Any = "default",
        *,
        margin: Sequence[float] | None = None,
        square: bool | None = None,
        **options: Any,
    ) -> None:
        self.scorer, self.detector = as_scorer(scorer), as_detector(detector)
        check_finding(self.detector, **options)
        self.margin = self.scorer.margin if margin is None else tuple(margin)
        self.square = self.scorer.square if square is None else square
        self.options = options
        # Of the scores that people see; an object of another kind has its own scale.
        self.limits: tuple[float, float] | None = getattr(self.scorer, "limits", None)

    def __call__(self, image: np.ndarray) -> list[Face]:
        """Return the faces of a picture with their scores, in the detector's order."""
        (faces,) = self.find([image])
        scores = self.score(self.crop(image, faces))
        return [f._replace(score=float(s)) for f, s in zip(faces, scores, strict=True)]

    def find(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Return the faces of each picture."""
        return find_faces(images, self.detector, **self.options)

    def crop(self, image: np.ndarray, faces: Iterable[Any]) -> list[np.ndarray]:
        """Cut faces out of a picture at the scorer's size; scale a whole picture."""
        if self.detector is None:
            return [fit_crop(image, self.scorer.image_size) for _ in faces]
        return cut_faces(
            image, faces, self.scorer, margin=self.margin, square=self.square
        )

    def score(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Score crops of the scorer's size; see `score_cut`."""
        return score_cut(crops, self.scorer)


def clip_score(score: float | None, limits: tuple[float, float] | None) -> float | None:
    """Return a score within the scale, as it is shown to people.

    Args:
        score: A scorer's number, or `None`.
        limits: The scale's ends, or `None` for no scale.
    """
    if score is None or limits is None:
        return score
    return min(max(score, limits[0]), limits[1])


def cut_faces(
    image: np.ndarray,
    faces: Iterable[Any],
    scorer: Any,
    *,
    margin: Sequence[float],
    square: bool,
) -> list[np.ndarray]:
    """Cut faces out of a picture at a scorer's size.

    Args:
        image: uint8 RGB `(height, width, 3)`.
        faces: `Face`s or boxes in it.
        scorer: What `load_scorer` returned.
        margin: (top, sides, bottom); see `crop_face`.
        square: Whether crops are square.

    Returns:
        List of uint8 RGB arrays of one size.
    """
    size = scorer.image_size
    return [
        crop_face(image, as_face(face).box, margin=margin, square=square, size=size)
        for face in faces
    ]


def score_cut(crops: Sequence[np.ndarray], scorer: Any) -> np.ndarray:
    """Score crops of a scorer's size.

    Args:
        crops: uint8 RGB arrays of one size.
        scorer: What `load_scorer` returned.

    Returns:
        float64 `(n,)`.

    Raises:
        UserError: If the scorer does not give one finite number for each crop.
    """
    if not len(crops):
        return np.zeros(0)
    scores = np.asarray(scorer.predict_scores(np.stack(crops)), np.float64)
    if scores.shape != (len(crops),) or not np.isfinite(scores).all():
        raise UserError(
            "The scorer has to give one finite number for each crop: train it "
            f"again. Received: shape {scores.shape} for {len(crops)} crops, "
            f"{np.count_nonzero(~np.isfinite(scores))} not finite"
        )
    return scores


def score(
    image: Image,
    *,
    scorer: Any,
    detector: Any = "default",
    margin: Sequence[float] | None = None,
    square: bool | None = None,
    **options: Any,
) -> Faces:
    """Find the faces of a picture and score each.

    Example:
    ```python
    scorer = facescore.load_scorer("runs/taste")
    for face in facescore.score("picture.png", scorer=scorer, detector="runs/faces"):
        print(face.box, face.confidence, face.score)
    ```

    Args:
        image: uint8 RGB `(height, width, 3)`, or a path.
        scorer: A run folder, or what `load_scorer` returned; load it once for many
            pictures.
        detector: As in `detect_faces`; or `None`, to score the whole picture, for a
            scorer that was trained on whole pictures. Defaults to "default".
        margin: (top, sides, bottom) of the crops. Defaults to that of the training.
        square: Whether crops are square. Defaults to that of the training.
        **options: `confidence`, `iou`, `image_size` and `tile` of `detect_faces`.

    Returns:
        `Faces`: a list of `Face` with scores, in the order of the detector, surest
        first. In a notebook it shows the picture with them. Scores are the scorer's own
        numbers, which may go a little beyond 1 and 5.

    Raises:
        UserError: If the picture, the scorer or the detector cannot be read.
    """
    rate = FaceScorer(scorer, detector, margin=margin, square=square, **options)
    return Faces(rate(read_image(image)), image)


def score_crops(
    crops: Sequence[Image], scorer: Any, *, batch_size: int = 64
) -> np.ndarray:
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
        batch = [
            fit_crop(read_image(crop), scorer.image_size)
            for crop in crops[start : start + batch_size]
        ]
        scores[start : start + len(batch)] = score_cut(batch, scorer)
    return scores


def as_scorer(scorer: Any) -> Any:
    """Load the scorer of a run, its folder or an exported file; return a loaded one."""
    if hasattr(scorer, "predict_scores"):
        return scorer
    if is_exported(scorer):
        from facescore.exported import ExportedScorer

        return ExportedScorer(scorer)
    from facescore.scorer.model import load_scorer

    return load_scorer(scorer)
