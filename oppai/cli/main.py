"""Command line: `oppai train`, `restore`, `evaluate`, `demo`, and the data set's."""

from pathlib import Path
from typing import Annotated

import typer

from illustkit.cli import app_with, given, user_errors
from oppai.cli import dataset, export, restore
from oppai.cli.restore import Images, Metadata, Strategy

app = app_with("Restore mosaicked or whited-out regions of all-ages illustrations.")

RunFolder = Annotated[Path, typer.Option(help="Folder of the training.")]
Precision = Annotated[
    str | None, typer.Option(help="float32, mixed_bfloat16 or mixed_float16.")
]


@app.command(
    epilog="Example: oppai train images oppai_meta.json --run runs/first --preset tiny"
)
def train(
    images: Images,
    metadata: Metadata,
    run: RunFolder = Path("runs/oppai"),
    preset: Annotated[str, typer.Option(help="tiny, colab or book.")] = "tiny",
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Patches a step, over all devices.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option()] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of a patch.")] = None,
    losses: Annotated[str | None, typer.Option(help="book or paper.")] = None,
    vgg_weights: Annotated[
        str | None,
        typer.Option(help="imagenet, a file, or none for no perceptual terms."),
    ] = None,
    upsampling: Annotated[
        str | None, typer.Option(help="nearest or transposed.")
    ] = None,
    residual: Annotated[bool | None, typer.Option(help="Residual blocks.")] = None,
    input_skip: Annotated[
        bool | None, typer.Option(help="Add the input to the output.")
    ] = None,
    precision: Precision = None,
    strategy: Strategy = "auto",
    holdout: Annotated[float, typer.Option(help="Share held out.")] = 0.1,
    sheet_every: Annotated[int, typer.Option(help="Epochs between sheets.")] = 5,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for cut patches, to share them.")
    ] = None,
    seed: Annotated[int, typer.Option()] = 0,
):
    """Train a restorer; the same command again resumes it."""
    with user_errors("oppai"):
        from oppai import training

        settings = {
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "image_size": image_size,
            "losses": losses,
            "precision": precision,
        }
        settings = {k: v for k, v in settings.items() if v is not None}
        if vgg_weights is not None:
            settings["vgg_weights"] = None if vgg_weights == "none" else vgg_weights
        network = {
            "upsampling": upsampling,
            "residual": residual,
            "input_skip": input_skip,
        }
        network = {k: v for k, v in network.items() if v is not None}
        done = training.train(
            images,
            metadata,
            run,
            preset=preset,
            strategy=strategy,
            holdout=holdout,
            sheet_every=sheet_every,
            cache=cache,
            seed=seed,
            network=network,
            **settings,
        )
        psnr = max(done.history["val_psnr"])
        print(
            f"Best PSNR in held-out holes: {psnr:.2f} dB. The run is in {done.folder}"
        )


@app.command(epilog="Example: oppai demo --images pictures --meta oppai_meta.json")
def demo(
    folder: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("demo"),
    images: Annotated[
        Path | None, typer.Option(help="Folder of your own pictures.")
    ] = None,
    meta: Annotated[Path | None, typer.Option(help="JSON with their boxes.")] = None,
    preset: Annotated[str, typer.Option(help="tiny, colab or book.")] = "tiny",
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.")] = None,
    precision: Precision = None,
    strategy: Strategy = "auto",
):
    """Train on the spot, restore unseen pictures, and show them on a page."""
    with user_errors("oppai"):
        from oppai.cli.demo import demo as run_demo

        page = run_demo(
            folder,
            images=images,
            metadata=meta,
            preset=preset,
            strategy=strategy,
            **given(epochs=epochs, precision=precision),
        )
        print(f"Look at {page.resolve()}")


restore.register(app)
dataset.register(app)
export.register(app)
app.add_typer(dataset.app, name="annotate")


def main():
    """Run the command line."""
    app(prog_name="oppai")
