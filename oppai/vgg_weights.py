"""The weights of VGG16 up to pool3: found on this machine, downloaded, or in a file.

Files are read for their arrays alone, so that no code or configuration in them runs,
and only the seven convolutions that `oppai.features` uses are loaded.
"""

import contextlib
import io
import re
import socket
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np

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
