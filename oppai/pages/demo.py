"""Restore with the package's network, train another, and show both on a page."""

import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from illustkit.deprecation import renamed_keywords
from illustkit.errors import UserError
from illustkit.files import write_whole
from illustkit.images import read_image, write_image
from illustkit.samples import draw_character
from illustkit.training.runs import Run
from illustkit.training.watching import StopInTime
from oppai.censoring.censor import add_mosaic
from oppai.data.crops import expand_box
from oppai.data.metadata import Entry, find_pictures, load_metadata, save_metadata
from oppai.evaluation.evaluate import (
    COLUMNS,
    evaluate,
    format_table,
    held_out_patches,
    write_csv,
)
from oppai.evaluation.plots import plot_history, plot_results
from oppai.inference.restore import restore
from oppai.models.pretrained import load_restorer
from oppai.training import censor_settings, choose_settings, train

SIZE = (400, 566)  # width and height of a drawn sample, pixels
OWN = "package's own"  # method of the package's network in the table


@renamed_keywords(folder="output")
def demo(
    output: str | os.PathLike = "demo",
    *,
    images: str | os.PathLike | None = None,
    metadata: str | os.PathLike | None = None,
    n_samples: int = 300,
    n_shown: int = 6,
    preset: str = "tiny",
    strategy: str = "auto",
    seconds: float | None = None,
    verbose: str | int = "auto",
    **settings: Any,
) -> Path:
    """Restore with the package's network, train one on the spot, and show both.

    Without pictures of your own it draws samples, so that it needs no internet and no
    file. A stopped demo resumes.

    Example:
    ```python
    from oppai.pages.demo import demo

    page = demo("demo")
    ```

    Args:
        output: Folder to write to. Defaults to "demo".
        images: Folder of your own pictures; give `metadata` as well.
        metadata: Path of the JSON with their boxes.
        n_samples: Samples to draw. Defaults to 300.
        n_shown: Held-out pictures to show. Defaults to 6.
        preset: As in `oppai.train`.
        strategy: As in `oppai.train`.
        seconds: No epoch begins that would end later than this, from now. The first is
            always trained. Defaults to `None`, no limit.
        verbose: As in `keras.Model.fit`; 0 hides the progress bars too.
        **settings: As in `oppai.train`.

    Returns:
        Path of the page, `index.html`.

    Raises:
        UserError: If only one of `images` and `metadata` is given, or as in
            `oppai.train`.
    """
    folder = Path(output)
    if (images is None) != (metadata is None):
        raise UserError("Give both the folder of the pictures and their metadata.")
    choose_settings(preset)  # before anything is written
    in_time = [] if seconds is None else [StopInTime(seconds)]
    if images is None or metadata is None:
        images, metadata = folder / "samples", folder / "samples.json"
        # The package's own network was trained on the first ones.
        draw_samples(images, metadata, n_samples, first=1000, progress=verbose != 0)
    own = load_restorer("default")
    first = _restore_first(folder, own)
    run = train(
        images,
        metadata,
        folder / "run",
        preset=preset,
        strategy=strategy,
        verbose=verbose,
        callbacks=in_time,
        **settings,
    )
    restorer = load_restorer(run)
    patches = held_out_patches(run, images, metadata, progress=verbose != 0)
    censors = censor_settings(run.settings)
    options = {
        "kinds": censors["kinds"],
        "blocks": censors["blocks"],
        "blur_size": censors["blur_sizes"][0],
        "picture_blur": censors["picture_blur"],
        "progress": verbose != 0,
    }
    rows = evaluate(restorer, patches, **options)
    rows += [
        {**row, "method": OWN}
        for row in evaluate(own, patches, **options)
        if row["method"] == "prediction"
    ]
    write_csv(rows, folder / "evaluation.csv")
    shown = list(dict.fromkeys(patches.names))[:n_shown]
    entries = [e for e in load_metadata(metadata) if e.name in shown]
    paths, _ = find_pictures(entries, images)
    figures = []
    for i, entry in enumerate(entries):
        picture = read_image(paths[entry.name])
        figures.append(
            _restore_held_out(i, picture, entry, (own, restorer), run.settings, folder)
        )
    plot_history(run.history, folder / "history.png")
    page = write_whole(folder / "index.html", demo_page(first, rows, figures, run))
    print(format_table([row for row in rows if row["hole_ratio"] == "all"]))
    return page


def draw_samples(
    images: str | os.PathLike,
    metadata: str | os.PathLike,
    n: int,
    *,
    size: tuple[int, int] = SIZE,
    first: int = 0,
    progress: bool = True,
) -> None:
    """Draw characters to train on, each with a box on its face.

    The box is about half as wide and high as the face, anywhere in it.

    Example:
    ```python
    oppai.draw_samples("samples", "samples.json", 100)
    ```

    Args:
        images: Folder for the pictures; those that exist stay.
        metadata: Path of the JSON to write.
        n: Number of pictures.
        size: Width and height in pixels. Defaults to (400, 566).
        first: Seed of the first one; the others follow. Defaults to 0.
        progress: Whether to show a progress bar. Defaults to `True`.
    """
    from tqdm import tqdm

    entries = []
    seeds = range(first, first + n)
    for seed in tqdm(seeds, "Drawing samples", disable=not progress):
        path = Path(images) / f"sample-{seed:04d}.png"
        character = draw_character(seed, size)
        if not path.exists():
            write_image(path, character.image)
        left, top, right, bottom = character.face_box
        rng = np.random.default_rng(seed)
        width, height = rng.uniform(0.45, 0.7, 2) * (right - left, bottom - top)
        left += rng.uniform(0, right - left - width)
        top += rng.uniform(0, bottom - top - height)
        entries.append(
            Entry(
                name=path.name,
                filepath=path.name,
                id=seed,
                width=size[0],
                height=size[1],
                boxes=((left, top, left + width, top + height),),
                original_url=f"illustkit.draw_character({seed}, {size})",
            )
        )
    save_metadata(entries, metadata)


def _restore_first(folder, restorer):
    """Restore a drawn picture without any training; return the names of its files."""
    character = draw_character(5003, SIZE)
    box = character.face_box
    censored, _ = add_mosaic(character.image, box, block=8, blur_size=0, picture_blur=0)
    restored = restore(censored, restorer=restorer)
    names = [f"first-{name}.png" for name in ("censored", "restored", "truth")]
    pictures = censored, restored, character.image
    for name, picture in zip(names, pictures, strict=True):
        write_image(folder / "pictures" / name, picture)
    print(
        f"Restored without any training: {(folder / 'pictures' / names[1]).resolve()}"
    )
    return names


def _restore_held_out(i, picture, entry, restorers, settings, folder):
    """Restore one whole picture; write its figures; return their names and texts."""
    height, width = picture.shape[:2]
    minimum = settings["minimum"]
    square, box = expand_box((width, height), entry.boxes[0], minimum=minimum)
    side = square[2] - square[0]
    scale = side / settings["image_size"]  # picture pixels per pixel of the patch
    left, top = square[:2]
    censored = picture.copy()
    cut = np.s_[top : top + side, left : left + side]
    hole = np.zeros((height, width), bool)
    patch = add_mosaic(
        picture[cut],
        box,
        block=max(1, round(settings["blocks"][0] * scale)),
        blur_size=settings["blur_sizes"][0] * scale,
        picture_blur=settings["picture_blur"] * scale,
    )
    # The soft rim is hole as well: all of it is replaced, and the feather lies outside.
    censored[cut], hole[cut] = patch.image, patch.mask > 0
    own, restorer = restorers
    marked = {"mask": hole, "feather": 2 * scale, "fill": True}
    prediction = restore(censored, restorer=restorer, blend=1.0, **marked)
    mixed = restore(censored, restorer=restorer, **marked)
    by_own = restore(censored, restorer=own, **marked)
    names = [f"{i}-{name}.png" for name in ("censored", "own", "restored", "truth")]
    for name, whole in zip(names, (censored, by_own, mixed, picture), strict=True):
        write_image(folder / "pictures" / name, whole)
    source = entry.original_url or entry.name
    plot_results(
        censored[cut],
        prediction[cut],
        picture[cut],
        mask=255 * hole[cut].astype(np.uint8),
        blend=0.5,  # the chapter's
        source=f"Source: {source}",
        path=folder / "figures" / f"{i}.png",
    )
    return {"figure": f"figures/{i}.png", "pictures": names, "source": source}


def demo_page(
    first: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    figures: Sequence[Mapping[str, Any]],
    run: Run,
) -> str:
    """Return the page that shows what was restored.

    Args:
        first: Names of the pictures censored, restored and true, restored without
            training.
        rows: As `oppai.evaluate` returns them.
        figures: List of dicts: "pictures", names as above with two restored ones;
            "figure", a path; "source", a text.
        run: The `illustkit.training.runs.Run` of the training.

    Returns:
        A str of HTML.
    """
    body = "".join(
        f"<tr class='{'ours' if row['method'] in ('prediction', OWN) else ''}'>"
        + "".join(f"<td>{html.escape(_text(row[c]))}</td>" for c in COLUMNS)
        + "</tr>"
        for row in rows
    )
    captions = "censored", "package's own network", "trained now, half blended", "truth"
    shown = "".join(
        f"<section>{_row(figure['pictures'], captions)}"
        f"<img class=four src='{figure['figure']}'>"
        f"<p>{html.escape(figure['source'])}</p></section>"
        for figure in figures
    )
    return PAGE.format(
        first=_row(first, ("censored", "found and restored", "truth")),
        shown=shown,
        head="".join(f"<th>{c.replace('_', ' ')}</th>" for c in COLUMNS),
        body=body,
        epochs=len(run.history["epoch"]),
        size=run.settings["image_size"],
        best=run.best("val_psnr"),
    )


def _row(names, captions):
    figures = [
        f"<figure><img src='pictures/{name}'>"
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for name, caption in zip(names, captions, strict=True)
    ]
    return f"<div class=row>{''.join(figures)}</div>"


def _text(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


PAGE = """<!doctype html>
<html lang=en><meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<title>oppai demo</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto;
  padding: 0 1rem; color: #222; background: #fafafa }}
section {{ background: #fff; border: 1px solid #ddd; border-radius: 8px;
  padding: 1rem; margin: 1rem 0 }}
.row {{ display: flex; gap: 1rem }}
figure {{ margin: 0; flex: 1 }}
figure img {{ width: 100% }}
.four {{ width: 100%; max-width: 36rem; display: block; margin: 1rem auto }}
figcaption, section p {{ text-align: center; color: #666; font-size: .85rem }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
td, th {{ padding: .15rem .7rem; text-align: right; border-bottom: 1px solid #e5e5e5 }}
.ours td {{ background: #e8f4e8; font-weight: 600 }}
</style>
<h1>Illustrations restored</h1>
<section>{first}<p>By the network that comes with the package, in seconds: it was not
told where the mosaic is or how large its blocks are.</p></section>
<h2>And by a network trained just now</h2>
<p>Epochs on {size}×{size} patches: {epochs}. Best PSNR inside held-out holes:
{best:.2f} dB. No picture below was trained on. Each row shows the censored picture, the
package's own network, the network trained now (half blended with the mosaic as in the
chapter), and the truth. Below it are the patch that the network trained now saw, its
prediction, the two half blended, and the truth.</p>
{shown}
<h2>Inside the holes of all held-out pictures</h2>
<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>
<p>L1 and SSIM on the scale 0 to 1, PSNR in dB. Each method fills the hole; the truth is
put outside it.</p>
<h2>Training</h2>
<img src=history.png style="width:100%">
</html>
"""
