"""The command that shows everything on drawn icons."""

from pathlib import Path
from typing import Annotated

import typer

from diffusion._picture_commands import NAME, Strategy
from illustkit.command_line import user_errors


def demo(
    folder: Annotated[Path, typer.Option(help="Where everything goes.")] = Path(
        "diffusion-demo"
    ),
    strategy: Strategy = "auto",
):
    """Learn 158 drawn icons, make 64 new ones, and measure how new they are."""
    with user_errors(NAME):
        from diffusion.demo import demo as run_demo

        page = run_demo(folder, strategy=strategy)
        typer.echo(f"Look at {page.resolve()}")
