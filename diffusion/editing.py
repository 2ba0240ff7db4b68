"""Pictures between two pictures, and pictures with a part made anew."""

import numpy as np

from diffusion.diffuser import Diffuser, load_diffuser
from diffusion.figures import shown
from diffusion.generators import picture_generators
from diffusion.icons import as_channels, fit_icon
from diffusion.interpolation import interpolate
from diffusion.repaint import repaint
from diffusion.sampling import size_of
from diffusion.watermark import OPACITY, WATERMARK, add_watermark, write_marked
from illustkit.figures import sheet
from illustkit.images import (
    read_image,
    read_picture,
    signed_to_uint8,
    uint8_to_signed,
    write_image,
)


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
