"""Open the runs of a training: GANs, or diffusion models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from diffusion.gans.dcgan import DCGAN
from diffusion.gans.model import IconGAN
from diffusion.gans.stylegan2 import StyleGAN2
from diffusion.network.graph import shipped_name
from diffusion.network.model import AVERAGE, Diffuser, load_diffuser
from illustkit.errors import UserError, reading
from illustkit.options import check_choice, check_options
from illustkit.runtime import precision as precision_scope
from illustkit.training.folder import SETTINGS
from illustkit.training.runs import Run, RunKind

GAN = RunKind("GAN", frozenset({"model", "network"}))
MODELS: dict[str, type[IconGAN]] = {"dcgan": DCGAN, "stylegan2": StyleGAN2}


def build_gan(settings: Mapping[str, Any]) -> IconGAN:
    """Build the untrained GAN that a run's settings describe.

    Args:
        settings: Dict, as `Run.settings`: "model", "image_size", "channels",
            "augment", "network" with more arguments of `diffusion.DCGAN` or
            `StyleGAN2`, and "attributes" of a conditional one.

    Returns:
        A `DCGAN` or a `StyleGAN2`.

    Raises:
        UserError: If a model or an argument is unknown, or its value is invalid.
    """
    check_choice("model", settings["model"], tuple(MODELS))
    network = {**settings["network"]}
    if settings.get("attributes"):
        network["attributes"] = settings["attributes"]
    try:
        return MODELS[settings["model"]](
            image_size=settings["image_size"],
            channels=settings["channels"],
            augment=settings["augment"],
            **network,
        )
    except (TypeError, ValueError) as error:  # as Keras names unknown arguments
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"`network` holds what {settings['model']} does not take: {error}"
        ) from error


def load_gan(run: str | os.PathLike | Run, *, precision: str = "float32") -> IconGAN:
    """Load the trained GAN of a run, ready for `sample`.

    Example:
    ```python
    run = diffusion.train_gan("icons", "runs/gan", preset="tiny")
    model = diffusion.load_gan(run)
    pictures = model.sample(16)
    ```

    Args:
        run: A run folder: its path, or the `Run` that `diffusion.train_gan` returned.
        precision: Dtype policy. Defaults to "float32".

    Returns:
        A `diffusion.DCGAN` or `diffusion.StyleGAN2` whose generator has the averaged
        weights; its discriminator is untrained.

    Raises:
        UserError: If there is no such run or precision, or no weights in it.
    """
    check_options(precision=precision)
    run = GAN.open(run)
    with precision_scope(precision), reading(run.folder / SETTINGS, "Train it again."):
        model = build_gan(run.settings)
    run.load_weights(model.generator, AVERAGE)
    return model


def load_model(
    run: str | os.PathLike | Run, *, precision: str = "float32"
) -> Diffuser | IconGAN:
    """Load the model of a run, whichever it trained.

    Args:
        run: See `diffusion.load_diffuser`.
        precision: See `diffusion.load_diffuser`.

    Returns:
        What `diffusion.load_diffuser` or `load_gan` returns.

    Raises:
        UserError: If there is no such run or precision, or no weights in it.
    """
    if not (isinstance(run, Run) or shipped_name(run)):
        run = Run(run)
    if isinstance(run, Run) and GAN.matches(run.settings):
        return load_gan(run, precision=precision)
    return load_diffuser(run, precision=precision)
