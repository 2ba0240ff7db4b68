"""The moving average of the weights, which is what pictures are made with."""

import keras
from keras import ops


def average_decay(step, *, beta=0.995, every=10, after=100, power=2 / 3):
    """Share of the old average that is kept at a step.

    It begins at 0, a copy, and rises to `beta`, so that the average is not held back
    by the first, untrained weights: .995 is reached near step 2,928. The first update
    past `after` still is a copy.

    Args:
        step: Number of the training step, from 0.
        beta: The highest share. Defaults to 0.995.
        every: Steps between updates. Defaults to 10.
        after: Steps during which the average is a copy. Defaults to 100.
        power: How fast it rises: `1 - (1 + step - after)^-power`. Defaults to 2/3.

    Returns:
        A float from 0 to `beta`.

    Reference:
        The warm-up of ema-pytorch with its defaults, as the preprint's trainer had it.
    """
    if step <= after + every:
        return 0.0
    return min(beta, 1 - (1 + step - after) ** -power)


class Averaging(keras.callbacks.Callback):
    """Keeps `model.average` the moving average of `model.unet`.

    `SwapEMAWeights` knows neither the warm-up nor updates every tenth step. The
    optimizer's count of steps, which a backup holds, tells where it stands.

    Args:
        beta: See `average_decay`. Defaults to 0.995.
        every: Steps between updates. Defaults to 10.
        after: See `average_decay`. Defaults to 100.
        accumulation: Batches a step. Defaults to 1.
    """

    def __init__(self, beta=0.995, every=10, after=100, accumulation=1):
        super().__init__()
        self.beta, self.every, self.after = beta, every, after
        self.accumulation = accumulation
        self.step = 0

    def on_train_begin(self, logs=None):
        self.step = None

    def on_epoch_begin(self, epoch, logs=None):
        # Read where the backup has been restored: later than the beginning.
        self.step = int(ops.convert_to_numpy(self.model.optimizer.iterations))

    def on_train_batch_end(self, batch, logs=None):
        if (batch + 1) % self.accumulation:
            return
        if self.step % self.every == 0:
            self.update(
                average_decay(
                    self.step, beta=self.beta, every=self.every, after=self.after
                )
            )
        self.step += 1

    def update(self, decay):
        """Move the average: `decay` of itself, the rest of the present weights."""
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        pairs = zip(self.model.average.weights, self.model.unet.weights, strict=True)
        for average, weight in pairs:
            if decay == 0:
                # Of its own: JAX gives a step no memory that two of its inputs share.
                average.assign(ops.copy(ops.convert_to_tensor(weight)))
            else:
                change = ops.convert_to_tensor(weight) - ops.convert_to_tensor(average)
                average.assign_add((1 - decay) * change)
