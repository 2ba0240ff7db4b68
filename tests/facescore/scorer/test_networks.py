import keras
import numpy as np
import pytest
from keras import ops

from facescore.scorer.networks import (
    AlexNet,
    AnimeCNN,
    CoverAllMaxPool,
    LocalResponseNormalization,
    SmallNet,
)
from tests.layer_checks import gradients


def normalise(x, n, k, alpha, beta):
    """Local response normalisation, one value after the other."""
    x = x.astype("float64")
    out = np.zeros_like(x)
    channels = x.shape[-1]
    for index in np.ndindex(x.shape):
        *place, i = index
        about = range(max(0, i - n // 2), min(channels, i + n // 2 + 1))
        total = sum(x[(*place, j)] ** 2 for j in about)
        out[index] = x[index] / (k + alpha * total) ** beta
    return out


def cover_all(x, size, stride):
    """Max pooling of Chainer, written as its C loop: the last window may hang over."""
    b, h, w, c = x.shape
    rows, columns = ((s - size + stride - 1) // stride + 1 for s in (h, w))
    out = np.full((b, rows, columns, c), -np.inf)
    for i in range(rows):
        for j in range(columns):
            for y in range(i * stride, min(i * stride + size, h)):
                for z in range(j * stride, min(j * stride + size, w)):
                    out[:, i, j] = np.maximum(out[:, i, j], x[:, y, z])
    return out


@pytest.mark.parametrize(
    "options",
    [
        {"n": 5, "k": 2.0, "alpha": 1e-4, "beta": 0.75},
        {"n": 3, "k": 1.0, "alpha": 0.1, "beta": 0.5},
        {"n": 11, "k": 0.5, "alpha": 0.01, "beta": 1.0},
    ],
)
def test_normalisation_is_that_of_a_loop_and_of_tensorflow(options):
    x = np.random.default_rng(0).normal(0, 60, (2, 3, 2, 7)).astype("float32")
    ours = ops.convert_to_numpy(LocalResponseNormalization(**options)(x))
    np.testing.assert_allclose(ours, normalise(x, **options), rtol=2e-6)
    if options["n"] == 5:
        default = LocalResponseNormalization()
        np.testing.assert_array_equal(ops.convert_to_numpy(default(x)), ours)
    tf = pytest.importorskip("tensorflow")
    theirs = tf.nn.local_response_normalization(
        x, options["n"] // 2, options["k"], options["alpha"], options["beta"]
    )
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=2e-6)


def test_normalisation_has_the_derivative_of_its_formula():
    options = {"n": 3, "k": 1.0, "alpha": 0.1, "beta": 0.75}
    rng = np.random.default_rng(1)
    x, weight = rng.normal(0, 3, (2, 1, 1, 4)), rng.normal(size=(2, 1, 1, 4))
    x = x.astype("float32")
    layer = LocalResponseNormalization(**options)
    (found,) = gradients(lambda x: ops.sum(layer(x) * weight.astype("float32")), [x])
    for index in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[index] = 1e-4
        up, down = (normalise(x + s, **options) for s in (step, -step))
        slope = np.sum((up - down) * weight) / 2e-4
        assert found[index] == pytest.approx(slope, abs=1e-4)


@pytest.mark.parametrize("size, stride", [(3, 2), (2, 2), (3, 3), (4, 3), (3, 1)])
@pytest.mark.parametrize("height, width", [(8, 7), (5, 6), (9, 4)])
def test_pooling_is_that_of_chainer(size, stride, height, width):
    # All below zero: a border of zeros would win.
    x = -np.random.default_rng(0).uniform(1, 2, (2, height, width, 3))
    pooled = CoverAllMaxPool(size, stride)(x.astype("float32"))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(pooled), cover_all(x.astype("float32"), size, stride)
    )


def test_pooling_hands_the_gradient_to_the_greatest_value_alone():
    x = np.arange(16.0, dtype="float32").reshape(1, 4, 4, 1)
    (found,) = gradients(lambda x: ops.sum(CoverAllMaxPool()(x)), [x])
    expected = np.zeros((4, 4))
    expected[2, 2] = expected[2, 3] = expected[3, 2] = expected[3, 3] = 1
    np.testing.assert_array_equal(found[0, ..., 0], expected)


@pytest.mark.parametrize(
    "image_size, features",
    [((640, 360), 53_504), (360, 30_976), (227, 9_216), ((360, 640), 53_504)],
)
def test_the_features_of_alexnet_and_its_convolutions(image_size, features):
    network = AlexNet(image_size, hidden_units=2)
    assert network.get_layer("features").output.shape == (None, features)
    assert network.output.shape == (None, 1)
    # conv1-5: 3,747,200; then fc6, fc7 and the score
    dense = (features * 2 + 2) + (2 * 2 + 2) + (2 + 1)
    assert network.count_params() == 3_747_200 + dense


def test_the_sides_of_alexnet_are_those_of_chainer():
    network = AlexNet((640, 360), hidden_units=2)
    names = "conv1", "pool1", "conv2", "pool2", "conv5", "pool5"
    sides = [network.get_layer(name).output.shape[1:3] for name in names]
    assert sides == [(88, 158), (44, 79), (44, 79), (22, 39), (22, 39), (11, 19)]


@pytest.mark.large
@pytest.mark.parametrize(
    "image_size, hidden, count",
    [
        ((640, 360), 4096, 239_689_089),
        (360, 4096, 147_414_401),
        (360, 1024, 3_747_200 + 30_976 * 1024 + 1024 + 1024 * 1024 + 1024 + 1025),
    ],
)
def test_the_parameters_of_alexnet(image_size, hidden, count):
    assert AlexNet(image_size, hidden_units=hidden).count_params() == count


def test_animecnn_is_that_of_the_first_year():
    network = AnimeCNN()
    assert network.input.shape == (None, 96, 144, 3)
    assert network.get_layer("features").output.shape == (None, 13_824)
    convolutions = (75 + 1 - 1) * 32 + 32 + 25 * 32 * 32 + 32 + 25 * 32 * 64 + 64
    assert network.count_params() == convolutions + 13_824 * 128 + 128 + 129


def test_the_small_network_is_small():
    network = SmallNet(96)
    assert 300_000 < network.count_params() < 1_000_000
    assert network.get_layer("features").output.shape == (None, 6 * 6 * 32)


@pytest.mark.parametrize(
    "network",
    [
        AlexNet((40, 32), hidden_units=4, dropout=0.1),
        AnimeCNN((16, 24), dropout=0.0),
        SmallNet((20, 16), widths=(4, 6, 8), depth=2, places=3, dropout=0.1),
    ],
    ids=lambda network: type(network).__name__,
)
def test_a_network_comes_back_from_its_file(network, tmp_path):
    x = np.random.default_rng(0).uniform(-1, 1, (2, *network.input.shape[1:]))
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras", safe_mode=True)
    assert type(again) is type(network) and again.get_config() == network.get_config()
    np.testing.assert_array_equal(network.predict(x), again.predict(x))


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: LocalResponseNormalization(4), "Received: n=4"),
        (lambda: LocalResponseNormalization(k=0), "k=0"),
        (lambda: CoverAllMaxPool(2, 3), "pool_size=2, strides=3"),
        (lambda: AlexNet(10), "11 pixels or more. Received: 10"),
        (lambda: AnimeCNN((96, 100)), r"a multiple of 8. Received: \(96, 100\)"),
        (lambda: SmallNet((32, 32, 32)), "Received: "),
    ],
)
def test_wrong_arguments_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
