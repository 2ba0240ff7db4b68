"""Train the mosaic-aware restorer on folders of whole pictures and drawn characters."""

import csv
import time
from pathlib import Path

import keras
import numpy as np
from keras import tree

from illustkit.images import list_images, read_image
from illustkit.runs import Run
from illustkit.samples import draw_character
from illustkit.strategy import (
    check_batch_size,
    check_precision,
    get_strategy,
    scope,
    worker_index,
)
from illustkit.trainable import precision as precision_policy
from oppai.censored_crops import CensoredCrops, held_out_cases
from oppai.held_out import write_split
from oppai.mosaic_optimizer import make_optimizer
from oppai.mosaic_restorer import MosaicRestorer
from oppai.mosaic_unet import MosaicUNet


def train_mosaic(
    images,
    run,
    *,
    held_out=(),
    samples=120,
    patch=128,
    network=None,
    epochs=56,
    steps=250,
    batch_size=8,
    learning_rate=4e-4,
    precision="mixed_bfloat16",
    strategy="auto",
    seed=0,
    start_from=None,
    callbacks=(),
    verbose="auto",
):
    """Train a restorer that sees the mosaic, or go on with a training that was stopped.

    Every patch is a crop of a picture, mirrored, turned and with its colours exchanged,
    censored by `oppai.censor_drawing.draw_censor` and brought to the network's scale
    (`oppai.frames`). The learning rate rises for two epochs, stays,
    and falls to zero over the last 75 % of the epochs.

    Example:
    ```python
    run = oppai.train_mosaic("clipart", "runs/mosaic", held_out=names, epochs=80)
    ```

    Args:
        images: Folder of whole pictures.
        run: Folder to write to; see `illustkit.runs.Run`.
        held_out: Names of files in `images` that are not trained on but measured after
            every epoch. Defaults to none.
        samples: Drawn characters that are trained on as well. Defaults to 120.
        patch: Side of the crops in pixels. Defaults to 128.
        network: Keyword arguments of `oppai.MosaicUNet`. Defaults to `None`.
        epochs: Of `steps` steps each. Defaults to 56.
        steps: Steps in an epoch. Defaults to 250.
        batch_size: Patches a step, over all devices. Defaults to 8.
        learning_rate: The highest of Adam. Defaults to 4e-4.
        precision: "float32", "mixed_bfloat16" or "mixed_float16". Defaults to
            "mixed_bfloat16".
        strategy: Kind of `illustkit.get_strategy`. Defaults to "auto".
        seed: Int; decides the first weights and every patch. Defaults to 0.
        start_from: Run folder or `.weights.h5` to begin from. Defaults to `None`.
        callbacks: More Keras callbacks. Defaults to none.
        verbose: As in `keras.Model.fit`. Defaults to "auto".

    Returns:
        The `illustkit.runs.Run`.

    Raises:
        ValueError: for a name that is not in the folder, or no picture to train on.
    """
    strategy = get_strategy(strategy)
    check_batch_size(batch_size, strategy)
    check_precision(precision, strategy)
    network = network or {}
    settings = {
        "model": "mosaic",
        "network": network,
        "patch": patch,
        "epochs": epochs,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "precision": precision,
        "samples": samples,
        "seed": seed,
    }
    paths = {path.name: path for path in list_images(images)}
    if unknown := sorted(set(held_out) - set(paths)):
        raise ValueError(f"{images} holds no picture {unknown[0]}: mend `held_out`.")
    training = [p for name, p in paths.items() if name not in set(held_out)]
    pictures = [read_image(path) for path in training]
    pictures += [draw_character(i).image for i in range(samples)]
    if not pictures:
        raise ValueError(f"{images} holds no picture to train on: name another folder.")
    run = Run.start(run, settings)
    if worker_index() == 0:
        write_split(run, [path.name for path in training], list(held_out))
    batches = CensoredCrops(pictures, steps, batch_size, patch=patch, seed=seed)
    keras.utils.set_random_seed(seed)
    with scope(strategy), precision_policy(precision):
        restorer = MosaicRestorer(MosaicUNet(**network))
        restorer.compile(make_optimizer(learning_rate, 2 * steps, epochs * steps))
    if start_from is not None and not run.epochs_done:
        start_from = Path(start_from)
        if start_from.is_dir():
            start_from = Run(start_from).weights_path
        restorer.load_weights(start_from)
    validation = None
    callbacks = [batches.follow(), *callbacks, *run.callbacks("val_psnr", "max")]
    if held_out:
        kept = [read_image(paths[name]) for name in held_out]
        validation = _joined(CensoredCrops(kept, 8, 8, patch=patch, seed=1))
        cases = held_out_cases(kept)
        callbacks.insert(1, Curve(cases, run.folder / "curve.csv"))
    restorer.fit(
        batches,
        epochs=epochs,
        shuffle=False,
        validation_data=validation,
        validation_batch_size=batch_size,
        verbose=verbose,
        callbacks=callbacks,
    )
    if validation is None and worker_index() == 0:
        restorer.save_weights(run.weights_path)
    return run


def _joined(batches):
    parts = [batches[i] for i in range(len(batches))]
    return tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts)


class Curve(keras.callbacks.Callback):
    """Writes the PSNR of held-out holes after every epoch, by kind, with the time.

    Args:
        cases: As of `held_out_cases`.
        path: CSV to append to: epoch, seconds of training, and a column for each kind.
        most: Cases of each kind. Defaults to 24.
    """

    def __init__(self, cases, path, most=24):
        super().__init__()
        self.cases, self.path = cases[: 3 * most], Path(path)
        self.seconds = 0.0

    def on_train_begin(self, logs=None):
        if self.path.exists():
            with open(self.path, newline="") as file:
                rows = list(csv.reader(file))
            self.seconds = float(rows[-1][1]) if len(rows) > 1 else 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds += time.monotonic() - self.started
        if epoch % 4 != 3:
            return
        values = [[], [], []]
        for number, (case, truth) in enumerate(self.cases):
            picture = self.model.restore_patches(
                case.picture[None], case.mask[None], [case.grid]
            )[0]
            error = picture[case.mask < 255].astype("float32") - truth[case.mask < 255]
            mse = max(float(np.mean(error**2)), 0.25)
            values[number % 3].append(10 * np.log10(255**2 / mse))
        if worker_index() > 0:  # all had to predict: each has its share of a batch
            return
        new = not self.path.exists()
        with open(self.path, "a", newline="") as file:
            rows = csv.writer(file)
            if new:
                rows.writerow(
                    ["epoch", "seconds", "blocks_6_10", "blocks_12_20", "white"]
                )
            means = [f"{np.mean(v):.3f}" for v in values]
            rows.writerow([epoch + 1, f"{self.seconds:.0f}", *means])
