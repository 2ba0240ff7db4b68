from pathlib import Path

import keras
import numpy as np
import pytest

from illustkit.errors import UserError
from illustkit.training.runs import Run
from oppai import losses
from oppai.models.pconv_unet import PConvUNet
from oppai.models.pretrained import load_restorer
from oppai.models.restorers import Restorer
from tests.oppai.models.test_features import light_vgg

SMALL = {"image_size": 16, "widths": (4, 8), "strides": (1, 2), "kernels": (3, 3)}
TERMS = {"valid": 10.0, "hole": 60.0, "tv": 0.1}


@keras.saving.register_keras_serializable(package="tests")
class Grey(keras.layers.Layer):
    """A network that answers mid-grey everywhere, and remembers what it was fed."""

    image_size = 8

    def call(self, inputs, training=False):
        self.picture, self.valid = inputs
        return 0.0 * inputs[0]


def batch(n=3, size=16, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 256, (n, size, size, 3), "uint8")
    mask = np.full((n, size, size, 1), 255, "uint8")
    mask[:, 4:9, 5:11] = 0
    mask[:, 3, 5:11] = 254
    return (np.where(mask < 255, 128, truth).astype("uint8"), mask), truth


def test_the_network_gets_signed_pictures_and_every_soft_pixel_as_hole():
    restorer = Restorer(Grey(), TERMS)
    (censored, mask), _ = batch(size=8)
    restorer((censored, mask))
    picture = keras.ops.convert_to_numpy(restorer.network.picture)
    np.testing.assert_allclose(picture, censored / 127.5 - 1, atol=1e-6)
    valid = keras.ops.convert_to_numpy(restorer.network.valid)
    np.testing.assert_array_equal(valid, (mask == 255).astype("float32"))


def test_terms_are_those_of_the_losses_and_metrics_by_hand():
    restorer = Restorer(Grey(), TERMS)
    (censored, mask), truth = batch(size=8)
    terms = restorer.terms((censored, mask), truth, np.zeros(truth.shape), False)
    terms = {k: keras.ops.convert_to_numpy(v) for k, v in terms.items()}
    signed, hole = truth / 127.5 - 1, mask < 255
    np.testing.assert_allclose(
        terms["hole"], np.mean(np.abs(signed) * hole, axis=(1, 2, 3)), rtol=1e-5
    )
    np.testing.assert_allclose(
        terms["valid"], np.mean(np.abs(signed) * ~hole, axis=(1, 2, 3)), rtol=1e-5
    )
    for i in range(len(truth)):
        inside = (truth[i] / 255 - 0.5)[hole[i, ..., 0]]
        psnr = -10 * np.log10(np.mean(inside**2))
        assert terms["psnr"][i] == pytest.approx(psnr, abs=1e-3)
    training = restorer.terms((censored, mask), truth, np.zeros(truth.shape), True)
    assert set(training) == set(TERMS)


@pytest.mark.usefixtures("eagerly")
def test_a_few_steps_lower_the_loss_and_log_every_term():
    keras.utils.set_random_seed(0)
    restorer = Restorer(PConvUNet(**SMALL), TERMS)
    restorer.compile(keras.optimizers.Adam(1e-2))
    x, y = batch()
    history = restorer.fit(
        x, y, epochs=8, batch_size=3, validation_data=(x, y), verbose=0
    ).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    terms = {"loss", *TERMS}
    assert set(history) == terms | {f"val_{k}" for k in terms | {"psnr", "ssim"}}


def test_restored_patches_do_not_depend_on_how_they_are_batched():
    keras.utils.set_random_seed(0)
    restorer = Restorer(PConvUNet(**SMALL), TERMS)
    (censored, mask), _ = batch(n=5)
    together = restorer.restore_patches(censored, 255 - mask, batch_size=5)
    apart = restorer.restore_patches(censored, 255 - mask, batch_size=2)
    assert together.dtype == np.uint8 and together.shape == censored.shape
    assert np.abs(together.astype(int) - apart).max() <= 1


def test_terms_that_need_vgg_are_refused_without_it():
    with pytest.raises(ValueError, match="perceptual.*style.*features=None"):
        Restorer(Grey(), losses.BOOK_WEIGHTS)
    with pytest.raises(ValueError, match="Received: 2"):
        Restorer(Grey(), TERMS, blend=2)


def test_a_run_and_a_keras_file_load_to_the_same_pictures(tmp_path):
    keras.utils.set_random_seed(0)
    restorer = Restorer(PConvUNet(**SMALL), TERMS, blend=0.25, minimum=99)
    (censored, mask), _ = batch()
    expected = restorer.restore_patches(censored, 255 - mask)

    run = Run.start(tmp_path / "run", {"network": SMALL, "blend": 0.25, "minimum": 99})
    with pytest.raises(ValueError, match="no best.weights.h5 yet"):
        load_restorer(run)
    restorer.save_weights(run.weights_path)
    restorer.save(tmp_path / "restorer.keras")
    for place in (run, str(run.folder), tmp_path / "restorer.keras"):
        loaded = load_restorer(place)
        assert (loaded.blend, loaded.image_size, loaded.minimum) == (0.25, 16, 99)
        np.testing.assert_array_equal(
            loaded.restore_patches(censored, 255 - mask), expected
        )


@pytest.mark.usefixtures("eagerly")
def test_a_loaded_restorer_trains_on_its_own_loss_or_says_what_is_missing(tmp_path):
    settings = {"network": SMALL, "blend": 0.5, "minimum": 99, "losses": "paper"}
    run = Run.start(tmp_path / "run", {**settings, "vgg_weights": "imagenet"})
    features = light_vgg()
    restorer = Restorer(PConvUNet(**SMALL), losses.PAPER_WEIGHTS, features=features)
    restorer.save_weights(run.weights_path)
    restorer.save(tmp_path / "a.keras")
    restorer.compile("sgd")
    x, y = batch()
    for place in (run, tmp_path / "a.keras"):
        loaded = load_restorer(place)
        assert loaded.term_weights == losses.PAPER_WEIGHTS
        loaded.restore_patches(x[0], 255 - x[1])
        expected = restorer.evaluate(x, y, verbose=0, return_dict=True)
        loaded.compile("sgd")
        loaded.features = features
        result = loaded.evaluate(x, y, verbose=0, return_dict=True)
        assert result == pytest.approx(expected, rel=1e-5)
        loaded.features = None
        with pytest.raises(UserError, match="perceptual, style.* need VGG16, which no"):
            loaded.fit(x, y, verbose=0)
    without = Run.start(tmp_path / "b", {**settings, "vgg_weights": None})
    restorer.save_weights(without.weights_path)
    trained = {"valid", "hole", "tv"}
    assert set(load_restorer(without).term_weights) == trained


def test_missing_and_broken_weights_name_the_file(tmp_path):
    with pytest.raises(ValueError, match="holds no run"):
        load_restorer(tmp_path / "nothing")
    with pytest.raises(ValueError, match="no file .*a.keras"):
        load_restorer(tmp_path / "a.keras")
    run = Run.start(tmp_path / "run", {"network": SMALL, "blend": 0.5, "minimum": 99})
    run.weights_path.write_bytes(b"not weights")
    with pytest.raises(ValueError, match="best.weights.h5"):
        load_restorer(run)


def test_default_is_the_package_s_and_a_folder_of_that_name_is_told(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("oppai.models.pretrained.load_shipped", lambda path: path.stem)
    assert load_restorer("sharp") == "sharp"
    assert load_restorer("default") == "default" and not caplog.text
    (tmp_path / "default").mkdir()
    assert load_restorer("default") == "default"
    assert "give ./default for the folder" in caplog.text
    for folder in ("./default", tmp_path / "default", Path("default")):
        with pytest.raises(UserError, match="default holds no run"):
            load_restorer(folder)
