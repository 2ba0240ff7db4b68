"""What the scorer's networks share: their configs, the check of sizes, the score."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from illustkit.errors import UserError

ImageSize = int | Sequence[int]  # a side in pixels, or (width, height)


class ScoringNetwork(keras.Model):
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


def score_layer(x: Any) -> Any:
    """Return the last layer's output, which begins at the mean of the scores."""
    return layers.Dense(
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        dtype="float32",
        name="score",
    )(x)
