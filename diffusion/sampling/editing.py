"""Edit pictures: interpolate between two, and inpaint a part of one (RePaint)."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffusion.icons import as_channels, fit_icon
from diffusion.network.model import Diffuser, load_diffuser
from diffusion.process import Denoiser, add_noise, check_pictures
from diffusion.sampling.generate import STEPS, sample_size
from diffusion.sampling.samplers import (
    Generators,
    Progress,
    ddim,
    ddim_timesteps,
    ddpm,
    draw_noise,
    picture_generators,
)
from diffusion.schedules import Schedule, posterior
from diffusion.watermark import (
    OPACITY,
    WATERMARK,
    add_watermark,
    check_output,
    shown,
    write_marked,
)
from illustkit.errors import UserError
from illustkit.figures import sheet
from illustkit.images import (
    read_image,
    read_picture,
    signed_to_uint8,
    uint8_to_signed,
    write_image,
)
from illustkit.options import check_choice, check_number, check_options
from illustkit.training.runs import Run


def interpolate_pictures(
    model: Diffuser | Run | str | os.PathLike,
    first: np.ndarray | str | os.PathLike,
    second: np.ndarray | str | os.PathLike,
    *,
    n: int = 7,
    t: int | None = None,
    steps: int | None = None,
    seed: int = 3407,
    noises: int = 1,
) -> np.ndarray:
    """Make a row of pictures from one picture to another.

    Example:
    ```python
    row = diffusion.interpolate_pictures("runs/icons", "a.png", "b.png", n=5)
    ```

    Args:
        model: A `Diffuser`, or a run (its folder, or the `Run`).
        first: A picture's path, or uint8 `(height, width, channels)`.
        second: Another picture.
        n: Pictures between the two. Defaults to 7.
        t: Timestep of the noise that is added: a larger one changes more. Defaults to
            half of the model's.
        steps: Steps of DDIM from there; t + 1 where that is fewer. Defaults to 50.
        seed: int. Defaults to 3407.
        noises: 1 or 2; see `interpolate`. Defaults to 1.

    Returns:
        uint8 `(n + 2, height, width, channels)`, from `first` to `second`.

    Raises:
        UserError: If a picture does not fit the model, or an option is out of range.

    Reference:
        [Denoising diffusion probabilistic models](https://arxiv.org/abs/2006.11239),
        §4.4; see `interpolate` for what differs.
    """
    check_options(seed=seed)
    check_number("n", n, whole=True, least=1)
    model = _editing(model)
    t = model.schedule.timesteps // 2 if t is None else t
    check_number("t", t, whole=True, least=0, most=model.schedule.timesteps - 1)
    check_number("steps", steps, whole=True, least=1)
    ends = [_fitted(model, picture) for picture in (first, second)]
    a, b = (np.repeat(uint8_to_signed(end)[None], n, axis=0) for end in ends)
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
        steps=min(STEPS if steps is None else steps, t + 1),
        noises=noises,
        self_condition=model.unet.self_condition,
    )
    return np.concatenate([ends[:1], signed_to_uint8(between), ends[1:]])


def interpolate(
    model: Callable[..., Any],
    first: np.ndarray,
    second: np.ndarray,
    schedule: Schedule,
    *,
    objective: str,
    rng: Generators,
    t: int | None = None,
    weight: float | np.ndarray = 0.5,
    noises: int = 1,
    steps: int | None = None,
    eta: float = 0.0,
    clip: bool = True,
    self_condition: bool = False,
    progress: Progress = None,
) -> np.ndarray:
    """Make pictures between pairs of pictures: add noise, mix, and denoise.

    As in the paper, the noise stays the same for every weight of a row: give each of
    its pairs a generator of the same seed. Unlike there, where each picture is noised
    by itself, both pictures of a pair share one noise, so that the mix has the variance
    of timestep t: of two independent noises it would have (1 - λ)² + λ² of it, half in
    the middle of the row. Passing a picture as both `first` and `second` makes
    variations of it, which differ more for a larger t.

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
        objective: What the model predicts: "noise", "x0" or "v".
        rng: List of n generators, one for each pair.
        t: Timestep whose noise is added. Defaults to half of T.
        weight: λ from 0, `first`, to 1, `second`: a number or `(n,)`. Defaults to 0.5.
        noises: 1 for one noise that both pictures share; 2 for one of each picture's
            own, as in the paper, which makes the middle of a row smoother than
            pictures are. Defaults to 1.
        steps: Number of DDIM steps from t. Defaults to `None`, the ancestral sampler
            with its t + 1 steps.
        eta: η of these DDIM steps. Defaults to 0.
        clip: Whether to clip each estimate of the picture to -1 to 1. Defaults to
            `True`.
        self_condition: See `diffusion.ddpm`. Defaults to `False`.
        progress: Called with (steps done, steps in all). Defaults to `None`.

    Returns:
        Pictures, float32 of the shape of `first`, signed scale.

    Raises:
        ValueError: If an option is out of range, or arrays do not fit.

    Reference:
        Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models, 2020, section 4.4:
        "We fix the noise for different values of λ".
    """
    first = check_pictures(first, rng, name="first")
    second = check_pictures(second, name="second")
    weight = np.asarray(weight, "float32")
    t = schedule.timesteps // 2 if t is None else t
    if second.shape != first.shape or weight.shape not in ((), (len(first),)):
        raise UserError(
            "`second` must have the shape of `first`, and `weight` be one number or "
            f"{len(first)}. Received: {first.shape}, {second.shape}, {weight.shape}"
        )
    if t != int(t) or not 0 <= t < schedule.timesteps:
        raise UserError(
            f"`t` must be a timestep, 0 to {schedule.timesteps - 1}. Received: {t}"
        )
    if not np.all((weight >= 0) & (weight <= 1)):
        raise UserError(f"`weight` must be 0 to 1. Received: {weight}")
    t = int(t)
    weight = weight.reshape(-1, 1, 1, 1)
    check_choice("noises", noises, (1, 2))
    # Mixing leaves noise that both share as it is, so it can be added afterwards.
    noise = draw_noise(rng, first.shape[1:])
    if noises == 2:
        noise = (1 - weight) * noise + weight * draw_noise(rng, first.shape[1:])
    x_t = add_noise(
        (1 - weight) * first + weight * second,
        noise,
        float(schedule.sqrt_alphas_cumprod[t]),
        float(schedule.sqrt_one_minus_alphas_cumprod[t]),
    )
    options: dict[str, Any] = {
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


def inpaint_picture(
    model: Diffuser | Run | str | os.PathLike,
    picture: np.ndarray | str | os.PathLike,
    mask: np.ndarray | str | os.PathLike,
    *,
    n: int = 1,
    steps: int | None = None,
    jump_length: int = 10,
    jump_n_sample: int = 3,
    seed: int = 3407,
) -> np.ndarray:
    """Fill in a part of a picture so that it fits the rest.

    Example:
    ```python
    versions = diffusion.inpaint_picture("runs/icons", "a.png", "mask.png", n=4)
    ```

    Args:
        model: A `Diffuser`, or a run (its folder, or the `Run`).
        picture: Its path, or uint8 `(height, width, channels)`.
        mask: A picture's path, or `(height, width)`, uint8 or bool: 255 or `True` is
            filled in, 0 is kept; grey is rounded.
        n: Number of versions. Defaults to 1.
        steps: Noise levels. Defaults to 50, or to the model's timesteps where they
            are fewer.
        jump_length: See `repaint_path`. Defaults to 10.
        jump_n_sample: See `repaint_path`; 10 in the paper, at three times the cost.
            Defaults to 3.
        seed: int. Defaults to 3407.

    Returns:
        uint8 `(n, height, width, channels)`, equal to the picture where it is kept.

    Raises:
        UserError: If the mask has another size than the picture or is all black, or an
            option is out of range.

    Reference:
        [RePaint](https://arxiv.org/abs/2201.09865)
    """
    check_options(seed=seed)
    check_number("n", n, whole=True, least=1)
    for name, value in ("jump_length", jump_length), ("jump_n_sample", jump_n_sample):
        check_number(name, value, whole=True, least=1)
    model = _editing(model)
    most = model.schedule.timesteps
    steps = min(STEPS, most) if steps is None else steps
    check_number("steps", steps, whole=True, least=1, most=most)
    whole = _channels_of(model, picture)
    marks = mask if isinstance(mask, np.ndarray) else read_image(mask)[..., 0]
    marks = marks * np.uint8(255) if marks.dtype == bool else marks
    if marks.dtype != np.uint8 or marks.shape != whole.shape[:2]:
        raise UserError(
            "The mask is uint8 and of the picture's size, "
            f"{whole.shape[1]}x{whole.shape[0]}. "
            f"Received: {marks.dtype}, {'x'.join(map(str, marks.shape[::-1]))}"
        )
    known = _fitted(model, whole)
    hole = fit_icon(marks, sample_size(model)) >= 128
    if not hole.any():
        which = "The mask" if isinstance(mask, np.ndarray) else os.fspath(mask)
        raise UserError(
            f"{which} is black everywhere (its largest value is {marks.max()}): paint "
            "white, 255, what to fill in."
        )
    made = repaint(
        model.denoiser(),
        np.repeat(uint8_to_signed(known)[None], n, axis=0),
        ~hole,
        model.schedule,
        objective=model.objective,
        rng=picture_generators(seed, n),
        steps=steps,
        jump_length=max(1, min(jump_length, steps - 1)),
        jump_n_sample=jump_n_sample,
        self_condition=model.unet.self_condition,
    )
    return np.where(hole[..., None], signed_to_uint8(made), known)


def repaint_path(
    steps: int, jump_length: int = 10, jump_n_sample: int = 10
) -> list[int]:
    """Return the noise levels that RePaint walks through, from steps - 1 down to -1.

    Level -1 is the clean picture. At each multiple of `jump_length` the path climbs
    back by that length, until it has walked the stretch `jump_n_sample` times.

    Example:
    ```python
    repaint_path(4, 2, 2)                  # [3, 2, 1, 0, 1, 2, 1, 0, -1]
    ```

    Args:
        steps: Number of levels.
        jump_length: j, number of levels in a climb. Defaults to 10.
        jump_n_sample: r, number of times a stretch is walked. Defaults to 10.

    Returns:
        List of ints; each step down is one evaluation of the model.

    Raises:
        ValueError: If a number is not whole and above 0.
    """
    for name, value in (
        ("steps", steps),
        ("jump_length", jump_length),
        ("jump_n_sample", jump_n_sample),
    ):
        if value != int(value) or value < 1:
            raise UserError(
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
    model: Callable[..., Any],
    known: np.ndarray,
    mask: np.ndarray,
    schedule: Schedule,
    *,
    objective: str,
    rng: Generators,
    steps: int = 250,
    jump_length: int = 10,
    jump_n_sample: int = 10,
    clip: bool = True,
    self_condition: bool = False,
    progress: Progress = None,
) -> np.ndarray:
    """Fill in the unknown part of pictures, and keep the known part.

    At each noise level the known part is the given picture with that level's noise, and
    the unknown part is a step of the ancestral sampler; climbing back and denoising
    again harmonises the two.

    Example:
    ```python
    mask = np.ones((128, 128, 1), bool)
    mask[40:90, 40:90] = False                          # to fill in
    rng = picture_generators(3407, len(known))
    filled = repaint(model, known, mask, schedule, objective="noise", rng=rng)
    ```

    Args:
        model: See `diffusion.ddpm`.
        known: Pictures, float `(n, height, width, channels)`, signed scale; the
            unknown part may hold any finite numbers.
        mask: bool, `True` where the picture is known (the paper's mask, the reverse of
            `inpaint_picture`'s); `(height, width)`,
            `(height, width, 1)`, `(n, height, width)` or `(n, height, width, 1)`.
        schedule: A `Schedule`.
        objective: What the model predicts: "noise", "x0" or "v".
        rng: List of n generators, one for each picture.
        steps: Number of noise levels, evenly from the T timesteps. Defaults to 250.
        jump_length: j of `repaint_path`. Defaults to 10.
        jump_n_sample: r of `repaint_path`, 1 for no climbs. Defaults to 10; the paper's
            three numbers take 2,410 evaluations.
        clip: Whether to clip each estimate of the picture to -1 to 1. Defaults to
            `True`.
        self_condition: See `diffusion.ddpm`. Defaults to `False`.
        progress: Called with (evaluations done, evaluations in all). Defaults to
            `None`.

    Returns:
        Pictures, float32 of the shape of `known`, equal to it where the mask is `True`.

    Raises:
        ValueError: If an option is out of range, or arrays do not fit.

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


def _editing(model: Diffuser | Run | str | os.PathLike) -> Diffuser:
    """Return the model to edit with, loaded; refuse one of a few steps."""
    model = model if isinstance(model, Diffuser) else load_diffuser(model)
    if model.distilled:
        raise UserError(
            "A distilled model knows the timesteps of its few steps alone: edit "
            "pictures with its teacher."
        )
    return model


def _check_mask(mask, shape):
    mask = np.asarray(mask)
    n, height, width, _ = shape
    flat = (height, width), (n, height, width)
    deep = (height, width, 1), (n, height, width, 1)
    if mask.dtype != bool or mask.shape not in flat + deep:
        raise UserError(
            "`mask` must be bool, True where the picture is known (of a mask picture: "
            f"`mask == 255`), one for all or one for each of the {n} pictures of "
            f"{width}x{height}. Received: {mask.dtype} {mask.shape}"
        )
    return mask if mask.shape in deep else mask[..., None]


def _fitted(model, picture):
    """Return a picture with the model's channels and size."""
    fitted = fit_icon(_channels_of(model, picture), sample_size(model))
    return fitted.reshape(*fitted.shape[:2], model.channels)


def _channels_of(model, picture):
    """Return a picture with the model's channels, `(height, width[, channels])`."""
    if not isinstance(picture, np.ndarray):
        return as_channels(read_picture(picture), model.channels)
    shape = picture.shape if picture.ndim == 3 else (*picture.shape, 1)
    if picture.dtype != np.uint8 or shape[2:] != (model.channels,):
        raise UserError(
            f"This model takes uint8 pictures of {model.channels} channels. "
            f"Received: {picture.dtype} {picture.shape}"
        )
    return picture[..., 0] if shape[2] == 1 and picture.ndim == 3 else picture


def check_row(
    path: str | os.PathLike,
    model: Diffuser,
    n: int,
    *,
    watermark: str | None = WATERMARK,
    opacity: float = OPACITY,
    font: str | os.PathLike | None = None,
) -> None:
    """Raise if `write_row` cannot write a model's pictures; before they are made.

    Args:
        path: File to write.
        model: The `Diffuser`.
        n: Number of pictures in the row.
        watermark: See `write_row`.
        opacity: See `write_row`.
        font: See `write_row`.

    Raises:
        UserError: If the file or the watermark cannot be written.
    """
    width, height = sample_size(model)
    # Two pixels around each, as `sheet` lays them.
    check_output(path, (n * (width + 2) + 2, height + 4), note=watermark is not None)
    if watermark is not None:
        empty = np.zeros((height, width, 3), np.uint8)
        add_watermark(empty, watermark, opacity=opacity, font=font)


def write_row(
    path: str | os.PathLike,
    pictures: Sequence[np.ndarray] | np.ndarray,
    *,
    watermark: str | None = WATERMARK,
    opacity: float = OPACITY,
    font: str | os.PathLike | None = None,
    given: Collection[int] = (),
) -> Path:
    """Write pictures side by side, with a watermark.

    Args:
        path: File to write.
        pictures: uint8 `(n, height, width, channels)`.
        watermark: Text, or `None` for neither mark nor note. Defaults to
            "AI-generated".
        opacity: Opacity of the watermark. Defaults to 0.35.
        font: See `diffusion.add_watermark`. Defaults to one that has the letters.
        given: Numbers of the pictures that were not generated and get no mark, such as
            the two ends of an interpolation. Defaults to none.

    Returns:
        The path written.
    """
    row = [shown(picture) for picture in pictures]
    path = check_output(path, note=watermark is not None)
    if watermark is None:
        return write_image(path, sheet(row, columns=len(row)))
    for i in set(range(len(row))) - {number % len(row) for number in given}:
        row[i] = add_watermark(row[i], watermark, opacity=opacity, font=font)
    return write_marked(path, sheet(row, columns=len(row)), watermark)
