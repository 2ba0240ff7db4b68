import numpy as np
import pytest
from scipy import stats

from facescore.scorer.agreement import (
    agreement,
    bootstrap_interval,
    macro_mean_absolute_error,
    pearson,
    quadratic_kappa,
    ranks,
    spearman,
)
from facescore.scorer.evaluation import plot_distributions
from illustkit.images import read_image


def scores(n, seed=0, noise=0.8):
    rng = np.random.default_rng(seed)
    true = rng.integers(1, 6, n)
    return true, 3 + 0.6 * (true - 3) + rng.normal(0, noise, n)


def kappa_by_loops(true, predicted):
    rounded = [min(5, max(1, int(np.floor(p + 0.5)))) for p in predicted]
    seen = sum((t - p) ** 2 for t, p in zip(true, rounded, strict=True)) / len(true)
    chance = np.mean([(t - p) ** 2 for t in true for p in rounded])
    return 1 - seen / chance


def test_measures_against_scipy_and_loops():
    for seed in range(5):
        true, predicted = scores(40, seed)
        predicted[:7] = np.round(predicted[:7])  # ties
        assert pearson(true, predicted) == pytest.approx(
            stats.pearsonr(true, predicted).statistic, abs=1e-12
        )
        assert spearman(true, predicted) == pytest.approx(
            stats.spearmanr(true, predicted).statistic, abs=1e-12
        )
        assert np.array_equal(ranks(predicted), stats.rankdata(predicted))
        assert quadratic_kappa(true, predicted) == pytest.approx(
            kappa_by_loops(true, predicted), abs=1e-12
        )


def test_kappa_by_hand():
    # Two of four exact, two off by one: observed 2/4. Chance: all 16 pairs of
    # (1, 2, 3, 4) with (1, 3, 3, 3): 0+4+4+4, 1+1+1+1, 4, 9+1+1+1 = 32, over 16.
    assert quadratic_kappa([1, 2, 3, 4], [0.2, 2.5, 3.49, 3.0]) == 1 - 0.5 / 2
    assert quadratic_kappa([1, 5], [1, 5]) == 1
    assert quadratic_kappa([1, 5], [5, 1]) == -1
    assert np.isnan(quadratic_kappa([3, 3], [3, 3]))


def test_rare_scores_count_alike_in_the_macro_mean():
    # |errors| of the 3s: 0, 0, 0, 1, of the 5: 2. By hand: (1/4 + 2) / 2.
    true, predicted = [3, 3, 3, 3, 5], [3.0, 3.0, 3.0, 4.0, 3.0]
    assert macro_mean_absolute_error(true, predicted) == 1.125
    measure = agreement(true, predicted, resamples=20).measures["macro MAE"]
    assert measure.value == 1.125


def test_predictions_that_bunch_in_the_middle_are_counted():
    true = [1, 2, 2, 2, 5, 5]  # the middle is 2, of the lower half where it is even
    result = agreement(true, [1.5, 1.6, 2.4, 2.49, 2.5, 3.0], resamples=20)
    assert result.middle == (2, 4 / 6, 3 / 6)
    assert "67% of the predictions round to 2, 50% of the true" in str(result)


def test_the_constant_predictor_on_balanced_scores():
    true = np.repeat([1, 2, 3, 4, 5], 100)
    result = agreement(true, true + 0.25, resamples=20)
    constant = {name: e.constant for name, e in result.measures.items()}
    assert constant["MAE"] == pytest.approx(1.2)  # (2 + 1 + 0 + 1 + 2) / 5
    assert constant["RMSE"] == pytest.approx(np.sqrt(2))
    assert constant["kappa"] == 0
    assert np.isnan(constant["Pearson"]) and np.isnan(constant["Spearman"])
    assert result.measures["MAE"].value == result.measures["RMSE"].value == 0.25
    assert result.measures["Pearson"].value == pytest.approx(1)
    assert result.medians == {s: s + 0.25 for s in range(1, 6)} and result.rising
    assert result.counts == dict.fromkeys(range(1, 6), 100)
    assert agreement(true, true, constant=1, resamples=20).measures["MAE"].constant == 2


def test_intervals_against_scipy():
    skewed = np.random.default_rng(2).exponential(size=25)
    wanted = stats.bootstrap(
        (skewed,), np.var, n_resamples=20000, method="BCa", rng=5
    ).confidence_interval
    found = bootstrap_interval(np.var, (skewed,), resamples=20000)
    assert found.method == "BCa"
    assert found[:2] == pytest.approx(tuple(wanted), rel=0.03)
    plain = stats.bootstrap(
        (skewed,), np.var, n_resamples=20000, method="percentile", rng=5
    ).confidence_interval
    assert plain.high < 0.9 * found[1]  # so the corrections do something here

    true, predicted = scores(60, 3)
    wanted = stats.bootstrap(
        (true, predicted),
        lambda t, p: stats.spearmanr(t, p).statistic,
        paired=True,
        vectorized=False,
        n_resamples=1000,
        method="BCa",
        rng=8,
    ).confidence_interval
    found = bootstrap_interval(spearman, (true, predicted), resamples=1000)
    assert found[:2] == pytest.approx(tuple(wanted), abs=0.04)


def test_the_seed_decides():
    def interval(seed):
        return bootstrap_interval(np.var, ([1.0, 2, 5, 9],), resamples=30, seed=seed)

    assert interval(4) == interval(4) != interval(5)


def test_groups_are_drawn_together():
    """Every score four times over tells no more than once."""
    true, predicted = scores(30, 1)
    once = bootstrap_interval(spearman, (true, predicted), resamples=800)
    copies = np.repeat(true, 4), np.repeat(predicted, 4)
    names = np.repeat([f"{i}.png" for i in range(30)], 4)
    grouped = bootstrap_interval(spearman, copies, groups=names, resamples=800)
    alone = bootstrap_interval(spearman, copies, resamples=800)
    assert grouped[:2] == pytest.approx(once[:2], abs=0.04)
    assert np.ptp(alone[:2]) < 0.65 * np.ptp(once[:2])


def test_an_interval_without_bca_says_so():
    """Every error is the same, so that the acceleration of BCa is 0 over 0."""
    true = np.arange(40) % 5 + 1
    result = agreement(true, true + 0.25, resamples=50)
    assert result.measures["MAE"] == (0.25, 0.25, 0.25, 1.2, "percentile")
    assert result.measures["Spearman"].method == "percentile"
    assert "MAE          0.250  0.250 to 0.250*" in str(result)
    assert "BCa is not defined" in str(result)
    predicted = true + np.random.default_rng(0).normal(size=40)
    other = agreement(true, predicted, resamples=200)
    assert {estimate.method for estimate in other.measures.values()} == {"BCa"}
    assert "*" not in str(other)


def test_a_scorer_that_says_one_thing_only():
    true = [1, 2, 3, 4, 5, 5]
    result = agreement(true, np.full(6, 0.1) * 30, resamples=50)
    assert all(np.isnan(result.measures["Spearman"][:3]))
    assert not result.rising and result.spread == 0
    assert "NOT rising" in str(result) and "nan" not in str(result)
    assert "Spearman  undefined undefined" in str(result)


@pytest.mark.parametrize(
    "true, predicted, message",
    [
        ([1, 2], [1.0], "shapes"),
        ([1], [1.0], "two at least"),
        ([1, 2.5], [1.0, 2.0], r"one of \(1, 2, 3, 4, 5\).*2.5"),
        ([1, 2], [1.0, np.nan], "1 of 2"),
    ],
)
def test_what_is_no_score(true, predicted, message):
    with pytest.raises(ValueError, match=message):
        agreement(true, predicted)


def test_the_figure(tmp_path):
    true, predicted = scores(60)
    true[true == 4] = 3  # a score that does not occur
    predicted[true == 5] = 4.5  # one without variation
    path = tmp_path / "plots" / "distributions.png"
    figure = plot_distributions(true, predicted, path, bins=12)
    assert read_image(path).shape[1] > 1000
    *panels, violins, frequencies = [
        axis for sub in figure.subfigs for axis in sub.axes
    ]
    assert len(panels) == 5
    for axis, score in zip(panels, (5, 4, 3, 2, 1), strict=True):
        bars = sum(patch.get_height() for patch in axis.patches)
        assert bars == pytest.approx(float((true == score).any()))
        assert axis.get_title(loc="left").startswith(f"true {score}   n = ")
    assert len(violins.collections) == 3 + 1  # three violins, and the quartiles
    heights = [patch.get_height() for patch in frequencies.patches]
    given, predicted = np.split(np.array(heights), 2)
    assert given == pytest.approx([np.mean(true == s) for s in range(1, 6)])
    assert predicted.sum() == pytest.approx(1)
