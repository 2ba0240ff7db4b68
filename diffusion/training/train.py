"""Train a diffusion model on a folder of icons."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from diffusion.icons import CHANNELS, read_icons
from diffusion.network.model import AVERAGE, build_diffuser, load_settings
from diffusion.optimizers import make_optimizer
from diffusion.sampling.samplers import dpm_timesteps
from diffusion.training.callbacks import Averaging, SampleGrids
from diffusion.training.presets import PRESETS
from illustkit.images import list_images
from illustkit.runtime import (
    check_batch_size,
    check_precision,
    get_strategy,
    own_folder,
    scope,
    worker_index,
)
from illustkit.training.batches import Batches
from illustkit.training.presets import choose_preset
from illustkit.training.runs import SETTINGS, Run
from illustkit.training.trainable import EpochSeeds, precision


class NoisedIcons(Batches):
    """Shuffled icons, each with a timestep and noise of its own.

    Timesteps and noise are drawn here and not on the device, so that one step is the
    same on every backend and on any number of devices, and a resumed training the same
    as one that never stopped. An epoch is a number of steps, whatever the number of
    icons: pass after pass over them is dealt out in an order of its own.

    Example:
    ```python
    batches = NoisedIcons(icons.pictures, steps=100, batch_size=16, timesteps=1000)
    model.fit(batches, shuffle=False, callbacks=[batches.follow()])
    ```

    Args:
        pictures: uint8 `(n, height, width, channels)`.
        steps: Batches an epoch.
        batch_size: Icons a batch, over all devices.
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
        pictures,
        *,
        steps,
        batch_size,
        timesteps,
        flip=0.5,
        self_condition=0.0,
        seed=0,
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
        """Numbers of the icons at positions of the endless row of passes."""
        n = len(self.pictures)
        dealt = np.empty(len(positions), int)
        for turn in np.unique(positions // n):
            # The 1 at the end: no batch's generator begins with these numbers.
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


def train(
    images,
    run,
    *,
    preset="preprint",
    strategy="auto",
    cache=None,
    sample_every=1,
    n_samples=25,
    sample_steps=25,
    metrics=None,
    verbose="auto",
    callbacks=(),
    **settings,
):
    """Train a diffusion model, or go on with a training that was stopped.

    The same call on the same folder resumes after the last whole epoch (a number of
    steps), with the same result as a training that never stopped; with more `steps` it
    goes on from the end. After each epoch the averaged weights are kept, and a grid of
    pictures made with them; their nearest training pictures are looked up, and the
    first time that most of them are copies, a warning says so.

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
        cache: Folder for the pictures at the network's size; that of the run by
            default.
        sample_every: Epochs between grids; 0 makes none. Defaults to 1.
        n_samples: Pictures a grid. Defaults to 25.
        sample_steps: Steps of DPM-Solver++ for a grid. Defaults to 25.
        metrics: Features with which to log FID and KID of the grid's pictures, as in
            `diffusion.evaluation.features.load_extractor`; with them `n_samples` should be larger.
            Defaults to none.
        verbose: As in `keras.Model.fit`. Defaults to "auto".
        callbacks: More `keras.callbacks.Callback`s.
        **settings: Fields of `diffusion.training.presets.DiffusionPreset` that differ, such as
            `steps=20_000`.

    Returns:
        The `illustkit.training.runs.Run`, for `diffusion.sample` and its history.

    Raises:
        ValueError: for an unknown preset or setting, a folder without pictures, or
            with another run.
        FloatingPointError: where the loss is not finite.

    Reference:
        The preprint, §3.
    """
    if "epoch_steps" not in settings and (Path(run) / SETTINGS).exists():
        # A training of fewer steps than an epoch has made its epochs shorter.
        settings["epoch_steps"] = load_settings(run)["epoch_steps"]
    chosen = choose_settings(preset, **settings)
    list_images(images)  # a wrong folder shows before the network is built
    strategy = get_strategy(strategy)  # before anything touches the devices
    _check_devices(chosen, strategy)
    wanted = dataclasses.asdict(chosen)
    may_change = ["steps", "precision"]
    if (Path(run) / SETTINGS).exists():
        if "mixed_float16" in {load_settings(run)["precision"], chosen.precision}:
            may_change = ["steps"]  # its optimizer keeps more than those of the others
        Run.start(run, wanted, may_change)  # before anything is written into another
    # Built before the folder is made: settings that do not work leave no run behind.
    keras.utils.set_random_seed(chosen.seed)
    with scope(strategy), precision(chosen.precision):
        diffuser = build_diffuser(wanted)
        diffuser.compile(make_optimizer(chosen))
        # Without its variables the first step would be traced twice.
        diffuser.optimizer.build(diffuser.trainable_variables)
    if sample_every:
        dpm_timesteps(diffuser.schedule, sample_steps)  # as many as there are
    quiet = verbose == 0 or worker_index() > 0
    with tqdm(unit="picture", leave=False, disable=quiet) as bar:
        icons = read_icons(
            images,
            chosen.image_size,
            channels=chosen.channels,
            cache=own_folder(cache or Path(run, "icons-0")),
            progress=lambda n: bar.update(),
        )
    run = Run.start(run, wanted, may_change)
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
    watching = [KeepAverage(run)]
    if sample_every:
        watching.append(
            SampleGrids(
                run,
                icons.pictures,
                every=sample_every,
                n=n_samples,
                steps=sample_steps,
                seed=chosen.seed,
                metrics=metrics,
            )
        )
    diffuser.fit(
        batches,
        epochs=-(-chosen.steps // chosen.epoch_steps),
        shuffle=False,
        verbose=verbose,
        callbacks=[
            batches.follow(),
            EpochSeeds(chosen.seed),
            Averaging(
                chosen.ema_decay,
                every=chosen.ema_every,
                accumulation=chosen.accumulation,
            ),
            *callbacks,
            *watching,
            *run.callbacks(monitor=None),
        ],
    )
    return run


class KeepAverage(keras.callbacks.Callback):
    """Writes the averaged weights after each epoch; the file changes in one moment.

    Args:
        run: The `Run`.
    """

    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_epoch_end(self, epoch, logs=None):
        if worker_index() > 0:
            return
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        part = self.run.folder / f"part-{AVERAGE}"
        self.model.average.save_weights(part)
        part.replace(self.run.folder / AVERAGE)


def choose_settings(preset="preprint", **settings):
    """Settings of a preset, with those that the caller names in their place.

    Args:
        preset: Name in `diffusion.training.presets.PRESETS`.
        **settings: Fields of `DiffusionPreset`.

    Returns:
        A `DiffusionPreset`.

    Raises:
        ValueError: for an unknown preset or field, or a value that cannot work.
    """
    chosen = choose_preset(PRESETS, preset, settings)
    if isinstance(chosen.image_size, int):
        chosen = dataclasses.replace(chosen, image_size=(chosen.image_size,) * 2)
    for name in "steps", "epoch_steps", "batch_size", "accumulation", "timesteps":
        if getattr(chosen, name) < 1:
            raise ValueError(
                f"`{name}` must be at least 1. Received: {getattr(chosen, name)}"
            )
    for name in "flip", "self_condition":
        if not 0 <= getattr(chosen, name) <= 1:
            raise ValueError(
                f"`{name}` is a probability, 0 to 1. Received: {getattr(chosen, name)}"
            )
    if chosen.channels not in CHANNELS:
        raise ValueError(
            f"`channels` is one of {CHANNELS}. Received: {chosen.channels}"
        )
    divisor = 2 ** (len(chosen.dim_mults) - 1)
    if any(side < 1 or side % divisor for side in chosen.image_size):
        raise ValueError(
            f"With {len(chosen.dim_mults)} levels both sides must be multiples of "
            f"{divisor}. Received: image_size={chosen.image_size}"
        )
    return dataclasses.replace(
        chosen, epoch_steps=min(chosen.epoch_steps, chosen.steps)
    )


def _check_devices(chosen, strategy):
    n = check_batch_size(chosen.batch_size, strategy)
    check_precision(chosen.precision, strategy)
    if chosen.accumulation > 1 and strategy is not None and n > 1:
        raise ValueError(
            "Keras cannot accumulate gradients under a tf.distribute strategy of "
            f"several devices: with {n} of them, raise batch_size instead. "
            f"Received: accumulation={chosen.accumulation}"
        )
