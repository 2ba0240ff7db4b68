"""Test that a note stands in a file, and that nothing else in it changes."""

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from illustkit.images.notes import read_note, with_note

KEY = "illustkit:test"
FORMATS = ["PNG", "JPEG", "WEBP", "GIF"]


def encoded(format, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 31, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format, **options)
    return stream.getvalue()


@pytest.mark.parametrize("format", FORMATS)
def test_a_note_comes_back_and_pixels_stay(format):
    data = encoded(format)
    noted = with_note(data, KEY, "[1, 2] ü")
    assert read_note(noted, KEY) == "[1, 2] ü"
    assert read_note(data, KEY) is None
    before, after = (np.asarray(Image.open(io.BytesIO(d))) for d in (data, noted))
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("format", FORMATS)
def test_a_second_note_takes_the_place_of_the_first(format):
    data = encoded(format)
    first = with_note(data, KEY, "first")
    assert with_note(first, KEY, "second") == with_note(data, KEY, "second")


def test_pillow_reads_the_text_of_a_png():
    noted = with_note(encoded("PNG"), KEY, "a")
    assert Image.open(io.BytesIO(noted)).text == {KEY: "a"}


@pytest.mark.parametrize("format", FORMATS)
def test_exif_profile_and_a_comment_of_others_stay(format):
    exif = Image.Exif()
    exif[0x010E] = "a description"
    options = {"comment": b"theirs"} if format in ("JPEG", "GIF") else {}
    if format != "GIF":  # which holds neither
        options |= {"exif": exif.tobytes(), "icc_profile": b"profile"}
    image = Image.open(io.BytesIO(with_note(encoded(format, **options), KEY, "a")))
    if format == "GIF":
        assert b"theirs" in image.info["comment"]
        return
    assert image.getexif()[0x010E] == "a description"
    assert image.info["icc_profile"] == b"profile"
    if format == "JPEG":
        assert ("COM", b"theirs") in image.applist


@pytest.mark.parametrize("lossless", [False, True])
def test_a_plain_webp_becomes_an_extended_one_as_its_specification_says(lossless):
    data = with_note(encoded("WEBP", lossless=lossless), KEY, 'a "b" <c> & ü')
    assert data[12:16] == b"VP8X" and data[20] == 0x04  # XMP, no alpha
    width, height = (int.from_bytes(data[i : i + 3], "little") for i in (24, 27))
    assert (width, height) == (30, 23)  # less one
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    xmp = ElementTree.fromstring(Image.open(io.BytesIO(data)).info["xmp"])
    (found,) = (x for element in xmp.iter() for x in element.attrib.values() if x)
    assert found == 'a "b" <c> & ü' == read_note(data, KEY)


def test_a_transparent_webp_stays_so():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 4), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", lossless=True, exact=True)
    shown = Image.open(io.BytesIO(with_note(stream.getvalue(), KEY, "a")))
    np.testing.assert_array_equal(np.asarray(shown), pixels)


def test_xmp_of_others_stays_and_there_is_no_note():
    data = encoded("WEBP", xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    assert with_note(data, KEY, "a") is None and read_note(data, KEY) is None


def test_how_often_a_gif_is_played_stays_the_first_of_its_blocks():
    frame = Image.fromarray(np.zeros((8, 8), np.uint8))
    stream = io.BytesIO()
    more = [Image.fromarray(np.full((8, 8), 9, np.uint8))]
    frame.save(stream, "GIF", save_all=True, append_images=more, loop=5)
    data = with_note(stream.getvalue(), KEY, "a" * 600)
    assert read_note(data, KEY) == "a" * 600
    image = Image.open(io.BytesIO(data))
    assert image.info["loop"] == 5 and image.n_frames == 2
    assert data.index(b"NETSCAPE2.0") < data.index(KEY.encode())


def test_other_formats_and_long_texts_get_none():
    assert with_note(encoded("BMP"), KEY, "a") is None
    assert with_note(encoded("PNG"), KEY, "a" * 70_000) is None
    assert read_note(encoded("BMP"), KEY) is None


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_is_cut_short_ends_without_an_error(format):
    noted = with_note(encoded(format), KEY, "a" * 40)
    for n in range(0, len(noted), 7):
        read_note(noted[:n], KEY)
        with_note(noted[:n], KEY, "b")
