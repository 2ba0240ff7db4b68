import keras
import numpy as np
import pytest
from keras import ops

from illustkit.errors import UserError
from illustkit.samples import draw_face_icon
from illustkit.training.adversarial import AdversarialAdam, SpectralConv2D
from oppai.data.batches import as_batch, held_out_cases
from oppai.models.discriminators import AdversarialRestorer, PatchGAN
from oppai.models.mosaic_unet import MosaicUNet
from oppai.models.pconv_unet import PConvUNet
from oppai.models.restorers import MosaicRestorer, Restorer
from oppai.models.vgg import FrozenFeatures
from tests.layer_checks import gradients


def learnt(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


def test_the_discriminator_of_the_paper_has_its_weights():
    """By hand: 4·4·in·out, biases of two layers, γ and β of three BatchNorms."""
    network = PatchGAN()
    kernels = 16 * (6 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    assert learnt(network) == kernels + 64 + 1 + 2 * (128 + 256 + 512) == 2_768_705
    assert learnt(PatchGAN(3)) == 2_768_705 - 16 * 3 * 64 == 2_765_633
    # A bias instead of γ and β.
    assert learnt(PatchGAN(norm="none")) == 2_768_705 - (128 + 256 + 512)
    assert learnt(PatchGAN(spectral_norm=True)) == 2_768_705
    for layer in network.layers:
        if hasattr(layer, "kernel"):
            values = ops.convert_to_numpy(layer.kernel)
            assert abs(values.std() - 0.02) < 1e-3 and abs(values.mean()) < 1e-3
        if hasattr(layer, "gamma"):
            values = ops.convert_to_numpy(layer.gamma)
            assert abs(values.std() - 0.02) < 4e-3 and abs(values.mean() - 1) < 4e-3


@pytest.mark.parametrize("n_layers, field", [(1, 16), (2, 34), (3, 70)])
def test_one_logit_sees_the_pixels_that_the_paper_names(n_layers, field):
    network = PatchGAN(1, filters=1, n_layers=n_layers, norm="none")
    network.set_weights([np.ones_like(w) for w in network.get_weights()])
    side = 96
    x = np.ones((1, side, side, 1), "float32")
    logits = network(x)
    assert logits.shape[1:3] == (side // 2**n_layers - 2,) * 2
    middle = logits.shape[1] // 2
    (seen,) = gradients(lambda x: network(x)[0, middle, middle, 0], [x])
    rows = np.flatnonzero(seen[0, ..., 0].any(1))
    assert len(rows) == field == rows[-1] - rows[0] + 1
    # Padded by one pixel on each side: stride 2 begins before the picture's corner.
    (corner,) = gradients(lambda x: network(x)[0, 0, 0, 0], [x])
    cut = sum(2**i for i in range(n_layers)) + 2 * 2**n_layers
    assert len(np.flatnonzero(corner[0, ..., 0].any(1))) == field - cut


def test_too_small_pictures_and_wrong_arguments_are_named():
    PatchGAN(filters=1, n_layers=1)(np.zeros((1, 6, 7, 6), "float32"))
    with pytest.raises(UserError, match="pictures of 6 pixels or more.*Received: 5"):
        PatchGAN(filters=1, n_layers=1)(np.zeros((1, 6, 5, 6), "float32"))
    with pytest.raises(UserError, match="`n_layers` must be at least 1"):
        PatchGAN(n_layers=0)
    with pytest.raises(ValueError, match="norm"):
        PatchGAN(norm="instance")


def test_spectral_norm_is_in_every_convolution():
    network = PatchGAN(filters=2, spectral_norm=True, norm="none")
    found = [layer for layer in network.layers if isinstance(layer, SpectralConv2D)]
    assert len(found) == 5


SMALL_D = {"filters": 4, "n_layers": 1}


def chapters(**options):
    network = PConvUNet(16, widths=(4, 6), strides=(1, 2), kernels=(3, 3))
    restorer = Restorer(network, {"valid": 1.0, "hole": 6.0})
    return AdversarialRestorer(restorer, PatchGAN(**SMALL_D), **options)


def test_a_restorer_is_judged_by_all_of_its_prediction_beside_the_censored():
    model = chapters()
    rng = np.random.default_rng(0)
    censored, truth = rng.integers(0, 256, (2, 3, 16, 16, 3), "uint8")
    mask = np.where(rng.random((3, 16, 16, 1)) < 0.5, 255, 0).astype("uint8")
    x = censored, mask
    prediction = np.asarray(model(x))
    real, fake = model.samples(x, truth, prediction)
    np.testing.assert_array_equal(fake, prediction)
    np.testing.assert_allclose(real, truth / 127.5 - 1, atol=1e-6)
    pair = np.asarray(model.discriminator_inputs(x, fake))
    np.testing.assert_allclose(pair[..., :3], censored / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(pair[..., 3:], prediction)


class Halves(keras.Model):
    """Features: the picture, and the mean of each 2×2 pixels."""

    def call(self, x, training=False):
        return [x, ops.average_pool(x, 2)]


def test_a_mosaic_restorer_is_judged_in_the_hole_beside_the_base():
    weights = {"charbonnier": 1.0, "log_mse": 0.1, "perceptual": 0.5}
    network = MosaicUNet(widths=(4, 6), blocks=(0, 1))
    with pytest.raises(UserError, match="perceptual need VGG16"):
        MosaicRestorer(network, weights)
    restorer = MosaicRestorer(network, weights, features=FrozenFeatures(Halves()))
    model = AdversarialRestorer(
        restorer, PatchGAN(**SMALL_D), adversarial_loss="relativistic"
    )
    x, y = as_batch(held_out_cases([draw_face_icon(i, 32) for i in range(3)], 32)[:4])
    prediction = np.asarray(model(x))
    truth, hole = y / 127.5 - 1, x["hole"] == 1
    restored = np.where(hole, prediction, truth)
    real, fake = model.samples(x, y, prediction)
    np.testing.assert_allclose(real, truth, atol=1e-6)
    np.testing.assert_allclose(fake, restored, atol=1e-6)
    pair = np.asarray(model.discriminator_inputs(x, fake))
    np.testing.assert_allclose(pair[..., :3], x["base"], atol=1e-6)
    error = np.abs(restored - truth)
    halves = (restored - truth).reshape(4, 16, 2, 16, 2, 3).mean((2, 4))
    expected = error.mean((1, 2, 3)) + np.abs(halves).mean((1, 2, 3))
    terms = restorer.terms(x, y, prediction, training=True)
    np.testing.assert_allclose(terms["perceptual"], expected, rtol=1e-4)
    # It trains, and is saved without the features.
    model.compile(AdversarialAdam(1e-3), run_eagerly=True)
    logs = model.train_on_batch(x, y, return_dict=True)
    assert set(logs) == {*weights, "loss", "adversarial", "discriminator"}
    again = MosaicRestorer.from_config(restorer.get_config())
    assert (again.features, again.term_weights) == (None, weights)


def test_the_generator_restores_for_the_model():
    model = chapters()
    rng = np.random.default_rng(0)
    censored = rng.integers(0, 256, (2, 16, 16, 3), "uint8")
    mask = np.zeros((2, 16, 16), "uint8")
    mask[:, 4:9, 4:9] = 255
    restored = model.restore_patches(censored, mask)
    np.testing.assert_array_equal(
        restored, model.generator.restore_patches(censored, mask)
    )
    assert model.blend == model.generator.blend
