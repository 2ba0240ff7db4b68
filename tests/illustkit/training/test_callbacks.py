"""What a training saves, by which epoch, and when it stops."""

import json
import math
import warnings
from math import nan

import keras
import numpy as np
import pytest

from illustkit.training.callbacks import Backup, BestWeights, StopOnNaN
from illustkit.training.fit import choose_devices, fit_run
from illustkit.training.optimizers import ClippedAdam
from illustkit.training.runs import Run, format_figure
from tests.illustkit.training.test_runs import Mirror, train


class Log(keras.callbacks.Callback):
    """Logs a value of `val_score` after each epoch; `None` logs nothing."""

    def __init__(self, *values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        self.weights = [*getattr(self, "weights", []), self.model.get_weights()]
        if self.values[epoch] is not None:
            logs["val_score"] = self.values[epoch]


def fit_line(folder, log, epochs, rate=0.05):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.compile(keras.optimizers.SGD(rate), "mse", run_eagerly=True)
    run = Run.start(folder, {"epochs": epochs, "learning_rate": rate})
    batches = Mirror(32, batch_size=8)
    options = {"epochs": epochs, "seed": 1, "monitor": "val_score", "verbose": 0}
    return fit_run(model, batches, run, callbacks=[log], **options)


def assert_best(run, expected):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    run.load_weights(model)
    for a, b in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_nan_names_the_part_that_began_it():
    with pytest.raises(FloatingPointError, match="step 3 .*\n?.*Not finite: style_out"):
        StopOnNaN().on_train_batch_end(
            3, {"loss": float("nan"), "style_out": float("inf"), "hole": 0.5}
        )
    StopOnNaN().on_train_batch_end(3, {"loss": 1.0})


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize(
    "values, best",
    [
        ((nan, 1.0, 3.0, 2.0), 2),  # undefined at first
        ((2.0, nan, 1.0, 1.0), 0),
        ((nan, nan, 0.5, nan), 2),
    ],
)
def test_an_undefined_epoch_is_never_the_best(tmp_path, values, best):
    # In two goes: the second one knows the first's values by the history.
    log = Log(*values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit_line(tmp_path, log, 2)
    run = fit_line(tmp_path, log, 4)
    np.testing.assert_array_equal(run.history["val_score"], values)
    assert run.best("val_score") == values[best]
    assert_best(run, log.weights[best])


@pytest.mark.parametrize("value", [nan, None])
def test_where_a_monitor_is_undefined_the_loss_takes_its_place(tmp_path, value):
    log = Log(value, value, value)
    with pytest.warns(UserWarning, match="val_score was undefined.*lowest loss"):
        run = fit_line(tmp_path, log, 3)
    losses = run.history["loss"]
    assert min(losses) < losses[0], "the first epoch must not be the best"
    assert_best(run, log.weights[int(np.argmin(losses))])
    assert math.isnan(run.best("val_score")) and run.best("loss", "min") == min(losses)
    assert [format_figure(run.best("val_score")), format_figure(0.5, 1)] == [
        "undefined",
        "0.5",
    ]
    if value is not None:
        assert all(map(math.isnan, run.history["val_score"]))


def test_a_resumed_run_keeps_its_best_weights(tmp_path):
    run, _ = train(tmp_path / "run", 2)
    best = next(c for c in run.callbacks("val_loss") if isinstance(c, BestWeights))
    assert best.ranking.best == min(run.history["val_loss"])


def test_a_half_written_backup_is_not_used(tmp_path):
    run, _ = train(tmp_path / "run", 2)
    part = run.folder / "backup" / "worker-0" / "epoch-00003.part"
    part.mkdir()
    (part / "latest.weights.h5").write_bytes(b"half")
    assert Backup(part.parent).epochs_done == 2
    run, _ = train(tmp_path / "run", 3)
    assert run.epochs_done == 3


def test_workers_that_see_other_backups_are_stopped(tmp_path, monkeypatch):
    # What the second of two workers finds where the folder is on a disk of its own.
    monkeypatch.setattr(Backup, "_epochs_of_all", lambda self: [2, 0])
    with pytest.raises(ValueError, match=r"the epochs \[2, 0\].*disk that they all"):
        train(tmp_path / "run", 1)


@pytest.mark.parametrize("killed", [False, True])
def test_a_run_goes_on_with_another_learning_rate(tmp_path, killed):
    before, after = Log(1.0, 1.0), Log(1.0, 1.0, 1.0)
    fit_line(tmp_path, before, 2)
    if killed:  # after the change was written, and before an epoch had it
        Run.start(tmp_path, {"epochs": 3, "learning_rate": 0.0})
    run = fit_line(tmp_path, after, 3, rate=0.0)
    # A rate of 0 leaves the weights as they were.
    for a, b in zip(before.weights[1], after.weights[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert run.epochs_done == 3
    assert run.settings == {"epochs": 3, "learning_rate": 0.0}
    expected = [("epochs", 2, 3), ("learning_rate", 0.05, 0.0)]
    assert run.changes == [
        {"after_epoch": 2, "setting": name, "from": old, "to": new}
        for name, old, new in expected
    ]
    stored = json.loads((tmp_path / "settings.json").read_text())
    assert stored == {**run.settings, "changes": run.changes}
    opened = Run(tmp_path)
    assert (opened.settings, opened.changes) == (run.settings, run.changes)


def fit_in(folder, precision, rate):
    settings = {"precision": precision, "learning_rate": rate, "epochs": 2}
    devices = choose_devices("one", batch_size=8, precision=precision)
    with devices.building(1):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
        optimizer = ClippedAdam(rate, global_clipnorm=1.0)
        model.compile(optimizer, "mse", run_eagerly=True)
    run = Run.start(folder, settings)
    epochs = run.epochs_done + 1
    fit_run(model, Mirror(32, batch_size=8), run, epochs=epochs, seed=1, verbose=0)
    return run, model


@pytest.mark.parametrize(
    "first, second",
    [
        ("float32", "mixed_float16"),
        ("mixed_float16", "float32"),
        ("float32", "mixed_bfloat16"),
    ],
)
@pytest.mark.filterwarnings("error:Skipping variable loading:UserWarning")
def test_a_run_goes_on_in_another_precision(tmp_path, first, second):
    _, before = fit_in(tmp_path, first, 0.01)
    run, after = fit_in(tmp_path, second, 0.0)  # which leaves the weights as they were
    for a, b in zip(before.get_weights(), after.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    inner = [
        getattr(m.optimizer, "inner_optimizer", m.optimizer) for m in (before, after)
    ]
    steps = [int(optimizer.iterations) for optimizer in inner]
    assert steps[0] > 0 and steps[1] == 2 * steps[0]
    assert isinstance(inner[1], ClippedAdam) and run.epochs_done == 2
    changed = {c["setting"]: (c["from"], c["to"]) for c in run.changes}
    assert changed == {"learning_rate": (0.01, 0.0), "precision": (first, second)}
