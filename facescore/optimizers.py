"""The optimizers of the detector's and the scorer's training, and their schedule."""

from illustkit.training import optimizers
from illustkit.training.optimizers import (  # noqa: F401
    OPTIMIZERS,
    ClippedAdamW,
    ClippedSGD,
    build_optimizer,
)


def make_optimizer(chosen, **options):
    """Make the optimizer that settings ask for."""
    options["weight_decay"] = chosen.weight_decay
    return optimizers.make_optimizer(chosen.optimizer, chosen.learning_rate, **options)


def compile_with(model, optimizer):
    """Compile a built model so that its first step is traced once, and not twice."""
    model.compile(optimizer)
    build_optimizer(model)
