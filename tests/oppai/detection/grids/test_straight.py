import cv2
import numpy as np
import pytest

from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import region_at
from oppai.detection.grids.straight import borders, straighten


def test_borders_are_the_first_pixels_whose_middles_lie_in_a_block():
    for block, origin in ((10.67, 3.2), (8, 0), (5.5, 5.4)):
        number = [int(np.floor((x + 0.5 - origin) / block)) for x in range(64)]
        expected = [x for x in range(1, 64) if number[x] != number[x - 1]]
        found = borders(64, block, origin)
        assert [x for x in found.tolist() if 0 < x < 64] == expected
        assert found[0] <= 0 and found[-1] >= 64


@pytest.fixture
def mosaic():
    """15x12 blocks on 160x131 pixels from (7, 5) of a picture."""
    rng = np.random.default_rng(0)
    cells = rng.permutation(180).reshape(12, 15).astype(np.uint8)
    grey = np.full((150, 190), 250, np.uint8)
    grey[5:136, 7:167] = cv2.resize(cells, (160, 131), interpolation=cv2.INTER_NEAREST)
    return grey, cells, Grid((160 / 15, 131 / 12), (7.5, 5.5))


def test_every_block_gets_equally_many_pixels(mosaic):
    grey, cells, grid = mosaic
    straight = straighten(grey, grid)
    assert straight.grid.block == (11, 11)
    left, top, right, bottom = straight.box((7, 5, 167, 136))
    assert (right - left, bottom - top) == (15 * 11, 12 * 11)
    inside = straight.grey[top:bottom, left:right]
    np.testing.assert_array_equal(inside, cells.repeat(11, 0).repeat(11, 1))
    x, y = straight.grid.origin
    assert ((left - x) % 11, (top - y) % 11) == (0, 0)


def test_regions_and_grids_come_back(mosaic):
    grey, _, grid = mosaic
    straight = straighten(grey, grid)
    left, top, right, bottom = straight.box((7, 5, 167, 136))
    mask = np.ones((bottom - top, right - left), bool)
    region = region_at((left, top), mask, kind="mosaic", grid=straight.grid)
    back = straight.back(region)
    assert back.box == (7, 5, 167, 136) and back.mask.all()
    assert back.grid.block == pytest.approx(grid.block)
    assert back.grid.origin == pytest.approx(grid.origin)
    coarse = Grid((22, 33), straight.grid.origin)
    assert straight.grid_back(coarse).block == pytest.approx((320 / 15, 131 / 4))


def test_a_grid_of_whole_pixels_leaves_the_picture_as_it_is():
    grey = np.random.default_rng(1).integers(0, 256, (50, 43), np.uint8)
    straight = straighten(grey, Grid((7, 9), (3, 8)))
    np.testing.assert_array_equal(straight.grey, grey)
    assert straight.grid == Grid((7, 9), (3, 8))
    assert straight.box((1, 2, 30, 41)) == (1, 2, 30, 41)
