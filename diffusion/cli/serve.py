"""The command `illust-diffusion serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from diffusion.cli.options import (
    DEFAULT_RUN,
    NAME,
    Engine,
    Font,
    ImageSize,
    ModelArgument,
    Opacity,
    Precision,
    Watermark,
    WatermarkText,
    marking,
    parse_size,
)
from illustkit.cli import LOOPBACK, Host, user_errors


def serve(
    run: ModelArgument = DEFAULT_RUN,
    port: Annotated[int, typer.Option(help="TCP port; 0 takes a free one.")] = 7860,
    image_size: ImageSize = None,
    precision: Precision = None,
    engine: Engine = "auto",
    watermark: Watermark = True,
    watermark_text: WatermarkText = "AI-generated",
    opacity: Opacity = 0.35,
    font: Font = None,
    open_browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the browser.")
    ] = True,
    host: Host = LOOPBACK,
) -> None:
    """Serve a page on this machine that makes new icons."""
    with user_errors(NAME):
        from diffusion.pages import serve as page

        page.serve(
            run,
            port=port,
            host=host,
            image_size=parse_size(image_size),
            precision=precision,
            engine=engine,
            open_browser=open_browser,
            **marking(watermark, watermark_text, opacity, font),
        )
