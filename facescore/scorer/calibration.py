"""Spread a scorer's predictions over the scale as a person spreads scores."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facescore.scorer.ratings import SCORES
from illustkit.errors import UserError, reading
from illustkit.tables import read_json, write_json

CALIBRATION = "calibration.json"
FEWEST = 20  # held-out predictions: a rare score has a tenth of them

Knots = Sequence[tuple[float, float]]


def fit_calibration(predicted: Any, scores: Any) -> list[tuple[float, float]]:
    """Fit the rising map that gives predictions the distribution of a person's scores.

    Its knots are quantiles: if a tenth of the scores are 1, the lowest tenth of the
    predictions is mapped below 1.5. The least prediction becomes the least score that
    occurs, the greatest the greatest. The order of pictures never changes.

    Example:
    ```python
    knots = fit_calibration([2.8, 2.9, 3.0, 3.2], [1, 3, 3, 5])
    calibrate([2.8, 3.2], knots)   # [1., 5.]
    ```

    Args:
        predicted: Predictions of pictures that were not trained on, `(n,)`.
        scores: The person's scores of these or of more pictures, whole numbers 1 to 5,
            `(m,)`.

    Returns:
        List of knots `(prediction, score)`; both rise.

    Raises:
        UserError: If a score is not 1 to 5, or the predictions are all the same.

    Reference:
        Quantile mapping; Kolen and Brennan, "Test Equating, Scaling, and Linking"
        (2014), section 2.5: equipercentile equating.
    """
    predicted = np.sort(np.asarray(predicted, np.float64))
    levels, counts = np.unique(np.asarray(scores, np.float64), return_counts=True)
    if not len(levels) or not np.isin(levels, SCORES).all():
        raise UserError(f"A score is one of {SCORES}. Received: {levels.tolist()}")
    if not len(predicted) or predicted[0] == predicted[-1]:
        raise UserError(
            "The scorer gives all held-out crops the same score, which cannot be "
            "calibrated: train it longer, or on more ratings."
        )
    fractions = np.cumsum(counts)[:-1] / counts.sum()
    between = np.quantile(predicted, fractions)
    x = np.concatenate([predicted[:1], between, predicted[-1:]])
    middles = (levels[:-1] + levels[1:]) / 2
    y = np.concatenate([levels[:1], middles, levels[-1:]])
    # Equal quantiles, of many equal predictions, are one knot.
    known = np.unique(x)
    return [(float(value), float(y[x == value].mean())) for value in known]


def calibrate(scores: Any, knots: Knots) -> np.ndarray:
    """Map predicted scores by a calibration.

    Between knots the map is linear, and beyond the outermost ones it goes on with a
    slope of 1, so that it rises everywhere.

    Args:
        scores: Predictions `(n,)`.
        knots: What `fit_calibration` returned.

    Returns:
        float64 `(n,)`.
    """
    scores = np.asarray(scores, np.float64)
    x, y = np.transpose(knots)
    beyond = scores - np.clip(scores, x[0], x[-1])
    return np.interp(scores, x, y) + beyond


def cross_calibrate(
    predicted: Any, scores: Any, groups: Sequence[Any], folds: int = 5
) -> np.ndarray:
    """Calibrate each prediction by a map that was fitted without its group.

    A map that is judged on the pictures it was fitted on spreads them perfectly.

    Args:
        predicted: Predictions `(n,)`.
        scores: The person's scores that the distribution is taken from, `(m,)`.
        groups: Label of each prediction, such as the picture that a face is from.
        folds: Parts of the groups. Defaults to 5.

    Returns:
        float64 `(n,)`.
    """
    predicted = np.asarray(predicted, np.float64)
    _, inverse = np.unique(np.asarray(groups), return_inverse=True)
    part = np.random.default_rng(0).permutation(inverse.max() + 1)[inverse] % folds
    calibrated = np.empty_like(predicted)
    for fold in np.unique(part):
        knots = fit_calibration(predicted[part != fold], scores)
        calibrated[part == fold] = calibrate(predicted[part == fold], knots)
    return calibrated


def write_calibration(folder: str | os.PathLike, knots: Knots) -> Path:
    """Store a calibration in a run's folder.

    Args:
        folder: The folder.
        knots: What `fit_calibration` returned.

    Returns:
        Path of `calibration.json`.
    """
    path = Path(folder) / CALIBRATION
    predicted, score = np.transpose(knots).tolist()
    write_json(path, {"predicted": predicted, "score": score})
    return path


def read_calibration(folder: str | os.PathLike) -> list[tuple[float, float]] | None:
    """Read the calibration of a run's folder.

    Args:
        folder: The folder.

    Returns:
        List of knots, or `None` if the run has none.

    Raises:
        UserError: If the file is broken.
    """
    path = Path(folder) / CALIBRATION
    if not path.exists():
        return None
    with reading(path, "Delete it, or calibrate again."):
        stored = read_json(path)
        x, y = (np.asarray(stored[key], np.float64) for key in ("predicted", "score"))
        if len(x) < 2 or x.shape != y.shape or (np.diff([x, y]) <= 0).any():
            raise ValueError("its knots do not rise")
        if not np.isfinite([x, y]).all():
            raise ValueError("its knots are not finite")
    return list(zip(x.tolist(), y.tolist(), strict=True))
