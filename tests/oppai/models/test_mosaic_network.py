import keras
import numpy as np
import pytest

from oppai.censoring.block_grid import Grid, upsample_means
from oppai.censoring.random_censor import draw_censor
from oppai.data.mosaic_frames import mosaic_inputs, stack_inputs
from oppai.models.mosaic_unet import Completion, MosaicUNet

TINY = {"widths": (4, 6, 8), "blocks": (0, 1, 1)}


def censored_noise(grid, size=32):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (size, size, 3), np.uint8)
    mask = np.full((size, size), 255, np.uint8)
    mask[5:27, 6:29] = 0
    return picture, mask


def test_inputs_with_a_grid():
    grid = Grid((5, 4), (2, 3))
    picture, mask = censored_noise(grid)
    inputs = mosaic_inputs(picture, mask, grid)
    signed = picture / 127.5 - 1
    np.testing.assert_allclose(inputs["censored"], signed, atol=1e-6)
    valid = mask == 255
    np.testing.assert_allclose(inputs["base"][valid], signed[valid], atol=1e-6)
    means = np.zeros_like(signed)
    for y in range(32):
        for x in range(32):
            same = ((np.arange(32) - 3) // 4 == (y - 3) // 4)[:, None] & (
                (np.arange(32) - 2) // 5 == (x - 2) // 5
            )
            means[y, x] = signed[same].mean(0)
    blockwise = np.einsum("ij,jkc,lk->ilc", inputs["rows"], signed, inputs["columns"])
    np.testing.assert_allclose(blockwise, means, atol=1e-5)
    small = means[np.ix_([0, *range(3, 32, 4)], [0, *range(2, 32, 5)])]
    up = np.clip(upsample_means(small, (32, 32), grid), -1, 1)
    np.testing.assert_allclose(inputs["base"][~valid], up[~valid], atol=1e-5)
    hints = inputs["hints"]
    np.testing.assert_array_equal(hints[..., 0], ~valid)
    assert not hints[..., 1].any() and not hints[valid].any()
    # the middle of the block from 7 to 12: half a turn
    np.testing.assert_allclose(hints[10, 9, 2:4], (-1, 0), atol=1e-6)
    np.testing.assert_allclose(hints[10, 9, 6:], (np.log2(5 / 8), -1), atol=1e-6)


def test_inputs_without_a_grid_do_not_see_what_is_missing():
    picture, mask = censored_noise(None)
    other = np.where((mask < 255)[..., None], 255 - picture, picture)
    first, second = mosaic_inputs(picture, mask), mosaic_inputs(other, mask)
    np.testing.assert_array_equal(first["base"], second["base"])
    assert not first["rows"].any() and not first["hints"][..., 2:].any()
    np.testing.assert_array_equal(first["hints"][..., 1], mask == 0)


@pytest.mark.parametrize("consistency", ["always", "never", "gate"])
def test_completion_equals_a_loop(consistency):
    grid = Grid((6, 5), (1, 2))
    picture, mask = censored_noise(grid)
    inputs = stack_inputs([mosaic_inputs(picture, mask, grid)])
    last = np.random.default_rng(1).normal(size=(1, 32, 32, 4)).astype("float32")
    parts = [inputs[n] for n in ("base", "censored", "hints", "rows", "columns")]
    result = np.asarray(Completion(consistency)([last, *parts]))[0]
    expected = (inputs["base"][0] + last[0, ..., :3]).copy()
    if consistency != "never":
        before = expected.copy()
        for top in range(2 - 5, 32, 5):
            for left in range(1 - 6, 32, 6):
                block = np.s_[max(top, 0) : top + 5, max(left, 0) : left + 6]
                if (mask[block] == 0).all():
                    lack = (inputs["censored"][0][block] - before[block]).mean((0, 1))
                    gate = 1 / (1 + np.exp(-last[0][block][..., 3:] - 2))
                    expected[block] += lack * (1 if consistency == "always" else gate)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_projection_never_makes_an_averaged_mosaic_worse():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 256, (32, 32, 3), np.uint8)
    grid = Grid((4, 4))
    mosaic = truth.reshape(8, 4, 8, 4, 3).mean((1, 3)).repeat(4, 0).repeat(4, 1)
    mask = np.zeros((32, 32), np.uint8)
    inputs = stack_inputs([mosaic_inputs(mosaic.astype("float32"), mask, grid)])
    parts = [inputs[n] for n in ("base", "censored", "hints", "rows", "columns")]
    guess = rng.normal(size=(1, 32, 32, 4)).astype("float32")
    errors = [
        np.square(np.asarray(Completion(way)([guess, *parts]))[0] - truth / 127.5 + 1)
        for way in ("never", "always")
    ]
    assert errors[1].mean() < errors[0].mean()


def test_conformance(tmp_path):
    network = MosaicUNet(**TINY)
    case = draw_censor(
        np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8),
        np.random.default_rng(1),
    )
    x = stack_inputs([mosaic_inputs(case.picture, case.mask, case.grid)])
    y = np.asarray(network(x))
    assert y.shape == (1, 32, 32, 3) and np.isfinite(y).all()
    network.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(np.asarray(again(x)), y)
    assert again.get_config() == network.get_config()
    half = MosaicUNet(**TINY, dtype="mixed_bfloat16")
    half.set_weights(network.get_weights())
    assert half.compute_dtype == "float32" or half(x).dtype == "float32"
    assert np.abs(np.asarray(half(x)) - y).max() < 0.1


@pytest.mark.parametrize(
    "options, message",
    [
        ({"widths": (4,), "blocks": (1,)}, "at least two"),
        ({"consistency": "often"}, "'gate', 'always' or 'never'"),
        ({"image_size": 36}, "divisible by 16"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        MosaicUNet(**options)
