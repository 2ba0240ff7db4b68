"""Samplers: DDPM, DDIM and DPM-Solver++(2M), in NumPy, with noise for each picture."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np

from diffusion.process import Denoiser, check_pictures, check_version
from diffusion.schedules import Schedule, posterior
from illustkit.errors import UserError

Generators = Sequence[np.random.Generator]
Progress = Callable[[int, int], object] | None
Steps = Generator[tuple[Any, int], tuple[np.ndarray, np.ndarray, np.ndarray], Any]
"""A sampler's steps: it yields (x_t, t), takes x_t and its x0 and ε, and returns x0.

The first x_t is `None`, since the noise comes from outside.
"""
SPACINGS = "time", "logsnr"


def picture_generators(
    seed: int, n: int, *, first: int = 0
) -> list[np.random.Generator]:
    """Make a random generator for each picture.

    Picture number i of a seed is then the same in any batch.

    Example:
    ```python
    rng = picture_generators(3407, 16)
    x_T = draw_noise(rng, (128, 128, 3))
    pictures = ddim(model, x_T, schedule, objective="noise", rng=rng)
    ```

    Args:
        seed: int, not negative.
        n: Number of pictures.
        first: Number of the first picture. Defaults to 0.

    Returns:
        List of n `numpy.random.Generator`.
    """
    return [np.random.default_rng((seed, i)) for i in range(first, first + n)]


def draw_noise(rng: Generators, shape: Sequence[int]) -> np.ndarray:
    """Draw standard normal noise of `shape` from each generator.

    Args:
        rng: List of n generators.
        shape: `(height, width, channels)`.

    Returns:
        float32 `(n, height, width, channels)`.
    """
    return np.stack([each.standard_normal(shape, dtype="float32") for each in rng])


def ddpm(
    model: Callable[..., Any],
    x_T: np.ndarray,
    schedule: Schedule,
    *,
    objective: str,
    rng: Generators,
    clip: bool = True,
    self_condition: bool = False,
    start: int | None = None,
    progress: Progress = None,
) -> np.ndarray:
    """Sample by ancestral sampling, one evaluation of the model per timestep.

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
            `self_condition`; from float32 `(n, height, width, channels)` and int32
            `(n,)` to what `objective` says, of the shape of `x_t`.
        x_T: Noise, float `(n, height, width, channels)`.
        schedule: A `Schedule`.
        objective: What the model predicts: "noise", "x0" or "v".
        rng: List of n generators, one for each picture; see `picture_generators`.
        clip: Whether to clip each estimate of the picture to -1 to 1. Defaults to
            `True`.
        self_condition: Whether to give the model its last estimate of the picture,
            zeros at first. Defaults to `False`.
        start: Timestep of the noise in `x_T`. Defaults to T - 1.
        progress: Called with (steps done, steps in all). Defaults to `None`.

    Returns:
        Pictures, float32 of the shape of `x_T`, signed scale.

    Raises:
        ValueError: If `objective` is invalid, arrays do not fit, or the model's output
            is not finite.

    Reference:
        Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models, 2020, algorithm 2.
    """
    x = check_pictures(x_T, rng)
    start = _check_start(schedule, start)
    denoise = Denoiser(
        model, schedule, objective, clip=clip, self_condition=self_condition
    )
    return walked(ddpm_steps(schedule, start, rng), x, denoise, start + 1, progress)


def ddpm_steps(schedule: Schedule, start: int, rng: Generators) -> Steps:
    """Return the steps of `ddpm` from a timestep on; see `Steps`."""
    # log σ of the posterior, at least -23.
    log_deviation = 0.5 * schedule.posterior_log_variance_clipped
    x = None
    for t in range(start, -1, -1):
        x, x0, _ = yield x, t
        mean = float(schedule.posterior_mean_coef1[t]) * x0
        x = mean + float(schedule.posterior_mean_coef2[t]) * x
        if t > 0:
            x += float(np.exp(log_deviation[t])) * draw_noise(rng, x.shape[1:])
    return x


def walked(
    steps: Steps, x: np.ndarray, denoise: Denoiser, total: int, progress: Progress
) -> np.ndarray:
    """Walk a sampler's steps from noise to pictures, asking the model at each.

    Args:
        steps: What `ddim_steps` and its like return.
        x: Noise, float32 `(n, height, width, channels)`.
        denoise: The model.
        total: Number of steps.
        progress: Called with (steps done, steps in all), or `None`.

    Returns:
        Pictures, float32 of the shape of `x`.
    """
    _, t = next(steps)
    for done in range(1, total + 1):
        try:
            x, t = steps.send((x, *denoise(x, t)))
        except StopIteration as end:
            x = end.value
        if progress is not None:
            progress(done, total)
    return x


def ddim_timesteps(
    timesteps: int, steps: int, version: str = "0.25.3"
) -> list[tuple[int, int]]:
    """Return the timesteps of DDIM, each with the next one, from noise to picture.

    The spacing is that of the version in exact arithmetic; the float32 of the original
    gives some timesteps one less for a few numbers of steps.

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
        ValueError: If `version` is invalid, or there are more steps than timesteps.
    """
    check_version(version)
    most = timesteps if version == "2" else timesteps - 1
    if steps != int(steps) or not 1 <= steps <= most:
        raise UserError(
            f"`steps` must be 1 to {most}, with {timesteps} timesteps and version "
            f"{version}. Received: steps={steps}"
        )
    steps = int(steps)
    if version == "2":
        times = [i * timesteps // steps - 1 for i in range(steps, -1, -1)]
    else:
        times = [i * timesteps // (steps + 1) for i in range(steps, -1, -1)]
    return list(zip(times[:-1], times[1:], strict=True))


def default_eta(version: str) -> float:
    """Return the η of DDIM of a version: 1 for "0.25.3", 0 for "2"."""
    return 0.0 if version == "2" else 1.0


def ddim(
    model: Callable[..., Any],
    x_T: np.ndarray,
    schedule: Schedule,
    *,
    objective: str,
    steps: int = 50,
    eta: float | None = None,
    version: str = "0.25.3",
    rng: Generators | None = None,
    clip: bool = True,
    self_condition: bool = False,
    start: int | None = None,
    progress: Progress = None,
) -> np.ndarray:
    """Sample by DDIM, one evaluation of the model per step.

    x' = √ᾱ' x0 + √(1 - ᾱ' - σ²) ε + σz, with σ² = η² (1 - ᾱ/ᾱ')(1 - ᾱ')/(1 - ᾱ).

    Version "2" begins at the last timestep, ends on the clean picture, and recomputes ε
    from the clipped x0. Version "0.25.3" begins at T·S/(S + 1), uses ᾱ of the previous
    timestep, and keeps the model's ε.

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
        objective: What the model predicts: "noise", "x0" or "v".
        steps: S. Defaults to 50.
        eta: η from 0, where `x_T` alone decides the picture, to 1. Defaults to 1 with
            version "0.25.3" and 0 with "2".
        version: "0.25.3" or "2". Defaults to "0.25.3".
        rng: List of n generators, one for each picture; may be `None` if η is 0.
        clip: Whether to clip each estimate of the picture to -1 to 1. Defaults to
            `True`.
        self_condition: See `ddpm`. Defaults to `False`.
        start: Timestep of the noise in `x_T`, with version "2" only. Defaults to T - 1.
        progress: Called with (steps done, steps in all). Defaults to `None`.

    Returns:
        Pictures, float32 of the shape of `x_T`, signed scale.

    Raises:
        ValueError: If an option is invalid, arrays do not fit, or the model's output is
            not finite.

    Reference:
        Song, Meng, Ermon, Denoising Diffusion Implicit Models, 2021, equations 12
        and 16.
    """
    check_version(version)
    if start is not None and version != "2":
        raise UserError(
            'only version "2" can begin at the noise of `x_T`: take '
            f'version="2". Received: start={start}, version={version!r}'
        )
    eta = default_eta(version) if eta is None else eta
    if not 0 <= eta <= 1 or (eta and rng is None):
        raise UserError(
            "`eta` must be 0 to 1, and 0 without generators. Received: "
            f"eta={eta}, rng={rng if rng is None else type(rng).__name__}"
        )
    x = check_pictures(x_T, rng)
    start = _check_start(schedule, start)
    pairs = ddim_timesteps(start + 1, steps, version)
    denoise = Denoiser(
        model, schedule, objective, clip=clip, self_condition=self_condition
    )
    steps_of = ddim_steps(denoise, pairs, eta=eta, version=version, rng=rng)
    return walked(steps_of, x, denoise, len(pairs), progress)


def ddim_steps(
    denoise: Denoiser,
    pairs: Sequence[tuple[int, int]],
    *,
    eta: float,
    version: str,
    rng: Generators | None,
) -> Steps:
    """Return the steps of `ddim` through pairs of timesteps; see `Steps`."""
    # ᾱ by t + 1: index 0 is the clean picture, whose ᾱ is 1.
    bar = np.concatenate([[1.0], denoise.schedule.alphas_cumprod])
    x = None
    for t, after in pairs:
        x, x0, noise = yield x, t
        if version == "2":
            noise = denoise.noise_of(x, t, x0) if denoise.clip else noise
            bar_t, bar_after = bar[t + 1], bar[after + 1]
        else:
            bar_t, bar_after = bar[t], bar[after]
        alpha = bar_t / bar_after
        sigma2 = posterior(alpha, 1 - alpha, bar_t, bar_after)[2] * eta**2
        x = float(np.sqrt(bar_after)) * x0
        if bar_after < 1:
            x += float(np.sqrt(max(1 - bar_after - sigma2, 0.0))) * noise
            if eta and rng is not None:
                x += float(np.sqrt(sigma2)) * draw_noise(rng, x.shape[1:])
    return x


def _check_start(schedule, start):
    if start is None:
        return schedule.timesteps - 1
    if start != int(start) or not 0 <= start < schedule.timesteps:
        raise UserError(
            f"`start` must be a timestep, 0 to {schedule.timesteps - 1}. Received: "
            f"{start}"
        )
    return int(start)


def dpm_timesteps(
    schedule: Schedule,
    steps: int,
    *,
    spacing: str = "time",
    lambda_min_clipped: float = -5.1,
) -> list[int]:
    """Return the timesteps of DPM-Solver++, from noise to picture.

    They begin at the last timestep whose λ = log(√ᾱ/√(1 - ᾱ)) is not below the limit:
    the cosine and sigmoid schedules end far below it, where a long step overshoots.
    "time" spaces the others evenly down to 0, without 0 itself. "logsnr" spaces their λ
    evenly down to timestep 0, with more of them for the fine detail, which "time"
    smooths away at a dozen steps.

    Example:
    ```python
    schedule = make_schedule("linear")
    dpm_timesteps(schedule, 4)                          # [999, 749, 500, 250]
    dpm_timesteps(schedule, 4, spacing="logsnr")        # [999, 603, 73, 0]
    ```

    Args:
        schedule: A `Schedule`.
        steps: Number of timesteps.
        spacing: "time" or "logsnr". Defaults to "time".
        lambda_min_clipped: Least λ; minus infinity for none. Defaults to -5.1.

    Returns:
        List of ints, all different.

    Raises:
        ValueError: If `spacing` is invalid, or there are more steps than timesteps.
    """
    if spacing not in SPACINGS:
        raise UserError(f"`spacing` must be one of {SPACINGS}. Received: {spacing!r}")
    lambdas = 0.5 * np.log(schedule.snr)
    last = last_timestep(schedule, lambda_min_clipped=lambda_min_clipped)
    if steps != int(steps) or not 1 <= steps <= last:
        raise UserError(
            f"`steps` must be 1 to {last}, the timesteps of {schedule!r} with λ of "
            f"{lambda_min_clipped} or more. Received: steps={steps}"
        )
    steps = int(steps)
    if spacing == "time":
        times = np.linspace(0, last, steps + 1).round().astype(int)
        return times[:0:-1].tolist()
    spaced = np.linspace(lambdas[last], lambdas[0], steps)
    nearest = np.abs(lambdas[:, None] - spaced).argmin(axis=0)
    # Each is at least one below the previous one, and none is below 0.
    falling = np.minimum.accumulate(nearest + np.arange(steps))
    return (np.maximum(falling, steps - 1) - np.arange(steps)).tolist()


def last_timestep(schedule: Schedule, *, lambda_min_clipped: float = -5.1) -> int:
    """Return the first timestep of DPM-Solver++, which is also its maximum of steps.

    Args:
        schedule: A `Schedule`.
        lambda_min_clipped: Least λ; minus infinity for none. Defaults to -5.1.

    Returns:
        int.
    """
    lambdas = 0.5 * np.log(schedule.snr)
    return int(np.count_nonzero(lambdas >= lambda_min_clipped)) - 1


def dpm_solver_pp(
    model: Callable[..., Any],
    x_T: np.ndarray,
    schedule: Schedule,
    *,
    objective: str,
    steps: int = 12,
    spacing: str = "time",
    lambda_min_clipped: float = -5.1,
    rng: Generators | None = None,
    clip: bool = True,
    self_condition: bool = False,
    progress: Progress = None,
) -> np.ndarray:
    """Sample by DPM-Solver++(2M), one evaluation of the model per step.

    The noise x_T alone decides the picture. The first step and the last, which ends on
    the clean picture, are of first order.

    Example:
    ```python
    x_T = draw_noise(picture_generators(3407, 4), (32, 32, 3))
    pictures = dpm_solver_pp(model, x_T, schedule, objective="noise", steps=12)
    ```

    Args:
        model: Callable `model(x_t, t)`, or `model(x_t, t, x_self_cond)` with
            `self_condition`; see `diffusion.ddpm`.
        x_T: Noise, float `(n, height, width, channels)`.
        schedule: A `Schedule`.
        objective: What the model predicts: "noise", "x0" or "v".
        steps: Number of evaluations. Defaults to 12.
        spacing: "time" or "logsnr"; see `dpm_timesteps`. Defaults to "time".
        lambda_min_clipped: Least λ that a timestep may have. Defaults to -5.1.
        rng: Not used; accepted so that all samplers are called alike.
        clip: Whether each estimate of the picture is held to -1 to 1, as the paper
            does for pictures (not for latents). Defaults to `True`.
        self_condition: Whether to give the model its last estimate of the picture,
            zeros at first. Defaults to `False`.
        progress: Called with (steps done, steps in all). Defaults to `None`.

    Returns:
        Pictures, float32 of the shape of `x_T`, signed scale.

    Raises:
        ValueError: If `objective` or `spacing` is invalid, there are more steps than
            timesteps, arrays do not fit, or the model's output is not finite.

    Reference:
        Lu et al., DPM-Solver++: Fast Solver for Guided Sampling of Diffusion
        Probabilistic Models, 2022, algorithm 2; DPM-Solver, 2022, appendix, for the
        spacing.
    """
    x = check_pictures(x_T, rng)
    times = dpm_timesteps(
        schedule, steps, spacing=spacing, lambda_min_clipped=lambda_min_clipped
    )
    denoise = Denoiser(
        model, schedule, objective, clip=clip, self_condition=self_condition
    )
    return walked(dpm_steps(schedule, times), x, denoise, len(times), progress)


def dpm_steps(schedule: Schedule, times: Sequence[int]) -> Steps:
    """Return the steps of `dpm_solver_pp` through timesteps; see `Steps`."""
    lambdas = 0.5 * np.log(schedule.snr)
    x = x0_before = h_before = None
    for step, t in enumerate(times, start=1):
        x, x0, _ = yield x, t
        if step == len(times):
            # λ of the clean picture is infinite, and the step of first order is x0.
            x = x0
        else:
            after = times[step]
            h = lambdas[after] - lambdas[t]
            data = x0
            if x0_before is not None:
                # Half of 1/r, with r the ratio of the step before to this one.
                extrapolation = float(h / h_before / 2)
                data = (1 + extrapolation) * x0 - extrapolation * x0_before
            sigma = schedule.sqrt_one_minus_alphas_cumprod
            x = float(sigma[after] / sigma[t]) * x
            x -= float(schedule.sqrt_alphas_cumprod[after] * np.expm1(-h)) * data
            x0_before, h_before = x0, h
    return x
