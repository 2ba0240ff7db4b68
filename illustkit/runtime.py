"""Find the devices of this machine, choose Keras' backend, and share batches."""

import contextlib
import functools
import glob
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from illustkit.errors import UserError

# Keras' backends by the names that people know. The packages run on the first two.
NAMES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
SUPPORTED = "tensorflow", "jax"
# Tasks that train, in the order in which `tf.distribute` numbers them.
JOBS = "chief", "worker"
KINDS = "auto", "one", "mirrored", "multiworker", "tpu"
_AMPERE = 8  # compute capability of the first NVIDIA GPUs with bfloat16


def describe_devices() -> str:
    """Describe the accelerators of this machine and what Keras runs on, in words.

    It imports Keras, which fixes the backend: call `choose_backend` first. On
    TensorFlow no device is claimed, so that `get_strategy` may follow.

    Example:
    ```python
    print(illustkit.describe_devices())
    # 1 GPU (Tesla T4). Keras 3.13.2 runs on it through TensorFlow 2.20.0.
    ```

    Returns:
        A str of one sentence or more. If an accelerator of this machine cannot be used,
        it says why and how to fix that.

    Raises:
        UserError: If Keras runs on neither TensorFlow nor JAX.
    """
    import keras

    backend = keras.backend.backend()
    if backend not in SUPPORTED:
        raise UserError(
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
        return " ".join([text, *_fixes(backend)])
    kind, name = devices[0]
    text = f"{_count(len(devices), kind)} ({name}). Keras {keras.__version__} "
    if len(devices) == 1:
        return f"{text}runs on it through {library}."
    shared = {"tensorflow": "tf.distribute", "jax": "keras.distribution"}[backend]
    return f"{text}shares every batch among them through {library} ({shared})."


def _tensorflow_devices() -> tuple[str, list[tuple[str, str]]]:
    """Return TensorFlow's version, and (kind, name) of each accelerator it reaches."""
    import tensorflow as tf

    devices = []
    for kind in ("TPU", "GPU"):
        for device in tf.config.list_physical_devices(kind):
            details = tf.config.experimental.get_device_details(device)
            devices.append((kind, details.get("device_name", device.name)))
    return tf.__version__, devices


def _jax_devices() -> tuple[str, list[tuple[str, str]]]:
    """Return JAX's version, and (kind, name) of each accelerator it reaches."""
    import jax

    devices = [d for d in jax.devices() if d.platform != "cpu"]
    return jax.__version__, [(d.platform.upper(), d.device_kind) for d in devices]


def _fixes(backend: str) -> Iterator[str]:
    """Say how to reach accelerators that are here and cannot be used."""
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


def tpu_files() -> list[str]:
    """Return the device files of a TPU's driver; an empty list without a TPU."""
    return glob.glob("/dev/accel*") or glob.glob("/dev/vfio/[0-9]*")


def _n_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"


def choose_backend() -> str:
    """Choose Keras' backend for this machine, before anything imports Keras.

    JAX if TensorFlow is not installed, as on Colab's TPU runtimes, or if a TPU is here
    and JAX is installed; else TensorFlow. A `KERAS_BACKEND` that is set stays. Nothing
    heavy is imported. Keras keeps the backend with which it was imported: after that,
    this function only returns its name.

    Example:
    ```python
    illustkit.choose_backend()
    print(illustkit.describe_devices())
    ```

    Returns:
        The backend's name, "tensorflow" or "jax", which the environment variable
        `KERAS_BACKEND` now holds.

    Raises:
        UserError: If neither TensorFlow nor JAX is installed.
    """
    if "keras" in sys.modules:
        return sys.modules["keras"].backend.backend()
    if chosen := os.environ.get("KERAS_BACKEND"):
        return chosen
    installed = [name for name in SUPPORTED if find_spec(name) is not None]
    if not installed:
        raise UserError(
            "Keras needs TensorFlow or JAX, and neither is installed here: "
            'pip install "illustkit[tensorflow]"'
        )
    chosen = installed[-1] if tpu_files() else installed[0]
    os.environ["KERAS_BACKEND"] = chosen
    return chosen


class _QuietLoader:
    """Finds TensorFlow as Python does, and drops what its libraries print on loading.

    They write to the file descriptor before they read TF_CPP_MIN_LOG_LEVEL.
    """

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = functools.partial(_without_output, spec.loader.exec_module)
            setattr(spec.loader, "exec_module", execute)  # noqa: B010
        return spec


def _without_output(function, *arguments):
    """Call a function; what it wrote to the process's stderr is shown if it fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as printed:
        stderr = os.dup(2)
        os.dup2(printed.fileno(), 2)
        try:
            function(*arguments)
        except BaseException:
            printed.seek(0)
            os.write(stderr, printed.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def silence_tensorflow() -> None:
    """Keep TensorFlow's log off the terminal, unless TF_CPP_MIN_LOG_LEVEL is 0 or 1.

    It names drivers and instructions above every line of a command. What goes wrong is
    an exception as well. Call it before TensorFlow is imported.

    Example:
    ```python
    silence_tensorflow()
    import keras
    ```
    """
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if level not in ("0", "1") and "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _QuietLoader())


def missing_backend(error: ModuleNotFoundError) -> str | None:
    """Explain an import that failed because Keras' backend is not installed.

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
        error: The error of the import.

    Returns:
        One line that says what to install, or `None` if something else was missing or
        Keras has started.
    """
    missing = (error.name or "").split(".")[0]
    if missing not in NAMES or "keras" in sys.modules:
        return None
    problem = f"Keras finds no {NAMES[missing]}"
    if missing == "jax":
        return f'{problem}: pip install "illustkit[jax]"'
    if missing == "torch":
        install = 'pip install "illustkit[tensorflow]"'
        return f"{problem}: {install} and unset KERAS_BACKEND"
    install = 'pip install "illustkit[tensorflow]"'
    if find_spec("jax") is not None:
        return f"{problem}. Set KERAS_BACKEND=jax, since JAX is here, or {install}"
    return (
        f"{problem}: {install}, "
        'or pip install "illustkit[jax]" and set KERAS_BACKEND=jax'
    )


def get_strategy(kind: str = "auto") -> Any:
    """Choose the devices to train on.

    Call it before anything else touches TensorFlow, and build and compile the model
    inside `scope(strategy)`. On JAX all devices share the batch
    (`keras.distribution.DataParallel`), and there is no strategy object.

    Several machines train as one if the same command runs on each of them, with
    `TF_CONFIG` naming all workers and which of them this is, and the same run folder,
    on a disk that they share. Each takes its part of every batch. The chief that
    `TF_CONFIG` names writes the run; without a chief, the first worker does. If one
    fails, all stop: the same commands resume after the last whole epoch.

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
        kind: "auto" takes what the machine has (a TPU, the workers named in
            `TF_CONFIG`, all GPUs, else one device); "one" takes the default device;
            "mirrored" splits the batch over all GPUs, or over all logical CPUs if there
            is no GPU; "multiworker" needs `TF_CONFIG`; "tpu" raises if TensorFlow
            reaches no TPU. Defaults to "auto".

    Returns:
        A `tf.distribute.Strategy`, or `None` if Keras does not run on TensorFlow.

    Raises:
        UserError: If the kind is unknown, or "multiworker" without `TF_CONFIG`, or
            "tpu" without a TPU.
    """
    if kind not in KINDS:
        raise UserError(
            f"`strategy` must be one of {', '.join(KINDS)}. Received: {kind!r}"
        )
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
                raise UserError(
                    "This TensorFlow reaches no TPU. Set KERAS_BACKEND=jax before "
                    f"starting Python to train on it. TensorFlow said: {error}"
                ) from error
            print(
                "A TPU is here, but this TensorFlow cannot use it: training goes on "
                "without it. Set KERAS_BACKEND=jax before starting Python to use it."
            )
    if kind == "multiworker" and n_workers() < 2:
        raise UserError(
            "Several workers need the environment variable TF_CONFIG with at least two "
            "under cluster.worker, or a chief and a worker. "
            f"Received: {os.environ.get('TF_CONFIG')!r}"
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


def _tpu_strategy(tf: Any) -> Any:
    resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
        tpu=os.environ.get("TPU_NAME", "local")
    )
    tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    return tf.distribute.TPUStrategy(resolver)


@functools.cache
def _workers_strategy() -> Any:
    # One per process: another would cut the connections that the first has made.
    import tensorflow as tf

    from illustkit._keras_compat import average_scalar_logs

    average_scalar_logs()
    return tf.distribute.MultiWorkerMirroredStrategy()


def scope(strategy: Any) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which a model, its optimizer and `compile` are shared.

    Args:
        strategy: What `get_strategy` returned; `None` changes nothing.

    Returns:
        A context manager.
    """
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def replicas(strategy: Any) -> int:
    """Return the number of devices that share a batch.

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


def check_batch_size(batch_size: int, strategy: Any) -> int:
    """Refuse a batch that cannot be shared evenly.

    Args:
        batch_size: Samples of a batch, over all devices.
        strategy: What `get_strategy` returned.

    Returns:
        The number of devices that share it, as from `replicas`.

    Raises:
        UserError: If the batch size is no multiple of that number.
    """
    if batch_size % (n := replicas(strategy)):
        raise UserError(
            f"`batch_size` must be a multiple of the {n} devices that share it. "
            f"Received: batch_size={batch_size}"
        )
    return n


def check_precision(name: str, strategy: Any) -> None:
    """Refuse a precision that several devices of `tf.distribute` cannot train with.

    In "mixed_float16" each device decides by its own gradients whether a step is left
    out, which has to be the same everywhere.

    Args:
        name: A dtype policy, as for `precision`.
        strategy: What `get_strategy` returned.

    Raises:
        UserError: If several of them would train in "mixed_float16".
    """
    n = 1 if strategy is None else strategy.num_replicas_in_sync
    if name == "mixed_float16" and n > 1:
        raise UserError(
            f"TensorFlow cannot train in mixed_float16 on {n} devices at once: take "
            "precision mixed_bfloat16 or float32, or strategy one."
        )


def choose_precision(name: str, strategy: Any) -> str:
    """Return the dtype policy of a training; "auto" is what the devices are fast in.

    That is "mixed_bfloat16" on TPUs, on GPUs that compute in bfloat16 (NVIDIA's from
    Ampere on), and with TensorFlow on processors that do (AVX-512 BF16 or AMX). All
    others emulate it: a processor with AVX2 alone takes ten times as long as in
    "float32", which is chosen there.

    Args:
        name: "auto", or a dtype policy, which is returned.
        strategy: What `get_strategy` returned.

    Returns:
        Name of the dtype policy.
    """
    if name != "auto":
        return name
    import keras

    if keras.backend.backend() == "jax":
        fast = _jax_has_bfloat16()
    else:
        fast = _tensorflow_has_bfloat16(strategy)
    return "mixed_bfloat16" if fast else "float32"


def _jax_has_bfloat16():
    import jax

    devices = jax.devices()
    if devices[0].platform != "gpu":
        return devices[0].platform == "tpu"
    majors = [str(each.compute_capability).split(".")[0] for each in devices]
    # AMD's GPUs have names there, such as gfx90a.
    return all(major.isdigit() and int(major) >= _AMPERE for major in majors)


def _tensorflow_has_bfloat16(strategy):
    import tensorflow as tf

    if isinstance(strategy, tf.distribute.TPUStrategy):
        return True
    if not (gpus := tf.config.list_physical_devices("GPU")):
        return _processor_has_bfloat16()
    details = map(tf.config.experimental.get_device_details, gpus)
    return all(each.get("compute_capability", (0,)) >= (_AMPERE,) for each in details)


def _processor_has_bfloat16():
    """Return whether Linux says so; elsewhere TensorFlow does not use it."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)


def compiled_by_xla() -> str | bool:
    """Return `jit_compile` for `keras.Model.compile`: "auto", or `False` on a CPU.

    On TensorFlow's CPU, XLA takes as long for a step as oneDNN or longer, and half a
    minute or more to compile one.

    Returns:
        "auto" on JAX, and on TensorFlow with an accelerator; else `False`.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    kinds = {device.device_type for device in tf.config.list_physical_devices()}
    return "auto" if kinds & {"GPU", "TPU"} else False


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Return a context in which layers are made with a dtype policy.

    Example:
    ```python
    with precision("mixed_bfloat16"):
        model = build()
    ```

    Args:
        name: "float32", "mixed_bfloat16", "mixed_float16", or "auto" as for
            `choose_precision`.
    """
    import keras

    name = choose_precision(name, None)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def n_workers() -> int:
    """Return the number of processes that `TF_CONFIG` names, a chief's included."""
    cluster, _, _ = _tf_config()
    return max(1, sum(len(cluster.get(job, [])) for job in JOBS))


def worker_index() -> int:
    """Return this process's number among all that train; 0 writes the shared files.

    A chief is number 0, and the workers follow it. Without a chief, worker 0 is.

    Raises:
        UserError: If `TF_CONFIG` gives this process another task than training.
    """
    cluster, job, index = _tf_config()
    if job not in JOBS:
        raise UserError(
            f"`TF_CONFIG` makes this process the task {job!r}: train with the tasks "
            f"{' and '.join(JOBS)} alone."
        )
    return index if job == JOBS[0] else len(cluster.get(JOBS[0], [])) + index


def _tf_config():
    """Return the cluster, and the job and index of this process."""
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        config = json.loads(text)
        cluster, task = config.get("cluster", {}), config.get("task", {})
        {job: len(cluster.get(job, [])) for job in JOBS}
        return cluster, task.get("type", JOBS[1]), int(task.get("index", 0))
    except (AttributeError, RecursionError, TypeError, ValueError):
        raise UserError(
            "The environment variable TF_CONFIG is JSON with a cluster and a task: fix "
            f"it, or unset it to train on this machine alone. Received: {text[:200]!r}"
        ) from None


def own_folder(folder: str | os.PathLike[str]) -> Path:
    """Return a folder that no other worker writes to.

    Args:
        folder: Path that all workers were given.

    Returns:
        That `Path` for the first worker; for the others one beside it.
    """
    folder, i = Path(folder), worker_index()
    return folder.with_name(f"{folder.name}-worker-{i}") if i else folder
