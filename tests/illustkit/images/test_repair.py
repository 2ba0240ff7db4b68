"""Pictures that browsers show although a piece of them is spoilt."""

import io
import logging
import zlib

import numpy as np
import pytest
from PIL import Image

from illustkit.images import ImageError, picture_size, read_image, read_picture
from tests.illustkit.broken_pictures import png_chunk

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)


def png(*before_pixels, after_end=b""):
    """A whole PNG of PICTURE with more chunks, and bytes behind its end."""
    stream = io.BytesIO()
    Image.fromarray(PICTURE).save(stream, "PNG")
    data = stream.getvalue()
    start = data.index(b"IDAT") - 4
    return data[:start] + b"".join(before_pixels) + data[start:] + after_end


def spoilt(chunk):
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


def zipped(head, n):
    return head + zlib.compress(bytes(n))


SPOILT = {
    "text": (png(spoilt(png_chunk(b"tEXt", b"Title\0a"))), "tEXt chunk is damaged"),
    "unknown": (png(spoilt(png_chunk(b"abCd", b"x"))), "abCd chunk is damaged"),
    "physical": (png(spoilt(png_chunk(b"pHYs", bytes(9)))), "pHYs chunk is damaged"),
    "profile": (png(spoilt(png_chunk(b"iCCP", b"a\0\0b"))), "iCCP chunk is damaged"),
    "large-zip": (png(png_chunk(b"zTXt", zipped(b"T\0\0", 2**21))), "zTXt chunk holds"),
    "large-profile": (
        png(png_chunk(b"iCCP", zipped(b"p\0\0", 2**21))),
        "iCCP chunk holds",
    ),
    "large-unicode": (
        png(png_chunk(b"iTXt", zipped(b"T\0\1\0\0\0", 2**21))),
        "iTXt chunk holds",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_side_chunks_condemn_no_pixels_of_a_png(tmp_path, caplog, name):
    data, problem = SPOILT[name]
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(read_image(path), PICTURE)
    assert picture_size(path) == (40, 24)
    (message,) = [r.getMessage() for r in caplog.records if str(path) in r.getMessage()]
    assert problem in message


def test_bytes_behind_the_end_and_a_good_neighbour_are_no_fault(tmp_path):
    """What is whole stays: the density, and a small text."""
    density = png_chunk(b"pHYs", (2835).to_bytes(4, "big") * 2 + b"\1")
    path = tmp_path / "a.png"
    path.write_bytes(png(density, spoilt(png_chunk(b"tEXt", b"T\0a")), after_end=b"x"))
    picture = read_picture(path)
    assert np.array_equal(picture.rgb, PICTURE)
    assert picture.encoding["dpi"] == pytest.approx((72.009, 72.009))


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95])
def test_a_png_that_lacks_pixels_is_refused(tmp_path, cut):
    data = png(spoilt(png_chunk(b"tEXt", b"Title\0a")))
    path = tmp_path / "a.png"
    path.write_bytes(data[: int(cut * len(data))])
    with pytest.raises(ImageError, match="a.png: damaged"):
        read_image(path)


def test_spoilt_pixels_are_refused(tmp_path):
    data = bytearray(png())
    data[data.index(b"IDAT") + 40] ^= 255
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match="a.png: damaged"):
        read_image(path)


@pytest.mark.parametrize("lacking", [1, 2])
@pytest.mark.parametrize("sampling", [0, 2])
def test_a_jpeg_without_its_last_bytes_is_read(tmp_path, caplog, lacking, sampling):
    path, whole = tmp_path / "a.jpg", tmp_path / "whole.jpg"
    Image.fromarray(PICTURE).save(whole, quality=90, subsampling=sampling)
    path.write_bytes(whole.read_bytes()[:-lacking])
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(read_image(path), read_image(whole))
    assert "a.jpg: its last bytes are missing" in caplog.text


@pytest.mark.parametrize("cut", [0.7, 0.85, 0.95])
def test_a_jpeg_that_lacks_rows_is_refused(tmp_path, cut):
    path = tmp_path / "a.jpg"
    noise = np.random.default_rng(1).integers(0, 256, (160, 160, 3), np.uint8)
    Image.fromarray(noise).save(path, quality=90)
    data = path.read_bytes()
    path.write_bytes(data[: int(cut * len(data))])
    with pytest.raises(ImageError, match="a.jpg: damaged"):
        read_image(path)


def test_one_limit_of_pixels_holds_for_reading_and_measuring(tmp_path):
    """185 megapixels: above Pillow's own limit, below ours."""
    path = tmp_path / "a.png"
    Image.new("1", (18_500, 10_000)).save(path)
    assert picture_size(path) == (18_500, 10_000)
    with pytest.raises(ImageError, match="limit is 100 megapixels"):
        read_image(path, max_pixels=100_000_000)
