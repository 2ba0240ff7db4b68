"""Pictures between two pictures."""

import numpy as np

from diffusion._denoising import check_pictures
from diffusion.generators import draw_noise
from diffusion.samplers import ddim, ddpm


def interpolate(
    model,
    first,
    second,
    schedule,
    *,
    objective,
    rng,
    t=None,
    weight=0.5,
    steps=None,
    eta=0.0,
    clip=True,
    self_condition=False,
    progress=None,
):
    """Make pictures between pairs of pictures: both noised, mixed, and denoised.

    Both of a pair are given the same noise, as in the paper, so that the mix has the
    variance that the model knows from timestep t. A `first` that is also the `second`
    gives variations of one picture, the freer the larger t.

    Example:
    ```python
    weight = np.linspace(0, 1, 5)
    rng = [np.random.default_rng(3407) for _ in weight]      # one noise for the row
    row = interpolate(
        model, np.repeat(a, 5, axis=0), np.repeat(b, 5, axis=0), schedule,
        objective="noise", weight=weight, rng=rng,
    )
    ```

    Args:
        model: See `diffusion.ddpm`.
        first: Pictures, float `(n, height, width, channels)`, signed scale.
        second: Pictures of the shape of `first`.
        schedule: A `Schedule`.
        objective: What the model gives: "noise", "x0" or "v".
        rng: List of n generators, one for each pair.
        t: Timestep whose noise is added. Defaults to half of T.
        weight: λ from 0, `first`, to 1, `second`: a number or `(n,)`. Defaults to 0.5.
        steps: Number of DDIM steps from t. Defaults to `None`, the ancestral sampler
            with its t + 1 steps.
        eta: η of these DDIM steps. Defaults to 0.
        clip: Whether each estimate of the picture is held to -1 to 1. Defaults to
            `True`.
        self_condition: See `diffusion.ddpm`. Defaults to `False`.
        progress: Callable of (steps done, steps in all), or `None`.

    Returns:
        Pictures, float32 of the shape of `first`, signed scale.

    Raises:
        ValueError: for an option out of its range, or arrays that do not fit.

    Reference:
        Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models, 2020, section 4.4
        and appendix D.
    """
    first = check_pictures(first, rng, name="first")
    second = check_pictures(second, name="second")
    weight = np.asarray(weight, "float32")
    t = schedule.timesteps // 2 if t is None else t
    if second.shape != first.shape or weight.shape not in ((), (len(first),)):
        raise ValueError(
            "`second` must have the shape of `first`, and `weight` be one number or "
            f"{len(first)}. Received: {first.shape}, {second.shape}, {weight.shape}"
        )
    if t != int(t) or not 0 <= t < schedule.timesteps:
        raise ValueError(
            f"`t` must be a timestep, 0 to {schedule.timesteps - 1}. Received: {t}"
        )
    if not np.all((weight >= 0) & (weight <= 1)):
        raise ValueError(f"`weight` must be 0 to 1. Received: {weight}")
    t = int(t)
    weight = weight.reshape(-1, 1, 1, 1)
    # Noise that both share passes through the mix, so it can be added after.
    x_t = float(schedule.sqrt_alphas_cumprod[t]) * (
        (1 - weight) * first + weight * second
    )
    noise = draw_noise(rng, first.shape[1:])
    x_t += float(schedule.sqrt_one_minus_alphas_cumprod[t]) * noise
    options = {
        "objective": objective,
        "rng": rng,
        "clip": clip,
        "self_condition": self_condition,
        "start": t,
        "progress": progress,
    }
    if steps is None:
        return ddpm(model, x_t, schedule, **options)
    return ddim(model, x_t, schedule, steps=steps, eta=eta, version="2", **options)
