"""The preprint's table 2 in one call: four models learn the same icons equally long."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter, process_time
from typing import Any

import keras
import numpy as np

from diffusion.evaluation.features import load_extractor
from diffusion.evaluation.report import LEAST, evaluate_pictures
from diffusion.evaluation.vgg import vgg16_extractor
from diffusion.gans.runs import load_model
from diffusion.icons import GRID
from diffusion.sampling.folder import ICONS, sample_folder
from diffusion.training.gan import check_gan_training, train_gan
from diffusion.training.train import check_training, train
from illustkit.errors import UserError
from illustkit.files import expand_user, write_whole
from illustkit.options import check_choice, check_number
from illustkit.tables import write_json
from illustkit.training.folder import has_trained
from illustkit.training.runs import Run

MODELS = "dcgan", "stylegan2", "ddpm", "hourglass"
FEATURES = "vgg16"
GANS = "dcgan", "stylegan2"
_SMALL = {"preset": "small", "image_size": (64, 64)}
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "dcgan": {"preset": "paper"},
        "stylegan2": {"preset": "paper"},
        "ddpm": {"preset": "preprint"},
        "hourglass": {"preset": "hourglass"},
    },
    "tiny": {
        "dcgan": {"preset": "tiny"},
        "stylegan2": {"preset": "tiny", "augment": "diffaugment"},
        "ddpm": _SMALL,
        "hourglass": {**_SMALL, "dim_mults": (1, 4, 16)},
    },
}
"""The settings of each model: "paper" as the preprint has them, at 128×128 pixels;
"tiny" at 64×64 with narrow networks, for two CPU cores."""
CLOCKS = {"wall": perf_counter, "processor": process_time}
FOREVER = 1_000_000  # steps, which the time ends


class TrainingTime(keras.callbacks.Callback):
    """Ends a training after a time, and logs how long and how many steps it took.

    The time is that of the steps: neither the first step after a start counts, which
    compiles, nor what is saved and drawn between epochs. It goes on where a stopped
    training was saved.

    Args:
        folder: The run's folder.
        seconds: Seconds in all.
        clock: Function that returns the seconds of a clock. Defaults to
            `time.perf_counter`.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        seconds: float,
        clock: Callable[[], float] = perf_counter,
    ):
        super().__init__()
        self.folder, self.seconds, self.clock = folder, seconds, clock
        self.spent = 0.0
        self._last: float | None = None
        self._compiled = False

    def on_train_begin(self, logs=None):
        self.spent, self._compiled = spent_seconds(self.folder), False

    def on_epoch_begin(self, epoch, logs=None):
        self._last = self.clock() if self._compiled else None

    def on_train_batch_end(self, batch, logs=None):
        now = self.clock()
        if self._last is not None:
            self.spent += now - self._last
        self._last, self._compiled = now, True
        if self.spent >= self.seconds:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        logs["seconds"] = self.spent
        logs["steps_done"] = int(np.asarray(self.model.optimizer.iterations))


def spent_seconds(folder: str | os.PathLike) -> float:
    """Return the seconds that a run's training has taken; 0 without a run."""
    if not has_trained(folder):
        return 0.0
    return (Run(folder).history.get("seconds") or [0.0])[-1]


def compare_models(
    images: str | os.PathLike,
    output: str | os.PathLike,
    *,
    models: Sequence[str] = MODELS,
    hours: float = 2.0,
    n: int = 1024,
    preset: str = "tiny",
    features: Any = FEATURES,
    sampler: str | None = None,
    sampling_steps: int | None = None,
    seed: int = 3407,
    clock: str = "wall",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    verbose: str | int = "auto",
) -> list[dict[str, Any]]:
    """Train models on the same icons for the same time, and measure their pictures.

    The folder holds a run for each model, its pictures without a watermark and a grid
    of them in `<model>/generated`, and `comparison.json`, `table.md` and `index.html`
    with the figures. The same call resumes what was interrupted, with more hours it
    trains on.

    Example:
    ```python
    rows = diffusion.compare_models("icons", "comparison", hours=0.5, n=256)
    print(diffusion.format_comparison(rows))
    ```

    Args:
        images: Folder of the training pictures.
        output: Folder to write to.
        models: Any of "dcgan", "stylegan2", "ddpm" and "hourglass". Defaults to all.
        hours: Time of each training's steps. Defaults to 2.
        n: Pictures of each model, 4 or more. Defaults to 1,024, the preprint's number.
        preset: "tiny" or "paper"; see `diffusion.comparison.PRESETS`. Defaults to
            "tiny".
        features: "vgg16", of the package, for KID alone; or see
            `diffusion.evaluation.features.load_extractor`: "inception" or a file of its
            weights for FID and NWI. Defaults to "vgg16".
        sampler: Of the diffusion models; see `diffusion.sample`.
        sampling_steps: Of the diffusion models; see `diffusion.sample`.
        seed: Seed of trainings and pictures. Defaults to 3407, the preprint's.
        clock: "wall", or "processor" for the time of all processors that this process
            took: on a machine without an accelerator that others use as well. Defaults
            to "wall".
        settings: More settings by model, such as `{"dcgan": {"batch_size": 32}}`; see
            `diffusion.train_gan` and `diffusion.train`. Defaults to none.
        verbose: See `keras.Model.fit`. Defaults to "auto".

    Returns:
        A dict for each model: "model", "parameters" (of its networks), "minutes",
        "steps", and what `diffusion.evaluate_pictures` returns.

    Raises:
        UserError: If an option is invalid, or as the trainings do; all of them are
            checked before the first.

    Reference:
        The preprint, §5.3 and table 2.
    """
    check_number("hours", hours, above=0)
    check_number("n", n, whole=True, least=LEAST)
    check_choice("preset", preset, tuple(PRESETS))
    check_choice("clock", clock, tuple(CLOCKS))
    if not models:
        raise UserError(f"`models` names any of {', '.join(MODELS)}. Received: none")
    for name in (*models, *(settings or {})):
        check_choice("models", name, MODELS)
    output = expand_user(output)
    chosen: dict[str, dict[str, Any]] = {
        name: {
            **PRESETS[preset][name],
            **(settings or {}).get(name, {}),
            "steps": FOREVER,
            "seed": seed,
            "sample_every": 0,
        }
        for name in models
    }
    for name, options in chosen.items():
        if name in GANS:
            check_gan_training(images, output / name, model=name, **options)
        else:
            check_training(images, output / name, **options)
    extractor = vgg16_extractor() if features == FEATURES else load_extractor(features)
    rows = []
    for name, options in chosen.items():
        folder = output / name
        if (seconds := hours * 3600) > spent_seconds(folder):
            callbacks = [TrainingTime(folder, seconds, CLOCKS[clock])]
            options = {**options, "callbacks": callbacks, "verbose": verbose}
            if name in GANS:
                train_gan(images, folder, model=name, **options)
            else:
                train(images, folder, **options)
        how = {} if name in GANS else {"sampler": sampler, "steps": sampling_steps}
        rows.append(
            {
                "model": name,
                **_measured(folder, images, n, extractor, seed, verbose, how),
            }
        )
        # After each, so that the first figures can be read while the next learns.
        write_json(output / "comparison.json", rows)
        write_whole(output / "table.md", format_comparison(rows) + "\n")
        write_whole(output / "index.html", _page(rows))
    return rows


def _measured(folder, images, n, extractor, seed, verbose, how):
    """Make and measure a run's pictures; those of other weights are replaced."""
    model, run = load_model(folder), Run(folder)
    steps = int(run.history["steps_done"][-1])
    made = folder / "generated" / f"step-{steps:07d}"
    sample_folder(
        model, n, made, seed=seed, watermark=None, progress=verbose != 0, **how
    )
    size = run.settings["image_size"]
    result = evaluate_pictures(
        made / ICONS,
        images,
        features=extractor,
        image_size=(size, size) if isinstance(size, int) else tuple(size),
        progress=verbose != 0,
    )
    networks = (
        (model.generator, model.discriminator)
        if hasattr(model, "generator")
        else (model.unet,)
    )
    return {
        "parameters": [
            sum(int(np.prod(v.shape)) for v in network.trainable_variables)
            for network in networks
        ],
        "minutes": round(spent_seconds(folder) / 60, 2),
        "steps": steps,
        "grid": (made / GRID).relative_to(folder.parent).as_posix(),
        **result,
    }


COLUMNS = (
    "model",
    "parameters",
    "minutes",
    "steps",
    "FID",
    "NWI",
    "MAE",
    "KID",
    "copies",
)


def _cells(row):
    def number(value):
        return "–" if value is None else f"{value:.1f}"

    return [
        row["model"],
        " + ".join(f"{count / 1e6:.1f} M" for count in row["parameters"]),
        f"{row['minutes']:.1f}",
        f"{row['steps']:,}",
        *(number(row[name]) for name in ("fid", "nwi", "mae")),
        f"{row['kid']:.4f} ({row['kid_low']:.4f}–{row['kid_high']:.4f})",
        f"{row['copies_share']:.1%}",
    ]


def _caption(rows):
    first = rows[0]
    size = "x".join(map(str, first["image_size"]))
    return (
        f"{first['n_generated']} pictures of each model and {first['n_training']} "
        f"training pictures, at {size}. KID by the features of {first['features']}, "
        "with its 95 % interval; less is nearer. Of the training "
        f"pictures themselves {first['copies_within_training']:.1%} are copies of "
        "another."
    )


def format_comparison(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format what `compare_models` returns as a Markdown table with its caption.

    Args:
        rows: A list of dicts, one a model.

    Returns:
        str of several lines.
    """
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "-|" * len(COLUMNS)]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    return "\n".join([*lines, "", _caption(rows)])


_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem;
  padding: 0 1rem; }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid #8886; padding: .3rem .8rem; text-align: left; }
main { display: grid; gap: 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); }
figure { margin: 0; }
img { height: auto; max-width: 100%; }
"""


def _page(rows):
    """Return the page: the table, and each model's grid beside the others."""
    import base64
    import hashlib

    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    head = "".join(f"<th scope=col>{name}</th>" for name in COLUMNS)
    body = "".join(
        f"<tr><th scope=row>{html.escape(cells[0])}</th>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells[1:])
        + "</tr>"
        for cells in map(_cells, rows)
    )
    grids = "".join(
        f"<figure><img src='{row['grid']}' alt='Icons of {row['model']}'>"
        f"<figcaption>{row['model']} after {row['minutes']:.1f} minutes</figcaption>"
        "</figure>"
        for row in rows
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; "
        f"img-src 'self' file:; style-src 'sha256-{digest}'\">"
        f"<title>Models compared</title><style>{_STYLE}</style>"
        "<h1>Models compared</h1>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<p>{html.escape(_caption(rows))}</p><main>{grids}</main></html>"
    )
