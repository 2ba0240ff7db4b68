"""The optimizer of the mosaic-aware restorer."""

import keras
from keras import ops

from illustkit.training.optimizers import GlobalClipping


def make_optimizer(rate, warm, total):
    """Adam with cut gradients, whose rate rises, stays and falls.

    Without the cut a training of this network left its path once in a thousand steps,
    and with Adam's usual epsilon of 1e-7 still once in three thousand: weights whose
    gradients nearly vanish took whole steps.

    Args:
        rate: The highest learning rate.
        warm: Steps of the rise.
        total: All steps.

    Returns:
        A `keras.optimizers.Optimizer`.
    """
    schedule = WarmHoldFall(rate, warm, total)
    return ClippedAdam(schedule, epsilon=1e-5, global_clipnorm=0.6)


@keras.saving.register_keras_serializable(package="oppai")
class ClippedAdam(GlobalClipping, keras.optimizers.Adam):
    """Adam that cuts gradients by the norm of the whole batch's."""


@keras.saving.register_keras_serializable(package="oppai")
class WarmHoldFall(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises, stays, and falls to zero over the last 75 %.

    While it stays, nothing depends on the number of all steps: a training may be made
    longer or shorter then.

    Args:
        rate: The highest.
        warm: Steps of the rise.
        total: All steps.
    """

    def __init__(self, rate, warm, total):
        self.rate, self.warm, self.total = rate, warm, total

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rise = (step + 1) / self.warm
        fall = (self.total - step) / (0.75 * self.total)
        return self.rate * ops.clip(ops.minimum(rise, fall), 0.0, 1.0)

    def get_config(self):
        return {"rate": self.rate, "warm": self.warm, "total": self.total}
