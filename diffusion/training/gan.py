"""Train a GAN on a folder of icons."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from diffusion.evaluation.features import load_extractor
from diffusion.gans.augment import AUGMENTS
from diffusion.gans.model import IconGAN, check_square
from diffusion.gans.runs import GAN, MODELS, build_gan
from diffusion.icons import CHANNELS
from diffusion.training.callbacks import KeepAverage, SampleGrids
from diffusion.training.noised_icons import NoisedIcons
from diffusion.training.train import (
    check_folders,
    encoded_labels,
    epochs_of,
    epochs_that_hold,
    open_icons,
    read_schema,
    say,
)
from illustkit.errors import UserError
from illustkit.files import expand_user
from illustkit.options import check_choice, check_number, check_options
from illustkit.runtime import KINDS, worker_index
from illustkit.training.adversarial import AdversarialAdam
from illustkit.training.fit import choose_devices, fit_run
from illustkit.training.optimizers import build_optimizer
from illustkit.training.presets import choose_preset
from illustkit.training.runs import Run


@dataclasses.dataclass(frozen=True)
class GanPreset:
    """Holds the settings of `diffusion.train_gan`; each is also one of its options.

    Args:
        image_size: Side of the pictures in pixels, a power of two from 8.
        channels: 1 for grey, 3 for RGB, 4 for RGBA.
        network: Further arguments of `diffusion.DCGAN` or `diffusion.StyleGAN2`, such
            as `{"filters": 256}`.
        augment: "diffaugment" or "ada", for few icons; `None` for neither. See
            `diffusion.gans.augment`.
        batch_size: Icons per batch, over all devices.
        learning_rate: Learning rate of Adam, of both networks.
        beta_1: Decay of Adam's first moment.
        beta_2: Decay of its second moment.
        steps: Steps in all, rounded up to whole epochs.
        epoch_steps: Steps per epoch: a row in the history, and a backup.
        flip: Probability of mirroring.
        precision: "auto", "float32", "mixed_bfloat16" or "mixed_float16".
        seed: Decides initial weights, order and latents.
    """

    image_size: int = 128
    channels: int = 3
    network: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    augment: str | None = None
    batch_size: int = 128
    learning_rate: float = 2e-4
    beta_1: float = 0.5
    beta_2: float = 0.999
    steps: int = 20_000
    epoch_steps: int = 500
    flip: float = 0.5
    precision: str = "float32"
    seed: int = 3407


_STYLE = GanPreset(
    batch_size=32, learning_rate=2e-3, beta_1=0.0, beta_2=0.99, steps=100_000,
    epoch_steps=1000,
)  # fmt: skip
_TINY: dict[str, Any] = {
    "image_size": 64,
    "batch_size": 16,
    "steps": 2000,
    "epoch_steps": 100,
}
PRESETS: dict[str, dict[str, GanPreset]] = {
    "dcgan": {
        "paper": GanPreset(),
        "tiny": dataclasses.replace(
            GanPreset(), **_TINY, network={"filters": 256}, precision="auto"
        ),
    },
    "stylegan2": {
        "paper": _STYLE,
        "tiny": dataclasses.replace(
            _STYLE, **_TINY, network={"base": 2048, "latent": 128}
        ),
    },
}
"""The settings of each model by name.

- "paper": 128×128 pixels with the papers' batches and rates; some hours to some days on
  a GPU (an estimate; not run).
- "tiny": 64×64 pixels with narrow networks, for some minutes to some hours on two CPU
  cores.
"""


def train_gan(
    images: str | os.PathLike,
    run: str | os.PathLike,
    *,
    model: str = "dcgan",
    preset: str = "paper",
    strategy: str = "auto",
    cache: str | os.PathLike | None = None,
    sample_every: int = 1,
    n_samples: int = 25,
    metrics: Any = None,
    attributes: str | os.PathLike | None = None,
    verbose: str | int = "auto",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **settings: Any,
) -> Run:
    """Train a GAN on a folder of icons, or resume its training.

    The run's folder is as that of `diffusion.train`: after each epoch a row of the
    history, a backup, the weights to make pictures with (StyleGAN2's averaged ones) and
    a grid of pictures, in which copies of the training pictures are counted.

    Example:
    ```python
    run = diffusion.train_gan("icons", "runs/gan", model="stylegan2", preset="tiny")
    pictures = diffusion.sample(run, 16)
    ```

    Args:
        images: Folder of pictures.
        run: Folder to write to; see `illustkit.training.runs.Run`.
        model: "dcgan" or "stylegan2". Defaults to "dcgan".
        preset: "paper" or "tiny"; see `diffusion.training.gan.PRESETS`. Defaults to
            "paper".
        strategy: Kind of `illustkit.get_strategy`. Defaults to "auto".
        cache: See `diffusion.train`.
        sample_every: Epochs between grids; 0 for none. Defaults to 1.
        n_samples: Pictures in a grid. Defaults to 25.
        metrics: See `diffusion.train`. Defaults to `None`.
        attributes: What a DCGAN's icons can be asked for afterwards; see
            `diffusion.train`. What a table does not say of an icon is no value of its
            attribute. Defaults to `None`, nothing.
        verbose: See `keras.Model.fit`. Defaults to "auto".
        callbacks: More `keras.callbacks.Callback`s.
        **settings: Fields of `GanPreset` to change, such as `steps=20_000`.

    Returns:
        The `illustkit.training.runs.Run`, for `diffusion.sample` and its history.

    Raises:
        UserError: See `diffusion.train`.

    Reference:
        The preprint's table 2, which compares them with diffusion models.
    """
    chosen = check_gan_training(
        images,
        run,
        model=model,
        preset=preset,
        strategy=strategy,
        sample_every=sample_every,
        n_samples=n_samples,
        metrics=metrics,
        attributes=attributes,
        **settings,
    )
    run = expand_user(run)
    extractor = None if metrics is None else load_extractor(metrics)
    devices = choose_devices(
        strategy, batch_size=chosen.batch_size, precision=chosen.precision
    )
    description = _described(model, chosen, attributes, images)
    # Built before the folder is made: invalid settings leave no run behind.
    with devices.building(chosen.seed):
        gan = build_gan(description)
        gan.compile(make_gan_optimizer(chosen))
        build_optimizer(gan)
    size = chosen.image_size, chosen.image_size
    icons, data = open_icons(images, run, size, chosen.channels, cache, verbose)
    started = Run.start(run, description, kind=GAN)
    if worker_index() == 0:
        data.write(started.folder, after_epoch=started.epochs_done)
        for line in filter(None, (icons.report(), data.report)):
            say(line)
    batches = LatentIcons(
        icons.pictures,
        gan,
        steps=chosen.epoch_steps,
        batch_size=chosen.batch_size,
        labels=_labels(attributes, description, icons.names),
        flip=chosen.flip,
        seed=chosen.seed,
    )
    watching: list[keras.callbacks.Callback] = [KeepGenerator(started)]
    if sample_every:
        grids = GanGrids(
            started,
            icons.pictures,
            every=sample_every,
            n=n_samples,
            seed=chosen.seed,
            metrics=extractor,
        )
        watching.append(grids)
    return fit_run(
        gan,
        batches,
        started,
        epochs=epochs_of(started),
        seed=chosen.seed,
        callbacks=[*callbacks, *watching],
        verbose=verbose,
    )


def check_gan_training(
    images: str | os.PathLike,
    run: str | os.PathLike,
    *,
    model: str = "dcgan",
    preset: str = "paper",
    strategy: str = "auto",
    sample_every: int = 1,
    n_samples: int = 25,
    metrics: Any = None,
    attributes: str | os.PathLike | None = None,
    **settings: Any,
) -> GanPreset:
    """Check the options of `train_gan` and its folders; nothing is written.

    Args:
        images: See `train_gan`.
        run: See `train_gan`.
        model: See `train_gan`.
        preset: See `train_gan`.
        strategy: See `train_gan`.
        sample_every: See `train_gan`.
        n_samples: See `train_gan`.
        metrics: See `train_gan`.
        attributes: See `train_gan`.
        **settings: See `train_gan`.

    Returns:
        The settings, as a `GanPreset`.

    Raises:
        UserError: See `train_gan`.
    """
    check_options(sample_every=sample_every)
    check_choice("model", model, tuple(MODELS))
    check_choice("strategy", strategy, KINDS)
    least = 1 if metrics is None else 4  # as KID takes
    check_number("n_samples", n_samples, whole=True, least=least)
    check_folders(images, run)
    choose_gan_settings(model, preset, **settings)  # raises before a run is opened
    settings = epochs_that_hold(run, GAN, settings)
    chosen = choose_gan_settings(model, preset, **settings)
    if attributes is not None and model != "dcgan":
        raise UserError(
            f"`attributes` are for a DCGAN: leave them out. Received: model={model!r}"
        )
    described = _described(model, chosen, attributes, images)
    Run.check(expand_user(run), described, kind=GAN)
    return chosen


def choose_gan_settings(
    model: str = "dcgan", preset: str = "paper", **settings: Any
) -> GanPreset:
    """Return the settings of a GAN's preset, with some of them changed.

    Example:
    ```python
    choose_gan_settings("stylegan2", "tiny", steps=200).batch_size   # 16
    ```

    Args:
        model: "dcgan" or "stylegan2". Defaults to "dcgan".
        preset: "paper" or "tiny". Defaults to "paper".
        **settings: Fields of `GanPreset` to change.

    Returns:
        A `GanPreset`.

    Raises:
        UserError: If a name is unknown or a value invalid.
    """
    check_choice("model", model, tuple(MODELS))
    chosen = choose_preset(PRESETS[model], preset, settings)
    check_options(**dataclasses.asdict(chosen))
    check_choice("channels", chosen.channels, CHANNELS)
    for name in ("beta_1", "beta_2"):
        check_number(name, getattr(chosen, name), least=0, below=1)
    check_choice("augment", chosen.augment, (None, *AUGMENTS))
    check_square(chosen.image_size)
    return dataclasses.replace(
        chosen, epoch_steps=min(chosen.epoch_steps, chosen.steps)
    )


def make_gan_optimizer(chosen: GanPreset) -> keras.optimizers.Optimizer:
    """Make the optimizer that settings ask for: Adam of both networks."""
    return AdversarialAdam(
        chosen.learning_rate, chosen.beta_1, beta_2=chosen.beta_2, epsilon=1e-8
    )


def _described(model, chosen, attributes, images):
    settings = dataclasses.asdict(chosen)
    return {"model": model, **settings, **read_schema(attributes, images)}


def _labels(attributes, description, names):
    if attributes is None:
        return None
    schema = {"attributes": description["attributes"]}
    return encoded_labels(schema, attributes, names)["wishes"]


class KeepGenerator(KeepAverage):
    """Saves the generator with its averaged weights, as `KeepAverage` does."""

    def save(self, path):
        with self.model.averaged():
            self.model.generator.save_weights(path)


class GanGrids(SampleGrids):
    """Makes new icons after an epoch, and measures them, as `SampleGrids` does."""

    def sampled(self):
        return self.model.sample(self.n, seed=self.seed)


class LatentIcons(NoisedIcons):
    """Draw batches of shuffled icons, each beside a latent for the generator.

    Icons are dealt out and mirrored as by `NoisedIcons`.

    Example:
    ```python
    batches = LatentIcons(pictures, model, steps=100, batch_size=16)
    model.fit(batches, shuffle=False, callbacks=[batches.follow()])
    ```

    Args:
        pictures: uint8 `(n, height, width, channels)`.
        model: The `IconGAN` whose `draw_training` makes the random numbers.
        steps: Batches in an epoch.
        batch_size: Icons in a batch, over all devices.
        labels: int `(n,)`, the class of each picture, for a conditional model, or
            `(n, classes)`, its encoded attributes. The generator is given the labels of
            the batch's icons. Defaults to `None`.
        flip: Probability of mirroring. Defaults to 0.5.
        seed: Int. Defaults to 0.

    Returns:
        Batches `(x,)` with `x` a dict: "pictures" uint8 and what it draws.

    Raises:
        ValueError: If the pictures do not fit the model, or labels are missing.
    """

    def __init__(
        self,
        pictures: np.ndarray,
        model: IconGAN,
        *,
        steps: int,
        batch_size: int,
        labels: Any = None,
        flip: float = 0.5,
        seed: int = 0,
    ):
        expected = model.image_size, model.image_size, model.channels
        if pictures.shape[1:] != expected:
            raise ValueError(f"`pictures` must be {expected}: {pictures.shape[1:]}")
        if (labels is None) == bool(model.classes):
            raise ValueError("A conditional model needs `labels`, and no other does.")
        super().__init__(
            pictures, steps=steps, batch_size=batch_size, timesteps=1, flip=flip,
            seed=seed,
        )  # fmt: skip
        self.draw = model.draw_training
        self.labels = None if labels is None else np.asarray(labels)

    def make(self, indices, rng):
        pictures = np.stack([self.pictures[i] for i in indices])
        mirrored = rng.random(len(indices)) < self.flip
        pictures[mirrored] = pictures[mirrored][:, :, ::-1]
        labels = None if self.labels is None else self.labels[indices]
        return ({"pictures": pictures, **self.draw(rng, len(indices), labels)},)
