"""One model trains the same on every accelerator: histories, weights and statistics.

Each package's own `train` runs three or four steps: on TensorFlow with one CPU,
with MirroredStrategy on two logical CPUs, with MultiWorkerMirroredStrategy in two
processes, and on JAX with one CPU and with two. All begin with the same weights and see
the same batches, and dropout is off; the optimizer's epsilon is 0.01.
"""

import numpy as np
import pytest

from tests.accelerators.conftest import CASES, LARGE

TOLERANCE = 1e-5
names = [case.split(":")[0] for case in CASES["one"]]
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
    for case in names
]


def taken(outcomes, configuration):
    if configuration not in outcomes or "one" not in outcomes:
        pytest.skip(f"{configuration} or TensorFlow cannot run here: not installed")
    return outcomes[configuration]


@pytest.mark.parametrize("configuration, case", cells)
def test_trains_as_one_device_of_tensorflow(outcomes, configuration, case):
    other = taken(outcomes, configuration)
    one = outcomes["one"]
    assert len(one[case]["steps"]) == len(other[case]["steps"]) >= 3
    for mine, theirs in zip(one[case]["steps"], other[case]["steps"], strict=True):
        assert theirs == pytest.approx(mine, rel=TOLERANCE)
    mine, theirs = one[case]["history"], other[case]["history"]
    drawn = {"copies"}  # logged where samples are drawn, which some cells leave out
    assert set(mine) - drawn == set(theirs) - drawn
    for name in set(mine) - drawn:
        expected = pytest.approx(mine[name], rel=TOLERANCE, abs=1e-6)
        assert theirs[name] == expected, name
    begun = one.weights(case)
    for a, b in zip(begun, other.weights(case), strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=TOLERANCE)
    assert one[case]["moved"] > 100 * TOLERANCE


@pytest.mark.parametrize("configuration", ["mirrored", "workers"])
@pytest.mark.parametrize("case", ["smallnet", "oppai"])
def test_batch_normalisation_is_synchronised(outcomes, configuration, case):
    other = taken(outcomes, configuration)
    moving = outcomes["one"][case]["moving"]
    assert moving and moving == other[case]["moving"]
    mine, theirs = outcomes["one"].weights(case), other.weights(case)
    for i in moving:
        np.testing.assert_allclose(theirs[i], mine[i], rtol=0, atol=1e-6)
        assert np.abs(mine[i] - np.round(mine[i])).max() > 1e-3  # has left 0 or 1


def test_every_worker_ends_with_the_same_weights(outcomes):
    workers = taken(outcomes, "workers")
    for case in set(workers):
        pairs = zip(workers.weights(case), workers.weights(case, 1), strict=True)
        for a, b in pairs:
            np.testing.assert_array_equal(a, b)
        assert [p.name for p in (workers.folder / "runs" / case / "backup").iterdir()]


@pytest.mark.parametrize("configuration", ["mirrored", "workers"])
def test_a_resumed_training_was_really_stopped(outcomes, configuration):
    # That it ends as the unbroken one is in the comparison above.
    other = taken(outcomes, configuration)
    stopped = [c for c in CASES[configuration] if "resumed" in c]
    assert stopped
    for case in stopped:
        case = case.split(":")[0]
        assert other[case]["stopped_after"] == 1
        assert other[case]["history"]["epoch"] == [0, 1]


def test_every_replica_drops_out_other_units(outcomes):
    dropped = taken(outcomes, "mirrored")["dropped"]
    assert set(dropped) == {"smallnet", "animecnn", "alexnet", "unet"}
    for layers in dropped.values():
        assert layers
        for first, second in layers:
            assert first != second
            assert 0 < np.mean(first) < 1 and 0 < np.mean(second) < 1


def test_the_large_cells_leave_nothing_out():
    for configuration in CASES:
        cases = LARGE.get(configuration, CASES[configuration])
        assert {case.split(":")[0] for case in cases} == set(names)
