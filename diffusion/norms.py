"""Normalisations of the denoising network, which may take the time as well.

Their statistics are float32 under any precision policy.
"""

import math

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="diffusion")
class GroupNorm(layers.Layer):
    """Normalises groups of channels over a picture, and may shift them by the time.

    Alone, as `keras.layers.GroupNormalization`. With `film`, the two halves of which
    are (scale, shift), the result is multiplied by `scale + 1` and `shift` is added;
    both steps are one multiplication and one addition per value.

    Example:
    ```python
    x, film = np.random.rand(2, 8, 8, 64), np.random.rand(2, 128)
    GroupNorm()([x, film]).shape   # (2, 8, 8, 64)
    ```

    Args:
        groups: Number of groups; divides the channels. Defaults to 8.
        epsilon: Added to the variance. Defaults to 1e-5.
        **kwargs: `name`, `dtype`.

    Call arguments:
        inputs: `(batch, height, width, channels)`, or a list of that and
            `(batch, 2 * channels)`.

    Returns:
        The shape of the first input.

    Raises:
        ValueError: where `groups` does not divide the channels.

    Reference:
        Wu & He, "Group Normalization" (2018); Perez et al., "FiLM: Visual Reasoning
        with a General Conditioning Layer" (2018).
    """

    def __init__(self, groups=8, epsilon=1e-5, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.groups, self.epsilon = groups, epsilon

    def build(self, input_shape):
        channels = _first(input_shape)[-1]
        if channels % self.groups:
            raise ValueError(
                f"`groups` divides the channels. Received: groups={self.groups}, "
                f"channels={channels}"
            )
        self.weight = _vector(self, channels, "weight", "ones")
        self.bias = _vector(self, channels, "bias", "zeros")

    def call(self, inputs):
        x, film = _with_film(inputs)
        values = ops.cast(x, "float32")
        # A channel's own mean and variance, then the group's from them: no pass over
        # the picture needs a fifth axis, and nothing large is subtracted.
        mean = ops.mean(values, axis=(1, 2), keepdims=True)
        variance = ops.mean(ops.square(values - mean), axis=(1, 2))
        mean = ops.squeeze(mean, (1, 2))
        group_mean = self._over_groups(mean)
        group_variance = self._over_groups(variance + ops.square(mean - group_mean))
        factor = self.weight * ops.rsqrt(group_variance + self.epsilon)
        offset = self.bias - group_mean * factor
        if film is not None:
            scale, shift = ops.split(ops.cast(film, "float32"), 2, axis=-1)
            factor, offset = factor * (scale + 1), offset * (scale + 1) + shift
        out = values * _spread(factor) + _spread(offset)
        return ops.cast(out, self.compute_dtype)

    def _over_groups(self, values):
        """Mean over each group of `(batch, channels)`, in every channel's place."""
        channels = values.shape[-1]
        grouped = ops.reshape(values, (-1, self.groups, channels // self.groups))
        return ops.repeat(ops.mean(grouped, axis=-1), channels // self.groups, axis=-1)

    def compute_output_shape(self, input_shape):
        return _first(input_shape)

    def get_config(self):
        config = super().get_config()
        return {**config, "groups": self.groups, "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="diffusion")
class RMSNorm(layers.Layer):
    """Divides each pixel's channels by their root mean square; may shift by the time.

    With `film`, as in `GroupNorm`. For C channels, out = √C · g · x / max(‖x‖, 1e-12).

    Example:
    ```python
    RMSNorm()(np.random.rand(2, 8, 8, 64)).shape   # (2, 8, 8, 64)
    ```

    Args:
        **kwargs: `name`, `dtype`.

    Call arguments:
        inputs: `(batch, height, width, channels)`, or a list of that and
            `(batch, 2 * channels)`.

    Returns:
        The shape of the first input.

    Reference:
        Zhang & Sennrich, "Root Mean Square Layer Normalization" (2019).
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def build(self, input_shape):
        self.g = _vector(self, _first(input_shape)[-1], "g", "ones")

    def call(self, inputs):
        x, film = _with_film(inputs)
        values = ops.cast(x, "float32")
        squares = ops.sum(ops.square(values), axis=-1, keepdims=True)
        out = values * ops.rsqrt(ops.maximum(squares, 1e-24))
        factor = self.g * math.sqrt(x.shape[-1])
        if film is None:
            out = out * factor
        else:
            scale, shift = ops.split(ops.cast(film, "float32"), 2, axis=-1)
            out = out * _spread(factor * (scale + 1)) + _spread(shift)
        return ops.cast(out, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return _first(input_shape)


@keras.saving.register_keras_serializable(package="diffusion")
class ChannelNorm(layers.Layer):
    """Layer normalisation of each pixel over its channels.

    Example:
    ```python
    ChannelNorm()(np.random.rand(2, 8, 8, 64)).shape   # (2, 8, 8, 64)
    ```

    Args:
        epsilon: Added to the variance. Defaults to 1e-5.
        **kwargs: `name`, `dtype`.

    Call arguments:
        x: `(batch, height, width, channels)`.

    Returns:
        The same shape.

    Reference:
        Ba et al., "Layer Normalization" (2016).
    """

    def __init__(self, epsilon=1e-5, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.epsilon = epsilon

    def build(self, input_shape):
        self.g = _vector(self, input_shape[-1], "g", "ones")
        self.b = _vector(self, input_shape[-1], "b", "zeros")

    def call(self, x):
        values = ops.cast(x, "float32")
        values = values - ops.mean(values, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(values), axis=-1, keepdims=True)
        out = values * ops.rsqrt(variance + self.epsilon) * self.g + self.b
        return ops.cast(out, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


def _vector(layer, channels, name, initializer):
    return layer.add_weight(
        shape=(channels,), initializer=initializer, name=name, autocast=False
    )


def _spread(values):
    """`(batch, channels)` at every pixel."""
    return ops.expand_dims(values, (1, 2))


def _first(shapes):
    """The shape of the picture, with or without that of `film` after it."""
    return tuple(shapes[0]) if isinstance(shapes[0], (list, tuple)) else tuple(shapes)


def _with_film(inputs):
    return inputs if isinstance(inputs, (list, tuple)) else (inputs, None)
