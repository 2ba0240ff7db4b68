"""DPM-Solver++(2M): pictures in a dozen evaluations of the model."""

import numpy as np

from diffusion._denoising import Denoiser, check_pictures

SPACINGS = "time", "logsnr"


def dpm_timesteps(schedule, steps, *, spacing="time", lambda_min_clipped=-5.1):
    """Timesteps of DPM-Solver++, from noise to picture.

    The first is the last timestep whose λ = log(√ᾱ/√(1 - ᾱ)) is not below the limit:
    the cosine and sigmoid schedules end far below it, where a step is so long that it
    overshoots. "time" spaces the others evenly down to 0, without 0 itself. "logsnr"
    spaces their λ evenly down to timestep 0, which leaves more of them for the fine
    detail: with a dozen steps "time" smooths it away.

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
        ValueError: for an unknown spacing, or fewer timesteps than steps.
    """
    if spacing not in SPACINGS:
        raise ValueError(f"`spacing` must be one of {SPACINGS}. Received: {spacing!r}")
    lambdas = 0.5 * np.log(schedule.snr)
    last = last_timestep(schedule, lambda_min_clipped=lambda_min_clipped)
    if steps != int(steps) or not 1 <= steps <= last:
        raise ValueError(
            f"`steps` must be 1 to {last}, the timesteps of {schedule!r} with λ of "
            f"{lambda_min_clipped} or more. Received: steps={steps}"
        )
    steps = int(steps)
    if spacing == "time":
        times = np.linspace(0, last, steps + 1).round().astype(int)
        return times[:0:-1].tolist()
    wanted = np.linspace(lambdas[last], lambdas[0], steps)
    nearest = np.abs(lambdas[:, None] - wanted).argmin(axis=0)
    # Each at least one below the one before, and none below 0.
    falling = np.minimum.accumulate(nearest + np.arange(steps))
    return (np.maximum(falling, steps - 1) - np.arange(steps)).tolist()


def last_timestep(schedule, *, lambda_min_clipped=-5.1):
    """The timestep that DPM-Solver++ begins at, and the most steps it can take.

    Args:
        schedule: A `Schedule`.
        lambda_min_clipped: Least λ; minus infinity for none. Defaults to -5.1.

    Returns:
        int.
    """
    lambdas = 0.5 * np.log(schedule.snr)
    return int(np.count_nonzero(lambdas >= lambda_min_clipped)) - 1


def dpm_solver_pp(
    model,
    x_T,
    schedule,
    *,
    objective,
    steps=12,
    spacing="time",
    lambda_min_clipped=-5.1,
    rng=None,
    clip=True,
    self_condition=False,
    progress=None,
):
    """Sample by DPM-Solver++(2M), with as many evaluations of the model as steps.

    The noise x_T alone decides the picture. The first and the last step, which ends on
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
        objective: What the model gives: "noise", "x0" or "v".
        steps: Number of evaluations. Defaults to 12.
        spacing: "time" or "logsnr"; see `dpm_timesteps`. Defaults to "time".
        lambda_min_clipped: Least λ that a timestep may have. Defaults to -5.1.
        rng: Not used: nothing is drawn. Taken so that all samplers are called alike.
        clip: Whether each estimate of the picture is held to -1 to 1, as the paper
            does for pictures (not for latents). Defaults to `True`.
        self_condition: Whether the model is given its last estimate of the picture,
            zeros at first. Defaults to `False`.
        progress: Callable of (steps done, steps in all), or `None`.

    Returns:
        Pictures, float32 of the shape of `x_T`, signed scale.

    Raises:
        ValueError: for an unknown objective, more steps than timesteps, arrays that do
            not fit, or a model whose output is not finite.

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
    lambdas = 0.5 * np.log(schedule.snr)
    x0_before = h_before = None
    for step, t in enumerate(times, start=1):
        x0, _ = denoise(x, t)
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
        if progress is not None:
            progress(step, len(times))
    return x
