"""How good a scorer is on pictures it never saw, as a table, a figure and a CSV."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facescore.agreement import Agreement, agreement
from facescore.agreement_plots import plot_distributions
from illustkit.files import write_whole
from illustkit.images import list_images, read_image

PREDICTIONS, AGREEMENT, FIGURE = "predictions.csv", "agreement.csv", "distributions.png"


class ScorerEvaluation(NamedTuple):
    """What a scorer reaches on held-out crops.

    Args:
        agreement: `facescore.agreement.Agreement`.
        paths: Paths of the crops.
        true: The person's scores, float64 `(n,)`.
        predicted: The scorer's, float64 `(n,)`.
    """

    agreement: Agreement
    paths: list
    true: np.ndarray
    predicted: np.ndarray


def evaluate_scorer(run, crops, *, ratings=None, output=None, resamples=2000, seed=0):
    """Compare a scorer with the person on crops that it did not train on.

    Of the crops that the run trained on these are the ones held out; of another folder
    all. The constant predictor beside it says the mean of the scores trained on, and
    the crops of one picture are drawn together for the intervals.

    Example:
    ```python
    found = evaluate_scorer("runs/taste", "crops", output="evaluation")
    print(found.agreement)
    ```

    Args:
        run: A run folder, or the `Run` that `facescore.train_scorer` returned.
        crops: Folder of crops.
        ratings: As in `facescore.train_scorer`.
        output: Folder for `predictions.csv`, `agreement.csv` and `distributions.png`.
            Defaults to none.
        resamples: Bootstrap resamples. Defaults to 2000.
        seed: Seed of the resampling. Defaults to 0.

    Returns:
        A `ScorerEvaluation`.

    Raises:
        ValueError: where there is no run, or no rated crop that it did not train on.
    """
    from facescore.rated_crops import rated_crops
    from facescore.scorer_split import held_out_ratings
    from facescore.scoring import load_scorer, score_crops
    from illustkit.runs import Run

    run = run if isinstance(run, Run) else Run(run)
    scorer = load_scorer(run)
    held_out = held_out_ratings(run, crops, ratings)
    held_out, sources = rated_crops(crops, held_out)
    paths = [rating.path for rating in held_out]
    true = np.asarray([rating.score for rating in held_out], np.float64)
    predicted = score_crops(paths, scorer).astype(np.float64)
    result = agreement(
        true,
        predicted,
        constant=run.settings["mean"],
        groups=sources,
        resamples=resamples,
        seed=seed,
    )
    if output is not None:
        names = [path.resolve().relative_to(Path(crops).resolve()) for path in paths]
        write_evaluation(output, names, true, predicted, result)
    return ScorerEvaluation(result, paths, true, predicted)


def write_evaluation(output, names, true, predicted, result):
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
    output = Path(output)
    rows = [
        (Path(name).as_posix(), int(score), f"{value:.4f}")
        for name, score, value in zip(names, true, predicted, strict=True)
    ]
    _write_csv(output / PREDICTIONS, [("file", "score", "predicted"), *rows])
    measures = [
        (name, *(f"{value:.6g}" for value in estimate))
        for name, estimate in result.measures.items()
    ]
    heads = "measure", "value", "low", "high", "constant"
    _write_csv(output / AGREEMENT, [heads, *measures])
    plot_distributions(true, predicted, output / FIGURE)
    return output / FIGURE


def evaluate_stability(
    images,
    *,
    scorer,
    detector="cascade",
    limit=100,
    left_out=None,
    progress=None,
    **options,
):
    """Measure how a scorer's scores move when the content of pictures stays.

    Example:
    ```python
    print(evaluate_stability("pictures", scorer="runs/taste", detector="runs/faces"))
    ```

    Args:
        images: Folder of pictures, or a list of paths.
        scorer: As in `facescore.score`.
        detector: As in `facescore.detect_faces`.
        limit: Most pictures, spread over the folder. Defaults to 100.
        left_out: List that pairs (path, reason) are put on, for pictures that cannot
            be read. Defaults to none: the first one ends it.
        progress: Called with the number of pictures done. Defaults to none.
        **options: `conf`, `iou`, `imgsz` and `tile` of `facescore.detect_faces`.

    Returns:
        A `facescore.stability.Stability`.

    Raises:
        ValueError: where there are fewer than two faces.
    """
    from facescore.detecting import as_detector, detect_faces
    from facescore.scoring import as_scorer
    from facescore.stability import stability

    if limit < 1:
        raise ValueError(f"limit must be 1 or more. Received: {limit}")
    paths = list_images(images) if isinstance(images, (str, Path)) else list(images)
    chosen = np.linspace(0, len(paths) - 1, min(limit, len(paths))).round().astype(int)
    detector = as_detector(detector)

    def pictures():
        for number, i in enumerate(chosen, 1):
            try:
                image = read_image(paths[i])
            except (ValueError, OSError, MemoryError) as error:
                if left_out is None:
                    raise
                left_out.append((paths[i], str(error) or type(error).__name__))
                continue
            yield image, detect_faces(image, detector, **options)
            if progress is not None:
                progress(number)

    return stability(pictures(), scorer=as_scorer(scorer))


def _write_csv(path, rows):
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    # File names that are no Unicode keep their bytes.
    write_whole(path, stream.getvalue().encode("utf-8", "surrogateescape"))
