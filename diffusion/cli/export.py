"""The commands `illust-diffusion export` and `export-web`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffusion.cli.options import (
    NAME,
    Font,
    NamedArgument,
    Opacity,
    Overwrite,
    Watermark,
    WatermarkText,
    marking,
    refuse_existing,
)
from illustkit.cli import user_errors

ExportSteps = Annotated[
    int | None,
    typer.Option(help="Evaluations of the network; by default 12, or its own few."),
]


def export(
    run: NamedArgument,
    path: Annotated[Path, typer.Argument(help="The .onnx or .tflite to write.")],
    steps: ExportSteps = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Weights of 8 bits, in a .tflite.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Export a model with its sampler to one file that makes icons from noise."""
    with user_errors(NAME, goes_on=False):
        from diffusion.sampling.exporting import check_target
        from diffusion.sampling.exporting import export as export_model

        path = check_target(path, int8=int8)
        refuse_existing(path, overwrite)
        export_model(run, path, steps=steps, int8=int8)
        typer.echo(f"{path.resolve()}: {path.stat().st_size / 1e6:.1f} MB")


def export_web(
    run: NamedArgument,
    folder: Annotated[Path, typer.Argument(help="Folder to write the page to.")],
    steps: ExportSteps = None,
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
