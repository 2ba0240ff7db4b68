"""Make new icons by a GAN, for `diffusion.sample` and `sample_folder`."""

from __future__ import annotations

from typing import Any

import numpy as np
from tqdm import tqdm

from diffusion.gans.model import IconGAN
from diffusion.gans.stylegan2 import StyleGAN2
from illustkit.errors import UserError
from illustkit.options import check_number

GAN_BATCH = 32


def check_gan_options(
    model: IconGAN, truncation: float | None = None, **others: Any
) -> None:
    """Raise a `UserError` for options of sampling that a GAN does not take.

    Args:
        model: A `DCGAN` or a `StyleGAN2`.
        truncation: See `diffusion.sample`. Defaults to `None`.
        **others: Further options of `diffusion.sample`; all but its default sampler
            are refused.
    """
    for name, value in others.items():
        if value is not None and (name, value) != ("sampler", "ddim"):
            raise UserError(
                f"`{name}` is for diffusion models, and this is a GAN: leave it out. "
                f"Received: {value}"
            )
    if truncation is not None and not isinstance(model, StyleGAN2):
        raise UserError(
            "`truncation` is for a StyleGAN2, and this is a DCGAN: leave it out. "
            f"Received: {truncation}"
        )
    check_number("truncation", truncation, least=0)


def sample_gan(
    model: IconGAN,
    n: int,
    *,
    seed: int = 3407,
    first: int = 0,
    batch_size: int | None = None,
    truncation: float | None = None,
    wishes: np.ndarray | None = None,
    progress: bool = True,
) -> np.ndarray:
    """Make new icons in batches; picture `i` depends on `(seed, i)` alone.

    Args:
        model: A `DCGAN` or a `StyleGAN2`.
        n: See `diffusion.sample`.
        seed: See `diffusion.sample`. Defaults to 3407.
        first: See `diffusion.sample`. Defaults to 0.
        batch_size: See `diffusion.sample`. Defaults to 32.
        truncation: See `diffusion.sample`. Defaults to `None`.
        wishes: See `IconGAN.latents`. Defaults to `None`, none.
        progress: See `diffusion.sample`. Defaults to `True`.

    Returns:
        uint8 `(n, height, width, channels)`.
    """
    batch_size = batch_size or GAN_BATCH
    options: dict[str, Any] = {} if truncation is None else {"truncation": truncation}
    pictures = []
    with tqdm(total=n, unit="icon", disable=not progress) as bar:
        for start in range(0, n, batch_size):
            kept = min(batch_size, n - start)
            if wishes is not None:
                options["wishes"] = wishes[start : start + kept]
            pictures.append(
                model.sample(kept, seed=seed, first=first + start, **options)
            )
            bar.update(kept)
    return np.concatenate(pictures)
