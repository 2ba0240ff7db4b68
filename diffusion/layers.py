"""The denoising network's time embedding and its enlarging convolution."""

import math

import keras
from keras import layers, ops


def torch_uniform(fan_in):
    """What the weights of PyTorch's convolutions and linear maps are drawn from.

    Uniform between ±fan_in^-½, for kernels (there written as He's with a = √5) and for
    biases.

    Example:
    ```python
    fan_in = 3 * 3 * 64
    keras.layers.Conv2D(64, 3, kernel_initializer=torch_uniform(fan_in),
                        bias_initializer=torch_uniform(fan_in))
    ```

    Args:
        fan_in: Values that each result is made of: input channels times the kernel's
            area.

    Returns:
        A Keras initializer.

    Reference:
        LeCun et al., "Efficient BackProp" (1998); `torch.nn.Conv2d`, `torch.nn.Linear`.
    """
    return keras.initializers.RandomUniform(-(fan_in**-0.5), fan_in**-0.5)


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


def _taps(kernel, odd):
    """The two taps that the odd (or even) rows, or columns, have for three."""
    first, second, third = ops.unstack(ops.convert_to_tensor(kernel), 3, axis=0)
    return (first + second, third) if odd else (first, second + third)
