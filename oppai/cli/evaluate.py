"""The command `oppai evaluate`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from illustkit.cli import user_errors
from oppai.cli.options import NAME, Images, Metadata, Restorer, Seed, parse_numbers

# A restorer that sees mosaics was trained with every censor there is.
_CENSORS = {"kinds": ["mosaic"], "blocks": (6, 10), "blur_sizes": [0]}


def evaluate(
    images: Images,
    metadata: Metadata,
    run: Restorer = "default",
    kind: Annotated[
        list[str] | None,
        typer.Option(help="mosaic, light, white or irregular; repeatable."),
    ] = None,
    blocks: Annotated[
        str | None, typer.Option(help="least,most side of a mosaic's blocks, pixels.")
    ] = None,
    rim: Annotated[
        str, typer.Option(help="hard, or soft: blended through the mask.")
    ] = "hard",
    vgg_weights: Annotated[
        Path | None,
        typer.Option(
            help="VGG16's five blocks (a file of convert-vgg, or Keras' own): measures "
            "the perceptual distance, too."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="CSV to write. Defaults to one in the run, if any."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Compare a restorer with plain filters.

    It is measured on the pictures that it did not train on.
    """
    with user_errors(NAME, goes_on=False):
        from illustkit.training.runs import Run
        from oppai.evaluation import evaluate as evaluation
        from oppai.models.pretrained import SHIPPED, load_restorer

        numbers = None
        if blocks:
            numbers = tuple(
                int(number) if number.is_integer() else number
                for number in parse_numbers(blocks, 2, "--blocks")
            )
        evaluation.check_censors(
            kinds=kind or (), blocks=numbers, rim=rim, seed=seed, output=output
        )
        features = None
        if vgg_weights is not None:
            from oppai.metrics import VGG_TAPS
            from oppai.models.vgg import load_vgg_features

            features = load_vgg_features(vgg_weights, taps=VGG_TAPS)
        opened = run if run in SHIPPED else Run(run)
        restorer = load_restorer(opened)
        patches = evaluation.held_out_patches(opened, images, metadata)
        print(patches.report)
        censors: dict[str, Any] = {**_CENSORS, "picture_blur": 0}
        if isinstance(opened, Run):
            output = output or opened.folder / "evaluation.csv"
            censors |= opened.settings
        if numbers:
            censors["blocks"] = numbers
        rows = evaluation.evaluate(
            restorer,
            patches,
            kinds=kind or censors["kinds"],
            blocks=censors["blocks"],
            blur_size=censors["blur_sizes"][0],
            picture_blur=censors["picture_blur"],
            rim=rim,
            features=features,
            seed=seed,
            output=output,
        )
        print(evaluation.format_table(rows))
        if output is not None:
            print(f"Written to {output}")
