"""What VGG16 sees in a picture: frozen features after pool1, pool2 and pool3.

The perceptual and style terms of `oppai.losses` compare pictures by these. Pictures
come on the signed scale, like everything else in `oppai`, and are converted to the
Caffe scale that VGG16 was trained on at the network's door (`oppai.losses` says why
there are two scales). Nothing after pool3 is built: 1.7 million weights, 7 MB.

Reference:
    Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition" (2014); Liu et al. (2018), section 3.3, for the choice of taps.
"""

import contextlib
import io
import re
import socket
import zipfile
import zlib
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import layers

from illustkit.images import signed_to_caffe

FILE_NAME = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{FILE_NAME}"
MD5 = "6d6bbae143d832006294945121d1f1fc"  # the one keras.applications pins

CHANNELS = (64, 128, 256)
REPEATS = (2, 2, 3)
CONVOLUTIONS = [
    f"block{block}_conv{i}"
    for block, repeats in enumerate(REPEATS, 1)
    for i in range(1, repeats + 1)
]
LARGEST_FILE = 1 << 30  # bytes; with its dense layers VGG16 has 0.55e9
SILENT_SECONDS = 30  # a download that stays silent as long as this has failed

UNREADABLE = (
    OSError,
    RuntimeError,
    KeyError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)  # what h5py and zipfile raise for a broken file


class WeightsError(ValueError):
    """VGG16's weights cannot be had: the message says why and what to do."""


def find_vgg_weights(vgg_weights):
    """The file that `vgg_weights` means, downloaded if need be.

    Args:
        vgg_weights: "imagenet" for the weights of `keras.applications.VGG16`, or a
            path.

    Returns:
        A `pathlib.Path`.

    Raises:
        WeightsError: if the weights are neither in Keras' folder of downloads nor to
            be had from the network.
    """
    if vgg_weights != "imagenet":
        return Path(vgg_weights).expanduser()
    import keras

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENT_SECONDS)
    try:
        return Path(
            keras.utils.get_file(FILE_NAME, URL, cache_subdir="models", file_hash=MD5)
        )
    except Exception as error:  # get_file raises bare Exception for a dead network
        raise WeightsError(
            f"VGG16's weights are not on this machine and could not be downloaded "
            f"({error}). {_both_ways()}"
        ) from None
    finally:
        socket.setdefaulttimeout(before)


def read_vgg_weights(path):
    """The weights of VGG16's first seven convolutions from a file.

    Args:
        path: A file saved from `keras.applications.VGG16`, with its dense layers or
            without: the published `.h5` files, `.weights.h5`, or `.keras`.

    Returns:
        List of float32 arrays: kernel and bias of each convolution, in order.

    Raises:
        WeightsError: if the file is missing, broken, or not VGG16's.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"No file of VGG16 weights at {path}. {_both_ways()}")
    try:
        with _open_hdf5(path) as file:
            return _convolutions(file)
    except WeightsError as error:
        raise WeightsError(f"{path} does not hold VGG16's weights: {error}") from None
    except UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path} cannot be read as VGG16 weights (.h5, .weights.h5, .keras): "
            f"{reason}. {_both_ways()}"
        ) from None


@contextlib.contextmanager
def _open_hdf5(path):
    if not zipfile.is_zipfile(path):
        with h5py.File(path, "r") as file:
            yield file
        return
    # A .keras file is a zip archive; only its arrays are looked at.
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("model.weights.h5").file_size
        if size > LARGEST_FILE:
            raise WeightsError(f"its model.weights.h5 would take {size} bytes")
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content, "r") as file:
        yield file


def _convolutions(file):
    found = {}

    def visit(name, item):
        parts = re.split(r"[/\\]", name)  # Windows once wrote backslashes
        if isinstance(item, h5py.Dataset) and not parts[0].startswith("optimizer"):
            for part in parts:
                if re.fullmatch(r"block\d_conv\d|conv2d(_\d+)?", part):
                    found.setdefault(part, {})[item.ndim] = item

    file.visititems(visit)
    # Keras 3 calls the layers by their class in .weights.h5 and .keras files.
    names = CONVOLUTIONS
    if names[0] not in found:
        names = ["conv2d", *(f"conv2d_{i}" for i in range(1, len(CONVOLUTIONS)))]
    following = found.get("conv2d_7", {}).get(4)
    if "block3_conv4" in found or following is not None and following.shape[3] == 256:
        raise WeightsError("it has four convolutions in block 3, as VGG19 has")

    values, inputs = [], 3
    widths = np.repeat(CHANNELS, REPEATS).tolist()
    for name, filters in zip(names, widths, strict=True):
        for ndim, shape in ((4, (3, 3, inputs, filters)), (1, (filters,))):
            array = found.get(name, {}).get(ndim)
            if array is None:
                raise WeightsError(f"it has no {name} with a kernel and a bias")
            if array.shape != shape:
                raise WeightsError(
                    f"{name} should have a weight of shape {shape}. "
                    f"Received: {array.shape}"
                )
            value = np.asarray(array, "float32")
            if not np.isfinite(value).all():
                raise WeightsError(f"{name} has values that are not finite")
            values.append(value)
        inputs = filters
    return values


def _both_ways():
    return (
        f"Give vgg_weights=PATH, the path of {FILE_NAME} ({URL}), or "
        "vgg_weights=None to train without the perceptual and style terms."
    )


class FrozenFeatures:
    """Calls a feature network without making it part of the model that holds it.

    Keras tracks the layers, variables, lists and dicts that a model has as attributes
    and saves them with it. This is a plain object, so a model that keeps one neither
    trains nor saves the network inside: a restorer's file holds the restorer alone.
    Under a `tf.distribute.Strategy`, and where Keras' JAX distribution is set, make
    it where the model is made (inside `strategy.scope()`, after `set_distribution`).

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

    def __init__(self, network):
        network.trainable = False
        self.network = network

    def __call__(self, pictures):
        return self.network(pictures, training=False)


def load_vgg_features(vgg_weights="imagenet", *, dtype=None):
    """VGG16's features after pool1, pool2 and pool3, ready for `oppai.losses`.

    Example:
    ```python
    features = load_vgg_features("vgg16_notop.h5")
    pool1, pool2, pool3 = features(signed_pictures)
    ```

    Args:
        vgg_weights: "imagenet" takes the weights of `keras.applications.VGG16` from
            Keras' folder of downloads, or downloads them (59 MB). A path takes them
            from a file saved from `keras.applications.VGG16`, with its dense layers
            or without: the published `.h5` files, `.weights.h5`, or `.keras` (no code
            or configuration in it is run). `None` means to do without.
            Defaults to "imagenet".
        dtype: Dtype or policy of the network. Defaults to the global policy.

    Returns:
        A `FrozenFeatures`: from signed pictures `(batch, height, width, 3)` to a list
        of `(batch, height/2, width/2, 64)`, `(…/4, …/4, 128)` and `(…/8, …/8, 256)`.
        With `vgg_weights=None`, `None`: there are no perceptual and style terms then.

    Raises:
        WeightsError: if the weights cannot be downloaded, or if the file is missing,
            broken, or not VGG16's.
    """
    if vgg_weights is None:
        return None
    values = read_vgg_weights(find_vgg_weights(vgg_weights))
    network = build_vgg(dtype=dtype)
    network.set_weights(values)
    return FrozenFeatures(network)


def build_vgg(*, channels=CHANNELS, dtype=None):
    """VGG16 up to pool3 with random weights, not trainable.

    Args:
        channels: Filters of the three blocks; fewer make a light stand-in.
            Defaults to VGG16's (64, 128, 256).
        dtype: Dtype or policy of the convolutions. Defaults to the global policy.

    Returns:
        A `keras.Model` from signed pictures `(batch, height, width, 3)`, 8 px or more
        a side, to the list [pool1, pool2, pool3].
    """
    pictures = keras.Input((None, None, 3), name="signed")
    x = SignedToCaffe(name="caffe")(pictures)
    common = dict(data_format="channels_last", dtype=dtype, trainable=False)
    pools = []
    for block, (filters, repeats) in enumerate(zip(channels, REPEATS, strict=True), 1):
        for i in range(1, repeats + 1):
            x = layers.Conv2D(
                filters,
                3,
                padding="same",
                activation="relu",
                name=f"block{block}_conv{i}",
                **common,
            )(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool", **common)(x)
        pools.append(x)
    return keras.Model(pictures, pools, name="vgg16_features", trainable=False)


@keras.saving.register_keras_serializable(package="oppai")
class SignedToCaffe(layers.Layer):
    """Takes pictures from the signed scale to the Caffe scale, in float32.

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

    def __init__(self, **kwargs):
        # In bfloat16 the means would already be rounded to a whole grey level.
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, pictures):
        return signed_to_caffe(pictures)

    def compute_output_shape(self, input_shape):
        return input_shape
