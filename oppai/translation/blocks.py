"""What the networks of all translations are built of."""

import inspect
from typing import Any

import keras
from keras import layers

from illustkit.training.trainable import replicas_in_sync


class TranslationNetwork(keras.Model):
    """A network of stock layers whose config is what its constructor was given.

    A subclass passes the tensors of its stock layers to the constructor, and its own
    arguments to `keep`. `multiple` says of what a picture's sides must be multiples.
    """

    multiple = 1

    def keep(self, dtype: Any, **arguments: Any) -> None:
        """Make attributes of the arguments, for the config."""
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        self.dtype_policy = policy
        self._own_dtype = None if dtype is None else policy.name
        for name, value in arguments.items():
            setattr(self, name, value)

    def get_config(self):
        names = inspect.signature(type(self).__init__).parameters
        own = [n for n in names if n not in ("self", "dtype", "kwargs")]
        return {
            "name": self.name,
            "trainable": self.trainable,
            **{name: getattr(self, name) for name in own},
            "dtype": self._own_dtype,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def convolve(
    x: Any,
    filters: int,
    kernel: int,
    *,
    strides: int = 1,
    dilation: int = 1,
    transposed: bool = False,
    norm: bool = True,
    activation: str | None = "relu",
    slope: float = 0.2,
    bias: bool = True,
    normal: bool = False,
    name: str,
    dtype: Any = None,
) -> Any:
    """Apply a convolution, BatchNorm and an activation, padded as Torch pads.

    Keras' "same" pads a convolution of stride 2 on the right and at the bottom alone;
    here both sides get `(kernel - 1) // 2` pixels. A transposed convolution of kernel 4
    and stride 2 exactly doubles the sides.

    Args:
        x: Features `(batch, height, width, channels)`.
        filters: Number of channels of the result.
        kernel: Side of the kernel.
        strides: Stride. Defaults to 1.
        dilation: Dilation rate. Defaults to 1.
        transposed: Whether the convolution is transposed. Defaults to `False`.
        norm: Whether BatchNorm follows (momentum .9, epsilon 1e-5). Defaults to `True`.
        activation: "relu", "leaky", another name of Keras, or `None`. Defaults to
            "relu".
        slope: Of the leaky ReLU. Defaults to 0.2.
        bias: Whether the convolution has a bias. Defaults to `True`.
        normal: Whether the weights begin as N(0, .02), and BatchNorm's as N(1, .02), as
            in pix2pix and DCGAN. Defaults to `False`, He's normal distribution.
        name: Prefix of the layers' names.
        dtype: Dtype policy. Defaults to `None`, the global policy.

    Returns:
        Features `(batch, height / strides, width / strides, filters)`.
    """
    options: dict[str, Any] = {
        "strides": strides,
        "use_bias": bias,
        "kernel_initializer": (
            keras.initializers.RandomNormal(stddev=0.02) if normal else "he_normal"
        ),
        "dtype": dtype,
        "name": name,
    }
    if transposed:
        x = layers.Conv2DTranspose(filters, kernel, padding="same", **options)(x)
    elif strides > 1:
        x = layers.ZeroPadding2D((kernel - 1) // 2, dtype=dtype, name=f"{name}_pad")(x)
        x = layers.Conv2D(filters, kernel, **options)(x)
    else:
        options["dilation_rate"] = dilation
        x = layers.Conv2D(filters, kernel, padding="same", **options)(x)
    if norm:
        x = normalise(x, normal=normal, name=f"{name}_norm", dtype=dtype)
    if activation == "leaky":
        return layers.LeakyReLU(slope, dtype=dtype, name=f"{name}_leaky")(x)
    if activation is not None:
        return layers.Activation(activation, dtype=dtype, name=f"{name}_act")(x)
    return x


def connect(
    x: Any,
    units: int,
    *,
    norm: bool = True,
    activation: str | None = "relu",
    name: str,
    dtype: Any = None,
) -> Any:
    """Apply a fully connected layer, BatchNorm and an activation.

    Args:
        x: Features `(batch, channels)`.
        units: Number of channels of the result.
        norm: Whether BatchNorm follows. Defaults to `True`.
        activation: Name of Keras, or `None`. Defaults to "relu".
        name: Prefix of the layers' names.
        dtype: Dtype policy. Defaults to `None`, the global policy.

    Returns:
        Features `(batch, units)`.
    """
    x = layers.Dense(units, kernel_initializer="he_normal", dtype=dtype, name=name)(x)
    if norm:
        x = normalise(x, name=f"{name}_norm", dtype=dtype)
    if activation is not None:
        x = layers.Activation(activation, dtype=dtype, name=f"{name}_act")(x)
    return x


def normalise(x: Any, *, normal: bool = False, name: str, dtype: Any = None) -> Any:
    """Apply BatchNorm with Torch's constants, over the replicas of a strategy."""
    return layers.BatchNormalization(
        momentum=0.9,
        epsilon=1e-5,
        gamma_initializer=keras.initializers.RandomNormal(1.0, 0.02)
        if normal
        else "ones",
        synchronized=replicas_in_sync() > 1,
        dtype=dtype,
        name=name,
    )(x)


def as_float32(x: Any, activation: str = "linear") -> Any:
    """Return a network's output in float32, whatever its policy."""
    return layers.Activation(activation, dtype="float32", name="output")(x)
