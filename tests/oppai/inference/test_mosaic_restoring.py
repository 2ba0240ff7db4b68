import cv2
import numpy as np
import pytest

from illustkit.samples import draw_character
from oppai.censoring.block_grid import Grid
from oppai.censoring.censor import box_mask, censor
from oppai.data.mosaic_frames import frame_case, mosaic_inputs
from oppai.inference.restore import restore
from oppai.inference.tiling import Part, find_parts, predict_parts


class Filter:
    """A restorer that gives the network's base: what is expected is known."""

    blend = 1.0

    def __init__(self):
        self.sizes = []

    def restore_frames(self, jobs, batch_size):
        frames = []
        for job in jobs:
            picture, hole, grid, missing = frame_case(*job)
            mask = np.where(hole, 0, 255).astype(np.uint8)
            frames.append(mosaic_inputs(picture, mask, grid, missing)["base"])
            self.sizes.append(job[0].size)
        return frames


def marked(shape, *boxes):
    hole = np.zeros(shape, bool)
    for left, top, right, bottom in boxes:
        hole[top:bottom, left:right] = True
    return hole


def test_parts_are_disjoint_and_are_all_that_is_marked():
    boxes = (10, 10, 60, 50), (70, 20, 90, 40), (100, 150, 190, 180)
    hole = marked((200, 200), *boxes)
    one, two = Grid((8, 8)), Grid((5, 5), (1, 2))
    mosaics = [
        ((12, 12, 40, 48), np.ones((36, 28), bool), one),
        ((40, 12, 58, 48), np.ones((36, 18), bool), two),
    ]
    parts = find_parts(hole, mosaics)
    count = np.zeros((200, 200), int)
    for part in parts:
        left, top, right, bottom = part.box
        count[top:bottom, left:right] += part.hole
    np.testing.assert_array_equal(count, hole)
    grids = {part.grid for part in parts}
    assert grids == {one, two, None}
    # near a mosaic and not found: its; far away: missing
    owner = [p for p in parts if p.grid is None]
    assert [p.box for p in owner] == [(100, 150, 190, 180)]


@pytest.mark.parametrize("block", [5, 8, 20])
def test_a_mosaic_in_several_frames_has_no_seam(block):
    truth = np.tile(draw_character(4, size=(256, 256)).image, (2, 3, 1))
    height, width = truth.shape[:2]
    box = (40, 40, width - 40, height - 40)
    mask = box_mask((width, height), box, blur_size=0, coverage=1)
    censored = censor(truth, mask, block=block, picture_blur=0, origin=(3, 2))
    grid = Grid((block, block), (3, 2))
    hole = mask < 255
    left, top, right, bottom = box
    part = Part(box, hole[top:bottom, left:right], grid)
    filters = Filter()
    (result,) = predict_parts(censored, hole, [part], filters)
    assert max(max(size) for size in filters.sizes) <= 512
    whole = mosaic_inputs(censored, mask, grid)["base"][top:bottom, left:right]
    inner = np.s_[2 * block : -2 * block, 2 * block : -2 * block]
    error = np.abs(result - 127.5 * (whole + 1))[inner]
    # the network's scale is another one than the picture's
    assert error.mean() < 1.5 and error.max() < 40


def test_what_another_part_hides_counts_as_missing():
    picture = draw_character(2, size=(256, 256)).image
    hole = marked((256, 256), (40, 40, 120, 120), (130, 40, 200, 120))
    parts = [
        Part((40, 40, 120, 120), np.ones((80, 80), bool), Grid((8, 8))),
        Part((130, 40, 200, 120), np.ones((80, 70), bool), None),
    ]
    seen = []

    class Spy(Filter):
        def restore_frames(self, jobs, batch_size):
            seen.append(frame_case(*jobs[0]))
            return super().restore_frames(jobs, batch_size)

    list(predict_parts(picture, hole, parts, Spy()))
    (_, inside, _, missing), (_, other, _, lost) = seen
    assert missing.any() and (inside & ~missing).any()
    assert (missing <= inside).all()
    np.testing.assert_array_equal(other, lost)


def test_a_mosaic_is_found_marked_or_not_and_nothing_else_changes():
    truth = draw_character(5003, (400, 566)).image
    box = (133, 366, 243, 466)
    mask = box_mask((400, 566), box, blur_size=0, coverage=1)
    censored = censor(truth, mask, block=8, picture_blur=0)
    expected = mosaic_inputs(censored, mask, Grid((8, 8)))["base"]
    expected = np.rint(127.5 * (expected + 1))
    filters = Filter()
    for marks in ({}, {"boxes": [box]}, {"mask": mask < 255}):
        result = restore(censored, restorer=filters, feather=0, **marks)
        changed = (result != censored).any(-1)
        near = cv2.dilate((mask < 255).astype(np.uint8), np.ones((17, 17), np.uint8))
        assert not (changed & (near == 0)).any()
        inner = np.s_[box[1] + 16 : box[3] - 16, box[0] + 16 : box[2] - 16]
        assert np.abs(result[inner] - expected[inner]).max() <= 1


def test_missing_content_needs_no_mosaic_and_paint_is_missing():
    truth = draw_character(5003, (400, 566)).image
    painted = truth.copy()
    painted[380:440, 150:220] = 0, 255, 0
    restorer = Filter()
    result = restore(painted, mask_colour=(0, 255, 0), restorer=restorer)
    assert not (result == (0, 255, 0)).all(-1).any()
    outside = np.ones(truth.shape[:2], bool)
    outside[370:450, 140:230] = False
    np.testing.assert_array_equal(result[outside], truth[outside])


def test_where_nothing_is_censored_it_says_what_to_do():
    with pytest.raises(ValueError, match="mark it with boxes, a mask or paint"):
        restore(np.full((96, 128, 3), 200, np.uint8), restorer=Filter())
