"""The command `illust-diffusion sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffusion.cli.options import (
    DEFAULT_RUN,
    NAME,
    Attributes,
    Engine,
    Font,
    Guidance,
    ImageSize,
    ModelArgument,
    Opacity,
    Precision,
    Sampler,
    Seed,
    Steps,
    Watermark,
    WatermarkText,
    marking,
    parse_size,
)
from illustkit.cli import user_errors
from illustkit.files import expand_user


def sample(
    run: ModelArgument = DEFAULT_RUN,
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("new"),
    n: Annotated[
        int | None,
        typer.Option(help="Number of icons; by default 64, of a packaged model 16."),
    ] = None,
    sampler: Sampler = None,
    steps: Steps = None,
    eta: Annotated[float | None, typer.Option(help="Noise of DDIM, 0 to 1.")] = None,
    seed: Seed = 3407,
    attributes: Attributes = None,
    guidance: Guidance = None,
    image_size: ImageSize = None,
    truncation: Annotated[
        float | None,
        typer.Option(help="For a StyleGAN2: below 1 cleaner and more similar icons."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Icons per batch.")] = None,
    precision: Precision = None,
    engine: Engine = "auto",
    watermark: Watermark = True,
    watermark_text: WatermarkText = "AI-generated",
    opacity: Opacity = 0.35,
    font: Font = None,
) -> None:
    """Make new icons: a folder of PNG files and a grid.

    Icons that the folder holds already stay, and the missing ones are made. What the
    package's own models can be asked for: hair, hairstyle, eyes, expression, skin,
    glasses, accessory.
    """
    with user_errors(NAME):
        from diffusion.network.graph import shipped_name
        from illustkit.training.folder import check_run

        shipped = shipped_name(run)
        if not shipped:
            check_run(run)
        from diffusion.attributes import parse_attributes
        from diffusion.sampling.engines import open_model
        from diffusion.sampling.folder import icon_paths, sample_folder

        if n is None:
            n = 16 if shipped else 64
        output = expand_user(output)
        before = [path for path in icon_paths(output, n) if path.exists()]
        sample_folder(
            open_model(run, engine=engine, precision=precision),
            n,
            output,
            sampler=sampler,
            steps=steps,
            eta=eta,
            seed=seed,
            attributes=parse_attributes(attributes),
            guidance=guidance,
            image_size=parse_size(image_size),
            truncation=truncation,
            batch_size=batch_size,
            **marking(watermark, watermark_text, opacity, font),
        )
        typer.echo(f"{n - len(before)} icons made, {len(before)} were there already.")
        typer.echo(f"Look at {(output / 'grid.png').resolve()}")
