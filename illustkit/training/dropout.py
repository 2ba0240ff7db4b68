"""Dropout that leaves out other units on every device."""

import keras

from illustkit.training.trainable import ReplicaSeed


@keras.saving.register_keras_serializable(package="illustkit")
class Dropout(keras.layers.Layer):
    """`keras.layers.Dropout` with a mask of its own on each replica.

    Keras draws the same mask on every replica of a `tf.distribute.Strategy`, so that
    the first sample of each share of a batch loses the same units.

    Example:
    ```python
    Dropout(0.5)(np.ones((2, 4), "float32"), training=True)   # zeros and twos
    ```

    Args:
        rate: Share of the values that is left out, 0 to 1; the others grow so that
            their mean stays.
        seed: Int. Defaults to a random one.
        **kwargs: `name`, `dtype`.

    Call arguments:
        x: A tensor of any shape.
        training: Whether to leave anything out.

    Returns:
        The same shape.

    Raises:
        ValueError: where `rate` is not from 0 to 1.

    Reference:
        Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from
        Overfitting" (2014).
    """

    def __init__(self, rate, seed=None, **kwargs):
        if not 0 <= rate <= 1:
            raise ValueError(f"`rate` is a share from 0 to 1. Received: rate={rate}")
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

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
