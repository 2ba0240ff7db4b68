"""Demonstrate everything without a file: draw, train, find, score, rank, show.

An invented person rates drawn characters. A detector learns faces from drawn scenes, a
scorer that person's taste, and both are tried on characters they have never seen.
"""

import html
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import numpy as np

from facescore.crops import crop_folder
from facescore.labels import label_path, write_labels
from facescore.scorer.ratings import RATING_TABLE, Rating, write_ratings
from facescore.synthetic.scenes import draw_scene
from facescore.synthetic.taste import CEILING, rated_characters
from illustkit.files import expand_user, write_whole
from illustkit.images import read_image, write_image

SIZE = 300, 424  # pixels, width and height of a drawn character
SCENE = 320  # pixels, side of a drawn scene


def draw_scenes(
    folder: str | os.PathLike, n: int, *, first_seed: int = 0, progress: bool = True
) -> None:
    """Draw labelled scenes of 320 by 320 pixels; existing ones stay.

    Args:
        folder: Folder for the pictures and their labels.
        n: Number of scenes.
        first_seed: Seed of the first. Defaults to 0.
        progress: Show a progress bar. Defaults to `True`.
    """
    from tqdm import tqdm

    folder = expand_user(folder)

    def draw(i):
        path = Path(folder, f"scene-{i:04d}.png")
        if not path.exists():
            size = SCENE, SCENE
            image, boxes = draw_scene(
                first_seed + i, size=size, n_faces=(1, 5), face_size=(20, 210)
            )
            _write(path, image, boxes)

    with ThreadPoolExecutor(2) as pool:
        bar = tqdm(total=n, desc="Drawing scenes", disable=not progress)
        for _ in pool.map(draw, range(n)):
            bar.update()
        bar.close()


def draw_characters(
    folder: str | os.PathLike,
    per_score: int,
    *,
    first_seed: int = 0,
    labelled: int = 0,
    table: str | os.PathLike | None = None,
    progress: bool = True,
) -> Path:
    """Draw characters and let the invented person rate them.

    Args:
        folder: Folder for the pictures; existing ones stay.
        per_score: Number of characters of each score.
        first_seed: Seed of the first. Defaults to 0.
        labelled: Number of the first characters to label the face of. Defaults to 0.
        table: CSV for the scores. Defaults to `ratings.csv` in the folder.
        progress: Show a progress bar. Defaults to `True`.

    Returns:
        Path of the CSV.
    """
    from tqdm import tqdm

    folder, writing = expand_user(folder), []
    ratings: list[Rating] = []
    bar = tqdm(total=5 * per_score, desc="Drawing characters", disable=not progress)
    with bar, ThreadPoolExecutor(1) as pool:  # compresses one while the next is drawn
        for seed, character, score in rated_characters(
            per_score, first_seed=first_seed, size=SIZE
        ):
            path = folder / f"character-{seed:08d}.png"
            boxes = [character.face_box] if len(ratings) < labelled else None
            if not path.exists():
                writing.append(pool.submit(_write, path, character.image, boxes))
            ratings.append(Rating(path, score))
            bar.update()
        for job in writing:
            job.result()
    table = expand_user(table) if table else folder / RATING_TABLE
    return write_ratings(table, ratings, table.parent)


def _write(path, image, boxes):
    """Write a picture, its labels first, so that a kill leaves none unlabelled."""
    if boxes is not None:
        write_labels(label_path(path), boxes, image.shape[1::-1])
    write_image(path, image)


SHOWN = 8


def write_page(folder: Path, result: Any, ranking: Any, run: Any) -> Path:
    """Write `index.html`.

    Args:
        folder: Folder of the demo.
        result: Result of `facescore.synthetic.demo.demo`, without the page.
        ranking: The `Ranking` of the unseen pictures.
        run: The scorer's `Run`.

    Returns:
        Path of the page.
    """
    ranked = [p for p in ranking.in_state("ranked") if p.duplicate_of is None]
    n = len(ranking.pictures)
    spearman = result.agreement.measures["Spearman"]
    page = PAGE.format(
        n=n,
        missed=f"No face was found in {result.missed} of them; they count as the mean."
        if result.missed
        else "A face was found in each of them.",
        spearman=spearman.value,
        low=spearman.low,
        high=spearman.high,
        ceiling=CEILING,
        rising="rise with every score"
        if result.agreement.rising
        else "do not rise with every score",
        best=_strip(ranked[:SHOWN]),
        worst=_strip(ranked[-SHOWN:]),
        table=_table(result.agreement),
        detector=_detector(result.detector),
        stability=html.escape(str(result.stability)),
        epochs=run.epochs_done,
        best_epoch=run.best("val_spearman"),
    )
    return write_whole(folder / "index.html", page)


def _strip(pictures):
    return "".join(
        f"<figure><img src='ranking/{quote(p.thumbnail)}' alt=''>"
        f"<figcaption>{p.score:.2f}</figcaption></figure>"
        for p in pictures
    )


def _table(result):
    rows = "".join(
        f"<tr><th scope=row>{html.escape(name)}</th><td class=value>{e.value:.3f}</td>"
        f"<td>{e.low:.3f} to {e.high:.3f}</td><td>{_number(e.constant)}</td></tr>"
        for name, e in result.measures.items()
    )
    return (
        "<table><thead><tr><td></td><th>scorer</th>"
        f"<th>{result.level:.0%} interval</th><th>always {result.constant:.2f}</th>"
        f"</tr></thead><tbody>{rows}</tbody></table>"
    )


def _number(value):
    return f"{value:.3f}" if value == value else "–"  # nan where nothing varies


def _detector(scores):
    if scores is None:
        return "<p>The detector was given, and not trained here.</p>"
    return (
        f"<p>On {scores.n_pictures} unseen scenes with {scores.n_faces} faces: AP50 "
        f"{scores.ap50:.3f}, AP50-95 {scores.ap50_95:.3f}; at a confidence of "
        f"{scores.conf:g} precision {scores.precision:.3f} and recall "
        f"{scores.recall:.3f}. The truth is green, detections are red.</p>"
        "<img src='detector.png' alt='Scenes with true and found boxes'>"
        "<img class=small src='precision-recall.png' alt='Precision and recall'>"
    )


PAGE = """<!doctype html>
<html lang=en><meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<title>facescore demo</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto;
  padding: 0 1rem; color: #1c2230; background: #fafafa }}
img {{ max-width: 100%; display: block; margin: 1rem auto }}
.small {{ max-width: 32rem; width: 100% }}
.strip {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(6.5rem, 1fr));
  gap: .6rem }}
.strip img {{ width: 100%; margin: 0; border-radius: 4px }}
figure {{ margin: 0 }}
figcaption {{ text-align: center; color: #667085; font-size: .85rem }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
td, th {{ padding: .15rem .9rem; text-align: right; border-bottom: 1px solid #e5e5e5;
  font-weight: 400 }}
th[scope] {{ text-align: left }}
.value {{ background: #e8f4e8; font-weight: 600 }}
pre {{ overflow-x: auto; font-size: .85rem }}
.go {{ display: inline-block; padding: .5rem 1rem; border-radius: 6px;
  background: #26547c; color: #fff; text-decoration: none }}
</style>
<h1>A taste learnt just now, on {n} pictures never seen before</h1>
<p>An invented person likes some hair, eyes and expressions, with some noise. From
ratings of 1 to 5 the scorer learnt that taste; its rank correlation with the person on
unseen pictures is <b>{spearman:.2f}</b> ({low:.2f} to {high:.2f}); the noise allows
{ceiling:.2f} at most. The medians {rising}. {missed}</p>
<p><a class=go href="ranking/gallery.html">Open the gallery</a></p>
<h2>The highest ranked</h2>
<div class=strip>{best}</div>
<h2>The lowest ranked</h2>
<div class=strip>{worst}</div>
<h2>What is predicted for each true score</h2>
<img src="evaluation/distributions.png" alt="Distributions of the predicted scores">
{table}
<p>The last column is a constant predictor. The scorer trained for {epochs}
epochs; its best rank correlation on held-out crops was {best_epoch:.2f}.</p>
<h2>Scores when the content stays</h2>
<pre>{stability}</pre>
<h2>The detector</h2>
{detector}
</html>
"""


UNSEEN_SEED = 10_000_000  # far from the characters that are rated
CONF = 0.4
DETECTOR = {"preset": "tiny", "epochs": 11, "max_faces": 24}
# The eyes' colour is learnt late, or never if the eyes are small or move much: a close
# crop shows them larger, and the detector's boxes vary enough by themselves.
MARGIN = 0.05, 0.0, 0.0
SCORER = {
    **{"preset": "small", "image_size": 80, "epochs": 15, "learning_rate": 3e-3},
    **{"shift": 0.01, "zoom": (0.97, 1.03), "turn": 2.0},
}


def demo(
    folder: str | os.PathLike = "facescore-demo",
    *,
    detector: Any = None,
    n_scenes: int = 160,
    n_labelled: int = 500,
    per_score: int = 500,
    per_score_unseen: int = 100,
    top_k: int = 20,
    strategy: str = "auto",
    verbose: str | int = "auto",
    detector_settings: Mapping[str, Any] | None = None,
    scorer_settings: Mapping[str, Any] | None = None,
) -> SimpleNamespace:
    """Train a detector and a scorer on the spot, and rank characters never seen before.

    It draws everything itself and needs no network and no file. A stopped demo resumes.

    Example:
    ```python
    page = facescore.synthetic.demo.demo("facescore-demo")
    ```

    Args:
        folder: Folder for everything. Defaults to "facescore-demo".
        detector: As in `facescore.detect_faces`. Defaults to one trained here.
        n_scenes: Scenes that the detector trains on; a third as many others measure
            it. Defaults to 160.
        n_labelled: Rated characters that it trains on as well. Defaults to 500.
        per_score: Characters of each score that the scorer trains on. Defaults to 500.
        per_score_unseen: Unseen characters of each score. Defaults to 100.
        top_k: How many of the best to copy to `ranking/top`. Defaults to 20.
        strategy: Kind of `illustkit.get_strategy`. Defaults to "auto".
        verbose: As in `keras.Model.fit`; 0 hides the progress bars too.
        detector_settings: Fields of `facescore.detector.training.DetectorPreset` that
            differ from those here.
        scorer_settings: Fields of `facescore.scorer.training.ScorerPreset`, likewise.

    Returns:
        `SimpleNamespace`: `page` and `gallery` (paths), `agreement`, `stability`,
        `detector` (a `DetectorScores`, or `None` if one was given) and `missed`, the
        number of unseen characters whose face was not found.

    Raises:
        UserError: See `facescore.train_detector` and `facescore.train_scorer`.
    """
    from facescore.detector.prediction import as_detector
    from facescore.ranking.rank import rank_folder
    from facescore.scorer.model import load_scorer
    from facescore.scorer.training import train_scorer

    folder, progress = expand_user(folder), verbose != 0
    if detector is not None:
        detector = as_detector(detector)  # an error comes before the drawing
    ratings = draw_characters(
        folder / "rated",
        per_score,
        labelled=n_labelled if detector is None else 0,
        progress=progress,
    )
    detector_scores = None
    if detector is None:
        detector, detector_scores = trained_detector(
            folder,
            n_scenes=n_scenes,
            strategy=strategy,
            verbose=verbose,
            **(detector_settings or {}),
        )
    scorer_settings = {**SCORER, **(scorer_settings or {})}
    crop_folder(
        folder / "rated",
        folder / "crops",
        # The most confident face alone: the score must not go to a false detection.
        detect=lambda image: _find(detector, image)[:1],
        overwrite=True,  # the detector may be another one now
        progress=progress,
        margin=MARGIN,
        size=scorer_settings["image_size"],
    )
    run = train_scorer(
        folder / "crops",
        folder / "scorer",
        ratings=ratings,
        margin=MARGIN,
        strategy=strategy,
        verbose=verbose,
        **scorer_settings,
    )
    scorer = load_scorer(run)

    # The scores are stored apart, so that nothing beside the pictures tells them.
    truth = draw_characters(
        folder / "unseen",
        per_score_unseen,
        first_seed=UNSEEN_SEED,
        table=folder / "unseen.csv",
        progress=progress,
    )
    ranking = rank_folder(
        folder / "unseen",
        scorer=scorer,
        detector=detector,
        output=folder / "ranking",
        top_k=top_k,
        progress=progress,
        **_finding(detector),
    )
    result = judge(ranking, truth, folder, run.settings["mean"])
    result.stability = _stability(ranking, folder, scorer)
    result.detector = detector_scores
    result.gallery = folder / "ranking" / "gallery.html"
    result.page = write_page(folder, result, ranking, run)
    return result


def trained_detector(
    folder: Path,
    *,
    n_scenes: int,
    strategy: str,
    verbose: str | int,
    **settings: Any,
) -> tuple[Any, Any]:
    """Draw scenes, train a detector on them and on characters, and measure it.

    Args:
        folder: Folder for `scenes/`, `unseen-scenes/` and the run `detector/`; `rated/`
            holds the characters, some with labels: their garments and hands are no
            faces, and the heads in scenes have none.
        n_scenes: Number of scenes to train on.
        strategy: As in `demo`.
        verbose: As in `demo`.
        **settings: Fields of `DetectorPreset` that differ.

    Returns:
        `(detector, scores)`: a `Detector` and its `DetectorScores`.
    """
    from facescore.detector.evaluation import evaluate_detector, plot_precision_recall
    from facescore.detector.prediction import load_detector
    from facescore.detector.training import train_detector

    progress, n_unseen = verbose != 0, max(2, n_scenes // 3)
    draw_scenes(folder / "scenes", n_scenes, progress=progress)
    unseen = folder / "unseen-scenes"
    draw_scenes(unseen, n_unseen, first_seed=UNSEEN_SEED, progress=progress)
    run = train_detector(
        [folder / "scenes", folder / "rated"],
        folder / "detector",
        strategy=strategy,
        verbose=verbose,
        **{**DETECTOR, **settings},
    )
    detector = load_detector(run)
    scores = evaluate_detector(
        unseen,
        detector,
        confidence=CONF,
        image_size=SCENE,
        sheet_path=folder / "detector.png",
    )
    plot_precision_recall(
        {f"{n_unseen} unseen scenes": scores}, folder / "precision-recall.png"
    )
    return detector, scores


def judge(ranking: Any, truth: Path, folder: Path, mean: float) -> SimpleNamespace:
    """Compare a ranking with the person's scores, and write the tables and the figure.

    A picture without a detected face counts as predicted by the mean.

    Args:
        ranking: What `rank_folder` returned, of pictures in `folder / "unseen"`.
        truth: The CSV of their scores.
        folder: Folder of the demo; the files go to `evaluation/`.
        mean: Mean of the training scores.

    Returns:
        `SimpleNamespace` with `agreement` and `missed`.
    """
    from facescore.scorer.agreement import agreement
    from facescore.scorer.evaluation import write_evaluation
    from facescore.scorer.ratings import ratings_from_csv

    scores = {picture.file: picture.score for picture in ranking.pictures}
    rated = ratings_from_csv(truth)
    names = [path.name for path, _ in rated]
    true = np.asarray([score for _, score in rated], np.float64)
    values = [scores[name] for name in names]
    predicted = np.asarray([mean if v is None else v for v in values], np.float64)
    result = agreement(true, predicted, constant=mean)
    write_evaluation(folder / "evaluation", names, true, predicted, result)
    return SimpleNamespace(agreement=result, missed=values.count(None))


def _find(detector, image):
    from facescore.detector.prediction import detect_faces

    return detect_faces(image, detector, **_finding(detector))


def _finding(detector):
    """Return the options of finding that a detector has."""
    scaled = {"image_size": SCENE} if hasattr(detector, "detect_all") else {}
    return {"confidence": CONF, **scaled}


def _stability(ranking, folder, scorer, most=60):
    from facescore.scorer.evaluation import stability

    ranked = ranking.in_state("ranked")
    chosen = ranked[:: max(1, len(ranked) // most)][:most]
    pictures = ((read_image(folder / "unseen" / p.file), p.faces) for p in chosen)
    return stability(pictures, scorer=scorer)
