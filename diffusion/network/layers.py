"""Layers of the denoising U-Net: time embedding, upsampling, norms.

They replace stock layers that lack something or take over 5 % longer:
`benchmarks/handmade_layers.py` compares each with stock layers.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers, ops


def torch_uniform(fan_in: int) -> keras.initializers.Initializer:
    """Return the initializer of PyTorch's convolutions and linear maps.

    It is uniform between ±fan_in^-½, for kernels (there written as He's with a = √5)
    and for biases.

    Example:
    ```python
    fan_in = 3 * 3 * 64
    keras.layers.Conv2D(64, 3, kernel_initializer=torch_uniform(fan_in),
                        bias_initializer=torch_uniform(fan_in))
    ```

    Args:
        fan_in: Number of values that each result sums: input channels times the
            kernel's area.

    Returns:
        A Keras initializer.

    Reference:
        LeCun et al., "Efficient BackProp" (1998); `torch.nn.Conv2d`, `torch.nn.Linear`.
    """
    return keras.initializers.RandomUniform(-(fan_in**-0.5), fan_in**-0.5)


@keras.saving.register_keras_serializable(package="diffusion")
class SinusoidalEmbedding(layers.Layer):
    """Embeds a timestep as sines and cosines, float32 under any precision policy.

    With `half = dim / 2` frequencies falling from 1 to 1/10000,

        f_i = 10000^(-i / (half - 1)),   out = [sin(t f), cos(t f)]

    Example:
    ```python
    SinusoidalEmbedding(64)(np.array([0, 999])).shape   # (2, 64)
    ```

    Args:
        dim: Even number of values, at least 4.
        **kwargs: `name`, `dtype`.

    Call arguments:
        t: Timesteps `(batch,)`, 0 to T - 1, not scaled.

    Returns:
        float32 `(batch, dim)`.

    Raises:
        ValueError: If `dim` is odd or less than 4.

    Reference:
        Vaswani et al., "Attention Is All You Need" (2017), section 3.5; Ho et al.,
        "Denoising Diffusion Probabilistic Models" (2020), appendix B.
    """

    def __init__(self, dim: int, **kwargs: Any):
        if dim != int(dim) or dim < 4 or dim % 2:
            raise ValueError(
                f"`dim` is an even number, at least 4. Received: dim={dim}"
            )
        super().__init__(autocast=False, **kwargs)
        self.dim = int(dim)

    def call(self, t):
        half = self.dim // 2
        frequencies = [math.exp(-i * math.log(10000) / (half - 1)) for i in range(half)]
        angles = ops.cast(t, "float32")[:, None] * ops.convert_to_tensor(
            [frequencies], dtype="float32"
        )
        return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)

    def compute_output_shape(self, input_shape):
        return input_shape[0], self.dim

    def compute_output_spec(self, t):
        return keras.KerasTensor(self.compute_output_shape(t.shape), "float32")

    def get_config(self):
        return {**super().get_config(), "dim": self.dim}


@keras.saving.register_keras_serializable(package="diffusion")
class UpsampledConv(layers.Layer):
    """Convolves the picture doubled by nearest neighbours, without doubling it.

    `UpSampling2D` and a 3×3 `Conv2D` give the same in twice the time. Of a
    doubled row, two of the three taps see the same pixel of the small one: the even
    rows see `[w_0, w_1 + w_2]` of pixels i - 1 and i, the odd rows `[w_0 + w_1, w_2]`
    of i and i + 1, and columns likewise. So one 2×2 convolution of the small picture,
    four times as wide, gives all: 16 instead of 36 products.

    Example:
    ```python
    UpsampledConv(8)(np.zeros((1, 5, 8, 16))).shape   # (1, 10, 16, 8)
    ```

    Args:
        filters: Channels of the result.
        **kwargs: `name`, `dtype`.

    Call arguments:
        x: `(batch, height, width, channels)`.

    Returns:
        `(batch, 2 * height, 2 * width, filters)`.

    Reference:
        Odena et al., "Deconvolution and Checkerboard Artifacts" (2016); Shi et al.,
        "Is the deconvolution layer the same as a convolutional layer?" (2016).
    """

    def __init__(self, filters: int, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.filters = filters

    def build(self, input_shape):
        channels = input_shape[-1]
        self.kernel = self.add_weight(
            shape=(3, 3, channels, self.filters),
            initializer=torch_uniform(9 * channels),
            name="kernel",
            autocast=False,
        )
        self.bias = self.add_weight(
            shape=(self.filters,),
            initializer=torch_uniform(9 * channels),
            name="bias",
            autocast=False,
        )

    def call(self, x):
        batch, height, width, _ = ops.shape(x)
        dtype, filters = self.compute_dtype, self.filters
        # Unstacking and slicing by sizes have cheap gradients; indexing has not.
        kernels = []
        for odd_row in (False, True):
            rows = _taps(self.kernel, odd_row)
            for odd_column in (False, True):
                kernels.append(
                    ops.stack([ops.stack(_taps(row, odd_column)) for row in rows])
                )
        # (tap, tap, in, out of all four parities)
        kernel = ops.cast(ops.concatenate(kernels, axis=-1), dtype)
        x = ops.pad(ops.cast(x, dtype), ((0, 0), (1, 1), (1, 1), (0, 0)))
        out = ops.conv(x, kernel, padding="valid")
        out = out + ops.cast(ops.tile(self.bias, 4), dtype)
        # The results of odd rows and columns begin one pixel later.
        shape = (batch, height, width, filters)
        parts = [
            ops.slice(part, (0, i // 2, i % 2, 0), shape)
            for i, part in enumerate(ops.split(out, 4, axis=-1))
        ]
        # Left beside right, then upper beside lower, in the channels; reshaping a row
        # of (width, 2 * filters) makes it (2 * width, filters), and rows likewise.
        upper, lower = (ops.concatenate(parts[i : i + 2], axis=-1) for i in (0, 2))
        shape = (-1, height, 2 * width * filters)
        out = ops.concatenate(
            [ops.reshape(upper, shape), ops.reshape(lower, shape)], axis=-1
        )
        return ops.reshape(out, (-1, 2 * height, 2 * width, filters))

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        twice = [None if side is None else 2 * side for side in (height, width)]
        return batch, *twice, self.filters

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@keras.saving.register_keras_serializable(package="diffusion")
class DepthToSpace(layers.Layer):
    """Lays the channels of each pixel out as a square of pixels.

    Example:
    ```python
    DepthToSpace(2)(np.zeros((1, 5, 8, 12))).shape   # (1, 10, 16, 3)
    ```

    Args:
        side: Side of the square in pixels.
        **kwargs: `name`, `dtype`.

    Call arguments:
        x: `(batch, height, width, side * side * channels)`; the channels of the
            square's upper left pixel come first, then those of its right neighbour.

    Returns:
        `(batch, side * height, side * width, channels)`.

    Reference:
        Shi et al., "Real-time single image and video super-resolution using an
        efficient sub-pixel convolutional neural network" (2016), section 3.2.
    """

    def __init__(self, side: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.side = side

    def call(self, x):
        batch, height, width, channels = self.compute_output_shape(ops.shape(x))
        side = self.side
        x = ops.reshape(x, (-1, height // side, width // side, side, side, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, height, width, channels))

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        many = [None if n is None else self.side * n for n in (height, width)]
        return batch, *many, channels // self.side**2

    def get_config(self):
        return {**super().get_config(), "side": self.side}


def _taps(kernel, odd):
    """Return the two taps that stand for three on odd (or even) rows or columns."""
    first, second, third = ops.unstack(ops.convert_to_tensor(kernel), 3, axis=0)
    return (first + second, third) if odd else (first, second + third)


@keras.saving.register_keras_serializable(package="diffusion")
class GroupNorm(layers.Layer):
    """Normalises groups of channels over a picture; may scale and shift them by FiLM.

    Without `film` it equals `keras.layers.GroupNormalization`, with float32 statistics
    under any precision policy. With `film`, the two halves of which are (scale, shift),
    the result is multiplied by `scale + 1` and `shift` is added. All this is one
    multiplication and one addition per value, and takes little more than half the time
    of stock layers.

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
        ValueError: If `groups` does not divide the channels.

    Reference:
        Wu & He, "Group Normalization" (2018); Perez et al., "FiLM: Visual Reasoning
        with a General Conditioning Layer" (2018).
    """

    def __init__(self, groups: int = 8, epsilon: float = 1e-5, **kwargs: Any):
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
        factor, offset = _modulated(factor, offset, film)
        out = values * _spread(factor) + _spread(offset)
        return ops.cast(out, self.compute_dtype)

    def _over_groups(self, values):
        """Return the mean of each group of `(batch, channels)`, for every channel."""
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
    """Divides each pixel's channels by their root mean square; may apply FiLM.

    For C channels, out = √C · g · x / max(‖x‖, 1e-12); with `film`, see `GroupNorm`.
    `keras.layers.RMSNormalization` takes as long alone, and longer before a FiLM.

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

    def __init__(self, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)

    def build(self, input_shape):
        self.g = _vector(self, _first(input_shape)[-1], "g", "ones")

    def call(self, inputs):
        x, film = _with_film(inputs)
        values = ops.cast(x, "float32")
        squares = ops.sum(ops.square(values), axis=-1, keepdims=True)
        out = values * ops.rsqrt(ops.maximum(squares, 1e-24))
        factor = ops.expand_dims(self.g * math.sqrt(x.shape[-1]), 0)
        factor, offset = _modulated(factor, None, film)
        out = out * _spread(factor)
        if offset is not None:
            out = out + _spread(offset)
        return ops.cast(out, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return _first(input_shape)


@keras.saving.register_keras_serializable(package="diffusion")
class ChannelNorm(layers.Layer):
    """Normalises each pixel over its channels.

    It equals `keras.layers.LayerNormalization` in about four fifths of its time.

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

    def __init__(self, epsilon: float = 1e-5, **kwargs: Any):
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


def _modulated(factor, offset, film):
    """Return factor and offset `(batch, channels)` after FiLM; offset may be `None`."""
    if film is None:
        return factor, offset
    scale, shift = ops.split(ops.cast(film, "float32"), 2, axis=-1)
    shift = shift if offset is None else offset * (scale + 1) + shift
    return factor * (scale + 1), shift


def _spread(values):
    """Return `(batch, channels)` with axes for the pixels."""
    return ops.expand_dims(values, (1, 2))


def _first(shapes):
    """Return the picture's shape from shapes with or without that of `film`."""
    return tuple(shapes[0]) if isinstance(shapes[0], (list, tuple)) else tuple(shapes)


def _with_film(inputs):
    return inputs if isinstance(inputs, (list, tuple)) else (inputs, None)
