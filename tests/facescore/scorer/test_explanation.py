import keras
import numpy as np
import pytest
from keras import layers, ops

from facescore.boxes import Face
from facescore.scorer.explanation import Explainer, explain
from facescore.scorer.model import Scorer
from facescore.scorer.networks import AlexNet, AnimeCNN, SmallNet
from facescore.scorer.saliency import (
    distinct_maps,
    feature_places,
    grad_cam,
    guided_relu,
    level_derivatives,
)
from illustkit.errors import UserError
from illustkit.images import read_image, uint8_to_signed


class Net(keras.Model):
    """Two convolutions and a dense layer, small enough for loops."""

    image_size = (6, 6)


def net(outputs=1):
    keras.utils.set_random_seed(3)
    picture = keras.Input((6, 6, 3), name="picture")
    x = layers.Conv2D(4, 3, activation="relu", name="first")(picture)
    x = layers.Conv2D(3, 3, name="second")(x)
    x = layers.Flatten()(layers.ReLU()(x))
    return Net(picture, layers.Dense(outputs, name="score")(x))


def crop(size=6, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), "uint8")


def convolve(x, kernel, bias):
    side = x.shape[0] - 2
    out = np.zeros((side, side, kernel.shape[3]))
    for i in range(side):
        for j in range(side):
            out[i, j] = np.tensordot(x[i : i + 3, j : j + 3], kernel, 3) + bias
    return out


def back(gradient, kernel):
    """Return the gradient with respect to the input of `convolve`."""
    side = gradient.shape[0] + 2
    out = np.zeros((side, side, kernel.shape[2]))
    for i in range(gradient.shape[0]):
        for j in range(gradient.shape[1]):
            out[i : i + 3, j : j + 3] += kernel @ gradient[i, j]
    return out


def guided_by_hand(network, picture, seed):
    """Return the guided gradient at the input of the second convolution, by loops."""
    first, second, score = (
        [np.float64(w) for w in network.get_layer(name).get_weights()]
        for name in ("first", "second", "score")
    )
    signed = np.float64(ops.convert_to_numpy(uint8_to_signed(picture)))
    features = np.maximum(convolve(signed, *first), 0)
    last = convolve(features, *second)
    gradient = (score[0] @ seed).reshape(last.shape)
    return back(gradient * (last > 0) * (gradient > 0), second[0])


@pytest.mark.parametrize("outputs", [1, 3])
def test_dcsm_is_that_of_loops(outputs):
    scorer = Scorer(net(outputs))
    picture = crop()
    found = Explainer(scorer)._maps(picture)
    seeds = np.array([[-1.0], [1.0]]) if outputs == 1 else np.eye(3)
    gradients = [guided_by_hand(scorer.network, picture, seed) for seed in seeds]
    saliency = np.stack([np.abs(gradient).max(axis=-1) for gradient in gradients])
    saliency /= saliency.max()
    for c, of_class in enumerate(saliency):
        others = [m for k, m in enumerate(saliency) if k != c]
        distinct = np.tanh(3 * sum(np.maximum(of_class - m, 0) for m in others))
        # The first convolution leaves out a rim of one pixel.
        np.testing.assert_allclose(found[c, 1:5, 1:5], distinct, atol=1e-5)


def test_guided_relu_leaves_out_what_lowers_and_what_is_closed():
    probe = layers.Dense(1, use_bias=False, kernel_initializer="ones")
    x = np.array([[-1.0, 2.0, 3.0, 7.0]], "float32")
    probe.build(x.shape)
    np.testing.assert_array_equal(ops.convert_to_numpy(guided_relu(x)), [[0, 2, 3, 7]])
    np.testing.assert_array_equal(guided_relu(x, 6.0), [[0, 2, 3, 6]])

    def gradient(weights, most=None):
        def total(values):
            return ops.sum(guided_relu(values, most) * np.float32(weights))

        if keras.backend.backend() == "jax":
            import jax

            return jax.grad(total)(ops.convert_to_tensor(x))
        import tensorflow as tf

        values = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(values)
            value = total(values)
        return tape.gradient(value, values)

    np.testing.assert_array_equal(gradient([[1, 1, -1, 1]]), [[0, 1, 0, 1]])
    np.testing.assert_array_equal(gradient([[1, 1, -1, 1]], 6.0), [[0, 1, 0, 0]])


def test_levels_derive_as_differences_do():
    logits, step = np.array([2.0, 0.5, -0.3, -2.0]), 1e-6

    def log_probabilities(z):
        above = 1 / (1 + np.exp(-(logits + z)))
        return np.log(-np.diff([1, *above, 0]))

    expected = (log_probabilities(step) - log_probabilities(-step)) / (2 * step)
    np.testing.assert_allclose(level_derivatives(logits), expected, atol=1e-6)


def test_coral_levels_pull_towards_themselves():
    explainer = Explainer(Scorer(net(), "coral"))
    explanation = explainer(crop())
    assert explanation.targets == ("1", "2", "3", "4", "5")
    np.testing.assert_array_equal(explanation.map("higher"), explanation.map("5"))
    assert explanation.map("1").max() > 0
    assert np.abs(explanation.map("1") - explanation.map("5")).max() > 0.1


def test_distinct_maps_subtract_the_other_classes():
    layer = np.array([[[1.0, 0.5]], [[0.25, 0.5]], [[0.0, 1.0]]])
    expected = np.tanh(3 * np.array([[[1.75, 0]], [[0.25, 0]], [[0, 1.0]]]))
    np.testing.assert_allclose(distinct_maps([layer], (2, 1)), expected, atol=1e-6)


def test_grad_cam_weights_channels_by_their_mean_gradients():
    values = np.array([[[[1.0, 2.0], [3.0, 1.0]]]])
    gradients = np.array([[[[1.0, -1.0], [3.0, -1.0]]]])
    # weights 2 and -1: 2·1 − 2 = 0 and 2·3 − 1 = 5
    np.testing.assert_allclose(grad_cam(values, gradients, (2, 1)), [[[0, 1]]])


@pytest.mark.parametrize(
    ("network", "end"),
    [
        (SmallNet(48), "stage1_0b_conv"),
        (AlexNet(99, hidden_units=4), "conv3"),
        (AnimeCNN((48, 48)), "conv3"),
    ],
)
def test_features_lie_where_a_dot_moves_them(network, end):
    """Light a dot, and see which of the features changes the most, on average."""
    tensor = network.get_layer(end).input
    (step, first), down = feature_places(network)[id(tensor)]
    assert (step, first) == down
    features = keras.Model(network.inputs[0], tensor)
    width = network.image_size[0]
    rng, offsets = np.random.default_rng(0), []
    dark = ops.convert_to_numpy(features(np.zeros((1, width, width, 3), "float32")))[0]
    for x in range(width // 2 - 8, width // 2 + 8):
        pictures = np.zeros((4, width, width, 3), "float32")
        pictures[:, :, x : x + 1] = rng.normal(size=(4, 1, 1, 3))
        change = np.abs(ops.convert_to_numpy(features(pictures)) - dark).mean((0, 1, 3))
        middle = np.average(np.arange(len(change)), weights=change)
        offsets.append(first + step * middle - x)
    assert abs(np.mean(offsets)) < 0.35 * step


def test_every_network_is_explained_at_several_sizes():
    keras.utils.set_random_seed(0)
    for network in (SmallNet(32), AnimeCNN((48, 32)), AlexNet(67, hidden_units=32)):
        scorer = Scorer(network)
        width, height = network.image_size
        for method in ("dcsm", "grad-cam"):
            explanation = Explainer(scorer, method, scales=(0.8, 1, 1.25))(crop(80))
            assert explanation.maps.shape == (2, height, width)
            assert 0 <= explanation.maps.min() < explanation.maps.max() <= 1
            assert explanation.sheet().shape == (height, 3 * width, 3)


def test_another_head_changes_the_map():
    keras.utils.set_random_seed(0)
    scorer = Scorer(SmallNet(32))
    before = Explainer(scorer)(crop(32)).map("higher")
    head = scorer.network.get_layer("score")
    head.set_weights([-w for w in head.get_weights()])
    after = Explainer(scorer)(crop(32)).map("higher")
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] < 0.5


def test_what_raises_a_score_is_found():
    """A network by hand that likes red: red above raises, what is grey does not."""
    picture = keras.Input((16, 16, 3))
    x = layers.Conv2D(1, 1, activation="relu", name="red")(picture)
    x = layers.Conv2D(1, 1, activation="relu", name="more")(x)
    network = Net(picture, layers.Dense(1)(layers.Flatten()(x)))
    network.image_size = (16, 16)
    network.set_weights(
        [np.float32(v) for v in ([[[[2], [-1], [-1]]]], [-0.5], [[[[1]]]], [-1])]
        + [np.ones((256, 1), "float32") / 256, np.zeros(1, "float32")]
    )
    shot = np.full((16, 16, 3), 128, "uint8")
    shot[2:6, 3:9] = (255, 0, 0)
    explanation = Explainer(Scorer(network))(shot)
    place = np.zeros((16, 16), bool)
    place[2:6, 3:9] = True
    assert explanation.map("higher")[place].min() > 0.9
    assert explanation.map("higher")[~place].max() == 0
    assert explanation.map("lower").max() == 0
    assert explanation.overlay()[3, 4, 0] > explanation.overlay()[3, 4, 2] + 50


def test_faces_of_a_picture_are_explained_in_order(tmp_path):
    class Two:
        def detect(self, image):
            return [Face((4, 4, 20, 20), 0.9), Face((24, 8, 36, 20), 0.5)]

    scorer = Scorer(SmallNet(16))
    first, second = explain(crop(40), scorer, detector=Two(), margin=(0, 0, 0))
    assert (first.face.box, second.face.box) == ((4, 4, 20, 20), (24, 8, 36, 20))
    assert first.face.score == first.score
    np.testing.assert_array_equal(first.crop, crop(40)[4:20, 4:20])
    path = first.save(tmp_path / "why.png")
    np.testing.assert_array_equal(read_image(path), first.sheet())
    assert first._repr_png_()[:4] == b"\x89PNG"


def test_what_cannot_be_explained_is_said():
    scorer = Scorer(SmallNet(16))
    with pytest.raises(UserError, match="dcsm"):
        Explainer(scorer, "lime")
    with pytest.raises(UserError, match="stem1_conv"):
        Explainer(scorer, layers=["conv9"])
    with pytest.raises(UserError, match="scales"):
        Explainer(scorer, scales=(0,))
    with pytest.raises(UserError, match="lower, higher"):
        Explainer(scorer)(crop(16)).map("best")
    with pytest.raises(UserError, match="train_scorer"):
        Explainer(type("Other", (), {"predict_scores": None})())
