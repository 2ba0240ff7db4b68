"""Make new icons, as an array or as a folder of marked PNG files.

A folder can be interrupted and completed later.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from diffusion.network.model import Diffuser, load_diffuser
from diffusion.sampling.samplers import (
    ddim,
    ddim_timesteps,
    ddpm,
    default_eta,
    dpm_solver_pp,
    dpm_timesteps,
    draw_noise,
    picture_generators,
)
from diffusion.watermark import OPACITY, WATERMARK, add_watermark, shown, write_marked
from illustkit.errors import UserError
from illustkit.figures import sheet
from illustkit.files import write_whole
from illustkit.images import read_picture, signed_to_uint8, write_image
from illustkit.training.runs import Run

SAMPLERS = "ddim", "ddpm", "dpm++"
MEMORY = 1e9
"""Bytes that a batch may take by default."""
ICONS = "icons"
DEFAULTS = {"sampler": "ddim", "steps": 50, "eta": None, "seed": 3407}
DEFAULTS |= {"image_size": None}


def sample(
    model: Diffuser | Run | str | os.PathLike,
    n: int,
    *,
    sampler: str = "ddim",
    steps: int = 50,
    eta: float | None = None,
    seed: int = 3407,
    first: int = 0,
    image_size: Sequence[int] | None = None,
    batch_size: int | None = None,
    progress: bool = True,
) -> np.ndarray:
    """Make new icons.

    Picture `i` depends on `(seed, i)` alone, for any number of pictures and any batch
    size, up to the machine's rounding.

    Example:
    ```python
    pictures = diffusion.sample("runs/icons", 16, sampler="dpm++", steps=12)
    ```

    Args:
        model: A `Diffuser`, or a run (its folder, or the `Run`).
        n: Number of pictures.
        sampler: "ddim", "ddpm" (all T steps, `steps` is ignored) or "dpm++", the
            second-order multistep solver, which needs the fewest. Defaults to "ddim".
        steps: Evaluations of the network per picture. Defaults to 50.
        eta: Noise of DDIM, from 0 to 1. Defaults to that of the network's version: 1
            for "0.25.3", 0 for "2".
        seed: int. Defaults to 3407, the preprint's.
        first: Number of the first picture. Defaults to 0.
        image_size: (width, height), for a network that takes any. Defaults to the
            network's.
        batch_size: Pictures per batch. Defaults to what a gigabyte holds.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        uint8 `(n, height, width, channels)`.

    Raises:
        ValueError: If an option is invalid, or there are more steps than timesteps.

    Reference:
        - [DDIM](https://arxiv.org/abs/2010.02502)
        - [DPM-Solver++](https://arxiv.org/abs/2211.01095)
    """
    model = model if isinstance(model, Diffuser) else load_diffuser(model)
    if n < 1:
        raise UserError(f"`n` must be at least 1. Received: {n}")
    width, height = sample_size(model, image_size)
    shape = height, width, model.channels
    if batch_size is None:
        batch_size = default_batch_size(model, shape)
    if batch_size < 1:
        raise UserError(f"`batch_size` must be at least 1. Received: {batch_size}")
    batch_size = min(n, batch_size)
    run = choose_sampler(model, sampler, steps, eta)
    total = -(-n // batch_size) * steps_of(model, sampler, steps)
    pictures = np.empty((n, *shape), np.uint8)
    with tqdm(total=total, unit="step", disable=not progress) as bar:
        for start in range(0, n, batch_size):
            kept = min(batch_size, n - start)
            generators = picture_generators(seed, kept, first=first + start)
            # The last batch is padded: one shape, one compilation.
            for _ in range(batch_size - kept):
                generators += picture_generators(seed, 1, first=first + n - 1)
            x_T = draw_noise(generators, shape)
            x0 = run(x_T, generators, lambda done, total: bar.update())
            pictures[start : start + kept] = signed_to_uint8(x0)[:kept]
    return pictures


def choose_sampler(
    model: Diffuser, sampler: str, steps: int, eta: float | None = None
) -> Callable[..., np.ndarray]:
    """Return a sampler with everything set but the noise.

    Args:
        model: A `Diffuser`.
        sampler: "ddim", "ddpm" or "dpm++".
        steps: Evaluations of the network.
        eta: See `sample`. Defaults to `None`.

    Returns:
        A function of `x_T`, generators and a progress callback that returns x0, signed
        scale.

    Raises:
        ValueError: If an option is invalid, or there are more steps than timesteps.
    """
    if sampler not in SAMPLERS:
        raise UserError(f"`sampler` is one of {SAMPLERS}. Received: {sampler!r}")
    version = model.unet.version
    # Raise for too many steps before anything is sampled or written.
    if sampler == "dpm++":
        dpm_timesteps(model.schedule, steps)
    elif sampler == "ddim":
        ddim_timesteps(model.schedule.timesteps, steps, version)
    eta = default_eta(version) if eta is None else eta
    if not 0 <= eta <= 1:
        raise UserError(f"`eta` is from 0 to 1. Received: {eta}")
    common = {
        "objective": model.objective,
        "self_condition": model.unet.self_condition,
    }
    denoiser = model.denoiser()

    def run(x_T: np.ndarray, generators: Any, progress: Any = None) -> np.ndarray:
        args = denoiser, x_T, model.schedule
        more: dict[str, Any] = {**common, "progress": progress}
        if sampler == "ddpm":
            return ddpm(*args, rng=generators, **more)
        if sampler == "dpm++":
            # So few steps lose fine detail if they are spaced evenly in time.
            spacing = "logsnr" if steps <= 20 else "time"
            return dpm_solver_pp(*args, steps=steps, spacing=spacing, **more)
        return ddim(
            *args, steps=steps, eta=eta, version=version, rng=generators, **more
        )

    return run


def steps_of(model: Diffuser, sampler: str, steps: int) -> int:
    """Return the number of evaluations of the network that a sampler takes."""
    return model.schedule.timesteps if sampler == "ddpm" else steps


def sample_size(
    model: Diffuser, image_size: Sequence[int] | None = None
) -> tuple[int, int]:
    """Return (width, height) of the pictures to make.

    Args:
        model: A `Diffuser`.
        image_size: What the caller asks for. Defaults to `None`, the network's size.

    Raises:
        ValueError: If the network takes any size and `image_size` is `None`, or
            `image_size` is not the network's.
    """
    own = model.image_size
    if image_size is None:
        if own is None:
            raise UserError("This network takes any size: give `image_size`.")
        return own
    width, height = image_size
    if own not in (None, (width, height)):
        raise UserError(
            f"This network makes pictures of {own[0]}x{own[1]} pixels. "
            f"Received: image_size={(width, height)}"
        )
    return width, height


def default_batch_size(model: Diffuser, shape: Sequence[int]) -> int:
    """Return how many pictures a gigabyte holds: a power of two, at most 64.

    A network of `dim` channels keeps about 16 maps of them at full size at a time.
    """
    each = shape[0] * shape[1] * model.unet.dim * 4 * 16
    return 1 << min(6, max(0, int(np.log2(max(1.0, MEMORY / each)))))


def sample_folder(
    model: Diffuser | Run | str | os.PathLike,
    n: int,
    folder: str | os.PathLike,
    *,
    watermark: str | None = WATERMARK,
    opacity: float = OPACITY,
    grid: int = 64,
    **options: Any,
) -> list[Path]:
    """Make new icons as PNG files, with a grid of the first ones.

    Each batch is written at once. Called again with the same arguments after an
    interruption, the function makes the missing pictures.

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
        grid: Maximum number of pictures on the grid; 0 for no grid. Defaults to 64.
        **options: See `sample`.

    Returns:
        List of the paths of the files.

    Raises:
        ValueError: See `sample`; or if the folder holds pictures of other settings.
    """
    folder = Path(folder)
    # The settings that decide the pictures; how they are batched does not.
    settings: dict[str, Any] = {**DEFAULTS, "watermark": watermark, "opacity": opacity}
    batching = "batch_size", "progress", "first"
    settings |= {k: v for k, v in options.items() if k not in batching}
    model = model if isinstance(model, Diffuser) else load_diffuser(model)
    settings["model"] = fingerprint(model)
    shape = (*sample_size(model, options.get("image_size"))[::-1], model.channels)
    _check(model, n, shape, watermark, opacity, options)
    _start_folder(folder, settings)
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
            numbers = _consecutive(missing, at_once)
            del missing[: len(numbers)]
            # Always a whole batch, so that the network is compiled once.
            pictures = sample(
                model,
                at_once,
                first=first + numbers[0],
                batch_size=at_once,
                progress=False,
                **options,
            )
            for i, picture in zip(numbers, pictures, strict=False):
                if watermark is not None:
                    picture = add_watermark(picture, watermark, opacity=opacity)
                _write(paths[i], picture, watermark)
            bar.update(len(numbers))
    if grid:
        on_grid = [shown(_read(path)) for path in paths[:grid]]
        _write(folder / "grid.png", sheet(on_grid), watermark)
    return paths


def fingerprint(model: Diffuser) -> str:
    """Return ten bytes, in hexadecimal, that identify a model's averaged weights.

    Args:
        model: A `Diffuser`.

    Returns:
        str.
    """
    digest = hashlib.sha256(model.average.dtype_policy.name.encode())
    for weight in model.average.get_weights():
        digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()[:20]


def _check(model, n, shape, watermark, opacity, options):
    """Raise for invalid options before anything is written or sampled."""
    if n < 1:
        raise UserError(f"`n` must be at least 1. Received: {n}")
    sampler, steps = options.get("sampler", "ddim"), options.get("steps", 50)
    choose_sampler(model, sampler, steps, options.get("eta"))
    if watermark is not None:
        add_watermark(np.zeros(shape, np.uint8), watermark, opacity=opacity)


def _start_folder(folder, settings):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "settings.json"
    settings = json.loads(json.dumps(settings, default=str))
    if path.exists():
        try:
            stored = json.loads(path.read_text("utf-8"))
        except ValueError:
            stored = None
        if stored != settings:
            raise UserError(
                f"{folder} holds pictures of other settings. Name another folder."
            )
    elif (folder / ICONS).exists():
        raise UserError(f"{folder} holds other icons. Name another folder.")
    write_whole(path, json.dumps(settings, indent=1))


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
