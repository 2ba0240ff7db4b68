"""Test that blended mosaics are found, and nothing where there is none."""

import cv2
import numpy as np
import pytest

import oppai
from illustkit.samples import draw_character
from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import Region
from oppai.detection.grids.blended import (
    _gains,
    _like_jpeg,
    _near_lines,
    _sharpness,
    _to_rims,
    blended_at,
    excess,
    find_blended,
    see_through,
    with_opacity,
)

BOX = 60, 60, 180, 156  # 12×12 blocks of 10×8 pixels


@pytest.fixture(scope="module")
def picture():
    return draw_character(60_003, (240, 320)).image


def blend_over(picture, opacity):
    left, top, right, bottom = BOX
    part = picture[top:bottom, left:right].astype(np.float32)
    small = part.reshape(12, 8, 12, 10, 3).mean((1, 3))
    mosaic = small.repeat(8, 0).repeat(10, 1)
    result = picture.copy()
    result[top:bottom, left:right] = np.rint(part + opacity * (mosaic - part))
    return result


def psnr(one, other):
    left, top, right, bottom = BOX
    error = one[top:bottom, left:right].astype(float) - other[top:bottom, left:right]
    return 10 * np.log10(255**2 / (error**2).mean())


@pytest.mark.parametrize("opacity", [0.5, 0.8])
def test_a_blended_mosaic_is_found_and_taken_off(picture, opacity):
    censored = blend_over(picture, opacity)
    (region,) = oppai.find_censored(censored).regions
    assert abs(region.opacity - opacity) < 0.02
    np.testing.assert_allclose(region.grid.block, (10, 8), rtol=0.01)
    result = censored.copy()
    result[region.slices] = see_through(censored, region)
    assert psnr(result, picture) > 40


def test_restoring_keeps_all_but_the_mosaic(picture):
    censored = blend_over(picture, 0.5)
    restored = oppai.restore(censored)
    changed = (restored != censored).any(-1)
    outside = np.ones_like(changed)
    outside[BOX[1] : BOX[3], BOX[0] : BOX[2]] = False
    assert changed.any()
    assert not changed[outside].any()
    assert psnr(restored, picture) > 40


def test_a_mark_around_it_takes_it_off(picture):
    left, top, right, bottom = BOX
    marked = left - 9, top - 9, right + 9, bottom + 9
    restored = oppai.restore(blend_over(picture, 0.5), boxes=[marked])
    assert psnr(restored, picture) > 40


def test_an_ellipse_is_not_taken_off_as_a_rectangle(picture):
    left, top, right, bottom = BOX
    form = np.zeros((bottom - top, right - left), np.uint8)
    cv2.ellipse(form, (60, 48), (60, 48), 0, 0, 360, 1, cv2.FILLED)
    whole, censored = blend_over(picture, 0.5), picture.copy()
    censored[top:bottom, left:right][form > 0] = whole[top:bottom, left:right][form > 0]
    assert blended_at(whole, BOX, Grid((10, 8), (left, top))) is not None
    assert blended_at(censored, BOX, Grid((10, 8), (left, top))) is None


def test_an_opaque_mosaic_has_no_opacity(picture):
    left, top, right, bottom = BOX
    mask = np.ones((bottom - top, right - left), bool)
    region = Region(BOX, mask, "mosaic", Grid((10, 8), (left, top)))
    assert with_opacity(blend_over(picture, 1.0), region) is region


@pytest.mark.parametrize("scale", [1.4, 1.7])
def test_an_opaque_mosaic_that_was_enlarged_is_no_blended_one(picture, scale):
    """Its lines are ramps of a few pixels: only a part of each jump is seen at a line.

    Half a block away from the lines all of the change has happened; of a blended mosaic
    half of what shows through is still to come.
    """
    enlarged, seen = (
        cv2.resize(blend_over(picture, opacity), None, fx=scale, fy=scale)
        for opacity in (1.0, 0.5)
    )
    grid = Grid((10 * scale, 8 * scale), (BOX[0] * scale, BOX[1] * scale))
    box = tuple(round(scale * side) for side in BOX)
    assert _near_lines(enlarged, grid, box) > 0.95
    assert _near_lines(blend_over(picture, 0.5), Grid((10, 8), BOX[:2]), BOX) < 0.64
    assert _near_lines(seen, grid, box) < 0.7
    assert blended_at(enlarged, box, grid) is None


def test_jumps_that_are_nearer_to_what_is_expected_speak_for_a_mosaic():
    # Of a rise of 12 levels half is expected; of 4 levels too little to say anything.
    excess = np.array([6.0, 0, -3, 4, 30, 2])
    rise = np.array([12.0, 12, 12, 12, 12, 4])
    np.testing.assert_allclose(
        _gains(excess, rise, 0.5), [1, -1, -1, (4 - 2) / 6, 1, 0]
    )


@pytest.mark.parametrize(
    "block, origin, expected",
    [
        ((16.04, 16), (160, 319.5), True),
        ((8, 24), (8, 0), True),
        ((8, 8), (4, 0), False),
        ((8, 12), (0, 0), False),
    ],
)
def test_lines_of_a_jpeg_are_known(block, origin, expected):
    assert _like_jpeg(Grid(block, origin)) == expected


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("between, expected", [([], 1), ([30], 0)])
def test_lines_between_two_pixels_are_sharp(k, between, expected):
    # Blocks of 0 and 60: over a line 60, beside it -30. With a pixel of 30 between them
    # 15, 15 and, before both, -15.
    parts = [[value] * (10 - len(between)) for value in (0, 60, 0, 60, 0, 60)]
    row = np.array([value for part in parts for value in between + part], np.uint8)
    picture = np.stack([np.tile(row, (60, 1))] * 3, -1)
    picture = picture.swapaxes(0, 1) if k else picture
    assert _sharpness(picture, Grid((10, 10)), (0, 0, 60, 60)) == pytest.approx(
        expected
    )


@pytest.mark.parametrize("width", [1, 3])
def test_an_edge_of_the_picture_is_no_rim(picture, width):
    """Beyond an edge all of another colour begins; over a rim a part of it does."""
    censored = blend_over(picture, 0.5)
    left, top, right, bottom = BOX
    censored[top - 9 : bottom + 9, left - 6 - width : left - 6] = 0
    assert _to_rims(censored, BOX, Grid((10, 8), BOX[:2]), 0.5) == BOX


def test_two_small_blocks_that_are_taken_for_one_are_halved(picture):
    left, top, right, bottom = BOX
    part = picture[top:bottom, left:right]
    small = cv2.resize(part, (24, 19), interpolation=cv2.INTER_AREA)
    mosaic = cv2.resize(small, (120, 96), interpolation=cv2.INTER_NEAREST)
    censored = picture.copy()
    censored[top:bottom, left:right] = cv2.addWeighted(part, 0.5, mosaic, 0.5, 0)
    double = Grid((10, 2 * 96 / 19), (left, top))
    taken = np.zeros(picture.shape[:2], bool)
    (region,) = find_blended(censored, [(double, BOX)], taken)
    np.testing.assert_allclose(region.grid.block, (5, 96 / 19), rtol=0.01)


def test_no_blended_mosaic_is_found_on_a_grid_that_a_picture_lacks(picture):
    taken = np.zeros(picture.shape[:2], bool)
    grids = [Grid((10, 8), BOX[:2]), Grid((7.5, 7.5), (3, 2))]
    assert find_blended(picture, [(grid, BOX) for grid in grids], taken) == []


def test_what_was_taken_before_is_not_found_again(picture):
    taken = np.ones(picture.shape[:2], bool)
    places = [(Grid((10, 8), BOX[:2]), BOX)]
    assert find_blended(blend_over(picture, 0.5), places, taken) == []


def test_a_jump_counts_by_what_exceeds_the_slope_beside_it():
    row = np.array([0, 4, 8, 32, 36, 40, 44], np.uint8)  # slope 4, a jump of 24
    expected = [0, 0, 0, 20, 0, 0, 0]
    np.testing.assert_array_equal(excess(np.stack([row] * 2)), [expected] * 2)


def test_a_region_of_no_known_opacity_is_not_taken_off(picture):
    region = Region(BOX, np.ones((96, 120), bool), "mosaic", Grid((10, 8)))
    with pytest.raises(ValueError, match="opacity"):
        see_through(picture, region)


def test_noise_keeps_a_mosaic_as_it_is(picture):
    """Of a strong JPEG the picture below would be noise alone."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, 30]
    data = cv2.imencode(".jpg", blend_over(picture, 0.95), quality)[1]
    censored = cv2.imdecode(data, cv2.IMREAD_COLOR)
    mask = np.ones((96, 120), bool)
    region = Region(BOX, mask, "mosaic", Grid((10, 8), BOX[:2]))
    assert with_opacity(censored, region).opacity is None
