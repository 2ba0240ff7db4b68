import numpy as np
import pytest
from PIL import Image

from illustkit.samples import draw_face_icon
from oppai.censoring.block_grid import Grid, block_means
from oppai.censoring.censor import censor
from oppai.censoring.masks import box_mask
from oppai.data.mosaic_inputs import (
    crop_around,
    fill_smoothly,
    mosaic_inputs,
    network_side,
    take_case,
)


@pytest.mark.parametrize(
    "block, origin",
    [
        ((16, 16), (5, 3)),
        ((7, 7), (2, 6)),
        ((24, 10), (0, 9)),
        ((32 / 3, 10.5), (3.4, 0)),
    ],
)
def test_blocks_have_eight_pixels_in_the_crop(block, origin):
    grid = Grid(block, origin)
    crop = crop_around((60, 50, 120, 110), grid)
    inner = crop.grid(grid)
    assert inner.block == (8, 8) and inner.origin == (0, 0)
    left, top, right, bottom = crop.box
    margin = np.multiply(block, 3)
    assert left <= 60 - margin[0] and right >= 120 + margin[0] - 1
    assert top <= 50 - margin[1] and bottom >= 110 + margin[1] - 1
    assert crop.size[0] % 16 == crop.size[1] % 16 == 0


def test_small_blocks_go_to_four_large_ones_to_eight():
    sides = [network_side(block) for block in (3, 4, 5, 6, 8, 32)]
    assert sides == [4, 4, 4, 8, 8, 8]


def test_a_crop_shows_the_means_of_the_mosaic_at_any_scale():
    truth = draw_face_icon(3, 192)
    mask = box_mask((192, 192), (48, 48, 144, 144), blur_size=0, coverage=1)
    for block in (6, 12, 16):
        grid = Grid((block, block))
        censored = censor(truth, mask, block=block, picture_blur=0)
        crop = crop_around((48, 48, 144, 144), grid)
        picture, hole, inner, missing = take_case(crop, censored, mask > 0, grid)
        assert not missing.any()
        x, y = crop.box[0] // block, crop.box[1] // block
        means = block_means(picture, inner)
        expected = block_means(censored, grid)
        at = slice(-(-48 // block), 144 // block)
        rows = slice(at.start - y, at.stop - y)
        columns = slice(at.start - x, at.stop - x)
        np.testing.assert_allclose(means[rows, columns], expected[at, at], atol=0.6)
        assert hole.sum() >= (96 * 8 / block) ** 2


@pytest.mark.parametrize("divisor", [16, 32, 64])
def test_the_sides_of_a_crop_are_divisible(divisor):
    for grid in (None, Grid((7, 12), (3, 4))):
        crop = crop_around((13, 9, 71, 60), grid, divisor=divisor)
        assert crop.size[0] % divisor == crop.size[1] % divisor == 0
        assert crop.box[0] < 13 and crop.box[1] < 9
        assert crop.box[2] > 71 and crop.box[3] > 60


def bicubic_by_hand(means, size, block, origin):
    """Pillow's bicubic filter, the edge's blocks repeated three times beyond it."""
    n = 3
    padded = np.pad(means, ((n, n), (n, n), (0, 0)), mode="edge").astype(np.float32)
    large = padded.shape[1] * block[0], padded.shape[0] * block[1]
    bands = [
        Image.fromarray(np.ascontiguousarray(padded[..., c])).resize(
            large, Image.Resampling.BICUBIC
        )
        for c in range(3)
    ]
    # The first block begins before the picture where the origin is not its corner.
    x, y = (n * b + (-o) % b for b, o in zip(block, origin, strict=True))
    return np.stack(bands, -1)[y : y + size[1], x : x + size[0]]


def censored_noise(size=32):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (size, size, 3), np.uint8)
    mask = np.zeros((size, size), np.uint8)
    mask[5:27, 6:29] = 255
    return picture, mask


def test_inputs_with_a_grid():
    grid = Grid((5, 4), (2, 3))
    picture, mask = censored_noise()
    inputs = mosaic_inputs(picture, mask, grid)
    signed = picture / 127.5 - 1
    np.testing.assert_allclose(inputs["censored"], signed, atol=1e-6)
    valid = mask == 0
    np.testing.assert_allclose(inputs["base"][valid], signed[valid], atol=1e-6)
    means = np.zeros_like(signed)
    for y in range(32):
        for x in range(32):
            same = ((np.arange(32) - 3) // 4 == (y - 3) // 4)[:, None] & (
                (np.arange(32) - 2) // 5 == (x - 2) // 5
            )
            means[y, x] = signed[same].mean(0)
    small = means[np.ix_([0, *range(3, 32, 4)], [0, *range(2, 32, 5)])]
    up = bicubic_by_hand(small, (32, 32), (5, 4), (2, 3))
    np.testing.assert_allclose(
        inputs["base"][~valid], np.clip(up, -1, 1)[~valid], atol=1e-4
    )
    np.testing.assert_array_equal(inputs["hole"][..., 0], ~valid)
    assert not inputs["missing"].any()
    np.testing.assert_array_equal(inputs["grid"], (5, 4, 2, 3))


def test_inputs_without_a_grid_do_not_see_what_is_missing():
    picture, mask = censored_noise()
    other = np.where((mask > 0)[..., None], 255 - picture, picture)
    first, second = mosaic_inputs(picture, mask), mosaic_inputs(other, mask)
    np.testing.assert_array_equal(first["base"], second["base"])
    assert not first["grid"].any()
    np.testing.assert_array_equal(first["missing"][..., 0], mask == 255)


def test_valid_pixels_stay_and_the_rest_nears_the_harmonic_surface():
    rng = np.random.default_rng(0)
    picture = rng.uniform(0, 1, (24, 24, 3)).astype(np.float32)
    missing = np.zeros((24, 24), bool)
    missing[6:18, 5:15] = True
    filled = fill_smoothly(np.where(missing[..., None], np.nan, picture), missing)
    np.testing.assert_array_equal(filled[~missing], picture[~missing])
    exact = np.where(missing[..., None], 0.5, picture)
    for _ in range(3000):  # Jacobi's iteration for the average of eight neighbours
        around = sum(
            np.roll(exact, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)
        )
        exact = np.where(missing[..., None], (around - exact) / 8, picture)
    np.testing.assert_allclose(filled, exact, atol=2e-3)


def test_a_slope_is_continued():
    slope = np.broadcast_to(np.arange(64.0)[None, :, None], (64, 64, 1))
    missing = np.zeros((64, 64), bool)
    missing[16:48, 16:48] = True
    filled = fill_smoothly(np.where(missing[..., None], 0, slope), missing)
    assert np.abs(filled - slope).max() < 0.5


def test_nothing_and_everything_missing():
    picture = np.ones((5, 4, 3), np.float32)
    np.testing.assert_array_equal(fill_smoothly(picture, np.zeros((5, 4), bool)), 1)
    np.testing.assert_array_equal(fill_smoothly(picture, np.ones((5, 4), bool)), 0)
