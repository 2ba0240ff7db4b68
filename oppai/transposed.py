"""The transposed partial convolution: learned upsampling that respects holes."""

import keras
import numpy as np
from keras import ops

from oppai._partial import PartialConvolution, shapes_of, window_sum


@keras.saving.register_keras_serializable(package="oppai")
class PConv2DTranspose(PartialConvolution):
    """Transposed partial convolution: upsampling that spreads valid values only.

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
        activation, use_bias, **kwargs: And all others: as in `PConv2D`.

    Returns:
        `[features, mask]`, `strides` times as high and wide, as in `PConv2D`.

    Raises:
        ValueError: For arguments or shapes that do not fit together.

    Reference:
        The chapter, exercise 1; the renormalisation is that of Liu et al. 2018.
    """

    def __init__(self, filters, kernel_size, strides=1, **kwargs):
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
    """How many input pixels reach output pixel 0, 1, … stride − 1 on one axis."""
    return [len(range((p + crop) % stride, size, stride)) for p in range(stride)]
