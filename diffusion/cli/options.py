"""Options that several commands of `illust-diffusion` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from illustkit.cli import given
from illustkit.errors import UserError

NAME = "illust-diffusion"
DEFAULT_RUN = Path("default")
"""The model that comes with the package."""

RunFolder = Annotated[Path, typer.Option(help="Folder of the training.")]
RunArgument = Annotated[Path, typer.Argument(help="Folder of the training.")]
NamedArgument = Annotated[
    Path, typer.Argument(help="Folder of the training, default or quick.")
]
ModelArgument = Annotated[
    Path,
    typer.Argument(
        help="Folder of the training; or default, the model that comes with the "
        "package, or quick, its student, six times as fast."
    ),
]
Attributes = Annotated[
    str | None,
    typer.Option(help="What the icons shall show, as hair=red,glasses=yes."),
]
Guidance = Annotated[
    float | None,
    typer.Option(
        help="How strongly that counts, 1 or more; by default 3, or what a distilled "
        "model has built in."
    ),
]
Preset = Annotated[str, typer.Option(help="preprint, hourglass, colab, small or tiny.")]
Strategy = Annotated[str, typer.Option(help="auto, one, mirrored, multiworker or tpu.")]
Precision = Annotated[
    str | None,
    typer.Option(
        help="float32, mixed_bfloat16, mixed_float16, or auto: what is fast here."
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        help="auto, keras or onnx, which starts faster: auto takes it for the "
        "package's models where ONNX Runtime is installed and there is no GPU."
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        help="Network evaluations per picture; by default 50, or fewer where the "
        "model has fewer timesteps; of the package's model 12."
    ),
]
Sampler = Annotated[
    str | None,
    typer.Option(
        help="ddim, ddpm (all timesteps), heun (two evaluations a step) or dpm++ "
        "(spaced for fine detail up to 20 steps, evenly above); by default ddim, of "
        "the package's model dpm++, of a distilled one its own."
    ),
]
LearntAttributes = Annotated[
    str | None,
    typer.Option(
        help="What icons can be asked for: folders, their sub-folders' names, or a CSV "
        "of their attributes."
    ),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same pictures.")]
ImageSize = Annotated[
    str | None,
    typer.Option(help="64 or WIDTHxHEIGHT, for a network that takes any size."),
]
CompareSize = Annotated[
    str | None,
    typer.Option(
        "--image-size",
        help="Compare at 128 or WIDTHxHEIGHT; by default the median size.",
    ),
]
Watermark = Annotated[
    bool,
    typer.Option("--watermark/--no-watermark", help="Mark pictures as generated."),
]
WatermarkText = Annotated[str, typer.Option(help="Text of the watermark.")]
Opacity = Annotated[float, typer.Option(help="Opacity of the watermark, 0 to 1.")]
Font = Annotated[
    Path | None,
    typer.Option(
        help="Font file for the watermark; by default one of this machine that has "
        "its letters."
    ),
]
OutputPicture = Annotated[
    Path,
    typer.Option(
        help="Picture to write: .png, .webp or .jpg; without a watermark also others, "
        "but no .gif."
    ),
]
Overwrite = Annotated[bool, typer.Option(help="Replace files that exist.")]
Features = Annotated[
    str,
    typer.Option(help="inception, a file of its weights, or pixels (no FID, no NWI)."),
]
Definition = Annotated[
    str, typer.Option(help="Definition of the MAE: nearest, all or mean picture.")
]
Channels = Annotated[str, typer.Option(help="sum or mean over a pixel's channels.")]


def marking(
    watermark: bool, text: str, opacity: float, font: Path | None
) -> dict[str, Any]:
    """Return the keywords of functions that write marked pictures."""
    mark = {"watermark": text if watermark else None, "opacity": opacity}
    return mark | given(font=font)


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise if a file exists that must not be replaced."""
    if path.is_file() and not overwrite:
        raise UserError(
            f"{path}: exists already. Give --overwrite, or name another `output`."
        )


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Parse "64" or "96x64" to (width, height); `None` stays `None`.

    Raises:
        UserError: If the text is neither.
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
