import dataclasses
import json
import os
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from diffusion.network.model import Diffuser, build_diffuser, load_diffuser
from diffusion.training import train as module
from diffusion.training.callbacks import StopWithCopies
from diffusion.training.presets import PREPRINT, PRESETS
from diffusion.training.train import (
    check_training,
    choose_settings,
    make_optimizer,
    train,
)
from illustkit.errors import UserError
from illustkit.images import list_images, read_image, write_image
from illustkit.training.optimizers import ClippedAdam, WarmupStableDecay
from illustkit.training.runs import Run
from illustkit.training.split import read_split
from tests.diffusion.conftest import TINIEST, train_slim
from tests.diffusion.network.test_model import batch_of


class Stop(keras.callbacks.Callback):
    """Ends a training in the middle of an epoch."""

    def __init__(self, step=6):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations >= self.step:
            raise KeyboardInterrupt


def weights_of(run):
    return load_diffuser(run).average.get_weights()


def restored(run):
    """The model of a run's backup: weights, their average, and the optimizer."""
    diffuser = build_diffuser(run.settings)
    diffuser.compile(make_optimizer(choose_settings("tiny", warm_up=6)))
    diffuser.optimizer.build(diffuser.trainable_variables)
    (newest,) = (run.folder / "backup" / "worker-0").iterdir()
    diffuser.load_weights(newest / "latest.weights.h5")
    return diffuser


def values(variables):
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def assert_same(first, second):
    assert first and len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_stopped_training_goes_on_as_if_it_never_stopped(
    slim, trained, icons, tmp_path, monkeypatch
):
    with pytest.raises(KeyboardInterrupt):
        train_slim(monkeypatch, icons, tmp_path / "run", callbacks=[Stop()], steps=8)
    assert Run(tmp_path / "run").epochs_done == 1
    run = train_slim(monkeypatch, icons, tmp_path / "run", steps=8)
    assert run.epochs_done == 2
    run = train_slim(monkeypatch, icons, tmp_path / "run")
    assert run.epochs_done == 3 and run.settings == trained.settings
    assert run.history == trained.history
    assert run.history["epoch"] == [0, 1, 2]
    assert_same(weights_of(run), weights_of(trained))
    kept, expected = restored(run), restored(trained)
    assert_same(values(kept.weights), values(expected.weights))
    state = values(expected.optimizer.variables)
    assert_same(values(kept.optimizer.variables), state)
    assert int(expected.optimizer.iterations) == 12
    # The average is one, and moved: neither the weights nor what it was before.
    average = expected.average.get_weights()
    assert_same(average, weights_of(trained))
    assert np.abs(average[0] - expected.unet.get_weights()[0]).max() > 1e-5
    grids = list_images(run.pictures)
    assert [p.name for p in grids] == [f"step-{n:07d}.png" for n in (4, 8, 12)]
    for path in grids:
        expected = read_image(trained.pictures / path.name)
        np.testing.assert_array_equal(read_image(path), expected)


def test_a_short_training_can_be_made_longer_and_log_less(icons, tmp_path, monkeypatch):
    run = train_slim(monkeypatch, icons, tmp_path, steps=2, epoch_steps=100)
    before = run.history
    assert (run.settings["epoch_steps"], before["epoch"]) == (2, [0])
    monkeypatch.delitem(TINIEST, "epoch_steps")
    run = train_slim(monkeypatch, icons, tmp_path, steps=5, sample_every=0)
    assert run.settings["steps"] == 5
    history = run.history
    assert history["epoch"] == [0, 1, 2]
    assert {k: v[:1] for k, v in history.items()} == before
    # What is not logged any more leaves its column empty, and the others in place.
    assert np.isnan(history["copies"][1:]).all()
    assert history["loss"] == history["mse"] and min(history["loss"]) > 0


def test_twice_accumulated_is_a_batch_of_twice_the_size(slim):
    x = batch_of(n=8)
    found = []
    for accumulation in (1, 2):
        chosen = dataclasses.replace(
            PRESETS["tiny"], warm_up=3, clip=0.1, accumulation=accumulation
        )
        keras.utils.set_random_seed(1)
        diffuser = Diffuser({"image_size": (6, 4), "dim": 4}, timesteps=20)
        before = diffuser.unet.get_weights()
        diffuser.compile(make_optimizer(chosen), run_eagerly=True)
        for _ in range(4):
            for part in np.split(np.arange(8), accumulation):
                diffuser.train_on_batch({k: v[part] for k, v in x.items()})
        assert int(diffuser.optimizer.iterations) == 4
        found.append(diffuser.unet.get_weights())
    moved = max(np.abs(a - b).max() for a, b in zip(before, found[0], strict=True))
    assert moved > 2e-3
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_the_rate_rises_and_stays():
    rate = WarmupStableDecay(0.8, 4)
    rates = [float(rate(keras.ops.convert_to_tensor(n))) for n in range(6)]
    np.testing.assert_allclose(rates, [0.2, 0.4, 0.6, 0.8, 0.8, 0.8], rtol=1e-6)
    assert (
        WarmupStableDecay.from_config(rate.get_config()).get_config()
        == rate.get_config()
    )


@pytest.mark.parametrize("size", [0.01, 10.0])
def test_on_one_device_gradients_are_cut_as_keras_cuts_them(size):
    rng, found = np.random.default_rng(0), []
    grads = [size * rng.standard_normal((3, 2), "float32") for _ in range(2)]
    for kind in (ClippedAdam, keras.optimizers.Adam):
        # ε of 1: Adam then heeds how long a gradient is.
        optimizer = kind(0.1, global_clipnorm=0.5, epsilon=1.0)
        weights = [keras.Variable(np.ones((3, 2), "float32")) for _ in grads]
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in grads], weights)
        found.append(values(weights))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_other_settings_and_other_runs_are_not_written_over(
    trained, icons, tmp_path, monkeypatch
):
    before = (trained.folder / "settings.json").read_text()
    with pytest.raises(ValueError, match="other settings .*flip: 0.5 there"):
        train_slim(monkeypatch, icons, trained.folder, flip=0.25)
    assert (trained.folder / "settings.json").read_text() == before
    (tmp_path / "settings.json").write_text(json.dumps({"objective": "coral"}))
    with pytest.raises(ValueError, match="."):
        train_slim(monkeypatch, icons, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["settings.json"]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"preset": "huge"}, "'colab', 'hourglass', 'preprint'"),
        ({"colour": 1}, r"Received: \['colour'\]"),
        ({"steps": 0}, "`steps` must be .*at least 1"),
        ({"epoch_steps": -1}, "`epoch_steps` must be .*Received: -1"),
        ({"batch_size": 2.5}, "`batch_size` must be .*Received: 2.5"),
        ({"accumulation": 0}, "`accumulation` must be .*Received: 0"),
        ({"timesteps": 0}, "`timesteps` must be .*Received: 0"),
        ({"learning_rate": -1.0}, "`learning_rate` must be over 0. Received: -1.0"),
        ({"learning_rate": float("nan")}, "`learning_rate` must .*nan"),
        ({"warm_up": -1}, "`warm_up` must .*Received: -1"),
        ({"clip": 0}, "`clip` must be over 0"),
        ({"ema_decay": 1}, "`ema_decay` must .*under 1. Received: 1"),
        ({"ema_every": 0}, "`ema_every` must .*Received: 0"),
        ({"min_snr_gamma": -5}, "`min_snr_gamma` must be over 0. Received: -5"),
        ({"dropout": 1}, "`dropout` must .*under 1"),
        ({"dim": -8}, "`dim` must .*Received: -8"),
        ({"dim_mults": (1, 0)}, "`dim_mults` must .*Received: 0"),
        ({"dim_mults": ()}, "`dim_mults` needs a level"),
        ({"version": "3"}, "`version` must be one of 0.25.3, 2. Received: '3'"),
        ({"seed": -1}, "`seed` must .*Received: -1"),
        ({"sample_every": -1}, "`sample_every` must .*Received: -1"),
        ({"n_samples": 0}, "`n_samples` must .*Received: 0"),
        ({"n_samples": 3, "metrics": "pixels"}, "`n_samples` must .*at least 4"),
        ({"sample_steps": 0}, "Received: steps=0"),
        ({"metrics": "none.npz"}, "none.npz: no such file"),
        ({"timesteps": 1, "sample_steps": None}, "1 `timesteps` are too few"),
        ({"flip": 1.5}, "`flip` must be at least 0 and at most 1"),
        ({"channels": 2}, "Received: 2"),
        ({"image_size": (16, 15)}, "multiples of 2. Received: 16x15"),
        ({"objective": "eps"}, "Received: 'eps'"),
        ({"loss": "l2"}, "Received: 'l2'"),
        ({"schedule": "square"}, "square"),
        ({"precision": "float8"}, "float8"),
        ({"strategy": "gpu9"}, "gpu9"),
        ({"sample_steps": 30}, "Received: steps=30"),
        ({"focus": (4, 4, 20, 8)}, "`focus` is a box in icons of 16x16 .*20, 8"),
        ({"focus": (4, 4, 8)}, "`focus` is .left, top, right, bottom. .*4, 4, 8"),
        ({"focus": (4, 4, 8, 8), "focus_weight": 0}, "`focus_weight` must be over 0"),
    ],
)
def test_wrong_settings_are_named_and_leave_no_run_behind(
    icons, tmp_path, monkeypatch, settings, message
):
    with pytest.raises(UserError, match=message):
        train_slim(monkeypatch, icons, tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_a_training_begins_with_the_average_of_another(
    trained, icons, tmp_path, monkeypatch
):
    began = []

    class Look(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            for network in (self.model.unet, self.model.average):
                began.append(network.get_weights())

    options = {"sample_every": 0, "start_from": str(trained.folder)}
    options["focus"] = (4, 4, 12, 12)
    run = train_slim(
        monkeypatch, icons, tmp_path / "run", steps=4, callbacks=[Look()], **options
    )
    for weights in began:
        assert_same(weights, weights_of(trained))
    before = weights_of(run)
    assert not np.array_equal(before[0], weights_of(trained)[0])
    assert run.settings["start_from"] == str(trained.folder)
    # Going on goes on with its own weights.
    train_slim(monkeypatch, icons, run.folder, steps=8, callbacks=[Look()], **options)
    assert run.epochs_done == 2 and len(began) == 4
    other = {**options, "objective": "noise"}
    with pytest.raises(UserError, match="a model of the same objective.*v there"):
        train_slim(monkeypatch, icons, tmp_path / "other", **other)


def test_a_grid_takes_no_more_steps_than_there_are(icons, tmp_path):
    options = {"preset": "tiny", "timesteps": 20, "n_samples": 1}
    assert check_training(icons, tmp_path / "run", **options).timesteps == 20
    with pytest.raises(UserError, match="steps=25"):
        check_training(icons, tmp_path / "run", sample_steps=25, **options)


def test_a_wholly_other_folder_is_refused_and_changes_are_told(
    icons, tmp_path, monkeypatch, capsys
):
    folder = Path(shutil.copytree(icons, tmp_path / "icons"))
    settings = {"epoch_steps": 1, "sample_every": 0}
    run = train_slim(monkeypatch, folder, tmp_path / "run", steps=1, **settings)
    other = tmp_path / "other"
    for i in range(7):  # of the same names
        write_image(other / f"{i}.png", np.full((16, 16, 3), 30 * i, np.uint8))
    with pytest.raises(UserError, match="was trained on other data") as error:
        train_slim(monkeypatch, other, run.folder, steps=2, **settings)
    assert str(other) in str(error.value) and run.epochs_done == 1
    (folder / "0.png").unlink()
    shutil.copy(other / "1.png", folder / "new.png")
    folder = folder.rename(tmp_path / "moved")
    capsys.readouterr()
    train_slim(monkeypatch, folder, run.folder, steps=2, **settings)
    told = capsys.readouterr().out
    assert "1 picture added, 1 gone" in told and run.epochs_done == 2


def test_a_run_within_its_icons_is_refused(icons, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(icons, tmp_path / "icons"))
    with pytest.raises(UserError, match="would be learned. Name a `run` elsewhere"):
        train_slim(monkeypatch, folder, folder / "runs" / "a")
    assert not (folder / "runs").exists()


def test_epochs_of_another_length_add_up_to_the_steps(tmp_path):
    """By hand: 3 epochs of 4 steps and 2 of 10; 100 - 32 steps in epochs of 7."""
    settings = {"timesteps": 20, "steps": 100, "epoch_steps": 4}
    runs = []
    for done, length in ((0, 4), (3, 10), (5, 7)):
        for backup in (tmp_path / "backup" / "worker-0").glob("*"):
            shutil.rmtree(backup)
        if done:
            epoch = tmp_path / "backup" / "worker-0" / f"epoch-{done:05d}"
            epoch.mkdir(parents=True)
        runs.append(Run.start(tmp_path, {**settings, "epoch_steps": length}))
    assert [module.epochs_of(run) for run in runs] == [25, 3 + 9, 5 + 10]


def test_more_steps_in_longer_epochs_go_on(icons, tmp_path, monkeypatch):
    """As the notebook asks: a fifth of the steps is an epoch."""
    for steps in (5, 15):
        settings = {"steps": steps, "epoch_steps": steps // 5, "sample_every": 0}
        run = train_slim(monkeypatch, icons, tmp_path, **settings)
    # Five epochs of one step, and four of three.
    assert run.epochs_done == 5 + 4
    assert int(restored(run).optimizer.iterations) == 5 + 12
    (change,) = [c for c in run.changes if c["setting"] == "epoch_steps"]
    assert change == {"after_epoch": 5, "setting": "epoch_steps", "from": 1, "to": 3}


def test_a_refused_training_does_not_bind_the_next(icons, tmp_path, monkeypatch):
    """Stopped in its first epoch: other settings, and longer epochs, may follow."""
    settings = {"sample_every": 0, "steps": 2}
    with pytest.raises(KeyboardInterrupt):
        train_slim(
            monkeypatch, icons, tmp_path, callbacks=[Stop(0)], epoch_steps=1, **settings
        )
    assert (tmp_path / "settings.json").exists()
    monkeypatch.delitem(TINIEST, "epoch_steps")
    run = train_slim(monkeypatch, icons, tmp_path, flip=0.25, **settings)
    assert (run.settings["epoch_steps"], run.settings["flip"]) == (2, 0.25)


def test_a_run_folder_of_any_name(icons, tmp_path, monkeypatch):
    name = "{best} {epoch:02d} {} 生成"
    settings = {"sample_every": 0, "steps": 1, "epoch_steps": 1}
    train_slim(monkeypatch, icons, tmp_path / name, **settings)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "average.weights.h5").exists()


def test_a_home_folder_is_found_by_its_tilde(icons, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(icons, tmp_path / "icons")
    settings = {"sample_every": 0, "steps": 1, "epoch_steps": 1}
    settings["cache"] = "~/cache"
    run = train_slim(monkeypatch, "~/icons", "~/run", **settings)
    assert run.folder == tmp_path / "run"
    assert load_diffuser("~/run").image_size == (16, 16)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["cache", "icons", "run"]


def test_names_of_any_bytes_are_trained_on_and_printed(
    icons, tmp_path, monkeypatch, capsys
):
    folder = Path(shutil.copytree(icons, tmp_path / "icons"))
    odd = os.fsdecode(b"\x8aG.png")  # as a Japanese Windows names a picture
    (folder / "0.png").rename(folder / odd)
    (folder / f"broken {odd}").write_bytes(b"no picture")
    settings = {"sample_every": 0, "steps": 1, "epoch_steps": 1}
    run = train_slim(monkeypatch, folder, tmp_path / "run", **settings)
    told = capsys.readouterr().out
    assert "7 pictures" in told and "broken \\udc8aG.png" in told
    assert run.epochs_done == 1


def test_the_network_s_own_checks_come_before_the_run(icons, tmp_path):
    for wrong in ({"dim": 12, "dropout": 0.0}, {"dropout": 0.1}):
        wrong["version"] = "0.25.3"
        with pytest.raises(UserError, match="Received: .*(dim=12|dropout=0.1)"):
            train(icons, tmp_path / "run", **{**TINIEST, **wrong})
    assert not (tmp_path / "run").exists()


def test_pictures_that_cannot_be_read_are_told_and_left_out(
    icons, tmp_path, monkeypatch, capsys
):
    folder = Path(shutil.copytree(icons, tmp_path / "icons"))
    (folder / "broken.png").write_bytes(b"no picture")
    settings = {"steps": 1, "epoch_steps": 1, "sample_every": 0}
    train_slim(monkeypatch, folder, tmp_path / "run", **settings)
    told = capsys.readouterr().out
    assert "7 pictures of 16x16, 0 of them resized, 1 left out." in told
    assert told.count("broken.png") == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no pictures here") as error:
        train_slim(monkeypatch, tmp_path / "empty", tmp_path / "other", **settings)
    assert str(tmp_path / "empty") in str(error.value)
    assert not (tmp_path / "other" / "settings.json").exists()


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_icons_of_any_shape(
    slim, icons, tmp_path, monkeypatch, channels
):
    from diffusion.sampling.generate import sample

    run = train_slim(
        monkeypatch,
        icons,
        tmp_path,
        channels=channels,
        image_size=(16, 8),
        precision="mixed_bfloat16",
        steps=2,
        epoch_steps=2,
    )
    assert np.isfinite(run.history["loss"]).all()
    pictures = sample(run, 2, steps=3, progress=False)
    assert pictures.shape == (2, 8, 16, channels) and pictures.dtype == np.uint8
    # 2×2 icons and their borders, as people see them.
    grid = read_image(run.pictures / "step-0000002.png")
    assert grid.shape == (2 * (8 + 2) + 2, 2 * (16 + 2) + 2, 3)


def test_the_preprint_s_preset_is_the_preprint_s():
    assert (PREPRINT.image_size, PREPRINT.dim) == ((128, 128), 64)
    assert (PREPRINT.dim_mults, PREPRINT.seed) == ((1, 2, 4, 8), 3407)
    assert (PREPRINT.version, PREPRINT.objective) == ("0.25.3", "noise")
    assert (PREPRINT.loss, PREPRINT.schedule) == ("l1", "cosine")
    assert (PREPRINT.batch_size, PREPRINT.learning_rate) == (16, 1e-4)
    assert (PREPRINT.clip, PREPRINT.steps) == (None, 100_000)
    assert PRESETS["hourglass"] == dataclasses.replace(PREPRINT, dim_mults=(1, 4, 16))
    for name in PRESETS:
        choose_settings(name)
    assert choose_settings("tiny", image_size=64).image_size == (64, 64)


class Losses(keras.callbacks.Callback):
    """Says what the validation loss was, and keeps the average of each epoch."""

    def __init__(self, *losses):
        super().__init__()
        self.losses, self.averages, self.found = losses, {}, []

    def on_epoch_end(self, epoch, logs=None):
        self.found.append(logs["val_loss"])
        logs["val_loss"] = self.losses[epoch]
        self.averages[epoch] = self.model.average.get_weights()


def test_a_training_ends_early_and_keeps_the_weights_of_its_best_epoch(
    slim, icons, tmp_path, monkeypatch
):
    watch = Losses(3.0, 1.0, 2.0, 0.5)
    options = {"early_stopping": 1, "steps": 16, "sample_every": 0}

    def again(**more):
        given = {**options, "callbacks": [watch], **more}
        return train_slim(monkeypatch, icons, tmp_path / "run", **given)

    run = again()
    assert run.history["val_loss"] == [3.0, 1.0, 2.0]
    assert all(0 < loss < 9 for loss in watch.found)
    learnt, held_out = read_split(run.folder)
    assert held_out and len(learnt) + len(held_out) == 7
    assert_same(weights_of(run), watch.averages[1])
    assert again().history["epoch"] == [0, 1, 2]
    # With more patience it goes on, and finds a better epoch.
    run = again(early_stopping=2)
    assert run.history["val_loss"] == [3.0, 1.0, 2.0, 0.5]
    assert_same(weights_of(run), watch.averages[3])
    with pytest.raises(UserError, match="early_stopping"):
        again(early_stopping=None)


def test_it_ends_where_copies_begin_and_keeps_no_such_weights():
    class Grids:
        memorises = False

    grids, model = Grids(), type("Model", (), {"stop_training": False})()
    early = StopWithCopies(5, grids)
    early.set_model(model)
    early.on_epoch_end(1, {"val_loss": 1.0})
    assert early.is_best and not model.stop_training
    grids.memorises = True
    early.on_epoch_end(2, {"val_loss": 0.5})
    assert model.stop_training and not early.is_best
