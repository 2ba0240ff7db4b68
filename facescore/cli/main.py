"""Command line: `facescore` finds faces, learns a taste, and ranks a folder."""

from pathlib import Path
from typing import Annotated

import typer

from facescore.cli import annotate, data, detector, scorer
from facescore.cli.options import Precision, Strategy, user_errors
from illustkit.cli import app_with, given

app = app_with(
    "Find faces in illustrations, learn a taste from 1 to 5, rank whole folders."
)

COMMANDS = (
    (detector.detect, "detect pictures --detector runs/detector --save-txt"),
    (
        detector.train_detector,
        "train-detector pictures --run runs/detector --epochs 30",
    ),
    (
        detector.evaluate_detector,
        "evaluate-detector unseen --detector runs/detector --detector cascade",
    ),
    (data.crop, "crop pictures crops --detector runs/detector"),
    (data.rate, "rate crops --shuffle"),
    (scorer.train_scorer, "train-scorer crops --run runs/scorer"),
    (
        scorer.score,
        "score a.png --scorer runs/scorer --detector runs/detector",
    ),
    (
        scorer.evaluate_scorer,
        "evaluate-scorer crops --scorer runs/scorer --pictures pictures",
    ),
    (
        scorer.rank,
        "rank pictures --scorer runs/scorer --detector runs/detector --top-k 100",
    ),
    (data.export_coco, "export-coco pictures faces.json"),
    (data.import_coco, "import-coco faces.json pictures"),
)

for command, example in COMMANDS:
    name = command.__name__.replace("_", "-")
    app.command(name, epilog=f"Example: facescore {example}")(command)
app.add_typer(annotate.app, name="annotate")


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
        from facescore.synthetic.demo import demo as run_demo

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
