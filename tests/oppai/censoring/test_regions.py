import numpy as np
import pytest

from oppai.censoring.regions import Region, bounds, overlap, region_at, widened


def test_a_region_lies_where_its_box_says():
    mask = np.array([[True, False, True], [True, True, True]])
    region = region_at((4, 2), mask, kind="white", confidence=0.7)
    assert region.box == (4, 2, 7, 4) and region.grid is None
    whole = np.zeros((6, 9), bool)
    whole[region.slices] = region.mask
    assert np.argwhere(whole).tolist() == [[2, 4], [2, 6], [3, 4], [3, 5], [3, 6]]
    assert bounds(whole) == region.box
    assert bounds(whole & False) is None


def test_the_old_name_of_the_mask_still_works():
    region = Region((0, 0, 2, 1), np.array([[True, False]]))
    with pytest.deprecated_call(match="use `mask`"):
        assert region.hole is region.mask


@pytest.mark.parametrize(
    "first, second",
    [
        ((0, 0, 5, 4), (3, 1, 9, 9)),
        ((3, 1, 9, 9), (0, 0, 5, 4)),
        ((2, 2, 4, 4), (0, 0, 9, 9)),
        ((0, 0, 3, 3), (3, 0, 6, 3)),
        ((7, 0, 9, 3), (0, 4, 2, 6)),
    ],
)
def test_overlap_is_where_pixels_of_both_boxes_are(first, second):
    rng = np.random.default_rng(0)
    picture = rng.permutation(90).reshape(9, 10)
    cuts = [picture[b[1] : b[3], b[0] : b[2]] for b in (first, second)]
    inside = [
        cut[place] for cut, place in zip(cuts, overlap(first, second), strict=True)
    ]
    common = np.intersect1d(*cuts)
    for pixels in inside:
        assert sorted(pixels.ravel()) == common.tolist()


def test_widening_by_hand():
    mask = np.zeros((5, 7), bool)
    mask[2, 3] = True
    expected = np.zeros((5, 7), bool)
    expected[1:4, 2:5] = True
    np.testing.assert_array_equal(widened(mask, 1), expected)
    np.testing.assert_array_equal(widened(mask, 0), mask)
