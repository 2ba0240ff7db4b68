"""A JPEG's untouched blocks stay, as Pillow decodes them."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from illustkit.images import read_picture, write_picture
from illustkit.images.jpeg import with_blocks_of
from illustkit.images.jpeg_blocks import decode, decode_from, skip
from illustkit.images.jpeg_segments import blocks_of_unit, parse

KINDS = {
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "optimised": {"subsampling": 2, "optimize": True},
    "restarts": {"subsampling": 2, "restart_marker_blocks": 2},
    "restarts by row": {"subsampling": 0, "restart_marker_rows": 1},
    "quality 100": {"subsampling": 0, "quality": 100},
    "quality 5": {"subsampling": 0, "quality": 5},
    "progressive": {"progressive": True, "subsampling": 2},
    "progressive 4:4:4": {"progressive": True, "subsampling": 0, "quality": 97},
    "progressive 4:2:2": {"progressive": True, "subsampling": 1, "quality": 30},
    "progressive, restarts": {"progressive": True, "restart_marker_blocks": 3},
}
BLOCK = {"4:2:2": (8, 16), "progressive 4:2:2": (8, 16)}
BLOCK |= {name: (8, 8) for name, o in KINDS.items() if o.get("subsampling") == 0}


def drawn(height=77, width=93):
    """Lines on white, where decoding clips, and colours that change quickly."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:height, :width]
    picture = np.full((height, width, 3), 255, np.uint8)
    picture[(x + 2 * y) % 11 < 2] = (10, 0, 30)
    noise = rng.integers(0, 256, picture.shape)
    picture[40:, 50:] = noise[40:, 50:]
    return picture


def jpeg(picture, **options):
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", **options)
    return stream.getvalue()


def edit(path, colour=(200, 30, 90), box=(20, 33, 31, 38)):
    """Paint a box, write it as `restore` does, and return both as Pillow shows them."""
    picture = read_picture(path)
    rgb = picture.rgb.copy()
    rgb[box[1] : box[3], box[0] : box[2]] = colour
    write_picture(path.with_name("out.jpg"), rgb, like=picture)
    with Image.open(path) as before, Image.open(path.with_name("out.jpg")) as after:
        return np.asarray(before).astype(int), np.asarray(after).astype(int)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("kind", KINDS)
def test_blocks_without_an_edited_pixel_stay(tmp_path, kind, mode):
    path = tmp_path / "a.jpg"
    picture = drawn() if mode == "RGB" else drawn()[..., 0]
    path.write_bytes(jpeg(picture, **KINDS[kind]))
    before, after = edit(path)
    high, wide = (8, 8) if mode == "L" else BLOCK.get(kind, (16, 16))
    touched = np.zeros(picture.shape[:2], bool)
    rows = slice(33 // high * high, -(-38 // high) * high)
    columns = slice(20 // wide * wide, -(-31 // wide) * wide)
    touched[rows, columns] = True
    differs = np.abs(after - before).reshape(*touched.shape, -1).max(-1) > 0
    # libjpeg smooths colours of half the size with those of the next block.
    rim = cv2.dilate(touched.astype(np.uint8), np.ones((3, 3))) > 0
    assert not differs[~(touched if (high, wide) == (8, 8) else rim)].any()
    assert differs[33:38, 20:31].mean() > 0.9
    with Image.open(path) as one, Image.open(tmp_path / "out.jpg") as two:
        assert one.quantization == two.quantization
        if mode == "RGB":
            sampling = JpegImagePlugin.get_sampling
            assert sampling(one) == sampling(two)


def touched(jpeg, changed):
    """Return of every block, one after another, whether a pixel of it is edited."""
    across = max(c.across for c in jpeg.components)
    down = max(c.down for c in jpeg.components)
    hit = []
    for row, column in np.ndindex(jpeg.units[::-1]):
        for part in jpeg.components:
            high, wide = 8 * down // part.down, 8 * across // part.across
            for i, j in np.ndindex(part.down, part.across):
                y, x = row * 8 * down + i * high, column * 8 * across + j * wide
                hit.append([changed[y : y + high, x : x + wide].any()])
    return np.array(hit)


@pytest.mark.parametrize("kind", ["4:4:4", "4:2:2", "4:2:0", "quality 5"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_copied_codes_hold_the_same_blocks(kind, mode):
    picture = drawn() if mode == "RGB" else drawn()[..., 0]
    original = jpeg(picture, **KINDS[kind])
    with Image.open(io.BytesIO(original)) as image:
        seen, options = np.asarray(image), {"qtables": image.quantization}
    options["subsampling"] = KINDS[kind].get("subsampling", 2)
    # within, at the top, in the last row of units, and nothing
    for box in (16, 32, 48, 48), (0, 0, 60, 9), (9, 74, 30, 77), (0, 0, 0, 0):
        place = np.s_[box[1] : box[3], box[0] : box[2]]
        edited, changed = seen.copy(), np.zeros(seen.shape[:2], bool)
        edited[place], changed[place] = 200, True
        rows = []

        def encode_rows(own, edited=edited, rows=rows):
            rows.append(own)
            return jpeg(edited[own], **options)

        result = with_blocks_of(original, changed, encode_rows)
        # The blocks of the whole picture, compressed anew, and those of the original.
        expected, old = (decode(parse(d)) for d in (jpeg(edited, **options), original))
        expected = np.where(touched(parse(original), changed), expected, old)
        np.testing.assert_array_equal(decode(parse(result)), expected)
        (own,) = rows
        assert own.stop - own.start <= 64  # some rows of units
        if box[1] == 32:
            # What follows the edited rows are the bytes of the original.
            assert result[-40:] == original[-40:]


def test_nothing_edited_gives_every_pixel_back(tmp_path):
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    path.write_bytes(jpeg(drawn(), quality=60, exif=exif))
    before, after = edit(path, box=(0, 0, 0, 0))
    np.testing.assert_array_equal(before, after)
    # A box in the upright picture lies elsewhere in the stored one.
    before, after = edit(path, box=(56, 64, 64, 72))
    differs = (before != after).any(-1)
    assert differs[8:16, 64:72].mean() > 0.9
    assert not differs[:, :60].any() and not differs[:, 84:].any()


def test_what_is_compressed_anew_is_told(tmp_path, caplog):
    path = tmp_path / "a.jpg"
    Image.fromarray(drawn()).convert("CMYK").save(path)
    edit(path)
    before, after = (read_picture(p).rgb for p in (path, tmp_path / "out.jpg"))
    kept = np.ones(before.shape[:2], bool)
    kept[33:38, 20:31] = False
    most = np.abs(before.astype(int) - after).max(-1)[kept].max()
    assert "out.jpg: was compressed anew" in caplog.text
    assert f"differ by up to {most} levels. A .png keeps them." in caplog.text


@pytest.mark.parametrize("progressive", [False, True])
def test_spoilt_scans_are_refused_or_decoded(progressive):
    picture = drawn(40, 40)
    whole = jpeg(picture, restart_marker_blocks=2, progressive=progressive)

    def encode_rows(rows):
        return jpeg(255 - picture[rows])

    changed = np.zeros((40, 40), bool)
    changed[:5, :5] = True
    assert with_blocks_of(whole, changed, encode_rows)
    rng = np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(whole)
        for place in rng.integers(2, len(data), rng.integers(1, 6)):
            data[place] = rng.integers(256)
        spoilt = bytes(data[: rng.integers(len(data) // 2, len(data) + 1)])
        result = with_blocks_of(spoilt, changed, encode_rows)
        if result is not None:
            Image.open(io.BytesIO(result)).load()


@pytest.mark.parametrize("kind", ["4:4:4", "4:2:0", "quality 100", "quality 5"])
def test_skipping_leads_to_the_unit_that_reading_leads_to(kind):
    # Noise, lines and flat parts: blocks of all 64 coefficients, of few, and of none.
    source = parse(jpeg(drawn(), **KINDS[kind]))
    order = blocks_of_unit(source)
    blocks = decode(source).reshape(-1, len(order), 64)
    last = len(order) - 1 - order[::-1].index(0)
    for n in (0, 1, 7, len(blocks) // 2, len(blocks) - 1):
        place, means = skip(source, n)
        before = [0 if n == 0 else blocks[n - 1, i, 0] for i in (last, -2, -1)]
        assert means == before
        rest, _ = decode_from(source, place, len(blocks) - n, means)
        np.testing.assert_array_equal(rest.reshape(-1, len(order), 64), blocks[n:])
