"""A training is the same on one device and on several, and with the true U-Net."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from diffusion import training
from diffusion.sampling import sample
from tests.conftest import ROOT
from tests.diffusion.conftest import TINIEST

TRAIN = """
import json, sys
sys.path.insert(0, {root!r})
import numpy as np, pytest
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from diffusion import training
from diffusion.diffuser import load_diffuser
from diffusion.sampling import sample
from tests.diffusion.conftest import TINIEST, train_slim

def train(run, **settings):
    settings = {{"dropout": 0.0, "steps": 8, "clip": 0.05, **settings}}
    settings["learning_rate"] = 0.01
    if {slim}:
        return train_slim(pytest.MonkeyPatch(), {icons!r}, run, **settings)
    return training.train({icons!r}, run, **{{**TINIEST, **settings}})

one = train({folder!r} + "/one")
train({folder!r} + "/two", strategy="mirrored", steps=4)
two = train({folder!r} + "/two", strategy="mirrored")  # resumed as well
weights = [load_diffuser(run).average.get_weights() for run in (one, two)]
difference = max(np.abs(a - b).max() for a, b in zip(*weights))
pictures = [sample(run, 2, steps=4, progress=False).astype(int) for run in (one, two)]
errors = []
for wrong in ({{"accumulation": 2}}, {{"batch_size": 3}}):
    try:
        train({folder!r} + "/wrong", strategy="mirrored", **wrong)
    except ValueError as error:
        errors.append(str(error))
print(json.dumps([one.history, two.history, float(difference),
                  int(np.abs(pictures[0] - pictures[1]).max()), errors]))
"""

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's"
)


@on_tensorflow
@pytest.mark.parametrize(
    "slim", [True, pytest.param(False, marks=pytest.mark.large)], ids=["slim", "unet"]
)
def test_two_devices_train_as_one(icons, tmp_path, slim):
    code = TRAIN.format(
        root=str(ROOT), icons=str(icons), folder=str(tmp_path), slim=slim
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one, two, difference, pixels, errors = json.loads(done.stdout.splitlines()[-1])
    assert one.keys() == two.keys() and one["epoch"] == two["epoch"] == [0, 1]
    for name in one:
        assert one[name] == pytest.approx(two[name], rel=1e-3), name
    assert difference < 1e-3  # 2e-2 where each device cuts its own gradients
    assert pixels <= 1
    assert len(errors) == 2 and not any("\n" in error for error in errors)
    assert "raise batch_size instead" in errors[0] and "2 devices" in errors[1]
    assert not (tmp_path / "wrong").exists()


@on_tensorflow
@pytest.mark.parametrize("version, channels", [("0.25.3", 4), ("2", 1)])
def test_the_u_net_itself_trains_and_samples(icons, tmp_path, version, channels):
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)  # a few steps are sooner done than traced
    try:
        run = training.train(
            icons,
            tmp_path,
            **{
                **TINIEST,
                "version": version,
                "dropout": 0.0 if version == "0.25.3" else 0.1,
                "image_size": (16, 8),
                "channels": channels,
                "dim_mults": (1,),
                "self_condition": 0.0,
                "epoch_steps": 1,
                "steps": 1,
                "sample_every": 0,
            },
        )
        pictures = sample(run, 2, steps=1, sampler="dpm++", progress=False)
    finally:
        tf.config.run_functions_eagerly(False)
    assert pictures.shape == (2, 8, 16, channels)
    assert np.isfinite(run.history["loss"]).all()
    assert len(np.unique(pictures)) > 10
