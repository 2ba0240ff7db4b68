"""The command `oppai export`."""

from pathlib import Path
from typing import Annotated

import typer

from illustkit.cli import user_errors
from oppai.cli.options import NAME, Overwrite, Restorer, refuse_existing


def export(
    path: Annotated[Path, typer.Argument(help="The .onnx or .tflite to write.")],
    run: Restorer = "default",
    image_size: Annotated[
        int, typer.Option(help="Side of the square pictures, pixels.")
    ] = 256,
    overwrite: Overwrite = False,
) -> None:
    """Export a restorer's network to ONNX or TFLite."""
    with user_errors(NAME):
        from oppai.inference.export import check_export, export_restorer

        check_export(path)
        refuse_existing(path, overwrite)
        from oppai.models.pretrained import load_restorer

        export_restorer(load_restorer(run), path, image_size=image_size)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
