"""Train a diffusion model on a folder of icons."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from typing import Any

import keras
from tqdm import tqdm

from diffusion.attributes import Schema, encode, read_attributes
from diffusion.evaluation.features import load_extractor
from diffusion.icons import CHANNELS, Icons, icon_files, read_icons
from diffusion.network.model import (
    CHOICES,
    DIFFUSER,
    MOST_TIMESTEPS,
    Diffuser,
    build_diffuser,
    load_diffuser,
)
from diffusion.process import timestep_chances
from diffusion.sampling.generate import most_steps
from diffusion.sampling.samplers import dpm_timesteps
from diffusion.schedules import make_schedule
from diffusion.training.callbacks import (
    Averaging,
    KeepAverage,
    SampleGrids,
    StopWithCopies,
)
from diffusion.training.noised_icons import NoisedIcons
from diffusion.training.presets import PRESETS, DiffusionPreset
from illustkit.errors import UserError
from illustkit.files import check_writable, expand_user
from illustkit.images import list_images
from illustkit.options import check_choice, check_number, check_options
from illustkit.runtime import KINDS, own_folder, worker_index
from illustkit.training.fingerprint import RunData, compare_data
from illustkit.training.fit import Devices, choose_devices, fit_run, is_quiet
from illustkit.training.folder import has_trained
from illustkit.training.optimizers import (
    ClippedAdam,
    WarmupStableDecay,
    build_optimizer,
)
from illustkit.training.presets import choose_preset
from illustkit.training.runs import Run, RunKind
from illustkit.training.split import relative_names, split_run, write_split

GRID_STEPS = 25  # of DPM-Solver++
HOLDOUT = 0.1  # of the icons, to say when a training ends
VALIDATION_DRAWS = 8  # timesteps of each of them
# Settings of this package alone; `check_options` knows the others.
_LIMITS: dict[str, dict[str, Any]] = {
    "dim": {"whole": True, "least": 4},
    "patch": {"whole": True, "least": 1},
    "dropout": {"least": 0, "below": 1},
    "min_snr_gamma": {"above": 0},
    "clip": {"above": 0},
    "ema_decay": {"least": 0, "below": 1},
    "timesteps": {"most": MOST_TIMESTEPS},
    "ema_every": {"whole": True, "least": 1},
    "early_stopping": {"whole": True, "least": 1},
    "warm_up": {"whole": True, "least": 0},
    "focus_weight": {"above": 0},
}


def train(
    images: str | os.PathLike,
    run: str | os.PathLike,
    *,
    preset: str = "preprint",
    strategy: str = "auto",
    cache: str | os.PathLike | None = None,
    sample_every: int = 1,
    n_samples: int = 25,
    sample_steps: int | None = None,
    metrics: Any = None,
    attributes: str | os.PathLike | None = None,
    verbose: str | int = "auto",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **settings: Any,
) -> Run:
    """Train a diffusion model, or resume a training that was stopped.

    The same call on the same folder resumes after the last whole epoch (a number of
    steps), with the same result as a training that never stopped; with more `steps` it
    goes on from the end. What has changed in the folder of pictures since is printed;
    a wholly other folder is refused. After each epoch the averaged weights are saved,
    and a grid of pictures is sampled from them. The nearest training picture of each is
    searched; the first time that most of the grid are copies, a warning says so.

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
        sample_steps: Steps of DPM-Solver++ for a grid. Defaults to 25, or to the most
            that the schedule allows where that is fewer.
        metrics: Features with which to log FID and KID of the grid's pictures; see
            `diffusion.evaluation.features.load_extractor`. They need a larger
            `n_samples`. Defaults to `None`, neither figure.
        attributes: What the icons can be asked for afterwards: "folders", the names of
            the sub-folders that they lie in, or a table of their attributes; see
            `diffusion.attributes.read_attributes`. Defaults to `None`, nothing.
        verbose: See `keras.Model.fit`. Defaults to "auto".
        callbacks: More `keras.callbacks.Callback`s.
        **settings: Fields of `diffusion.training.presets.DiffusionPreset` to change,
            such as `steps=20_000`.

    Returns:
        The `illustkit.training.runs.Run`, for `diffusion.sample` and its history.

    Raises:
        UserError: If `preset` or a setting is invalid, `images` holds no picture, `run`
            holds another run or was trained on other pictures, or the loss is not
            finite.

    Reference:
        The preprint, §3.
    """
    chosen = check_training(
        images,
        run,
        preset=preset,
        strategy=strategy,
        sample_every=sample_every,
        n_samples=n_samples,
        sample_steps=sample_steps,
        metrics=metrics,
        attributes=attributes,
        **settings,
    )
    run = expand_user(run)
    extractor = None if metrics is None else load_extractor(metrics)
    devices = choose_devices(
        strategy, batch_size=chosen.batch_size, precision=chosen.precision
    )
    _check_accumulation(chosen, devices)
    schema = read_schema(attributes, images)
    description = {**dataclasses.asdict(chosen), **schema}
    # Built before the folder is made: invalid settings leave no run behind.
    with devices.building(chosen.seed):
        diffuser = build_diffuser(description)
        if chosen.start_from is not None and not has_trained(run):
            begin_with(diffuser, chosen.start_from)
        diffuser.compile(make_optimizer(chosen))
        build_optimizer(diffuser)
    size = _pair(chosen.image_size)
    icons, data = open_icons(images, run, size, chosen.channels, cache, verbose)
    allowed = _may_change(run, chosen)
    started = Run.start(run, description, allowed, kind=DIFFUSER)
    if worker_index() == 0:
        data.write(started.folder, after_epoch=started.epochs_done)
        say(icons.report())
        if data.report:
            say(data.report)
    labels = encoded_labels(schema, attributes, icons.names)
    pictures, own_labels = icons.pictures, labels
    if chosen.early_stopping:
        learnt, held_out = _split(started, icons.names, chosen)
        pictures, own_labels = pictures[learnt], _of(labels, learnt)
    common: dict[str, Any] = {
        "batch_size": chosen.batch_size,
        "timesteps": chosen.timesteps,
        "self_condition": chosen.self_condition,
    }
    if chosen.objective == "edm":
        common["chances"] = timestep_chances(diffuser.schedule)
    batches = NoisedIcons(
        pictures,
        steps=chosen.epoch_steps * chosen.accumulation,
        flip=chosen.flip,
        seed=chosen.seed,
        **common,
        **own_labels,
    )
    averaging = Averaging(
        chosen.ema_decay, every=chosen.ema_every, accumulation=chosen.accumulation
    )
    grids, early, validation = None, None, None
    if sample_every:
        grids = SampleGrids(
            started,
            pictures,
            every=sample_every,
            n=n_samples,
            steps=_grid_steps(chosen, sample_steps),
            seed=chosen.seed,
            metrics=extractor,
        )
    if chosen.early_stopping:
        early = StopWithCopies(chosen.early_stopping, grids)
        validation = NoisedIcons(
            icons.pictures[held_out],
            # Each icon at several timesteps, the same in every epoch.
            steps=-(-VALIDATION_DRAWS * len(held_out) // chosen.batch_size),
            flip=0.0,
            seed=chosen.seed + 1,
            **common,
            **_of(labels, held_out),
        )
    watching = [grids, early, KeepAverage(started, early)]
    return fit_run(
        diffuser,
        batches,
        started,
        epochs=epochs_of(started),
        seed=chosen.seed,
        callbacks=[averaging, *callbacks, *filter(None, watching)],
        verbose=verbose,
        validation_data=validation,
    )


def _split(run, names, chosen):
    """Return the numbers of the icons to learn and of those that are held out."""
    if len(names) < 2:
        raise UserError(
            "`early_stopping` holds a tenth of the icons out: give 2 or more. "
            f"Received: {len(names)}"
        )
    sides = split_run(run.folder, names, holdout=HOLDOUT, seed=chosen.seed)
    if worker_index() == 0:
        write_split(run.folder, *sides)
    number = {name: i for i, name in enumerate(names)}
    return [[number[name] for name in side] for side in sides]


def _may_change(run, chosen):
    """Return what may change: how long to wait, but not whether icons are held out."""
    folder = expand_user(run)
    if not has_trained(folder) or chosen.early_stopping is None:
        return ()
    holds_out = Run(folder).settings.get("early_stopping") is not None
    return ("early_stopping",) if holds_out else ()


def _of(labels, numbers):
    """Return the labels of some of the pictures."""
    if not labels:
        return {}
    return {**labels, "wishes": labels["wishes"][numbers]}


def check_training(
    images: str | os.PathLike,
    run: str | os.PathLike,
    *,
    preset: str = "preprint",
    strategy: str = "auto",
    sample_every: int = 1,
    n_samples: int = 25,
    sample_steps: int | None = None,
    metrics: Any = None,
    attributes: str | os.PathLike | None = None,
    **settings: Any,
) -> DiffusionPreset:
    """Check the options of `train`, its folders and its grids; nothing is written.

    Args:
        images: See `train`.
        run: See `train`.
        preset: See `train`.
        strategy: See `train`.
        sample_every: See `train`.
        n_samples: See `train`.
        sample_steps: See `train`.
        metrics: See `train`.
        attributes: See `train`.
        **settings: See `train`.

    Returns:
        The settings, as a `DiffusionPreset`.

    Raises:
        UserError: See `train`.
    """
    check_options(sample_every=sample_every)
    check_choice("strategy", strategy, KINDS)
    least = 1 if metrics is None else 4  # as KID takes
    check_number("n_samples", n_samples, whole=True, least=least)
    check_folders(images, run)
    choose_settings(preset, **settings)  # raises before a run is opened
    settings = epochs_that_hold(run, DIFFUSER, settings)
    chosen = choose_settings(preset, **settings)
    description = {**dataclasses.asdict(chosen), **read_schema(attributes, images)}
    Run.check(expand_user(run), description, _may_change(run, chosen), kind=DIFFUSER)
    if sample_every:
        schedule = make_schedule(chosen.schedule, chosen.timesteps)
        dpm_timesteps(schedule, _grid_steps(chosen, sample_steps))  # raises
    return chosen


def check_folders(images: str | os.PathLike, run: str | os.PathLike) -> None:
    """Raise a `UserError` unless one folder can be learned and the other written."""
    folder = expand_user(run)
    if folder.resolve().is_relative_to(expand_user(images).resolve()):
        raise UserError(
            f"{folder} lies in {images}: the icons that it makes would be learned. "
            "Name a `run` elsewhere."
        )
    check_writable(folder)
    list_images(images)


def epochs_that_hold(
    run: str | os.PathLike, kind: RunKind, settings: dict[str, Any]
) -> dict[str, Any]:
    """Return settings with the epochs of the run that is resumed, unless they say.

    A training of fewer steps than an epoch has made its epochs shorter.
    """
    if not has_trained(folder := expand_user(run)):
        return settings
    return {"epoch_steps": kind.open(folder).settings["epoch_steps"], **settings}


def open_icons(
    images: str | os.PathLike,
    run: str | os.PathLike,
    size: Sequence[int],
    channels: int,
    cache: str | os.PathLike | None,
    verbose: str | int,
) -> tuple[Icons, RunData]:
    """Read the icons of a training, and compare them with those of its run."""
    run = expand_user(run)
    paths = icon_files(images)
    data = compare_data(run, relative_names(paths, images), paths, source=images)
    with tqdm(unit="picture", leave=False, disable=is_quiet(verbose)) as bar:
        icons = read_icons(
            images,
            size,
            channels=channels,
            cache=own_folder(expand_user(cache) if cache else run / "icons-0"),
            progress=lambda n: bar.update(),
        )
    return icons, data


def read_schema(
    attributes: str | os.PathLike | None, images: str | os.PathLike
) -> dict[str, Schema]:
    """Return the attributes of a folder as a setting; nothing without any."""
    if attributes is None:
        return {}
    names = relative_names(icon_files(images), images)
    return {"attributes": read_attributes(attributes, names)[0]}


def encoded_labels(
    schema: dict[str, Schema],
    attributes: str | os.PathLike | None,
    names: Sequence[str],
) -> dict[str, Any]:
    """Return what batches need of the pictures' attributes."""
    if attributes is None:
        return {}
    # The network's own: a picture that cannot be read may alone have had a value.
    (own,) = schema.values()
    _, wishes = read_attributes(attributes, names)
    return {"schema": own, "wishes": encode(own, wishes)}


def say(text: str) -> None:
    """Print names of any bytes; what the terminal lacks is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def _grid_steps(chosen, sample_steps):
    if sample_steps is not None:
        return sample_steps
    schedule = make_schedule(chosen.schedule, chosen.timesteps)
    if (most := most_steps(schedule, chosen.version, "dpm++")) < 1:
        raise UserError(
            f"{chosen.timesteps} `timesteps` are too few to make a grid: take more, or "
            "0 for `sample_every`."
        )
    return min(GRID_STEPS, most)


def epochs_of(run: Run) -> int:
    """Return the number of epochs, when some may have had another number of steps."""
    steps, since = 0, 0
    for change in run.changes:
        if change["setting"] == "epoch_steps":
            steps += (change["after_epoch"] - since) * change["from"]
            since = change["after_epoch"]
    missing = run.settings["steps"] - steps
    return since + max(0, -(-missing // run.settings["epoch_steps"]))


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
        UserError: If `preset`, a field's name or its value is invalid.
    """
    if settings.get("objective") == "edm":  # it has weights of its own
        settings = {"min_snr_gamma": None, **settings}
    chosen = choose_preset(PRESETS, preset, settings)
    chosen = dataclasses.replace(chosen, image_size=_pair(chosen.image_size))
    check_options(**dataclasses.asdict(chosen))
    check_choice("channels", chosen.channels, CHANNELS)
    for name, choices in CHOICES.items():
        check_choice(name, getattr(chosen, name), choices)
    for name, limits in _LIMITS.items():
        check_number(name, getattr(chosen, name), **limits)
    if chosen.dim % 2:
        raise UserError(f"`dim` must be even. Received: {chosen.dim}")
    if not chosen.dim_mults:
        raise UserError("`dim_mults` needs a level. Received: none")
    if chosen.focus is not None:
        _check_focus(chosen)
    for multiple in chosen.dim_mults:
        check_number("dim_mults", multiple, whole=True, least=1)
    divisor = (chosen.patch or 1) * 2 ** (len(chosen.dim_mults) - 1)
    if any(side < 1 or side % divisor for side in _pair(chosen.image_size)):
        raise UserError(
            f"With {len(chosen.dim_mults)} levels both sides of `image_size` must be "
            f"multiples of {divisor}. "
            f"Received: {'x'.join(map(str, _pair(chosen.image_size)))}"
        )
    return dataclasses.replace(
        chosen, epoch_steps=min(chosen.epoch_steps, chosen.steps)
    )


def _check_focus(chosen):
    width, height = _pair(chosen.image_size)
    if len(chosen.focus) != 4:
        raise UserError(
            f"`focus` is (left, top, right, bottom) in pixels. Received: {chosen.focus}"
        )
    for number in chosen.focus:
        check_number("focus", number, whole=True, least=0)
    left, top, right, bottom = chosen.focus
    if not (left < right <= width and top < bottom <= height):
        raise UserError(
            f"`focus` is a box in icons of {width}x{height} pixels. "
            f"Received: {chosen.focus}"
        )


def begin_with(diffuser: Diffuser, run: str | os.PathLike) -> None:
    """Give a model the averaged weights of a trained one.

    Args:
        diffuser: The model.
        run: See `diffusion.load_diffuser`.

    Raises:
        UserError: If the trained one has another network or other attributes.
    """
    trained = load_diffuser(run)
    for name, there, here in (
        ("network", _shape_of(trained), _shape_of(diffuser)),
        ("attributes", [*trained.attributes.items()], [*diffuser.attributes.items()]),
        ("objective", trained.objective, diffuser.objective),
    ):
        if there != here:
            raise UserError(
                f"`start_from` needs a model of the same {name}. Received: {there} "
                f"there, {here} here"
            )
    weights = trained.average.get_weights()
    for network in (diffuser.unet, diffuser.average):
        network.set_weights(weights)


def _shape_of(diffuser):
    return {
        name: list(value) if isinstance(value, (list, tuple)) else value
        for name, value in diffuser.network.items()
        if name != "dtype"
    }


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
