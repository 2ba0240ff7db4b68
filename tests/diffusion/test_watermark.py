import numpy as np
import pytest
from PIL import Image

from diffusion.watermark import WATERMARK, add_watermark, read_note, write_marked
from illustkit.images import read_image
from illustkit.samples import draw_face_icon

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
    assert 0.02 < covered < 0.4
    assert (ground == shade).all()


@pytest.mark.parametrize("size", [(32, 32), (128, 128), (400, 90), (90, 400)])
def test_the_mark_spans_the_picture(size):
    white = np.full((size[1], size[0], 3), 255, "uint8")
    rows, columns = np.nonzero((add_watermark(white) < 250).any(axis=-1))
    assert np.ptp(columns) > 0.5 * size[0] and np.ptp(rows) > 0.35 * size[1]


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
        ({"text": "生成"}, "lacks '生'. Give font=PATH"),
        ({"font": "none.ttf"}, "none.ttf: cannot be read as a font"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    options = {"picture": np.zeros((40, 40, 3), "uint8"), **options}
    with pytest.raises(ValueError, match=message):
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
        with pytest.raises(ValueError, match=f"{name}: .* Use .png"):
            write_marked(tmp_path / name, picture)


def test_a_file_without_a_note_has_none(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    (tmp_path / "b.png").write_bytes(b"\x89PNG broken")
    assert [read_note(p) for p in tmp_path.iterdir()] == [None] * 3
