"""The command `oppai export`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from illustkit.cli import user_errors
from oppai.cli.options import NAME, Overwrite, Restorer, refuse_existing


def export(
    path: Annotated[Path, typer.Argument(help="The .onnx or .tflite to write.")],
    run: Restorer = "default",
    image_size: Annotated[
        int,
        typer.Option(
            help="Side of the square pictures, pixels. The memory that each takes "
            "grows with its square."
        ),
    ] = 256,
    overwrite: Overwrite = False,
) -> None:
    """Export a restorer's network to ONNX or TFLite, and say what it costs."""
    with user_errors(NAME, goes_on=False):
        from oppai.inference.export import (
            check_export,
            export_restorer,
            least_memory,
        )

        path = check_export(path, image_size)
        refuse_existing(path, overwrite)
        from oppai.models.pretrained import load_restorer

        restorer: Any = load_restorer(run)
        memory = least_memory(restorer, image_size) / 1e9
        export_restorer(restorer, path, image_size=image_size)
        print(
            f"{path}: {path.stat().st_size / 1e6:.1f} MB; each picture of {image_size}x"
            f"{image_size} pixels takes {memory:.2f} GB of memory or more"
        )
