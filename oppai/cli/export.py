"""`oppai export`: a restorer's network for runtimes other than Keras."""

from pathlib import Path
from typing import Annotated

import typer

from illustkit.cli import user_errors


def export(
    path: Annotated[Path, typer.Argument(help="The .onnx or .tflite to write.")],
    run: Annotated[
        str, typer.Option(help="default, the folder of a training, or a .keras file.")
    ] = "default",
    image_size: Annotated[
        int, typer.Option(help="Side of the square pictures, pixels.")
    ] = 256,
    overwrite: Annotated[
        bool, typer.Option(help="Replace a file that is there.")
    ] = False,
):
    """Export a restorer's network to ONNX or TFLite."""
    with user_errors("oppai"):
        from oppai.inference.export import check_export, export_restorer

        check_export(path)
        if path.exists() and not overwrite:
            raise ValueError(f"{path}: is there already. Overwrite it, or another.")
        import oppai

        export_restorer(oppai.load_restorer(run), path, image_size=image_size)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def register(app):
    """Add this command to a Typer app."""
    epilog = "Examples: oppai export out.onnx; oppai export --run runs/first out.tflite"
    app.command("export", epilog=epilog)(export)
