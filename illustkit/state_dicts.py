"""Fit the named arrays of a PyTorch checkpoint to the weights of a network."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from illustkit.errors import UserError
from illustkit.tensors import read_tensors

# The names of averaged networks: "ema_model.", "ema.shadow.", "module_ema.", "g_ema.".
_AVERAGE = re.compile(r"(^|[._])ema[._]")


class StateDictError(UserError):
    """A checkpoint does not fit the network; the message says why."""


def read_state(
    state: Mapping[str, Any] | str | os.PathLike,
) -> tuple[str, dict[str, Any]]:
    """Return what a checkpoint is called, and what it holds by dotted names.

    Example:
    >>> read_state({"ema": {"conv": {"weight": 1.0}}, "step": 7})
    ('The state dict', {'ema.conv.weight': 1.0, 'step': 7})

    Args:
        state: A dict of arrays by name, or of such dicts, or the path of a file that
            `illustkit.tensors.read_tensors` reads.

    Returns:
        `(source, flat)`: "The state dict" or the path, and a dict.

    Raises:
        StateDictError: If it is no dict.
        UserError: If a file is missing, broken or of another kind.
    """
    source = "The state dict"
    if isinstance(state, (str, os.PathLike)):
        source, state = str(state), read_tensors(Path(state).expanduser())
    if not hasattr(state, "items"):
        raise StateDictError(
            f"{source} is no dict of arrays but {type(state).__name__}: save the "
            "network's state_dict() alone."
        )
    return source, dict(_flattened(state))


def _flattened(state: Mapping[str, Any], prefix: str = "") -> Iterator:
    for name, value in state.items():
        if hasattr(value, "items"):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def find_network(flat: Mapping[str, Any], ends: Sequence[str]) -> str | None:
    """Return the prefix of a network's names: of the average, then the least wrapped.

    Example:
    >>> names = "model.net.conv.weight", "ema.net.conv.weight", "step"
    >>> find_network(dict.fromkeys(names, 0.0), ["conv.weight"])
    'ema.net.'

    Args:
        flat: Arrays by dotted names.
        ends: Ends of names that only such a network has.

    Returns:
        The prefix, perhaps "", or `None` if no name ends so.
    """
    prefixes = {
        name.removesuffix(end)
        for name in flat
        for end in ends
        if name == end or name.endswith(f".{end}")
    }
    key = {prefix: (not _AVERAGE.search(prefix), len(prefix)) for prefix in prefixes}
    return min(prefixes, key=lambda prefix: key[prefix], default=None)


def fitting_arrays(
    state: Mapping[str, Any],
    expected: Mapping[str, tuple[int, ...]],
    source: str,
    network: str,
    advice: str,
    ignored: re.Pattern[str] | None = None,
) -> dict[str, np.ndarray]:
    """Return the arrays of a network, all of them or none.

    Args:
        state: Arrays by name. Numbers, text and options beside them are passed over.
        expected: Shape of each array in the network.
        source: What the message calls the checkpoint.
        network: What it calls the network.
        advice: A sentence that says what to do.
        ignored: Which names may be there although the network lacks them. Defaults to
            none.

    Returns:
        Dict of float32 arrays.

    Raises:
        StateDictError: If names are unknown or missing, or arrays have another shape or
            are not finite; the message lists the first six faults.
    """
    faults = []
    if missing := [name for name in expected if name not in state]:
        faults.append(f"lacks {_listed(missing)}")
    unknown = [
        name
        for name, value in state.items()
        if name not in expected
        and _ndim(value)
        and not (ignored and ignored.search(name))
    ]
    if unknown:
        faults.append(f"has {_listed(unknown)}, which the network lacks")
    values = {}
    for name, shape in expected.items():
        if name not in state:
            continue
        try:
            value = as_array(state[name])
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
            f"{source} does not fit {network}: it "
            f"{'; it '.join(faults[:6])}{more}. {advice}"
        )
    return values


def as_array(value: Any) -> np.ndarray:
    """Return an array or a tensor of torch, wherever it is, as float32 NumPy array."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().float()
    return np.asarray(value).astype("float32")


def _ndim(value: Any) -> int:
    """Return the number of an array's dimensions: zero for what is no weight."""
    ndim = getattr(value, "ndim", 0)
    return ndim if isinstance(ndim, int) else 0


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")
