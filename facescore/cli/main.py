"""Command line: `facescore` finds faces, learns a taste, and ranks a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from facescore.cli import annotate, data, detector, scorer
from facescore.cli.options import NAME, Precision, Strategy, user_errors
from illustkit.cli import app_with, given
from illustkit.deprecation import renamed_options

app = app_with(
    "Find faces in illustrations, learn a taste from 1 to 5, rank whole folders.",
    command=NAME,
)

_TRAINING = {"lr0": "learning_rate"}

# (function, arguments of its example, new names of its old options)
COMMANDS: tuple[tuple[Callable[..., None], str, dict[str, str]], ...] = (
    (detector.detect, "pictures --detector runs/detector --save-txt", {}),
    (detector.serve, "--detector runs/detector", {}),
    (detector.train_detector, "pictures --run runs/detector --epochs 30", _TRAINING),
    (
        detector.evaluate_detector,
        "unseen --detector runs/detector --detector cascade",
        {},
    ),
    (detector.export, "faces.onnx", {}),
    (data.crop, "pictures crops --detector runs/detector", {}),
    (data.rate, "crops --shuffle", {}),
    (scorer.train_scorer, "crops --run runs/scorer", _TRAINING),
    (scorer.score, "a.png --scorer runs/scorer --detector runs/detector", {}),
    (scorer.explain, "a.png --scorer runs/scorer --detector runs/detector", {}),
    (
        scorer.evaluate_scorer,
        "crops --scorer runs/scorer --pictures pictures",
        {},
    ),
    (
        scorer.rank,
        "pictures --scorer runs/scorer --detector runs/detector --top-k 100",
        {"anew": "overwrite", "resume": "no_overwrite"},
    ),
    (data.export_coco, "pictures faces.json", {}),
    (data.import_coco, "faces.json pictures", {}),
    (data.export_voc, "pictures annotations", {}),
    (data.import_voc, "annotations pictures", {}),
    (data.export_data_yaml, "pictures pictures/data.yaml", {}),
    (data.import_data_yaml, "set/data.yaml pictures --category face", {}),
)

for command, example, renamed in COMMANDS:
    name = command.__name__.replace("_", "-")
    app.command(
        name,
        cls=renamed_options(**renamed),
        epilog=f"Example: {NAME} {name} {example}",
    )(command)
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
) -> None:
    """Learn a made-up taste, and rank 500 unseen pictures."""
    with user_errors():
        from facescore.synthetic.demo import demo as run_demo

        settings = given(precision=precision)
        result = run_demo(
            folder,
            detector=detector,
            strategy=strategy,
            detector_settings=settings,
            scorer_settings=settings,
        )
        print(result.agreement)
        if result.detector is not None:
            ap50, ap50_95 = result.detector.ap50, result.detector.ap50_95
            print(f"Detector: AP50 {ap50:.3f}, AP50-95 {ap50_95:.3f}")
        print(f"Gallery: {result.gallery.resolve()}")
        print(f"Look at {result.page.resolve()}")


def main() -> None:
    """Run the command line."""
    app(prog_name="facescore")
