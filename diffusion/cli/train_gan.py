"""The command `illust-diffusion train-gan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffusion.cli.options import (
    NAME,
    LearntAttributes,
    Precision,
    RunFolder,
    Strategy,
)
from illustkit.cli import TensorBoard, given, user_errors


def train_gan(
    images: Annotated[Path, typer.Argument(help="Folder of the icons.")],
    run: RunFolder = Path("runs/gan"),
    model: Annotated[str, typer.Option(help="dcgan or stylegan2.")] = "dcgan",
    preset: Annotated[str, typer.Option(help="paper or tiny.")] = "paper",
    steps: Annotated[int | None, typer.Option(help="Training steps in all.")] = None,
    epoch_steps: Annotated[
        int | None, typer.Option(help="Steps between backups and grids.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Side in pixels, a power of two.")
    ] = None,
    channels: Annotated[int | None, typer.Option(help="1 grey, 3 RGB, 4 RGBA.")] = None,
    augment: Annotated[
        str | None, typer.Option(help="diffaugment or ada, for few icons.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Icons per batch, over all devices.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of Adam, of both networks.")
    ] = None,
    flip: Annotated[float | None, typer.Option(help="Probability of mirroring.")] = (
        None
    ),
    precision: Precision = None,
    strategy: Strategy = "auto",
    sample_every: Annotated[
        int, typer.Option(help="Epochs between grids; 0 for none.")
    ] = 1,
    metrics: Annotated[
        str | None,
        typer.Option(help="Log FID and KID: inception, or a file of its weights."),
    ] = None,
    attributes: LearntAttributes = None,
    tensorboard: TensorBoard = False,
    seed: Annotated[int | None, typer.Option(help="Decides all that is random.")] = (
        None
    ),
) -> None:
    """Learn icons with a GAN; the same command again resumes the training."""
    with user_errors(NAME):
        from illustkit.images.listing import check_folder

        check_folder(images)
        from diffusion.training.gan import train_gan as train_model
        from illustkit.training.watching import watching

        train_model(
            images,
            run,
            model=model,
            preset=preset,
            strategy=strategy,
            sample_every=sample_every,
            metrics=metrics,
            attributes=attributes,
            callbacks=watching(tensorboard=tensorboard),
            **given(
                steps=steps,
                epoch_steps=epoch_steps,
                image_size=image_size,
                channels=channels,
                augment=augment,
                batch_size=batch_size,
                learning_rate=learning_rate,
                flip=flip,
                precision=precision,
                seed=seed,
            ),
        )
        typer.echo(f"Make pictures with: {NAME} sample {run} --output new")
