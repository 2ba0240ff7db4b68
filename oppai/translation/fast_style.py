"""The second network of styles: two encoders, one of which sees the style alone."""

from typing import Any

import keras
from keras import layers

from oppai.translation.blocks import TranslationNetwork, as_float32, connect
from oppai.translation.colorization import AppendVector
from oppai.translation.style import MirrorPadding, SeesStyle

ENCODED = ((9, 1, 32), (3, 2, 64), (3, 2, 128))  # kernel, stride, filters
RESIDUAL_BLOCKS = 5


@keras.saving.register_keras_serializable(package="oppai")
class StyleEncoder(TranslationNetwork):
    """Describe the style of a picture of any size by one vector.

    Four convolutions, the mean over the pixels and a connected layer. Nothing is
    normalised: brightness and contrast belong to a style.

    Example:
    ```python
    encoder = StyleEncoder(8, scale=1 / 16)
    encoder(np.zeros((1, 32, 40, 3), "float32")).shape  # (1, 8)
    ```

    Args:
        length: Length of the vector. Defaults to 128.
        scale: Factor of all numbers of filters. Defaults to 1.
        dtype: Dtype policy of the layers. Defaults to `None`, the global policy.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: `(batch, height, width, 3)`, signed scale.

    Returns:
        `(batch, length)`, float32.

    Reference:
        Yanai, "Unseen Style Transfer Based on a Conditional Fast Style Transfer
        Network" (2017); seed 002, section 3.3. Its widths are our own.
    """

    def __init__(
        self,
        length: int = 128,
        *,
        scale: float = 1.0,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        inputs = x = keras.Input((None, None, 3), name="inputs")
        for i, (kernel, stride, width) in enumerate((*ENCODED, ENCODED[-1])):
            name = f"convolution_{i}"
            x = _mirrored(x, _scaled(width, scale), kernel, name, dtype, stride=stride)
            x = layers.Activation("relu", dtype=dtype, name=f"{name}_act")(x)
        x = layers.GlobalAveragePooling2D(dtype=dtype, name="mean")(x)
        options: dict[str, Any] = {"norm": False, "activation": None, "dtype": dtype}
        x = connect(x, length, name="style", **options)
        super().__init__(inputs=inputs, outputs=as_float32(x), **kwargs)
        self.keep(dtype, length=length, scale=scale)


@keras.saving.register_keras_serializable(package="oppai")
class FastStyleNetwork(TranslationNetwork):
    """Paint a picture in the style that a vector describes.

    It is the fast style network with instance normalisation, which has 1,679,235
    weights for one style. Here the vector is appended to every pixel where the picture
    is smallest, and a 1×1 convolution mixes both.

    Example:
    ```python
    network = FastStyleNetwork(8, scale=1 / 16)
    picture, style = np.zeros((1, 32, 32, 3)), np.zeros((1, 8))
    network([picture, style]).shape  # (1, 32, 32, 3)
    ```

    Args:
        length: Length of the vector. Defaults to 128.
        scale: Factor of all numbers of filters. Defaults to 1.
        dtype: Dtype policy of the layers. Defaults to `None`, the global policy.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: Pictures `(batch, height, width, 3)`, signed scale, whose sides are
            multiples of 4 and at least 8, and vectors `(batch, length)`.

    Returns:
        `(batch, height, width, 3)`, signed scale without bounds, float32.

    Reference:
        Johnson et al., "Perceptual Losses for Real-Time Style Transfer and
        Super-Resolution" (2016), supplement, padded by mirroring and enlarged by
        repeated pixels; Ulyanov et al., "Instance Normalization" (2016); Yanai (2017).
    """

    multiple = 4

    def __init__(
        self,
        length: int = 128,
        *,
        scale: float = 1.0,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        def convolve(x, width, kernel, name, *, stride=1, relu=True):
            x = _mirrored(x, width, kernel, name, dtype, stride=stride)
            x = layers.GroupNormalization(
                -1, epsilon=1e-5, dtype=dtype, name=f"{name}_norm"
            )(x)
            if relu:
                x = layers.Activation("relu", dtype=dtype, name=f"{name}_act")(x)
            return x

        inputs = [
            keras.Input((None, None, 3), name="picture"),
            keras.Input((length,), name="style"),
        ]
        x = inputs[0]
        widths = [_scaled(width, scale) for _, _, width in ENCODED]
        for i, (kernel, stride, _) in enumerate(ENCODED):
            x = convolve(x, widths[i], kernel, f"down_{i}", stride=stride)
        x = AppendVector(dtype=dtype, name="styled")([x, inputs[1]])
        x = convolve(x, widths[-1], 1, "mixed")
        for i in range(RESIDUAL_BLOCKS):
            y = convolve(x, widths[-1], 3, f"residual_{i}_a")
            y = convolve(y, widths[-1], 3, f"residual_{i}_b", relu=False)
            x = layers.Add(dtype=dtype, name=f"residual_{i}")([x, y])
        for i in (1, 0):
            x = layers.UpSampling2D(dtype=dtype, name=f"double_{i}")(x)
            x = convolve(x, widths[i], 3, f"up_{i}")
        x = _mirrored(x, 3, 9, "colours", dtype)
        super().__init__(inputs=inputs, outputs=as_float32(x), **kwargs)
        self.keep(dtype, length=length, scale=scale)


@keras.saving.register_keras_serializable(package="oppai")
class TwoEncoderStyleTransfer(SeesStyle):
    """Give a picture the style of another: an encoder of styles and a painter.

    Both learn; VGG16 only judges them.

    Example:
    ```python
    network = TwoEncoderStyleTransfer(8, scale=1 / 16, tap="relu2_1")
    content, style = np.random.uniform(-1, 1, (2, 1, 32, 32, 3)).astype("float32")
    network([content, style]).shape  # (1, 32, 32, 3)
    ```

    Args:
        length: Length of a style's vector. Defaults to 128.
        scale: Factor of all numbers of filters. Defaults to 1.
        tap: As in `SeesStyle`. Defaults to "relu3_1".
        vgg_weights: As in `SeesStyle`. Defaults to "package".
        dtype: Dtype policy of both networks. Defaults to `None`, the global policy.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: Two pictures, content and style, `(batch, height, width, 3)`, signed
            scale. The content's sides are multiples of 4.

    Returns:
        The content's shape, signed scale without bounds, float32.

    Reference:
        Yanai (2017); seed 002, section 3.3.
    """

    multiple = FastStyleNetwork.multiple

    def __init__(
        self,
        length: int = 128,
        *,
        scale: float = 1.0,
        tap: str = "relu3_1",
        vgg_weights: str = "package",
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(tap, vgg_weights, **kwargs)
        self.length, self.scale = length, scale
        self.encoder = StyleEncoder(length, scale=scale, dtype=dtype, name="encoder")
        self.painter = FastStyleNetwork(
            length, scale=scale, dtype=dtype, name="painter"
        )
        self.dtype_policy = self.painter.dtype_policy
        self.built = True

    def call(self, inputs, training=False):
        content, style = inputs
        vector = self.encoder(style, training=training)
        return self.painter([content, vector], training=training)

    def get_config(self):
        return {
            **super().get_config(),
            "length": self.length,
            "scale": self.scale,
            "dtype": self.painter.get_config()["dtype"],
        }


def _scaled(width, scale):
    return max(2, round(width * scale))


def _mirrored(x, width, kernel, name, dtype, stride=1):
    """Apply a convolution whose border is mirrored."""
    if kernel > 1:
        padding = MirrorPadding(kernel // 2, dtype=dtype, name=f"{name}_mirror")
        x = padding(x)
    return layers.Conv2D(
        width,
        kernel,
        stride,
        kernel_initializer="he_normal",
        dtype=dtype,
        name=name,
    )(x)
