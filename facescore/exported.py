"""Exported detectors and scorers: finding and scoring faces without Keras.

`facescore.export` writes their files.
"""

import os
from typing import Any

import numpy as np

from illustkit.errors import UserError
from illustkit.exported import ExportedNetwork

DETECTOR, BOXES, CONFIDENCES = "facescore DetectorNetwork", "boxes", "confidences"
SCORER, SCORE = "facescore Scorer", "score"


def _opened(path, kind, word):
    """Open an exported network of one kind."""
    network = ExportedNetwork(path)
    if network.about.get("network") != kind:
        raise UserError(f"{path}: holds no {word}. Write one by facescore export.")
    return network


class ExportedDetectorNetwork:
    """The network of an exported detector, which gives boxes without Keras.

    Args:
        path: What `facescore.export_detector` wrote.

    Raises:
        UserError: If the file is missing, holds no detector, or its runtime is missing.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.network = _opened(path, DETECTOR, "detector")
        size = self.network.about["image_size"]
        self.size: tuple[int, int] | None = None if size is None else tuple(size)

    def candidates(
        self, pictures: np.ndarray, confidence: float
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the boxes of each picture that are confident enough.

        Args:
            pictures: uint8 `(n, height, width, 3)`.
            confidence: Least confidence.

        Returns:
            For each picture `(boxes, confidences)`: xyxy float64 `(m, 4)` in its
            pixels, and `(m,)`.
        """
        alone = self.size is not None  # such a file takes one picture
        batches = [pictures[i : i + 1] for i in range(len(pictures))]
        found = []
        for batch in batches if alone else [pictures]:
            outputs = self.network(picture=batch)
            pairs = zip(outputs[BOXES], outputs[CONFIDENCES], strict=True)
            for boxes, scores in pairs:
                kept = scores >= confidence
                found.append(
                    (boxes[kept].astype(np.float64), scores[kept].astype(np.float64))
                )
        return found


class ExportedScorer:
    """An exported scorer, which `facescore.score` takes in place of a `Scorer`.

    Args:
        path: What `facescore.export_scorer` wrote.

    Raises:
        UserError: If the file is missing, holds no scorer, or its runtime is missing.
    """

    limits = 1.0, 5.0  # as of a `Scorer`

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.network = _opened(path, SCORER, "scorer")
        about = self.network.about
        self.image_size: tuple[int, int] = tuple(about["image_size"])
        self.margin: tuple[float, ...] = tuple(about["margin"])
        self.square = bool(about["square"])

    def predict_scores(self, pictures: Any, batch_size: int = 64) -> np.ndarray:
        """Score pictures of the network's size.

        Args:
            pictures: uint8 `(n, height, width, 3)`.
            batch_size: Most pictures at once. Defaults to 64.

        Returns:
            float32 `(n,)`.
        """
        step = 1 if self.network.path.suffix.lower() == ".tflite" else batch_size
        batches = [
            self.network(picture=np.asarray(pictures[start : start + step]))[SCORE]
            for start in range(0, len(pictures), step)
        ]
        if not batches:
            return np.zeros(0, "float32")
        return np.concatenate(batches).astype("float32")
