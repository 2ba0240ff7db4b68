"""What a step frees is there for the next one."""

import ctypes
import subprocess
import sys

import keras
import numpy as np
import pytest

from illustkit.training import memory
from tests.conftest import ROOT

glibc = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"),
    reason="needs glibc",
)


SCRIPT = """
import ctypes
import resource
from illustkit.training import memory

def faults(megabytes):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(64 // megabytes):
        b"x" * (megabytes << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

for option in memory.M_TRIM_THRESHOLD, memory.M_MMAP_THRESHOLD:
    ctypes.CDLL(None).mallopt(option, 128 << 10)  # as TensorFlow's generator has it
print(faults(1), memory.keep_freed_memory())
faults(1), faults(64)
print(faults(1), faults(64))
memory.give_back_freed_memory()
faults(1)
print(faults(1), faults(64))
"""


@glibc
def test_freed_memory_is_not_cleared_again():
    # In a process of its own: what others have freed would be taken first.
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    before, kept, after = (line.split() for line in done.stdout.splitlines()[-3:])
    all_pages = 64 * 250  # of 4 kB in 64 MB
    assert int(before[0]) > all_pages and before[1] == "True"
    assert max(map(int, kept)) < 1000
    assert int(after[0]) < 1000 and int(after[1]) > all_pages


def test_another_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not memory.keep_freed_memory()


def test_it_is_asked_in_every_epoch_after_the_first_step(monkeypatch):
    asked, given_back = [], []

    class Count(keras.callbacks.Callback):
        step = 0

        def on_train_batch_begin(self, batch, logs=None):
            self.step += 1

    count = Count()
    monkeypatch.setattr(memory, "keep_freed_memory", lambda: asked.append(count.step))
    monkeypatch.setattr(
        memory, "give_back_freed_memory", lambda: given_back.append(count.step)
    )
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((6, 1), "float32")
    callbacks = [count, memory.KeepFreedMemory()]
    model.fit(x, x, batch_size=2, epochs=2, verbose=0, callbacks=callbacks)
    assert asked == [1, 4] and given_back == [6]
