"""From nothing to a ranked folder: draw, train, find, score, rank, show.

A made-up person rates drawn characters. A detector learns faces from drawn scenes, a
scorer that person's taste, and both are tried on characters they have never seen.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from facescore.crop_folder import crop_folder
from facescore.demo_page import write_page
from facescore.demo_pictures import SCENE, draw_characters, draw_scenes
from illustkit.images import read_image

UNSEEN_SEED = 10_000_000  # far from the characters that are rated
CONF = 0.4
DETECTOR = {"preset": "tiny", "epochs": 11, "max_faces": 24}
# The eyes' colour is learnt late, or never where they are small or move about much:
# a close crop shows them larger, and the detector's boxes vary enough by themselves.
MARGIN = 0.05, 0.0, 0.0
SCORER = {
    **{"preset": "small", "image_size": 80, "epochs": 15, "learning_rate": 3e-3},
    **{"shift": 0.01, "zoom": (0.97, 1.03), "turn": 2.0},
}


def demo(
    folder="facescore-demo",
    *,
    detector=None,
    n_scenes=160,
    n_labelled=500,
    per_score=500,
    per_score_unseen=100,
    top_k=20,
    strategy="auto",
    verbose="auto",
    detector_settings=None,
    scorer_settings=None,
):
    """Train a detector and a scorer on the spot, and rank characters never seen before.

    It draws all that it needs: no network, no file. A demo that was stopped goes on
    where it was.

    Example:
    ```python
    page = facescore.demo.demo("facescore-demo")
    ```

    Args:
        folder: Where everything goes. Defaults to "facescore-demo".
        detector: As in `facescore.detect_faces`. Defaults to one trained here.
        n_scenes: Scenes that the detector trains on; a third as many others measure
            it. Defaults to 160.
        n_labelled: Rated characters that it trains on as well. Defaults to 500.
        per_score: Characters of each score that the scorer trains on. Defaults to 500.
        per_score_unseen: Unseen characters of each score. Defaults to 100.
        top_k: How many of the best to copy to `ranking/top`. Defaults to 20.
        strategy: Kind of `illustkit.get_strategy`. Defaults to "auto".
        verbose: As of `keras.Model.fit`; 0 hides the progress bars too.
        detector_settings: Dict of fields of `facescore.presets.DetectorPreset` that
            differ from those here.
        scorer_settings: Likewise of `facescore.scorer_presets.ScorerPreset`.

    Returns:
        `SimpleNamespace`: `page` and `gallery` (paths), `agreement`, `stability`,
        `detector` (a `DetectorScores`, or `None` where one was given) and `missed`,
        the number of unseen characters whose face was not found.

    Raises:
        ValueError: as of `facescore.train_detector` and `facescore.train_scorer`.
    """
    from facescore.detecting import as_detector
    from facescore.recommend import rank_folder
    from facescore.scorer_training import train_scorer
    from facescore.scoring import load_scorer

    folder, progress = Path(folder), verbose != 0
    if detector is not None:
        detector = as_detector(detector)  # refused before anything is drawn
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
        # The surest face alone: the picture's score is not that of a false one.
        detect=lambda image: _find(detector, image)[:1],
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

    # The scores lie apart from the pictures: nothing of them is there to be seen.
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
        conf=CONF,
        imgsz=SCENE,
        progress=progress,
    )
    found = judge(ranking, truth, folder, run.settings["mean"])
    found.stability = _stability(ranking, folder, scorer)
    found.detector = detector_scores
    found.gallery = folder / "ranking" / "gallery.html"
    found.page = write_page(folder, found, ranking, run)
    return found


def trained_detector(folder, *, n_scenes, strategy, verbose, **settings):
    """Draw scenes, train a detector on them and on characters, and measure it.

    Args:
        folder: Where `scenes/`, `unseen-scenes/` and the run `detector/` go; `rated/`
            holds the characters, some with labels: garments and hands that are no
            faces, which the heads in scenes do not have.
        n_scenes: Number of scenes to train on.
        strategy: As in `demo`.
        verbose: As in `demo`.
        **settings: Fields of `DetectorPreset` that differ.

    Returns:
        `(detector, scores)`: a `Detector` and its `DetectorScores`.
    """
    from facescore.detecting import load_detector
    from facescore.detector_evaluation import evaluate_detector, plot_precision_recall
    from facescore.detector_training import train_detector

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
        unseen, detector, conf=CONF, imgsz=SCENE, sheet_path=folder / "detector.png"
    )
    plot_precision_recall(
        {f"{n_unseen} unseen scenes": scores}, folder / "precision-recall.png"
    )
    return detector, scores


def judge(ranking, truth, folder, mean):
    """Compare a ranking with the person's scores, and write the tables and the figure.

    A picture without a face found counts as if the mean had been said.

    Args:
        ranking: What `rank_folder` returned, of pictures in `folder / "unseen"`.
        truth: The CSV of their scores.
        folder: Folder of the demo; the files go to `evaluation/`.
        mean: Mean of the scores trained on.

    Returns:
        `SimpleNamespace` with `agreement` and `missed`.
    """
    from facescore.agreement import agreement
    from facescore.ratings import ratings_from_csv
    from facescore.scorer_evaluation import write_evaluation

    scores = {picture.file: picture.score for picture in ranking.pictures}
    rated = ratings_from_csv(truth)
    names = [path.name for path, _ in rated]
    true = np.asarray([score for _, score in rated], np.float64)
    given = [scores[name] for name in names]
    predicted = np.asarray([mean if v is None else v for v in given], np.float64)
    result = agreement(true, predicted, constant=mean)
    write_evaluation(folder / "evaluation", names, true, predicted, result)
    return SimpleNamespace(agreement=result, missed=given.count(None))


def _find(detector, image):
    from facescore.detecting import detect_faces

    return detect_faces(image, detector, conf=CONF, imgsz=SCENE)


def _stability(ranking, folder, scorer, most=60):
    from facescore.stability import stability

    there = ranking.in_state("ranked")
    chosen = there[:: max(1, len(there) // most)][:most]
    pictures = ((read_image(folder / "unseen" / p.file), p.faces) for p in chosen)
    return stability(pictures, scorer=scorer)
