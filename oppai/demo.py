"""From nothing to restored illustrations: draw, train, restore, evaluate, show."""

import html
from pathlib import Path

import numpy as np

from illustkit.images import read_image, write_image
from illustkit.samples import draw_character
from oppai.censor import add_mosaic
from oppai.dataset import Entry, find_pictures, load_metadata, save_metadata
from oppai.evaluation import evaluate, format_table
from oppai.held_out import held_out_patches
from oppai.patches import expand_box
from oppai.plots import plot_history, plot_results
from oppai.restorer import load_restorer
from oppai.restoring import restore
from oppai.training import censor_settings, train

SIZE = (400, 566)  # pixels, width and height of a drawn sample


def demo(
    folder="demo",
    *,
    images=None,
    metadata=None,
    n_samples=300,
    n_shown=6,
    preset="tiny",
    strategy="auto",
    verbose="auto",
    **settings,
):
    """Train a restorer on the spot and show what it makes of unseen illustrations.

    Without pictures of one's own it draws samples, so that it needs no network and no
    file. A demo that was stopped goes on where it was.

    Example:
    ```python
    page = oppai.demo.demo("demo")
    ```

    Args:
        folder: Where everything goes. Defaults to "demo".
        images: Folder of one's own pictures; with it `metadata` has to be given.
        metadata: Path of the JSON with their boxes.
        n_samples: Samples to draw. Defaults to 300.
        n_shown: Held-out pictures to show. Defaults to 6.
        preset: As of `oppai.train`.
        strategy: As of `oppai.train`.
        verbose: As of `keras.Model.fit`; 0 hides the progress bars too.
        **settings: As of `oppai.train`.

    Returns:
        Path of the page, `index.html`.

    Raises:
        ValueError: where only one of `images` and `metadata` is given, or as of
            `oppai.train`.
    """
    folder = Path(folder)
    if (images is None) != (metadata is None):
        raise ValueError("Give both the folder of the pictures and their metadata.")
    if images is None:
        images, metadata = folder / "samples", folder / "samples.json"
        draw_samples(images, metadata, n_samples, progress=verbose != 0)
    run = train(
        images,
        metadata,
        folder / "run",
        preset=preset,
        strategy=strategy,
        verbose=verbose,
        **settings,
    )
    restorer = load_restorer(run)
    patches = held_out_patches(run, images, metadata, progress=verbose != 0)
    censors = censor_settings(run.settings)
    rows = evaluate(
        restorer,
        patches,
        kinds=censors["kinds"],
        blocks=censors["blocks"],
        blur_size=censors["blur_sizes"][0],
        picture_blur=censors["picture_blur"],
        output=folder / "evaluation.csv",
        progress=verbose != 0,
    )
    shown = list(dict.fromkeys(patches.names))[:n_shown]
    entries = [e for e in load_metadata(metadata) if e.name in shown]
    found, _ = find_pictures(entries, images)
    figures = []
    for i, entry in enumerate(entries):
        picture = read_image(found[entry.name])
        figures.append(_show(i, picture, entry, restorer, run.settings, folder))
    plot_history(run.history, folder / "history.png")
    page = folder / "index.html"
    page.write_text(_page(rows, figures, run), encoding="utf-8")
    print(format_table([row for row in rows if row["hole_ratio"] == "all"]))
    return page


def draw_samples(images, metadata, n, *, size=SIZE, progress=True):
    """Draw characters to train on, each with a box on its garment.

    The box is a part of the garment, about half as wide and high, anywhere in it.

    Args:
        images: Folder for the pictures; those that are there stay.
        metadata: Path of the JSON to write.
        n: Number of pictures.
        size: Width and height in pixels. Defaults to (400, 566).
        progress: Whether to show a progress bar. Defaults to `True`.
    """
    from tqdm import tqdm

    entries = []
    for seed in tqdm(range(n), "Drawing samples", disable=not progress):
        path = Path(images) / f"sample-{seed:04d}.png"
        character = draw_character(seed, size)
        if not path.exists():
            write_image(path, character.image)
        left, top, right, bottom = character.garment_box
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


def _show(i, picture, entry, restorer, settings, folder):
    """Restore one whole picture; write its figures; return their names and texts."""
    height, width = picture.shape[:2]
    minimum = settings["minimum"]
    square, box = expand_box((width, height), entry.boxes[0], minimum=minimum)
    side = square[2] - square[0]
    scale = side / settings["image_size"]  # picture pixels in one of the patch
    left, top = square[:2]
    censored = picture.copy()
    cut = np.s_[top : top + side, left : left + side]
    mask = np.full((height, width), 255, np.uint8)
    censored[cut], mask[cut] = add_mosaic(
        picture[cut],
        box,
        block=max(1, round(settings["blocks"][0] * scale)),
        blur_size=settings["blur_sizes"][0] * scale,
        picture_blur=settings["picture_blur"] * scale,
    )
    # The soft rim is hole as well: all of it is replaced, and the feather lies outside.
    hole, feather = mask < 255, 2 * scale
    alone = restore(censored, mask=hole, feather=feather, restorer=restorer, blend=1.0)
    mixed = restore(censored, mask=hole, feather=feather, restorer=restorer)
    names = [f"{i}-censored.png", f"{i}-restored.png", f"{i}-truth.png"]
    for name, whole in zip(names, (censored, mixed, picture), strict=True):
        write_image(folder / "pictures" / name, whole)
    source = entry.original_url or entry.name
    plot_results(
        censored[cut],
        alone[cut],
        picture[cut],
        mask=np.where(hole[cut], 0, 255).astype("uint8"),
        blend=0.5,  # the chapter's
        source=f"Source: {source}",
        path=folder / "figures" / f"{i}.png",
    )
    return {"figure": f"figures/{i}.png", "pictures": names, "source": source}


def _page(rows, figures, run):
    columns = ("kind", "hole_ratio", "method", "n", "l1", "psnr", "ssim")
    body = "".join(
        f"<tr class='{html.escape(row['method'])}'>"
        + "".join(f"<td>{html.escape(_text(row[c]))}</td>" for c in columns)
        + "</tr>"
        for row in rows
    )
    shown = "".join(
        "<section><div class=row>"
        + "".join(
            f"<figure><img src='pictures/{name}'><figcaption>{caption}</figcaption>"
            "</figure>"
            for name, caption in zip(
                figure["pictures"], ("censored", "restored", "truth"), strict=True
            )
        )
        + f"</div><img class=four src='{figure['figure']}'>"
        + f"<p>{html.escape(figure['source'])}</p></section>"
        for figure in figures
    )
    head = "".join(f"<th>{c.replace('_', ' ')}</th>" for c in columns)
    settings = run.settings
    return PAGE.format(
        shown=shown,
        head=head,
        body=body,
        epochs=len(run.history["epoch"]),
        size=settings["image_size"],
        best=max(run.history["val_psnr"]),
    )


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
.prediction td {{ background: #e8f4e8; font-weight: 600 }}
</style>
<h1>Illustrations restored by a network trained just now</h1>
<p>{epochs} epochs on {size}×{size} patches; best PSNR inside held-out holes
{best:.2f} dB. None of the pictures below was trained on. Of every row: the censored
picture, the restored one, the truth; below them the patch that the network saw, what it
made of it, half of each blended as in the chapter, the truth.</p>
{shown}
<h2>Inside the holes of all held-out pictures</h2>
<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>
<p>L1 and SSIM on the scale 0 to 1, PSNR in dB. Each method fills the hole; outside it
stands the truth.</p>
<h2>Training</h2>
<img src=history.png style="width:100%">
</html>
"""
