"""The command `oppai serve`."""

from pathlib import Path
from typing import Annotated

import typer

from illustkit.cli import LOOPBACK, Host, user_errors
from oppai.cli.options import NAME, Engine


def serve(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder of pictures; without one, drop them on the page."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="TCP port. Defaults to 7861, or a free one."),
    ] = None,
    host: Host = LOOPBACK,
    engine: Engine = "auto",
    run: Annotated[
        list[Path] | None,
        typer.Option(
            help="Run folder of train-translation, for the tab of its task; may be "
            "given again."
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Open a page that restores, colours and cleans pictures; nothing is uploaded."""
    with user_errors(NAME):
        from oppai.pages.serve import serve as serve_page

        serve_page(
            folder,
            port=port,
            host=host,
            engine=engine,
            runs=run or (),
            open_browser=browser,
        )
