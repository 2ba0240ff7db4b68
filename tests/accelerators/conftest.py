"""Starts a process for each configuration, two at a time, and reads what they found."""

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
# Tracing costs four times what the few steps do: but for one they are run eagerly, and
# not all on JAX, which compiles everything. --run-large leaves nothing out.
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
DEADLINE = 1200  # seconds; on a quiet machine a process takes 10 to 20


class Outcome(dict):
    """What the cases of one configuration found, and the folder of their files."""

    def weights(self, case, number=0):
        with np.load(self.folder / f"{case}-{number}.npz") as file:
            return [file[name] for name in file.files]


def start(configuration, cases, data, folder, number=0, ports=()):
    """Start one process; it writes into the folder."""
    folder.mkdir(exist_ok=True)
    name = configuration.split("-")[0]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    environment |= {
        "KERAS_BACKEND": "jax" if name == "jax" else "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "JAX_PLATFORMS": "cpu",
        # Programs that run but a few times are not worth optimising.
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
    """TCP ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(n)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory, pytestconfig):
    """Dict from a configuration to its `Outcome`; those that cannot run are absent."""
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
    found = {}
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
            found[name] = Outcome(
                json.loads((folder / name / "found-0.json").read_text())
            )
            found[name].folder = folder / name
    return found
