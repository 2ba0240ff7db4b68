"""From nothing to new icons: draw a set, learn it, make more, and measure how new."""

import json
from pathlib import Path

import numpy as np

from diffusion.demo_page import write_page
from diffusion.diffuser import load_diffuser
from diffusion.evaluation import evaluate_pictures
from diffusion.figures import enlarged
from diffusion.sampling import sample
from diffusion.training import train
from diffusion.watermark import WATERMARK, add_watermark, write_marked
from illustkit.figures import sheet
from illustkit.files import write_whole
from illustkit.images import write_image
from illustkit.samples import draw_face_icon

N_ICONS = 158  # as many as the preprint's illustrator had drawn
SIDE = 32  # pixels of an icon


def demo(
    folder="diffusion-demo",
    *,
    n_icons=N_ICONS,
    n=64,
    sampler="ddim",
    steps=50,
    seed=3407,
    strategy="auto",
    verbose="auto",
    settings=None,
):
    """Train a small model on drawn face icons, and show the new ones that it makes.

    It draws all that it needs: no network, no file. A demo that was stopped goes on
    where it was.

    Example:
    ```python
    page = diffusion.demo.demo("diffusion-demo")
    ```

    Args:
        folder: Where everything goes. Defaults to "diffusion-demo".
        n_icons: Icons to draw and learn. Defaults to 158.
        n: Icons to make. Defaults to 64.
        sampler: As in `diffusion.sample`. Defaults to "ddim".
        steps: Evaluations of the network an icon. Defaults to 50.
        seed: Of the training and of the new icons. Defaults to 3407.
        strategy: Kind of `illustkit.get_strategy`. Defaults to "auto".
        verbose: As of `keras.Model.fit`; 0 hides the progress bars too.
        settings: Dict of fields of `diffusion.presets.DiffusionPreset` that differ
            from the preset "tiny".

    Returns:
        Path of the page.

    Raises:
        ValueError: as `diffusion.train`, where the folder holds another demo.
    """
    folder, progress = Path(folder), verbose != 0
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
        load_diffuser(run, dtype=run.settings["precision"]),
        n,
        sampler=sampler,
        steps=steps,
        seed=seed,
        progress=progress,
    )
    write_icons(folder, pictures)
    options = {"features": "pixels", "progress": progress}
    figure = folder / "neighbours.png"
    result = {"new": evaluate_pictures(pictures, drawn, figure=figure, **options)}
    # What the same hand draws next is as new and as alike as can be wished for.
    unseen = np.stack([draw_face_icon(n_icons + i, SIDE) for i in range(n)])
    result["unseen"] = evaluate_pictures(unseen, drawn, **options)
    text = json.dumps(result, indent=1)
    write_whole(folder / "evaluation.json", text)
    return write_page(folder, result["new"], result["unseen"], run)


def draw_icons(folder, n):
    """Draw face icons of 32 by 32 pixels; those that are there stay.

    Args:
        folder: Folder for the PNG files.
        n: Number of icons.

    Returns:
        uint8 `(n, 32, 32, 3)`.
    """
    pictures = [draw_face_icon(i, SIDE) for i in range(n)]
    for i, picture in enumerate(pictures):
        path = folder / f"drawn-{i:04d}.png"
        if not path.exists():
            write_image(path, picture)
    write_image(folder.parent / "drawn.png", sheet(map(enlarged, pictures[:64])))
    return np.stack(pictures)


def write_icons(folder, pictures):
    """Write new icons, enlarged and with a watermark, and a grid of them.

    Args:
        folder: Folder for `new/` and `grid.png`.
        pictures: uint8 `(n, height, width, 3)`.
    """
    marked = [add_watermark(enlarged(picture)) for picture in pictures]
    for i, picture in enumerate(marked):
        write_marked(folder / "new" / f"icon-{i:05d}.png", picture)
    write_marked(folder / "grid.png", sheet(marked, pad=4), WATERMARK)
