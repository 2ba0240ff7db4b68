"""The article's first network: three convolutions over pictures of 144×96."""

import keras
from keras import layers

from facescore.network_sizes import size_of
from illustkit.dropout import Dropout


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
