import cv2
import numpy as np
import pytest

import oppai
from illustkit.samples import draw_character
from oppai.censoring.regions import Region
from oppai.detection import solid
from oppai.detection.find_censored import find_censored
from oppai.detection.solid import (
    SOLID_CHANNELS,
    find_solid,
    hidden_pixels,
    solid_features,
    with_rim,
)
from oppai.detection.training import vary

SIZE = 300, 424
BARS = [(70, 150, 200, 230), (30, 60, 120, 170), (120, 210, 260, 330)]


@pytest.fixture(scope="module")
def character():
    return draw_character(11, SIZE).image


def censored(picture, box, kind):
    """A picture under a bar, or under white that fades out, and the share hidden."""
    left, top, right, bottom = box
    share = np.zeros(picture.shape[:2], np.float32)
    share[top:bottom, left:right] = 1
    if kind == "light":
        share = cv2.GaussianBlur(share, (0, 0), 5)
    colour = 0 if kind == "black" else 255
    mixed = picture + share[..., None] * (np.float32(colour) - picture)
    return np.rint(mixed).astype(np.uint8), share


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_features_are_means_of_the_pixels():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (192, 384, 3), np.uint8)
    picture[:40, :100] = 255
    picture[100:130, 200:300] = 3
    features, size = solid_features(picture)
    assert size == (192, 96) and features.shape == (192, 192, SOLID_CHANNELS)
    assert not features[96:].any() and (features[:96, :, 7] == 1).all()

    def means(a):
        return a.reshape(96, 2, 192, 2, -1).mean((1, 3)).squeeze()

    np.testing.assert_allclose(
        features[:96, :, :3], means(picture / 127.5 - 1), atol=0.6 / 127.5
    )
    white, black = (picture >= 250).all(2), (picture <= 8).all(2)
    np.testing.assert_allclose(features[:96, :, 3], means(white), atol=0.003)
    np.testing.assert_allclose(features[:96, :, 4], means(black), atol=0.003)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(int)
    x, y = np.zeros_like(grey), np.zeros_like(grey)
    x[:, 1:], y[1:] = np.diff(grey, axis=1), np.diff(grey, axis=0)
    some = np.maximum(np.abs(x), np.abs(y)) > 12
    np.testing.assert_allclose(features[:96, :, 5], means(some), atol=0.003)


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (700, 3), (192, 192), (60, 33)])
def test_odd_sizes_have_features(size):
    features, (columns, rows) = solid_features(np.full((*size, 3), 128, np.uint8))
    assert max(columns, rows) == 192 and min(columns, rows) >= 1
    assert features[..., 7].sum() == columns * rows
    assert hidden_pixels(np.full((*size, 3), 128, np.uint8)).shape == (rows, columns)


def test_pictures_vary_and_their_pixels_stay(character):
    before = character.copy()
    rng = np.random.default_rng(0)
    seen = [vary(character, rng) for _ in range(60)]
    np.testing.assert_array_equal(character, before)
    assert len({picture.shape for picture in seen}) > 10
    assert all(p.dtype == np.uint8 and p.shape[2] == 3 for p in seen)
    assert any((p == p[..., :1]).all() for p in seen)


@pytest.mark.parametrize(
    "kind, box",
    # White upon a pale dress is not sure to be a white-out.
    [("white", box) for box in BARS[:2]]
    + [(kind, box) for kind in ("black", "light") for box in BARS],
)
def test_what_hides_a_character_is_found(character, kind, box):
    picture, share = censored(character, box, kind)
    before = picture.copy()
    found = find_censored(picture)
    np.testing.assert_array_equal(picture, before)
    assert [region.kind for region in found.regions] == [kind]
    assert found.regions[0].grid is None
    assert iou(found.mask == 255, share > 0.5) > (0.8 if kind == "light" else 0.93)


def test_regions_share_no_pixel_and_make_up_the_mask(character):
    picture, share = censored(character, BARS[0], "white")
    picture, other = censored(picture, (40, 260, 180, 400), "black")
    found = find_censored(picture)
    assert {region.kind for region in found.regions} == {"white", "black"}
    count = np.zeros(share.shape, int)
    for region in found.regions:
        left, top, right, bottom = region.box
        count[top:bottom, left:right] += region.mask
    np.testing.assert_array_equal(count == 1, found.mask == 255)
    assert count.max() == 1 and iou(count > 0, share + other > 0.5) > 0.9


def test_regions_lie_where_the_mask_says(character):
    picture, share = censored(character, BARS[0], "black")
    (region,) = find_solid(picture)
    whole = np.zeros(share.shape, bool)
    whole[region.slices] = region.mask
    assert 0.5 < region.confidence < 1
    assert region.kind == "black" and iou(whole, share > 0.5) > 0.93


def drawn_cloud(seed):
    """A white cloud without an outline in a sky above hills."""
    rng = np.random.default_rng(seed)
    y = np.linspace(0, 1, SIZE[1])[:, None, None]
    sky = (1 - y) * np.array((90, 150, 230)) + y * np.array((190, 220, 250))
    picture = np.ascontiguousarray(sky.repeat(SIZE[0], 1).astype(np.uint8))
    for x in (40, 160, 270):
        colour = rng.integers(40, 170, 3).tolist()
        cv2.ellipse(picture, (x, SIZE[1]), (120, 90), 0, 0, 360, colour, -1)
    x, y = rng.integers((90, 80), (210, 180)).tolist()
    for _ in range(5):
        dx, dy, radius = rng.integers((-50, -12, 22), (50, 12, 46)).tolist()
        cv2.circle(picture, (x + dx, y + dy), radius, (255,) * 3, -1, cv2.LINE_AA)
    return picture


def drawn_window(seed):
    """A white window with a title and some lines over a colourful desk."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 220, (6, 8, 3), np.uint8)
    picture = cv2.resize(coarse, (512, 384), interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        x, y, radius = rng.integers((0, 0, 8), (512, 384, 50)).tolist()
        colour = rng.integers(0, 256, 3).tolist()
        cv2.circle(picture, (x, y), radius, colour, -1, cv2.LINE_AA)
    x, y = rng.integers((20, 20), (200, 100)).tolist()
    cv2.rectangle(picture, (x, y), (x + 280, y + 220), (255,) * 3, -1)
    cv2.rectangle(picture, (x, y), (x + 280, y + 18), (200, 200, 205), -1)
    for k, text in enumerate(("notes", "a line of text", "and one more")):
        cv2.putText(picture, text, (x + 8, y + 13 + 24 * k), 0, 0.4, (30,) * 3, 1)
    return picture


@pytest.mark.parametrize("seed", [32, 83, 213, 289, 383])
def test_nothing_is_found_in_drawn_characters(seed):
    assert not find_solid(draw_character(seed, (600, 848)).image)


@pytest.mark.parametrize("draw", [drawn_cloud, drawn_window])
@pytest.mark.parametrize("seed", range(3))
def test_white_things_are_no_white_out(draw, seed):
    assert not find_solid(draw(seed))


def test_soft_spots_on_one_colour_are_no_bars(monkeypatch):
    picture = np.full((400, 400, 3), (245, 245, 220), np.uint8)
    cv2.ellipse(picture, (200, 210), (150, 165), 0, 0, 360, (220, 30, 20), -1)
    cv2.line(picture, (200, 45), (200, 375), (0, 0, 0), 2)
    for spot in ((140, 190), (260, 190), (150, 290), (250, 290)):
        cv2.circle(picture, spot, 30, (0, 0, 0), -1, cv2.LINE_AA)
    picture[150:340, 40:360] = cv2.blur(picture, (17, 17))[150:340, 40:360]
    assert find_solid(picture) == []
    monkeypatch.setattr(solid, "is_drawn", lambda *of: False)
    assert {region.kind for region in find_solid(picture)} == {"black"}


@pytest.mark.parametrize("kind, widest", [("black", 4), ("light", 20)])
def test_the_rim_is_as_wide_as_what_fades(kind, widest):
    picture = np.full((240, 240, 3), (90, 120, 160), np.uint8)
    picture, share = censored(picture, (60, 70, 180, 150), kind)
    half = share > 0.5
    region = with_rim(picture, Region((0, 0, 240, 240), half, kind))
    assert region.kind == kind
    whole = np.zeros(half.shape, bool)
    whole[region.slices] = region.mask
    assert whole[share > 0.15].all()
    distance = cv2.distanceTransform((~half).astype(np.uint8), cv2.DIST_L2, 5)
    assert not whole[distance > widest].any()


def test_no_glow_is_left_where_light_was_restored():
    y, x = np.mgrid[:256, :256]
    stripes = ((x + y) // 24 % 2)[..., None]
    picture = np.where(stripes, (60, 110, 90), (150, 120, 90)).astype(np.uint8)
    seen, share = censored(picture, (80, 80, 180, 170), "light")
    assert seen.max() == 255
    restored = oppai.restore(seen)
    assert restored[share > 0.02].max() < 200
    np.testing.assert_array_equal(restored[share == 0][::7], seen[share == 0][::7])
