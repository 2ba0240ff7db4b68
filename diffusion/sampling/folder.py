"""Make new icons as a folder of marked PNG files, which can be completed later."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from diffusion.icons import GRID, SETTINGS, holds_samples
from diffusion.sampling.generate import (
    DEFAULTS,
    STEPS,
    check_sampler,
    default_batch_size,
    encode_wishes,
    guidance_of,
    is_gan,
    opened,
    sample,
    sample_size,
    sampling_of,
)
from diffusion.watermark import OPACITY, WATERMARK, add_watermark, shown, write_marked
from illustkit.errors import UserError
from illustkit.figures import sheet
from illustkit.files import check_writable, expand_user, write_whole
from illustkit.images import read_picture, write_image
from illustkit.options import check_number, check_options
from illustkit.tables import read_json, write_json

if TYPE_CHECKING:
    from diffusion.gans.model import IconGAN
    from diffusion.network.model import Diffuser
    from diffusion.sampling.engines import EngineDiffuser
    from illustkit.training.runs import Run

ICONS = "icons"


def sample_folder(
    model: Diffuser | IconGAN | EngineDiffuser | Run | str | os.PathLike,
    n: int,
    folder: str | os.PathLike,
    *,
    watermark: str | None = WATERMARK,
    opacity: float = OPACITY,
    font: str | os.PathLike | None = None,
    grid: int = 64,
    **options: Any,
) -> list[Path]:
    """Make new icons as PNG files, with a grid of the first ones.

    Each batch is written at once. Called again with the same arguments, the function
    makes the pictures that are missing, whether it was interrupted or `n` is larger.

    Example:
    ```python
    diffusion.sample_folder("runs/icons", 1024, "new", sampler="ddim", steps=50)
    ```

    Args:
        model: See `sample`.
        n: Number of pictures.
        folder: Folder to write to: `icons/icon-00000.png`, ..., `grid.png`,
            `settings.json`.
        watermark: Text of a visible watermark, which a note in the file repeats;
            `None` for neither. Defaults to "AI-generated", as the preprint's
            illustrator asked for published pictures.
        opacity: Opacity of the watermark, from 0 to 1. Defaults to 0.35.
        font: See `diffusion.add_watermark`. Defaults to one that has the letters.
        grid: Maximum number of pictures on the grid; 0 for no grid. Defaults to 64.
        **options: See `sample`.

    Returns:
        List of the paths of the files.

    Raises:
        UserError: See `sample`; or if the folder holds pictures of other settings, or
            cannot be written to.
    """
    folder = expand_user(folder)
    first, progress = options.pop("first", 0), options.pop("progress", True)
    batch_size = options.pop("batch_size", None)
    attributes = options.pop("attributes", None)
    check_options(
        batch_size=batch_size,
        image_size=options.get("image_size"),
        seed=options.get("seed"),
    )
    check_number("n", n, whole=True, least=1)
    check_number("first", first, whole=True, least=0)
    check_number("grid", grid, whole=True, least=0)
    check_writable(folder)
    model = opened(model)
    shape = (*sample_size(model, options.get("image_size"))[::-1], model.channels)
    if watermark is not None:
        empty = np.zeros(shape, np.uint8)
        add_watermark(empty, watermark, opacity=opacity, font=font)
    guidance = guidance_of(model, options.get("guidance"))
    encode_wishes(model, attributes, n, guidance)  # raises
    if options.get("truncation", 1) is None:
        del options["truncation"]
    settings = sample_settings(
        model, watermark=watermark, opacity=opacity, font=font, **options
    )
    settings.pop("guidance", None)
    if attributes:
        settings |= {"attributes": attributes, "guidance": guidance}
    if reason := differs(folder, settings):
        raise UserError(f"{folder}: {reason}. Name another folder.")
    paths = icon_paths(folder, n, first=first)
    missing = [i for i, path in enumerate(paths) if not path.exists()]
    at_once = min(batch_size or default_batch_size(model, shape), max(1, len(missing)))
    with tqdm(
        total=n, initial=n - len(missing), unit="icon", disable=not progress
    ) as bar:
        while missing:
            numbers = _consecutive(missing, at_once)
            del missing[: len(numbers)]
            wished = attributes
            if not isinstance(attributes, Mapping | None):
                rows = np.arange(numbers[0], numbers[0] + at_once).clip(max=n - 1)
                wished = [attributes[row] for row in rows]
            # Always a whole batch, so that the network is compiled once.
            pictures = sample(
                model,
                at_once,
                first=first + numbers[0],
                batch_size=at_once,
                attributes=wished,
                progress=False,
                **options,
            )
            # Only now: a folder without a picture is bound to no settings.
            write_json(folder / SETTINGS, settings)
            for i, picture in zip(numbers, pictures, strict=False):
                if watermark is not None:
                    picture = add_watermark(
                        picture, watermark, opacity=opacity, font=font
                    )
                _write(paths[i], picture, watermark)
            bar.update(len(numbers))
    if grid:
        on_grid = [shown(_read(path)) for path in paths[:grid]]
        _write(folder / GRID, sheet(on_grid), watermark)
    return paths


def icon_paths(folder: str | os.PathLike, n: int, *, first: int = 0) -> list[Path]:
    """Return the paths that `sample_folder` writes its pictures to.

    Args:
        folder: The folder.
        n: Number of pictures.
        first: Number of the first one. Defaults to 0.

    Returns:
        List of `Path`.
    """
    icons = expand_user(folder) / ICONS
    return [icons / f"icon-{i:05d}.png" for i in range(first, first + n)]


def sample_settings(
    model: Diffuser | IconGAN,
    *,
    watermark: str | None = WATERMARK,
    opacity: float = OPACITY,
    font: str | os.PathLike | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return what decides the pictures of `sample_folder`, as it records them.

    Args:
        model: A `Diffuser`.
        watermark: See `sample_folder`.
        opacity: See `sample_folder`.
        font: See `sample_folder`.
        **options: `sampler`, `steps`, `eta`, `seed` and `image_size` of `sample`, or
            `seed` and `truncation` for a GAN.

    Returns:
        Dict that JSON can hold.

    Raises:
        UserError: If an option is invalid.
    """
    if is_gan(model):
        from diffusion.sampling.gans import check_gan_options

        sample_size(model, options.pop("image_size", None))
        settings = {"sampler": "gan", "seed": options.pop("seed", DEFAULTS["seed"])}
        options.pop("guidance", None)
        check_gan_options(model, **options)
        settings |= {k: v for k, v in options.items() if k == "truncation"}
    else:
        settings = _diffusion_settings(model, options)
    settings |= {"watermark": watermark, "opacity": opacity}
    if font is not None:
        settings["font"] = os.fspath(font)
    return {**settings, "model": fingerprint(model)}


def _diffusion_settings(model, options):
    settings: dict[str, Any] = DEFAULTS | options
    sampler, steps = sampling_of(model, settings["sampler"], settings.get("steps"))
    settings["sampler"], eta = sampler, settings["eta"]
    if model.distilled:
        taken = steps
    else:
        version = model.unet.version
        taken = check_sampler(model.schedule, version, sampler, steps, eta)
    # The ancestral sampler takes all timesteps: older versions recorded this number.
    settings["steps"] = taken if settings["sampler"] != "ddpm" else steps or STEPS
    settings["seed"] = int(settings["seed"])
    if settings["image_size"] is not None:
        settings["image_size"] = list(settings["image_size"])
    return settings


def differs(folder: Path, settings: Mapping[str, Any]) -> str:
    """Say why a folder cannot take icons of these settings; "" if it can.

    A folder in which no icon was made yet is bound to no settings.

    Args:
        folder: The folder; it need not exist.
        settings: Dict that `sample_settings` returned.
    """
    icons = any((folder / ICONS).glob("*"))
    if not holds_samples(folder):
        names = [name for name in (SETTINGS, GRID) if (folder / name).exists()]
        names += [ICONS] * icons
        return f"holds another {names[0]}" if names else ""
    if icons and read_json(folder / SETTINGS) != settings:
        return "holds pictures of other settings"
    return ""


def fingerprint(model: Diffuser | IconGAN) -> str:
    """Return ten bytes, in hexadecimal, that identify a model's averaged weights.

    Args:
        model: A `Diffuser`, or a GAN.

    Returns:
        str.
    """
    if is_gan(model):
        with model.averaged():
            return _fingerprint(model.generator)
    return _fingerprint(model.average)


def _fingerprint(network):
    digest = hashlib.sha256(network.dtype_policy.name.encode())
    for weight in network.get_weights():
        digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()[:20]


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


def _consecutive(missing, at_most):
    """Return the first consecutive numbers of a sorted list."""
    n = 1
    while n < min(at_most, len(missing)) and missing[n] == missing[0] + n:
        n += 1
    return missing[:n]
