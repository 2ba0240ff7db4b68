"""Commands about a taste: train, score, evaluate, rank."""

import csv
import io
from pathlib import Path
from typing import Annotated, Any

import typer

from facescore.cli.options import (
    BatchSize,
    Confidence,
    Detector,
    Engine,
    EngineOrRay,
    Holdout,
    ImageSize,
    Iou,
    LearningRate,
    Margin,
    Precision,
    Ratings,
    Seed,
    Square,
    Strategy,
    Tile,
    TrainingSize,
    end_with_left_out,
    finding,
    margin_of,
    open_detector,
    user_errors,
)
from facescore.detector import CONFIDENCE
from illustkit.cli import EarlyStopping, TensorBoard, given, progress_bar
from illustkit.errors import UserError
from illustkit.files import expand_user, write_whole
from illustkit.tables import write_table

DetectorOrNone = Annotated[
    str,
    typer.Option(help="default, cascade, a run folder, or none: whole pictures."),
]
ScorerRun = Annotated[Path, typer.Option(help="Run folder of a trained scorer.")]
_RUN = Path("runs/scorer")


def train_scorer(
    crops: Annotated[Path, typer.Argument(help="Folder of crops, or of pictures.")],
    run: Annotated[Path, typer.Option(help="Folder of the training.")] = _RUN,
    ratings: Ratings = None,
    preset: Annotated[
        str, typer.Option(help="small, transfer, animecnn, alexnet-whole or -face.")
    ] = "small",
    objective: Annotated[str | None, typer.Option(help="regression or coral.")] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="Of transfer; any of keras.applications, as MobileNetV2."),
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(help="File of weights to begin with: .npz or .weights.h5."),
    ] = None,
    class_weights: Annotated[
        str | None,
        typer.Option(help="balanced: rare scores count as much as frequent ones."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Number of epochs.")] = None,
    batch_size: BatchSize = None,
    image_size: TrainingSize = None,
    learning_rate: LearningRate = None,
    hidden_units: Annotated[
        int | None, typer.Option(help="Of AlexNet; 4096, or the article's prose: 1024.")
    ] = None,
    margin: Margin = "0.3,0.15,0",
    square: Square = True,
    holdout: Holdout = 0.1,
    calibrate: Annotated[
        bool, typer.Option(help="Give scores the distribution of your ratings.")
    ] = False,
    precision: Precision = None,
    strategy: Strategy = "auto",
    early_stopping: EarlyStopping = None,
    tensorboard: TensorBoard = False,
    seed: Seed = 0,
) -> None:
    """Train a scorer; the same command again resumes it.

    Margin and shape are those of the crops; scoring will cut alike.
    """
    with user_errors():
        from illustkit.images.listing import check_folder

        check_folder(crops)
        from facescore.scorer import training
        from illustkit.training.watching import watching

        options = given(hidden_units=hidden_units, backbone=backbone) or None
        done = training.train_scorer(
            crops,
            run,
            ratings=ratings,
            preset=preset,
            margin=margin_of(margin),
            square=square,
            strategy=strategy,
            seed=seed,
            callbacks=watching(early_stopping, tensorboard),
            holdout=holdout,
            calibrate=calibrate,
            **given(
                objective=objective,
                start_from=start_from,
                class_weights=class_weights,
                epochs=epochs,
                batch_size=batch_size,
                image_size=image_size,
                learning_rate=learning_rate,
                network_options=options,
                precision=precision,
            ),
        )
        from illustkit.training.runs import format_figure

        best = format_figure(done.best("val_spearman"))
        print(
            f"Best rank correlation on held-out pictures: {best}. "
            f"The run is in {done.folder}"
        )


def score(
    pictures: Annotated[
        list[Path], typer.Argument(help="Files or folders; links are followed.")
    ],
    scorer: ScorerRun = _RUN,
    detector: DetectorOrNone = "default",
    output: Annotated[
        Path | None, typer.Option(help="CSV to write; the screen by default.")
    ] = None,
    confidence: Confidence = CONFIDENCE,
    iou: Iou = None,
    image_size: ImageSize = None,
    tile: Tile = "auto",
    engine: Engine = "auto",
) -> None:
    """Score the faces of pictures: a CSV with a row for each face."""
    with user_errors():
        from facescore.crops import failure
        from facescore.scorer.prediction import FaceScorer
        from illustkit.images import list_images, read_image

        pictures = [expand_user(path) for path in pictures]
        for path in pictures:
            if not path.exists():
                raise UserError(f"{path}: no such file or folder. Check the path.")
        rate = FaceScorer(
            scorer,
            open_detector(detector, engine),
            confidence=confidence,
            **finding(iou, image_size, tile),
        )
        paths: list[Path] = []
        for path in pictures:
            paths += list_images(path) if path.is_dir() else [path]
        rows: list[list[Any]] = []
        left_out: list[tuple[Path, str]] = []
        with progress_bar(len(paths)) as progress:
            for number, path in enumerate(paths, 1):
                try:
                    faces = rate(read_image(path))
                except Exception as error:
                    left_out.append((path, failure(path, error)))
                    faces = None
                if faces is not None:
                    rows += [[path, *_cells(face)] for face in faces]
                    rows += [] if faces else [[path, *[""] * 6]]
                progress(number)
        _write(rows, output)
        end_with_left_out(left_out)


def _cells(face: Any) -> list[str]:
    box = [f"{v:.1f}" for v in face.box]
    return [*box, f"{face.confidence:.4f}", f"{face.score:.3f}"]


def _write(rows: list[list[Any]], output: Path | None) -> None:
    heads = ["file", "left", "top", "right", "bottom", "confidence", "score"]
    if output is not None:
        write_table(output, heads, rows)
        print(f"Written to {output}")
        return
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([heads, *rows])
    # File names that are no Unicode keep their bytes.
    typer.echo(stream.getvalue().encode("utf-8", "surrogateescape"), nl=False)


def explain(
    pictures: Annotated[list[Path], typer.Argument(help="Files or folders.")],
    scorer: ScorerRun = _RUN,
    detector: DetectorOrNone = "default",
    output: Annotated[Path, typer.Option(help="Folder for sheets and page.")] = Path(
        "explanations"
    ),
    method: Annotated[str, typer.Option(help="dcsm or grad-cam.")] = "dcsm",
    scales: Annotated[
        str, typer.Option(help="Sizes of the face to look at it, such as 0.8,1,1.25.")
    ] = "1",
    confidence: Confidence = CONFIDENCE,
    iou: Iou = None,
    image_size: ImageSize = None,
    tile: Tile = "auto",
    engine: Engine = "auto",
) -> None:
    """Show what in each face raises its score, and what lowers it."""
    with user_errors():
        from illustkit.images.listing import check_given
        from illustkit.training.folder import check_run

        check_given(pictures)
        check_run(scorer)
        from facescore.ranking.explanations import explain_pictures

        report = explain_pictures(
            pictures,
            output,
            scorer=scorer,
            detector=open_detector(detector, engine),
            method=method,
            scales=_numbers("--scales", scales),
            confidence=confidence,
            **finding(iou, image_size, tile),
        )
        faces, without = len(report.sheets), len(report.without_face)
        print(f"{faces} faces explained, {without} pictures without a face.")
        print(f"Look at {report.page}")
        end_with_left_out(report.left_out)


def _numbers(option, text):
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(
            f"{option} takes numbers with commas. Received: {text}"
        ) from None


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
    detector: Detector = "default",
    confidence: Confidence = CONFIDENCE,
    image_size: ImageSize = None,
    limit: Annotated[int, typer.Option(help="Most pictures for the stability.")] = 100,
    output: Annotated[
        Path | None, typer.Option(help="Folder; evaluation/ in the run by default.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Compare a scorer with the person on unseen crops.

    Print a table with intervals beside a constant predictor, draw the distribution of
    the predictions for each true score, and with --pictures measure how much the scores
    move when margin, size or JPEG quality change.
    """
    with user_errors():
        from illustkit.images.listing import check_folder

        check_folder(crops)
        from facescore.detector.prediction import as_detector, check_finding
        from facescore.scorer import evaluation

        options = given(image_size=image_size)
        finder = None if pictures is None else as_detector(detector)
        if pictures is not None:
            check_finding(finder, confidence=confidence, **options)
        scorer = expand_user(scorer)
        output = output or scorer / "evaluation"
        left_out: list[tuple[Path, str]] = []
        with progress_bar(None, "crop") as progress:
            judged = evaluation.evaluate_scorer(
                scorer,
                crops,
                ratings=ratings,
                output=output,
                seed=seed,
                left_out=left_out,
                progress=progress,
            )
        print(f"{len(judged.true)} crops that were not trained on")
        print(judged.agreement)
        if pictures is not None:
            with progress_bar(None) as progress:
                result = evaluation.evaluate_stability(
                    pictures,
                    scorer=scorer,
                    detector=finder,
                    limit=limit,
                    left_out=left_out,
                    progress=progress,
                    confidence=confidence,
                    **options,
                )
            write_whole(output / "stability.txt", f"{result}\n")
            print(result)
        print(f"Written to {output}")
        end_with_left_out(left_out)


def rank(
    folder: Annotated[
        Path, typer.Argument(help="Folder of pictures; linked ones too.")
    ],
    scorer: ScorerRun = _RUN,
    detector: DetectorOrNone = "default",
    output: Annotated[Path, typer.Option(help="Folder for table and gallery.")] = Path(
        "ranking"
    ),
    top_k: Annotated[
        int | None, typer.Option(help="How many of the best to copy to top/.")
    ] = None,
    link: Annotated[bool, typer.Option(help="Link there instead of copying.")] = False,
    overwrite: Annotated[
        bool, typer.Option(help="Rank anew what the output holds already.")
    ] = False,
    picture_score: Annotated[
        str, typer.Option(help="best or mean of a picture's faces.")
    ] = "best",
    duplicates: Annotated[
        int,
        typer.Option(
            help="Bits of 64 in which duplicates may differ; -1 ignores them."
        ),
    ] = 6,
    explain: Annotated[
        int | None,
        typer.Option(help="How many of the best to explain in the gallery.", min=1),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Threads that decode, by default 2; with --engine ray processes, by "
            "default one for each core."
        ),
    ] = None,
    confidence: Confidence = CONFIDENCE,
    iou: Iou = None,
    image_size: ImageSize = None,
    tile: Tile = "auto",
    engine: EngineOrRay = "auto",
) -> None:
    """Rank a folder by its faces: a table and a gallery."""
    with user_errors():
        from facescore.ranking.rank import rank_folder

        spread = engine == "ray"
        named = None if detector == "none" else detector
        ranking = rank_folder(
            folder,
            scorer=scorer,
            detector=named if spread else open_detector(detector, engine),
            engine="ray" if spread else "auto",
            output=output,
            top_k=top_k,
            link=link,
            resume=not overwrite,
            picture_score=picture_score,
            duplicates=None if duplicates == -1 else duplicates,
            workers=workers,
            explain=explain,
            confidence=confidence,
            **finding(iou, image_size, tile),
        )
        before = len(ranking.pictures) - ranking.done
        if before:
            print(f"{before} pictures were rated before. --overwrite rates them again.")
        print("\n".join(str(ranking).splitlines()[:2]))
        broken = ranking.in_state("broken")
        end_with_left_out((folder / p.file, f"{p.file}: {p.error}") for p in broken)
