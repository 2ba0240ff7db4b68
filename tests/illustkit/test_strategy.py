import json
import types
from pathlib import Path

import keras
import pytest

from illustkit import runtime
from illustkit.errors import UserError
from illustkit.training.dropout import ReplicaSeed


def test_unknown_kind_names_the_kinds():
    with pytest.raises(ValueError, match="`strategy` must be one of auto, .*: 'gpu9'"):
        runtime.get_strategy("gpu9")


def test_one_device_is_one_replica():
    one = runtime.get_strategy("one")
    assert runtime.replicas(one) == 1
    with runtime.scope(one):
        pass


def test_a_batch_is_shared_evenly_or_refused():
    three = types.SimpleNamespace(num_replicas_in_sync=3)
    assert runtime.check_batch_size(12, three) == 3
    with pytest.raises(ValueError, match="the 3 devices.*Received: batch_size=8"):
        runtime.check_batch_size(8, three)


def test_float16_is_refused_on_several_devices_of_tensorflow():
    two = types.SimpleNamespace(num_replicas_in_sync=2)
    with pytest.raises(ValueError, match="on 2 devices.*mixed_bfloat16"):
        runtime.check_precision("mixed_float16", two)
    for fine in (("mixed_bfloat16", two), ("mixed_float16", None)):
        runtime.check_precision(*fine)


@pytest.mark.parametrize(
    ("flags", "policy"),
    [
        ("fma avx2", "float32"),
        ("avx2 avx512f avx512bw avx512vl", "float32"),
        ("avx2 avx512f avx512_bf16", "mixed_bfloat16"),
        ("avx2 amx_tile amx_bf16", "mixed_bfloat16"),
    ],
)
def test_a_processor_trains_in_bfloat16_if_it_has_it(monkeypatch, flags, policy):
    tf = pytest.importorskip("tensorflow")
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    text = f"processor\t: 0\nflags\t\t: fpu {flags}\n"
    monkeypatch.setattr(Path, "read_text", lambda path: text)
    assert runtime.choose_precision("auto", None) == policy
    assert runtime.choose_precision("mixed_float16", None) == "mixed_float16"


@pytest.mark.parametrize(
    ("capabilities", "policy"),
    [
        ([(7, 5)], "float32"),  # T4
        ([(8, 0)], "mixed_bfloat16"),  # A100
        ([(9, 0), (8, 6)], "mixed_bfloat16"),
        ([(8, 9), (7, 0)], "float32"),
    ],
)
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_gpus_train_in_bfloat16_if_all_have_it(
    monkeypatch, backend, capabilities, policy
):
    library = pytest.importorskip(backend)
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    if backend == "jax":
        devices = [
            types.SimpleNamespace(platform="gpu", compute_capability=f"{major}.{minor}")
            for major, minor in capabilities
        ]
        monkeypatch.setattr(library, "devices", lambda: devices)
    else:
        of = {f"GPU:{i}": each for i, each in enumerate(capabilities)}
        monkeypatch.setattr(library.config, "list_physical_devices", lambda kind: of)
        monkeypatch.setattr(
            library.config.experimental,
            "get_device_details",
            lambda gpu: {"compute_capability": of[gpu]},
        )
    assert runtime.choose_precision("auto", None) == policy


def test_jax_trains_in_bfloat16_on_tpus_alone_of_what_is_not_nvidia_s(monkeypatch):
    jax = pytest.importorskip("jax")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    known = ("cpu", "float32"), ("tpu", "mixed_bfloat16"), ("gpu", "float32")
    for platform, policy in known:
        device = types.SimpleNamespace(platform=platform, compute_capability="gfx90a")
        monkeypatch.setattr(jax, "devices", lambda device=device: [device])
        assert runtime.choose_precision("auto", None) == policy
        with runtime.precision("auto"):
            assert keras.config.dtype_policy().name == policy


def test_each_worker_has_a_folder_of_its_own(monkeypatch):
    found = []
    for index in (0, 1):
        config = {"task": {"type": "worker", "index": index}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
        found.append(runtime.own_folder("runs/cache"))
    assert found == [Path("runs/cache"), Path("runs/cache-worker-1")]


def test_workers_are_read_from_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert (runtime.n_workers(), runtime.worker_index()) == (1, 0)
    config = {
        "cluster": {"worker": ["a:1", "b:2", "c:3"]},
        "task": {"type": "worker", "index": 2},
    }
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert (runtime.n_workers(), runtime.worker_index()) == (3, 2)


def test_a_chief_counts_as_the_first_worker_and_alone_writes(monkeypatch):
    cluster = {"chief": ["a:1"], "worker": ["b:2", "c:3"]}
    numbers = []
    for job, index in ("chief", 0), ("worker", 0), ("worker", 1):
        config = {"cluster": cluster, "task": {"type": job, "index": index}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
        numbers.append((runtime.n_workers(), runtime.worker_index()))
    assert numbers == [(3, 0), (3, 1), (3, 2)]
    for job in "evaluator", "ps":
        config = {"cluster": cluster, "task": {"type": job, "index": 0}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
        with pytest.raises(UserError, match=f"the task '{job}': train with"):
            runtime.worker_index()


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's"
)
def test_missing_workers_and_missing_tpu_say_what_to_do(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="TF_CONFIG"):
        runtime.get_strategy("multiworker")
    with pytest.raises(ValueError, match="KERAS_BACKEND=jax"):
        runtime.get_strategy("tpu")


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's"
)
def test_seeds_draw_as_those_of_keras_on_one_device():
    mine, of_keras = ReplicaSeed(1), keras.random.SeedGenerator(1)
    for _ in range(2):
        drawn = [keras.random.uniform((3,), seed=s).numpy() for s in (mine, of_keras)]
        assert (drawn[0] == drawn[1]).all()


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"task": 3}', '{"cluster": {"worker": 2}}']
)
def test_a_spoilt_tf_config_is_named(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match="TF_CONFIG is JSON .*fix it, or unset it"):
        runtime.n_workers()
