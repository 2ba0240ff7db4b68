"""The detector that comes with the package."""

import os
from pathlib import Path
from typing import Any

from illustkit.training.shipped import load_network, read_network, save_network

DEFAULT = Path(__file__).parents[1] / "weights" / "default.npz"


def save_shipped(network: Any, path: str | os.PathLike[str]) -> Path:
    """Store a trained network in float16, in one file that NumPy reads.

    Example:
    ```python
    save_shipped(network, "default.npz")
    ```

    Args:
        network: A `facescore.detector.network.DetectorNetwork`.
        path: The `.npz` to write.

    Returns:
        The path, once the file is whole.

    Raises:
        UserError: If float16 cannot hold a weight.
    """
    without = "name", "dtype", "normalise", "synchronised"
    settings = {k: v for k, v in network.get_config().items() if k not in without}
    return save_network(network, settings, path)


def read_shipped() -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the package's own detector, without Keras.

    Returns:
        `(settings, arrays)` for `facescore.detector.engines.EngineNetwork`.

    Raises:
        UserError: If the file is missing or spoilt.
    """
    return read_network(DEFAULT)


def load_shipped(path: str | os.PathLike[str] = DEFAULT) -> Any:
    """Load a network that `save_shipped` stored, with its batch normalisation.

    Example:
    ```python
    detector = facescore.load_detector("default")  # what finds faces with it
    ```

    Args:
        path: The `.npz`. Defaults to the package's own.

    Returns:
        A `facescore.detector.network.DetectorNetwork` with float32 weights.

    Raises:
        UserError: If the file is missing or does not fit the network.
    """
    from facescore.detector.network import DetectorNetwork

    return load_network(path, lambda settings: DetectorNetwork(**settings))
