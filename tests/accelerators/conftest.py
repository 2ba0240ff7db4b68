"""Start a process for each configuration, two at a time, and read their results."""

import json
import os
import socket
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from tests.accelerators.cases import make_data
from tests.conftest import ROOT

RESUMED = ["smallnet:resumed", "oppai:resumed"]
# Tracing costs four times as much as the few steps. So all except one run eagerly, and
# only some run on JAX, which compiles everything. --run-large runs every case.
CASES = {
    "one": [
        "regularised",
        "smallnet",
        "alexnet",
        "oppai",
        "diffusion",
        "mosaic",
        "detector",
    ],
    "mirrored": [
        "regularised",
        *RESUMED,
        "diffusion",
        "alexnet",
        "mosaic",
        "detector",
    ],
    "workers": ["regularised", "smallnet:traced-resumed", "oppai"],
    "jax": [],
    "jax-2": ["regularised", "smallnet", "oppai"],
}
LARGE = {
    "mirrored": [
        "regularised",
        *(f"{name}:resumed" for name in CASES["one"][1:6]),
        "detector",
    ],
    "workers": [
        "regularised",
        *(f"{name}:traced-resumed" for name in CASES["one"][1:6]),
        "detector",
    ],
    "jax": CASES["one"],
    "jax-2": CASES["one"],
}
DEADLINE = 1200  # seconds; on a quiet machine a process takes 10 to 20 s


class Outcome(dict):
    """The results of one configuration's cases, and the folder of their files."""

    def weights(self, case, number=0):
        with np.load(self.folder / f"{case}-{number}.npz") as file:
            return [file[name] for name in file.files]


def start(configuration, cases, data, folder, number=0, ports=()):
    """Start one process, which writes its results into the folder."""
    folder.mkdir(exist_ok=True)
    name = configuration.split("-")[0]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    environment |= {
        "KERAS_BACKEND": "jax" if name == "jax" else "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "JAX_PLATFORMS": "cpu",
        # Optimising programs that run only a few times takes longer than it saves.
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
    if configuration == "jax-2":
        environment["XLA_FLAGS"] += " --xla_force_host_platform_device_count=2"
    if ports:
        cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
        task = {"type": "worker", "index": number}
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
    command = [sys.executable, "-m", "tests.accelerators.worker", name, data, folder]
    with open(folder / f"log-{number}.txt", "w") as log:
        return subprocess.Popen(
            [*map(str, command), *cases],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def free_ports(n):
    """Return TCP ports that are free."""
    sockets = [socket.socket() for _ in range(n)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory, pytestconfig):
    """Return a dict from each configuration that can run to its `Outcome`."""
    folder = tmp_path_factory.mktemp("accelerators")
    make_data(folder / "data")
    large = pytestconfig.getoption("--run-large")
    cases = {**CASES, **(LARGE if large else {})}
    ports = free_ports(2)
    pairs = (
        [("one", 0, ()), ("mirrored", 0, ())],
        [("workers", 0, ports), ("workers", 1, ports)],
        [("jax", 0, ()), ("jax-2", 0, ())],
    )
    backends = {name: find_spec(name) for name in ("tensorflow", "jax")}
    results = {}
    for pair in pairs:
        pair = [
            each
            for each in pair
            if cases[each[0]] and backends["jax" if "jax" in each[0] else "tensorflow"]
        ]
        processes = [
            start(name, cases[name], folder / "data", folder / name, *where)
            for name, *where in pair
        ]
        try:
            codes = [process.wait(DEADLINE) for process in processes]
        finally:
            for process in processes:
                process.kill()
        for (name, number, _), code in zip(pair, codes, strict=True):
            log = (folder / name / f"log-{number}.txt").read_text()
            assert code == 0, f"{name} {number} failed:\n{log[-3000:]}"
            results[name] = Outcome(
                json.loads((folder / name / "results-0.json").read_text())
            )
            results[name].folder = folder / name
    return results
