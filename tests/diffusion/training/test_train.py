import dataclasses
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from diffusion.network.model import Diffuser, build_diffuser, load_diffuser
from diffusion.training.presets import PREPRINT, PRESETS
from diffusion.training.train import choose_settings, make_optimizer, train
from illustkit.images import list_images, read_image
from illustkit.training.optimizers import ClippedAdam, WarmupStableDecay
from illustkit.training.runs import Run
from tests.diffusion.conftest import TINIEST, train_slim
from tests.diffusion.network.test_model import batch_of


class Stop(keras.callbacks.Callback):
    """Ends a training in the middle of an epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations >= 6:
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
        ({"steps": 0}, "`steps` must be at least 1"),
        ({"flip": 1.5}, "`flip` is a probability"),
        ({"channels": 2}, "Received: 2"),
        ({"image_size": (16, 15)}, r"multiples of 2. Received: .*\(16, 15\)"),
        ({"objective": "eps"}, "Received: 'eps'"),
        ({"loss": "l2"}, "Received: 'l2'"),
        ({"schedule": "square"}, "square"),
        ({"precision": "float8"}, "float8"),
        ({"strategy": "gpu9"}, "gpu9"),
        ({"sample_steps": 30}, "Received: steps=30"),
    ],
)
def test_wrong_settings_are_named_and_leave_no_run_behind(
    icons, tmp_path, monkeypatch, settings, message
):
    with pytest.raises(ValueError, match=message):
        train_slim(monkeypatch, icons, tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_the_network_s_own_checks_come_before_the_run(icons, tmp_path):
    for wrong in ({"version": "3"}, {"version": "0.25.3", "dropout": 0.1}):
        with pytest.raises(ValueError, match="Received: ('3'|dropout=0.1)"):
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
