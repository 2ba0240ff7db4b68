import numpy as np
import pytest
from scipy import stats

from facescore.boxes import Face
from facescore.scorer.evaluation import framing_share, stability


class Scorer:
    """Scores crops by a function of each."""

    image_size, margin, square = (24, 24), (0.3, 0.15, 0.0), True

    def __init__(self, judge):
        self.judge = judge

    def predict_scores(self, crops):
        assert crops.shape[1:] == (24, 24, 3) and crops.dtype == np.uint8
        return np.array([self.judge(crop) for crop in crops])


def pictures(n=20, light=None):
    """Faces of one brightness each on black, of many sizes and places."""
    rng = np.random.default_rng(4)
    made = []
    for _ in range(n):
        image = np.zeros((80, 100, 3), np.uint8)
        side, bright = rng.integers(16, 40), rng.integers(60, 250)
        x, y = rng.integers(0, 100 - side), rng.integers(0, 80 - side)
        image[y : y + side, x : x + side] = light(side) if light else bright
        made.append((image, [Face((x, y, x + side, y + side))]))
    return made


def test_a_scorer_of_faces_and_a_scorer_of_margins():
    by_face = stability(
        pictures(), scorer=Scorer(lambda crop: crop[11:14, 11:14].mean() / 50)
    )
    assert list(by_face.shifts) == [
        *("margin x0.5", "margin x1.5", "box x0.9", "box x1.1"),
        *("picture x0.5", "picture x2"),
        *("JPEG quality 90", "JPEG quality 60", "JPEG quality 30"),
    ]
    assert all(s.absolute < 0.06 for s in by_face.shifts.values())
    assert all(s.order > 0.98 for s in by_face.shifts.values())
    assert by_face.spread > 0.5 and by_face.faces == 20

    # Black at the rim of the crop: nothing but the margin.
    by_margin = stability(
        pictures(), scorer=Scorer(lambda crop: (crop.max(axis=-1) < 30).mean() * 5)
    )
    tight, wide = by_margin.shifts["margin x0.5"], by_margin.shifts["margin x1.5"]
    assert tight.mean < -0.3 < 0.3 < wide.mean
    assert by_margin.shifts["margin x1.5"].relative > 2
    assert by_margin.shifts["picture x0.5"].absolute < 0.4
    assert "margin x1.5" in str(by_margin)


def test_the_shift_by_hand():
    """A score that counts crops: each variant of the face scores one more."""
    count = iter(range(100))
    image = np.full((40, 40, 3), 9, np.uint8)
    scorer = Scorer(lambda crop: next(count))
    result = stability(
        [(image, [(5, 5, 20, 20), (10, 10, 30, 30)])],
        scorer=scorer,
        margins=(2.0,),
        boxes=(),
        scales=(),
        qualities=(50,),
    )
    # Plain 0, 1; margin 2, 3; JPEG 4, 5.
    assert result.shifts["margin x2"] == pytest.approx((2, 2, 2, 4, 1))
    assert result.shifts["JPEG quality 50"] == pytest.approx((4, 4, 4, 8, 1))
    assert result.spread == 0.5 and np.isnan(result.framing)


def test_the_box_goes_with_the_picture():
    """Scaled to an odd size, the crop still shows the same."""
    (image, faces), *_ = pictures(1)
    seen = []
    scorer = Scorer(lambda crop: seen.append(crop) or 3.0)
    stability(
        [(image, faces * 2)],
        scorer=scorer,
        margins=(),
        boxes=(),
        scales=(0.73, 3),
        qualities=(),
    )
    plain, small, large = seen[0], seen[2], seen[4]
    for other in (small, large):
        assert np.abs(plain.astype(int) - other).mean() < 8


def test_framing_share():
    rng = np.random.default_rng(0)
    framings = rng.normal(size=(40, 5))
    scores = framings[:, 0] + rng.normal(size=40)
    # The adjusted R² by the F statistic of the regression, with scipy's solver.
    from scipy.linalg import lstsq

    design = np.column_stack([np.ones(40), framings])
    left = scores - design @ lstsq(design, scores)[0]
    wanted = 1 - left.var(ddof=6) / scores.var(ddof=1)
    assert framing_share(framings, scores) == pytest.approx(wanted)
    noise = [framing_share(framings, rng.normal(size=40)) for _ in range(30)]
    assert np.median(noise) < 0.05
    assert stats.pearsonr(framings[:, 0], scores).statistic > 0.5
    # Larger faces are brighter here, so that size alone tells the score.
    scorer = Scorer(lambda crop: crop[11:14, 11:14].mean() / 50)
    by_size = stability(pictures(30, lambda side: 5 * side), scorer=scorer)
    assert by_size.framing > 0.95
    assert stability(pictures(30), scorer=scorer).framing < 0.4


def test_no_faces():
    with pytest.raises(ValueError, match="two faces"):
        stability([(np.zeros((9, 9, 3), np.uint8), [])], scorer=Scorer(np.mean))
