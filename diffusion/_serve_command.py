"""The command that serves a trained model on a web page."""

from typing import Annotated

import typer

from diffusion._picture_commands import (
    NAME,
    Opacity,
    Precision,
    RunArgument,
    Watermark,
    WatermarkText,
    size_of,
)
from illustkit.command_line import user_errors


def serve(
    run: RunArgument,
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 7860,
    size: Annotated[
        str | None, typer.Option(help="For a network that takes any size.")
    ] = None,
    precision: Precision = None,
    watermark: Watermark = True,
    watermark_text: WatermarkText = "AI-generated",
    opacity: Opacity = 0.35,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the browser.")
    ] = True,
):
    """Serve a page on this machine that makes new icons; needs Gradio."""
    with user_errors(NAME):
        from diffusion import serve as page

        page.serve(
            run,
            port=port,
            image_size=size_of(size),
            watermark=watermark_text if watermark else None,
            opacity=opacity,
            dtype=precision or "float32",
            open_browser=open_browser,
        )
