"""The command `illust-diffusion demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffusion.cli.options import NAME, Precision, Strategy
from illustkit.cli import given, user_errors


def demo(
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path(
        "diffusion-demo"
    ),
    precision: Precision = None,
    strategy: Strategy = "auto",
) -> None:
    """Draw 158 icons, learn them, make new ones, and show them on a page."""
    with user_errors(NAME):
        from diffusion.pages.demo import demo as run_demo

        page = run_demo(output, strategy=strategy, settings=given(precision=precision))
        typer.echo(f"Look at {page.resolve()}")
