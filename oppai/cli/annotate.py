"""The commands `oppai annotate import` and `oppai annotate export`."""

from pathlib import Path
from typing import Annotated

import typer

from illustkit.cli import app_with, end_with_left_out, user_errors
from illustkit.options import check_choice
from oppai.cli.options import NAME, MetadataFile, Overwrite, refuse_existing

app = app_with("Make metadata from your own boxes, or export it.")


@app.command(
    "import",
    epilog="Examples: oppai annotate import vott-csv-export/mine-export.csv meta.json "
    "--pictures pictures; oppai annotate import labels meta.json --pictures pictures; "
    "oppai annotate import coco.json meta.json --label dress",
)
def import_(
    source: Annotated[
        Path,
        typer.Argument(
            help="VoTT's CSV or JSON, COCO's JSON, or a folder of YOLO's text files."
        ),
    ],
    metadata: Annotated[Path, typer.Argument(help="The metadata to write.")],
    pictures: Annotated[
        Path | None, typer.Option(help="Folder of the pictures.")
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(help="Metadata to take sizes, ids and addresses from."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Label to take; repeatable.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make metadata from VoTT, YOLO or COCO files."""
    with user_errors(NAME):
        from oppai.data.annotations import import_annotations
        from oppai.data.metadata import is_metadata_of, load_metadata, save_metadata

        left_out: list[str] = []
        notes: list[str] = []
        entries = import_annotations(
            source,
            pictures,
            like=load_metadata(like) if like else None,
            labels=label,
            left_out=left_out,
            notes=notes,
        )
        for note in notes:
            print(f"note: {note}")
        boxes = sum(len(entry.boxes) for entry in entries)
        if is_metadata_of(entries, metadata):
            print(f"{metadata} is there already, with these {boxes:,} boxes.")
        else:
            refuse_existing(metadata, overwrite)
            save_metadata(entries, metadata)
            print(f"{len(entries):,} pictures, {boxes:,} boxes: {metadata}")
        end_with_left_out(NAME, left_out)


@app.command(
    epilog="Examples: oppai annotate export meta.json coco.json; "
    "oppai annotate export meta.json labels --to yolo"
)
def export(
    metadata: MetadataFile,
    target: Annotated[Path, typer.Argument(help="JSON or folder to write.")],
    to: Annotated[str, typer.Option(help="coco or yolo.")] = "coco",
    label: Annotated[str, typer.Option(help="Name of the boxes' class.")] = "region",
    overwrite: Overwrite = False,
) -> None:
    """Write the metadata as COCO's JSON or as YOLO's text files."""
    with user_errors(NAME):
        from oppai.data.annotations import export_coco, export_yolo
        from oppai.data.metadata import load_metadata

        writers = {"coco": export_coco, "yolo": export_yolo}
        check_choice("to", to, writers)
        entries = load_metadata(metadata)
        boxes = writers[to](entries, target, label=label, overwrite=overwrite)
        print(f"{len(entries):,} pictures, {boxes:,} boxes: {target}")
