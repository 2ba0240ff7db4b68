"""Stop a training by Ctrl-C in the middle of an epoch, and go on from there."""

import contextlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from keras import ops

from illustkit._keras_compat import seed_states, sync_jax_state
from illustkit.errors import UserError
from illustkit.runtime import worker_index
from illustkit.training.batches import Batches
from illustkit.training.folder import INTERRUPTED

# The names under which `keras.callbacks.BackupAndRestore` looks for them.
WEIGHTS, METADATA = "latest.weights.h5", "training_metadata.json"
_STATE = "state.npz"  # what an epoch has counted, and the seeds of its dropout


class Rest(keras.utils.PyDataset):
    """The batches of an epoch that an interrupted one has not seen.

    Args:
        batches: The training's `Batches`.
        first: Number of batches that were seen.
    """

    def __init__(self, batches: Batches, first: int) -> None:
        super().__init__()
        self.batches, self.first = batches, first

    def __len__(self) -> int:
        return len(self.batches) - self.first

    def __getitem__(self, index: int):
        return self.batches[self.first + index]


class StopOnInterrupt(keras.callbacks.Callback):
    """Ends a training after the step in which Ctrl-C came, and saves the state.

    A second Ctrl-C ends it at once, and saves nothing. Place it behind all other
    callbacks.

    Args:
        folder: Path of the training's backups.
        steps: Batches in an epoch.
        first: Batches that the epoch had seen before. Defaults to 0.

    Raises:
        KeyboardInterrupt: After Ctrl-C.
    """

    def __init__(
        self, folder: str | os.PathLike[str], steps: int, first: int = 0
    ) -> None:
        super().__init__()
        self.folder, self.steps, self.first = Path(folder), steps, first
        self.asked = False
        self.epoch = 0

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Return a context in which Ctrl-C is taken.

        Only a main thread gets any, and a process in the background ignores it.
        """
        before = signal.getsignal(signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()
        if not main or before is signal.SIG_IGN:
            yield
            return

        def ask(number, frame):
            self.asked = True
            signal.signal(number, before)
            print("\nThe training stops after this step; Ctrl-C again: at once.")

        signal.signal(signal.SIGINT, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        done = self.first + batch + 1
        # After the last batch all other callbacks save the whole epoch.
        if self.asked and done < self.steps:
            self._save(done)
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        if self.asked:
            raise KeyboardInterrupt

    def _save(self, done):
        if worker_index() > 0:
            return
        sync_jax_state(self.model)
        part = self.folder / f"{INTERRUPTED}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        self.model.save_weights(part / WEIGHTS)
        np.savez(
            part / _STATE,
            *map(ops.convert_to_numpy, seed_states(self.model)),
            **{v.path: ops.convert_to_numpy(v) for v in self.model.metrics_variables},
        )
        found = {"epoch": self.epoch, "batch": done, "steps": self.steps}
        (part / METADATA).write_text(json.dumps(found))
        forget_interrupted(self.folder)
        os.replace(part, self.folder / INTERRUPTED)
        print(
            f"Saved after batch {done} of {self.steps} of epoch {self.epoch + 1}: the "
            "same call goes on from there."
        )


def interrupted_at(
    folder: str | os.PathLike[str], epoch: int, steps: int | None
) -> int:
    """Return after how many batches of an epoch a training was stopped by Ctrl-C.

    Args:
        folder: Path of the training's backups.
        epoch: Number of the epoch to go on with.
        steps: Batches in it: where it has another number now, it begins anew. `None`
            if the training cannot go on within an epoch.

    Returns:
        The number; 0 for an epoch that begins.

    Raises:
        UserError: If the first epoch, before which nothing is saved, would begin anew.
    """
    path = Path(folder) / INTERRUPTED / METADATA
    if not path.exists():
        return 0
    found = json.loads(path.read_text())
    if found["epoch"] != epoch or steps is None:
        return 0
    if found["steps"] == steps:
        return found["batch"]
    if epoch == 0:
        raise UserError(
            f"{path.parent}: the training was stopped in its first epoch, of "
            f"{found['steps']} batches, which has {steps} now. Give the same pictures "
            "and settings to go on, or delete this folder to begin anew."
        )
    print(f"Epoch {epoch + 1}, which was stopped, begins anew: it has {steps} batches.")
    return 0


def restore_counts(model: keras.Model, folder: str | os.PathLike[str]) -> None:
    """Give a model what an interrupted epoch had counted, once its weights are loaded.

    Metrics given to `compile` are built in the first step only: these alone count the
    rest of the epoch.

    Args:
        model: The model.
        folder: Path of the training's backups.
    """
    with np.load(Path(folder) / INTERRUPTED / _STATE) as file:
        values = {name: file[name] for name in file.files}
    for number, variable in enumerate(seed_states(model)):
        variable.assign(values[f"arr_{number}"])  # as NumPy names them
    for variable in model.metrics_variables:
        variable.assign(values[variable.path])


def forget_interrupted(folder: str | os.PathLike[str]) -> None:
    """Delete what an interrupted epoch left, as soon as the epoch is saved."""
    shutil.rmtree(Path(folder) / INTERRUPTED, ignore_errors=True)
