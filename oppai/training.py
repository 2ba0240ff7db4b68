"""Train a restorer on a folder of pictures and the boxes to censor in them."""

import dataclasses
from pathlib import Path

import keras
import numpy as np

from illustkit.batches import even_batch_size
from illustkit.figures import sheet
from illustkit.images import write_image
from illustkit.presets import choose_preset
from illustkit.runs import Run
from illustkit.strategy import (
    check_batch_size,
    check_precision,
    get_strategy,
    own_folder,
    scope,
    worker_index,
)
from illustkit.trainable import precision
from oppai.batches import CensoredPatches
from oppai.dataset import build_patches, load_metadata, split_by_picture
from oppai.features import load_vgg_features
from oppai.held_out import write_split
from oppai.losses import BOOK_WEIGHTS, FEATURE_TERMS, PAPER_WEIGHTS
from oppai.presets import PRESETS
from oppai.restorer import Restorer
from oppai.unet import PConvUNet

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
        run: Folder to write to; see `illustkit.runs.Run`.
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
        The `illustkit.runs.Run`, for `oppai.load_restorer` and its history.

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
