"""ONNX Runtime and OpenCV compute what Keras computes, and need no Keras."""

import keras
import numpy as np
import pytest

from facescore.detector import prediction
from facescore.detector.engines import EngineNetwork, network_graph
from facescore.detector.network import DetectorNetwork, fold_normalisation
from illustkit.errors import UserError
from illustkit.images import write_image
from tests.commands import imported

SLIM = {"widths": (4, 6, 8, 10, 12), "depths": (1, 2, 1, 1), "head": 4}
CODE = """
from facescore.cli.main import app
words = "detect a.png --image-size 32 --engine opencv".split()
app(words, standalone_mode=False)
"""
HEAVY = "keras", "tensorflow", "jax", "scipy", "matplotlib", "sklearn", "skimage"


@pytest.fixture(scope="module")
def network():
    """A network with weights such as a training leaves."""
    network, rng = DetectorNetwork(**SLIM), np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shapes = [w.shape for w in layer.get_weights()]
            layer.set_weights([rng.uniform(0.5, 1.5, shape) for shape in shapes])
    return network


def weights_of(network):
    return {w.path: np.asarray(w) for w in network.weights}


@pytest.mark.parametrize("engine", ["onnx", "opencv"])
@pytest.mark.parametrize("folded", [False, True])
def test_raw_predictions_are_those_of_keras(network, engine, folded):
    if engine == "onnx":
        pytest.importorskip("onnxruntime")
    source = fold_normalisation(network) if folded else network
    ours = EngineNetwork(source.get_config(), weights_of(source), engine)
    rng = np.random.default_rng(1)
    for shape in (1, 64, 64), (3, 32, 96), (2, 64, 64):  # OpenCV is told new sizes
        pictures = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        theirs = np.asarray(network(pictures))
        np.testing.assert_allclose(ours.predict_on_batch(pictures), theirs, atol=1e-4)
    assert np.std(theirs) > 0.01


@pytest.mark.parametrize("size", [None, (64, 32)])
def test_the_file_is_whole(network, size):
    onnx = pytest.importorskip("onnx")
    data = network_graph(network.get_config(), weights_of(network), size)
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)


def test_the_command_with_the_default_detector_loads_nothing_heavy(tmp_path):
    """It takes 0.85 s of processor time, the start of Python included."""
    write_image(tmp_path / "a.png", np.zeros((32, 32, 3), np.uint8))
    assert not imported(CODE, *HEAVY, cwd=tmp_path)
    assert (tmp_path / "runs/detect/predict/faces.json").is_file()


def test_an_engine_is_refused_where_it_would_do_nothing():
    with pytest.raises(UserError, match="Only Keras runs"):
        network_graph({"backbone": "lite0"}, {})
    with pytest.raises(UserError, match="leave `engine` out"):
        prediction.load_detector("faces.onnx", engine="opencv")
    for detector in "cascade", None, lambda image: []:
        with pytest.raises(UserError, match="`engine` is for a detector"):
            prediction.as_detector(detector, engine="opencv")
