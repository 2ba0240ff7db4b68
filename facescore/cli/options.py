"""Options that the commands share, and how a command ends."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from illustkit import cli
from illustkit.errors import UserError

NAME = "facescore"

Strategy = Annotated[str, typer.Option(help="auto, one, mirrored, multiworker or tpu.")]
Precision = Annotated[
    str | None,
    typer.Option(
        help="float32, mixed_bfloat16, mixed_float16, or auto: what is fast here."
    ),
]
Seed = Annotated[int, typer.Option(help="Decides everything random.")]
Holdout = Annotated[float, typer.Option(help="Fraction held out.")]
LearningRate = Annotated[float | None, typer.Option(help="Highest learning rate.")]
Detector = Annotated[
    str, typer.Option(help="default, cascade, a run folder, or an exported file.")
]
Confidence = Annotated[
    float,
    typer.Option(
        "--confidence", "--conf", help="Least confidence of a face.", min=0, max=1
    ),
]
Iou = Annotated[
    float | None,
    typer.Option(
        help="Overlap up to which two boxes are two faces; 0.5 by default. For trained "
        "detectors, as the two that follow.",
        min=0,
        max=1,
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        *("--image-size", "--imgsz"),
        help="Side that a picture is scaled to for finding, pixels; else see --tile.",
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
    str,
    typer.Option(
        help="Side of windows to search as well, pixels; or none: once, at 640. auto "
        "searches at 320 and 640, pictures of more than 900 pixels at 320, 480, 960 "
        "and 1920, if no size is given."
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        help="keras, onnx or opencv; auto starts fastest, or takes Keras for a GPU."
    ),
]
EngineOrRay = Annotated[
    str,
    typer.Option(
        help="keras, onnx or opencv; auto starts fastest, or takes Keras for a GPU. "
        "ray: processes of Ray, on this machine or a cluster (pip install 'ray[data]')."
    ),
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


FaceClass = Annotated[
    int | None,
    typer.Option(
        "--class",
        help="Number of the class that is a face, in labels of several.",
        min=0,
    ),
]
Overwrite = Annotated[bool, typer.Option(help="Do again what is there already.")]


def flag(name: str, text: str) -> Any:
    """Return an option without a value; with dashes, or as Ultralytics writes it.

    Args:
        name: The name with dashes.
        text: Its help.
    """
    return typer.Option(f"--{name}", f"--{name.replace('-', '_')}", help=text)


def open_detector(name: str, engine: str, *, no_search: str = "none") -> Any:
    """Open the detector of `--detector` with `--engine`.

    Args:
        name: What the option takes.
        engine: See `facescore.load_detector`.
        no_search: The name that stands for no detector. Defaults to "none".

    Returns:
        A detector, or `None`.

    Raises:
        UserError: If it cannot be opened, or has no such engine.
    """
    from facescore.detector.prediction import as_detector

    return as_detector(None if name == no_search else name, engine=engine)


def finding(iou: float | None, image_size: int | None, tile: str) -> dict[str, Any]:
    """Return the options of `facescore.detect_faces` that were given.

    Args:
        iou: Of `--iou`.
        image_size: Of `--image-size`.
        tile: Of `--tile`.

    Raises:
        UserError: If `tile` is neither auto, none nor a number.
    """
    from facescore.detector.views import AUTO

    options = cli.given(iou=iou, image_size=image_size)
    if tile == AUTO:
        return options
    if tile != "none" and not tile.isdecimal():
        raise UserError(f"--tile takes auto, none or a number. Received: {tile}")
    return {**options, "tile": None if tile == "none" else int(tile)}


def margin_of(text: str) -> tuple[float, ...]:
    """Return (top, sides, bottom) of "0.3,0.15,0"."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3:
        raise UserError(f"--margin takes 3 numbers with commas. Received: {text}")
    return numbers


def end_with_left_out(left_out: Iterable[tuple[Path, str]]) -> None:
    """End a command with a line for each file that it left out, if there are any.

    Args:
        left_out: Pairs (path, reason).
    """
    cli.end_with_left_out(NAME, [reason for _, reason in left_out])


def user_errors(*, goes_on: bool = True) -> Any:
    """Return `illustkit.cli.user_errors` of this command."""
    return cli.user_errors(NAME, goes_on=goes_on)
