import numpy as np
import pytest

from illustkit.samples import draw_face_icon
from oppai.censoring.block_grid import Grid, block_means
from oppai.censoring.censor import box_mask, censor
from oppai.data.mosaic_frames import (
    Frame,
    frame_case,
    frame_round,
    network_side,
    resized,
)


@pytest.mark.parametrize(
    "block, origin", [((16, 16), (5, 3)), ((7, 7), (2, 6)), ((24, 10), (0, 9))]
)
def test_blocks_have_eight_pixels_in_the_frame(block, origin):
    grid = Grid(block, origin)
    frame = frame_round((60, 50, 120, 110), grid)
    inner = frame.grid(grid)
    np.testing.assert_allclose(inner.block, (8, 8), atol=0.06)
    # the corner of a block lies in the frame's corner, to half a pixel of the picture
    for phase, side, scale in zip(inner.origin, inner.block, (8, 8), strict=True):
        assert min(phase, side - phase) <= 0.5 * scale / min(block) + 1e-6
    left, top, right, bottom = frame.box
    margin = np.multiply(block, 3)
    assert left <= 60 - margin[0] and right >= 120 + margin[0] - 1
    assert top <= 50 - margin[1] and bottom >= 110 + margin[1] - 1
    assert frame.size[0] % 16 == frame.size[1] % 16 == 0


def test_small_blocks_go_to_four_large_ones_to_eight():
    sides = [network_side(block) for block in (3, 4, 5, 6, 8, 32)]
    assert sides == [4, 4, 4, 8, 8, 8]


def test_a_frame_shows_the_means_of_the_mosaic_at_any_scale():
    truth = draw_face_icon(3, 192)
    mask = box_mask((192, 192), (48, 48, 144, 144), blur_size=0, coverage=1)
    for block in (6, 12, 16):
        grid = Grid((block, block))
        censored = censor(truth, mask, block=block, picture_blur=0)
        frame = frame_round((48, 48, 144, 144), grid)
        picture, hole, inner, missing = frame_case(frame, censored, mask < 255, grid)
        assert not missing.any()
        x, y = frame.box[0] // block, frame.box[1] // block
        means = block_means(picture, inner)
        expected = block_means(censored, grid)
        at = slice(-(-48 // block), 144 // block)
        rows = slice(at.start - y, at.stop - y)
        columns = slice(at.start - x, at.stop - x)
        np.testing.assert_allclose(means[rows, columns], expected[at, at], atol=0.6)
        assert hole.sum() >= (96 * 8 / block) ** 2


def test_frames_overhang_the_picture_and_come_back_to_their_place():
    picture = draw_face_icon(2, 64)
    frame = Frame((-5, -9, 59, 55), (128, 128))
    np.testing.assert_array_equal(
        Frame((-5, -9, 59, 55), (64, 64)).take(picture),
        np.pad(picture, ((9, 0), (5, 0), (0, 0)), mode="edge")[:64, :64],
    )
    taken = frame.take(picture).astype(np.float32)
    (left, top, right, bottom), array = frame.give(taken, (64, 64))
    assert (left, top, right, bottom) == (0, 0, 59, 55)
    error = np.abs(array - picture[top:bottom, left:right]).mean()
    moved = np.abs(array[:-1] - picture[top + 1 : bottom, left:right]).mean()
    assert error < moved / 2  # enlarged and shrunk again


def test_every_hole_pixel_is_hole_in_the_frame():
    hole = np.zeros((64, 64), bool)
    hole[10, 11] = hole[40:43, 20:24] = True
    for size in (24, 64, 160):
        inside = Frame((0, 0, 64, 64), (size, size)).take_hole(hole)
        back = resized(inside.astype(np.float32), (64, 64))
        assert (back[hole] > 0).all()
        assert inside.mean() < 6 * hole.mean()
