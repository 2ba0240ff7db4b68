"""Batches that come out the same however often a training was interrupted."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from illustkit.errors import UserError


class Batches(keras.utils.PyDataset):
    """Shuffled batches, each drawn from a random generator of its own.

    Batch `i` of epoch `e` depends on `(seed, e, i)` only: threads, restarts and the
    backend change nothing. `follow()` returns the callback that sets `epoch`; without
    it every epoch is the same, as a validation needs it. The last, smaller batch is
    dropped, since accelerators need one shape. Pass `shuffle=False` to `fit`.

    A thread makes batches ahead. Keras prefetches a `PyDataset` on TensorFlow only: the
    thread saves 7 to 9 % of an epoch on JAX and 1 to 10 % on TensorFlow; two workers of
    Keras lose up to 19 %; `tf.data` is as fast, but JAX would need TensorFlow for it
    (`benchmarks/prefetch.py`).

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
        lookahead: Batches that the thread makes ahead; 0 for no thread. Defaults to 2.

    Raises:
        UserError: If there are fewer samples than a batch holds.
    """

    def __init__(
        self,
        size: int,
        *,
        batch_size: int,
        seed: int | Sequence[int] = 0,
        shuffle: bool = True,
        lookahead: int = 2,
    ) -> None:
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
        self._ahead: dict[tuple[int, int], Future[Any]] = {}
        self._pool = ThreadPoolExecutor(1) if lookahead else None

    def make(self, indices: np.ndarray, rng: np.random.Generator) -> Any:
        """Make one batch.

        Args:
            indices: int array `(batch,)`, the samples' numbers.
            rng: The batch's random generator.

        Returns:
            `(x, y)`, NumPy arrays or structures of them.
        """
        raise TypeError(f"{type(self).__name__} has no `make(indices, rng)`")

    def follow(self) -> keras.callbacks.Callback:
        """Return the callback that tells the batches which epoch `fit` is in."""
        return keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: setattr(self, "epoch", epoch)
        )

    def __len__(self) -> int:
        return self.size // self.batch_size

    def __getitem__(self, index: int) -> Any:
        if self._pool is None:
            return self._batch(self.epoch, index)
        # The epoch is part of the key: a batch made for another is never used. If `fit`
        # asks out of order, batches made in vain are not kept either.
        last = min(index + 1 + self.lookahead, len(self))
        keys = [(self.epoch, i) for i in range(index, last)]
        for key in self._ahead.keys() - set(keys):
            self._ahead.pop(key).cancel()
        for key in keys:
            if key not in self._ahead:
                self._ahead[key] = self._pool.submit(self._batch, *key)
        return self._ahead.pop((self.epoch, index)).result()

    def _batch(self, epoch: int, index: int) -> Any:
        order = np.arange(self.size)
        if self.shuffle:
            np.random.default_rng((*self.seed, epoch)).shuffle(order)
        start = index * self.batch_size
        rng = np.random.default_rng((*self.seed, epoch, index))
        return self.make(order[start : start + self.batch_size], rng)


def even_batch_size(size: int, at_most: int, multiple_of: int = 1) -> int:
    """Return the batch size with which a validation set drops the fewest samples.

    Example:
    ```python
    even_batch_size(20, 16)  # 10: two full batches; 16 would drop 4 samples
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
