"""The commands `illust-diffusion interpolate` and `illust-diffusion inpaint`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffusion.cli.options import (
    NAME,
    Font,
    Opacity,
    OutputPicture,
    Overwrite,
    RunArgument,
    Seed,
    Steps,
    Watermark,
    WatermarkText,
    marking,
    refuse_existing,
)
from illustkit.cli import user_errors
from illustkit.files import expand_user


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
    noises: Annotated[
        int, typer.Option(help="1 noise for both, or 2, one of each one's own.")
    ] = 1,
    watermark: Watermark = True,
    watermark_text: WatermarkText = "AI-generated",
    opacity: Opacity = 0.35,
    font: Font = None,
    overwrite: Overwrite = False,
) -> None:
    """Make the pictures between two pictures."""
    with user_errors(NAME, goes_on=False):
        from diffusion.sampling import editing

        output = expand_user(output)
        refuse_existing(output, overwrite)
        model = editing.load_diffuser(run)
        mark = marking(watermark, watermark_text, opacity, font)
        editing.check_row(output, model, n + 2, **mark)
        _say_frames(first, second)
        pictures = editing.interpolate_pictures(
            model, first, second, n=n, t=t, seed=seed, noises=noises
        )
        editing.write_row(output, pictures, given=(0, -1), **mark)
        typer.echo(f"Look at {output.resolve()}")


def inpaint(
    run: RunArgument,
    picture: Annotated[Path, typer.Argument(help="The picture.")],
    mask: Annotated[Path, typer.Argument(help="White is filled in, black is kept.")],
    output: OutputPicture = Path("inpainted.png"),
    n: Annotated[int, typer.Option(help="Versions, side by side.")] = 4,
    steps: Steps = None,
    seed: Seed = 3407,
    watermark: Watermark = True,
    watermark_text: WatermarkText = "AI-generated",
    opacity: Opacity = 0.35,
    font: Font = None,
    overwrite: Overwrite = False,
) -> None:
    """Fill in the white part of a mask to fit the rest of the picture."""
    with user_errors(NAME, goes_on=False):
        from diffusion.sampling import editing

        output = expand_user(output)
        refuse_existing(output, overwrite)
        model = editing.load_diffuser(run)
        mark = marking(watermark, watermark_text, opacity, font)
        editing.check_row(output, model, n, **mark)
        _say_frames(picture, mask)
        pictures = editing.inpaint_picture(
            model, picture, mask, n=n, steps=steps, seed=seed
        )
        editing.write_row(output, pictures, **mark)
        typer.echo(f"Look at {output.resolve()}")


def _say_frames(*paths: Path) -> None:
    """Print a line for each file of several frames, of which the first is taken."""
    from diffusion.icons import is_animated

    for path in paths:
        if is_animated(path):
            typer.echo(f"First of its frames alone: {path} is animated.")
