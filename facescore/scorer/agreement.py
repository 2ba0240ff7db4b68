"""Measure how well predicted scores agree with a person's, and a constant's beside it.

Scores are whole numbers from 1 to 5, predictions any numbers.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from facescore.scorer.ratings import SCORES
from illustkit.errors import UserError

BCA, PERCENTILE, UNDEFINED = "BCa", "percentile", "undefined"


class Interval(NamedTuple):
    """A bootstrap interval.

    Args:
        low: Lower end.
        high: Upper end.
        method: "BCa", "percentile" where BCa is not defined, or "undefined".
    """

    low: float
    high: float
    method: str


def bootstrap_interval(
    measure: Callable[..., float],
    columns: Sequence[Any],
    *,
    groups: Any = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Compute an interval of a measure by the BCa bootstrap.

    `scipy.stats.bootstrap` draws rows; it has no groups, so that it draws the groups'
    numbers here. Resamples on which the measure is not defined (nan) are left out. If
    BCa (bias-corrected and accelerated) is not defined, since all values are equal for
    example, the percentiles of the resamples are returned, and `method` says so.

    Example:
    ```python
    low, high, method = bootstrap_interval(spearman, (true, predicted), seed=1)
    ```

    Args:
        measure: Function from the columns to a float.
        columns: Arrays of one length, drawn by the same indices.
        groups: One label for each row; rows with the same label are drawn together.
            Defaults to every row by itself.
        resamples: Number of resamples. Defaults to 2000.
        level: Probability of the interval. Defaults to 0.95.
        seed: Seed of the draws. Defaults to 0.

    Returns:
        An `Interval`; nan if the measure is not defined on half of the resamples.

    Raises:
        UserError: If an option is out of its range, or `groups` has another length.

    Reference:
        Efron, Better Bootstrap Confidence Intervals, 1987, section 6.
    """
    from scipy import stats

    columns = [np.asarray(column) for column in columns]
    if resamples < 10 or not 0 < level < 1:
        raise UserError(
            "`resamples` must be 10 or more, `level` between 0 and 1. "
            f"Received: resamples={resamples}, level={level}"
        )
    rows = None if groups is None else _rows_of_groups(len(columns[0]), groups)
    numbers = (np.arange(len(columns[0] if rows is None else rows)),)

    def of(chosen):
        index = chosen if rows is None else np.concatenate([rows[i] for i in chosen])
        return measure(*(column[index] for column in columns))

    options = {"vectorized": False, "confidence_level": level}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        drawn: Any = stats.bootstrap(
            numbers, of, n_resamples=resamples, method="percentile", rng=seed, **options
        )
        values = drawn.bootstrap_distribution
        defined = values[np.isfinite(values)]
        if not np.isfinite(measure(*columns)) or len(defined) <= resamples / 2:
            return Interval(float("nan"), float("nan"), UNDEFINED)
        drawn.bootstrap_distribution = defined
        interval = stats.bootstrap(
            numbers, of, n_resamples=0, bootstrap_result=drawn, method="BCa", **options
        ).confidence_interval
    method = BCA
    if not np.isfinite(interval).all():
        tail, method = (1 - level) / 2, PERCENTILE
        interval = np.quantile(defined, (tail, 1 - tail))
    low, high = interval
    return Interval(float(low), float(high), method)


def _rows_of_groups(n: int, groups: Any) -> list[np.ndarray]:
    """Return the row numbers of every group."""
    groups = np.asarray(groups)
    if groups.shape != (n,):
        raise UserError(
            f"Each row needs a group. Received: {n} rows, groups of {groups.shape}"
        )
    _, inverse = np.unique(groups, return_inverse=True)
    rows = np.split(
        np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1]
    )
    if len(rows) < 2:
        raise UserError("There must be two groups at least. Received: 1")
    return rows


class Estimate(NamedTuple):
    """One measure of agreement.

    Args:
        value: The measure on all pictures.
        low: Lower end of its interval.
        high: Upper end of its interval.
        constant: The measure of the constant predictor; nan if it is not defined.
        method: Of the interval; see `Interval`.
    """

    value: float
    low: float
    high: float
    constant: float
    method: str = BCA


class MiddleShare(NamedTuple):
    """How many predictions and how many true scores are the middle score.

    Args:
        score: The middle score: the median of the true scores.
        predicted: Fraction of the predictions that round to it.
        true: Fraction of the true scores that are it.
    """

    score: int
    predicted: float
    true: float

    def __str__(self) -> str:
        return (
            f"{self.predicted:.0%} of the predictions round to {self.score}, "
            f"{self.true:.0%} of the true scores are {self.score}"
        )


@dataclass(frozen=True)
class Agreement:
    """The result of `agreement`.

    Attributes:
        measures: Dict from a name ("MAE", "macro MAE", "RMSE", "Pearson", "Spearman",
            "kappa") to its `Estimate`.
        constant: The constant predictor's prediction.
        medians: Dict from each true score that occurs to the median prediction.
        counts: Dict from each true score that occurs to its number of pictures.
        spread: Standard deviation of the predictions over that of the true scores;
            well under 1 if they bunch in the middle.
        middle: `MiddleShare` of the predictions and of the true scores.
        level: Probability of the intervals.
    """

    measures: dict[str, Estimate]
    constant: float
    medians: dict[int, float]
    counts: dict[int, int]
    spread: float
    middle: MiddleShare
    level: float

    @property
    def rising(self) -> bool:
        """Whether the medians rise with every true score."""
        return bool((np.diff(list(self.medians.values())) > 0).all())

    def __str__(self) -> str:
        head = f"{self.level:.0%} interval", f"always {self.constant:.2f}"
        lines = [f"{'':<10}{'value':>8}  {head[0]:<20}{head[1]:>12}"]
        for name, (value, low, high, constant, method) in self.measures.items():
            span = UNDEFINED if method == UNDEFINED else f"{low:.3f} to {high:.3f}"
            span += "*" if method == PERCENTILE else ""
            figures = [_figure(value), _figure(constant)]
            start = f"{name:<10}{figures[0]:>8}"
            lines.append(f"{start:<20}{span:<20}{figures[1]:>12}")
        medians = "  ".join(f"{s}: {m:.2f}" for s, m in self.medians.items())
        rising = "rising" if self.rising else "NOT rising"
        lines.append(f"medians   {medians} ({rising})")
        lines.append(f"spread    {_figure(self.spread, 2)} of the true scores'")
        lines.append(f"middle    {self.middle}")
        if any(estimate.method == PERCENTILE for estimate in self.measures.values()):
            lines.append("* percentiles of the resamples: BCa is not defined")
        return "\n".join(lines)


def _figure(value, digits=3):
    return UNDEFINED if np.isnan(value) else f"{value:.{digits}f}"


def agreement(
    true: Any,
    predicted: Any,
    *,
    constant: float | None = None,
    groups: Any = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Agreement:
    """Compare predicted scores with true ones by six measures, and say how they bunch.

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
        constant: The constant predictor's prediction, best the mean of the training
            scores. Defaults to the mean of `true`.
        groups: Label of the rows that are drawn together, such as the name of the
            picture that several faces are from. Defaults to every score by itself.
        resamples: Bootstrap resamples. Defaults to 2000.
        level: Probability of the intervals. Defaults to 0.95.
        seed: Seed of the resampling. Defaults to 0.

    Returns:
        An `Agreement`.

    Raises:
        UserError: If the arrays differ in length, there are fewer than two scores, a
            true score is not 1 to 5, or a prediction is not finite.

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
            measure(true, predicted),
            interval.low,
            interval.high,
            measure(true, flat),
            interval.method,
        )
    occurring = [score for score in SCORES if (true == score).any()]
    spread = true.std()
    return Agreement(
        measures=measures,
        constant=constant,
        medians={s: float(np.median(predicted[true == s])) for s in occurring},
        counts={s: int((true == s).sum()) for s in occurring},
        spread=float(predicted.std() / spread) if spread else float("nan"),
        middle=middle_share(true, predicted),
        level=level,
    )


def middle_share(true: Any, predicted: Any) -> MiddleShare:
    """Count how many predictions and true scores are the middle score.

    A scorer that is unsure predicts about the middle, so that rare scores are never
    predicted. Halves are rounded up.

    Example:
    ```python
    middle_share([1, 3, 3, 5], [2.6, 3.0, 3.2, 3.4]).predicted   # 1.0
    ```

    Args:
        true: Whole scores `(n,)`.
        predicted: Any numbers `(n,)`.

    Returns:
        A `MiddleShare`.
    """
    true = np.asarray(true)
    score = int(np.sort(true)[(len(true) - 1) // 2])
    rounded = np.floor(np.asarray(predicted) + 0.5)
    return MiddleShare(
        score, float((rounded == score).mean()), float((true == score).mean())
    )


def mean_absolute_error(true: Any, predicted: Any) -> float:
    """Return the mean of |predicted - true|, in points."""
    return float(np.abs(np.subtract(predicted, true)).mean())


def macro_mean_absolute_error(true: Any, predicted: Any) -> float:
    """Return the mean of the mean absolute errors of each true score that occurs.

    Every score counts alike, however rare it is.

    Reference:
        Baccianella, Esuli and Sebastiani, "Evaluation Measures for Ordinal Regression"
        (2009), equation 4.
    """
    true = np.asarray(true)
    errors = np.abs(np.subtract(predicted, true))
    return float(np.mean([errors[true == score].mean() for score in np.unique(true)]))


def root_mean_square_error(true: Any, predicted: Any) -> float:
    """Return the root of the mean squared difference, in points."""
    return float(np.sqrt(np.square(np.subtract(predicted, true)).mean()))


def pearson(true: Any, predicted: Any) -> float:
    """Return the linear correlation, -1..1; nan if one side is constant.

    `scipy.stats.pearsonr` warns then, and takes 18 times as long (500 values); an
    evaluation calls it thousands of times.
    """
    x, y = np.asarray(true, np.float64), np.asarray(predicted, np.float64)
    # The mean of equal numbers may differ from them by a rounding: no variation.
    if (x == x[0]).all() or (y == y[0]).all():
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    x, y = x / np.sqrt(x @ x), y / np.sqrt(y @ y)
    return float(np.clip(x @ y, -1, 1))


def spearman(true: Any, predicted: Any) -> float:
    """Return the rank correlation, -1..1; nan if one side is constant.

    Equal values share their mean rank.
    """
    return pearson(ranks(true), ranks(predicted))


def ranks(values: Any) -> np.ndarray:
    """Return ranks from 1; equal values share the mean of theirs."""
    from scipy import stats

    return stats.rankdata(values)


def quadratic_kappa(true: Any, predicted: Any, scores: Sequence[int] = SCORES) -> float:
    """Compute Cohen's kappa with quadratic weights of predictions rounded to a score.

    1 is full agreement, 0 that of chance with these frequencies; nan if chance always
    agrees. Halves are rounded up.

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
    counts = np.bincount(rows * size + columns, minlength=size * size)
    seen = counts.reshape(size, size) / len(rows)
    by_chance = np.outer(seen.sum(axis=1), seen.sum(axis=0))
    weights = np.subtract.outer(np.arange(size), np.arange(size)) ** 2
    chance = (weights * by_chance).sum()
    if not chance:
        return float("nan")
    return float(1 - (weights * seen).sum() / chance)


MEASURES = {
    "MAE": mean_absolute_error,
    "macro MAE": macro_mean_absolute_error,
    "RMSE": root_mean_square_error,
    "Pearson": pearson,
    "Spearman": spearman,
    "kappa": quadratic_kappa,
}


def checked(true: Any, predicted: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return true and predicted scores as float64 `(n,)`; raise if they are invalid."""
    true = np.asarray(true, np.float64)
    predicted = np.asarray(predicted, np.float64)
    if true.ndim != 1 or true.shape != predicted.shape or len(true) < 2:
        raise UserError(
            "Each score needs a prediction, and there must be two at least. "
            f"Received: shapes {true.shape} and {predicted.shape}"
        )
    if invalid := sorted(set(true[~np.isin(true, SCORES)].tolist()))[:5]:
        raise UserError(f"A true score is one of {SCORES}. Received: {invalid}")
    if not np.isfinite(predicted).all():
        n = np.count_nonzero(~np.isfinite(predicted))
        raise UserError(
            f"Predictions have to be finite. Received: {n} of {len(predicted)} that "
            "are not"
        )
    return true, predicted
