"""The command `illust-diffusion train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffusion.cli.options import (
    NAME,
    LearntAttributes,
    Precision,
    Preset,
    RunFolder,
    Strategy,
    parse_size,
)
from illustkit.cli import TensorBoard, given, user_errors
from illustkit.errors import UserError


def train(
    images: Annotated[Path, typer.Argument(help="Folder of the icons.")],
    run: RunFolder = Path("runs/diffusion"),
    preset: Preset = "preprint",
    steps: Annotated[int | None, typer.Option(help="Training steps in all.")] = None,
    epoch_steps: Annotated[
        int | None, typer.Option(help="Steps between backups and grids.")
    ] = None,
    image_size: Annotated[
        str | None, typer.Option(help="Side in pixels, or WIDTHxHEIGHT.")
    ] = None,
    channels: Annotated[int | None, typer.Option(help="1 grey, 3 RGB, 4 RGBA.")] = None,
    dim: Annotated[int | None, typer.Option(help="Channels at full size.")] = None,
    dim_mults: Annotated[
        str | None, typer.Option(help="Multiple of dim at each level, as 1,2,4,8.")
    ] = None,
    patch: Annotated[
        int | None,
        typer.Option(help="Side of the squares of pixels that are one to the network."),
    ] = None,
    version: Annotated[str | None, typer.Option(help="0.25.3 or 2.")] = None,
    schedule: Annotated[
        str | None, typer.Option(help="cosine, linear or sigmoid.")
    ] = None,
    timesteps: Annotated[int | None, typer.Option(help="Noise levels.")] = None,
    objective: Annotated[str | None, typer.Option(help="noise, x0, v or edm.")] = None,
    loss: Annotated[str | None, typer.Option(help="l1 or mse.")] = None,
    min_snr_gamma: Annotated[
        float | None, typer.Option(help="Cap of the signal-to-noise ratio.")
    ] = None,
    self_condition: Annotated[
        float | None, typer.Option(help="Probability of self-conditioning.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Icons per batch, over all devices.")
    ] = None,
    accumulation: Annotated[
        int | None, typer.Option(help="Batches per step; needs one device.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of Adam.")] = None,
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
    early_stopping: Annotated[
        int | None,
        typer.Option(
            help="Epochs without progress on held-out icons after which it ends; it "
            "also ends when copies begin."
        ),
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(help="Run, or default, whose weights it begins with."),
    ] = None,
    tensorboard: TensorBoard = False,
    seed: Annotated[int | None, typer.Option(help="Decides all that is random.")] = (
        None
    ),
) -> None:
    """Learn an illustrator's icons; the same command again resumes the training."""
    with user_errors(NAME):
        from illustkit.images.listing import check_folder

        check_folder(images)
        from diffusion.training.train import train as train_model
        from illustkit.training.watching import watching

        train_model(
            images,
            run,
            preset=preset,
            strategy=strategy,
            sample_every=sample_every,
            metrics=metrics,
            attributes=attributes,
            callbacks=watching(tensorboard=tensorboard),
            **given(
                steps=steps,
                epoch_steps=epoch_steps,
                image_size=parse_size(image_size),
                channels=channels,
                dim=dim,
                dim_mults=_parse_multiples(dim_mults),
                patch=patch,
                version=version,
                schedule=schedule,
                timesteps=timesteps,
                objective=objective,
                loss=loss,
                min_snr_gamma=min_snr_gamma,
                self_condition=self_condition,
                batch_size=batch_size,
                accumulation=accumulation,
                learning_rate=learning_rate,
                flip=flip,
                precision=precision,
                seed=seed,
                early_stopping=early_stopping,
                start_from=start_from,
            ),
        )
        typer.echo(f"Make pictures with: {NAME} sample {run} --output new")


def _parse_multiples(text):
    """Parse "1,2,4" to (1, 2, 4); `None` stays `None`."""
    if text is None:
        return None
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise UserError(
            f"--dim-mults takes numbers with commas, as 1,2,4,8. Received: {text}"
        ) from None
