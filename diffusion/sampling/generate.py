"""A folder of new icons: marked PNG files and a grid, made in one go or in several."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from diffusion.network.model import Diffuser, load_diffuser
from diffusion.sampling.samplers import (
    ddim,
    ddim_timesteps,
    ddpm,
    dpm_solver_pp,
    dpm_timesteps,
    draw_noise,
)
from diffusion.watermark import WATERMARK, add_watermark, shown, write_marked
from illustkit.figures import sheet
from illustkit.files import write_whole
from illustkit.images import read_picture, signed_to_uint8, write_image

SAMPLERS = "ddim", "ddpm", "dpm++"
MEMORY = 1e9
"""Bytes that a batch may take by default."""


def sample(
    model,
    n,
    *,
    sampler="ddim",
    steps=50,
    eta=None,
    seed=3407,
    first=0,
    image_size=None,
    batch_size=None,
    progress=True,
):
    """Make new icons.

    Picture `i` depends on `(seed, i)` alone, whatever the number of pictures and the
    batches they are made in, up to the rounding of the machine.

    Example:
    ```python
    pictures = diffusion.sample("runs/icons", 16, sampler="dpm++", steps=12)
    ```

    Args:
        model: A `Diffuser`, or a run (its folder, or the `Run`).
        n: Number of pictures.
        sampler: "ddim", "ddpm" (all T steps, `steps` is not looked at) or "dpm++", the
            second-order multistep solver that needs the fewest. Defaults to "ddim".
        steps: Evaluations of the network a picture. Defaults to 50.
        eta: Noise of DDIM, from 0 to 1. Defaults to that of the network's version: 1
            for "0.25.3", 0 for "2".
        seed: Int. Defaults to 3407, the preprint's.
        first: Number of the first picture. Defaults to 0.
        image_size: (width, height), for a network that takes any. Defaults to that of
            the network.
        batch_size: Pictures at once. Defaults to what a gigabyte holds.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        uint8 `(n, height, width, channels)`.

    Raises:
        ValueError: for an unknown sampler, or more steps than the model has.

    Reference:
        - [DDIM](https://arxiv.org/abs/2010.02502)
        - [DPM-Solver++](https://arxiv.org/abs/2211.01095)
    """
    model = model if isinstance(model, Diffuser) else load_diffuser(model)
    if n < 1:
        raise ValueError(f"`n` must be at least 1. Received: {n}")
    width, height = size_of(model, image_size)
    shape = height, width, model.channels
    if batch_size is None:
        batch_size = default_batch_size(model, shape)
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: {batch_size}")
    batch_size = min(n, batch_size)
    run = choose_sampler(model, sampler, steps, eta)
    total = -(-n // batch_size) * steps_of(model, sampler, steps)
    pictures = np.empty((n, *shape), np.uint8)
    with tqdm(total=total, unit="step", disable=not progress) as bar:
        for start in range(0, n, batch_size):
            # The last batch is filled up: one shape, one compilation.
            numbers = np.minimum(np.arange(start, start + batch_size), n - 1) + first
            generators = [np.random.default_rng((seed, int(i))) for i in numbers]
            x_T = draw_noise(generators, shape)
            x0 = run(x_T, generators, lambda done, total: bar.update())
            kept = min(batch_size, n - start)
            pictures[start : start + kept] = signed_to_uint8(x0)[:kept]
    return pictures


def choose_sampler(model, sampler, steps, eta=None):
    """A sampler with everything set but the noise to begin with.

    Args:
        model: A `Diffuser`.
        sampler: "ddim", "ddpm" or "dpm++".
        steps: Evaluations of the network.
        eta: As in `sample`. Defaults to `None`.

    Returns:
        A function of `x_T`, generators and a progress callback to x0, signed scale.

    Raises:
        ValueError: for an unknown sampler, or more steps than the model has.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"`sampler` is one of {SAMPLERS}. Received: {sampler!r}")
    version = model.unet.version
    # Too many steps are told before anything is sampled, or written.
    if sampler == "dpm++":
        dpm_timesteps(model.schedule, steps)
    elif sampler == "ddim":
        ddim_timesteps(model.schedule.timesteps, steps, version)
    if eta is None:
        eta = {"0.25.3": 1.0, "2": 0.0}[version]
    if not 0 <= eta <= 1:
        raise ValueError(f"`eta` is from 0 to 1. Received: {eta}")
    common = {
        "objective": model.objective,
        "self_condition": model.unet.self_condition,
    }
    denoiser = model.denoiser()

    def run(x_T, generators, progress=None):
        args, more = (denoiser, x_T, model.schedule), {**common, "progress": progress}
        if sampler == "ddpm":
            return ddpm(*args, rng=generators, **more)
        if sampler == "dpm++":
            # So few steps lose fine detail where they lie evenly in time.
            spacing = "logsnr" if steps <= 20 else "time"
            return dpm_solver_pp(*args, steps=steps, spacing=spacing, **more)
        return ddim(
            *args, steps=steps, eta=eta, version=version, rng=generators, **more
        )

    return run


def steps_of(model, sampler, steps):
    """Evaluations of the network that a sampler takes."""
    return model.schedule.timesteps if sampler == "ddpm" else steps


def size_of(model, image_size=None):
    """(width, height) of the pictures that a model makes.

    Raises:
        ValueError: where the network takes any size and none is given, or a size is
            given that is not the network's.
    """
    own = model.image_size
    image_size = None if image_size is None else tuple(image_size)
    if image_size is None and own is None:
        raise ValueError("This network takes any size: give `image_size`.")
    if own is not None and image_size not in (None, own):
        raise ValueError(
            f"This network makes pictures of {own[0]}x{own[1]} pixels. "
            f"Received: image_size={image_size}"
        )
    return own or image_size


def default_batch_size(model, shape):
    """Pictures that a gigabyte holds: a power of two, at most 64.

    At full size a network of width d keeps about 16 maps of d channels at a time.
    """
    each = shape[0] * shape[1] * model.unet.dim * 4 * 16
    return 1 << min(6, max(0, int(np.log2(max(1.0, MEMORY / each)))))


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
