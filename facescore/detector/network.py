"""The face detector: a one-class, anchor-free network at strides 8, 16 and 32."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from facescore.detector.grid import BINS, STRIDES
from facescore.efficientnet_lite import Signed, build_features
from illustkit.images import uint8_to_unit

BACKBONES = "plain", "lite0"


@keras.saving.register_keras_serializable(package="facescore")
class DetectorNetwork(keras.Model):
    """A narrow YOLOv8: backbone, path-aggregation neck and decoupled head.

    Every cell of the three grids gives a face's four distances from the cell's centre
    as distributions over 16 whole numbers of strides, and one logit of a face.
    Convolutions are plain (no groups) and followed by batch normalisation and ReLU,
    which fuse on CPUs and run well on TPUs.

    Example:
    ```python
    network = DetectorNetwork(widths=(16, 24, 48, 96, 160))
    raw = network(pictures)   # uint8 (2, 640, 640, 3) -> (2, 8400, 65)
    ```

    Args:
        widths: Channels of the stem and of the features at strides 4, 8, 16 and 32.
        depths: Bottlenecks in the blocks at strides 4, 8, 16 and 32.
        head: Channels in the head.
        backbone: "plain", or "lite0": EfficientNet-Lite0, whose features take the
            place of the stages; `depths` do nothing there. Defaults to "plain".
        normalise: Whether convolutions have batch normalisation; without it they have
            biases, as from `fold_normalisation`. Defaults to `True`.
        synchronised: Whether the batch statistics are shared among the replicas of a
            `tf.distribute` strategy. Defaults to `False`.
        dtype: Dtype policy of all layers but the last; the config holds its name.
            Defaults to the global policy.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        pictures: uint8 `(batch, height, width, 3)`, sides multiples of 32.

    Returns:
        Raw predictions float32 `(batch, cells, 4 * 16 + 1)`: the logits of left, top,
        right and bottom, then that of a face. The cells of stride 8 come first, in
        rows; `grid_cells` gives their centres.

    Raises:
        ValueError: If a width or a depth is missing or not positive, or the backbone
            is unknown.

    Reference:
        Li et al., "Generalized Focal Loss" (2020), for the distances as distributions;
        Ultralytics YOLOv8 for the arrangement.
    """

    def __init__(
        self,
        widths: Sequence[int] = (16, 24, 48, 96, 160),
        depths: Sequence[int] = (1, 2, 2, 1),
        head: int = 32,
        *,
        backbone: str = "plain",
        normalise: bool = True,
        synchronised: bool = False,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        if len(widths) != 5 or len(depths) != 4 or min(*widths, *depths, head) < 1:
            raise ValueError(
                "The network needs 5 positive widths, 4 positive depths and a head. "
                f"Received: {widths=}, {depths=}, {head=}"
            )
        if backbone not in BACKBONES:
            raise ValueError(
                f"`backbone` must be one of {BACKBONES}. Received: {backbone!r}"
            )

        def conv(x, filters, kernel, strides=1, name=None):
            x = layers.Conv2D(
                filters,
                kernel,
                strides,
                padding="same",
                use_bias=not normalise,
                kernel_initializer="he_normal",
                dtype=dtype,
                name=f"{name}_conv",
            )(x)
            if normalise:
                x = layers.BatchNormalization(
                    momentum=0.97,
                    epsilon=1e-3,
                    synchronized=synchronised,
                    dtype=dtype,
                    name=f"{name}_norm",
                )(x)
            return layers.ReLU(dtype=dtype, name=f"{name}_relu")(x)

        def concatenate(tensors):
            return layers.Concatenate(dtype=dtype)(tensors)

        def block(x, filters, depth, name, shortcut=True):
            half = max(1, filters // 2)
            kept = conv(x, half, 1, name=f"{name}_keep")
            branches = [kept, conv(x, half, 1, name=f"{name}_in")]
            for i in range(depth):
                y = conv(branches[-1], half, 3, name=f"{name}_{i}a")
                y = conv(y, half, 3, name=f"{name}_{i}b")
                if shortcut:
                    y = layers.Add(dtype=dtype)([branches[-1], y])
                branches.append(y)
            return conv(concatenate(branches), filters, 1, name=f"{name}_out")

        def pyramid_pool(x, width):
            levels = [conv(x, width // 2, 1, name="pool_in")]
            for _ in range(3):
                pool = layers.MaxPooling2D(5, 1, padding="same", dtype=dtype)
                levels.append(pool(levels[-1]))
            return conv(concatenate(levels), width, 1, name="pool_out")

        def join(x, y, filters, name):
            return block(concatenate([x, y]), filters, 1, name, shortcut=False)

        def double(x):
            return layers.UpSampling2D(dtype=dtype)(x)

        picture = keras.Input((None, None, 3), dtype="uint8", name="picture")
        if backbone == "lite0":
            found = build_features(
                Signed(dtype=dtype, name="signed")(picture),
                normalise=normalise,
                synchronised=synchronised,
                dtype=dtype,
            )
            features = [
                conv(found[stride], width, 1, name=f"lateral{stride}")
                for stride, width in zip(STRIDES, widths[2:], strict=True)
            ]
        else:
            x = _Unit(dtype=dtype, name="unit")(picture)
            x = conv(x, widths[0], 3, 2, name="stem")
            features = []
            for i, (width, depth) in enumerate(zip(widths[1:], depths, strict=True)):
                x = conv(x, width, 3, 2, name=f"down{i}")
                x = block(x, width, depth, f"stage{i}")
                features.append(x)
        p3, p4, p5 = *features[-3:-1], pyramid_pool(features[-1], widths[-1])

        n4 = join(double(p5), p4, widths[3], "up4")
        n3 = join(double(n4), p3, widths[2], "up3")
        down4 = conv(n3, widths[2], 3, 2, name="path4")
        n4 = join(down4, n4, widths[3], "path4")
        down5 = conv(n4, widths[3], 3, 2, name="path5")
        n5 = join(down5, p5, widths[4], "path5")

        raw = []
        for stride, x in zip(STRIDES, (n3, n4, n5), strict=True):
            name = f"head{stride}"
            box = conv(x, head, 3, name=f"{name}_box0")
            box = conv(box, head, 3, name=f"{name}_box1")
            box = layers.Conv2D(4 * BINS, 1, dtype="float32", name=f"{name}_box")(box)
            face = conv(x, head, 3, name=f"{name}_face0")
            # Before training each stride expects 5 faces in a picture of 640 px.
            prior = float(np.log(5 / (640 / stride) ** 2))
            face = layers.Conv2D(
                1,
                1,
                bias_initializer=keras.initializers.Constant(prior),
                dtype="float32",
                name=f"{name}_face",
            )(face)
            both = layers.Concatenate(dtype="float32")([box, face])
            raw.append(layers.Reshape((-1, 4 * BINS + 1), dtype="float32")(both))
        outputs = layers.Concatenate(axis=1, dtype="float32", name="raw")(raw)
        super().__init__(inputs=picture, outputs=outputs, **kwargs)
        self.dtype_policy = keras.dtype_policies.get(
            dtype or keras.config.dtype_policy()
        )
        self.widths, self.depths, self.head = tuple(widths), tuple(depths), head
        self.backbone = backbone
        self.normalise, self.synchronised = normalise, synchronised

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "widths": list(self.widths),
            "depths": list(self.depths),
            "head": self.head,
            "backbone": self.backbone,
            "normalise": self.normalise,
            "synchronised": self.synchronised,
            "dtype": self.dtype_policy.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


@keras.saving.register_keras_serializable(package="facescore")
class _Unit(layers.Layer):
    """Converts uint8 to 0..1, in the layer's compute dtype.

    `keras.layers.Rescaling(1 / 255)` multiplies in the compute dtype: 126 of the 256
    values differ in float32 from the quotient that the weights were trained on.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})

    def call(self, x):
        return ops.cast(uint8_to_unit(x), self.compute_dtype)


def fold_normalisation(network: keras.Model) -> keras.Model:
    """Return the same network without batch normalisation, which is a third faster.

    The scale and shift of a trained normalisation are multiplied into the convolution.

    Args:
        network: A `DetectorNetwork`.

    Returns:
        A `DetectorNetwork` with `normalise=False`, float32, for inference.
    """
    folded = type(network).from_config(
        {
            **network.get_config(),
            **{"normalise": False, "synchronised": False, "dtype": "float32"},
        }
    )
    refold(network, folded)
    return folded


def refold(network: keras.Model, folded: keras.Model) -> None:
    """Bring the folded network up to date with the one that trains.

    Args:
        network: A `DetectorNetwork`.
        folded: What `fold_normalisation` made of it.
    """
    for layer in network.layers:
        if not isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            continue
        weights = [np.asarray(w, "float32") for w in layer.get_weights()]
        if not layer.use_bias:
            norm = network.get_layer(layer.name.removesuffix("_conv") + "_norm")
            gamma, beta, mean, variance = (
                np.asarray(w, "float32") for w in norm.get_weights()
            )
            scale = gamma / np.sqrt(variance + norm.epsilon)
            kernel = weights[0] * scale
            if isinstance(layer, layers.DepthwiseConv2D):  # (y, x, channels, 1)
                kernel = weights[0] * scale[:, None]
            weights = [kernel, beta - mean * scale]
        folded.get_layer(layer.name).set_weights(weights)
