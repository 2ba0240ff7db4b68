"""What the packages use of private Keras: a failure says what a new Keras broke."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import keras
import numpy as np
import pytest

from illustkit import _keras_compat
from illustkit.runtime import precision
from illustkit.training.callbacks import Backup, History
from illustkit.training.optimizers import ClippedSGD
from tests.conftest import ROOT

TENSORFLOW = keras.backend.backend() == "tensorflow"
on_tensorflow = pytest.mark.skipif(not TENSORFLOW, reason="tf.distribute's alone")

# In a process of its own: logical CPUs are made before TensorFlow starts.
TWO_REPLICAS = """
import json
import keras, numpy as np, tensorflow as tf
from keras import ops
from keras.src.backend.tensorflow import trainer

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
tf.config.run_functions_eagerly(True)  # traces nothing, which takes long
from illustkit import _keras_compat
from illustkit.runtime import get_strategy, scope
from illustkit.training.batches import Batches
from illustkit.training.dropout import Dropout
from illustkit.runtime import precision
from illustkit.training.optimizers import ClippedSGD
from illustkit.training.trainable import Trainable

results, strategy = {"reductions": [], "builds": []}, get_strategy("mirrored")
original = trainer.reduce_per_replica


def watched(values, strategy, reduction):
    results["reductions"].append([sorted(values), reduction])
    return original(values, strategy, reduction)


trainer.reduce_per_replica = watched


class Model(Trainable):
    def __init__(self):
        super().__init__({"mean": 1.0})
        self.w = self.add_weight(shape=(2,), initializer="zeros")

    def call(self, x):
        return ops.sum(self.w * ops.cast(x, "float32"), axis=-1)

    def terms(self, x, y, y_pred, training):
        return {"mean": y_pred}

    def _symbolic_build(self, iterator=None, data_batch=None):
        shapes = [list(value.shape) for value in data_batch]
        results["builds"].append(shapes)
        super()._symbolic_build(iterator, data_batch)


class Two(Batches):
    def make(self, indices, rng):
        # bool: such a batch has no mean over the replicas.
        return np.eye(2, dtype=bool), np.zeros(2, "float32")


for name, kind in (("stock", keras.optimizers.SGD), ("ours", ClippedSGD)):
    with scope(strategy):
        model = Model()
        model.compile(kind(2.0, global_clipnorm=0.25))
    model.fit(Two(2, batch_size=2, shuffle=False), verbose=0, shuffle=False)
    # Halved by the mean over the batch: gradients (0.5, 0) and (0, 0.5).
    results[name] = (-model.w.numpy()).tolist()
for name, kind in (("stock dropout", keras.layers.Dropout), ("dropout", Dropout)):
    with scope(strategy):
        layer = kind(0.5, seed=1)
    masks = strategy.run(lambda: layer(tf.ones((1, 32)), training=True))
    masks = strategy.experimental_local_results(masks)
    results[name] = [mask.numpy().astype(bool).tolist() for mask in masks]
print(json.dumps(results))
"""

# On JAX a step's state lies outside the model until it is asked for.
ON_JAX = """
import json
import keras, numpy as np
from illustkit._keras_compat import sync_jax_state

results = []


class Look(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        before = np.array(self.model.get_weights()[0]).item()
        sync_jax_state(self.model)
        results.append([before, np.array(self.model.get_weights()[0]).item()])


dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
model = keras.Sequential([keras.Input((1,)), dense])
model.compile(keras.optimizers.SGD(0.5), "mae")
model.fit(
    np.ones((3, 1)), 9 * np.ones((3, 1)), batch_size=1, verbose=0, callbacks=[Look()]
)
print(json.dumps(results))
"""


def start(code, backend):
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module", autouse=True)
def processes():
    """The two processes, beside each other and the other tests."""
    started = {}
    if find_spec("tensorflow"):
        started["two replicas"] = start(TWO_REPLICAS, "tensorflow")
    if find_spec("jax"):
        started["jax"] = start(ON_JAX, "jax")
    yield started
    for process in started.values():
        process.kill()


def results(processes, name):
    if name not in processes:
        pytest.skip("the backend is not installed here")
    output, errors = processes[name].communicate()
    assert processes[name].returncode == 0, errors[-2000:]
    return json.loads(output.splitlines()[-1])


@pytest.fixture(scope="module")
def two_replicas(processes):
    return results(processes, "two replicas")


def tiny_model():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_an_optimizer_clips_by_the_method_that_is_overridden(monkeypatch):
    calls = []
    monkeypatch.setattr(_keras_compat, "_summed", lambda g: calls.append(1) or g)
    variable = keras.Variable(np.float32([0.0, 0.0]))
    gradient = keras.ops.array([3.0, 4.0])
    ClippedSGD(1.0, global_clipnorm=1.0).apply([gradient], [variable])
    assert calls == [1], "`Optimizer.apply` no longer calls `_clip_gradients`"
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(variable), [-0.6, -0.8], rtol=1e-6
    )


@on_tensorflow
def test_several_workers_average_scalars(monkeypatch):
    from keras.src.backend.tensorflow import trainer

    class Strategy:
        def reduce(self, operation, value, axis):
            return operation, value, axis

    monkeypatch.setattr(trainer, "reduce_per_replica", trainer.reduce_per_replica)
    monkeypatch.setattr(
        trainer, "_collective_all_reduce_multi_worker", lambda strategy: True
    )
    _keras_compat.average_scalar_logs()
    once = trainer.reduce_per_replica
    _keras_compat.average_scalar_logs()
    assert trainer.reduce_per_replica is once
    averaged = once({"loss": 2.0}, Strategy(), "auto")
    assert averaged == {"loss": ("MEAN", 2.0, None)}
    # All else stays Keras' own, such as a sum.
    with pytest.raises(TypeError, match="axis"):
        once({"loss": 2.0}, Strategy(), "sum")


def test_states_of_dropout_are_found_by_name():
    layers = [keras.layers.Dropout(0.5, seed=7), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((2,)), *layers])
    states = _keras_compat.seed_states(model)
    assert [keras.ops.convert_to_numpy(v).tolist() for v in states] == [[7, 0]], (
        "`SeedGenerator` names or fills its state in another way: `EpochSeeds` is idle"
    )


def test_a_backup_has_the_files_of_keras(tmp_path):
    """`Backup` writes what `BackupAndRestore` reads."""
    x = np.ones((2, 1))
    stock = keras.callbacks.BackupAndRestore(tmp_path / "a", delete_checkpoint=False)
    ours = Backup(tmp_path / "b")
    tiny_model().fit(x, x, epochs=2, verbose=0, callbacks=[stock, ours])
    folders = tmp_path / "a", tmp_path / "b" / "epoch-00002"
    for name in ("latest.weights.h5", "training_metadata.json"):
        assert all((folder / name).is_file() for folder in folders)
    a, b = (json.loads((f / "training_metadata.json").read_text()) for f in folders)
    assert a == b and b["epoch"] == 2


def test_a_resumed_history_keeps_its_columns(tmp_path):
    """`CSVLogger` takes its columns from `keys`, and appends to what is there."""
    path, x = tmp_path / "history.csv", np.ones((2, 1))
    path.write_text("epoch,zeta,loss\n0,5.0,1.0\n")
    tiny_model().fit(x, x, verbose=0, callbacks=[History(path)])
    header, first, second = path.read_text().splitlines()
    assert (header, first) == ("epoch,zeta,loss", "0,5.0,1.0")
    assert second.split(",")[1] == "NA" and float(second.split(",")[2]) >= 0


def test_replicas_clip_by_the_norm_of_their_sum(two_replicas):
    # (0.5, 0.5) has the norm 0.71, each replica's gradient 0.5.
    assert two_replicas["ours"] == pytest.approx([0.3536, 0.3536], abs=1e-4), (
        "gradients are clipped elsewhere than in `_clip_gradients`"
    )
    assert two_replicas["stock"] == pytest.approx([0.5, 0.5]), (
        "Keras clips the replicas' sum itself now: `GlobalClipping` can go"
    )


def test_each_replica_drops_other_units(two_replicas):
    first, second = two_replicas["dropout"]
    assert first != second and any(first[0]) and any(second[0])
    first, second = two_replicas["stock dropout"]
    assert first == second, (
        "Keras drops other units on each replica now: `Dropout` can go"
    )


def test_one_replica_s_batch_builds_a_model(two_replicas):
    assert two_replicas["builds"] == [[[1, 2], [1]]] * 2, (
        "`fit` no longer builds by `_maybe_symbolic_build` and `_symbolic_build`"
    )


def test_logs_are_reduced_by_the_function_that_is_replaced(two_replicas):
    assert [["loss", "mean"], "auto"] in two_replicas["reductions"], (
        "the trainer no longer calls `reduce_per_replica(logs, strategy, 'auto')`"
    )


def test_callbacks_see_the_weights_of_this_step_on_jax(processes):
    looks = results(processes, "jax")
    after = [pair[1] for pair in looks]
    assert after == [0.5, 1.0, 1.5], "`Model.jax_state_sync` no longer brings weights"


@pytest.mark.parametrize(
    "saved, loading",
    [("mixed_float16", "float32"), ("float32", "mixed_float16")],
)
def test_an_optimizers_state_loads_with_and_without_its_loss_scale(
    tmp_path, saved, loading
):
    def build(name):
        with precision(name):
            model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
            model.compile(ClippedSGD(0.1, 0.9), "mse")
        model.optimizer.build(model.trainable_variables)
        return model, getattr(model.optimizer, "inner_optimizer", model.optimizer)

    def state(optimizer):
        return [keras.ops.convert_to_numpy(v) for v in optimizer.variables]

    model, trained = build(saved)
    for number, variable in enumerate(trained.variables):
        variable.assign(np.full(variable.shape, number + 2, variable.dtype))
    path = tmp_path / "w.weights.h5"
    model.save_weights(path)
    model, optimizer = build(loading)
    own = model.optimizer
    with _keras_compat.optimizer_of(model, path):
        model.load_weights(path)
    assert model.optimizer is own
    for a, b in zip(state(trained), state(optimizer), strict=True):
        np.testing.assert_array_equal(a, b)


class Kept(keras.callbacks.Callback):
    """Keeps the weight after each epoch and at the beginning of the next."""

    def __init__(self):
        super().__init__()
        self.ends, self.begins = [], []

    def _weight(self):
        (weight,) = self.model.get_weights()
        return weight.item()

    def on_epoch_begin(self, epoch, logs=None):
        self.begins.append(self._weight())

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(self._weight())


def test_a_model_holds_the_average_between_epochs():
    keep, rate, decay = Kept(), 0.25, 0.5
    inputs = keras.Input((1,))
    outputs = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(inputs)
    model = keras.Model(inputs, outputs)
    model.compile(ClippedSGD(rate, use_ema=True, ema_momentum=decay), "mse")
    x, y = np.ones((4, 1), "float32"), np.array([[1], [2], [3], [4]], "float32")
    callbacks = [_keras_compat.SwapAverage(resumed=False), keep]
    fit = {"batch_size": 1, "epochs": 2, "shuffle": False, "verbose": 0}
    model.fit(x, y, callbacks=callbacks, **fit)
    weight = average = 0.0
    for epoch in range(2):
        for step, target in enumerate(y[:, 0]):
            weight += rate * 2 * (target - weight)
            first = epoch == step == 0
            average = weight if first else decay * average + (1 - decay) * weight
        assert keep.ends[epoch] == pytest.approx(average, abs=1e-5)
        if not epoch:
            assert keep.begins[1] == pytest.approx(weight, abs=1e-5)
    assert abs(weight - average) > 0.1
