import json
import math

import cv2
import numpy as np
import pytest

from oppai.censoring.censor import box_mask
from oppai.data.crops import (
    cover_box,
    cut_patch,
    expand_box,
    is_grey,
    merge_patch,
    merge_patches,
)


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


def test_merge_keeps_every_byte_outside_and_rounds_inside():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    picture.setflags(write=False)
    square = (12, 8, 44, 40)
    mask = box_mask((32, 32), (6, 8, 26, 24), blur_size=2)
    patch = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    merged = merge_patch(picture, patch, square, mask)
    m = mask[..., None] / 255
    inside = np.floor(picture[8:40, 12:44] * m + patch * (1 - m) + 0.5)
    expected = picture.copy()
    expected[8:40, 12:44] = inside
    np.testing.assert_array_equal(merged, expected)
    kept = np.full((50, 70), True)
    kept[8:40, 12:44] = mask == 255
    np.testing.assert_array_equal(merged[kept], picture[kept])
    assert (merged != picture)[8:40, 12:44][mask == 0].mean() > 0.9
    # An identity at the picture's own scale changes nothing.
    again = merge_patch(picture, cut_patch(picture, square, 32), square, mask)
    np.testing.assert_array_equal(again, picture)


@pytest.mark.parametrize("size", [24, 32, 47])
def test_no_seam_shows(size):
    x, y = np.meshgrid(np.linspace(40, 200, 70), np.linspace(60, 180, 50))
    picture = np.stack([x, y, (x + y) / 2], axis=-1).astype(np.uint8)
    square, mask = (12, 8, 44, 40), box_mask((32, 32), (4, 6, 28, 26), blur_size=3)
    brighter = cv2.add(cut_patch(picture, square, size), (30, 30, 30, 0))
    merged = merge_patch(picture, brighter, square, mask).astype(int)
    change = merged - picture
    assert change.max() >= 25
    # 30 levels, faded in: never more than a third of them from one pixel to the next.
    steps = [np.abs(np.diff(change, axis=axis)).max() for axis in (0, 1)]
    assert max(steps) <= 10


def test_overlapping_patches_fade_into_each_other():
    picture = np.full((30, 100, 3), 100, np.uint8)
    squares = cover_box((100, 30), (5, 8, 95, 22))
    mask = box_mask((100, 30), (5, 8, 95, 22), blur_size=2)
    assert len(squares) > 2
    patches = [np.full((16, 16, 3), 50 + 100 * (i % 2), np.uint8) for i in range(9)]
    merged = merge_patches(picture, patches[: len(squares)], squares, mask)
    row = merged[15, 20:80, 0].astype(int)
    assert row.min() < 60 and row.max() > 140
    assert np.abs(np.diff(row)).max() <= 12
    np.testing.assert_array_equal(merged[mask == 255], picture[mask == 255])
    # One patch is merged as `merge_patch` does; what no square covers stays.
    rng = np.random.default_rng(0)
    patch = rng.integers(0, 256, (30, 30, 3), dtype=np.uint8)
    square = (10, 0, 40, 30)
    np.testing.assert_array_equal(
        merge_patches(picture, [patch], [square], mask),
        merge_patch(picture, patch, square, mask[:, 10:40]),
    )


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
        lambda p: merge_patch(p, p[:8, :8], (0, 0, 8, 8), np.zeros((30, 40), "uint8")),
        lambda p: merge_patches(p, [p[:8, :8]], [(0, 0, 8, 8)], p[:8, :8, 0]),
    ],
)
def test_wrong_arguments_are_named(call):
    with pytest.raises(ValueError, match="Received"):
        call(np.zeros((30, 40, 3), np.uint8))
