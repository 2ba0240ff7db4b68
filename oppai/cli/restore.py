"""Command line: `oppai restore`, `evaluate` and `train-mosaic`."""

from pathlib import Path
from typing import Annotated

import typer

from illustkit.cli import user_errors

Images = Annotated[Path, typer.Argument(help="Folder of the pictures.")]
Metadata = Annotated[Path, typer.Argument(help="JSON with the pictures' boxes.")]
Restorer = Annotated[
    Path, typer.Option("--run", help="Folder of a training, or the package's default.")
]
Strategy = Annotated[str, typer.Option(help="auto, one, mirrored, multiworker or tpu.")]


def evaluate(
    images: Images,
    metadata: Metadata,
    run: Restorer = Path("default"),
    kind: Annotated[
        list[str] | None,
        typer.Option(help="mosaic, light, white or irregular; repeatable."),
    ] = None,
    blocks: Annotated[
        str | None, typer.Option(help="least,most side of a mosaic's blocks, pixels.")
    ] = None,
    rim: Annotated[
        str, typer.Option(help="hard, or soft: merged through the mask.")
    ] = "hard",
    output: Annotated[
        Path | None, typer.Option(help="CSV to write; in the run by default.")
    ] = None,
    seed: Annotated[int, typer.Option()] = 0,
):
    """Compare a restorer with filters on pictures it never trained on."""
    with user_errors("oppai"):
        from illustkit.training.runs import Run
        from oppai.evaluation import evaluate
        from oppai.evaluation.evaluate import held_out_patches
        from oppai.models.restorers import load_restorer

        run = "default" if str(run) == "default" else Run(run)
        restorer = load_restorer(run)
        patches = held_out_patches(run, images, metadata)
        folder = Path("runs/default") if run == "default" else run.folder
        output = output or folder / "evaluation.csv"
        # A restorer that sees mosaics was trained with every censor there is.
        settings = {"kinds": ["mosaic"], "blocks": (6, 10), "blur_sizes": [0]}
        settings["picture_blur"] = 0
        settings.update({} if run == "default" else run.settings)
        rows = evaluate.evaluate(
            restorer,
            patches,
            kinds=kind or settings["kinds"],
            blocks=_numbers(blocks, 2, "--blocks") if blocks else settings["blocks"],
            blur_size=settings["blur_sizes"][0],
            picture_blur=settings["picture_blur"],
            rim=rim,
            seed=seed,
            output=output,
        )
        print(evaluate.format_table(rows))
        print(f"Written to {output}")


def restore(
    pictures: Annotated[list[Path], typer.Argument(help="Files or folders.")],
    run: Restorer = Path("default"),
    box: Annotated[
        list[str] | None,
        typer.Option(help="left,top,right,bottom in pixels; repeatable."),
    ] = None,
    metadata: Annotated[
        Path | None, typer.Option(help="JSON with the pictures' boxes.")
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(help="Mask file, or folder of masks by stem; white is restored."),
    ] = None,
    mask_colour: Annotated[
        str | None, typer.Option(help="Colour painted over the parts, as 0,255,0.")
    ] = None,
    tolerance: Annotated[
        int, typer.Option(help="How far paint may differ; 40 for a JPEG.")
    ] = 0,
    blend: Annotated[
        float | None,
        typer.Option(help="Share of the prediction; the run's by default."),
    ] = None,
    feather: Annotated[int, typer.Option(help="Width of the soft rim, pixels.")] = 8,
    output: Annotated[
        Path | None, typer.Option(help="Folder, or for one picture a file.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace files that exist.")] = False,
):
    """Restore pictures, what is marked or found, beside them and never over them."""
    with user_errors("oppai"):
        from oppai.inference.files import restore_files

        boxes = [_numbers(text, 4, "--box") for text in box] if box else None
        colour = _numbers(mask_colour, 3, "--mask-colour") if mask_colour else None
        from oppai.models.restorers import load_restorer

        report = restore_files(
            pictures[0] if len(pictures) == 1 else pictures,
            restorer=load_restorer(run),
            output=output,
            boxes=boxes,
            metadata=metadata,
            masks=mask,
            mask_colour=colour,
            overwrite=overwrite,
            tolerance=tolerance,
            blend=blend,
            feather=feather,
        )
        for path in report.written:
            print(path)
        if report.left_out:
            raise ValueError(str(report))


def train_mosaic(
    images: Images,
    run: Annotated[Path, typer.Option(help="Folder of the training.")] = Path(
        "runs/mosaic"
    ),
    held_out: Annotated[
        Path | None,
        typer.Option(help="Text file of the pictures' names to keep out, one a line."),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Of 250 steps each.")] = 56,
    batch_size: Annotated[
        int, typer.Option(help="Patches a step, over all devices.")
    ] = 8,
    learning_rate: Annotated[float, typer.Option()] = 4e-4,
    precision: Annotated[
        str, typer.Option(help="float32, mixed_bfloat16 or mixed_float16.")
    ] = "mixed_bfloat16",
    strategy: Strategy = "auto",
    start_from: Annotated[
        Path | None, typer.Option(help="Run or weights to begin from.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Keep the network in this .npz, float16.")
    ] = None,
    seed: Annotated[int, typer.Option()] = 0,
):
    """Train a restorer that sees the mosaic; the same command again resumes it."""
    with user_errors("oppai"):
        from oppai import training
        from oppai.models.restorers import load_restorer

        names = held_out.read_text("utf-8").split("\n") if held_out else []
        done = training.train_mosaic(
            images,
            run,
            held_out=[name for name in names if name],
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            precision=precision,
            strategy=strategy,
            start_from=start_from,
            seed=seed,
        )
        print(f"The run is in {done.folder}")
        if export is not None:
            from oppai.models.pretrained import save_shipped

            print(save_shipped(load_restorer(done), export))


def register(app):
    """Add these commands to the application."""
    app.command(
        epilog="Examples: oppai restore a.png; "
        "oppai restore a.png --box 57,258,344,471 --run runs/first; "
        "oppai restore pictures --mask masks; oppai restore b.png --mask-colour 0,255,0"
    )(restore)
    app.command(
        epilog="Examples: oppai evaluate images meta.json --kind light; "
        "oppai evaluate images meta.json --run runs/first"
    )(evaluate)
    app.command(
        "train-mosaic",
        epilog="Example: oppai train-mosaic images --run runs/mosaic --epochs 50",
    )(train_mosaic)


def _numbers(text, n, option):
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != n:
        raise ValueError(f"{option} takes {n} numbers with commas. Received: {text}")
    return tuple(numbers)
