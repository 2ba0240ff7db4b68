"""Small networks that learn from nothing: AnimeCNN and SmallNet."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from facescore.scorer.networks.base import (
    ImageSize,
    ScoringNetwork,
    check_size,
    score_layer,
)
from illustkit.training.dropout import Dropout


@keras.saving.register_keras_serializable(package="facescore")
class AnimeCNN(ScoringNetwork):
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
        super().__init__(picture, score_layer(x), dtype, arguments, **kwargs)


@keras.saving.register_keras_serializable(package="facescore")
class SmallNet(ScoringNetwork):
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
        super().__init__(picture, score_layer(x), dtype, arguments, **kwargs)
