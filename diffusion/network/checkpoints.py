"""Read and write checkpoints of the PyTorch package, by its names and shapes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffusion.network.unet import UNet
from illustkit.errors import UserError
from illustkit.tensors import read_tensors

# The names of averaged networks: "ema_model.", "ema.shadow.", "module_ema.".
_AVERAGE = re.compile(r"(^|[._])ema[._]")


class StateDictError(UserError):
    """A checkpoint does not fit the network; the message says why."""


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
    source = "The state dict"
    if isinstance(state, (str, os.PathLike)):
        source, state = str(state), read_tensors(Path(state).expanduser())
    if not hasattr(state, "items"):
        raise StateDictError(
            f"{source} is no dict of arrays but {type(state).__name__}: save the "
            "network's state_dict() alone."
        )
    state = _network_of(state)
    expected = {}
    for name, variable, to_torch, _ in _entries(model):
        expected[name] = tuple(to_torch(np.empty(variable.shape, "bool")).shape)

    faults = []
    if missing := [name for name in expected if name not in state]:
        faults.append(f"lacks {_listed(missing)}")
    unknown = [n for n, value in state.items() if n not in expected and _ndim(value)]
    if unknown:
        faults.append(f"has {_listed(unknown)}, which the network lacks")
    values = {}
    for name, shape in expected.items():
        if name not in state:
            continue
        try:
            value = _as_array(state[name])
        except (TypeError, ValueError):
            faults.append(f"has no array of numbers in {name}")
            continue
        values[name] = value
        if value.shape != shape:
            faults.append(f"has {name} of shape {value.shape} instead of {shape}")
        elif not np.isfinite(value).all():
            faults.append(f"has values in {name} that are not finite")
    if faults:
        more = f"; and {len(faults) - 6} more faults" if len(faults) > 6 else ""
        raise StateDictError(
            f"{source} does not fit this network (version {model.version}): it "
            f"{'; it '.join(faults[:6])}{more}. Make the UNet with the version, dim, "
            "dim_mults, channels and self_condition of the checkpoint (one of release "
            "0.26.0 to 0.26.4 passes for 0.25.3, and is another network)."
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


def _network_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the network's arrays, from whatever object the checkpoint holds."""
    flat = dict(_flattened(state))
    ends = ("init_conv.weight", "final_conv.weight")
    prefixes = {n.removesuffix(e) for n in flat for e in ends if n.endswith(e)}
    # Prefer the average, then the least wrapped network.
    prefix = min(prefixes, key=lambda p: (not _AVERAGE.search(p), len(p)), default="")
    return {n[len(prefix) :]: v for n, v in flat.items() if n.startswith(prefix)}


def _flattened(state: Mapping[str, Any], prefix: str = "") -> Iterator:
    for name, value in state.items():
        if hasattr(value, "items"):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _as_array(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):  # a tensor of torch, wherever it is
        value = value.detach().cpu().float()
    return np.asarray(value).astype("float32")


def _ndim(value: Any) -> int:
    """Return the number of an array's dimensions: zero for what is no weight."""
    ndim = getattr(value, "ndim", 0)
    return ndim if isinstance(ndim, int) else 0


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")
