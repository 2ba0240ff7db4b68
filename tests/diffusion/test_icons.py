import json
import os

import numpy as np
import pytest
from PIL import Image

from diffusion import icons as module
from diffusion.icons import fit_icon, read_icons
from illustkit.images import write_image


def save(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(picture, np.uint8)).save(path)


def flat(height, width, *colour):
    return np.full((height, width, len(colour)), colour, np.uint8)


def test_a_folder_is_read_at_one_size_and_told_about(tmp_path):
    save(tmp_path / "10.png", flat(16, 8, 1, 2, 3))
    save(tmp_path / "2.png", flat(32, 16, 4, 5, 6))
    save(tmp_path / "deep" / "3.png", np.full((16, 8), 7))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    done = []
    icons = read_icons(tmp_path, (8, 16), progress=done.append)
    assert icons.pictures.shape == (3, 16, 8, 3) and icons.pictures.dtype == np.uint8
    colours = dict(zip(icons.names, icons.pictures[:, 0, 0].tolist(), strict=True))
    assert colours == {"2.png": [4, 5, 6], "10.png": [1, 2, 3], "deep/3.png": [7, 7, 7]}
    assert icons.names.index("2.png") < icons.names.index("10.png")
    assert icons.resized == ["2.png"] and done == [1, 2, 3, 4]
    assert [name for name, _ in icons.left_out] == ["broken.png"]
    lines = icons.report().splitlines()
    assert lines[0] == "3 pictures of 8x16, 1 of them resized, 1 left out."
    assert len(lines) == 2 and str(tmp_path / "broken.png") in lines[1]


def test_what_is_transparent_is_white_whatever_colour_it_has(tmp_path):
    clear = np.zeros((8, 8, 4))
    clear[:4] = 10, 200, 60, 255
    clear[4:] = 90, 0, 0, 0
    save(tmp_path / "a.png", clear)
    rgb = read_icons(tmp_path, (8, 8)).pictures[0]
    assert (rgb[:4] == (10, 200, 60)).all() and (rgb[4:] == 255).all()
    grey = read_icons(tmp_path, (8, 8), channels=1).pictures
    assert grey.shape == (1, 8, 8, 1)
    # ITU-R 601: .299 R + .587 G + .114 B
    assert (grey[0, :4] == round(0.299 * 10 + 0.587 * 200 + 0.114 * 60)).all()
    assert (grey[0, 4:] == 255).all()
    rgba = read_icons(tmp_path, (8, 8), channels=4).pictures[0]
    np.testing.assert_array_equal(rgba[:4], clear[:4])
    assert (rgba[4:] == (255, 255, 255, 0)).all()
    save(tmp_path / "a.png", flat(8, 8, 1, 2, 3))
    opaque = read_icons(tmp_path, (8, 8), channels=4).pictures[0]
    assert (opaque == (1, 2, 3, 255)).all()


def test_the_middle_is_kept_and_every_pixel_counts():
    stripes = np.repeat([[255, 0, 0], [0, 255, 0], [0, 0, 255]], 16, axis=0)
    wide = np.broadcast_to(stripes.astype(np.uint8), (16, 48, 3))
    assert (fit_icon(wide, (16, 16)) == (0, 255, 0)).all()
    tall = np.swapaxes(wide, 0, 1)[::-1]
    shrunk = fit_icon(tall, (8, 8)).astype(int)
    assert np.abs(shrunk[1:-1] - (0, 255, 0)).max() < 40  # Lanczos rings at edges
    # A chequerboard of single pixels is grey from afar, and not black or white.
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    small = fit_icon(board.astype(np.uint8), (16, 16))
    assert small.shape == (16, 16)
    assert np.abs(small[2:-2].astype(int)[:, 2:-2] - 127).max() <= 2
    same = np.zeros((4, 6, 3), np.uint8)
    assert fit_icon(same, (6, 4)) is same


def test_the_cache_is_used_until_something_changes(tmp_path, monkeypatch):
    for i in range(4):
        save(tmp_path / "in" / f"{i}.png", flat(8, 8, i, i, i))
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    cache = tmp_path / "cache"
    first = read_icons(tmp_path / "in", (8, 8), cache=cache)
    assert isinstance(first.pictures, np.memmap)
    read = []
    original = module.read_picture

    def counted(path):
        read.append(path.name)
        return original(path)

    monkeypatch.setattr(module, "read_picture", counted)
    again = read_icons(tmp_path / "in", (8, 8), cache=cache)
    assert read == [] and again._asdict().keys() == first._asdict().keys()
    assert again[1:] == first[1:]
    np.testing.assert_array_equal(again.pictures, first.pictures)
    np.testing.assert_array_equal(
        again.pictures, read_icons(tmp_path / "in", (8, 8)).pictures
    )

    read.clear()
    save(tmp_path / "in" / "1.png", flat(8, 8, 99, 99, 99))
    os.utime(tmp_path / "in" / "1.png", ns=(1, 1))
    changed = read_icons(tmp_path / "in", (8, 8), cache=cache)
    assert len(read) == 5 and changed.pictures[:, 0, 0, 0].tolist() == [0, 99, 2, 3]
    # Who reads the file of before keeps it.
    assert again.pictures[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    (samples,) = cache.glob("icons-*.npy")
    for spoil in (
        lambda: (cache / "icons.json").write_text("{"),
        lambda: samples.write_bytes(b"half"),
        # As version 0.1 wrote them.
        lambda: (cache / "icons.json").write_text(json.dumps({"size": [8, 8]})),
    ):
        read.clear()
        spoil()
        rebuilt = read_icons(tmp_path / "in", (8, 8), cache=cache)
        np.testing.assert_array_equal(rebuilt.pictures, changed.pictures)
        assert len(read) == 5
    (cache / "icons.npy").touch()
    other = read_icons(tmp_path / "in", (4, 8), channels=1, cache=cache)
    assert other.pictures.shape == (4, 8, 4, 1)
    assert not (cache / "icons.npy").exists()  # of version 0.1


def test_folders_without_a_picture_are_told_in_one_line(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        read_icons(tmp_path / "nowhere", (8, 8))
    with pytest.raises(ValueError, match="no pictures here") as error:
        read_icons(tmp_path, (8, 8))
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="no picture here can be read") as error:
        read_icons(tmp_path, (8, 8))
    assert "a.png" in str(error.value) and "\n" not in str(error.value)
    write_image(tmp_path / "b.png", flat(8, 8, 1, 2, 3))
    with pytest.raises(ValueError, match="Received: 2"):
        read_icons(tmp_path, (8, 8), channels=2)


def test_an_empty_folder_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty"):
        read_icons(tmp_path / "empty")


@pytest.mark.parametrize("size", [(8, 8), (4, 4), (20, 20), (8, 4)])
def test_no_colour_under_zero_alpha_is_learned_at_any_size(tmp_path, size):
    rng = np.random.default_rng(0)
    # Of the same shape, with other colours where nobody sees any.
    seen = rng.integers(0, 256, (8, 8, 4))
    seen[..., 3] = 255
    for name, hidden in (("a", (255, 0, 0)), ("b", (0, 0, 0)), ("c", (255, 255, 255))):
        seen[:, 4:] = *hidden, 0
        save(tmp_path / f"{name}.png", seen)
    red, black, white = read_icons(tmp_path, size, channels=4).pictures
    np.testing.assert_array_equal(red, black)
    np.testing.assert_array_equal(red, white)
    assert (red[red[..., 3] == 0] == (255, 255, 255, 0)).all()
    assert (red[..., 3] == 0).any() and (red[..., 3] == 255).any()
    array = np.asarray(Image.open(tmp_path / "a.png"))[None]
    assert (read_icons(array, size, channels=4).pictures[0] == red).all()


def test_without_a_size_the_medians_are_taken_in_any_order(tmp_path):
    (tmp_path / "1.png").write_bytes(b"no picture")
    for name, height, width in (("2", 1, 1), ("3", 16, 24), ("4", 12, 30), ("5", 9, 8)):
        save(tmp_path / f"{name}.png", flat(height, width, 1, 2, 3))
    icons = read_icons(tmp_path, cache=tmp_path / "cache")
    # Of 1, 8, 24, 30 and of 1, 9, 12, 16; the lower of the two in the middle.
    assert icons.image_size == (8, 9)
    assert icons.resized == ["2.png", "3.png", "4.png"]
    (tmp_path / "2.png").rename(tmp_path / "6.png")
    assert read_icons(tmp_path).image_size == (8, 9)


def test_only_the_grid_of_the_folder_s_own_icons_is_passed_over(tmp_path):
    save(tmp_path / "2.png", flat(8, 8, 1, 2, 3))
    save(tmp_path / "grid.png", flat(8, 8, 0, 0, 0))
    for text in ("{}", "[1]", "no JSON", '{"sampler": "ddim"}'):
        (tmp_path / "settings.json").write_text(text)
        assert read_icons(tmp_path).names == ["2.png", "grid.png"]
    (tmp_path / "settings.json").write_text('{"sampler": "ddim", "model": "1f"}')
    assert read_icons(tmp_path).names == ["2.png"]


def test_of_an_animation_the_first_frame_is_read_and_said(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    for kind in ("gif", "png", "webp"):
        options = {"lossless": True} if kind == "webp" else {}
        path = tmp_path / f"moving.{kind}"
        frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    save(tmp_path / "still.png", flat(8, 8, 255, 0, 0))
    for _ in range(2):  # the second time from the cache
        icons = read_icons(tmp_path, (8, 8), cache=tmp_path / "cache")
        assert (icons.pictures == (255, 0, 0)).all()
        assert icons.animated == ["moving.gif", "moving.png", "moving.webp"]
        told = icons.report().splitlines()
        assert len(told) == 4 and told[1].endswith(": moving.gif is animated.")


def test_what_cannot_be_read_is_left_out_whatever_it_is(tmp_path):
    save(tmp_path / "1.png", flat(8, 8, 1, 2, 3))
    (tmp_path / "empty.png").touch()
    (tmp_path / "dead.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "folder.png").mkdir()
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    icons = read_icons(tmp_path, (8, 8), cache=tmp_path / "cache")
    assert icons.names == ["1.png"]
    assert [name for name, _ in icons.left_out] == ["cut.png", "dead.png", "empty.png"]
    for name, reason in icons.left_out:
        assert name in reason and "\n" not in reason


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "CMYK", "RGB"])
def test_pictures_of_every_mode_are_icons(tmp_path, mode):
    name = "a.tif" if mode == "CMYK" else "a.png"
    if mode == "I;16":
        image = Image.fromarray(np.full((1, 1), 65535, np.uint16))
    else:
        image = Image.new("RGB", (1, 1), "white").convert(mode)
    image.save(tmp_path / name)
    for channels in (1, 3, 4):
        pictures = read_icons(tmp_path, (8, 8), channels=channels).pictures
        assert pictures.shape == (1, 8, 8, channels) and (pictures == 255).all()


def test_a_line_of_pixels_is_cut_before_it_is_enlarged(monkeypatch):
    made, resize = [], Image.Image.resize

    def noted(image, size, *arguments):
        made.append(size)
        return resize(image, size, *arguments)

    monkeypatch.setattr(Image.Image, "resize", noted)
    line = np.zeros((1, 100_000, 3), np.uint8)
    line[:, 49_990:50_010] = 200
    icon = fit_icon(line, (64, 64))
    assert icon.shape == (64, 64, 3) and (icon == 200).all()
    assert made == [(64, 64)]  # not 6,400,000 × 64


def test_an_array_is_a_set_of_icons(tmp_path):
    pictures = np.stack([flat(8, 12, i, i, i) for i in range(3)])
    icons = read_icons(pictures)
    np.testing.assert_array_equal(icons.pictures, pictures)
    assert icons.names == ["0", "1", "2"] and not icons.resized + icons.left_out
    smaller = read_icons(pictures, (6, 4))
    assert smaller.pictures.shape == (3, 4, 6, 3) and len(smaller.resized) == 3
    for wrong in (pictures / 255, pictures[0], pictures[..., :1]):
        with pytest.raises(ValueError, match=r"uint8 \(n, height, width, 3\)"):
            read_icons(wrong)
    with pytest.raises(ValueError, match="empty"):
        read_icons(pictures[:0])


def test_training_and_evaluation_see_the_same_colours(tmp_path):
    """Every colour under every alpha, against Pillow-free integer arithmetic."""
    colour, alpha = np.meshgrid(np.arange(256), np.arange(256))
    save(tmp_path / "a.png", np.dstack([colour, colour, colour, alpha]))
    exact = np.rint((colour * alpha + 255.0 * (255 - alpha)) / 255)
    np.testing.assert_array_equal(read_icons(tmp_path).pictures[0, ..., 0], exact)
