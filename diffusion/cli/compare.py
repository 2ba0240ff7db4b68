"""The command `illust-diffusion compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffusion.cli.options import NAME, Sampler, Seed, Steps
from illustkit.cli import user_errors


def compare(
    images: Annotated[Path, typer.Argument(help="Folder of the icons.")],
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path(
        "comparison"
    ),
    models: Annotated[
        str, typer.Option(help="Any of dcgan, stylegan2, ddpm and hourglass.")
    ] = "dcgan,stylegan2,ddpm,hourglass",
    hours: Annotated[float, typer.Option(help="Time of each training.")] = 2.0,
    n: Annotated[int, typer.Option(help="Pictures of each model.")] = 1024,
    preset: Annotated[
        str, typer.Option(help="tiny (64x64) or paper (128x128).")
    ] = "tiny",
    features: Annotated[
        str,
        typer.Option(
            help="vgg16 (KID alone), or inception or a file of its weights (FID, NWI)."
        ),
    ] = "vgg16",
    sampler: Sampler = "ddim",
    steps: Steps = None,
    seed: Seed = 3407,
    clock: Annotated[
        str,
        typer.Option(help="wall; or processor, on processors that others use as well."),
    ] = "wall",
) -> None:
    """Train GANs and diffusion models equally long, and measure their pictures.

    The same command again resumes what was interrupted.
    """
    with user_errors(NAME):
        from illustkit.images.listing import check_folder

        check_folder(images)
        from diffusion.comparison import compare_models, format_comparison

        rows = compare_models(
            images,
            output,
            models=[name.strip() for name in models.split(",") if name.strip()],
            hours=hours,
            n=n,
            preset=preset,
            features=features,
            sampler=sampler,
            sampling_steps=steps,
            seed=seed,
            clock=clock,
        )
        typer.echo(format_comparison(rows))
        typer.echo(f"Look at {(output / 'index.html').resolve()}")
