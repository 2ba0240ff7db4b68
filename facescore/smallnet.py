"""A small residual network that learns to score within minutes on a CPU."""

import keras
from keras import layers

from facescore.network_sizes import size_of
from illustkit.dropout import Dropout


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
