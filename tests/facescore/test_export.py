"""Exported detectors and scorers compute what Keras computes, and need no Keras."""

import keras
import numpy as np
import pytest
from keras import layers

from facescore import detect_faces, export_detector, export_scorer
from facescore.detector.grid import STRIDES, decode, grid_cells
from facescore.detector.network import DetectorNetwork
from facescore.detector.prediction import Detector, load_detector
from facescore.exported import ExportedDetectorNetwork, ExportedScorer
from facescore.scorer.model import Scorer
from facescore.scorer.networks import AlexNet, AnimeCNN, SmallNet, TransferNet
from facescore.scorer.prediction import as_scorer
from illustkit.samples import draw_character
from tests.commands import imported

SUFFIXES = ".onnx", ".tflite"
SCORERS = {"regression": ".tflite", "coral": ".onnx"}  # an export takes seconds
SIZE = 64


def shaken(model):
    """Return a model with weights such as a training leaves."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        low = 0.5 if "variance" in variable.path else -0.4
        if "moving" in variable.path or len(variable.shape) > 1:
            variable.assign(rng.uniform(low, low + 0.8, variable.shape))
    return model


class Heads(keras.Model):
    """The heads of the detector's network on the mean colours of its cells."""

    normalise = False

    def __init__(self, **kwargs):
        picture, rows = keras.Input((None, None, 3), dtype="uint8"), []
        for stride in STRIDES:
            x = layers.AveragePooling2D(stride)(layers.Rescaling(1 / 255)(picture))
            parts = [
                layers.Conv2D(channels, 1, name=f"head{stride}_{name}")(x)
                for name, channels in (("box", 64), ("face", 1))
            ]
            rows.append(layers.Reshape((-1, 65))(layers.Concatenate()(parts)))
        super().__init__(picture, layers.Concatenate(axis=1)(rows))

    def get_config(self):
        return {}


@pytest.fixture(scope="module")
def network():
    return shaken(Heads())


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    """A detector in both formats, and a scorer of each objective."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the exporters need Keras on TensorFlow")
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("exported")
    for suffix, size in ((".onnx", None), (".tflite", SIZE)):
        path = folder / f"faces{suffix}"
        assert export_detector(Detector(network), path, image_size=size) == path
    for objective, suffix in SCORERS.items():
        export_scorer(scorer(objective), folder / f"{objective}{suffix}")
    return folder


def scorer(objective):
    small = shaken(SmallNet((24, 16), widths=(4, 6), places=2))
    options = {"mean": 2.5, "scale": 1.5, "margin": (0.2, 0.1, 0), "square": False}
    if objective == "coral":
        options["calibration"] = (2.9, 1.0), (3.0, 3.0), (3.1, 4.0), (3.3, 5.0)
    return Scorer(small, objective, **options)


def pictures(n, width, height):
    return np.stack([draw_character(i, size=(width, height)).image for i in range(n)])


def assert_alike(path, network, n, width, height):
    """The file's boxes and confidences are Keras' logits, decoded."""
    given = pictures(n, width, height)
    raw = np.asarray(network(given, training=False), np.float64)
    found = ExportedDetectorNetwork(path).candidates(given, 0)
    for row, (boxes, confidences) in zip(raw, found, strict=True):
        expected = decode(row[:, :-1], *grid_cells((width, height)))
        np.testing.assert_allclose(boxes, expected, atol=1e-3)
        sigmoid = 1 / (1 + np.exp(-row[:, -1]))
        np.testing.assert_allclose(confidences, sigmoid, atol=1e-3)
        assert np.ptp(confidences) > 0.01


def test_boxes_and_confidences_are_those_of_keras(files, network):
    assert_alike(files / "faces.onnx", network, 3, SIZE, SIZE)
    assert_alike(files / "faces.onnx", network, 2, 96, 32)  # of any size
    assert_alike(files / "faces.tflite", network, 3, SIZE, SIZE)


@pytest.mark.large
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_part_of_the_network_is_exported(files, tmp_path, suffix):
    options = {"normalise": True, "dtype": "mixed_bfloat16"}
    network = DetectorNetwork((4, 4, 6, 6, 8), (1, 1, 1, 1), 4, **options)
    detector = Detector(shaken(network))  # folded, float32
    path = export_detector(detector, tmp_path / f"a{suffix}", image_size=SIZE)
    assert_alike(path, detector.network, 1, SIZE, SIZE)


def test_an_exported_detector_finds_the_same_faces(files, network):
    own, exported = Detector(network), load_detector(files / "faces.onnx")
    image = draw_character(5, size=(150, 90)).image
    options = {"confidence": 0.01, "image_size": SIZE, "tile": 64}
    expected = own.detect(image, **options)
    faces = detect_faces(image, str(files / "faces.onnx"), **options)
    assert (
        len(faces) == len(expected) > 0 and exported.detect(image, **options) == faces
    )
    for face, other in zip(faces, expected, strict=True):
        np.testing.assert_allclose(face.box, other.box, atol=1e-2)
    fixed = load_detector(files / "faces.tflite")
    assert fixed.detect(image, confidence=0.0)  # of its own size, without being told
    with pytest.raises(ValueError, match="exported for `image_size` 64 alone"):
        fixed.detect(image, image_size=320)


@pytest.mark.parametrize("objective", SCORERS)
def test_scores_are_those_of_keras(files, objective):
    exported = as_scorer(files / f"{objective}{SCORERS[objective]}")
    assert exported.image_size == (24, 16) and exported.square is False
    assert exported.margin == (0.2, 0.1, 0)
    crops = np.random.default_rng(1).integers(0, 256, (5, 16, 24, 3), np.uint8)
    expected = scorer(objective).predict_scores(crops)
    assert np.ptp(expected) > 1e-2
    np.testing.assert_allclose(exported.predict_scores(crops), expected, atol=1e-3)
    assert exported.predict_scores(crops[:0]).shape == (0,)


@pytest.mark.parametrize(
    "kind, suffix",
    [
        (AnimeCNN, ".tflite"),
        (AlexNet, ".tflite"),
        *(
            pytest.param(kind, suffix, marks=pytest.mark.large)
            for kind, suffix in (
                *((AnimeCNN, ".onnx"), (AlexNet, ".onnx")),
                *((TransferNet, ".onnx"), (TransferNet, ".tflite")),
            )
        ),
    ],
)
def test_every_network_scores_as_in_keras(files, tmp_path, kind, suffix):
    options = {AnimeCNN: ((24, 16),), AlexNet: (35, 8), TransferNet: (80,)}[kind]
    own = Scorer(kind(*options), mean=2.5, scale=0.8)
    rng = np.random.default_rng(0)
    # A last layer as a training leaves it, so that pictures differ.
    head = own.network.get_layer("score")
    head.set_weights([rng.normal(size=w.shape) for w in head.get_weights()])
    width, height = own.image_size
    crops = rng.integers(0, 256, (3, height, width, 3), np.uint8)
    expected = own.predict_scores(crops)
    path = export_scorer(own, tmp_path / f"a{suffix}")
    found = ExportedScorer(path).predict_scores(crops)
    assert np.ptp(expected) > 1e-2
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_finding_and_scoring_import_no_keras(files, tmp_path):
    code = f"""
import numpy as np
import facescore
image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
detector, scorer = {str(files / "faces.onnx")!r}, {str(files / "coral.onnx")!r}
faces = facescore.score(
    image, scorer=scorer, detector=detector, confidence=0.01, image_size=64
)
assert faces and all(1 <= face.score <= 5 for face in faces)
"""
    assert not imported(code, "keras", "tensorflow", "jax", cwd=tmp_path)


def test_a_file_of_something_else_is_refused(files, tmp_path):
    with pytest.raises(ValueError, match="holds no detector"):
        load_detector(files / "coral.onnx")
    with pytest.raises(ValueError, match="holds no scorer"):
        ExportedScorer(files / "faces.tflite")
    for suffix in SUFFIXES:
        with pytest.raises(ValueError, match=rf"no\{suffix}: no such file"):
            load_detector(tmp_path / f"no{suffix}")
        for data in (
            b"",
            b"\x18\0\0\0TFL3no",
            (files / f"faces{suffix}").read_bytes()[:99],
        ):
            (tmp_path / f"a{suffix}").write_bytes(data)
            with pytest.raises(ValueError, match=rf"is no whole {suffix} file"):
                load_detector(tmp_path / f"a{suffix}")


def test_only_networks_are_exported(tmp_path):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the exporters need Keras on TensorFlow")
    path = tmp_path / "a.tflite"
    with pytest.raises(ValueError, match="Only a trained detector"):
        export_detector(lambda image: [], path)
    with pytest.raises(ValueError, match="Only a trained scorer"):
        export_scorer(type("Fake", (), {"predict_scores": len}), path)
    for size in (33, (64, 48), 0):
        with pytest.raises(ValueError, match="image_size"):
            export_detector(None, path, image_size=size)
    assert not list(tmp_path.iterdir())
