"""Evaluate a scorer on pictures it never saw: tables, a figure, and its stability."""

import io
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from facescore.boxes import as_boxes, as_face, shrink
from facescore.crops import fit_crop, read_each
from facescore.scorer.agreement import Agreement, agreement, checked, spearman
from facescore.scorer.calibration import (
    calibrate,
    cross_calibrate,
    read_calibration,
)
from facescore.scorer.data import crop_names, held_out_ratings, rated_crops
from facescore.scorer.model import SCORER, load_scorer
from facescore.scorer.prediction import (
    FaceScorer,
    as_scorer,
    cut_faces,
    score_cut,
)
from facescore.scorer.ratings import SCORES, Rating
from illustkit.errors import UserError
from illustkit.figures import save_figure
from illustkit.files import expand_user
from illustkit.images import list_images
from illustkit.options import check_number
from illustkit.tables import write_table
from illustkit.training.runs import Run, format_figure
from illustkit.training.split import read_split

_INK, _SOFT = "#1c2230", "#667085"


def plot_distributions(
    true: Any,
    predicted: Any,
    path: str | os.PathLike | None = None,
    *,
    title: str | None = None,
    bins: int = 20,
) -> Any:
    """Draw the distribution of the predicted score for every true score.

    On the left are five histograms, one below the other on one axis, like the article's
    five pictures; on the right the same as violins with median and quartiles, beside
    the line of a perfect scorer. Below them bars compare how often each score is
    predicted, rounded, with how often it was given: predictions that bunch in the
    middle make one bar far too high.

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
        UserError: See `agreement`.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    true, predicted = checked(true, predicted)
    by_score = [predicted[true == score] for score in SCORES]
    colours = [colormaps["viridis"](v) for v in np.linspace(0.08, 0.88, len(SCORES))]
    low = min(SCORES[0] - 0.5, np.floor(predicted.min() * 2) / 2)
    high = max(SCORES[-1] + 0.5, np.ceil(predicted.max() * 2) / 2)

    figure = Figure(figsize=(9.6, 5.6), layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(wspace=0.06)
    columns: Any = figure.subfigures(1, 2, width_ratios=(1.05, 1))
    left, right = columns
    panels = left.subplots(len(SCORES), 1, sharex=True, sharey=True)
    edges = np.linspace(low, high, bins + 1)
    # The best score is on top, so that the hills move to the right going up.
    for axis, score, values, colour in zip(
        panels[::-1], SCORES, by_score, colours, strict=True
    ):
        _histogram(axis, score, values, edges, colour)
    left.suptitle("predicted score, by true score", fontsize=10, color=_INK)
    panels[-1].set_xlabel("predicted")
    panels[-1].set_xlim(low, high)
    left.supylabel("fraction of the pictures", fontsize=10)
    right.suptitle("median, quartiles and violin", fontsize=10, color=_INK)
    violins, bars = right.subplots(2, 1, height_ratios=(3, 1))
    _violins(violins, by_score, colours, (low, high))
    _frequencies(bars, true, predicted, colours)
    if title is None:
        rho = format_figure(float(spearman(true, predicted)), 2)
        spread = true.std()
        ratio = predicted.std() / spread if spread else float("nan")
        title = (
            f"{len(true)} pictures, Spearman {rho}, spread {format_figure(ratio, 2)}"
        )
    figure.suptitle(title, fontsize=12, parse_math=False)
    if path is not None:
        save_figure(figure, path)
    return figure


def _histogram(axis, score, values, edges, colour):
    _plain(axis)
    if len(values):
        weights = np.full(len(values), 1 / len(values))
        axis.hist(values, bins=edges, weights=weights, color=colour, rwidth=0.92)
        axis.axvline(np.median(values), color=_INK, linewidth=1.6)
    axis.axvline(score, color=_SOFT, linewidth=1, linestyle=(0, (2, 2)))
    label = f"true {score}   n = {len(values)}"
    if len(values):
        label += f"   median {np.median(values):.2f}"
    axis.set_title(label, loc="left", fontsize=8.5, pad=2)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.tick_params(labelsize=8)


def _violins(axis, by_score, colours, limits):
    _plain(axis)
    axis.plot(SCORES, SCORES, color=_SOFT, linewidth=1, linestyle=(0, (2, 2)), zorder=0)
    occurring = [i for i, values in enumerate(by_score) if len(values)]
    filled = [i for i in occurring if np.ptp(by_score[i]) > 0]
    if filled:
        shapes = axis.violinplot(
            [by_score[i] for i in filled],
            [SCORES[i] for i in filled],
            widths=0.85,
            showextrema=False,
        )
        for body, i in zip(shapes["bodies"], filled, strict=True):
            body.set(facecolor=colours[i], edgecolor="none", alpha=0.8)
    quartiles = np.array(
        [np.quantile(by_score[i], (0.25, 0.5, 0.75)) for i in occurring]
    )
    scores = [SCORES[i] for i in occurring]
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


def _frequencies(axis, true, predicted, colours):
    """Draw how often each score is given (outlined) and predicted (filled)."""
    _plain(axis)
    rounded = np.clip(np.floor(predicted + 0.5), SCORES[0], SCORES[-1])
    given, guessed = (
        [(values == score).mean() for score in SCORES] for values in (true, rounded)
    )
    axis.bar(
        np.add(SCORES, -0.2), given, 0.36, label="true", fill=False, edgecolor=_INK
    )
    axis.bar(np.add(SCORES, 0.2), guessed, 0.36, label="predicted", color=colours)
    axis.set(xlim=(SCORES[0] - 0.6, SCORES[-1] + 0.6), xticks=SCORES)
    axis.set_xlabel("score: given (outline), predicted (filled)")
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _plain(axis):
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(_SOFT)
    axis.set_axisbelow(True)


class Shift(NamedTuple):
    """How scores move under one change.

    Args:
        mean: Mean of the change, in points: whether all scores move the same way.
        absolute: Mean of its absolute value.
        largest: 95th percentile of its absolute value.
        relative: `absolute` over the standard deviation of the unchanged scores.
        order: Rank correlation with the unchanged scores.
    """

    mean: float
    absolute: float
    largest: float
    relative: float
    order: float


@dataclass(frozen=True)
class Stability:
    """The result of `stability`.

    Attributes:
        shifts: Dict from the name of a change to its `Shift`.
        spread: Standard deviation of the unchanged scores, in points.
        framing: Fraction of the scores' variance, 0..1, that a linear model of size,
            place and proportions of the boxes explains (adjusted R²): how much framing
            alone may decide. nan for fewer than 12 faces.
        faces: Number of faces.
    """

    shifts: dict[str, Shift]
    spread: float
    framing: float
    faces: int

    def __str__(self) -> str:
        heads = ("mean", 8), ("|mean|", 8), ("95 %", 8), ("/sd", 10), ("order", 10)
        lines = ["change".ljust(22) + "".join(h.rjust(n) for h, n in heads)]
        for name, (mean, absolute, largest, relative, order) in self.shifts.items():
            undefined = [format_figure(relative, 2), format_figure(order)]
            lines.append(
                f"{name:<22}{mean:+8.3f}{absolute:8.3f}{largest:8.3f}"
                f"{undefined[0]:>10}{undefined[1]:>10}"
            )
        lines.append(
            f"{self.faces} faces, scores with a standard deviation (sd) of "
            f"{self.spread:.3f}; framing alone explains {_percent(self.framing)}"
        )
        return "\n".join(lines)


def _percent(fraction):
    return "an undefined part" if np.isnan(fraction) else f"{fraction:.0%} of them"


def stability(
    pictures: Iterable[tuple[np.ndarray, Iterable[Any]]],
    *,
    scorer: Any,
    margins: Sequence[float] = (0.5, 1.5),
    boxes: Sequence[float] = (0.9, 1.1),
    scales: Sequence[float] = (0.5, 2.0),
    qualities: Sequence[int] = (90, 60, 30),
) -> Stability:
    """Measure how scores move while the picture's content stays.

    Each face is scored as it is, then with another margin, with a smaller or larger
    box, in the picture scaled, and in the picture compressed as JPEG. The scores of a
    good scorer move little, compared with their spread over the faces.

    Example:
    ```python
    pictures = [(image, detect_faces(image)) for image in images]
    print(stability(pictures, scorer=load_scorer("runs/taste")))
    ```

    Args:
        pictures: Iterable of pairs (uint8 RGB `(height, width, 3)`, faces or boxes);
            one picture is held at a time.
        scorer: A run folder, or what `load_scorer` returned.
        margins: Factors on the margin of the crop. Defaults to 0.5 and 1.5.
        boxes: Factors on the side of the box. Defaults to 0.9 and 1.1.
        scales: Factors on the picture's size. Defaults to 0.5 and 2.
        qualities: JPEG qualities, 1 to 95. Defaults to 90, 60 and 30.

    Returns:
        A `Stability`.

    Raises:
        UserError: If there are fewer than two faces.
    """
    changes = [(f"margin x{f:g}", _margin(f)) for f in margins]
    changes += [(f"box x{f:g}", _box(f)) for f in boxes]
    changes += [(f"picture x{f:g}", _scale(f)) for f in scales]
    changes += [(f"JPEG quality {q}", _jpeg(q)) for q in qualities]
    scorer = as_scorer(scorer)

    def scores_of(image, boxes, margin):
        crops = cut_faces(image, boxes, scorer, margin=margin, square=scorer.square)
        return score_cut(crops, scorer)

    scores, framings = [], []
    for image, faces in pictures:
        face_boxes = as_boxes([as_face(face).box for face in faces])
        if not len(face_boxes):
            continue
        framings.append(_framing(face_boxes, image))
        start = image, face_boxes, scorer.margin
        variants = [start, *(change(*start) for _, change in changes)]
        scores.append([scores_of(*variant) for variant in variants])
    if sum(len(rows[0]) for rows in scores) < 2:
        raise UserError("There must be two faces at least to compare.")
    plain, *changed = np.concatenate(scores, axis=1)
    spread = float(plain.std())
    shifts = {}
    for (name, _), values in zip(changes, changed, strict=True):
        moved = np.abs(values - plain)
        shifts[name] = Shift(
            mean=float((values - plain).mean()),
            absolute=float(moved.mean()),
            largest=float(np.quantile(moved, 0.95)),
            relative=float(moved.mean() / spread) if spread else float("nan"),
            order=spearman(plain, values),
        )
    explained = framing_share(np.concatenate(framings), plain)
    return Stability(shifts, spread, explained, len(plain))


def framing_share(framings: Any, scores: Any) -> float:
    """Return the fraction of the scores' variance that a model of the framing explains.

    Args:
        framings: `(n, k)` numbers that describe how each face is framed.
        scores: `(n,)`.

    Returns:
        Adjusted R² of the linear model, not below 0; nan for fewer than 2 (k + 1)
        scores, or scores that do not differ.

    Reference:
        Ezekiel, Methods of Correlation Analysis, 1930: the adjusted R².
    """
    framings, scores = np.asarray(framings, np.float64), np.asarray(scores, np.float64)
    n, k = framings.shape
    total = np.square(scores - scores.mean()).sum()
    if n < 2 * (k + 1) or not total:
        return float("nan")
    spread = framings.std(axis=0)
    columns = (framings - framings.mean(axis=0)) / np.where(spread > 0, spread, 1)
    columns = np.concatenate([np.ones((n, 1)), columns], axis=1)
    weights, _, rank, _ = np.linalg.lstsq(columns, scores, rcond=None)
    rest = np.square(scores - columns @ weights).sum()
    return float(max(0.0, 1 - rest / (n - rank) * (n - 1) / total))


def _framing(boxes, image):
    """Return log side in pixels and relative to the picture, log ratio, and place."""
    height, width = image.shape[:2]
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    side = np.sqrt(sides.prod(axis=1))
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 / (width, height)
    columns = (
        np.log(side),
        np.log(side / np.sqrt(width * height)),
        np.log(sides[:, 0] / sides[:, 1]),
        centres[:, 0],
        centres[:, 1],
    )
    return np.stack(columns, axis=1)


def _margin(factor):
    return lambda image, boxes, margin: (image, boxes, [v * factor for v in margin])


def _box(factor):
    return lambda image, boxes, margin: (image, shrink(boxes, factor), margin)


def _scale(factor):
    def change(image, boxes, margin):
        from PIL import Image

        height, width = image.shape[:2]
        size = max(1, round(width * factor)), max(1, round(height * factor))
        scaled = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
        # Sizes are whole pixels, so that the two factors differ a little.
        ratio = np.array([size[0] / width, size[1] / height] * 2)
        return np.asarray(scaled), boxes * ratio, margin

    return change


def _jpeg(quality):
    def change(image, boxes, margin):
        from PIL import Image

        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=quality)
        return np.asarray(Image.open(stream)), boxes, margin

    return change


PREDICTIONS, AGREEMENT, FIGURE = "predictions.csv", "agreement.csv", "distributions.png"


class ScorerEvaluation(NamedTuple):
    """A scorer's predictions and measures on held-out crops.

    Args:
        agreement: `facescore.scorer.agreement.Agreement`.
        paths: Paths of the crops.
        true: The person's scores, float64 `(n,)`.
        predicted: The scorer's, float64 `(n,)`.
    """

    agreement: Agreement
    paths: list[Path]
    true: np.ndarray
    predicted: np.ndarray


def evaluate_scorer(
    run: str | os.PathLike | Run,
    crops: str | os.PathLike,
    *,
    ratings: Any = None,
    output: str | os.PathLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
    left_out: list[tuple[Path, str]] | None = None,
    progress: Callable[[int], object] | None = None,
) -> ScorerEvaluation:
    """Compare a scorer with the person on crops that it did not train on.

    Of the run's own crops these are the held-out ones; of another folder all. The
    constant predictor predicts the mean of the training scores, and the crops of one
    picture are drawn together for the intervals. A run's calibration was fitted on its
    held-out crops: each fifth of them is calibrated anew by the others.

    Example:
    ```python
    result = evaluate_scorer("runs/taste", "crops", output="evaluation")
    print(result.agreement)
    ```

    Args:
        run: A run folder, or the `Run` that `facescore.train_scorer` returned.
        crops: Folder of crops.
        ratings: As in `facescore.train_scorer`.
        output: Folder for `predictions.csv`, `agreement.csv` and `distributions.png`.
            Defaults to none.
        resamples: Bootstrap resamples. Defaults to 2000.
        seed: Seed of the resampling. Defaults to 0.
        left_out: List that receives pairs (path, reason) of the crops that are gone or
            cannot be read. Defaults to none: the first of them raises its error.
        progress: Called with the number of crops done. Defaults to none.

    Returns:
        A `ScorerEvaluation`.

    Raises:
        UserError: If there is no run, or no rated crop that it did not train on.
    """
    run = SCORER.open(run)
    scorer = load_scorer(run, calibrated=False)
    gone: list[Rating] | None = None if left_out is None else []
    held_out = held_out_ratings(run, crops, ratings, gone=gone)
    if left_out is not None and gone is not None:
        left_out += [(path, f"{path}: is gone.") for path, _ in gone]
    paths = [path for path, _ in held_out]
    predictions = _score_files(paths, scorer, left_out, progress)
    held_out = [rating for rating in held_out if rating.path in predictions]
    held_out, sources = rated_crops(crops, held_out)
    paths = [rating.path for rating in held_out]
    true = np.asarray([rating.score for rating in held_out], np.float64)
    predicted = np.asarray([predictions[path] for path in paths], np.float64)
    if (knots := read_calibration(run.folder)) is not None:
        if set(sources) & set(read_split(run.folder)[1]):
            given = [score for _, score in rated_crops(crops, ratings, gone=[])[0]]
            predicted = cross_calibrate(predicted, given, sources)
        else:
            predicted = calibrate(predicted, knots)
    result = agreement(
        true,
        predicted,
        constant=run.settings["mean"],
        groups=sources,
        resamples=resamples,
        seed=seed,
    )
    if output is not None:
        names = crop_names(crops, held_out)
        write_evaluation(output, names, true, predicted, result)
    return ScorerEvaluation(result, paths, true, predicted)


def _score_files(paths, scorer, left_out, progress, step=64):
    """Return a dict from the files that can be read to their scores."""
    predictions = {}
    for start in range(0, len(paths), step):
        batch = {
            path: fit_crop(image, scorer.image_size)
            for path, image in read_each(paths[start : start + step], left_out)
        }
        predictions |= zip(batch, score_cut(list(batch.values()), scorer), strict=True)
        if progress is not None:
            progress(min(start + step, len(paths)))
    return predictions


def write_evaluation(
    output: str | os.PathLike,
    names: Iterable[str | os.PathLike],
    true: np.ndarray,
    predicted: np.ndarray,
    result: Agreement,
) -> Path:
    """Write predictions, measures and the figure.

    Args:
        output: Folder to write to.
        names: Name of each crop or picture.
        true: The person's scores, `(n,)`.
        predicted: The scorer's, `(n,)`.
        result: Their `Agreement`.

    Returns:
        Path of the figure.
    """
    output = expand_user(output)
    rows = [
        (Path(name).as_posix(), int(score), f"{value:.4f}")
        for name, score, value in zip(names, true, predicted, strict=True)
    ]
    write_table(output / PREDICTIONS, ("file", "score", "predicted"), rows)
    measures = [
        (name, *(f"{value:.6g}" for value in estimate[:4]), estimate.method)
        for name, estimate in result.measures.items()
    ]
    heads = "measure", "value", "low", "high", "constant", "interval"
    write_table(output / AGREEMENT, heads, measures)
    plot_distributions(true, predicted, output / FIGURE)
    return output / FIGURE


def evaluate_stability(
    images: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    scorer: Any,
    detector: Any = "default",
    limit: int = 100,
    left_out: list[tuple[Path, str]] | None = None,
    progress: Callable[[int], object] | None = None,
    **options: Any,
) -> Stability:
    """Measure how a scorer's scores move while the content of pictures stays.

    Example:
    ```python
    print(evaluate_stability("pictures", scorer="runs/taste", detector="runs/faces"))
    ```

    Args:
        images: Folder of pictures, or a list of paths.
        scorer: As in `facescore.score`.
        detector: As in `facescore.detect_faces`.
        limit: Most pictures, spread over the folder. Defaults to 100.
        left_out: List that receives pairs (path, reason) of the pictures that cannot
            be read. Defaults to none: the first of them raises its error.
        progress: Called with the number of pictures done. Defaults to none.
        **options: `confidence`, `iou`, `image_size` and `tile` of
            `facescore.detect_faces`.

    Returns:
        A `facescore.scorer.evaluation.Stability`.

    Raises:
        UserError: If there are fewer than two faces.
    """
    check_number("limit", limit, whole=True, least=1)
    if isinstance(images, (str, os.PathLike)):
        paths = list_images(images)
    else:
        paths = [expand_user(path) for path in images]
    chosen = np.linspace(0, len(paths) - 1, min(limit, len(paths))).round().astype(int)
    rate = FaceScorer(scorer, detector, **options)

    def pictures():
        for _, image in read_each((paths[i] for i in chosen), left_out, progress):
            yield image, rate.find([image])[0]

    return stability(pictures(), scorer=rate.scorer)
