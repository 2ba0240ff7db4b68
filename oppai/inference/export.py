"""Export a restorer's network to ONNX or TFLite, which run without Keras."""

import importlib.util
import json
import math
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from illustkit.errors import UserError
from illustkit.files import check_writable, expand_user, write_whole
from illustkit.images import MAX_PIXELS
from illustkit.options import check_number
from illustkit.runtime import precision

if TYPE_CHECKING:
    from oppai.models.restorers import KerasRestorer

OUTPUT = "restored"


def export_restorer(
    restorer: "KerasRestorer",
    path: str | os.PathLike[str],
    *,
    image_size: int = 256,
) -> Path:
    """Export a restorer's network, for ONNX Runtime or LiteRT.

    The file computes in float32, takes one square picture of a fixed size, and needs
    neither Keras nor this package. Inputs and output go by these names, float32,
    channels last; in TFLite they are those of its only signature:

    | | name | shape | |
    |-|-|-|-|
    | `Restorer` | `picture` | (1, s, s, 3) | signed scale, −1 to 1 |
    | | `mask` | (1, s, s, 1) | 1 valid, 0 hole |
    | `MosaicRestorer` | `censored` | (1, s, s, 3) | signed scale |
    | | `base` | (1, s, s, 3) | the same, block means upsampled and holes filled |
    | | `hole` | (1, s, s, 1) | 1 hidden, 0 valid |
    | | `missing` | (1, s, s, 1) | 1 where the hole shows no mosaic |
    | | `grid` | (1, 4) | width and height of a block, x and y of a corner, in pixels |
    | output of both | `restored` | (1, s, s, 3) | signed scale: clip it |

    `oppai.data.mosaic_inputs.mosaic_inputs` makes the five. The output is undefined
    outside the hole: keep the picture there. The ONNX file's
    metadata and the TFLite file's description hold names, scale and size.

    Example:
    ```python
    export_restorer(oppai.load_restorer("runs/first"), "restorer.onnx")
    session = onnxruntime.InferenceSession("restorer.onnx")
    picture = uint8_to_signed(censored)[None]  # (1, 256, 256, 3)
    valid = (mask == 0).astype("float32")[None, ..., None]  # mask: 255 = hidden
    (restored,) = session.run(["restored"], {"picture": picture, "mask": valid})
    ```

    Args:
        restorer: An `oppai.Restorer` or an `oppai.MosaicRestorer`.
        path: The file to write, `.onnx` or `.tflite`; an existing file is replaced
            once the new one is whole. The folder must exist.
        image_size: Side of the pictures in pixels, divisible by what the network
            shrinks by. The export itself takes 1 GB of memory (TFLite) or 3 to 4
            (ONNX) for any size; running it takes more with each pixel, see
            `least_memory`. Defaults to 256.

    Returns:
        The path.

    Raises:
        UserError: If the suffix is another, the folder or a package is missing, the
            size does not fit, or Keras runs on another backend than TensorFlow, which
            no exporter supports.
    """
    path = check_export(path, image_size)
    model = _fixed(restorer.network, image_size)
    about = {
        "network": f"oppai {type(restorer.network).__name__}",
        "image_size": image_size,
        "inputs": sorted(model.input),
        "output": OUTPUT,
        "colours": "RGB, signed scale: -1 black, 1 white",
    }
    return write_whole(path, FORMATS[path.suffix](model, about))


def check_export(path: str | os.PathLike[str], image_size: int = 256) -> Path:
    """Raise what prevents an export, before anything is loaded.

    Args:
        path: The file to write.
        image_size: As in `export_restorer`. Defaults to 256.

    Returns:
        The path as a `Path`, "~" expanded.

    Raises:
        UserError: As in `export_restorer`, but for what the network shrinks by.
    """
    path = expand_user(path)
    largest = math.isqrt(MAX_PIXELS)
    check_number("image_size", image_size, whole=True, least=1, most=largest)
    if path.suffix not in FORMATS:
        raise UserError(f"{path}: a restorer is exported as .onnx or .tflite.")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}: make it first.")
    check_writable(path.parent)
    if (backend := keras.backend.backend()) != "tensorflow":
        raise UserError(
            f"{path}: exporting needs Keras on TensorFlow, not on {backend}: set "
            "KERAS_BACKEND=tensorflow for this command. What was trained on another "
            "backend loads there."
        )
    needed = ("tf2onnx", "onnx") if path.suffix == ".onnx" else ()
    for package in needed:
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f'{path}: ONNX needs {package}: pip install "illustkit[export]", '
                "or export to .tflite, which needs nothing more."
            )
    return path


def least_memory(restorer: "KerasRestorer", image_size: int) -> int:
    """Return the least memory in which a network restores one picture.

    It holds, after each layer, what later layers still read. A runtime adds the
    temporary arrays of its convolutions: up to twice as much again in ONNX Runtime, up
    to seven times in LiteRT.

    Example:
    ```python
    least_memory(oppai.load_restorer("default"), 1024) / 1e9     # 0.26 GB
    ```

    Args:
        restorer: As in `export_restorer`.
        image_size: As in `export_restorer`.

    Returns:
        Bytes, in float32.
    """
    config = {**restorer.network.get_config(), "image_size": image_size}
    network = type(restorer.network).from_config(config)
    depths = sorted(network._nodes_by_depth, reverse=True)
    nodes = [node for depth in depths for node in network._nodes_by_depth[depth]]
    last = {id(x): i for i, node in enumerate(nodes) for x in node.input_tensors}
    kept = {id(x) for x in keras.tree.flatten(network.output)}
    sizes: dict[int, int] = {}
    most = 0
    for i, node in enumerate(nodes):
        for x in node.outputs:
            sizes[id(x)] = 4 * math.prod(n or 1 for n in x.shape)
        most = max(most, sum(sizes.values()))
        for x in node.input_tensors:
            if last[id(x)] == i and id(x) not in kept:
                sizes.pop(id(x), None)
    return most


def _fixed(network, image_size):
    config = {**network.get_config(), "image_size": image_size}
    if "dtype" in config:
        config["dtype"] = "float32"
    with precision("float32"):
        same = type(network).from_config(config)
        same.set_weights(network.get_weights())
        inputs = {
            x.name: keras.Input(batch_shape=(1, *x.shape[1:]), name=x.name)
            for x in same.inputs
        }
        given = inputs if isinstance(same.input, dict) else list(inputs.values())
        model = keras.Model(inputs, {OUTPUT: same(given)})
    # Keras exports only models that were called: on symbols, which take no memory.
    model(inputs)
    return model


def _signature(model):
    specs = {
        name: keras.InputSpec(shape=x.shape, dtype="float32", name=name)
        for name, x in model.input.items()
    }
    return [specs]


def _onnx(model, about):
    import onnx

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # of Keras' own fix of tf2onnx for NumPy 2
        warnings.simplefilter("ignore", FutureWarning)
        file = Path(folder, "network.onnx")
        model.export(
            file, format="onnx", verbose=False, input_signature=_signature(model)
        )
        exported = onnx.load(file)
    exported.doc_string = about["network"]
    onnx.helper.set_model_props(
        exported,
        {k: v if isinstance(v, str) else json.dumps(v) for k, v in about.items()},
    )
    onnx.checker.check_model(exported, full_check=True)
    return exported.SerializeToString()


def _tflite(model, about):
    import tensorflow as tf
    from tensorflow.lite.tools import flatbuffer_utils

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False, input_signature=_signature(model))
        # Only TFLite's own operations: no runtime of TensorFlow is needed.
        data = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    exported = flatbuffer_utils.convert_bytearray_to_object(bytearray(data))
    exported.description = json.dumps(about).encode()
    return bytes(flatbuffer_utils.convert_object_to_bytearray(exported))


FORMATS = {".onnx": _onnx, ".tflite": _tflite}
