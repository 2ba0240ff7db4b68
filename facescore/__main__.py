"""Command line: `facescore` finds faces, learns a taste, and ranks a folder."""

from pathlib import Path
from typing import Annotated

import typer

from facescore import (
    _annotate_commands,
    _data_commands,
    _detector_commands,
    _scorer_commands,
)
from facescore._command_line import Precision, Strategy, user_errors
from illustkit.command_line import app_with, given

app = app_with(
    "Find faces in illustrations, learn a taste from 1 to 5, rank whole folders."
)

COMMANDS = (
    (_detector_commands.detect, "detect pictures --detector runs/detector --save-txt"),
    (
        _detector_commands.train_detector,
        "train-detector pictures --run runs/detector --epochs 30",
    ),
    (
        _detector_commands.evaluate_detector,
        "evaluate-detector unseen --detector runs/detector --detector cascade",
    ),
    (_data_commands.crop, "crop pictures crops --detector runs/detector"),
    (_data_commands.rate, "rate crops --shuffle"),
    (_scorer_commands.train_scorer, "train-scorer crops --run runs/scorer"),
    (
        _scorer_commands.score,
        "score a.png --scorer runs/scorer --detector runs/detector",
    ),
    (
        _scorer_commands.evaluate_scorer,
        "evaluate-scorer crops --scorer runs/scorer --pictures pictures",
    ),
    (
        _scorer_commands.rank,
        "rank pictures --scorer runs/scorer --detector runs/detector --top-k 100",
    ),
    (_data_commands.export_coco, "export-coco pictures faces.json"),
    (_data_commands.import_coco, "import-coco faces.json pictures"),
)

for command, example in COMMANDS:
    name = command.__name__.replace("_", "-")
    app.command(name, epilog=f"Example: facescore {example}")(command)
app.add_typer(_annotate_commands.app, name="annotate")


@app.command(epilog="Example: facescore demo --folder facescore-demo")
def demo(
    folder: Annotated[Path, typer.Option(help="Where everything goes.")] = Path(
        "facescore-demo"
    ),
    detector: Annotated[
        str | None, typer.Option(help="A detector to use; trained by default.")
    ] = None,
    precision: Precision = None,
    strategy: Strategy = "auto",
):
    """Learn a made-up taste, and rank 500 unseen pictures."""
    with user_errors():
        from facescore.demo import demo as run_demo

        settings = given(precision=precision)
        found = run_demo(
            folder,
            detector=detector,
            strategy=strategy,
            detector_settings=settings,
            scorer_settings=settings,
        )
        print(found.agreement)
        if found.detector is not None:
            ap50, ap50_95 = found.detector.ap50, found.detector.ap50_95
            print(f"Detector: AP50 {ap50:.3f}, AP50-95 {ap50_95:.3f}")
        print(f"Gallery: {found.gallery.resolve()}")
        print(f"Look at {found.page.resolve()}")


def main():
    """Run the command line."""
    app(prog_name="facescore")


if __name__ == "__main__":
    main()
