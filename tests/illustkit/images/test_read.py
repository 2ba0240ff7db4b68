import struct
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from illustkit.images import ImageError, colours, read_image, read_picture
from tests.illustkit import broken_pictures as odd


def over_white(rgba):
    rgba = np.asarray(rgba, np.float64)
    alpha = rgba[..., 3:] / 255
    return np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


@pytest.mark.parametrize(
    "name",
    ["plain", "png called jpg", "lzw tiff", "cmyk tiff", "bmp", "ppm", "animated png"]
    + ["turned deflate tiff"]
    + [f"turned {o} {e}" for o in range(1, 9) for e in ("png", "webp", "tif")],
)
def test_lossless_files_show_the_scene_upright(pictures, name):
    np.testing.assert_array_equal(read_image(pictures[name]), odd.scene())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_jpeg_is_upright(pictures, orientation):
    image = read_image(pictures[f"turned {orientation} jpg"])
    assert image.shape == odd.scene().shape
    assert np.abs(image.astype(int) - odd.scene()).mean() < 8


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif"])
def test_orientation_that_does_not_exist_is_left(pictures, extension):
    image = read_image(pictures[f"turned 9 {extension}"])
    assert np.abs(image.astype(int) - odd.scene()).mean() < 8


@pytest.mark.parametrize(
    "name", ["grey", "one bit", "palette", "gif", "animated gif", "animated webp"]
)
def test_opaque_modes_agree_with_pillow(pictures, name):
    with Image.open(pictures[name]) as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(read_image(pictures[name]), expected)


@pytest.mark.parametrize(
    "name",
    ["grey and alpha", "palette, one clear", "palette, many clear", "rgb, one clear"]
    + ["rgba", "rgba webp"],
)
def test_transparency_is_laid_over_white(pictures, name):
    with Image.open(pictures[name]) as image:
        rgba = np.asarray(image.convert("RGBA"))
    assert rgba[..., 3].min() < 255
    np.testing.assert_array_equal(read_image(pictures[name]), over_white(rgba))
    picture = read_picture(pictures[name])
    np.testing.assert_array_equal(picture.rgb, rgba[..., :3])  # colour under alpha too
    np.testing.assert_array_equal(picture.alpha, rgba[..., 3])


def test_cmyk_jpeg_agrees_with_pillow(pictures):
    with Image.open(pictures["cmyk jpeg"]) as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(read_image(pictures["cmyk jpeg"]) - expected).max() <= 1


def test_sixteen_bits_are_scaled_not_clipped(pictures):
    grey = [[round(int(v) / 257) for v in row] for row in odd.deep_grey()]
    for name in "grey of 16 bits", "grey tiff of 16 bits":
        image = read_image(pictures[name])
        np.testing.assert_array_equal(image, np.stack([grey] * 3, -1))
    expected = np.rint(odd.deep_colour() / 257).astype(np.uint8)
    np.testing.assert_array_equal(read_image(pictures["rgb of 16 bits"]), expected)


@pytest.mark.parametrize("channels", [2, 4])
def test_sixteen_bits_with_alpha(tmp_path, channels):
    samples = np.random.default_rng(0).integers(0, 65536, (5, 7, channels), np.uint16)
    (tmp_path / "deep.png").write_bytes(odd.deep_png(samples))
    picture = read_picture(tmp_path / "deep.png")
    assert (picture.mode, picture.bits) == ({2: "LA", 4: "RGBA"}[channels], 16)
    colour = samples[..., [0, 0, 0]] if channels == 2 else samples[..., :3]
    np.testing.assert_array_equal(picture.rgb, np.rint(colour / 257))
    np.testing.assert_array_equal(picture.alpha, np.rint(samples[..., -1] / 257))


@pytest.mark.parametrize("depth", [2, 4])
def test_grey_of_few_bits_with_a_clear_level(tmp_path, depth):
    levels = 2**depth
    rows = bytes([0, 0b00011011]) if depth == 2 else bytes([0, 0x01, 0x23])
    head = struct.pack(">IIBBBBB", 4, 1, depth, 0, 0, 0, 0)
    chunks = (b"IHDR", head), (b"tRNS", b"\0\2"), (b"IDAT", zlib.compress(rows))
    data = b"".join(odd.png_chunk(*chunk) for chunk in (*chunks, (b"IEND", b"")))
    (tmp_path / "few.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    picture = read_picture(tmp_path / "few.png")
    assert picture.rgb[0, :, 0].tolist() == [v * 255 // (levels - 1) for v in range(4)]
    assert picture.alpha.tolist() == [[255, 255, 0, 255]]


def test_float_of_either_scale(pictures):
    with Image.open(pictures["grey"]) as image:
        expected = np.asarray(image.convert("RGB"))
    for name in "float 0 to 1", "float 0 to 255":
        np.testing.assert_array_equal(read_image(pictures[name]), expected)


def test_smallest_pictures_and_damaged_exif(pictures):
    assert read_image(pictures["one pixel"]).tolist() == [[[9, 8, 7]]]
    for name, (width, height) in odd.READABLE_SIZES.items():
        assert read_image(pictures[name]).shape == (height, width, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(pictures["damaged exif"]).shape == odd.scene().shape


def test_animation_gives_its_first_frame(pictures):
    for name in "animated gif", "animated webp":
        assert np.abs(read_image(pictures[name]).astype(int) - odd.scene()).mean() < 8


def test_arrays_are_checked(pictures):
    image = odd.scene()
    assert read_image(image) is image
    for bad, received in [
        (image.astype(np.float32), r"dtype float32 and shape \(24, 40, 3\)"),
        (image[..., 0], r"dtype uint8 and shape \(24, 40\)"),
        (np.dstack([image, image]), r"shape \(24, 40, 6\)"),
        (image[:0], r"shape \(0, 40, 3\)"),
    ]:
        with pytest.raises(ImageError, match=f"Received: an array of .*{received}"):
            read_image(bad)
    for bad in (None, 3, "", [1, 2], b"x.png"):
        with pytest.raises(ImageError, match="Received: "):
            read_image(bad)


def test_picture_is_read_only_and_image_is_not(pictures):
    picture = read_picture(pictures["rgba"])
    with pytest.raises(ValueError):
        picture.rgb[0, 0] = 0
    for name in "plain", "rgba":
        read_image(pictures[name])[0, 0] = 0


@pytest.mark.parametrize(
    "mode, extension, most",
    [
        ("1", ".png", 2),
        ("I;16", ".png", 3),
        ("RGB", ".png", 2),
        ("RGBA", ".png", 4),
        ("P", ".png", 2),
        ("CMYK", ".tif", 3),
        ("F", ".tif", 3),
    ],
)
def test_memory_is_bound_by_what_comes_out(
    tmp_path, monkeypatch, mode, extension, most
):
    """Without the memory of Pillow's own picture, which is 4 bytes a pixel."""
    monkeypatch.setattr(colours, "BAND", 1 << 14)
    path = tmp_path / f"a{extension}"
    Image.new(mode, (1024, 1024)).save(path, compression="tiff_lzw")
    read_image(path)  # imports and plugins
    tracemalloc.start()
    try:
        image = read_image(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert image.shape == (1024, 1024, 3)
    assert peak < (most + 0.2) * image.nbytes


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16", "RGB", "RGBA", "P"])
def test_bands_do_not_show(tmp_path, monkeypatch, mode):
    rng = np.random.default_rng(3)
    image = Image.fromarray(rng.integers(0, 256, (37, 23, 4), np.uint8))
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, (37, 23), np.uint16))
    else:
        image = image.convert("RGB" if mode == "P" else "RGBA").convert(mode)
    image.save(tmp_path / "a.png")
    whole = read_image(tmp_path / "a.png")
    for band in (1, 23, 100, 700):
        monkeypatch.setattr(colours, "BAND", band)
        np.testing.assert_array_equal(read_image(tmp_path / "a.png"), whole)
