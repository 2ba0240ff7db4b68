"""The mosaic-aware network: a residual U-Net over the result of a filter."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from oppai.layers import PConv2D, one_of
from oppai.models.base_restorer import check_divisible
from oppai.models.hints import averaging, hints_of

CONSISTENCIES = ("gate", "always", "never")


@keras.saving.register_keras_serializable(package="oppai")
class MosaicUNet(keras.Model):
    """Residual U-Net that sees the mosaic and corrects the upsampled block means.

    The stem adds a plain convolution over all inputs and a partial one over the picture
    alone, in which missing content is a hole. Stages of residual
    blocks without normalisation (EDSR) shrink by strides and grow by nearest pixels,
    with sums for skips. The last convolution gives a change of the base and a gate: the
    difference of the mosaic's block means and those of the result is added, times the
    gate. A fully open gate projects on the pictures that have this mosaic.

    Example:
    ```python
    network = oppai.MosaicUNet(widths=(16, 24, 32), blocks=(1, 1, 1))
    inputs = mosaic_inputs(censored, mask, Grid((8, 8)))
    network({k: v[None] for k, v in inputs.items()}).shape  # (1, height, width, 3)
    ```

    Args:
        image_size: Side of the square pictures, or `None` for any size; divisible by
            `2 ** (len(widths) - 1)`. Defaults to `None`.
        widths: Channels of each stage; each next one has half the size. Defaults to
            `(16, 32, 64, 128, 192)`.
        blocks: Residual blocks of each stage, of the encoder and again of the decoder
            (the deepest has them once). Defaults to `(0, 1, 2, 2, 3)`.
        slope: Of the leaky ReLU. Defaults to 0.2.
        consistency: "gate", "always" (a gate that is always open) or "never".
            Defaults to `"gate"`.
        dtype: Dtype policy of the convolutions; the output is float32. Defaults to
            `None`, the global policy.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: Dict of float32 tensors, as `oppai.data.mosaic_inputs.mosaic_inputs`
            makes them, with the batch as first axis. In `hole` a hidden pixel is 1.

    Returns:
        `(batch, height, width, 3)`, float32, signed scale; undefined outside the
        hole.

    Raises:
        ValueError: If arguments or picture sizes do not fit together.

    Reference:
        Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution"
        (2017); Liu et al. 2018 (the partial convolution).
    """

    def __init__(
        self,
        image_size: int | None = None,
        *,
        widths: Sequence[int] = (16, 32, 64, 128, 192),
        blocks: Sequence[int] = (0, 1, 2, 2, 3),
        slope: float = 0.2,
        consistency: str = "gate",
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        widths, blocks = as_stages(widths, blocks)
        one_of(consistency, "consistency", CONSISTENCIES)
        side = image_size
        check_divisible(type(self).__name__, side, side, 2 ** (len(widths) - 1))
        make = LayerMaker(slope, dtype)
        inputs = {
            "censored": keras.Input((side, side, 3), name="censored"),
            "base": keras.Input((side, side, 3), name="base"),
            "hole": keras.Input((side, side, 1), name="hole"),
            "missing": keras.Input((side, side, 1), name="missing"),
            "grid": keras.Input((4,), name="grid"),
        }
        where = [inputs["hole"], inputs["missing"], inputs["grid"]]
        hints = Hints(dtype="float32", name="hints")(where)
        seen = layers.Concatenate(name="seen")(
            [inputs["base"], inputs["censored"], hints]
        )
        x = make.convolution(widths[0], name="stem")(seen)
        picture, _ = PConv2D(widths[0], 5, dtype=dtype, name="stem_partial")(
            [inputs["censored"], 1 - inputs["missing"]]
        )
        x = make.activate(layers.Add(dtype=dtype, name="stem_sum")([x, picture]))
        x = residual_stages(make, x, widths, blocks)
        # Not zero at first: a network that starts at the base stays there for long.
        x = make.convolution(4, name="last")(x)
        restored = Completion(consistency, dtype="float32", name="restored")(
            [x, inputs["base"], inputs["censored"], *where]
        )
        super().__init__(inputs=inputs, outputs=restored, **kwargs)
        self.dtype_policy = keras.dtype_policies.get(
            dtype or keras.config.dtype_policy()
        )
        self.image_size, self.widths, self.blocks = image_size, widths, blocks
        self.slope, self.consistency = slope, consistency
        self._own_dtype = None if dtype is None else self.dtype_policy.name

    @property
    def divisor(self) -> int:
        """Number by which height and width of a picture are divisible."""
        return 2 ** (len(self.widths) - 1)

    def call(self, inputs, training=None, mask=None):
        size = inputs["censored"].shape[1:3]
        check_divisible(type(self).__name__, *size, self.divisor)
        return super().call(inputs, training=training, mask=mask)

    def get_config(self):
        return {
            "name": self.name,
            "trainable": self.trainable,
            "image_size": self.image_size,
            "widths": self.widths,
            "blocks": self.blocks,
            "slope": self.slope,
            "consistency": self.consistency,
            "dtype": self._own_dtype,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="oppai")
class Hints(layers.Layer):
    """Tell the network at every pixel what is hidden and where in its block it lies.

    Call arguments:
        inputs: `[hole, missing, grid]`, as in `MosaicUNet`.

    Returns:
        `(batch, height, width, 8)`: the hole, its missing pixels, cosine and sine of
        the position in the block for x and y, and the octaves of the block's width and
        height over 8 pixels; the last six are 0 outside mosaics.
    """

    def call(self, inputs):
        hole, missing, grid = (ops.cast(x, "float32") for x in inputs)
        hints = hints_of(hole, missing, grid, _has_grid(grid), ops)
        return ops.cast(hints, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape[0][:-1], 8)


@keras.saving.register_keras_serializable(package="oppai")
class Completion(layers.Layer):
    """Add a change to the base, and correct the sum's block means towards the mosaic's.

    With the block averages `B`, the censored picture `c` and the sum `f`, the result is
    `f + g · (B c − B f)` in blocks that lie wholly in the hole; the gate `g` is between
    0 and 1. Where the mosaic's colours are the means of its blocks, an open gate cannot
    make the picture worse: it is the orthogonal projection on a plane that the truth
    lies in.

    Args:
        consistency: "gate", "always" or "never". Defaults to `"gate"`.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        inputs: `[change and gate (batch, height, width, 4), base, censored, hole,
            missing, grid]`, the last five as in `MosaicUNet`.

    Returns:
        `(batch, height, width, 3)`.
    """

    def __init__(self, consistency: str = "gate", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.consistency = consistency

    def call(self, inputs):
        last, base, censored, hole, missing, grid = inputs
        result = base + last[..., :3]
        if self.consistency == "never":
            return result
        lack = _blockwise(
            ops.concatenate([censored - result, hole - missing], -1), grid
        )
        whole = ops.cast(lack[..., 3:] > 0.999, lack.dtype)
        gate = whole
        if self.consistency == "gate":
            gate = whole * ops.sigmoid(last[..., 3:] + 2.0)
        return result + gate * lack[..., :3]

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[1])

    def get_config(self):
        return {**super().get_config(), "consistency": self.consistency}


def _blockwise(x, grid):
    """Give every pixel the mean of its block; 0 where there is no grid."""
    grid = ops.cast(grid, "float32")
    _, n_rows, n_columns, _ = ops.shape(x)
    rows, columns = averaging(n_rows, n_columns, grid, ops)
    x = ops.einsum("bij,bjwc->biwc", ops.cast(rows, x.dtype), x)
    x = ops.einsum("bkw,biwc->bikc", ops.cast(columns, x.dtype), x)
    return x * ops.cast(_has_grid(grid), x.dtype)


def _has_grid(grid):
    return ops.cast(grid[:, None, None, :1] > 0, "float32")


class LayerMaker:
    """Makes the layers of a network, all with one slope and dtype."""

    def __init__(self, slope: float, dtype: Any) -> None:
        self.slope, self.dtype = slope, dtype

    def convolution(self, filters, strides=1, *, name, kernel=3, scale=2.0):
        scaled = keras.initializers.VarianceScaling
        return layers.Conv2D(
            filters,
            kernel,
            strides,
            padding="same",
            kernel_initializer=scaled(scale) if scale else "zeros",
            dtype=self.dtype,
            name=name,
        )

    def activate(self, x):
        return layers.LeakyReLU(self.slope, dtype=self.dtype)(x)

    def residual(self, x, filters, name):
        y = self.convolution(filters, name=f"{name}_a")(x)
        y = self.activate(y)
        # Small at first, so that a deep sum keeps its size.
        y = self.convolution(filters, name=f"{name}_b", scale=0.1)(y)
        return layers.Add(dtype=self.dtype, name=f"{name}_sum")([x, y])


def as_stages(
    widths: Sequence[int], blocks: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the stages' channels and numbers of residual blocks, if they fit.

    Args:
        widths: Channels of each stage.
        blocks: Residual blocks of each stage.

    Raises:
        ValueError: If they are not equally long, or there are less than two.
    """
    widths, blocks = tuple(widths), tuple(blocks)
    if not 2 <= len(widths) == len(blocks):
        raise ValueError(
            "widths and blocks must be equally long, at least two. "
            f"Received: {widths=}, {blocks=}"
        )
    return widths, blocks


def residual_stages(
    make: LayerMaker, x: Any, widths: Sequence[int], blocks: Sequence[int]
) -> Any:
    """Apply a U-Net of residual blocks without normalisation.

    Strides shrink the features, nearest pixels enlarge them, and skips are added.

    Args:
        make: Makes the layers.
        x: Features `(batch, height, width, widths[0])`, after an activation.
        widths: Channels of each stage; each next one has half the size.
        blocks: Residual blocks of each stage, as in `MosaicUNet`.

    Returns:
        Features of the size and the channels of `x`.
    """
    skips = []
    for i, (width, n) in enumerate(zip(widths, blocks, strict=True)):
        if i:
            x = make.convolution(width, 2, name=f"down_{i}")(x)
            x = make.activate(x)
        for k in range(n):
            x = make.residual(x, width, f"encoder_{i}_{k}")
        skips.append(x)
    for i in reversed(range(len(widths) - 1)):
        x = make.convolution(widths[i], name=f"up_{i}")(x)
        x = layers.UpSampling2D(2, dtype=make.dtype, name=f"enlarge_{i}")(x)
        x = layers.Add(dtype=make.dtype, name=f"skip_{i}")([x, skips[i]])
        x = make.activate(x)
        for k in range(blocks[i]):
            x = make.residual(x, widths[i], f"decoder_{i}_{k}")
    return x
