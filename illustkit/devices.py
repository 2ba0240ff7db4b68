"""What a notebook asks first: which accelerator is here, and what runs on it."""

import glob
import os
import sys
from importlib.util import find_spec

from illustkit.strategy import tpu_files

# Keras' backends by the names that people know.
NAMES = {"tensorflow": "TensorFlow", "jax": "JAX"}


def choose_backend():
    """Choose Keras' backend for this machine, before anything imports Keras.

    JAX where TensorFlow is not installed, as on Colab's TPU runtimes, or where a TPU
    is here and JAX is installed; else TensorFlow. A `KERAS_BACKEND` that is set stays.
    Nothing heavy is imported. Keras keeps the backend with which it was imported:
    after that this only says which it is.

    Example:
    ```python
    illustkit.choose_backend()
    print(illustkit.describe_devices())
    ```

    Returns:
        The backend's name, "tensorflow" or "jax", which the environment variable
        `KERAS_BACKEND` now holds.

    Raises:
        ValueError: where neither TensorFlow nor JAX is installed.
    """
    if "keras" in sys.modules:
        return sys.modules["keras"].backend.backend()
    if chosen := os.environ.get("KERAS_BACKEND"):
        return chosen
    installed = [name for name in NAMES if find_spec(name) is not None]
    if not installed:
        raise ValueError(
            "Keras needs TensorFlow or JAX, and neither is installed here: "
            'pip install "illustkit[tensorflow]"'
        )
    chosen = installed[-1] if tpu_files() else installed[0]
    os.environ["KERAS_BACKEND"] = chosen
    return chosen


def describe_devices():
    """Say which accelerators are here and what Keras runs on, in words.

    It imports Keras, which fixes the backend: call `choose_backend` first. No device
    is claimed on TensorFlow, so that `get_strategy` may follow.

    Example:
    >>> print(illustkit.describe_devices())
    1 GPU (Tesla T4). Keras 3.13.2 runs on it through TensorFlow 2.20.0.

    Returns:
        A str of one sentence or more. What keeps an accelerator of this machine from
        being used is said, with the mend.

    Raises:
        ValueError: where Keras runs on neither TensorFlow nor JAX.
    """
    import keras

    backend = keras.backend.backend()
    if backend not in NAMES:
        raise ValueError(
            "Set KERAS_BACKEND to tensorflow or jax before Keras is imported. "
            f"Received: KERAS_BACKEND={backend}"
        )
    find = {"tensorflow": _tensorflow_devices, "jax": _jax_devices}[backend]
    version, devices = find()
    library = f"{NAMES[backend]} {version}"
    if not devices:
        text = (
            f"No GPU or TPU in use: Keras {keras.__version__} runs on "
            f"{_count(_n_cores(), 'CPU core')} through {library}."
        )
        return " ".join([text, *_mends(backend)])
    kind, name = devices[0]
    text = f"{_count(len(devices), kind)} ({name}). Keras {keras.__version__} "
    if len(devices) == 1:
        return f"{text}runs on it through {library}."
    shared = {"tensorflow": "tf.distribute", "jax": "keras.distribution"}[backend]
    return f"{text}shares every batch among them through {library} ({shared})."


def _tensorflow_devices():
    """TensorFlow's version, and (kind, name) of each accelerator it reaches."""
    import tensorflow as tf

    found = []
    for kind in ("TPU", "GPU"):
        for device in tf.config.list_physical_devices(kind):
            details = tf.config.experimental.get_device_details(device)
            found.append((kind, details.get("device_name", device.name)))
    return tf.__version__, found


def _jax_devices():
    """JAX's version, and (kind, name) of each accelerator it reaches."""
    import jax

    devices = [d for d in jax.devices() if d.platform != "cpu"]
    return jax.__version__, [(d.platform.upper(), d.device_kind) for d in devices]


def _mends(backend):
    """What to do about accelerators that are here and cannot be used."""
    if tpu_files():
        yield (
            "A TPU is here, but it is not reached: restart the session and run the "
            "cells from the first one on, with jax[tpu] installed and "
            "KERAS_BACKEND=jax."
        )
    if glob.glob("/dev/nvidia[0-9]*"):
        yield (
            f"An NVIDIA GPU is here, but this {NAMES[backend]} does not reach it: "
            "install the one that comes with CUDA."
        )
    if "google.colab" in sys.modules:
        yield "Runtime > Change runtime type offers a T4 GPU and a TPU."


def _n_cores():
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def _count(n, what):
    return f"{n} {what}{'s' * (n != 1)}"
