"""The denoising network's layers: time embedding, normalisations, nearest pixels.

Normalisations take their statistics in float32 under any precision policy.
"""

import math

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="diffusion")
class SinusoidalEmbedding(layers.Layer):
    """Turns a timestep into sines and cosines, float32 under any precision policy.

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
        ValueError: where `dim` is odd or less than 4.

    Reference:
        Vaswani et al., "Attention Is All You Need" (2017), section 3.5; Ho et al.,
        "Denoising Diffusion Probabilistic Models" (2020), appendix B.
    """

    def __init__(self, dim, **kwargs):
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
        mean = mean[:, 0, 0]
        group_mean = self._over_groups(mean)
        group_variance = self._over_groups(variance + ops.square(mean - group_mean))
        factor = self.weight * ops.rsqrt(group_variance + self.epsilon)
        offset = self.bias - group_mean * factor
        if film is not None:
            scale, shift = ops.split(ops.cast(film, "float32"), 2, axis=-1)
            factor, offset = factor * (scale + 1), offset * (scale + 1) + shift
        out = values * factor[:, None, None] + offset[:, None, None]
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
            out = out * (factor * (scale + 1))[:, None, None] + shift[:, None, None]
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


@keras.saving.register_keras_serializable(package="diffusion")
class UpsampledConv(layers.Layer):
    """A 3×3 convolution of the picture doubled by nearest pixels, without doubling it.

    Of a doubled row, two of the three taps see the same pixel of the small one: the
    even rows see `[w_0, w_1 + w_2]` of pixels i - 1 and i, the odd rows
    `[w_0 + w_1, w_2]` of i and i + 1, and columns likewise. So one 2×2 convolution of
    the small picture, four times as wide, gives all: 16 instead of 36 products.

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

    def __init__(self, filters, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.filters = filters

    def build(self, input_shape):
        channels = input_shape[-1]
        limit = (9 * channels) ** -0.5  # PyTorch's default
        uniform = keras.initializers.RandomUniform
        self.kernel = self.add_weight(
            shape=(3, 3, channels, self.filters),
            initializer=uniform(-limit, limit),
            name="kernel",
            autocast=False,
        )
        self.bias = self.add_weight(
            shape=(self.filters,),
            initializer=uniform(-limit, limit),
            name="bias",
            autocast=False,
        )

    def call(self, x):
        _, height, width, channels = ops.shape(x)
        k, filters = self.kernel, self.filters
        # rows: (parity, tap, column, in, out), then (parity, parity, tap, tap, in, out)
        k = ops.stack([ops.stack([k[0], k[1] + k[2]]), ops.stack([k[0] + k[1], k[2]])])
        even = ops.stack([k[:, :, 0], k[:, :, 1] + k[:, :, 2]], axis=2)
        odd = ops.stack([k[:, :, 0] + k[:, :, 1], k[:, :, 2]], axis=2)
        # (tap, tap, in, out of all four parities)
        kernel = ops.concatenate([even[0], odd[0], even[1], odd[1]], axis=-1)
        dtype = self.compute_dtype
        x = ops.pad(ops.cast(x, dtype), ((0, 0), (1, 1), (1, 1), (0, 0)))
        out = ops.conv(x, ops.cast(kernel, dtype), padding="valid")
        out = out + ops.cast(ops.tile(self.bias, 4), dtype)
        # The results of odd rows and columns begin one pixel later.
        parts = [
            out[
                :,
                row : row + height,
                column : column + width,
                filters * (2 * row + column) : filters * (2 * row + column + 1),
            ]
            for row in (0, 1)
            for column in (0, 1)
        ]
        rows = [ops.concatenate(parts[:2], axis=-1), ops.concatenate(parts[2:], axis=-1)]
        rows = [ops.reshape(r, (-1, height, 2 * width * filters)) for r in rows]
        out = ops.concatenate(rows, axis=-1)
        return ops.reshape(out, (-1, 2 * height, 2 * width, filters))

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        twice = [None if side is None else 2 * side for side in (height, width)]
        return batch, *twice, self.filters

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


def _vector(layer, channels, name, initializer):
    return layer.add_weight(
        shape=(channels,), initializer=initializer, name=name, autocast=False
    )


def _first(shapes):
    """The shape of the picture, with or without that of `film` after it."""
    return tuple(shapes[0]) if isinstance(shapes[0], (list, tuple)) else tuple(shapes)


def _with_film(inputs):
    return inputs if isinstance(inputs, (list, tuple)) else (inputs, None)
