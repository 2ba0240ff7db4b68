"""What a benchmark ran on, and how much memory it took."""

import os
import platform
from pathlib import Path


def peak_memory(backend):
    """Peak bytes of the device, or of the process on a CPU."""
    if backend == "jax":
        import jax

        if found := (jax.local_devices()[0].memory_stats() or {}):
            return found["peak_bytes_in_use"]
    elif backend == "tensorflow":
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    else:
        import torch

        if torch.cuda.is_available():
            return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def hardware(backend):
    """What the task ran on, and by what, in words."""
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
