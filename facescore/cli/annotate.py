"""Commands of the labelling loop: annotate start, review, train, label."""

from pathlib import Path
from typing import Annotated, Any

import typer

from facescore.cli.detector import Epochs, EpochSize, Preset, print_trained
from facescore.cli.options import (
    BatchSize,
    Browser,
    Confidence,
    Engine,
    FaceClass,
    ImageSize,
    Iou,
    LearningRate,
    Port,
    Precision,
    Seed,
    Strategy,
    Tile,
    TrainingSize,
    end_with_left_out,
    finding,
    open_detector,
    user_errors,
)
from facescore.detector import CONFIDENCE
from illustkit.cli import LOOPBACK, EarlyStopping, Host, TensorBoard, app_with, given
from illustkit.deprecation import renamed_options

app = app_with("Label faces in rounds: start, then review, train, label.")

Folder = Annotated[
    Path, typer.Argument(help="Folder of the pictures; linked ones too.")
]
DetectorRun = Annotated[Path, typer.Option(help="Folder of the detector's training.")]
_RUN = Path("runs/detector")


@app.command(
    cls=renamed_options(first="limit"),
    epilog="Example: facescore annotate start pictures --limit 1000",
)
def start(
    folder: Folder,
    limit: Annotated[int, typer.Option(help="Most pictures.")] = 1000,
    detector: Annotated[
        str | None,
        typer.Option(help="default, cascade or a run folder; default by default."),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option("--confidence", "--conf", help="Least confidence of a face."),
    ] = None,
    cascade: Annotated[
        Path | None, typer.Option(help="The cascade's XML; fetched by default.")
    ] = None,
    engine: Engine = "auto",
    shrink: Annotated[
        float | None, typer.Option(help="Factor on the cascade's boxes; else 0.85.")
    ] = None,
    min_neighbors: Annotated[
        int | None,
        typer.Option(help="The cascade's raw hits of a face, else 5; 1 finds more."),
    ] = None,
    face_class: FaceClass = None,
) -> None:
    """Let the package's detector, or the cascade, suggest faces."""
    with user_errors():
        from facescore.annotation import loop

        # An option of the cascade asks for it.
        of_cascade = given(cascade=cascade, shrink=shrink, min_neighbors=min_neighbors)
        name = detector or ("cascade" if of_cascade else "default")
        by_name = name == "cascade" and engine == "auto"  # its options come with it
        report = loop.start(
            folder,
            limit=limit,
            detector=name if by_name else open_detector(name, engine),
            **of_cascade,
            **given(confidence=confidence),
            face_class=face_class,
        )
        _print_report(report, folder, face_class)


@app.command(epilog="Example: facescore annotate review pictures")
def review(
    folder: Folder,
    face_class: FaceClass = None,
    port: Port = 0,
    browser: Browser = True,
    host: Host = LOOPBACK,
) -> None:
    """Correct and accept boxes in the browser."""
    with user_errors():
        from facescore.annotation import loop

        loop.review(
            folder,
            face_class=face_class,
            port=port,
            host=host,
            open_browser=browser,
        )
        _print_states(folder, face_class)


@app.command(
    cls=renamed_options(lr0="learning_rate"),
    epilog="Example: facescore annotate train pictures --run runs/round1 "
    "--start-from default; then --run runs/round2 --start-from runs/round1",
)
def train(
    folder: Folder,
    run: DetectorRun = _RUN,
    preset: Preset = "small",
    start_from: Annotated[
        str | None,
        typer.Option(help="Run of an earlier round to begin with; or default."),
    ] = None,
    epochs: Epochs = None,
    epoch_size: EpochSize = None,
    batch_size: BatchSize = None,
    image_size: TrainingSize = None,
    learning_rate: LearningRate = None,
    precision: Precision = None,
    strategy: Strategy = "auto",
    seed: Seed = 0,
    face_class: FaceClass = None,
    early_stopping: EarlyStopping = None,
    tensorboard: TensorBoard = False,
) -> None:
    """Train a detector on the accepted pictures; the same command resumes it."""
    with user_errors():
        from illustkit.images.listing import check_folder

        check_folder(folder)
        from facescore.annotation import loop
        from illustkit.training.watching import watching

        done = loop.train(
            folder,
            run,
            preset=preset,
            strategy=strategy,
            seed=seed,
            callbacks=watching(early_stopping, tensorboard),
            **given(
                face_class=face_class,
                start_from=start_from,
                epochs=epochs,
                epoch_size=epoch_size,
                batch_size=batch_size,
                image_size=image_size,
                learning_rate=learning_rate,
                precision=precision,
            ),
        )
        print_trained(done)


@app.command(epilog="Example: facescore annotate label pictures --run runs/round1")
def label(
    folder: Folder,
    run: DetectorRun = _RUN,
    confidence: Confidence = CONFIDENCE,
    iou: Iou = None,
    image_size: ImageSize = None,
    tile: Tile = "auto",
    engine: Engine = "auto",
    face_class: FaceClass = None,
) -> None:
    """Let the trained detector suggest faces in all pictures not yet accepted."""
    with user_errors():
        from illustkit.images.listing import check_folder

        check_folder(folder)
        from facescore.annotation import loop

        report = loop.label(
            folder,
            run,
            confidence=confidence,
            **finding(iou, image_size, tile),
            engine=engine,
            face_class=face_class,
        )
        _print_report(report, folder, face_class)


def _print_report(report: Any, folder: Path, face_class: int | None) -> None:
    print(str(report).splitlines()[0])
    _print_states(folder, face_class)
    end_with_left_out(report.left_out)


def _print_states(folder: Path, face_class: int | None) -> None:
    from facescore.annotation.loop import count_states

    states = count_states(folder, face_class=face_class)
    print(", ".join(f"{n} {state}" for state, n in states.items() if n))
