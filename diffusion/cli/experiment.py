"""The command `illust-diffusion experiment`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffusion.cli.options import (
    NAME,
    Features,
    Precision,
    Preset,
    RunFolder,
    Sampler,
    Seed,
    Steps,
    Strategy,
)
from illustkit.cli import end_with_left_out, given, user_errors


def experiment(
    images: Annotated[Path, typer.Argument(help="Folder of the training icons.")],
    run: RunFolder = Path("runs/experiment"),
    preset: Preset = "preprint",
    training_steps: Annotated[
        int | None, typer.Option(help="Training steps in all.")
    ] = None,
    n: Annotated[int, typer.Option(help="Pictures to make.")] = 1024,
    sampler: Sampler = "ddim",
    steps: Steps = None,
    seed: Seed = 3407,
    features: Features = "inception",
    precision: Precision = None,
    strategy: Strategy = "auto",
) -> None:
    """The preprint's table 2: train, make 1,024 pictures, measure them.

    The same command again resumes what was interrupted.
    """
    with user_errors(NAME):
        from diffusion.experiment import run_experiment
        from illustkit.tables import read_json

        row = run_experiment(
            images,
            run,
            preset=preset,
            n=n,
            sampler=sampler or "ddim",
            steps=steps,
            seed=seed,
            features=features,
            strategy=strategy,
            training_steps=training_steps,
            **given(precision=precision),
        )
        typer.echo(row)
        result = read_json(run / "evaluation.json")
        end_with_left_out(NAME, result["left_out"])
