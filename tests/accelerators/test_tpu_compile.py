"""The real TPU compiler compiles every training step; it needs no chip."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

STEPS = ["oppai", "mosaic", "detector-small", "detector-full", "alexnet"]
STEPS += ["diffusion-0.25.3", "diffusion-2"]


@pytest.mark.large
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("jax", "libtpu"))),
    reason='needs the TPU compiler: pip install "jax[tpu]"',
)
@pytest.mark.parametrize(
    "chip, policy, steps",
    [("v5e", "float32", STEPS), ("v6e", "mixed_bfloat16", ["oppai", "alexnet"])],
    ids=["v5e", "v6e"],
)
def test_every_training_step_compiles_for_a_tpu(chip, policy, steps, tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "tpu_compile.py")]
    command += ["--slim", "--batch-size", "2", "--chips", chip, "--policies", policy]
    command += ["--steps", *steps, "--output", str(tmp_path / "results.json")]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (cells,) = json.loads((tmp_path / "results.json").read_text()).values()
    assert set(cells) == {f"{step} {policy} {chip}" for step in steps}
    for name, cell in cells.items():
        result = cell["2"]
        assert result["fits"] and 1e5 < result["bytes"] < 1e9, name
