"""The partial convolution, which knows which values are missing."""

import keras
import numpy as np
from keras import ops

from oppai._partial import PartialConvolution, one_of, pair_of, shapes_of, window_sum


@keras.saving.register_keras_serializable(package="oppai")
class PConv2D(PartialConvolution):
    """Partial convolution: a 2-D convolution over the valid values only.

    With `s` the number of valid values in the `k·k·C` window,

        ratio = k·k·C / max(s, 1)
        out   = (W * (x ⊙ m) · ratio + b) · [s > 0]        m' = [s > 0]

    so a window with few valid values is scaled up, and a window with none is 0 and
    stays a hole. Where all is valid this equals `Conv2D`; at the border of the picture
    the padding counts as hole (a 3×3 kernel in a corner: ×9/4). What stands in a hole,
    NaN and infinity included, has no influence, neither forward nor on the gradients.
    No gradient flows to the mask.

    The inputs are `[features, mask]`. A mask value counts as valid from 1 on; anything
    less is a hole (the chapter's `1 − sign(1 − m)`). For what one would concatenate,
    pass all pairs in one list, `[features_1, mask_1, features_2, mask_2, …]`: each part
    is masked by its own one-channel mask, and `s = C₁·box(m₁) + C₂·box(m₂) + …` is
    exactly the sum over concatenated masks of `C₁ + C₂ + …` channels.

    Faults of the book's layer that are mended here: its ratio `k·k/s` counted `s` over
    all channels, which shrinks features by the number of channels; its bias also
    filled holes; it padded both axes by `kernel_size[0]`, ignored `dilation_rate` and
    `padding`; it let a gradient into the mask; it kept `C` equal mask channels, summed
    by a convolution as dear as the one over the features.

    Example:
    ```python
    picture = np.random.rand(1, 64, 64, 3).astype("float32")
    mask = np.ones((1, 64, 64, 1), "float32")
    mask[:, 20:40, 20:40] = 0
    features, mask = oppai.PConv2D(32, 3, strides=2)([picture, mask])
    features.shape, mask.shape  # (1, 32, 32, 32), (1, 32, 32, 1)
    ```

    Args:
        filters: Number of output channels.
        kernel_size: Integer or pair (height, width).
        strides: Integer or pair. Together with a dilation, the convolution is computed
            at every pixel and thinned out. Defaults to `1`.
        dilation_rate: Integer or pair. Defaults to `1`.
        normalization: `"paper"`, as above, or `"book"`, which reproduces the chapter's
            numbers: `k·k` in place of `k·k·C`, and the bias also in holes (padding
            stays mended). Defaults to `"paper"`.
        padding: `"same"`: zeros `dilation · (k − 1) // 2` on every side, also under
            strides (TensorFlow's own is lopsided there), so the output is
            `ceil(size / stride)`; an even kernel has one more zero after than before.
            `"valid"`: none. Defaults to `"same"`.
        activation: Applied last, to the features. Defaults to `None`.
        use_bias: Defaults to `True`.
        kernel_initializer, bias_initializer: As in `keras.layers.Conv2D`.
        kernel_regularizer, bias_regularizer: As in `keras.layers.Conv2D`.
        kernel_constraint, bias_constraint: As in `keras.layers.Conv2D`.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: `[features, mask]` or more such pairs; features
            `(batch, height, width, channels)`, each mask of the same height and width
            with 1 channel or as many as its features, on the scale 0 to 1, any dtype.

    Returns:
        `[features, mask]`: `(batch, new_height, new_width, filters)` and
        `(batch, new_height, new_width, 1)`, the mask 0 or 1, both in the layer's
        compute dtype (sums and ratios are taken in float32).

    Raises:
        ValueError: For arguments or shapes that do not fit together.

    Reference:
        Liu et al. 2018, "Image Inpainting for Irregular Holes Using Partial
        Convolutions", equations 1 and 2; the chapter "DeepCreamPyで学ぶモザイク除去".
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        dilation_rate=1,
        normalization="paper",
        *,
        padding="same",
        **kwargs,
    ):
        super().__init__(filters, kernel_size, strides, **kwargs)
        self.dilation_rate = pair_of(dilation_rate, "dilation_rate")
        self.normalization = one_of(normalization, "normalization", ("paper", "book"))
        self.padding = one_of(padding, "padding", ("same", "valid"))

    @property
    def _spans(self):
        # rows (columns) from the first tap of the window to the last
        return [self.dilation_rate[i] * (self.kernel_size[i] - 1) for i in (0, 1)]

    @property
    def _pads(self):
        if self.padding == "valid":
            return (0, 0), (0, 0)
        return tuple((n // 2, n - n // 2) for n in self._spans)

    def _convolve(self, x):
        kernel = ops.cast(self.kernel, self.compute_dtype)
        if self.strides == (1, 1):
            return ops.conv(
                x, kernel, padding=self.padding, dilation_rate=self.dilation_rate
            )
        if self._pads != ((0, 0), (0, 0)):
            x = ops.pad(x, ((0, 0), *self._pads, (0, 0)))
        if self.dilation_rate == (1, 1):
            return ops.conv(x, kernel, strides=self.strides, padding="valid")
        x = ops.conv(x, kernel, padding="valid", dilation_rate=self.dilation_rate)
        return x[:, :: self.strides[0], :: self.strides[1]]

    def call(self, inputs):
        masked, count = self._mask(inputs)
        s = window_sum(
            count,
            self.kernel_size,
            strides=self.strides,
            dilation=self.dilation_rate,
            pads=self._pads,
        )[..., None]
        book = self.normalization == "book"
        window = float(np.prod(self.kernel_size) * (1 if book else self.channels))
        return self._finish(self._convolve(masked), window, s, bias_in_holes=book)

    def compute_output_shape(self, input_shape):
        batch, *sizes, _ = shapes_of(input_shape)[0]
        new = [
            None if n is None else (n + sum(pads) - span - 1) // stride + 1
            for n, pads, span, stride in zip(
                sizes, self._pads, self._spans, self.strides, strict=True
            )
        ]
        return [(batch, *new, self.filters), (batch, *new, 1)]

    def get_config(self):
        return {
            **super().get_config(),
            "dilation_rate": self.dilation_rate,
            "normalization": self.normalization,
            "padding": self.padding,
        }
