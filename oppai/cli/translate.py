"""The commands `oppai train-translation` and `oppai translate`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from illustkit.cli import end_with_left_out, given, tell, user_errors
from illustkit.errors import as_user_error
from oppai.cli.options import (
    NAME,
    Epochs,
    Overwrite,
    Precision,
    RunFolder,
    Seed,
    Strategy,
)


def train_translation(
    task: Annotated[str, typer.Argument(help="clean, colorize, segment or pix2pix.")],
    pictures: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of clean lines, coloured pictures, or inputs. Without it the "
            "illustrator draws the pairs."
        ),
    ] = None,
    run: RunFolder = Path("runs/translation"),
    targets: Annotated[
        Path | None, typer.Option(help="Folder of the targets, named as the inputs.")
    ] = None,
    preset: Annotated[str, typer.Option(help="tiny, colab or paper.")] = "tiny",
    epochs: Epochs = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Crops per step, over all devices.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Highest learning rate.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Side of a crop, pixels.")
    ] = None,
    precision: Precision = None,
    strategy: Strategy = "auto",
    holdout: Annotated[
        float, typer.Option(help="Fraction of the pictures to hold out.")
    ] = 0.1,
    start_from: Annotated[
        Path | None, typer.Option(help="Run of the same task to begin from.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Train a translation of pictures: clean lines, colours, parts, or your pairs.

    The same command again resumes a training that was stopped.
    """
    with user_errors(NAME):
        from illustkit.training.runs import format_figure
        from oppai.translation.tasks import make_task
        from oppai.translation.training import train_translation

        settings: dict[str, Any] = given(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            image_size=image_size,
            precision=precision,
        )
        done = train_translation(
            task,
            pictures,
            run,
            targets=targets,
            preset=preset,
            strategy=strategy,
            holdout=holdout,
            start_from=start_from,
            seed=seed,
            **settings,
        )
        name, mode = make_task(task).best
        best = format_figure(done.best(name, mode), 3)
        print(f"Best {name} of held-out pairs: {best}. The run is in {done.folder}")


def translate(
    pictures: Annotated[
        list[Path], typer.Argument(help="Files or folders; links are followed.")
    ],
    run: Annotated[Path, typer.Option(help="Run folder of train-translation.")],
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the results. Defaults to beside each picture."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Translate pictures with a trained run.

    The results are new PNG files, a_clean.png of a.png; those that exist are skipped.
    """
    with user_errors(NAME, goes_on=not overwrite):
        from tqdm import tqdm

        from illustkit.images import list_images, read_image, write_image
        from oppai.translation.translate import load_translation

        files = [
            file
            for path in pictures
            for file in (list_images(path) if path.is_dir() else [path])
        ]
        model = load_translation(run)
        suffix = f"_{model.task.name}"
        files = [f for f in files if not f.stem.endswith(suffix)]
        left_out, lines = [], []
        for file in tqdm(files, unit="picture", disable=len(files) < 2):
            target = (output or file.parent) / f"{file.stem}{suffix}.png"
            if target.exists() and not overwrite:
                lines.append(
                    f"{target}: exists already and was skipped; `overwrite` replaces "
                    "it."
                )
                continue
            try:
                result = model(read_image(file))
                write_image(target, model.task.coloured(result))
            except Exception as error:
                if (problem := as_user_error(error, file)) is None:
                    raise
                left_out.append(str(problem))
                continue
            print(target)
        tell(NAME, lines)
        end_with_left_out(NAME, left_out)
