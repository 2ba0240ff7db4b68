import struct
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

import illustkit.images.read as module
from illustkit.images import (
    ImageError,
    list_images,
    picture_size,
    read_image,
    read_picture,
)
from tests.illustkit import broken_pictures as odd


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return odd.make_odd_pictures(tmp_path_factory.mktemp("odd"))


def over_white(rgba):
    rgba = np.asarray(rgba, np.float64)
    alpha = rgba[..., 3:] / 255
    return np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


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


def test_list_images_in_natural_order(tmp_path):
    names = ["10.png", "2.PNG", "1.jpeg", "a2/1.webp", "a10/1.gif", "a2/b/3.tif"]
    hidden = [".x.png", "._1.png", ".trash/1.png", "notes.txt", "png"]
    for name in names + hidden:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    expected = ["1.jpeg", "2.PNG", "10.png", "a2/1.webp", "a2/b/3.tif", "a10/1.gif"]
    assert list_images(tmp_path) == [tmp_path / name for name in expected]
    assert list_images(str(tmp_path), recursive=False) == [
        tmp_path / name for name in expected[:3]
    ]
    (tmp_path / "bare").mkdir()
    assert list_images(tmp_path / "bare", allow_empty=True) == []
    for folder, text in (
        ("bare", "no pictures"),
        ("no", "no such"),
        ("10.png", "a file"),
    ):
        with pytest.raises(ImageError, match=f"{folder}: .*{text}"):
            list_images(tmp_path / folder)


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
    monkeypatch.setattr(module, "_BAND", 1 << 14)
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
        monkeypatch.setattr(module, "_BAND", band)
        np.testing.assert_array_equal(read_image(tmp_path / "a.png"), whole)


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


def test_linked_folders_are_walked_once_and_dead_links_are_named(tmp_path):
    for name in ("in/1.png", "in/sub/2.png", "out/3.png", "out/deep/4.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    folder = tmp_path / "in"
    (folder / "again").symlink_to(folder / "sub")  # lies in the folder
    (folder / "circle").symlink_to(tmp_path / "in")
    (folder / "linked").symlink_to(tmp_path / "out")
    (folder / "linked twice").symlink_to(tmp_path / "out")
    (tmp_path / "out" / "back").symlink_to(folder)
    (folder / "dead.png").symlink_to(tmp_path / "gone.png")
    (folder / "round.png").symlink_to(folder / "round.png")
    listed = [path.relative_to(folder).as_posix() for path in list_images(folder)]
    assert listed == [
        *("1.png", "dead.png"),
        *("linked/3.png", "linked/deep/4.png", "round.png", "sub/2.png"),
    ]
    (tmp_path / "link").symlink_to(folder)
    assert len(list_images(tmp_path / "link")) == len(listed)
    with pytest.raises(ImageError, match=r"dead\.png: is a link to .*gone\.png, which"):
        read_image(folder / "dead.png")
    with pytest.raises(ImageError, match=r"round\.png: "):
        read_image(folder / "round.png")


def test_a_folder_named_like_a_picture_is_a_folder(tmp_path):
    (tmp_path / "a.png").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "a.png" / "1.png")
    assert list_images(tmp_path) == [tmp_path / "a.png" / "1.png"]
    with pytest.raises(ImageError, match="no pictures"):
        list_images(tmp_path, recursive=False)
