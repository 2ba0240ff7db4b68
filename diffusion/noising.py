"""Batches of icons with their timesteps and noise."""

import numpy as np

from illustkit.batches import Batches


class NoisedIcons(Batches):
    """Shuffled icons, each with a timestep and noise of its own.

    Timesteps and noise are drawn here and not on the device, so that one step is the
    same on every backend and on any number of devices, and a resumed training the same
    as one that never stopped. An epoch is a number of steps, whatever the number of
    icons: pass after pass over them is dealt out in an order of its own.

    Example:
    ```python
    batches = NoisedIcons(icons.pictures, steps=100, batch_size=16, timesteps=1000)
    model.fit(batches, shuffle=False, callbacks=[batches.follow()])
    ```

    Args:
        pictures: uint8 `(n, height, width, channels)`.
        steps: Batches an epoch.
        batch_size: Icons a batch, over all devices.
        timesteps: T; timesteps are 0 to T - 1, all equally likely.
        flip: Probability of mirroring. Defaults to 0.5.
        self_condition: Probability that a sample sees its own first estimate.
            Defaults to 0.
        seed: Int. Defaults to 0.

    Returns:
        Batches `(x,)` with `x` a dict: "pictures" uint8, "t" int32 `(batch,)`, "noise"
        float32 like the pictures, and "see_own" float32 `(batch,)`, 1 or 0.
    """

    def __init__(
        self,
        pictures,
        *,
        steps,
        batch_size,
        timesteps,
        flip=0.5,
        self_condition=0.0,
        seed=0,
    ):
        super().__init__(
            steps * batch_size, batch_size=batch_size, seed=seed, shuffle=False
        )
        self.pictures, self.timesteps = pictures, timesteps
        self.flip, self.self_condition = flip, self_condition

    def _batch(self, epoch, index):
        first = (epoch * len(self) + index) * self.batch_size
        rng = np.random.default_rng((*self.seed, epoch, index))
        return self.make(self._dealt(np.arange(first, first + self.batch_size)), rng)

    def _dealt(self, positions):
        """Numbers of the icons at positions of the endless row of passes."""
        n = len(self.pictures)
        dealt = np.empty(len(positions), int)
        for turn in np.unique(positions // n):
            # The 1 at the end: no batch's generator begins with these numbers.
            order = np.random.default_rng((*self.seed, turn, 0, 1)).permutation(n)
            here = positions // n == turn
            dealt[here] = order[positions[here] % n]
        return dealt

    def make(self, indices, rng):
        pictures = np.stack([self.pictures[i] for i in indices])
        mirrored = rng.random(len(indices)) < self.flip
        pictures[mirrored] = pictures[mirrored][:, :, ::-1]
        see_own = rng.random(len(indices)) < self.self_condition
        return (
            {
                "pictures": pictures,
                "t": rng.integers(self.timesteps, size=len(indices), dtype="int32"),
                "noise": rng.standard_normal(pictures.shape, dtype="float32"),
                "see_own": see_own.astype("float32"),
            },
        )
