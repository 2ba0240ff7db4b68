"""Draw figures of results and of a training."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from illustkit.errors import UserError
from illustkit.figures import picture_grid, save_figure, side_by_side
from oppai.censoring.censor import blend as blend_pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MONITORS = {"psnr": "PSNR in the hole (dB)", "ssim": "SSIM in the hole"}


def plot_results(
    censored: np.ndarray,
    prediction: np.ndarray,
    truth: np.ndarray,
    *,
    mask: np.ndarray,
    blend: float = 0.5,
    titles: Sequence[str] | None = None,
    source: str | Sequence[str] | None = None,
    path: str | os.PathLike | None = None,
) -> "Figure":
    """Draw the chapter's figure: censored and predicted above, blended and true below.

    Several patches get a row each, with the four pictures side by side.

    Example:
    ```python
    prediction = restorer.restore_patches(censored[None], mask[None])[0]
    plot_results(censored, prediction, truth, mask=mask, source="Drawn by illustkit",
                 path="result.png")
    ```

    Args:
        censored: uint8 `(height, width, 3)`, or `(n, height, width, 3)`.
        prediction: The network's prediction, of the same shape.
        truth: The uncensored picture, of the same shape.
        mask: uint8 `(height, width)`, `(height, width, 1)` or n of them, 255 = hidden;
            a soft rim is blended softly.
        blend: Fraction of the prediction in the blended picture. Defaults to 0.5.
        titles: Four texts, for censored, prediction, blend and truth. Defaults to
            English ones.
        source: Text below, such as the illustration's author and address; for several
            patches also a sequence of n texts, one per line. Defaults to `None`.
        path: File to write. Defaults to `None`.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        UserError: If shapes disagree, or there are not four titles.

    Reference:
        The chapter, its result figures.
    """
    pictures = [np.asarray(p) for p in (censored, prediction, truth)]
    mask = np.asarray(mask)
    if mask.ndim == pictures[0].ndim and mask.shape[-1] == 1:
        mask = mask[..., 0]
    shapes = [p.shape for p in pictures]
    if len(set(shapes)) > 1 or shapes[0][:-1] != mask.shape:
        raise UserError(
            "censored, prediction, truth and mask must have the same size. "
            f"Received: {', '.join(map(str, [*shapes, mask.shape]))}"
        )
    if not 0 <= blend <= 1:
        raise UserError(f"blend is a fraction, 0 to 1. Received: blend={blend}")
    titles = titles or ("censored", "prediction", f"{blend:.0%} blend", "truth")
    if len(titles) != 4:
        raise UserError(f"There are four titles. Received: {titles!r}")
    censored, prediction, truth = pictures
    mixed = blend_pictures(censored, prediction, mask, blend)
    shown = censored, prediction, mixed, truth
    if censored.ndim == 3:
        figure = picture_grid(shown, columns=2, titles=titles, cell=3.0)
    else:
        figure = side_by_side(zip(*shown, strict=True), column_titles=titles)
    if source is not None:
        source = source if isinstance(source, str) else "\n".join(source)
        figure.supxlabel(source, fontsize=7, parse_math=False)
    if path is not None:
        save_figure(figure, path)
    return figure


def plot_history(
    history: Mapping[str, Sequence[float]], path: str | os.PathLike | None = None
) -> "Figure":
    """Draw the losses, and PSNR and SSIM in the hole, over the epochs of a training.

    Solid lines are of the training pictures, dashed ones of the held-out pictures.

    Example:
    ```python
    plot_history(run.history, "history.png")
    ```

    Args:
        history: Dict from a column of history.csv to its list of floats, one per
            epoch. Columns other than `psnr` and `ssim` are terms of the loss; `val_`
            marks those of held-out pictures; `epoch` and `learning_rate` are not drawn.
        path: File to write. Defaults to `None`.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        UserError: If there is no epoch.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    columns = {k: v for k, v in history.items() if k not in ("epoch", "learning_rate")}
    if not any(len(values) for values in columns.values()):
        raise UserError(f"The history holds no epoch. Received: {history}")
    names = list(dict.fromkeys(key.removeprefix("val_") for key in columns))
    terms = [name for name in names if name not in MONITORS]
    panels = [("loss and its terms (dashed: held out)", terms)] if terms else []
    panels += [(MONITORS[name], [name]) for name in MONITORS if name in names]
    figure = Figure(figsize=(4.5 * len(panels), 3.5), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (label, drawn) in zip(axes, panels, strict=True):
        for i, name in enumerate(drawn):
            for key, style in ((name, "-"), (f"val_{name}", "--")):
                if key in columns:
                    epochs = np.arange(1, len(columns[key]) + 1)
                    axis.plot(
                        epochs,
                        columns[key],
                        style,
                        color=f"C{i}",
                        label=key,
                        linewidth=2.2 if name == "loss" else 1.2,
                        # a line of one point is invisible
                        marker="." if len(epochs) == 1 else None,
                    )
        if drawn == terms:
            axis.set_yscale("log", nonpositive="mask")
            # One entry per term: its dashed line has the same colour.
            trained = [x for x in axis.lines if not x.get_label().startswith("val_")]
            place = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
            axis.legend(handles=trained or axis.lines, fontsize=7, **place)
        else:
            axis.legend(fontsize=7)
        axis.set_title(label, fontsize=10)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
    if path is not None:
        save_figure(figure, path)
    return figure
