import itertools

import numpy as np
import pytest

from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import region_at
from oppai.detection.grids.forms import best_rectangle, trimmed


def test_the_best_rectangle_is_that_of_all_rectangles():
    rng = np.random.default_rng(0)
    for _ in range(5):
        score = rng.normal(-0.2, 1, (5, 7))
        boxes = [
            (a, b, c, d)
            for a, c in itertools.combinations(range(8), 2)
            for b, d in itertools.combinations(range(6), 2)
        ]
        sums = [score[b:d, a:c].sum() for a, b, c, d in boxes]
        assert best_rectangle(score) == boxes[int(np.argmax(sums))]


def blocks_in_noise(block, place, n, size=(96, 96)):
    """Return noise in which there are `n` plain blocks each way, and their box."""
    rng = np.random.default_rng(1)
    grey = rng.integers(0, 256, size, np.uint8)
    colours = rng.permutation(n * n) * (200 // (n * n)) + 20
    part = colours.reshape(n, n).repeat(block, 0).repeat(block, 1)
    x, y = place
    grey[y : y + n * block, x : x + n * block] = part
    return grey, (x, y, x + n * block, y + n * block)


@pytest.mark.parametrize("off", [0, 1])  # the grid at hand may be a pixel off
def test_what_is_no_block_beside_a_mosaic_is_left_out(off):
    grey, box = blocks_in_noise(8, (29, 37), 4)
    seen = region_at((20, 22), np.ones((60, 55), bool), grid=Grid((8, 8), (5, 5 + off)))
    region = trimmed(grey, seen)
    assert np.abs(np.subtract(region.box, box)).max() <= off
    assert region.mask.all()
    assert region.grid == seen.grid


def test_a_grid_of_blocks_a_pixel_too_high_keeps_the_last_row():
    rng = np.random.default_rng(2)
    grey = rng.integers(0, 256, (96, 96), np.uint8)
    lines = np.array((0, 14, 28, 42, 55))  # blocks of 13.75
    colours = rng.permutation(16) * 12 + 20
    part = colours.reshape(4, 4).repeat(np.diff(lines), 0).repeat(14, 1)
    grey[10:65, 20:76] = part
    seen = region_at((10, 4), np.ones((70, 76), bool), grid=Grid((14, 14), (6, 10)))
    assert np.abs(np.subtract(trimmed(grey, seen).box, (20, 10, 76, 65))).max() <= 1


def test_a_region_at_the_picture_s_corner_is_trimmed_within_the_picture():
    grey, _ = blocks_in_noise(8, (0, 0), 4)
    seen = region_at((0, 0), np.ones((50, 50), bool), grid=Grid((8, 8), (0, 0)))
    assert trimmed(grey, seen).box == (0, 0, 32, 32)


def test_two_rows_of_blocks_are_no_mosaic():
    grey, _ = blocks_in_noise(8, (24, 24), 2)
    seen = region_at((8, 8), np.ones((64, 64), bool), grid=Grid((8, 8)))
    assert trimmed(grey, seen) is None
