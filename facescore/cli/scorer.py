"""Commands about a taste: train, score, evaluate, rank."""

import csv
import sys
from pathlib import Path
from typing import Annotated

import typer

from facescore.cli.options import (
    Conf,
    Detector,
    Imgsz,
    Iou,
    LeftOutError,
    Margin,
    Precision,
    Ratings,
    Square,
    Strategy,
    Tile,
    margin_of,
    user_errors,
)
from illustkit.cli import given, progress_bar

DetectorOrNone = Annotated[
    str,
    typer.Option(help="cascade, a run folder, or none: score whole pictures."),
]
ScorerRun = Annotated[Path, typer.Option(help="Run folder of a trained scorer.")]
_RUN = Path("runs/scorer")


def train_scorer(
    crops: Annotated[Path, typer.Argument(help="Folder of crops, or of pictures.")],
    run: Annotated[Path, typer.Option(help="Folder of the training.")] = _RUN,
    ratings: Ratings = None,
    preset: Annotated[
        str, typer.Option(help="small, animecnn, alexnet-whole or alexnet-face.")
    ] = "small",
    objective: Annotated[str | None, typer.Option(help="regression or coral.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the crops.")] = None,
    batch: Annotated[
        int | None, typer.Option(help="Crops a step, over all devices.")
    ] = None,
    imgsz: Annotated[int | None, typer.Option(help="Side of a crop.")] = None,
    lr0: Annotated[float | None, typer.Option(help="Greatest learning rate.")] = None,
    hidden_units: Annotated[
        int | None, typer.Option(help="Of AlexNet; 4096, or the article's prose: 1024.")
    ] = None,
    margin: Margin = "0.3,0.15,0",
    square: Square = True,
    holdout: Annotated[float, typer.Option(help="Share held out.")] = 0.1,
    precision: Precision = None,
    strategy: Strategy = "auto",
    seed: Annotated[int, typer.Option()] = 0,
):
    """Train a scorer; the same command again resumes it.

    Margin and shape are those that the crops were cut with: scoring will cut alike.
    """
    with user_errors():
        from facescore.scorer import training

        options = None if hidden_units is None else {"hidden_units": hidden_units}
        done = training.train_scorer(
            crops,
            run,
            ratings=ratings,
            preset=preset,
            margin=margin_of(margin),
            square=square,
            strategy=strategy,
            seed=seed,
            holdout=holdout,
            **given(
                objective=objective,
                epochs=epochs,
                batch_size=batch,
                image_size=imgsz,
                learning_rate=lr0,
                network_options=options,
                precision=precision,
            ),
        )
        best = max(done.history["val_spearman"])
        print(
            f"Best rank correlation on held-out pictures: {best:.3f}. "
            f"The run is in {done.folder}"
        )


def score(
    pictures: Annotated[list[Path], typer.Argument(help="Files or folders.")],
    scorer: ScorerRun = _RUN,
    detector: DetectorOrNone = "cascade",
    output: Annotated[
        Path | None, typer.Option(help="CSV to write; the screen by default.")
    ] = None,
    conf: Conf = 0.25,
    iou: Iou = 0.5,
    imgsz: Imgsz = 640,
    tile: Tile = None,
):
    """Score the faces of pictures: a CSV with a row a face."""
    with user_errors():
        from facescore.detector.prediction import as_detector
        from facescore.scorer import prediction
        from illustkit.images import list_images

        for path in pictures:
            if not path.exists():
                raise ValueError(f"{path}: no such file or folder. Check the path.")
        scorer = prediction.load_scorer(scorer)
        detector = None if detector == "none" else as_detector(detector)
        options = {"conf": conf, "iou": iou, "imgsz": imgsz, "tile": tile}
        paths = []
        for path in pictures:
            paths += list_images(path) if path.is_dir() else [path]
        rows, left_out = [], []
        for path in paths:
            try:
                faces = prediction.score(
                    path, scorer=scorer, detector=detector, **options
                )
            except (ValueError, OSError, MemoryError) as error:
                reason = str(error) or type(error).__name__
                named = reason if str(path) in reason else f"{path}: {reason}"
                left_out.append((path, named))
                continue
            rows += [[path, *_face(face)] for face in faces]
            if not faces:
                rows.append([path, *[""] * 6])
        _write(rows, output)
        if left_out:
            raise LeftOutError(left_out)


def _face(face):
    box = [f"{v:.1f}" for v in face.box]
    return [*box, f"{face.confidence:.4f}", f"{face.score:.3f}"]


def _write(rows, output):
    heads = "file", "left", "top", "right", "bottom", "confidence", "score"
    if output is None:
        csv.writer(sys.stdout, lineterminator="\n").writerows([heads, *rows])
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([heads, *rows])
    print(f"Written to {output}")


def evaluate_scorer(
    crops: Annotated[
        Path, typer.Argument(help="Folder of crops; of the run's own, those held out.")
    ],
    scorer: ScorerRun = _RUN,
    ratings: Ratings = None,
    pictures: Annotated[
        Path | None,
        typer.Option(help="Folder of pictures, for the scores' stability."),
    ] = None,
    detector: Detector = "cascade",
    conf: Conf = 0.25,
    imgsz: Imgsz = 640,
    limit: Annotated[int, typer.Option(help="Most pictures for the stability.")] = 100,
    output: Annotated[
        Path | None, typer.Option(help="Folder; evaluation/ in the run by default.")
    ] = None,
    seed: Annotated[int, typer.Option()] = 0,
):
    """Compare a scorer with the person on unseen crops.

    A table with intervals beside a predictor that never looks, the distribution of the
    predictions for each true score, and with --pictures how much the scores move when
    margin, size or JPEG quality change.
    """
    with user_errors():
        from facescore.scorer import evaluation

        output = output or scorer / "evaluation"
        found = evaluation.evaluate_scorer(
            scorer, crops, ratings=ratings, output=output, seed=seed
        )
        print(f"{len(found.true)} crops that were not trained on")
        print(found.agreement)
        left_out = []
        if pictures is not None:
            with progress_bar(None) as progress:
                result = evaluation.evaluate_stability(
                    pictures,
                    scorer=scorer,
                    detector=detector,
                    limit=limit,
                    left_out=left_out,
                    progress=progress,
                    conf=conf,
                    imgsz=imgsz,
                )
            (output / "stability.txt").write_text(f"{result}\n", encoding="utf-8")
            print(result)
        print(f"Written to {output}")
        if left_out:
            raise LeftOutError(left_out)


def rank(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures.")],
    scorer: ScorerRun = _RUN,
    detector: DetectorOrNone = "cascade",
    output: Annotated[Path, typer.Option(help="Folder for table and gallery.")] = Path(
        "ranking"
    ),
    top_k: Annotated[
        int | None, typer.Option(help="How many of the best to copy to top/.")
    ] = None,
    link: Annotated[bool, typer.Option(help="Link there instead of copying.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume/--anew", help="Go on with the one in the output.")
    ] = True,
    picture_score: Annotated[
        str, typer.Option(help="best or mean of a picture's faces.")
    ] = "best",
    duplicates: Annotated[
        int,
        typer.Option(help="Bits of 64 that pictures alike may differ in; -1: not."),
    ] = 6,
    workers: Annotated[int, typer.Option(help="Threads that decode.")] = 2,
    conf: Conf = 0.25,
    iou: Iou = 0.5,
    imgsz: Imgsz = 640,
    tile: Tile = None,
):
    """Rank a folder by its faces: a table and a gallery."""
    with user_errors():
        from facescore.ranking.rank import rank_folder

        ranking = rank_folder(
            folder,
            scorer=scorer,
            detector=None if detector == "none" else detector,
            output=output,
            top_k=top_k,
            link=link,
            resume=resume,
            picture_score=picture_score,
            duplicates=None if duplicates == -1 else duplicates,
            workers=workers,
            conf=conf,
            iou=iou,
            imgsz=imgsz,
            tile=tile,
        )
        print(ranking)
