"""Completion by a network that a global and a local discriminator judge (GLCIC)."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from oppai.models.mosaic_unet import LayerMaker, as_stages, residual_stages
from oppai.translation.blocks import TranslationNetwork, as_float32, connect, convolve

COMPLETION = (
    # kernel, stride or dilation, filters; 64 filters are scale 1.
    *((5, 1, 64), (3, 2, 128), (3, 1, 128), (3, 2, 256), (3, 1, 256), (3, 1, 256)),
    *((3, "dilated", 2**i * 2) for i in range(4)),
    *((3, 1, 256), (3, 1, 256)),
)


@keras.saving.register_keras_serializable(package="oppai")
class CompletionNetwork(TranslationNetwork):
    """Fill a hole with what fits to the picture around it.

    Two convolutions halve the picture, so that four dilated ones (2, 4, 8 and 16 pixels
    between the taps) see 307×307 pixels around each, and two transposed ones double it
    again. It has 6,072,131 weights.

    Example:
    ```python
    network = CompletionNetwork(filters=8)
    seen = np.random.uniform(0, 1, (1, 64, 64, 4)).astype("float32")
    network(seen).shape  # (1, 64, 64, 3)
    ```

    Args:
        filters: Filters of the first convolution; the others grow with it. Defaults to
            64.
        dtype: Dtype policy of the layers. Defaults to `None`, the global policy.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: `(batch, height, width, 4)`: the picture on the unit scale, its hole
            filled with one colour, and the mask, 1 in the hole. Sides are multiples of
            4.

    Returns:
        `(batch, height, width, 3)`, unit scale, float32.

    Reference:
        Iizuka et al., "Globally and Locally Consistent Image Completion" (2017), table
        1; seed 003.
    """

    multiple = 4

    def __init__(self, filters: int = 64, *, dtype: Any = None, **kwargs: Any) -> None:
        inputs = x = keras.Input((None, None, 4), name="inputs")
        for i, (kernel, stride, width) in enumerate(COMPLETION):
            if stride == "dilated":
                options = {"dilation": width}
                width = 256
            else:
                options = {"strides": stride}
            x = convolve(
                x,
                width * filters // 64,
                kernel,
                name=f"convolution_{i}",
                dtype=dtype,
                **options,
            )
        for i, width in enumerate((128, 64)):
            x = convolve(
                x,
                width * filters // 64,
                4,
                strides=2,
                transposed=True,
                name=f"up_{i}",
                dtype=dtype,
            )
            width = (128, 32)[i]
            x = convolve(x, width * filters // 64, 3, name=f"after_{i}", dtype=dtype)
        x = convolve(x, 3, 3, norm=False, activation=None, name="colours", dtype=dtype)
        super().__init__(inputs=inputs, outputs=as_float32(x, "sigmoid"), **kwargs)
        self.keep(dtype, filters=filters)


@keras.saving.register_keras_serializable(package="oppai")
class ResidualCompletionNetwork(TranslationNetwork):
    """Correct what a filter has filled a hole with.

    A U-Net of residual blocks sees the filled picture, the picture without the hole,
    and the hole. What its last convolution returns is added in the hole. It begins with
    zeros: untrained, the network returns the filter's result.

    Example:
    ```python
    network = ResidualCompletionNetwork(widths=(8, 16), blocks=(0, 1))
    seen = np.random.uniform(0, 1, (1, 32, 32, 4)).astype("float32")
    network(seen).shape  # (1, 32, 32, 3)
    ```

    Args:
        widths: Channels of each stage; each next one has half the size. Defaults to
            `(16, 32, 64, 128, 192)`.
        blocks: Residual blocks of each stage, as in `oppai.MosaicUNet`. Defaults to
            `(0, 1, 2, 2, 1)`.
        slope: Of the leaky ReLU. Defaults to 0.2.
        dtype: Dtype policy of the convolutions; the sum is float32. Defaults to `None`,
            the global policy.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: `(batch, height, width, 4)`: the picture on the unit scale, its hole
            filled by a filter, and the mask, 1 in the hole. Sides are multiples of
            `multiple`.

    Returns:
        `(batch, height, width, 3)`, unit scale, float32; the picture itself outside the
        hole.

    Reference:
        Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution"
        (2017), for the blocks.
    """

    def __init__(
        self,
        widths: Sequence[int] = (16, 32, 64, 128, 192),
        blocks: Sequence[int] = (0, 1, 2, 2, 1),
        slope: float = 0.2,
        *,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        widths, blocks = as_stages(widths, blocks)
        make = LayerMaker(slope, dtype)
        inputs = keras.Input((None, None, 4), name="inputs")
        picture, hole = inputs[..., :3], inputs[..., 3:]
        signed = 2 * picture - 1
        seen = layers.Concatenate(dtype=dtype, name="seen")(
            [signed, signed * (1 - hole), hole]
        )
        x = make.convolution(widths[0], kernel=5, name="stem")(seen)
        x = residual_stages(make, make.activate(x), widths, blocks)
        change = make.convolution(3, name="last", scale=0)(x)
        filled = layers.Add(dtype="float32", name="filled")(
            [picture, hole * as_float32(change) / 2]
        )
        super().__init__(inputs=inputs, outputs=filled, **kwargs)
        self.keep(dtype, widths=widths, blocks=blocks, slope=slope)

    @property
    def multiple(self) -> int:  # type: ignore[override]
        """Number of which the sides of a picture are multiples."""
        return 2 ** (len(self.widths) - 1)


@keras.saving.register_keras_serializable(package="oppai")
class CompletionDiscriminator(TranslationNetwork):
    """Judge a completed picture as a whole, and the part around its hole.

    One branch sees the whole picture, the other a square of half its side around the
    hole. Both end in a vector, and one layer judges the two together. With 256 pixels
    it has 45,063,681 weights.

    Example:
    ```python
    judge = CompletionDiscriminator(64, filters=8, units=32)
    whole, part = np.zeros((1, 64, 64, 3)), np.zeros((1, 32, 32, 3))
    judge([whole, part]).shape  # (1, 1)
    ```

    Args:
        image_size: Side of the pictures in pixels, a multiple of 64. Defaults to 256.
        filters: Filters of the first convolution. Defaults to 64.
        units: Length of each branch's vector. Defaults to 1024.
        dtype: Dtype policy of the layers. Defaults to `None`, the global policy.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: The pictures `(batch, side, side, 3)` and their parts `(batch, side / 2,
            side / 2, 3)`, unit scale.

    Returns:
        Logits, float32 `(batch, 1)`.

    Reference:
        Iizuka et al. (2017), table 2.
    """

    def __init__(
        self,
        image_size: int = 256,
        *,
        filters: int = 64,
        units: int = 1024,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        sides = {"whole": image_size, "part": image_size // 2}
        inputs = [keras.Input((s, s, 3), name=name) for name, s in sides.items()]
        vectors = []
        for x, name in zip(inputs, sides, strict=True):
            # Each ends at 4×4 of a picture of 256: the local one has a layer less.
            for i in range(6 if name == "whole" else 5):
                width = filters * min(2**i, 8)
                x = convolve(x, width, 5, strides=2, name=f"{name}_{i}", dtype=dtype)
            x = layers.Flatten(dtype=dtype, name=f"{name}_flat")(x)
            vectors.append(
                connect(x, units, norm=False, name=name + "_vector", dtype=dtype)
            )
        x = layers.Concatenate(dtype=dtype, name="both")(vectors)
        x = connect(x, 1, norm=False, activation=None, name="logit", dtype=dtype)
        super().__init__(inputs=inputs, outputs=as_float32(x), **kwargs)
        self.keep(dtype, image_size=image_size, filters=filters, units=units)
