"""What the commands share: common options, and mistakes told in clear lines."""

from pathlib import Path
from typing import Annotated

import typer

from illustkit import cli

Strategy = Annotated[str, typer.Option(help="auto, one, mirrored, multiworker or tpu.")]
Precision = Annotated[
    str | None, typer.Option(help="float32, mixed_bfloat16 or mixed_float16.")
]
Detector = Annotated[
    str, typer.Option(help="cascade, or the run folder of a trained detector.")
]
Conf = Annotated[float, typer.Option(help="Least confidence of a face.", min=0, max=1)]
Iou = Annotated[
    float,
    typer.Option(help="Overlap up to which two boxes are two faces.", min=0, max=1),
]
Imgsz = Annotated[
    int, typer.Option(help="Side a picture is scaled to for finding.", min=32)
]
Tile = Annotated[
    int | None, typer.Option(help="Side of windows to search as well, pixels.", min=32)
]
Margin = Annotated[
    str, typer.Option(help="top,sides,bottom of a crop, as shares of the face.")
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


def flag(name, text):
    """An option without a value; with dashes, or as Ultralytics writes it."""
    return typer.Option(f"--{name}", f"--{name.replace('-', '_')}", help=text)


def margin_of(text):
    """(top, sides, bottom) of "0.3,0.15,0"."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3:
        raise ValueError(f"--margin takes 3 numbers with commas. Received: {text}")
    return numbers


class LeftOutError(ValueError):
    """Files that a command had to leave out.

    Args:
        left_out: Pairs (path, reason).
    """

    def __init__(self, left_out):
        self.problems = [reason for _, reason in left_out]
        super().__init__("\n".join(self.problems))


def user_errors():
    """Turn a user's mistake into one clear line and exit code 2.

    Labels and ratings name each of their problems in a line of its own.
    """
    return cli.user_errors("facescore")
