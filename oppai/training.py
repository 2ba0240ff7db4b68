"""Train the mosaic-aware restorer on folders of whole pictures and drawn characters."""

import csv
import dataclasses
import time
from pathlib import Path

import keras
import numpy as np
from keras import tree

from illustkit.figures import sheet
from illustkit.images import list_images, read_image, write_image
from illustkit.runtime import (
    check_batch_size,
    check_precision,
    get_strategy,
    own_folder,
    scope,
    worker_index,
)
from illustkit.samples import draw_character
from illustkit.training.batches import even_batch_size
from illustkit.training.presets import choose_preset
from illustkit.training.runs import Run
from illustkit.training.trainable import precision
from illustkit.training.trainable import precision as precision_policy
from oppai.data.batches import CensoredCrops, CensoredPatches, held_out_cases
from oppai.data.dataset import (
    build_patches,
    load_metadata,
    split_by_picture,
    write_split,
)
from oppai.losses import BOOK_WEIGHTS, FEATURE_TERMS, PAPER_WEIGHTS
from oppai.models.mosaic_unet import MosaicUNet
from oppai.models.pconv_unet import PConvUNet
from oppai.models.restorers import MosaicRestorer, Restorer
from oppai.models.vgg import load_vgg_features
from oppai.mosaic_optimizer import make_optimizer
from oppai.presets import PRESETS

WEIGHT_SETS = {"book": BOOK_WEIGHTS, "paper": PAPER_WEIGHTS}
OPTIMIZERS = {"rmsprop": keras.optimizers.RMSprop, "adam": keras.optimizers.Adam}


def train(
    images,
    metadata,
    run,
    *,
    preset="tiny",
    strategy="auto",
    seed=0,
    holdout=0.1,
    cache=None,
    sheet_every=5,
    verbose="auto",
    callbacks=(),
    **settings,
):
    """Train a restorer, or go on with a training that was stopped.

    A tenth of the pictures is held out; the weights that give the best PSNR inside
    its holes are kept as the run's best. Every epoch draws new censors. The same call
    on the same folder resumes after the last whole epoch, with the same result as a
    training that was never stopped.

    Example:
    ```python
    run = oppai.train("images", "oppai_meta.json", "runs/first", preset="tiny")
    print(max(run.history["val_psnr"]))
    ```

    Args:
        images: Folder of the pictures.
        metadata: Path of the JSON with their boxes; see `oppai.load_metadata`.
        run: Folder to write to; see `illustkit.training.runs.Run`.
        preset: Name in `oppai.presets.PRESETS`. Defaults to "tiny".
        strategy: Kind of `illustkit.get_strategy`. Defaults to "auto".
        seed: Int; decides the split, the first weights and every censor.
        holdout: Share of the pictures to hold out. Defaults to 0.1.
        cache: Folder for the cut patches; those of the run by default.
        sheet_every: Epochs from one sheet of samples to the next; 0 for none.
        verbose: As in `keras.Model.fit`. Defaults to "auto".
        callbacks: More `keras.callbacks.Callback`s.
        **settings: Fields of `oppai.presets.Preset` that differ from the preset.

    Returns:
        The `illustkit.training.runs.Run`, for `oppai.load_restorer` and its history.

    Raises:
        ValueError: for an unknown preset or setting, no usable picture, or a folder
            with another run.
        FloatingPointError: where the loss is not finite, naming the guilty term.

    Reference:
        The chapter, "全体の方針" and "実行".
    """
    chosen = choose_settings(preset, **settings)
    strategy = get_strategy(strategy)  # before anything touches the devices
    n_replicas = check_batch_size(chosen.batch_size, strategy)
    check_precision(chosen.precision, strategy)
    network = {"image_size": chosen.image_size, **chosen.network}
    run = Run.start(
        run,
        {
            **dataclasses.asdict(chosen),
            "network": network,
            "seed": seed,
            "holdout": holdout,
        },
    )
    entries = load_metadata(metadata)
    patches = build_patches(
        entries,
        images,
        size=chosen.image_size,
        minimum=chosen.minimum,
        cache=own_folder(cache or run.folder / "patches"),
        progress=verbose != 0,
    )
    talks = verbose != 0 and worker_index() == 0
    if talks:
        print(patches.report)
    names = sorted(set(patches.names))
    training, held_out = split_by_picture(names, holdout=holdout, seed=seed)
    if worker_index() == 0:
        write_split(run, training, held_out)
    censors = censor_settings(run.settings)
    batches = CensoredPatches(
        patches.select(training), batch_size=chosen.batch_size, seed=seed, **censors
    )
    validation = patches.select(held_out)
    n = len(validation)
    validation = CensoredPatches(
        validation,
        batch_size=even_batch_size(n, min(n, chosen.batch_size), n_replicas),
        seed=seed + 1,
        fixed=True,
        **censors,
    )

    keras.utils.set_random_seed(seed)
    with scope(strategy), precision(chosen.precision):
        restorer = _build(chosen, network, n_steps=chosen.epochs * len(batches))
    if restorer.features is None and talks:
        print("No VGG16 weights given: training without perceptual and style terms.")
    callbacks = [batches.follow(), *callbacks, *run.callbacks("val_psnr", "max")]
    if sheet_every:
        callbacks.append(SampleSheets(validation, run.pictures, sheet_every))
    restorer.fit(
        batches,
        validation_data=validation,
        epochs=chosen.epochs,
        shuffle=False,
        verbose=verbose,
        callbacks=callbacks,
    )
    return run


def choose_settings(preset="tiny", **settings):
    """Settings of a preset, with those that the caller names put in their place.

    Args:
        preset: Name in `oppai.presets.PRESETS`.
        **settings: Fields of `Preset`; `network` is merged with the preset's.

    Returns:
        A `Preset`.

    Raises:
        ValueError: for an unknown preset, field or loss.
    """
    if preset in PRESETS:
        network = {**PRESETS[preset].network, **settings.get("network", {})}
        settings["network"] = network
    chosen = choose_preset(PRESETS, preset, settings)
    choices = {
        "losses": WEIGHT_SETS,
        "optimizer": OPTIMIZERS,
        "schedule": ("constant", "cosine"),
    }
    for name, known in choices.items():
        if getattr(chosen, name) not in known:
            raise ValueError(
                f"`{name}` is one of {sorted(known)}. "
                f"Received: {getattr(chosen, name)!r}"
            )
    if chosen.epochs < 1 or chosen.batch_size < 1:
        raise ValueError(
            "`epochs` and `batch_size` must be at least 1. "
            f"Received: {chosen.epochs}, {chosen.batch_size}"
        )
    return chosen


def censor_settings(settings):
    """What `CensoredPatches` takes, out of a run's settings.

    Args:
        settings: Dict, as `Run.settings`.

    Returns:
        Dict of keyword arguments.
    """
    names = ("kinds", "blocks", "blur_sizes", "picture_blur", "shift_grid")
    return {name: settings[name] for name in names}


def _build(chosen, network, n_steps):
    features = load_vgg_features(chosen.vgg_weights)
    weights = dict(WEIGHT_SETS[chosen.losses])
    if features is None:
        weights = {k: w for k, w in weights.items() if k not in FEATURE_TERMS}
    restorer = Restorer(
        PConvUNet(**network),
        weights,
        features=features,
        blend=chosen.blend,
        minimum=chosen.minimum,
    )
    rate = chosen.learning_rate
    if chosen.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, n_steps)
    restorer.compile(OPTIMIZERS[chosen.optimizer](rate))
    return restorer


class SampleSheets(keras.callbacks.Callback):
    """Writes what the network makes of the same held-out patches, every few epochs.

    A row a patch: censored, prediction, blend inside the hole, truth.

    Args:
        batches: Validation batches; the first patches of the first are shown.
        folder: Where `epoch-0005.png` and the like go.
        every: Epochs from one sheet to the next; the last epoch has one as well.
        rows: Number of patches. Defaults to 6.
    """

    def __init__(self, batches, folder, every, rows=6):
        super().__init__()
        (censored, mask), truth = batches[0]
        self.samples = censored[:rows], mask[:rows], truth[:rows]
        self.folder, self.every = Path(folder), every

    def on_epoch_end(self, epoch, logs=None):
        last = epoch + 1 == self.params["epochs"]
        if (epoch + 1) % self.every and not last:
            return
        censored, mask, truth = self.samples
        prediction = self.model.restore_patches(censored, mask)
        alpha = (255.0 - mask) / 255 * self.model.blend
        blend = np.rint(prediction * alpha + censored * (1 - alpha)).astype("uint8")
        rows = np.stack([censored, prediction, blend, truth], axis=1)
        if worker_index() > 0:  # all had to predict: each has its share of a batch
            return
        picture = sheet(list(rows.reshape(-1, *truth.shape[1:])), columns=4)
        write_image(self.folder / f"epoch-{epoch + 1:04d}.png", picture)


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
    censored by `oppai.censoring.random_censor.draw_censor` and brought to the network's scale
    (`oppai.data.mosaic_frames`). The learning rate rises for two epochs, stays,
    and falls to zero over the last 75 % of the epochs.

    Example:
    ```python
    run = oppai.train_mosaic("clipart", "runs/mosaic", held_out=names, epochs=80)
    ```

    Args:
        images: Folder of whole pictures.
        run: Folder to write to; see `illustkit.training.runs.Run`.
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
        The `illustkit.training.runs.Run`.

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
