import keras
import numpy as np
import pytest
from keras import ops

from facescore.scorer.model import (
    NETWORKS,
    Scorer,
    balanced_weights,
    build_scorer,
    load_scorer,
)
from facescore.scorer.networks import AlexNet, SmallNet
from illustkit.training.runs import Run

SETTINGS = {
    "network": "small",
    "image_size": [16, 16],
    "network_options": {"widths": [4, 6], "places": 2},
    "objective": "regression",
    "mean": 2.5,
    "scale": 1.5,
    "biases": [1.0, 0.5, 0.0, -1.0],
    "margin": [0.1, 0.2, 0.3],
    "square": False,
}


@keras.saving.register_keras_serializable(package="tests")
class Red(keras.layers.Layer):
    """A network that answers the red of the first pixel, signed scale."""

    image_size = (2, 2)

    def call(self, x, training=False):
        return x[:, 0, 0, :1]


def reds(*values):
    pictures = np.zeros((len(values), 2, 2, 3), "uint8")
    pictures[:, 0, 0, 0] = values
    return pictures


def test_regression_learns_standardised_scores_by_squared_error():
    scorer = Scorer(Red(), mean=2.0, scale=0.5)
    pictures, scores = reds(0, 255, 51), np.float32([1, 5, 2])
    signed = np.array([-1, 1, -0.6])
    terms = scorer.terms(pictures, scores, scorer(pictures), True)
    expected = (signed - (scores - 2) / 0.5) ** 2
    np.testing.assert_allclose(ops.convert_to_numpy(terms["mse"]), expected, rtol=1e-5)
    found = scorer.predict_scores(pictures)
    np.testing.assert_allclose(found, 2 + 0.5 * signed, atol=1e-6)


@pytest.mark.parametrize("objective, term", [("regression", "mse"), ("coral", "coral")])
def test_the_loss_of_each_score_is_weighted(objective, term):
    weights = balanced_weights([1, 5, 5, 5])
    np.testing.assert_allclose(weights, [2, 0, 0, 0, 2 / 3])
    plain = Scorer(Red(), objective)
    weighted = Scorer(Red(), objective, score_weights=weights)
    pictures, scores = reds(0, 255, 51), np.float32([1, 5, 5])
    losses = [
        ops.convert_to_numpy(s.terms(pictures, scores, s(pictures), True)[term])
        for s in (plain, weighted)
    ]
    np.testing.assert_allclose(losses[1], losses[0] * [2, 2 / 3, 2 / 3], rtol=1e-6)


def test_coral_learns_thresholds_and_predicts_the_expected_score():
    biases = np.array([2.0, 1.0, 0.0, -1.0])
    scorer = Scorer(Red(), "coral", biases=biases)
    pictures, scores = reds(0, 255), np.float32([1, 4])
    p = 1 / (1 + np.exp(-(np.array([[-1], [1]]) + biases)))
    np.testing.assert_allclose(scorer.predict_scores(pictures), 1 + p.sum(1), rtol=1e-5)
    terms = scorer.terms(pictures, scores, scorer(pictures), True)
    expected = [-np.log(1 - p[0]).sum(), -np.log([*p[1, :3], 1 - p[1, 3]]).sum()]
    found = ops.convert_to_numpy(terms["coral"])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert len(scorer.trainable_weights) == 1


@pytest.mark.parametrize("n", [0, 1, 3, 5, 8])
def test_predictions_do_not_depend_on_the_batch(n):
    values = np.arange(n) * 20
    found = Scorer(Red()).predict_scores(reds(*values), batch_size=4)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 3 + 2**0.5 * (values / 127.5 - 1), atol=1e-5)


# The head of "transfer" is solved for before any training.
@pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"transfer"}))
def test_an_untrained_network_says_about_the_mean(name):
    keras.utils.set_random_seed(0)
    options = {"alexnet": {"hidden_units": 64}}.get(name, {})
    scorer = Scorer(NETWORKS[name](64, **options), mean=2.2, scale=1.1)
    pictures = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), "uint8")
    np.testing.assert_allclose(scorer.predict_scores(pictures), 2.2, atol=0.6)


@pytest.mark.parametrize("objective", ["regression", "coral"])
def test_a_run_and_a_keras_file_load_to_the_same_scores(objective, tmp_path):
    keras.utils.set_random_seed(1)
    settings = {**SETTINGS, "objective": objective}
    scorer = build_scorer(settings)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), "uint8")
    expected = scorer.predict_scores(pictures)
    assert np.ptp(expected) > 0
    run = Run.start(tmp_path / "run", settings)
    with pytest.raises(ValueError, match="no best.weights.h5 yet"):
        load_scorer(run)
    scorer.save_weights(run.weights_path)
    scorer.save(tmp_path / "scorer.keras")
    for place in (run, str(run.folder), tmp_path / "scorer.keras"):
        loaded = load_scorer(place)
        assert (loaded.margin, loaded.square) == ((0.1, 0.2, 0.3), False)
        assert loaded.image_size == (16, 16)
        np.testing.assert_array_equal(loaded.predict_scores(pictures), expected)


def test_missing_and_foreign_runs_are_named(tmp_path):
    with pytest.raises(ValueError, match="no file .*a.keras"):
        load_scorer(tmp_path / "a.keras")
    other = Run.start(tmp_path / "other", {"widths": [1]})
    with pytest.raises(ValueError, match="something else than a scorer"):
        load_scorer(other)
    run = Run.start(tmp_path / "run", SETTINGS)
    run.weights_path.write_bytes(b"not weights")
    with pytest.raises(ValueError, match="best.weights.h5 does not hold"):
        load_scorer(run)
    with pytest.raises(ValueError, match="Received: 'rank'"):
        Scorer(SmallNet(16), "rank")
    with pytest.raises(ValueError, match="Received: scale=0"):
        Scorer(SmallNet(16), scale=0)


def test_a_step_of_alexnet_changes_every_weight_and_lowers_the_loss():
    keras.utils.set_random_seed(0)
    scorer = Scorer(AlexNet(43, hidden_units=16, dropout=0.0))
    scorer.compile(keras.optimizers.SGD(1e-2))
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (8, 43, 43, 3), "uint8")
    scores = rng.integers(1, 6, 8).astype("float32")
    before = scorer.get_weights()
    losses = [
        scorer.train_on_batch(pictures, scores, return_dict=True)["loss"]
        for _ in range(3)
    ]
    for old, new in zip(before, scorer.get_weights(), strict=True):
        assert not np.array_equal(old, new)
    assert losses[2] < losses[1] < losses[0]
