import cv2
import numpy as np
import pytest
from PIL import Image

from illustkit.samples import draw_character
from oppai.detection.grids.soft import _Votes, enlarging, find_soft
from oppai.detection.mosaic import find_mosaics

BOX = 40, 60, 210, 220


@pytest.fixture(scope="module")
def grey():
    return cv2.cvtColor(draw_character(3, (240, 300)).image, cv2.COLOR_RGB2GRAY)


def enlarged(small, size, way):
    if way == "linear":
        return cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    if way == "cubic":
        return cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))


@pytest.mark.parametrize("kernel", ["linear", "cubic", "softer cubic"])
def test_blocks_weigh_as_programs_enlarge_them(kernel):
    line = np.random.default_rng(0).random(15).astype(np.float32)
    found = enlarged(np.stack([line] * 3), (160, 3), kernel)[1]
    weights = enlarging(160, 160 / 15, 160 / 30, kernel)
    margin = (weights.shape[1] - 15) // 2
    expected = weights @ np.pad(line, margin, "edge")
    # At the ends programs differ in what they repeat.
    np.testing.assert_allclose(found[22:-22], expected[22:-22], atol=2e-3)


def censored(grey, n, way):
    left, top, right, bottom = BOX
    part = grey[top:bottom, left:right]
    small = cv2.resize(part, n, interpolation=cv2.INTER_AREA)
    picture = grey.copy()
    picture[top:bottom, left:right] = enlarged(small, part.shape[::-1], way)
    return picture


@pytest.mark.parametrize(
    "way, n", [("linear", (26, 25)), ("pillow", (26, 25)), ("cubic", (14, 13))]
)
def test_a_soft_mosaic_and_its_grid_are_found(grey, way, n):
    regions = find_soft(censored(grey, n, way), least=0.5)
    assert len(regions) == 1 and regions[0].kind == "mosaic"
    grid, truth = regions[0].grid, (170 / n[0], 160 / n[1])
    assert grid.soft and grid.block == pytest.approx(truth, rel=0.01)
    for axis, middle in enumerate((125, 140)):
        lines = grid.moved(-middle, -middle).origin[axis]
        shift = lines - (BOX[axis] - middle)
        assert abs((shift + truth[axis] / 2) % truth[axis] - truth[axis] / 2) < 0.6
    hole = np.zeros(grey.shape, bool)
    hole[BOX[1] : BOX[3], BOX[0] : BOX[2]] = True
    mask = np.zeros_like(hole)
    mask[regions[0].slices] = regions[0].mask
    # Plain blocks at the rim show nothing.
    assert (hole & mask).sum() > 0.65 * hole.sum()
    assert (mask & ~hole).sum() < 0.05 * hole.sum()


def test_a_picture_a_blur_and_a_hard_mosaic_are_not_soft(grey):
    left, top, right, bottom = BOX
    blurred = grey.copy()
    blurred[top:bottom, left:right] = cv2.GaussianBlur(grey, (0, 0), 5)[
        top:bottom, left:right
    ]
    hard = grey.copy()
    small = cv2.resize(grey[top:bottom, left:right], (20, 19))
    hard[top:bottom, left:right] = cv2.resize(
        small, (170, 160), interpolation=cv2.INTER_NEAREST
    )
    for picture in (grey, blurred, hard):
        assert find_soft(picture, least=0.5) == []


def test_soft_mosaics_are_among_all_mosaics(grey):
    picture = censored(grey, (26, 25), "linear")[..., None].repeat(3, 2)
    regions = find_mosaics(picture)
    assert [region.grid.soft for region in regions] == [True]


def test_windows_that_agree_far_away_are_not_of_one_mosaic():
    """Blocks of 5 pixels reach 60: five windows in a chain, and two elsewhere."""
    corner = np.array(
        [(0, 0), (40, 0), (100, 20), (100, 80), (120, 80), (300, 0), (0, 400)]
    )
    n = len(corner)
    votes = _Votes(1, None, corner, np.full((n, 2, 2), 5.0), None, None)
    agree = np.ones(n, bool)
    agree[1] = False  # it lies between, but does not agree
    assert votes.together(0, agree).tolist() == [True] + [False] * 6
    agree[1] = True
    assert votes.together(0, agree).tolist() == [True] * 5 + [False] * 2
    assert votes.together(5, agree).nonzero()[0].tolist() == [5]
