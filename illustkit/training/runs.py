"""A run folder: settings, weights, history and pictures of one training."""

import csv
import json
import math
import os
from pathlib import Path

import keras

from illustkit.runtime import n_workers, worker_index


class History(keras.callbacks.CSVLogger):
    """Adds a row an epoch, to the columns that are there already.

    `keras.callbacks.CSVLogger` writes the numbers of a resumed training one after
    another, under whatever column: those that log more or fewer of them than before
    would stand in the wrong place.

    Args:
        path: The CSV.
    """

    def __init__(self, path):
        super().__init__(str(path), append=True)

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        with open(self.filename, newline="", encoding="utf-8") as file:
            columns = next(csv.reader(file), [])
        self.keys = columns[1:] or None


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


SETTINGS, HISTORY, BEST = "settings.json", "history.csv", "best.weights.h5"


class Run:
    """One training's folder.

    It holds `settings.json`, `best.weights.h5`, `history.csv` (a row an epoch, a
    column a logged number), `pictures/`, and `backup/`, from which a killed process
    goes on as if it had never stopped. Where several workers train, the folder lies
    on a disk that they share: the first of them writes it, and all go on from it.

    Example:
    ```python
    run = Run.start("runs/first", {"epochs": 10, "seed": 1})
    model.fit(batches, epochs=10, callbacks=run.callbacks("val_psnr", "max"))
    print(run.history["val_psnr"][-1])
    ```

    Args:
        folder: Path of an existing run.

    Raises:
        ValueError: where the folder holds no run.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        try:
            self.settings = json.loads((self.folder / SETTINGS).read_text("utf-8"))
        except FileNotFoundError:
            raise ValueError(
                f"{self.folder} holds no run: it has no {SETTINGS}. "
                "Name the folder that a training printed."
            ) from None
        except (ValueError, OSError) as error:
            raise ValueError(
                f"{self.folder / SETTINGS} cannot be read ({error}): "
                "the run has to be trained again."
            ) from None

    @classmethod
    def start(cls, folder, settings, may_change=("epochs",)):
        """Make a run, or go on with the one that stands there.

        Args:
            folder: Path; made where it is missing.
            settings: Dict that JSON can hold; what the model needs to be built again.
            may_change: Settings that may differ from those of the run that stands
                there, such as more epochs.

        Returns:
            A `Run`.

        Raises:
            ValueError: where another run, with other settings, stands there.
        """
        folder = Path(folder)
        settings = json.loads(json.dumps(settings))
        if (folder / SETTINGS).exists():
            there = cls(folder).settings
            other = sorted(
                name
                for name in {*there, *settings} - set(may_change)
                if there.get(name) != settings.get(name)
            )
            if other:
                raise ValueError(
                    f"{folder} holds a run with other settings ("
                    + ", ".join(
                        f"{name}: {there.get(name)!r} there, {settings.get(name)!r} now"
                        for name in other
                    )
                    + "). Name another folder, or give the same settings to go on."
                )
        if worker_index() == 0:
            (folder / "pictures").mkdir(parents=True, exist_ok=True)
            text = json.dumps(settings, indent=1, ensure_ascii=False)
            _replace_text(folder / SETTINGS, text)
        run = cls.__new__(cls)
        run.folder, run.settings = folder, settings
        return run

    @property
    def weights_path(self):
        """Path of the weights that were best by validation."""
        return self.folder / BEST

    @property
    def pictures(self):
        """Path of the folder of sample pictures."""
        return self.folder / "pictures"

    @property
    def history(self):
        """Dict from a column's name to its list of floats, one an epoch."""
        path = self.folder / HISTORY
        if not path.exists():
            return {}
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        columns = {k: [_number(row[k]) for row in rows] for k in (rows or [{}])[0]}
        # Keras foresees columns of a validation, whether there is one or not.
        return {k: v for k, v in columns.items() if not all(map(math.isnan, v))}

    @property
    def epochs_done(self):
        """Number of epochs after which the backup was written; 0 without one."""
        return Backup(self._backup_folder).epochs_done

    @property
    def _backup_folder(self):
        # Every worker has the same weights: the first one's backup is everyone's.
        return self.folder / "backup" / "worker-0"

    def callbacks(self, monitor="val_loss", mode="min"):
        """Stock callbacks that write the folder and resume from it.

        Args:
            monitor: Logged number by which weights are best; `None` keeps no best
                weights, for a training that keeps its own.
            mode: "min" or "max".

        Returns:
            List of `keras.callbacks.Callback`. Call it before `fit`, at every start.
        """
        backup = Backup(self._backup_folder)
        callbacks = [StopOnNaN()]
        if worker_index() == 0:
            history = self._keep_epochs(backup.epochs_done)
            if monitor is not None:
                callbacks.append(self._keep_best(history, monitor, mode))
            callbacks.append(History(self.folder / HISTORY))
        return [*callbacks, backup]

    def _keep_best(self, history, monitor, mode):
        seen = [v for v in history.get(monitor, []) if math.isfinite(v)]
        return keras.callbacks.ModelCheckpoint(
            str(self.weights_path),
            monitor=monitor,
            mode=mode,
            save_best_only=True,
            save_weights_only=True,
            initial_value_threshold={"min": min, "max": max}[mode](seen)
            if seen
            else None,
        )

    def _keep_epochs(self, n):
        """Drop the rows of epochs that the backup does not hold; return the rest."""
        history = self.history
        if history and len(history["epoch"]) > n:
            lines = (self.folder / HISTORY).read_text("utf-8").splitlines(True)
            _replace_text(self.folder / HISTORY, "".join(lines[: n + 1]) if n else "")
        return {k: v[:n] for k, v in history.items()}


class StopOnNaN(keras.callbacks.Callback):
    """Stops at the first loss that is not finite, and says which part began it.

    Raises:
        FloatingPointError: naming the parts that are not finite.
    """

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(float(loss)):
            return
        guilty = [k for k, v in logs.items() if k != "loss" and not _finite(v)]
        raise FloatingPointError(
            f"The loss became {float(loss)} at step {batch} of this epoch. "
            f"Not finite: {', '.join(guilty) or 'only the sum, a regulariser say'}. "
            "The last good epoch is kept; go on from it with a smaller learning rate "
            "or precision float32."
        )


def _number(text):
    return float("nan" if text in ("", "NA") else text)


def _finite(value):
    return math.isfinite(float(value))


def _replace_text(path, text):
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
