import functools

import numpy as np
import pytest
from PIL import Image

from diffusion.network.model import Diffuser
from diffusion.sampling.editing import (
    check_row,
    inpaint_picture,
    interpolate,
    interpolate_pictures,
    write_row,
)
from diffusion.watermark import add_watermark, read_note
from illustkit.errors import UserError
from illustkit.images import read_image, write_image


@pytest.fixture(scope="module")
def two(icons):
    return [read_image(icons / f"{i}.png") for i in (0, 1)]


@pytest.fixture(scope="module")
def mask():
    mask = np.zeros((16, 16), np.uint8)
    mask[4:10, 2:9] = 255
    mask[0, 0], mask[0, 1] = 127, 128
    return mask


def signed(picture):
    return picture[None].astype("float32") / 127.5 - 1


def test_the_row_leads_from_one_picture_to_the_other(model, icons, two):
    paths = icons / "0.png", icons / "1.png"
    row = interpolate_pictures(model, *paths, n=3, t=12, steps=4, seed=5)
    assert row.shape == (5, 16, 16, 3) and row.dtype == np.uint8
    np.testing.assert_array_equal(row[[0, -1]], two)
    np.testing.assert_array_equal(
        interpolate_pictures(model, *two, n=3, t=12, steps=4, seed=5), row
    )
    for i, weight in enumerate((0.25, 0.5, 0.75), start=1):
        alone = interpolate(
            model.denoiser(),
            *map(signed, two),
            model.schedule,
            objective="v",
            weight=weight,
            rng=[np.random.default_rng(5)],
            t=12,
            steps=4,
            self_condition=True,
        )
        expected = np.round((np.clip(alone[0], -1, 1) + 1) * 127.5)
        assert np.abs(row[i] - expected).max() <= 1
    # The less noise, the less of the pictures is lost, and t may be the first.
    near = interpolate_pictures(model, *two, n=1, t=0, steps=4)[1].astype(int)
    mean = np.mean(two, axis=0)
    assert np.abs(near - mean).mean() < 15 < np.abs(row[2] - mean).mean()


def test_what_is_kept_is_kept_bit_for_bit(model, icons, two, mask, tmp_path):
    write_image(tmp_path / "mask.png", mask)
    options = {"n": 2, "steps": 5, "jump_n_sample": 2, "seed": 5}
    made = inpaint_picture(model, icons / "0.png", tmp_path / "mask.png", **options)
    assert made.shape == (2, 16, 16, 3) and made.dtype == np.uint8
    new = mask >= 128
    assert new.sum() == 6 * 7 + 1
    for version in made:
        np.testing.assert_array_equal(version[~new], two[0][~new])
        assert np.abs(version[new].astype(int) - two[0][new]).mean() > 5
    assert (made[0][new] != made[1][new]).any()
    for marks in mask, mask >= 128:
        again = inpaint_picture(model, two[0], marks, **options)
        np.testing.assert_array_equal(again, made)
    first = inpaint_picture(model, two[0], mask, **{**options, "n": 1})
    assert np.abs(first[0].astype(int) - made[0]).max() <= 1
    one_step = inpaint_picture(model, two[0], mask, steps=1)
    np.testing.assert_array_equal(one_step[0][~new], two[0][~new])


def test_a_larger_picture_is_fitted_with_its_mask(model, two, mask):
    def double(picture):
        return picture.repeat(2, axis=0).repeat(2, axis=1)

    made = inpaint_picture(model, double(two[0]), double(mask), steps=2)
    kept = mask < 1
    inner = np.zeros_like(kept)
    inner[12:, 12:] = True  # far from the mask, whose edges are smoothed
    from diffusion.icons import fit_icon

    expected = fit_icon(double(two[0]), (16, 16))
    np.testing.assert_array_equal(made[0][kept & inner], expected[kept & inner])


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_pictures(slim, tmp_path, channels):
    network = {"image_size": (16, 16), "dim": 8, "channels": channels}
    free = Diffuser(network, timesteps=20)
    rng = np.random.default_rng(0)
    picture = rng.integers(1, 256, (16, 16, channels), dtype=np.uint8)
    Image.fromarray(picture.squeeze()).save(tmp_path / "a.png")
    row = interpolate_pictures(free, tmp_path / "a.png", picture, n=1, steps=2)
    np.testing.assert_array_equal(row[[0, 2]], [picture, picture])
    mask = np.tile(np.uint8([0, 255]), (16, 8))
    made = inpaint_picture(free, tmp_path / "a.png", mask, steps=2)
    np.testing.assert_array_equal(made[0][:, ::2], picture[:, ::2])
    assert (made[0][:, 1::2] != picture[:, 1::2]).mean() > 0.5


def test_a_row_is_marked_but_for_what_was_given(model, two, tmp_path):
    pictures = np.stack([two[0], two[1], two[0]])
    write_row(tmp_path / "row.png", pictures, watermark="AI", given=(0, -1))
    assert read_note(tmp_path / "row.png") == "AI"
    row = read_image(tmp_path / "row.png")
    assert row.shape == (2 + 18, 2 + 3 * 18, 3)
    cells = [row[2:18, 2 + 18 * i : 18 + 18 * i] for i in range(3)]
    np.testing.assert_array_equal(cells[0], two[0])
    np.testing.assert_array_equal(cells[1], add_watermark(two[1], "AI", opacity=0.35))
    np.testing.assert_array_equal(cells[2], two[0])
    np.testing.assert_array_equal(pictures[1], two[1])
    write_row(tmp_path / "plain.png", pictures, watermark=None)
    assert read_note(tmp_path / "plain.png") is None
    np.testing.assert_array_equal(
        read_image(tmp_path / "plain.png")[2:18, 20:36], two[1]
    )


def test_a_row_s_file_is_checked_before_the_pictures_are_made(model, tmp_path):
    (tmp_path / "folder.png").mkdir()
    row = functools.partial(check_row, model=model, n=9)
    for name in ("a.xyz", "a.gif", "a.bmp", "a", "folder.png"):
        with pytest.raises(UserError, match=name):
            row(tmp_path / name)
        with pytest.raises(UserError, match=name):
            write_row(tmp_path / name, np.zeros((2, 16, 16, 3), np.uint8))
    row(tmp_path / "a.bmp", watermark=None)
    row(tmp_path / "a.jpg")
    with pytest.raises(UserError, match="16383"):
        row(tmp_path / "a.webp", n=1000)  # of 18 pixels each
    with pytest.raises(UserError, match="opacity=2"):
        row(tmp_path / "a.png", opacity=2)
    with pytest.raises(UserError, match="none.ttf"):
        row(tmp_path / "a.png", font="none.ttf")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.png"]


def test_more_steps_than_timesteps_are_no_default(model, two, mask):
    # 50 by default, of a model of 20 timesteps.
    assert interpolate_pictures(model, *two, n=1).shape == (3, 16, 16, 3)
    few = {"jump_n_sample": 1}
    expected = inpaint_picture(model, two[0], mask, steps=20, **few)
    np.testing.assert_array_equal(inpaint_picture(model, two[0], mask, **few), expected)


def test_mistakes_are_named(model, two, mask, tmp_path):
    def said(function, *arguments, **options):
        with pytest.raises(ValueError) as error:
            function(model, *arguments, **options)
        assert "\n" not in str(error.value)
        return str(error.value)

    missing = tmp_path / "nowhere.png"
    assert str(missing) in said(interpolate_pictures, missing, two[1])
    assert "Received: 0" in said(interpolate_pictures, *two, n=0)
    assert "at most 19. Received: 20" in said(interpolate_pictures, *two, t=20)
    assert "`t` must" in said(interpolate_pictures, *two, t=-1)
    assert "`steps` must" in said(interpolate_pictures, *two, steps=0)
    assert "`seed` must" in said(interpolate_pictures, *two, seed=-1)
    assert "`seed` must" in said(inpaint_picture, two[0], mask, seed=-1)
    assert "`jump_length` must" in said(inpaint_picture, two[0], mask, jump_length=0)
    assert "3 channels" in said(interpolate_pictures, two[0][..., :1], two[1])
    assert "uint8" in said(interpolate_pictures, two[0] / 255, two[1])
    assert str(missing) in said(inpaint_picture, missing, mask)
    assert str(missing) in said(inpaint_picture, two[0], missing)
    assert "black everywhere" in said(inpaint_picture, two[0], 0 * mask)
    assert "16x16. Received: uint8, 8x16" in said(inpaint_picture, two[0], mask[:, :8])
    assert "largest value is 1" in said(inpaint_picture, two[0], mask // 255)
    assert "Received: float64" in said(inpaint_picture, two[0], mask / 255)
    assert "Received: 0" in said(inpaint_picture, two[0], mask, n=0)
    assert "at most 20. Received: 21" in said(inpaint_picture, two[0], mask, steps=21)
    assert "Received: 0" in said(inpaint_picture, two[0], mask, steps=0)
