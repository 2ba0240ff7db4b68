import cv2
import numpy as np
import pytest

from oppai.censoring.regions import Region, region_at
from oppai.detection import overlay, segmenter
from oppai.detection.overlay import (
    NAMES,
    difference,
    gather_overlay_evidence,
    is_drawn,
    weigh_overlay,
)

SIZE = 240


def measured(picture, hole, kind="white"):
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    box = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    mask = hole[box[1] : box[3], box[0] : box[2]]
    evidence = gather_overlay_evidence(picture, Region(box, mask, kind), 3.0)
    assert evidence.shape == (len(NAMES),) and np.isfinite(evidence).all()
    return dict(zip(NAMES, evidence.tolist(), strict=True))


def shape(kind, size=SIZE):
    mask = np.zeros((size, size), np.uint8)
    if kind == "rectangle":
        mask[60:180, 80:170] = 1
    elif kind == "turned":
        corners = cv2.boxPoints(((120, 120), (110, 70), 30))
        cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1)
    elif kind == "ellipse":
        cv2.ellipse(mask, (120, 120), (70, 45), 20, 0, 360, 1, -1)
    else:
        for x, y in ((80, 120), (130, 100), (160, 130)):
            cv2.circle(mask, (x, y), 36, 1, -1)
    return mask > 0


def stripes():
    y, x = np.mgrid[:SIZE, :SIZE]
    there = ((x + y) // 12 % 2)[..., None]
    return np.where(there, (60, 110, 90), (190, 160, 120)).astype(np.uint8)


def test_a_rectangle_over_stripes_cuts_them():
    hole = shape("rectangle")
    picture = stripes()
    picture[hole] = 255
    found = measured(picture, hole)
    # 2 (120 + 90) pixels of rim meet a stripe every 12.
    assert np.expm1(found["edges along the rim, 3 pixels"]) == pytest.approx(35, abs=8)
    assert found["longest even part of the rim, 3 pixels"] < 0.1
    assert found["rectangle"] == pytest.approx(1, abs=0.01)
    assert found["rim along rows and columns"] > 0.85
    assert found["pixels of one colour"] == 1 and found["islands"] == 0
    assert found["area"] == pytest.approx(np.log(120 * 90 / SIZE**2), abs=1e-5)
    assert found["sharp rim"] > 0.7 and found["outline"] < 0.5
    assert found["same colour near"] == 0
    assert found["same colour elsewhere"] == pytest.approx(np.log(0.001), abs=1e-5)


def test_a_drawn_disc_has_an_outline_and_cuts_nothing():
    hole = np.zeros((SIZE, SIZE), np.uint8)
    cv2.circle(hole, (120, 120), 50, 1, -1)
    picture = np.full((SIZE, SIZE, 3), (120, 170, 230), np.uint8)
    line = cv2.dilate(hole, np.ones((7, 7), np.uint8)) > 0
    picture[line] = 20
    picture[hole > 0] = 255
    found = measured(picture, hole > 0)
    assert found["outline"] > 0.9 and found["dark beside"] > 0.9
    assert found["edges along the rim, 3 pixels"] == 0
    assert found["longest even part of the rim, 3 pixels"] == 1
    assert found["ellipse"] == pytest.approx(1, abs=0.01)


def test_what_ends_no_edge_is_drawn_and_so_is_a_light_with_an_outline():
    cut, spot = (
        gather_overlay_evidence(picture, region, 3.0)
        for region in [region_at((80, 60), np.ones((120, 90), bool), kind="black")]
        for picture in (stripes(), np.full((SIZE, SIZE, 3), 200, np.uint8))
    )
    assert not any(is_drawn(cut, kind) for kind in ("white", "light", "black"))
    assert is_drawn(spot, "black")
    lined = cut.copy()
    lined[NAMES.index("outline")] = 0.5
    assert is_drawn(lined, "light") and not is_drawn(lined, "white")


@pytest.mark.parametrize(
    "kind, rectangle, ellipse",
    [("rectangle", 1, 0.955), ("turned", 1, 0.955), ("ellipse", 0.785, 1)],
)
def test_forms_are_told_apart(kind, rectangle, ellipse):
    hole = shape(kind)
    picture = stripes()
    picture[hole] = 255
    found = measured(picture, hole)
    # A rectangle's moments are those of an ellipse of pi/3 times its area.
    assert found["rectangle"] == pytest.approx(rectangle, abs=0.04)
    assert found["ellipse"] == pytest.approx(ellipse, abs=0.01)
    assert found["its rectangle"] == pytest.approx(rectangle, abs=0.04)
    picture = stripes()
    picture[shape("cloud")] = 255
    cloud = measured(picture, shape("cloud"))
    assert cloud["solidity"] < found["solidity"]


def test_background_goes_on_beyond_a_region():
    picture = np.full((SIZE, SIZE, 3), 255, np.uint8)
    picture[10:40, 20:220] = 90
    found = measured(picture, shape("rectangle"))
    assert found["same colour near"] > 0.9
    white = (picture == 255).all(2)
    elsewhere = (white & ~shape("rectangle")).sum() / (~shape("rectangle")).sum()
    assert found["same colour elsewhere"] == pytest.approx(np.log(elsewhere), abs=0.03)
    assert found["area of one colour"] > 0.5  # more than the region


@pytest.mark.parametrize("blur", [0, 4, 8])
def test_the_width_of_a_soft_rim_is_measured(blur):
    share = shape("rectangle").astype(np.float32)
    share = cv2.GaussianBlur(share, (0, 0), blur) if blur else share
    picture = np.full((SIZE, SIZE, 3), 80, np.uint8)
    picture = np.rint(picture + share[..., None] * (255 - 80.0)).astype(np.uint8)
    found = measured(picture, share > 0.9 if blur else share > 0)
    width = SIZE * (np.exp(found["width of the rim"]) - 0.001)
    # From .9 to .3 of the white the rim of a Gaussian is 1.28 + .52 deviations wide.
    assert width == pytest.approx(max(1, 1.8 * blur), abs=max(1, 0.8 * blur))


def test_large_regions_are_measured_in_a_reduced_crop(monkeypatch):
    picture = cv2.resize(stripes(), (960, 960), interpolation=cv2.INTER_NEAREST)
    hole = cv2.resize(shape("rectangle").astype(np.uint8), (960, 960)) > 0
    picture[hole] = 255
    whole = measured(picture, hole)
    monkeypatch.setattr(overlay, "_LARGEST", 320)
    reduced = measured(picture, hole)
    for name in ("area", "rectangle", "ellipse", "solidity", "same colour elsewhere",
                 "edges along the rim, near", "difference, near"):  # fmt: skip
        assert reduced[name] == pytest.approx(whole[name], abs=0.15), name


@pytest.mark.parametrize("box", [(0, 0, 240, 240), (239, 0, 240, 240), (0, 0, 1, 1)])
def test_regions_of_any_form_have_evidence(box):
    hole = np.zeros((SIZE, SIZE), bool)
    hole[box[1] : box[3], box[0] : box[2]] = True
    found = measured(stripes(), hole)
    assert (found["rim at the picture's edge"] > 0) == (box[2:] != (1, 1))
    one = np.full((1, 1, 3), 255, np.uint8)
    assert measured(one, np.ones((1, 1), bool))["pixels of one colour"] == 1


def test_differences_are_those_of_the_channel_that_differs_most():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 9, 7, 3), np.uint8)
    np.testing.assert_array_equal(difference(a, b), np.abs(a.astype(int) - b).max(2))


def test_the_evidence_is_weighed_by_a_network(monkeypatch):
    rng = np.random.default_rng(1)
    mean, scale, w1 = rng.normal(size=3), rng.uniform(1, 2, 3), rng.normal(size=(3, 4))
    b1, w2, b2 = rng.normal(size=4), rng.normal(size=4), 0.5
    stored = {"mean": mean, "scale": scale, "w1": w1, "b1": b1, "w2": w2, "b2": b2}
    stored = {f"overlay.white.{name}": value for name, value in stored.items()}
    monkeypatch.setattr(overlay, "load_weights", lambda: stored)
    evidence = np.array([0.3, -40.0, 2.0])
    x = [max(-3, min(3, (evidence[k] - mean[k]) / scale[k])) for k in range(3)]
    by_hand = b2
    for j in range(4):
        by_hand += w2[j] * max(0, b1[j] + sum(x[k] * w1[k, j] for k in range(3)))
    assert weigh_overlay(evidence, "white") == pytest.approx(by_hand)


def test_the_weights_in_the_package_fit_the_evidence():
    weights = segmenter.load_weights()
    for kind in ("white", "black", "light"):
        assert weights[f"overlay.{kind}.mean"].shape == (len(NAMES),)
        assert weights[f"overlay.{kind}.w1"].shape == (len(NAMES), 80)
