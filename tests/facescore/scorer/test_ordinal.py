import numpy as np
import pytest
from keras import ops

from facescore.scorer.model import (
    CoralThresholds,
    coral_loss,
    coral_scores,
    score_levels,
    threshold_biases,
)


def numpy_of(tensor):
    return np.asarray(ops.convert_to_numpy(tensor), np.float64)


def test_levels_and_loss_are_those_of_equation_4():
    scores = np.float32([1, 3, 5, 2])
    logits = np.random.default_rng(0).normal(0, 3, (4, 4)).astype("float32")
    levels = [[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
    np.testing.assert_array_equal(numpy_of(score_levels(scores)), levels)
    expected = []
    for row, target in zip(logits.astype("float64"), levels, strict=True):
        p = 1 / (1 + np.exp(-row))
        terms = np.where(target, np.log(p), np.log(1 - p))
        expected.append(-terms.sum())
    found = coral_loss(score_levels(scores), logits)
    np.testing.assert_allclose(numpy_of(found), expected, rtol=1e-5)


def test_the_loss_bears_any_logit():
    loss = numpy_of(coral_loss(np.float32([[1, 0], [0, 1]]), np.float32([[1e4, -1e4]])))
    np.testing.assert_allclose(loss, [0, 2e4])


def test_first_biases_give_every_level_its_share():
    scores = [1] * 9 + [2] * 19 + [3] * 0 + [4] * 39 + [5] * 28
    biases = threshold_biases(scores)
    # one more of each: 10, 20, 1, 40, 29 of 100
    above = 1 / (1 + np.exp(-biases))
    np.testing.assert_allclose(above, [0.9, 0.7, 0.69, 0.29])
    logits = numpy_of(CoralThresholds(biases)(np.zeros((3, 1), "float32")))
    np.testing.assert_allclose(logits, np.tile(biases, (3, 1)), rtol=1e-6)
    # expected score: 1 and the share above each threshold
    np.testing.assert_allclose(coral_scores(logits), 1 + above.sum(), rtol=1e-6)


def test_scores_run_from_one_to_five_with_the_number_in_front():
    layer = CoralThresholds([2.0, 1.0, 0.0, -3.0])
    x = np.float32([[-50], [-1], [0], [1], [50]])
    scores = coral_scores(numpy_of(layer(x)))
    assert scores[0] == pytest.approx(1) and scores[-1] == pytest.approx(5)
    assert (np.diff(scores) > 0).all()


def test_rising_biases_are_refused():
    with pytest.raises(ValueError, match=r"must fall. Received: \[0.0, 1.0\]"):
        CoralThresholds([0, 1])
