"""A model whose loss is a sum of named, weighted terms, right on every accelerator."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from illustkit._keras_compat import BuiltFromOneReplica
from illustkit.runtime import compiled_by_xla


class Trainable(BuiltFromOneReplica):
    """A model that logs every term of its loss, on one device or on many.

    A subclass passes the weights of its terms to the constructor and computes the
    terms in `terms`. Nothing else of the training loop is changed, so that `fit` runs
    the same mathematics on one device, under `tf.distribute`, and on JAX. TensorFlow
    sums the gradients over the replicas, so the mean over the local batch is divided by
    their number.

    Example:
    ```python
    class Autoencoder(Trainable):
        def __init__(self, **kwargs):
            super().__init__({"l1": 1.0, "l2": 0.5}, **kwargs)
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            return self.dense(x)

        def terms(self, x, y, y_pred, training):
            error = ops.abs(y - y_pred)
            return {"l1": ops.mean(error, -1), "l2": ops.mean(error**2, -1)}

    model = Autoencoder()
    model.compile("adam")  # or with other weights: loss_weights={"l2": 1.0}
    ```

    Args:
        term_weights: Dict from a term's name to its weight in the loss. A term of
            weight 0 is computed and logged without entering the loss.
        monitors: Names that `terms` returns as well when it does not train: numbers
            that are logged in validation only.
        **kwargs: Passed to `keras.Model`.
    """

    def __init__(
        self,
        term_weights: Mapping[str, float],
        monitors: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.term_weights = {k: float(w) for k, w in term_weights.items()}
        self.monitors = tuple(monitors)
        self.trackers = {
            name: keras.metrics.Mean(name=name) for name in [*term_weights, *monitors]
        }
        self._in_training = False

    def compile(self, *args, loss_weights=None, jit_compile="auto", **kwargs):
        if jit_compile == "auto":
            jit_compile = compiled_by_xla()
        super().compile(
            *args, loss_weights=loss_weights, jit_compile=jit_compile, **kwargs
        )
        if loss_weights is None:
            return
        if unknown := sorted(set(loss_weights) - set(self.term_weights)):
            raise ValueError(
                f"`loss_weights` names terms of {sorted(self.term_weights)}. "
                f"Received: {unknown}"
            )
        weights = {k: float(w) for k, w in loss_weights.items()}
        self.term_weights = {**self.term_weights, **weights}

    def compile_from_config(self, config):
        # Keras' own refuses, since `compile` is overridden; it does the same.
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def terms(self, x: Any, y: Any, y_pred: Any, training: bool) -> dict[str, Any]:
        """Compute every term of the loss, and every monitor, of one local batch.

        Args:
            x: The batch's inputs, as `fit` got them.
            y: The batch's targets.
            y_pred: The model's output for `x`.
            training: Whether this is a training step; a training step has no monitors.

        Returns:
            Dict from name to a tensor of shape `(batch,)`, one number per sample.
        """
        raise TypeError(f"{type(self).__name__} has no `terms(x, y, y_pred, training)`")

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        self._in_training = training
        values = self.terms(x, y, y_pred, training)
        expected = set(self.term_weights if training else self.trackers)
        if set(values) != expected:
            raise ValueError(
                f"`terms` must return {sorted(expected)}. Received: {sorted(values)}"
            )
        total = 0.0
        for name, value in values.items():
            value = ops.cast(value, "float32")
            self.trackers[name].update_state(value)
            weight = self.term_weights.get(name, 0.0)
            if weight:
                total = total + weight * ops.mean(value)
        for loss in self.losses:  # regularisers
            total = total + ops.sum(ops.cast(loss, "float32"))
        return total / replicas_in_sync()

    def get_metrics_result(self):
        # Called in the step, after `compute_loss`: what the step logs decides what the
        # epoch logs.
        result = super().get_metrics_result()
        if self._in_training:
            result = {k: v for k, v in result.items() if k not in self.monitors}
        return result


def state_of(
    model: keras.layers.Layer, name: str, shape: Sequence[int], dtype: str = "float32"
) -> Any:
    """Add a variable of zeros to a model that no gradient changes.

    Example:
    ```python
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    steps = state_of(model, "steps", (), "int32")
    ```

    Args:
        model: The model.
        name: Name of the variable.
        shape: Its shape.
        dtype: Its dtype. Defaults to "float32".

    Returns:
        The variable, which has the same value on all replicas.
    """
    return model.add_weight(
        shape=shape,
        dtype=dtype,
        initializer="zeros",
        trainable=False,
        autocast=False,
        aggregation="only_first_replica",
        name=name,
    )


def move_averages(
    averages: Sequence[Any], weights: Sequence[Any], decay: Any, due: Any = None
) -> None:
    """Move averages towards weights, within a compiled step.

    Example:
    ```python
    layer, average = keras.layers.Dense(1), keras.layers.Dense(1)
    for each in (layer, average):
        each.build((None, 2))
    move_averages(average.weights, layer.weights, 0.995)
    ```

    Args:
        averages: Variables.
        weights: Variables of the same shapes.
        decay: The part of an average that stays, 0 to 1; 0 makes a copy.
        due: Whether the averages move at all. Defaults to `None`, always.
    """
    for average, weight in zip(averages, weights, strict=True):
        value = ops.stop_gradient(ops.convert_to_tensor(weight.value))
        before = ops.convert_to_tensor(average.value)
        moved = value + (before - value) * ops.cast(decay, value.dtype)
        average.assign(moved if due is None else ops.where(due, moved, before))


def replicas_in_sync() -> int:
    """Return the number of replicas that share a batch; 1 without a strategy."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync
