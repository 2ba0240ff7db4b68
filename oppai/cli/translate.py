"""The commands that train and use translations: `oppai translate`, `colorize`, …"""

from pathlib import Path
from typing import Annotated, Any

import typer

from illustkit.cli import (
    EarlyStopping,
    TensorBoard,
    end_with_left_out,
    given,
    tell,
    user_errors,
)
from illustkit.errors import UserError, as_user_error
from oppai.cli.options import (
    NAME,
    Epochs,
    Overwrite,
    Precision,
    RunFolder,
    Seed,
    Strategy,
    parse_numbers,
)


def train_translation(
    task: Annotated[
        str,
        typer.Argument(help="clean, colorize, complete, stylize, segment or pix2pix."),
    ],
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
    unpaired: Annotated[
        Path | None,
        typer.Option(
            help="Folder of sketches without clean lines; with --adversarial."
        ),
    ] = None,
    preset: Annotated[str, typer.Option(help="tiny, colab or paper.")] = "tiny",
    adversarial: Annotated[
        bool | None,
        typer.Option(help="Train against a discriminator: clean, complete, pix2pix."),
    ] = None,
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
    export: Annotated[
        Path | None, typer.Option(help="Store the network there in float16, .npz.")
    ] = None,
    early_stopping: EarlyStopping = None,
    tensorboard: TensorBoard = False,
    seed: Seed = 0,
) -> None:
    """Train a translation of pictures: clean lines, colours, parts, or your pairs.

    The same command again resumes a training that was stopped.
    """
    with user_errors(NAME):
        from illustkit.images.listing import check_folder

        for folder in (pictures, targets, unpaired):
            if folder is not None:
                check_folder(folder)
        from illustkit.training.runs import format_figure
        from illustkit.training.watching import watching
        from oppai.translation.tasks import make_task
        from oppai.translation.training import train_translation

        settings: dict[str, Any] = given(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            image_size=image_size,
            precision=precision,
            adversarial=adversarial,
        )
        done = train_translation(
            task,
            pictures,
            run,
            targets=targets,
            unpaired=unpaired,
            preset=preset,
            strategy=strategy,
            holdout=holdout,
            start_from=start_from,
            seed=seed,
            callbacks=watching(early_stopping, tensorboard),
            **settings,
        )
        name, mode = make_task(task).best
        best = format_figure(done.best(name, mode), 3)
        print(f"Best {name} of held-out pairs: {best}. The run is in {done.folder}")
        if export is not None:
            from oppai.translation.translate import save_translation

            print(save_translation(done, export))


Pictures = Annotated[
    list[Path], typer.Argument(help="Files or folders; links are followed.")
]
OwnRun = Annotated[Path, typer.Option(help="Run folder of train-translation.")]
TranslationRun = Annotated[
    str,
    typer.Option(
        help="Run folder of train-translation, or default: the package's own network."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(help="Folder of the results. Defaults to beside each picture."),
]


def translate(
    pictures: Pictures,
    run: OwnRun,
    output: Output = None,
    overwrite: Overwrite = False,
) -> None:
    """Translate pictures with a trained run of any task.

    The results are new PNG files, a_clean.png of a.png; those that exist are skipped.
    """
    with user_errors(NAME, goes_on=not overwrite):
        _translate_all(None, pictures, run, output, overwrite)


def clean(
    pictures: Pictures,
    run: TranslationRun = "default",
    output: Output = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn rough sketches into clean lines: a_clean.png of a.png."""
    with user_errors(NAME, goes_on=not overwrite):
        _translate_all("clean", pictures, run, output, overwrite)


def segment(
    pictures: Pictures,
    run: TranslationRun = "default",
    output: Output = None,
    overwrite: Overwrite = False,
) -> None:
    """Show hair, skin, clothes and background: a_segment.png of a.png."""
    with user_errors(NAME, goes_on=not overwrite):
        _translate_all("segment", pictures, run, output, overwrite)


def colorize(
    pictures: Pictures,
    run: TranslationRun = "default",
    hint: Annotated[
        list[str] | None,
        typer.Option(help="x,y,#rrggbb: a colour at a place; may be given again."),
    ] = None,
    output: Output = None,
    overwrite: Overwrite = False,
) -> None:
    """Colour grey pictures: a_colorize.png of a.png."""
    with user_errors(NAME, goes_on=not overwrite):
        hints = dict(_hint(text) for text in hint or [])

        def do(picture, file, model):
            from oppai.translation.translate import colorize

            return colorize(picture, model, hints=hints)

        _translate_all("colorize", pictures, run, output, overwrite, do)


def complete(
    pictures: Pictures,
    run: TranslationRun = "default",
    box: Annotated[
        list[str] | None,
        typer.Option(help="left,top,right,bottom in pixels; may be given again."),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Picture, white where it is to be completed.")
    ] = None,
    poisson: Annotated[
        bool, typer.Option("--poisson", help="Blend the holes' gradients in.")
    ] = False,
    output: Output = None,
    overwrite: Overwrite = False,
) -> None:
    """Fill holes with what fits around them: a_complete.png of a.png."""
    with user_errors(NAME, goes_on=not overwrite):
        from illustkit.images.listing import check_given

        if (mask is None) == (not box):
            raise UserError("Give a hole by `box` or by `mask`, one of both.")
        boxes = [parse_numbers(text, 4, "--box") for text in box] if box else None
        if mask is not None:
            check_given([mask])

        def do(picture, file, model):
            from oppai.translation.fill import complete

            return complete(picture, model, boxes=boxes, mask=mask, poisson=poisson)

        _translate_all("complete", pictures, run, output, overwrite, do)


def stylize(
    pictures: Pictures,
    style: Annotated[
        list[Path], typer.Option(help="Picture of the style; given again, both mix.")
    ],
    run: TranslationRun = "default",
    strength: Annotated[
        float, typer.Option(help="From 0, the picture, to 1, the style.")
    ] = 1.0,
    keep_colours: Annotated[
        bool, typer.Option("--keep-colours", help="Change the lightness alone.")
    ] = False,
    output: Output = None,
    overwrite: Overwrite = False,
) -> None:
    """Give pictures the style of another: a_stylize.png of a.png."""
    with user_errors(NAME, goes_on=not overwrite):
        from illustkit.images import read_image

        styles = [read_image(path) for path in style]

        def do(picture, file, model):
            from oppai.translation.fill import stylize

            return stylize(
                picture, styles, model, strength=strength, keep_colours=keep_colours
            )

        _translate_all("stylize", pictures, run, output, overwrite, do)


def _translate_all(task, pictures, run, output, overwrite, do=None):
    """Translate files and folders, and list what was left out."""
    from illustkit.images.listing import check_given
    from illustkit.training.folder import check_run

    pictures = check_given(pictures)
    if run != "default":
        check_run(run)
    from tqdm import tqdm

    from illustkit.images import list_images, read_image, write_image
    from oppai.translation.remarks import remark
    from oppai.translation.translate import load_translation

    model = load_translation(run, task)
    suffix = f"_{model.task.name}"
    files: list[Path] = []
    for path in pictures:
        found = list_images(path) if path.is_dir() else [path]
        # Results of before lie in the folder as well.
        files += [f for f in found if f == path or not f.stem.endswith(suffix)]
    left_out, lines = [], []
    for file in tqdm(files, unit="picture", disable=len(files) < 2):
        target = (output or file.parent) / f"{file.stem}{suffix}.png"
        if target.exists() and not overwrite:
            lines.append(
                f"{target}: exists already and was skipped; `overwrite` replaces it."
            )
            continue
        try:
            picture = read_image(file)
            if said := remark(model.task.name, picture):
                print(f"{file} {said}")
            result = do(picture, file, model) if do else model(picture)
            write_image(target, model.task.coloured(result))
        except Exception as error:
            if (problem := as_user_error(error, file)) is None:
                raise
            left_out.append(str(problem))
            continue
        print(target)
    tell(NAME, lines)
    end_with_left_out(NAME, left_out)


def _hint(text):
    """Return ((x, y), colour) of "x,y,#rrggbb"."""
    try:
        x, y, colour = text.split(",")
        return (int(x), int(y)), colour.strip()
    except ValueError:
        raise UserError(f"A hint is x,y,#rrggbb. Received: {text!r}") from None
