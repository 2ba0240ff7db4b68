"""The networks of the surveys have their papers' sizes and see what they should."""

import keras
import numpy as np
import pytest

from illustkit.errors import UserError
from oppai.translation.colorization import ColorizationNetwork
from oppai.translation.completion import (
    CompletionDiscriminator,
    CompletionNetwork,
    ResidualCompletionNetwork,
)
from oppai.translation.fast_style import FastStyleNetwork, StyleEncoder
from oppai.translation.pix2pix import Pix2PixUNet
from oppai.translation.segmentation import BilinearUpsampling, FCN8s, UNet
from oppai.translation.sketch import SketchDiscriminator, SketchNetwork, line_weights
from oppai.translation.style import StyleDecoder, adapt, moments

# Counts of the papers, or of their authors' published networks.
COUNTS = [
    (Pix2PixUNet, (), 54_413_955),
    (CompletionNetwork, (), 6_072_131),
    (CompletionDiscriminator, (), 45_063_681),
    (ColorizationNetwork, (205,), 42_367_343),
    (SketchNetwork, (), 44_845_185),
    (SketchDiscriminator, (), 1_591_169),
    (StyleDecoder, (), 3_505_219),
    # Johnson's for one style in Torch's examples, and what mixes the vector in.
    (FastStyleNetwork, (100,), 1_679_235 + 128 * (128 + 100) + 128 + 2 * 128),
    (StyleEncoder, (100,), 7_808 + 18_496 + 73_856 + 147_584 + 129 * 100),
    (UNet, (), 31_030_658),
    (FCN8s, (), 134_362_751),
]


def n_weights(network):
    return sum(int(np.prod(w.shape)) for w in network.trainable_weights)


@pytest.mark.parametrize("build, arguments, count", COUNTS)
def test_it_has_as_many_weights_as_the_paper_s(monkeypatch, build, arguments, count):
    # Zeros: what 45 million random numbers take is not what is tested.
    zeros = keras.initializers.Zeros.__call__
    for name in ("HeNormal", "GlorotUniform", "RandomNormal"):
        cls = getattr(keras.initializers, name)
        monkeypatch.setattr(cls, "__call__", lambda self, *a, **k: zeros(None, *a, **k))
    assert n_weights(build(*arguments)) == count


SMALL = {
    "pix2pix": (lambda: Pix2PixUNet(filters=2, depth=4), (1, 32, 48, 3), 3),
    "completion": (lambda: CompletionNetwork(filters=4), (1, 24, 32, 4), 3),
    "sketch": (lambda: SketchNetwork(1 / 32), (1, 24, 32, 1), 1),
    "unet": (lambda: UNet(3, 4, filters=2), (1, 32, 48, 3), 4),
    "fcn": (lambda: FCN8s(4, scale=1 / 64), (1, 32, 64, 3), 4),
}


@pytest.mark.parametrize("name", SMALL)
def test_a_picture_comes_back_at_its_size(name):
    build, shape, channels = SMALL[name]
    network = build()
    picture = np.random.default_rng(0).uniform(0, 1, shape).astype("float32")
    assert network(picture).shape == (*shape[:3], channels)
    assert shape[1] % network.multiple == 0
    with pytest.raises((UserError, ValueError)):
        network(np.repeat(picture, 2, axis=-1))


def test_the_u_net_refuses_sides_that_it_cannot_halve():
    with pytest.raises(UserError, match="multiples of 16"):
        Pix2PixUNet(filters=2, depth=4)(np.zeros((1, 24, 32, 3), "float32"))
    with pytest.raises(UserError, match="4 or more"):
        Pix2PixUNet(depth=3)


def test_the_local_features_see_little_and_the_global_ones_everything():
    """What the small picture shows changes the colours only by the global branch."""
    small = np.zeros((1, 32, 32, 1), "float32")
    far = []
    for whole in (False, True):
        keras.utils.set_random_seed(0)
        network = ColorizationNetwork(whole=whole, scale=1 / 32, global_size=32)
        picture = np.full((1, 16, 16, 1), 0.5, "float32")
        other = small.copy()
        other[0, :8] = 1
        a, b = (np.asarray(network([picture, s])) for s in (small, other))
        assert a.shape == (1, 16, 16, 2)
        far.append(np.abs(a - b).max())
    assert far[0] == 0 and far[1] > 1e-6


def test_the_classes_and_the_hints_have_their_places():
    network = ColorizationNetwork(3, hints=True, scale=1 / 32, global_size=32)
    rng = np.random.default_rng(0)
    picture = rng.uniform(0, 1, (2, 16, 24, 4)).astype("float32")
    small = rng.uniform(0, 1, (2, 32, 32, 1)).astype("float32")
    colours, classes = network([picture, small])
    assert colours.shape == (2, 16, 24, 2) and classes.shape == (2, 3)
    without = picture.copy()
    without[..., 1:] = 0
    assert np.abs(colours - network([without, small])[0]).max() > 1e-6
    np.testing.assert_array_equal(classes, network([without, small])[1])


def test_completion_sees_far_through_its_dilated_convolutions():
    """It sees 307 rows: those 100 away, and not those 156 away."""
    keras.utils.set_random_seed(1)
    network = CompletionNetwork(filters=4)
    rng = np.random.default_rng(0)
    picture = rng.uniform(0, 1, (1, 320, 8, 4)).astype("float32")
    before = np.asarray(network(picture))[0, 160]
    changed = []
    for rows in (slice(0, 4), slice(20, 60), slice(260, 300), slice(316, 320)):
        other = picture.copy()
        other[0, rows] = rng.uniform(0, 1, other[0, rows].shape)
        changed.append(np.abs(np.asarray(network(other))[0, 160] - before).max() > 0)
    assert changed == [False, True, True, False]


def test_residual_completion_begins_at_the_filter_s_result():
    network = ResidualCompletionNetwork((4, 8), (0, 1))
    seen = np.random.default_rng(0).uniform(0, 1, (1, 16, 24, 4)).astype("float32")
    np.testing.assert_allclose(network(seen), seen[..., :3], atol=1e-6)
    network.get_layer("last").bias.assign([0.2] * 3)
    expected = seen[..., :3] + 0.1 * seen[..., 3:]
    np.testing.assert_allclose(network(seen), expected, atol=1e-6)
    with pytest.raises(ValueError, match="equally long"):
        ResidualCompletionNetwork((4, 8), (1,))


def test_a_coarser_fcn_learns_its_own_scores_alone():
    names = {32: ["score_32"], 16: ["score_32", "score_16"]}
    names[8] = [*names[16], "score_8"]
    for stride, expected in names.items():
        network = FCN8s(3, scale=1 / 64, stride=stride)
        learnt = {v.path.split("/")[0] for v in network.trainable_weights}
        assert sorted(n for n in learnt if "score" in n) == sorted(expected)
        assert FCN8s.from_config(network.get_config()).stride == stride
    with pytest.raises(UserError, match="stride"):
        FCN8s(3, stride=4)


def test_a_discriminator_judges_the_whole_and_the_part():
    judge = CompletionDiscriminator(64, filters=2, units=8)
    rng = np.random.default_rng(0)
    whole, part = (rng.uniform(0, 1, (2, s, s, 3)).astype("float32") for s in (64, 32))
    logits = np.asarray(judge([whole, part]))
    assert logits.shape == (2, 1)
    assert np.abs(logits - judge([whole, part[::-1]])).max() > 1e-7
    assert np.abs(logits - judge([whole[::-1], part])).max() > 1e-7
    assert SketchDiscriminator(64, filters=2)(whole[..., :1]).shape == (2, 1)


def test_lines_and_what_is_rare_around_a_pixel_count_most():
    """Against a loop over the pixels; the rim is mirrored."""
    rng = np.random.default_rng(0)
    lines = np.where(rng.random((12, 14)) < 0.2, rng.random((12, 14)), 1.0)
    lines = lines.astype("float32")
    weights = line_weights(lines)
    bins = np.minimum((lines * 10).astype(int), 9)
    padded = np.pad(bins, 2, mode="reflect")
    for i in range(12):
        for j in range(14):
            share = (padded[i : i + 5, j : j + 5] == bins[i, j]).mean()
            expected = 1 if bins[i, j] == 0 else min(6 * np.exp(-share) - 2, 1)
            assert weights[i, j] == pytest.approx(expected, abs=1e-5)
    blank = line_weights(np.ones((8, 8), "float32"))
    np.testing.assert_allclose(blank, 6 * np.exp(-1) - 2, rtol=1e-5)


def test_enlarging_is_that_of_a_bilinear_transposed_convolution():
    """Torch's formula by a loop: each pixel adds its kernel to the result."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 4, 2)).astype("float32")
    for factor in (2, 3):
        side = 2 * factor - factor % 2
        line = 1 - np.abs(np.arange(side) - (side - 1) / 2) / factor
        kernel = line[:, None] * line
        cut = (side - factor) // 2
        full = np.zeros((2, 3 * factor + side, 4 * factor + side, 2))
        for i in range(3):
            for j in range(4):
                place = np.s_[:, i * factor : i * factor + side]
                full[place][:, :, j * factor : j * factor + side] += (
                    x[:, i, j][:, None, None] * kernel[..., None]
                )
        expected = full[:, cut : cut + 3 * factor, cut : cut + 4 * factor]
        result = BilinearUpsampling(factor)(x)
        np.testing.assert_allclose(np.asarray(result), expected, atol=1e-5)


def test_adapted_features_have_the_moments_of_the_style():
    rng = np.random.default_rng(0)
    content = rng.normal(3, 2, (2, 6, 5, 4)).astype("float32")
    style = rng.normal(-1, 0.5, (2, 9, 7, 4)).astype("float32")
    adapted = np.asarray(adapt(content, style))
    np.testing.assert_allclose(adapted.mean((1, 2)), style.mean((1, 2)), atol=1e-4)
    np.testing.assert_allclose(adapted.std((1, 2)), style.std((1, 2)), atol=1e-3)
    mean, deviation = moments(style)
    assert mean.shape == deviation.shape == (2, 1, 1, 4)
    # What is equal in all pixels has no deviation to divide by.
    assert np.isfinite(
        np.asarray(adapt(np.ones((1, 4, 4, 1), "float32"), style[:1, ..., :1]))
    ).all()
