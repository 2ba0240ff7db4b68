"""Bootstrap intervals: how far a figure would move with other pictures of the kind."""

from statistics import NormalDist

import numpy as np

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
