"""What `oppai.restore` promises, shown with predictors whose answer is known."""

import importlib

import cv2
import numpy as np
import pytest
from PIL import Image

import oppai
from illustkit.errors import UserError
from illustkit.images import uint8_to_signed
from illustkit.samples import draw_character
from oppai.censoring.block_grid import Grid
from oppai.inference.restore import NothingCensoredError, restore
from oppai.models.restorers import BaseRestorer


class Identity(BaseRestorer):
    """Predicts the patch that it gets, and keeps what it was shown."""

    def __init__(self, image_size=32):
        self.image_size = image_size
        self.seen = []

    def predict(self, picture, hole, grid=None, missing=None):
        self.seen.append((picture.copy(), hole.copy()))
        return uint8_to_signed(self.answer(picture))

    def answer(self, picture):
        return picture


class Constant(Identity):
    def __init__(self, colour=(200, 30, 90), **kwargs):
        super().__init__(**kwargs)
        self.colour = np.array(colour, np.uint8)

    def answer(self, picture):
        return np.broadcast_to(self.colour, picture.shape)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def smooth(height, width):
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 / width, y * 255 / height, 128 + 0 * x], -1).astype(
        "uint8"
    )


@pytest.mark.parametrize(
    "size, boxes",
    [
        ((300, 280), [(100, 90, 160, 150)]),
        ((300, 280), [(-9, -9, 30, 30), (250.5, 280.5, 999, 999)]),  # in the corners
        ((300, 280), [(0, 0, 280, 20)]),  # along a whole side
        ((40, 400), [(30, 2, 390, 38)]),  # longer than the picture is high
        ((3, 300), [(100, 0, 200, 3)]),
        ((17, 5), [(1, 1, 2, 2)]),
        ((1, 2), [(0, 0, 1, 1)]),
    ],
)
@pytest.mark.parametrize("image_size", [32, 256])
def test_outside_stays_bit_exact_and_inside_is_the_prediction(size, boxes, image_size):
    picture = noise(*size)
    given = picture.copy()
    restorer = Constant(image_size=image_size)
    restored = restore(picture, boxes=boxes, restorer=restorer, feather=0)
    marked = np.zeros(size, bool)
    for left, top, right, bottom in boxes:
        rows = slice(max(int(top), 0), int(np.ceil(bottom)))
        marked[rows, max(int(left), 0) : int(np.ceil(right))] = True
    assert (restored[~marked] == given[~marked]).all()
    assert (restored[marked] == restorer.colour).all()
    assert (picture == given).all()
    assert not np.shares_memory(restored, picture)
    for patch, hole in restorer.seen:
        assert patch.shape == (image_size, image_size, 3) and patch.dtype == np.uint8
        assert hole.shape == (image_size, image_size) and hole.dtype == bool
        assert hole.any() and not hole.all()


def test_identity_gives_the_whole_picture_back_where_nothing_is_resampled():
    picture = noise(300, 300)
    for blend in (0.5, 1.0):
        restored = restore(
            picture, boxes=[(20, 30, 90, 80)], restorer=Identity(256), blend=blend
        )
        assert (restored == picture).all()


def test_what_is_resampled_stays_near_on_a_smooth_picture():
    picture = smooth(700, 500)
    box = (40, 60, 460, 500)
    restored = restore(picture, boxes=[box], restorer=Identity(128), feather=4)
    assert np.abs(restored.astype(int) - picture).max() <= 3


def test_soft_mask_and_blend_by_hand():
    picture = np.full((64, 64, 3), 100, np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 20:40] = 255
    mask[20, 20:40] = 102  # alpha 0.4
    restorer = Constant((200, 100, 0))
    soft = {"mask": mask, "feather": 0, "blend": 0.5}
    restored = restore(picture, restorer=restorer, **soft)
    # 100 + 1 · 0.5 · (p − 100) and 100 + 0.4 · 0.5 · (p − 100), to a rounding
    assert np.abs(restored[30, 30].astype(int) - [150, 100, 50]).max() <= 1
    assert np.abs(restored[20, 30].astype(int) - [120, 100, 80]).max() <= 1
    assert (restored[mask == 0] == 100).all()
    half = Constant((200, 100, 0))
    half.blend = 0.5
    again = restore(picture, mask=mask, restorer=half, feather=0)
    assert (again == restored).all()


def test_feather_leaves_no_seam():
    picture = np.full((80, 80, 3), 100, np.uint8)
    restored = restore(
        picture, boxes=[(30, 30, 50, 50)], restorer=Constant((190, 190, 190)), feather=8
    )
    row = restored[40, :, 0].astype(int)
    assert (row[30:50] == 190).all()
    assert np.abs(np.diff(row)).max() <= 11  # 90 levels over 9 steps
    assert (row[:22] == 100).all() and (row[58:] == 100).all() and row[22] > 100


def test_feather_leaves_a_tiny_picture_something_to_restore_from():
    for side, box in ((9, (2, 2, 7, 7)), (3, (1, 1, 2, 2)), (2, (0, 0, 1, 2))):
        picture = noise(side, side)
        restored = restore(picture, boxes=[box], restorer=Constant(), feather=8)
        assert (restored[box[1] : box[3], box[0] : box[2]] == (200, 30, 90)).all()
        assert (restored[-1, -1] == picture[-1, -1]).all()


def test_overlapping_boxes_are_predicted_once_and_far_ones_apart():
    picture = noise(900, 300)
    overlapping = [(50, 50, 100, 100), (80, 80, 140, 140), (90, 60, 110, 130)]
    restorer = Constant()
    restore(picture, boxes=overlapping, restorer=restorer)
    assert len(restorer.seen) == 1
    restorer = Constant()
    restore(picture, boxes=[*overlapping, (50, 800, 90, 850)], restorer=restorer)
    assert len(restorer.seen) == 2


def test_network_sees_every_marked_pixel_as_hole_also_of_other_regions():
    picture = np.zeros((400, 400, 3), np.uint8)
    boxes = [(100, 100, 160, 160), (200, 100, 215, 250)]
    for left, top, right, bottom in boxes:
        picture[top:bottom, left:right] = 255
    for image_size in (64, 100, 256, 300):
        restorer = Identity(image_size)
        restore(picture, boxes=boxes, restorer=restorer, feather=0)
        for patch, hole in restorer.seen:
            # Not a trace of the white in what is called valid.
            assert patch[~hole].max() == 0
            assert hole.mean() < 0.4


class Number(Identity):
    """Predicts 0, 80, 160, ... for the first, second, third square."""

    def answer(self, picture):
        return np.full_like(picture, 80 * (len(self.seen) - 1))


def test_long_box_is_tiled_without_a_seam_between_the_squares():
    picture = np.zeros((100, 230, 3), np.uint8)
    restorer = Number(image_size=100)
    restored = restore(picture, boxes=[(5, 30, 225, 70)], restorer=restorer, feather=0)
    assert len(restorer.seen) == 3
    row = restored[50, 5:225, 0].astype(int)
    assert row[0] == 0 and row[-1] == 160
    assert 0 <= np.diff(row).min() and np.diff(row).max() <= 4


def test_region_within_the_bounds_of_another_and_thin_pictures():
    picture = noise(100, 300)
    mask = np.zeros((100, 300), bool)
    mask[90:94, 10:290] = mask[10:94, 10:14] = True  # an L, longer than 100
    mask[20:70, 130:180] = True  # predicted first, since larger
    restored = restore(picture, mask=mask, restorer=Constant(), feather=0)
    assert (restored[mask] == (200, 30, 90)).all()
    assert (restored[~mask] == picture[~mask]).all()
    restorer = Constant()
    restore(noise(2, 900), boxes=[(50, 0, 850, 1)], restorer=restorer, feather=0)
    assert len(restorer.seen) < 30


def test_narrow_strip_keeps_its_resolution():
    picture = noise(600, 2000)
    restorer = Identity(256)
    restored = restore(picture, boxes=[(20, 300, 1980, 320)], restorer=restorer)
    assert (restored == picture).all()  # squares of 256: nothing is resampled
    assert len(restorer.seen) == 12


def test_square_without_context_grows():
    picture = noise(60, 200)
    restorer = Constant(image_size=64)
    mask = np.zeros((60, 200), bool)
    mask[:, :150] = True
    restored = restore(picture, mask=mask, restorer=restorer, feather=0)
    assert (restored[:, :150] == restorer.colour).all()
    assert all(not hole.all() for _, hole in restorer.seen)


def test_many_specks_share_a_square():
    picture = noise(256, 256)
    mask = np.zeros((256, 256), bool)
    mask[40:210:10, 40:210:10] = True
    restorer = Constant(image_size=256)
    restored = restore(picture, mask=mask, restorer=restorer, feather=0)
    assert len(restorer.seen) == 1
    assert (restored[mask] == restorer.colour).all()
    assert (restored[~mask] == picture[~mask]).all()


def test_batches_do_not_change_the_result():
    picture = noise(700, 700)
    boxes = [(20 + 200 * i, 20 + 200 * j, 80 + 200 * i, 80 + 200 * j)
             for i in range(3) for j in range(3)]  # fmt: skip

    class Inverse(Identity):
        def predict_all(self, cases, batch_size):
            sizes.append(len(cases))
            return super().predict_all(cases, batch_size)

        def answer(self, picture):
            return 255 - picture

    sizes = []
    one = restore(picture, boxes=boxes, restorer=Inverse(64), batch_size=1)
    assert max(sizes) == 1
    four = restore(picture, boxes=boxes, restorer=Inverse(64), batch_size=4)
    assert max(sizes) == 4
    assert (one == four).all()


@pytest.mark.parametrize(
    "options, words",
    [
        (
            {"boxes": [(0, 0, 9, 9)], "mask_colour": (0, 255, 0)},
            "boxes and mask_colour",
        ),
        ({"boxes": []}, "nothing to restore"),
        ({"boxes": [(50, 0, 60, 9)]}, r"wholly outside .* 40x30 .*\(50, 0, 60, 9\)"),
        ({"boxes": [(5, 5, 5, 9)]}, "left < right"),
        ({"boxes": [(0, 0, float("nan"), 9)]}, "finite"),
        ({"boxes": [(0, 0, 9)]}, "four finite numbers"),
        ({"boxes": [(0, 0, 40, 30)]}, "whole picture"),
        ({"mask": np.zeros((30, 40), bool)}, "nothing to restore"),
        ({"boxes": [(0.2, 0.4, 0.5, 0.6)]}, r"fractions .* here 8,12,20,18\. Received"),
        ({"mask": np.full((30, 40), 2, np.uint8)}, "level 2. Multiply it by 127"),
        ({"mask": np.ones((30, 40))}, "bool or uint8 .*float64"),
        ({"mask": np.ones((40, 30), bool)}, "40x30 pixels. Received: 30x40"),
        ({"mask_colour": (0, 255, 0)}, "Nothing is painted"),
        ({"mask_colour": (0, 255, 0), "blend": 0.5}, "`blend` is 1 there"),
        ({"mask_colour": (0, 999, 0)}, "0..255"),
        ({"boxes": [(0, 0, 9, 9)], "blend": 2}, "0..1. Received: blend=2"),
        ({"boxes": [(0, 0, 9, 9)], "feather": -1}, "feather"),
    ],
)
def test_mistakes_get_one_clear_line(options, words):
    with pytest.raises(ValueError, match=words) as error:
        restore(smooth(30, 40), restorer=Constant(), **options)
    assert "\n" not in str(error.value)


def test_a_restorer_that_is_loaded_has_its_precision():
    options = {"boxes": [(4, 4, 9, 9)], "restorer": Constant()}
    with pytest.raises(UserError, match="`precision` is chosen when a restorer is"):
        restore(noise(40, 40), precision="bfloat16", **options)
    with pytest.raises(UserError, match="`mirror` is chosen"):
        restore(noise(40, 40), mirror=False, **options)


def test_single_pixel_and_wrong_arrays():
    with pytest.raises(ValueError, match="whole picture .* 1x1"):
        restore(noise(1, 1), boxes=[(0, 0, 1, 1)], restorer=Constant())
    with pytest.raises(ValueError, match="uint8 RGB"):
        restore(np.zeros((4, 4, 3)), boxes=[(0, 0, 1, 1)], restorer=Constant())


def circle():
    """A picture of smooth colours, and a mask of a soft disc in it: 255 = hidden."""
    y, x = np.mgrid[:96, :128]
    distance = np.hypot(x - 64, y - 48)
    mask = np.clip(255 * (30 - distance) / 6, 0, 255).astype(np.uint8)
    return smooth(96, 128), mask


CENSORS = {
    "add_mosaic": lambda p: oppai.add_mosaic(p, (40, 24, 88, 72), block=6, blur_size=3),
    "add_light": lambda p: oppai.add_light(p, (40, 24, 88, 72), blur_size=3),
    "add_blur": lambda p: oppai.add_blur(p, (40, 24, 88, 72), sigma=2, blur_size=3),
}


@pytest.mark.parametrize("name", CENSORS)
@pytest.mark.parametrize("sees_mosaics", [False, True])
def test_what_censors_goes_into_restore_as_it_is(name, sees_mosaics):
    picture, _ = circle()
    censored = CENSORS[name](picture)
    grids = []

    class Truth(BaseRestorer):
        """Knows the answer where nothing is resampled."""

        image_size = None if sees_mosaics else 96

        def predict(self, picture, hole, grid=None, missing=None):
            grids.append(grid)
            return uint8_to_signed(np.full_like(picture, 77))

    Truth.sees_mosaics = sees_mosaics
    ways: list[dict] = [{"found": censored}, {"mask": censored.mask}]
    if name == "add_blur":
        ways.pop()  # no edge in this picture tells that it was blurred
    for restored in (
        oppai.restore(censored, restorer=Truth()),
        *(oppai.restore(censored.image, restorer=Truth(), **way) for way in ways),
    ):
        hidden = censored.mask > 0
        np.testing.assert_array_equal(restored[~hidden], censored.image[~hidden])
        # Worked out by hand: the prediction is mixed in by the mask, of which
        # levels within 8 of black and white count as black and white.
        level = censored.mask.astype(int)
        level = np.where(level < 8, 0, np.where(level > 247, 255, level))
        weight = level[..., None] / 255
        expected = censored.image * (1 - weight) + 77 * weight
        assert np.abs(restored - expected).max() <= 0.5 + 1e-4
    assert (grids[0] is not None) == (sees_mosaics and name == "add_mosaic")


def test_an_irregular_mask_goes_into_restore_as_it_is():
    picture, _ = circle()
    drawn = oppai.irregular_mask((128, 96), np.random.default_rng(3), feather=4)
    assert 0.05 < (drawn.mask > 0).mean() < 0.5
    restorer = Constant((9, 8, 7))
    one = oppai.restore(picture, found=drawn, restorer=restorer)
    two = oppai.restore(picture, mask=drawn.mask, restorer=restorer)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one[drawn.mask == 0], picture[drawn.mask == 0])
    assert (one[drawn.mask == 255] == (9, 8, 7)).all()
    with pytest.raises(ValueError, match="holds no image"):
        oppai.restore(drawn, restorer=restorer)


def test_what_is_found_goes_into_restore_as_it_is():
    truth = draw_character(5003, (400, 566)).image
    box = (133, 366, 243, 466)
    censored = oppai.add_mosaic(truth, box, blur_size=0, picture_blur=0, coverage=1)
    found = oppai.find_censored(censored.image)
    hidden = found.mask > 0
    assert (hidden & (censored.mask > 0)).sum() > 0.95 * hidden.sum() > 0
    restored = oppai.restore(censored.image, found=found, restorer=Constant())
    np.testing.assert_array_equal(restored[~hidden], censored.image[~hidden])
    assert (restored[hidden] == (200, 30, 90)).all()
    with pytest.raises(ValueError, match="mask_colour and found. Received: boxes and"):
        oppai.restore(censored.image, boxes=[box], found=found)


def test_a_restorer_of_any_size_restores_several_scales_of_missing_content():
    picture = smooth(300, 400)
    restorer = Constant(image_size=None)
    restorer.divisor = 8
    mask = np.zeros((300, 400), bool)
    mask[20:60, 20:60] = mask[100:290, 150:390] = True
    restored = restore(picture, mask=mask, restorer=restorer, feather=0)
    assert (restored[mask] == (200, 30, 90)).all()
    np.testing.assert_array_equal(restored[~mask], picture[~mask])
    assert all(n % 8 == 0 for patch, _ in restorer.seen for n in patch.shape[:2])
    assert max(max(patch.shape) for patch, _ in restorer.seen) < 384 + 100


def of_15_blocks(picture, box):
    """Shrink a part to 15x15 pixels and enlarge it again, as most programs do."""
    left, top, right, bottom = box
    small = cv2.resize(
        picture[top:bottom, left:right], (15, 15), interpolation=cv2.INTER_AREA
    )
    censored = picture.copy()
    censored[top:bottom, left:right] = cv2.resize(
        small, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST
    )
    return censored


def psnr(result, truth, box):
    left, top, right, bottom = box
    error = (result.astype(float) - truth)[top:bottom, left:right]
    return 10 * np.log10(255**2 / (error**2).mean())


@pytest.fixture(scope="module")
def fractional():
    """A character, a part of it in blocks of 160/15 by 151/15 pixels, restored."""
    truth, box = draw_character(3, (300, 424)).image, (70, 40, 230, 191)
    censored = of_15_blocks(truth, box)
    return truth, box, censored, restore(censored)


def test_blocks_that_are_no_whole_pixels_wide_are_found_and_restored(fractional):
    truth, box, censored, restored = fractional
    (region,) = oppai.find_censored(censored).regions
    assert region.grid.block == pytest.approx((160 / 15, 151 / 15), rel=0.01)
    assert psnr(restored, truth, box) > psnr(censored, truth, box) + 1.5
    marked = restore(censored, boxes=[box])
    assert psnr(marked, truth, box) > psnr(censored, truth, box) + 1.5


def test_restoring_twice_changes_nothing(fractional):
    _, box, _, restored = fractional
    for marks in ({}, {"boxes": [box]}):
        with pytest.raises(NothingCensoredError):
            restore(restored, **marks)


def test_a_marked_part_that_shows_no_censor_is_left_and_named():
    truth = draw_character(5, (300, 424)).image
    censored = of_15_blocks(truth, (40, 20, 200, 180))
    plain = (100, 300, 180, 380)
    with pytest.warns(UserWarning, match="left as it is"):
        restored = restore(censored, boxes=[(40, 20, 200, 180), plain])
    np.testing.assert_array_equal(restored[300:380], truth[300:380])
    with pytest.raises(NothingCensoredError, match="`fill`"):
        restore(truth, boxes=[plain])
    assert (restore(truth, boxes=[plain], fill=True) != truth).any()


class Smooth(BaseRestorer):
    """Predicts what is around a pixel, so that a crop of other pixels shows."""

    def __init__(self, image_size):
        self.image_size, self.minimum, self.divisor = image_size, 64, 16

    def predict(self, picture, hole, grid=None, missing=None):
        mean = cv2.blur(picture, (25, 25)).astype("float32")
        return mean / 127.5 - 1 + 0.2 * hole[..., None]


@pytest.mark.parametrize("image_size", [None, 32])
@pytest.mark.parametrize("box", [(140, 90, 170, 118), (0, 5, 20, 30)])
def test_a_part_of_a_large_picture_is_restored_from_all_that_it_needs(
    monkeypatch, image_size, box
):
    module = importlib.import_module("oppai.inference.restore")
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (260, 300, 3), np.uint8)
    results = []
    for around in (52, 1000):
        monkeypatch.setattr(module, "_AROUND", around)
        restorer = Smooth(image_size)
        results.append(oppai.restore(picture, boxes=[box], restorer=restorer))
    np.testing.assert_array_equal(*results)
    assert (results[0] != picture).any()


def test_found_mosaics_lie_where_they_are_in_a_cut(monkeypatch):
    module = importlib.import_module("oppai.inference.restore")
    picture = np.random.default_rng(0).integers(0, 256, (260, 300, 3), np.uint8)
    mask = np.zeros((260, 300), np.uint8)
    mask[90:118, 140:170] = 255
    seen = []

    class Sees(Smooth):
        sees_mosaics = True

        def predict(self, picture, hole, grid=None, missing=None):
            seen.append((picture, grid))
            return super().predict(picture, hole, grid, missing)

    found = oppai.Censored(None, mask, Grid((7, 6), (3, 2)), "mosaic")
    for around in (52, 1000):
        monkeypatch.setattr(module, "_AROUND", around)
        oppai.restore(picture, found=found, restorer=Sees(None), feather=0)
    np.testing.assert_array_equal(seen[0][0], seen[1][0])
    assert seen[0][1] == seen[1][1] and seen[0][1] is not None


def changed(before, after):
    return (before != after).any(axis=-1)


@pytest.mark.parametrize("n", [3, -3])
def test_grow_widens_and_narrows_whatever_marks(n):
    picture = noise(80, 90)
    left, top, right, bottom = box = (20, 30, 50, 60)
    hard = np.zeros((80, 90), bool)
    hard[top:bottom, left:right] = True
    options = {"restorer": Constant(), "feather": 0}
    wanted = np.zeros_like(hard)
    wanted[top - n : bottom + n, left - n : right + n] = True
    result = restore(picture, boxes=[box], grow=n, **options)
    np.testing.assert_array_equal(changed(picture, result), wanted)
    painted = picture.copy()
    painted[hard] = 0, 255, 0
    by_mask = restore(picture, mask=hard, grow=n, **options)
    by_paint = restore(painted, mask_colour=(0, 255, 0), grow=n - 2, **options)
    for result in (by_mask, by_paint):
        # The corners of a mask are round.
        own = (result == Constant().colour).all(axis=-1)
        assert own[top - n, left + 10] and not own[top - n - 1, left + 10]
        assert own.sum() <= wanted.sum() and (own & ~wanted).sum() == 0


def test_a_mask_the_wrong_way_round_is_told_and_can_be_turned():
    picture = noise(80, 90)
    hidden = np.zeros((80, 90), np.uint8)
    hidden[30:60, 20:50] = 255
    options = {"restorer": Constant(), "feather": 0}
    with pytest.warns(UserWarning, match="white in 88% .* hidden, give `invert`"):
        restore(picture, mask=255 - hidden, **options)
    right = restore(picture, mask=hidden, **options)
    turned = restore(picture, mask=255 - hidden, invert=True, **options)
    np.testing.assert_array_equal(turned, right)
    with pytest.warns(UserWarning, match="leave `invert` away"):
        restore(picture, mask=hidden, invert=True, **options)


def test_what_was_erased_is_restored_from_what_lies_around(tmp_path):
    picture = noise(80, 90)
    alpha = np.full((80, 90), 255, np.uint8)
    alpha[30:60, 20:50] = 0
    alpha[29, 20:50] = 128
    path = tmp_path / "erased.png"
    Image.fromarray(np.dstack([picture, alpha])).save(path)
    restorer = Constant()
    result = restore(path, mask="alpha", restorer=restorer, feather=0)
    assert (result[alpha < 255] == restorer.colour).all()
    np.testing.assert_array_equal(result[alpha == 255], picture[alpha == 255])
    (patch, hole), *_ = restorer.seen
    white = (patch == 255).all(axis=-1)
    assert hole.any() and not white[hole > 0].any()
    Image.fromarray(picture).save(path)
    with pytest.raises(NothingCensoredError, match="no transparent part"):
        restore(path, mask="alpha", restorer=restorer)
    with pytest.raises(UserError, match="An array has no transparency"):
        restore(picture, mask="alpha", restorer=restorer)
    for wrong in ({"invert": True}, {"grow": 2}, {"mask": "alpha", "invert": True}):
        with pytest.raises(UserError, match=f"`{[*wrong][-1]}`"):
            restore(path, restorer=restorer, **wrong)


def test_the_mask_that_was_used_is_told():
    picture, used = noise(80, 90), []
    restore(picture, boxes=[(20, 30, 50, 60)], restorer=Constant(), used=used)
    wanted = oppai.boxes_alpha((80, 90), [(20, 30, 50, 60)])
    np.testing.assert_array_equal(used[0], wanted)
