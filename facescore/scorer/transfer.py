"""Begin a scorer with learnt features: a linear head in closed form."""

from typing import Any

import keras
import numpy as np

from facescore.efficientnet_lite import give_weights, shipped_features
from illustkit.images import uint8_to_signed

MOST = 2000  # crops that the head is solved for; its matrix has twice as many rows
STRENGTHS = 10.0 ** np.arange(-4, 4)
# From a standardised score to the logit of a threshold: of the logistic distribution
# whose deviation is 1.
LOGIT = np.pi / 3**0.5


def ridge(
    features: np.ndarray, targets: np.ndarray, strengths: Any = STRENGTHS
) -> tuple[np.ndarray, float, float]:
    """Solve a ridge regression; its strength has the least error on what is left out.

    Features are standardised, and divided by the root of their number. With the kernel
    matrix `K = A Aᵀ` and `G = (K + λ I)⁻¹`, the error of target `i`, when row `i` is
    left out, is `(G y)_i / G_ii`: no row is solved for twice.

    Example:
    ```python
    kernel, bias, strength = ridge(np.random.rand(50, 400), np.random.rand(50))
    ```

    Args:
        features: `(n, features)`.
        targets: `(n,)`.
        strengths: The λ to choose from.

    Returns:
        `(kernel, bias, strength)`: `features @ kernel + bias` predicts.

    Reference:
        Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning",
        sections 3.4.1 and 7.10.
    """
    features = np.asarray(features, np.float64)
    centre, spread = features.mean(axis=0), features.std(axis=0)
    # A feature that is the same everywhere says nothing.
    scale = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0.0)
    scale = scale / features.shape[1] ** 0.5
    rows = (features - centre) * scale
    mean = float(np.mean(targets))
    values, vectors = np.linalg.eigh(rows @ rows.T)
    turned = vectors.T @ (np.asarray(targets, np.float64) - mean)
    solutions: list[tuple[float, float, np.ndarray]] = []
    for strength in strengths:
        inverse = 1 / (np.maximum(values, 0) + strength)
        solved = vectors @ (inverse * turned)
        diagonal = (vectors**2 * inverse).sum(axis=1)
        error = float(np.mean((solved / diagonal) ** 2))
        solutions.append((error, float(strength), solved))
    _, strength, solved = min(solutions, key=lambda solution: solution[0])
    kernel = (rows.T @ solved) * scale
    return kernel, mean - float(centre @ kernel), strength


def begin_with_features(scorer: Any, pictures: Any, scores: np.ndarray) -> float:
    """Give a scorer ImageNet's features, and the head that fits its crops best.

    Every crop counts twice, as it is and mirrored.

    Args:
        scorer: A `Scorer` whose network is a `TransferNet`.
        pictures: uint8 crops `(n, height, width, 3)` of the network's size; may be
            stored ones.
        scores: Their scores, 1 to 5.

    Returns:
        The strength of the ridge regression.
    """
    network = scorer.network
    give_weights(network, shipped_features())
    seen = keras.Model(network.inputs[0], network.get_layer("features").output)
    chosen = np.arange(len(scores))
    if len(chosen) > MOST:
        chosen = np.sort(np.random.default_rng(0).permutation(chosen)[:MOST])
    features = []
    for start in range(0, len(chosen), 32):
        part = [pictures[int(i)] for i in chosen[start : start + 32]]
        filled = np.stack(part + part[-1:] * (32 - len(part)))  # one shape
        for view in (filled, filled[:, :, ::-1]):
            found = seen.predict_on_batch(uint8_to_signed(view.astype("float32")))
            features.append(np.asarray(found, "float32")[: len(part)])
    # The rows of a part, then those of its mirrored crops.
    chosen = np.concatenate(
        [np.tile(chosen[i : i + 32], 2) for i in range(0, len(chosen), 32)]
    )
    targets = (np.asarray(scores, float)[chosen] - scorer.mean) / scorer.scale
    if scorer.objective == "coral":
        targets = targets * LOGIT
    kernel, bias, strength = ridge(np.concatenate(features), targets)
    network.get_layer("score").set_weights([kernel[:, None], np.array([bias])])
    return strength
