"""Make new icons as an array, and check and complete what is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from diffusion.attributes import Wish, encode
from diffusion.process import Denoiser, check_pictures
from diffusion.sampling.heun import heun, heun_timesteps, most_heun_steps
from diffusion.sampling.samplers import (
    ddim,
    ddim_steps,
    ddim_timesteps,
    ddpm,
    default_eta,
    dpm_solver_pp,
    dpm_timesteps,
    draw_noise,
    last_timestep,
    picture_generators,
    walked,
)
from diffusion.schedules import Schedule
from illustkit.errors import UserError
from illustkit.images import signed_to_uint8
from illustkit.options import check_choice, check_number, check_options

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from diffusion.gans.model import IconGAN
    from diffusion.network.model import Diffuser
    from diffusion.sampling.engines import EngineDiffuser
    from illustkit.training.runs import Run

SAMPLERS = "ddim", "ddpm", "dpm++", "heun"
DISTILLED = "distilled"
"""The sampler of a distilled model: its own few steps."""
STEPS = 50
"""Evaluations of the network per picture, where it has as many timesteps."""
MEMORY = 1e9
"""Bytes that a batch may take by default."""
GUIDANCE = 3.0
DEFAULTS = {"sampler": None, "eta": None, "seed": 3407, "image_size": None}


def sample(
    model: Diffuser | IconGAN | EngineDiffuser | Run | str | os.PathLike,
    n: int,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    eta: float | None = None,
    seed: int = 3407,
    first: int = 0,
    image_size: Sequence[int] | None = None,
    batch_size: int | None = None,
    attributes: Wish | Sequence[Wish] | None = None,
    guidance: float | None = None,
    truncation: float | None = None,
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
        model: A `Diffuser`, a `DCGAN` or `StyleGAN2`, or a run (its folder, or the
            `Run`). A GAN takes no options of sampling but `seed`, `first`,
            `batch_size` and `truncation`.
        n: Number of pictures.
        sampler: "ddim", "ddpm" (all T steps, `steps` is ignored) or "dpm++", the
            second-order multistep solver, which needs the fewest, or "heun", EDM's,
            with two evaluations a step but the last. The timesteps of "dpm++" are
            spaced evenly in the logarithm of the signal-to-noise ratio up to 20 steps,
            and evenly in time above; see `diffusion.dpm_solver_pp`. Defaults to "ddim",
            and for the model that comes with the package to "dpm++" with 12 steps. A
            distilled model has its own.
        steps: Evaluations of the network per picture. Defaults to 50, or to the most
            that the model allows where that is fewer.
        eta: Noise of DDIM, from 0 to 1. Defaults to that of the network's version: 1
            for "0.25.3", 0 for "2".
        seed: int. Defaults to 3407, the preprint's.
        first: Number of the first picture. Defaults to 0.
        image_size: (width, height), for a network that takes any. Defaults to the
            network's.
        batch_size: Pictures per batch. Defaults to what a gigabyte holds.
        attributes: What the icons shall show, such as
            `{"hair": "red", "glasses": True}`; or one such dict for each picture. What
            is not named is left to the model. Defaults to `None`, no wish.
        guidance: How strongly the wish counts, 1 or more; above 1 each evaluation of
            the network takes twice as long. Defaults to 3; a distilled model has its
            own built in.
        truncation: For a StyleGAN2: 1 for its styles as they are, less for styles
            nearer their mean, for cleaner and more similar pictures. Defaults to 1.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        uint8 `(n, height, width, channels)`.

    Raises:
        UserError: If an option is invalid, there are more steps than timesteps, or the
            model has no such attribute.

    Reference:
        - [Classifier-free guidance](https://arxiv.org/abs/2207.12598)
        - [DDIM](https://arxiv.org/abs/2010.02502)
        - [DPM-Solver++](https://arxiv.org/abs/2211.01095)
    """
    check_options(batch_size=batch_size, image_size=image_size, seed=seed)
    check_number("n", n, whole=True, least=1)
    check_number("first", first, whole=True, least=0)
    model = opened(model)
    width, height = sample_size(model, image_size)
    if is_gan(model):
        from diffusion.sampling.gans import check_gan_options, sample_gan

        asked = {"sampler": sampler, "steps": steps, "eta": eta}
        check_gan_options(model, truncation, **asked)
        return sample_gan(
            model,
            n,
            seed=seed,
            first=first,
            batch_size=batch_size,
            truncation=truncation,
            wishes=encode_wishes(model, attributes, n),
            progress=progress,
        )
    if truncation is not None:
        raise UserError(
            "`truncation` is for a StyleGAN2, and this is a diffusion model: leave it "
            f"out. Received: {truncation}"
        )
    guidance = guidance_of(model, guidance)
    wishes = encode_wishes(model, attributes, n, guidance)
    sampler, steps = sampling_of(model, sampler, steps)
    shape = height, width, model.channels
    batch_size = batch_size or default_batch_size(model, shape)
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
            said = {}
            if wishes is not None:
                rows = np.arange(start, start + batch_size).clip(max=n - 1)
                said = {"wishes": wishes[rows], "guidance": guidance}
            x0 = run(x_T, generators, lambda done, total: bar.update(), **said)
            pictures[start : start + kept] = signed_to_uint8(x0)[:kept]
    return pictures


def sampling_of(
    model: Diffuser, sampler: str | None = None, steps: int | None = None
) -> tuple[str, int | None]:
    """Return the sampler and the steps to take: the model's own unless they are given.

    Args:
        model: A `Diffuser`.
        sampler: See `sample`. Defaults to `None`.
        steps: See `sample`. Defaults to `None`.

    Raises:
        UserError: If a distilled model is asked for another sampler or more steps.
    """
    if model.distilled:
        own = len(model.distilled["timesteps"])
        if sampler not in (None, DISTILLED) or steps not in (None, own):
            raise UserError(
                f"This model was distilled to {own} steps of its own: leave `sampler` "
                "and `steps` out, or sample with its teacher."
            )
        return DISTILLED, own
    if sampler is not None:
        return sampler, steps
    own_sampler, own_steps = model.sampling
    return own_sampler, own_steps if steps is None else steps


def choose_sampler(
    model: Diffuser, sampler: str, steps: int | None = None, eta: float | None = None
) -> Callable[..., np.ndarray]:
    """Return a sampler with everything set but the noise.

    Args:
        model: A `Diffuser`.
        sampler: "ddim", "ddpm" or "dpm++".
        steps: See `sample`. Defaults to `None`.
        eta: See `sample`. Defaults to `None`.

    Returns:
        A function of `x_T`, generators, a progress callback and `wishes` and `guidance`
        of `Diffuser.denoiser` that returns x0, signed scale.

    Raises:
        UserError: If an option is invalid, or there are more steps than timesteps.
    """
    if model.distilled:
        return _jumping(model)
    version = model.unet.version
    # Raise for too many steps before anything is sampled or written.
    steps = check_sampler(model.schedule, version, sampler, steps, eta)
    eta = default_eta(version) if eta is None else eta
    common = {
        "objective": model.objective,
        "self_condition": model.unet.self_condition,
    }

    def run(
        x_T: np.ndarray, generators: Any, progress: Any = None, **said: Any
    ) -> np.ndarray:
        args = model.denoiser(**said), x_T, model.schedule
        more: dict[str, Any] = {**common, "progress": progress}
        if sampler == "ddpm":
            return ddpm(*args, rng=generators, **more)
        if sampler == "heun":
            return heun(*args, steps=steps, **more)
        if sampler == "dpm++":
            # So few steps lose fine detail if they are spaced evenly in time.
            spacing = "logsnr" if steps <= 20 else "time"
            return dpm_solver_pp(*args, steps=steps, spacing=spacing, **more)
        return ddim(
            *args, steps=steps, eta=eta, version=version, rng=generators, **more
        )

    return run


def _jumping(model):
    """Return the sampler of a distilled model, as `choose_sampler`."""
    times = model.distilled["timesteps"]
    pairs = list(zip(times, [*times[1:], -1], strict=True))

    def run(x_T, generators, progress=None, **said):
        # What it learnt are jumps of estimates that were not clipped.
        denoise = Denoiser(
            model.denoiser(**said), model.schedule, model.objective, clip=False
        )
        steps = ddim_steps(denoise, pairs, eta=0.0, version="2", rng=None)
        return walked(steps, check_pictures(x_T), denoise, len(pairs), progress)

    return run


def guidance_of(model: Diffuser | IconGAN, guidance: float | None) -> float:
    """Return how strongly wishes count.

    Args:
        model: A `Diffuser`.
        guidance: What the caller asks for, or `None`.

    Raises:
        UserError: If a distilled model is asked for another guidance than its own.
    """
    known = getattr(model, "distilled", None)
    own = known["guidance"] if known else None
    if own is not None and guidance not in (None, own):
        raise UserError(
            f"This model was distilled with a guidance of {own:g}: leave `guidance` "
            f"out, or distil its teacher anew. Received: {guidance:g}"
        )
    return GUIDANCE if guidance is None else guidance


def encode_wishes(
    model: Diffuser | IconGAN,
    attributes: Wish | Sequence[Wish] | None,
    n: int,
    guidance: float = GUIDANCE,
) -> np.ndarray | None:
    """Encode what n pictures shall show; `None` where nothing is wished.

    Args:
        model: A `Diffuser`.
        attributes: See `sample`.
        n: Number of pictures.
        guidance: See `sample`; it is only checked.

    Returns:
        float32 `(n, width)`, or `None`.

    Raises:
        UserError: If the model has no such attribute or value, or there are not n
            dicts.
    """
    check_number("guidance", guidance, least=1)
    if not attributes:
        return None
    if isinstance(attributes, Mapping):
        attributes = [attributes] * n
    if len(attributes) != n:
        raise UserError(
            "`attributes` is a dict, or one for each picture. "
            f"Received: {len(attributes)} dicts for {n} pictures"
        )
    return encode(model.attributes, attributes)


def check_sampler(
    schedule: Schedule,
    version: str,
    sampler: str,
    steps: int | None = None,
    eta: float | None = None,
) -> int:
    """Check the options of a sampler; no model is needed.

    Args:
        schedule: The model's `Schedule`.
        version: The version of its network, "0.25.3" or "2".
        sampler: "ddim", "ddpm" or "dpm++".
        steps: See `sample`. Defaults to `None`.
        eta: See `sample`. Defaults to `None`.

    Returns:
        The number of steps.

    Raises:
        UserError: If an option is invalid, or there are more steps than timesteps.
    """
    check_choice("sampler", sampler, SAMPLERS)
    check_number("eta", eta, least=0, most=1)
    if sampler == "ddpm":
        return schedule.timesteps
    if steps is None:
        steps = max(1, min(STEPS, most_steps(schedule, version, sampler)))
    if sampler == "heun":
        heun_timesteps(schedule, steps)
    elif sampler == "dpm++":
        dpm_timesteps(schedule, steps)
    else:
        ddim_timesteps(schedule.timesteps, steps, version)
    return steps


def most_steps(schedule: Schedule, version: str, sampler: str) -> int:
    """Return the largest number of steps that a sampler takes; it may be zero."""
    if sampler == "heun":
        return most_heun_steps(schedule)
    if sampler == "dpm++":
        return last_timestep(schedule)
    return schedule.timesteps - (sampler == "ddim" and version != "2")


def steps_of(model: Diffuser, sampler: str, steps: int | None = None) -> int:
    """Return the number of evaluations of the network that a sampler takes."""
    if model.distilled:
        return len(model.distilled["timesteps"])
    steps = check_sampler(model.schedule, model.unet.version, sampler, steps)
    return 2 * steps - 1 if sampler == "heun" else steps


def sample_size(
    model: Diffuser | EngineDiffuser | IconGAN,
    image_size: Sequence[int] | None = None,
) -> tuple[int, int]:
    """Return (width, height) of the pictures to make.

    Args:
        model: A `Diffuser`.
        image_size: What the caller asks for. Defaults to `None`, the network's size.

    Raises:
        UserError: If the network takes any size and `image_size` is `None`, or
            `image_size` is not the network's or not one that it can halve.
    """
    if is_gan(model):
        side = model.image_size
        if image_size is not None and tuple(image_size) != (side, side):
            raise UserError(
                f"This network makes pictures of {side}x{side} pixels. "
                f"Received: `image_size` {'x'.join(map(str, image_size))}"
            )
        return side, side
    own: Any = model.image_size
    if image_size is None:
        if own is None:
            raise UserError("This network takes any size: give `image_size`.")
        return own
    check_options(image_size=image_size)
    width, height = image_size
    levels = len(model.network.get("dim_mults", (1, 2, 4, 8)))
    step = model.network.get("patch", 1) * 2 ** (levels - 1)
    if width % step or height % step:
        raise UserError(
            f"This network takes sides that {step} divides. "
            f"Received: `image_size` {width}x{height}"
        )
    if own not in (None, (width, height)):
        raise UserError(
            f"This network makes pictures of {own[0]}x{own[1]} pixels. "
            f"Received: `image_size` {width}x{height}"
        )
    return width, height


def default_batch_size(model: Diffuser | IconGAN, shape: Sequence[int]) -> int:
    """Return how many pictures a gigabyte holds: a power of two, at most 64.

    A network of `dim` channels keeps about 16 maps of them at full size at a time.
    """
    if is_gan(model):
        from diffusion.sampling.gans import GAN_BATCH

        return GAN_BATCH
    each = shape[0] * shape[1] * model.unet.dim * 4 * 16
    return 1 << min(6, max(0, int(np.log2(max(1.0, MEMORY / each)))))


def opened(model: Any) -> Diffuser | IconGAN:
    """Return a model, loaded if a run or a name is given."""
    if not isinstance(model, str | os.PathLike) and not hasattr(model, "folder"):
        return model
    from diffusion.gans.runs import load_model

    return load_model(model)


def is_gan(model: Any) -> TypeIs[IconGAN]:
    """Return whether a model is a GAN, without loading Keras to know its class."""
    return not hasattr(model, "denoiser")
