"""The optimizer of the training: Adam, with a rising rate and gradients cut."""

import keras
from keras import ops


def make_optimizer(chosen):
    """Make the optimizer that settings ask for.

    Args:
        chosen: A `diffusion.presets.DiffusionPreset`.

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
class ClippedAdam(keras.optimizers.Adam):
    """Adam that cuts gradients by the norm of the whole batch's.

    Under `tf.distribute` Keras cuts each device's gradients before they are added up,
    by the norm of these alone, so that several devices train otherwise than one.
    """

    def _clip_gradients(self, grads):
        if not self.global_clipnorm:
            return super()._clip_gradients(grads)
        known = [g for g in _added_up(grads) if g is not None]
        squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in known]
        norm = ops.sqrt(sum(squares))
        share = self.global_clipnorm / ops.maximum(norm, self.global_clipnorm)
        return [g if g is None else g * ops.cast(share, g.dtype) for g in grads]


def _added_up(grads):
    if keras.backend.backend() != "tensorflow":
        return grads
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return grads
    known = [g for g in grads if g is not None]
    return context.all_reduce(tf.distribute.ReduceOp.SUM, known)


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
