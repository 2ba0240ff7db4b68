"""The command `oppai restore`."""

from pathlib import Path
from typing import Annotated

import typer

from illustkit.cli import end_with_left_out, given, tell, user_errors
from oppai.cli.options import (
    NAME,
    BatchSize,
    Overwrite,
    Restorer,
    parse_numbers,
)


def restore(
    pictures: Annotated[
        list[Path], typer.Argument(help="Files or folders; links are followed.")
    ],
    run: Restorer = "default",
    box: Annotated[
        list[str] | None,
        typer.Option(help="left,top,right,bottom in pixels; repeatable."),
    ] = None,
    metadata: Annotated[
        Path | None, typer.Option(help="JSON with the pictures' boxes.")
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            help="Mask file, or folder of masks by stem. White is restored; so are "
            "strokes on an empty layer, and what was erased from a copy of the "
            "picture. alpha: what was erased from the picture itself."
        ),
    ] = None,
    mask_pattern: Annotated[
        str | None,
        typer.Option(
            help="Name of the mask beside each picture, as {stem}_mask.png.",
        ),
    ] = None,
    invert: Annotated[
        bool, typer.Option(help="Black is restored in the masks, and white stays.")
    ] = False,
    grow: Annotated[
        int,
        typer.Option(help="Pixels by which a mark is widened; negative ones narrow."),
    ] = 0,
    mask_colour: Annotated[
        str | None, typer.Option(help="Colour painted over the regions, as 0,255,0.")
    ] = None,
    tolerance: Annotated[
        int, typer.Option(help="How far paint may differ; 40 for a JPEG.")
    ] = 0,
    blend: Annotated[
        float | None,
        typer.Option(help="Fraction of the prediction, 0 to 1. Defaults to the run's."),
    ] = None,
    feather: Annotated[
        float, typer.Option(help="Width of the soft rim of hard edges, pixels.")
    ] = 8,
    fill: Annotated[
        bool,
        typer.Option(help="Restore what is marked even where nothing hides it."),
    ] = False,
    again: Annotated[
        bool,
        typer.Option(help="Restore also what was restored before, as its file notes."),
    ] = False,
    batch_size: BatchSize = 8,
    engine: Annotated[
        str,
        typer.Option(
            help="onnx, opencv or keras; auto is Keras for networks of one's own and "
            "for GPUs, else the one that starts fastest. ray: processes of Ray, on "
            "this machine or a cluster (pip install 'ray[data]')."
        ),
    ] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(help="Processes of --engine ray; by default one a core.", min=1),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="float32; bfloat16, which new CPUs, GPUs and TPUs compute faster; or "
            "int8, on ONNX Runtime, in half the time. Defaults to that of the training."
        ),
    ] = None,
    mirror: Annotated[
        bool | None,
        typer.Option(
            help="Predict mirrored as well: twice as long, a little closer. Defaults "
            "to the restorer's own."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder, or for one picture a file: .png, .jpg, .webp, .gif, … "
            "Defaults to restored/ in a folder, and beside a file."
        ),
    ] = None,
    format: Annotated[
        str, typer.Option(help="png, jpg or webp; keep is each picture's own.")
    ] = "keep",
    quality: Annotated[
        int | None,
        typer.Option(help="1 to 100, of JPEG, WebP and AVIF; compresses all anew."),
    ] = None,
    save_masks: Annotated[
        Path | None,
        typer.Option(
            "--save-mask",
            help="Folder, or for one picture a file, for the masks of what is "
            "restored; --mask takes them again.",
        ),
    ] = None,
    copy_clean: Annotated[
        bool,
        typer.Option(
            help="Copy pictures in which nothing is restored, so that the folder is "
            "whole."
        ),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Restore marked or found regions of pictures, and all frames of animations.

    The results are new files beside the pictures; those that exist are skipped.
    """
    with user_errors(NAME, goes_on=not overwrite):
        from oppai.inference.files import restore_files

        boxes = [parse_numbers(text, 4, "--box") for text in box] if box else None
        colour = None
        if mask_colour is not None:
            colour = parse_numbers(mask_colour, 3, "--mask-colour", whole=True)
        report = restore_files(
            pictures,
            restorer=run,
            output=output,
            boxes=boxes,
            metadata=metadata,
            masks=mask,
            mask_pattern=mask_pattern,
            mask_colour=colour,
            grow=grow,
            invert=invert,
            format=format,
            quality=quality,
            save_masks=save_masks,
            copy_clean=copy_clean,
            overwrite=overwrite,
            tolerance=tolerance,
            blend=blend,
            feather=feather,
            **given(fill=fill or None),
            again=again,
            batch_size=batch_size,
            engine=engine,
            workers=workers,
            precision=precision,
            mirror=mirror,
        )
        for path in [*report.written, *report.copied]:
            print(path)
        lines = list(report.notes)
        lines += [f"{path}: {reason}" for path, reason in report.unmarked]
        lines += [
            f"{path}: exists already and was skipped; `overwrite` replaces it."
            for path in report.skipped
        ]
        if sum(report.numbers.values()) > 1 or not report.written:
            lines.append(report.counts)
        tell(NAME, lines)
        end_with_left_out(NAME, report.problems)
