import colorsys

import numpy as np
import pytest

from facescore.detector import data as A
from facescore.detector import views

RED = (255, 0, 0)


def picture(size, box, colour=RED):
    """A pale picture with one rectangle of full colour at `box`, and the box."""
    image = np.full((size[1], size[0], 3), 200, np.uint8)
    left, top, right, bottom = box
    image[top:bottom, left:right] = colour
    return image, np.float64([box])


def seen(image, colour=RED, within=100):
    """Box of the pixels that have the colour, nearly."""
    close = np.abs(image.astype(int) - colour).max(axis=-1) < within
    rows, columns = np.nonzero(close)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("size", [(120, 60), (30, 50)])
def test_letterbox_carries_boxes(size):
    image, boxes = picture(size, (4, 8, 24, 28))
    square, scale, offset = views.letterbox(image, 96)
    assert square.shape == (96, 96, 3) and (square == views.GREY).any()
    expected = boxes[0] * scale + np.tile(offset, 2)
    np.testing.assert_allclose(seen(square), expected, atol=1)


@pytest.mark.parametrize("gain", [0.2, 0.35, 0.5, 0.8, 1.0, 1.7])
def test_moved_pixels_and_boxes_agree(gain):
    image, boxes = picture((201, 161), (60, 40, 140, 90))
    moved, found = A.move(image, boxes, gain, (3.4, 5.7), (220, 180))
    assert moved.shape == (180, 220, 3)
    np.testing.assert_allclose(seen(moved), found[0], atol=1.01)


def test_a_face_that_leaves_is_dropped():
    image, boxes = picture((100, 100), (40, 40, 80, 80))
    size = (100, 100)
    assert len(A.move(image, boxes, 1.0, (-55, 0), size)[1]) == 1  # 25 of 40 left
    np.testing.assert_allclose(
        A.move(image, boxes, 1.0, (-55, 0), size)[1], [(0, 40, 25, 80)]
    )
    assert len(A.move(image, boxes, 1.0, (-66, 0), size)[1]) == 0  # 14 of 40 left
    assert len(A.move(image, boxes, 0.09, (0, 0), size)[1]) == 0  # under 4 pixels


@pytest.mark.parametrize("mosaic", [False, True])
def test_random_views_keep_boxes_on_their_faces(mosaic):
    colours = [(255, 0, 0), (0, 160, 0), (0, 0, 255), (140, 0, 140)]
    pictures = [picture((90, 70), (20, 20, 50, 50), colour) for colour in colours]
    n_boxes = 0
    for trial in range(12):
        image, boxes = A.random_view(
            pictures if mosaic else pictures[:1],
            np.random.default_rng(trial),
            size=128,
            scale=(0.5, 1.5),
            mosaic=mosaic,
        )
        assert image.shape == (128, 128, 3)
        for box in boxes:
            left, top, right, bottom = box.round().astype(int)
            middle = image[(top + bottom) // 2, (left + right) // 2].astype(int)
            near = [np.abs(middle - c).max() < 12 for c in colours]
            assert sum(near) == 1
            pixels = seen(image, colours[near.index(True)], within=60)
            np.testing.assert_allclose(pixels, box, atol=2)
        n_boxes += len(boxes)
    assert n_boxes > (20 if mosaic else 6)


def test_flip_mirrors_both():
    image, boxes = picture((40, 30), (5, 6, 15, 20))
    mirrored, found = A.flip(image, boxes)
    assert seen(mirrored) == tuple(found[0]) == (25, 6, 35, 20)
    back, boxes_back = A.flip(mirrored, found)
    np.testing.assert_array_equal(back, image)
    np.testing.assert_array_equal(boxes_back, boxes)


def test_colours_change_within_their_ranges():
    image = np.full((2, 2, 3), (200, 100, 50), np.uint8)
    hue, saturation, value = colorsys.rgb_to_hsv(200 / 255, 100 / 255, 50 / 255)
    found = []
    for trial in range(60):
        changed = A.jitter_colours(image, np.random.default_rng(trial))
        found.append(colorsys.rgb_to_hsv(*(changed[0, 0] / 255.0)))
    hues, saturations, values = np.transpose(found)
    assert np.abs(hues - hue).max() < 0.015 + 0.01
    assert 0.01 < np.abs(hues - hue).max()
    assert saturations.min() < 0.5 * saturation and saturations.max() > 0.95
    assert 0.6 * value - 0.01 < values.min() < 0.7 * value
    nothing = A.jitter_colours(
        image, np.random.default_rng(0), hue=0, saturation=0, value=0
    )
    np.testing.assert_allclose(nothing, image, atol=2)


def test_padding_keeps_the_largest():
    boxes = [(0, 0, 2, 2), (0, 0, 9, 9), (0, 0, 5, 5)]
    rows = A.pad_boxes(boxes, 2)
    np.testing.assert_array_equal(rows, [(0, 0, 9, 9, 1), (0, 0, 5, 5, 1)])
    rows = A.pad_boxes([], 2)
    assert rows.dtype == np.float32 and not rows.any()


@pytest.mark.parametrize("angle", [0, 30, -75, 90])
def test_a_turned_face_has_the_box_of_its_ellipse(angle):
    image = np.full((200, 160, 3), 200, np.uint8)
    y, x = np.mgrid[:200, :160] + 0.5
    image[((x - 95) / 30) ** 2 + ((y - 80) / 20) ** 2 < 1] = RED
    turned, (box,) = A.rotate(image, np.float64([(65, 60, 125, 100)]), angle)
    assert turned.shape == image.shape
    np.testing.assert_allclose(seen(turned), box, atol=1.5)


def test_a_face_that_is_turned_out_is_dropped():
    image, boxes = picture((200, 60), (2, 10, 30, 50))
    assert len(A.rotate(image, boxes, 90)[1]) == 0
    assert A.rotate(image, np.zeros((0, 4)), 20)[1].shape == (0, 4)


def test_another_hand_keeps_the_shape_and_never_does_nothing():
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    greys, changed = 0, []
    for seed in range(40):
        styled = A.restyle(image, np.random.default_rng(seed), 0.5)
        assert styled.shape == image.shape and styled.dtype == np.uint8
        greys += bool((np.ptp(styled, axis=-1) == 0).all())
        changed.append((styled != image).any())
    assert greys > 5 and np.mean(changed) > 0.9
    same = A.restyle(image, np.random.default_rng(0), 0.0)
    np.testing.assert_array_equal(same, image)
