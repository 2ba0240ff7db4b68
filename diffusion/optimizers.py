"""The optimizer of the training: Adam, with a rising rate and gradients clipped."""

from illustkit.training.optimizers import (  # noqa: F401
    ClippedAdam,
    WarmUp,
    WarmupStableDecay,
)


def make_optimizer(chosen):
    """Make the optimizer that settings ask for."""
    rate = chosen.learning_rate
    if chosen.warm_up:
        # Keras hands a schedule the number of batches, and not of steps.
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
