"""Options that several commands of `illust-diffusion` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from illustkit.errors import UserError

NAME = "illust-diffusion"

RunFolder = Annotated[Path, typer.Option(help="Folder of the training.")]
RunArgument = Annotated[Path, typer.Argument(help="Folder of the training.")]
Preset = Annotated[str, typer.Option(help="preprint, hourglass, colab, small or tiny.")]
Strategy = Annotated[str, typer.Option(help="auto, one, mirrored, multiworker or tpu.")]
Precision = Annotated[
    str | None, typer.Option(help="float32, mixed_bfloat16 or mixed_float16.")
]
Steps = Annotated[int, typer.Option(help="Network evaluations per picture.")]
Sampler = Annotated[str, typer.Option(help="ddim, ddpm (all timesteps) or dpm++.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same pictures.")]
ImageSize = Annotated[
    str | None,
    typer.Option(help="64 or WIDTHxHEIGHT, for a network that takes any size."),
]
CompareSize = Annotated[
    str | None, typer.Option("--image-size", help="Compare at 128 or WIDTHxHEIGHT.")
]
Watermark = Annotated[
    bool,
    typer.Option("--watermark/--no-watermark", help="Mark pictures as generated."),
]
WatermarkText = Annotated[str, typer.Option(help="Text of the watermark.")]
Opacity = Annotated[float, typer.Option(help="Opacity of the watermark, 0 to 1.")]
OutputPicture = Annotated[Path, typer.Option(help="Picture to write.")]
Features = Annotated[
    str,
    typer.Option(help="inception, a file of its weights, or pixels (no FID, no NWI)."),
]
Definition = Annotated[
    str, typer.Option(help="Definition of the MAE: nearest, all or mean picture.")
]
Channels = Annotated[str, typer.Option(help="sum or mean over a pixel's channels.")]


def marking(watermark: bool, text: str, opacity: float) -> dict[str, Any]:
    """Return the keywords of functions that write marked pictures."""
    return {"watermark": text if watermark else None, "opacity": opacity}


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Parse "64" or "96x64" to (width, height); `None` stays `None`.

    Raises:
        ValueError: If the text is neither.
    """
    if text is None:
        return None
    try:
        numbers = [int(number) for number in text.lower().split("x")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or min(numbers) < 1:
        raise UserError(f"--image-size takes 64 or 96x64. Received: {text}")
    return numbers[0], numbers[-1]
