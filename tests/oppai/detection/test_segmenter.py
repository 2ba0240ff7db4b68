import numpy as np
import pytest

from illustkit.errors import UserError
from illustkit.samples import draw_character
from oppai.detection import segmenter
from oppai.detection.segmenter import (
    DILATIONS,
    hidden_cells,
    predict_cells,
    sharpened,
    to_cells,
)
from oppai.detection.solid import (
    SOLID_DILATIONS,
    hidden_pixels,
    solid_features,
)
from oppai.detection.training import train_cell_network, train_solid_network


@pytest.fixture
def finder_weights(monkeypatch):
    """Let the detectors read the weights of another file."""

    def forget():
        segmenter.load_weights.cache_clear()
        segmenter.load_segmenter.cache_clear()

    def use(path):
        monkeypatch.setattr(segmenter, "WEIGHTS", path)
        forget()

    yield use
    forget()


def convolution_by_hand(x, kernel, bias, dilation=1):
    """A 3x3 or 1x1 convolution with zeros beyond the edge, place by place."""
    reach = dilation * (kernel.shape[0] // 2)
    padded = np.pad(x, ((reach, reach), (reach, reach), (0, 0)))
    out = np.zeros((*x.shape[:2], kernel.shape[-1])) + bias
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            y, z = i * dilation, j * dilation
            out += padded[y : y + x.shape[0], z : z + x.shape[1]] @ kernel[i, j]
    return out


def logits_by_hand(cells, weights, name, dilations):
    """The network in NumPy, float64; the samples of a cell row by row."""
    layers = {
        key.removeprefix(name).removesuffix(".w"): (value, weights[key[:-1] + "b"])
        for key, value in weights.items()
        if key.endswith(".w") and key.startswith(name)
    }
    kernel, bias = layers["embed"]
    x = np.maximum(cells @ kernel.reshape(kernel.shape[-2:]) + bias, 0)
    for k, dilation in enumerate(dilations):
        look = convolution_by_hand(x, *layers[f"look_{k}"], dilation)
        x = x + np.maximum(look, 0)
    kernel, bias = layers["share"]
    out = x @ kernel.reshape(kernel.shape[-2:]) + bias
    rows, columns = cells.shape[:2]
    return np.block(
        [[out[i, j].reshape(4, 4) for j in range(columns)] for i in range(rows)]
    )


@pytest.mark.parametrize("size", [(1, 1), (9, 17), (40, 33)])
@pytest.mark.parametrize(
    "name, channels, dilations", [("", 12, DILATIONS), ("flat.", 8, SOLID_DILATIONS)]
)
def test_the_network_equals_numpy(name, channels, dilations, size):
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(*size, 16 * channels)).astype(np.float32)
    expected = logits_by_hand(cells, segmenter.load_weights(), name, dilations)
    logits = predict_cells(cells, name, dilations)
    assert logits.shape == (4 * size[0], 4 * size[1]) and logits.std() > 0.1
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    probability = 1 / (1 + np.exp(-np.stack([logits, expected])))
    np.testing.assert_allclose(*probability, atol=1e-5)


def test_samples_of_a_cell_are_in_rows():
    samples = np.arange(8 * 12 * 2).reshape(8, 12, 2)
    cells = to_cells(samples)
    assert cells.shape == (2, 3, 32)
    np.testing.assert_array_equal(cells[1, 2].reshape(4, 4, 2), samples[4:, 8:])


@pytest.mark.usefixtures("eagerly")
def test_training_writes_weights_that_the_detector_reads(tmp_path, finder_weights):
    path = tmp_path / "weights.npz"
    picture = draw_character(3, (300, 424)).image
    np.random.seed(7)
    expected = np.random.random(3)
    np.random.seed(7)
    train_cell_network([picture], path, steps=1, batch_size=2)
    np.testing.assert_array_equal(np.random.random(3), expected)  # the caller's own
    finder_weights(path)
    features = np.random.default_rng(0).normal(size=(40, 28, 12)).astype(np.float32)
    probability = hidden_cells(features)
    with np.load(path) as file:
        weights = {key: value.astype(np.float32) for key, value in file.items()}
    logits = logits_by_hand(to_cells(features), weights, "", DILATIONS)
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-logits)), atol=1e-5)
    assert probability.std() > 0.01


@pytest.mark.usefixtures("eagerly")
def test_training_adds_a_network_to_the_weights(tmp_path, finder_weights):
    path = tmp_path / "weights.npz"
    np.savez(path, other=np.arange(3))
    picture = draw_character(11, (300, 424)).image
    model = train_solid_network([picture], path, steps=1, batch_size=2)
    finder_weights(path)
    probability = hidden_pixels(picture)
    np.testing.assert_array_equal(segmenter.load_weights()["other"], np.arange(3))
    logits = np.asarray(model(to_cells(solid_features(picture)[0])[None]))[0]
    logits = logits.reshape(48, 48, 4, 4).transpose(0, 2, 1, 3).reshape(192, 192)
    rows, columns = probability.shape
    expected = 1 / (1 + np.exp(-logits[:rows, :columns]))
    np.testing.assert_allclose(probability, expected, atol=2e-3)  # stored as float16
    assert probability.std() > 0.001


def test_options_that_cannot_work_are_refused_first(tmp_path):
    path = tmp_path / "weights.npz"
    for train in (train_cell_network, train_solid_network):
        for name in ("steps", "batch_size", "seed"):
            with pytest.raises(UserError, match=f"`{name}` must be .*Received: -1"):
                train([], path, **{name: -1})
    with pytest.raises(UserError, match="`batch_size` must be even. Received: 3"):
        train_cell_network([], path, batch_size=3)
    assert not path.exists()


def test_ramps_become_steps_and_steps_and_noise_stay():
    row = np.array([50] * 6 + [80, 150, 190] + [210] * 6 + [90] * 6, np.uint8)
    crisp = np.array([50] * 7 + [210] * 8 + [90] * 6, np.uint8)
    for turned in (False, True):
        grey = np.stack([row] * 9).T if turned else np.stack([row] * 9)
        expected = np.stack([crisp] * 9).T if turned else np.stack([crisp] * 9)
        np.testing.assert_array_equal(sharpened(grey), expected)
    noise = np.random.default_rng(0).integers(100, 109, (12, 12), np.uint8)
    np.testing.assert_array_equal(sharpened(noise), noise)
