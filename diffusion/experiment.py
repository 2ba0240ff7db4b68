"""The preprint's experiment in one call: train, make 1,024 pictures, measure them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusion.evaluation.features import load_extractor
from diffusion.evaluation.report import LEAST, evaluate_pictures
from diffusion.icons import icon_files
from diffusion.network.model import Diffuser, load_diffuser
from diffusion.sampling.folder import (
    ICONS,
    differs,
    icon_paths,
    sample_folder,
    sample_settings,
)
from diffusion.sampling.generate import check_sampler
from diffusion.schedules import make_schedule
from diffusion.training.train import check_training, train
from illustkit.errors import UserError, as_user_error
from illustkit.files import write_whole
from illustkit.images import read_picture
from illustkit.options import check_number

N_PICTURES = 1024
_OF_FIT = "cache", "verbose", "callbacks"


def run_experiment(
    images: str | os.PathLike,
    run: str | os.PathLike,
    *,
    n: int = N_PICTURES,
    sampler: str = "ddim",
    steps: int | None = None,
    seed: int = 3407,
    features: Any = "inception",
    name: str | None = None,
    training_steps: int | None = None,
    **settings: Any,
) -> str:
    """Run the preprint's experiment on a folder, and return a row of its table 2.

    The run's folder holds everything, and the same call resumes an interrupted
    experiment: the training, the pictures (`generated/`, without a watermark, which
    would change the figures), and `evaluation.json` with `neighbours.png`. Pictures
    that another training, sampler or seed made are kept aside as `generated-1` and so
    on, and new ones are made. All options are checked before the training.

    Example:
    ```python
    print(diffusion.run_experiment("icons", "runs/icons", preset="preprint"))
    ```

    Args:
        images: Folder of the training pictures.
        run: Folder of the training.
        n: Pictures to make, 4 or more. Defaults to 1,024, the preprint's number.
        sampler: See `diffusion.sample`. Defaults to "ddim".
        steps: See `diffusion.sample`.
        seed: Seed of training and pictures. Defaults to 3407, the preprint's.
        features: See `diffusion.evaluation.features.load_extractor`. Defaults to
            "inception".
        name: Name of the row. Defaults to the run folder's name.
        training_steps: Steps of the training. Defaults to the preset's.
        **settings: See `diffusion.train`.

    Returns:
        The row as Markdown, with the table's head.

    Raises:
        UserError: See `diffusion.train`, `diffusion.sample` and
            `diffusion.evaluate_pictures`; before the training.

    Reference:
        The preprint, §5.3 and table 2.
    """
    check_number("n", n, whole=True, least=LEAST)
    check_number("training_steps", training_steps, whole=True, least=1)
    if training_steps is not None:
        settings["steps"] = training_steps
    of_training = {k: v for k, v in settings.items() if k not in _OF_FIT}
    chosen = check_training(images, run, seed=seed, **of_training)
    schedule = make_schedule(chosen.schedule, chosen.timesteps)
    check_sampler(schedule, chosen.version, sampler, steps)
    _check_icons(images)
    extractor = load_extractor(features)
    trained = train(images, run, seed=seed, **settings)
    model = load_diffuser(trained)
    options: dict[str, Any] = {"sampler": sampler, "steps": steps, "seed": seed}
    options["watermark"] = None
    folder = trained.folder / "generated"
    _keep_aside(folder, model, n, options)
    sample_folder(model, n, folder, **options)
    result = evaluate_pictures(
        folder / ICONS,
        images,
        features=extractor,
        image_size=tuple(trained.settings["image_size"]),
        output=trained.folder / "evaluation.json",
        figure=trained.folder / "neighbours.png",
    )
    row = format_row(name or trained.folder.name, result)
    write_whole(trained.folder / "table2.md", row + "\n")
    return row


def _check_icons(images: str | os.PathLike) -> None:
    """Raise if fewer pictures can be read than the figures take."""
    found = 0
    for path in icon_files(images):
        try:
            read_picture(path)
        except Exception as error:
            if as_user_error(error) is None:
                raise
            continue
        found += 1
        if found == LEAST:
            return
    raise UserError(
        f"{images}: the figures need {LEAST} training pictures or more, better "
        f"hundreds. Received: {found} that can be read"
    )


def _keep_aside(
    folder: Path, model: Diffuser, n: int, options: Mapping[str, Any]
) -> None:
    """Rename a folder of pictures that are not those to measure."""
    reason = differs(folder, sample_settings(model, **options))
    names = {path.name for path in icon_paths(folder, n)}
    if not reason and any(p.name not in names for p in (folder / ICONS).glob("*")):
        reason = f"holds more than {n} pictures"
    if not reason:
        return
    number = 1
    while (aside := folder.with_name(f"{folder.name}-{number}")).exists():
        number += 1
    folder.rename(aside)
    print(f"{folder} {reason}: it is kept as {aside.name}, and new pictures are made.")


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
