"""A run folder: settings, weights, history and pictures of one training."""

import json
import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from illustkit.errors import UserError, reading
from illustkit.files import expand_user, read_text, write_whole
from illustkit.runtime import worker_index
from illustkit.tables import read_json, read_table
from illustkit.training.callbacks import Backup, BestWeights, History, StopOnNaN
from illustkit.training.folder import BEST as BEST
from illustkit.training.folder import HISTORY as HISTORY
from illustkit.training.folder import SETTINGS as SETTINGS
from illustkit.training.folder import check_run, has_trained, refuse_busy

# Settings that a training may be continued with; `settings.json` records each change.
MAY_CHANGE = "epochs", "steps", "epoch_steps", "learning_rate", "precision"
EMPTY = "", "NA"  # cells of the history without a number
_AGAIN = "Train it again, or name another."


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

    Attributes:
        settings: Dict of the settings that hold now.
        changes: List of the settings that other ones have replaced: dicts of
            "after_epoch", "setting", "from" and "to".

    Raises:
        UserError: If the folder holds no run.
    """

    folder: Path
    settings: dict[str, Any]
    changes: list[dict[str, Any]]

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = check_run(folder)
        path = self.folder / SETTINGS
        with reading(path, _AGAIN):
            self.settings = {**read_json(path)}
            self.changes = [dict(each) for each in self.settings.pop("changes", [])]

    @classmethod
    def check(
        cls,
        folder: str | os.PathLike[str],
        settings: Mapping[str, Any],
        may_change: Collection[str] = (),
        *,
        kind: "RunKind | None" = None,
    ) -> None:
        """Refuse a folder that holds another run. Nothing is written.

        A run without a whole epoch may be replaced: a training that was refused, or
        stopped before, does not bind the next one to its settings.

        Args:
            folder: Path of the run to be; it need not exist.
            settings: Dict that JSON can hold, as for `start`.
            may_change: Settings that may differ from those of the stored run, beside
                `MAY_CHANGE`.
            kind: What is trained.

        Raises:
            UserError: If a run of another kind or with other settings is stored there,
                or another process is training it.
        """
        folder = expand_user(folder)
        if not (folder / SETTINGS).exists():
            return
        if worker_index() == 0:  # which may train already, for all workers
            refuse_busy(folder)
        stored = cls(folder)
        trained = has_trained(folder)
        # A file of settings without a kind may be another program's.
        if kind and (trained or "kind" not in stored.settings):
            kind.open(stored)
        if not trained:
            return
        differences = [
            f"{name}: {before!r} there, {now!r} now"
            for name, (before, now) in stored._differences(settings).items()
            if name not in {*MAY_CHANGE, *may_change}
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
        may_change: Collection[str] = (),
        *,
        kind: "RunKind | None" = None,
    ) -> "Run":
        """Make a run, or resume the one that is stored there, as `check` allows.

        Args:
            folder: Path; made if it is missing.
            settings: Dict that JSON can hold: what is needed to build the model again.
            may_change: Settings that may differ from those of the stored run, beside
                `MAY_CHANGE`.
            kind: What is trained; `settings.json` records its name as "kind".

        Returns:
            The `Run`.

        Raises:
            UserError: If a run of another kind or with other settings is stored there.
        """
        cls.check(folder, settings, may_change, kind=kind)
        run = cls.__new__(cls)
        run.folder = expand_user(folder)
        run.settings = json.loads(json.dumps(settings))
        run.changes = []
        if has_trained(folder) and (run.folder / SETTINGS).exists():
            before = cls(folder)
            run.changes = before.changes + [
                {
                    "after_epoch": run.epochs_done,
                    "setting": name,
                    "from": old,
                    "to": new,
                }
                for name, (old, new) in before._differences(run.settings).items()
            ]
        if kind:
            run.settings = {"kind": kind.name, **run.settings}
        if worker_index() == 0:
            run.pictures.mkdir(parents=True, exist_ok=True)
            stored = run.settings | ({"changes": run.changes} if run.changes else {})
            text = json.dumps(stored, indent=1, ensure_ascii=False)
            write_whole(run.folder / SETTINGS, text)
        return run

    def _differences(self, settings):
        """Return a dict from each setting that differs to its values here and there."""
        settings = json.loads(json.dumps(settings))
        return {
            name: (self.settings.get(name), settings.get(name))
            for name in sorted({*self.settings, *settings} - {"kind"})
            if self.settings.get(name) != settings.get(name)
        }

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
        if not path.exists() or not path.stat().st_size:
            return {}
        rows = [row for _, row in read_table(path, ["epoch"])]
        # Keras writes the columns of a validation even if there is none.
        names = [
            k for k in (rows or [{}])[0] if any(row[k] not in EMPTY for row in rows)
        ]
        with reading(path, "Delete its spoilt lines."):
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
        load_weights(model, path)

    def callbacks(
        self,
        monitor: str | None = "val_loss",
        mode: str = "min",
        *,
        steps: int | None = None,
    ) -> list[keras.callbacks.Callback]:
        """Return the callbacks that write the folder and resume from it.

        Args:
            monitor: Logged number by which weights are best; `None` keeps no best
                weights, for a training that keeps its own.
            mode: "min" or "max".
            steps: See `illustkit.training.callbacks.Backup`. Defaults to `None`.

        Returns:
            List of `keras.callbacks.Callback`. Call it before `fit`, at every start.
            The first one, `StopOnNaN`, has to come before all that save anything. The
            last is the `Backup`.
        """
        done = self.epochs_done
        new_rate = any(
            (change.get("setting"), change.get("after_epoch"))
            == ("learning_rate", done)
            for change in self.changes
        )
        backup = Backup(self._backup_folder, new_rate=new_rate, steps=steps)
        callbacks: list[keras.callbacks.Callback] = [StopOnNaN(backup)]
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
            lines = read_text(self.folder / HISTORY).splitlines(True)
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
        run = expand_user(run)
        if not run.is_file():
            raise UserError(f"There is no file {run}: name a run folder or its file.")
        with reading(run, _AGAIN):
            return keras.saving.load_model(run, compile=False)
    run = kind.open(run)
    with reading(run.folder / SETTINGS, _AGAIN):
        model = build(run.settings)
    run.load_weights(model, weights)
    return model


def load_weights(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Load a file of weights into a model.

    Example:
    ```python
    model.save_weights("best.weights.h5")
    load_weights(model, "best.weights.h5")
    ```

    Args:
        model: The built model.
        path: The `.weights.h5`.

    Raises:
        UserError: If the file cannot be read, or fits another model.
    """
    try:
        model.load_weights(path)
    except Exception as error:  # h5py, zipfile and Keras raise all kinds
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{path} does not hold this run's weights ({reason}): train again, or "
            "take another run."
        ) from error


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
