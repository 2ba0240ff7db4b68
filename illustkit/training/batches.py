"""Batches that come out the same however often a training was interrupted."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from illustkit.errors import UserError


class Batches(keras.utils.PyDataset):
    """Shuffled batches, each drawn from a generator of its own.

    Batch `i` of epoch `e` depends on `(seed, e, i)` alone: threads, restarts and the
    backend change nothing. `follow()` gives the callback that sets `epoch`; without
    it every epoch is the same, as validation wants it. The last, smaller batch is
    left out, since accelerators need one shape. Pass `shuffle=False` to `fit`.

    Example:
    ```python
    class Squares(Batches):
        def make(self, indices, rng):
            x = indices + rng.normal(size=len(indices))
            return x, x**2

    batches = Squares(100, batch_size=8)
    model.fit(batches, shuffle=False, callbacks=[batches.follow()])
    ```

    Args:
        size: Number of samples.
        batch_size: Samples in a batch, over all replicas.
        seed: Int or tuple of ints. Defaults to 0.
        shuffle: Whether each epoch has its own order. Defaults to `True`.
        lookahead: Batches made ahead by a thread. Defaults to 2.

    Raises:
        ValueError: where there are fewer samples than a batch holds.
    """

    def __init__(self, size, *, batch_size, seed=0, shuffle=True, lookahead=2):
        super().__init__()
        if size < batch_size:
            raise UserError(
                f"{size} samples do not fill one batch of {batch_size}: "
                "take a smaller `batch_size`, or more pictures."
            )
        self.size, self.batch_size, self.shuffle = size, batch_size, shuffle
        self.seed = tuple(np.atleast_1d(seed).tolist())
        self.epoch = 0
        self.lookahead = lookahead
        self._ahead = {}
        self._pool = ThreadPoolExecutor(1) if lookahead else None

    def make(self, indices, rng):
        """Make one batch.

        Args:
            indices: int array `(batch,)`, the samples' numbers.
            rng: `np.random.Generator` of this batch.

        Returns:
            `(x, y)`, NumPy arrays or structures of them.
        """
        raise TypeError(f"{type(self).__name__} gives no `make(indices, rng)`")

    def follow(self):
        """Return the callback that tells the batches which epoch `fit` is in."""
        return keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: setattr(self, "epoch", epoch)
        )

    def __len__(self):
        return self.size // self.batch_size

    def __getitem__(self, index):
        if self._pool is None:
            return self._batch(self.epoch, index)
        key = (self.epoch, index)
        # The epoch is part of the key: a batch made for another is never used. Where
        # `fit` goes its own way, what was made ahead in vain is not kept either.
        last = min(index + 1 + self.lookahead, len(self))
        wanted = [(self.epoch, i) for i in range(index, last)]
        for old in self._ahead.keys() - set(wanted):
            self._ahead.pop(old).cancel()
        for new in wanted:
            if new not in self._ahead:
                self._ahead[new] = self._pool.submit(self._batch, *new)
        return self._ahead.pop(key).result()

    def _batch(self, epoch, index):
        order = np.arange(self.size)
        if self.shuffle:
            np.random.default_rng((*self.seed, epoch)).shuffle(order)
        start = index * self.batch_size
        rng = np.random.default_rng((*self.seed, epoch, index))
        return self.make(order[start : start + self.batch_size], rng)


def even_batch_size(size, at_most, multiple_of=1):
    """Batch size with which a validation set leaves out as little as can be.

    Example:
    ```python
    even_batch_size(20, 16)  # 10: two full batches, where 16 would leave out 4
    ```

    Args:
        size: Number of samples.
        at_most: Largest batch size.
        multiple_of: Number of replicas.

    Returns:
        An int, at least `multiple_of`.
    """
    n_batches = -(-size // at_most)
    return max(multiple_of, size // n_batches // multiple_of * multiple_of)
