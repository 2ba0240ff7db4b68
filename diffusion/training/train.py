"""Train a diffusion model on a folder of icons."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from diffusion.icons import CHANNELS, read_icons
from diffusion.network.model import DIFFUSER, build_diffuser
from diffusion.sampling.samplers import dpm_timesteps
from diffusion.training.callbacks import Averaging, KeepAverage, SampleGrids
from diffusion.training.presets import PRESETS, DiffusionPreset
from illustkit.errors import UserError
from illustkit.images import list_images
from illustkit.runtime import own_folder, worker_index
from illustkit.training.batches import Batches
from illustkit.training.fit import Devices, choose_devices, fit_run, is_quiet
from illustkit.training.optimizers import (
    ClippedAdam,
    WarmupStableDecay,
    build_optimizer,
)
from illustkit.training.presets import choose_preset
from illustkit.training.runs import SETTINGS, Run


def train(
    images: str | os.PathLike,
    run: str | os.PathLike,
    *,
    preset: str = "preprint",
    strategy: str = "auto",
    cache: str | os.PathLike | None = None,
    sample_every: int = 1,
    n_samples: int = 25,
    sample_steps: int = 25,
    metrics: Any = None,
    verbose: str | int = "auto",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **settings: Any,
) -> Run:
    """Train a diffusion model, or resume a training that was stopped.

    The same call on the same folder resumes after the last whole epoch (a number of
    steps), with the same result as a training that never stopped; with more `steps` it
    goes on from the end. After each epoch the averaged weights are saved, and a grid of
    pictures is sampled from them. The nearest training picture of each is searched; the
    first time that most of the grid are copies, a warning says so.

    Example:
    ```python
    run = diffusion.train("icons", "runs/icons", preset="tiny")
    pictures = diffusion.sample(run, 16)
    ```

    Args:
        images: Folder of pictures, a few dozen or many thousand.
        run: Folder to write to; see `illustkit.training.runs.Run`.
        preset: Name in `diffusion.training.presets.PRESETS`. Defaults to "preprint".
        strategy: Kind of `illustkit.get_strategy`. Defaults to "auto".
        cache: Folder for the pictures at the network's size. Defaults to one in the
            run's folder.
        sample_every: Epochs between grids; 0 for none. Defaults to 1.
        n_samples: Pictures in a grid. Defaults to 25.
        sample_steps: Steps of DPM-Solver++ for a grid. Defaults to 25.
        metrics: Features with which to log FID and KID of the grid's pictures; see
            `diffusion.evaluation.features.load_extractor`. They need a larger
            `n_samples`. Defaults to `None`, neither figure.
        verbose: See `keras.Model.fit`. Defaults to "auto".
        callbacks: More `keras.callbacks.Callback`s.
        **settings: Fields of `diffusion.training.presets.DiffusionPreset` to change,
            such as `steps=20_000`.

    Returns:
        The `illustkit.training.runs.Run`, for `diffusion.sample` and its history.

    Raises:
        ValueError: If `preset` or a setting is invalid, `images` holds no picture, or
            `run` holds another run.
        FloatingPointError: If the loss is not finite.

    Reference:
        The preprint, §3.
    """
    stored = DIFFUSER.open(run).settings if Path(run, SETTINGS).exists() else {}
    if "epoch_steps" in stored:
        # A training of fewer steps than an epoch has made its epochs shorter.
        settings.setdefault("epoch_steps", stored["epoch_steps"])
    chosen = choose_settings(preset, **settings)
    list_images(images)  # a wrong folder shows before the network is built
    devices = choose_devices(
        strategy, batch_size=chosen.batch_size, precision=chosen.precision
    )
    _check_accumulation(chosen, devices)
    description = dataclasses.asdict(chosen)
    may_change = ["steps", "precision"]
    if "mixed_float16" in (stored.get("precision"), chosen.precision):
        may_change = ["steps"]  # the optimizer of float16 has more variables
    Run.check(run, description, may_change, kind=DIFFUSER)
    # Built before the folder is made: invalid settings leave no run behind.
    with devices.building(chosen.seed):
        diffuser = build_diffuser(description)
        diffuser.compile(make_optimizer(chosen))
        build_optimizer(diffuser)
    if sample_every:
        dpm_timesteps(diffuser.schedule, sample_steps)  # raises for too many steps
    with tqdm(unit="picture", leave=False, disable=is_quiet(verbose)) as bar:
        icons = read_icons(
            images,
            _pair(chosen.image_size),
            channels=chosen.channels,
            cache=own_folder(cache or Path(run, "icons-0")),
            progress=lambda n: bar.update(),
        )
    started = Run.start(run, description, may_change, kind=DIFFUSER)
    if worker_index() == 0:
        print(icons.report())
    batches = NoisedIcons(
        icons.pictures,
        steps=chosen.epoch_steps * chosen.accumulation,
        batch_size=chosen.batch_size,
        timesteps=chosen.timesteps,
        flip=chosen.flip,
        self_condition=chosen.self_condition,
        seed=chosen.seed,
    )
    averaging = Averaging(
        chosen.ema_decay, every=chosen.ema_every, accumulation=chosen.accumulation
    )
    watching: list[keras.callbacks.Callback] = [KeepAverage(started)]
    if sample_every:
        grids = SampleGrids(
            started,
            icons.pictures,
            every=sample_every,
            n=n_samples,
            steps=sample_steps,
            seed=chosen.seed,
            metrics=metrics,
        )
        watching.append(grids)
    return fit_run(
        diffuser,
        batches,
        started,
        epochs=-(-chosen.steps // chosen.epoch_steps),
        seed=chosen.seed,
        callbacks=[averaging, *callbacks, *watching],
        verbose=verbose,
    )


def choose_settings(preset: str = "preprint", **settings: Any) -> DiffusionPreset:
    """Return the settings of a preset, with some of them changed.

    Example:
    ```python
    diffusion.choose_settings("tiny", steps=200).batch_size   # 16
    ```

    Args:
        preset: Name in `diffusion.training.presets.PRESETS`.
        **settings: Fields of `DiffusionPreset` to change.

    Returns:
        A `DiffusionPreset`.

    Raises:
        ValueError: If `preset`, a field's name or its value is invalid.
    """
    chosen = choose_preset(PRESETS, preset, settings)
    chosen = dataclasses.replace(chosen, image_size=_pair(chosen.image_size))
    for name in "steps", "epoch_steps", "batch_size", "accumulation", "timesteps":
        if getattr(chosen, name) < 1:
            raise UserError(
                f"`{name}` must be at least 1. Received: {getattr(chosen, name)}"
            )
    for name in "flip", "self_condition":
        if not 0 <= getattr(chosen, name) <= 1:
            raise UserError(
                f"`{name}` is a probability, 0 to 1. Received: {getattr(chosen, name)}"
            )
    if chosen.channels not in CHANNELS:
        raise UserError(f"`channels` is one of {CHANNELS}. Received: {chosen.channels}")
    divisor = 2 ** (len(chosen.dim_mults) - 1)
    if any(side < 1 or side % divisor for side in _pair(chosen.image_size)):
        raise UserError(
            f"With {len(chosen.dim_mults)} levels both sides must be multiples of "
            f"{divisor}. Received: image_size={chosen.image_size}"
        )
    return dataclasses.replace(
        chosen, epoch_steps=min(chosen.epoch_steps, chosen.steps)
    )


def _pair(image_size: int | Sequence[int]) -> tuple[int, ...]:
    return (image_size,) * 2 if isinstance(image_size, int) else tuple(image_size)


def make_optimizer(chosen: DiffusionPreset) -> keras.optimizers.Optimizer:
    """Make the optimizer that settings ask for: Adam, warmed up and clipped."""
    rate: Any = chosen.learning_rate
    if chosen.warm_up:
        # Keras passes a schedule the number of batches, not of steps.
        rate = WarmupStableDecay(rate, chosen.warm_up * chosen.accumulation)
    return ClippedAdam(
        rate,
        beta_1=0.9,
        beta_2=0.99,
        epsilon=1e-8,
        global_clipnorm=chosen.clip,
        gradient_accumulation_steps=(
            chosen.accumulation if chosen.accumulation > 1 else None
        ),
    )


def _check_accumulation(chosen: DiffusionPreset, devices: Devices) -> None:
    n = devices.replicas
    if chosen.accumulation > 1 and devices.strategy is not None and n > 1:
        raise UserError(
            "Keras cannot accumulate gradients under a tf.distribute strategy of "
            f"several devices: with {n} of them, raise batch_size instead. "
            f"Received: accumulation={chosen.accumulation}"
        )


class NoisedIcons(Batches):
    """Draws batches of shuffled icons, each with its own timestep and noise.

    Timesteps and noise are drawn here and not on the device, so that a step is the same
    on every backend and any number of devices, and a resumed training the same as one
    that never stopped. An epoch is a number of steps, whatever the number of icons: the
    icons are dealt out pass after pass, each pass in an order of its own.

    Example:
    ```python
    batches = NoisedIcons(icons.pictures, steps=100, batch_size=16, timesteps=1000)
    model.fit(batches, shuffle=False, callbacks=[batches.follow()])
    ```

    Args:
        pictures: uint8 `(n, height, width, channels)`.
        steps: Batches in an epoch.
        batch_size: Icons in a batch, over all devices.
        timesteps: T; timesteps are 0 to T - 1, all equally likely.
        flip: Probability of mirroring. Defaults to 0.5.
        self_condition: Probability that a sample sees its own first estimate.
            Defaults to 0.
        seed: Int. Defaults to 0.

    Returns:
        Batches `(x,)` with `x` a dict: "pictures" uint8, "t" int32 `(batch,)`, "noise"
        float32 like the pictures, and "see_own" float32 `(batch,)`, 1 or 0.
    """

    def __init__(
        self,
        pictures: np.ndarray,
        *,
        steps: int,
        batch_size: int,
        timesteps: int,
        flip: float = 0.5,
        self_condition: float = 0.0,
        seed: int = 0,
    ):
        super().__init__(
            steps * batch_size, batch_size=batch_size, seed=seed, shuffle=False
        )
        self.pictures, self.timesteps = pictures, timesteps
        self.flip, self.self_condition = flip, self_condition

    def _batch(self, epoch, index):
        first = (epoch * len(self) + index) * self.batch_size
        rng = np.random.default_rng((*self.seed, epoch, index))
        return self.make(self._dealt(np.arange(first, first + self.batch_size)), rng)

    def _dealt(self, positions):
        """Return the numbers of the icons at positions of the endless row of passes."""
        n = len(self.pictures)
        dealt = np.empty(len(positions), int)
        for turn in np.unique(positions // n):
            # No batch's generator has this seed, which ends with 0, 1.
            order = np.random.default_rng((*self.seed, turn, 0, 1)).permutation(n)
            here = positions // n == turn
            dealt[here] = order[positions[here] % n]
        return dealt

    def make(self, indices, rng):
        pictures = np.stack([self.pictures[i] for i in indices])
        mirrored = rng.random(len(indices)) < self.flip
        pictures[mirrored] = pictures[mirrored][:, :, ::-1]
        see_own = rng.random(len(indices)) < self.self_condition
        return (
            {
                "pictures": pictures,
                "t": rng.integers(self.timesteps, size=len(indices), dtype="int32"),
                "noise": rng.standard_normal(pictures.shape, dtype="float32"),
                "see_own": see_own.astype("float32"),
            },
        )
