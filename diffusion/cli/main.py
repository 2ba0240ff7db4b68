"""Command line: `illust-diffusion` learns icons, and makes new ones."""

from pathlib import Path
from typing import Annotated

import typer

from diffusion.cli import measure, pictures
from diffusion.cli.pictures import NAME
from illustkit.cli import app_with, given, user_errors

app = app_with("Learn an illustrator's icons, make new ones, and measure how new.")

COMMANDS = (
    (pictures.train, "train icons --run runs/icons --preset tiny"),
    (pictures.sample, "sample runs/icons --out new --n 64"),
    (
        pictures.interpolate,
        "interpolate runs/icons a.png b.png --out between.png",
    ),
    (
        pictures.inpaint,
        "inpaint runs/icons a.png mask.png --out versions.png",
    ),
    (measure.evaluate, "evaluate new/icons icons --output evaluation.json"),
    (measure.validity, "validity early later another-domain"),
    (measure.experiment, "experiment icons --run runs/icons"),
    (measure.serve, "serve runs/icons"),
)

for command, example in COMMANDS:
    name = command.__name__.replace("_", "-")
    app.command(name, epilog=f"Example: {NAME} {example}")(command)


@app.command(epilog=f"Example: {NAME} demo --folder diffusion-demo")
def demo(
    folder: Annotated[Path, typer.Option(help="Where everything goes.")] = Path(
        "diffusion-demo"
    ),
    precision: pictures.Precision = None,
    strategy: pictures.Strategy = "auto",
):
    """Draw 158 icons, learn them, make new ones, and show them on a page."""
    with user_errors(NAME):
        from diffusion.cli.demo import demo as run_demo

        page = run_demo(folder, strategy=strategy, settings=given(precision=precision))
        typer.echo(f"Look at {page.resolve()}")


def main():
    """Run the command line."""
    app(prog_name=NAME)
