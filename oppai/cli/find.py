"""The command `oppai find`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from illustkit.cli import end_with_left_out, tell, user_errors
from oppai.cli.options import NAME, Overwrite


def find(
    pictures: Annotated[
        list[Path],
        typer.Argument(help="Files, folders or archives (.zip, .cbz)."),
    ],
    save_masks: Annotated[
        Path | None,
        typer.Option(
            "--masks",
            help="Folder for a mask of each picture, or for one picture a file. White "
            "is hidden; `oppai restore --mask` takes them.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, not a table.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Find what is censored, with its kind, box and block size; restore nothing."""
    with user_errors(NAME, goes_on=False):
        from oppai.inference.find import find_files

        report = find_files(pictures, save_masks=save_masks, overwrite=overwrite)
        if as_json:
            print(json.dumps(report.regions, indent=1))
        elif report.regions:
            print(report.table)
        tell(NAME, [report.counts])
        end_with_left_out(NAME, report.problems)
