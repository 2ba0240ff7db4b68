import warnings

import numpy as np
import pytest
from PIL import Image

from illustkit.images import ImageError, picture_size, read_image
from tests.illustkit import broken_pictures as odd


@pytest.mark.parametrize("name", odd.ERRORS)
def test_bad_file_gives_one_line_with_its_name_and_the_fix(pictures, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError) as raised:
            read_image(pictures[name])
    text = str(raised.value)
    assert text.startswith(f"{pictures[name]}: ")
    assert odd.ERRORS[name] in text
    assert "\n" not in text and text.endswith(".") and len(text) < 400
    assert text.count(". ") >= 1  # the fix is a sentence of its own


def test_random_damage_raises_image_error_only(pictures, tmp_path):
    rng = np.random.default_rng(0)
    refused = 0
    kinds = ("plain jpeg", "gif", "lzw tiff", "rgba webp", "bmp", "palette", "ppm")
    for name in kinds + ("rgb of 16 bits",):
        whole = pictures[name].read_bytes()
        for _ in range(12):
            data = bytearray(whole)
            for place in rng.integers(0, min(len(data), 300), 3):
                data[place] = rng.integers(256)
            (tmp_path / "x").write_bytes(data)
            try:
                image = read_image(tmp_path / "x", max_pixels=10**6)
                assert image.dtype == np.uint8 and image.ndim == 3
            except ImageError:
                refused += 1
    assert refused > 20


def test_size_is_checked_before_decoding_and_pillow_left_alone(pictures, monkeypatch):
    path, filters = pictures["plain"], list(warnings.filters)
    assert read_image(path, max_pixels=24 * 40).shape == (24, 40, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(path).close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in "plain", "gif", "lzw tiff", "plain jpeg", "rgba webp", "cmyk tiff":
            read_image(pictures[name])
    assert Image.MAX_IMAGE_PIXELS == 500 and warnings.filters == filters
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageError, match=r"plain\.png: too large \(24|too large \(40"):
        read_image(path, max_pixels=24 * 40 - 1)


def test_every_reader_has_the_same_limits(pictures, tmp_path):
    for name, path in pictures.items():
        if name not in odd.ERRORS:
            assert picture_size(path) == read_image(path).shape[1::-1], name
        elif "too large" in odd.ERRORS[name]:
            for read in (picture_size, read_image):
                with pytest.raises(ImageError, match="too large .*200 megapixels"):
                    read(path)
    Image.new("1", (1_000_001, 1)).save(tmp_path / "long.png")
    for read in (picture_size, read_image):
        with pytest.raises(ImageError, match="long.png: too long .1000001 x 1; .*Cut"):
            read(tmp_path / "long.png")


@pytest.mark.parametrize("name", ["a.jpg", "a.tif", "a.png"])
def test_picture_size_is_that_of_the_upright_picture(tmp_path, name):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / name, exif=exif)
    assert picture_size(tmp_path / name) == (20, 30)
    assert read_image(tmp_path / name).shape == (30, 20, 3)
    (tmp_path / name).write_text("no picture")
    with pytest.raises(ValueError, match=name):
        picture_size(tmp_path / name)
