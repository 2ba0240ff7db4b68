"""Compute VGG16's features of a picture, after pool1, pool2 and pool3.

The perceptual and style terms of `oppai.losses` compare pictures by these features.
Pictures have the signed scale, like everything else in `oppai`; the network's first
layer converts them to the Caffe scale that VGG16 was trained on (`oppai.losses` says
why there are two scales). Only the layers up to pool3 are kept: 1.7 million weights,
7 MB.

Reference:
    Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition" (2014); Liu et al. (2018), section 3.3, for the choice of taps.
"""

import contextlib
import os
import socket
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from keras import layers

from illustkit.errors import UserError
from illustkit.images import signed_to_caffe
from illustkit.runtime import precision

FILE_NAME = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{FILE_NAME}"

TAPS = ("block1_pool", "block2_pool", "block3_pool")
LARGEST_FILE = 1 << 30  # bytes; with its dense layers VGG16 has 0.55e9
SILENT_SECONDS = 30  # a download that is silent for so long has failed


class WeightsError(UserError):
    """VGG16's weights are not available; the message says why and what to do."""


def load_vgg_features(
    vgg_weights: str | os.PathLike | None = "imagenet", *, dtype: str | None = None
) -> "FrozenFeatures | None":
    """Load VGG16's features after pool1, pool2 and pool3, for `oppai.losses`.

    Example:
    ```python
    features = load_vgg_features("vgg16_notop.h5")
    pool1, pool2, pool3 = features(signed_pictures)
    ```

    Args:
        vgg_weights: "imagenet" takes the weights of `keras.applications.VGG16` from
            Keras' folder of downloads, or downloads them (59 MB) and checks their
            pinned hash. A path takes them from a file saved from
            `keras.applications.VGG16`, with its dense layers or without: the published
            `.h5` files, `.weights.h5`, or `.keras` (no code or configuration in it is
            run). `None` gives no features. Defaults to "imagenet".
        dtype: Name of the dtype policy of the network. Defaults to the global policy.

    Returns:
        A `FrozenFeatures`: from signed pictures `(batch, height, width, 3)` to a list
        of `(batch, height/2, width/2, 64)`, `(…/4, …/4, 128)` and `(…/8, …/8, 256)`.
        With `vgg_weights=None`, `None`: there are no perceptual and style terms then.

    Raises:
        WeightsError: If the weights cannot be downloaded, or if the file is missing,
            broken, or not VGG16's.
    """
    if vgg_weights is None:
        return None
    with _policy(dtype):
        if str(vgg_weights) == "imagenet":
            vgg = _download()
        else:
            vgg = _load(Path(vgg_weights).expanduser())
        return FrozenFeatures(pool_features(vgg))


def build_vgg(*, dtype: str | None = None) -> keras.Model:
    """Build VGG16 up to pool3 with random weights, not trainable.

    Args:
        dtype: Name of the dtype policy of the network. Defaults to the global policy.

    Returns:
        A `keras.Model` from signed pictures `(batch, height, width, 3)`, 8 px or more
        on each side, to the list [pool1, pool2, pool3].
    """
    with _policy(dtype):
        return pool_features(_vgg16())


def pool_features(vgg: keras.Model) -> keras.Model:
    """Build a network from signed pictures to the outputs of a VGG's pools.

    Args:
        vgg: `keras.applications.VGG16`, or another chain of layers of which three have
            the names of `TAPS`. Its weights are shared, not copied.

    Returns:
        A `keras.Model`, not trainable, as `build_vgg` returns it.
    """
    pictures = keras.Input((None, None, 3), name="signed")
    x = SignedToCaffe(name="caffe")(pictures)
    pools = []
    for layer in vgg.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        x = layer(x)
        if layer.name in TAPS:
            pools.append(x)
        if len(pools) == len(TAPS):
            break
    return keras.Model(pictures, pools, name="vgg16_features", trainable=False)


def _policy(dtype):
    return contextlib.nullcontext() if dtype is None else precision(dtype)


def _vgg16(**options):
    return keras.applications.VGG16(**{"include_top": False, "weights": None} | options)


def _download():
    """Return Keras' own VGG16, downloaded if it has not been before."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENT_SECONDS)
    try:
        return _vgg16(weights="imagenet")
    except Exception as error:  # Keras raises bare Exception for a dead network
        raise WeightsError(
            f"VGG16's weights are not on this machine and could not be downloaded "
            f"({_reason(error)}). {_advice()}"
        ) from None
    finally:
        socket.setdefaulttimeout(before)


def _load(path):
    """Return a VGG16 with the weights of a file."""
    if not path.is_file():
        raise WeightsError(f"No file of VGG16 weights at {path}. {_advice()}")
    try:
        if zipfile.is_zipfile(path):  # a .keras file
            with zipfile.ZipFile(path) as archive:
                size = sum(info.file_size for info in archive.infolist())
            if size > LARGEST_FILE:
                raise ValueError(f"it would take {size} bytes")
        vgg = _vgg16(include_top=_has_dense_layers(path))
        # Keras leaves alone, with a warning, what some files lack.
        for layer in _until_pool3(vgg):
            layer.set_weights([np.full_like(w, np.nan) for w in layer.get_weights()])
        vgg.load_weights(path)
        for layer in _until_pool3(vgg):
            if not all(np.isfinite(w).all() for w in layer.get_weights()):
                raise ValueError(f"{layer.name} is missing or has no finite values")
    except Exception as error:  # h5py, zipfile and Keras raise all kinds
        raise WeightsError(
            f"{path} does not hold VGG16's weights (.h5, .weights.h5, .keras): "
            f"{_reason(error)}. {_advice()}"
        ) from None
    return vgg


def _has_dense_layers(path):
    """Return whether a `.h5` file has them, whose layers Keras counts."""
    if path.suffix != ".h5" or path.name.endswith(".weights.h5"):
        return False  # Keras takes from other files what it looks for
    with h5py.File(path) as file:
        return "fc1" in file.get("model_weights", file)


def _until_pool3(vgg):
    names = [layer.name for layer in vgg.layers]
    return vgg.layers[: names.index(TAPS[-1])]


def _reason(error):
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."


def _advice():
    return (
        f"Give vgg_weights=PATH, the path of {FILE_NAME} ({URL}), or "
        "vgg_weights=None to train without the perceptual and style terms."
    )


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
        def __init__(self, vgg_weights="imagenet", **kwargs):
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
        return self.network(pictures, training=False)


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
