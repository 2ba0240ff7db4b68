import keras
import numpy as np
import pytest

from facescore.efficientnet_lite import build_features, shipped_features
from facescore.scorer.model import Scorer
from facescore.scorer.networks import TransferNet
from facescore.scorer.ridge import ridge
from facescore.scorer.transfer import begin_with_features
from illustkit.errors import UserError


def test_ridge_is_that_of_the_normal_equations_and_of_leaving_out():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 6)) * (1, 2, 3, 4, 5, 0) + 7
    targets = features[:, 0] - features[:, 2] + rng.normal(0, 0.3, 30)

    def solve(rows, values, strength):
        weights = np.linalg.solve(rows.T @ rows + strength * np.eye(6), rows.T @ values)
        return weights

    spread = features.std(axis=0)
    rows = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1) / 6**0.5
    centred = targets - targets.mean()
    errors = {}
    for strength in (0.01, 1.0, 100.0):
        left = []
        for i in range(30):
            others = np.arange(30) != i
            weights = solve(rows[others], centred[others], strength)
            left.append(centred[i] - rows[i] @ weights)
        errors[strength] = np.mean(np.square(left))
    best = min(errors, key=errors.get)
    kernel, bias, strength = ridge(features, targets, (0.01, 1.0, 100.0))
    assert strength == best
    expected = rows @ solve(rows, centred, best) + targets.mean()
    np.testing.assert_allclose(features @ kernel + bias, expected, atol=1e-8)


@pytest.fixture(scope="module")
def crops():
    """Half red, half blue; red is liked."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(90, 160, (24, 80, 80, 3), "uint8")
    for i, picture in enumerate(pictures):
        picture[20:60, 20:60, 0 if i % 2 else 2] = 255
    return pictures, np.where(np.arange(24) % 2, 5.0, 1.0)


@pytest.mark.parametrize("objective", ["regression", "coral"])
def test_the_head_that_it_begins_with_knows_a_plain_taste(crops, objective):
    pictures, scores = crops
    scorer = Scorer(TransferNet(80), objective, mean=3.0, scale=2.0)
    begin_with_features(scorer, pictures[:16], scores[:16])
    found = scorer.predict_scores(pictures[16:])
    assert found[scores[16:] == 5].min() > found[scores[16:] == 1].max() + 1
    kernel = scorer.network.get_layer("stem_conv").get_weights()[0]
    np.testing.assert_array_equal(kernel, shipped_features()["stem_conv"][0])


def test_it_keeps_the_statistics_of_imagenet_in_training():
    network = TransferNet(80)
    assert type(network).from_config(network.get_config()).image_size == (80, 80)
    before = network.get_layer("stem_norm").get_weights()
    network(np.random.rand(2, 80, 80, 3).astype("float32") * 9, training=True)
    after = network.get_layer("stem_norm").get_weights()
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    names = {v.path for v in network.trainable_variables}
    assert "stem_conv/kernel" in names and "stem_norm/gamma" not in names
    with pytest.raises(UserError, match="multiple of 80"):
        TransferNet(100)


def test_what_ships_fits_every_layer_up_to_a_stride_of_16():
    picture = keras.Input((32, 32, 3))
    features = keras.Model(picture, build_features(picture)[16])
    shipped = shipped_features()
    layers = {layer.name: layer for layer in features.layers if layer.weights}
    assert layers.keys() == shipped.keys()
    for name, layer in layers.items():
        assert [w.shape for w in layer.weights] == [w.shape for w in shipped[name]]
