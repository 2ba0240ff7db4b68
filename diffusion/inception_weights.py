"""The weights of FID's InceptionV3: found on this machine, fetched, or in a file."""

import os
import sys
from pathlib import Path

import numpy as np

from diffusion.tensor_files import read_tensors
from illustkit.files import cache_folder, fetch_pinned, is_pinned

FILE_NAME = "pt_inception-2015-12-05-6726825d.pth"
URL = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/" + FILE_NAME
)
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SIZE = 95_628_359  # bytes


class WeightsError(ValueError):
    """InceptionV3's weights cannot be had: the message says why and what to do."""


def find_inception_weights(weights=None):
    """The file of weights, fetched if need be.

    Args:
        weights: Path of a file; `None` or "inception" for the published one: where
            torch keeps what pytorch-fid fetched, in the cache, or from the network.

    Returns:
        `Path`.

    Raises:
        WeightsError: where there is no such file, or nothing to be had from the
            network.
    """
    if weights not in (None, "inception"):
        path = Path(weights).expanduser()
        if not path.is_file():
            raise WeightsError(f"{path}: no such file of weights. {advice()}")
        return path
    for path in _known_places():
        if path.is_file() and path.stat().st_size == SIZE and is_pinned(path, SHA256):
            return path
    path = cache_folder() / FILE_NAME
    print(f"Fetching {URL} ({SIZE / 1e6:.0f} MB)", file=sys.stderr)
    try:
        return fetch_pinned(URL, SHA256, path, max_bytes=SIZE)
    except (OSError, ValueError) as error:
        raise WeightsError(
            "FID needs InceptionV3's weights, which are not on this machine: "
            f"{' '.join(str(error).split())} {advice()}"
        ) from None


def read_inception_weights(path):
    """Arrays of a file of weights, by the names of torchvision.

    Args:
        path: A `.pth`, `.npz` or `.safetensors`.

    Returns:
        Dict from name to array.

    Raises:
        WeightsError: where the file is broken, or no dict of arrays.
    """
    try:
        state = read_tensors(path)
    except ValueError as error:
        raise WeightsError(f"{error} {advice()}") from None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, np.ndarray)
        for name, value in state.items()
    ):
        raise WeightsError(
            f"{path}: it holds no plain dict of weights by their names. {advice()}"
        )
    return state


def advice():
    """What to do where there are no weights."""
    return (
        f"Give the path of {FILE_NAME} ({URL}), or measure by other features, which "
        'is no FID: features="pixels".'
    )


def _known_places():
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    torch = Path(os.environ.get("TORCH_HOME") or Path(cache, "torch"))
    yield cache_folder() / FILE_NAME
    yield torch / "hub" / "checkpoints" / FILE_NAME
    # torch-fidelity keeps the same bytes under another name.
    yield torch / "hub" / "checkpoints" / FILE_NAME.replace("pt_", "weights-")
