"""Test that a note stands in a file, and that nothing else in it changes."""

import io

import numpy as np
import pytest
from PIL import Image

from illustkit.images.notes import read_note, with_note

KEY = "illustkit:test"


def encoded(format, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 31, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format, **options)
    return stream.getvalue()


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_a_note_comes_back_and_pixels_stay(format):
    data = encoded(format)
    noted = with_note(data, KEY, "[1, 2] ü")
    assert read_note(noted, KEY) == "[1, 2] ü"
    assert read_note(data, KEY) is None
    before, after = (np.asarray(Image.open(io.BytesIO(d))) for d in (data, noted))
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_a_second_note_takes_the_place_of_the_first(format):
    data = encoded(format)
    first = with_note(data, KEY, "first")
    assert with_note(first, KEY, "second") == with_note(data, KEY, "second")


def test_pillow_reads_the_text_of_a_png():
    noted = with_note(encoded("PNG"), KEY, "a")
    assert Image.open(io.BytesIO(noted)).text == {KEY: "a"}


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_exif_profile_and_a_comment_of_others_stay(format):
    exif = Image.Exif()
    exif[0x010E] = "a description"
    options = {"comment": b"theirs"} if format == "JPEG" else {}
    data = encoded(format, exif=exif.tobytes(), icc_profile=b"profile", **options)
    image = Image.open(io.BytesIO(with_note(data, KEY, "a")))
    assert image.getexif()[0x010E] == "a description"
    assert image.info["icc_profile"] == b"profile"
    if format == "JPEG":
        assert ("COM", b"theirs") in image.applist


def test_other_formats_and_long_texts_get_none():
    assert with_note(encoded("BMP"), KEY, "a") is None
    assert with_note(encoded("PNG"), KEY, "a" * 70_000) is None
    assert read_note(encoded("BMP"), KEY) is None


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_a_file_that_is_cut_short_ends_without_an_error(format):
    noted = with_note(encoded(format), KEY, "a" * 40)
    for n in range(0, len(noted), 7):
        read_note(noted[:n], KEY)
        with_note(noted[:n], KEY, "b")
