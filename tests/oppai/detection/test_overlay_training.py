import numpy as np
import pytest

from illustkit.samples import draw_character
from oppai.censoring.regions import Region
from oppai.detection import overlay, overlay_training
from oppai.detection.overlay import NAMES, weigh_overlay
from oppai.detection.overlay_training import (
    censor_somewhere,
    fit_networks,
    fit_overlay,
    label_proposals,
)


def test_proposals_are_labelled_by_what_is_hidden(monkeypatch):
    hole = np.zeros((80, 80), bool)
    hole[:, :40] = True
    regions = {
        "hidden": Region((0, 0, 40, 80), np.ones((80, 40), bool), "white"),
        "half": Region((0, 0, 80, 80), np.ones((80, 80), bool), "white"),
        "drawn": Region((50, 0, 80, 80), np.ones((80, 30), bool), "light"),
        "dark": Region((0, 0, 40, 80), np.ones((80, 40), bool), "black"),
    }
    proposed = [(region, name) for name, region in regions.items()]
    monkeypatch.setattr(overlay_training, "propose_solid", lambda _: proposed)
    monkeypatch.setattr(
        overlay_training, "censor_somewhere", lambda image, _: (image, hole, "light")
    )
    picture = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    # The picture varied is left out where it is too small for a censor.
    monkeypatch.setattr(overlay_training, "vary", lambda p, _: p[:30])
    labelled = label_proposals(picture, np.random.default_rng(0))
    clean = [(r.kind, name, False) for name, r in regions.items()]
    censored = [("white", "hidden", True), ("light", "drawn", False)]
    assert labelled == 2 * clean + censored


@pytest.mark.parametrize("seed", range(6))
def test_a_censor_lies_somewhere_and_its_hole_is_told(seed):
    picture = draw_character(11, (90, 128)).image
    before = picture.copy()
    image, hole, kind = censor_somewhere(picture, np.random.default_rng(seed))
    np.testing.assert_array_equal(picture, before)
    assert kind in ("white", "black", "light") and hole.shape == (128, 90)
    assert 0 < hole.mean() < 0.7
    changed = np.abs(image.astype(int) - picture).max(2)
    assert changed[hole].mean() > 5 * max(1, changed[~hole].mean())


def test_the_networks_are_added_to_the_weights(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    path = tmp_path / "weights.npz"
    np.savez(path, other=np.arange(3))
    labelled = []
    for n in range(240):
        kind, truth = ("white", "black", "light")[n % 3], n % 2 == 0
        evidence = rng.normal(size=len(NAMES)).astype(np.float32)
        evidence[5] += 3 * truth
        labelled.append((kind, evidence, truth))
    fit_overlay(labelled, path)
    with np.load(path) as file:
        weights = dict(file)
    np.testing.assert_array_equal(weights["other"], np.arange(3))
    monkeypatch.setattr(overlay, "load_weights", lambda: weights)
    odds = np.array([weigh_overlay(evidence, kind) for kind, evidence, _ in labelled])
    truth = np.array([is_hidden for *_, is_hidden in labelled])
    assert ((odds > 0) == truth).mean() > 0.95


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_stored_network_is_the_mean_of_some():
    from sklearn.neural_network import MLPClassifier

    rng = np.random.default_rng(0)
    evidence = rng.normal(size=(60, 5))
    truth = evidence[:, 0] > 0
    stored = fit_networks(evidence, truth, n=2)
    x = ((evidence - stored["mean"]) / stored["scale"]).clip(-3, 3)
    odds = np.maximum(x @ stored["w1"] + stored["b1"], 0) @ stored["w2"] + stored["b2"]
    expected = 0
    for seed in range(2):
        model = MLPClassifier((16,), alpha=1.0, max_iter=150, random_state=seed)
        share = model.fit(x, truth).predict_proba(x)[:, 1]
        expected = expected + np.log(share / (1 - share)) / 2
    np.testing.assert_allclose(odds, expected, atol=1e-6)
