"""The command `oppai demo`."""

from pathlib import Path
from typing import Annotated

import typer

from illustkit.cli import given, user_errors
from oppai.cli.options import NAME, Epochs, Precision, Preset, Strategy


def demo(
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("demo"),
    images: Annotated[
        Path | None, typer.Option(help="Folder of your own pictures.")
    ] = None,
    metadata: Annotated[
        Path | None, typer.Option(help="JSON with their boxes.")
    ] = None,
    preset: Preset = "tiny",
    epochs: Epochs = None,
    precision: Precision = None,
    strategy: Strategy = "auto",
    seconds: Annotated[
        int | None,
        typer.Option(min=0, help="Begin no epoch that would end later, seconds."),
    ] = None,
) -> None:
    """Restore, train, and show both on a page.

    Without pictures of your own it draws samples; a stopped demo resumes.
    """
    with user_errors(NAME):
        from oppai.pages.demo import demo as run_demo

        page = run_demo(
            output,
            images=images,
            metadata=metadata,
            preset=preset,
            strategy=strategy,
            seconds=seconds,
            **given(epochs=epochs, precision=precision),
        )
        print(f"Look at {page.resolve()}")
