"""Networks that come with a package: float16 weights and settings in one file."""

import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from illustkit.errors import UserError, reading
from illustkit.files import write_whole

VGG16_BLOCKS = Path(__file__).parents[1] / "weights" / "vgg16_blocks1_3.npz"
"""VGG16's blocks 1 to 3, trained on ImageNet, for losses and distances."""
_CONFIG = "network.json"


def save_network(
    network: Any, settings: Mapping[str, Any], path: str | os.PathLike[str]
) -> Path:
    """Store a network's weights in float16 with its settings, in one file for NumPy.

    Example:
    ```python
    save_network(network, {"units": 3}, "small.npz")
    ```

    Args:
        network: A Keras model, or anything with `weights` that have paths.
        settings: What it is built from again; JSON has to hold it.
        path: The `.npz` to write.

    Returns:
        The path, once the file is whole.

    Raises:
        UserError: If float16 cannot hold a weight.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, variable in _named_weights(network).items():
        with np.errstate(over="ignore"):  # told by name
            half = np.asarray(variable, "float32").astype(np.float16)
        if not np.isfinite(half).all():
            raise UserError(f"float16 cannot hold {name}: train it again.")
        arrays[name] = half
    text = json.dumps(dict(settings)).encode()
    arrays[_CONFIG] = np.frombuffer(text, np.uint8)
    memory = io.BytesIO()
    np.savez_compressed(memory, **arrays)  # type: ignore[arg-type]  # NumPy has no stub of the keyword
    return write_whole(path, memory.getvalue())


def read_network(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `save_network` stored, without Keras.

    Example:
    ```python
    save_network(network, {"units": 3}, "small.npz")
    settings, arrays = read_network("small.npz")
    ```

    Args:
        path: The `.npz`.

    Returns:
        `(settings, arrays)`: what the network is built from, and its float16 weights
        by their paths.

    Raises:
        UserError: If the file is missing or no such file.
    """
    with reading(path, "Install the package again."):
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return json.loads(arrays.pop(_CONFIG).tobytes()), arrays


def load_network(
    path: str | os.PathLike[str], build: Callable[[dict[str, Any]], Any]
) -> Any:
    """Build a network that `save_network` stored.

    Example:
    ```python
    save_network(network, {"units": 3}, "small.npz")
    again = load_network("small.npz", lambda settings: build(**settings))
    ```

    Args:
        path: The `.npz`.
        build: Function from the settings to the network.

    Returns:
        The network with float32 weights.

    Raises:
        UserError: If the file is missing or does not fit the network.
    """
    from illustkit.runtime import precision

    settings, arrays = read_network(path)
    with reading(path, "Install the package again."), precision("float32"):
        network = build(settings)
    names = _named_weights(network)
    if set(names) != set(arrays):
        differing = sorted(set(names) ^ set(arrays))[0]
        raise UserError(
            f"{path} does not fit this version of the network: {differing}."
        )
    for name, variable in names.items():
        variable.assign(arrays[name].astype(np.float32))
    return network


def _named_weights(network):
    """Return a dict from a weight's path to it; networks inside may share one."""
    named: dict[str, Any] = {}
    for variable in network.weights:
        name, number = variable.path, 1
        while name in named:
            number += 1
            name = f"{variable.path}#{number}"
        named[name] = variable
    return named
