"""Callbacks of every training: what they save, and when they stop it."""

import csv
import json
import math
import operator
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from illustkit._keras_compat import optimizer_of
from illustkit.errors import DivergedError, UserError, reading
from illustkit.runtime import n_workers, worker_index
from illustkit.training.folder import INTERRUPTED
from illustkit.training.interrupts import (
    forget_interrupted,
    interrupted_at,
    restore_counts,
)


class StopOnNaN(keras.callbacks.Callback):
    """Stops at the first loss that is not finite, and names the terms that caused it.

    A step computes its loss before it updates the weights, so that those may be spoilt
    behind a finite loss: they are checked as well, before an epoch is saved. Place it
    before the callbacks that save.

    Args:
        backup: The training's `Backup`, to say what is kept. Defaults to `None`.

    Raises:
        FloatingPointError: If the loss, a weight or the optimizer's state is not
            finite.
    """

    def __init__(self, backup: "Backup | None" = None) -> None:
        super().__init__()
        self.backup = backup

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(float(loss)):
            return
        terms = [
            name
            for name, value in logs.items()
            if name != "loss" and not math.isfinite(float(value))
        ]
        raise DivergedError(
            f"The loss became {float(loss)} at step {batch} of this epoch. "
            f"Not finite: {', '.join(terms) or 'only the sum, a regulariser say'}. "
            + self._advice()
        )

    def on_epoch_end(self, epoch, logs=None):
        # On JAX, Keras has brought the variables up to date before it calls this.
        optimizer = getattr(self.model, "optimizer", None)
        for variable in [*self.model.weights, *getattr(optimizer, "variables", [])]:
            if not np.isfinite(keras.ops.convert_to_numpy(variable)).all():
                raise DivergedError(
                    f"{variable.path} is not finite after epoch {epoch + 1}, which is "
                    f"not saved. {self._advice()}"
                )

    def _advice(self):
        done = self.backup.epochs_done if self.backup else 0
        kept = f"The state after epoch {done} is kept: go on from it"
        return (
            f"{kept if done else 'No epoch is kept: train again'} with a smaller "
            "learning rate or precision float32."
        )


class Ranking:
    """Tells which epochs are the best so far, by a logged number.

    An epoch in which the number is undefined (nan or missing) is not the best. As long
    as no epoch has defined it, the lowest validation loss decides, or the lowest loss.

    Args:
        monitor: Name of the logged number.
        mode: "max" or "min": which of its values is better.
        history: Columns of the epochs that a resumed training has done, as
            `Run.history`. Defaults to none.

    Attributes:
        waited: Number of epochs since the best one.
    """

    def __init__(
        self,
        monitor: str,
        mode: str = "max",
        history: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        # In the order of their rank.
        self.monitors = [(monitor, {"max": operator.gt, "min": operator.lt}[mode])]
        self.monitors += [(name, operator.lt) for name in ("val_loss", "loss")]
        self.rank, self.best, self.waited = len(self.monitors), math.nan, 0
        history = history or {}
        for row in zip(*history.values(), strict=True):
            self.is_best(dict(zip(history, row, strict=True)))

    def is_best(self, logs: Mapping[str, float]) -> bool:
        """Return whether an epoch with these numbers is better than those before."""
        best = self._is_best(logs)
        self.waited = 0 if best else self.waited + 1
        return best

    def _is_best(self, logs):
        for rank, (name, better) in enumerate(self.monitors[: self.rank + 1]):
            value = float(logs.get(name, math.nan))
            if math.isfinite(value):
                if rank == self.rank and not better(value, self.best):
                    return False
                self.rank, self.best = rank, value
                return True
        return False


class BestWeights(keras.callbacks.Callback):
    """Saves the weights of the epoch that is best by a logged number; see `Ranking`.

    `keras.callbacks.ModelCheckpoint` formats its path, so that a folder named `{epoch}`
    becomes another one. It also takes a first value of nan for the best one for ever.

    Example:
    ```python
    model.fit(batches, callbacks=[BestWeights("best.weights.h5", "val_psnr", "max")])
    ```

    Args:
        path: The file, which ends in `.weights.h5`.
        monitor: Name of the logged number.
        mode: "max" or "min": which of its values is better.
        history: Columns of the epochs that a resumed training has done, as
            `Run.history`. Defaults to none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str,
        mode: str = "max",
        history: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.ranking = Ranking(monitor, mode, history)

    def on_epoch_end(self, epoch, logs=None):
        if not self.ranking.is_best(logs or {}):
            return
        # Keras asks for a name that ends so.
        part = self.path.with_name(f"part-{self.path.name}")
        self.model.save_weights(part)
        os.replace(part, self.path)

    def on_train_end(self, logs=None):
        rank, monitors = self.ranking.rank, self.ranking.monitors
        if 0 < rank < len(monitors):
            wanted, used = monitors[0][0], monitors[rank][0]
            warnings.warn(
                f"{wanted} was undefined after every epoch: the weights with the "
                f"lowest {used} are kept as the best.",
                stacklevel=2,
            )


class History(keras.callbacks.CSVLogger):
    """Appends one row per epoch, under the columns that the file already has.

    `keras.callbacks.CSVLogger` does not read the header of the file that it appends to:
    a resumed training that logs more or fewer numbers would fill the wrong columns.

    Args:
        path: The CSV.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(str(path), append=True)

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        with open(self.filename, newline="", encoding="utf-8") as file:
            columns = next(csv.reader(file), [])
        self.keys = columns[1:] or None


class Backup(keras.callbacks.BackupAndRestore):
    """Saves the training's state so that a kill never leaves a half-written backup.

    `keras.callbacks.BackupAndRestore` overwrites weights and epoch one after the other.
    Here both are in a folder named after the epoch, which appears with one rename. It
    stays when the training ends, so that more epochs can follow. The first of several
    workers writes it, and all of them start from it.

    Args:
        folder: Path of the backups.
        new_rate: Whether the optimizer keeps the learning rate that it was made with,
            and not that of the backup. Defaults to `False`.
        steps: Batches in an epoch, to go on within one that Ctrl-C stopped. Defaults
            to `None`: it begins anew.

    Attributes:
        batches_done: Number of batches of the next epoch that are done; mostly 0.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        new_rate: bool = False,
        steps: int | None = None,
    ) -> None:
        self.folder, self.new_rate = Path(folder), new_rate
        self.batches_done = interrupted_at(self.folder, self.epochs_done, steps)
        super().__init__(str(self._restored() or self.folder), delete_checkpoint=False)

    @property
    def epochs_done(self) -> int:
        """Number of epochs that the newest backup has seen; 0 without a backup."""
        newest = self._newest()
        return int(newest.name.split("-")[1]) if newest else 0

    def _restored(self):
        """Return the folder to restore from; `None` without any."""
        return self.folder / INTERRUPTED if self.batches_done else self._newest()

    def _newest(self):
        whole = [f for f in self.folder.glob("epoch-*") if f.name[6:].isdecimal()]
        return max(whole, key=lambda f: int(f.name[6:]), default=None)

    def on_train_begin(self, logs=None):
        self._restore(logs)
        done = self._epochs_of_all()
        if len(set(done)) > 1:
            raise UserError(
                "The workers do not see the same backup in "
                f"{self.folder}: they would go on after the epochs {done}. "
                "Name a run folder on a disk that they all share."
            )

    def _restore(self, logs):
        newest = self._restored()
        optimizer = getattr(self.model, "optimizer", None)
        if newest is None or optimizer is None:
            super().on_train_begin(logs)
            return
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        rate = inner.get_config()["learning_rate"]
        with (
            reading(newest, "Delete this folder: the run then begins anew."),
            optimizer_of(self.model, newest / "latest.weights.h5"),
        ):
            super().on_train_begin(logs)
        if self.new_rate and isinstance(rate, float):  # no schedule
            inner.learning_rate = rate

    def on_epoch_begin(self, epoch, logs=None):
        if self.batches_done and epoch == self.epochs_done:
            restore_counts(self.model, self.folder)

    def on_epoch_end(self, epoch, logs=None):
        if worker_index() > 0:
            return
        before = self._newest()
        folder = self.folder / f"epoch-{epoch + 1:05d}"
        part = folder.with_suffix(".part")
        if part.exists():
            shutil.rmtree(part)
        part.mkdir(parents=True)
        # The names under which `BackupAndRestore` looks for them.
        self.model.save_weights(part / "latest.weights.h5")
        metadata = json.dumps({"epoch": epoch + 1, "batch": 0})
        (part / "training_metadata.json").write_text(metadata)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(part, folder)
        forget_interrupted(self.folder)
        if before is not None and before != folder:
            shutil.rmtree(before)

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self._epochs_of_all()  # waits until the first worker has written everything

    def _epochs_of_all(self):
        """Return the number of epochs that each worker finds in the folder."""
        if n_workers() == 1:
            return [self.epochs_done]
        import tensorflow as tf

        strategy, mine = self.model.distribute_strategy, tf.constant([self.epochs_done])
        # Workers can gather in a graph only.
        return tf.function(lambda: strategy.gather(mine, axis=0))().numpy().tolist()
