"""Scores as an order of levels: the CORAL head, its loss and what it predicts."""

import keras
import numpy as np
from keras import layers, ops

LEVELS = 5


@keras.saving.register_keras_serializable(package="facescore")
class CoralThresholds(layers.Layer):
    """Adds one trained bias for each threshold to a single number.

    As all thresholds share that number, P(score > k) falls with `k` as the biases do.

    Example:
    ```python
    CoralThresholds(threshold_biases([1, 2, 3, 4, 5]))(np.zeros((2, 1))).shape  # (2, 4)
    ```

    Args:
        biases: The first biases, one for each threshold, falling.
        **kwargs: `name`, `dtype`.

    Call arguments:
        x: `(batch, 1)`.

    Returns:
        Logits of P(score > k), k = 1, 2, ...: `(batch, len(biases))`.

    Raises:
        ValueError: where the biases do not fall.

    Reference:
        Cao et al., "Rank consistent ordinal regression for neural networks with
        application to age estimation" (2020), section 3.3.
    """

    def __init__(self, biases, **kwargs):
        biases = [float(b) for b in biases]
        if not biases or any(a < b for a, b in zip(biases, biases[1:], strict=False)):
            raise ValueError(f"`biases` must fall. Received: {biases}")
        super().__init__(**kwargs)
        self.biases = biases

    def build(self, input_shape):
        self.offsets = self.add_weight(
            (len(self.biases),),
            initializer=lambda shape, dtype: ops.cast(self.biases, dtype),
            name="offsets",
        )

    def call(self, x):
        return x + ops.cast(self.offsets, x.dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], len(self.biases))

    def get_config(self):
        return {**super().get_config(), "biases": self.biases}


def threshold_biases(scores, n_levels=LEVELS):
    """Biases with which an untrained network gives every level its share.

    With equal biases the first steps only learn how frequent the levels are, and a rare
    one may never be predicted. Each level counts as seen once more than it was.

    Args:
        scores: Whole numbers 1 to `n_levels`.
        n_levels: Number of levels. Defaults to 5.

    Returns:
        float64 `(n_levels - 1,)`: the logit of P(score > k), k = 1, 2, ...
    """
    counts = np.bincount(np.asarray(scores, int) - 1, minlength=n_levels) + 1.0
    above = 1 - np.cumsum(counts)[:-1] / counts.sum()
    return np.log(above / (1 - above))


def score_levels(scores, n_levels=LEVELS):
    """Whether each score is above each threshold.

    Example:
    ```python
    score_levels([3.0])   # [[1., 1., 0., 0.]]
    ```

    Args:
        scores: Array or tensor `(batch,)`, 1 to `n_levels`.
        n_levels: Number of levels. Defaults to 5.

    Returns:
        float32 `(batch, n_levels - 1)`, 0 or 1.
    """
    scores = ops.expand_dims(ops.cast(scores, "float32"), -1)
    return ops.cast(scores > ops.arange(1, n_levels, dtype="float32"), "float32")


def coral_loss(levels, logits):
    """Sum over the thresholds of the cross-entropy of "above or not".

    Args:
        levels: `(batch, thresholds)`, 0 or 1.
        logits: `(batch, thresholds)`.

    Returns:
        `(batch,)`.

    Reference:
        Cao et al. (2020), equation 4, each threshold as important.
    """
    # log(1 + e^z) - tz, the cross-entropy without overflow
    return ops.sum(ops.softplus(logits) - levels * logits, axis=-1)


def coral_scores(logits):
    """Expected score: 1 and the chance of each further level.

    Args:
        logits: NumPy array `(batch, thresholds)`.

    Returns:
        float `(batch,)`, 1 to thresholds + 1.
    """
    logits = np.asarray(logits, np.float64)
    return 1 + np.sum(0.5 * (1 + np.tanh(logits / 2)), axis=-1)  # sigmoid
