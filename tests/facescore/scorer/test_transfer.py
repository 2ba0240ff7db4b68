import keras
import numpy as np
import pytest

from facescore.efficientnet_lite import build_features, shipped_features
from facescore.scorer.model import Scorer
from facescore.scorer.networks import CellStatistics, TransferNet
from facescore.scorer.ridge import leave_one_out, ridge, standardised
from facescore.scorer.transfer import begin_with_features
from illustkit.errors import UserError


def test_ridge_is_that_of_the_normal_equations_and_of_leaving_out():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 6)) * (1, 2, 3, 4, 5, 0) + 7
    targets = features[:, 0] - features[:, 2] + rng.normal(0, 0.3, 30)

    def solved(rows, values, strength):
        """Return a function that predicts; its bias has no penalty."""
        middle, mean = rows.mean(axis=0), values.mean()
        centred = rows - middle
        normal = centred.T @ centred + strength * np.eye(6)
        weights = np.linalg.solve(normal, centred.T @ (values - mean))
        return lambda row: (row - middle) @ weights + mean

    spread = features.std(axis=0)
    # Two blocks of two and of four features: each has half of the length.
    widths = np.array([2, 2, 4, 4, 4, 4])
    rows = features / np.where(spread > 0, spread, 1) / (2 * widths) ** 0.5
    groups, strengths = np.arange(30).reshape(2, 15).T, (0.01, 1.0, 100.0)
    errors = {}
    for strength in strengths:
        out = []
        for group in groups:
            others = ~np.isin(np.arange(30), group)
            predict = solved(rows[others], targets[others], strength)
            out.append(targets[group] - predict(rows[group]))
        errors[strength] = np.mean(np.square(out))
    best = min(errors, key=errors.get)
    blocks = np.array([0, 0, 1, 1, 1, 1])
    kernel, bias, strength = ridge(
        features, targets, strengths, blocks=blocks, groups=groups
    )
    assert strength == best
    expected = solved(rows, targets, best)(rows)
    np.testing.assert_allclose(features @ kernel + bias, expected, atol=1e-8)
    scaled, *_ = standardised(features, blocks)
    # The last feature, an eighth of the length, is the same everywhere.
    assert np.square(scaled).sum(axis=1).mean() == pytest.approx(1 - 1 / 8)
    constant = np.full(30, 30**-0.5)
    found, _, left = leave_one_out(
        scaled @ scaled.T,
        targets - targets.mean(),
        (best,),
        groups=groups,
        constant=constant,
    )
    assert np.mean(np.square(left)) == pytest.approx(errors[best], rel=1e-6)


def test_noise_needs_a_strong_ridge():
    """Centred rows give a left-out target away; the strength must not believe it."""
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(80, 100)), rng.normal(size=80)
    assert ridge(features, targets)[2] >= 1


def test_cells_have_the_means_and_deviations_of_loops():
    features = np.random.default_rng(0).normal(5, 2, (2, 7, 4, 3)).astype("float32")
    found = keras.ops.convert_to_numpy(CellStatistics(3)(features))
    assert found.shape == (2, 2, 2, 6)  # cells of 3×2; one row is left out
    for y in range(2):
        for x in range(2):
            cell = features[:, 3 * y : 3 * y + 3, 2 * x : 2 * x + 2].astype("float64")
            expected = np.concatenate([cell.mean((1, 2)), cell.std((1, 2))], axis=-1)
            np.testing.assert_allclose(found[:, y, x], expected, atol=1e-4)


def test_features_of_a_stride_are_two_blocks():
    network = TransferNet(80)
    picture = np.random.default_rng(0).normal(size=(1, 80, 80, 3)).astype("float32")
    names = [f"cells{stride}" for stride in (2, 4, 8, 16)]
    outputs = [network.get_layer(name).output for name in (*names, "features")]
    *parts, flat = keras.Model(network.inputs, outputs).predict(picture, verbose=0)
    for i, part in enumerate(parts):
        for j, values in enumerate(np.split(part[0], 2, axis=-1)):
            block = flat[0, network.feature_blocks == 2 * i + j]
            np.testing.assert_array_equal(block, values.ravel())


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
