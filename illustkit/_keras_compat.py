"""Every touch of private Keras, with its reason: what a new Keras may break.

`tests/illustkit/test_keras_compat.py` holds a test of each. It passes with
Keras 3.10.0, 3.13.2 and 3.15.1.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import h5py
import keras
from keras import ops


class GlobalClipping:
    """Makes an optimizer's `global_clipnorm` that of the whole batch's gradient.

    Under `tf.distribute` Keras clips each replica's gradients by the norm of these
    alone, before it adds them up: two replicas whose gradients (3, 0) and (0, 4) are
    clipped to a norm of 1 give the sum (1, 1), where one device gives (0.6, 0.8). Put
    this class before the optimizer's, and register the new class.

    Private: overrides `Optimizer._clip_gradients`, since `Optimizer.apply` clips after
    it has accumulated gradients, and has no public step between the two.

    Example:
    ```python
    @keras.saving.register_keras_serializable(package="mine")
    class ClippedSGD(GlobalClipping, keras.optimizers.SGD):
        '''SGD that clips gradients by the norm of the whole batch's.'''

    optimizer = ClippedSGD(0.1, global_clipnorm=10.0)
    ```

    Reference:
        Pascanu et al., "On the difficulty of training recurrent neural networks"
        (2013), section 3.2.
    """

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        if not self.global_clipnorm:  # type: ignore[attr-defined]  # the optimizer's
            return super()._clip_gradients(grads)  # type: ignore[misc]  # likewise
        return clip_by_whole_norm(grads, self.global_clipnorm)  # type: ignore[attr-defined]


def clip_by_whole_norm(grads: list[Any], limit: float) -> list[Any]:
    """Clip gradients by the norm of all of them, summed over the replicas.

    Args:
        grads: The gradients of one replica, or `None`s.
        limit: The norm above which they are scaled down to it.
    """
    squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in _summed(grads)]
    norm = ops.sqrt(sum(squares))
    scale = limit / ops.maximum(norm, limit)
    return [g if g is None else g * ops.cast(scale, g.dtype) for g in grads]


def _summed(grads: list[Any]) -> list[Any]:
    """Return the gradients that are not `None`, summed over the replicas."""
    grads = [g for g in grads if g is not None]
    if keras.backend.backend() != "tensorflow":
        return grads
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return grads
    return context.all_reduce(tf.distribute.ReduceOp.SUM, grads)


class BuiltFromOneReplica(keras.Model):
    """A model that learns its shapes from one replica's batch.

    Keras averages the first batch over the replicas of a `tf.distribute.Strategy` to
    learn its shapes. Several workers cannot average a dict or a tuple ("Attempt to
    convert a value with an unsupported type"), and no strategy averages bools.

    Private: overrides `Trainer._maybe_symbolic_build` and reads `_distribute_strategy`,
    which is `None` without a strategy; the public `distribute_strategy` never is.
    """

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None):
        strategy = getattr(self, "_distribute_strategy", None)
        if strategy is not None and iterator is not None:
            # (step, iterator) in Keras 3.10, (first, last, iterator) in 3.13.
            first = next(next(iter(iterator))[-1])
            data_batch = keras.tree.map_structure(
                lambda value: strategy.experimental_local_results(value)[0], first
            )
            iterator = None
        super()._maybe_symbolic_build(iterator, data_batch)


def average_scalar_logs() -> None:
    """Let several workers average scalar logs, where Keras reduces over axis 0.

    Without it `fit` fails on two workers ("Invalid reduction dimension 0").

    Private: replaces `reduce_per_replica` in Keras' TensorFlow trainer, which has no
    public place for it. A second call changes nothing.

    Reference:
        https://github.com/keras-team/keras/issues/20585
    """
    from keras.src.backend.tensorflow import trainer

    if getattr(trainer.reduce_per_replica, "takes_scalars", False):
        return
    original = trainer.reduce_per_replica

    def reduce_per_replica(values, strategy, reduction):
        if trainer._collective_all_reduce_multi_worker(strategy) and (
            reduction in ("auto", "mean")
        ):
            return keras.tree.map_structure(
                lambda value: strategy.reduce("MEAN", value, axis=None), values
            )
        return original(values, strategy, reduction)

    reduce_per_replica.takes_scalars = True  # type: ignore[attr-defined]
    trainer.reduce_per_replica = reduce_per_replica


def sync_jax_state(model: keras.Model) -> None:
    """Bring a model's variables up to date within `fit`; on TensorFlow they always are.

    On JAX the steps of an epoch keep their state outside the model, so that a callback
    that reads weights sees those of the epoch's beginning.

    Private: calls `Model.jax_state_sync`, which Keras' own callbacks call and its
    documentation does not mention.

    Args:
        model: The model that is trained.
    """
    if keras.backend.backend() == "jax":
        model.jax_state_sync()


@contextlib.contextmanager
def optimizer_of(model: keras.Model, path: str | os.PathLike[str]) -> Iterator[None]:
    """Return a context in which a model can load weights saved in another precision.

    In "mixed_float16" Keras wraps the optimizer in one that scales the loss. Weights
    that were saved with the wrapper, or without it, do not load into the other: Keras
    leaves the optimizer's state out with a warning, so that a schedule of the learning
    rate begins anew.

    Private: knows the names of an optimizer's groups in a `.weights.h5`.

    Args:
        model: A compiled model whose optimizer is built.
        path: The `.weights.h5` that is loaded within the context.
    """
    own = model.optimizer
    with h5py.File(path) as file:
        saved = file["optimizer"] if "optimizer" in file else None
        scaled = saved is not None and "inner_optimizer" in saved
    scales = isinstance(own, keras.optimizers.LossScaleOptimizer)
    if saved is None or scaled == scales:
        yield
        return
    if scales:
        model.optimizer = own.inner_optimizer
    else:
        # It builds its own few variables; those of the inner optimizer stay.
        model.optimizer = keras.optimizers.LossScaleOptimizer(own)
        model.optimizer.build(model.trainable_variables)
    try:
        yield
    finally:
        model.optimizer = own


def seed_states(model: keras.Model) -> list[keras.Variable]:
    """Return the states of a model's seed generators, each (seed, count of draws).

    Private: finds them by the name that `keras.random.SeedGenerator` gives its state.

    Args:
        model: A model, such as one with dropout.
    """
    return [v for v in model.variables if v.name == "seed_generator_state"]


class SwapAverage(keras.callbacks.SwapEMAWeights):
    """Puts the moving average of the weights into the model between two epochs.

    Callbacks behind it measure and save the average; the optimizer, made with
    `use_ema=True`, keeps the weights that go on training. Keras' own callback forgets
    which of the two a model holds that a backup was loaded into.

    Private: sets `SwapEMAWeights._ema_weights_in_model`.

    Args:
        resumed: Whether the training goes on after an epoch of before.
    """

    def __init__(self, resumed: bool) -> None:
        super().__init__(swap_on_epoch=True)
        self._ema_weights_in_model = resumed
