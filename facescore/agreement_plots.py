"""The article's figure: what is predicted for pictures of each true score."""

import numpy as np

from facescore.agreement import checked, spearman
from facescore.ratings import SCORES
from illustkit.figures import save_figure

_INK, _SOFT = "#1c2230", "#667085"


def plot_distributions(true, predicted, path=None, *, title=None, bins=20):
    """Draw the distribution of the predicted score for every true score.

    On the left five histograms, one below the other on one axis, as the article's five
    pictures; on the right the same as violins with median and quartiles, beside the
    line that a perfect scorer would keep to.

    Example:
    ```python
    plot_distributions(true, predicted, "distributions.png")
    ```

    Args:
        true: The person's scores, whole numbers 1 to 5, `(n,)`.
        predicted: The scorer's, any finite numbers, `(n,)`.
        path: File to write. Defaults to none.
        title: Text above. Defaults to the number of pictures and the rank correlation.
        bins: Bars of a histogram. Defaults to 20.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: as of `agreement`.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    true, predicted = checked(true, predicted)
    parts = [predicted[true == score] for score in SCORES]
    colours = [colormaps["viridis"](v) for v in np.linspace(0.08, 0.88, len(SCORES))]
    low = min(SCORES[0] - 0.5, np.floor(predicted.min() * 2) / 2)
    high = max(SCORES[-1] + 0.5, np.ceil(predicted.max() * 2) / 2)

    figure = Figure(figsize=(9.6, 5.6), layout="constrained")
    figure.get_layout_engine().set(wspace=0.06)
    left, right = figure.subfigures(1, 2, width_ratios=(1.05, 1))
    panels = left.subplots(len(SCORES), 1, sharex=True, sharey=True)
    edges = np.linspace(low, high, bins + 1)
    # The best score on top, so that the hills move to the right going up.
    for axis, score, part, colour in zip(
        panels[::-1], SCORES, parts, colours, strict=True
    ):
        _histogram(axis, score, part, edges, colour)
    left.suptitle("predicted score, by true score", fontsize=10, color=_INK)
    panels[-1].set_xlabel("predicted")
    panels[-1].set_xlim(low, high)
    left.supylabel("share of the pictures", fontsize=10)
    right.suptitle("median, quartiles and violin", fontsize=10, color=_INK)
    _violins(right.subplots(), parts, colours, (low, high))
    if title is None:
        rho = spearman(true, predicted)
        title = f"{len(true)} pictures, Spearman {rho:.2f}"
    figure.suptitle(title, fontsize=12, parse_math=False)
    if path is not None:
        save_figure(figure, path)
    return figure


def _histogram(axis, score, part, edges, colour):
    _plain(axis)
    if len(part):
        weights = np.full(len(part), 1 / len(part))
        axis.hist(part, bins=edges, weights=weights, color=colour, rwidth=0.92)
        axis.axvline(np.median(part), color=_INK, linewidth=1.6)
    axis.axvline(score, color=_SOFT, linewidth=1, linestyle=(0, (2, 2)))
    label = f"true {score}   n = {len(part)}"
    if len(part):
        label += f"   median {np.median(part):.2f}"
    axis.set_title(label, loc="left", fontsize=8.5, pad=2)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.tick_params(labelsize=8)


def _violins(axis, parts, colours, limits):
    _plain(axis)
    axis.plot(SCORES, SCORES, color=_SOFT, linewidth=1, linestyle=(0, (2, 2)), zorder=0)
    filled = [i for i, part in enumerate(parts) if len(part) and np.ptp(part) > 0]
    if filled:
        shapes = axis.violinplot(
            [parts[i] for i in filled],
            [SCORES[i] for i in filled],
            widths=0.85,
            showextrema=False,
        )
        for body, i in zip(shapes["bodies"], filled, strict=True):
            body.set(facecolor=colours[i], edgecolor="none", alpha=0.8)
    there = [i for i, part in enumerate(parts) if len(part)]
    quartiles = np.array([np.quantile(parts[i], (0.25, 0.5, 0.75)) for i in there])
    scores = [SCORES[i] for i in there]
    axis.vlines(scores, quartiles[:, 0], quartiles[:, 2], color=_INK, linewidth=4)
    axis.plot(
        scores,
        quartiles[:, 1],
        color=_INK,
        linewidth=1,
        marker="o",
        markersize=6,
        markerfacecolor="white",
    )
    axis.set(xlim=(SCORES[0] - 0.6, SCORES[-1] + 0.6), ylim=limits, xticks=SCORES)
    axis.set_xlabel("true score")
    axis.set_ylabel("predicted score")


def _plain(axis):
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(_SOFT)
    axis.set_axisbelow(True)
