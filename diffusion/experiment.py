"""The preprint's experiment in one call: train, make 1,024 pictures, measure them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from diffusion.evaluation.features import load_extractor
from diffusion.evaluation.report import evaluate_pictures
from diffusion.network.model import load_diffuser
from diffusion.sampling.generate import ICONS, sample_folder
from diffusion.training.train import train
from illustkit.files import write_whole

N_PICTURES = 1024


def run_experiment(
    images: str | os.PathLike,
    run: str | os.PathLike,
    *,
    n: int = N_PICTURES,
    sampler: str = "ddim",
    steps: int = 50,
    seed: int = 3407,
    features: Any = "inception",
    name: str | None = None,
    training_steps: int | None = None,
    **settings: Any,
) -> str:
    """Run the preprint's experiment on a folder, and return a row of its table 2.

    The run's folder holds everything, and the same call resumes an interrupted
    experiment: the training, the pictures (`generated/`, without a watermark, which
    would change the figures), and `evaluation.json` with `neighbours.png`.

    Example:
    ```python
    print(diffusion.run_experiment("icons", "runs/icons", preset="preprint"))
    ```

    Args:
        images: Folder of the training pictures.
        run: Folder of the training.
        n: Pictures to make. Defaults to 1,024, the preprint's number.
        sampler: See `diffusion.sample`. Defaults to "ddim".
        steps: Evaluations of the network per picture. Defaults to 50.
        seed: Seed of training and pictures. Defaults to 3407, the preprint's.
        features: See `diffusion.evaluation.features.load_extractor`. Defaults to
            "inception".
        name: Name of the row. Defaults to the run folder's name.
        training_steps: Steps of the training. Defaults to the preset's.
        **settings: See `diffusion.train`.

    Returns:
        The row as Markdown, with the table's head.

    Raises:
        ValueError: See `diffusion.train` and `diffusion.evaluate_pictures`.

    Reference:
        The preprint, §5.3 and table 2.
    """
    load_extractor(features)  # raises before hours of training
    if training_steps is not None:
        settings["steps"] = training_steps
    trained = train(images, run, seed=seed, **settings)
    folder = trained.folder / "generated"
    sample_folder(
        load_diffuser(trained),
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
        image_size=tuple(trained.settings["image_size"]),
        output=trained.folder / "evaluation.json",
        figure=trained.folder / "neighbours.png",
    )
    row = format_row(name or trained.folder.name, result)
    write_whole(trained.folder / "table2.md", row + "\n")
    return row


def format_row(name: str, result: Mapping[str, Any]) -> str:
    """Format a row of the preprint's table 2, with the table's head.

    Args:
        name: Name of the row.
        result: What `evaluate_pictures` returned.

    Returns:
        str of three lines of Markdown.
    """

    def number(value: float | None) -> str:
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
