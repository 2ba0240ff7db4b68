"""The optimizers of the detector's and the scorer's training, and their schedule."""

import keras

from illustkit.training.optimizers import GlobalClipping

OPTIMIZERS = "adamw", "sgd"


def make_optimizer(chosen, *, steps, warm_up, first, last, momentum, nesterov):
    """Make an optimizer whose rate rises in a line and falls along a cosine.

    Gradients are cut to a global norm of 10; biases and what scales or shifts
    features do not decay.

    Args:
        chosen: Settings with `optimizer`, `learning_rate` and `weight_decay`.
        steps: Steps in all.
        warm_up: Steps until the rate is the greatest.
        first: First rate, as a share of the greatest.
        last: Last rate, likewise.
        momentum: Of "sgd".
        nesterov: Whether "sgd" has Nesterov's momentum.

    Returns:
        A `keras.optimizers.Optimizer`.
    """
    rate = keras.optimizers.schedules.CosineDecay(
        first * chosen.learning_rate,
        max(1, steps - warm_up),
        alpha=last,
        warmup_target=chosen.learning_rate,
        warmup_steps=warm_up,
    )
    options = {"weight_decay": chosen.weight_decay, "global_clipnorm": 10.0}
    if chosen.optimizer == "sgd":
        optimizer = ClippedSGD(rate, momentum, nesterov=nesterov, **options)
    else:
        optimizer = ClippedAdamW(rate, **options)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "offsets"])
    return optimizer


@keras.saving.register_keras_serializable(package="facescore")
class ClippedAdamW(GlobalClipping, keras.optimizers.AdamW):
    """AdamW that cuts gradients by the norm of the whole batch's."""


@keras.saving.register_keras_serializable(package="facescore")
class ClippedSGD(GlobalClipping, keras.optimizers.SGD):
    """SGD that cuts gradients by the norm of the whole batch's."""


def compile_with(model, optimizer):
    """Compile a built model so that its first step is traced once, and not twice.

    TensorFlow traces a step again where the first trace made variables: those of the
    optimizer are made here. Call it within the strategy's scope.

    Args:
        model: A built `illustkit.training.trainable.Trainable`.
        optimizer: A `keras.optimizers.Optimizer`.
    """
    model.compile(optimizer)
    model.optimizer.build(model.trainable_variables)
