"""Read and write checkpoints of the PyTorch package, by its names and shapes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from diffusion.network.unet import UNet
from illustkit.state_dicts import find_network, fitting_arrays, read_state


def load_state_dict(model: UNet, state: Mapping[str, Any] | str | os.PathLike) -> None:
    """Load a checkpoint of `denoising-diffusion-pytorch` into a network.

    Names and shapes are the PyTorch package's, of the network's version. A checkpoint
    may hold the network alone, or a whole diffusion object or trainer: then the
    averaged weights are loaded if there are any, and everything outside the network is
    ignored, as are numbers, text and options beside its arrays. Nothing is loaded
    unless everything fits.

    A file does not say which release wrote it. Releases 0.26.0 to 0.26.4 have the names
    and shapes of 0.25.3 and another attention in the middle: their checkpoints cannot
    be told from those of 0.25.3, are loaded, and give other pictures.

    Example:
    ```python
    network = diffusion.UNet(version="2")
    diffusion.load_state_dict(network, "model.safetensors")
    ```

    Args:
        model: A `diffusion.UNet`.
        state: A dict of arrays by name (or of such dicts), or the path of a file
            that `illustkit.tensors.read_tensors` reads: `.npz`,
            `.safetensors`, or a file of `torch.save`, whose code is not run.

    Raises:
        StateDictError: If names are unknown or missing, or arrays have another shape or
            are not finite; the message lists all faults.
        UserError: If a file is missing, broken or of another kind.

    Reference:
        github.com/lucidrains/denoising-diffusion-pytorch.
    """
    source, flat = read_state(state)
    prefix = find_network(flat, ("init_conv.weight", "final_conv.weight")) or ""
    own = {n[len(prefix) :]: v for n, v in flat.items() if n.startswith(prefix)}
    expected = {}
    for name, variable, to_torch, _ in _entries(model):
        expected[name] = tuple(to_torch(np.empty(variable.shape, "bool")).shape)
    values = fitting_arrays(
        own,
        expected,
        source,
        f"this network (version {model.version})",
        "Make the UNet with the version, dim, dim_mults, channels and self_condition "
        "of the checkpoint (one of release 0.26.0 to 0.26.4 passes for 0.25.3, and is "
        "another network).",
    )
    for name, variable, _, from_torch in _entries(model):
        variable.assign(from_torch(values[name]))


def state_dict(model: UNet) -> dict[str, np.ndarray]:
    """Return a network's weights by the names and in the shapes of the PyTorch package.

    Example:
    ```python
    np.savez("model.npz", **diffusion.state_dict(network))
    ```

    Args:
        model: A `diffusion.UNet`.

    Returns:
        Dict of float32 NumPy arrays.

    Reference:
        github.com/lucidrains/denoising-diffusion-pytorch.
    """
    return {
        name: np.ascontiguousarray(to_torch(np.asarray(variable)))
        for name, variable, to_torch, _ in _entries(model)
    }


def _entries(model: UNet) -> Iterator[tuple[str, Any, Callable, Callable]]:
    """Yield each weight's name, variable, and maps to and from PyTorch's shape."""
    for layer in model.layers:
        for variable in layer.weights:
            name = variable.name.replace("kernel", "weight")
            yield f"{layer.name}.{name}", variable, *_maps(layer.name, variable)


def _maps(layer: str, variable: Any) -> tuple[Callable, Callable]:
    """Return the functions to and from PyTorch's shape of a variable."""
    rank = len(variable.shape)
    if variable.name in ("g", "b"):
        return (lambda a: a.reshape(1, -1, 1, 1)), (lambda a: a.reshape(-1))
    if not variable.name.endswith("kernel"):
        return (lambda a: a), (lambda a: a)
    if rank == 2:
        return np.transpose, np.transpose
    height, width, inputs, outputs = variable.shape
    if (height, width) == (2, 2):
        # PyTorch joins 2×2 pixels into channels (c p1 p2), then convolves 1×1.
        return (
            lambda a: a.transpose(3, 2, 0, 1).reshape(outputs, 4 * inputs, 1, 1),
            lambda a: a.reshape(outputs, inputs, 2, 2).transpose(2, 3, 1, 0),
        )
    # (height, width, in, out) <-> (out, in, height, width)
    return (lambda a: a.transpose(3, 2, 0, 1)), (lambda a: a.transpose(2, 3, 1, 0))
