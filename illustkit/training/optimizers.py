"""Optimizers that clip gradients by the whole batch's norm, and their schedules."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from illustkit._keras_compat import GlobalClipping

OPTIMIZERS = "adamw", "sgd"


def make_optimizer(
    name: str,
    learning_rate: float,
    *,
    weight_decay: float,
    steps: int,
    warm_up: int,
    first: float,
    last: float,
    momentum: float,
    nesterov: bool,
    clip: float = 10.0,
    ema: float | None = None,
) -> keras.optimizers.Optimizer:
    """Make an optimizer whose rate rises linearly and falls along a cosine.

    Biases, and the variables that scale or shift features, do not decay.

    Args:
        name: "adamw" or "sgd".
        learning_rate: The highest rate.
        weight_decay: Decay of the other variables.
        steps: Number of all steps.
        warm_up: Steps until the rate is the highest.
        first: First rate, as a fraction of the highest.
        last: Last rate, as a fraction of the highest.
        momentum: Momentum of "sgd".
        nesterov: Whether the momentum of "sgd" is Nesterov's.
        clip: Global norm that gradients are clipped to. Defaults to 10.
        ema: Decay of a moving average of the weights, for
            `illustkit._keras_compat.SwapAverage`. Defaults to `None`, no average.

    Returns:
        A `keras.optimizers.Optimizer`.
    """
    rate = keras.optimizers.schedules.CosineDecay(
        first * learning_rate,
        max(1, steps - warm_up),
        alpha=last,
        warmup_target=learning_rate,
        warmup_steps=warm_up,
    )
    options: dict[str, Any] = {"weight_decay": weight_decay, "global_clipnorm": clip}
    if ema:
        options |= {"use_ema": True, "ema_momentum": ema}
    if name == "sgd":
        optimizer = ClippedSGD(rate, momentum, nesterov=nesterov, **options)
    else:
        optimizer = ClippedAdamW(rate, **options)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "offsets"])
    return optimizer


def build_optimizer(model: keras.Model) -> None:
    """Make the variables of a compiled model's optimizer before the first step.

    TensorFlow traces a step a second time if the first trace made variables. Call it in
    the strategy's scope.

    Args:
        model: A built and compiled model.
    """
    model.optimizer.build(model.trainable_variables)


def also_registered(*names: str) -> Callable[[type], type]:
    """Return a decorator that registers a class under names of older versions as well.

    Args:
        *names: Registered names that saved files hold, such as "oppai>ClippedAdam".
    """

    def register(cls: type) -> type:
        keras.saving.get_custom_objects().update(dict.fromkeys(names, cls))
        return cls

    return register


@also_registered("oppai>ClippedAdam", "diffusion>ClippedAdam")
@keras.saving.register_keras_serializable(package="illustkit")
class ClippedAdam(GlobalClipping, keras.optimizers.Adam):
    """Adam that clips gradients by the norm of the whole batch's."""


@also_registered("facescore>ClippedAdamW")
@keras.saving.register_keras_serializable(package="illustkit")
class ClippedAdamW(GlobalClipping, keras.optimizers.AdamW):
    """AdamW that clips gradients by the norm of the whole batch's."""


@also_registered("facescore>ClippedSGD")
@keras.saving.register_keras_serializable(package="illustkit")
class ClippedSGD(GlobalClipping, keras.optimizers.SGD):
    """SGD that clips gradients by the norm of the whole batch's."""


@also_registered("oppai>WarmHoldFall", "diffusion>WarmUp")
@keras.saving.register_keras_serializable(package="illustkit")
class WarmupStableDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly, stays, and falls linearly to zero.

    It falls over the last 75 % of the steps. While it stays, nothing depends on the
    number of all steps: a training can still be made longer or shorter then. Keras'
    schedules have a warm-up with a cosine only.

    Example:
    ```python
    rate = WarmupStableDecay(4e-4, warm=500, total=14_000)
    optimizer = ClippedAdam(rate, global_clipnorm=1.0)
    ```

    Args:
        rate: The highest rate.
        warm: Steps of the rise.
        total: Number of all steps. Defaults to `None`: the rate never falls.

    Reference:
        [Scaling laws and compute-optimal training beyond fixed training durations](
        https://arxiv.org/abs/2405.18392)
    """

    def __init__(self, rate: float, warm: int, total: int | None = None) -> None:
        self.rate, self.warm, self.total = rate, warm, total

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        height = (step + 1) / self.warm
        if self.total is not None:
            fall = (self.total - step) / (0.75 * self.total)
            height = ops.minimum(height, fall)
        return self.rate * ops.clip(height, 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"rate": self.rate, "warm": self.warm, "total": self.total}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "WarmupStableDecay":
        config = dict(config)
        if "steps" in config:  # of `WarmUp`
            config["warm"] = config.pop("steps")
        return cls(**config)


# The names of older versions, which saved files record beside the module.
WarmHoldFall = WarmUp = WarmupStableDecay
