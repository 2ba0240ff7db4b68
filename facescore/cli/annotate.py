"""Commands of the labelling loop: annotate start, review, train, label."""

from pathlib import Path
from typing import Annotated

import typer

from facescore.cli.detector import print_trained
from facescore.cli.options import (
    Browser,
    Conf,
    Imgsz,
    Iou,
    LeftOutError,
    Port,
    Precision,
    Strategy,
    Tile,
    user_errors,
)
from illustkit.cli import app_with, given

app = app_with("Label faces in rounds: start, then review, train, label.")

Folder = Annotated[Path, typer.Argument(help="Folder of the pictures.")]
DetectorRun = Annotated[Path, typer.Option(help="Folder of the detector's training.")]
_RUN = Path("runs/detector")


@app.command(epilog="Example: facescore annotate start pictures --first 1000")
def start(
    folder: Folder,
    first: Annotated[int, typer.Option(help="Number of pictures.")] = 1000,
    cascade: Annotated[
        Path | None, typer.Option(help="The cascade's XML; fetched by default.")
    ] = None,
    shrink: Annotated[float, typer.Option(help="Factor on its boxes.")] = 0.85,
    min_neighbors: Annotated[
        int, typer.Option(help="Raw hits that make a face; 1 finds more, and worse.")
    ] = 5,
):
    """Let the cascade suggest faces in the first pictures."""
    with user_errors():
        from facescore.annotation import loop

        report = loop.start(
            folder,
            first=first,
            cascade=cascade,
            shrink=shrink,
            min_neighbors=min_neighbors,
        )
        _print_report(report, folder)


@app.command(epilog="Example: facescore annotate review pictures")
def review(folder: Folder, port: Port = 0, browser: Browser = True):
    """Correct and accept boxes in the browser."""
    with user_errors():
        from facescore.annotation import loop

        loop.review(folder, port=port, open_browser=browser)
        _print_states(folder)


@app.command(
    epilog="Example: facescore annotate train pictures --run runs/round1; then "
    "--run runs/round2 --start-from runs/round1"
)
def train(
    folder: Folder,
    run: DetectorRun = _RUN,
    preset: Annotated[str, typer.Option(help="tiny, small or full.")] = "small",
    start_from: Annotated[
        Path | None, typer.Option(help="Run of an earlier round to begin with.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes.")] = None,
    epoch_size: Annotated[int | None, typer.Option(help="Pictures a pass.")] = None,
    batch: Annotated[
        int | None, typer.Option(help="Pictures a step, over all devices.")
    ] = None,
    imgsz: Annotated[
        int | None, typer.Option(help="Side of a training picture.")
    ] = None,
    lr0: Annotated[float | None, typer.Option(help="Greatest learning rate.")] = None,
    precision: Precision = None,
    strategy: Strategy = "auto",
    seed: Annotated[int, typer.Option()] = 0,
):
    """Train a detector on the accepted pictures; the same command resumes it."""
    with user_errors():
        from facescore.annotation import loop

        done = loop.train(
            folder,
            run,
            preset=preset,
            strategy=strategy,
            seed=seed,
            **given(
                start_from=start_from,
                epochs=epochs,
                epoch_size=epoch_size,
                batch_size=batch,
                image_size=imgsz,
                learning_rate=lr0,
                precision=precision,
            ),
        )
        print_trained(done)


@app.command(epilog="Example: facescore annotate label pictures --run runs/round1")
def label(
    folder: Folder,
    run: DetectorRun = _RUN,
    conf: Conf = 0.25,
    iou: Iou = 0.5,
    imgsz: Imgsz = 640,
    tile: Tile = None,
):
    """Let the trained detector suggest faces in all that is not yet accepted."""
    with user_errors():
        from facescore.annotation import loop

        report = loop.label(folder, run, conf=conf, iou=iou, imgsz=imgsz, tile=tile)
        _print_report(report, folder)


def _print_report(report, folder):
    print(str(report).splitlines()[0])
    _print_states(folder)
    if report.left_out:
        raise LeftOutError(report.left_out)


def _print_states(folder):
    from facescore.annotation.loop import count_states

    states = count_states(folder)
    print(", ".join(f"{n} {state}" for state, n in states.items() if n))
