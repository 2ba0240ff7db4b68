import os

import numpy as np
import pytest
import tifffile
from PIL import Image, features

from illustkit.images import (
    ImageError,
    list_images,
    read_image,
    read_picture,
    write_image,
    write_picture,
)
from illustkit.images.write import changed_rows
from tests.illustkit import broken_pictures as odd

BLOCK = np.s_[4:9, 5:12]
LOSSLESS = (
    ["plain", "grey", "grey and alpha", "one bit", "palette", "palette, one clear"]
    + ["palette, many clear", "rgb, one clear", "rgba", "rgba webp", "cmyk tiff"]
    + [
        "lzw tiff",
        "turned deflate tiff",
        "bmp",
        "ppm",
        "gif",
        "animated gif",
        "animated png",
    ]
    + ["grey of 16 bits", "grey tiff of 16 bits", "float 0 to 1", "float 0 to 255"]
    + [f"turned {o} {e}" for o in (1, 5, 6, 8, 9) for e in ("png", "webp", "tif")]
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return odd.make_odd_pictures(tmp_path_factory.mktemp("odd"))


def raw(path):
    """Mode, stored samples, palette and orientation as Pillow and tifffile see them."""
    with Image.open(path) as image:
        orientation = image.getexif().get(0x0112, 1)  # a loaded TIFF has none
        palette = image.getpalette()
        samples = np.asarray(image)
    if path.suffix == ".tif" and orientation != 1:  # Pillow turns a TIFF upright
        samples = tifffile.imread(path)
    return image.mode, samples, palette, orientation, image.info.get("transparency")


@pytest.mark.parametrize("name", LOSSLESS)
def test_unchanged_picture_comes_back_bit_for_bit(pictures, tmp_path, name):
    path = pictures[name]
    out = tmp_path / ("out" + path.suffix)
    picture = read_picture(path)
    assert write_picture(out, picture.rgb, like=picture) == out
    before, after = raw(path), raw(out)
    assert (before[0], before[2:]) == (after[0], after[2:])
    assert before[1].dtype == after[1].dtype
    np.testing.assert_array_equal(after[1], before[1])


@pytest.mark.parametrize("name", LOSSLESS)
def test_changed_block_is_written_and_the_rest_kept(pictures, tmp_path, name):
    path = pictures[name]
    out = tmp_path / ("out" + path.suffix)
    picture = read_picture(path)
    rgb = picture.rgb.copy()
    donor = picture.rgb[-1, -1]  # a colour that every mode of this picture has
    rgb[BLOCK] = donor
    write_picture(out, rgb, like=picture)
    again = read_picture(out)
    np.testing.assert_array_equal(again.rgb, rgb)
    kept = np.ones(rgb.shape[:2], bool)
    kept[BLOCK] = (picture.rgb[BLOCK] == donor).all(-1)
    assert again.samples.shape == picture.samples.shape
    np.testing.assert_array_equal(again.samples[kept], picture.samples[kept])
    if picture.alpha is None:
        assert again.alpha is None
    else:
        np.testing.assert_array_equal(again.alpha, picture.alpha)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["png", "tif", "jpg"])
def test_pixels_are_stored_turned_back(pictures, tmp_path, orientation, extension):
    path = pictures[f"turned {orientation} {extension}"]
    out = tmp_path / path.name
    picture = read_picture(path)
    rgb = picture.rgb.copy()
    rgb[:12, :20] = (250, 10, 10)
    write_picture(out, rgb, like=picture)
    _, stored, _, written, _ = raw(out)
    assert written == orientation == picture.orientation
    error = np.abs(stored.astype(int) - odd.stored(rgb, orientation))
    assert error.max() == 0 if extension != "jpg" else error.mean() < 12


def test_grey_takes_luma_and_one_bit_its_threshold(pictures, tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    expected = np.asarray(Image.fromarray(colours).convert("L"))
    for name, levels in ("grey", expected), ("one bit", expected >= 128):
        picture = read_picture(pictures[name])
        write_picture(tmp_path / "out.png", colours, like=picture)
        changed = (colours != picture.rgb).any(-1)
        mode, samples, *_ = raw(tmp_path / "out.png")
        assert mode == picture.mode
        np.testing.assert_array_equal(samples[changed], levels[changed])


def test_palette_grows_to_256_and_then_gives_way(pictures, tmp_path):
    picture = read_picture(pictures["palette"])
    free = 256 - len(picture.palette)
    for new, mode in (free, "P"), (free + 1, "RGB"):
        rgb = picture.rgb.copy()
        ramp = np.arange(new, dtype=np.uint8)
        rgb.reshape(-1, 3)[:new] = np.stack([ramp, 0 * ramp + 1, ramp ^ 85], -1)
        write_picture(tmp_path / "out.png", rgb, like=picture)
        again = read_picture(tmp_path / "out.png")
        assert again.mode == mode
        np.testing.assert_array_equal(again.rgb, rgb)
    picture = read_picture(pictures["palette, many clear"])
    for block, mode in (np.s_[:3, :4], "P"), (np.s_[:], "RGBA"):
        rgb = picture.rgb.copy()
        rgb[block] = odd.scene()[block]
        write_picture(tmp_path / "out.png", rgb, like=picture)
        again = read_picture(tmp_path / "out.png")
        assert again.mode == mode
        np.testing.assert_array_equal(again.rgb, rgb)
        np.testing.assert_array_equal(again.alpha, picture.alpha)


def test_gif_takes_the_nearest_colours_of_its_palette(tmp_path):
    picture_path = tmp_path / "in.gif"
    Image.fromarray(odd.scene()).quantize(256).save(picture_path)
    picture = read_picture(picture_path)
    rgb = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    rgb[:10] = picture.rgb[:10]
    write_picture(tmp_path / "out.gif", rgb, like=picture)
    again = read_image(tmp_path / "out.gif")
    np.testing.assert_array_equal(again[:10], picture.rgb[:10])
    palette = picture.palette.astype(int)
    for wanted, got in zip(
        rgb[10:].reshape(-1, 3), again[10:].reshape(-1, 3), strict=True
    ):
        distances = ((palette - wanted) ** 2).sum(-1)
        assert ((got.astype(int) - wanted) ** 2).sum() == distances.min()


@pytest.mark.parametrize("deep", [False, True])
def test_clear_colour_that_comes_up_elsewhere_does_not_make_a_hole(tmp_path, deep):
    image = odd.deep_grey() if deep else odd.scene()
    key = int(image[0, 0]) if deep else tuple(map(int, image[0, 0]))
    Image.fromarray(image).save(tmp_path / "in.png", transparency=key)
    picture = read_picture(tmp_path / "in.png")
    assert picture.alpha[0, 0] == 0 and picture.alpha[20, 20] == 255
    rgb = picture.rgb.copy()
    rgb[20, 20], rgb[0, 0] = rgb[0, 0], (99, 99, 99)
    write_picture(tmp_path / "out.png", rgb, like=picture)
    again = read_picture(tmp_path / "out.png")
    np.testing.assert_array_equal(again.rgb, rgb)
    np.testing.assert_array_equal(again.alpha, picture.alpha)
    assert again.bits == picture.bits


def test_cmyk_changes_without_black_ink(tmp_path):
    ink = np.random.default_rng(0).integers(0, 256, (24, 40, 4), np.uint8)
    image = Image.frombytes("CMYK", (40, 24), ink.tobytes())
    image.save(tmp_path / "in.tif")
    picture = read_picture(tmp_path / "in.tif")
    # what is left of white after the ink, as Adobe's simple conversion has it
    left = (255 - ink[..., :3].astype(float)) * (255 - ink[..., 3:].astype(float)) / 255
    np.testing.assert_array_equal(picture.rgb, np.rint(left))
    rgb = picture.rgb.copy()
    rgb[0, 0] = (200, 100, 0)
    write_picture(tmp_path / "out.tif", rgb, like=picture)
    mode, samples, *_ = raw(tmp_path / "out.tif")
    ink[0, 0] = (55, 155, 255, 0)
    assert mode == "CMYK"
    np.testing.assert_array_equal(samples, ink)


def test_other_formats_hold_what_they_can(pictures, tmp_path):
    for name, extension, mode in [
        ("rgba", ".webp", "RGBA"),
        ("palette", ".jpg", "RGB"),
        ("palette, many clear", ".tif", "RGBA"),
        ("grey and alpha", ".webp", "RGBA"),
        ("grey of 16 bits", ".jpg", "L"),
        ("cmyk tiff", ".png", "RGB"),
        ("turned 6 png", ".bmp", "RGB"),
        ("palette, one clear", ".gif", "P"),
    ]:
        picture = read_picture(pictures[name])
        write_picture(tmp_path / f"out{extension}", picture.rgb, like=picture)
        again = read_picture(tmp_path / f"out{extension}")
        assert again.mode == mode
        if extension != ".jpg":
            np.testing.assert_array_equal(again.rgb, picture.rgb)


@pytest.mark.parametrize(
    "name, out, text",
    [
        ("rgba", "out.jpg", "JPEG does not hold transparency. Write a .png"),
        ("palette, many clear", "out.gif", "GIF does not hold transparency"),
        ("plain", "out.gif", "GIF does not hold more than 256 colours"),
        ("plain", "out.xyz", "unknown picture extension '.xyz'"),
        ("plain", "out", "unknown picture extension ''"),
        ("plain", "taken/x.png", "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_said(pictures, tmp_path, name, out, text):
    (tmp_path / "taken").touch()
    picture = read_picture(pictures[name])
    with pytest.raises(ImageError) as raised:
        write_picture(tmp_path / out, picture.rgb, like=picture)
    assert str(raised.value).startswith(f"{tmp_path / out}: ")
    assert text in str(raised.value) and "\n" not in str(raised.value)
    assert os.listdir(tmp_path) == ["taken"]


def test_wrong_arrays_and_sixteen_bit_tiff_are_refused(pictures, tmp_path):
    picture = read_picture(pictures["plain"])
    with pytest.raises(
        ImageError, match=r"plain.*\(24, 40, 3\).*Received: \(40, 24, 3"
    ):
        write_picture(tmp_path / "x.png", np.zeros((40, 24, 3), "uint8"), like=picture)
    with pytest.raises(ImageError, match="rgb must be a uint8 RGB array.*float32"):
        write_picture(tmp_path / "x.png", np.zeros((24, 40, 3), "f4"), like=picture)
    tifffile.imwrite(tmp_path / "deep.tif", odd.deep_colour(), photometric="rgb")
    picture = read_picture(tmp_path / "deep.tif")
    assert np.abs(picture.rgb - odd.deep_colour() / 257).max() <= 1
    with pytest.raises(ImageError, match="16-bit colour cannot be written as TIFF"):
        write_picture(tmp_path / "x.tif", picture.rgb, like=picture)
    with pytest.raises(ImageError, match="cannot be saved as WEBP"):
        write_image(tmp_path / "x.webp", np.zeros((1, 20_000, 3), "uint8"))


@pytest.mark.parametrize(
    "extension", ["png", "bmp", "ppm", "tif", "tiff", "webp", "jp2"]
)
def test_write_image_is_exact_and_makes_folders(tmp_path, extension):
    path = tmp_path / "new" / "folder" / f"絵 1.{extension.upper()}"
    assert write_image(str(path), odd.scene()[:, ::-1]) == path
    np.testing.assert_array_equal(read_image(path), odd.scene()[:, ::-1])
    mask = odd.alpha_ramp()
    write_image(path, mask)
    np.testing.assert_array_equal(read_image(path), np.dstack([mask] * 3))
    assert os.listdir(path.parent) == [path.name]


def test_write_image_of_lossy_formats_and_refusals(tmp_path):
    for extension in ("jpg", "avif") if features.check("avif") else ("jpg",):
        write_image(tmp_path / f"x.{extension}", odd.scene())
        image = read_image(tmp_path / f"x.{extension}").astype(int)
        assert np.abs(image - odd.scene()).mean() < 4
    for bad in odd.scene() / 255, odd.scene()[..., :2], [[0]], np.zeros((4, 4)):
        with pytest.raises(ImageError, match="uint8 RGB array"):
            write_image(tmp_path / "x.png", bad)
    with pytest.raises(ImageError, match="GIF holds 256 colours only"):
        write_image(tmp_path / "x.gif", odd.scene())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = write_image(tmp_path / "x.png", odd.scene())
    before = path.read_bytes()
    monkeypatch.setattr(
        os, "replace", lambda *a: (_ for _ in ()).throw(OSError("full"))
    )
    with pytest.raises(ImageError, match=r"x\.png: cannot be written \(full\)"):
        write_image(path, odd.scene()[::-1])
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["x.png"]


def test_real_pictures_come_back_bit_for_bit(real_data, tmp_path):
    for path in list_images(real_data / "clipart" / "images")[:3]:
        picture = read_picture(path)
        write_picture(tmp_path / "out.png", picture.rgb, like=picture)
        with Image.open(path) as before, Image.open(tmp_path / "out.png") as after:
            assert before.mode == after.mode
            np.testing.assert_array_equal(np.asarray(after), np.asarray(before))


def test_changed_rows_are_those_between_the_first_and_the_last_difference():
    one = np.zeros((7, 5, 3), np.uint8)
    other = one.copy()
    assert changed_rows(one, other) == slice(0, 0)
    other[2, 4, 1] = other[5, 0, 0] = 1
    assert changed_rows(one, other) == slice(2, 6)
    assert changed_rows(one[:, 1:], other[:, 1:]) == slice(2, 3)  # views as well
