"""`oppai annotate`: the chapter's metadata from other formats, and to them."""

from pathlib import Path
from typing import Annotated

import typer

from illustkit.cli import app_with, user_errors

Overwrite = Annotated[bool, typer.Option(help="Replace a file that is there.")]


def fetch_metadata(
    path: Annotated[Path, typer.Argument(help="Where to put it.")] = Path(
        "oppai_dataset/oppai_meta.json"
    ),
    overwrite: Overwrite = False,
):
    """Fetch the chapter's metadata from its public repository."""
    with user_errors("oppai"):
        from oppai.data import metadata

        fetched = metadata.fetch_metadata(path, overwrite=overwrite)
        print(f"The metadata is in {fetched}")
        print(metadata.LICENCE)


def download(
    metadata: Annotated[Path, typer.Argument(help="The metadata.")] = Path(
        "oppai_dataset/oppai_meta.json"
    ),
    folder: Annotated[
        Path, typer.Option(help="Folder that the metadata's paths stand in.")
    ] = Path("."),
    pause: Annotated[
        float, typer.Option(help="Seconds to wait after every 30 pictures.")
    ] = 1.0,
    report: Annotated[
        Path | None,
        typer.Option(help="JSON for the report; download_report.json beside it."),
    ] = None,
    again: Annotated[
        bool, typer.Option(help="Ask again for what was gone or refused before.")
    ] = False,
):
    """Download the pictures from Pixiv, those marked all-ages; again to go on.

    The refresh token comes from PIXIV_REFRESH_TOKEN, or is asked for.
    """
    with user_errors("oppai"):
        from oppai.pixiv.client import login
        from oppai.pixiv.download import REPORT, download_all

        done = download_all(
            login, metadata, folder, pause=pause, report=report, again=again
        )
        print(done)
        path = report or metadata.with_name(REPORT)
        print(f"The report is in {path}")
        if failed := done.names("failed"):
            why = done.outcomes[failed[0]]["reason"]
            raise ValueError(
                f"{len(failed)} failed, the first {failed[0]}: {why}. "
                "The same command tries them again."
            )


def pack(
    folder: Annotated[Path, typer.Argument(help="The folder.")] = Path("oppai_dataset"),
    archive: Annotated[
        Path | None, typer.Argument(help="The ZIP; beside the folder by default.")
    ] = None,
    overwrite: Overwrite = False,
):
    """Write a folder into one ZIP with checksums, for one's own Google Drive."""
    with user_errors("oppai"):
        from oppai.data.archive import pack as run_pack

        written = run_pack(folder, archive, overwrite=overwrite)
        print(f"{written}: {written.stat().st_size / 1e6:.1f} MB")


def unpack(
    archive: Annotated[Path, typer.Argument(help="The ZIP.")],
    folder: Annotated[Path, typer.Argument(help="Where to.")] = Path("."),
    max_gigabytes: Annotated[
        float, typer.Option(help="Most that the files may take.")
    ] = 20,
):
    """Bring a packed folder back, checking every file."""
    with user_errors("oppai"):
        from oppai.data.archive import unpack as run_unpack

        paths = run_unpack(archive, folder, max_bytes=int(max_gigabytes * 1e9))
        print(f"{len(paths):,} files under {folder}")


def check(
    metadata: Annotated[Path, typer.Argument(help="The metadata.")],
    pictures: Annotated[
        Path | None, typer.Argument(help="Folder of its pictures, to check them too.")
    ] = None,
):
    """Name every problem of a metadata file, and of its pictures."""
    with user_errors("oppai"):
        from oppai.data.metadata import MetadataError, check_metadata

        found = check_metadata(metadata, pictures)
        for note in found.notes[:20]:
            print(f"note: {note}")
        if len(found.notes) > 20:
            print(f"note: {len(found.notes) - 20} more pictures without a full box.")
        print(found)
        if found.problems:
            raise MetadataError(found.problems)


def register(app):
    """Add these commands to a Typer app."""
    examples = {
        fetch_metadata: "fetch-metadata",
        download: "download oppai_dataset/oppai_meta.json --pause 5",
        pack: "pack oppai_dataset gdrive/MyDrive/oppai_dataset.zip",
        unpack: "unpack gdrive/MyDrive/oppai_dataset.zip",
        check: "check meta.json pictures",
    }
    for command, example in examples.items():
        name = command.__name__.replace("_", "-")
        app.command(name, epilog=f"Example: oppai {example}")(command)


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
        from oppai.data.annotations import import_annotations
        from oppai.data.metadata import load_metadata, save_metadata

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
        from oppai.data import annotations
        from oppai.data.metadata import load_metadata

        writers = {
            "coco": annotations.export_coco,
            "yolo": annotations.export_yolo,
        }
        if to not in writers:
            raise ValueError(f"--to is coco or yolo. Received: {to}")
        entries = load_metadata(metadata)
        boxes = writers[to](entries, target, label=label)
        print(f"{len(entries):,} pictures, {boxes:,} boxes: {target}")
