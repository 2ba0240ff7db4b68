"""A chief and a worker train as one, and the chief alone writes the run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from illustkit._keras_compat import BuiltFromOneReplica
from illustkit.training.fit import choose_devices, fit_run
from illustkit.training.runs import Run
from tests.accelerators.conftest import free_ports
from tests.conftest import ROOT
from tests.illustkit.training.test_fit import Line


class Layer(BuiltFromOneReplica):
    """One layer. Inputs and outputs given to Keras would change the base class."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(x)


def train(folder, name):
    """Train a line on the devices that the environment names, and save its weights."""
    devices = choose_devices("auto", batch_size=4)
    with devices.building(1):
        model = Layer()
        model.build((None, 1))
        model.compile(keras.optimizers.SGD(0.1), "mse")
    run = Run.start(folder / "run", {"writer": name})
    fit_run(
        model,
        Line(16, batch_size=4),
        run,
        epochs=2,
        seed=1,
        monitor="loss",
        mode="min",
        verbose=0,
    )
    np.savez(folder / f"{name}.npz", *model.get_weights(), replicas=devices.replicas)


def start(folder, name, config):
    """Start a training in a process of its own."""
    environment = dict(os.environ)
    environment |= {"CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}
    environment["TF_CONFIG"] = json.dumps(config)
    return subprocess.Popen(
        [sys.executable, "-m", __name__, folder, name],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def weights_of(path):
    with np.load(path) as file:
        return [file[name] for name in file.files if name != "replicas"]


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's"
)
def test_a_chief_and_a_worker_train_as_one(tmp_path):
    ports = free_ports(2)
    cluster = {
        "chief": [f"127.0.0.1:{ports[0]}"],
        "worker": [f"127.0.0.1:{ports[1]}"],
    }
    both = [
        start(tmp_path, job, {"cluster": cluster, "task": {"type": job, "index": 0}})
        for job in cluster
    ]
    try:
        for process in both:
            log = process.communicate(timeout=300)[0]
            assert process.returncode == 0, log[-3000:]
    finally:
        for process in both:
            process.kill()
    (tmp_path / "alone").mkdir()
    train(tmp_path / "alone", "alone")

    with np.load(tmp_path / "worker.npz") as file:
        assert file["replicas"] == 2
    chief, worker = (weights_of(tmp_path / f"{name}.npz") for name in cluster)
    expected = weights_of(tmp_path / "alone" / "alone.npz")
    for a, b, c in zip(chief, worker, expected, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, atol=1e-6)
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["writer"] == "chief"
    rows = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "0", "1"]


if __name__ == "__main__":
    train(Path(sys.argv[1]), sys.argv[2])
