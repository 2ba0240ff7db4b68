import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from illustkit.errors import UserError
from illustkit.files import expand_user
from illustkit.images import list_images, read_image, store_pictures, write_image
from illustkit.training.batches import Batches
from illustkit.training.fit import fit_run
from illustkit.training.folder import training_in
from illustkit.training.runs import BEST, Run, RunKind, load_run
from illustkit.training.split import (
    read_split,
    relative_names,
    split_run,
    write_split,
)
from tests.conftest import ROOT


class Mirror(Batches):
    def make(self, indices, rng):
        x = rng.normal(size=(len(indices), 4)).astype("float32")
        return x, x[:, ::-1].copy()


def train(folder, epochs, *extra):
    """Train a small model with a dropout-free BatchNorm and a stateful optimizer.

    Tracing so few steps takes longer than they do.
    """
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.BatchNormalization(), keras.layers.Dense(4)]
    )
    model.compile(keras.optimizers.Adam(1e-2), "mse", run_eagerly=True)
    run = fit_run(
        model,
        Mirror(32, batch_size=8),
        Run.start(folder, {"epochs": epochs, "width": 4}),
        epochs=epochs,
        seed=1,
        monitor="val_loss",
        mode="min",
        callbacks=extra,
        verbose=0,
        validation_data=Mirror(8, batch_size=8, seed=5),
    )
    return run, model


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training of five epochs that nothing stopped, and its model."""
    return train(tmp_path_factory.mktemp("whole"), 5)


KILLED = """
import os, sys
sys.path.insert(0, {root!r})
import keras
from tests.illustkit.training.test_runs import train

class Kill(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 2 and self.model.optimizer.iterations > 9:
            os.kill(os.getpid(), 9)

train({folder!r}, 5, Kill())
"""


def test_a_killed_process_resumes_to_the_same_weights(whole, tmp_path):
    code = KILLED.format(root=str(ROOT), folder=str(tmp_path / "killed"))
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert Run(tmp_path / "killed").epochs_done == 2

    resumed, model = train(tmp_path / "killed", 5)
    for a, b in zip(whole[1].get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert resumed.history == whole[0].history
    assert resumed.history["epoch"] == [0, 1, 2, 3, 4]
    assert len(list((resumed.folder / "backup" / "worker-0").iterdir())) == 1


def test_rows_after_the_backup_are_dropped(tmp_path):
    run, _ = train(tmp_path / "run", 2)
    path = run.folder / "history.csv"
    rows = path.read_text().splitlines()
    path.write_text("\n".join([*rows, rows[-1].replace("1,", "2,", 1)]) + "\n")
    run, _ = train(tmp_path / "run", 3)
    assert run.history["epoch"] == [0, 1, 2]


class Stop(keras.callbacks.Callback):
    """Interrupts the third epoch, as Ctrl-C does: in a step, or before it is saved."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def on_train_batch_end(self, batch, logs=None):
        if self.inside and self.model.optimizer.iterations > 9:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("inside", [True, False])
def test_after_an_interrupt_the_same_call_goes_on(whole, tmp_path, inside):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", 5, Stop(inside))
    assert Run(tmp_path / "run").epochs_done == 2
    run, resumed = train(tmp_path / "run", 5)
    assert len(run.history["loss"]) == 5
    for a, b in zip(whole[1].get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


LOCKING = """
import sys
sys.path.insert(0, {root!r})
from illustkit.training.folder import training_in

with training_in({folder!r}):
    print("trains", flush=True)
    sys.stdin.read()
"""


def test_two_processes_do_not_train_one_run(tmp_path):
    train(tmp_path, 1)
    other = subprocess.Popen(
        [sys.executable, "-c", LOCKING.format(root=str(ROOT), folder=str(tmp_path))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout.readline() == "trains\n"
        before = (tmp_path / "settings.json").read_bytes()
        with pytest.raises(UserError, match="another process is training this run"):
            Run.start(tmp_path, {"epochs": 2, "width": 4})
        assert (tmp_path / "settings.json").read_bytes() == before
        with pytest.raises(UserError, match="another process"), training_in(tmp_path):
            pass
    finally:
        other.kill()  # a dead process keeps no run
        other.communicate()
    run, _ = train(tmp_path, 2)
    assert run.epochs_done == 2


def test_a_tilde_is_the_home_folder_in_paths_of_runs_and_data(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    home = tmp_path / "home"
    run, _ = train("~/run", 1)
    assert run.folder == home / "run" and run.weights_path.exists()
    run, _ = train("~/run", 2)
    assert Run("~/run").epochs_done == 2
    with pytest.raises(ValueError, match="width: 4 there, 8 now"):
        Run.check("~/run", {"epochs": 2, "width": 8})
    write_split("~/run", ["a"], ["b"])
    assert read_split("~/run") == split_run("~/run", ["a", "b"]) == (["a"], ["b"])

    write_image("~/pictures/a.png", np.zeros((2, 3, 3), np.uint8))
    assert list_images("~/pictures") == [home / "pictures" / "a.png"]
    assert read_image("~/pictures/a.png").shape == (2, 3, 3)
    assert relative_names(list_images("~/pictures"), "~/pictures") == ["a.png"]
    store_pictures("~/cache", 1, lambda w: w.add(np.zeros((2, 3, 3), np.uint8)))
    assert (home / "cache" / "pictures.json").exists()
    assert not list(Path().iterdir()), "a folder named ~ was made"
    assert expand_user("~$notes.xlsx") == Path("~$notes.xlsx")
    assert expand_user("~") == home and expand_user("a/~/b") == Path("a/~/b")


@pytest.mark.parametrize("name", ["{epoch}", "%d {best} {} {"])
def test_weights_land_in_the_run_whatever_its_name(tmp_path, name):
    run, _ = train(tmp_path / name, 1)
    assert run.folder == tmp_path / name
    assert [path.name for path in tmp_path.iterdir()] == [name]
    files = {path.name for path in run.folder.iterdir()}
    files -= {".lock"}
    assert files == {BEST, "settings.json", "history.csv", "pictures", "backup"}
    run, _ = train(tmp_path / name, 2)
    assert run.epochs_done == 2


@pytest.mark.parametrize(
    "left", [None, "history.csv", f"part-{BEST}", "backup/worker-0/epoch-00001.part"]
)
def test_a_refused_training_does_not_bind_the_next_one(tmp_path, left):
    line = RunKind("line", frozenset({"width"}))
    run = Run.start(tmp_path, {"epochs": 2, "width": 4}, kind=line)
    if left:  # by a training that was stopped within its first epoch
        (tmp_path / left).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / left).touch()
    run = Run.start(tmp_path, {"epochs": 2, "width": 8}, kind=line)
    assert Run(tmp_path).settings == run.settings
    assert run.settings == {"kind": "line", "epochs": 2, "width": 8}
    run = Run.start(tmp_path, {"degree": 2}, kind=RunKind("curve"))
    assert Run(tmp_path).settings == {"kind": "curve", "degree": 2}
    # A file of the same name that another program wrote is not replaced.
    (tmp_path / "settings.json").write_text('{"editor.tabSize": 4}')
    with pytest.raises(UserError, match="something else than a line"):
        Run.start(tmp_path, {"width": 8}, kind=line)


@pytest.mark.parametrize(
    "left", ["history.csv", BEST, "average.weights.h5", "backup/worker-0/epoch-00001"]
)
def test_a_run_of_one_whole_epoch_keeps_its_settings(tmp_path, left):
    Run.start(tmp_path, {"width": 4})
    (tmp_path / left).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / left).write_text("epoch,loss\n0,1.0\n")
    with pytest.raises(ValueError, match="width: 4 there, 8 now"):
        Run.start(tmp_path, {"width": 8})


def test_another_run_is_refused_before_anything_is_written(tmp_path):
    line = RunKind("line", frozenset({"width"}))
    Run.check(tmp_path, {"width": 8}, kind=line)
    assert not list(tmp_path.iterdir())
    Run.start(tmp_path, {"epochs": 2, "width": 4}, kind=line)
    (tmp_path / BEST).touch()
    before = (tmp_path / "settings.json").read_text()
    Run.check(tmp_path, {"epochs": 3, "width": 4}, kind=line)
    with pytest.raises(ValueError, match="width: 4 there, 8 now"):
        Run.check(tmp_path, {"epochs": 2, "width": 8}, kind=line)
    assert (tmp_path / "settings.json").read_text() == before


def test_kinds_of_runs_are_told_apart_with_and_without_a_record(tmp_path):
    kinds = {
        "line": RunKind("line", frozenset({"width"})),
        "curve": RunKind("curve", frozenset({"degree"})),
    }
    settings = {"line": {"width": 4}, "curve": {"degree": 2}}
    for name, other in (("line", "curve"), ("curve", "line")):
        new = Run.start(tmp_path / f"{name}-new", settings[name], kind=kinds[name])
        assert new.settings == {"kind": name, **settings[name]}
        old = Run.start(tmp_path / f"{name}-old", settings[name])
        assert old.settings == settings[name]
        for run in (new, old):
            (run.folder / BEST).touch()
            assert kinds[name].open(run) is run
            assert kinds[name].open(run.folder).settings == run.settings
            with pytest.raises(ValueError, match=f"something else than a {other}"):
                kinds[other].open(run)
            with pytest.raises(ValueError, match=f"something else than a {other}"):
                Run.start(run.folder, settings[other], kind=kinds[other])
        # A resumed run of an older version has its kind recorded.
        Run.start(old.folder, settings[name], kind=kinds[name])
        assert Run(old.folder).settings == new.settings


def test_a_trained_model_is_loaded_from_its_run_or_its_file(tmp_path):
    def build(settings):
        return keras.Sequential([keras.Input((settings["width"],)), layer(1)])

    layer, line = keras.layers.Dense, RunKind("line", frozenset({"width"}))
    run = Run.start(tmp_path / "run", {"width": 4}, kind=line)
    with pytest.raises(ValueError, match=f"has no {BEST} yet"):
        load_run(run, line, build)
    model = build(run.settings)
    model.save_weights(run.weights_path)
    model.save(tmp_path / "model.keras")
    for source in (run, run.folder, str(tmp_path / "model.keras")):
        loaded = load_run(source, line, build)
        for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="There is no file .*no.keras"):
        load_run(tmp_path / "no.keras", line, build)
    model = keras.Sequential([keras.Input((4,)), layer(2)])
    model.save_weights(tmp_path / "run" / "wide.weights.h5")
    with pytest.raises(ValueError, match="does not hold this run's weights"):
        load_run(run, line, build, weights="wide.weights.h5")


@pytest.mark.parametrize("name", ["epochs", "steps", "epoch_steps", "learning_rate"])
def test_what_changes_the_length_of_a_training_may_change(tmp_path, name):
    Run.start(tmp_path, {name: 4, "width": 4})
    (tmp_path / BEST).touch()
    run = Run.start(tmp_path, {name: 8, "width": 4})
    assert run.settings[name] == 8
    assert run.changes == [{"after_epoch": 0, "setting": name, "from": 4, "to": 8}]


def test_other_settings_are_refused_and_more_epochs_taken(tmp_path):
    Run.start(tmp_path, {"epochs": 2, "width": 4})
    (tmp_path / BEST).touch()
    with pytest.raises(ValueError, match="width: 4 there, 8 now"):
        Run.start(tmp_path, {"epochs": 2, "width": 8})
    assert Run.start(tmp_path, {"epochs": 9, "width": 4}).settings["epochs"] == 9
    assert json.loads((tmp_path / "settings.json").read_text())["epochs"] == 9


def test_spoilt_files_of_a_run_are_named(tmp_path):
    run, _ = train(tmp_path, 1)
    history = tmp_path / "history.csv"
    whole = history.read_bytes()
    history.write_bytes(b"")  # as a run has it whose backup is gone
    assert run.history == {} and np.isnan(run.best("loss"))
    history.write_bytes(whole + b"1,0.\xff,2.0\n")
    with pytest.raises(UserError, match="history.csv"):
        run.best("loss")
    history.write_bytes(whole)
    newest = tmp_path / "backup" / "worker-0" / "epoch-00001"
    for name in ("latest.weights.h5", "training_metadata.json"):
        data = (newest / name).read_bytes()
        (newest / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(UserError, match="epoch-00001.*Delete this folder"):
            train(tmp_path, 2)
        (newest / name).write_bytes(data)
    (newest.parent / "epoch-of-mine").mkdir()
    assert train(tmp_path, 2)[0].epochs_done == 2
    for text in ("[]", "7", '{"changes": 7}', '{"changes": [7]}', "{"):
        (tmp_path / "settings.json").write_text(text)
        with pytest.raises(UserError, match="settings.json"):
            Run(tmp_path)


def test_folders_without_a_run_are_named(tmp_path):
    with pytest.raises(ValueError, match="holds no run"):
        Run(tmp_path)
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(ValueError, match="settings.json: is no whole JSON"):
        Run(tmp_path)
