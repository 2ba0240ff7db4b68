import json

import numpy as np
import pytest

from facescore.scorer.calibration import (
    CALIBRATION,
    calibrate,
    cross_calibrate,
    fit_calibration,
    read_calibration,
    write_calibration,
)
from illustkit.errors import UserError


def test_calibrated_predictions_are_distributed_as_the_scores():
    rng = np.random.default_rng(0)
    predicted = 3 + rng.normal(0, 0.2, 4000)  # bunched
    scores = rng.choice([1, 2, 3, 4, 5], 900, p=[0.1, 0.05, 0.4, 0.3, 0.15])
    knots = fit_calibration(predicted, scores)
    spread = calibrate(predicted, knots)
    rounded = np.floor(spread + 0.5)
    for score in range(1, 6):
        assert (rounded == score).mean() == pytest.approx(
            (scores == score).mean(), abs=1e-3
        )
    order = np.argsort(predicted)
    assert (np.diff(spread[order]) > 0).all()


def test_the_map_by_hand():
    # Half of the scores are 2, half 5: the median of the predictions becomes 3.5.
    knots = fit_calibration([2.0, 3.0, 4.0], [2, 5])
    assert knots == [(2.0, 2.0), (3.0, 3.5), (4.0, 5.0)]
    found = calibrate([1.5, 2.5, 3.0, 4.25], knots)
    np.testing.assert_allclose(found, [1.5, 2.75, 3.5, 5.25])
    # Equal quantiles are one knot at the mean of their scores: (1.5 + 3.5 + 5) / 3.
    assert fit_calibration([1, 2, 2, 2, 2, 2], [1, 2, 2, 5]) == [(1, 1), (2, 10 / 3)]


def test_each_fold_is_calibrated_by_the_others():
    rng = np.random.default_rng(1)
    predicted, scores = rng.normal(3, 0.3, 50), rng.integers(1, 6, 50)
    groups = np.repeat(np.arange(25), 2)
    found = cross_calibrate(predicted, scores, groups, folds=25)
    for group in range(25):
        own = groups == group
        knots = fit_calibration(predicted[~own], scores)
        np.testing.assert_array_equal(found[own], calibrate(predicted[own], knots))


def test_a_run_keeps_its_calibration(tmp_path):
    assert read_calibration(tmp_path) is None
    knots = fit_calibration([2.0, 3.1, 4.0], [1, 2, 5])
    write_calibration(tmp_path, knots)
    assert read_calibration(tmp_path) == knots
    path = tmp_path / CALIBRATION
    for x in ([1.0, 1.0], [2.0, 1.0], [1.0], [1.0, float("nan")], "ab"):
        path.write_text(json.dumps({"predicted": x, "score": [1.0, 5.0]}))
        with pytest.raises(UserError, match="calibration.json.*Delete it"):
            read_calibration(tmp_path)


def test_what_cannot_be_calibrated_is_said():
    with pytest.raises(UserError, match="the same score"):
        fit_calibration([3.0, 3.0], [1, 5])
    with pytest.raises(UserError, match=r"one of \(1, 2, 3, 4, 5\)"):
        fit_calibration([3.0, 3.5], [0, 5])
