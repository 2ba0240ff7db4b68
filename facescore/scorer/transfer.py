"""Begin a scorer with learnt features: a linear head in closed form."""

import itertools
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from facescore.efficientnet_lite import give_weights, shipped_features
from facescore.scorer.networks import TransferNet
from facescore.scorer.ridge import ridge
from illustkit.images import uint8_to_signed

MOST = 2000  # crops that the head is solved for; its matrix has twice as many rows
BATCH = 32
# From a standardised score to the logit of a threshold: of the logistic distribution
# whose deviation is 1.
LOGIT = np.pi / 3**0.5
# Of the head. Of fifty ratings a stronger one seemed best by chance now and then, and
# ordered other faces worse (Spearman .38, not .42: eight draws of 50 drawn characters).
STRENGTHS = 10.0 ** np.arange(-4, 0.1, 0.5)


def features_of(pictures: Iterable[np.ndarray]) -> np.ndarray:
    """Compute ImageNet's features of pictures, those that `transfer` begins with.

    Example:
    ```python
    features_of([np.zeros((160, 160, 3), np.uint8)]).shape   # (1, 9600)
    ```

    Args:
        pictures: Iterable of uint8 `(160, 160, 3)`; 32 are held at a time.

    Returns:
        float32 `(n, 9600)`.
    """
    network = TransferNet()
    give_weights(network, shipped_features())
    seen = keras.Model(network.inputs[0], network.get_layer("features").output)
    found: list[np.ndarray] = []
    remaining = iter(pictures)
    while part := list(itertools.islice(remaining, BATCH)):
        filled = np.stack(part + part[-1:] * (BATCH - len(part)))  # one shape
        values = seen.predict_on_batch(uint8_to_signed(filled.astype("float32")))
        found.append(np.asarray(values, "float32")[: len(part)])
    width = seen.output_shape[-1]
    return np.concatenate([np.zeros((0, width), "float32"), *found])


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
    parts = [np.arange(len(chosen))[i : i + 32] for i in range(0, len(chosen), 32)]
    order = np.concatenate([np.tile(part, 2) for part in parts])
    pairs = np.argsort(order, kind="stable").reshape(-1, 2)
    chosen = chosen[order]
    targets = (np.asarray(scores, float)[chosen] - scorer.mean) / scorer.scale
    if scorer.objective == "coral":
        targets = targets * LOGIT
    weights = None
    if scorer.score_weights is not None:
        levels = np.asarray(scores, int)[chosen] - 1
        weights = np.asarray(scorer.score_weights)[levels]
    kernel, bias, strength = ridge(
        np.concatenate(features),
        targets,
        STRENGTHS,
        weights,
        blocks=network.feature_blocks,
        groups=pairs,
    )
    network.get_layer("score").set_weights([kernel[:, None], np.array([bias])])
    return strength
