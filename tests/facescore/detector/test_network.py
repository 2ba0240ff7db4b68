import keras
import numpy as np
import pytest

from facescore.detector.grid import grid_cells
from facescore.detector.network import DetectorNetwork, fold_normalisation
from facescore.detector.training import DETECTOR_PRESETS

SLIM = {"widths": (4, 4, 8, 8, 8), "depths": (1, 1, 1, 1), "head": 4}


@pytest.fixture(scope="module")
def network():
    """A network whose normalisation is not the one it starts with."""
    network = DetectorNetwork(**SLIM)
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shapes = [w.shape for w in layer.get_weights()]
            layer.set_weights([rng.uniform(0.5, 1.5, shape) for shape in shapes])
    return network


def pictures(n=1, size=(64, 96)):
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (n, *size, 3), dtype=np.uint8)


def test_cells_by_hand():
    centres, strides = grid_cells((64, 32))
    assert centres.shape == (8 * 4 + 4 * 2 + 2 * 1, 2)
    np.testing.assert_array_equal(centres[:2], [(4, 4), (12, 4)])
    np.testing.assert_array_equal(centres[8], (4, 12))
    np.testing.assert_array_equal(centres[32:34], [(8, 8), (24, 8)])
    np.testing.assert_array_equal(centres[-2:], [(16, 16), (48, 16)])
    assert strides.tolist() == [8] * 32 + [16] * 8 + [32] * 2
    with pytest.raises(ValueError, match="multiples of 32"):
        grid_cells((64, 40))


def test_a_row_a_cell_and_few_faces_expected_at_first():
    network = DetectorNetwork(**SLIM)
    raw = np.asarray(network(pictures(2)))
    assert raw.shape == (2, len(grid_cells((96, 64))[0]), 65)
    assert raw.dtype == np.float32
    expected = 5 * (64 * 96) / 640**2 * 3  # 5 a stride in a picture of 640 pixels
    found = (1 / (1 + np.exp(-raw[..., -1]))).sum(axis=1)
    assert (found < 20 * expected).all()


def test_folded_network_gives_the_same(network):
    folded = fold_normalisation(network)
    assert not any(
        isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers
    )
    ours, theirs = np.asarray(folded(pictures())), np.asarray(network(pictures()))
    np.testing.assert_allclose(ours, theirs, atol=2e-4)
    assert np.std(theirs) > 0.01


def test_parameters_and_plain_convolutions():
    small = DETECTOR_PRESETS["small"]
    network = DetectorNetwork(small.widths, small.depths, small.head)
    assert 1_000_000 < network.count_params() < 3_000_000
    convolutions = [x for x in network.layers if isinstance(x, keras.layers.Conv2D)]
    assert len(convolutions) > 50 and all(x.groups == 1 for x in convolutions)


def test_config_makes_the_same_network(network):
    again = DetectorNetwork.from_config(network.get_config())
    again.set_weights(network.get_weights())
    np.testing.assert_array_equal(
        np.asarray(again(pictures())), np.asarray(network(pictures()))
    )
    with pytest.raises(ValueError, match="5 positive widths"):
        DetectorNetwork(widths=(4, 8))


def test_a_folded_lite_backbone_gives_the_same_faces():
    network = DetectorNetwork(**SLIM, backbone="lite0")
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shapes = [w.shape for w in layer.get_weights()]
            layer.set_weights([rng.uniform(0.5, 1.5, shape) for shape in shapes])
    before = np.asarray(network.predict_on_batch(pictures()))
    after = np.asarray(fold_normalisation(network).predict_on_batch(pictures()))
    np.testing.assert_allclose(after, before, atol=2e-3 * np.abs(before).max())
    assert type(network).from_config(network.get_config()).backbone == "lite0"
    with pytest.raises(ValueError, match="backbone"):
        DetectorNetwork(**SLIM, backbone="resnet")
