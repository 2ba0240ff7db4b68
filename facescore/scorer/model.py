"""The scorer: a network that learns scores, by regression or by ordered thresholds."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from facescore.crops import MARGIN
from facescore.scorer.calibration import Knots, calibrate, read_calibration
from facescore.scorer.networks import AlexNet, AnimeCNN, SmallNet, TransferNet
from illustkit.errors import UserError
from illustkit.files import expand_user
from illustkit.images import uint8_to_signed
from illustkit.training.runs import Run, RunKind, load_run
from illustkit.training.trainable import Trainable

LEVELS = 5
SCORER = RunKind("scorer", frozenset({"network", "objective", "margin"}))


@keras.saving.register_keras_serializable(package="facescore")
class CoralThresholds(layers.Layer):
    """Adds one trained bias for each threshold to a single number.

    All thresholds share that number, so that P(score > k) falls with `k` as the biases
    do.

    Example:
    ```python
    CoralThresholds(threshold_biases([1, 2, 3, 4, 5]))(np.zeros((2, 1))).shape  # (2, 4)
    ```

    Args:
        biases: The initial biases, one for each threshold, falling.
        **kwargs: `name`, `dtype`.

    Call arguments:
        x: `(batch, 1)`.

    Returns:
        Logits of P(score > k), k = 1, 2, ...: `(batch, len(biases))`.

    Raises:
        UserError: If the biases do not fall.

    Reference:
        Cao et al., "Rank consistent ordinal regression for neural networks with
        application to age estimation" (2020), section 3.3.
    """

    def __init__(self, biases: Sequence[float], **kwargs: Any) -> None:
        biases = [float(b) for b in biases]
        if not biases or any(a < b for a, b in zip(biases, biases[1:], strict=False)):
            raise UserError(f"`biases` must fall. Received: {biases}")
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

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "biases": self.biases}


def threshold_biases(
    scores: Any, n_levels: int = LEVELS, weights: Any = None
) -> np.ndarray:
    """Return biases with which an untrained network predicts the levels' frequencies.

    With equal biases the first steps only learn how frequent the levels are, and a rare
    one may never be predicted. Each level counts once more than it occurs.

    Args:
        scores: Whole numbers 1 to `n_levels`.
        n_levels: Number of levels. Defaults to 5.
        weights: How much a score of each level counts, `(n_levels,)`. Defaults to 1.

    Returns:
        float64 `(n_levels - 1,)`: the logit of P(score > k), k = 1, 2, ...
    """
    counts = np.bincount(np.asarray(scores, int) - 1, minlength=n_levels) + 1.0
    if weights is not None:
        counts = (counts - 1) * weights + 1
    above = 1 - np.cumsum(counts)[:-1] / counts.sum()
    return np.log(above / (1 - above))


def balanced_weights(scores: Any, n_levels: int = LEVELS) -> np.ndarray:
    """Return weights with which every score that occurs counts alike.

    Example:
    ```python
    balanced_weights([3, 3, 5])   # [0., 0., 0.75, 0., 1.5]
    ```

    Args:
        scores: Whole numbers 1 to `n_levels`.
        n_levels: Number of levels. Defaults to 5.

    Returns:
        float64 `(n_levels,)`: n / (levels that occur · crops of the level), with a mean
        of 1 over the crops; 0 for a level that does not occur.

    Reference:
        King and Zeng, "Logistic Regression in Rare Events Data" (2001), section 4.2;
        `class_weight="balanced"` of scikit-learn.
    """
    counts = np.bincount(np.asarray(scores, int) - 1, minlength=n_levels)
    weights = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 0.0)


def score_levels(scores: Any, n_levels: int = LEVELS) -> Any:
    """Return whether each score is above each threshold.

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


def coral_loss(levels: Any, logits: Any) -> Any:
    """Sum the cross-entropies of "above or not" over the thresholds.

    Args:
        levels: `(batch, thresholds)`, 0 or 1.
        logits: `(batch, thresholds)`.

    Returns:
        `(batch,)`.

    Reference:
        Cao et al. (2020), equation 4, with equal weights of the thresholds.
    """
    # log(1 + e^z) - tz, the cross-entropy without overflow
    return ops.sum(ops.softplus(logits) - levels * logits, axis=-1)


def coral_scores(logits: Any) -> np.ndarray:
    """Return the expected score: 1 plus the probability of each further level.

    Args:
        logits: NumPy array `(batch, thresholds)`.

    Returns:
        float `(batch,)`, 1 to thresholds + 1.
    """
    logits = np.asarray(logits, np.float64)
    return 1 + np.sum(0.5 * (1 + np.tanh(logits / 2)), axis=-1)  # sigmoid


NETWORKS = {
    "small": SmallNet,
    "animecnn": AnimeCNN,
    "alexnet": AlexNet,
    "transfer": TransferNet,
}
OBJECTIVES = "regression", "coral"


@keras.saving.register_keras_serializable(package="facescore")
class Scorer(Trainable):
    """A network that learns one person's scores of pictures, 1 to 5.

    "regression", as in the article, learns the standardised score
    `(score - mean) / scale` by its squared error. `mean` and `scale` are those of the
    training scores, so that an untrained network predicts about the mean. "coral"
    learns for each threshold whether the score is above it, and predicts the expected
    score; its initial biases give each score its frequency.

    Example:
    ```python
    scorer = Scorer(SmallNet(96), mean=2.9, scale=1.3)
    scorer.compile(keras.optimizers.AdamW(2e-3))
    scorer.fit(crops, scores)             # uint8 (n, 96, 96, 3), float (n,)
    scorer.predict_scores(crops)          # float32 (n,)
    ```

    Args:
        network: A model from pictures, signed scale, to one number each.
        objective: "regression" or "coral". Defaults to "regression".
        mean: Mean of the training scores. Defaults to 3.
        scale: Standard deviation of the training scores. Defaults to 1.414, that of
            scores that are equally frequent.
        biases: Initial biases of "coral"; see
            `facescore.scorer.model.threshold_biases`. Defaults to those of equally
            frequent scores.
        margin: (top, sides, bottom) of the training crops, so that `facescore.score`
            can cut alike. Defaults to that of `crop_face`.
        square: Whether the training crops are square, likewise. Defaults to `True`.
        score_weights: How much the loss of a crop of score 1, 2, ... counts, five
            numbers; see `balanced_weights`. Defaults to 1 each.
        calibration: Knots `(prediction, score)` of a rising map that
            `predict_scores` applies; see `facescore.scorer.calibration`. Defaults to
            none.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        pictures: uint8 `(batch, height, width, 3)`.

    Returns:
        `(batch, 1)`, standardised, or `(batch, 4)`, logits of P(score > k).

    Raises:
        UserError: If the objective is unknown, or the scale is not positive.
    """

    limits = 1.0, 5.0  # of the scores that people see

    def __init__(
        self,
        network: keras.Model,
        objective: str = "regression",
        *,
        mean: float = 3.0,
        scale: float = 2**0.5,
        biases: Sequence[float] = (1.3863, 0.4055, -0.4055, -1.3863),
        margin: Sequence[float] = MARGIN,
        square: bool = True,
        score_weights: Sequence[float] | None = None,
        calibration: Knots | None = None,
        **kwargs: Any,
    ) -> None:
        if objective not in OBJECTIVES:
            raise UserError(
                f"`objective` must be one of {OBJECTIVES}. Received: {objective!r}"
            )
        if not scale > 0:
            raise UserError(f"`scale` must be positive. Received: scale={scale}")
        super().__init__({"mse" if objective == "regression" else "coral": 1}, **kwargs)
        self.network, self.objective = network, objective
        self.mean, self.scale = float(mean), float(scale)
        self.margin, self.square = tuple(margin), bool(square)
        self.biases = tuple(float(b) for b in biases)
        self.score_weights = (
            None if score_weights is None else tuple(float(w) for w in score_weights)
        )
        self.calibration = (
            None
            if calibration is None
            else tuple((float(x), float(y)) for x, y in calibration)
        )
        self.thresholds: CoralThresholds | None = None
        if objective == "coral":
            self.thresholds = CoralThresholds(self.biases, dtype="float32")
            self.thresholds.build((None, 1))
        self.built = True

    @property
    def image_size(self) -> tuple[int, int]:
        """(width, height) of the network's pictures, in pixels."""
        return self.network.image_size

    def call(self, pictures, training=False):
        value = self.network(uint8_to_signed(pictures), training=training)
        return value if self.thresholds is None else self.thresholds(value)

    def terms(self, x: Any, y: Any, y_pred: Any, training: bool) -> dict[str, Any]:
        scores = ops.reshape(ops.cast(y, "float32"), (-1,))
        if self.objective == "coral":
            levels = score_levels(scores, len(self.biases) + 1)
            return {"coral": self._weighted(coral_loss(levels, y_pred), scores)}
        target = (scores - self.mean) / self.scale
        return {"mse": self._weighted(ops.square(y_pred[:, 0] - target), scores)}

    def _weighted(self, losses, scores):
        """Multiply each crop's loss by the weight of its score."""
        if self.score_weights is None:
            return losses
        weights = ops.convert_to_tensor(self.score_weights, dtype=losses.dtype)
        return losses * ops.take(weights, ops.cast(ops.round(scores), "int32") - 1)

    def predict_scores(self, pictures: Any, batch_size: int = 64) -> np.ndarray:
        """Score pictures of the network's size.

        Args:
            pictures: uint8 `(n, height, width, 3)`.
            batch_size: Most pictures at once. Defaults to 64.

        Returns:
            float32 `(n,)`. A regression or a calibrated score may go a little beyond 1
            to 5.
        """
        batches = []
        for start in range(0, len(pictures), batch_size):
            batch = np.asarray(pictures[start : start + batch_size])
            n = len(batch)
            # Filled up to a power of two: few shapes, few compilations.
            full = min(batch_size, 1 << (n - 1).bit_length())
            batch = np.concatenate([batch, np.repeat(batch[-1:], full - n, axis=0)])
            batches.append(np.asarray(self.predict_on_batch(batch), "float32")[:n])
        if not batches:
            return np.zeros(0, "float32")
        outputs = np.concatenate(batches)
        if self.objective == "coral":
            scores = coral_scores(outputs).astype("float32")
        else:
            scores = outputs[:, 0] * np.float32(self.scale) + np.float32(self.mean)
        if self.calibration is None:
            return scores
        return calibrate(scores, self.calibration).astype("float32")

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            network=keras.saving.serialize_keras_object(self.network),
            objective=self.objective,
            mean=self.mean,
            scale=self.scale,
            biases=list(self.biases),
            margin=list(self.margin),
            square=self.square,
            score_weights=self.score_weights and list(self.score_weights),
            calibration=self.calibration and [list(knot) for knot in self.calibration],
        )
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        network = keras.saving.deserialize_keras_object(config.pop("network"))
        return cls(network, config.pop("objective"), **config)


def build_scorer(settings: Mapping[str, Any], *, synchronised: bool = False) -> Scorer:
    """Build the scorer that a run's settings describe, untrained.

    Args:
        settings: Dict, as `Run.settings`.
        synchronised: See `SmallNet`; other networks have no batch statistics.

    Returns:
        A `Scorer`.
    """
    options = dict(settings["network_options"])
    if synchronised and settings["network"] == "small":
        options["synchronised"] = True
    network = NETWORKS[settings["network"]](settings["image_size"], **options)
    names = "mean", "scale", "biases", "margin", "square"
    chosen = {name: settings[name] for name in names}
    # Runs of before have no weights.
    chosen["score_weights"] = settings.get("score_weights")
    return Scorer(network, settings["objective"], **chosen)


def load_scorer(run: str | os.PathLike | Run, *, calibrated: bool = True) -> Scorer:
    """Load a trained scorer, ready for `facescore.score`.

    Example:
    ```python
    scorer = facescore.load_scorer("runs/taste")
    faces = facescore.score("picture.png", scorer=scorer)
    ```

    Args:
        run: A run folder (its path, or the `Run` that `facescore.train_scorer`
            returned), whose best weights are loaded; or the path of a `.keras` file.
        calibrated: Whether a run's calibration is loaded, too. Defaults to `True`.

    Returns:
        A `Scorer`.

    Raises:
        UserError: If there is no such run, or no weights in it.
    """
    scorer = load_run(run, SCORER, build_scorer)
    folder = run.folder if isinstance(run, Run) else expand_user(run)
    if not calibrated:
        scorer.calibration = None
    elif folder.is_dir() and (knots := read_calibration(folder)) is not None:
        scorer.calibration = tuple(knots)
    return scorer
