"""Networks of `keras.applications` as `TransferNet`'s backbone."""

import contextlib
import inspect
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from illustkit.errors import UserError
from illustkit.images import uint8_to_signed
from illustkit.runtime import precision

LITE0 = "EfficientNetLite0"  # comes with the package
IMAGENET = "imagenet"
PREPROCESS = "preprocess"


def find_application(name: str) -> Callable[..., keras.Model]:
    """Return the function of `keras.applications` that builds a network.

    Args:
        name: Such as "MobileNetV2".

    Returns:
        The function.

    Raises:
        UserError: If there is no such network.
    """
    found = getattr(keras.applications, str(name), None)
    if not inspect.isfunction(found):
        raise UserError(
            f"`backbone` is {LITE0} or a network of keras.applications, such as "
            f"MobileNetV2. Received: {name!r}"
        )
    return found


def preprocessing(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return what a network's `preprocess_input` does to a colour on the signed scale.

    It is affine: a factor and an offset for each channel, which may change places. Four
    colours tell it whole.

    Args:
        name: As in `find_application`.

    Returns:
        `(matrix, offset)`, `(3, 3)` and `(3,)`: `signed @ matrix + offset`.
    """
    module = sys.modules[find_application(name).__module__]
    pixels = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype("float32")
    signed = uint8_to_signed(pixels).astype("float64")
    made = np.asarray(
        module.preprocess_input(pixels.reshape(1, 4, 1, 3).copy()), np.float64
    ).reshape(4, 3)
    rows = np.concatenate([signed, np.ones((4, 1))], axis=1)
    solved = np.linalg.solve(rows, made)
    return solved[:3], solved[3]


def build_stages(
    name: str, picture: Any, *, dtype: Any = None
) -> tuple[list[Any], Any]:
    """Add a network of `keras.applications` to a tensor, without its head.

    Args:
        name: As in `find_application`.
        picture: Tensor `(batch, height, width, 3)`, signed scale.
        dtype: Dtype policy of the layers. Defaults to the global policy.

    Returns:
        `(stages, end)`: a list of the last features at strides of about 8, 16 and 32,
        and the network's output.

    Raises:
        UserError: If there is no such network, or it does not take this size.
    """
    application = find_application(name)
    matrix, offset = preprocessing(name)
    x = layers.Conv2D(
        3,
        1,
        kernel_initializer=keras.initializers.Constant(matrix[None, None]),
        bias_initializer=keras.initializers.Constant(offset),
        trainable=False,
        dtype="float32",  # of values up to 255
        name=PREPROCESS,
    )(picture)
    policy = contextlib.nullcontext() if dtype is None else precision(_name(dtype))
    with policy, _built(name, picture):
        model = application(include_top=False, weights=None, input_tensor=x)
    height = picture.shape[1]
    stages = {}
    for layer in model.layers:
        shape = tuple(getattr(layer.output, "shape", ()))
        if len(shape) != 4 or isinstance(layer, layers.ZeroPadding2D):
            continue
        stages[round(np.log2(height / shape[1]))] = layer.output
    return [stages[level] for level in (3, 4, 5) if level in stages], model.output


def _name(dtype):
    return keras.dtype_policies.get(dtype).name


@contextlib.contextmanager
def _built(name, picture):
    """Turn what Keras says of a size into one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes without weights of their own
            yield
    except ValueError as error:
        raise UserError(
            f"{name} cannot be built for pictures of {picture.shape[2]}×"
            f"{picture.shape[1]} ({str(error).splitlines()[0]}). Take another "
            "`image_size`."
        ) from error


def begin_with_application(
    network: keras.Model, start_from: str | os.PathLike = IMAGENET
) -> None:
    """Give a `TransferNet` the learnt weights of its backbone.

    Args:
        network: A `TransferNet` whose backbone is a network of `keras.applications`.
        start_from: "imagenet", which Keras downloads, or a file of weights of the same
            network without its head, such as Keras' `..._notop.h5`.

    Raises:
        UserError: If the download fails, or the file does not fit.
    """
    name = network.backbone
    width, height = network.image_size
    make = find_application(name)
    options = {"include_top": False, "input_shape": (height, width, 3)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes without weights of their own
        if os.fspath(start_from) == IMAGENET:
            try:
                learnt = make(weights=IMAGENET, **options)
            except Exception as error:  # Keras raises a plain one
                reason = str(error).splitlines()[0]
                raise UserError(
                    f"ImageNet's weights of {name} cannot be downloaded ({reason}). "
                    "Connect to the internet, name a file of them by `start_from`, or "
                    f"take backbone={LITE0}, which comes with the package."
                ) from error
        else:
            learnt = make(weights=None, **options)
            try:
                learnt.load_weights(start_from)
            except Exception as error:  # h5py, zipfile and Keras raise all kinds
                reason = str(error).splitlines()[0]
                raise UserError(
                    f"{start_from} does not hold weights of {name} without its head "
                    f"({reason}). Name another file."
                ) from error
    sources = [layer for layer in learnt.layers if layer.weights]
    # Many layers have no names of their own: they are matched by their order.
    own = [
        layer
        for layer in keras.Model(network.inputs, network.backbone_end).layers
        if layer.weights and layer.name != PREPROCESS
    ]
    for layer, source in zip(own, sources, strict=True):
        layer.set_weights(source.get_weights())
