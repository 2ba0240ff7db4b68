"""Colours for grey pictures, by what the whole picture shows and by a user's hints."""

from typing import Any

import cv2
import keras
import numpy as np
from keras import layers, ops

from oppai.translation.blocks import TranslationNetwork, as_float32, connect, convolve

LOW = ((2, 64), (1, 128), (2, 128), (1, 256), (2, 256), (1, 512))  # stride, filters
GLOBAL = ((2, 512), (1, 512), (2, 512), (1, 512))
UNITS = (1024, 512, 256)


@keras.saving.register_keras_serializable(package="oppai")
class ColorizationNetwork(TranslationNetwork):
    """Give a grey picture colours.

    One branch sees the picture at its own size. Another sees it at one small size and
    ends in one vector for the whole picture, such as whether it shows day or night; its
    first layers are the first branch's. Both are joined at every pixel. A third
    branch, which is only trained, tells the class of the picture from that vector. With
    205 classes the network has 42,367,343 weights.

    Example:
    ```python
    network = ColorizationNetwork(n_classes=4, scale=1 / 16, global_size=32)
    grey = np.random.uniform(0, 1, (1, 64, 64, 1)).astype("float32")
    small = grey[:, ::2, ::2]
    colours, classes = network([grey, small])  # (1, 64, 64, 2) and (1, 4)
    ```

    Args:
        n_classes: Number of classes; 0 leaves their branch out. Defaults to 0.
        hints: Whether the grey picture has three more channels: the two colours that a
            user gave to single pixels, 0 elsewhere, and where these are. The small
            picture has none. Defaults to `False`.
        whole: Whether there is a branch for the whole picture. Defaults to `True`.
        scale: Factor of all numbers of filters and units. Defaults to 1.
        global_size: Side of the small picture in pixels, a multiple of 32. Defaults to
            224.
        dtype: Dtype policy of the layers. Defaults to `None`, the global policy.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: Lightness `(batch, height, width, 1)` (4 with hints), unit scale, whose
            sides are multiples of 8, and the small picture `(batch, global_size,
            global_size, 1)`.

    Returns:
        The colours a* and b*, `(batch, height, width, 2)`, 0 to 1 for the range of
        `illustkit.images.scales.lab_to_unit`; with classes also their logits `(batch,
        n_classes)`. float32.

    Reference:
        Iizuka et al., "Let there be Color!" (2016), table 1; Zhang et al., "Real-Time
        User-Guided Image Colorization" (2017), for the hints; seed 003.
    """

    multiple = 8

    def __init__(
        self,
        n_classes: int = 0,
        *,
        hints: bool = False,
        whole: bool = True,
        scale: float = 1.0,
        global_size: int = 224,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        def n(width):
            return max(2, round(width * scale))

        options: dict[str, Any] = {"dtype": dtype}
        picture = keras.Input((None, None, 4 if hints else 1), name="picture")
        small = keras.Input((global_size, global_size, 1), name="small")
        seen = small
        if hints:  # nobody gives hints to the small picture
            seen = layers.ZeroPadding3D(
                ((0, 0), (0, 0), (0, 3)), dtype=dtype, name="no_hints"
            )(layers.Reshape((global_size, global_size, 1, 1), dtype=dtype)(small))
            seen = layers.Reshape((global_size, global_size, 4), dtype=dtype)(seen)
        low = self._low(n, picture.shape[-1], dtype)
        x = low(picture)
        x = convolve(x, n(512), 3, name="middle_0", **options)
        x = convolve(x, n(256), 3, name="middle_1", **options)
        logits = None
        if whole or n_classes:
            y = low(seen)
            for i, (stride, width) in enumerate(GLOBAL):
                y = convolve(
                    y, n(width), 3, strides=stride, name=f"global_{i}", **options
                )
            y = layers.Flatten(dtype=dtype, name="flat")(y)
            for i, units in enumerate(UNITS):
                y = connect(y, n(units), name=f"whole_{i}", dtype=dtype)
                if i == 1 and n_classes:
                    logits = connect(y, n(256), name="class_0", dtype=dtype)
                    logits = connect(
                        logits,
                        n_classes,
                        norm=False,
                        activation=None,
                        name="class_1",
                        dtype=dtype,
                    )
            if whole:
                x = AppendVector(dtype=dtype, name="join")([x, y])
        x = convolve(x, n(256), 1, name="fusion", **options)
        x = convolve(x, n(128), 3, name="colours_0", **options)
        for i, widths in enumerate(((64, 64), (32, 2))):
            x = layers.UpSampling2D(dtype=dtype, name=f"up_{i}")(x)
            for j, width in enumerate(widths):
                last = width == 2
                x = convolve(
                    x,
                    2 if last else n(width),
                    3,
                    norm=not last,
                    activation=None if last else "relu",
                    name=f"colours_{i + 1}_{j}",
                    **options,
                )
        x = as_float32(x, "sigmoid")
        x = layers.UpSampling2D(dtype="float32", name="up_2")(x)
        outputs = x
        if n_classes:
            to_float32 = layers.Activation("linear", dtype="float32", name="classes")
            outputs = [x, to_float32(logits)]
        super().__init__(inputs=[picture, small], outputs=outputs, **kwargs)
        self.keep(
            dtype,
            n_classes=n_classes,
            hints=hints,
            whole=whole,
            scale=scale,
            global_size=global_size,
        )

    @staticmethod
    def _low(n, channels, dtype):
        """Return the layers that both branches share."""
        inputs = x = keras.Input((None, None, channels))
        for i, (stride, width) in enumerate(LOW):
            x = convolve(x, n(width), 3, strides=stride, name=f"low_{i}", dtype=dtype)
        return keras.Model(inputs, x, name="low")


@keras.saving.register_keras_serializable(package="oppai")
class AppendVector(layers.Layer):
    """Append one vector of a picture to the features of its every pixel.

    Example:
    ```python
    features, vector = np.zeros((2, 4, 4, 3)), np.ones((2, 5))
    AppendVector()([features, vector]).shape  # (2, 4, 4, 8)
    ```

    Args:
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        inputs: Features `(batch, height, width, channels)` and vectors `(batch, n)`.

    Returns:
        `(batch, height, width, channels + n)`.
    """

    def call(self, inputs):
        x, vector = inputs
        vector = ops.cast(vector, x.dtype)[:, None, None]
        shape = (*ops.shape(x)[:3], vector.shape[-1])
        return ops.concatenate([x, ops.broadcast_to(vector, shape)], axis=-1)

    def compute_output_shape(self, input_shape):
        features, vector = input_shape
        return (*features[:-1], features[-1] + vector[-1])


def enlarge_by_guide(
    coarse: np.ndarray,
    small: np.ndarray,
    large: np.ndarray,
    *,
    radius: int = 3,
    epsilon: float = 1e-3,
) -> np.ndarray:
    """Enlarge colours so that they end where the lightness of the picture does.

    In each window the colours are a line through the lightness, `a·L + b`; the lines
    are enlarged, and the large picture's lightness put in.

    Example:
    ```python
    grey = np.random.randint(0, 256, (64, 80, 1), "uint8")
    colours = np.random.uniform(0, 1, (32, 40, 2)).astype("float32")
    enlarge_by_guide(colours, grey[::2, ::2], grey).shape  # (64, 80, 2)
    ```

    Args:
        coarse: Colours `(height, width, 2)`, float32, unit scale.
        small: The lightness that they belong to, uint8 `(height, width, 1)`.
        large: The lightness of the whole picture, uint8 `(large height, large width,
            1)`.
        radius: Pixels of a window to each side, in the small picture. Defaults to 3.
        epsilon: Variance of the lightness below which a window's colours are their
            mean. Defaults to 1e-3.

    Returns:
        float32 `(large height, large width, 2)`.

    Reference:
        He and Sun, "Fast Guided Filter" (2015), algorithm 2.
    """
    side = 2 * radius + 1

    def mean(array):
        blurred = cv2.blur(array, (side, side), borderType=cv2.BORDER_REFLECT_101)
        return blurred.reshape(array.shape)

    guide = small.astype("float32") / 255
    middle, colours = mean(guide), mean(coarse)
    variance = mean(guide**2) - middle**2
    slope = (mean(guide * coarse) - middle * colours) / (variance + epsilon)
    lines = mean(np.concatenate([slope, colours - slope * middle], axis=-1))
    lines = cv2.resize(lines, large.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return lines[..., :2] * (large.astype("float32") / 255) + lines[..., 2:]
