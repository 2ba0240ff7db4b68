"""The packaged networks load and do better than what needs no training."""

from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from skimage.color import deltaE_ciede2000

import oppai
from illustkit.errors import UserError
from illustkit.images import read_image, uint8_to_lab
from illustkit.samples import HANDS, draw_character, draw_lines, draw_parts
from oppai.models.vgg import load_vgg_features
from oppai.translation.sketch import roughen
from oppai.translation.translate import WEIGHTS, load_translation

UNSEEN = range(2_000_000, 2_000_004)  # no training draws these seeds
SIZE = 96, 128


@pytest.fixture(scope="module")
def characters():
    return [draw_character(seed, SIZE, HANDS[seed % 2]).image for seed in UNSEEN]


def test_colours_are_nearer_than_grey_and_follow_a_hint(characters):
    model = load_translation("default", "colorize")
    before = after = 0.0
    for picture in characters:
        truth = uint8_to_lab(picture)
        grey = truth * [1, 0, 0]
        before += deltaE_ciede2000(truth, grey).mean()
        hints = {(x, y): picture[y, x] for x in (20, 48, 76) for y in (30, 60, 90)}
        found = oppai.colorize(picture, model, hints=hints)
        after += deltaE_ciede2000(truth, uint8_to_lab(found)).mean()
    assert after < before
    red = oppai.colorize(characters[0], hints={(48, 64): "#ff0000"})[64, 48]
    blue = oppai.colorize(characters[0], hints={(48, 64): "#0000ff"})[64, 48]
    assert int(red[0]) - red[2] > int(blue[0]) - blue[2] + 20


def test_lines_are_cleaner_than_the_rough():
    model = load_translation("default", "clean")
    before = after = 0.0
    for seed in UNSEEN:
        lines = draw_lines(seed, (192, 192)).astype(float)
        rough = roughen(lines.astype("uint8"), np.random.default_rng(seed))
        found = oppai.clean_sketch(np.dstack([rough] * 3), model)[..., 0]
        before += np.abs(rough - lines).mean()
        after += np.abs(found - lines).mean()
    assert after < 0.7 * before


def test_parts_are_told_apart():
    model = load_translation("default", "segment")
    found = np.zeros((4, 4), int)
    for seed in UNSEEN:
        parts = draw_parts(seed, SIZE)
        np.add.at(found, (parts, model(draw_character(seed, SIZE).image)), 1)
    both = np.diag(found)
    assert (both / (found.sum(0) + found.sum(1) - both)).mean() > 0.6


def test_holes_are_nearer_to_the_truth_than_telea_s(characters):
    gains = []
    for picture in characters:
        hole = np.zeros(picture.shape[:2], np.uint8)
        hole[40:76, 30:66] = 255
        seen = np.where(hole[..., None] > 0, np.uint8(255), picture)
        filtered = cv2.inpaint(seen, hole, 3, cv2.INPAINT_TELEA)
        found = oppai.complete(seen, mask=hole, feather=0)
        np.testing.assert_array_equal(found[hole == 0], picture[hole == 0])
        errors = [
            ((p[hole > 0].astype(float) - picture[hole > 0]) ** 2).mean()
            for p in (filtered, found)
        ]
        gains.append(10 * np.log10(errors[0] / errors[1]))
    assert np.mean(gains) > 0.5


def test_a_style_s_statistics_come_nearer_and_the_lines_stay(characters):
    vgg = load_vgg_features(taps=["relu1_1", "relu2_1", "relu3_1"])

    def statistics(picture):
        features = vgg(picture[None] / np.float32(127.5) - 1)
        return [
            np.stack([f.mean((0, 1, 2)), f.std((0, 1, 2))])
            for f in map(keras.ops.convert_to_numpy, features)
        ]

    def edges(picture):
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        return np.hypot(cv2.Sobel(grey, 5, 1, 0), cv2.Sobel(grey, 5, 0, 1)).ravel()

    ratios, kept = [], []
    for picture, style in zip(characters, characters[1:], strict=False):
        made = oppai.stylize(picture, style)
        wanted, before, after = map(statistics, (style, picture, made))
        squares = [
            [np.square(a - b).mean() for a, b in zip(s, wanted, strict=True)]
            for s in (before, after)
        ]
        ratios.append(np.divide(squares[1], squares[0]))
        kept.append(np.corrcoef(edges(picture), edges(made))[0, 1])
    assert (np.mean(ratios, 0) < 0.5).all() and min(kept) > 0.8
    same = oppai.stylize(characters[0], characters[1], strength=0)
    np.testing.assert_array_equal(same, characters[0])


@pytest.mark.parametrize("path", sorted(WEIGHTS.glob("*.npz")), ids=lambda p: p.name)
def test_files_are_small(path):
    assert path.stat().st_size < 8e6


def test_what_the_package_has_no_network_for_is_told():
    with pytest.raises(UserError, match="no network of the task 'pix2pix'"):
        load_translation("default", "pix2pix")


def test_the_guide_shows_a_small_picture_of_them():
    docs = Path(__file__).parents[3] / "docs"
    assert "images/translations.jpg" in (docs / "oppai.md").read_text("utf-8")
    picture = docs / "images" / "translations.jpg"
    assert picture.stat().st_size < 500_000
    height, width = read_image(picture).shape[:2]
    assert width > 4 * 168 and height > 6 * 200  # six rows of two pairs
