"""Command line: `illust-diffusion` learns icons, and makes new ones."""

from pathlib import Path
from typing import Annotated

import typer

from diffusion import _measure_commands, _picture_commands, _serve_command
from diffusion._picture_commands import NAME
from illustkit.command_line import app_with, given, user_errors

app = app_with("Learn an illustrator's icons, make new ones, and measure how new.")

COMMANDS = (
    (_picture_commands.train, "train icons --run runs/icons --preset tiny"),
    (_picture_commands.sample, "sample runs/icons --out new --n 64"),
    (
        _picture_commands.interpolate,
        "interpolate runs/icons a.png b.png --out between.png",
    ),
    (
        _picture_commands.inpaint,
        "inpaint runs/icons a.png mask.png --out versions.png",
    ),
    (_measure_commands.evaluate, "evaluate new/icons icons --output evaluation.json"),
    (_measure_commands.validity, "validity early later another-domain"),
    (_measure_commands.experiment, "experiment icons --run runs/icons"),
    (_serve_command.serve, "serve runs/icons"),
)

for command, example in COMMANDS:
    name = command.__name__.replace("_", "-")
    app.command(name, epilog=f"Example: {NAME} {example}")(command)


@app.command(epilog=f"Example: {NAME} demo --folder diffusion-demo")
def demo(
    folder: Annotated[Path, typer.Option(help="Where everything goes.")] = Path(
        "diffusion-demo"
    ),
    precision: _picture_commands.Precision = None,
    strategy: _picture_commands.Strategy = "auto",
):
    """Draw 158 icons, learn them, make new ones, and show them on a page."""
    with user_errors(NAME):
        from diffusion.demo import demo as run_demo

        page = run_demo(folder, strategy=strategy, settings=given(precision=precision))
        typer.echo(f"Look at {page.resolve()}")


def main():
    """Run the command line."""
    app(prog_name=NAME)


if __name__ == "__main__":
    main()
