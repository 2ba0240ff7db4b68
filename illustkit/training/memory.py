"""Freed memory stays with the process that trains, for its next step."""

import ctypes
import sys
from typing import Any

import keras

# Of glibc's <malloc.h>.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
M_MMAP_MAX, M_ARENA_MAX = -4, -8
_LARGEST = 2**31 - 1  # bytes
_AHEAD = 32 << 20  # bytes that are asked for at once
# What glibc comes to by itself where large pieces are freed.
_LEARNT = (
    *((M_MMAP_THRESHOLD, 32 << 20), (M_TRIM_THRESHOLD, 64 << 20)),
    *((M_TOP_PAD, 128 << 10), (M_MMAP_MAX, 65536)),
)


def _glibc() -> Any:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "mallopt") else None


def share_one_pool() -> None:
    """Tell glibc to let all threads take memory from one pool.

    TensorFlow frees a tensor in another thread than the one that made it. With a pool
    for each thread the memory then lies where nobody looks for it. Threads that have a
    pool keep it: call this before a model is built.
    """
    if glibc := _glibc():
        glibc.mallopt(M_ARENA_MAX, 1)


def keep_freed_memory() -> bool:
    """Tell glibc to keep what is freed, so that the next step finds it there.

    A page that goes back to the system is cleared when it is asked for again. glibc
    learns by itself what to keep, but TensorFlow ends that: when a Python generator
    begins to feed a model, it sets the trim threshold to 128 kB. From then on every
    larger tensor is made of new pages at every step.

    Returns:
        Whether there is a glibc that does so: on Linux, with few exceptions.
    """
    if not (glibc := _glibc()):
        return False
    asked = (M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, _LARGEST), (M_TOP_PAD, _AHEAD)
    return all([glibc.mallopt(*option) for option in asked])


def give_back_freed_memory() -> None:
    """Tell glibc to give freed memory back to the system; small pieces stay."""
    if glibc := _glibc():
        for option in _LEARNT:
            glibc.mallopt(*option)
        if hasattr(glibc, "malloc_trim"):
            glibc.malloc_trim(0)


class KeepFreedMemory(keras.callbacks.Callback):
    """Keeps freed memory from the first step of each epoch to the training's end.

    Before that step TensorFlow has no generator, which changes the setting.
    """

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self._asked = False

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        if not self._asked:
            self._asked = True
            keep_freed_memory()

    def on_train_end(self, logs: object = None) -> None:
        give_back_freed_memory()
