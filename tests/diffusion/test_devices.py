"""What several devices cannot do is refused, and the true U-Net trains on one."""

import types

import keras
import numpy as np
import pytest

from diffusion.sampling.generate import sample
from diffusion.training import train
from tests.diffusion.conftest import TINIEST

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's"
)


def test_settings_that_several_devices_cannot_share_are_refused():
    two = types.SimpleNamespace(num_replicas_in_sync=2)
    for message, wrong in {
        "raise batch_size instead": {"accumulation": 2},
        "the 2 devices": {"batch_size": 3},
        "mixed_bfloat16": {"precision": "mixed_float16"},
    }.items():
        with pytest.raises(ValueError, match=message):
            train._check_devices(train.choose_settings("tiny", **wrong), two)


@on_tensorflow
@pytest.mark.parametrize("version, channels", [("0.25.3", 4), ("2", 1)])
def test_the_u_net_itself_trains_and_samples(icons, tmp_path, version, channels):
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)  # a few steps are sooner done than traced
    try:
        run = train.train(
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
