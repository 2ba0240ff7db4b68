"""The commands `oppai fetch-metadata`, `download`, `pack`, `unpack` and `check`."""

from pathlib import Path
from typing import Annotated

import typer

from illustkit.cli import end_with_left_out, user_errors
from illustkit.options import check_number
from oppai.cli.options import METADATA, NAME, MetadataFile, Overwrite


def fetch_metadata(
    path: Annotated[Path, typer.Argument(help="File to write.")] = METADATA,
    overwrite: Overwrite = False,
) -> None:
    """Fetch the chapter's metadata from its public repository."""
    with user_errors(NAME):
        from oppai.data import metadata

        fetched = metadata.fetch_metadata(path, overwrite=overwrite)
        print(f"The metadata is in {fetched}")
        print(metadata.LICENCE)


def download(
    metadata: MetadataFile = METADATA,
    folder: Annotated[
        Path, typer.Option(help="Folder that the metadata's paths are relative to.")
    ] = Path("."),
    pause: Annotated[
        float, typer.Option(help="Seconds to wait after every 30 pictures.")
    ] = 1.0,
    report: Annotated[
        Path | None,
        typer.Option(
            help="JSON of the report. Defaults to download_report.json beside the "
            "metadata."
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option(help="Ask again for what was gone or refused before.")
    ] = False,
) -> None:
    """Download the all-ages pictures from Pixiv.

    The same command again resumes a download that was stopped. The refresh token comes
    from PIXIV_REFRESH_TOKEN, or is asked for.
    """
    with user_errors(NAME):
        from oppai.pixiv.client import login
        from oppai.pixiv.download import REPORT, download_all

        done = download_all(
            login, metadata, folder, pause=pause, report=report, again=again
        )
        print(done)
        path = report or metadata.with_name(REPORT)
        print(f"The report is in {path}")
        failed = done.names("failed")
        if failed:
            print("The same command tries again what has failed.")
        end_with_left_out(
            NAME, [f"{name}: {done.outcomes[name]['reason']}." for name in failed]
        )


def pack(
    folder: Annotated[Path, typer.Argument(help="The folder.")] = METADATA.parent,
    archive: Annotated[
        Path | None, typer.Argument(help="The ZIP. Defaults to one beside the folder.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a folder into one ZIP with checksums.

    Keep it to yourself, on your own Google Drive for instance.
    """
    with user_errors(NAME, goes_on=False):
        from oppai.data.archive import pack as run_pack

        notes: list[str] = []
        written = run_pack(folder, archive, overwrite=overwrite, notes=notes)
        for note in notes:
            print(f"note: {note}")
        print(f"{written}: {written.stat().st_size / 1e6:.1f} MB")


def unpack(
    archive: Annotated[Path, typer.Argument(help="The ZIP.")],
    folder: Annotated[Path, typer.Argument(help="Folder to write to.")] = Path("."),
    max_gigabytes: Annotated[
        float, typer.Option(help="Largest size of all files together.")
    ] = 20,
    encoding: Annotated[
        str | None,
        typer.Option(help="Of the names in an old ZIP, such as cp932."),
    ] = None,
) -> None:
    """Unpack a packed folder, checking every file."""
    with user_errors(NAME):
        from oppai.data.archive import unpack as run_unpack

        check_number("max_gigabytes", max_gigabytes, above=0)
        paths = run_unpack(
            archive, folder, max_bytes=int(max_gigabytes * 1e9), encoding=encoding
        )
        print(f"{len(paths):,} files under {folder}")


def check(
    metadata: MetadataFile,
    pictures: Annotated[
        Path | None, typer.Argument(help="Folder of its pictures, to check them too.")
    ] = None,
) -> None:
    """Name every problem of a metadata file.

    With the folder of its pictures, theirs too.
    """
    with user_errors(NAME, goes_on=False):
        from oppai.data.metadata import MetadataError, check_metadata

        result = check_metadata(metadata, pictures)
        for note in result.notes[:20]:
            print(f"note: {note}")
        if len(result.notes) > 20:
            print(f"note: {len(result.notes) - 20} more pictures without a full box.")
        print(result)
        if result.problems:
            raise MetadataError(result.problems)
