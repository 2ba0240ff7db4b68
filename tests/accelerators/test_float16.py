"""Every package's training scales its loss and steps in mixed_float16."""

import keras
import numpy as np
import pytest

from illustkit._keras_compat import sync_jax_state
from tests.accelerators.cases import CASES, make_data

WITHOUT_SAMPLES = {
    "oppai": {"sheet_every": 0},
    "smallnet": {},
    "diffusion": {"sample_every": 0},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("float16")
    make_data(folder)
    return folder


class Steps(keras.callbacks.Callback):
    """Set the loss scale to the value after some steps, and count the steps."""

    def on_train_begin(self, logs=None):
        optimizer = self.model.optimizer
        assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        optimizer.dynamic_scale.assign(256.0)
        self.first = self.learnt()

    def learnt(self):
        variables = self.model.trainable_variables
        return [keras.ops.convert_to_numpy(variable) for variable in variables]

    def on_train_end(self, logs=None):
        sync_jax_state(self.model)
        self.done = int(self.model.optimizer.iterations)
        pairs = zip(self.first, self.learnt(), strict=True)
        self.moved = max(float(np.abs(a - b).max()) for a, b in pairs)


@pytest.mark.parametrize("case", WITHOUT_SAMPLES)
def test_trains_in_float16(eagerly, data, tmp_path, case):
    steps = Steps()
    run = CASES[case](
        data,
        tmp_path / case,
        strategy="one",
        precision="mixed_float16",
        callbacks=[steps],
        **WITHOUT_SAMPLES[case],
    )
    assert np.isfinite(run.history["loss"]).all()
    assert steps.done == 4 and 1e-5 < steps.moved < 1
