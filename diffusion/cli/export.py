"""The command `illust-diffusion export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffusion.cli.options import NAME, Overwrite, refuse_existing
from illustkit.cli import user_errors


def export(
    run: Annotated[Path, typer.Argument(help="Folder of the training, or default.")],
    path: Annotated[Path, typer.Argument(help="The .onnx or .tflite to write.")],
    steps: Annotated[
        int | None,
        typer.Option(help="Evaluations of the network; by default 12, or its own few."),
    ] = None,
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
