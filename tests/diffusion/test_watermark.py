import unicodedata
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageFont

from diffusion.watermark import (
    WATERMARK,
    add_watermark,
    check_output,
    read_note,
    write_marked,
)
from illustkit.errors import UserError
from illustkit.images import read_image
from illustkit.samples import draw_face_icon

DEJAVU = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
SIZES = [16, 32, 48, 64, 128, 300]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shade", [0, 40, 128, 255])
def test_the_mark_is_seen_on_any_ground_and_leaves_the_picture(size, shade):
    ground = np.full((size, size, 3), shade, "uint8")
    marked = add_watermark(ground)
    change = np.abs(marked.astype(int) - ground)
    # Ink of 35 % towards black or white, whichever is farther
    full = 0.35 * max(shade, 255 - shade)
    assert full * 0.6 <= change.max() <= full + 1
    covered = (change.max(axis=-1) > full / 4).mean()
    assert 0.01 < covered < 0.4
    assert (ground == shade).all()


@pytest.mark.parametrize("size", [(160, 160), (300, 200), (400, 90), (90, 400)])
def test_the_mark_spans_the_picture(size):
    white = np.full((size[1], size[0], 3), 255, "uint8")
    rows, columns = np.nonzero((add_watermark(white) < 250).any(axis=-1))
    assert np.ptp(columns) > 0.5 * size[0] and np.ptp(rows) > 0.35 * size[1]


@pytest.mark.parametrize("size", [48, 64, 128])
def test_a_small_icon_bears_the_mark_along_its_lower_edge_alone(size):
    white = np.full((size, size, 3), 255, "uint8")
    rows, columns = np.nonzero((add_watermark(white) < 250).any(axis=-1))
    assert rows.min() > 0.75 * size
    assert np.ptp(columns) > 0.5 * size


@pytest.mark.parametrize("size", [48, 64, 128])
def test_a_text_that_fits_is_not_cut(size):
    marked = add_watermark(np.full((size, size, 3), 255, "uint8"))
    assert (marked[:, [0, -1]] == 255).all()


def test_opacity_and_text_are_obeyed():
    icon = draw_face_icon(3, 64)
    np.testing.assert_array_equal(add_watermark(icon, opacity=0), icon)
    faint, strong = (
        np.abs(add_watermark(icon, opacity=o).astype(int) - icon).sum()
        for o in (0.2, 0.6)
    )
    assert strong == pytest.approx(3 * faint, rel=0.05)
    assert (add_watermark(icon, "SAMPLE") != add_watermark(icon)).any()
    full = add_watermark(np.full((64, 64), 255, "uint8"), "MMMM", opacity=1)
    assert full.min() == 0


def test_the_mark_takes_the_colour_that_is_seen():
    halves = np.zeros((64, 64, 3), "uint8")
    halves[:, 32:] = 255
    change = add_watermark(halves).astype(int) - halves
    assert change[:, :20].min() == 0 < change[:, :20].max()
    assert change[:, 44:].max() == 0 > change[:, 44:].min()


def glyphs(path):
    """The letters of a font, read by another library than the one that draws them."""
    ttLib = pytest.importorskip("fontTools.ttLib")
    with ttLib.TTFont(path, fontNumber=0) as font:
        return font.getBestCmap()


@pytest.mark.parametrize(
    "text", ["Généré par IA", "l’œuvre d’une “IA” ™", "сделано ИИ", "ΤΝ", "Łódź"]
)
def test_letters_that_pillow_s_font_lacks_are_written_in_a_font_that_has_them(text):
    # A box for a missing letter is the same box for every such letter.
    white = np.full((200, 200, 3), 255, "uint8")
    marks = [add_watermark(white, c) for c in sorted(set(text)) if not c.isspace()]
    marks.append(add_watermark(white, "\N{WHITE SQUARE}"))
    assert len({mark.tobytes() for mark in marks}) == len(marks)
    expected = add_watermark(white, text, font=DEJAVU)
    if "™" in text or not text.isascii():
        assert {ord(c) for c in text if not c.isspace()} <= glyphs(DEJAVU).keys()
        np.testing.assert_array_equal(add_watermark(white, text), expected)


def test_letters_that_pillow_s_font_has_stay_in_it(monkeypatch):
    loaded, truetype = [], ImageFont.truetype

    def noted(font, *arguments, **options):
        loaded.append(font)
        return truetype(font, *arguments, **options)

    monkeypatch.setattr(ImageFont, "truetype", noted)
    white = np.full((200, 200, 3), 255, "uint8")
    for text in ("AI-generated", "don’t “AI”™"):
        assert (add_watermark(white, text) != white).any()
    # Pillow's is no file.
    assert loaded and not any(isinstance(font, (str, Path)) for font in loaded)


def test_an_accent_written_apart_gives_the_same_mark():
    white = np.full((128, 128, 3), 255, "uint8")
    apart = unicodedata.normalize("NFD", "Généré")
    assert len(apart) == 9
    np.testing.assert_array_equal(
        add_watermark(white, apart), add_watermark(white, "Généré")
    )


def test_japanese_is_written_where_a_font_has_it():
    white = np.full((128, 128, 3), 255, "uint8")
    try:
        marks = [add_watermark(white, text) for text in ("生成", "画像", "禁止")]
    except UserError as error:
        assert "生" in str(error)  # as on a machine without such a font
        pytest.skip("no font of this machine has Japanese")
    assert len({mark.tobytes() for mark in marks}) == 3


@pytest.mark.parametrize(
    "name, note, message",
    [
        ("a.xyz", False, "a.xyz: no picture can be written .* Use .avif"),
        ("a.gif", False, "a.gif: no picture can be written"),
        ("a.bmp", True, "a.bmp: no picture with a note .* Use .png, .webp, .jpg"),
        ("a", True, "a: no picture with a note"),
        ("folder.png", True, "folder.png: is a folder"),
        ("long.webp", True, "16383 pixels a side at most.* 20000x40"),
        ("long.jpg", False, "long.jpg: a .jpg has 65500"),
    ],
)
def test_what_cannot_be_written_is_said_before(tmp_path, name, note, message):
    (tmp_path / "folder.png").mkdir()
    size = (70_000 if name == "long.jpg" else 20_000, 40)
    with pytest.raises(UserError, match=message):
        check_output(tmp_path / name, size, note=note)
    assert check_output(tmp_path / "a.png", size, note=note) == tmp_path / "a.png"


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 1), (40, 50, 4)])
def test_grey_and_transparent_pictures(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    marked = add_watermark(picture)
    assert marked.shape == shape and marked.dtype == np.uint8
    assert (marked != picture).any()
    if shape[-1] == 4:
        np.testing.assert_array_equal(marked[..., 3], picture[..., 3])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"picture": np.zeros((8, 40, 3), "uint8")}, r"16 pixels .*\(8, 40, 3\)"),
        ({"picture": np.zeros((40, 40, 3))}, "float64"),
        ({"picture": np.zeros((40, 40, 2), "uint8")}, r"\(40, 40, 2\)"),
        ({"picture": "icon.png"}, "str"),
        ({"opacity": 1.5}, "opacity=1.5"),
        ({"text": "  "}, "text='  '"),
        ({"text": "A\U000f0000"}, r"No font .*'\\U000f0000'.*`font`"),
        ({"text": "A\x07"}, r"No font .*'\\x07'"),
        ({"font": "none.ttf"}, "none.ttf: no such file"),
        ({"font": __file__}, "test_watermark.py: cannot be read as a font"),
        ({"font": DEJAVU, "text": "生成"}, "DejaVuSans.ttf: has no letter '成'"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    options = {"picture": np.zeros((40, 40, 3), "uint8"), **options}
    with pytest.raises(UserError, match=message):
        add_watermark(**options)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
@pytest.mark.parametrize("note", [WATERMARK, "生成画像 © é"])
def test_the_note_is_in_the_file(tmp_path, name, note):
    picture = draw_face_icon(1, 48)
    path = write_marked(tmp_path / "new" / name, picture, note)
    assert read_note(path) == note
    if name != "a.jpg":
        np.testing.assert_array_equal(read_image(path), picture)
    assert [p.name for p in path.parent.iterdir()] == [name]


def test_others_find_the_note(tmp_path):
    """By the formats' own bytes, not by the function that reads it here."""
    picture = draw_face_icon(1, 32)
    png = write_marked(tmp_path / "a.png", picture).read_bytes()
    assert b"iTXtDescription\0\0\0\0\0AI-generated" in png
    jpeg = write_marked(tmp_path / "a.jpg", picture).read_bytes()
    # COM: marker, length of 14, text
    assert b"\xff\xfe\x00\x0eAI-generated" in jpeg
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.getexif()[0x010E] == "AI-generated"


def test_transparent_and_grey_pictures_are_written(tmp_path):
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 256, (20, 20, 4), "uint8")
    with Image.open(write_marked(tmp_path / "a.png", rgba)) as image:
        np.testing.assert_array_equal(np.asarray(image), rgba)
    grey = rng.integers(0, 256, (20, 20, 1), "uint8")
    with Image.open(write_marked(tmp_path / "b.png", grey)) as image:
        np.testing.assert_array_equal(np.asarray(image), grey[..., 0])
    for name, picture in (("a.jpg", rgba), ("a.bmp", grey)):
        with pytest.raises(UserError, match=f"{name}: .* Use .png"):
            write_marked(tmp_path / name, picture)


def test_a_file_without_a_note_has_none(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    (tmp_path / "b.png").write_bytes(b"\x89PNG broken")
    assert [read_note(p) for p in tmp_path.iterdir()] == [None] * 3
