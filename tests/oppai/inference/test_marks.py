"""Paint and mask files as what is to be restored."""

import cv2
import numpy as np
import pytest
from PIL import Image

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
