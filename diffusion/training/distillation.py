"""Distil a model to a few steps: a student learns where its teacher's paths lead.

The teacher makes pictures from noise and remembers the states on the way. The student
starts with the teacher's weights and learns to jump over several of the teacher's steps
with one evaluation, its guidance included.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from diffusion.attributes import forget, groups
from diffusion.network.model import DIFFUSER, Diffuser, load_diffuser
from diffusion.network.unet import UNet
from diffusion.process import Denoiser, predict_x0
from diffusion.sampling.exporting import settings_of
from diffusion.sampling.folder import fingerprint
from diffusion.sampling.generate import GUIDANCE, default_batch_size, sample_size
from diffusion.sampling.samplers import (
    ddim_steps,
    dpm_steps,
    dpm_timesteps,
    draw_noise,
    picture_generators,
)
from diffusion.schedules import Schedule, make_schedule
from diffusion.training.callbacks import KeepAverage
from illustkit._keras_compat import sync_jax_state
from illustkit.errors import UserError
from illustkit.files import expand_user
from illustkit.options import check_number, check_options
from illustkit.runtime import worker_index
from illustkit.training.batches import Batches
from illustkit.training.fit import choose_devices, fit_run, is_quiet
from illustkit.training.optimizers import (
    ClippedAdam,
    WarmupStableDecay,
    build_optimizer,
)
from illustkit.training.runs import Run
from illustkit.training.trainable import Trainable

MOST_WEIGHT = 5.0


@dataclasses.dataclass(frozen=True)
class DistillationPreset:
    """Holds the settings of `distill`; each is also one of its options.

    Args:
        steps: Evaluations of the student for a picture, 1 to 4 as a rule.
        teacher_steps: Steps of the teacher's DPM-Solver++, a multiple of `steps`.
        guidance: How strongly the teacher's wishes count; the student has it built in.
        paths: Pictures that the teacher makes to learn from.
        epochs: Passes over the paths.
        batch_size: Jumps per batch, over all devices.
        learning_rate: Highest learning rate of Adam (0.9, 0.99); it falls to zero.
        warm_up: Steps over which the learning rate rises from 0.
        clip: Norm to which gradients are clipped, or `None`.
        precision: "auto", "float32", "mixed_bfloat16" or "mixed_float16".
        seed: Decides the noise, the wishes and the order.
    """

    steps: int = 4
    teacher_steps: int = 12
    guidance: float = GUIDANCE
    paths: int = 4096
    epochs: int = 8
    batch_size: int = 16
    learning_rate: float = 3e-4
    warm_up: int = 100
    clip: float | None = 1.0
    precision: str = "auto"
    seed: int = 3407


class Student(Trainable):
    """Learns the clean picture that a jump along the teacher's path stands for.

    The loss is the squared error of x0, weighted by the signal-to-noise ratio between 1
    and 5: at the noisy end an error still counts, and the last, nearly clean jump does
    not outweigh all others.

    Example:
    ```python
    student = Student({"image_size": 16, "dim": 8, "dim_mults": (1, 2)}, objective="v")
    student.compile(keras.optimizers.Adam(3e-4))
    student.fit(Jumps(paths, batch_size=16), shuffle=False)
    ```

    Args:
        network: Dict of keyword arguments of `diffusion.UNet`.
        objective: What the network predicts: "x0" or "v".
        schedule: "cosine", "linear" or "sigmoid". Defaults to "cosine".
        timesteps: T. Defaults to 1000.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        inputs: A batch of `Jumps`.

    Returns:
        The estimated clean pictures, float32 of the shape of `x_t`.

    Reference:
        [Progressive distillation](https://arxiv.org/abs/2202.00512), section 4, for the
        targets and the least weight; [On distillation of guided diffusion models](
        https://arxiv.org/abs/2210.03142), for the guidance.
    """

    def __init__(
        self,
        network: dict[str, Any],
        *,
        objective: str,
        schedule: str = "cosine",
        timesteps: int = 1000,
        **kwargs: Any,
    ):
        super().__init__({"mse": 1}, autocast=False, **kwargs)
        self.unet = UNet(**network)
        self.network, self.objective = dict(network), objective
        self.schedule = make_schedule(schedule, timesteps)
        self.timestep_weights = np.clip(self.schedule.snr, 1, MOST_WEIGHT)
        self.built = True

    def get_config(self):
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": self.dtype_policy.name,
            "network": {**self.network, "dtype": self.unet.dtype_policy.name},
            "objective": self.objective,
            "schedule": self.schedule.kind,
            "timesteps": self.schedule.timesteps,
        }

    def call(self, inputs, training=False):
        x_t, t = (ops.convert_to_tensor(inputs[name]) for name in ("x_t", "t"))
        given = [x_t, t]
        if self.unet.self_condition:  # a jump has no estimate before it
            given.append(ops.zeros_like(x_t))
        if self.unet.attributes:
            given.append(inputs["attributes"])
        output = self.unet(given, training=training)
        return predict_x0(self.schedule, self.objective, x_t, t, output)

    def terms(self, x, y, y_pred, training):
        error = ops.mean(ops.square(y_pred - ops.cast(x["x0"], "float32")), (1, 2, 3))
        weights = ops.convert_to_tensor(self.timestep_weights.astype("float32"))
        return {"mse": ops.take(weights, x["t"]) * error}


@dataclasses.dataclass(frozen=True)
class Paths:
    """What the student learns from: jumps along the teacher's paths.

    Args:
        x_t: States where jumps begin, float16 `(n, steps, height, width, channels)`.
        x0: Clean pictures that the jumps stand for, of the shape of `x_t`.
        timesteps: Where each jump begins, from noise to picture.
        wishes: Encoded wishes, float32 `(n, width)`; `(n, 0)` without attributes.
    """

    x_t: np.ndarray
    x0: np.ndarray
    timesteps: tuple[int, ...]
    wishes: np.ndarray


class Jumps(Batches):
    """Shuffled batches of jumps along the teacher's paths.

    Args:
        paths: A `Paths`.
        batch_size: Jumps per batch, over all devices.
        seed: Int. Defaults to 0.

    Returns:
        Batches `(x,)` with `x` a dict: "x_t" and "x0" float32
        `(batch, height, width, channels)`, "t" int32 `(batch,)`, and with attributes
        "attributes", float32 `(batch, width)`.
    """

    def __init__(self, paths: Paths, *, batch_size: int, seed: int = 0):
        n, steps = paths.x_t.shape[:2]
        super().__init__(n * steps, batch_size=batch_size, seed=seed)
        self.paths = paths

    def make(self, indices, rng):
        rows, jumps = np.divmod(indices, self.paths.x_t.shape[1])
        batch = {
            "x_t": self.paths.x_t[rows, jumps].astype("float32"),
            "x0": self.paths.x0[rows, jumps].astype("float32"),
            "t": np.array(self.paths.timesteps, "int32")[jumps],
        }
        if self.paths.wishes.shape[1]:
            batch["attributes"] = self.paths.wishes[rows]
        return (batch,)


def distill(
    model: Diffuser | Run | str | os.PathLike,
    run: str | os.PathLike,
    *,
    strategy: str = "auto",
    verbose: str | int = "auto",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **settings: Any,
) -> Run:
    """Distil a model to one that makes a picture in a few evaluations.

    The teacher makes `paths` pictures of random wishes, and no other picture is needed.
    The student's guidance is built in, which halves the work of each evaluation once
    more: 4 steps of a student are 4 evaluations, 12 guided ones of its teacher 24.
    `sample`, `serve` and `export` take the run as any other; it knows its steps.
    A student can be a teacher: distil 4 steps to 2, and those to 1.

    The same call on the same folder resumes after the last whole epoch.

    Example:
    ```python
    diffusion.distill("runs/icons", "runs/four", steps=4)
    pictures = diffusion.sample("runs/four", 16)
    ```

    Args:
        model: The teacher: a `Diffuser`, a run (its folder, or the `Run`), or
            "default".
        run: Folder to write to.
        strategy: Kind of `illustkit.get_strategy`. Defaults to "auto".
        verbose: See `keras.Model.fit`. Defaults to "auto".
        callbacks: More `keras.callbacks.Callback`s.
        **settings: Fields of `DistillationPreset` to change, such as `steps=2`.

    Returns:
        The `illustkit.training.runs.Run`.

    Raises:
        UserError: If a setting is invalid, the teacher predicts "noise" or takes
            pictures of any size, or `run` holds another run.

    Reference:
        [Progressive distillation](https://arxiv.org/abs/2202.00512)
    """
    chosen = check_settings(**settings)
    devices = choose_devices(
        strategy, batch_size=chosen.batch_size, precision=chosen.precision
    )
    teacher = model if isinstance(model, Diffuser) else load_diffuser(model)
    chosen, timesteps = _planned(teacher, chosen, "guidance" in settings)
    description = {
        **settings_of(teacher),
        **dataclasses.asdict(chosen),
        "distilled": {"timesteps": timesteps, "guidance": chosen.guidance},
        "teacher": fingerprint(teacher),
    }
    run = expand_user(run)
    Run.check(run, description, kind=DIFFUSER)
    with devices.building(chosen.seed):
        student = Student(
            {k: v for k, v in teacher.network.items() if k != "dtype"},
            objective=teacher.objective,
            schedule=teacher.schedule.kind,
            timesteps=teacher.timesteps,
        )
        student.unet.set_weights(teacher.average.get_weights())
        total = chosen.epochs * (chosen.paths * chosen.steps // chosen.batch_size)
        student.compile(
            ClippedAdam(
                WarmupStableDecay(chosen.learning_rate, chosen.warm_up, total),
                beta_1=0.9,
                beta_2=0.99,
                epsilon=1e-8,
                global_clipnorm=chosen.clip,
            )
        )
        build_optimizer(student)
    started = Run.start(run, description, kind=DIFFUSER)
    paths = _kept_paths(teacher, chosen, started.folder, is_quiet(verbose))
    return fit_run(
        student,
        Jumps(paths, batch_size=chosen.batch_size, seed=chosen.seed),
        started,
        epochs=chosen.epochs,
        seed=chosen.seed,
        callbacks=[*callbacks, _KeepStudent(started)],
        verbose=verbose,
    )


def check_settings(**settings: Any) -> DistillationPreset:
    """Return the settings of `distill`, with some of them changed.

    Args:
        **settings: Fields of `DistillationPreset`.

    Raises:
        UserError: If a field's name or its value is invalid.
    """
    fields = {field.name for field in dataclasses.fields(DistillationPreset)}
    if unknown := sorted(set(settings) - fields):
        raise UserError(f"`distill` has no setting {unknown[0]}: it has {fields}")
    chosen = DistillationPreset(**settings)
    check_options(
        **{
            name: getattr(chosen, name)
            for name in ("epochs", "batch_size", "learning_rate", "precision", "seed")
        }
    )
    for name in ("steps", "teacher_steps", "paths", "warm_up"):
        check_number(name, getattr(chosen, name), whole=True, least=1)
    check_number("guidance", chosen.guidance, least=1)
    check_number("clip", chosen.clip, above=0)
    return chosen


def _planned(teacher, chosen, guided):
    """Return the settings that fit the teacher, and where the jumps begin."""
    if teacher.objective not in ("x0", "v"):
        raise UserError(
            "A model that predicts noise cannot jump from pure noise to a picture: "
            'distil one that was trained with `objective="v"` or "x0".'
        )
    sample_size(teacher)  # raises for a network of any size
    if teacher.distilled:
        times = list(teacher.distilled["timesteps"])
        own = teacher.distilled["guidance"]
        if guided and chosen.guidance != own:
            raise UserError(
                f"This teacher has guidance {own:g} built in: leave `guidance` out. "
                f"Received: {chosen.guidance:g}"
            )
        chosen = dataclasses.replace(chosen, teacher_steps=len(times), guidance=own)
    else:
        times = dpm_timesteps(
            teacher.schedule, chosen.teacher_steps, spacing="logsnr"
        )  # raises
    if len(times) % chosen.steps:
        raise UserError(
            f"`steps` divides the teacher's {len(times)} steps. "
            f"Received: {chosen.steps}"
        )
    return chosen, times[:: len(times) // chosen.steps]


def _kept_paths(teacher, chosen, folder, quiet):
    """Return the teacher's paths: those in the run's folder, or new ones."""
    shape = (*sample_size(teacher)[::-1], teacher.channels)
    shape = chosen.paths, chosen.steps, *shape
    names = [folder / f"{name}.npy" for name in ("x_t", "x0", "wishes")]
    _, timesteps = _planned(teacher, chosen, False)
    if not all(name.exists() for name in names):
        if worker_index() == 0:
            parts = [name.with_name(f"part-{name.name}") for name in names]
            stored = [
                np.lib.format.open_memmap(part, "w+", np.float16, shape)
                for part in parts[:2]
            ]
            wishes = random_wishes(teacher, chosen.paths, chosen.seed)
            np.save(parts[2], wishes)
            batch = min(chosen.paths, default_batch_size(teacher, shape[2:]))
            with tqdm(total=chosen.paths, unit="path", disable=quiet) as bar:
                for first in range(0, chosen.paths, batch):
                    rows = np.arange(first, first + batch).clip(max=chosen.paths - 1)
                    noise = draw_noise(
                        [
                            picture_generators(chosen.seed, 1, first=row)[0]
                            for row in rows
                        ],
                        shape[2:],
                    )
                    made = walk_paths(
                        teacher,
                        noise,
                        wishes[rows],
                        steps=chosen.steps,
                        teacher_steps=chosen.teacher_steps,
                        guidance=chosen.guidance,
                    )
                    n = min(batch, chosen.paths - first)
                    for whole, part in zip(stored, (made.x_t, made.x0), strict=True):
                        whole[first : first + n] = part[:n]
                    bar.update(n)
            for whole in stored:
                whole.flush()
            for part, name in zip(parts, names, strict=True):
                part.replace(name)
    x_t, x0, wishes = (np.load(name, mmap_mode="r") for name in names)
    return Paths(x_t, x0, tuple(timesteps), np.asarray(wishes))


def random_wishes(model: Diffuser, n: int, seed: int) -> np.ndarray:
    """Draw wishes of one value for each attribute, of which some are forgotten."""
    rng = np.random.default_rng((seed, 1, 0))
    wishes = np.zeros((n, model.unet.attributes), "float32")
    for place in groups(model.attributes):
        values = rng.integers(place.start, place.stop, size=n)
        wishes[np.arange(n), values] = 1
    return forget(wishes, model.attributes, rng) if model.attributes else wishes


def walk_paths(
    teacher: Diffuser,
    noise: np.ndarray,
    wishes: np.ndarray,
    *,
    steps: int,
    teacher_steps: int,
    guidance: float,
) -> Paths:
    """Walk from noise to pictures with the teacher, and keep the jumps.

    A jump from x_t to x_s is the deterministic DDIM step that leads there,
    x_s = α_s x0 + σ_s (x_t - α_t x0)/σ_t, solved for x0.

    Args:
        teacher: A `Diffuser`.
        noise: float32 `(n, height, width, channels)`.
        wishes: float32 `(n, width)`.
        steps: Jumps; they divide the teacher's steps.
        teacher_steps: Steps of DPM-Solver++; a distilled teacher has its own.
        guidance: How strongly the wishes count.

    Returns:
        A `Paths`.

    Reference:
        [Progressive distillation](https://arxiv.org/abs/2202.00512), appendix G
    """
    schedule = teacher.schedule
    asked = teacher.denoiser(
        wishes=wishes if teacher.attributes else None, guidance=guidance
    )
    jumps_already = teacher.distilled is not None
    denoise = Denoiser(
        asked,
        schedule,
        teacher.objective,
        clip=not jumps_already,
        self_condition=teacher.unet.self_condition and not jumps_already,
    )
    if teacher.distilled is not None:
        times = list(teacher.distilled["timesteps"])
        pairs = list(zip(times, [*times[1:], -1], strict=True))
        walking = ddim_steps(denoise, pairs, eta=0.0, version="2", rng=None)
    else:
        times = dpm_timesteps(schedule, teacher_steps, spacing="logsnr")
        walking = dpm_steps(schedule, times)
    every = len(times) // steps
    states = list(_walked(walking, noise, denoise))[::every]
    x0 = [_clean_of(schedule, *ends) for ends in pairwise(states)]
    return Paths(
        np.stack([state for _, state in states[:-1]], 1).astype(np.float16),
        np.stack(x0, 1).astype(np.float16),
        tuple(t for t, _ in states[:-1]),
        wishes,
    )


def _walked(steps, x: np.ndarray, denoise: Denoiser) -> Iterator[tuple[int, Any]]:
    """Yield each timestep with its state, and at last -1 with the clean picture."""
    _, t = next(steps)
    while True:
        yield t, x
        try:
            x, t = steps.send((x, *denoise(x, t)))
        except StopIteration as end:
            yield -1, end.value
            return


def _clean_of(schedule: Schedule, start, end):
    """Return the x0 with which one DDIM step leads from a state to another."""
    (t, x_t), (s, x_s) = start, end
    if s < 0:
        return x_s
    alpha, sigma = schedule.sqrt_alphas_cumprod, schedule.sqrt_one_minus_alphas_cumprod
    ratio = sigma[s] / sigma[t]
    return (x_s - float(ratio) * x_t) / float(alpha[s] - ratio * alpha[t])


class _KeepStudent(KeepAverage):
    """Saves the student after each epoch."""

    def save(self, path):
        sync_jax_state(self.model)
        self.model.unet.save_weights(path)
