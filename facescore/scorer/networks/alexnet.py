"""AlexNet as the article has it, and the two layers that Keras lacks for it."""

from typing import Any

import keras
from keras import layers, ops

from facescore.scorer.networks.base import (
    ImageSize,
    ScoringNetwork,
    check_size,
    score_layer,
)
from illustkit.training.dropout import Dropout


@keras.saving.register_keras_serializable(package="facescore")
class LocalResponseNormalization(layers.Layer):
    """Divides each value by the sum of squares of its neighbour channels.

    With the sum over the `n` channels around channel `i` (fewer at either end),

        out_i = x_i / (k + alpha · Σ_j x_j²)^beta

    as in Chainer and `tf.nn.local_response_normalization`; Caffe divides `alpha` by
    `n`. The sum and the power are computed in float32.

    Example:
    ```python
    features = np.random.rand(1, 8, 8, 96).astype("float32")
    LocalResponseNormalization()(features).shape   # (1, 8, 8, 96)
    ```

    Args:
        n: Odd number of channels in a sum. Defaults to 5.
        k: Added to the sum. Defaults to 2.
        alpha: Factor of the sum. Defaults to 1e-4.
        beta: Exponent. Defaults to 0.75.
        **kwargs: `name`, `dtype`.

    Call arguments:
        x: `(..., channels)`.

    Returns:
        The same shape.

    Raises:
        ValueError: If `n` is even, or a number is not positive.

    Reference:
        Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural
        Networks" (2012), section 3.3.
    """

    def __init__(
        self,
        n: int = 5,
        k: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        **kwargs: Any,
    ) -> None:
        if n != int(n) or n < 1 or n % 2 == 0 or min(k, alpha, beta) <= 0:
            raise ValueError(
                "`n` is an odd number, and k, alpha and beta are positive. "
                f"Received: n={n}, k={k}, alpha={alpha}, beta={beta}"
            )
        super().__init__(**kwargs)
        self.n, self.k, self.alpha, self.beta = int(n), k, alpha, beta

    def call(self, x):
        values = ops.cast(x, "float32")
        channels, half = x.shape[-1], self.n // 2
        squares = ops.pad(
            ops.square(values), [(0, 0)] * (len(x.shape) - 1) + [(half, half)]
        )
        total = sum(squares[..., i : i + channels] for i in range(self.n))
        return ops.cast(
            values * ops.power(self.k + self.alpha * total, -self.beta), x.dtype
        )

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "n": self.n,
            "k": self.k,
            "alpha": self.alpha,
            "beta": self.beta,
        }


@keras.saving.register_keras_serializable(package="facescore")
class CoverAllMaxPool(layers.Layer):
    """Max pooling whose windows cover every value: the last may reach over the edge.

    A side of `s` becomes `ceil((s - pool_size) / strides) + 1`. "valid" pooling rounds
    down and leaves out the last rows, and "same" begins elsewhere. Values beyond the
    edge are minus infinity.

    Example:
    ```python
    CoverAllMaxPool()(np.zeros((1, 88, 158, 4))).shape   # (1, 44, 79, 4)
    ```

    Args:
        pool_size: Side of a window. Defaults to 3.
        strides: Step from one window to the next, at most `pool_size`.
            Defaults to 2.
        **kwargs: `name`, `dtype`.

    Call arguments:
        x: `(batch, height, width, channels)`.

    Returns:
        `(batch, new_height, new_width, channels)`.

    Raises:
        ValueError: If `strides` is not between 1 and `pool_size`.

    Reference:
        `chainer.functions.max_pooling_2d` with `cover_all=True`, its default.
    """

    def __init__(self, pool_size: int = 3, strides: int = 2, **kwargs: Any) -> None:
        if not 1 <= strides <= pool_size:
            raise ValueError(
                "`strides` is between 1 and `pool_size`. "
                f"Received: pool_size={pool_size}, strides={strides}"
            )
        super().__init__(**kwargs)
        self.pool_size, self.strides = int(pool_size), int(strides)

    def _pooled(self, side):
        return -(-max(side - self.pool_size, 0) // self.strides) + 1

    def call(self, x):
        beyond = [
            (0, (self._pooled(s) - 1) * self.strides + self.pool_size - s)
            for s in x.shape[1:3]
        ]
        if any(after for _, after in beyond):
            x = ops.pad(x, [(0, 0), *beyond, (0, 0)], constant_values=-float("inf"))
        return ops.max_pool(x, self.pool_size, self.strides, padding="valid")

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return batch, self._pooled(height), self._pooled(width), channels

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
        }


@keras.saving.register_keras_serializable(package="facescore")
class AlexNet(ScoringNetwork):
    """AlexNet in one tower, without groups, with one number for each picture.

    Faces of 360×360 give fc6 30,976 features (147,414,401 parameters in all), whole
    pictures of 640×360 give 53,504 (239,689,089), as in the article. The order is ReLU,
    then normalisation. The last layer begins small, so that a training begins at the
    mean of the scores.

    Example:
    ```python
    network = AlexNet(360, hidden_units=1024)
    network(pictures)   # signed scale (2, 360, 360, 3) -> (2, 1)
    ```

    Args:
        image_size: Side in pixels, or (width, height). Defaults to 360.
        hidden_units: Width of fc6 and fc7: 4096 in the article's code, 1024 in its
            text. Defaults to 4096.
        dropout: Fraction of fc6 and fc7 that training drops. Defaults to 0.5.
        dtype: Dtype policy of all layers but the last; the config holds its name.
            Defaults to the global policy.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        picture: RGB, signed scale, `(batch, height, width, 3)`.

    Returns:
        float32 `(batch, 1)`.

    Raises:
        UserError: If a side is smaller than the first filter, 11 pixels.

    Reference:
        Krizhevsky et al. (2012); `examples/imagenet/alex.py` of Chainer; the article
        "DeepLearningを用いた二次元美少女の顔検出と個人的かわいさスコアリングの自動化"
        (2018), years 2 and 3.
    """

    sides = 11, 1  # of a picture: the least, and what they are multiples of

    def __init__(
        self,
        image_size: ImageSize = 360,
        hidden_units: int = 4096,
        dropout: float = 0.5,
        *,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        width, height = check_size(image_size, *self.sides)

        def conv(filters, kernel, name, strides=1, padding="same"):
            return layers.Conv2D(
                filters,
                kernel,
                strides,
                padding=padding,
                activation="relu",
                kernel_initializer="he_normal",
                dtype=dtype,
                name=name,
            )

        def norm(name):
            return LocalResponseNormalization(dtype=dtype, name=name)

        def pool(name):
            return CoverAllMaxPool(dtype=dtype, name=name)

        def dense(x, number):
            x = layers.Dense(
                hidden_units,
                activation="relu",
                kernel_initializer="he_normal",
                dtype=dtype,
                name=f"fc{number}",
            )(x)
            return Dropout(dropout, dtype=dtype, name=f"drop{number}")(x)

        picture = keras.Input((height, width, 3), name="picture")
        x = conv(96, 11, "conv1", strides=4, padding="valid")(picture)
        x = pool("pool1")(norm("norm1")(x))
        x = conv(256, 5, "conv2")(x)
        x = pool("pool2")(norm("norm2")(x))
        x = conv(384, 3, "conv3")(x)
        x = conv(384, 3, "conv4")(x)
        x = pool("pool5")(conv(256, 3, "conv5")(x))
        x = layers.Flatten(dtype=dtype, name="features")(x)
        arguments = {
            "image_size": (width, height),
            "hidden_units": hidden_units,
            "dropout": dropout,
        }
        score = score_layer(dense(dense(x, 6), 7))
        super().__init__(picture, score, dtype, arguments, **kwargs)
