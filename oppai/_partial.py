"""What all partial convolutions share: arguments, weights, masking, window sums."""

import operator
from functools import reduce

import keras
from keras import ops


def window_sum(x, size, *, strides=(1, 1), dilation=(1, 1), pads=((0, 0), (0, 0))):
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


class PartialConvolution(keras.layers.Layer):
    """Arguments, weights and masking that both partial convolutions share."""

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        *,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
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
        """Return x⊙m, each part by its own mask, and the valid channels per pixel."""
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


def shapes_of(shapes):
    """Shapes as a list of tuples, however they are nested; a lone shape as one."""
    if any(size is None or isinstance(size, int) for size in shapes):
        return [tuple(shapes)]
    return [tuple(shape) for shape in shapes]


def pairs_of(values):
    """`[a, b, c, d]` as `[(a, b), (c, d)]`."""
    return list(zip(values[::2], values[1::2], strict=True))


def pair_of(value, name):
    """An integer, or a pair, as a pair of positive integers."""
    pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2 or not all(isinstance(v, int) and v > 0 for v in pair):
        raise ValueError(
            f"{name} must be a positive integer or a pair. Received: {name}={value}"
        )
    return pair


def one_of(value, name, choices):
    """`value`, if it is among `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {choices}. Received: {name}={value!r}")
    return value
