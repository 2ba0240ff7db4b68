import keras
import numpy as np
import pytest

from facescore.efficientnet_lite import build_features, shipped_features
from facescore.scorer.model import Scorer
from facescore.scorer.networks import AlexNet, CellStatistics, TransferNet
from facescore.scorer.networks.backbones import begin_with_application, preprocessing
from facescore.scorer.ridge import leave_one_out, ridge, standardised
from facescore.scorer.transfer import (
    begin_with_convolutions,
    begin_with_features,
    read_layers,
)
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


def test_weights_of_places_that_vary_together_are_alike():
    """The penalty is that of the normal equations with `(P ⊗ I)⁻¹`."""
    rng = np.random.default_rng(1)
    features, targets = rng.normal(3, 2, (40, 12)), rng.normal(size=40)
    places = np.exp(-0.5 * np.subtract.outer(np.arange(3), np.arange(3)) ** 2)
    rows, *_ = standardised(features)
    penalty = 0.1 * np.linalg.inv(np.kron(places, np.eye(4)))  # 3 places, 4 channels
    normal = rows.T @ rows + penalty
    weights = np.linalg.solve(normal, rows.T @ (targets - targets.mean()))
    kernel, bias, _ = ridge(features, targets, (0.1,), places=places)
    expected = rows @ weights + targets.mean()
    np.testing.assert_allclose(features @ kernel + bias, expected, atol=1e-8)
    apart, shift, _ = ridge(features, targets, (0.1,), places=np.eye(3))
    kernel, bias, _ = ridge(features, targets, (0.1,))
    np.testing.assert_allclose([*apart, shift], [*kernel, bias], atol=1e-12)


def test_places_vary_together_by_their_distance():
    covariance = TransferNet((160, 80)).place_covariance  # 5×5 cells
    assert covariance.shape == (25, 25) and (np.linalg.eigvalsh(covariance) > 0).all()
    for y in range(5):
        for x in range(5):
            expected = np.exp(-(x**2 + y**2) / 2)  # a cell is a fifth of a side
            assert covariance[0, 5 * y + x] == pytest.approx(expected)


def test_noise_needs_a_strong_ridge():
    """Centred rows give a left-out target away; the strength must not believe it."""
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(80, 100)), rng.normal(size=80)
    assert ridge(features, targets)[2] >= 1


def test_cells_have_the_means_and_deviations_of_loops():
    features = np.random.default_rng(0).normal(5, 2, (2, 7, 4, 3)).astype("float32")
    found = keras.ops.convert_to_numpy(CellStatistics(3)(features))
    assert found.shape == (2, 3, 3, 6)  # cells of 3×2 that overlap by a pixel
    for y in range(3):
        for x in range(3):
            cell = features[:, 2 * y : 2 * y + 3, x : x + 2].astype("float64")
            expected = np.concatenate([cell.mean((1, 2)), cell.std((1, 2))], axis=-1)
            np.testing.assert_allclose(found[:, y, x], expected, atol=1e-4)


def test_features_of_a_stride_are_two_blocks():
    network = TransferNet(80)
    picture = np.random.default_rng(0).normal(size=(1, 80, 80, 3)).astype("float32")
    names = [f"cells{i}" for i in range(4)]
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


@pytest.mark.parametrize("name", ["MobileNet", "ResNet50", "DenseNet121"])
def test_preprocessing_is_that_of_keras(name):
    module = {"MobileNet": "mobilenet", "ResNet50": "resnet50"}.get(name, "densenet")
    picture = np.random.default_rng(0).integers(0, 256, (4, 4, 3)).astype("float32")
    expected = getattr(keras.applications, module).preprocess_input(picture.copy())
    matrix, offset = preprocessing(name)
    found = (picture / 127.5 - 1) @ matrix + offset
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_another_backbone_begins_with_a_file_of_its_weights(tmp_path, monkeypatch):
    learnt = keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=(80, 80, 3)
    )
    learnt.save_weights(tmp_path / "a.weights.h5")
    network = TransferNet(80, backbone="MobileNet")
    begin_with_application(network, tmp_path / "a.weights.h5")
    signed = np.random.default_rng(0).uniform(-1, 1, (1, 80, 80, 3)).astype("float32")
    last = network.get_layer("cells2").input
    assert last.shape[1:] == learnt.output_shape[1:]
    found = keras.ops.convert_to_numpy(keras.Model(network.inputs[0], last)(signed))
    expected = keras.ops.convert_to_numpy(learnt(signed))
    scale = np.abs(expected).max()  # random weights leave little
    assert np.ptp(expected) > 0.1 * scale > 0
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-4)
    assert not network.get_layer("preprocess").trainable
    (tmp_path / "b.weights.h5").write_bytes(b"none")
    with pytest.raises(UserError, match="does not hold weights of MobileNet"):
        begin_with_application(network, tmp_path / "b.weights.h5")

    def failing(**options):
        raise Exception("URL fetch failure on https://storage: None")

    monkeypatch.setattr(keras.applications, "MobileNet", failing)
    with pytest.raises(UserError, match=r"cannot be downloaded \(URL.*`start_from`"):
        begin_with_application(network)


CONVOLUTIONS = [f"conv{i}" for i in range(1, 6)]


@pytest.fixture(scope="module")
def alexnet():
    return AlexNet(35, hidden_units=4)


@pytest.mark.parametrize("kind", ["keras", "npz", "chainer"])
def test_alexnet_begins_with_given_convolutions(alexnet, tmp_path, kind):
    kernels = {n: alexnet.get_layer(n).get_weights() for n in CONVOLUTIONS}
    path = tmp_path / ("a.weights.h5" if kind == "keras" else "a.npz")
    if kind == "keras":
        alexnet.save_weights(path)
    else:
        names = ("kernel", "bias") if kind == "npz" else ("W", "b")
        order = (0, 1, 2, 3) if kind == "npz" else (3, 2, 0, 1)
        arrays = {f"predictor/fc6/{names[0]}": np.zeros((4, 4))}
        for name, (kernel, bias) in kernels.items():
            arrays[f"predictor/{name}/{names[0]}"] = kernel.transpose(order)
            arrays[f"predictor/{name}/{names[1]}"] = bias
        np.savez(path, **arrays)
    other = AlexNet(67, hidden_units=3)  # other fully connected layers
    head = other.get_layer("fc6").get_weights()[0]
    begin_with_convolutions(other, read_layers(path), path)
    for name, weights in kernels.items():
        for a, b in zip(other.get_layer(name).get_weights(), weights, strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(other.get_layer("fc6").get_weights()[0], head)


def test_convolutions_that_do_not_fit_are_named(alexnet, tmp_path):
    weights = {n: alexnet.get_layer(n).get_weights() for n in CONVOLUTIONS}
    before = weights["conv1"][0].copy()
    grouped = {**weights, "conv2": [np.zeros((5, 5, 48, 256)), weights["conv2"][1]]}
    grouped["conv1"] = [before + 1, weights["conv1"][1]]
    with pytest.raises(UserError, match=r"a.npz: .* conv2 .*5, 5, 48, 256.*5, 5, 96"):
        begin_with_convolutions(alexnet, grouped, "a.npz")
    np.testing.assert_array_equal(alexnet.get_layer("conv1").get_weights()[0], before)
    del weights["conv5"]
    with pytest.raises(UserError, match="a.npz: has no layer conv5. The network's"):
        begin_with_convolutions(alexnet, weights, "a.npz")
    (tmp_path / "a.h5").write_bytes(b"no file")
    for name, message in (("a.h5", "a.h5 cannot be read"), ("a.bin", "neither")):
        with pytest.raises(UserError, match=message):
            read_layers(tmp_path / name)
