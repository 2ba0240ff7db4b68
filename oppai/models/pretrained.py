"""The restorer that comes with the package: small files, no training needed."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np

from illustkit.files import write_whole

DEFAULT = Path(__file__).parents[1] / "weights" / "default.npz"
# Which pictures it was trained on.
SPLIT = DEFAULT.with_name("default_split.json")
_CONFIG = "network.json"


def save_shipped(restorer, path):
    """Keep a trained network in float16, in one file that NumPy reads.

    Example:
    ```python
    save_shipped(oppai.load_restorer("runs/mosaic"), "default.npz")
    ```

    Args:
        restorer: An `oppai.MosaicRestorer`.
        path: The `.npz` to write.

    Returns:
        The path, once the file is whole.

    Raises:
        ValueError: where float16 cannot hold a weight.
    """
    network = restorer.network
    arrays = {}
    for variable in network.weights:
        value = np.asarray(variable, "float32")
        half = value.astype(np.float16)
        if not np.isfinite(half).all():
            raise ValueError(f"float16 cannot hold {variable.path}: train it again.")
        arrays[variable.path] = half
    settings = {k: v for k, v in network.get_config().items() if k != "name"}
    text = json.dumps(settings).encode()
    arrays[_CONFIG] = np.frombuffer(text, np.uint8)
    memory = io.BytesIO()
    np.savez_compressed(memory, **arrays)
    return write_whole(path, memory.getvalue())


def load_shipped(path=DEFAULT):
    """Load a restorer that `save_shipped` kept.

    Example:
    ```python
    restorer = oppai.load_restorer("default")  # the same
    ```

    Args:
        path: The `.npz`. Defaults to the package's own.

    Returns:
        An `oppai.MosaicRestorer` with float32 weights.

    Raises:
        ValueError: where the file is missing or does not fit the network.
    """
    from illustkit.training.trainable import precision
    from oppai.models.mosaic_unet import MosaicUNet
    from oppai.models.restorers import MosaicRestorer

    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        settings = json.loads(arrays.pop(_CONFIG).tobytes())
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} holds no restorer ({error}): install the package again."
        ) from error
    with precision("float32"):
        network = MosaicUNet(**settings)
    names = {variable.path: variable for variable in network.weights}
    if set(names) != set(arrays):
        other = sorted(set(names) ^ set(arrays))[0]
        raise ValueError(f"{path} does not fit this version of the network: {other}.")
    for name, variable in names.items():
        variable.assign(arrays[name].astype(np.float32))
    return MosaicRestorer(network)
