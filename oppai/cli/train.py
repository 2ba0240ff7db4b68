"""The commands `oppai train` and `oppai train-mosaic`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from illustkit.cli import EarlyStopping, TensorBoard, given, user_errors
from illustkit.errors import UserError
from illustkit.files import read_text
from oppai.cli.options import (
    NAME,
    Epochs,
    Images,
    Metadata,
    Precision,
    Preset,
    RunFolder,
    Seed,
    Strategy,
)

StartFrom = Annotated[
    Path | None,
    typer.Option(help="Run or .weights.h5 of the same network to begin from."),
]


def train(
    images: Images,
    metadata: Metadata,
    run: RunFolder = Path("runs/oppai"),
    preset: Preset = "tiny",
    epochs: Epochs = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Patches per step, over all devices.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="First learning rate.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Side of a patch, pixels.")
    ] = None,
    losses: Annotated[str | None, typer.Option(help="book, paper or pix2pix.")] = None,
    vgg_weights: Annotated[
        str | None,
        typer.Option(
            help="package (VGG16's first blocks, which come with it), imagenet (Keras' "
            "download), a file, or none for no perceptual terms."
        ),
    ] = None,
    upsampling: Annotated[
        str | None, typer.Option(help="nearest or transposed.")
    ] = None,
    residual: Annotated[bool | None, typer.Option(help="Residual blocks.")] = None,
    input_skip: Annotated[
        bool | None, typer.Option(help="Add the input to the output.")
    ] = None,
    adversarial: Annotated[
        str | None,
        typer.Option(help="pix2pix: train against a discriminator of patches."),
    ] = None,
    adversarial_loss: Annotated[
        str | None,
        typer.Option(help="bce, hinge, least_squares or relativistic."),
    ] = None,
    spectral_norm: Annotated[
        bool,
        typer.Option("--spectral-norm", help="Spectral norm of the discriminator."),
    ] = False,
    precision: Precision = None,
    strategy: Strategy = "auto",
    holdout: Annotated[
        float, typer.Option(help="Fraction of the pictures to hold out.")
    ] = 0.1,
    sheet_every: Annotated[
        int, typer.Option(help="Epochs between two sheets of samples.")
    ] = 5,
    start_from: StartFrom = None,
    freeze_batchnorm: Annotated[
        bool,
        typer.Option(
            "--freeze-batchnorm",
            help="Keep the averages of the encoder's BatchNorm: the second phase.",
        ),
    ] = False,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for cut patches, to share them.")
    ] = None,
    early_stopping: EarlyStopping = None,
    tensorboard: TensorBoard = False,
    seed: Seed = 0,
) -> None:
    """Train a restorer on pictures and their boxes.

    The same command again resumes a training that was stopped. The second phase of Liu
    et al. takes a new --run, --start-from the first, --freeze-batchnorm and a smaller
    --learning-rate.
    """
    with user_errors(NAME):
        from illustkit.training.runs import format_figure
        from illustkit.training.watching import watching
        from oppai import training

        settings: dict[str, Any] = given(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            image_size=image_size,
            losses=losses,
            adversarial=adversarial,
            adversarial_loss=adversarial_loss,
            precision=precision,
        )
        if spectral_norm:
            if adversarial is None:
                raise UserError("--spectral-norm needs --adversarial to be set.")
            settings["discriminator"] = {"spectral_norm": True}
        if vgg_weights is not None:
            settings["vgg_weights"] = None if vgg_weights == "none" else vgg_weights
        network = given(upsampling=upsampling, residual=residual, input_skip=input_skip)
        done = training.train(
            images,
            metadata,
            run,
            preset=preset,
            strategy=strategy,
            holdout=holdout,
            sheet_every=sheet_every,
            start_from=start_from,
            freeze_batchnorm=freeze_batchnorm,
            cache=cache,
            seed=seed,
            callbacks=watching(early_stopping, tensorboard),
            network=network,
            **settings,
        )
        psnr = format_figure(done.best("val_psnr"), 2)
        print(f"Best PSNR in held-out holes: {psnr} dB. The run is in {done.folder}")


def train_mosaic(
    images: Images,
    run: RunFolder = Path("runs/mosaic"),
    held_out: Annotated[
        Path | None,
        typer.Option(help="Text file of the pictures to hold out, one name per line."),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Number of epochs.")] = 56,
    steps: Annotated[int, typer.Option(help="Steps per epoch.")] = 250,
    batch_size: Annotated[
        int, typer.Option(help="Patches per step, over all devices.")
    ] = 8,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 4e-4,
    image_size: Annotated[int, typer.Option(help="Side of a patch, pixels.")] = 128,
    precision: Precision = "auto",
    strategy: Strategy = "auto",
    start_from: StartFrom = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the network to this .npz, in float16.")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the pictures without compression. Defaults to one in the "
            "run."
        ),
    ] = None,
    early_stopping: EarlyStopping = None,
    tensorboard: TensorBoard = False,
    seed: Seed = 0,
) -> None:
    """Train a restorer that sees the mosaic.

    The same command again resumes a training that was stopped.
    """
    with user_errors(NAME):
        from illustkit.training.watching import watching
        from oppai import training
        from oppai.models.pretrained import load_restorer

        names = read_text(held_out).splitlines() if held_out else []
        done = training.train_mosaic(
            images,
            run,
            held_out=[name for name in names if name],
            epochs=epochs,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            image_size=image_size,
            precision=precision or "auto",
            strategy=strategy,
            start_from=start_from,
            cache=cache,
            seed=seed,
            callbacks=watching(early_stopping, tensorboard),
        )
        print(f"The run is in {done.folder}")
        if export is not None:
            from oppai.models.pretrained import save_shipped

            restorer: Any = load_restorer(done)
            print(save_shipped(restorer, export))
