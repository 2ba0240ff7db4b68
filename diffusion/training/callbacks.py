"""What a training shows while it runs: grids of new icons, and how near they are."""

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from diffusion.evaluation.features import extract_features, load_extractor
from diffusion.evaluation.memorisation import find_neighbours, share_within
from diffusion.evaluation.metrics import fid, kid
from diffusion.sampling.generate import sample
from diffusion.watermark import shown
from illustkit.figures import sheet
from illustkit.images import write_image
from illustkit.runtime import worker_index


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


class SampleGrids(keras.callbacks.Callback):
    """Draws new icons after an epoch, from the averaged weights, and looks at them.

    The noise is the same each time, so that the grids can be compared. The share of
    copies of training pictures is logged as `copies`; the first time that it is one
    half or more, and well above what the training pictures are of one another, a
    warning says that the model begins to give its training pictures back. It has to
    stand before the callbacks that save.

    Args:
        run: The `Run`; grids go to its pictures.
        training: uint8 `(n, height, width, channels)`, the training pictures.
        every: Epochs between grids. Defaults to 1.
        n: Pictures. Defaults to 25.
        steps: Steps of the second-order solver. Defaults to 25.
        seed: Int. Defaults to 3407.
        metrics: Features with which `fid` and `kid` of the pictures are logged; see
            `diffusion.evaluation.features.load_extractor`. FID is logged of InceptionV3's alone.
            Defaults to none.

    Reference:
        [Memorisation time grows with the size of the set](https://arxiv.org/abs/2505.16959),
        so that to stop in time helps.
    """

    def __init__(
        self, run, training, *, every=1, n=25, steps=25, seed=3407, metrics=None
    ):
        super().__init__()
        self.run, self.training = run, training
        self.every, self.n, self.steps, self.seed = every, n, steps, seed
        self.extractor = None if metrics is None else load_extractor(metrics)
        self._features = self._within = None
        self._warned = False

    def on_epoch_end(self, epoch, logs=None):
        # A column of the history exists from the first row on, or not at all.
        nothing = dict.fromkeys(self._columns(), float("nan"))
        logs.update(self._look() if (epoch + 1) % self.every == 0 else nothing)

    def _columns(self):
        names = ["copies"] if len(self.training) > 2 else []
        if self.extractor is not None:
            names += ["fid", "kid"] if self.extractor.name == "inception" else ["kid"]
        return names

    def _look(self):
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        step = int(np.asarray(self.model.optimizer.iterations))
        options = {"steps": self.steps, "seed": self.seed, "progress": False}
        pictures = sample(self.model, self.n, sampler="dpm++", **options)
        if worker_index() == 0:  # the others had to predict their share of a batch
            path = self.run.pictures / f"step-{step:07d}.png"
            write_image(path, sheet([shown(picture) for picture in pictures]))
        found = {}
        if len(self.training) > 2:
            found["copies"] = find_neighbours(pictures, self.training).share
            self._warn(found["copies"], step)
        if self.extractor is not None:
            new, old = self._of(pictures), self._training_features()
            found["kid"] = kid(new, old)[0]
            if self.extractor.name == "inception":
                found["fid"] = fid(new, old)
        return found

    def _of(self, pictures):
        pictures = np.stack([shown(picture) for picture in pictures])
        return extract_features(pictures, self.extractor, progress=False)

    def _training_features(self):
        if self._features is None:
            self._features = self._of(self.training)
        return self._features

    def _warn(self, copies, step):
        if self._warned or copies < 0.5 or worker_index() > 0:
            return
        if self._within is None:
            self._within = share_within(self.training[:2000])
        if copies > self._within + 0.2:
            self._warned = True
            tqdm.write(
                f"After {step} steps {copies:.0%} of the grid are copies of training "
                f"pictures (of these, {self._within:.0%} are copies of another): the "
                "model begins to give them back. Take an earlier grid's step, or more "
                "pictures."
            )
