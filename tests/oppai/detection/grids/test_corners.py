import cv2
import numpy as np
import pytest
from PIL import Image

from illustkit.samples import draw_character
from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import Region
from oppai.detection.grids.corners import from_corner, lines_from


@pytest.mark.parametrize(
    "block, pixel, expected",
    [
        (32 / 3, 0.5, (0, 11, 21, 32)),
        (32 / 3, 0, (0, 11, 22, 32)),
        (31 / 3, 0.5, (0, 10, 21, 31)),
        (31 / 3, 0, (0, 11, 21, 31)),
        (10, 0.5, (0, 10, 20, 30)),
        (10, 0, (0, 10, 20, 30)),
    ],
)
def test_lines_by_hand(block, pixel, expected):
    assert lines_from(0, block, 3, pixel).tolist() == list(expected)
    assert lines_from(7, block, 3, pixel).tolist() == [7 + x for x in expected]


@pytest.mark.parametrize(
    "length, n", [(160, 15), (101, 13), (77, 15), (21, 2), (136, 6)]
)
def test_lines_are_those_of_the_programs(length, n):
    """At 10.5 of 21 and at 68 of 136 pixels a point lies exactly between two blocks."""
    numbers = np.arange(n, dtype=np.uint8)[None]
    pillow = Image.fromarray(numbers).resize((length, 1), Image.Resampling.NEAREST)
    opencv = cv2.resize(numbers, (length, 1), interpolation=cv2.INTER_NEAREST)
    for drawn, pixel in ((np.asarray(pillow), 0.5), (opencv, 0)):
        lines = np.flatnonzero(np.diff(drawn[0])) + 1
        assert lines.tolist() == lines_from(0, length / n, n, pixel)[1:-1].tolist()


def mosaic(program, box, n):
    picture = draw_character(3, (300, 424)).image
    left, top, right, bottom = box
    part = picture[top:bottom, left:right]
    size = part.shape[1::-1]
    small = cv2.resize(part, n, interpolation=cv2.INTER_AREA)
    if program == "Pillow":
        large = Image.fromarray(small).resize(size, Image.Resampling.NEAREST)
    else:
        large = cv2.resize(small, size, interpolation=cv2.INTER_NEAREST)
    picture[top:bottom, left:right] = np.asarray(large)
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


@pytest.mark.parametrize("program, shift", [("Pillow", 0), ("OpenCV", 0.5)])
@pytest.mark.parametrize("seen", [(0, 0, 0, 0), (1, -2, 2, 1), (0, 0, 0, -11)])
@pytest.mark.parametrize("bottom", [300, 294])  # blocks 11.43 or 11 pixels high
def test_a_grid_begins_where_the_shrunk_part_does(program, shift, seen, bottom):
    box, n = (80, 140, 240, bottom), (15, 14)
    grey = mosaic(program, box, n)
    # What the lines tell: blocks nearly right, their offset half a pixel off or not.
    height = (bottom - 140) / 14
    shift_y = shift if height % 1 else 0
    told = Grid((10.68, height), (80 + shift, 140 + shift_y))
    box = tuple(np.add(box, seen).tolist())
    mask = np.ones((box[3] - box[1], box[2] - box[0]), bool)
    found = from_corner(grey, Region(box, mask, "mosaic", told))
    np.testing.assert_allclose(found.block, (160 / 15, height))
    np.testing.assert_allclose(
        found.origin, (80 % found.block[0], 140 % found.block[1])
    )


def test_blocks_of_half_pixels_begin_at_the_corner():
    box, n = (80, 140, 227, 287), (14, 14)
    grid = Grid((10.5, 10.5), (80.4, 140.4))
    region = Region(box, np.ones((147, 147), bool), "mosaic", grid)
    found = from_corner(mosaic("OpenCV", box, n), region)
    assert found == Grid((10.5, 10.5), (80, 140))


@pytest.mark.parametrize("program, pixel", [("Pillow", 0.5), ("OpenCV", 0)])
def test_lines_that_begin_at_no_corner_stay(program, pixel):
    picture = draw_character(3, (300, 424)).image
    small = cv2.resize(picture[:320], (28, 30), interpolation=cv2.INTER_AREA)
    # Blocks of 10.7 pixels that begin 3.3 pixels before a part of the picture.
    y, x = (np.floor((np.arange(150) + pixel + 3.3) / 10.7).astype(int),) * 2
    picture[100:250, 70:220] = small[y][:, x]
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    truth = Grid((10.7, 10.7), (70 - 3.3, 100 - 3.3))
    grid = truth.moved(0.5 - pixel, 0.5 - pixel)  # as its lines are drawn
    region = Region((70, 100, 220, 250), np.ones((150, 150), bool), "mosaic", grid)
    found = from_corner(grey, region)
    for axis, start in enumerate((70, 100)):
        shift = found.origin[axis] - truth.origin[axis]
        near = (shift + 5.35) % 10.7 - 5.35
        assert abs(near) < 0.3 and abs(found.block[axis] - 10.7) < 0.05, start


def test_lines_that_either_program_may_have_drawn_are_halfway():
    """Lines at 11, 21, 32, 42 are OpenCV's from 0 and Pillow's from 11, of 10.5."""
    lines = lines_from(0, 10.5, 20, 0)[1:-1]
    numbers = np.searchsorted(lines, np.arange(210), side="right")
    cells = np.random.default_rng(0).integers(0, 256, (20, 20), np.uint8)
    grey = np.pad(cells[numbers][:, numbers], 30)
    box = 46, 46, 224, 224
    grid = Grid((10.5, 10.5), (30.2, 30.2))
    found = from_corner(grey, Region(box, np.ones((178, 178), bool), grid=grid))
    assert found.block == pytest.approx((10.5, 10.5))
    assert (np.array(found.origin) - 30) % 10.5 == pytest.approx(0.25)


def test_blocks_of_whole_pixels_stay():
    box = (80, 140, 240, 300)
    grey, mask = mosaic("OpenCV", box, (16, 16)), np.ones((160, 160), bool)
    grid = Grid((10, 10), (0, 0))
    assert from_corner(grey, Region(box, mask, "mosaic", grid)) == grid


@pytest.mark.parametrize("program, pixel", [("Pillow", 0.5), ("OpenCV", 0)])
def test_blocks_whose_inner_lines_are_of_whole_pixels(program, pixel):
    # Three blocks of 52 pixels: the lines 18 and 35 are those of blocks of 17 too.
    top, bottom = 100, 152
    grey = mosaic(program, (80, top, 240, bottom), (16, 3))
    lines = lines_from(top, 52 / 3, 3, pixel).tolist()
    region = Region(
        (80, top, 240, bottom),
        np.ones((52, 160), bool),
        grid=Grid((10, 17), (80, lines[1])),
    )
    grid = from_corner(grey, region)
    assert grid.block == pytest.approx((10, 52 / 3))
    assert grid.origin == pytest.approx((0, top % (52 / 3)))


def test_whole_pixels_stay_what_they_are():
    grey = mosaic("OpenCV", (80, 100, 240, 160), (16, 4))
    region = Region(
        (80, 98, 240, 163), np.ones((65, 160), bool), grid=Grid((10, 15), (0, 10))
    )
    assert from_corner(grey, region) == region.grid


@pytest.mark.parametrize("height", [9, 8.7])
def test_few_rows_of_blocks_end_where_the_shrunk_part_does(height):
    # Six blocks in 53 pixels. Those of 9 have the same lines but for the last one.
    grey = mosaic("OpenCV", (80, 150, 237, 203), (16, 6))
    grid = Grid((157 / 16, height), (80, 177))
    region = Region((80, 148, 237, 206), np.ones((58, 157), bool), grid=grid)
    result = from_corner(grey, region)
    assert result.block == pytest.approx((157 / 16, 53 / 6))
    assert result.origin[1] == pytest.approx(150 % (53 / 6))


def test_a_last_row_may_be_cut():
    # Square blocks of whole pixels, whose last row lacks one.
    grey = mosaic("OpenCV", (80, 150, 161, 204), (9, 6))
    grey[203:] = draw_character(5, (300, 424)).image[203:, :, 1]
    grid = Grid((9, 9), (80, 150))
    region = Region((80, 150, 161, 203), np.ones((53, 81), bool), grid=grid)
    assert from_corner(grey, region) == grid


@pytest.mark.parametrize("box", [(0, 0, 1, 40), (0, 0, 40, 1), (0, 10, 1, 11)])
def test_a_region_of_one_line_at_the_edge_keeps_its_grid(box):
    grey = np.random.default_rng(3).integers(0, 256, (48, 48)).astype(np.uint8)
    left, top, right, bottom = box
    mask = np.ones((bottom - top, right - left), bool)
    found = from_corner(grey, Region(box, mask, "mosaic", Grid((8, 8))))
    assert found.block == (8, 8)
