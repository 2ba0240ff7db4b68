"""RePaint: a model that knows nothing of masks fills in a part of a picture."""

import numpy as np

from diffusion._denoising import Denoiser, check_pictures
from diffusion.generators import draw_noise
from diffusion.samplers import ddim_timesteps


def repaint_path(steps, jump_length=10, jump_n_sample=10):
    """The noise levels that RePaint walks through, from steps - 1 down to -1.

    Level -1 is the clean picture. Whenever a multiple of `jump_length` is reached, the
    path climbs back by that length, until it was walked `jump_n_sample` times.

    Example:
    ```python
    repaint_path(4, 2, 2)                  # [3, 2, 1, 0, 1, 2, 1, 0, -1]
    ```

    Args:
        steps: Number of levels.
        jump_length: j, number of levels of one climb. Defaults to 10.
        jump_n_sample: r, number of times a stretch is walked. Defaults to 10.

    Returns:
        List of ints; each falling step is one evaluation of the model.

    Raises:
        ValueError: for a number that is not a whole one above 0.
    """
    for name, value in (
        ("steps", steps),
        ("jump_length", jump_length),
        ("jump_n_sample", jump_n_sample),
    ):
        if value != int(value) or value < 1:
            raise ValueError(
                f"`{name}` must be a whole number above 0. Received: {value}"
            )
    climbs = {i: jump_n_sample - 1 for i in range(0, steps - jump_length, jump_length)}
    level, path = steps - 1, [steps - 1]
    while level >= 0:
        if climbs.get(level, 0):
            climbs[level] -= 1
            path += range(level + 1, level + jump_length + 1)
            level += jump_length
        level -= 1
        path.append(level)
    return path


def repaint(
    model,
    known,
    mask,
    schedule,
    *,
    objective,
    rng,
    steps=250,
    jump_length=10,
    jump_n_sample=10,
    clip=True,
    self_condition=False,
    progress=None,
):
    """Fill in the unknown part of pictures, keeping the known part as it is.

    At each noise level the known part is the given picture with that level's noise, the
    unknown part a step of the ancestral sampler; climbing back and denoising again
    brings both into harmony.

    Example:
    ```python
    mask = np.ones((128, 128, 1), bool)
    mask[40:90, 40:90] = False                          # to be filled in
    rng = picture_generators(3407, len(known))
    filled = repaint(model, known, mask, schedule, objective="noise", rng=rng)
    ```

    Args:
        model: See `diffusion.ddpm`.
        known: Pictures, float `(n, height, width, channels)`, signed scale; the
            unknown part may hold any finite numbers.
        mask: bool, `True` where the picture is known; `(height, width)`,
            `(height, width, 1)`, `(n, height, width)` or `(n, height, width, 1)`.
        schedule: A `Schedule`.
        objective: What the model gives: "noise", "x0" or "v".
        rng: List of n generators, one for each picture.
        steps: Number of noise levels, evenly from the T timesteps. Defaults to 250.
        jump_length: j of `repaint_path`. Defaults to 10.
        jump_n_sample: r of `repaint_path`, 1 for no climbs. Defaults to 10; the paper's
            three numbers take 2,410 evaluations.
        clip: Whether each estimate of the picture is held to -1 to 1. Defaults to
            `True`.
        self_condition: See `diffusion.ddpm`. Defaults to `False`.
        progress: Callable of (evaluations done, evaluations in all), or `None`.

    Returns:
        Pictures, float32 of the shape of `known`, equal to it where the mask is `True`.

    Raises:
        ValueError: for an option out of its range, or arrays that do not fit.

    Reference:
        Lugmayr et al., RePaint: Inpainting using Denoising Diffusion Probabilistic
        Models, 2022, algorithm 1 and appendix B.
    """
    known = check_pictures(known, rng, name="known")
    mask = _check_mask(mask, known.shape)
    path = repaint_path(steps, jump_length, jump_n_sample)
    denoise = Denoiser(
        model, schedule, objective, clip=clip, self_condition=self_condition
    )
    pairs = ddim_timesteps(schedule.timesteps, steps, "2")[::-1]
    times = [t for t, _ in pairs]
    # Of level i at index i + 1: ᾱ, 1 for the clean picture.
    bar = np.concatenate([[1.0], schedule.alphas_cumprod[times]])
    total = sum(b < a for a, b in zip(path, path[1:], strict=False))
    done = 0

    def noise():
        return draw_noise(rng, known.shape[1:])

    x = noise()
    for level, after in zip(path, path[1:], strict=False):
        if after > level:
            # q(x_after | x_level), by the ratio of their ᾱ.
            keep = bar[after + 1] / bar[level + 1]
            x = float(np.sqrt(keep)) * x + float(np.sqrt(1 - keep)) * noise()
            continue
        x0, _ = denoise(x, times[level])
        x = _posterior_mean(x0, x, bar[level + 1], bar[after + 1])
        given = known
        if after >= 0:
            left = 1 - bar[after + 1]
            ratio = bar[level + 1] / bar[after + 1]
            variance = (1 - ratio) * left / (1 - bar[level + 1])
            x += float(np.sqrt(variance)) * noise()
            given = float(np.sqrt(bar[after + 1])) * known
            given = given + float(np.sqrt(left)) * noise()
        x = np.where(mask, given, x)
        done += 1
        if progress is not None:
            progress(done, total)
    return x


def _posterior_mean(x0, x, bar, bar_after):
    """Mean of q(x_after | x, x0) between any two noise levels."""
    ratio = bar / bar_after
    of_x0 = np.sqrt(bar_after) * (1 - ratio) / (1 - bar)
    of_x = np.sqrt(ratio) * (1 - bar_after) / (1 - bar)
    return float(of_x0) * x0 + float(of_x) * x


def _check_mask(mask, shape):
    mask = np.asarray(mask)
    n, height, width, _ = shape
    flat = (height, width), (n, height, width)
    deep = (height, width, 1), (n, height, width, 1)
    if mask.dtype != bool or mask.shape not in flat + deep:
        raise ValueError(
            "`mask` must be bool, True where the picture is known (of a mask picture: "
            f"`mask == 255`), one for all or one for each of the {n} pictures of "
            f"{width}x{height}. Received: {mask.dtype} {mask.shape}"
        )
    return mask if mask.shape in deep else mask[..., None]
