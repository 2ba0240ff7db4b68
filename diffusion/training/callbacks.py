"""Callbacks of the training: the average of the weights, and grids of new icons."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from diffusion.evaluation.features import extract_features, load_extractor
from diffusion.evaluation.memorisation import find_neighbours, fraction_within
from diffusion.evaluation.metrics import fid, kid
from diffusion.network.model import AVERAGE
from diffusion.sampling.generate import sample
from diffusion.watermark import shown
from illustkit._keras_compat import sync_jax_state
from illustkit.figures import sheet
from illustkit.images import write_image
from illustkit.runtime import worker_index
from illustkit.training.runs import Run
from illustkit.training.watching import StopEarly


def average_decay(
    step: int,
    *,
    beta: float = 0.995,
    every: int = 10,
    after: int = 100,
    power: float = 2 / 3,
) -> float:
    """Compute the decay of the moving average at a step.

    It begins at 0, a copy, and rises to `beta`, so that the untrained weights of the
    first steps fade quickly: .995 is reached near step 2,928. The first update past
    `after` is still a copy.

    Args:
        step: Number of the training step, from 0.
        beta: The highest decay. Defaults to 0.995.
        every: Steps between updates. Defaults to 10.
        after: Steps during which the average is a copy. Defaults to 100.
        power: How fast it rises: `1 - (1 + step - after)^-power`. Defaults to 2/3.

    Returns:
        float from 0 to `beta`.

    Reference:
        ema-pytorch's warm-up with its defaults, as the preprint's trainer had it.
    """
    if step <= after + every:
        return 0.0
    return min(beta, 1 - (1 + step - after) ** -power)


class Averaging(keras.callbacks.Callback):
    """Lets a `Diffuser` average its weights in its training steps, and after the last.

    `keras.callbacks.SwapEMAWeights` has neither the warm-up nor updates every tenth
    step. Place it before the callbacks that read the average.

    Args:
        beta: See `average_decay`. Defaults to 0.995.
        every: Steps between updates. Defaults to 10.
        after: See `average_decay`. Defaults to 100.
        accumulation: Batches in a step. Defaults to 1.
    """

    def __init__(
        self,
        beta: float = 0.995,
        every: int = 10,
        after: int = 100,
        accumulation: int = 1,
    ):
        super().__init__()
        self.beta, self.every, self.after = beta, every, after
        self.accumulation = accumulation

    def set_model(self, model):
        super().set_model(model)
        model.plan_average(
            beta=self.beta,
            every=self.every,
            after=self.after,
            accumulation=self.accumulation,
        )

    def on_epoch_begin(self, epoch, logs=None):
        # The optimizer's count is what backups of all versions hold.
        model = self.model
        steps = int(ops.convert_to_numpy(model.optimizer.iterations))
        seen = int(ops.convert_to_numpy(model.batches_seen))
        if seen // self.accumulation != steps:
            model.batches_seen.assign(steps * self.accumulation)
            model.steps_averaged.assign(steps)

    def on_epoch_end(self, epoch, logs=None):
        sync_jax_state(self.model)
        self.model.move_average()


class StopWithCopies(StopEarly):
    """Ends a training where held-out icons are learnt no longer, or copies begin.

    Place it behind the grids, which count copies, and before `KeepAverage`, so that the
    averaged weights that stay are those of the lowest validation loss.

    Args:
        patience: Epochs without a lower validation loss after which it ends.
        grids: The `SampleGrids`, which say when a model begins to memorise. Defaults to
            `None`.

    Attributes:
        is_best: Whether the last epoch was the best.
    """

    comes_last = False  # `KeepAverage` asks it

    def __init__(self, patience: int, grids: SampleGrids | None = None):
        super().__init__(patience)
        self.grids, self.is_best = grids, False

    def on_epoch_end(self, epoch, logs=None):
        self.is_best = self.ranking.is_best(logs or {})
        waited = self.ranking.waited
        if self.grids is not None and self.grids.memorises:
            self.is_best = False
            self.stop(epoch, "the model begins to memorise the icons")
        elif self.is_over:
            self.stop(epoch, f"the validation loss has not fallen for {waited} epochs")


class KeepAverage(keras.callbacks.Callback):
    """Saves the averaged weights after each epoch, by one atomic rename.

    Args:
        run: The `Run`.
        early: The `StopWithCopies` that says which epochs are the best, and alone are
            saved. Defaults to `None`, all of them.
    """

    def __init__(self, run: Run, early: StopWithCopies | None = None):
        super().__init__()
        self.run, self.early = run, early

    def on_epoch_end(self, epoch, logs=None):
        if worker_index() > 0 or (self.early is not None and not self.early.is_best):
            return
        # Keras asks for a name that ends so.
        part = self.run.folder / f"part-{AVERAGE}"
        self.save(part)
        part.replace(self.run.folder / AVERAGE)

    def save(self, path):
        """Save the averaged weights in a file."""
        self.model.average.save_weights(path)


class SampleGrids(keras.callbacks.Callback):
    """Samples new icons from the averaged weights after an epoch, and measures them.

    The noise is the same each time, so that the grids can be compared. The fraction of
    copies of training pictures is logged as `copies`; the first time that it is one
    half or more, and well above the same fraction among the training pictures, a
    warning says that the model begins to memorise. Place it before the callbacks that
    save.

    Args:
        run: The `Run`; grids go to its pictures.
        training: uint8 `(n, height, width, channels)`, the training pictures.
        every: Epochs between grids. Defaults to 1.
        n: Pictures. Defaults to 25.
        steps: Steps of the second-order solver. Defaults to 25.
        seed: Int. Defaults to 3407.
        metrics: Features with which `fid` (of InceptionV3's alone) and `kid` of the
            pictures are logged; see `diffusion.evaluation.features.load_extractor`.
            Defaults to `None`, neither.

    Reference:
        [Memorisation time grows with the size of the set](https://arxiv.org/abs/2505.16959),
        so that early stopping prevents copies.
    """

    def __init__(
        self,
        run: Run,
        training: np.ndarray,
        *,
        every: int = 1,
        n: int = 25,
        steps: int = 25,
        seed: int = 3407,
        metrics: Any = None,
    ):
        super().__init__()
        self.run, self.training = run, training
        self.every, self.n, self.steps, self.seed = every, n, steps, seed
        self.extractor = None if metrics is None else load_extractor(metrics)
        self._features = self._within = None
        self.memorises = False

    def on_epoch_end(self, epoch, logs=None):
        # The history needs every column from its first row on.
        empty = dict.fromkeys(self._columns(), float("nan"))
        logs.update(self._measure() if (epoch + 1) % self.every == 0 else empty)

    def _columns(self):
        names = ["copies"] if len(self.training) > 2 else []
        if self.extractor is not None:
            names += ["fid", "kid"] if self.extractor.name == "inception" else ["kid"]
        return names

    def _measure(self):
        step = int(np.asarray(self.model.optimizer.iterations))
        pictures = self.sampled()
        if worker_index() == 0:  # the others had to predict their part of a batch
            path = self.run.pictures / f"step-{step:07d}.png"
            write_image(path, sheet([shown(picture) for picture in pictures]))
        figures = {}
        if len(self.training) > 2:
            figures["copies"] = find_neighbours(pictures, self.training).fraction
            self._warn(figures["copies"], step)
        if self.extractor is not None:
            new, old = self._extract(pictures), self._training_features()
            figures["kid"] = kid(new, old).value
            if self.extractor.name == "inception":
                figures["fid"] = fid(new, old)
        return figures

    def sampled(self) -> np.ndarray:
        """Return the pictures of a grid, uint8 `(n, height, width, channels)`."""
        options: dict[str, Any] = {"steps": self.steps, "seed": self.seed}
        return sample(self.model, self.n, sampler="dpm++", progress=False, **options)

    def _extract(self, pictures):
        pictures = np.stack([shown(picture) for picture in pictures])
        return extract_features(pictures, self.extractor, progress=False)

    def _training_features(self):
        if self._features is None:
            self._features = self._extract(self.training)
        return self._features

    def _warn(self, copies, step):
        if self.memorises or copies < 0.5:
            return
        if self._within is None:
            self._within = fraction_within(self.training[:2000])
        if copies > self._within + 0.2:
            self.memorises = True
            if worker_index() > 0:
                return
            tqdm.write(
                f"After {step} steps {copies:.0%} of the grid are copies of training "
                f"pictures (of these, {self._within:.0%} are copies of another): the "
                "model begins to memorise them. Stop at an earlier grid's step, or "
                "train on more pictures."
            )
