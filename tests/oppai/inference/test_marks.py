"""Paint and mask files as what is to be restored."""

import cv2
import numpy as np
import pytest
from PIL import Image

from illustkit.errors import UserError
from oppai.inference.marks import (
    boxes_alpha,
    grow_boxes,
    grow_mask,
    invert_mask,
    mask_alpha,
    read_mask,
)
from oppai.inference.restore import restore
from tests.oppai.inference.test_restore import Constant, Identity, noise, smooth


def painted(picture, colour=(0, 255, 0)):
    """A picture with a disc painted on, anti-aliased, and where the paint is not 0."""
    height, width = picture.shape[:2]
    cover = np.zeros((height, width), np.uint8)
    centre = width // 2, height // 2
    cv2.circle(cover, centre, min(centre) // 2, 255, -1, cv2.LINE_AA)
    part = cover[..., None] / 255
    mixed = picture * (1 - part) + np.array(colour) * part
    return np.rint(mixed).astype(np.uint8), cover


@pytest.mark.parametrize("colour", [(0, 255, 0), (255, 0, 255)])
@pytest.mark.parametrize("image_size", [48, 256])
def test_paint_is_neither_seen_by_the_network_nor_left(colour, image_size):
    picture = np.full((300, 280, 3), (180, 120, 90), np.uint8)
    given, cover = painted(picture, colour)
    restorer = Identity(image_size)
    restored = restore(given, mask_colour=colour, restorer=restorer)
    # An identity predictor would bring any paint back that it was shown.
    assert (restored == picture).all()
    assert (cover > 0).sum() > 5000
    assert all((patch == picture[0, 0]).all() for patch, _ in restorer.seen)


def greenness(picture):
    return picture[..., 1].astype(int) - picture[..., [0, 2]].max(axis=-1)


def test_paint_on_real_pictures_leaves_no_green(real_data):
    files = sorted((real_data / "clipart" / "images").glob("*.png"))[:60:6]
    for file in files:
        picture = np.asarray(Image.open(file).convert("RGB"))
        given, cover = painted(picture)
        restored = restore(given, mask_colour=(0, 255, 0), restorer=Identity(64))
        # Nowhere greener than the greenest place of the picture near the paint.
        was = greenness(picture).clip(0, 255).astype(np.uint8)
        near = cv2.dilate(was, np.ones((99, 99))).astype(int)
        assert (greenness(restored) <= near + 12)[cover > 0].all(), file.name
        far = cv2.dilate(cover, np.ones((25, 25))) == 0
        assert (restored[far] == picture[far]).all(), file.name


def test_paint_in_a_jpeg_with_tolerance(tmp_path):
    picture = smooth(300, 300)
    picture[..., 1] //= 2
    given, _ = painted(picture)
    Image.fromarray(given).save(tmp_path / "a.jpg", quality=75, subsampling=2)
    with pytest.raises(ValueError, match="Nothing is painted .* tolerance=0"):
        restore(tmp_path / "a.jpg", mask_colour=(255, 0, 255), restorer=Identity())
    restored = restore(
        tmp_path / "a.jpg",
        mask_colour=(0, 255, 0),
        tolerance=40,
        restorer=Constant((180, 120, 90), image_size=64),
    )
    assert greenness(restored).max() <= greenness(picture).max() + 4


def test_mask_files(tmp_path):
    picture = noise(40, 50)
    mask = np.zeros((40, 50), np.uint8)
    mask[10:20, 10:30] = 255
    expected = restore(picture, mask=mask, restorer=Constant())
    Image.fromarray(picture).save(tmp_path / "a.png")
    Image.fromarray(mask).save(tmp_path / "grey.png")
    # White strokes on a transparent layer, as drawing programs save them.
    layer = np.dstack([np.full((40, 50, 3), 255, np.uint8), mask])
    Image.fromarray(layer).save(tmp_path / "layer.png")
    for name in ("grey.png", "layer.png"):
        restored = restore(
            tmp_path / "a.png", mask=str(tmp_path / name), restorer=Constant()
        )
        assert (restored == expected).all()
    as_bool = restore(picture, mask=mask > 0, restorer=Constant())
    assert (as_bool == expected).all()
    # Blocks of a JPEG ring round the white: noise is no mask.
    noisy = np.where(mask == 0, 3, 252).astype(np.uint8)
    assert (restore(picture, mask=noisy, restorer=Constant()) == expected).all()


def save_layer(path, colours, alpha):
    """Save RGBA; `colours` is one colour or a picture."""
    colours = np.broadcast_to(np.uint8(colours), (*alpha.shape, 3))
    Image.fromarray(np.dstack([colours, alpha])).save(path)
    return path


def boxed(hole=255, rest=0, box=(12, 10, 32, 22)):
    """A level in a box of a 50x40 picture, and another around it."""
    level = np.full((40, 50), rest, np.uint8)
    level[box[1] : box[3], box[0] : box[2]] = hole
    return level


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (230, 20, 60)])
def test_a_layer_of_one_colour_hides_its_paint_or_its_hole(tmp_path, colour):
    path = save_layer(tmp_path / "strokes.png", colour, boxed(255, 0))
    np.testing.assert_array_equal(read_mask(path), boxed())
    path = save_layer(tmp_path / "sheet.png", colour, boxed(0, 255))
    np.testing.assert_array_equal(read_mask(path), boxed())
    # Half the edge is painted and half is not: both readings are as likely.
    path = save_layer(tmp_path / "half.png", colour, boxed(255, 0, (0, 0, 25, 40)))
    with pytest.raises(UserError, match="half.png.* not clear .* black and white"):
        read_mask(path)


def test_what_was_erased_from_a_copy_of_the_picture_is_hidden(tmp_path):
    picture = smooth(40, 50)
    path = save_layer(tmp_path / "copy.png", picture, boxed(0, 255, (0, 10, 20, 40)))
    hidden = boxed(255, 0, (0, 10, 20, 40))
    np.testing.assert_array_equal(read_mask(path, picture), hidden)
    Image.fromarray(picture).save(tmp_path / "a.png")
    restored = restore(tmp_path / "a.png", mask=path, restorer=Constant(), feather=0)
    np.testing.assert_array_equal(restored[hidden == 0], picture[hidden == 0])
    assert (restored[hidden == 255] == (200, 30, 90)).all()
    # A page of black and white lines is no mask of black and white.
    page = np.where(noise(40, 50)[..., :1] < 40, 0, 255).astype(np.uint8).repeat(3, -1)
    path = save_layer(tmp_path / "page.png", page, boxed(0, 255))
    np.testing.assert_array_equal(read_mask(path, page), boxed())
    with pytest.raises(UserError, match="several colours .* no copy of the picture"):
        read_mask(tmp_path / "copy.png", noise(40, 50))


def test_black_and_white_with_transparency_hides_the_white(tmp_path):
    colours = boxed()[..., None].repeat(3, -1)
    path = save_layer(tmp_path / "mask.png", colours, boxed(255, 0, (8, 6, 40, 30)))
    np.testing.assert_array_equal(read_mask(path, noise(40, 50)), boxed())
    path = save_layer(tmp_path / "empty.png", 255, np.zeros((40, 50), np.uint8))
    with pytest.raises(UserError, match="empty.png.* transparent everywhere"):
        read_mask(path)


def test_a_mask_of_0_and_1_is_one_of_0_and_255(tmp_path):
    ones = boxed(1)
    expected = mask_alpha(boxed(), (40, 50))
    np.testing.assert_array_equal(mask_alpha(ones, (40, 50)), expected)
    Image.fromarray(ones).save(tmp_path / "ones.png")
    picture = noise(40, 50)
    restored = [
        restore(picture, mask=mask, restorer=Constant())
        for mask in (tmp_path / "ones.png", boxed())
    ]
    np.testing.assert_array_equal(*restored)
    Image.fromarray(boxed(3)).save(tmp_path / "dark.png")
    with pytest.raises(UserError, match="dark.png: .* level 3. Multiply it by 85"):
        restore(picture, mask=tmp_path / "dark.png", restorer=Constant())


def rim_by_hand(hard, feather):
    """255 in the part, falling to 0 over the distance to its nearest pixel."""
    y, x = np.nonzero(hard)
    rows, columns = np.mgrid[: hard.shape[0], : hard.shape[1]]
    distance = np.hypot(rows[..., None] - y, columns[..., None] - x).min(-1)
    return 255 * np.clip(1 - distance / (feather + 1), 0, 1)


@pytest.mark.parametrize("feather", [0, 3, 8])
def test_the_rim_falls_with_the_distance(feather):
    boxes = [(0, 5, 9.2, 14), (40, 30, 50, 40)]
    hard = boxed(1, 0, (0, 5, 10, 14)) + boxed(1, 0, (40, 30, 50, 40)) > 0
    alpha = boxes_alpha((40, 50), boxes, feather=feather)
    assert np.abs(alpha - rim_by_hand(hard, feather)).max() <= 0.5 + 1e-3
    np.testing.assert_array_equal(mask_alpha(hard, (40, 50), feather=feather), alpha)


def test_greys_are_the_rim_of_their_own_part_alone():
    sharp, grey = boxed(), boxed()
    grey[22, 14] = 90  # one grey pixel at the edge
    grey[0, 0] = 20  # and a speck of noise far away
    expected = mask_alpha(sharp, (40, 50))
    away = rim_by_hand(sharp > 0, 8) > 0
    np.testing.assert_array_equal(mask_alpha(grey, (40, 50))[away], expected[away])
    soft = cv2.GaussianBlur(boxed(255, 0, (38, 26, 48, 36)), (7, 7), 0)
    both = mask_alpha(np.maximum(sharp, soft), (40, 50), feather=4)
    clipped = np.where(soft < 8, 0, np.where(soft > 247, 255, soft))
    np.testing.assert_array_equal(both[26:, 38:], clipped[26:, 38:])
    assert (both[8, 14:30] == mask_alpha(sharp, (40, 50), feather=4)[8, 14:30]).all()
    assert 0 < both[8, 20] < 255


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_a_jpeg_or_anti_aliased_mask_keeps_the_feather(tmp_path, quality):
    drawn = np.zeros((96, 96), np.uint8)
    cv2.ellipse(drawn, (48, 45), (30, 21), 25, 0, 360, 255, -1, cv2.LINE_AA)
    Image.fromarray(drawn).save(tmp_path / "mask.jpg", quality=quality)
    expected = rim_by_hand(drawn >= 128, 8)
    for mask in (drawn, read_mask(tmp_path / "mask.jpg")):
        alpha = mask_alpha(mask, drawn.shape)
        # A pixel of the edge may fall on either side.
        assert np.abs(alpha[expected > 0] - expected[expected > 0]).max() < 45
        assert alpha[expected == 0].max() < 64


def widest(mask, n):
    """The largest level within `n` pixels of each pixel, one by one."""
    height, width = mask.shape
    result = np.zeros_like(mask)
    for y, x in np.ndindex(mask.shape):
        near = [
            mask[v, u]
            for v in range(max(0, y - n), min(height, y + n + 1))
            for u in range(max(0, x - n), min(width, x + n + 1))
            if (v - y) ** 2 + (u - x) ** 2 <= n * n
        ]
        result[y, x] = max(near)
    return result


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_mask_grows_by_a_disc_and_shrinks_by_one(n):
    generator = np.random.default_rng(n)
    levels = generator.integers(1, 256, (14, 19))
    mask = np.where(generator.random((14, 19)) > 0.95, levels, 0).astype(np.uint8)
    np.testing.assert_array_equal(grow_mask(mask, n), widest(mask, n))
    narrowed = 255 - widest(255 - mask, n)
    np.testing.assert_array_equal(grow_mask(mask, -n), narrowed)
    np.testing.assert_array_equal(grow_mask(mask > 0, n), widest(mask, n) > 0)
    np.testing.assert_array_equal(grow_mask(mask, 0), mask)


def test_a_mask_turned_round_keeps_its_rim():
    mask = np.array([[0, 64, 255]], np.uint8)
    assert invert_mask(mask).tolist() == [[255, 191, 0]]
    assert invert_mask(mask > 0).tolist() == [[True, False, False]]
    assert invert_mask(np.array([[0, 1, 1]], np.uint8)).tolist() == [[1, 0, 0]]


def test_boxes_grow_on_every_side_and_do_not_vanish():
    assert grow_boxes([(10, 20, 30, 40)], 4) == [(6, 16, 34, 44)]
    assert grow_boxes([(10, 20, 30, 40)], -9) == [(19, 29, 21, 31)]
    with pytest.raises(UserError, match="leaves nothing of a box"):
        grow_boxes([(10, 20, 30, 40)], -10)
