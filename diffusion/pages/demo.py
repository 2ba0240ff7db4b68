"""Draw icons, learn them, make new ones, measure those, and show all on a page."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diffusion.evaluation.report import LEAST, evaluate_pictures
from diffusion.network.model import load_diffuser
from diffusion.sampling.generate import sample
from diffusion.training.train import train
from diffusion.watermark import WATERMARK, add_watermark, enlarged, write_marked
from illustkit.errors import UserError
from illustkit.figures import sheet
from illustkit.files import check_writable, expand_user, write_whole
from illustkit.images import write_image
from illustkit.options import check_choice, check_number, check_options
from illustkit.runtime import KINDS
from illustkit.samples import draw_face_icon
from illustkit.training.runs import Run

N_ICONS = 158  # as many as the preprint's illustrator had drawn
SIDE = 32  # pixels of an icon
FILES = "index.html", "grid.png", "drawn.png", "neighbours.png", "evaluation.json"


def demo(
    folder: str | os.PathLike = "diffusion-demo",
    *,
    n_icons: int = N_ICONS,
    n: int = 64,
    sampler: str = "ddim",
    steps: int = 50,
    seed: int = 3407,
    strategy: str = "auto",
    verbose: str | int = "auto",
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Train a small model on drawn face icons, and show the new icons that it makes.

    The demo draws its own icons and needs no download. Called again after an
    interruption, it resumes.

    Example:
    ```python
    page = diffusion.pages.demo.demo("diffusion-demo")
    ```

    Args:
        folder: Folder to write to. Defaults to "diffusion-demo".
        n_icons: Icons to draw and learn. Defaults to 158.
        n: Icons to make. Defaults to 64.
        sampler: See `diffusion.sample`. Defaults to "ddim".
        steps: Evaluations of the network per icon. Defaults to 50.
        seed: Seed of the training and of the new icons. Defaults to 3407.
        strategy: Kind of `illustkit.get_strategy`. Defaults to "auto".
        verbose: See `keras.Model.fit`; 0 also hides the progress bars.
        settings: Fields of `diffusion.training.presets.DiffusionPreset` to change from
            the preset "tiny". Defaults to none.

    Returns:
        Path of the page.

    Raises:
        UserError: If the folder holds other files or another demo; see
            `diffusion.train`.
    """
    folder, progress = expand_user(folder), verbose != 0
    check_writable(folder)
    check_number("n", n, whole=True, least=LEAST)
    check_number("n_icons", n_icons, whole=True, least=LEAST)
    check_options(seed=seed, precision=(settings or {}).get("precision"))
    check_choice("strategy", strategy, KINDS)
    files = [name for name in FILES if (folder / name).exists()]
    if files and not (folder / "icons" / "drawn-0000.png").exists():
        raise UserError(f"{folder}: holds another {files[0]}. Name another folder.")
    drawn = draw_icons(folder / "icons", n_icons)
    run = train(
        folder / "icons",
        folder / "run",
        preset="tiny",
        strategy=strategy,
        sample_every=0,
        verbose=verbose,
        **{"seed": seed, **(settings or {})},
    )
    pictures = sample(
        load_diffuser(run, precision=run.settings["precision"]),
        n,
        sampler=sampler,
        steps=steps,
        seed=seed,
        progress=progress,
    )
    write_icons(folder, pictures)
    options: dict[str, Any] = {"features": "pixels", "progress": progress}
    figure = folder / "neighbours.png"
    result = {"new": evaluate_pictures(pictures, drawn, figure=figure, **options)}
    # The illustrator's next icons are the yardstick: new, and of the same style.
    unseen = np.stack([draw_face_icon(n_icons + i, SIDE) for i in range(n)])
    result["unseen"] = evaluate_pictures(unseen, drawn, **options)
    text = json.dumps(result, indent=1)
    write_whole(folder / "evaluation.json", text)
    return write_page(folder, result["new"], result["unseen"], run)


def draw_icons(folder: str | os.PathLike, n: int) -> np.ndarray:
    """Draw face icons of 32 by 32 pixels; existing files are kept.

    Example:
    ```python
    pictures = diffusion.draw_icons("icons", 158)   # (158, 32, 32, 3)
    ```

    Args:
        folder: Folder for the PNG files. A sheet of them, `drawn.png`, is written
            beside it.
        n: Number of icons.

    Returns:
        uint8 `(n, 32, 32, 3)`.
    """
    folder = expand_user(folder)
    pictures = [draw_face_icon(i, SIDE) for i in range(n)]
    for i, picture in enumerate(pictures):
        path = folder / f"drawn-{i:04d}.png"
        if not path.exists():
            write_image(path, picture)
    write_image(
        folder.parent / "drawn.png",
        sheet([enlarged(picture) for picture in pictures[:64]]),
    )
    return np.stack(pictures)


def write_icons(folder: Path, pictures: np.ndarray) -> None:
    """Write new icons, enlarged and with a watermark, and a grid of them.

    Args:
        folder: Folder for `new/` and `grid.png`.
        pictures: uint8 `(n, height, width, 3)`.
    """
    marked = [add_watermark(enlarged(picture)) for picture in pictures]
    for i, picture in enumerate(marked):
        write_marked(folder / "new" / f"icon-{i:05d}.png", picture)
    write_marked(folder / "grid.png", sheet(marked, pad=4), WATERMARK)


def write_page(
    folder: Path, result: Mapping[str, Any], yardstick: Mapping[str, Any], run: Run
) -> Path:
    """Write `index.html`.

    Args:
        folder: `Path` of the demo's folder, with `grid.png`, `drawn.png`,
            `neighbours.png` and `evaluation.json`.
        result: What `evaluate_pictures` returned for the new icons.
        yardstick: The same for as many unseen icons of the illustrator.
        run: The training's `Run`.

    Returns:
        Path of the page.
    """
    losses = run.history["loss"]
    width, height = result["image_size"]
    page = PAGE.format(
        n=result["n_generated"],
        n_icons=result["n_training"],
        size=f"{width}×{height}",
        steps=len(losses) * run.settings["epoch_steps"],
        first=losses[0],
        last=losses[-1],
        copies=_copies(result),
        table=_table(result, yardstick),
        features=result["features"],
    )
    return write_whole(folder / "index.html", page)


def _copies(result: Mapping[str, Any]) -> str:
    n = result["copies"]
    if not n:
        return "None of them is a copy of a training icon"
    what = "is a copy" if n == 1 else "are copies"
    return f"<b>{n} of them</b> {what} of a training icon"


def _table(result: Mapping[str, Any], yardstick: Mapping[str, Any]) -> str:
    rows = (
        (f"KID ({result['features']})", _kid),
        (f"MAE ({result['mae_definition']})", lambda r: f"{r['mae']:.1f}"),
        ("Copies", lambda r: f"{r['copies']} of {r['n_generated']}"),
        ("Nearest, mean ratio", _ratio),
    )
    body = "".join(
        f"<tr><th scope=row>{name}</th><td class=value>{form(result)}</td>"
        f"<td>{form(yardstick)}</td></tr>"
        for name, form in rows
    )
    return (
        "<table><thead><tr><td></td><th>new icons</th><th>the illustrator’s next</th>"
        f"</tr></thead><tbody>{body}</tbody></table>"
    )


def _kid(result: Mapping[str, Any]) -> str:
    return f"{result['kid']:.4f} ({result['kid_low']:.4f} to {result['kid_high']:.4f})"


def _ratio(result: Mapping[str, Any]) -> str:
    ratios = [ratio for _, _, ratio, _ in result["nearest"]]
    return f"{sum(ratios) / len(ratios):.2f}"


PAGE = """<!doctype html>
<html lang=en><meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<title>illust-diffusion demo</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto;
  padding: 0 1rem; color: #1c2230; background: #fafafa }}
img {{ max-width: 100%; display: block; margin: 1rem auto; border-radius: 6px }}
.drawn {{ max-width: 32rem; width: 100% }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
td, th {{ padding: .15rem .9rem; text-align: right; border-bottom: 1px solid #e5e5e5;
  font-weight: 400 }}
th[scope] {{ text-align: left }}
.value {{ background: #e8f4e8; font-weight: 600 }}
</style>
<h1>{n} new icons, learnt just now from {n_icons}</h1>
<p>An illustrator, here a program, drew {n_icons} icons of {size} pixels. A small
network learnt to remove noise from them in {steps} steps (its loss fell from
{first:.3f} to {last:.3f}), and made these from noise alone. {copies}.</p>
<img src="grid.png" alt="New icons with a watermark">
<p>They are in <a href="new/">new/</a> as PNG files. The watermark says where they come
from; so does a note in the files.</p>
<h2>Are they new?</h2>
<p>Each new icon (left) beside its nearest training icon, by pixels; the nearest come
first. The number is that distance over the mean distance to the next fifty: below 0.33
the icon is a copy.</p>
<img src="neighbours.png" alt="New icons and their nearest training icons">
<h2>Are they alike?</h2>
{table}
<p>KID is zero for two sets of the same distribution. Here it compares the {features}
of the icons, averaged to 16×16, instead of InceptionV3’s features, without which FID
and NWI are not defined. MAE is the distance to the nearest training icon in grey
levels. The last column measures as many icons that the illustrator drew next and no
network has seen: the mark to reach. All figures are in
<a href="evaluation.json">evaluation.json</a>.</p>
<h2>What was learnt from</h2>
<img class=drawn src="drawn.png" alt="Training icons">
</html>
"""
