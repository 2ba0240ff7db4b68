"""Layers of StyleGAN2: equalised weights, modulated convolutions, FIR resampling."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops

FIR = 1.0, 3.0, 3.0, 1.0
"""The taps of StyleGAN2's low-pass filter, along each axis."""
SLOPE = 0.2
GAIN = math.sqrt(2)  # keeps the variance after a leaky ReLU


def fir_blur(x: Any, pad: int, *, stride: int = 1, gain: float = 1.0) -> Any:
    """Filter pictures by [1, 3, 3, 1] along both axes.

    A depthwise convolution: sums of shifted slices took 20 times as long with their
    gradient on a CPU, and TensorFlow has no second gradient of its resizing operations.

    Args:
        x: `(batch, height, width, channels)`, a float dtype.
        pad: Zeros on each side.
        stride: Pixels between outputs. Defaults to 1.
        gain: Sum of the filter. Defaults to 1.

    Returns:
        `(batch, (height + 2 pad - 4) // stride + 1, …, channels)`.
    """
    taps = np.outer(FIR, FIR) * (gain / sum(FIR) ** 2)
    kernel = np.repeat(taps[:, :, None, None], x.shape[-1], 2).astype("float32")
    if pad:
        x = ops.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
    kernel = ops.cast(ops.convert_to_tensor(kernel), x.dtype)
    return ops.depthwise_conv(
        x, kernel, stride, padding="valid", data_format="channels_last"
    )


def fir_down(x: Any) -> Any:
    """Halve the size of pictures: filter, and take every second pixel."""
    return fir_blur(x, 1, stride=2)


def fir_up(x: Any) -> Any:
    """Double the size of pictures: put zeros between the pixels, and filter.

    Along an axis the outputs 2i and 2i + 1 are (x[i-1] + 3 x[i]) / 4 and
    (3 x[i] + x[i+1]) / 4: a depthwise convolution computes all four phases at once.
    """
    phases = np.array([[1, 3, 0], [0, 3, 1]], "float32") / 4
    kernel = np.einsum("ay,bx->yxab", phases, phases).reshape(3, 3, 1, 4)
    height, width, channels = x.shape[1:]
    kernel = ops.convert_to_tensor(np.repeat(kernel, channels, 2))
    x = ops.depthwise_conv(
        x, ops.cast(kernel, x.dtype), 1, padding="same", data_format="channels_last"
    )
    x = ops.reshape(x, (-1, height, width, channels, 2, 2))
    x = ops.transpose(x, (0, 1, 4, 2, 5, 3))
    return ops.reshape(x, (-1, 2 * height, 2 * width, channels))


def leaky(x: Any) -> Any:
    """Return the leaky ReLU of slope 0.2, times √2."""
    return ops.leaky_relu(x, SLOPE) * GAIN


class _Equalized(layers.Layer):
    """A layer whose weights are N(0, 1) and scaled in the call, as Adam needs it."""

    def _kernel(self, shape, lr_multiplier=1.0, name="kernel"):
        return self.add_weight(
            shape=shape,
            initializer=keras.initializers.RandomNormal(stddev=1 / lr_multiplier),
            name=name,
        )

    def _scaled(self, kernel, fan_in, lr_multiplier=1.0):
        kernel = ops.convert_to_tensor(kernel)
        return kernel * ops.cast(lr_multiplier / math.sqrt(fan_in), kernel.dtype)


@keras.saving.register_keras_serializable(package="diffusion")
class EqualizedDense(_Equalized):
    """A dense layer with an equalised learning rate.

    Example:
    ```python
    EqualizedDense(512, lr_multiplier=0.01, activate=True)(np.ones((2, 512), "float32"))
    ```

    Args:
        units: Number of outputs.
        activate: Whether a leaky ReLU (0.2, times √2) follows. Defaults to `False`.
        lr_multiplier: The learning rate of this layer, as a multiple. Defaults to 1.
        bias: Value at which the biases begin. Defaults to 0.
        **kwargs: `name`, `dtype`.

    Call arguments:
        inputs: `(batch, features)`.

    Returns:
        `(batch, units)`.

    Reference:
        Karras et al., "Progressive Growing of GANs" (2018), section 4.1.
    """

    def __init__(
        self,
        units: int,
        activate: bool = False,
        lr_multiplier: float = 1.0,
        bias: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units, self.activate = units, activate
        self.lr_multiplier, self.bias = float(lr_multiplier), float(bias)

    def build(self, input_shape):
        self.kernel = self._kernel((input_shape[-1], self.units), self.lr_multiplier)
        self.offset = self.add_weight(
            shape=(self.units,),
            initializer=keras.initializers.Constant(self.bias / self.lr_multiplier),
            name="bias",
        )

    def call(self, inputs):
        kernel = self._scaled(self.kernel, inputs.shape[-1], self.lr_multiplier)
        x = ops.matmul(inputs, kernel)
        x = x + ops.convert_to_tensor(self.offset) * self.lr_multiplier
        return leaky(x) if self.activate else x

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        names = "units", "activate", "lr_multiplier", "bias"
        return {**super().get_config(), **{n: getattr(self, n) for n in names}}


@keras.saving.register_keras_serializable(package="diffusion")
class EqualizedConv2D(_Equalized):
    """A convolution with an equalised learning rate, which may halve the size.

    Example:
    ```python
    layer = EqualizedConv2D(8, 3, down=True)
    layer(np.ones((2, 16, 16, 4), "float32")).shape   # (2, 8, 8, 8)
    ```

    Args:
        filters: Number of output channels.
        kernel_size: Side of the kernel, odd. Defaults to 3.
        down: Whether the pictures are filtered by [1, 3, 3, 1] and halved. Defaults to
            `False`.
        activate: Whether a leaky ReLU (0.2, times √2) follows. Defaults to `True`.
        use_bias: Defaults to `True`.
        **kwargs: `name`, `dtype`.

    Call arguments:
        inputs: `(batch, height, width, channels)`.

    Returns:
        `(batch, height, width, filters)`, or half the height and width.

    Reference:
        Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020),
        figure 7c.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        down: bool = False,
        activate: bool = True,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.down = filters, kernel_size, down
        self.activate, self.use_bias = activate, use_bias

    def build(self, input_shape):
        side = self.kernel_size
        self.kernel = self._kernel((side, side, input_shape[-1], self.filters))
        if self.use_bias:
            self.offset = self.add_weight(
                shape=(self.filters,), initializer="zeros", name="bias"
            )

    def call(self, inputs):
        side, x, stride = self.kernel_size, inputs, 1
        kernel = self._scaled(self.kernel, side * side * x.shape[-1])
        padding = "same"
        if self.down and side == 1:
            x = fir_down(x)
        elif self.down:
            # As wide as the kernel's border and the filter's need.
            x, stride, padding = fir_blur(x, 1 + side // 2), 2, "valid"
        x = ops.conv(x, kernel, stride, padding, "channels_last")
        if self.use_bias:
            x = x + ops.convert_to_tensor(self.offset)
        return leaky(x) if self.activate else x

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        if self.down:
            height, width = height // 2, width // 2
        return batch, height, width, self.filters

    def get_config(self):
        names = "filters", "kernel_size", "down", "activate", "use_bias"
        return {**super().get_config(), **{n: getattr(self, n) for n in names}}


@keras.saving.register_keras_serializable(package="diffusion")
class ModulatedConv2D(_Equalized):
    """A convolution whose input channels a style scales.

    A style w makes scales s = A w + b. The layer multiplies the inputs by s, convolves
    all pictures by the same kernel, and divides the outputs by the norm of the kernel
    that s makes. This equals a kernel of its own for each picture, without a grouped
    convolution.

    Example:
    ```python
    layer = ModulatedConv2D(8, 3, up=True)
    x, w = np.ones((2, 4, 4, 6), "float32"), np.ones((2, 16), "float32")
    layer([x, w]).shape   # (2, 8, 8, 8)
    ```

    Args:
        filters: Number of output channels.
        kernel_size: Side of the kernel, odd. Defaults to 3.
        up: Whether the size doubles: a transposed convolution, then [1, 3, 3, 1].
            Defaults to `False`.
        demodulate: Whether outputs are divided by the norm, and noise, bias and leaky
            ReLU follow; without, a bias alone. Defaults to `True`.
        **kwargs: `name`, `dtype`.

    Call arguments:
        inputs: List of features `(batch, height, width, channels)`, styles
            `(batch, style)` and, if wanted, noise `(batch, height, width, 1)` of the
            outputs' size, which a learnt strength (at first 0) multiplies.

    Returns:
        `(batch, height, width, filters)`, or twice the height and width.

    Reference:
        Karras et al. (2020), section 2.2 and equation (3).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        up: bool = False,
        demodulate: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters, self.kernel_size = filters, kernel_size
        self.up, self.demodulate = up, demodulate

    def build(self, input_shape):
        channels, style = input_shape[0][-1], input_shape[1][-1]
        side = self.kernel_size
        self.kernel = self._kernel((side, side, channels, self.filters))
        self.style_kernel = self._kernel((style, channels), name="style_kernel")
        self.style_bias = self.add_weight(
            shape=(channels,), initializer="ones", name="style_bias"
        )
        self.offset = self.add_weight(
            shape=(self.filters,), initializer="zeros", name="bias"
        )
        if len(input_shape) > 2:
            self.strength = self.add_weight(
                shape=(), initializer="zeros", name="noise_strength"
            )

    def call(self, inputs):
        x, w = inputs[:2]
        side = self.kernel_size
        affine = self._scaled(self.style_kernel, w.shape[-1])
        s = ops.matmul(w, affine) + ops.convert_to_tensor(self.style_bias)
        kernel = self._scaled(self.kernel, side * side * x.shape[-1])
        x = x * s[:, None, None, :]
        if self.up and side > 1:
            x = ops.conv_transpose(
                x,
                ops.transpose(kernel, (0, 1, 3, 2)),
                2,
                padding="valid",
                data_format="channels_last",
            )
            # (2 height + 1) wide; the filter takes one more than its border gives.
            x = fir_blur(x, (5 - side) // 2, gain=4.0)
        else:
            x = fir_up(x) if self.up else x
            x = ops.conv(x, kernel, 1, "same", "channels_last")
        if self.demodulate:
            power = ops.sum(ops.square(ops.cast(kernel, "float32")), axis=(0, 1))
            norm = ops.matmul(ops.square(ops.cast(s, "float32")), power)
            x = x * ops.cast(ops.rsqrt(norm + 1e-8), x.dtype)[:, None, None, :]
        if len(inputs) > 2:
            x = x + inputs[2] * ops.convert_to_tensor(self.strength)
        x = x + ops.convert_to_tensor(self.offset)
        return leaky(x) if self.demodulate else x

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape[0]
        if self.up:
            height, width = 2 * height, 2 * width
        return batch, height, width, self.filters

    def get_config(self):
        names = "filters", "kernel_size", "up", "demodulate"
        return {**super().get_config(), **{n: getattr(self, n) for n in names}}


@keras.saving.register_keras_serializable(package="diffusion")
class FIRUpsampling2D(layers.Layer):
    """Double the size of pictures, filtered by [1, 3, 3, 1].

    Example:
    ```python
    FIRUpsampling2D()(np.ones((2, 4, 6, 3), "float32")).shape   # (2, 8, 12, 3)
    ```

    Args:
        **kwargs: `name`, `dtype`.

    Call arguments:
        inputs: `(batch, height, width, channels)`.

    Returns:
        `(batch, 2 height, 2 width, channels)`.

    Reference:
        Karras et al. (2020), section 4; see `fir_up`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def call(self, inputs):
        return fir_up(inputs)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return batch, 2 * height, 2 * width, channels


@keras.saving.register_keras_serializable(package="diffusion")
class LearnedConstant(_Equalized):
    """The features at 4×4 pixels with which every picture begins.

    Example:
    ```python
    LearnedConstant(8)(np.ones((2, 16), "float32")).shape   # (2, 4, 4, 8)
    ```

    Args:
        filters: Number of channels.
        **kwargs: `name`, `dtype`.

    Call arguments:
        inputs: Any `(batch, …)`; only its first axis matters.

    Returns:
        `(batch, 4, 4, filters)`, the same for each.

    Reference:
        Karras et al., "A Style-Based Generator Architecture for GANs" (2019),
        section 2.1.
    """

    def __init__(self, filters: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, input_shape):
        self.constant = self._kernel((1, 4, 4, self.filters), name="constant")

    def call(self, inputs):
        constant = ops.convert_to_tensor(self.constant)
        return ops.repeat(constant, ops.shape(inputs)[0], axis=0)

    def compute_output_shape(self, input_shape):
        return input_shape[0], 4, 4, self.filters

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@keras.saving.register_keras_serializable(package="diffusion")
class StyleMixing(layers.Layer):
    """Give the first layers of a generator one style, and the others another.

    Example:
    ```python
    w = np.ones((2, 16), "float32")
    StyleMixing(12)([w, -w, np.array([4, 12])]).shape   # (2, 12, 16)
    ```

    Args:
        n: Number of styles that the generator takes.
        **kwargs: `name`, `dtype`.

    Call arguments:
        inputs: List of two styles `(batch, style)` and int `(batch,)`, the number of
            the first layer that takes the second style: `n` or more for none.

    Returns:
        `(batch, n, style)`.

    Reference:
        Karras et al. (2019), section 3.1.
    """

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = n

    def call(self, inputs):
        first, second, mixing = inputs
        number = ops.arange(self.n, dtype="int32")[None, :]
        is_first = number < ops.cast(mixing, "int32")[:, None]
        return ops.where(is_first[:, :, None], first[:, None, :], second[:, None, :])

    def compute_output_shape(self, input_shape):
        return input_shape[0][0], self.n, input_shape[0][1]

    def get_config(self):
        return {**super().get_config(), "n": self.n}


@keras.saving.register_keras_serializable(package="diffusion")
class MinibatchStd(layers.Layer):
    """Append the standard deviation among a few pictures as one more channel.

    It lets the discriminator see that a generator makes one picture only. Groups are
    pictures that follow each other in the batch, so that two devices make the same
    groups as one.

    Example:
    ```python
    MinibatchStd(4)(np.ones((8, 4, 4, 16), "float32")).shape   # (8, 4, 4, 17)
    ```

    Args:
        group_size: Pictures in a group. The batch is a multiple of it, or is smaller
            and one group. Defaults to 4.
        **kwargs: `name`, `dtype`.

    Call arguments:
        inputs: `(batch, height, width, channels)`.

    Returns:
        `(batch, height, width, channels + 1)`.

    Raises:
        ValueError: If the batch is larger than a group and no multiple of it.

    Reference:
        Karras et al. (2018), section 3.
    """

    def __init__(self, group_size: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.group_size = group_size

    def call(self, inputs):
        batch, height, width, channels = inputs.shape
        size = self.group_size if batch is None else min(self.group_size, batch)
        if batch is not None and batch % size:
            raise ValueError(
                f"A batch must be a multiple of `group_size`. Received: {batch}, {size}"
            )
        x = ops.cast(inputs, "float32")
        x = ops.reshape(x, (-1, size, height, width, channels))
        centred = x - ops.mean(x, axis=1, keepdims=True)
        std = ops.sqrt(ops.mean(ops.square(centred), axis=1) + 1e-8)
        std = ops.mean(std, axis=(1, 2, 3))
        std = ops.repeat(std, size)[:, None, None, None]
        std = ops.broadcast_to(std, (*ops.shape(inputs)[:3], 1))
        return ops.concatenate([inputs, ops.cast(std, inputs.dtype)], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self):
        return {**super().get_config(), "group_size": self.group_size}
