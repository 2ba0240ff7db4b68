import json
import subprocess
import sys
import textwrap
import types

import keras
import pytest

from illustkit import strategy


def test_unknown_kind_names_the_kinds():
    with pytest.raises(ValueError, match="'auto', 'one'.*Received: kind='gpu9'"):
        strategy.get_strategy("gpu9")


def test_one_device_is_one_replica():
    one = strategy.get_strategy("one")
    assert strategy.replicas(one) == 1
    with strategy.scope(one):
        pass


def test_a_batch_is_shared_evenly_or_refused():
    three = types.SimpleNamespace(num_replicas_in_sync=3)
    assert strategy.check_batch_size(12, three) == 3
    with pytest.raises(ValueError, match="the 3 devices.*Received: batch_size=8"):
        strategy.check_batch_size(8, three)


def test_workers_are_read_from_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert (strategy.n_workers(), strategy.worker_index()) == (1, 0)
    config = {
        "cluster": {"worker": ["a:1", "b:2", "c:3"]},
        "task": {"type": "worker", "index": 2},
    }
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert (strategy.n_workers(), strategy.worker_index()) == (3, 2)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's"
)
def test_missing_workers_and_missing_tpu_say_what_to_do(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="TF_CONFIG"):
        strategy.get_strategy("multiworker")
    with pytest.raises(ValueError, match="KERAS_BACKEND=jax"):
        strategy.get_strategy("tpu")


# A weighted sum of two parts, a BatchNorm and three steps: with the same global batch
# the weights must not depend on the number of replicas.
TRAIN = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import sys
import numpy as np
import tensorflow as tf
n = int(sys.argv[1])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * n)
import keras
from keras import ops
from illustkit.batches import Batches
from illustkit.strategy import get_strategy, replicas, scope
from illustkit.trainable import ReplicaSeed, Trainable

class Model(Trainable):
    def __init__(self):
        super().__init__({"l1": 1.0, "l2": 0.5})
        self.dense = keras.layers.Dense(
            4, kernel_initializer="ones", kernel_regularizer="l2")
        self.norm = keras.layers.BatchNormalization(synchronized=True)
    def build(self, shape):
        self.norm.build(shape)
        self.dense.build(shape)
        self.built = True
    def call(self, x, training=False):
        return self.dense(self.norm(x, training=training))
    def parts(self, x, y, y_pred, training):
        error = ops.abs(y - y_pred)
        return {"l1": ops.mean(error, -1), "l2": ops.mean(error**2, -1)}

class Noise(Batches):
    def make(self, indices, rng):
        x = rng.normal(size=(len(indices), 4)).astype("float32")
        return x, x[:, ::-1].copy()

strategy = get_strategy("mirrored")
assert replicas(strategy) == n
with scope(strategy):
    model = Model()
    model.build((None, 4))
    model.compile(keras.optimizers.SGD(0.1))
history = model.fit(Noise(24, batch_size=8), shuffle=False, verbose=0).history
values = {k: v[0] for k, v in history.items()}
weights = np.concatenate([w.ravel() for w in model.get_weights()])

seeds = []
with scope(strategy):
    seed = ReplicaSeed(1)
drawn = strategy.run(lambda: keras.random.uniform((3,), seed=seed))
drawn = [d.numpy().tolist() for d in strategy.experimental_local_results(drawn)]
import json
print(json.dumps([values, weights.tolist(), drawn]))
"""


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's"
)
def test_two_replicas_train_as_one_and_draw_their_own_numbers():
    results = []
    for n in (1, 2):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(TRAIN), str(n)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        results.append(json.loads(done.stdout.strip().splitlines()[-1]))
    (values_1, weights_1, _), (values_2, weights_2, drawn) = results
    assert values_1 == pytest.approx(values_2, abs=1e-5)
    assert weights_1 == pytest.approx(weights_2, abs=1e-6)
    assert drawn[0] != drawn[1]
