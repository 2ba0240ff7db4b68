"""Train a GAN on a folder of icons."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffusion.gans.model import IconGAN
from diffusion.training.train import NoisedIcons


class LatentIcons(NoisedIcons):
    """Draw batches of shuffled icons, each beside a latent for the generator.

    Icons are dealt out and mirrored as by `NoisedIcons`.

    Example:
    ```python
    batches = LatentIcons(pictures, model, steps=100, batch_size=16)
    model.fit(batches, shuffle=False, callbacks=[batches.follow()])
    ```

    Args:
        pictures: uint8 `(n, height, width, channels)`.
        model: The `IconGAN` whose `draw_training` makes the random numbers.
        steps: Batches in an epoch.
        batch_size: Icons in a batch, over all devices.
        labels: int `(n,)`, the class of each picture, for a conditional model. The
            generator is given the labels of the batch's icons. Defaults to `None`.
        flip: Probability of mirroring. Defaults to 0.5.
        seed: Int. Defaults to 0.

    Returns:
        Batches `(x,)` with `x` a dict: "pictures" uint8 and what it draws.

    Raises:
        ValueError: If the pictures do not fit the model, or labels are missing.
    """

    def __init__(
        self,
        pictures: np.ndarray,
        model: IconGAN,
        *,
        steps: int,
        batch_size: int,
        labels: Any = None,
        flip: float = 0.5,
        seed: int = 0,
    ):
        expected = model.image_size, model.image_size, model.channels
        if pictures.shape[1:] != expected:
            raise ValueError(f"`pictures` must be {expected}: {pictures.shape[1:]}")
        if (labels is None) == bool(model.classes):
            raise ValueError("A conditional model needs `labels`, and no other does.")
        super().__init__(
            pictures, steps=steps, batch_size=batch_size, timesteps=1, flip=flip,
            seed=seed,
        )  # fmt: skip
        self.draw = model.draw_training
        self.labels = None if labels is None else np.asarray(labels, int)

    def make(self, indices, rng):
        pictures = np.stack([self.pictures[i] for i in indices])
        mirrored = rng.random(len(indices)) < self.flip
        pictures[mirrored] = pictures[mirrored][:, :, ::-1]
        labels = None if self.labels is None else self.labels[indices]
        return ({"pictures": pictures, **self.draw(rng, len(indices), labels)},)
