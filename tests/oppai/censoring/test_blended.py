"""Test that a blended mosaic is taken off: the picture below comes back."""

import cv2
import numpy as np
import pytest
from PIL import Image

from oppai.censoring.blended import (
    PIXELS,
    drawn_blocks,
    estimate_opacity,
    unblend,
    weighted_median,
)
from oppai.censoring.block_grid import Grid

BOX = 6, 4, 38, 28  # 3×3 blocks of 32/3 × 8 pixels


def smooth(seed=0, size=(40, 48)):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 220, (5, 6, 3)).astype(np.float32)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 255)


def blended(picture, opacity, counts=(3, 3), up="opencv"):
    """Blend a mosaic as OpenCV or Pillow draws it, in floating point."""
    left, top, right, bottom = BOX
    part, size = picture[top:bottom, left:right], (right - left, bottom - top)
    small = cv2.resize(part, counts, interpolation=cv2.INTER_AREA)
    if up == "opencv":
        mosaic = cv2.resize(small, size, interpolation=cv2.INTER_NEAREST)
    else:
        ways = size, Image.Resampling.NEAREST
        channels = [Image.fromarray(small[..., k]).resize(*ways) for k in range(3)]
        mosaic = np.stack([np.asarray(channel) for channel in channels], -1)
    result = picture.copy()
    result[top:bottom, left:right] += opacity * (mosaic - part)
    return result


def test_pixels_are_drawn_in_blocks_as_worked_by_hand():
    block = 32 / 3  # begins at 0, 10.67, 21.33
    middle = [0] * 11 + [1] * 10 + [2]
    edge = [0] * 11 + [1] * 11
    np.testing.assert_array_equal(drawn_blocks(22, block, 0, 0.5), middle)
    np.testing.assert_array_equal(drawn_blocks(22, block, 0, 0), edge)


@pytest.mark.parametrize("up", ["pillow", "opencv"])
@pytest.mark.parametrize("opacity", [0.5, 0.9])
def test_the_picture_below_comes_back_from_blocks_of_any_size(up, opacity):
    picture = smooth()
    grid, pixel = Grid((32 / 3, 8), BOX[:2]), PIXELS[up == "opencv"]
    below = unblend(blended(picture, opacity, up=up), BOX, grid, opacity, pixel)
    left, top, right, bottom = BOX
    np.testing.assert_allclose(below, picture[top:bottom, left:right], atol=0.05)


def test_blocks_of_whole_pixels_that_are_cut_come_back():
    picture, (left, top, right, bottom) = smooth(1), BOX
    part = picture[top:bottom, left:right]
    mosaic = np.empty_like(part)
    for y in range(0, 24, 7):
        for x in range(0, 32, 7):
            mosaic[y : y + 7, x : x + 7] = part[y : y + 7, x : x + 7].mean((0, 1))
    censored = picture.copy()
    censored[top:bottom, left:right] += 0.6 * (mosaic - part)
    below = unblend(censored, BOX, Grid((7, 7), (left, top)), 0.6)
    np.testing.assert_allclose(below, part, atol=0.01)


@pytest.mark.parametrize("opacity", [0.4, 0.7, 0.9])
def test_the_opacity_is_told_by_the_jumps(opacity):
    censored = np.rint(blended(smooth(2), opacity)).astype(np.uint8)
    told, noise = estimate_opacity(censored, BOX, Grid((32 / 3, 8), BOX[:2]), 0)
    assert abs(told - opacity) < 0.02
    assert noise < 1


def test_a_picture_of_one_colour_tells_no_opacity():
    plain = np.full((40, 48, 3), 90, np.uint8)
    assert estimate_opacity(plain, BOX, Grid((8, 8))) == (0.0, np.inf)


def test_half_of_the_weight_lies_below_the_median():
    values, weights = np.array([5.0, 1.0, 3.0]), np.array([1.0, 1.0, 4.0])
    assert weighted_median(values, weights) == 3
