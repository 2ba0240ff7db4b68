"""Partial convolutions: layers that compute from valid values only.

A mask inside layers and networks is the paper's: 1 = valid, less than 1 = hole.
"""

import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any

import keras
import numpy as np
from keras import ops

from illustkit.errors import UserError


def window_sum(
    x: Any,
    size: tuple[int, int],
    *,
    strides: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    pads: Sequence[tuple[int, int]] = ((0, 0), (0, 0)),
) -> Any:
    """Sum `x` over a sliding window, one axis after the other.

    Whole numbers below 2**24 add up exactly on every device. A convolution with ones
    would not: GPUs (TF32) and TPUs (bfloat16) round the inputs of their convolutions.

    Args:
        x: `(batch, height, width)` tensor.
        size: Height and width of the window.
        strides: Steps of the window on both axes. Defaults to `(1, 1)`.
        dilation: Distances between neighbours in the window. Defaults to `(1, 1)`.
        pads: Zeros (before, after) on both axes. Defaults to none.

    Returns:
        `(batch, new_height, new_width)` tensor.
    """
    x = ops.pad(x, ((0, 0), *pads))
    for axis in (1, 2):
        k, stride, rate = size[axis - 1], strides[axis - 1], dilation[axis - 1]
        # tap i: from i·rate on, leaving (k − 1 − i)·rate values after it
        taps = [slice(i * rate, (i + 1 - k) * rate or None, stride) for i in range(k)]
        x = reduce(operator.add, [x[(slice(None),) * axis + (tap,)] for tap in taps])
    return x


class _PartialConvolution(keras.layers.Layer):
    """Base class of both partial convolutions: arguments, weights and masking."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        *,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        # A mask of 0.999 must not become 1 in bfloat16: `call` casts, after the test.
        super().__init__(autocast=False, **kwargs)
        if not isinstance(filters, int) or filters < 1:
            raise ValueError(
                f"filters must be a positive integer. Received: {filters=}"
            )
        self.filters = filters
        self.kernel_size = pair_of(kernel_size, "kernel_size")
        self.strides = pair_of(strides, "strides")
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def kernel_shape(self, channels):
        return (*self.kernel_size, channels, self.filters)

    def build(self, input_shape):
        self.channels = self._check(shapes_of(input_shape))
        self.kernel = self.add_weight(
            name="kernel",
            shape=self.kernel_shape(self.channels),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.filters,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def _check(self, shapes):
        """Return the number of feature channels, or raise on shapes that do not fit."""
        name = type(self).__name__
        received = f"Received: shapes {shapes}"
        if len(shapes) < 2 or len(shapes) % 2 or any(len(s) != 4 for s in shapes):
            raise ValueError(
                f"{name} takes [features, mask], or several such pairs in one flat "
                f"list, each (batch, height, width, channels). {received}"
            )
        for axis in (0, 1, 2):
            if len({shape[axis] for shape in shapes} - {None}) > 1:
                raise ValueError(
                    f"{name}: features and masks must have the same batch size, height "
                    f"and width. {received}"
                )
        for features, mask in pairs_of(shapes):
            if features[3] is None or mask[3] not in (1, features[3]):
                raise ValueError(
                    f"{name}: a mask has 1 channel, or as many as its features. "
                    f"{received}"
                )
        channels = sum(features[3] for features, _ in pairs_of(shapes))
        if self.built and channels != self.channels:
            raise ValueError(
                f"{name} was built for {self.channels} feature channels. {received}"
            )
        return channels

    def _mask(self, inputs):
        """Return x⊙m, each input by its own mask, and the valid channels per pixel."""
        self._check(shapes_of([x.shape for x in inputs]))
        masked, counts = [], []
        for features, mask in pairs_of(inputs):
            features = ops.cast(features, self.compute_dtype)
            valid = ops.greater_equal(mask, 1)  # boolean, so no gradient passes
            # A product would not do: NaN · 0 is NaN.
            masked.append(ops.where(valid, features, ops.zeros((), features.dtype)))
            valid = ops.cast(valid, "float32")
            if mask.shape[-1] == 1:
                counts.append(valid[..., 0] * float(features.shape[-1]))
            else:
                counts.append(ops.sum(valid, axis=-1))
        if len(masked) == 1:
            return masked[0], counts[0]
        return ops.concatenate(masked, axis=-1), reduce(operator.add, counts)

    def _finish(self, raw, window, s, *, bias_in_holes=False):
        """Return `[activation((raw · window / max(s, 1) + bias) · [s > 0]), [s > 0]]`.

        `window` and `s`, a whole number, are float32.
        """
        valid = ops.minimum(s, 1.0)
        ratio = ops.cast(valid * window / ops.maximum(s, 1.0), self.compute_dtype)
        valid = ops.cast(valid, self.compute_dtype)
        out = raw * ratio
        if self.use_bias:
            out = ops.add(out, ops.cast(self.bias, self.compute_dtype))
            if not bias_in_holes:
                out = out * valid
        return [self.activation(out), valid]

    def get_config(self):
        modules = {
            "activation": keras.activations,
            "kernel_initializer": keras.initializers,
            "bias_initializer": keras.initializers,
            "kernel_regularizer": keras.regularizers,
            "bias_regularizer": keras.regularizers,
            "kernel_constraint": keras.constraints,
            "bias_constraint": keras.constraints,
        }
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "use_bias": self.use_bias,
            **{k: m.serialize(getattr(self, k)) for k, m in modules.items()},
        }


def shapes_of(shapes: Any) -> list[tuple]:
    """Return one shape, or shapes however they are nested, as a list of tuples."""
    if any(size is None or isinstance(size, int) for size in shapes):
        return [tuple(shapes)]
    return [tuple(shape) for shape in shapes]


def pairs_of(values: Sequence) -> list[tuple[Any, Any]]:
    """Return `[a, b, c, d]` as `[(a, b), (c, d)]`."""
    return list(zip(values[::2], values[1::2], strict=True))


def pair_of(value: int | Sequence[int], name: str) -> tuple[int, int]:
    """Return an integer, or a pair, as a pair of positive integers."""
    pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2 or not all(isinstance(v, int) and v > 0 for v in pair):
        raise ValueError(
            f"{name} must be a positive integer or a pair. Received: {name}={value}"
        )
    return pair


def one_of(value: Any, name: str, choices: Sequence) -> Any:
    """Return `value` if it is among `choices`, else raise."""
    if value not in choices:
        raise UserError(f"{name} must be one of {choices}. Received: {name}={value!r}")
    return value


@keras.saving.register_keras_serializable(package="oppai")
class PConv2D(_PartialConvolution):
    """Compute a 2-D convolution over the valid values only: a partial convolution.

    With `s` the number of valid values in the `k·k·C` window,

        ratio = k·k·C / max(s, 1)
        out   = (W * (x ⊙ m) · ratio + b) · [s > 0]        m' = [s > 0]

    so a window with few valid values is scaled up, and a window with none is 0 and
    stays a hole. Where all is valid this equals `Conv2D`; at the border of the picture
    the padding counts as hole (a 3×3 kernel in a corner: ×9/4). Values in a hole, NaN
    and infinity included, affect neither the output nor the gradients. No gradient
    flows to the mask.

    The inputs are `[features, mask]`. A mask value counts as valid from 1 on; anything
    less is a hole (the chapter's `1 − sign(1 − m)`). Instead of concatenating inputs,
    pass all pairs in one list, `[features_1, mask_1, features_2, mask_2, …]`: each one
    is masked by its own one-channel mask, and `s = C₁·box(m₁) + C₂·box(m₂) + …` is
    exactly the sum over concatenated masks of `C₁ + C₂ + …` channels.

    Faults of the book's layer that are fixed here: its ratio `k·k/s` counted `s` over
    all channels, which shrinks features by the number of channels; its bias also
    filled holes; it padded both axes by `kernel_size[0]`, ignored `dilation_rate` and
    `padding`; it let a gradient into the mask; it kept `C` equal mask channels, summed
    by a convolution as expensive as the one over the features.

    Example:
    ```python
    picture = np.random.rand(1, 64, 64, 3).astype("float32")
    mask = np.ones((1, 64, 64, 1), "float32")
    mask[:, 20:40, 20:40] = 0
    features, mask = oppai.PConv2D(32, 3, strides=2)([picture, mask])
    features.shape, mask.shape  # (1, 32, 32, 32), (1, 32, 32, 1)
    ```

    Args:
        filters: Number of output channels.
        kernel_size: Integer or pair (height, width).
        strides: Integer or pair. Together with a dilation, the convolution is computed
            at every pixel and thinned out. Defaults to `1`.
        dilation_rate: Integer or pair. Defaults to `1`.
        normalization: `"paper"`, as above, or `"book"`, which reproduces the chapter's
            numbers: `k·k` in place of `k·k·C`, and the bias also in holes (padding
            stays fixed). Defaults to `"paper"`.
        padding: `"same"`: zeros `dilation · (k − 1) // 2` on every side, also under
            strides (TensorFlow's own is lopsided there), so the output is
            `ceil(size / stride)`; an even kernel has one more zero after than before.
            `"valid"`: none. Defaults to `"same"`.
        activation: Applied last, to the features. Defaults to `None`.
        use_bias: Defaults to `True`.
        kernel_initializer, bias_initializer: As in `keras.layers.Conv2D`.
        kernel_regularizer, bias_regularizer: As in `keras.layers.Conv2D`.
        kernel_constraint, bias_constraint: As in `keras.layers.Conv2D`.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: `[features, mask]` or more such pairs; features
            `(batch, height, width, channels)`, each mask of the same height and width
            with 1 channel or as many as its features, on the scale 0 to 1, any dtype.

    Returns:
        `[features, mask]`: `(batch, new_height, new_width, filters)` and
        `(batch, new_height, new_width, 1)`, the mask 0 or 1, both in the layer's
        compute dtype (sums and ratios are taken in float32).

    Raises:
        ValueError: For arguments or shapes that do not fit together.

    Reference:
        Liu et al. 2018, "Image Inpainting for Irregular Holes Using Partial
        Convolutions", equations 1 and 2; the chapter "DeepCreamPyで学ぶモザイク除去".
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        dilation_rate: int | Sequence[int] = 1,
        normalization: str = "paper",
        *,
        padding: str = "same",
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, kernel_size, strides, **kwargs)
        self.dilation_rate = pair_of(dilation_rate, "dilation_rate")
        self.normalization = one_of(normalization, "normalization", ("paper", "book"))
        self.padding = one_of(padding, "padding", ("same", "valid"))

    @property
    def _spans(self):
        # rows (columns) from the first tap of the window to the last
        return [self.dilation_rate[i] * (self.kernel_size[i] - 1) for i in (0, 1)]

    @property
    def _pads(self):
        if self.padding == "valid":
            return (0, 0), (0, 0)
        return tuple((n // 2, n - n // 2) for n in self._spans)

    def _convolve(self, x):
        kernel = ops.cast(self.kernel, self.compute_dtype)
        if self.strides == (1, 1):
            return ops.conv(
                x, kernel, padding=self.padding, dilation_rate=self.dilation_rate
            )
        if self._pads != ((0, 0), (0, 0)):
            x = ops.pad(x, ((0, 0), *self._pads, (0, 0)))
        if self.dilation_rate == (1, 1):
            return ops.conv(x, kernel, strides=self.strides, padding="valid")
        x = ops.conv(x, kernel, padding="valid", dilation_rate=self.dilation_rate)
        return x[:, :: self.strides[0], :: self.strides[1]]

    def call(self, inputs):
        masked, count = self._mask(inputs)
        s = window_sum(
            count,
            self.kernel_size,
            strides=self.strides,
            dilation=self.dilation_rate,
            pads=self._pads,
        )[..., None]
        book = self.normalization == "book"
        window = float(np.prod(self.kernel_size) * (1 if book else self.channels))
        return self._finish(self._convolve(masked), window, s, bias_in_holes=book)

    def compute_output_shape(self, input_shape):
        batch, *sizes, _ = shapes_of(input_shape)[0]
        new = [
            None if n is None else (n + sum(pads) - span - 1) // stride + 1
            for n, pads, span, stride in zip(
                sizes, self._pads, self._spans, self.strides, strict=True
            )
        ]
        return [(batch, *new, self.filters), (batch, *new, 1)]

    def get_config(self):
        return {
            **super().get_config(),
            "dilation_rate": self.dilation_rate,
            "normalization": self.normalization,
            "padding": self.padding,
        }


@keras.saving.register_keras_serializable(package="oppai")
class PConv2DTranspose(_PartialConvolution):
    """Upsample by a transposed convolution that spreads valid values only.

    The chapter's first exercise. Every input pixel is spread over a `k·k` patch, the
    patches `strides` apart. With `n` the number of values that reach an output pixel on
    an endless plane without holes, and `s` the number of valid ones that do,

        ratio = n / max(s, 1)
        out   = (Wᵀ * (x ⊙ m) · ratio + b) · [s > 0]        m' = [s > 0]

    Where all is valid this equals `Conv2DTranspose` with "same" padding; at the border
    of the picture the padding counts as hole. Masks, pairs of inputs, dtypes and
    gradients are as in `PConv2D`.

    Example:
    ```python
    features, mask = np.ones((1, 8, 8, 64)), np.ones((1, 8, 8, 1))
    features, mask = oppai.layers.PConv2DTranspose(32, 4, 2)([features, mask])
    features.shape, mask.shape  # (1, 16, 16, 32), (1, 16, 16, 1)
    ```

    Args:
        filters: Number of output channels.
        kernel_size: Integer or pair, at least `strides`. A multiple of the strides
            reaches all output pixels equally often (no checkerboard).
        strides: Integer or pair: the factor of enlargement. Defaults to `1`.
        **kwargs: See `PConv2D`.

    Returns:
        `[features, mask]`, `strides` times as high and wide, as in `PConv2D`.

    Raises:
        ValueError: For arguments or shapes that do not fit together.

    Reference:
        The chapter, exercise 1; the renormalisation is that of Liu et al. 2018.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, kernel_size, strides, **kwargs)
        (kh, kw), (sh, sw) = self.kernel_size, self.strides
        if kh < sh or kw < sw:
            raise ValueError(
                "kernel_size must be at least strides, else no value reaches some "
                f"pixels. Received: kernel_size={(kh, kw)}, strides={(sh, sw)}"
            )

    def kernel_shape(self, channels):
        return (*self.kernel_size, self.filters, channels)

    def call(self, inputs):
        masked, count = self._mask(inputs)
        kernel = ops.cast(self.kernel, self.compute_dtype)
        raw = ops.conv_transpose(masked, kernel, strides=self.strides, padding="same")
        _, height, width = ops.shape(count)
        (kh, kw), (sh, sw) = self.kernel_size, self.strides
        # "same" crops this much above and left of the full result
        top, left = (kh - sh) // 2, (kw - sw) // 2
        # zeros between the input pixels turn the spreading into a plain window
        spaced = ops.pad(
            count[:, :, None, :, None],
            ((0, 0), (0, 0), (0, sh - 1), (0, 0), (0, sw - 1)),
        )
        s = window_sum(
            ops.reshape(spaced, (-1, height * sh, width * sw)),
            self.kernel_size,
            pads=((kh - 1 - top, top), (kw - 1 - left, left)),
        )
        n = np.outer(_reach(kh, sh, top), _reach(kw, sw, left)) * float(self.channels)
        n = ops.tile(n[None].astype("float32"), (1, height, width))
        return self._finish(raw, n[..., None], s[..., None])

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = shapes_of(input_shape)[0]
        height = None if height is None else height * self.strides[0]
        width = None if width is None else width * self.strides[1]
        return [(batch, height, width, self.filters), (batch, height, width, 1)]


def _reach(size, stride, crop):
    """Count the input pixels that reach output pixel 0, 1, … stride − 1 of an axis."""
    return [len(range((p + crop) % stride, size, stride)) for p in range(stride)]
