"""The style of one picture for the content of another, in one pass."""

from typing import Any

import keras
from keras import layers, ops

from illustkit.options import check_choice
from oppai.models.vgg import FrozenFeatures, load_vgg_features
from oppai.translation.blocks import TranslationNetwork, as_float32

# Channels, and convolutions of VGG19 at each scale; the last to `relu4_1`.
DECODED = ((256, 4), (128, 2), (64, 2))
# The same of VGG16, by where its features are taken: their channels, and the decoder's.
OF_VGG16: dict[str, tuple[int, tuple[tuple[int, int], ...]]] = {
    "relu1_1": (64, ()),
    "relu2_1": (128, ((64, 2),)),
    "relu3_1": (256, ((128, 2), (64, 2))),
    "relu4_1": (512, ((256, 3), (128, 2), (64, 2))),
}

# Standard deviations of VGG16's features on the Caffe scale, of drawn characters; that
# of "relu4_1" was not measured. Divided by them, every tap counts alike in the loss.
DEVIATIONS = {"relu1_1": 50.0, "relu2_1": 210.0, "relu3_1": 360.0, "relu4_1": 360.0}


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
        from_zero: Whether the last convolution begins as zeros. Defaults to `False`.
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
        from_zero: bool = False,
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
                kernel_initializer="zeros" if last and from_zero else "he_normal",
                dtype=dtype,
                name="colours" if last else f"convolution_{i}",
            )(x)
        super().__init__(inputs=inputs, outputs=as_float32(x), **kwargs)
        self.keep(dtype, channels=channels, blocks=blocks, from_zero=from_zero)


class SeesStyle(keras.Model):
    """A network that learns by features of VGG16, which is frozen and not saved.

    Args:
        tap: Where the deepest features are taken, "relu2_1", "relu3_1" or "relu4_1".
            The package holds VGG16 up to "relu3_3".
        vgg_weights: See `oppai.models.vgg.load_vgg_features`.
        **kwargs: `name` and `trainable`.

    Raises:
        UserError: If features cannot be taken there, or VGG16's file is wrong.
    """

    def __init__(self, tap: str, vgg_weights: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_choice("tap", tap, tuple(OF_VGG16)[1:])
        self.tap, self.vgg_weights = tap, str(vgg_weights)
        self.taps = tuple(f"relu{i}_1" for i in range(1, int(tap[4]) + 1))
        vgg: Any = load_vgg_features(vgg_weights, taps=self.taps, dtype="float32")
        self._vgg, network = vgg, vgg.network
        self._vgg_to = {  # the same layers, no further than each tap
            each: FrozenFeatures(keras.Model(network.input, output))
            for each, output in zip(self.taps, network.outputs, strict=True)
        }

    def features(self, pictures: Any) -> list[Any]:
        """Return VGG16's features of signed pictures at its taps, of deviation 1."""
        found = self._vgg(pictures)
        return [each / DEVIATIONS[t] for each, t in zip(found, self.taps, strict=True)]

    def encode(self, pictures: Any, tap: str) -> Any:
        """Return the features of one tap, `(batch, height, width, channels)`."""
        (found,) = self._vgg_to[tap](pictures)
        return found / DEVIATIONS[tap]

    def get_config(self):
        return {
            "name": self.name,
            "trainable": self.trainable,
            "tap": self.tap,
            "vgg_weights": self.vgg_weights,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="oppai")
class StyleTransfer(SeesStyle):
    """Give a picture the style of another: VGG16, AdaIN, and a decoder that learns.

    With `coarse_to_fine` this is done at every tap, the deepest first: forms come
    before colours and contrasts, which are those of "relu1_1". A decoder makes no
    picture there but what changes it: D(adapted) - D(own features) is added to the
    picture, so that no line is lost, and in its own style the picture is the same.

    Example:
    ```python
    network = StyleTransfer("relu2_1")
    content, style = np.random.uniform(-1, 1, (2, 1, 32, 32, 3)).astype("float32")
    network([content, style]).shape  # (1, 32, 32, 3)
    ```

    Args:
        tap: As in `SeesStyle`. Defaults to "relu3_1".
        coarse_to_fine: Whether every tap has a decoder. Defaults to `False`.
        vgg_weights: As in `SeesStyle`. Defaults to "package".
        dtype: Dtype policy of the decoders. Defaults to `None`, the global policy.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: Two pictures, content and style, `(batch, height, width, 3)`, signed
            scale. The content's sides are multiples of 8.

    Returns:
        The content's shape, signed scale without bounds, float32.

    Reference:
        Huang and Belongie (2017), section 5; there with VGG19 and "relu4_1". Li et al.,
        "Universal Style Transfer via Feature Transforms" (2017), section 3.3, for
        coarse to fine; there with whitening in place of AdaIN.
    """

    multiple = 8

    def __init__(
        self,
        tap: str = "relu3_1",
        *,
        coarse_to_fine: bool = False,
        vgg_weights: str = "package",
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(tap, vgg_weights, **kwargs)
        self.coarse_to_fine = bool(coarse_to_fine)
        taps = self.taps[::-1] if coarse_to_fine else self.taps[-1:]
        self.decoder, *self.finer = (
            StyleDecoder(
                channels,
                blocks=blocks,
                from_zero=self.coarse_to_fine,
                dtype=dtype,
                name=f"decoder_{each}",
            )
            for each in taps
            for channels, blocks in (OF_VGG16[each],)
        )
        self.dtype_policy = self.decoder.dtype_policy
        self.built = True

    @property
    def stages(self) -> list[tuple[str, Any]]:
        """The taps with their decoders, in the order of their work."""
        decoders = [self.decoder, *self.finer]
        return list(zip(self.taps[::-1], decoders, strict=False))

    def call(self, inputs, training=False):
        x, style = inputs
        wanted = dict(zip(self.taps, self.features(style), strict=True))
        for tap, decoder in self.stages:
            own = self.encode(x, tap)
            x = self.decode(decoder, x, own, adapt(own, wanted[tap]), training)
        return x

    def decode(
        self, decoder: Any, picture: Any, own: Any, mixed: Any, training: bool = False
    ) -> Any:
        """Return a signed picture whose features shall be `mixed` in place of `own`."""
        made = decoder(mixed, training=training)
        if not self.coarse_to_fine:
            return made
        return picture + made - decoder(own, training=training)

    def get_config(self):
        return {
            **super().get_config(),
            "coarse_to_fine": self.coarse_to_fine,
            "dtype": self.decoder.get_config()["dtype"],
        }


@keras.saving.register_keras_serializable(package="oppai")
class MirrorPadding(layers.Layer):
    """Add pixels at every side, mirrored at the middle of the outermost.

    Example:
    ```python
    MirrorPadding()(np.zeros((1, 4, 4, 3), "float32")).shape  # (1, 6, 6, 3)
    ```

    Args:
        pixels: How many. Defaults to 1.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, height, width, channels)`, more than `pixels` each way.

    Returns:
        `(batch, height + 2 · pixels, width + 2 · pixels, channels)`.
    """

    def __init__(self, pixels: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pixels = pixels

    def call(self, inputs):
        both = (self.pixels, self.pixels)
        return ops.pad(inputs, ((0, 0), both, both, (0, 0)), mode="reflect")

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        sides = (side and side + 2 * self.pixels for side in (height, width))
        return (batch, *sides, channels)

    def get_config(self):
        return {**super().get_config(), "pixels": self.pixels}


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
