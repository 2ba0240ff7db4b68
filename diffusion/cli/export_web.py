"""The command `illust-diffusion export-web`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffusion.cli.options import (
    NAME,
    Font,
    Opacity,
    Overwrite,
    Watermark,
    WatermarkText,
    marking,
)
from illustkit.cli import user_errors


def export_web(
    run: Annotated[Path, typer.Argument(help="Folder of the training, or default.")],
    folder: Annotated[Path, typer.Argument(help="Folder to write the page to.")],
    steps: Annotated[
        int | None,
        typer.Option(help="Evaluations of the network; by default 12, or its own few."),
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option(
            help="Local copy of npm's onnxruntime-web; by default it is fetched once."
        ),
    ] = None,
    watermark: Watermark = True,
    watermark_text: WatermarkText = "AI-generated",
    opacity: Opacity = 0.35,
    font: Font = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a static page that makes icons in the visitor's browser, sending nothing.

    It works from any static host and from the folder itself.
    """
    with user_errors(NAME, goes_on=False):
        from diffusion.pages.export_web import export_web as write_page

        page = write_page(
            run,
            folder,
            steps=steps,
            runtime=runtime,
            overwrite=overwrite,
            **marking(watermark, watermark_text, opacity, font),
        )
        size = sum(path.stat().st_size for path in page.parent.iterdir())
        typer.echo(f"Open {page.resolve()}: {size / 1e6:.1f} MB")
