"""The trainable diffusion model: a U-Net, its moving average, and their loss."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from diffusion.attributes import Schema, width
from diffusion.icons import CHANNELS
from diffusion.network.graph import DEFAULT, SHIPPED, SHIPPED_SAMPLING, shipped_name
from diffusion.network.unet import UNet
from diffusion.process import (
    OBJECTIVES,
    VERSIONS,
    check_objective,
    input_scales,
    loss_weights,
    predict_x0,
    q_sample,
    target,
)
from diffusion.schedules import SCHEDULES, make_schedule
from illustkit.deprecation import renamed_keywords
from illustkit.errors import UserError, reading
from illustkit.images import uint8_to_signed
from illustkit.options import check_choice, check_number, check_options
from illustkit.runtime import precision as precision_scope
from illustkit.runtime import replicas
from illustkit.training.folder import SETTINGS
from illustkit.training.runs import Run, RunKind
from illustkit.training.shipped import load_network, save_network
from illustkit.training.trainable import Trainable, move_averages, state_of

LOSSES = "l1", "mse"
MOST_TIMESTEPS = 1_000_000
CHOICES = {
    "schedule": SCHEDULES,
    "objective": OBJECTIVES,
    "loss": LOSSES,
    "version": VERSIONS,
}
"""What a run's settings may be, by their names."""
NEEDED = *CHOICES, "channels", "timesteps", "dim", "dim_mults", "image_size"
NEEDED += "dropout", "self_condition"
AVERAGE = "average.weights.h5"
DIFFUSER = RunKind("diffusion model", frozenset({"timesteps"}))


class Diffuser(Trainable):
    """Trains a U-Net to remove noise, and holds the moving average of its weights.

    Example:
    ```python
    diffuser = Diffuser({"image_size": (64, 64), "dim": 32}, objective="noise")
    diffuser.compile(keras.optimizers.Adam(1e-4, 0.9, 0.99, 1e-8))
    diffuser.fit(batches, shuffle=False, callbacks=[Averaging()])
    ```

    Args:
        network: Dict of keyword arguments of `diffusion.UNet`.
        schedule: "cosine", "linear" or "sigmoid". Defaults to "cosine".
        timesteps: T. Defaults to 1000.
        objective: What the network predicts: "noise", "x0", "v", or "edm" for
            preconditioned training; see `diffusion.process.preconditioning`. Defaults
            to "noise".
        loss: "l1" or "mse". Defaults to "l1".
        min_snr_gamma: Cap of the signal-to-noise ratio in the loss weights; see
            `diffusion.process.loss_weights`. Defaults to `None`, no cap.
        attributes: Names of what its pictures can be asked for, each with its values.
            Defaults to none.
        distilled: What `diffusion.distill` made of it: "timesteps", those of its few
            steps, and "guidance", which is built in. Defaults to `None`.
        focus: (left, top, right, bottom) in pixels of the box whose errors count
            `focus_weight` times. The network that errs least is the same; one that is
            too small or trained too briefly errs less there. Defaults to `None`.
        focus_weight: See `focus`. Defaults to 1.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        inputs: A batch of `diffusion.training.noised_icons.NoisedIcons`.

    Returns:
        The network's prediction, float32, of the shape of the pictures.

    Raises:
        ValueError: If `objective`, `loss` or an argument of the network is invalid.

    Reference:
        - [Denoising diffusion probabilistic models](https://arxiv.org/abs/2006.11239)
        - [Analog bits](https://arxiv.org/abs/2208.04202), for self-conditioning
    """

    def __init__(
        self,
        network: Mapping[str, Any],
        *,
        schedule: str = "cosine",
        timesteps: int = 1000,
        objective: str = "noise",
        loss: str = "l1",
        min_snr_gamma: float | None = None,
        attributes: Schema | None = None,
        distilled: Mapping[str, Any] | None = None,
        focus: Sequence[int] | None = None,
        focus_weight: float = 1.0,
        **kwargs: Any,
    ):
        check_objective(objective)
        if loss not in LOSSES:
            raise UserError(f"`loss` must be one of {LOSSES}. Received: {loss!r}")
        # The noise stays float32 under any precision, since it is the target.
        super().__init__({loss: 1}, autocast=False, **kwargs)
        self.attributes = {k: list(v) for k, v in (attributes or {}).items()}
        self.distilled = dict(distilled) if distilled else None
        if self.attributes:
            network = {**network, "attributes": width(self.attributes)}
        self.unet, self.average = UNet(**network), UNet(**network)
        self.average.set_weights(self.unet.get_weights())
        self.average.trainable = False
        self.network = dict(network)
        self.schedule = make_schedule(schedule, timesteps)
        self.objective, self.loss_name = objective, loss
        self.min_snr_gamma = min_snr_gamma
        self.timestep_weights = loss_weights(
            self.schedule,
            objective,
            min_snr_gamma=min_snr_gamma,
            version=self.unet.version,
        ).astype("float32")
        self.input_scales = None
        if objective == "edm":
            self.input_scales = input_scales(self.schedule).astype("float32")
        self.focus = list(focus) if focus else None
        self.focus_weight = focus_weight
        self.averaging: dict[str, Any] | None = None
        self.batches_seen = state_of(self, "batches_seen", (), "int32")
        self.steps_averaged = state_of(self, "steps_averaged", (), "int32")
        self.built = True

    sampling: tuple[str, int | None] = ("ddim", None)
    """Sampler and steps where `diffusion.sample` is told none; `None` for 50 steps."""

    def get_config(self):
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": self.dtype_policy.name,
            # The networks take the policy that was global when they were built.
            "network": {**self.network, "dtype": self.unet.dtype_policy.name},
            "schedule": self.schedule.kind,
            "timesteps": self.schedule.timesteps,
            "objective": self.objective,
            "loss": self.loss_name,
            "min_snr_gamma": self.min_snr_gamma,
            "attributes": self.attributes,
            "distilled": self.distilled,
            "focus": self.focus,
            "focus_weight": self.focus_weight,
        }

    @property
    def timesteps(self) -> int:
        """Return T, the number of timesteps."""
        return self.schedule.timesteps

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Return (width, height) of the pictures; `None` if the network takes any."""
        return self.unet.image_size

    @property
    def channels(self) -> int:
        """Return the number of channels of the pictures."""
        return self.unet.channels

    def call(self, inputs, training=False):
        x0 = uint8_to_signed(inputs["pictures"])
        t = ops.convert_to_tensor(inputs["t"])
        x_t = q_sample(self.schedule, x0, t, inputs["noise"])
        said = [inputs["attributes"]] if self.attributes else []
        # A validation within a training is of the weights that are kept.
        unet = self.unet if training or self.averaging is None else self.average
        seen = x_t
        if self.input_scales is not None:
            scales = ops.take(ops.convert_to_tensor(self.input_scales), t)
            seen = x_t * scales[:, None, None, None]
        if not self.unet.self_condition:
            return ops.cast(unet([seen, t, *said], training=training), "float32")
        output = unet([seen, t, ops.zeros_like(x_t), *said], training=training)
        own = predict_x0(self.schedule, self.objective, x_t, t, output)
        # Clipped, as a sampler's estimates are: at the noisiest timesteps it is huge.
        own = ops.stop_gradient(ops.clip(own, -1, 1))
        own = own * inputs["see_own"][:, None, None, None]
        output = unet([seen, t, own, *said], training=training)
        return ops.cast(output, "float32")

    def load_own_variables(self, store):
        # Backups of versions before these counts have none: `Averaging` sets them.
        if len(store.keys()):
            super().load_own_variables(store)

    def plan_average(
        self,
        *,
        beta: float = 0.995,
        every: int = 10,
        after: int = 100,
        accumulation: int = 1,
    ) -> None:
        """Let each training step move the average; `Averaging` does the rest.

        Args:
            beta: See `diffusion.training.callbacks.average_decay`. Defaults to 0.995.
            every: Steps between updates. Defaults to 10.
            after: See `diffusion.training.callbacks.average_decay`. Defaults to 100.
            accumulation: Batches in a step. Defaults to 1.
        """
        plan = {"beta": beta, "every": every, "after": after}
        plan["accumulation"] = accumulation
        if plan != self.averaging:
            self.averaging, self.train_function = plan, None

    def move_average(self) -> None:
        """Take the weights after the last step into their average, if that is due.

        A step begins with the weights that the last one left, so that it moves the
        average for that one, and `Averaging` moves it after the last of an epoch.
        """
        if self.averaging is None:
            return
        plan = self.averaging
        done = self.batches_seen.value // plan["accumulation"]
        last = done - 1
        due = ops.logical_and(
            done > self.steps_averaged.value, last % plan["every"] == 0
        )
        decay = warm_decay(last, plan["beta"], plan["every"], plan["after"])
        move_averages(self.average.weights, self.unet.weights, decay, due)
        self.steps_averaged.assign(done)

    def compute_loss(self, *args, training=True, **kwargs):
        if training:
            self.move_average()
            self.batches_seen.assign_add(1)
        return super().compute_loss(*args, training=training, **kwargs)

    def terms(self, x, y, y_pred, training):
        x0, t = uint8_to_signed(x["pictures"]), x["t"]
        error = y_pred - target(self.schedule, self.objective, x0, t, x["noise"])
        error = ops.abs(error) if self.loss_name == "l1" else ops.square(error)
        if self.focus:
            left, top, right, bottom = self.focus
            pixels = np.ones((*error.shape[1:3], 1), "float32")
            pixels[top:bottom, left:right] = self.focus_weight
            error = error * ops.convert_to_tensor(pixels / pixels.mean())
        weight = ops.take(ops.convert_to_tensor(self.timestep_weights), t)
        return {self.loss_name: weight * ops.mean(error, axis=(1, 2, 3))}

    def denoiser(
        self,
        average: bool = True,
        *,
        wishes: np.ndarray | None = None,
        guidance: float = 1.0,
    ) -> Callable[..., np.ndarray]:
        """Return the network as a function that the samplers call.

        Args:
            average: Whether to use the averaged weights. Defaults to `True`.
            wishes: What `diffusion.attributes.encode` made of a wish for each picture
                of a batch. Defaults to `None`, no wish.
            guidance: How strongly the wishes count: the output is moved this many
                times as far from that without a wish as the wish itself moves it. 1
                asks the network once, any other number twice. A distilled model has
                its guidance built in, and is asked once. Defaults to 1.

        Returns:
            A function of `x_t` `(batch, height, width, channels)`, `t` `(batch,)` and,
            for a self-conditioned network, its last estimate, to a NumPy array.

        Raises:
            UserError: If the model was trained without attributes, and there are
                wishes.

        Reference:
            Ho and Salimans, "Classifier-free diffusion guidance" (2022), equation 6,
            with w = guidance - 1.
        """
        if wishes is not None and not self.attributes:
            raise UserError("This model was trained without attributes to wish for.")
        guided = wishes is not None and guidance != 1 and not self.distilled
        network = self.average if average else self.unet
        sharing = replicas(None)

        def model(x_t, t, x_self_cond=None):
            inputs = [np.asarray(x_t, "float32"), np.asarray(t, "int32")]
            if self.input_scales is not None:
                scales = self.input_scales[inputs[1]]
                inputs[0] = inputs[0] * scales[:, None, None, None]
            if self.unet.self_condition:
                own = np.zeros_like(inputs[0]) if x_self_cond is None else x_self_cond
                inputs.append(np.asarray(own, "float32"))
            if self.attributes:
                said = np.zeros((len(x_t), self.unet.attributes), "float32")
                inputs.append(said if wishes is None else said + wishes)
            if guided:
                inputs = [np.concatenate([each, each]) for each in inputs]
                inputs[-1][len(x_t) :] = 0
            # Padded, since devices share a batch equally; under a strategy each of
            # them returns the same pictures, one after another.
            n = len(inputs[0])
            rows = np.arange(-(-n // sharing) * sharing).clip(max=n - 1)
            output = network.predict_on_batch([each[rows] for each in inputs])
            output = np.asarray(output, "float32")[:n]
            if not guided:
                return output
            wished, without = np.split(output, 2)
            return without + np.float32(guidance) * (wished - without)

        return model


def warm_decay(
    step: Any, beta: float, every: int, after: int, power: float = 2 / 3
) -> Any:
    """Compute `diffusion.training.callbacks.average_decay` of a tensor of a step."""
    since = ops.cast(ops.maximum(step - after, 0), "float32")
    decay = ops.minimum(beta, 1 - (1 + since) ** -power)
    return ops.where(step <= after + every, ops.zeros_like(decay), decay)


def _check_settings(run: Run) -> None:
    """Raise a `UserError` unless a run's settings describe a model."""
    of = run.settings
    try:
        for name in NEEDED:
            if of[name] is None:
                raise UserError(f"`{name}` is missing")
        for name in ("schedule", "objective", "loss", "version"):
            check_choice(name, of[name], CHOICES[name])
        check_choice("channels", of["channels"], CHANNELS)
        check_options(timesteps=of["timesteps"], self_condition=of["self_condition"])
        check_number("timesteps", of["timesteps"], most=MOST_TIMESTEPS)
        check_number("min_snr_gamma", of["min_snr_gamma"], above=0)
        check_number("dim", of["dim"], whole=True, least=4)
        for name in ("dropout", "self_condition"):
            check_number(name, of[name], least=0, most=1)
        for name in ("dim_mults", "image_size"):
            if not isinstance(of[name], list) or not of[name]:
                raise UserError(f"`{name}` is a list of numbers. Received: {of[name]}")
            for number in of[name]:
                check_number(name, number, whole=True, least=1)
        if len(of["image_size"]) != 2 or of["dim"] % 2:
            raise UserError("`image_size` is a pair, and `dim` is even.")
    except KeyError as error:
        raise UserError(
            f"{run.folder / SETTINGS} lacks {error}: train again, or name another run."
        ) from None
    except UserError as error:
        text = str(error).replace("`", "")  # no options, but lines of a file
        raise UserError(
            f"{run.folder / SETTINGS} describes no model ({text}): train again, or "
            "name another run."
        ) from None


def build_diffuser(settings: Mapping[str, Any]) -> Diffuser:
    """Build the untrained model that a run's settings describe.

    Args:
        settings: Dict, as `Run.settings`.

    Returns:
        A `Diffuser`.
    """
    network = {
        "image_size": settings["image_size"],
        "dim": settings["dim"],
        "dim_mults": tuple(settings["dim_mults"]),
        "channels": settings["channels"],
        "version": settings["version"],
        "self_condition": settings["self_condition"] > 0,
        "dropout": settings["dropout"],
    }
    if settings.get("patch"):
        network["patch"] = settings["patch"]
    names = "schedule", "timesteps", "objective", "loss", "min_snr_gamma"
    return Diffuser(
        network,
        attributes=settings.get("attributes"),
        distilled=settings.get("distilled"),
        focus=settings.get("focus"),
        focus_weight=settings.get("focus_weight", 1.0),
        **{name: settings[name] for name in names},
    )


@renamed_keywords(dtype="precision")
def load_diffuser(
    run: str | os.PathLike | Run, *, precision: str = "float32"
) -> Diffuser:
    """Load a trained model, ready for `diffusion.sample`.

    Example:
    ```python
    diffuser = diffusion.load_diffuser("runs/icons")
    pictures = diffusion.sample(diffuser, 16)
    ```

    Args:
        run: A run folder: its path, or the `Run` that `diffusion.train` returned; or
            "default" or "quick", the models that come with the package.
        precision: Dtype policy, or "auto": "mixed_bfloat16" where it is quicker.
            Defaults to "float32".

    Returns:
        A `Diffuser` whose two networks both have the averaged weights.

    Raises:
        UserError: If there is no such run or precision, or no weights in it.
    """
    check_options(precision=precision)
    if name := shipped_name(run):
        return load_shipped(SHIPPED[name], precision=precision)
    run = DIFFUSER.open(run)
    _check_settings(run)
    fix = "Train it again, or name another."
    with precision_scope(precision), reading(run.folder / SETTINGS, fix):
        diffuser = build_diffuser(run.settings)
    run.load_weights(diffuser.average, AVERAGE)
    diffuser.unet.set_weights(diffuser.average.get_weights())
    return diffuser


def save_shipped(
    run: str | os.PathLike | Run, path: str | os.PathLike = SHIPPED[DEFAULT]
) -> Path:
    """Store a run's averaged weights in float16, with its settings, in one file.

    Example:
    ```python
    save_shipped("runs/icons", "default.npz")
    ```

    Args:
        run: A run folder, or a `Run`.
        path: The `.npz` to write. Defaults to the package's "default".

    Returns:
        The path, once the file is whole.

    Raises:
        UserError: If there is no such run, or float16 cannot hold a weight.
    """
    run = DIFFUSER.open(run)
    kept = *NEEDED, "min_snr_gamma", "patch", "attributes", "distilled"
    settings = {name: run.settings[name] for name in kept if name in run.settings}
    return save_network(load_diffuser(run).average, settings, path)


def load_shipped(
    path: str | os.PathLike = SHIPPED[DEFAULT], *, precision: str = "float32"
) -> Diffuser:
    """Load a model that `save_shipped` stored.

    Example:
    ```python
    diffuser = diffusion.load_diffuser("default")  # what samples with it
    ```

    Args:
        path: The `.npz`. Defaults to the package's "default".
        precision: See `load_diffuser`. Defaults to "float32".

    Returns:
        A `Diffuser` whose two networks both have the averaged weights.

    Raises:
        UserError: If the file is missing or does not fit the network.
    """
    built = []

    def build(settings: dict[str, Any]) -> Any:
        with precision_scope(precision):
            built.append(build_diffuser(settings))
        return built[0].average

    load_network(path, build)
    (diffuser,) = built
    if not diffuser.distilled:
        diffuser.sampling = SHIPPED_SAMPLING
    diffuser.unet.set_weights(diffuser.average.get_weights())
    return diffuser
