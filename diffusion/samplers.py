"""The samplers, as free functions with the papers' symbols: DDPM and DDIM here."""

import numpy as np

from diffusion._denoising import Denoiser, check_pictures
from diffusion.dpm_solver import dpm_solver_pp as dpm_solver_pp
from diffusion.generators import draw_noise
from diffusion.process import check_version


def ddpm(
    model,
    x_T,
    schedule,
    *,
    objective,
    rng,
    clip=True,
    self_condition=False,
    start=None,
    progress=None,
):
    """Sample by the ancestral sampler, one evaluation of the model each timestep.

    The variance is that of the posterior, β(1 - ᾱ')/(1 - ᾱ); no noise is added at
    t = 0.

    Example:
    ```python
    rng = picture_generators(3407, 4)
    x_T = draw_noise(rng, (32, 32, 3))
    pictures = ddpm(model, x_T, schedule, objective="noise", rng=rng)
    ```

    Args:
        model: Callable `model(x_t, t)`, or `model(x_t, t, x_self_cond)` with
            `self_condition`; float32 `(n, height, width, channels)` and int32 `(n,)`
            give what `objective` says, of the shape of `x_t`.
        x_T: Noise, float `(n, height, width, channels)`.
        schedule: A `Schedule`.
        objective: What the model gives: "noise", "x0" or "v".
        rng: List of n generators, one for each picture; see `picture_generators`.
        clip: Whether each estimate of the picture is held to -1 to 1. Defaults to
            `True`.
        self_condition: Whether the model is given its last estimate of the picture,
            zeros at first. Defaults to `False`.
        start: Timestep whose noise `x_T` has. Defaults to T - 1.
        progress: Callable of (steps done, steps in all), or `None`.

    Returns:
        Pictures, float32 of the shape of `x_T`, signed scale.

    Raises:
        ValueError: for an unknown objective, arrays that do not fit, or a model whose
            output is not finite.

    Reference:
        Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models, 2020, algorithm 2.
    """
    x = check_pictures(x_T, rng)
    start = _check_start(schedule, start)
    denoise = Denoiser(
        model, schedule, objective, clip=clip, self_condition=self_condition
    )
    # log σ of the posterior, at least -23.
    log_deviation = 0.5 * schedule.posterior_log_variance_clipped
    for t in range(start, -1, -1):
        x0, _ = denoise(x, t)
        mean = float(schedule.posterior_mean_coef1[t]) * x0
        x = mean + float(schedule.posterior_mean_coef2[t]) * x
        if t > 0:
            x += float(np.exp(log_deviation[t])) * draw_noise(rng, x.shape[1:])
        if progress is not None:
            progress(start - t + 1, start + 1)
    return x


def ddim_timesteps(timesteps, steps, version="0.25.3"):
    """Timesteps of DDIM, from noise to picture, with the one that each leads to.

    The spacing is that of the version in exact arithmetic; for a few numbers of steps
    float32 gives a timestep or some one less.

    Example:
    ```python
    ddim_timesteps(1000, 4, "2")           # [(999, 749), …, (249, -1)]
    ddim_timesteps(1000, 4, "0.25.3")      # [(800, 600), …, (200, 0)]
    ```

    Args:
        timesteps: T.
        steps: Number of pairs: 1 to T with "2", to T - 1 with "0.25.3".
        version: "0.25.3" or "2". Defaults to "0.25.3".

    Returns:
        List of (t, t').

    Raises:
        ValueError: for an unknown version, or more steps than timesteps.
    """
    check_version(version)
    most = timesteps if version == "2" else timesteps - 1
    if steps != int(steps) or not 1 <= steps <= most:
        raise ValueError(
            f"`steps` must be 1 to {most}, with {timesteps} timesteps and version "
            f"{version}. Received: steps={steps}"
        )
    steps = int(steps)
    if version == "2":
        times = [i * timesteps // steps - 1 for i in range(steps, -1, -1)]
    else:
        times = [i * timesteps // (steps + 1) for i in range(steps, -1, -1)]
    return list(zip(times[:-1], times[1:], strict=True))


def ddim(
    model,
    x_T,
    schedule,
    *,
    objective,
    steps=50,
    eta=None,
    version="0.25.3",
    rng=None,
    clip=True,
    self_condition=False,
    start=None,
    progress=None,
):
    """Sample by DDIM, with as many evaluations of the model as there are steps.

    x' = √ᾱ' x0 + √(1 - ᾱ' - σ²) ε + σz, with σ² = η² (1 - ᾱ/ᾱ')(1 - ᾱ')/(1 - ᾱ).

    Version "2" takes its last timestep for the first, ends on the clean picture, and
    derives ε anew from the clipped x0. Version "0.25.3" begins at T·S/(S + 1), reads ᾱ
    of the timestep before, and leaves ε as the model gave it.

    Example:
    ```python
    rng = picture_generators(3407, 4)
    x_T = draw_noise(rng, (32, 32, 3))
    pictures = ddim(model, x_T, schedule, objective="noise", steps=50, rng=rng)
    ```

    Args:
        model: See `ddpm`.
        x_T: Noise, float `(n, height, width, channels)`.
        schedule: A `Schedule`.
        objective: What the model gives: "noise", "x0" or "v".
        steps: S. Defaults to 50.
        eta: η from 0, where the noise alone decides, to 1. Defaults to the version's:
            1 with "0.25.3", 0 with "2".
        version: "0.25.3" or "2". Defaults to "0.25.3".
        rng: List of n generators, one for each picture; may be `None` where η is 0.
        clip: Whether each estimate of the picture is held to -1 to 1. Defaults to
            `True`.
        self_condition: See `ddpm`. Defaults to `False`.
        start: Timestep whose noise `x_T` has, with version "2" only. Defaults to T - 1.
        progress: Callable of (steps done, steps in all), or `None`.

    Returns:
        Pictures, float32 of the shape of `x_T`, signed scale.

    Raises:
        ValueError: for an option that is unknown or out of its range, arrays that do
            not fit, or a model whose output is not finite.

    Reference:
        Song, Meng, Ermon, Denoising Diffusion Implicit Models, 2021, equations 12
        and 16.
    """
    check_version(version)
    if start is not None and version != "2":
        raise ValueError(
            'only version "2" begins where the noise of `x_T` says: take '
            f'version="2". Received: start={start}, version={version!r}'
        )
    if eta is None:
        eta = 0.0 if version == "2" else 1.0
    if not 0 <= eta <= 1 or (eta and rng is None):
        raise ValueError(
            "`eta` must be 0 to 1, and 0 where there are no generators. Received: "
            f"eta={eta}, rng={rng if rng is None else type(rng).__name__}"
        )
    x = check_pictures(x_T, rng)
    start = _check_start(schedule, start)
    pairs = ddim_timesteps(start + 1, steps, version)
    denoise = Denoiser(
        model, schedule, objective, clip=clip, self_condition=self_condition
    )
    # ᾱ by t + 1: index 0 is the clean picture, whose ᾱ is 1.
    bar = np.concatenate([[1.0], schedule.alphas_cumprod])
    for step, (t, after) in enumerate(pairs, start=1):
        x0, noise = denoise(x, t)
        if version == "2":
            noise = denoise.noise_of(x, t, x0) if clip else noise
            bar_t, bar_after = bar[t + 1], bar[after + 1]
        else:
            bar_t, bar_after = bar[t], bar[after]
        sigma2 = (1 - bar_t / bar_after) * (1 - bar_after) / (1 - bar_t) * eta**2
        x = float(np.sqrt(bar_after)) * x0
        if bar_after < 1:
            x += float(np.sqrt(max(1 - bar_after - sigma2, 0.0))) * noise
            if eta:
                x += float(np.sqrt(sigma2)) * draw_noise(rng, x.shape[1:])
        if progress is not None:
            progress(step, len(pairs))
    return x


def _check_start(schedule, start):
    if start is None:
        return schedule.timesteps - 1
    if start != int(start) or not 0 <= start < schedule.timesteps:
        raise ValueError(
            f"`start` must be a timestep, 0 to {schedule.timesteps - 1}. Received: "
            f"{start}"
        )
    return int(start)
