"""The scorer's networks: AlexNet and its layers, AnimeCNN, SmallNet, TransferNet."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from facescore.efficientnet_lite import build_features
from facescore.scorer.backbones import LITE0, build_stages
from illustkit.errors import UserError
from illustkit.options import check_number
from illustkit.training.dropout import Dropout

ImageSize = int | Sequence[int]  # a side in pixels, or (width, height)


class _ScoringNetwork(keras.Model):
    """A functional model that keeps its arguments as attributes and in its config.

    `keras.Model` of version 3 has them in neither.

    Args:
        picture: The input.
        score: The output.
        dtype: Dtype policy of its layers, or `None` for the global one.
        arguments: Dict of the subclass's other arguments.
        **kwargs: Passed to `keras.Model`.
    """

    def __init__(self, picture, score, dtype, arguments, **kwargs):
        super().__init__(inputs=picture, outputs=score, **kwargs)
        self.dtype_policy = keras.dtype_policies.get(
            dtype or keras.config.dtype_policy()
        )
        self._arguments = arguments
        for name, value in arguments.items():
            setattr(self, name, value)

    def get_config(self) -> dict[str, Any]:
        arguments = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self._arguments.items()
        }
        return {"name": self.name, **arguments, "dtype": self.dtype_policy.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


def check_size(
    image_size: ImageSize, least: int, multiple_of: int = 1
) -> tuple[int, int]:
    """Return (width, height); raise if the network does not take such a side."""
    pair = (image_size,) * 2 if isinstance(image_size, int) else tuple(image_size)
    if len(pair) != 2 or any(n != int(n) or n < least for n in pair):
        raise UserError(
            f"`image_size` is a side, or (width, height), of {least} pixels or more. "
            f"Received: {image_size}"
        )
    if any(n % multiple_of for n in pair):
        raise UserError(
            f"`image_size` is a multiple of {multiple_of}. Received: {image_size}"
        )
    width, height = pair
    return int(width), int(height)


def _score(x: Any) -> Any:
    """Return the last layer's output, which begins at the mean of the scores."""
    return layers.Dense(
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        dtype="float32",
        name="score",
    )(x)


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
class AlexNet(_ScoringNetwork):
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
        score = _score(dense(dense(x, 6), 7))
        super().__init__(picture, score, dtype, arguments, **kwargs)


@keras.saving.register_keras_serializable(package="facescore")
class AnimeCNN(_ScoringNetwork):
    """Three 5×5 convolutions, each with 2×2 pooling, then 128 units and one number.

    At the article's 144×96 the features are 13,824.

    Example:
    ```python
    AnimeCNN()(pictures)   # signed scale (2, 96, 144, 3) -> (2, 1)
    ```

    Args:
        image_size: Side in pixels, or (width, height), multiples of 8. Defaults to
            (144, 96).
        dropout: Fraction of the units that training drops. Defaults to 0.5.
        dtype: See `AlexNet`.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        picture: RGB, signed scale, `(batch, height, width, 3)`.

    Returns:
        float32 `(batch, 1)`.

    Raises:
        UserError: If a side is not a multiple of 8.

    Reference:
        The article, year 1 (`anime_train.py`).
    """

    sides = 8, 8  # of a picture: the least, and what they are multiples of

    def __init__(
        self,
        image_size: ImageSize = (144, 96),
        dropout: float = 0.5,
        *,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        width, height = check_size(image_size, *self.sides)
        picture = x = keras.Input((height, width, 3), name="picture")
        for i, filters in enumerate((32, 32, 64), 1):
            x = layers.Conv2D(
                filters,
                5,
                padding="same",
                activation="relu",
                kernel_initializer="he_normal",
                dtype=dtype,
                name=f"conv{i}",
            )(x)
            x = layers.MaxPooling2D(2, dtype=dtype, name=f"pool{i}")(x)
        x = layers.Flatten(dtype=dtype, name="features")(x)
        x = layers.Dense(
            128,
            activation="relu",
            kernel_initializer="he_normal",
            dtype=dtype,
            name="fc1",
        )(x)
        x = Dropout(dropout, dtype=dtype, name="drop1")(x)
        arguments = {"image_size": (width, height), "dropout": dropout}
        super().__init__(picture, _score(x), dtype, arguments, **kwargs)


@keras.saving.register_keras_serializable(package="facescore")
class SmallNet(_ScoringNetwork):
    """Residual blocks with batch normalisation, then one hidden layer.

    It learns within minutes on a CPU. The hidden layer sees the places of features,
    since eyes and mouth have their places in a face.

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
        dropout: Fraction of the features that training drops. Defaults to 0.3.
        synchronised: Whether the batch statistics are shared among the replicas of a
            `tf.distribute` strategy. Defaults to `False`.
        dtype: See `AlexNet`.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        picture: RGB, signed scale, `(batch, height, width, 3)`.

    Returns:
        float32 `(batch, 1)`.

    Raises:
        UserError: If a side has under 16 pixels.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition" (2016).
    """

    sides = 16, 1  # of a picture: the least, and what they are multiples of

    def __init__(
        self,
        image_size: ImageSize = 96,
        widths: Sequence[int] = (24, 32, 64, 128),
        depth: int = 1,
        places: int = 32,
        dropout: float = 0.3,
        synchronised: bool = False,
        *,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        width, height = check_size(image_size, *self.sides)

        def conv(x, filters, kernel, name, strides=1):
            x = layers.Conv2D(
                filters,
                kernel,
                strides,
                padding="same",
                use_bias=False,
                kernel_initializer="he_normal",
                dtype=dtype,
                name=f"{name}_conv",
            )(x)
            return layers.BatchNormalization(
                momentum=0.95,
                synchronized=synchronised,
                dtype=dtype,
                name=f"{name}_norm",
            )(x)

        def relu(x):
            return layers.ReLU(dtype=dtype)(x)

        def block(x, filters, name, strides):
            y = relu(conv(x, filters, 3, f"{name}a", strides))
            y = conv(y, filters, 3, f"{name}b")
            if strides > 1:
                x = layers.AveragePooling2D(strides, padding="same", dtype=dtype)(x)
                x = conv(x, filters, 1, f"{name}s")
            return relu(layers.Add(dtype=dtype)([x, y]))

        picture = keras.Input((height, width, 3), name="picture")
        x = relu(conv(picture, widths[0], 3, "stem0", strides=2))
        x = relu(conv(x, widths[0], 3, "stem1"))
        for i, filters in enumerate(widths[1:]):
            for j in range(depth):
                x = block(x, filters, f"stage{i}_{j}", strides=1 if j else 2)
        x = relu(conv(x, places, 1, "places"))
        x = layers.Flatten(dtype=dtype, name="features")(x)
        x = Dropout(dropout, dtype=dtype, name="drop")(x)
        x = layers.Dense(
            64,
            activation="relu",
            kernel_initializer="he_normal",
            dtype=dtype,
            name="fc",
        )(x)
        arguments = {
            **{"image_size": (width, height), "widths": tuple(widths), "depth": depth},
            **{"places": places, "dropout": dropout, "synchronised": synchronised},
        }
        super().__init__(picture, _score(x), dtype, arguments, **kwargs)


@keras.saving.register_keras_serializable(package="facescore")
class CellStatistics(layers.Layer):
    """Computes the mean and the standard deviation of each channel in cells of a grid.

    Cells overlap by a pixel where a side is no multiple of `grid`. The standard
    deviation is `sqrt(variance + 1e-6)`, whose derivative is finite; both are computed
    in float32.

    Example:
    ```python
    CellStatistics(5)(np.zeros((1, 20, 10, 24))).shape   # (1, 5, 5, 48)
    ```

    Args:
        grid: Cells of a side, fewer on a shorter side. Defaults to 5.
        **kwargs: `name`, `dtype`.

    Call arguments:
        x: `(batch, height, width, channels)`.

    Returns:
        `(batch, cells, cells, 2 * channels)`: the means, then the deviations.

    Raises:
        UserError: If `grid` is no whole number over 0.
    """

    def __init__(self, grid: int = 5, **kwargs: Any) -> None:
        check_number("grid", grid, whole=True, least=1)
        super().__init__(**kwargs)
        self.grid = int(grid)

    def call(self, x):
        values = ops.cast(x, "float32")
        cell = tuple(-(-side // self.grid) for side in x.shape[1:3])
        steps = tuple(max(1, side // self.grid) for side in x.shape[1:3])

        def pooled(v):
            v = ops.average_pool(v, cell, steps, padding="valid")
            return v[:, : self.grid, : self.grid]

        mean, squares = pooled(values), pooled(ops.square(values))
        deviation = ops.sqrt(ops.relu(squares - ops.square(mean)) + 1e-6)
        return ops.cast(ops.concatenate([mean, deviation], axis=-1), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        cells = min(self.grid, height), min(self.grid, width)
        return batch, *cells, 2 * channels

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "grid": self.grid}


@keras.saving.register_keras_serializable(package="facescore")
class TransferNet(_ScoringNetwork):
    """Features that learnt ImageNet in the cells of a grid, and one linear layer.

    The mean and the deviation of EfficientNet-Lite0's features at strides 2, 4, 8 and
    16 in 5×5 cells tell the layer of colours and lines, and where they are. Of another
    backbone they are those at strides 8, 16 and 32 in 2×2 cells. Batch normalisation
    keeps ImageNet's statistics: fifty crops have none worth learning.
    `facescore.scorer.transfer.begin_with_features` gives it its weights.

    Example:
    ```python
    TransferNet(160)(pictures)   # signed scale (2, 160, 160, 3) -> (2, 1)
    ```

    Args:
        image_size: Side in pixels, or (width, height), multiples of 80. Defaults to
            160.
        dropout: Fraction of the features that training drops. Defaults to 0.3.
        backbone: "EfficientNetLite0", or the name of a network of `keras.applications`,
            such as "MobileNetV2". Defaults to "EfficientNetLite0".
        dtype: See `AlexNet`.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        picture: RGB, signed scale, `(batch, height, width, 3)`.

    Returns:
        float32 `(batch, 1)`.

    Raises:
        UserError: If a side is not a multiple of 80, or the backbone is unknown.

    Reference:
        Tan and Le, "EfficientNet" (2019); the article, years 2 and 3, whose AlexNet
        began with learnt weights.
    """

    sides = 80, 80  # of a picture: the least, and what they are multiples of

    def __init__(
        self,
        image_size: ImageSize = 160,
        dropout: float = 0.3,
        backbone: str = LITE0,
        *,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        width, height = check_size(image_size, *self.sides)
        picture = keras.Input((height, width, 3), name="picture")
        if backbone == LITE0:
            found = build_features(picture, dtype=dtype)
            grid, end = 5, found[16]
            stages = [found[stride] for stride in (2, 4, 8, 16)]
        else:  # of a thousand channels and more
            grid = 2
            stages, end = build_stages(backbone, picture, dtype=dtype)
        cells = [
            CellStatistics(grid, dtype=dtype, name=f"cells{i}")(stage)
            for i, stage in enumerate(stages)
        ]
        x = layers.Concatenate(dtype=dtype, name="cells")(cells)
        x = layers.Flatten(dtype=dtype, name="features")(x)
        x = Dropout(dropout, dtype=dtype, name="drop")(x)
        arguments = {
            "image_size": (width, height),
            "dropout": dropout,
            "backbone": backbone,
        }
        super().__init__(picture, _score(x), dtype, arguments, **kwargs)
        self.backbone_end = end
        for layer in self.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.trainable = False

    @property
    def feature_blocks(self) -> np.ndarray:
        """The block of each of the last layer's features, for `ridge`.

        The means of a stride are a block, and the deviations are one.
        """
        widths = [part.shape[-1] // 2 for part in self.get_layer("cells").input]
        channels = np.repeat(np.arange(2 * len(widths)), np.repeat(widths, 2))
        places = np.prod(self.get_layer("cells").output.shape[1:3])
        return np.tile(channels, places)
