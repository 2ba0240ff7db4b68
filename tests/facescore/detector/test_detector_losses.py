import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from facescore.detector.losses import (
    FaceDetector,
    assign,
    binary_crossentropy,
    ciou,
    decode,
    distribution_loss,
)
from facescore.detector.network import BINS, grid_cells
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
    boxes = np.asarray(decode(raw[..., :-1], CENTRES, STRIDES))
    rng = np.random.default_rng(1)
    true = np.tile(CENTRES, 2) + rng.uniform(1, 60, (4, 21, 4)) * (-1, -1, 1, 1)
    losses = distribution_loss(raw[..., :-1], true.astype("float32"), CENTRES, STRIDES)
    for b, c in [(0, 0), (1, 17), (3, 20), (2, 9)]:
        expected = decode_by_loop(raw[b, c, :-1], CENTRES[c], STRIDES[c])
        np.testing.assert_allclose(boxes[b, c], expected, rtol=1e-4, atol=1e-4)
        loss = 0.0
        centre, box = np.tile(CENTRES[c], 2), true[b, c]
        for i, side in enumerate((centre - box) * (1, 1, -1, -1) / STRIDES[c]):
            side = min(side, 15 - 0.01)
            logits = raw[b, c, :-1].reshape(4, BINS)[i].astype("float64")
            logs = logits - np.log(np.exp(logits).sum())
            low = int(side)
            loss -= (low + 1 - side) * logs[low] + (side - low) * logs[low + 1]
        np.testing.assert_allclose(np.asarray(losses)[b, c], loss / 4, rtol=1e-4)


def test_binary_crossentropy_is_its_definition_and_does_not_overflow():
    logits, targets = np.float32([-3, -0.5, 0, 2]), np.float32([0, 0.3, 1, 0.9])
    p = 1 / (1 + np.exp(-logits.astype("float64")))
    expected = -targets * np.log(p) - (1 - targets) * np.log(1 - p)
    np.testing.assert_allclose(
        np.asarray(binary_crossentropy(logits, targets)), expected, rtol=1e-5
    )
    extreme = binary_crossentropy(np.float32([-1e4, 1e4]), np.float32([0, 1]))
    np.testing.assert_array_equal(np.asarray(extreme), [0, 0])


def yolo_loss(rows, raw):
    """YOLOv8's sum over the batch divided by the batch's sum of targets."""
    distances, face = raw[..., :-1], raw[..., -1]
    boxes = decode(distances, CENTRES, STRIDES)
    scores = ops.sigmoid(ops.convert_to_tensor(face))
    target, owner = assign(scores, boxes, CENTRES, rows[..., :4], rows[..., 4])
    target, owner = np.asarray(target), np.asarray(owner)
    true = np.take_along_axis(rows[..., :4], owner[..., None], axis=1)
    chosen = target > 0
    total = target.sum()
    box = (1 - np.asarray(ciou(boxes, ops.convert_to_tensor(true))[1]))[chosen]
    dfl = np.asarray(distribution_loss(distances, true, CENTRES, STRIDES))[chosen]
    cls = np.asarray(binary_crossentropy(face, target))
    return {
        "box": (box * target[chosen]).sum() / total,
        "dfl": (dfl * target[chosen]).sum() / total,
        "cls": cls.sum() / total,
    }


def test_parts_average_to_the_batchs_loss_with_pictures_without_faces():
    pictures, rows, raw = batch()
    detector = FaceDetector(no_network())
    parts = detector.parts(pictures, rows, ops.convert_to_tensor(raw), True)
    for name, expected in yolo_loss(rows, raw).items():
        found = np.asarray(parts[name])
        assert found.shape == (4,)
        np.testing.assert_allclose(found.mean(), expected, rtol=1e-4)
    assert np.asarray(parts["box"])[2] == 0 and np.asarray(parts["cls"])[2] > 0
    nothing = detector.parts(pictures, 0 * rows, ops.convert_to_tensor(raw), True)
    assert all(np.isfinite(np.asarray(part)).all() for part in nothing.values())


def test_padding_does_not_matter():
    pictures, rows, raw = batch()
    padded = np.concatenate([rows, np.zeros((4, 9, 5), "float32")], axis=1)
    detector = FaceDetector(no_network())
    raw = ops.convert_to_tensor(raw)
    one = detector.parts(pictures, rows, raw, True)
    other = detector.parts(pictures, padded, raw, True)
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
    data = tf.data.Dataset.from_tensor_slices((pictures, rows)).batch(4)
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
from tests.facescore.detector.test_detector_losses import weights_after_two_steps
np.save({str(tmp_path / "weights.npy")!r}, weights_after_two_steps("mirrored"))
assert tf.distribute.get_strategy() and len(tf.config.list_logical_devices("CPU")) == 2
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one = weights_after_two_steps("one")
    assert np.abs(one - batch()[2][0]).max() > 1e-3
    np.testing.assert_allclose(np.load(tmp_path / "weights.npy"), one, atol=1e-5)


def test_it_learns_a_face_and_is_saved(tmp_path):
    keras.utils.set_random_seed(0)
    detector = FaceDetector(Slim((), (), 0))
    detector.compile(keras.optimizers.Adam(1e-2))
    pictures = np.zeros((2, 32, 32, 3), np.uint8)
    pictures[0, 8:24, 8:24] = 255
    rows = np.zeros((2, 1, 5), "float32")
    rows[0, 0] = (8, 8, 24, 24, 1)
    losses = [
        float(detector.train_on_batch(pictures, rows, return_dict=True)["loss"])
        for _ in range(20)
    ]
    assert losses[-1] < 0.8 * losses[0]
    detector.save(tmp_path / "detector.keras")
    loaded = keras.saving.load_model(tmp_path / "detector.keras")
    np.testing.assert_allclose(
        np.asarray(loaded(pictures)), np.asarray(detector(pictures)), atol=1e-5
    )
