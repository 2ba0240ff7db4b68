"""Train the networks that tell what was laid over a picture from what is drawn.

They are small: 46 numbers, 16 hidden units, one log odds. The mean of five of them is
stored as one with 80 hidden units. A logistic regression of the numbers and their
squares accepts a fifth fewer of the true regions at as many false ones.
"""

import os
import warnings
from collections.abc import Sequence

import numpy as np

from oppai.censoring.random_censor import draw_censor, through_jpeg
from oppai.detection.overlay import scaled
from oppai.detection.solid import propose_solid
from oppai.detection.training import add_weights, vary

KINDS = "white", "black", "light"
_LEAST = 48  # pixels of the shorter side of a picture that is censored


def train_overlay(
    pictures: Sequence[np.ndarray], path: str | os.PathLike[str], *, seed: int = 0
) -> list[tuple[str, np.ndarray, bool]]:
    """Learn the weights of the evidence and add them to the finder's weights.

    Each picture is searched as it is, varied, and twice with a censor.

    Args:
        pictures: List of uint8 RGB arrays without censors, if there are enough, other
            ones than the network was trained on.
        path: The `.npz` of the finder's weights.
        seed: Int. Defaults to 0.

    Returns:
        List of `(kind, evidence, truth)` of all proposals.
    """
    labelled = []
    for n, picture in enumerate(pictures):
        labelled += label_proposals(picture, np.random.default_rng((seed, n)))
    fit_overlay(labelled, path)
    return labelled


def label_proposals(
    picture: np.ndarray, rng: np.random.Generator
) -> list[tuple[str, np.ndarray, bool]]:
    """Collect what the network proposes, without and with a censor.

    Proposals of which less than a fifth is hidden are false, those of which more than
    three fifths is hidden are true, and the rest is left out.

    Args:
        picture: uint8 RGB array without censors.
        rng: `np.random.Generator`.

    Returns:
        List of `(kind, evidence, truth)`.
    """
    varied = vary(picture, rng)
    labelled = []
    for clean in (picture, varied):
        if clean is varied and rng.random() < 0.4:
            clean = through_jpeg(clean, int(rng.integers(30, 96)))
        labelled += [(r.kind, evidence, False) for r, evidence in propose_solid(clean)]
    for clean in (picture, varied):
        if min(clean.shape[:2]) < _LEAST:
            continue
        image, hole, kind = censor_somewhere(clean, rng)
        for region, evidence in propose_solid(image):
            hidden = hole[region.slices][region.mask].mean()
            if hidden < 0.2:
                labelled.append((region.kind, evidence, False))
            elif hidden > 0.6 and (region.kind == "black") == (kind == "black"):
                labelled.append((region.kind, evidence, True))
    return labelled


def censor_somewhere(
    picture: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, str]:
    """Censor a picture, or a crop of it so that the censor is smaller.

    Args:
        picture: uint8 RGB array; it is not changed.
        rng: `np.random.Generator`.

    Returns:
        `(image, hole, kind)`, `hole` bool `(height, width)`.
    """
    if rng.random() < 0.5:
        case = draw_censor(picture, rng, mosaics=0)
        return np.asarray(case.image), case.mask > 127, case.kind
    image, hole = picture.copy(), np.zeros(picture.shape[:2], bool)
    height, width = picture.shape[:2]
    sides = [int(np.ceil(n * rng.uniform(0.3, 1))) for n in (height, width)]
    y = int(rng.integers(0, height - sides[0] + 1))
    x = int(rng.integers(0, width - sides[1] + 1))
    crop = np.s_[y : y + sides[0], x : x + sides[1]]
    case = draw_censor(np.ascontiguousarray(picture[crop]), rng, mosaics=0, jpeg=0)
    image[crop], hole[crop] = case.image, case.mask > 127
    if rng.random() < 0.35:
        image = through_jpeg(image, int(rng.integers(60, 101)))
    return image, hole, case.kind


def fit_overlay(
    labelled: Sequence[tuple[str, np.ndarray, bool]], path: str | os.PathLike[str]
) -> None:
    """Fit the networks of each kind and add their mean to the weights.

    Args:
        labelled: List of `(kind, evidence, truth)`.
        path: The `.npz` of the finder's weights.
    """
    learned = {}
    for kind in KINDS:
        evidence = np.stack([numbers for k, numbers, _ in labelled if k == kind])
        truth = np.array([is_hidden for k, _, is_hidden in labelled if k == kind])
        for name, value in fit_networks(evidence, truth).items():
            learned[f"overlay.{kind}.{name}"] = np.float32(value)
    add_weights(path, learned)


def fit_networks(
    evidence: np.ndarray, truth: np.ndarray, *, n: int = 5
) -> dict[str, np.ndarray]:
    """Fit networks with scikit-learn, which only this training needs.

    Args:
        evidence: float `(cases, 46)`.
        truth: bool `(cases,)`.
        n: Number of networks, with seeds of their own. Defaults to 5.

    Returns:
        Dict of "mean", "scale", "w1", "b1", "w2" and "b2": one network whose log odds
        are the mean of theirs.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    mean, scale = evidence.mean(0), evidence.std(0) + 1e-3
    x = scaled(evidence, mean, scale)
    models = [
        MLPClassifier((16,), alpha=1.0, max_iter=150, random_state=seed)
        for seed in range(n)
    ]
    with warnings.catch_warnings():
        # 150 epochs end the training, not a loss that no longer falls.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for model in models:
            model.fit(x, truth)
    return {
        "mean": mean,
        "scale": scale,
        "w1": np.concatenate([model.coefs_[0] for model in models], 1),
        "b1": np.concatenate([model.intercepts_[0] for model in models]),
        "w2": np.concatenate([model.coefs_[1][:, 0] for model in models]) / n,
        "b2": sum(model.intercepts_[1][0] for model in models) / n,
    }
