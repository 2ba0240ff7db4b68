"""A run folder: settings, weights, history and pictures of one training."""

import csv
import json
import math
import operator
import os
import shutil
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from illustkit.errors import UserError
from illustkit.files import write_whole
from illustkit.runtime import n_workers, worker_index
from illustkit.training.folder import BEST as BEST
from illustkit.training.folder import HISTORY as HISTORY
from illustkit.training.folder import SETTINGS as SETTINGS
from illustkit.training.folder import has_trained

EMPTY = "", "NA"  # cells of the history without a number


class Run:
    """The folder of one training.

    It holds `settings.json`, `best.weights.h5`, `history.csv` (one row per epoch, one
    column per logged number), `pictures/`, and `backup/`, from which a killed process
    resumes as if it had never stopped. Several workers need a folder on a disk that
    they share: the first worker writes it, and all of them resume from it.

    Example:
    ```python
    run = Run.start("runs/first", {"epochs": 10, "seed": 1})
    model.fit(batches, epochs=10, callbacks=run.callbacks("val_psnr", "max"))
    print(run.history["val_psnr"][-1])
    ```

    Args:
        folder: Path of an existing run.

    Raises:
        UserError: If the folder holds no run.
    """

    folder: Path
    settings: dict[str, Any]

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        try:
            self.settings = json.loads((self.folder / SETTINGS).read_text("utf-8"))
        except FileNotFoundError:
            raise UserError(
                f"{self.folder} holds no run: it has no {SETTINGS}. "
                "Name the folder that a training printed."
            ) from None
        except (ValueError, OSError) as error:
            raise UserError(
                f"{self.folder / SETTINGS} cannot be read ({error}): "
                "the run has to be trained again."
            ) from None

    @classmethod
    def check(
        cls,
        folder: str | os.PathLike[str],
        settings: Mapping[str, Any],
        may_change: Collection[str] = ("epochs",),
        *,
        kind: "RunKind | None" = None,
    ) -> None:
        """Refuse a folder that holds another run. Nothing is written.

        A run without a whole epoch may be replaced: a training that was refused, or
        stopped before, does not bind the next one to its settings.

        Args:
            folder: Path of the run to be; it need not exist.
            settings: Dict that JSON can hold, as for `start`.
            may_change: Settings that may differ from those of the stored run, such as
                more epochs.
            kind: What is trained.

        Raises:
            UserError: If a run of another kind or with other settings is stored there.
        """
        if not Path(folder, SETTINGS).exists():
            return
        stored = (kind.open(folder) if kind else cls(folder)).settings
        if not has_trained(folder):
            return
        settings = json.loads(json.dumps(settings))
        differences = [
            f"{name}: {stored.get(name)!r} there, {settings.get(name)!r} now"
            for name in sorted({*stored, *settings} - {*may_change, "kind"})
            if stored.get(name) != settings.get(name)
        ]
        if differences:
            raise UserError(
                f"{folder} holds a run with other settings ({', '.join(differences)}). "
                "Name another folder, or give the same settings to go on."
            )

    @classmethod
    def start(
        cls,
        folder: str | os.PathLike[str],
        settings: Mapping[str, Any],
        may_change: Collection[str] = ("epochs",),
        *,
        kind: "RunKind | None" = None,
    ) -> "Run":
        """Make a run, or resume the one that is stored there, as `check` allows.

        Args:
            folder: Path; made if it is missing.
            settings: Dict that JSON can hold: what is needed to build the model again.
            may_change: Settings that may differ from those of the stored run, such as
                more epochs.
            kind: What is trained; `settings.json` records its name as "kind".

        Returns:
            The `Run`.

        Raises:
            UserError: If a run of another kind or with other settings is stored there.
        """
        cls.check(folder, settings, may_change, kind=kind)
        run = cls.__new__(cls)
        run.folder = Path(folder)
        run.settings = json.loads(json.dumps(settings))
        if kind:
            run.settings = {"kind": kind.name, **run.settings}
        if worker_index() == 0:
            run.pictures.mkdir(parents=True, exist_ok=True)
            text = json.dumps(run.settings, indent=1, ensure_ascii=False)
            write_whole(run.folder / SETTINGS, text)
        return run

    @property
    def weights_path(self) -> Path:
        """Path of the weights that were best by validation."""
        return self.folder / BEST

    @property
    def pictures(self) -> Path:
        """Path of the folder of sample pictures."""
        return self.folder / "pictures"

    @property
    def history(self) -> dict[str, list[float]]:
        """Dict from a column's name to its list of floats, one per epoch."""
        path = self.folder / HISTORY
        if not path.exists():
            return {}
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        # Keras writes the columns of a validation even if there is none.
        names = [
            k for k in (rows or [{}])[0] if any(row[k] not in EMPTY for row in rows)
        ]
        return {name: [_number(row[name]) for row in rows] for name in names}

    def best(self, monitor: str, mode: str = "max") -> float:
        """Return the best value of a logged number, or nan if no epoch defined it.

        Example:
        ```python
        print(format_figure(run.best("val_ap")))  # "0.512", or "undefined"
        ```

        Args:
            monitor: A column of `history`.
            mode: "max" or "min".
        """
        values = filter(math.isfinite, self.history.get(monitor, []))
        return {"max": max, "min": min}[mode](values, default=math.nan)

    @property
    def epochs_done(self) -> int:
        """Number of epochs after which the backup was written; 0 without a backup."""
        return Backup(self._backup_folder).epochs_done

    @property
    def _backup_folder(self) -> Path:
        # Every worker has the same weights: the first worker's backup serves all.
        return self.folder / "backup" / "worker-0"

    def load_weights(self, model: keras.Model, name: str = BEST) -> None:
        """Load weights of this run into a model that its settings describe.

        Args:
            model: The built model.
            name: File in the run's folder. Defaults to the best weights.

        Raises:
            UserError: If there is no such file, or it fits another model.
        """
        path = self.folder / name
        if not path.exists():
            raise UserError(
                f"{self.folder} has no {name} yet: wait for the training's first epoch "
                "to end, or train again."
            )
        try:
            model.load_weights(path)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{path} does not hold this run's weights ({reason}): train again, or "
                "take another run."
            ) from error

    def callbacks(
        self, monitor: str | None = "val_loss", mode: str = "min"
    ) -> list[keras.callbacks.Callback]:
        """Return the callbacks that write the folder and resume from it.

        Args:
            monitor: Logged number by which weights are best; `None` keeps no best
                weights, for a training that keeps its own.
            mode: "min" or "max".

        Returns:
            List of `keras.callbacks.Callback`. Call it before `fit`, at every start.
        """
        backup = Backup(self._backup_folder)
        callbacks: list[keras.callbacks.Callback] = [StopOnNaN()]
        if worker_index() == 0:
            history = self._keep_epochs(backup.epochs_done)
            if monitor is not None:
                callbacks.append(BestWeights(self.weights_path, monitor, mode, history))
            callbacks.append(History(self.folder / HISTORY))
        return [*callbacks, backup]

    def _keep_epochs(self, n):
        """Drop the rows of epochs that the backup does not hold; return the rest."""
        history = self.history
        if history and len(history["epoch"]) > n:
            lines = (self.folder / HISTORY).read_text("utf-8").splitlines(True)
            write_whole(self.folder / HISTORY, "".join(lines[: n + 1]) if n else "")
        return {k: v[:n] for k, v in history.items()}


@dataclass(frozen=True)
class RunKind:
    """What a run trains, so that a scorer's run is not opened as a detector's.

    `settings.json` records the kind's name. Runs of versions before this record are
    recognised by the names of their settings.

    Example:
    ```python
    SCORER = RunKind("scorer", frozenset({"network", "objective", "margin"}))
    run = Run.start("runs/taste", settings, kind=SCORER)
    SCORER.open("runs/taste").settings["kind"]  # "scorer"
    ```

    Args:
        name: Words for it, such as "detector".
        known_by: Names of settings that every run of the kind has, and no run of
            another kind.
    """

    name: str
    known_by: frozenset[str] = frozenset()

    def matches(self, settings: Mapping[str, Any]) -> bool:
        """Return whether a run with these settings is of this kind."""
        if "kind" in settings:
            return settings["kind"] == self.name
        return self.known_by <= set(settings)

    def open(self, run: "str | os.PathLike[str] | Run") -> Run:
        """Open a run of this kind.

        Args:
            run: A run folder, or a `Run`.

        Returns:
            The `Run`.

        Raises:
            UserError: If there is no run, or one of another kind.
        """
        run = run if isinstance(run, Run) else Run(run)
        if not self.matches(run.settings):
            raise UserError(
                f"{run.folder} holds a run of something else than a {self.name}. "
                "Name another folder."
            )
        return run


def load_run(
    run: "str | os.PathLike[str] | Run",
    kind: RunKind,
    build: Callable[[dict[str, Any]], keras.Model],
    *,
    weights: str = BEST,
) -> keras.Model:
    """Load the trained model of a run folder or of a `.keras` file.

    Example:
    ```python
    scorer = load_run("runs/taste", SCORER, build_scorer)
    ```

    Args:
        run: A run folder (its path, or a `Run`), or the path of a `.keras` file.
        kind: What the run has to be of.
        build: Function from the run's settings to the untrained model.
        weights: File in the run's folder. Defaults to the best weights.

    Returns:
        The model. Import the modules of its classes before: Keras has to know them.

    Raises:
        UserError: If there is no such run or file, or no weights in it.
    """
    if not isinstance(run, Run) and Path(run).suffix == ".keras":
        if not Path(run).is_file():
            raise UserError(f"There is no file {run}: name a run folder or its file.")
        return keras.saving.load_model(run, compile=False)
    run = kind.open(run)
    model = build(run.settings)
    run.load_weights(model, weights)
    return model


class StopOnNaN(keras.callbacks.Callback):
    """Stops at the first loss that is not finite, and names the terms that caused it.

    Raises:
        FloatingPointError: If the loss is not finite.
    """

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(float(loss)):
            return
        terms = [
            name
            for name, value in logs.items()
            if name != "loss" and not math.isfinite(float(value))
        ]
        raise FloatingPointError(
            f"The loss became {float(loss)} at step {batch} of this epoch. "
            f"Not finite: {', '.join(terms) or 'only the sum, a regulariser say'}. "
            "The last good epoch is kept; go on from it with a smaller learning rate "
            "or precision float32."
        )


class BestWeights(keras.callbacks.Callback):
    """Saves the weights of the epoch that is best by a logged number.

    An epoch in which the number is undefined (nan or missing) is not the best. As long
    as no epoch has defined it, the lowest validation loss decides, or the lowest loss.
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
        # In the order of their rank.
        self.monitors = [(monitor, {"max": operator.gt, "min": operator.lt}[mode])]
        self.monitors += [(name, operator.lt) for name in ("val_loss", "loss")]
        self.rank, self.best = len(self.monitors), math.nan
        history = history or {}
        for row in zip(*history.values(), strict=True):
            self._is_best(dict(zip(history, row, strict=True)))

    def on_epoch_end(self, epoch, logs=None):
        if not self._is_best(logs or {}):
            return
        # Keras asks for a name that ends so.
        part = self.path.with_name(f"part-{self.path.name}")
        self.model.save_weights(part)
        os.replace(part, self.path)

    def on_train_end(self, logs=None):
        if 0 < self.rank < len(self.monitors):
            wanted, used = self.monitors[0][0], self.monitors[self.rank][0]
            warnings.warn(
                f"{wanted} was undefined after every epoch: the weights with the "
                f"lowest {used} are kept as the best.",
                stacklevel=2,
            )

    def _is_best(self, logs):
        for rank, (name, better) in enumerate(self.monitors[: self.rank + 1]):
            value = float(logs.get(name, math.nan))
            if math.isfinite(value):
                if rank == self.rank and not better(value, self.best):
                    return False
                self.rank, self.best = rank, value
                return True
        return False


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
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        super().__init__(str(self._newest() or self.folder), delete_checkpoint=False)

    @property
    def epochs_done(self) -> int:
        """Number of epochs that the newest backup has seen; 0 without a backup."""
        newest = self._newest()
        return int(newest.name.split("-")[1]) if newest else 0

    def _newest(self):
        whole = [f for f in self.folder.glob("epoch-*") if f.suffix != ".part"]
        return max(whole, key=lambda f: int(f.name.split("-")[1]), default=None)

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        done = self._epochs_of_all()
        if len(set(done)) > 1:
            raise UserError(
                "The workers do not see the same backup in "
                f"{self.folder}: they would go on after the epochs {done}. "
                "Name a run folder on a disk that they all share."
            )

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


def format_figure(value: float, digits: int = 3) -> str:
    """Format a figure of a report.

    Example:
    ```python
    format_figure(0.51234)  # "0.512"
    format_figure(math.nan)  # "undefined"
    ```

    Args:
        value: The figure, nan where it is undefined.
        digits: Digits after the point. Defaults to 3.

    Returns:
        A str.
    """
    return "undefined" if math.isnan(value) else f"{value:.{digits}f}"


def _number(text):
    return float("nan" if text in EMPTY else text)
