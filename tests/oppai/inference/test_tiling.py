import importlib

import cv2
import numpy as np
import pytest

from illustkit.images import uint8_to_signed
from illustkit.samples import draw_character
from oppai.censoring.block_grid import Grid
from oppai.censoring.censor import add_blur, censor
from oppai.censoring.masks import box_mask
from oppai.censoring.regions import Region
from oppai.inference.restore import restore
from oppai.inference.sharpen import Sharpened
from oppai.inference.tiling import plan_tiles, predict_regions, split_by_censor
from oppai.models.restorers import BaseRestorer


class Spy(BaseRestorer):
    """Sees mosaics, keeps its cases, and answers by a function of the picture."""

    sees_mosaics = True
    divisor = 16

    def __init__(self, answer=lambda picture: picture):
        self.cases = []
        self.answer = answer

    def predict(self, picture, hole, grid=None, missing=None):
        self.cases.append((picture, hole, grid, missing))
        return uint8_to_signed(self.answer(picture))


def blocks_smoothed(picture):
    """What a mosaic's blocks hide, guessed by Gaussian blur of the picture shown."""
    return cv2.GaussianBlur(picture, (0, 0), 4)


def marked(shape, *boxes):
    hole = np.zeros(shape, bool)
    for left, top, right, bottom in boxes:
        hole[top:bottom, left:right] = True
    return hole


def region(box, grid=None):
    left, top, right, bottom = box
    return Region(box, np.ones((bottom - top, right - left), bool), "mosaic", grid)


def test_regions_are_disjoint_and_are_all_that_is_marked():
    boxes = (10, 10, 60, 50), (70, 20, 90, 40), (100, 150, 190, 180)
    hole = marked((200, 200), *boxes)
    first, second = Grid((8, 8)), Grid((5, 5), (1, 2))
    mosaics = [region((12, 12, 40, 48), first), region((40, 12, 58, 48), second)]
    regions = split_by_censor(hole, mosaics)
    count = np.zeros((200, 200), int)
    for part in regions:
        count[part.slices] += part.mask
    np.testing.assert_array_equal(count, hole)
    assert {part.grid for part in regions} == {first, second, None}
    # Near a mosaic, though outside its region: the mosaic's; far away: missing.
    missing = [part for part in regions if part.grid is None]
    assert [part.box for part in missing] == [(100, 150, 190, 180)]


@pytest.mark.parametrize("block", [5, 8, 20])
def test_a_mosaic_in_several_crops_has_no_seam(block):
    height, width = 300, 1300
    y, x = np.mgrid[:height, :width]
    # A slope that a mosaic of blocks keeps to half a block.
    slope = np.stack([x * 250 / width, y * 250 / height, 0 * x + 9], -1)
    box = (40, 40, width - 40, height - 40)
    mask = box_mask((width, height), box, blur_size=0, coverage=1)
    censored = censor(
        slope.astype(np.uint8), mask, block=block, picture_blur=0, origin=(3, 2)
    )
    spy = Spy(blocks_smoothed)
    hole = mask > 0
    plan = plan_tiles(hole, spy, [region(box, Grid((block, block), (3, 2)))])
    assert len(plan) == 1 and len(plan[0][1]) > 1
    (result,) = predict_regions(censored, hole, plan, spy)
    assert max(max(case[0].shape) for case in spy.cases) <= 512
    inner = np.s_[3 * block : -3 * block, 3 * block : -3 * block]
    left, top, right, bottom = box
    error = np.abs(result - slope[top:bottom, left:right])[inner]
    assert error.max() < 4
    # Neighbours differ by the slope, at seams as elsewhere.
    assert np.abs(np.diff(result, axis=1))[inner].max() < 2.5


def test_each_mosaic_is_seen_at_the_scale_of_training():
    hole = marked((256, 256), (40, 40, 120, 120), (150, 40, 230, 120))
    mosaics = [
        region((40, 40, 120, 120), Grid((20, 10))),
        region((150, 40, 230, 120), Grid((5, 5))),
    ]
    spy, picture = Spy(), draw_character(2, size=(256, 256)).image
    list(predict_regions(picture, hole, plan_tiles(hole, spy, mosaics), spy))
    for (_, _, grid, _), side in zip(spy.cases, (8, 4), strict=True):
        np.testing.assert_allclose(grid.block, (side, side), rtol=0.02)


@pytest.mark.parametrize("sigma, shrunk_by", [(1, 1), (2, 1), (5, 2.5), (16, 8)])
def test_a_blur_is_seen_at_two_pixels_and_nothing_in_it_is_missing(sigma, shrunk_by):
    box, beside = (48, 48, 208, 208), (260, 100, 300, 140)
    hole = marked((320, 320), box, beside)
    mask = np.ones((160, 160), bool)
    spy, picture = Spy(), draw_character(2, size=(320, 320)).image
    plan = plan_tiles(hole, spy, [Region(box, mask, "blur", sigma=sigma)])
    blurred, other = (part for part, _ in plan)
    assert (blurred.kind, blurred.sigma, other.kind) == ("blur", sigma, "missing")
    crop = plan[0][1][0].crop
    for axis in (0, 1):
        side = crop.box[axis + 2] - crop.box[axis]
        assert side / crop.size[axis] == pytest.approx(shrunk_by, rel=0.02)
    list(predict_regions(picture, hole, plan, spy))
    _, inside, grid, missing = spy.cases[0]
    assert grid is None and inside.any()
    # What another region hides is missing; the blurred part is not.
    in_crop = crop.take_hole(marked(hole.shape, beside))
    np.testing.assert_array_equal(missing, in_crop)
    np.testing.assert_array_equal(inside, crop.take_hole(hole))


def test_a_marked_blur_is_seen_at_the_scale_of_its_estimated_strength(monkeypatch):
    module = importlib.import_module("oppai.inference.restore")
    monkeypatch.setattr(module, "mosaics_under", lambda picture, hole: [])
    box = (60, 60, 220, 220)
    truth = draw_character(3, (300, 424)).image
    blurred = add_blur(truth, box, sigma=8, blur_size=0, coverage=1).image
    spy = Spy()
    restore(blurred, boxes=[box], restorer=spy, feather=0)
    ((_, inside, grid, missing),) = spy.cases
    assert grid is None and not missing.any()
    # Three tenths of the blur are left where it was sharpened: sides shrink to 2 / 2.4.
    assert inside.sum() ** 0.5 == pytest.approx(160 * 2 / 2.4, rel=0.25)
    monkeypatch.setattr(module, "sharpen_blurs", as_it_is)
    restore(blurred, boxes=[box], restorer=spy, feather=0)
    # Else sides are brought to a quarter.
    assert spy.cases[1][1].sum() ** 0.5 == pytest.approx(160 / 4, rel=0.25)


def as_it_is(picture, alpha, censors):
    return Sharpened(picture, list(censors), np.zeros(alpha.shape, bool))


def test_what_another_region_hides_counts_as_missing():
    picture = draw_character(2, size=(256, 256)).image
    hole = marked((256, 256), (40, 40, 120, 120), (140, 40, 200, 120))
    spy = Spy()
    plan = plan_tiles(hole, spy, [region((40, 40, 120, 120), Grid((8, 8)))])
    list(predict_regions(picture, hole, plan, spy))
    kinds = {part.kind: n for n, (part, _) in enumerate(plan)}
    _, inside, _, missing = spy.cases[kinds["mosaic"]]
    left, top, _, _ = plan[kinds["mosaic"]][1][0].crop.box
    # At blocks of 8 the crop has the picture's scale: x of the picture less its left.
    row = 80 - top
    assert inside[row, 142 - left] and missing[row, 142 - left]
    assert inside[row, 100 - left] and not missing[row, 100 - left]
    assert not inside[row, 130 - left] and not missing[row, 130 - left]
    _, hidden, grid, lost = spy.cases[kinds["missing"]]
    assert grid is None and hidden.any()
    np.testing.assert_array_equal(hidden, lost)


def test_a_mosaic_is_found_marked_or_not_and_nothing_else_changes():
    truth = draw_character(5003, (400, 566)).image
    box = (133, 366, 243, 466)
    mask = box_mask((400, 566), box, blur_size=0, coverage=1)
    censored = censor(truth, mask, block=8, picture_blur=0)
    near = cv2.dilate(mask, np.ones((17, 17), np.uint8)) > 0
    for marks in ({}, {"boxes": [box]}, {"mask": mask > 0}):
        spy = Spy(lambda picture: np.full_like(picture, 60))
        result = restore(censored, restorer=spy, feather=0, **marks)
        np.testing.assert_array_equal(result[~near], censored[~near])
        inner = np.s_[box[1] + 16 : box[3] - 16, box[0] + 16 : box[2] - 16]
        assert (result[inner] == 60).all()
        assert [case[2].block for case in spy.cases] == [(8.0, 8.0)]


def test_missing_content_needs_no_mosaic_and_paint_is_missing():
    truth = draw_character(5003, (400, 566)).image
    painted = truth.copy()
    painted[380:440, 150:220] = 0, 255, 0
    restorer = Spy(lambda picture: np.full_like(picture, 90))
    result = restore(painted, mask_colour=(0, 255, 0), restorer=restorer)
    assert not (result == (0, 255, 0)).all(-1).any()
    outside = np.ones(truth.shape[:2], bool)
    outside[370:450, 140:230] = False
    np.testing.assert_array_equal(result[outside], truth[outside])


def test_where_nothing_is_censored_it_says_what_to_do():
    with pytest.raises(ValueError, match="mark it with boxes, a mask or paint"):
        restore(np.full((96, 128, 3), 200, np.uint8), restorer=Spy())
