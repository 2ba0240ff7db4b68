"""Fits what `oppai.mosaic_evidence` weighs evidence with: a logistic regression.

Of the evidence and its products: what a number of steps says depends on the cells.
"""

import numpy as np

from oppai.cell_training import add_weights
from oppai.censor_drawing import draw_censor, draw_grid, through_jpeg
from oppai.grids import Grid
from oppai.mosaic_evidence import with_products


def train_evidence(pictures, path, *, seed=0):
    """Learn how much every kind of evidence weighs and add it to the finder's weights.

    Each picture is searched twice: as it is or, every second time, as a JPEG of low
    quality, and with a mosaic. What the network takes for a mosaic is one where at
    least half of it is and its lattice is right.

    Example:
    ```python
    train_evidence(pictures, "oppai/weights/censor_finder.npz")
    ```

    Args:
        pictures: List of uint8 RGB arrays without censors, other ones than the network
            has been trained on where there are enough.
        path: Place of the finder's weights, `.npz`.
        seed: Int. Defaults to 0.

    Returns:
        `(evidence, truth)`: float32 `(n, 14)` and bool `(n,)`, what has been seen.
    """
    found = []
    for n, picture in enumerate(pictures):
        found += label_candidates(picture, np.random.default_rng((seed, n)))
    return fit_evidence(found, path)


def label_candidates(picture, rng):
    """What the network takes for mosaics, without one and with one in the picture.

    Args:
        picture: uint8 RGB array without censors.
        rng: `np.random.Generator`.

    Returns:
        List of `(evidence, truth)`.
    """
    clean = picture
    if rng.random() < 0.5:
        clean = through_jpeg(picture, int(rng.integers(10, 96)))
    found = [(part.evidence, False) for part in _candidates(clean)]
    grid = draw_grid(rng)
    if rng.random() < 0.3:
        # As programs draw them: from the corner, where a JPEG has its blocks too.
        grid = Grid([int(rng.choice((8, 8, 8, 16, 16, 24, 32)))] * 2)
    case = draw_censor(picture, rng, mosaics=1, grid=grid, jpeg=0.5)
    block, origin = grid.block, grid.origin
    right = block[0], origin[0] % block[0], block[1], origin[1] % block[1]
    for part in _candidates(case.picture):
        hole = case.mask[part.place] < 128
        is_there = (hole & part.mask).sum() > 0.5 * part.mask.sum()
        found.append((part.evidence, part.lattice == right and bool(is_there)))
    return found


def fit_evidence(found, path):
    """Fit the regression to labelled evidence and add it to the weights.

    Args:
        found: List of `(evidence, truth)`.
        path: Place of the finder's weights, `.npz`.

    Returns:
        `(evidence, truth)`: float32 `(n, 14)` and bool `(n,)`.
    """
    evidence = np.stack([seen for seen, _ in found])
    truth = np.array([is_mosaic for _, is_mosaic in found])
    mean, scale = evidence.mean(0), evidence.std(0) + 1e-3
    weights, bias = fit_logistic(with_products((evidence - mean) / scale), truth)
    learned = {"mean": mean, "scale": scale, "w": weights, "b": bias}
    add_weights(path, {f"evidence.{k}": np.float32(v) for k, v in learned.items()})
    return evidence, truth


def fit_logistic(x, truth, *, decay=3.0, steps=50):
    """Logistic regression by Newton's method.

    Args:
        x: float `(n, m)`.
        truth: bool `(n,)`.
        decay: Half of it times the weights' squares is added to the loss, the sum of
            the cross entropies. Defaults to 3.
        steps: Of Newton's method. Defaults to 50.

    Returns:
        `(weights, bias)`, float64.
    """
    x = np.c_[x, np.ones(len(x))].astype(np.float64)
    penalty = np.r_[np.full(x.shape[1] - 1, decay), 0]
    weights = np.zeros(x.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (p - truth) + penalty * weights
        curvature = (x * (p * (1 - p) + 1e-6)[:, None]).T @ x + np.diag(penalty)
        weights -= np.linalg.solve(curvature, gradient)
    return weights[:-1], weights[-1]


def _candidates(picture):
    """All that the network takes for a mosaic."""
    import cv2

    from oppai.mosaic_finding import candidates

    return candidates(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
