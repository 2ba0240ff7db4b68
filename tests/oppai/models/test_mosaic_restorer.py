import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

import oppai
from illustkit.errors import UserError
from illustkit.images import write_image
from illustkit.runtime import precision
from illustkit.samples import draw_face_icon
from illustkit.training.runs import Run
from oppai.censoring.block_grid import Grid
from oppai.censoring.censor import add_mosaic, censor
from oppai.data.batches import CensoredCrops, as_batch, held_out_cases
from oppai.models.mosaic_unet import MosaicUNet
from oppai.models.pretrained import load_restorer, load_shipped, save_shipped
from oppai.models.restorers import MOSAIC_RESTORER, MosaicRestorer
from oppai.training import train_mosaic

TINY = {"widths": (6, 8, 12), "blocks": (0, 1, 1)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mosaic")
    for i in range(6):
        write_image(folder / "pictures" / f"{i}.png", draw_face_icon(i, 96))
    run = train_mosaic(
        folder / "pictures",
        folder / "run",
        held_out=["4.png", "5.png"],
        samples=0,
        image_size=32,
        network=TINY,
        epochs=4,
        steps=4,
        batch_size=4,
        precision="float32",
        verbose=0,
    )
    return folder, run


def test_losses_and_measures_equal_numpy():
    pictures = [draw_face_icon(i, 64) for i in range(3)]
    x, y = as_batch(held_out_cases(pictures, 64)[:5])
    restorer = MosaicRestorer(MosaicUNet(**TINY))
    prediction = np.asarray(restorer(x))
    terms = restorer.terms(x, y, prediction, training=False)
    for i in range(5):
        hole = x["hole"][i, ..., 0] == 1
        error = (prediction[i] - (y[i] / 127.5 - 1))[hole]
        distance = np.sqrt(error**2 + 1e-6).mean()
        np.testing.assert_allclose(terms["charbonnier"][i], distance, rtol=1e-4)
        log_mse = np.log(np.mean(error**2) + 4e-5)
        np.testing.assert_allclose(terms["log_mse"][i], log_mse, rtol=1e-4)
        clipped = (np.clip(prediction[i], -1, 1) - (y[i] / 127.5 - 1))[hole] / 2
        psnr = -10 * np.log10(np.mean(clipped**2))
        np.testing.assert_allclose(terms["psnr"][i], psnr, rtol=1e-4)


def test_restoring_patches_keeps_what_is_valid(trained):
    restorer = MosaicRestorer(MosaicUNet(**TINY))
    truth = np.stack([draw_face_icon(i, 64) for i in range(3)])
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    grid = Grid((8, 8), (3, 5))
    censored = np.stack(
        [censor(p, mask, block=8, picture_blur=0, origin=(3, 5)) for p in truth]
    )
    masks = np.repeat(mask[None], 3, 0)
    one = restorer.restore_patches(censored, masks, [grid, None, grid], batch_size=2)
    np.testing.assert_array_equal(one[masks == 0], truth[masks == 0])
    for i, g in enumerate([grid, None, grid]):
        alone = restorer.restore_patches(censored[i : i + 1], masks[i : i + 1], [g])
        assert np.abs(alone[0].astype(int) - one[i]).max() <= 1


def test_two_passes_are_the_mean_of_a_picture_and_its_mirror_image():
    one, two = (MosaicRestorer(MosaicUNet(**TINY), passes=n) for n in (1, 2))
    two.network.set_weights(one.network.get_weights())
    picture = draw_face_icon(1, 64)
    hole = np.zeros((64, 64), bool)
    hole[16:48, 16:48] = True
    grid = Grid((8, 8))
    plain = one.predict(picture, hole, grid)
    turned = one.predict(picture[:, ::-1], hole[:, ::-1], grid.mirrored(64))
    mean = (plain + turned[:, ::-1]) / 2
    np.testing.assert_allclose(two.predict(picture, hole, grid), mean, atol=2e-3)
    assert np.abs(plain - mean)[hole].max() > 0.01
    with pytest.raises(UserError, match="`passes` is 1 or 2"):
        MosaicRestorer(one.network, passes=3)


def test_training_learns_is_measured_and_resumes(trained, tmp_path):
    folder, run = trained
    history = run.history
    assert history["charbonnier"][-1] < history["charbonnier"][0]
    assert len((run.folder / "curve.csv").read_text().splitlines()) == 2
    stored = json.loads((run.folder / "pictures" / "pictures.json").read_text())
    assert [row["name"] for row in stored["rows"]] == [f"{i}.png" for i in range(6)]
    assert MOSAIC_RESTORER.matches(run.settings)
    options = {
        name: run.settings[name]
        for name in ("samples", "network", "steps", "batch_size", "precision")
    }
    for epochs in (2, 4):
        again = train_mosaic(
            folder / "pictures",
            tmp_path / "run",
            held_out=["4.png", "5.png"],
            epochs=epochs,
            image_size=32,
            verbose=0,
            **options,
        )
    # while the rate stays, the number of all epochs changes nothing
    np.testing.assert_allclose(
        again.history["charbonnier"][:1], history["charbonnier"][:1], rtol=1e-5
    )
    assert Run(again.folder).epochs_done == 4


def test_batches_depend_on_seed_and_number_alone():
    pictures = [draw_face_icon(i, 96) for i in range(3)]
    one, two = (CensoredCrops(pictures, 3, 2, patch=32, seed=5) for _ in range(2))
    one[0]
    for name, value in one[1][0].items():
        np.testing.assert_array_equal(value, two[1][0][name])
    assert one[1][1].shape == (2, 32, 32, 3)


def test_shipped_weights_keep_what_the_network_says(trained, tmp_path):
    restorer = MosaicRestorer(MosaicUNet(**TINY), passes=1)
    path = save_shipped(restorer, tmp_path / "a.npz")
    again = load_shipped(path)
    assert again.passes == 1
    x, _ = as_batch(held_out_cases([draw_face_icon(1, 64)], 64))
    np.testing.assert_allclose(again(x), restorer(x), atol=5e-3)  # float16 storage
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="a.npz cannot be read"):
        load_shipped(path)


def test_runs_and_whole_files_load(trained, tmp_path):
    _, run = trained
    restorer = load_restorer(run.folder)
    x, _ = as_batch(held_out_cases([draw_face_icon(1, 64)], 64))
    expected = restorer.predict_on_batch(x)
    restorer.save(tmp_path / "a.keras")
    # A fresh process does not know the classes yet.
    code = (
        "import sys, oppai, numpy as np\n"
        "restorer = oppai.load_restorer(sys.argv[1])\n"
        "x = dict(np.load(sys.argv[2]))\n"
        "np.save(sys.argv[3], restorer.predict_on_batch(x))\n"
    )
    np.savez(tmp_path / "x.npz", **x)
    names = [tmp_path / name for name in ("a.keras", "x.npz", "y.npy")]
    subprocess.run([sys.executable, "-c", code, *names], check=True)
    np.testing.assert_allclose(np.load(names[2]), expected, atol=1e-5)


def test_a_held_out_name_that_is_not_there(tmp_path):
    write_image(tmp_path / "a.png", draw_face_icon(1, 64))
    with pytest.raises(ValueError, match="no picture b.png"):
        train_mosaic(tmp_path, tmp_path / "run", held_out=["b.png"])


def censored_icon(side=96):
    picture = draw_face_icon(5, side)
    box = side // 4, side // 4, side * 3 // 4, side * 3 // 4
    return picture, add_mosaic(picture, box, block=8, blur_size=0, picture_blur=0)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    "network",
    [{}, {"widths": (4, 4, 6, 6, 8, 8), "blocks": (0, 0, 1, 0, 0, 1)}],
    ids=["default", "six stages"],
)
def test_a_network_trains_and_restores(network):
    """The default network, and one deeper than it, at the sides that they divide."""
    restorer = MosaicRestorer(MosaicUNet(**network))
    restorer.compile(keras.optimizers.Adam(1e-3))
    batches = CensoredCrops([draw_face_icon(1, 96)], 2, 2, patch=64, seed=0)
    history = restorer.fit(batches, epochs=2, shuffle=False, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    picture, censored = censored_icon()
    restored = oppai.restore(censored, restorer=restorer, feather=0)
    hidden = censored.mask > 0
    np.testing.assert_array_equal(restored[~hidden], picture[~hidden])
    # Within twice the error of the mosaic after four steps: it restores something.
    error, before = (
        np.abs(p[hidden].astype(int) - picture[hidden]).mean()
        for p in (restored, censored.image)
    )
    assert 0 < error < 2 * before
    assert not np.array_equal(restored, censored.image)


def test_predict_takes_one_picture_or_what_keras_takes():
    restorer = MosaicRestorer(MosaicUNet(**TINY))
    picture, censored = censored_icon(64)
    hole = censored.mask > 0
    signed = restorer.predict(censored.image, hole, Grid((8, 8)))
    assert signed.shape == (64, 64, 3) and signed.dtype == np.float32
    x, _ = as_batch(held_out_cases([picture], 64))
    np.testing.assert_allclose(
        restorer.predict(x, verbose=0), restorer.predict_on_batch(x), atol=1e-5
    )


def test_files_of_version_0_1_name_their_terms_parts():
    config = MosaicRestorer(MosaicUNet(**TINY), {"charbonnier": 2.0, "log_mse": 0.5})
    config = config.get_config()
    config["part_weights"] = config.pop("term_weights")
    again = MosaicRestorer.from_config(config)
    assert again.term_weights == {"charbonnier": 2.0, "log_mse": 0.5}
    assert again.get_config()["term_weights"] == again.term_weights


def test_in_half_precision_the_network_still_gets_float32():
    with precision("mixed_bfloat16"):
        restorer = MosaicRestorer(MosaicUNet(**TINY))
    x, _ = as_batch(held_out_cases([draw_face_icon(1, 64)], 64)[:1])
    x["grid"] = np.float32([[32 / 3, 8, 1.3, 0]])  # bfloat16 would say 10.6875
    np.testing.assert_array_equal(restorer(x), restorer.network(x))
    half = {k: ops.cast(ops.cast(v, "bfloat16"), "float32") for k, v in x.items()}
    assert np.abs(np.asarray(restorer(x)) - np.asarray(restorer(half))).max() > 1e-3
