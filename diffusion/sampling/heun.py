"""The second-order sampler of EDM: Heun's method, with noise levels spaced by ρ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from diffusion.process import Denoiser, check_pictures
from diffusion.sampling.samplers import (
    Generators,
    Progress,
    Steps,
    last_timestep,
    walked,
)
from diffusion.schedules import Schedule
from illustkit.errors import UserError


def heun_timesteps(
    schedule: Schedule,
    steps: int,
    *,
    rho: float = 7.0,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
) -> list[int]:
    """Return the timesteps of `heun`, from noise to picture.

    Their σ = √((1 - ᾱ)/ᾱ) are those of the schedule that lie nearest to

        σ_i = (σ_max^(1/ρ) + i/(S - 1) (σ_min^(1/ρ) - σ_max^(1/ρ)))^ρ

    Example:
    ```python
    heun_timesteps(make_schedule("linear"), 4)     # [929, 694, 217, 0]
    ```

    Args:
        schedule: A `Schedule`.
        steps: S, the number of timesteps.
        rho: How much more of them there are at little noise. Defaults to 7.
        sigma_min: Least σ; the schedule's own where that is larger. Defaults to 0.002.
        sigma_max: Largest σ; the schedule's own where that is less. Defaults to 80.

    Returns:
        List of ints, all different.

    Raises:
        ValueError: If there are more steps than timesteps, or the numbers are no
            levels.

    Reference:
        Karras, Aittala, Aila, Laine, Elucidating the Design Space of Diffusion-Based
        Generative Models, 2022, equation 5.
    """
    sigmas = schedule.snr**-0.5
    if not 0 < sigma_min < sigma_max or not rho > 0:
        raise UserError(
            "`sigma_min` lies between 0 and `sigma_max`, and `rho` is positive. "
            f"Received: {sigma_min}, {sigma_max}, {rho}"
        )
    most = most_heun_steps(schedule, sigma_max=sigma_max)
    if steps != int(steps) or not 1 <= steps <= most:
        raise UserError(
            f"`steps` must be 1 to {most}, the timesteps of {schedule!r} with σ of "
            f"{sigma_max} or less. Received: steps={steps}"
        )
    steps = int(steps)
    first, last = (
        float(sigma) ** (1 / rho)
        for sigma in (sigmas[most - 1], max(sigma_min, sigmas[0]))
    )
    spaced = np.linspace(first, last, steps) ** rho
    nearest = np.abs(np.log(sigmas[:, None]) - np.log(spaced)).argmin(axis=0)
    # Each is at least one below the previous one, and none is below 0.
    falling = np.minimum.accumulate(nearest + np.arange(steps))
    return (np.maximum(falling, steps - 1) - np.arange(steps)).tolist()


def most_heun_steps(schedule: Schedule, *, sigma_max: float = 80.0) -> int:
    """Return the number of timesteps that `heun` may take; see `heun_timesteps`."""
    below = int(np.count_nonzero(schedule.snr**-0.5 <= sigma_max))
    return min(last_timestep(schedule) + 1, below)


def heun(
    model: Callable[..., Any],
    x_T: np.ndarray,
    schedule: Schedule,
    *,
    objective: str,
    steps: int = 18,
    rho: float = 7.0,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rng: Generators | None = None,
    clip: bool = True,
    self_condition: bool = False,
    progress: Progress = None,
) -> np.ndarray:
    """Sample by Heun's method, two evaluations of the model per step but the last.

    It follows dx/dσ = (x - x0)/σ of x = x_t/√ᾱ: a step along the slope, then the same
    step along the mean of the slopes at both ends. The noise x_T alone decides the
    picture. EDM's noise between the steps is not added.

    Example:
    ```python
    x_T = draw_noise(picture_generators(3407, 4), (32, 32, 3))
    pictures = heun(model, x_T, schedule, objective="noise", steps=18)
    ```

    Args:
        model: See `diffusion.ddpm`.
        x_T: Noise, float `(n, height, width, channels)`.
        schedule: A `Schedule`.
        objective: What the model predicts: "noise", "x0" or "v".
        steps: S; there are 2S - 1 evaluations. Defaults to 18.
        rho: See `heun_timesteps`. Defaults to 7.
        sigma_min: See `heun_timesteps`. Defaults to 0.002.
        sigma_max: See `heun_timesteps`. Defaults to 80.
        rng: Not used; accepted so that all samplers are called alike.
        clip: Whether to clip each estimate of the picture to -1 to 1. Defaults to
            `True`.
        self_condition: See `diffusion.ddpm`. Defaults to `False`.
        progress: Called with (evaluations done, evaluations in all). Defaults to
            `None`.

    Returns:
        Pictures, float32 of the shape of `x_T`, signed scale.

    Raises:
        ValueError: See `heun_timesteps`; or if `objective` is invalid, arrays do not
            fit, or the model's output is not finite.

    Reference:
        Karras et al., 2022, algorithm 1.
    """
    x = check_pictures(x_T, rng)
    times = heun_timesteps(
        schedule, steps, rho=rho, sigma_min=sigma_min, sigma_max=sigma_max
    )
    denoise = Denoiser(
        model, schedule, objective, clip=clip, self_condition=self_condition
    )
    taken = heun_steps(schedule, times)
    return walked(taken, x, denoise, 2 * len(times) - 1, progress)


def heun_steps(schedule: Schedule, times: Sequence[int]) -> Steps:
    """Return the steps of `heun`, one for each evaluation; see `Steps`."""
    signal = schedule.sqrt_alphas_cumprod
    sigmas = schedule.sqrt_one_minus_alphas_cumprod / signal
    x = None
    for t, after in zip(times[:-1], times[1:], strict=True):
        x, x0, _ = yield x, t
        x = x / float(signal[t])
        slope = (x - x0) / float(sigmas[t])
        step = float(sigmas[after] - sigmas[t])
        there, x0, _ = yield float(signal[after]) * (x + step * slope), after
        there = there / float(signal[after])
        slope = (slope + (there - x0) / float(sigmas[after])) / 2
        x = float(signal[after]) * (x + step * slope)
    # σ of the clean picture is 0, and a step of first order there is x0.
    _, x0, _ = yield x, times[-1]
    return x0
