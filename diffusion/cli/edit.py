"""The commands `illust-diffusion interpolate` and `illust-diffusion inpaint`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffusion.cli.options import (
    NAME,
    Opacity,
    OutputPicture,
    RunArgument,
    Seed,
    Steps,
    Watermark,
    WatermarkText,
    marking,
)
from illustkit.cli import user_errors


def interpolate(
    run: RunArgument,
    first: Annotated[Path, typer.Argument(help="A picture.")],
    second: Annotated[Path, typer.Argument(help="Another picture.")],
    output: OutputPicture = Path("interpolation.png"),
    n: Annotated[int, typer.Option(help="Pictures between the two.")] = 7,
    t: Annotated[
        int | None, typer.Option(help="Timestep at which the two are mixed.")
    ] = None,
    seed: Seed = 3407,
    watermark: Watermark = True,
    watermark_text: WatermarkText = "AI-generated",
    opacity: Opacity = 0.35,
) -> None:
    """Make the pictures between two pictures."""
    with user_errors(NAME):
        from diffusion.sampling.editing import interpolate_pictures, write_row

        pictures = interpolate_pictures(run, first, second, n=n, t=t, seed=seed)
        mark = marking(watermark, watermark_text, opacity)
        write_row(output, pictures, given=(0, -1), **mark)
        typer.echo(f"Look at {output.resolve()}")


def inpaint(
    run: RunArgument,
    picture: Annotated[Path, typer.Argument(help="The picture.")],
    mask: Annotated[Path, typer.Argument(help="White is filled in, black is kept.")],
    output: OutputPicture = Path("inpainted.png"),
    n: Annotated[int, typer.Option(help="Versions, side by side.")] = 4,
    steps: Steps = 50,
    seed: Seed = 3407,
    watermark: Watermark = True,
    watermark_text: WatermarkText = "AI-generated",
    opacity: Opacity = 0.35,
) -> None:
    """Fill in the white part of a mask to fit the rest of the picture."""
    with user_errors(NAME):
        from diffusion.sampling.editing import inpaint_picture, write_row

        pictures = inpaint_picture(run, picture, mask, n=n, steps=steps, seed=seed)
        write_row(output, pictures, **marking(watermark, watermark_text, opacity))
        typer.echo(f"Look at {output.resolve()}")
