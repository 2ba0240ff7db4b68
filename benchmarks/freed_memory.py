"""Time training steps with the memory that each frees given back, and kept.

    python benchmarks/freed_memory.py

`fit` is fed as every training here is. Each way has a process of its own, in turn.
"""

import argparse
import resource
import subprocess
import sys

import numpy as np
from steps import TITLES, build_step


def measure(name, keep, steps=6, batch=4):
    """Print user s, system s and page faults of the last of two epochs, and MiB."""
    import keras

    from illustkit.training.memory import KeepFreedMemory, share_one_pool

    if keep:
        share_one_pool()
    model, make_batch = build_step(name, slim=True)
    data = make_batch(batch)

    class Same(keras.utils.PyDataset):
        def __len__(self):
            return steps + 1

        def __getitem__(self, index):
            return data

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            used = resource.getrusage(resource.RUSAGE_SELF)
            if batch == 0:
                self.before = used
            elif batch == steps:
                fields = "ru_utime", "ru_stime", "ru_minflt"
                self.took = [getattr(used, f) - getattr(self.before, f) for f in fields]
                self.peak = used.ru_maxrss / 1024

    watch = Watch()
    kept = [KeepFreedMemory()] if keep else []
    model.fit(Same(), epochs=2, verbose=0, callbacks=[*kept, watch])
    print(*watch.took, watch.peak)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", nargs="*", choices=TITLES, default=[*TITLES])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, help="used by the script itself")
    given = parser.parse_args()
    if given.one:
        return measure(given.one[0], given.one[1] == "kept")
    ways = "given back", "kept"
    print("| a step of | way | user | system | page faults | peak MiB | ratio |")
    print("|-|-|-|-|-|-|-|")
    for name in given.steps:
        rows = {way: [] for way in ways}
        for _ in range(given.rounds):
            for way in ways:
                command = [sys.executable, __file__, "--one", name, way]
                done = subprocess.run(command, capture_output=True, check=True)
                rows[way].append([*map(float, done.stdout.split()[-4:])])
        rows = {way: np.median(found, axis=0) for way, found in rows.items()}
        base = sum(rows["given back"][:2])
        for way, (user, system, faults, peak) in rows.items():
            ratio = (user + system) / base
            cells = f"{user:.2f} s | {system:.2f} s | {faults:,.0f} | {peak:,.0f}"
            print(f"| {name} | {way} | {cells} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
