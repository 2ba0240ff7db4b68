"""The style of one picture for the content of another, in one pass."""

from typing import Any

import keras
from keras import layers, ops

from oppai.translation.blocks import TranslationNetwork, as_float32

# Channels, and convolutions of VGG19 at each scale; the last to `relu4_1`.
DECODED = ((256, 4), (128, 2), (64, 2))


@keras.saving.register_keras_serializable(package="oppai")
class StyleDecoder(TranslationNetwork):
    """Turn features of VGG back into a picture: the mirror image of its encoder.

    The sides are doubled by repeating pixels, and all convolutions pad by mirroring, so
    that no border shows. For `relu4_1` of VGG19 it has 3,505,219 weights.

    Example:
    ```python
    decoder = StyleDecoder(16, blocks=((8, 1), (4, 1)))
    decoder(np.zeros((1, 8, 8, 16), "float32")).shape  # (1, 32, 32, 3)
    ```

    Args:
        channels: Channels of the features. Defaults to 512.
        blocks: For each scale, coarse to fine, its channels and convolutions. Defaults
            to those of VGG19.
        dtype: Dtype policy of the layers. Defaults to `None`, the global policy.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: `(batch, height, width, channels)`.

    Returns:
        `(batch, 2 ** n · height, 2 ** n · width, 3)` for n blocks, signed scale without
        bounds, float32.

    Reference:
        Huang and Belongie, "Arbitrary Style Transfer in Real-time with Adaptive
        Instance Normalization" (2017), section 6.1.
    """

    def __init__(
        self,
        channels: int = 512,
        *,
        blocks: Any = DECODED,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        blocks = tuple((int(width), int(n)) for width, n in blocks)
        widths: list[int | None] = []
        for width, n in blocks:
            widths += [width, None, *[width] * (n - 1)]
        inputs = x = keras.Input((None, None, channels), name="inputs")
        for i, width in enumerate([*widths, 3]):
            if width is None:
                x = layers.UpSampling2D(dtype=dtype, name=f"double_{i}")(x)
                continue
            x = MirrorPadding(dtype=dtype, name=f"mirror_{i}")(x)
            last = i == len(widths)
            x = layers.Conv2D(
                width,
                3,
                activation=None if last else "relu",
                kernel_initializer="he_normal",
                dtype=dtype,
                name="colours" if last else f"convolution_{i}",
            )(x)
        super().__init__(inputs=inputs, outputs=as_float32(x), **kwargs)
        self.keep(dtype, channels=channels, blocks=blocks)


@keras.saving.register_keras_serializable(package="oppai")
class MirrorPadding(layers.Layer):
    """Add one pixel at every side, the second from the border.

    Example:
    ```python
    MirrorPadding()(np.zeros((1, 4, 4, 3), "float32")).shape  # (1, 6, 6, 3)
    ```

    Args:
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, height, width, channels)`, 2 pixels or more each way.

    Returns:
        `(batch, height + 2, width + 2, channels)`.
    """

    def call(self, inputs):
        return ops.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, height and height + 2, width and width + 2, channels)


def adapt(content: Any, style: Any, epsilon: float = 1e-5) -> Any:
    """Give features the means and deviations of others (AdaIN).

    Each channel of `content` is normalised over its pixels, and takes the mean and the
    standard deviation of that channel of `style`.

    Example:
    ```python
    mixed = adapt(encoder(content), encoder(style))
    ```

    Args:
        content: `(batch, height, width, channels)`.
        style: `(batch, any height, any width, channels)`.
        epsilon: Added to both variances. Defaults to 1e-5.

    Returns:
        The shape of `content`.

    Reference:
        Huang and Belongie (2017), equation 8.
    """
    mean, deviation = moments(content, epsilon)
    to_mean, to_deviation = moments(style, epsilon)
    return (content - mean) / deviation * to_deviation + to_mean


def moments(features: Any, epsilon: float = 1e-5) -> tuple[Any, Any]:
    """Return the mean and the standard deviation of each channel over the pixels.

    Args:
        features: `(batch, height, width, channels)`.
        epsilon: Added to the variance. Defaults to 1e-5.

    Returns:
        Two tensors `(batch, 1, 1, channels)`.
    """
    mean = ops.mean(features, (1, 2), keepdims=True)
    variance = ops.mean((features - mean) ** 2, (1, 2), keepdims=True)
    return mean, ops.sqrt(variance + epsilon)


def mix_styles(features: Any, weights: Any) -> tuple[Any, Any]:
    """Mix the means and deviations of several styles.

    Args:
        features: List of features of styles, each `(1, height, width, channels)`.
        weights: As many numbers; they are divided by their sum.

    Returns:
        The mixed mean and deviation, `(1, 1, 1, channels)`.

    Reference:
        Huang and Belongie (2017), section 7.4, on features; here on their moments.
    """
    pairs = [moments(f) for f in features]
    total = sum(weights)
    return tuple(
        sum(w / total * pair[i] for w, pair in zip(weights, pairs, strict=True))
        for i in range(2)
    )
