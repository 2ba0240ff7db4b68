"""Gradients cut by their global norm, the same on one device and on many."""

import keras
from keras import ops


class GlobalClipping:
    """Makes an optimizer's `global_clipnorm` that of the whole batch's gradient.

    Under `tf.distribute` Keras cuts each replica's gradients before they are added up,
    by the norm of these alone, so that several devices train otherwise than one. Put it
    before the optimizer's class, and register the new class under a name of its own.

    Example:
    ```python
    @keras.saving.register_keras_serializable(package="mine")
    class ClippedSGD(GlobalClipping, keras.optimizers.SGD):
        '''SGD that cuts gradients by the norm of the whole batch's.'''

    optimizer = ClippedSGD(0.1, global_clipnorm=10.0)
    ```

    Reference:
        Pascanu et al., "On the difficulty of training recurrent neural networks"
        (2013), section 3.2.
    """

    def _clip_gradients(self, grads):
        if not self.global_clipnorm:
            return super()._clip_gradients(grads)
        squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in _summed(grads)]
        norm = ops.sqrt(sum(squares))
        share = self.global_clipnorm / ops.maximum(norm, self.global_clipnorm)
        return [g if g is None else g * ops.cast(share, g.dtype) for g in grads]


def _summed(grads):
    """Those gradients that there are, summed over the replicas."""
    known = [g for g in grads if g is not None]
    if keras.backend.backend() != "tensorflow":
        return known
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return known
    return context.all_reduce(tf.distribute.ReduceOp.SUM, known)
