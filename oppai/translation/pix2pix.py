"""The generator of pix2pix: a U-Net that halves a picture until one pixel is left."""

from typing import Any

import keras
from keras import layers, ops

from illustkit.errors import UserError
from oppai.translation.blocks import TranslationNetwork, as_float32, convolve, normalise


@keras.saving.register_keras_serializable(package="oppai")
class Pix2PixUNet(TranslationNetwork):
    """The U-Net of pix2pix, from pictures to pictures.

    Each of `depth` convolutions of 4×4 halves the sides, and as many transposed ones
    double them again; each of these also sees the features of its size on the way
    down. The first three drop half of their features in training. With a depth of 8,
    three channels in and three out it has 54,413,955 trainable weights.

    Example:
    ```python
    network = Pix2PixUNet(filters=8, depth=5)
    lines = np.random.uniform(-1, 1, (1, 64, 64, 3)).astype("float32")
    network(lines).shape  # (1, 64, 64, 3)
    ```

    Args:
        channels: Channels of the input. Defaults to 3.
        out_channels: Channels of the output. Defaults to 3.
        filters: Filters of the first convolution; the following have two, four, and
            then eight times as many. Defaults to 64.
        depth: Number of halvings, 4 or more; a picture's sides must be multiples of
            `2 ** depth`. Defaults to 8, for 256 pixels.
        dropout: Rate of the dropout. Defaults to 0.5.
        dtype: Dtype policy of the layers. Defaults to `None`, the global policy.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: `(batch, height, width, channels)`, signed scale.

    Returns:
        `(batch, height, width, out_channels)`, signed scale, float32.

    Raises:
        UserError: If the depth is too small, or a side is no multiple.

    Reference:
        Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks"
        (2017), appendix 6.1.1.
    """

    def __init__(
        self,
        channels: int = 3,
        out_channels: int = 3,
        *,
        filters: int = 64,
        depth: int = 8,
        dropout: float = 0.5,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        if depth < 4:
            raise UserError(f"`depth` must be 4 or more. Received: {depth}")
        widths = [filters * min(2**i, 8) for i in range(depth)]
        options: dict[str, Any] = {"normal": True, "bias": False, "dtype": dtype}
        inputs = x = keras.Input((None, None, channels), name="inputs")
        skips = []
        for i, width in enumerate(widths):
            if i:
                x = layers.LeakyReLU(0.2, dtype=dtype, name=f"leaky_{i}")(x)
            x = convolve(
                x,
                width,
                4,
                strides=2,
                # The bottleneck may be one pixel, whose BatchNorm would be constant.
                norm=0 < i < depth - 1,
                activation=None,
                name=f"down_{i}",
                **options,
            )
            skips.append(x)
        skips.pop()
        for i in reversed(range(depth)):
            x = layers.ReLU(dtype=dtype, name=f"relu_{i}")(x)
            x = convolve(
                x,
                widths[i - 1] if i else out_channels,
                4,
                strides=2,
                transposed=True,
                norm=False,
                activation=None,
                name=f"up_{i}",
                **options | {"bias": not i},
            )
            if not i:
                break
            x = normalise(x, normal=True, name=f"up_{i}_norm", dtype=dtype)
            if i >= depth - 3:
                x = layers.Dropout(dropout, dtype=dtype, name=f"dropout_{i}")(x)
            x = layers.Concatenate(dtype=dtype, name=f"skip_{i}")([x, skips.pop()])
        super().__init__(inputs=inputs, outputs=as_float32(x, "tanh"), **kwargs)
        self.multiple = 2**depth
        self.keep(
            dtype,
            channels=channels,
            out_channels=out_channels,
            filters=filters,
            depth=depth,
            dropout=dropout,
        )

    def call(self, inputs, training=None, mask=None):
        for side in ops.shape(inputs)[1:3]:
            if isinstance(side, int) and side % self.multiple:
                raise UserError(
                    f"A U-Net of depth {self.depth} takes sides that are multiples of "
                    f"{self.multiple}. Received: {side}"
                )
        return super().call(inputs, training=training, mask=mask)
