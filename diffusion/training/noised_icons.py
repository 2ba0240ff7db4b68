"""Batches of icons with timesteps and noise, for the training of a diffusion model."""

import numpy as np

from diffusion.attributes import Schema, forget
from illustkit.training.batches import Batches


class NoisedIcons(Batches):
    """Draws batches of shuffled icons, each with its own timestep and noise.

    Timesteps and noise are drawn here and not on the device, so that a step is the same
    on every backend and any number of devices, and a resumed training the same as one
    that never stopped. An epoch is a number of steps, whatever the number of icons: the
    icons are dealt out pass after pass, each pass in an order of its own.

    Example:
    ```python
    batches = NoisedIcons(icons.pictures, steps=100, batch_size=16, timesteps=1000)
    model.fit(batches, shuffle=False, callbacks=[batches.follow()])
    ```

    Args:
        pictures: uint8 `(n, height, width, channels)`.
        steps: Batches in an epoch.
        batch_size: Icons in a batch, over all devices.
        timesteps: T; timesteps are 0 to T - 1.
        flip: Probability of mirroring. Defaults to 0.5.
        self_condition: Probability that a sample sees its own first estimate.
            Defaults to 0.
        seed: Int. Defaults to 0.
        schema: The attributes of the pictures, of which some are forgotten each time.
            Defaults to none.
        wishes: What `diffusion.attributes.encode` made of the pictures' attributes.
        chances: float `(timesteps,)`, the probability of each timestep. Defaults to
            `None`, all alike.

    Returns:
        Batches `(x,)` with `x` a dict: "pictures" uint8, "t" int32 `(batch,)`, "noise"
        float32 like the pictures, and "see_own" float32 `(batch,)`, 1 or 0; with a
        schema "attributes" as well, float32 `(batch, width)`.
    """

    def __init__(
        self,
        pictures: np.ndarray,
        *,
        steps: int,
        batch_size: int,
        timesteps: int,
        flip: float = 0.5,
        self_condition: float = 0.0,
        seed: int = 0,
        schema: Schema | None = None,
        wishes: np.ndarray | None = None,
        chances: np.ndarray | None = None,
    ):
        super().__init__(
            steps * batch_size, batch_size=batch_size, seed=seed, shuffle=False
        )
        self.pictures, self.timesteps = pictures, timesteps
        self.flip, self.self_condition = flip, self_condition
        self.schema, self.wishes, self.chances = schema, wishes, chances

    def _batch(self, epoch, index):
        first = (epoch * len(self) + index) * self.batch_size
        rng = np.random.default_rng((*self.seed, epoch, index))
        return self.make(self._dealt(np.arange(first, first + self.batch_size)), rng)

    def _dealt(self, positions):
        """Return the numbers of the icons at positions of the endless row of passes."""
        n = len(self.pictures)
        dealt = np.empty(len(positions), int)
        for turn in np.unique(positions // n):
            # No batch's generator has this seed, which ends with 0, 1.
            order = np.random.default_rng((*self.seed, turn, 0, 1)).permutation(n)
            here = positions // n == turn
            dealt[here] = order[positions[here] % n]
        return dealt

    def make(self, indices, rng):
        pictures = np.stack([self.pictures[i] for i in indices])
        mirrored = rng.random(len(indices)) < self.flip
        pictures[mirrored] = pictures[mirrored][:, :, ::-1]
        see_own = rng.random(len(indices)) < self.self_condition
        batch = {
            "pictures": pictures,
            "t": self._timesteps(len(indices), rng),
            "noise": rng.standard_normal(pictures.shape, dtype="float32"),
            "see_own": see_own.astype("float32"),
        }
        if self.schema:
            batch["attributes"] = forget(self.wishes[indices], self.schema, rng)
        return (batch,)

    def _timesteps(self, n, rng):
        if self.chances is None:
            return rng.integers(self.timesteps, size=n, dtype="int32")
        return rng.choice(self.timesteps, n, p=self.chances).astype("int32")
