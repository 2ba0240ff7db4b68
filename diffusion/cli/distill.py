"""The command `illust-diffusion distill`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffusion.cli.options import NAME, NamedArgument, Precision, Strategy
from illustkit.cli import TensorBoard, given, user_errors


def distill(
    model: NamedArgument,
    run: Annotated[Path, typer.Argument(help="Folder to write the student to.")],
    steps: Annotated[
        int | None, typer.Option(help="The student's evaluations per picture.")
    ] = None,
    teacher_steps: Annotated[
        int | None, typer.Option(help="The teacher's, a multiple of them.")
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="How strongly wishes count; built in.")
    ] = None,
    paths: Annotated[
        int | None, typer.Option(help="Pictures that the teacher makes to learn from.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over them.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Jumps per batch, over all devices.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Highest learning rate of Adam.")
    ] = None,
    precision: Precision = None,
    strategy: Strategy = "auto",
    tensorboard: TensorBoard = False,
    seed: Annotated[int | None, typer.Option(help="Decides all that is random.")] = (
        None
    ),
) -> None:
    """Teach a student to make an icon in a few steps; the same command again resumes.

    MODEL is the folder of a training, or default for the model that comes with the
    package. No other icons are needed than those that the teacher makes.
    """
    with user_errors(NAME):
        from diffusion.training.distillation import distill as distill_model
        from illustkit.training.watching import watching

        distill_model(
            model,
            run,
            strategy=strategy,
            callbacks=watching(tensorboard=tensorboard),
            **given(
                steps=steps,
                teacher_steps=teacher_steps,
                guidance=guidance,
                paths=paths,
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                precision=precision,
                seed=seed,
            ),
        )
        typer.echo(f"Make pictures with: {NAME} sample {run} --output new")
