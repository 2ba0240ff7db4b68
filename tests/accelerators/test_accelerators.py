"""A model trains alike on every device: histories, weights and statistics.

Each package's own `train` runs three or four steps in five configurations: TensorFlow
with one CPU, MirroredStrategy on two logical CPUs, MultiWorkerMirroredStrategy in two
processes, and JAX with one CPU and with two. All start from the same weights and see
the same batches. Dropout is off, and the optimizer's epsilon is 0.01.
"""

import numpy as np
import pytest

from tests.accelerators.conftest import CASES, LARGE, NAMES

TOLERANCE = 1e-5
# The discriminator's last BatchNorm sees four numbers a channel, and makes more of
# rounding. Without the other replica's two they would differ by a tenth and more.
TOLERANCES = {"completion": 2e-4}
cells = [
    pytest.param(
        configuration,
        case,
        id=f"{configuration}-{case}",
        marks=[]
        if case in {name.split(":")[0] for name in CASES[configuration]}
        else pytest.mark.large,
    )
    for configuration in ("mirrored", "workers", "jax", "jax-2")
    for case in NAMES
]


def outcome_of(outcomes, configuration):
    if configuration not in outcomes or "one" not in outcomes:
        pytest.skip(f"{configuration} or TensorFlow cannot run here: not installed")
    return outcomes[configuration]


@pytest.mark.parametrize("configuration, case", cells)
def test_trains_as_one_device_of_tensorflow(outcomes, configuration, case):
    result = outcome_of(outcomes, configuration)
    base, tolerance = outcomes["one"], TOLERANCES.get(case, TOLERANCE)
    assert len(base[case]["steps"]) == len(result[case]["steps"]) >= 3
    for mine, theirs in zip(base[case]["steps"], result[case]["steps"], strict=True):
        # A rank correlation of equal scores is nan on every device.
        assert theirs == pytest.approx(mine, rel=tolerance, nan_ok=True)
    mine, theirs = base[case]["history"], result[case]["history"]
    sampled = {"copies"}  # logged when samples are drawn, which some cells leave out
    assert set(mine) - sampled == set(theirs) - sampled
    for name in set(mine) - sampled:
        expected = pytest.approx(mine[name], rel=tolerance, abs=1e-6, nan_ok=True)
        assert theirs[name] == expected, name
    for a, b in zip(base.weights(case), result.weights(case), strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=tolerance)
    assert base[case]["moved"] > max(100 * TOLERANCE, 20 * tolerance)


@pytest.mark.parametrize("configuration", ["mirrored", "workers"])
@pytest.mark.parametrize("case", ["smallnet", "oppai"])
def test_batch_normalisation_is_synchronised(outcomes, configuration, case):
    result = outcome_of(outcomes, configuration)
    moving = outcomes["one"][case]["moving"]
    assert moving and moving == result[case]["moving"]
    mine, theirs = outcomes["one"].weights(case), result.weights(case)
    for i in moving:
        np.testing.assert_allclose(theirs[i], mine[i], rtol=0, atol=1e-6)
        assert np.abs(mine[i] - np.round(mine[i])).max() > 1e-3  # is not 0 or 1 anymore


def test_every_worker_ends_with_the_same_weights(outcomes):
    workers = outcome_of(outcomes, "workers")
    for case in set(workers):
        pairs = zip(workers.weights(case), workers.weights(case, 1), strict=True)
        for a, b in pairs:
            np.testing.assert_array_equal(a, b)
        assert [p.name for p in (workers.folder / "runs" / case / "backup").iterdir()]


@pytest.mark.parametrize("configuration", ["mirrored", "workers"])
def test_a_resumed_training_was_really_stopped(outcomes, configuration):
    # The comparison above checks that it ends like a training that was never stopped.
    result = outcome_of(outcomes, configuration)
    stopped = [c for c in CASES[configuration] if "resumed" in c]
    assert stopped
    for case in stopped:
        case = case.split(":")[0]
        assert result[case]["stopped_after"] == 1
        assert result[case]["history"]["epoch"] == [0, 1]


def test_every_replica_drops_out_its_own_units(outcomes):
    dropped = outcome_of(outcomes, "mirrored")["dropped"]
    assert set(dropped) == {"smallnet", "animecnn", "alexnet", "unet"}
    for layers in dropped.values():
        assert layers
        for first, second in layers:
            assert first != second
            assert 0 < np.mean(first) < 1 and 0 < np.mean(second) < 1


def test_the_large_cells_leave_nothing_out():
    for configuration in CASES:
        cases = LARGE.get(configuration, CASES[configuration])
        assert {case.split(":")[0] for case in cases} == set(NAMES)
