"""A folder of new icons: marked PNG files and a grid, made in one go or in several."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from diffusion.diffuser import Diffuser, load_diffuser
from diffusion.figures import shown
from diffusion.sampling import (
    choose_sampler,
    default_batch_size,
    sample,
    size_of,
)
from diffusion.watermark import WATERMARK, add_watermark, write_marked
from illustkit.figures import sheet
from illustkit.files import write_whole
from illustkit.images import read_picture, write_image

ICONS = "icons"
DEFAULTS = {"sampler": "ddim", "steps": 50, "eta": None, "seed": 3407}
DEFAULTS |= {"image_size": None}


def sample_folder(
    model, n, folder, *, watermark=WATERMARK, opacity=0.35, grid=64, **options
):
    """Make new icons as PNG files, with a grid of the first of them.

    Batches are written as they come. Called again after an interruption, with the same
    arguments, it makes those that are missing.

    Example:
    ```python
    diffusion.sample_folder("runs/icons", 1024, "new", sampler="ddim", steps=50)
    ```

    Args:
        model: As in `sample`.
        n: Number of pictures.
        folder: Folder to write to: `icons/icon-00000.png`, ..., `grid.png`,
            `settings.json`.
        watermark: Text of a visible watermark, which a note in the file repeats;
            `None` for neither. Defaults to "AI-generated", as the illustrator of the
            preprint wished for published pictures.
        opacity: Of the watermark, from 0 to 1. Defaults to 0.35.
        grid: Most pictures on the grid; 0 for none. Defaults to 64.
        **options: As in `sample`.

    Returns:
        List of the files' paths.

    Raises:
        ValueError: as `sample`; or where the folder holds pictures of other settings.
    """
    folder = Path(folder)
    # Only whether the pictures stay the same matters: not how they are batched.
    told = {
        k: v for k, v in options.items() if k not in ("batch_size", "progress", "first")
    }
    told = {**DEFAULTS, **told, "watermark": watermark, "opacity": opacity}
    model = model if isinstance(model, Diffuser) else load_diffuser(model)
    told["model"] = fingerprint(model)
    shape = (*size_of(model, options.get("image_size"))[::-1], model.channels)
    _check(model, n, shape, watermark, opacity, options)
    _start_folder(folder, told)
    first = options.pop("first", 0)
    icons = folder / ICONS
    paths = [icons / f"icon-{i:05d}.png" for i in range(first, first + n)]
    missing = [i for i, path in enumerate(paths) if not path.exists()]
    progress = options.pop("progress", True)
    at_once = options.pop("batch_size", None) or default_batch_size(model, shape)
    at_once = max(1, min(at_once, len(missing)))
    with tqdm(
        total=n, initial=n - len(missing), unit="icon", disable=not progress
    ) as bar:
        while missing:
            run = _first_run(missing, at_once)
            del missing[: len(run)]
            # Always a whole batch, so that the network is compiled once.
            pictures = sample(
                model,
                at_once,
                first=first + run[0],
                batch_size=at_once,
                progress=False,
                **options,
            )
            for i, picture in zip(run, pictures, strict=False):
                if watermark is not None:
                    picture = add_watermark(picture, watermark, opacity=opacity)
                _write(paths[i], picture, watermark)
            bar.update(len(run))
    if grid:
        first_ones = [shown(_read(path)) for path in paths[:grid]]
        _write(folder / "grid.png", sheet(first_ones), watermark)
    return paths


def fingerprint(model):
    """Ten bytes, in hexadecimal, that tell a model's averaged weights from others.

    Args:
        model: A `Diffuser`.

    Returns:
        str.
    """
    digest = hashlib.sha256(model.average.dtype_policy.name.encode())
    for weight in model.average.get_weights():
        digest.update(np.ascontiguousarray(weight))
    return digest.hexdigest()[:20]


def _check(model, n, shape, watermark, opacity, options):
    """Find mistakes before anything is written, or sampled for an hour."""
    if n < 1:
        raise ValueError(f"`n` must be at least 1. Received: {n}")
    sampler, steps = options.get("sampler", "ddim"), options.get("steps", 50)
    choose_sampler(model, sampler, steps, options.get("eta"))
    if watermark is not None:
        add_watermark(np.zeros(shape, np.uint8), watermark, opacity=opacity)


def _start_folder(folder, told):
    folder.mkdir(parents=True, exist_ok=True)
    path, told = folder / "settings.json", json.loads(json.dumps(told, default=str))
    if path.exists():
        try:
            there = json.loads(path.read_text("utf-8"))
        except ValueError:
            there = None
        if there != told:
            raise ValueError(
                f"{folder} holds pictures of other settings. Name another folder."
            )
    elif (folder / ICONS).exists():
        raise ValueError(f"{folder} holds other icons. Name another folder.")
    write_whole(path, json.dumps(told, indent=1))


def _read(path):
    picture = read_picture(path)
    return (
        picture.rgb
        if picture.alpha is None
        else np.dstack([picture.rgb, picture.alpha])
    )


def _write(path, picture, note):
    if note is not None:
        write_marked(path, picture, note)
    elif picture.shape[-1] == 3:
        write_image(path, picture)
    else:
        from PIL import Image

        stream = io.BytesIO()
        Image.fromarray(picture.squeeze()).save(stream, format="PNG")
        write_whole(path, stream.getvalue())


def _first_run(missing, at_most):
    """The first consecutive numbers of a sorted list."""
    n = 1
    while n < min(at_most, len(missing)) and missing[n] == missing[0] + n:
        n += 1
    return missing[:n]
