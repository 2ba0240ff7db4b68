"""Options that the commands share, and the list of files that a command left out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from illustkit import cli
from illustkit.errors import UserError

NAME = "facescore"

Strategy = Annotated[str, typer.Option(help="auto, one, mirrored, multiworker or tpu.")]
Precision = Annotated[
    str | None, typer.Option(help="float32, mixed_bfloat16 or mixed_float16.")
]
Seed = Annotated[int, typer.Option(help="Decides everything random.")]
Holdout = Annotated[float, typer.Option(help="Fraction held out.")]
LearningRate = Annotated[float | None, typer.Option(help="Highest learning rate.")]
Detector = Annotated[
    str, typer.Option(help="cascade, or the run folder of a trained detector.")
]
Confidence = Annotated[
    float,
    typer.Option(
        "--confidence", "--conf", help="Least confidence of a face.", min=0, max=1
    ),
]
Iou = Annotated[
    float,
    typer.Option(help="Overlap up to which two boxes are two faces.", min=0, max=1),
]
ImageSize = Annotated[
    int,
    typer.Option(
        *("--image-size", "--imgsz"),
        help="Side that a picture is scaled to for finding, pixels.",
        min=1,
    ),
]
TrainingSize = Annotated[
    int | None,
    typer.Option("--image-size", "--imgsz", help="Side of a training picture, pixels."),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size", "--batch", help="Pictures in a step, over all devices."
    ),
]
Tile = Annotated[
    int | None, typer.Option(help="Side of windows to search as well, pixels.", min=32)
]
Margin = Annotated[
    str, typer.Option(help="top,sides,bottom of a crop, as fractions of the face.")
]
Square = Annotated[
    bool, typer.Option("--square/--stretch", help="Widen a crop, or stretch it.")
]
Ratings = Annotated[
    Path | None,
    typer.Option(
        help="CSV, or folder with 1/ to 5/, of the crops or of their pictures."
    ),
]
Port = Annotated[int, typer.Option(help="TCP port on this machine; 0 takes any.")]
Browser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")]


def flag(name: str, text: str) -> Any:
    """Return an option without a value; with dashes, or as Ultralytics writes it.

    Args:
        name: The name with dashes.
        text: Its help.
    """
    return typer.Option(f"--{name}", f"--{name.replace('-', '_')}", help=text)


def margin_of(text: str) -> tuple[float, ...]:
    """Return (top, sides, bottom) of "0.3,0.15,0"."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3:
        raise UserError(f"--margin takes 3 numbers with commas. Received: {text}")
    return numbers


class LeftOutError(UserError):
    """Files that a command had to leave out, one line each.

    Args:
        left_out: Pairs (path, reason).
    """

    def __init__(self, left_out: list[tuple[Path, str]]) -> None:
        super().__init__([reason for _, reason in left_out])


def raise_left_out(left_out: list[tuple[Path, str]]) -> None:
    """End a command with the list of the files that it left out, if there are any.

    Args:
        left_out: Pairs (path, reason).
    """
    if left_out:
        raise LeftOutError(left_out)


def user_errors() -> Any:
    """Return `illustkit.cli.user_errors` of this command."""
    return cli.user_errors(NAME)
