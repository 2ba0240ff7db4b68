"""Pictures between two pictures, and pictures with a part made anew."""

import numpy as np

from diffusion.icons import as_channels, fit_icon
from diffusion.network.model import Diffuser, load_diffuser
from diffusion.process import Denoiser, add_noise, check_pictures
from diffusion.sampling.generate import size_of
from diffusion.sampling.samplers import (
    ddim,
    ddim_timesteps,
    ddpm,
    draw_noise,
    picture_generators,
)
from diffusion.schedules import posterior
from diffusion.watermark import OPACITY, WATERMARK, add_watermark, shown, write_marked
from illustkit.figures import sheet
from illustkit.images import (
    read_image,
    read_picture,
    signed_to_uint8,
    uint8_to_signed,
    write_image,
)


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
        bar_t, bar_next = bar[level + 1], bar[after + 1]
        alpha = bar_t / bar_next
        of_x0, of_x_t, variance = posterior(alpha, 1 - alpha, bar_t, bar_next)
        x = float(of_x0) * x0 + float(of_x_t) * x
        given = known
        if after >= 0:
            x += float(np.sqrt(variance)) * noise()
            scales = float(np.sqrt(bar_next)), float(np.sqrt(1 - bar_next))
            given = add_noise(known, noise(), *scales)
        x = np.where(mask, given, x)
        done += 1
        if progress is not None:
            progress(done, total)
    return x


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
    x_t = add_noise(
        (1 - weight) * first + weight * second,
        draw_noise(rng, first.shape[1:]),
        float(schedule.sqrt_alphas_cumprod[t]),
        float(schedule.sqrt_one_minus_alphas_cumprod[t]),
    )
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


def interpolate_pictures(model, first, second, *, n=7, t=None, steps=50, seed=3407):
    """Make a row of pictures from one picture to another.

    Example:
    ```python
    row = diffusion.interpolate_pictures("runs/icons", "a.png", "b.png", n=5)
    ```

    Args:
        model: A `Diffuser`, or a run (its folder, or the `Run`).
        first: A picture's path, or uint8 `(height, width, channels)`.
        second: Another.
        n: Pictures between the two. Defaults to 7.
        t: Timestep whose noise is added before they are mixed: the larger, the freer.
            Defaults to half of the model's.
        steps: Steps of DDIM from there. Defaults to 50.
        seed: Int. Defaults to 3407.

    Returns:
        uint8 `(n + 2, height, width, channels)`: from the one to the other.

    Reference:
        [Denoising diffusion probabilistic models](https://arxiv.org/abs/2006.11239),
        §4.3
    """
    model = model if isinstance(model, Diffuser) else load_diffuser(model)
    if n < 1:
        raise ValueError(f"`n` must be at least 1. Received: {n}")
    ends = [_fitted(model, picture) for picture in (first, second)]
    a, b = (np.repeat(uint8_to_signed(end)[None], n, axis=0) for end in ends)
    t = model.schedule.timesteps // 2 if t is None else t
    between = interpolate(
        model.denoiser(),
        a,
        b,
        model.schedule,
        objective=model.objective,
        weight=np.linspace(0, 1, n + 2)[1:-1],
        # One noise for the row: only the mixture changes along it.
        rng=[np.random.default_rng(seed) for _ in range(n)],
        t=t,
        steps=min(steps, t + 1),
        self_condition=model.unet.self_condition,
    )
    return np.concatenate([ends[:1], signed_to_uint8(between), ends[1:]])


def inpaint_picture(
    model, picture, mask, *, n=1, steps=50, jump_length=10, jump_n_sample=3, seed=3407
):
    """Make a part of a picture anew, to fit the rest.

    Example:
    ```python
    versions = diffusion.inpaint_picture("runs/icons", "a.png", "mask.png", n=4)
    ```

    Args:
        model: A `Diffuser`, or a run (its folder, or the `Run`).
        picture: Its path, or uint8 `(height, width, channels)`.
        mask: A picture's path, or uint8 `(height, width)`: what is at least half white
            is made anew, what is darker is kept.
        n: Versions. Defaults to 1.
        steps: Noise levels. Defaults to 50.
        jump_length: Levels that are climbed back at a time. Defaults to 10.
        jump_n_sample: Times that a stretch is walked; 10 in the paper, at three
            times the cost. Defaults to 3.
        seed: Int. Defaults to 3407.

    Returns:
        uint8 `(n, height, width, channels)`; what is kept is equal to the picture.

    Raises:
        ValueError: for a mask of another size than the picture, or all black.

    Reference:
        [RePaint](https://arxiv.org/abs/2201.09865)
    """
    model = model if isinstance(model, Diffuser) else load_diffuser(model)
    if n < 1:
        raise ValueError(f"`n` must be at least 1. Received: {n}")
    picture = _samples(model, picture)
    if not isinstance(mask, np.ndarray):
        mask = read_image(mask)[..., 0]
    if mask.dtype != np.uint8 or mask.shape != picture.shape[:2]:
        raise ValueError(
            "The mask is uint8 and of the picture's size, "
            f"{picture.shape[1]}x{picture.shape[0]}. "
            f"Received: {mask.dtype}, {'x'.join(map(str, mask.shape[::-1]))}"
        )
    picture, new = _fitted(model, picture), fit_icon(mask, size_of(model)) >= 128
    if not new.any():
        raise ValueError("The mask is black everywhere: paint white what is made anew.")
    made = repaint(
        model.denoiser(),
        np.repeat(uint8_to_signed(picture)[None], n, axis=0),
        ~new,
        model.schedule,
        objective=model.objective,
        rng=picture_generators(seed, n),
        steps=steps,
        jump_length=max(1, min(jump_length, steps - 1)),
        jump_n_sample=jump_n_sample,
        self_condition=model.unet.self_condition,
    )
    return np.where(new[..., None], signed_to_uint8(made), picture)


def _samples(model, picture):
    """A picture as the model takes it but for the size: `(height, width[, c])`."""
    if not isinstance(picture, np.ndarray):
        return as_channels(read_picture(picture), model.channels)
    shape = picture.shape if picture.ndim == 3 else (*picture.shape, 1)
    if picture.dtype != np.uint8 or shape[2:] != (model.channels,):
        raise ValueError(
            f"This model takes uint8 pictures of {model.channels} channels. "
            f"Received: {picture.dtype} {picture.shape}"
        )
    return picture[..., 0] if shape[2] == 1 and picture.ndim == 3 else picture


def _fitted(model, picture):
    fitted = fit_icon(_samples(model, picture), size_of(model))
    return fitted.reshape(*fitted.shape[:2], model.channels)


def write_row(path, pictures, *, watermark=WATERMARK, opacity=OPACITY, given=()):
    """Write pictures side by side, watermarked.

    Args:
        path: File to write.
        pictures: uint8 `(n, height, width, channels)`.
        watermark: Text, or `None` for neither mark nor note. Defaults to
            "AI-generated".
        opacity: Of the watermark. Defaults to 0.35.
        given: Numbers of pictures that were not generated, and get no mark, such as
            the two ends of an interpolation. Defaults to none.

    Returns:
        The path written.
    """
    pictures = [shown(picture) for picture in pictures]
    if watermark is None:
        return write_image(path, sheet(pictures, columns=len(pictures)))
    given = {number % len(pictures) for number in given}
    for i in set(range(len(pictures))) - given:
        pictures[i] = add_watermark(pictures[i], watermark, opacity=opacity)
    return write_marked(path, sheet(pictures, columns=len(pictures)), watermark)
