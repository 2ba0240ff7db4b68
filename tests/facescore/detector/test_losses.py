import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from facescore.detector.grid import BINS, decode, grid_cells
from facescore.detector.losses import FaceDetector, distribution_loss
from facescore.detector.network import DetectorNetwork
from facescore.detector.prediction import Detector, candidates
from tests.conftest import ROOT
from tests.facescore.detector.test_assignment import assign_by_loop, ciou_of_one
from tests.facescore.slim import Slim

CENTRES, STRIDES = grid_cells((32, 32))  # 16 + 4 + 1 cells


def no_network():
    """A model that gives its pictures back, for what needs no predictions."""
    pictures = keras.Input((32, 32, 3))
    return keras.Model(pictures, keras.layers.Identity()(pictures))


class Replay(FaceDetector):
    """A detector whose predictions are weights of its own."""

    def __init__(self, raw):
        super().__init__(no_network())
        self.raw = self.add_weight(shape=raw.shape, initializer="zeros")
        self.raw.assign(raw)

    def call(self, pictures, training=False):
        return self.raw[None] + 0.0 * ops.sum(pictures, (1, 2))[:, :1, None]


def batch(seed=0, n=4):
    rng = np.random.default_rng(seed)
    raw = rng.normal(0, 1, (n, 21, 4 * BINS + 1)).astype("float32")
    rows = np.zeros((n, 3, 5), "float32")
    rows[0, 0] = (2, 3, 20, 25, 1)
    rows[0, 1] = (12, 12, 30, 31, 1)
    rows[1, 0] = (5, 5, 14, 14, 1)
    rows[3, :2] = [(1, 1, 12, 12, 1), (16, 2, 31, 30, 1)]  # the third has none
    return np.zeros((n, 32, 32, 3), "float32"), rows, raw


def decode_by_loop(row, centre, stride):
    sides = []
    for logits in row.reshape(4, BINS).astype("float64"):
        weights = np.exp(logits)
        sides.append(stride * sum(i * w for i, w in enumerate(weights)) / weights.sum())
    (x, y), (left, top, right, bottom) = centre, sides
    return x - left, y - top, x + right, y + bottom


def test_decode_and_distribution_loss_against_a_loop():
    _, _, raw = batch()
    boxes = decode(raw[..., :-1], CENTRES, STRIDES)
    tensors = decode(ops.convert_to_tensor(raw[..., :-1]), CENTRES, STRIDES)
    np.testing.assert_allclose(np.asarray(tensors), boxes, rtol=1e-4, atol=1e-4)
    rng = np.random.default_rng(1)
    true = np.tile(CENTRES, 2) + rng.uniform(1, 60, (4, 21, 4)) * (-1, -1, 1, 1)
    losses = distribution_loss(raw[..., :-1], true.astype("float32"), CENTRES, STRIDES)
    for b, c in [(0, 0), (1, 17), (3, 20), (2, 9)]:
        expected = decode_by_loop(raw[b, c, :-1], CENTRES[c], STRIDES[c])
        np.testing.assert_allclose(boxes[b, c], expected, rtol=1e-4, atol=1e-4)
        loss = distribution_loss_by_loop(
            raw[b, c, :-1], CENTRES[c], STRIDES[c], true[b, c]
        )
        np.testing.assert_allclose(np.asarray(losses)[b, c], loss, rtol=1e-4)


def near_the_faces(rows):
    """Predictions of a network that has learnt a little: boxes near the true ones."""
    rng = np.random.default_rng(2)
    raw = rng.normal(0, 1, (len(rows), 21, 4 * BINS + 1)).astype("float32")
    for picture, faces in zip(raw, rows, strict=True):
        for c, (centre, stride) in enumerate(zip(CENTRES, STRIDES, strict=True)):
            apart = np.abs(faces[:, :2] + faces[:, 2:4] - 2 * centre).sum(axis=1)
            box = faces[np.argmin(apart + 1e6 * (faces[:, 4] == 0)), :4]
            sides = (np.tile(centre, 2) - box) * (1, 1, -1, -1) / stride
            bins = np.arange(BINS) - sides[:, None]
            picture[c, :-1] = (rng.normal(0, 0.3, (4, BINS)) - bins**2).ravel()
    return raw


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def distribution_loss_by_loop(row, centre, stride, box):
    loss = 0.0
    sides = (np.tile(centre, 2) - box) * (1, 1, -1, -1) / stride
    for logits, side in zip(row.reshape(4, BINS).astype("float64"), sides, strict=True):
        side = min(max(side, 0.0), 15 - 0.01)
        logs = logits - np.log(np.exp(logits).sum())
        low = int(side)
        loss -= (low + 1 - side) * logs[low] + (side - low) * logs[low + 1]
    return loss / 4


def yolo_loss(rows, raw):
    """YOLOv8's loss, cell by cell: sums over the batch over the sum of its targets.

    Nothing here is the code under test: boxes, CIoU, assignment and cross-entropies
    are loops over float64.
    """
    sums, total = {"box": 0.0, "cls": 0.0, "dfl": 0.0}, 0.0
    for picture, faces in zip(
        raw.astype("float64"), rows.astype("float64"), strict=True
    ):
        boxes = [
            decode_by_loop(cell[:-1], *place)
            for cell, *place in zip(picture, CENTRES, STRIDES, strict=True)
        ]
        scores = sigmoid(picture[:, -1])
        target, owners = assign_by_loop(
            scores, boxes, CENTRES, faces[:, :4], faces[:, 4], 10
        )
        total += target.sum()
        for c, weight in enumerate(target):
            p = scores[c]
            sums["cls"] -= weight * np.log(p) + (1 - weight) * np.log(1 - p)
            if c not in owners:
                continue
            true = faces[owners[c], :4]
            sums["box"] += weight * (1 - ciou_of_one(true, boxes[c])[1])
            sums["dfl"] += weight * distribution_loss_by_loop(
                picture[c, :-1], CENTRES[c], STRIDES[c], true
            )
    return {name: value / max(total, 1) for name, value in sums.items()}


def test_extreme_logits_do_not_overflow():
    loss = ops.binary_crossentropy([0.0, 1.0], [-1e4, 1e4], from_logits=True)
    np.testing.assert_array_equal(np.asarray(loss), [0, 0])


def test_terms_average_to_the_batchs_loss_with_pictures_without_faces():
    pictures, rows, _ = batch()
    raw = near_the_faces(rows)
    detector = FaceDetector(no_network())
    terms = detector.terms(pictures, rows, ops.convert_to_tensor(raw), True)
    for name, expected in yolo_loss(rows, raw).items():
        term = np.asarray(terms[name])
        assert term.shape == (4,)
        np.testing.assert_allclose(term.mean(), expected, rtol=1e-4)
    assert np.asarray(terms["box"])[2] == 0 and np.asarray(terms["cls"])[2] > 0


@pytest.mark.parametrize("n_faces", [0, 1])
def test_a_batch_with_hardly_a_target_weighs_what_it_does_in_yolov8(n_faces):
    """YOLOv8 divides by the sum of the targets over the batch, and by 1 at least."""
    pictures, rows, _ = batch()
    rows[[0, 3]] = 0
    rows[1, 0] = (9, 9, 15, 15, n_faces)  # the centre of one cell lies in it
    raw = near_the_faces(rows)
    detector = FaceDetector(no_network())
    terms = detector.terms(pictures, rows, ops.convert_to_tensor(raw), True)
    expected = yolo_loss(rows, raw)
    assert expected["cls"] > 1  # of all cells of four pictures, over 1
    for name in terms:
        np.testing.assert_allclose(
            np.asarray(terms[name]).mean(), expected[name], rtol=1e-4
        )


def test_padding_does_not_matter():
    pictures, rows, raw = batch()
    padded = np.concatenate([rows, np.zeros((4, 9, 5), "float32")], axis=1)
    detector = FaceDetector(no_network())
    raw = ops.convert_to_tensor(raw)
    one = detector.terms(pictures, rows, raw, True)
    other = detector.terms(pictures, padded, raw, True)
    for name in one:
        np.testing.assert_allclose(
            np.asarray(one[name]), np.asarray(other[name]), rtol=1e-5
        )


def weights_after_two_steps(kind):
    """Train `Replay` under a strategy on the same batch, and return its weights."""
    import tensorflow as tf

    from illustkit.runtime import get_strategy, scope

    pictures, rows, raw = batch()
    with scope(get_strategy(kind)):
        detector = Replay(raw[0])
        detector.compile(keras.optimizers.SGD(0.1))
    for targets in (rows, 0 * rows):  # without a face the floor of the sum decides
        data = tf.data.Dataset.from_tensor_slices((pictures, targets)).batch(4)
        detector.fit(data, epochs=2, verbose=0)
    return np.asarray(detector.raw)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's"
)
@pytest.mark.large  # the same of a whole training: tests/accelerators
def test_two_replicas_make_the_steps_of_one(tmp_path):
    # Half of the batch has one face, half three: no replica knows the sum alone.
    code = f"""
import tensorflow as tf
two = [tf.config.LogicalDeviceConfiguration()] * 2
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, two)
import numpy as np
from tests.facescore.detector.test_losses import weights_after_two_steps
np.save({str(tmp_path / "weights.npy")!r}, weights_after_two_steps("mirrored"))
assert tf.distribute.get_strategy() and len(tf.config.list_logical_devices("CPU")) == 2
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one = weights_after_two_steps("one")
    assert np.abs(one - batch()[2][0]).max() > 1e-3
    np.testing.assert_allclose(np.load(tmp_path / "weights.npy"), one, atol=1e-5)


@pytest.fixture
def one_face():
    """A white square on black with its box, and a black picture."""
    pictures = np.zeros((2, 32, 32, 3), np.uint8)
    pictures[0, 8:24, 8:24] = 255
    rows = np.zeros((2, 1, 5), "float32")
    rows[0, 0] = (8, 8, 24, 24, 1)
    return pictures, rows


@pytest.mark.usefixtures("eagerly")
def test_the_real_network_learns_a_face_and_detects(one_face):
    """With its sixty batch normalisations, which detection folds away."""
    keras.utils.set_random_seed(0)
    detector = FaceDetector(DetectorNetwork((4, 4, 8, 8, 8), (1, 1, 1, 1), 4))
    detector.compile(keras.optimizers.Adam(1e-2))
    losses = [detector.train_on_batch(*one_face, return_dict=True) for _ in range(3)]
    assert losses[-1]["loss"] < losses[0]["loss"]
    faces = Detector(detector.network).detect(
        one_face[0][0], confidence=0.0, image_size=32, top=1
    )
    raw = np.asarray(detector.network(one_face[0][:1]))[0]
    boxes, scores = candidates(raw, (32, 32), 0.0)
    assert faces[0].confidence == pytest.approx(scores.max(), rel=1e-3)
    expected = np.clip(boxes[scores.argmax()], 0, 32)
    np.testing.assert_allclose(faces[0].box, expected, atol=0.05)


def test_it_is_saved_with_the_weights_of_its_terms(one_face, tmp_path):
    detector = FaceDetector(Slim((), (), 0))
    detector.compile(keras.optimizers.Adam(1e-2), loss_weights={"box": 5.0})
    assert detector.term_weights == {"box": 5.0, "cls": 0.5, "dfl": 1.5}
    detector.save(tmp_path / "detector.keras")
    loaded = keras.saving.load_model(tmp_path / "detector.keras")
    assert loaded.term_weights == detector.term_weights
    pictures, _ = one_face
    np.testing.assert_allclose(
        np.asarray(loaded(pictures)), np.asarray(detector(pictures)), atol=1e-5
    )
    old = {**detector.get_config(), "part_weights": {"box": 1, "cls": 2, "dfl": 3}}
    del old["term_weights"]
    assert FaceDetector.from_config(old).term_weights["dfl"] == 3
