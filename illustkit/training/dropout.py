"""Dropout that drops different units on every device and in every epoch."""

from typing import Any

import keras
import numpy as np
from keras import ops

from illustkit._keras_compat import seed_states


@keras.saving.register_keras_serializable(package="illustkit")
class ReplicaSeed(keras.random.SeedGenerator):
    """A seed generator that gives every replica numbers of its own.

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

    def next(self, ordered: bool = True) -> Any:
        seed = super().next(ordered)
        if keras.backend.backend() != "tensorflow":
            return seed
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return seed
        replica = ops.cast(context.replica_id_in_sync_group, seed.dtype)
        return seed + ops.stack([replica * 1000003, ops.zeros((), seed.dtype)])


@keras.saving.register_keras_serializable(package="illustkit")
class Dropout(keras.layers.Layer):
    """Drops units by a mask of its own on each replica.

    `keras.layers.Dropout` draws the same mask on every replica of a
    `tf.distribute.Strategy`: the first sample of each replica loses the same units
    (`tests/illustkit/test_keras_compat.py` shows it).

    Example:
    ```python
    Dropout(0.5)(np.ones((2, 4), "float32"), training=True)   # zeros and twos
    ```

    Args:
        rate: Fraction of the values that is dropped, 0 to 1; the others grow so that
            the expected sum stays.
        seed: Int. Defaults to a random one.
        **kwargs: `name`, `dtype`.

    Call arguments:
        x: A tensor of any shape.
        training: Whether to drop anything.

    Returns:
        A tensor of the same shape.

    Raises:
        ValueError: If `rate` is not from 0 to 1.

    Reference:
        Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from
        Overfitting" (2014).
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        if not 0 <= rate <= 1:
            raise ValueError(f"`rate` is a fraction from 0 to 1. Received: rate={rate}")
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed
        if rate > 0:
            self.seed_generator = ReplicaSeed(seed)
        self.supports_masking = True

    def call(self, x, training=False):
        if not training or self.rate == 0:
            return x
        return keras.random.dropout(x, self.rate, seed=self.seed_generator)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


class EpochSeeds(keras.callbacks.Callback):
    """Sets the seeds of dropout at the beginning of each epoch, by the epoch's number.

    Keras saves no seeds with the weights, so that a resumed training would otherwise
    drop other units than one that never stopped.

    Example:
    ```python
    model.fit(batches, callbacks=[batches.follow(), EpochSeeds(1)])
    ```

    Args:
        seed: Int.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        for number, state in enumerate(seed_states(self.model)):
            first = np.random.SeedSequence((self.seed, number)).generate_state(1)[0]
            # (seed, count of draws); a million draws an epoch never meet the next
            state.assign(np.asarray([first >> 1, epoch * 10**6], state.dtype))
