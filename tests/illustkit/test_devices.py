import importlib.metadata
import os
import sys
import types

import keras
import pytest

from illustkit import runtime
from tests.commands import imported

BACKEND = keras.backend.backend()
# A machine's libraries and TPU, and what Keras should run on there.
MACHINES = [
    ({"tensorflow", "jax"}, False, "tensorflow"),  # Colab's CPU and GPU
    ({"tensorflow", "jax"}, True, "jax"),
    ({"tensorflow"}, True, "tensorflow"),  # get_strategy tries TPUStrategy
    ({"jax"}, True, "jax"),  # Colab's TPU
    ({"jax"}, False, "jax"),
]


@pytest.fixture
def machine(monkeypatch):
    """Sets up what is installed here, and whether a TPU is."""

    def make(installed, tpu):
        monkeypatch.delitem(sys.modules, "keras")
        monkeypatch.setattr(runtime, "find_spec", lambda n: n in installed or None)
        monkeypatch.setattr(runtime, "tpu_files", lambda: ["/dev/accel0"] * tpu)

    # Set before it is deleted, so that it is put back whatever the test does.
    monkeypatch.setenv("KERAS_BACKEND", "")
    monkeypatch.delenv("KERAS_BACKEND")
    return make


@pytest.mark.parametrize("installed, tpu, backend", MACHINES)
def test_the_backend_fits_the_machine(machine, installed, tpu, backend):
    machine(installed, tpu)
    assert runtime.choose_backend() == os.environ["KERAS_BACKEND"] == backend


def test_a_backend_that_was_chosen_stays(machine, monkeypatch):
    machine({"tensorflow", "jax"}, False)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert runtime.choose_backend() == os.environ["KERAS_BACKEND"] == "jax"


def test_a_keras_that_runs_keeps_its_backend():
    before = os.environ.get("KERAS_BACKEND")
    assert runtime.choose_backend() == BACKEND
    assert os.environ.get("KERAS_BACKEND") == before


def test_without_a_backend_it_says_what_to_install(machine):
    machine(set(), True)
    with pytest.raises(ValueError, match=r'pip install "illustkit\[tensorflow\]"'):
        runtime.choose_backend()


def test_choosing_imports_nothing_heavy():
    code = "import illustkit\nillustkit.choose_backend()"
    heavy = "keras", "tensorflow", "jax", "numpy"
    assert not imported(code, *heavy, without=["KERAS_BACKEND"])


def test_a_cpu_is_described_as_it_is(monkeypatch):
    monkeypatch.setattr(runtime, "tpu_files", list)
    monkeypatch.setattr(runtime.glob, "glob", lambda pattern: [])
    text = runtime.describe_devices()
    version = importlib.metadata.version(BACKEND)
    cores = len(os.sched_getaffinity(0))
    assert text == (
        f"No GPU or TPU in use: Keras {keras.__version__} runs on {cores} CPU "
        f"core{'s' * (cores > 1)} through {runtime.NAMES[BACKEND]} {version}."
    )


def fake_jax(*kinds):
    found = [types.SimpleNamespace(platform=p, device_kind=k) for p, k in kinds]
    return types.SimpleNamespace(__version__="0.7.2", devices=lambda: found)


@pytest.mark.parametrize(
    "found, said",
    [
        (
            [("tpu", "TPU v5 lite")],
            "1 TPU (TPU v5 lite). Keras {} runs on it through JAX 0.7.2.",
        ),
        (
            [("gpu", "Tesla T4"), ("gpu", "Tesla T4")],
            "2 GPUs (Tesla T4). Keras {} shares every batch among them through "
            "JAX 0.7.2 (keras.distribution).",
        ),
    ],
)
def test_accelerators_of_jax_are_named(monkeypatch, found, said):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setitem(sys.modules, "jax", fake_jax(*found, ("cpu", "cpu")))
    assert runtime.describe_devices() == said.format(keras.__version__)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="it needs TensorFlow")
def test_gpus_of_tensorflow_are_named(monkeypatch):
    import tensorflow as tf

    gpus = {"GPU": [types.SimpleNamespace(name="GPU:0")]}
    names = {"device_name": "Tesla T4", "compute_capability": (7, 5)}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda k: gpus.get(k, []))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda d: names)
    assert runtime.describe_devices() == (
        f"1 GPU (Tesla T4). Keras {keras.__version__} runs on it through "
        f"TensorFlow {tf.__version__}."
    )


def test_an_accelerator_out_of_reach_is_told_with_its_mend(monkeypatch):
    monkeypatch.setattr(runtime, "tpu_files", lambda: ["/dev/vfio/0"])
    monkeypatch.setattr(runtime.glob, "glob", lambda pattern: ["/dev/nvidia0"])
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("colab"))
    text = runtime.describe_devices()
    assert text.startswith("No GPU or TPU in use: ")
    assert "A TPU is here, but it is not reached" in text
    assert "An NVIDIA GPU is here" in text and "Change runtime type" in text


def test_a_backend_that_is_not_ours_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="Received: KERAS_BACKEND=torch"):
        runtime.describe_devices()
