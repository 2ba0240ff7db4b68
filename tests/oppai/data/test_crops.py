import json
import math
import tracemalloc

import cv2
import numpy as np
import pytest

from illustkit.samples import draw_face_icon
from oppai.censoring.block_grid import Grid
from oppai.data.crops import (
    Crop,
    cover_box,
    cut_patch,
    expand_box,
    is_grey,
    resample,
    resize,
)
from oppai.data.mosaic_inputs import crop_around


def check_expanded(size, box, scale=1.5, minimum=256):
    """The promises of `expand_box`, each on its own."""
    square, relative = expand_box(size, box, scale=scale, minimum=minimum)
    left, top, right, bottom = square
    assert all(isinstance(v, int) for v in (*square, *relative))
    assert 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]
    side = right - left
    assert side == bottom - top
    long_side = max(box[2] - box[0], box[3] - box[1])
    assert side in (min(size), minimum, math.ceil(scale * long_side))
    assert side == min(size) or side >= max(minimum, scale * long_side)
    for start, corner, axis in ((0, left, 0), (1, top, 1)):
        first, last = relative[start], relative[start + 2]
        assert 0 <= first < last <= side
        if box[axis + 2] - box[axis] <= side - 2:
            # The whole box, and less than a pixel more on each side.
            assert first + corner <= box[axis] or first == side - 1
            assert last + corner >= box[axis + 2]
            assert last - first <= max(1, box[axis + 2] - box[axis] + 2)
        # In the middle, unless the picture's edge is in the way.
        off = (corner + side / 2) - (box[axis] + box[axis + 2]) / 2
        if 0 < corner < size[axis] - side:
            assert abs(off) <= 0.5
    return square, relative


@pytest.mark.parametrize("name", ["oppai_meta.json", "clipart/meta.json"])
def test_every_real_box_gets_a_square_inside_its_picture(real_data, name):
    count = 0
    for entry in json.loads((real_data / name).read_text()):
        size = entry["size"]["width"], entry["size"]["height"]
        for box in entry["bounding_boxes"]:
            left, top = max(box["left"], 0), max(box["top"], 0)
            right = min(left + box["width"], size[0])
            bottom = min(top + box["height"], size[1])
            check_expanded(size, (left, top, right, bottom))
            count += 1
    assert count == {"oppai_meta.json": 4949, "clipart/meta.json": 571}[name]


def test_expand_box_by_hand():
    # 1.5·40 = 60 round (50, 40); then pushed in from the left and the bottom.
    assert expand_box((200, 100), (30, 30, 70, 50), minimum=8) == (
        (20, 10, 80, 70),
        (10, 20, 50, 40),
    )
    assert expand_box((200, 100), (0, 80, 40, 99.5), minimum=8) == (
        (0, 40, 60, 100),
        (0, 40, 40, 60),
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 300), (300, 300), (31, 20)])
def test_expand_box_in_small_pictures(size):
    rng = np.random.default_rng(0)
    for _ in range(50):
        x, y = (np.sort(rng.uniform(0, n, 2)) for n in size)
        check_expanded(size, (x[0], y[0], x[1], y[1]))
        check_expanded(size, (x[0], y[0], x[0], y[0]), minimum=8)
        check_expanded(size, (0, 0, 0, 0))
        check_expanded(size, (x[0], y[0], x[1], y[1]), minimum=2, scale=1)


@pytest.mark.parametrize(
    "size, box",
    [
        ((1000, 300), (100, 100, 900, 200)),
        ((300, 1000), (100, 0, 200, 1000)),
        ((600, 380), (51.8, 57.8, 463, 258.6)),
        ((40, 2), (0, 0, 40, 2)),
        ((50, 1), (3, 0, 47, 1)),
        ((400, 400), (10, 10, 390, 390)),
    ],
)
def test_cover_box_covers_the_box_with_context(size, box):
    squares = cover_box(size, box)
    covered = np.zeros(size[::-1], int)
    for left, top, right, bottom in squares:
        assert 0 <= left and 0 <= top and right <= size[0] and bottom <= size[1]
        assert right - left == bottom - top == min(size)
        covered[top:bottom, left:right] += 1
    left, top, right, bottom = (round(v) for v in box)
    assert covered[top:bottom, left:right].all()
    if max(size) < max(right - left, bottom - top) + 2 or len(squares) == 1:
        return
    axis = 0 if right - left > bottom - top else 1
    side = min(size)
    first, last = squares[0][axis], squares[-1][axis + 2]
    assert first <= max(0, (left, top)[axis] - side // 6)
    assert last >= min(size[axis], (right, bottom)[axis] + side // 6)
    steps = np.diff([s[axis] for s in squares])
    assert steps.min() > 0 and (steps.max() <= 2 * side / 3 or side < 3)


def test_cut_patch_names_its_filters():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    same = cut_patch(picture, (10, 5, 42, 37), 32)
    np.testing.assert_array_equal(same, picture[5:37, 10:42])
    assert not np.shares_memory(same, picture)
    # Area: at half the size each pixel is the mean of four.
    small = cut_patch(picture, (10, 5, 42, 37), 16)
    mean = picture[5:37, 10:42].reshape(16, 2, 16, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - mean).max() <= 0.5
    # Bicubic (a = -0.75): weights of an impulse at twice the size, by the formula.
    impulse = np.zeros((9, 9, 3), np.uint8)
    impulse[4] = 100

    def weight(x, a=-0.75):
        x = abs(x)
        near = (a + 2) * x**3 - (a + 3) * x**2 + 1
        return near if x <= 1 else a * (x**3 - 5 * x**2 + 8 * x - 4) * (x < 2)

    rows = cut_patch(impulse, (0, 0, 9, 9), 18)[:, 3, 0]
    expected = [100 * weight((i + 0.5) / 2 - 0.5 - 4) for i in range(18)]
    assert np.abs(rows - np.clip(expected, 0, 255)).max() <= 1


def test_grey_pictures():
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (90, 70, 3), dtype=np.uint8)
    grey = np.repeat(colour[..., :1], 3, axis=2)
    tinted = (grey * [0.9, 0.7, 0.5]).astype(np.uint8)
    assert not is_grey(colour)
    assert is_grey(grey) and is_grey(tinted)
    assert is_grey(np.repeat(grey, 8, axis=0))
    assert is_grey(np.full((1, 1, 3), 7, np.uint8))
    assert not is_grey(np.full((9, 9, 3), (200, 0, 0), np.uint8))
    one_varies = np.full((64, 64, 3), 40, np.uint8)
    one_varies[..., 1] = colour[:64, :64, 1]
    assert not is_grey(one_varies)
    # The definition, where nothing is constant or left out.
    mixed = np.clip(grey + rng.normal(0, 6, grey.shape), 0, 255).astype(np.uint8)
    mean = np.corrcoef(mixed.reshape(-1, 3).T.astype(float)).mean()
    assert not is_grey(mixed, threshold=mean + 1e-6)
    assert is_grey(mixed, threshold=mean - 1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda p: expand_box((40, 30), (5, 5, 4, 9)),
        lambda p: expand_box((40, 30), (41, 5, 50, 9)),
        lambda p: expand_box((40, 30), (0, 0, float("inf"), 9)),
        lambda p: cover_box((40, 30), (0, -9, 20, -1)),
        lambda p: cut_patch(p, (0, 0, 31, 31), 8),
        lambda p: cut_patch(p, (-1, 0, 7, 8), 8),
        lambda p: cut_patch(p, (0, 0, 8, 9), 8),
        lambda p: cut_patch(p, (0, 0, 8, 8), 0),
    ],
)
def test_wrong_arguments_are_named(call):
    with pytest.raises(ValueError, match="Received"):
        call(np.zeros((30, 40, 3), np.uint8))


def test_crops_overhang_the_picture_and_return_to_their_place():
    picture = draw_face_icon(2, 64)
    crop = Crop((-5, -9, 59, 55), (128, 128))
    np.testing.assert_array_equal(
        Crop((-5, -9, 59, 55), (64, 64)).take(picture),
        np.pad(picture, ((9, 0), (5, 0), (0, 0)), mode="edge")[:64, :64],
    )
    taken = crop.take(picture).astype(np.float32)
    (left, top, right, bottom), array = crop.give(taken, (64, 64))
    assert (left, top, right, bottom) == (0, 0, 59, 55)
    error = np.abs(array - picture[top:bottom, left:right]).mean()
    moved = np.abs(array[:-1] - picture[top + 1 : bottom, left:right]).mean()
    assert error < moved / 2  # enlarged and shrunk again


@pytest.mark.parametrize("patch", [False, True])
def test_every_hole_pixel_is_hole_in_the_crop(patch):
    hole = np.zeros((64, 64), bool)
    hole[10, 11] = hole[40:43, 20:24] = True
    for size in (24, 64, 160):
        inside = Crop((0, 0, 64, 64), (size, size), patch).take_hole(hole)
        back = resize(inside.astype(np.float32), (64, 64))
        assert (back[hole] > 0).all()
        assert inside.mean() < (12 if patch else 6) * hole.mean()


@pytest.mark.parametrize("size", [24, 64, 160])
def test_no_trace_of_the_hole_is_called_valid_in_a_patch(size):
    hole = np.zeros((64, 64), bool)
    hole[10, 11] = hole[40:43, 20:24] = True
    crop = Crop((-6, 0, 64, 70), (size, size), patch=True)
    seen = crop.take(np.where(hole[..., None], 255, 0).astype(np.uint8).repeat(3, 2))
    assert seen[~crop.take_hole(hole)].max() == 0 < seen.max()


def test_a_line_of_pixels_is_shrunk_before_it_is_enlarged():
    """200,000 pixels, each side by its own factor: 154 MB the other way round."""
    rng = np.random.default_rng(4)
    line = np.repeat(rng.integers(0, 256, (64, 1, 3), np.uint8), 200_000 // 64, axis=0)
    for picture in (line, line.transpose(1, 0, 2)):
        tracemalloc.start()
        try:
            small = resize(np.ascontiguousarray(picture), (64, 64))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        across = picture.shape[0] == 1
        means = np.repeat(line[:: 200_000 // 64], 64, axis=1)
        np.testing.assert_array_equal(
            small, means.transpose(1, 0, 2) if across else means
        )
        assert peak < 3e6


def test_soft_blocks_have_the_colour_of_their_middles():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (30, 48, 3), np.uint8)
    grid = Grid((12, 10), (0, 0), soft=True)
    taken = Crop((0, 0, 48, 30), (32, 24)).take_mosaic(picture, grid)
    expected = picture[5::10, 6::12].repeat(8, 0).repeat(8, 1)
    np.testing.assert_array_equal(taken, expected)


def test_a_crop_between_pixels_is_the_integral_of_what_it_covers():
    rng = np.random.default_rng(0)
    line = rng.random(40).astype(np.float32)
    fine = line.repeat(1000)  # a thousandth of a pixel each
    start, step = 3.217, 2.75
    expected = [
        fine[round(1000 * (start + step * i)) : round(1000 * (start + step * (i + 1)))]
        for i in range(12)
    ]
    taken = resample(line, 0, start, start + 12 * step, 12)
    np.testing.assert_allclose(taken, [part.mean() for part in expected], atol=2e-3)


def test_a_crop_between_pixels_enlarges_as_opencv_does():
    picture = np.random.default_rng(0).random((20, 30)).astype(np.float32)
    expected = cv2.resize(picture, (72, 20), interpolation=cv2.INTER_CUBIC)
    taken = resample(picture, 1, 0, 30, 72)
    np.testing.assert_allclose(taken, expected, atol=1e-5)


def test_blocks_of_any_width_are_whole_in_their_crop_and_come_back():
    block, origin = (32 / 3, 10.5), (9, 4.25)
    grid = Grid(block, origin)
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (30, 30, 3), np.uint8)
    x, y = (
        np.floor((np.arange(n) + 0.5 - o) / b).astype(int)
        for n, o, b in zip((200, 180), origin, block, strict=True)
    )
    picture = colours[y + 1][:, x + 1]
    crop = crop_around((60, 50, 140, 120), grid)
    inner = crop.grid(grid)
    assert inner == Grid((8, 8), (0, 0)) and inner.is_whole
    taken = crop.take_mosaic(picture, grid)
    blocks = taken.reshape(crop.size[1] // 8, 8, crop.size[0] // 8, 8, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    # The middle of every block comes back to its middle.
    box, pixels = crop.give(taken.astype(np.float32), (200, 180))
    assert box[0] <= 60 and box[1] <= 50 and box[2] >= 140 and box[3] >= 120
    middle = [
        np.floor(o + b * (np.arange(5, 11) + 0.5)).astype(int)
        for o, b in zip(origin, block, strict=True)
    ]
    back = pixels[middle[1] - box[1]][:, middle[0] - box[0]]
    assert np.abs(back - picture[middle[1]][:, middle[0]]).mean() < 8
