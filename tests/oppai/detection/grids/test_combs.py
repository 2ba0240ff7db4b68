import cv2
import numpy as np
import pytest
from PIL import Image

from oppai.detection.grids.combs import (
    bank_scores,
    best_comb,
    comb_bank,
    comb_score,
    fit_comb,
    on_comb,
    same_lines,
)


def lines_of(length, n, program):
    """Return at which pixels a program that enlarges `n` pixels begins a new one."""
    small = np.arange(n, dtype=np.uint8)[None]
    if program == "opencv":
        large = cv2.resize(small, (length, 1), interpolation=cv2.INTER_NEAREST)
    else:
        large = Image.fromarray(small).resize((length, 1), Image.Resampling.NEAREST)
    row = np.asarray(large)[0].astype(int)
    return np.flatnonzero(np.diff(row, prepend=-1))


# OpenCV takes the pixel under a pixel's corner, Pillow the one under its middle.
@pytest.mark.parametrize("program, origin", [("opencv", 0.5), ("pillow", 0.0)])
@pytest.mark.parametrize("length, n", [(160, 15), (141, 13), (97, 18), (120, 12)])
def test_lines_lie_where_programs_draw_them(length, n, program, origin):
    on = on_comb(np.arange(length), length / n, origin - 1e-6)
    np.testing.assert_array_equal(np.flatnonzero(on), lines_of(length, n, program))


def test_comb_score_is_the_fraction_of_the_steps_on_the_comb_less_chance():
    profile = np.array([0, 2, 1, 0, 0, 2, 0, 0, 0, 1], float)
    # On the comb of block 4 from 1: 2 + 2 + 1 of 6; by chance a quarter.
    assert comb_score(profile, 4, 1) == pytest.approx((5 / 6 - 1 / 4) / (3 / 4))
    assert comb_score(np.ones(24), 4, 2) == pytest.approx(0)
    assert comb_score(np.eye(1, 24, 6)[0], 4, 2) == pytest.approx(1)


def test_a_bank_scores_as_the_combs_one_by_one():
    rng = np.random.default_rng(0)
    profiles = rng.random((3, 36)).astype(np.float32)
    scores, keys = bank_scores(profiles, 5, 9)
    chosen = rng.choice(len(keys), 20, replace=False)
    for row, profile in zip(scores, profiles, strict=True):
        expected = [comb_score(profile, *keys[k]) for k in chosen]
        np.testing.assert_allclose(row[chosen], expected, atol=1e-5)


def test_a_bank_holds_a_comb_near_every_block_and_origin():
    combs, keys = comb_bank(72, 8, 18)
    rng = np.random.default_rng(1)
    for block, origin in zip(
        rng.uniform(8, 18, 40), rng.uniform(0, 8, 40), strict=True
    ):
        lines = on_comb(np.arange(72), block, origin)
        hits = combs[lines].sum(0)
        assert hits.max() >= 0.74 * lines.sum()
    assert set(range(8, 19)) <= set(keys[:, 0])


@pytest.mark.parametrize("length, n", [(320, 30), (300, 41), (407, 31)])
def test_a_comb_of_a_window_is_fitted_to_the_whole_profile(length, n):
    block, rng = length / n, np.random.default_rng(n)
    profile = 0.3 * (rng.random(length) < 0.1)
    profile[lines_of(length, n, "opencv")] = 2
    middle = block * (n // 2) + 0.5
    fitted = fit_comb(profile, block * 1.01, middle + 0.6, 6 * block)
    assert fitted[0] == pytest.approx(block, rel=1e-3)
    hits = on_comb(lines_of(length, n, "opencv"), *fitted)
    assert hits.mean() > 0.97


def test_a_comb_of_whole_pixels_is_taken_where_it_explains_as_much():
    profile = np.zeros(60)
    profile[4::12] = 1  # five lines: blocks of 11.9 to 12.1 pixels lie there as well
    block, origin = fit_comb(profile, 11.95, 28.3, 48)
    assert (block, origin % 12) == (12, 4)


@pytest.mark.parametrize("length, n", [(160, 15), (230, 21), (500, 38)])
def test_the_best_comb_is_found_with_nothing_known(length, n):
    profile = np.full(length, 0.05)
    profile[lines_of(length, n, "opencv")] = 3
    block, _, score = best_comb(profile)
    assert block == pytest.approx(length / n, rel=5e-3)
    assert score > 0.8


def test_too_short_a_profile_has_no_comb():
    assert best_comb(np.ones(11)) == (4, 0, 0)


def test_combs_with_the_same_lines_are_one():
    assert same_lines(60, (12, 4), (12.02, 3.95))
    assert not same_lines(60, (12, 4), (12, 5))
    assert not same_lines(600, (12, 4), (12.02, 3.95))
