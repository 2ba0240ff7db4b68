"""How well predicted scores agree with a person's, beside a predictor that never looks.

All of it is NumPy. Scores are whole numbers from 1 to 5, predictions any numbers.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from facescore.scorer.data import SCORES

_NORMAL = NormalDist()


def bootstrap_interval(
    measure, columns, *, groups=None, resamples=2000, level=0.95, seed=0
):
    """Interval of a measure by the BCa bootstrap (bias-corrected and accelerated).

    Resamples on which the measure is not defined (nan) are left out.

    Example:
    ```python
    low, high = bootstrap_interval(spearman, (true, predicted), seed=1)
    ```

    Args:
        measure: Function from the columns to a float.
        columns: Arrays of one length, drawn by the same indices.
        groups: A label a row; rows with the same label are drawn together. Defaults to
            every row by itself.
        resamples: Number of resamples. Defaults to 2000.
        level: Probability of the interval. Defaults to 0.95.
        seed: Seed of the draws. Defaults to 0.

    Returns:
        `(low, high)`; nan where the measure is not defined on half of the resamples.

    Raises:
        ValueError: for an option out of its range, or labels that do not pair up.

    Reference:
        Efron, Better Bootstrap Confidence Intervals, 1987, section 6.
    """
    columns = [np.asarray(column) for column in columns]
    if resamples < 10 or not 0 < level < 1:
        raise ValueError(
            "resamples must be 10 or more, level between 0 and 1. "
            f"Received: resamples={resamples}, level={level}"
        )
    rows = _rows(len(columns[0]), groups)
    rng = np.random.default_rng(seed)
    value = measure(*columns)

    def of(chosen):
        index = (
            np.concatenate([rows[i] for i in chosen]) if groups is not None else chosen
        )
        return measure(*(column[index] for column in columns))

    n = len(rows)
    drawn = np.array([of(rng.integers(n, size=n)) for _ in range(resamples)])
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or len(drawn) <= resamples / 2:
        return float("nan"), float("nan")
    # Equal values count half: measures of whole numbers come in steps.
    below = (np.mean(drawn < value) + np.mean(drawn <= value)) / 2
    left_out = np.array([of(np.delete(np.arange(n), i)) for i in range(n)])
    tail = (1 - level) / 2
    ends = [_corrected(p, below, left_out) for p in (tail, 1 - tail)]
    low, high = np.quantile(drawn, ends)
    return float(low), float(high)


def _corrected(probability, below, left_out):
    """The share of the resamples at which an end of the BCa interval lies.

    Args:
        probability: The end wanted, such as 0.025.
        below: Share of the resamples below the measure itself.
        left_out: Jackknife values, the measure without one row each.
    """
    if not 0 < below < 1:
        return probability
    steps = np.nanmean(left_out) - left_out[np.isfinite(left_out)]
    square = (steps**2).sum()
    # Equation 6.6: the skewness of the jackknife over six.
    acceleration = (steps**3).sum() / (6 * square**1.5) if square > 0 else 0.0
    bias = _NORMAL.inv_cdf(below)
    moved = bias + _NORMAL.inv_cdf(probability)
    return _NORMAL.cdf(bias + moved / (1 - acceleration * moved))


def _rows(n, groups):
    """Row numbers of every group, or the rows themselves."""
    if groups is None:
        return np.arange(n)
    groups = np.asarray(groups)
    if groups.shape != (n,):
        raise ValueError(
            f"There must be a group a row. Received: {groups.shape}, {n} rows"
        )
    _, inverse = np.unique(groups, return_inverse=True)
    rows = np.split(
        np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1]
    )
    if len(rows) < 2:
        raise ValueError("There must be two groups at least. Received: 1")
    return rows


class Estimate(NamedTuple):
    """One measure of agreement.

    Args:
        value: The measure on all pictures.
        low: Lower end of its interval.
        high: Upper end of its interval.
        constant: What the constant predictor reaches; nan where it is not defined.
    """

    value: float
    low: float
    high: float
    constant: float


@dataclass(frozen=True)
class Agreement:
    """What `agreement` found.

    Attributes:
        measures: Dict from a name ("MAE", "RMSE", "Pearson", "Spearman", "kappa") to
            its `Estimate`.
        constant: What the constant predictor always says.
        medians: Dict from each true score that occurs to the median prediction.
        counts: Dict from each true score that occurs to its number of pictures.
        spread: Standard deviation of the predictions over that of the true scores;
            well under 1 where they bunch in the middle.
        level: Probability of the intervals.
    """

    measures: dict
    constant: float
    medians: dict
    counts: dict
    spread: float
    level: float

    @property
    def rising(self):
        """Whether the medians go up with every true score."""
        return bool((np.diff(list(self.medians.values())) > 0).all())

    def __str__(self):
        head = f"{self.level:.0%} interval", f"always {self.constant:.2f}"
        lines = [f"{'':<10}{'value':>8}  {head[0]:<20}{head[1]:>12}"]
        for name, (value, low, high, constant) in self.measures.items():
            span = f"{low:.3f} to {high:.3f}"
            lines.append(f"{name:<10}{value:8.3f}  {span:<20}{constant:12.3f}")
        medians = "  ".join(f"{s}: {m:.2f}" for s, m in self.medians.items())
        rising = "rising" if self.rising else "NOT rising"
        lines.append(f"medians   {medians} ({rising})")
        return "\n".join([*lines, f"spread    {self.spread:.2f} of the true scores'"])


def agreement(
    true, predicted, *, constant=None, groups=None, resamples=2000, level=0.95, seed=0
):
    """Compare predicted scores with true ones by five measures.

    Intervals are BCa bootstrap intervals (bias-corrected and accelerated) over
    pictures, the same for the same `seed`.

    Example:
    ```python
    result = agreement(true, predicted)
    print(result)
    result.measures["Spearman"].low
    ```

    Args:
        true: The person's scores, whole numbers 1 to 5, `(n,)`.
        predicted: The scorer's, any finite numbers, `(n,)`.
        constant: What the constant predictor says, best the mean of the scores trained
            on. Defaults to the mean of `true`.
        groups: What belongs together and is drawn together, such as the name of the
            picture that several faces are from. Defaults to every score by itself.
        resamples: Bootstrap resamples. Defaults to 2000.
        level: Probability of the intervals. Defaults to 0.95.
        seed: Seed of the resampling. Defaults to 0.

    Returns:
        An `Agreement`.

    Raises:
        ValueError: for arrays that do not pair up, fewer than two scores, a true score
            that is none, or a prediction that is not finite.

    Reference:
        Efron, Better Bootstrap Confidence Intervals, 1987.
    """
    true, predicted = checked(true, predicted)
    constant = float(true.mean()) if constant is None else float(constant)
    flat = np.full(len(true), constant)
    measures = {}
    for name, measure in MEASURES.items():
        interval = bootstrap_interval(
            measure,
            (true, predicted),
            groups=groups,
            resamples=resamples,
            level=level,
            seed=seed,
        )
        measures[name] = Estimate(
            measure(true, predicted), *interval, measure(true, flat)
        )
    there = [score for score in SCORES if (true == score).any()]
    spread = true.std()
    return Agreement(
        measures=measures,
        constant=constant,
        medians={s: float(np.median(predicted[true == s])) for s in there},
        counts={s: int((true == s).sum()) for s in there},
        spread=float(predicted.std() / spread) if spread else float("nan"),
        level=level,
    )


def mean_absolute_error(true, predicted):
    """Mean of |predicted - true|, in points."""
    return float(np.abs(np.subtract(predicted, true)).mean())


def root_mean_square_error(true, predicted):
    """Root of the mean squared difference, in points."""
    return float(np.sqrt(np.square(np.subtract(predicted, true)).mean()))


def pearson(true, predicted):
    """Linear correlation, -1..1; nan where one side is constant."""
    x, y = np.asarray(true, np.float64), np.asarray(predicted, np.float64)
    # A mean of equal numbers may miss them by a rounding, and that is no variation.
    if (x == x[0]).all() or (y == y[0]).all():
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    x, y = x / np.sqrt(x @ x), y / np.sqrt(y @ y)
    return float(np.clip(x @ y, -1, 1))


def spearman(true, predicted):
    """Rank correlation, -1..1, equal values sharing their mean rank; nan as above."""
    return pearson(ranks(true), ranks(predicted))


def ranks(values):
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def quadratic_kappa(true, predicted, scores=SCORES):
    """Cohen's kappa with quadratic weights, predictions rounded to the nearest score.

    1 is full agreement, 0 what chance gives with these frequencies; nan where chance
    leaves nothing to disagree on. Halves are rounded up.

    Args:
        true: Whole scores `(n,)`.
        predicted: Any numbers `(n,)`; those beyond the scale count as its ends.
        scores: The scale, rising by 1. Defaults to 1 to 5.

    Returns:
        float, at most 1.

    Reference:
        Cohen, Weighted kappa, 1968.
    """
    size = len(scores)
    rows = np.asarray(true, np.int64) - scores[0]
    rounded = np.floor(np.asarray(predicted, np.float64) + 0.5)
    columns = np.clip(rounded - scores[0], 0, size - 1).astype(np.int64)
    seen = np.bincount(rows * size + columns, minlength=size * size)
    seen = seen.reshape(size, size) / len(rows)
    by_chance = np.outer(seen.sum(axis=1), seen.sum(axis=0))
    weights = np.subtract.outer(np.arange(size), np.arange(size)) ** 2
    chance = (weights * by_chance).sum()
    if not chance:
        return float("nan")
    return float(1 - (weights * seen).sum() / chance)


MEASURES = {
    "MAE": mean_absolute_error,
    "RMSE": root_mean_square_error,
    "Pearson": pearson,
    "Spearman": spearman,
    "kappa": quadratic_kappa,
}


def checked(true, predicted):
    """True and predicted scores as float64 `(n,)`, or `ValueError`."""
    true = np.asarray(true, np.float64)
    predicted = np.asarray(predicted, np.float64)
    if true.ndim != 1 or true.shape != predicted.shape or len(true) < 2:
        raise ValueError(
            "There must be a prediction a score, and two at least. "
            f"Received: shapes {true.shape} and {predicted.shape}"
        )
    if strange := sorted(set(true[~np.isin(true, SCORES)].tolist()))[:5]:
        raise ValueError(f"A true score is one of {SCORES}. Received: {strange}")
    if not np.isfinite(predicted).all():
        n = np.count_nonzero(~np.isfinite(predicted))
        raise ValueError(
            f"Predictions have to be finite. Received: {n} of {len(predicted)} that "
            "are not"
        )
    return true, predicted
