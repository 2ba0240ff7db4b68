import json
import random

import keras
import numpy as np
import pytest

from illustkit._keras_compat import sync_jax_state
from illustkit.training.batches import Batches
from illustkit.training.fit import choose_devices, fit_run, is_quiet
from illustkit.training.runs import Run


class Line(Batches):
    def make(self, indices, rng):
        x = rng.normal(size=(len(indices), 1)).astype("float32")
        return x, 2 * x


class Logs(keras.callbacks.Callback):
    """Logs a number after each epoch, which is best after the second."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_score"] = [1.0, 3.0, 2.0][epoch]
        self.weights = [*getattr(self, "weights", []), self.model.get_weights()]


def test_devices_build_a_seeded_model_in_a_precision():
    devices = choose_devices("one", batch_size=3, precision="mixed_bfloat16")
    assert (devices.replicas, devices.precision) == (1, "mixed_bfloat16")
    kernels = []
    for _ in range(2):
        with devices.building(seed=7):
            layer = keras.layers.Dense(3)
            layer.build((None, 3))
        kernels.append(layer.get_weights()[0])
        assert layer.compute_dtype == "bfloat16"
    np.testing.assert_array_equal(*kernels)
    assert keras.config.dtype_policy().name == "float32"
    with pytest.raises(ValueError, match="`strategy` must be one of"):
        choose_devices("two", batch_size=3)


def test_building_leaves_the_random_numbers_of_the_caller(tmp_path):
    devices = choose_devices("one", batch_size=3)
    random.seed(5)
    np.random.seed(5)
    expected = random.Random(5).random(), np.random.RandomState(5).random()
    with devices.building(seed=7):
        random.random(), np.random.random()
    with pytest.raises(KeyError), devices.building(seed=7):
        raise KeyError
    assert (random.random(), np.random.random()) == expected


def test_a_run_is_fitted_and_keeps_its_best_weights(tmp_path):
    run, logs = Run.start(tmp_path, {"epochs": 3}), Logs()
    dropout = keras.layers.Dropout(0.5)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(4), dropout])
    model.add(keras.layers.Dense(1))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    batches = Line(8, batch_size=4, seed=1)
    fitted = fit_run(
        model,
        batches,
        run,
        epochs=3,
        seed=1,
        monitor="val_score",
        callbacks=[logs],
        verbose=0,
    )
    assert fitted is run and run.epochs_done == 3
    assert batches.epoch == 2, "the batches follow the epochs"
    assert run.history["val_score"] == [1.0, 3.0, 2.0]
    # Seeded by the epoch: (seed, two draws after epoch * 10**6).
    state = [v for v in model.variables if "seed_generator" in v.path]
    assert keras.ops.convert_to_numpy(state[0])[1] == 2 * 10**6 + 2
    run.load_weights(model)
    for a, b in zip(model.get_weights(), logs.weights[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e30), "mse")
    run = Run.start(tmp_path, {})
    with pytest.raises(FloatingPointError, match="The loss became (nan|inf)"):
        fit_run(model, Line(64, batch_size=4), run, epochs=1, seed=1, verbose=0)
    assert run.epochs_done == 0 and not run.weights_path.exists()


class Spoil(keras.callbacks.Callback):
    """Spoils a number after the last step of an epoch, behind a finite loss."""

    def __init__(self, epoch, spoil):
        super().__init__()
        self.epoch, self.spoil = epoch, spoil

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) == (self.epoch, 1):
            sync_jax_state(self.model)
            variable = self.spoil(self.model)
            variable.assign(np.full(variable.shape, np.inf, "float32"))


class Saves(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.saved = epoch


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="JAX keeps the state outside the model"
)
@pytest.mark.parametrize(
    "name, spoil",
    [
        ("kernel", lambda model: model.trainable_variables[0]),
        ("momentum", lambda model: model.optimizer.variables[2]),
    ],
)
@pytest.mark.parametrize(
    "epoch, kept",
    [(0, "No epoch is kept: train again"), (2, "The state after epoch 2")],
)
def test_spoilt_weights_are_not_saved(tmp_path, name, spoil, epoch, kept):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    run, saves = Run.start(tmp_path, {}), Saves()
    with pytest.raises(FloatingPointError, match=rf"{name}.* not finite.*{kept}"):
        fit_run(
            model,
            Line(8, batch_size=4),
            run,
            epochs=4,
            seed=1,
            monitor="loss",
            mode="min",
            callbacks=[Spoil(epoch, spoil), saves],
            verbose=0,
        )
    assert run.epochs_done == epoch
    assert getattr(saves, "saved", -1) == epoch - 1, "callbacks saved a spoilt epoch"
    if epoch:
        run.load_weights(model)
        run.load_weights(model, "backup/worker-0/epoch-00002/latest.weights.h5")
        assert np.isfinite(
            np.concatenate([w.ravel() for w in model.get_weights()])
        ).all()


def test_the_first_worker_alone_prints(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert (is_quiet("auto"), is_quiet(1), is_quiet(0)) == (False, False, True)
    task = {"task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    assert is_quiet("auto")
