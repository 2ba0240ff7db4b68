"""A style is the means and deviations of features, in every part of a picture."""

import cv2
import numpy as np
import pytest

from illustkit.errors import UserError
from illustkit.images import uint8_to_lab
from oppai.models.vgg import load_vgg_features
from oppai.translation import fill
from oppai.translation.fast_style import TwoEncoderStyleTransfer
from oppai.translation.fill import stylize
from oppai.translation.style import DEVIATIONS, StyleTransfer
from oppai.translation.tasks import make_task
from oppai.translation.translate import TranslationModel


class Features:
    """A "network" whose features are the picture: the result can be worked by hand."""

    multiple = 1
    stages = (("picture", None),)

    def __init__(self, coarse_to_fine=False):
        self.coarse_to_fine = coarse_to_fine

    def encode(self, pictures, tap):
        return pictures

    def decode(self, decoder, picture, own, mixed):
        return mixed


def test_a_style_is_its_means_and_deviations_in_every_part():
    rng = np.random.default_rng(0)
    picture = rng.integers(90, 160, (150, 140, 3)).astype("uint8")
    style = (rng.normal(size=(40, 50, 3)) * 20 + [60, 130, 200]).clip(0, 255)
    style = style.astype("uint8")
    whole = TranslationModel(Features(), make_task("stylize"), tile=10**4)
    tiled = TranslationModel(Features(), make_task("stylize"), tile=96)
    made = stylize(picture, style, whole)
    np.testing.assert_allclose(made.mean((0, 1)), style.mean((0, 1)), atol=0.6)
    np.testing.assert_allclose(made.std((0, 1)), style.std((0, 1)), atol=0.6)
    # Pixels of two parts count twice for the means of the whole.
    assert np.abs(stylize(picture, style, tiled).astype(int) - made).max() <= 4
    np.testing.assert_array_equal(stylize(picture, style, whole, strength=0), picture)
    both = stylize(picture, [style, picture], whole, weights=[3, 1])
    expected = (3 * style.mean((0, 1)) + picture.mean((0, 1))) / 4
    np.testing.assert_allclose(both.mean((0, 1)), expected, atol=0.6)
    kept = uint8_to_lab(stylize(picture, style, whole, keep_colours=True))[..., 1:]
    assert np.abs(kept - uint8_to_lab(picture)[..., 1:]).mean() < 1
    with pytest.raises(UserError, match="weights"):
        stylize(picture, style, whole, weights=[1, 2])
    with pytest.raises(UserError, match="strength"):
        stylize(picture, style, whole, strength=2)


def test_what_changes_a_large_picture_is_seen_in_small(monkeypatch):
    monkeypatch.setitem(fill.SEEN_SIDES, "picture", 40)
    rng = np.random.default_rng(0)
    picture = rng.integers(90, 160, (150, 140, 3)).astype("uint8")
    style = rng.integers(60, 90, (40, 50, 3)).astype("uint8")
    model = TranslationModel(Features(coarse_to_fine=True), make_task("stylize"))
    made = stylize(picture, style, model)
    np.testing.assert_allclose(made.mean((0, 1)), style.mean((0, 1)), atol=2)
    detail = picture - cv2.blur(picture, (9, 9)).astype(float)
    kept = made - cv2.blur(made, (9, 9)).astype(float)
    assert np.corrcoef(detail.ravel(), kept.ravel())[0, 1] > 0.99


def test_a_style_is_given_at_every_tap_the_deepest_first():
    network = StyleTransfer("relu2_1", coarse_to_fine=True)
    model = TranslationModel(network, make_task("stylize"))
    assert [tap for tap, _ in network.stages] == ["relu2_1", "relu1_1"]
    rng = np.random.default_rng(0)
    picture, style = rng.integers(0, 256, (2, 32, 40, 3)).astype("uint8")
    framed = np.pad(picture, [(32, 32), (32, 32), (0, 0)], "symmetric")
    x, other = (p[None] / np.float32(127.5) - 1 for p in (framed, style))
    for tap, decoder in network.stages:
        vgg = load_vgg_features(taps=[tap])
        (own,), (wanted,) = ([np.asarray(f) for f in vgg(p)] for p in (x, other))
        own, wanted = own / DEVIATIONS[tap], wanted / DEVIATIONS[tap]
        spread = [np.sqrt(f.var((1, 2)) + 1e-5) for f in (own, wanted)]
        mixed = (own - own.mean((1, 2))) / spread[0] * spread[1] + wanted.mean((1, 2))
        colours = decoder.get_layer("colours")
        colours.kernel.assign(rng.normal(size=colours.kernel.shape) / 40)
        x = x + np.asarray(decoder(mixed)) - np.asarray(decoder(own))
    made = np.asarray(network([framed[None] / np.float32(127.5) - 1, other]))
    np.testing.assert_allclose(made, x, atol=1e-3)
    expected = np.clip(np.rint((x[0, 32:-32, 32:-32] + 1) * 127.5), 0, 255)
    assert np.ptp(expected - picture) > 20
    assert np.abs(stylize(picture, style, model) - expected).max() <= 1
    same = stylize(picture, style, model, strength=0)
    np.testing.assert_array_equal(same, picture)


def test_a_style_s_vector_is_mixed_with_others_and_the_picture_s_own():
    network = TwoEncoderStyleTransfer(4, scale=1 / 16, tap="relu2_1")
    model = TranslationModel(network, make_task("stylize"))
    rng = np.random.default_rng(0)
    picture, style, other = rng.integers(0, 256, (3, 32, 36, 3)).astype("uint8")

    def painted(vector):
        seen = picture[None].astype("float32") / 127.5 - 1
        return model.task.result({}, np.asarray(network.painter([seen, vector])))[0]

    vectors = [
        np.asarray(network.encoder(p[None].astype("float32") / 127.5 - 1))
        for p in (picture, style, other)
    ]
    mixed = 0.4 * vectors[0] + 0.6 * (0.75 * vectors[1] + 0.25 * vectors[2])
    for expected, options in (
        (vectors[1], {"style": style}),
        (vectors[0], {"style": style, "strength": 0}),
        (mixed, {"style": [style, other], "strength": 0.6, "weights": [3, 1]}),
    ):
        found = stylize(picture, model=model, **options)
        assert np.abs(found.astype(int) - painted(expected)).max() <= 1
