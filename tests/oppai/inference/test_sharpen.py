"""Blurred parts by other libraries are sharpened; what no blur explains stays."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter

import oppai
from illustkit.samples import draw_character
from oppai.censoring.regions import Censored, Region
from oppai.inference import sharpen
from oppai.inference.sharpen import Sharpened, sharpen_blurs

BOX = 60, 60, 200, 190  # the face of the character and some of what lies around


def _truth():
    return draw_character(50_011, (256, 362)).image[:280]


def _with(part, truth):
    left, top, right, bottom = BOX
    picture = truth.copy()
    picture[top:bottom, left:right] = part
    return picture


def _crop(truth):
    left, top, right, bottom = BOX
    return np.ascontiguousarray(truth[top:bottom, left:right])


def _pillow(truth):
    crop = Image.fromarray(_crop(truth)).filter(ImageFilter.GaussianBlur(4))
    return _with(np.asarray(crop), truth)


def _opencv(truth):
    left, top, right, bottom = BOX
    return _with(cv2.GaussianBlur(truth, (0, 0), 5)[top:bottom, left:right], truth)


def _mean(truth):
    return _with(cv2.blur(_crop(truth), (15, 15)), truth)


def _error(picture, truth):
    """Return the mean squared error within the part but for a rim of 10 pixels."""
    difference = _crop(picture).astype(float) - _crop(truth)
    return np.square(difference[10:-10, 10:-10]).mean()


def _region(sigma, box=BOX):
    left, top, right, bottom = box
    return Region(box, np.ones((bottom - top, right - left), bool), "blur", sigma=sigma)


def _alpha(shape, box=BOX):
    left, top, right, bottom = box
    alpha = np.zeros(shape[:2], np.uint8)
    alpha[top:bottom, left:right] = 255
    return alpha


# The estimate is a sixth too large or too small; a mean over 15 pixels has 4.3.
@pytest.mark.parametrize(
    ("tool", "sigma", "gain"),
    [(_pillow, 4.6, 1.7), (_opencv, 4.3, 1.4), (_mean, 5.0, 2.5)],
)
def test_what_a_tool_blurred_becomes_sharper(tool, sigma, gain):
    truth = _truth()
    blurred = tool(truth)
    result = sharpen_blurs(blurred, _alpha(truth.shape), [_region(sigma)])
    gained = 10 * np.log10(_error(blurred, truth) / _error(result.picture, truth))
    assert gained > gain
    # Nothing beyond the part changes, and nothing of what was given.
    outside = ~result.mask
    np.testing.assert_array_equal(result.picture[outside], blurred[outside])
    assert not outside[70:180, 70:190].any()
    np.testing.assert_array_equal(blurred, tool(truth))
    # The network is told that little of the blur is left.
    assert result.censors[0].sigma == pytest.approx(max(2, 0.3 * sigma))


def test_restoring_gains_by_it(monkeypatch):
    truth = _truth()
    blurred = _mean(truth)
    case = Censored(blurred, _alpha(truth.shape), kind="blur", sigma=4.3)
    with_it = _error(oppai.restore(case), truth)

    def unchanged(picture, alpha, censors):
        return Sharpened(picture, list(censors), np.zeros(alpha.shape, bool))

    monkeypatch.setattr("oppai.inference.restore.sharpen_blurs", unchanged)
    assert with_it < _error(oppai.restore(case), truth) / 2  # 3 dB


def test_a_sharp_part_stays_as_it_is():
    truth = _truth()
    result = sharpen_blurs(truth, _alpha(truth.shape), [_region(6.0)])
    changed = np.abs(result.picture.astype(int) - truth).max(2) > 24
    assert changed.mean() < 0.01


def test_a_mark_beyond_the_rim_keeps_what_is_sharp():
    truth = _truth()
    blurred = _mean(truth)
    wide = 50, 50, 212, 202
    result = sharpen_blurs(blurred, _alpha(truth.shape, wide), [_region(4.3, wide)])
    assert _error(result.picture, truth) < _error(blurred, truth) / 2
    beyond = np.ones(truth.shape[:2], bool)
    beyond[56:194, 56:204] = False
    moved = np.abs(result.picture.astype(int) - truth).max(2)[beyond]
    assert (moved > 24).mean() < 0.01


def test_large_parts_are_sharpened_in_tiles(monkeypatch):
    truth = np.tile(_truth(), (2, 2, 1))
    blurred = cv2.blur(truth, (25, 25))
    box = 0, 0, truth.shape[1], truth.shape[0]
    region, alpha = _region(7.2, box), _alpha(truth.shape, box)
    whole = sharpen_blurs(blurred, alpha, [region]).picture
    monkeypatch.setattr(sharpen, "_LONGEST", 170)
    assert len(list(sharpen._tiles(truth.shape[:2], 170 * 7.2 / 4, 28.8))) == 4
    tiled = sharpen_blurs(blurred, alpha, [region]).picture
    assert np.abs(whole.astype(int) - tiled).mean() < 1
    assert np.square(tiled.astype(float) - truth).mean() < (
        np.square(blurred.astype(float) - truth).mean() / 2
    )


def test_tiles_cover_every_pixel_once():
    counts = np.zeros((97, 61), int)
    for tile, own in sharpen._tiles(counts.shape, 30, 3.0):
        counts[tile][own] += 1
    np.testing.assert_array_equal(counts, 1)


def test_parts_of_a_few_pixels_and_other_censors_stay():
    picture = cv2.blur(_truth(), (9, 9))
    small = _region(4.0, (20, 20, 36, 36))
    other = Region((60, 60, 90, 90), np.ones((30, 30), bool), "white")
    result = sharpen_blurs(picture, _alpha(picture.shape), [small, other])
    assert result.picture is picture
    assert not result.mask.any()
    assert result.censors == [small, other]


def test_the_mean_is_of_what_was_sharpened_alone():
    sharp = np.full((2, 2, 3), 100, np.uint8)
    mask = np.array([[True, False], [False, True]])
    prediction = np.full((2, 2, 3), 201, np.uint8)
    found = Sharpened(sharp, [], mask).mean(prediction, np.s_[:2, :2])
    assert found[..., 0].tolist() == [[151, 201], [201, 151]]
