"""Describe the hardware of a benchmark and measure the memory that it takes."""

import os
import platform
from pathlib import Path


def processor():
    """Return the processor's name and the number of cores, in words."""
    name = platform.processor() or platform.machine()
    n = len(os.sched_getaffinity(0))
    return f"{name}, {n} core{'s' * (n > 1)}"


def process_peak():
    """Return the peak resident memory of this process in bytes.

    `getrusage` would also count the memory of the parent process.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def peak_memory(backend):
    """Return the peak bytes of the device, or of the process on a CPU."""
    if backend == "jax":
        import jax

        if stats := (jax.local_devices()[0].memory_stats() or {}):
            return stats["peak_bytes_in_use"]
    elif backend == "tensorflow":
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    else:
        import torch

        if torch.cuda.is_available():
            return torch.cuda.max_memory_allocated()
    return process_peak()


def hardware(backend):
    """Return the device's name, the backend and its version, in words."""
    module = __import__(backend)
    if backend == "jax":
        device = module.local_devices()[0].device_kind
    elif backend == "tensorflow":
        gpus = module.config.list_physical_devices("GPU")
        details = module.config.experimental.get_device_details(gpus[0]) if gpus else {}
        device = details.get("device_name", "cpu")
    else:
        on_gpu = module.cuda.is_available()
        device = module.cuda.get_device_name() if on_gpu else "cpu"
    if device == "cpu":
        device = f"{len(os.sched_getaffinity(0))} cores of {platform.machine()}"
    return f"{device}, {backend} {module.__version__}"
