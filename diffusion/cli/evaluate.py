"""The commands `illust-diffusion evaluate` and `illust-diffusion validity`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffusion.cli.options import (
    NAME,
    Channels,
    CompareSize,
    Definition,
    Features,
    parse_size,
)
from illustkit.cli import user_errors


def evaluate(
    generated: Annotated[Path, typer.Argument(help="Folder of new pictures.")],
    training: Annotated[Path, typer.Argument(help="Folder of the training pictures.")],
    output: Annotated[
        Path, typer.Option(help="JSON to write; a figure of pairs goes beside it.")
    ] = Path("evaluation.json"),
    features: Features = "inception",
    definition: Definition = "nearest",
    channels: Channels = "sum",
    image_size: CompareSize = None,
) -> None:
    """Print FID, KID, MAE, NWI and the fraction of copies."""
    with user_errors(NAME):
        from diffusion.evaluation.report import evaluate_pictures, format_evaluation

        figure = output.with_name("neighbours.png")
        result = evaluate_pictures(
            generated,
            training,
            features=features,
            definition=definition,
            channels=channels,
            image_size=parse_size(image_size),
            output=output,
            figure=figure,
        )
        typer.echo(format_evaluation(result))
        typer.echo(f"{output.resolve()}\nLook at {figure.resolve()}")


def validity(
    early: Annotated[Path, typer.Argument(help="An illustrator's early pictures.")],
    new: Annotated[Path, typer.Argument(help="The same illustrator's later ones.")],
    other: Annotated[Path, typer.Argument(help="Pictures of another domain.")],
    features: Features = "inception",
    definition: Definition = "nearest",
    channels: Channels = "sum",
    image_size: CompareSize = None,
) -> None:
    """The preprint's table 1: is NWI higher for new work than for another domain?"""
    with user_errors(NAME):
        from diffusion.evaluation.report import format_validity, validity_table

        rows = validity_table(
            early,
            new,
            other,
            features=features,
            definition=definition,
            channels=channels,
            image_size=parse_size(image_size),
        )
        typer.echo(format_validity(rows))
