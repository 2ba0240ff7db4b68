"""The preprint's experiment as one call: train, make 1,024 pictures, measure them."""

from pathlib import Path

from diffusion.evaluation.features import load_extractor
from diffusion.evaluation.report import evaluate_pictures
from diffusion.network.model import load_diffuser
from diffusion.sampling.generate import ICONS, sample_folder
from diffusion.training.train import train
from illustkit.files import write_whole

N_PICTURES = 1024


def run_experiment(
    images,
    run,
    *,
    n=N_PICTURES,
    sampler="ddim",
    steps=50,
    seed=3407,
    features="inception",
    name=None,
    training_steps=None,
    **settings,
):
    """Do the preprint's experiment on a folder: one row of its table 2.

    Everything goes into the run's folder and can be interrupted: the training, the
    pictures (`generated/`, without watermark, since they are measured), and
    `evaluation.json` with `neighbours.png`.

    Example:
    ```python
    print(diffusion.run_experiment("icons", "runs/icons", preset="preprint"))
    ```

    Args:
        images: Folder of the training pictures.
        run: Folder of the training.
        n: Pictures to make. Defaults to 1,024, the preprint's number.
        sampler: As in `diffusion.sample`. Defaults to "ddim".
        steps: Evaluations a picture. Defaults to 50.
        seed: Of training and pictures. Defaults to 3407, the preprint's.
        features: As in `diffusion.evaluation.features.load_extractor`. Defaults to "inception".
        name: What to call the row. Defaults to the run folder's name.
        training_steps: Steps of the training. Defaults to the preset's.
        **settings: As in `diffusion.train`.

    Returns:
        The row, Markdown text with its head.

    Raises:
        ValueError: as `diffusion.train` and `diffusion.evaluate_pictures`.

    Reference:
        The preprint, §5.3 and table 2.
    """
    load_extractor(features)  # what is missing shows before hours of training
    if training_steps is not None:
        settings["steps"] = training_steps
    run = train(images, run, seed=seed, **settings)
    folder = run.folder / "generated"
    sample_folder(
        load_diffuser(run),
        n,
        folder,
        sampler=sampler,
        steps=steps,
        seed=seed,
        watermark=None,
    )
    result = evaluate_pictures(
        folder / ICONS,
        images,
        features=features,
        image_size=tuple(run.settings["image_size"]),
        output=run.folder / "evaluation.json",
        figure=run.folder / "neighbours.png",
    )
    row = format_row(name or Path(run.folder).name, result)
    write_whole(run.folder / "table2.md", row + "\n")
    return row


def format_row(name, result):
    """One row of the preprint's table 2, with its head.

    Args:
        name: What to call it.
        result: What `evaluate_pictures` returned.

    Returns:
        str of three lines of Markdown.
    """

    def number(value):
        return "–" if value is None else f"{value:.1f}"

    head = f"| | FID | NWI | MAE | KID ({result['features']}) | copies | N |"
    cells = [
        name,
        number(result["fid"]),
        number(result["nwi"]),
        number(result["mae"]),
        f"{result['kid']:.4f}",
        f"{result['copies_share']:.1%}",
        f"{result['n_generated']} / {result['n_training']}",
    ]
    return f"{head}\n|-|-|-|-|-|-|-|\n| {' | '.join(cells)} |"
