"""Options that several commands of `oppai` share."""

from pathlib import Path
from typing import Annotated, Any

import typer

from illustkit.errors import UserError

NAME = "oppai"
METADATA = Path("oppai_dataset/oppai_meta.json")

Images = Annotated[
    Path, typer.Argument(help="Folder of the pictures; linked ones too.")
]
Metadata = Annotated[Path, typer.Argument(help="JSON with the pictures' boxes.")]
MetadataFile = Annotated[Path, typer.Argument(help="The metadata.")]
Restorer = Annotated[
    str,
    typer.Option(
        "--restorer",
        "--run",
        help="default or sharp (the package's own), a run folder, or a .keras file; "
        "./default is a folder of that name.",
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        help="keras, onnx or opencv; auto starts fastest, or takes Keras for a GPU."
    ),
]
RunFolder = Annotated[Path, typer.Option(help="Folder of the training.")]
Preset = Annotated[str, typer.Option(help="tiny, colab or book.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the data.")]
Strategy = Annotated[str, typer.Option(help="auto, one, mirrored, multiworker or tpu.")]
Precision = Annotated[
    str | None,
    typer.Option(
        help="float32, mixed_bfloat16, mixed_float16, or auto: what is fast here."
    ),
]
Seed = Annotated[int, typer.Option(help="The same seed draws the same.")]
BatchSize = Annotated[int, typer.Option(help="Tiles that are predicted at once.")]
Overwrite = Annotated[bool, typer.Option(help="Replace a file that exists.")]


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise if a file exists that must not be replaced."""
    if path.exists() and not overwrite:
        raise UserError(
            f"{path}: exists already. Give --overwrite, or name another file."
        )


def parse_numbers(
    text: str, n: int, option: str, *, whole: bool = False
) -> tuple[Any, ...]:
    """Parse `n` numbers with commas between them.

    Args:
        text: The text.
        n: How many numbers there have to be.
        option: The option as typed, for the error.
        whole: Whether they are integers. Defaults to `False`.

    Raises:
        UserError: If the text is anything else.
    """
    kind = int if whole else float
    try:
        numbers = [kind(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != n:
        what = "whole numbers" if whole else "numbers"
        raise UserError(f"{option} takes {n} {what} with commas. Received: {text}")
    return tuple(numbers)
