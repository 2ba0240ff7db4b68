"""What a notebook asks first: which accelerator is here, and what runs on it."""

import contextlib
import functools
import glob
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


def missing_backend(error):
    """What to do about an import that failed for want of Keras' backend.

    Keras takes the backend that `KERAS_BACKEND` names when it is imported, and
    TensorFlow without it. The library never chooses one itself.

    Example:
    ```python
    try:
        import keras
    except ModuleNotFoundError as error:
        print(missing_backend(error) or error)
    ```

    Args:
        error: The `ModuleNotFoundError`.

    Returns:
        One line, or `None` where something else was missing or Keras has started.
    """
    missing = (error.name or "").split(".")[0]
    if missing not in BACKENDS or "keras" in sys.modules:
        return None
    found = f"Keras finds no {BACKENDS[missing]}"
    if missing != "tensorflow":
        extra = "jax" if missing == "jax" else "tensorflow"
        unset = "" if missing == "jax" else " and unset KERAS_BACKEND"
        return f'{found}: pip install "illustkit[{extra}]"{unset}'
    install = 'pip install "illustkit[tensorflow]"'
    if importlib.util.find_spec("jax") is not None:
        return f"{found}. Set KERAS_BACKEND=jax, since JAX is here, or {install}"
    return (
        f'{found}: {install}, or pip install "illustkit[jax]" and set KERAS_BACKEND=jax'
    )


KINDS = ("auto", "one", "mirrored", "multiworker", "tpu")


def get_strategy(kind="auto"):
    """Choose the devices to train on.

    Call it before anything else touches TensorFlow, and build and compile the
    model inside `scope(strategy)`. On JAX every device found shares the batch
    (`keras.distribution.DataParallel`), and there is no strategy object.

    Several machines train as one where the same command runs on each of them, with
    `TF_CONFIG` naming all workers and which of them this is, and the same run folder,
    on a disk that they share. Each takes its share of every batch; the first one
    writes the run. When one fails all stop: the same commands go on from the last
    whole epoch.

    ```bash
    export TF_CONFIG='{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]},
                       "task": {"type": "worker", "index": 0}}'   # 1 on the second
    oppai train images meta.json --run /shared/run --strategy multiworker
    ```

    Example:
    ```python
    strategy = get_strategy("auto")
    with scope(strategy):
        model = build_and_compile()
    model.fit(batches)  # the batch size is the global one
    ```

    Args:
        kind: "auto" takes what is there (a TPU, the workers named in `TF_CONFIG`,
            all GPUs, else one device); "one" takes the default device alone;
            "mirrored" splits the batch over all GPUs, or over all logical CPUs
            where there is no GPU; "multiworker" needs `TF_CONFIG`; "tpu" fails
            loudly where TensorFlow has no TPU support. Defaults to "auto".

    Returns:
        A `tf.distribute.Strategy`, or `None` where Keras does not run on TensorFlow.

    Raises:
        ValueError: for an unknown kind, "multiworker" without `TF_CONFIG`, or
            "tpu" without a TPU.
    """
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {KINDS}. Received: kind={kind!r}")
    import keras

    if keras.backend.backend() != "tensorflow":
        if kind != "one" and len(keras.distribution.list_devices()) > 1:
            keras.distribution.set_distribution(keras.distribution.DataParallel())
        return None

    import tensorflow as tf

    if kind == "tpu" or kind == "auto" and tpu_files():
        try:
            return _tpu_strategy(tf)
        except (ValueError, tf.errors.OpError) as error:
            if kind == "tpu":
                raise ValueError(
                    "This TensorFlow reaches no TPU. Set KERAS_BACKEND=jax before "
                    f"starting Python to train on it. TensorFlow said: {error}"
                ) from error
            print(
                "A TPU is here, but this TensorFlow cannot use it: training goes on "
                "without it. Set KERAS_BACKEND=jax before starting Python to use it."
            )
    if kind == "multiworker" and n_workers() < 2:
        raise ValueError(
            "Several workers need the environment variable TF_CONFIG with at least "
            f"two under cluster.worker. Received: {os.environ.get('TF_CONFIG')!r}"
        )
    if kind in ("auto", "multiworker") and n_workers() > 1:
        return _workers_strategy()

    devices = tf.config.list_logical_devices("GPU")
    if kind == "mirrored" and not devices:
        devices = tf.config.list_logical_devices("CPU")
    if kind == "one" or len(devices) < 2:
        return tf.distribute.get_strategy()  # the default one keeps XLA on a GPU
    if devices[0].device_type == "GPU":
        return tf.distribute.MirroredStrategy([d.name for d in devices])
    # Only this reduction works on logical CPUs with several steps an execution.
    return tf.distribute.MirroredStrategy(
        [d.name for d in devices],
        cross_device_ops=tf.distribute.HierarchicalCopyAllReduce(),
    )


def scope(strategy):
    """Context in which a model, its optimizer and `compile` belong to `strategy`.

    Args:
        strategy: What `get_strategy` returned; `None` changes nothing.

    Returns:
        A context manager.
    """
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def own_folder(folder):
    """A folder that no other worker writes to.

    Args:
        folder: Path that all workers were given.

    Returns:
        That `Path` for the first worker, for the others one beside it.
    """
    folder, i = Path(folder), worker_index()
    return folder.with_name(f"{folder.name}-worker-{i}") if i else folder


def replicas(strategy):
    """Number of devices that share a batch.

    Args:
        strategy: What `get_strategy` returned.

    Returns:
        An int of at least 1; the global batch size has to be a multiple of it.
    """
    if strategy is not None:
        return strategy.num_replicas_in_sync
    import keras

    if keras.distribution.distribution() is None:
        return 1
    return len(keras.distribution.list_devices())


def check_batch_size(batch_size, strategy):
    """Refuse a batch that cannot be shared evenly.

    Args:
        batch_size: Samples of a batch, over all devices.
        strategy: What `get_strategy` returned.

    Returns:
        Number of devices that share it, as `replicas` gives it.

    Raises:
        ValueError: where the batch size is no multiple of that number.
    """
    if batch_size % (n := replicas(strategy)):
        raise ValueError(
            f"`batch_size` must be a multiple of the {n} devices that share it. "
            f"Received: batch_size={batch_size}"
        )
    return n


def check_precision(name, strategy):
    """Refuse a precision that several devices of `tf.distribute` cannot train with.

    In "mixed_float16" each device decides by its own gradients whether a step is left
    out, which has to be the same everywhere.

    Args:
        name: A dtype policy, as of `precision`.
        strategy: What `get_strategy` returned.

    Raises:
        ValueError: for "mixed_float16" on several of them.
    """
    n = 1 if strategy is None else strategy.num_replicas_in_sync
    if name == "mixed_float16" and n > 1:
        raise ValueError(
            f"TensorFlow cannot train in mixed_float16 on {n} devices at once: take "
            "precision mixed_bfloat16 or float32, or strategy one."
        )


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Return a context in which layers are made with a dtype policy.

    Example:
    ```python
    with precision("mixed_bfloat16"):
        model = build()
    ```

    Args:
        name: "float32", "mixed_bfloat16" or "mixed_float16".
    """
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def n_workers():
    """Number of worker processes that `TF_CONFIG` names; 1 without it."""
    cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
    return max(1, len(cluster.get("worker", [])))


def worker_index():
    """Number of this process among the workers; 0 writes the shared files."""
    config = json.loads(os.environ.get("TF_CONFIG") or "{}")
    return int(config.get("task", {}).get("index", 0))


def tpu_files():
    """Files by which the driver of a TPU shows itself; an empty list without one."""
    return glob.glob("/dev/accel*") or glob.glob("/dev/vfio/[0-9]*")


def _tpu_strategy(tf):
    resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
        tpu=os.environ.get("TPU_NAME", "local")
    )
    tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    return tf.distribute.TPUStrategy(resolver)


@functools.cache
def _workers_strategy():
    # One a process: another would cut the connections that the first has made.
    import tensorflow as tf

    from illustkit._keras_compat import average_scalar_logs

    average_scalar_logs()
    return tf.distribute.MultiWorkerMirroredStrategy()


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
