import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from illustkit.images import read_image, read_picture, write_picture
from tests.illustkit import broken_pictures as odd

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def jpeg_segments(data, *markers):
    found, place = [], 2
    while data[place + 1] != 0xDA:
        size = int.from_bytes(data[place + 2 : place + 4], "big")
        if data[place + 1] in markers:
            found.append(data[place + 4 : place + 2 + size])
        place += 2 + size
    return found


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "subsampling, progressive", [(0, False), (1, False), (2, True)]
)
def test_jpeg_keeps_its_tables(tmp_path, mode, subsampling, progressive):
    image = Image.fromarray(odd.scene()).convert(mode)
    exif = Image.Exif()
    exif[0x010E] = "a description"
    options = {"subsampling": subsampling} if mode == "RGB" else {}
    image.save(
        tmp_path / "in.jpg", quality=61, progressive=progressive, exif=exif, **options
    )
    picture = read_picture(tmp_path / "in.jpg")
    write_picture(tmp_path / "out.jpg", picture.rgb, like=picture)
    before, after = ((tmp_path / n).read_bytes() for n in ("in.jpg", "out.jpg"))
    tables, frame = (0xDB,), (0xC0, 0xC2)
    assert b"".join(jpeg_segments(after, *tables)) == b"".join(
        jpeg_segments(before, *tables)
    )
    assert jpeg_segments(after, *frame) == jpeg_segments(before, *frame)  # sampling
    assert jpeg_segments(after, 0xE1) == jpeg_segments(before, 0xE1)  # EXIF
    with Image.open(tmp_path / "out.jpg") as again:
        assert again.mode == mode
        # What keeps its blocks is written as a baseline JPEG.
        anew = progressive and mode == "CMYK"
        assert bool(again.info.get("progressive")) == anew


def deep_rows(data):
    """Samples of a 16-bit PNG without row filters, and its chunks."""
    chunks, place = {}, 8
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        name = data[place + 4 : place + 8]
        chunks[name] = chunks.get(name, b"") + data[place + 8 : place + 8 + size]
        place += 12 + size
    width, height, depth, kind = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8)
    rows = rows.reshape(height, -1)
    assert depth == 16 and not rows[:, 0].any()
    samples = np.ascontiguousarray(rows[:, 1:]).view(">u2").astype(np.uint16)
    return samples.reshape(height, width, {2: 3, 4: 2, 6: 4}[kind]), chunks


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_sixteen_bit_colour_keeps_its_low_bytes(tmp_path, channels):
    samples = np.random.default_rng(0).integers(0, 65536, (24, 40, channels), np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    before = [
        odd.png_chunk(b"iCCP", b"x\0\0" + zlib.compress(SRGB)),
        odd.png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")),
    ]
    (tmp_path / "in.png").write_bytes(odd.deep_png(samples, *before))
    picture = read_picture(tmp_path / "in.png")
    assert picture.rgb.shape == (40, 24, 3)
    rgb = picture.rgb.copy()
    rgb[0, 0] = (7, 7, 7)  # stored at the foot of the first column
    write_picture(tmp_path / "out.png", rgb, like=picture)
    written, chunks = deep_rows((tmp_path / "out.png").read_bytes())
    colours = 1 if channels == 2 else 3
    samples[-1, 0, :colours] = 7 * 257
    np.testing.assert_array_equal(written, samples)
    assert chunks[b"eXIf"] == exif.tobytes().removeprefix(b"Exif\0\0")
    assert (b"iCCP" in chunks) == (channels > 2)  # an RGB profile is none of grey
    if channels > 2:
        profile = zlib.decompress(chunks[b"iCCP"].split(b"\0\0", 1)[1])
        assert profile == SRGB
    with Image.open(tmp_path / "out.png") as image:  # checksums hold
        image.load()


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tif", "avif"])
def test_exif_and_profile_stay(tmp_path, extension):
    if extension == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "a description", 8
    image = Image.fromarray(odd.stored(odd.scene(), 8))
    image.save(tmp_path / f"in.{extension}", exif=exif, icc_profile=SRGB)
    picture = read_picture(tmp_path / f"in.{extension}")
    write_picture(tmp_path / f"out.{extension}", picture.rgb, like=picture)
    with Image.open(tmp_path / f"out.{extension}") as again:
        assert again.getexif()[0x010E] == "a description"
        assert again.getexif()[0x0112] == 8
        assert again.info["icc_profile"] == SRGB
    image = read_image(tmp_path / f"out.{extension}").astype(int)
    assert np.abs(image - odd.scene()).mean() < 12


@pytest.mark.parametrize("described", [False, True])
def test_orientation_from_xmp_is_not_lost_with_the_xmp(tmp_path, described):
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    image = Image.fromarray(odd.stored(odd.scene(), 6))
    exif = Image.Exif()
    if described:
        exif[0x010E] = "a description"
    image.save(tmp_path / "in.webp", lossless=True, xmp=xmp, exif=exif)
    picture = read_picture(tmp_path / "in.webp")
    assert picture.orientation == 6
    write_picture(tmp_path / "out.webp", picture.rgb, like=picture)
    np.testing.assert_array_equal(read_image(tmp_path / "out.webp"), odd.scene())
    with Image.open(tmp_path / "out.webp") as again:
        assert again.getexif().get(0x010E) == ("a description" if described else None)
