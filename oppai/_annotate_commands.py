"""`oppai annotate`: the chapter's metadata from other formats, and to them."""

from pathlib import Path
from typing import Annotated

import typer

from illustkit.command_line import app_with, user_errors

app = app_with("Make the metadata from boxes on one's own pictures, or hand it on.")


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
    overwrite: Annotated[
        bool, typer.Option(help="Replace metadata that is there.")
    ] = False,
):
    """Make the metadata from what VoTT, or a tool for YOLO or COCO, wrote."""
    with user_errors("oppai"):
        from oppai.annotations import import_annotations
        from oppai.metadata import load_metadata, save_metadata

        if metadata.exists() and not overwrite:
            raise ValueError(f"{metadata}: is there already. Overwrite it, or another.")
        entries = import_annotations(
            source, pictures, like=load_metadata(like) if like else None, labels=label
        )
        metadata.parent.mkdir(parents=True, exist_ok=True)
        save_metadata(entries, metadata)
        boxes = sum(len(entry.boxes) for entry in entries)
        print(f"{len(entries):,} pictures, {boxes:,} boxes: {metadata}")


@app.command(
    epilog="Examples: oppai annotate export meta.json coco.json; "
    "oppai annotate export meta.json labels --to yolo"
)
def export(
    metadata: Annotated[Path, typer.Argument(help="The metadata.")],
    target: Annotated[Path, typer.Argument(help="JSON or folder to write.")],
    to: Annotated[str, typer.Option(help="coco or yolo.")] = "coco",
    label: Annotated[str, typer.Option(help="What the boxes are called.")] = "region",
):
    """Write the metadata as COCO's JSON or as YOLO's text files."""
    with user_errors("oppai"):
        from oppai import annotation_export
        from oppai.metadata import load_metadata

        writers = {
            "coco": annotation_export.export_coco,
            "yolo": annotation_export.export_yolo,
        }
        if to not in writers:
            raise ValueError(f"--to is coco or yolo. Received: {to}")
        entries = load_metadata(metadata)
        boxes = writers[to](entries, target, label=label)
        print(f"{len(entries):,} pictures, {boxes:,} boxes: {target}")
