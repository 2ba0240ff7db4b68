import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from oppai import losses
from oppai.models.vgg import (
    FrozenFeatures,
    build_vgg,
    load_vgg_features,
)
from tests.oppai.test_losses import gradient

WEIGHTS = losses.BOOK_WEIGHTS
TENSORFLOW = keras.backend.backend() == "tensorflow"


def light_vgg(dtype=None, largest=1e4):
    """A stand-in with few channels whose activations are as large as VGG16's."""
    keras.utils.set_random_seed(0)
    network = build_vgg(widths=(4, 4, 8), dtype=dtype)
    network.set_weights([np.abs(w) for w in network.get_weights()])
    top = float(ops.max(network(np.ones((1, 16, 16, 3), "float32"))[-1]))
    gain = (largest / top) ** (1 / 7)  # seven convolutions, ReLU between
    network.set_weights([gain * w for w in network.get_weights()])
    return FrozenFeatures(network)


def extremes(size):
    """Truth, prediction and mask: two extreme pairs, three masks, and no error."""
    black = np.full((size, size, 3), -1, "float32")
    board = np.indices((size, size)).sum(0)[..., None] % 2 * 2 - 1 - 0 * black
    pairs = [(black, -black), (board, -board)]
    some = np.ones((size, size, 1), "float32")
    some[::2, 30:200] = 0
    cases = [(*p, m) for p in pairs for m in (np.zeros_like(some), some, some**0)]
    cases.append((black, black, some))
    return [np.stack(side) for side in zip(*cases, strict=True)]


def check_finite(truth, prediction, mask, features):
    """The terms, `(6, batch)`, after a look at them and at the gradient."""

    def loss(x, truth, mask):
        terms = losses.loss_terms(truth, x, mask, features=features)
        return sum(losses.PAPER_WEIGHTS[k] * ops.sum(v) for k, v in terms.items())

    slope = gradient(loss, prediction, truth, mask)
    assert np.isfinite(slope).all() and slope.any()
    terms = losses.loss_terms(truth, prediction, mask, features=features)
    values = np.stack([ops.convert_to_numpy(v) for v in terms.values()])
    assert np.isfinite(values).all()
    return values


def test_extreme_pictures_of_256_px_stay_finite_in_bfloat16():
    values = check_finite(*extremes(256), light_vgg("mixed_bfloat16"))
    assert values.shape == (6, 7)
    assert (values[2:4, :6] > 0).all()  # black for white costs something
    assert not values[:, 6].any()  # and the truth itself costs nothing


@pytest.mark.large
def test_full_vgg_in_bfloat16_stays_finite():
    features = FrozenFeatures(build_vgg(dtype="mixed_bfloat16"))
    check_finite(*(array[3:4] for array in extremes(256)), features)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_pictures_reach_the_caffe_scale_in_float32(policy):
    network = build_vgg(dtype=policy)
    caffe = network.get_layer("caffe")(np.full((1, 1, 1, 3), 0.9, "float32"))
    expected = 242.25 - np.array([103.939, 116.779, 123.68])
    np.testing.assert_allclose(np.ravel(caffe), expected, rtol=1e-5)
    taps = network(np.zeros((1, 8, 8, 3), "float32"))
    dtypes = {keras.backend.standardize_dtype(tap.dtype) for tap in taps}
    assert dtypes == {policy.removeprefix("mixed_")}


class Painter(keras.Model):
    """One convolution that learns by all six terms."""

    def __init__(self, features):
        super().__init__()
        self.paint = keras.layers.Conv2D(3, 3, padding="same")
        self.features = features
        self.terms = {name: keras.metrics.Mean(name=name) for name in sorted(WEIGHTS)}

    def build(self, shape):
        self.paint.build(shape)
        self.built = True

    def call(self, x):
        return self.paint(x)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        mask = ops.cast(y[..., :1] > 0, "float32")
        terms = losses.loss_terms(y, y_pred, mask, features=self.features)
        for name, term in terms.items():
            self.terms[name].update_state(term)
        return sum(ops.mean(WEIGHTS[name] * term) for name, term in terms.items())


def test_the_network_is_neither_trained_nor_saved_with_its_holder(tmp_path):
    features = light_vgg()
    before = [w.copy() for w in features.network.get_weights()]
    model = Painter(features)
    model.build((None, 16, 16, 3))
    model.compile("sgd")
    y = np.random.default_rng(0).uniform(-1, 1, (4, 16, 16, 3)).astype("float32")
    start = model.get_weights()
    history = model.fit(y[::-1], y, batch_size=2, verbose=0).history
    assert history["style_comp"][0] > 0
    assert len(model.weights) == len(model.trainable_weights) == 2
    assert not np.array_equal(model.get_weights()[0], start[0])
    for now, then in zip(features.network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)

    model.save_weights(tmp_path / "painter.weights.h5")
    bare = Painter(None)
    bare.build((None, 16, 16, 3))
    bare.load_weights(tmp_path / "painter.weights.h5")
    np.testing.assert_array_equal(bare.get_weights()[0], model.get_weights()[0])


# The gradient of two replicas, each with half the batch, must be that of one.
REPLICAS = """
import sys
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[1]))
import keras
from illustkit.runtime import get_strategy, replicas, scope
from tests.oppai.models.test_features import Painter, light_vgg

class Scaled(Painter):
    def compute_loss(self, *args, **kwargs):
        return super().compute_loss(*args, **kwargs) / int(sys.argv[1])

strategy = get_strategy("mirrored")
with scope(strategy):
    model = Scaled(light_vgg())
    model.build((None, 16, 16, 3))
    model.set_weights([w * 0.1 for w in model.get_weights()])
    model.compile(keras.optimizers.SGD(1e-7))
y = np.random.default_rng(0).uniform(-1, 1, (8, 16, 16, 3)).astype("float32")
model.fit(y[::-1], y, batch_size=4, shuffle=False, verbose=0)
print(*model.get_weights()[0].ravel())
"""


@pytest.mark.large
@pytest.mark.skipif(not TENSORFLOW, reason="tf.distribute is TensorFlow's")
def test_features_made_in_a_strategy_serve_its_replicas():
    weights = []
    for n in "12":
        command = [sys.executable, "-c", REPLICAS, n]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        weights.append(np.array(done.stdout.splitlines()[-1].split(), "float64"))
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-5)


def test_without_weights_there_are_no_features():
    assert load_vgg_features(None) is None


def test_the_features_of_one_tap_are_a_list_of_one_whole_batch():
    pictures = np.random.default_rng(0).uniform(-1, 1, (3, 16, 16, 3))
    both = load_vgg_features(taps=["relu1_1", "relu2_1"])(pictures)
    (alone,) = load_vgg_features(taps=["relu2_1"])(pictures)
    assert alone.shape == (3, 8, 8, 128)
    np.testing.assert_array_equal(ops.convert_to_numpy(alone), both[1])
