"""A model whose loss is a sum of named, weighted parts, right on every accelerator."""

import contextlib

import keras
import numpy as np
from keras import ops


class Trainable(keras.Model):
    """A model that logs every part of its loss, on one device or on many.

    A subclass sets `part_weights` in its constructor and gives `parts`. Nothing
    else of the training loop is touched, so that `fit` runs the same mathematics
    on one device, under `tf.distribute`, and on JAX. Gradients are summed over the
    replicas, so the mean over the local batch is divided by their number.

    Example:
    ```python
    class Autoencoder(Trainable):
        def __init__(self, **kwargs):
            super().__init__({"l1": 1.0, "l2": 0.5}, **kwargs)
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            return self.dense(x)

        def parts(self, x, y, y_pred, training):
            error = ops.abs(y - y_pred)
            return {"l1": ops.mean(error, -1), "l2": ops.mean(error**2, -1)}
    ```

    Args:
        part_weights: Dict from a part's name to its weight in the loss. A weight
            of 0 is logged and computed without entering the loss.
        monitors: Names that `parts` returns as well where it is not training: numbers
            that are logged in validation alone.
        **kwargs: Passed to `keras.Model`.
    """

    def __init__(self, part_weights, monitors=(), **kwargs):
        super().__init__(**kwargs)
        self.part_weights = {k: float(w) for k, w in part_weights.items()}
        self.monitors = tuple(monitors)
        self.trackers = {
            name: keras.metrics.Mean(name=name) for name in [*part_weights, *monitors]
        }
        self._in_training = False

    def parts(self, x, y, y_pred, training):
        """Every part of the loss, and every monitor, of one local batch.

        Args:
            x: The batch's inputs, as `fit` got them.
            y: The batch's targets.
            y_pred: What the model made of `x`.
            training: Whether this is a training step; monitors are left out of one.

        Returns:
            Dict from name to a tensor of shape `(batch,)`, one number a sample.
        """
        raise TypeError(
            f"{type(self).__name__} gives no `parts(x, y, y_pred, training)`"
        )

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        self._in_training = training
        values = self.parts(x, y, y_pred, training)
        expected = set(self._logged())
        if set(values) != expected:
            raise ValueError(
                f"`parts` must return {sorted(expected)}. Received: {sorted(values)}"
            )
        total = 0.0
        for name, value in values.items():
            value = ops.cast(value, "float32")
            self.trackers[name].update_state(value)
            weight = self.part_weights.get(name, 0.0)
            if weight:
                total = total + weight * ops.mean(value)
        total = total / _replicas_in_sync()
        for loss in self.losses:  # regularisers; Keras scales these itself
            total = total + self._aggregate_additional_loss(loss)
        return total

    def get_metrics_result(self):
        # Called in the step, after `compute_loss`: what the step logs decides what the
        # epoch logs.
        result = super().get_metrics_result()
        if self._in_training:
            result = {k: v for k, v in result.items() if k not in self.monitors}
        return result

    def _logged(self):
        return self.part_weights if self._in_training else self.trackers

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Keras averages the first batch over the replicas to learn its shape, which
        # fails for integers and for several workers: one replica's part will do.
        strategy = getattr(self, "_distribute_strategy", None)
        if strategy is not None and iterator is not None:
            first = next(next(iter(iterator))[2])
            data_batch = keras.tree.map_structure(
                lambda value: strategy.experimental_local_results(value)[0], first
            )
            iterator = None
        super()._maybe_symbolic_build(iterator, data_batch)


class EpochSeeds(keras.callbacks.Callback):
    """Begins each epoch of dropout with seeds of its own.

    Keras saves no seeds with the weights, so that a resumed training would otherwise
    drop out other units than one that never stopped.

    Example:
    ```python
    model.fit(batches, callbacks=[batches.follow(), EpochSeeds(1)])
    ```

    Args:
        seed: Int.
    """

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        states = [v for v in self.model.variables if v.name == "seed_generator_state"]
        for number, state in enumerate(states):
            first = np.random.SeedSequence((self.seed, number)).generate_state(1)[0]
            # (seed, count of draws); a million draws an epoch never meet the next
            state.assign(np.asarray([first >> 1, epoch * 10**6], state.dtype))


@contextlib.contextmanager
def precision(name):
    """Context in which layers are made with a dtype policy.

    Example:
    ```python
    with precision("mixed_bfloat16"):
        model = build()
    ```

    Args:
        name: "float32", "mixed_bfloat16" or "mixed_float16".
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@keras.saving.register_keras_serializable(package="illustkit")
class ReplicaSeed(keras.random.SeedGenerator):
    """A seed generator that gives every replica its own numbers.

    `keras.random.SeedGenerator` draws the same numbers on each replica of a
    `tf.distribute.Strategy`, so that two halves of a batch get equal noise.

    Example:
    ```python
    seeds = ReplicaSeed(1)
    noise = keras.random.normal((8, 8), seed=seeds)
    ```

    Args:
        seed: An int. Defaults to a random one.
    """

    def next(self, ordered=True):
        seed = super().next(ordered)
        if keras.backend.backend() != "tensorflow":
            return seed
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return seed
        replica = ops.cast(context.replica_id_in_sync_group, seed.dtype)
        return seed + ops.stack([replica * 1000003, ops.zeros((), seed.dtype)])


def _replicas_in_sync():
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync
