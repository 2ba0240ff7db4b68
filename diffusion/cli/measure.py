"""The command that serves a trained model on a web page."""

from pathlib import Path
from typing import Annotated

import typer

from diffusion.cli.pictures import (
    NAME,
    Opacity,
    Precision,
    RunArgument,
    RunFolder,
    Sampler,
    Seed,
    Steps,
    Strategy,
    Watermark,
    WatermarkText,
    size_of,
)
from illustkit.cli import given, user_errors

Features = Annotated[
    str,
    typer.Option(help="inception, a file of its weights, or pixels (no FID, no NWI)."),
]
Definition = Annotated[str, typer.Option(help="nearest, all or mean picture.")]
Channels = Annotated[str, typer.Option(help="sum or mean of a pixel's channels.")]
Size = Annotated[
    str | None, typer.Option(help="Compare at this size, 128 or WIDTHxHEIGHT.")
]


def evaluate(
    generated: Annotated[Path, typer.Argument(help="Folder of new pictures.")],
    training: Annotated[Path, typer.Argument(help="Folder of the training pictures.")],
    output: Annotated[
        Path, typer.Option(help="JSON to write; a figure of pairs goes beside it.")
    ] = Path("evaluation.json"),
    features: Features = "inception",
    mae: Definition = "nearest",
    channels: Channels = "sum",
    size: Size = None,
):
    """Print FID, KID, MAE, NWI and the share of copies."""
    with user_errors(NAME):
        from diffusion.evaluation.report import evaluate_pictures, format_evaluation

        figure = output.with_name("neighbours.png")
        result = evaluate_pictures(
            generated,
            training,
            features=features,
            definition=mae,
            channels=channels,
            image_size=size_of(size),
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
    mae: Definition = "nearest",
    channels: Channels = "sum",
    size: Size = None,
):
    """The preprint's table 1: does NWI tell new work from another domain?"""
    with user_errors(NAME):
        from diffusion.evaluation.report import format_validity, validity_table

        rows = validity_table(
            early,
            new,
            other,
            features=features,
            definition=mae,
            channels=channels,
            image_size=size_of(size),
        )
        typer.echo(format_validity(rows))


def experiment(
    images: Annotated[Path, typer.Argument(help="Folder of the training icons.")],
    run: RunFolder = Path("runs/experiment"),
    preset: Annotated[
        str, typer.Option(help="preprint, hourglass, colab, small or tiny.")
    ] = "preprint",
    training_steps: Annotated[
        int | None, typer.Option(help="Training steps in all.")
    ] = None,
    n: Annotated[int, typer.Option(help="Pictures to make.")] = 1024,
    sampler: Sampler = "ddim",
    steps: Steps = 50,
    seed: Seed = 3407,
    features: Features = "inception",
    precision: Precision = None,
    strategy: Strategy = "auto",
):
    """The preprint's table 2: train, make 1,024 pictures, measure them."""
    with user_errors(NAME):
        from diffusion.experiment import run_experiment

        row = run_experiment(
            images,
            run,
            preset=preset,
            n=n,
            sampler=sampler,
            steps=steps,
            seed=seed,
            features=features,
            strategy=strategy,
            training_steps=training_steps,
            **given(precision=precision),
        )
        typer.echo(row)


def serve(
    run: RunArgument,
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 7860,
    size: Annotated[
        str | None, typer.Option(help="For a network that takes any size.")
    ] = None,
    precision: Precision = None,
    watermark: Watermark = True,
    watermark_text: WatermarkText = "AI-generated",
    opacity: Opacity = 0.35,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the browser.")
    ] = True,
):
    """Serve a page on this machine that makes new icons; needs Gradio."""
    with user_errors(NAME):
        from diffusion.pages import serve as page

        page.serve(
            run,
            port=port,
            image_size=size_of(size),
            watermark=watermark_text if watermark else None,
            opacity=opacity,
            precision=precision or "float32",
            open_browser=open_browser,
        )
