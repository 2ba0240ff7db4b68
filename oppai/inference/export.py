"""Export a restorer's network to ONNX or TFLite, which run without Keras."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from illustkit import exported
from illustkit.images import MAX_PIXELS
from illustkit.options import check_number
from illustkit.runtime import precision
from oppai.inference.graph_inputs import _GraphInputs

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
    | `MosaicRestorer` | `picture` | (1, s, s, 3) | signed scale |
    | | `hole` | (1, s, s, 1) | 0 valid, 1 hidden, 2 hidden and shows no mosaic |
    | | `grid` | (1, 4) | width and height of a block, x and y of a corner, in pixels |
    | output of both | `restored` | (1, s, s, 3) | signed scale: clip it |

    A grid of zeros tells that content is missing in all of the hole; blocks of one
    pixel, that it is blurred. The network saw blocks of 4 and 8 pixels and blurs of a
    standard deviation of 2: bring the picture to that scale. The output is undefined
    outside the hole: keep the picture there. The ONNX file's metadata and the TFLite
    file's description hold names, scale and size.

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
    return exported.export_network(model, path, about)


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
    largest = math.isqrt(MAX_PIXELS)
    check_number("image_size", image_size, whole=True, least=1, most=largest)
    return exported.check_export(path)


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
        shapes = {x.name: (1, *x.shape[1:]) for x in same.inputs}
        sees_mosaics = isinstance(same.input, dict)
        if sees_mosaics:  # the rest of what it sees is computed in the graph
            shapes["picture"] = shapes["censored"]
            shapes = {name: shapes[name] for name in ("picture", "hole", "grid")}
        inputs = {
            name: keras.Input(batch_shape=shape, name=name)
            for name, shape in shapes.items()
        }
        if not sees_mosaics:
            return keras.Model(inputs, {OUTPUT: same(list(inputs.values()))})
        seen = _GraphInputs(name="seen_of")(list(inputs.values()))
        return keras.Model(inputs, {OUTPUT: same(seen)})
