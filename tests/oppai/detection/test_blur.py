import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter

from illustkit.samples import draw_character
from oppai.detection import blur
from oppai.detection.blur import (
    NAMES,
    BlurView,
    find_blurs,
    load_weights,
    marked_sigma,
    surrounded,
)
from oppai.detection.recognise import blurs_under

BOX = (60, 60, 220, 220)


def blurred(seed, filter, box=BOX):
    """Draw a character and blur a box of it with Pillow's filter."""
    truth = Image.fromarray(draw_character(seed, (300, 424)).image)
    soft = truth.filter(filter)
    picture = truth.copy()
    picture.paste(soft.crop(box), box[:2])
    return np.asarray(truth), np.asarray(picture)


def full(box):
    return np.ones((box[3] - box[1], box[2] - box[0]), bool)


@pytest.mark.parametrize(
    "filter, sigma",
    [
        (ImageFilter.GaussianBlur(4), 4),
        (ImageFilter.GaussianBlur(7), 7),
        (ImageFilter.GaussianBlur(12), 12),
        # The mean over 2·r + 1 pixels has the variance ((2·r + 1)² − 1) / 12.
        (ImageFilter.BoxBlur(9), (19**2 - 1) ** 0.5 / 12**0.5),
    ],
)
def test_the_strength_of_a_marked_blur_is_estimated(filter, sigma):
    estimates = [marked_sigma(blurred(k, filter)[1], BOX, full(BOX)) for k in range(4)]
    assert np.median(np.array(estimates, float)) == pytest.approx(sigma, rel=0.2)


def test_a_part_that_was_not_blurred_has_no_strength():
    for seed in range(4):
        picture = draw_character(seed, (300, 424)).image
        assert marked_sigma(picture, BOX, full(BOX)) is None


def test_a_part_of_one_colour_gets_a_cautious_strength():
    view = BlurView(np.full((64, 64, 3), 90, np.uint8))
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    assert view.estimate_sigma(view.gather(mask, view.weigh_samples())) == 4


def test_a_blur_is_found_where_it_is_and_none_in_the_clean_picture():
    for seed in (1, 3):
        truth, picture = blurred(seed, ImageFilter.GaussianBlur(6))
        (region,) = find_blurs(picture)
        assert region.kind == "blur" and region.confidence > 0.9
        hole = np.zeros(picture.shape[:2], bool)
        hole[BOX[1] : BOX[3], BOX[0] : BOX[2]] = True
        own = np.zeros_like(hole)
        own[region.slices] = region.mask
        assert (own & hole).sum() > 0.7 * (own | hole).sum()
        assert region.sigma == pytest.approx(6, rel=0.25)
        assert find_blurs(truth) == []


def test_shadows_and_gradients_are_no_blurs():
    picture = draw_character(2, (300, 424)).image
    shadow = np.zeros(picture.shape[:2], np.float32)
    cv2.ellipse(shadow, (150, 300), (110, 60), 20, 0, 360, 1, cv2.FILLED)
    shadow = cv2.GaussianBlur(shadow, (0, 0), 9)[..., None]
    assert find_blurs((picture * (1 - 0.6 * shadow)).astype(np.uint8)) == []
    slope = np.linspace(30, 220, 120).astype(np.uint8)
    picture[40:140, 90:210] = slope[:, None]
    assert find_blurs(picture) == []


def draw_fruit(seed):
    """A thing of soft spots in a thick outline."""
    rng = np.random.default_rng(seed)
    turn = np.linspace(0, 2 * np.pi, 200)
    radius = 150 * (1 + 0.12 * np.sin(2 * turn + rng.uniform(0, 6)))
    rim = 210 + np.rint(radius * (np.cos(turn), np.sin(turn))).T.astype(np.int32)
    body = np.tile(rng.uniform(120, 255, 3), (420, 420, 1))
    for _ in range(8):
        spot = np.zeros((420, 420), np.float32)
        x, y, size = rng.integers((130, 130, 15), (300, 300, 40)).tolist()
        cv2.circle(spot, (x, y), size, 0.8, cv2.FILLED)
        spot = cv2.GaussianBlur(spot, (0, 0), 12)[..., None]
        body += spot * (rng.integers(0, 256, 3) - body)
    picture = np.full((420, 420, 3), (220, 220, 240), np.uint8)
    inside = cv2.fillPoly(np.zeros((420, 420), np.uint8), [rim], 1) > 0
    picture[inside] = body[inside].astype(np.uint8)
    cv2.polylines(picture, [rim], True, (0, 0, 0), 9, cv2.LINE_AA)
    return picture


@pytest.mark.parametrize("seed", range(3))
def test_shading_within_an_outline_is_no_blur(seed, monkeypatch):
    picture = draw_fruit(seed)
    assert find_blurs(picture) == []
    # But for the edges that end at no rim, it would be one.
    monkeypatch.setattr(blur, "_ends_edges", lambda evidence: True)
    assert len(find_blurs(picture)) == 1


def test_a_large_picture_is_looked_at_shrunk_and_its_strength_told_in_its_pixels():
    _, picture = blurred(1, ImageFilter.GaussianBlur(6))
    large = cv2.resize(picture, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    assert BlurView(large).n == 2
    (region,) = find_blurs(large[:1800])
    assert region.mask.shape == (
        region.box[3] - region.box[1],
        region.box[2] - region.box[0],
    )
    assert region.sigma == pytest.approx(36, rel=0.35)


def test_marked_parts_are_told_apart():
    truth, picture = blurred(3, ImageFilter.GaussianBlur(6))
    hole = np.zeros(picture.shape[:2], bool)
    hole[60:220, 60:220] = True
    hole[300:380, 100:180] = True  # sharp
    (blur,), unknown = blurs_under(picture, hole, [])
    assert blur.kind == "blur" and blur.box == BOX
    assert unknown[300:380, 100:180].all() and unknown.sum() == 80 * 80
    nothing, unknown = blurs_under(truth, hole, [])
    assert nothing == [] and (unknown == hole).all()


def test_samples_are_the_greatest_steps_by_a_loop():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (150, 256, 3), np.uint8)
    maps = BlurView(picture).sample()
    assert maps.shape == (6, 75, 128)
    for row, column in ((0, 0), (10, 31), (74, 127)):
        greatest = 0
        for y in range(2 * row, 2 * row + 2):
            for x in range(2 * column, 2 * column + 2):
                window = picture[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
                greatest = max(greatest, np.ptp(window.reshape(-1, 3), axis=0).max())
        assert maps[0, row, column] == pytest.approx(np.log1p(float(greatest)) / 3)


def test_every_number_of_the_evidence_has_a_name_and_a_weight():
    view = BlurView(draw_character(0, (128, 128)).image)
    mask = np.zeros((128, 128), bool)
    mask[30:90, 40:100] = True
    log_odds = view.weigh_samples()
    evidence = view.gather(mask, log_odds)
    assert evidence.shape == (len(NAMES),) and np.isfinite(evidence).all()
    stored = load_weights()
    for name in ("overlaid", "marked", "sigma"):
        assert stored[f"{name}.w1"].shape[0] == len(NAMES)
    assert surrounded(view.sample()).shape == (*log_odds.shape, 48)
    assert evidence[NAMES.index("samples")] == pytest.approx(
        (cv2.resize(log_odds, (128, 128))[mask] > 0).mean()
    )


def test_something_dark_below_a_blur_is_not_hidden_by_black(monkeypatch):
    """Shares of a part as black would hide them, worked by hand."""
    _, picture = blurred(3, ImageFilter.GaussianBlur(6))
    hole = np.zeros(picture.shape[:2], bool)
    hole[60:220, 60:220] = True
    kinds = {}
    for share in (0.1, 0.4, 0.7):
        place = "oppai.detection.recognise._plain_share"
        monkeypatch.setattr(place, lambda picture, box, part, share=share: share)
        blurs, unknown = blurs_under(picture, hole, [])
        kinds[share] = [blur.kind for blur in blurs]
        assert not unknown.any()
    assert kinds == {0.1: ["blur"], 0.4: ["blur"], 0.7: []}
    # What is sharp is hidden by black from a share of .2 on, and else unknown.
    sharp = draw_character(3, (300, 424)).image
    for share, known in ((0.1, False), (0.4, True)):
        monkeypatch.setattr(place, lambda picture, box, part, share=share: share)
        blurs, unknown = blurs_under(sharp, hole, [])
        assert blurs == [] and unknown.any() != known
