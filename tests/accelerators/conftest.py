"""Start processes for the configurations, two at a time, and read their results."""

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

NAMES = [
    *("regularised", "smallnet", "alexnet", "oppai", "diffusion", "mosaic"),
    *("detector", "adversarial", "completion", "dcgan", "stylegan2"),
]
# Tracing costs four times as much as the few steps. So all except one run eagerly, and
# only some run on JAX, which compiles everything. Of cases that share a training, one
# runs: alexnet trains as smallnet, the others with a discriminator as adversarial.
# --run-large runs every case.
CASES = {
    "one": [
        *("regularised", "smallnet", "oppai", "diffusion:unsampled"),
        *("mosaic", "detector", "adversarial"),
    ],
    "mirrored": [
        *("regularised", "smallnet:resumed", "oppai", "diffusion"),
        *("mosaic", "detector", "adversarial"),
    ],
    "workers": ["regularised:traced", "smallnet:resumed", "oppai"],
    "jax": [],
    "jax-2": ["regularised", "smallnet", "oppai", "adversarial"],
}
LARGE = {
    "one": ["diffusion:unsampled" if n == "diffusion" else n for n in NAMES],
    "mirrored": [
        "regularised",
        *(f"{name}:resumed" for name in NAMES[1:6]),
        "detector",
        "adversarial",
        "completion:resumed",
        "dcgan:resumed",
        "stylegan2:resumed",
    ],
    "workers": [
        "regularised",
        *(f"{name}:traced-resumed" for name in NAMES[1:6]),
        "detector",
        "adversarial",
        "completion:traced-resumed",
        "dcgan:traced-resumed",
        "stylegan2:traced",
    ],
    "jax": NAMES,
    "jax-2": NAMES,
}
DEADLINE = 1200  # seconds; on a quiet machine a process takes 10 to 20 s


class Outcome(dict):
    """The results of one configuration's cases, and the folder of their files."""

    def weights(self, case, number=0):
        with np.load(self.folder / f"{case}-{number}.npz") as file:
            return [file[name] for name in file.files]


def start(cases, data, folder, number=0, ports=()):
    """Start one process, which writes its results into folders in `folder`.

    Args:
        cases: Dict from each of its configurations to a list of cases.
        data: Folder of the pictures.
        folder: Where the folders of the configurations are.
        number: Which of the workers it is. Defaults to 0.
        ports: The workers' ports. Defaults to none.
    """
    first = next(iter(cases))
    name = first.split("-")[0]
    parts = []
    for configuration, names in cases.items():
        (folder / configuration).mkdir(exist_ok=True)
        kind = configuration.split("-")[0]
        parts.append([kind, str(folder / configuration), names])
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    environment |= {
        "KERAS_BACKEND": "jax" if name == "jax" else "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "JAX_PLATFORMS": "cpu",
        # Optimising programs that run only a few times takes longer than it saves.
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
    if first == "jax-2":
        environment["XLA_FLAGS"] += " --xla_force_host_platform_device_count=2"
    if ports:
        cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
        task = {"type": "worker", "index": number}
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
    command = [sys.executable, "-m", "tests.accelerators.worker", str(data)]
    with open(folder / first / f"log-{number}.txt", "w") as log:
        return subprocess.Popen(
            [*command, json.dumps(parts)],
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
    pairs = (  # a process imports everything once for both its configurations
        [(("one", "mirrored"), 0, ()), (("jax-2",), 0, ())],
        [(("workers",), 0, ports), (("workers",), 1, ports)],
        [(("jax",), 0, ())],
    )
    backends = {name: find_spec(name) for name in ("tensorflow", "jax")}
    results = {}
    for pair in pairs:
        pair = [
            ({name: cases[name] for name in names if cases[name]}, *where)
            for names, *where in pair
            if cases[names[0]]
            and backends["jax" if "jax" in names[0] else "tensorflow"]
        ]
        processes = [
            start(own, folder / "data", folder, *where) for own, *where in pair
        ]
        try:
            codes = [process.wait(DEADLINE) for process in processes]
        finally:
            for process in processes:
                process.kill()
        for (own, number, _), code in zip(pair, codes, strict=True):
            log = (folder / next(iter(own)) / f"log-{number}.txt").read_text()
            assert code == 0, f"{[*own]} {number} failed:\n{log[-3000:]}"
            for name in own:
                results[name] = Outcome(
                    json.loads((folder / name / "results-0.json").read_text())
                )
                results[name].folder = folder / name
    return results
