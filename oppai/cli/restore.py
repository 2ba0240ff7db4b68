"""The command `oppai restore`."""

from pathlib import Path
from typing import Annotated

import typer

from illustkit.cli import user_errors
from illustkit.errors import UserError
from oppai.cli.options import NAME, Overwrite, Restorer, parse_numbers


def restore(
    pictures: Annotated[list[Path], typer.Argument(help="Files or folders.")],
    run: Restorer = "default",
    box: Annotated[
        list[str] | None,
        typer.Option(help="left,top,right,bottom in pixels; repeatable."),
    ] = None,
    metadata: Annotated[
        Path | None, typer.Option(help="JSON with the pictures' boxes.")
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(help="Mask file, or folder of masks by stem; white is restored."),
    ] = None,
    mask_colour: Annotated[
        str | None, typer.Option(help="Colour painted over the regions, as 0,255,0.")
    ] = None,
    tolerance: Annotated[
        int, typer.Option(help="How far paint may differ; 40 for a JPEG.")
    ] = 0,
    blend: Annotated[
        float | None,
        typer.Option(help="Fraction of the prediction. Defaults to the run's."),
    ] = None,
    feather: Annotated[int, typer.Option(help="Width of the soft rim, pixels.")] = 8,
    output: Annotated[
        Path | None, typer.Option(help="Folder, or for one picture a file.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Restore marked or found regions of pictures.

    The results are new files beside the pictures.
    """
    with user_errors(NAME):
        from oppai.inference.files import restore_files

        boxes = [parse_numbers(text, 4, "--box") for text in box] if box else None
        colour = None
        if mask_colour:
            numbers = parse_numbers(mask_colour, 3, "--mask-colour")
            colour = [int(number) for number in numbers]
        from oppai.models.pretrained import load_restorer

        report = restore_files(
            pictures[0] if len(pictures) == 1 else pictures,
            restorer=load_restorer(run),
            output=output,
            boxes=boxes,
            metadata=metadata,
            masks=mask,
            mask_colour=colour,
            overwrite=overwrite,
            tolerance=tolerance,
            blend=blend,
            feather=feather,
        )
        for path in report.written:
            print(path)
        if report.left_out:
            raise UserError(str(report))
