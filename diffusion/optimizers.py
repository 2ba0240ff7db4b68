"""The optimizer of the training: Adam, with a rising rate and gradients cut."""

import keras
from keras import ops

from illustkit.training.optimizers import GlobalClipping


def make_optimizer(chosen):
    """Make the optimizer that settings ask for.

    Args:
        chosen: A `diffusion.training.presets.DiffusionPreset`.

    Returns:
        A `keras.optimizers.Optimizer`.
    """
    rate = chosen.learning_rate
    if chosen.warm_up:
        # Keras hands a schedule the number of batches, and not of steps.
        rate = WarmUp(rate, chosen.warm_up * chosen.accumulation)
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


@keras.saving.register_keras_serializable(package="diffusion")
class ClippedAdam(GlobalClipping, keras.optimizers.Adam):
    """Adam that cuts gradients by the norm of the whole batch's."""


@keras.saving.register_keras_serializable(package="diffusion")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises in a straight line, then stays.

    Args:
        rate: Where it stays.
        steps: Steps until there.
    """

    def __init__(self, rate, steps):
        self.rate, self.steps = rate, steps

    def __call__(self, step):
        done = ops.cast(step + 1, "float32") / self.steps
        return self.rate * ops.minimum(1.0, done)

    def get_config(self):
        return {"rate": self.rate, "steps": self.steps}
