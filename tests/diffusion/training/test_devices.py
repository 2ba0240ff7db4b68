"""What several devices cannot share is refused, and the U-Net itself trains on one."""

import types

import keras
import numpy as np
import pytest

from diffusion.network.model import build_diffuser, load_diffuser
from diffusion.sampling.generate import sample
from diffusion.training.train import train
from tests.diffusion.conftest import TINIEST

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's"
)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"accumulation": 2}, "raise batch_size instead"),
        ({"batch_size": 3}, "the 2 devices"),
        ({"precision": "mixed_float16"}, "mixed_bfloat16"),
    ],
)
def test_settings_that_several_devices_cannot_share_are_refused(
    icons, tmp_path, monkeypatch, wrong, message
):
    two = types.SimpleNamespace(num_replicas_in_sync=2)
    monkeypatch.setattr("illustkit.training.fit.get_strategy", lambda kind: two)
    with pytest.raises(ValueError, match=message):
        train(icons, tmp_path / "run", **{**TINIEST, **wrong})
    assert not (tmp_path / "run").exists()


@on_tensorflow
@pytest.mark.parametrize(
    "version, channels, own", [("0.25.3", 4, 0.0), ("2", 1, 1.0)], ids=["0.25.3", "2"]
)
def test_the_u_net_itself_trains_and_samples(icons, tmp_path, version, channels, own):
    import tensorflow as tf

    settings = {
        **TINIEST,
        "dim": 16,  # two channels a group: a norm over one takes a bias off again
        "version": version,
        "dropout": 0.0 if version == "0.25.3" else 0.1,
        "image_size": (16, 8),
        "channels": channels,
        "self_condition": own,
        "learning_rate": 0.01,
        "ema_every": 1,
        "epoch_steps": 1,
        "steps": 1,
        "n_samples": 2,
        "sample_steps": 1,
    }
    tf.config.run_functions_eagerly(True)  # a few steps are sooner done than traced
    try:
        run = train(icons, tmp_path, **settings)
        pictures = sample(run, 2, steps=1, sampler="dpm++", progress=False)
    finally:
        tf.config.run_functions_eagerly(False)
    assert pictures.shape == (2, 8, 16, channels)
    assert np.isfinite(run.history["loss"]).all() and 0 <= run.history["copies"][0] <= 1
    assert len(np.unique(pictures)) > 10
    # Every weight of the network has learned, in the average that is loaded as well.
    keras.utils.set_random_seed(run.settings["seed"])
    untrained = build_diffuser(run.settings).unet.get_weights()
    network = load_diffuser(run).unet
    assert len(untrained) == len(network.weights) > 100
    for before, weight in zip(untrained, network.weights, strict=True):
        if weight.trainable:
            # An average alone rounds by 1e-8.
            assert np.abs(before - weight.numpy()).max() > 1e-5, weight.path
