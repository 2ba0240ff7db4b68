"""A small residual network that learns to score within minutes on a CPU."""

import keras
from keras import layers, ops

from illustkit.training.dropout import Dropout


def size_of(image_size, least):
    """Width and height of a network's pictures.

    Args:
        image_size: Side in pixels, or (width, height).
        least: Smallest side the network can work on.

    Returns:
        (width, height).

    Raises:
        ValueError: for anything else, or a side that is smaller.
    """
    pair = (image_size,) * 2 if isinstance(image_size, int) else tuple(image_size)
    if len(pair) != 2 or any(n != int(n) or n < least for n in pair):
        raise ValueError(
            f"`image_size` is a side, or (width, height), of {least} pixels or more. "
            f"Received: {image_size}"
        )
    return tuple(int(n) for n in pair)


@keras.saving.register_keras_serializable(package="facescore")
class LocalResponseNormalization(layers.Layer):
    """Divides each value by what its neighbour channels hold at the same place.

    With the sum over the `n` channels about channel `i` (fewer at either end),

        out_i = x_i / (k + alpha · Σ_j x_j²)^beta

    as Chainer and `tf.nn.local_response_normalization` do; Caffe divides `alpha` by
    `n`. The sum and the power are taken in float32.

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
        ValueError: where `n` is even, or a number is not positive.

    Reference:
        Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural
        Networks" (2012), section 3.3.
    """

    def __init__(self, n=5, k=2.0, alpha=1e-4, beta=0.75, **kwargs):
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

    def get_config(self):
        return {
            **super().get_config(),
            "n": self.n,
            "k": self.k,
            "alpha": self.alpha,
            "beta": self.beta,
        }


@keras.saving.register_keras_serializable(package="facescore")
class CoverAllMaxPool(layers.Layer):
    """Max pooling whose windows cover every value: the last may hang over the edge.

    A side of `s` becomes `ceil((s - pool_size) / strides) + 1`, where "valid" pooling
    rounds down and leaves out the last rows, and "same" begins elsewhere. What lies
    beyond the edge never wins.

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
        ValueError: where `strides` is not between 1 and `pool_size`.

    Reference:
        `chainer.functions.max_pooling_2d` with `cover_all=True`, its default.
    """

    def __init__(self, pool_size=3, strides=2, **kwargs):
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

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
        }


@keras.saving.register_keras_serializable(package="facescore")
class AlexNet(keras.Model):
    """AlexNet in one tower, without groups, that gives one number a picture.

    Faces of 360×360 give fc6 30,976 features (147,414,401 parameters in all), whole
    pictures of 640×360 give 53,504 (239,689,089): both of the article. The order is
    ReLU, then normalisation. The last layer begins small, so that a training begins at
    the mean of the scores.

    Example:
    ```python
    network = AlexNet(360, hidden_units=1024)
    network(pictures)   # signed scale (2, 360, 360, 3) -> (2, 1)
    ```

    Args:
        image_size: Side in pixels, or (width, height). Defaults to 360.
        hidden_units: Width of fc6 and fc7: 4096 in the article's code, 1024 in its
            text. Defaults to 4096.
        dropout: Share of fc6 and fc7 left out in training. Defaults to 0.5.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        picture: RGB, signed scale, `(batch, height, width, 3)`.

    Returns:
        float32 `(batch, 1)`.

    Raises:
        ValueError: for a picture smaller than the first filter, 11 pixels.

    Reference:
        Krizhevsky et al. (2012); `examples/imagenet/alex.py` of Chainer; the article
        "DeepLearningを用いた二次元美少女の顔検出と個人的かわいさスコアリングの自動化"
        (2018), years 2 and 3.
    """

    def __init__(self, image_size=360, hidden_units=4096, dropout=0.5, **kwargs):
        width, height = size_of(image_size, least=11)

        def conv(filters, kernel, name, strides=1, padding="same"):
            return layers.Conv2D(
                filters,
                kernel,
                strides,
                padding=padding,
                activation="relu",
                kernel_initializer="he_normal",
                name=name,
            )

        def dense(name):
            return layers.Dense(
                hidden_units,
                activation="relu",
                kernel_initializer="he_normal",
                name=name,
            )

        picture = keras.Input((height, width, 3), name="picture")
        x = conv(96, 11, "conv1", strides=4, padding="valid")(picture)
        x = CoverAllMaxPool(name="pool1")(LocalResponseNormalization(name="norm1")(x))
        x = conv(256, 5, "conv2")(x)
        x = CoverAllMaxPool(name="pool2")(LocalResponseNormalization(name="norm2")(x))
        x = conv(384, 3, "conv3")(x)
        x = conv(384, 3, "conv4")(x)
        x = CoverAllMaxPool(name="pool5")(conv(256, 3, "conv5")(x))
        x = layers.Flatten(name="features")(x)
        x = Dropout(dropout, name="drop6")(dense("fc6")(x))
        x = Dropout(dropout, name="drop7")(dense("fc7")(x))
        x = layers.Dense(
            1,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype="float32",
            name="score",
        )(x)
        super().__init__(inputs=picture, outputs=x, **kwargs)
        self.image_size, self.hidden_units = (width, height), hidden_units
        self.dropout = dropout

    def get_config(self):
        return {
            "name": self.name,
            "image_size": list(self.image_size),
            "hidden_units": self.hidden_units,
            "dropout": self.dropout,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


@keras.saving.register_keras_serializable(package="facescore")
class AnimeCNN(keras.Model):
    """Three 5×5 convolutions, each with 2×2 pooling, then 128 units and one number.

    At the article's 144×96 the features are 13,824.

    Example:
    ```python
    AnimeCNN()(pictures)   # signed scale (2, 96, 144, 3) -> (2, 1)
    ```

    Args:
        image_size: Side in pixels, or (width, height), multiples of 8. Defaults to
            (144, 96).
        dropout: Share of the units left out in training. Defaults to 0.5.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        picture: RGB, signed scale, `(batch, height, width, 3)`.

    Returns:
        float32 `(batch, 1)`.

    Raises:
        ValueError: for a side that is no multiple of 8.

    Reference:
        The article, year 1 (`anime_train.py`).
    """

    def __init__(self, image_size=(144, 96), dropout=0.5, **kwargs):
        width, height = size_of(image_size, least=8)
        if width % 8 or height % 8:
            raise ValueError(f"Sides are multiples of 8. Received: {image_size}")
        picture = x = keras.Input((height, width, 3), name="picture")
        for i, filters in enumerate((32, 32, 64), 1):
            x = layers.Conv2D(
                filters,
                5,
                padding="same",
                activation="relu",
                kernel_initializer="he_normal",
                name=f"conv{i}",
            )(x)
            x = layers.MaxPooling2D(2, name=f"pool{i}")(x)
        x = layers.Flatten(name="features")(x)
        x = layers.Dense(
            128, activation="relu", kernel_initializer="he_normal", name="fc1"
        )(x)
        x = Dropout(dropout, name="drop1")(x)
        x = layers.Dense(
            1,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype="float32",
            name="score",
        )(x)
        super().__init__(inputs=picture, outputs=x, **kwargs)
        self.image_size, self.dropout = (width, height), dropout

    def get_config(self):
        return {
            "name": self.name,
            "image_size": list(self.image_size),
            "dropout": self.dropout,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


@keras.saving.register_keras_serializable(package="facescore")
class SmallNet(keras.Model):
    """Residual blocks with batch normalisation, then one hidden layer.

    The hidden layer sees where features stand, as a face's parts have their places.

    Example:
    ```python
    SmallNet(96)(pictures)   # signed scale (2, 96, 96, 3) -> (2, 1)
    ```

    Args:
        image_size: Side in pixels, or (width, height). Defaults to 96.
        widths: Channels of the stem, which halves the picture, and of each stage,
            which halves it again. Defaults to (24, 32, 64, 128).
        depth: Residual blocks in a stage. Defaults to 1.
        places: Channels that the hidden layer sees at each of the last places.
            Defaults to 32.
        dropout: Share of the features left out in training. Defaults to 0.3.
        synchronised: Whether the batch statistics are shared among the replicas of a
            `tf.distribute` strategy. Defaults to `False`.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        picture: RGB, signed scale, `(batch, height, width, 3)`.

    Returns:
        float32 `(batch, 1)`.

    Raises:
        ValueError: for a picture under 16 pixels.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition" (2016).
    """

    def __init__(
        self,
        image_size=96,
        widths=(24, 32, 64, 128),
        depth=1,
        places=32,
        dropout=0.3,
        synchronised=False,
        **kwargs,
    ):
        width, height = size_of(image_size, least=16)

        def conv(x, filters, kernel, name, strides=1):
            x = layers.Conv2D(
                filters,
                kernel,
                strides,
                padding="same",
                use_bias=False,
                kernel_initializer="he_normal",
                name=f"{name}_conv",
            )(x)
            return layers.BatchNormalization(
                momentum=0.95, synchronized=synchronised, name=f"{name}_norm"
            )(x)

        def block(x, filters, name, strides):
            y = layers.ReLU()(conv(x, filters, 3, f"{name}a", strides))
            y = conv(y, filters, 3, f"{name}b")
            if strides > 1:
                x = layers.AveragePooling2D(strides, padding="same")(x)
                x = conv(x, filters, 1, f"{name}s")
            return layers.ReLU()(layers.Add()([x, y]))

        picture = keras.Input((height, width, 3), name="picture")
        x = layers.ReLU()(conv(picture, widths[0], 3, "stem0", strides=2))
        x = layers.ReLU()(conv(x, widths[0], 3, "stem1"))
        for i, filters in enumerate(widths[1:]):
            for j in range(depth):
                x = block(x, filters, f"stage{i}_{j}", strides=1 if j else 2)
        # Where a thing stands tells as much as that it is there: eyes and mouth.
        x = layers.ReLU()(conv(x, places, 1, "places"))
        x = layers.Flatten(name="features")(x)
        x = Dropout(dropout, name="drop")(x)
        x = layers.Dense(
            64, activation="relu", kernel_initializer="he_normal", name="fc"
        )(x)
        x = layers.Dense(
            1,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype="float32",
            name="score",
        )(x)
        super().__init__(inputs=picture, outputs=x, **kwargs)
        self.image_size, self.widths, self.depth = (width, height), widths, depth
        self.places, self.dropout = places, dropout
        self.synchronised = synchronised

    def get_config(self):
        return {
            "name": self.name,
            "image_size": list(self.image_size),
            "widths": list(self.widths),
            "depth": self.depth,
            "places": self.places,
            "dropout": self.dropout,
            "synchronised": self.synchronised,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)
