"""The chapter's restoration network: a U-Net of partial convolutions."""

from collections.abc import Sequence
from math import prod
from typing import Any

import keras
from keras import layers, ops

from oppai.layers import PConv2D, PConv2DTranspose, one_of, pair_of
from oppai.models.base_restorer import check_divisible


class _StageMaker:
    """Makes the stages of one network; each maps a flat list of pairs to a pair."""

    def __init__(
        self,
        *,
        repeats,
        activation,
        normalization,
        residual,
        momentum,
        synchronized,
        dtype,
    ):
        self.repeats, self.activation, self.residual = repeats, activation, residual
        self.convolution = {
            "normalization": normalization,
            "use_bias": False,
            "dtype": dtype,
        }
        self.batchnorm = {
            "momentum": momentum,
            "synchronized": synchronized,
            "dtype": dtype,
        }
        self.dtype = dtype

    def shrink(self, x, filters, kernel, stride, name):
        """Apply `repeats` P-Convs, the first with the stride, and the shortcut."""
        source = x
        for i in range(self.repeats):
            convolution = PConv2D(
                filters,
                kernel,
                stride if i == 0 else 1,
                name=f"{name}_{i}_pconv",
                **self.convolution,
            )
            features, mask = convolution(x)
            batchnorm = layers.BatchNormalization(
                name=f"{name}_{i}_bn", **self.batchnorm
            )
            features = batchnorm(features)
            if self.residual and i == self.repeats - 1:
                # A hole of the shortcut adds 0; on the longer path it is filled.
                shortcut = PConv2D(
                    filters, 1, stride, name=f"{name}_shortcut", **self.convolution
                )
                features = self._add(features, shortcut(source)[0], f"{name}_sum")
            x = [self._activate(features, f"{name}_{i}_act"), mask]
        return x

    def enlarge(self, x, filters, stride, upsampling, name):
        """Return features and mask, `stride` times as high and wide."""
        if upsampling == "transposed":
            spread = PConv2DTranspose(
                filters, 2 * stride, stride, dtype=self.dtype, name=f"{name}_up"
            )
            features, mask = spread(x)
            return [self._activate(features, f"{name}_up_act"), mask]
        return [
            layers.UpSampling2D(stride, dtype=self.dtype, name=f"{name}_up_{what}")(y)
            for what, y in zip(("features", "mask"), x, strict=True)
        ]

    def _activate(self, x, name):
        return layers.Activation(self.activation, dtype=self.dtype, name=name)(x)

    def _add(self, a, b, name):
        return layers.Add(dtype=self.dtype, name=name)([a, b])


@keras.saving.register_keras_serializable(package="oppai")
class PConvUNet(keras.Model):
    """U-Net of partial convolutions, from a picture with holes to a whole picture.

    Every stage applies P-Conv → BatchNorm → ReLU twice. The encoder's stages have
    `base_filters · (1, 2, 4, 8, 16)` channels and shrink by `strides`; the decoder's
    enlarge by nearest pixels and take the encoder's stage of that size beside their own
    features, each with its own mask; a last P-Conv with tanh (named "unmasked") gives
    the colours. The defaults are the chapter's network.

    Faults of the chapter's code that are fixed here:

    - The first decoder stage was given activations in the mask's place. Here the
      mask of the deepest stage is enlarged with its features.
    - The decoder ended without the input beside it. Here the last P-Conv also takes
      the picture and its mask, as in the paper, so that valid pixels can be copied.
    - BatchNorm stood before the output's tanh, which ties colours to the batch. Here
      there is none. There is no bias before BatchNorm either, which would remove it.
    - Masks had three equal channels, and all of a layer's channels in the layers.
      Here a mask has one. The layer's own faults are listed at `oppai.PConv2D`.
    - The paper's second phase was missing: see `freeze_encoder_batchnorm`.

    The network never sees the content of a hole, a mosaic included, unless
    `see_censored` is set.

    Example:
    ```python
    network = oppai.PConvUNet(64, widths=(32, 64, 128), strides=(1, 2, 2),
                              kernels=(3, 3, 3))
    picture = np.random.uniform(-1, 1, (1, 64, 64, 3))
    mask = np.ones((1, 64, 64, 1))
    mask[:, 20:40, 20:40] = 0
    network([picture, mask]).shape  # (1, 64, 64, 3)
    ```

    Args:
        image_size: Side of the square pictures, a pair (width, height), or `None` for
            any size; always divisible by the product of `strides`. Defaults to `256`.
        base_filters: Channels of the first stage. Defaults to `32`.
        widths: Channels of all stages, instead of `base_filters`. Defaults to `None`.
        strides: Factor by which each stage shrinks; the first is 1. Defaults to
            `(1, 4, 2, 2, 2)`.
        kernels: Kernel size of each stage; the stage of the decoder that undoes a
            stride has the kernel of that stride. Defaults to `(3, 5, 3, 3, 3)`.
        repeats: P-Convs in a stage. Defaults to `2`.
        activation: Defaults to `"relu"`.
        normalization: `"paper"` or `"book"`, see `oppai.PConv2D`. Defaults to
            `"paper"`.
        upsampling: `"nearest"`, or `"transposed"` for a transposed P-Conv with a kernel
            of twice the stride (the chapter's first exercise). Defaults to
            `"nearest"`.
        residual: Add a 1×1 P-Conv of a stage's input to its output (the chapter's
            second exercise; ResNet's basic block). Defaults to `False`.
        input_skip: Predict `picture + 2 · tanh(…)`, a change of the censored picture,
            which it uses in holes too. With light mosaics the chapter saw the
            network copy its input; with coarse ones or white light it converged far
            faster. The prediction lies in −3 to 3: clip it. Defaults to `False`.
        see_censored: Feed the censored picture once more, as wholly valid, to the first
            and the last P-Conv: for mosaics, which still show colours. Defaults to
            `False`.
        batchnorm_momentum: Defaults to `0.99`; take `0.9` for some hundred steps.
        encoder_batchnorm_frozen: See `freeze_encoder_batchnorm`. Defaults to `False`.
        synchronized: Share BatchNorm's statistics between replicas (TensorFlow only).
            Defaults to `None`: where a strategy has several.
        dtype: Dtype policy of all layers; the output is float32. Defaults to `None`,
            the global policy.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: `[picture, mask]`: `(batch, height, width, 3)` on the signed scale,
            −1 to 1, and `(batch, height, width, 1)`, 1 valid, less than 1 hole.

    Returns:
        `(batch, height, width, 3)`, float32, signed scale.

    Raises:
        ValueError: For arguments or picture sizes that do not fit together.

    Reference:
        The chapter "DeepCreamPyで学ぶモザイク除去", section 3 (network) and its
        exercises; Liu et al. 2018, section 3.2 and appendix.
    """

    def __init__(
        self,
        image_size: int | Sequence[int] | None = 256,
        base_filters: int = 32,
        *,
        widths: Sequence[int] | None = None,
        strides: Sequence[int] = (1, 4, 2, 2, 2),
        kernels: Sequence[int] = (3, 5, 3, 3, 3),
        repeats: int = 2,
        activation: Any = "relu",
        normalization: str = "paper",
        upsampling: str = "nearest",
        residual: bool = False,
        input_skip: bool = False,
        see_censored: bool = False,
        batchnorm_momentum: float = 0.99,
        encoder_batchnorm_frozen: bool = False,
        synchronized: bool | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        one_of(upsampling, "upsampling", ("nearest", "transposed"))
        strides, kernels = tuple(strides), tuple(kernels)
        if widths is not None:
            widths = tuple(widths)
        filters = widths or tuple(base_filters * 2**i for i in range(len(strides)))
        if not 2 <= len(filters) == len(strides) == len(kernels) or strides[0] != 1:
            raise ValueError(
                "widths, strides and kernels must be equally long, at least two, and "
                f"the first stride 1. Received: widths={filters}, {strides=}, "
                f"{kernels=}"
            )
        width = height = None
        if image_size is not None:
            width, height = pair_of(image_size, "image_size")
        check_divisible(type(self).__name__, height, width, prod(strides))
        stages = _StageMaker(
            repeats=repeats,
            activation=activation,
            normalization=normalization,
            residual=residual,
            momentum=batchnorm_momentum,
            synchronized=_replicated() if synchronized is None else synchronized,
            dtype=dtype,
        )

        picture = keras.Input((height, width, 3), name="picture")
        mask = keras.Input((height, width, 1), name="mask")
        source = [picture, mask]
        if see_censored:
            source += [picture, ops.ones_like(mask)]

        x, skips = source, []
        for i, (f, k, s) in enumerate(zip(filters, kernels, strides, strict=True)):
            x = stages.shrink(x, f, k, s, name=f"encoder_{i}")
            skips.append(x)
        for i in reversed(range(len(filters) - 1)):
            name = f"decoder_{i}"
            x = stages.enlarge(x, filters[i], strides[i + 1], upsampling, name=name)
            x = stages.shrink(x + skips[i], filters[i], kernels[i + 1], 1, name=name)
        last = PConv2D(
            3, 3, normalization=normalization, dtype=dtype, name="last_pconv"
        )
        colours, _ = last(x + source)
        out = layers.Activation("tanh", dtype="float32", name="unmasked")(colours)
        if input_skip:
            change = layers.Rescaling(2.0, dtype="float32", name="change")(out)
            out = layers.Add(dtype="float32", name="restored")([picture, change])

        super().__init__(inputs=[picture, mask], outputs=out, **kwargs)
        self.dtype_policy = keras.dtype_policies.get(
            dtype or keras.config.dtype_policy()
        )
        self.image_size, self.base_filters = image_size, base_filters
        self.widths, self.strides, self.kernels = widths, strides, kernels
        self.repeats = repeats
        self.activation = keras.activations.get(activation)
        self.normalization, self.upsampling = normalization, upsampling
        self.residual, self.input_skip = residual, input_skip
        self.see_censored = see_censored
        self.batchnorm_momentum = batchnorm_momentum
        self.synchronized = synchronized
        self._own_dtype = None if dtype is None else self.dtype_policy.name
        self.encoder_batchnorm_frozen = False
        if encoder_batchnorm_frozen:
            self.freeze_encoder_batchnorm()

    @property
    def divisor(self) -> int:
        """Number by which height and width of a picture are divisible."""
        return prod(self.strides)

    def freeze_encoder_batchnorm(self, frozen: bool = True) -> None:
        """Freeze the averages of the encoder's BatchNorm: the paper's second phase.

        Holes distort the averages of training batches. So the paper first trains with
        BatchNorm everywhere, then continues with a smaller learning rate and the
        encoder's BatchNorm frozen. Compile the model again afterwards.

        Example:
        ```python
        network.freeze_encoder_batchnorm()
        restorer.compile(keras.optimizers.Adam(5e-5))
        ```

        Args:
            frozen: `False` lets it learn again. Defaults to `True`.

        Reference:
            Liu et al. 2018, section 3.4 (learning rates 2e-4, then 5e-5).
        """
        self.encoder_batchnorm_frozen = frozen
        for layer in self.layers:
            if layer.name.startswith("encoder") and layer.name.endswith("_bn"):
                layer.trainable = not frozen

    def call(self, inputs, training=None, mask=None):
        check_divisible(type(self).__name__, *inputs[0].shape[1:3], self.divisor)
        return super().call(inputs, training=training, mask=mask)

    def get_config(self):
        return {
            "name": self.name,
            "trainable": self.trainable,
            "image_size": self.image_size,
            "base_filters": self.base_filters,
            "widths": self.widths,
            "strides": self.strides,
            "kernels": self.kernels,
            "repeats": self.repeats,
            "activation": keras.activations.serialize(self.activation),
            "normalization": self.normalization,
            "upsampling": self.upsampling,
            "residual": self.residual,
            "input_skip": self.input_skip,
            "see_censored": self.see_censored,
            "batchnorm_momentum": self.batchnorm_momentum,
            "synchronized": self.synchronized,
            "dtype": self._own_dtype,
            "encoder_batchnorm_frozen": self.encoder_batchnorm_frozen,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def _replicated():
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync > 1
