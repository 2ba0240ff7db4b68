import keras
import numpy as np
import pytest

import diffusion.comparison as module
from diffusion.comparison import (
    TrainingTime,
    compare_models,
    format_comparison,
    spent_seconds,
)
from diffusion.evaluation.vgg import vgg16_extractor
from illustkit.errors import UserError
from illustkit.tables import read_json
from illustkit.training.runs import Run
from tests.diffusion.conftest import TINIEST

GAN = {"network": {"filters": 4, "latent": 3}, "image_size": 8, "precision": "float32"}
DDPM = {name: TINIEST[name] for name in ("image_size", "dim", "dim_mults", "timesteps")}
SMALL = {
    "dcgan": {**GAN, "batch_size": 4, "epoch_steps": 3},
    "ddpm": {**DDPM, "batch_size": 4, "epoch_steps": 3, "precision": "float32"},
}


def clock(monkeypatch):
    """Each look at the clock is a second later."""
    ticks = iter(range(10_000))
    monkeypatch.setitem(module.CLOCKS, "wall", lambda: float(next(ticks)))


def test_all_models_learn_as_long_and_are_measured(slim, icons, tmp_path, monkeypatch):
    clock(monkeypatch)
    options = {"models": ("dcgan", "ddpm"), "settings": SMALL, "features": "pixels"}
    options |= {"n": 4, "sampler": "dpm++", "sampling_steps": 2, "verbose": 0}
    rows = compare_models(icons, tmp_path, hours=3 / 3600, **options)
    assert [row["model"] for row in rows] == ["dcgan", "ddpm"]
    assert [len(row["parameters"]) for row in rows] == [2, 1]
    for row in rows:
        # The first step does not count; the rest of an epoch and the next one do.
        assert (row["steps"], row["minutes"]) == (4, 0.05)
        assert row["n_generated"] == 4 and row["fid"] is None
        assert (tmp_path / row["grid"]).is_file()
    assert read_json(tmp_path / "comparison.json")[1]["kid"] == rows[1]["kid"]
    table = (tmp_path / "table.md").read_text()
    assert (
        table == format_comparison(rows) + "\n" and "| dcgan | 0.0 M + 0.0 M" in table
    )
    page = (tmp_path / "index.html").read_text()
    assert page.count("<figure>") == 2 and "<script" not in page

    # Nothing is trained or made again, until there is more time.
    monkeypatch.setattr(module, "train", None)
    monkeypatch.setattr(module, "train_gan", None)
    assert compare_models(icons, tmp_path, hours=3 / 3600, **options) == rows


def test_training_goes_on_where_it_was_saved(tmp_path, icons, monkeypatch):
    clock(monkeypatch)
    options = {"models": ["dcgan"], "settings": SMALL, "features": "pixels"}
    options |= {"n": 4, "verbose": 0}
    compare_models(icons, tmp_path, hours=3 / 3600, **options)
    (row,) = compare_models(icons, tmp_path, hours=5 / 3600, **options)
    assert spent_seconds(tmp_path / "dcgan") == 5
    # Two more seconds are three more steps: one compiles.
    assert row["steps"] == 7
    assert Run(tmp_path / "dcgan").history["seconds"] == [2, 3, 5]


def test_what_is_saved_between_epochs_does_not_count(tmp_path):
    ticks = iter([1, 2, 4, 100, 101])
    timed = TrainingTime(tmp_path, seconds=4, clock=lambda: next(ticks))
    timed.set_model(keras.Sequential([keras.layers.Dense(1)]))
    timed.model.compile("sgd")
    timed.on_train_begin()
    timed.on_epoch_begin(0)
    for batch in range(3):
        timed.on_train_batch_end(batch)
    assert timed.spent == 3 and not timed.model.stop_training
    logs = {}
    timed.on_epoch_end(0, logs)
    timed.on_epoch_begin(1)
    timed.on_train_batch_end(0)
    assert timed.spent == 4 and timed.model.stop_training
    assert logs["seconds"] == 3


def test_wrong_options_are_said_before_anything_is_trained(icons, tmp_path):
    for options, text in (
        ({"models": ["vae"]}, "models"),
        ({"models": []}, "Received: none"),
        ({"hours": 0}, "hours"),
        ({"clock": "sun"}, "clock"),
        ({"settings": {"ddpm": {"dim": 3}}, "models": ["dcgan", "ddpm"]}, "dim"),
    ):
        with pytest.raises(UserError, match=text):
            compare_models(icons, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_vgg16s_features_are_the_means_of_those_of_the_losses():
    from oppai.models.vgg import load_vgg_features

    pictures = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), "uint8")
    extractor = vgg16_extractor()
    found = extractor.function(pictures)
    maps = load_vgg_features("package")(pictures / np.float32(127.5) - 1)
    expected = [np.mean(keras.ops.convert_to_numpy(m), axis=(1, 2)) for m in maps]
    expected = [
        m / np.sqrt((m**2).sum(1, keepdims=True) / m.shape[1]) for m in expected
    ]
    assert extractor.name == "vgg16" and found.shape == (2, 448)
    np.testing.assert_allclose(found, np.concatenate(expected, 1), rtol=1e-4, atol=1e-5)
