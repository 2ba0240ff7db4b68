"""The backup of a run, from which a training goes on."""

import json
import os
from pathlib import Path

import keras

from illustkit.strategy import n_workers, worker_index


class Backup(keras.callbacks.BackupAndRestore):
    """`keras.callbacks.BackupAndRestore` that a kill cannot leave half-written.

    Weights, optimizer and epoch stand in one folder named by the epoch, which appears
    with one rename. It stays when the training ends, so that more epochs can follow.
    Of several workers the first one writes, and all begin with what it wrote.

    Args:
        folder: Path of the backups.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        super().__init__(str(self._newest() or self.folder), delete_checkpoint=False)

    @property
    def epochs_done(self):
        """Number of epochs that the newest backup has seen; 0 without one."""
        newest = self._newest()
        return int(newest.name.split("-")[1]) if newest else 0

    def _newest(self):
        whole = [f for f in self.folder.glob("epoch-*") if f.suffix != ".part"]
        return max(whole, key=lambda f: int(f.name.split("-")[1]), default=None)

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        done = self._epochs_of_all()
        if len(set(done)) > 1:
            raise ValueError(
                "The workers do not see the same backup in "
                f"{self.folder}: they would go on after the epochs {done}. "
                "Name a run folder on a disk that they all share."
            )

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self._epochs_of_all()  # waits until the first worker has written everything

    def _epochs_of_all(self):
        """The number of epochs that each worker finds in the folder."""
        if n_workers() == 1:
            return [self.epochs_done]
        import tensorflow as tf

        strategy, mine = self.model.distribute_strategy, tf.constant([self.epochs_done])
        # Workers can gather in a graph only.
        return tf.function(lambda: strategy.gather(mine, axis=0))().numpy().tolist()

    def _save_model(self):
        if worker_index() > 0:
            return
        before = self._newest()
        folder = self.folder / f"epoch-{self._current_epoch:05d}"
        part = folder.with_suffix(".part")
        _remove_tree(part)
        part.mkdir(parents=True)
        self.model.save_weights(part / "latest.weights.h5")
        (part / "training_metadata.json").write_text(
            json.dumps({"epoch": self._current_epoch, "batch": 0})
        )
        _remove_tree(folder)
        os.replace(part, folder)
        if before is not None and before != folder:
            _remove_tree(before)


def _remove_tree(folder):
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
