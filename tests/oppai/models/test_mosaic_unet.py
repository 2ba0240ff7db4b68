import keras
import numpy as np
import pytest

from oppai.censoring.block_grid import Grid, averaging, spreading
from oppai.censoring.random_censor import draw_censor
from oppai.data.mosaic_inputs import mosaic_inputs, stack_inputs
from oppai.models.mosaic_unet import Completion, Hints, MosaicUNet

TINY = {"widths": (4, 6, 8), "blocks": (0, 1, 1)}


def noise_inputs(grid=None, size=32):
    """Picture and mask of 255 = hidden, and the network's inputs, a batch of one."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (size, size, 3), np.uint8)
    mask = np.zeros((size, size), np.uint8)
    mask[5 : size - 5, 6 : size - 3] = 255
    return mask, stack_inputs([mosaic_inputs(picture, mask, grid)])


@pytest.mark.parametrize("consistency", ["always", "never", "gate"])
def test_completion_equals_a_loop(consistency):
    grid = Grid((6, 5), (1, 2))
    mask, inputs = noise_inputs(grid)
    last = np.random.default_rng(1).normal(size=(1, 32, 32, 4)).astype("float32")
    rest = [inputs[n] for n in ("base", "censored", "hole", "missing", "grid")]
    result = np.asarray(Completion(consistency)([last, *rest]))[0]
    expected = (inputs["base"][0] + last[0, ..., :3]).copy()
    if consistency != "never":
        before = expected.copy()
        for top in range(2 - 5, 32, 5):
            for left in range(1 - 6, 32, 6):
                block = np.s_[max(top, 0) : top + 5, max(left, 0) : left + 6]
                if (mask[block] == 255).all():
                    lack = (inputs["censored"][0][block] - before[block]).mean((0, 1))
                    gate = 1 / (1 + np.exp(-last[0][block][..., 3:] - 2))
                    expected[block] += lack * (1 if consistency == "always" else gate)
    np.testing.assert_allclose(result, expected, atol=1e-5)


GRIDS = {
    "whole": Grid((5, 4), (2, 3)),
    "fractional": Grid((160 / 15, 7.3), (3.3, 7.1)),
    "pixels": Grid((1, 1.3), (0, 0.4)),
    "larger than the picture": Grid((300, 20), (100, 3)),
    "none": None,
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_hints_and_block_means_equal_numpy(grid):
    """The grid's four numbers give what matrices of `block_grid` give, in float64."""
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (32, 48, 3), np.uint8)
    missing = rng.random((32, 48)) < 0.1
    mask = np.full((32, 48), 255)
    mask[:5] = 0
    x = stack_inputs([mosaic_inputs(picture, mask, grid, missing)])
    places = x["hole"], x["missing"], x["grid"]
    hints = np.zeros((32, 48, 8))
    hints[..., 0], hints[..., 1] = mask > 0, missing & (mask > 0)
    expected = np.zeros((32, 48, 3))
    if grid is not None:
        turns = [
            2 * np.pi * (np.arange(n) + 0.5 - origin) / block
            for n, block, origin in zip((48, 32), grid.block, grid.origin, strict=True)
        ]
        along = turns[0], turns[1][:, None]
        hints[..., 2:6] = np.stack(
            np.broadcast_arrays(*(f(t) for t in along for f in (np.cos, np.sin))), -1
        )
        hints[..., 6:] = np.log2(np.array(grid.block) / 8)
        hints[..., 2:] *= ((mask > 0) & ~missing)[..., None]
        rows, columns = (
            spreading(n, block, origin) @ averaging(n, block, origin)
            for n, block, origin in zip(
                (32, 48), grid.block[::-1], grid.origin[::-1], strict=True
            )
        )
        expected = np.einsum("ij,jkc,lk->ilc", rows, x["censored"][0], columns)
    np.testing.assert_allclose(np.asarray(Hints()(places))[0], hints, atol=1e-5)
    # From a guess of zeros, an open gate brings a wholly hidden picture to its means.
    inputs = np.zeros((1, 32, 48, 4)), np.zeros((1, 32, 48, 3)), x["censored"]
    whole = np.ones((1, 32, 48, 1)), np.zeros((1, 32, 48, 1)), x["grid"]
    means = Completion("always")([np.float32(v) for v in (*inputs, *whole)])
    np.testing.assert_allclose(np.asarray(means)[0], expected, atol=1e-5)


def test_projection_never_makes_an_averaged_mosaic_worse():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 256, (32, 32, 3), np.uint8)
    grid = Grid((4, 4))
    mosaic = truth.reshape(8, 4, 8, 4, 3).mean((1, 3)).repeat(4, 0).repeat(4, 1)
    mask = np.full((32, 32), 255, np.uint8)
    inputs = stack_inputs([mosaic_inputs(mosaic.astype("float32"), mask, grid)])
    rest = [inputs[n] for n in ("base", "censored", "hole", "missing", "grid")]
    guess = rng.normal(size=(1, 32, 32, 4)).astype("float32")
    errors = [
        np.square(np.asarray(Completion(way)([guess, *rest]))[0] - truth / 127.5 + 1)
        for way in ("never", "always")
    ]
    assert errors[1].mean() < errors[0].mean()


def test_conformance(tmp_path):
    network = MosaicUNet(**TINY)
    case = draw_censor(
        np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8),
        np.random.default_rng(1),
    )
    x = stack_inputs([mosaic_inputs(case.image, case.mask, case.grid)])
    y = np.asarray(network(x))
    assert y.shape == (1, 32, 32, 3) and np.isfinite(y).all()
    network.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(np.asarray(again(x)), y)
    assert again.get_config() == network.get_config()


def test_half_precision_is_stored_and_gives_float32(tmp_path):
    network = MosaicUNet(**TINY)
    half = MosaicUNet(**TINY, dtype="mixed_bfloat16")
    half.set_weights(network.get_weights())
    _, x = noise_inputs(Grid((8, 8)))
    exact, out = network(x), half(x)
    assert keras.backend.standardize_dtype(out.dtype) == "float32"
    difference = np.abs(np.asarray(out) - np.asarray(exact))
    # bfloat16 keeps eight bits: not equal, and near.
    assert 1e-5 < difference.max() < 0.1
    assert half.get_layer("stem").compute_dtype == "bfloat16"
    half.save(tmp_path / "half.keras")
    again = keras.saving.load_model(tmp_path / "half.keras")
    assert again.dtype_policy.name == "mixed_bfloat16"
    assert again.get_layer("stem").compute_dtype == "bfloat16"
    np.testing.assert_array_equal(np.asarray(again(x)), np.asarray(out))


def test_every_argument_is_an_attribute_and_in_the_config():
    arguments = {
        "image_size": 32,
        "widths": (4, 6, 8),
        "blocks": (0, 1, 1),
        "slope": 0.1,
        "consistency": "always",
        "dtype": "mixed_bfloat16",
    }
    network = MosaicUNet(**arguments)
    config = network.get_config()
    for name, value in arguments.items():
        assert config[name] == value
        if name != "dtype":
            assert getattr(network, name) == value
    assert MosaicUNet.from_config(config).get_config() == config
    assert network.divisor == 4


def test_sizes_that_the_network_cannot_shrink_are_named():
    network = MosaicUNet(**TINY)
    _, x = noise_inputs(size=18)
    with pytest.raises(ValueError, match="divisible by 4.*Received: height=18"):
        network(x)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"widths": (4,), "blocks": (1,)}, "at least two"),
        ({"consistency": "often"}, "consistency must be one of"),
        ({"image_size": 36}, "divisible by 16"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        MosaicUNet(**options)
