"""What each pixel shows: hair, face, clothes or background."""

from typing import Any

import keras
from keras import layers, ops

from illustkit.options import check_choice
from oppai.translation.blocks import TranslationNetwork, as_float32, convolve

VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


@keras.saving.register_keras_serializable(package="oppai")
class FCN8s(TranslationNetwork):
    """The fully convolutional network with strides of 8 pixels.

    VGG16 with its fully connected layers as convolutions, a score for each class from
    its last three poolings, and bilinear enlargement. Layers are named as in VGG16 of
    Keras, so that its weights load by name. With 21 classes it has 134,362,751 weights
    that learn; those of the enlargement are fixed.

    Example:
    ```python
    network = FCN8s(4, scale=1 / 32)
    pictures = np.zeros((1, 64, 64, 3), "float32")
    network(pictures).shape  # (1, 64, 64, 4)
    ```

    Args:
        n_classes: Number of classes. Defaults to 21.
        scale: Factor of all numbers of filters. Defaults to 1.
        dropout: Rate after each of the two large layers. Defaults to 0.5.
        stride: 32, 16 or 8: what the scores that learn see in steps of, in pixels. The
            finer ones, which begin as zeros, stay so, as in FCN-32s and FCN-16s; a
            network of a smaller stride begins with these weights. Defaults to 8.
        dtype: Dtype policy of the layers. Defaults to `None`, the global policy.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: `(batch, height, width, 3)`, Caffe scale; sides are multiples of 32.

    Returns:
        Logits `(batch, height, width, n_classes)`, float32.

    Reference:
        Long et al., "Fully Convolutional Networks for Semantic Segmentation" (2015),
        section 4.2. It pads by 100 pixels and crops; here "same" padding does.
    """

    multiple = 32

    def __init__(
        self,
        n_classes: int = 21,
        *,
        scale: float = 1.0,
        dropout: float = 0.5,
        stride: int = 8,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        check_choice("stride", stride, (32, 16, 8))

        def n(width):
            return max(2, round(width * scale))

        options: dict[str, Any] = {"norm": False, "dtype": dtype}
        inputs = x = keras.Input((None, None, 3), name="inputs")
        pooled = []
        for i, widths in enumerate(VGG16, start=1):
            for j, width in enumerate(widths, start=1):
                x = convolve(x, n(width), 3, name=f"block{i}_conv{j}", **options)
            x = layers.MaxPooling2D(dtype=dtype, name=f"block{i}_pool")(x)
            pooled.append(x)
        for name, kernel in (("fc1", 7), ("fc2", 1)):
            x = convolve(x, n(4096), kernel, name=name, **options)
            x = layers.Dropout(dropout, dtype=dtype, name=f"{name}_dropout")(x)
        scores = [
            layers.Conv2D(
                n_classes,
                1,
                kernel_initializer="zeros",
                trainable=each >= stride,
                dtype=dtype,
                name=f"score_{each}",
            )
            for each in (32, 16, 8)
        ]
        x = scores[0](x)
        for i, score in enumerate(scores[1:]):
            x = BilinearUpsampling(2, dtype=dtype, name=f"up_{i}")(x)
            x = layers.Add(dtype=dtype, name=f"sum_{i}")([x, score(pooled[3 - i])])
        x = BilinearUpsampling(8, dtype=dtype, name="up_2")(x)
        super().__init__(inputs=inputs, outputs=as_float32(x), **kwargs)
        self.keep(
            dtype, n_classes=n_classes, scale=scale, dropout=dropout, stride=stride
        )


@keras.saving.register_keras_serializable(package="oppai")
class BilinearUpsampling(layers.Layer):
    """Enlarge features by a fixed transposed convolution with a bilinear kernel.

    Outside its border a picture counts as 0, as in FCN. `UpSampling2D` repeats the
    border instead, and has no second gradient on TensorFlow.

    Example:
    ```python
    BilinearUpsampling(2)(np.ones((1, 4, 4, 3), "float32")).shape  # (1, 8, 8, 3)
    ```

    Args:
        factor: Whole factor.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, height, width, channels)`.

    Returns:
        `(batch, factor · height, factor · width, channels)`.

    Reference:
        Long et al. (2015), section 3.3.
    """

    def __init__(self, factor: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        factor, channels = self.factor, inputs.shape[-1]
        side = 2 * factor - factor % 2
        centre = (side - 1) / 2
        line = 1 - ops.abs(ops.arange(side, dtype="float32") - centre) / factor
        kernel = ops.cast(line[:, None] * line, self.compute_dtype)
        # One channel at a time: as a batch of pictures of one channel.
        shape = ops.shape(inputs)
        x = ops.reshape(ops.transpose(inputs, (0, 3, 1, 2)), (-1, *shape[1:3], 1))
        x = ops.conv_transpose(x, kernel[..., None, None], factor, padding="same")
        shape = ops.shape(x)
        x = ops.reshape(x, (-1, channels, *shape[1:3]))
        return ops.transpose(x, (0, 2, 3, 1))

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        sides = [s and s * self.factor for s in (height, width)]
        return (batch, *sides, channels)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable(package="oppai")
class UNet(TranslationNetwork):
    """The U-Net of medical pictures, which also segments drawings.

    Four poolings halve the picture, four transposed convolutions double it, and two
    3×3 convolutions follow each. With one channel and two classes it has 31,030,658
    weights.

    Example:
    ```python
    network = UNet(3, 4, filters=4)
    pictures = np.zeros((1, 64, 64, 3), "float32")
    network(pictures).shape  # (1, 64, 64, 4)
    ```

    Args:
        channels: Channels of the input. Defaults to 1.
        n_classes: Number of classes. Defaults to 2.
        filters: Filters of the first convolution. Defaults to 64.
        norm: Whether BatchNorm follows each convolution; the paper has none. Defaults
            to `False`.
        dropout: Rate at the end of the way down. Defaults to 0.5.
        dtype: Dtype policy of the layers. Defaults to `None`, the global policy.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: `(batch, height, width, channels)`, signed scale; sides are multiples of
            16.

    Returns:
        Logits `(batch, height, width, n_classes)`, float32.

    Reference:
        Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image
        Segmentation" (2015). Its convolutions do not pad; here they do.
    """

    multiple = 16

    def __init__(
        self,
        channels: int = 1,
        n_classes: int = 2,
        *,
        filters: int = 64,
        norm: bool = False,
        dropout: float = 0.5,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        options: dict[str, Any] = {"norm": norm, "dtype": dtype}
        inputs = x = keras.Input((None, None, channels), name="inputs")
        skips = []
        for i in range(5):
            for j in range(2):
                x = convolve(x, filters * 2**i, 3, name=f"down_{i}_{j}", **options)
            if i > 2:
                x = layers.Dropout(dropout, dtype=dtype, name=f"dropout_{i}")(x)
            if i < 4:
                skips.append(x)
                x = layers.MaxPooling2D(dtype=dtype, name=f"pool_{i}")(x)
        for i in reversed(range(4)):
            width = filters * 2**i
            x = layers.Conv2DTranspose(
                width, 2, strides=2, dtype=dtype, name=f"double_{i}"
            )(x)
            x = layers.Concatenate(dtype=dtype, name=f"skip_{i}")([skips.pop(), x])
            for j in range(2):
                x = convolve(x, width, 3, name=f"up_{i}_{j}", **options)
        x = layers.Conv2D(n_classes, 1, dtype=dtype, name="logits")(x)
        super().__init__(inputs=inputs, outputs=as_float32(x), **kwargs)
        self.keep(
            dtype,
            channels=channels,
            n_classes=n_classes,
            filters=filters,
            norm=norm,
            dropout=dropout,
        )
