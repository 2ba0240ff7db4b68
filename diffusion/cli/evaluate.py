"""The commands `illust-diffusion features`, `evaluate` and `validity`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from diffusion.cli.options import (
    NAME,
    Channels,
    CompareSize,
    Definition,
    Features,
    Overwrite,
    parse_size,
    refuse_existing,
)
from illustkit.cli import end_with_left_out, user_errors
from illustkit.errors import UserError
from illustkit.files import expand_user

Spread = Annotated[
    str,
    typer.Option(
        help="auto, or ray: processes of Ray, on this machine or a cluster, extract "
        "the features (pip install 'ray[data]')."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(help="Processes of --engine ray; by default one a core.", min=1),
]
Resizing = Annotated[
    str,
    typer.Option(
        help="pytorch-fid, clean-fid or torch-fidelity: how pictures become "
        "InceptionV3's."
    ),
]


def features(
    pictures: Annotated[Path, typer.Argument(help="Folder of pictures.")],
    output: Annotated[Path, typer.Option(help="Statistics to write, .npz.")],
    against: Annotated[
        Path | None,
        typer.Option(help="Folder or .npz of statistics: print the FID to it."),
    ] = None,
    features: Features = "inception",
    resizing: Resizing = "pytorch-fid",
    engine: Spread = "auto",
    workers: Workers = None,
    overwrite: Overwrite = False,
) -> None:
    """Store the features' mean and covariance as pytorch-fid does, of any number.

    The same command again goes on where it was stopped, with --engine ray.
    """
    with user_errors(NAME, goes_on=False):
        from diffusion.evaluation.features import load_extractor
        from diffusion.evaluation.metrics import fid
        from diffusion.evaluation.statistics import read_statistics
        from illustkit.files import check_writable
        from illustkit.images.listing import check_folder

        output = expand_user(output)
        if output.suffix.lower() != ".npz":
            raise UserError(f"{output}: name a .npz file as `output`.")
        refuse_existing(output, overwrite)
        check_writable(output.parent)
        check_folder(pictures)
        extractor = load_extractor(features, resizing=resizing)
        options: dict[str, Any] = {"engine": engine, "workers": workers}
        statistics = read_statistics(pictures, extractor, **options)
        statistics.save(output)
        typer.echo(
            f"{statistics.n} pictures, {len(statistics.mean)} features of "
            f"{extractor.name}: {output.resolve()}"
        )
        if against is not None:
            other = read_statistics(against, extractor, **options)
            name = "FID" if extractor.name == "inception" else "Fréchet distance"
            typer.echo(f"{name} {fid(statistics, other):.4g}")


def evaluate(
    generated: Annotated[Path, typer.Argument(help="Folder of new pictures.")],
    training: Annotated[Path, typer.Argument(help="Folder of the training pictures.")],
    output: Annotated[
        Path, typer.Option(help="JSON to write; a figure of pairs goes beside it.")
    ] = Path("evaluation.json"),
    features: Features = "inception",
    resizing: Resizing = "pytorch-fid",
    definition: Definition = "nearest",
    channels: Channels = "sum",
    image_size: CompareSize = None,
    engine: Spread = "auto",
    workers: Workers = None,
    overwrite: Overwrite = False,
) -> None:
    """Print FID, KID, MAE, NWI and the fraction of copies.

    An earlier evaluation of that name is replaced; no other file is.
    """
    with user_errors(NAME, goes_on=False):
        from diffusion.evaluation.report import evaluate_pictures, format_evaluation

        output = expand_user(output)
        if output.suffix.lower() != ".json":
            raise UserError(f"{output}: name a .json file as `output`.")
        figure = output.with_name("neighbours.png")
        if not _is_evaluation(output):
            refuse_existing(output, overwrite)
            refuse_existing(figure, overwrite)
        result = evaluate_pictures(
            generated,
            training,
            features=features,
            resizing=resizing,
            definition=definition,
            channels=channels,
            image_size=parse_size(image_size),
            output=output,
            figure=figure,
            engine=engine,
            workers=workers,
        )
        typer.echo(format_evaluation({**result, "left_out": []}))
        typer.echo(f"{output.resolve()}\nLook at {figure.resolve()}")
        end_with_left_out(NAME, result["left_out"])


def _is_evaluation(path: Path) -> bool:
    """Return whether a file is what an earlier `evaluate` wrote."""
    from illustkit.tables import read_json

    try:
        result = read_json(path)
    except UserError:
        return False
    return isinstance(result, dict) and "mae_definition" in result


def validity(
    early: Annotated[Path, typer.Argument(help="An illustrator's early pictures.")],
    new: Annotated[Path, typer.Argument(help="The same illustrator's later ones.")],
    other: Annotated[Path, typer.Argument(help="Pictures of another domain.")],
    features: Features = "inception",
    definition: Definition = "nearest",
    channels: Channels = "sum",
    image_size: CompareSize = None,
) -> None:
    """The preprint's table 1: is NWI higher for new work than for another domain?"""
    with user_errors(NAME, goes_on=False):
        from diffusion.evaluation.report import format_validity, validity_table

        rows = validity_table(
            early,
            new,
            other,
            features=features,
            definition=definition,
            channels=channels,
            image_size=parse_size(image_size),
        )
        typer.echo(format_validity(rows))
        left_out = [line for row in rows for line in row["left_out"]]
        end_with_left_out(NAME, list(dict.fromkeys(left_out)))
