"""Train the restorers: the chapter's network, and the one that sees the mosaic."""

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import tree

from illustkit.deprecation import renamed_keywords
from illustkit.errors import UserError, as_user_error
from illustkit.figures import sheet
from illustkit.files import expand_user
from illustkit.images import (
    file_stamps,
    list_images,
    read_image,
    store_pictures,
    write_image,
)
from illustkit.options import check_options
from illustkit.runtime import own_folder, worker_index
from illustkit.samples import draw_character
from illustkit.tables import read_table, write_table
from illustkit.training.batches import Batches, even_batch_size
from illustkit.training.fingerprint import compare_data
from illustkit.training.fit import choose_devices, fit_run, is_quiet
from illustkit.training.folder import has_trained
from illustkit.training.optimizers import ClippedAdam, WarmupStableDecay
from illustkit.training.runs import Run, load_weights
from illustkit.training.split import (
    SPLIT,
    read_split,
    relative_names,
    split_run,
    write_split,
)
from oppai.censoring.censor import blend
from oppai.data.batches import CensoredCrops, CensoredPatches, held_out_cases
from oppai.data.dataset import build_patches
from oppai.data.metadata import find_pictures, load_metadata
from oppai.losses import FEATURE_TERMS
from oppai.models.discriminators import build_trained
from oppai.models.mosaic_unet import MosaicUNet
from oppai.models.restorers import (
    MOSAIC_RESTORER,
    RESTORER,
    WEIGHT_SETS,
    MosaicRestorer,
)
from oppai.models.vgg import load_vgg_features
from oppai.presets import (
    OF_ADVERSARIAL,
    censor_settings,
    choose_settings,
    make_optimizer,
)


def train(
    images: str | os.PathLike,
    metadata: str | os.PathLike,
    run: str | os.PathLike,
    *,
    preset: str = "tiny",
    strategy: str = "auto",
    seed: int = 0,
    holdout: float = 0.1,
    start_from: str | os.PathLike | Run | None = None,
    freeze_batchnorm: bool = False,
    cache: str | os.PathLike | None = None,
    sheet_every: int = 5,
    verbose: str | int = "auto",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **settings: Any,
) -> Run:
    """Train a restorer, or resume a training that was stopped.

    A tenth of the pictures is held out; the weights with the best PSNR inside their
    holes are kept as the run's best. Every epoch draws new censors. The same call on
    the same folder resumes after the last whole epoch, with the same result as a
    training that was never stopped. A picture that was held out stays held out, and a
    line says what else has changed in the data.

    Liu et al. train in two phases. The second begins from the weights of the first,
    with the encoder's BatchNorm frozen and a smaller learning rate.

    With `adversarial="pix2pix"` the network also learns to deceive a discriminator
    that judges every patch of its predictions beside the censored picture (the
    chapter's third exercise). Its loss is then the adversarial one plus 100·L1, unless
    `losses` is named. `oppai.load_restorer` gives the network without the
    discriminator.

    Example:
    ```python
    run = oppai.train("images", "oppai_meta.json", "runs/first", preset="tiny")
    print(run.best("val_psnr"))
    second = oppai.train(
        "images",
        "oppai_meta.json",
        "runs/second",
        start_from=run,
        freeze_batchnorm=True,
        learning_rate=5e-5,
    )
    ```

    Args:
        images: Folder of the pictures.
        metadata: Path of the JSON with their boxes; see `oppai.load_metadata`.
        run: Folder to write to; see `illustkit.training.runs.Run`.
        preset: Name in `oppai.presets.PRESETS`. Defaults to "tiny".
        strategy: Kind of `illustkit.get_strategy`. Defaults to "auto".
        seed: Int; decides the split, the first weights and every censor.
        holdout: Fraction of the pictures to hold out. Defaults to 0.1.
        start_from: `Run`, run folder or `.weights.h5` of the same network to begin
            from. Pictures that it held out may be trained on. A discriminator always
            begins with random weights. Defaults to random weights.
        freeze_batchnorm: Whether the averages of the encoder's BatchNorm stay as they
            are, for the second phase. Defaults to `False`.
        cache: Folder for the cut patches. Defaults to one in the run.
        sheet_every: Epochs from one sheet of samples to the next; 0 for none.
        verbose: As in `keras.Model.fit`. Defaults to "auto".
        callbacks: More `keras.callbacks.Callback`s.
        **settings: Fields of `oppai.presets.Preset` that differ from the preset.

    Returns:
        The `illustkit.training.runs.Run`, for `oppai.load_restorer` and its history.

    Raises:
        UserError: If the preset or a setting is unknown, a value cannot work, fewer
            than two pictures can be used, or the folder holds another run or one of
            other pictures.
        FloatingPointError: If the loss is not finite; the message names the term.

    Reference:
        The chapter, "全体の方針" and "実行"; Liu et al. (2018), section 3.4.
    """
    check_options(seed=seed, holdout=holdout, sheet_every=sheet_every)
    chosen = choose_settings(preset, **settings)
    devices = choose_devices(
        strategy, batch_size=chosen.batch_size, precision=chosen.precision
    )
    network = {"image_size": chosen.image_size, **chosen.network}
    if freeze_batchnorm:
        network["encoder_batchnorm_frozen"] = True
    stored = {
        **_stored(chosen),
        "network": network,
        "seed": seed,
        "holdout": holdout,
        **_as_setting(start_from),
    }
    options: dict[str, Any] = {"may_change": ("start_from",), "kind": RESTORER}
    Run.check(run, stored, **options)
    entries = load_metadata(metadata)
    paths = find_pictures(entries, images)[0]
    # Built before the patches are cut: a network that cannot be built costs no time.
    with devices.building(seed):
        trained = build_trained(stored)
        restorer = getattr(trained, "generator", trained)
        _give_features(restorer, chosen)
        if not has_trained(run):
            _begin_with(restorer, start_from)
    if _lacks_features(chosen) and not is_quiet(verbose):
        print("No VGG16 weights given: training without perceptual and style terms.")
    patches = build_patches(
        entries,
        images,
        size=chosen.image_size,
        minimum=chosen.minimum,
        cache=own_folder(cache or expand_user(run) / "patches"),
        progress=verbose != 0,
    )
    if not is_quiet(verbose):
        print(patches.report)
    names = sorted(set(patches.names))
    data = compare_data(run, names, [paths[name] for name in names], source=images)
    if data.report and not is_quiet(verbose):
        print(data.report)
    training, held_out = split_run(
        run, names, holdout=holdout, seed=seed, stored_as=data.renamed
    )
    if not training or not held_out:
        raise UserError(
            f"{images}: two pictures or more are needed, one to train on and one to "
            f"hold out. Received: {len(training)} and {len(held_out)}"
        )
    censors = censor_settings(stored)
    batches = CensoredPatches(
        patches.select(training), batch_size=chosen.batch_size, seed=seed, **censors
    )
    kept = patches.select(held_out)
    validation = CensoredPatches(
        kept,
        batch_size=even_batch_size(
            len(kept), min(len(kept), chosen.batch_size), devices.replicas
        ),
        seed=seed + 1,
        fixed=True,
        **censors,
    )
    with devices.building():
        rate = chosen.learning_rate
        if chosen.schedule == "cosine":
            steps = chosen.epochs * len(batches)
            rate = keras.optimizers.schedules.CosineDecay(rate, steps)
        trained.compile(make_optimizer(chosen, rate))
    started = Run.start(run, stored, **options)
    if worker_index() == 0:
        write_split(started.folder, training, held_out)
        data.write(started.folder, after_epoch=started.epochs_done)
    if sheet_every:
        callbacks = [
            *callbacks,
            SampleSheets(validation, started.pictures, sheet_every),
        ]
    return fit_run(
        trained,
        batches,
        started,
        epochs=chosen.epochs,
        seed=seed,
        monitor="val_psnr",
        callbacks=callbacks,
        verbose=verbose,
        validation_data=validation,
    )


def _stored(chosen):
    """Return the settings to store; older runs have none of an adversarial training."""
    stored = dataclasses.asdict(chosen)
    if chosen.adversarial is None:
        stored = {k: v for k, v in stored.items() if k not in OF_ADVERSARIAL}
        del stored["adversarial"]
    return stored


def _needs_features(chosen):
    return bool(set(FEATURE_TERMS) & set(WEIGHT_SETS[chosen.losses]))


def _lacks_features(chosen):
    return _needs_features(chosen) and chosen.vgg_weights is None


def _give_features(restorer, chosen):
    if _needs_features(chosen):
        restorer.features = load_vgg_features(chosen.vgg_weights)


def _as_setting(start_from):
    """Return the setting that records where a training began, if it did so."""
    if start_from is None:
        return {}
    return {"start_from": str(getattr(start_from, "folder", start_from))}


def _begin_with(restorer, start_from):
    """Load the weights of a run, or of a file, before the restorer is compiled."""
    if start_from is None:
        return
    path = expand_user(getattr(start_from, "folder", start_from))
    if path.is_dir():
        run = Run(path)
        if run.settings.get("adversarial") is None:
            run.load_weights(restorer)
            return
        trained = build_trained(run.settings)
        run.load_weights(trained)
        try:
            restorer.set_weights(trained.generator.get_weights())
        except ValueError as error:
            raise UserError(
                f"{path} holds another network ({error}): name the same settings of "
                "the network, or begin from another run."
            ) from None
    elif path.is_file() and path.name.endswith(".weights.h5"):
        load_weights(restorer, path)
    else:
        raise UserError(
            f"{path}: is neither a run's folder nor a file of weights (.weights.h5). "
            "Correct `start_from`."
        )


class SampleSheets(keras.callbacks.Callback):
    """Draw the restored held-out patches every few epochs.

    A row for each patch: censored, prediction, blend inside the hole, truth.

    Args:
        batches: Validation batches; the first patches of the first are shown.
        folder: Folder of `epoch-0005.png` and the like.
        every: Epochs from one sheet to the next; the last epoch has one as well.
        rows: Number of patches. Defaults to 6.
    """

    def __init__(
        self, batches: Batches, folder: str | os.PathLike, every: int, rows: int = 6
    ) -> None:
        super().__init__()
        (censored, valid), truth = batches[0]
        self.samples = censored[:rows], 255 - valid[:rows, ..., 0], truth[:rows]
        self.folder, self.every = Path(folder), every

    def on_epoch_end(self, epoch, logs=None):
        last = epoch + 1 == self.params["epochs"]
        if (epoch + 1) % self.every and not last:
            return
        censored, mask, truth = self.samples
        prediction = self.model.restore_patches(censored, mask)
        mixed = blend(censored, prediction, mask, self.model.blend)
        rows = np.stack([censored, prediction, mixed, truth], axis=1)
        if worker_index() > 0:  # every worker predicts its part of a batch
            return
        picture = sheet(list(rows.reshape(-1, *truth.shape[1:])), columns=4)
        write_image(self.folder / f"epoch-{epoch + 1:04d}.png", picture)


@renamed_keywords(patch="image_size")
def train_mosaic(
    images: str | os.PathLike,
    run: str | os.PathLike,
    *,
    held_out: Sequence[str] = (),
    samples: int = 120,
    image_size: int = 128,
    network: Mapping[str, Any] | None = None,
    epochs: int = 56,
    steps: int = 250,
    batch_size: int = 8,
    learning_rate: float = 4e-4,
    precision: str = "auto",
    strategy: str = "auto",
    seed: int = 0,
    start_from: str | os.PathLike | Run | None = None,
    cache: str | os.PathLike | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
) -> Run:
    """Train a restorer that sees the mosaic, or resume a training that was stopped.

    Every patch is a crop of a picture, mirrored, turned and with its colours exchanged,
    censored by `oppai.censoring.random_censor.draw_censor` and brought to the network's
    scale. The learning rate rises for two epochs, stays, and falls to zero over the
    last 75 % of the epochs. Pictures that cannot be read are left out; each is named.

    Example:
    ```python
    run = oppai.train_mosaic("clipart", "runs/mosaic", held_out=names, epochs=80)
    ```

    Args:
        images: Folder of whole pictures.
        run: Folder to write to; see `illustkit.training.runs.Run`.
        held_out: Names of files, relative to `images`, that are not trained on but
            measured after every epoch. Defaults to none.
        samples: Number of drawn characters to train on as well. Defaults to 120.
        image_size: Side of the patches in pixels. Defaults to 128.
        network: Keyword arguments of `oppai.MosaicUNet`. Defaults to `None`.
        epochs: Number of epochs, of `steps` steps each. Defaults to 56.
        steps: Steps in an epoch. Defaults to 250.
        batch_size: Patches in a step, over all devices. Defaults to 8.
        learning_rate: The highest learning rate of Adam. Defaults to 4e-4.
        precision: "auto", "float32", "mixed_bfloat16" or "mixed_float16". Defaults to
            "auto".
        strategy: Kind of `illustkit.get_strategy`. Defaults to "auto".
        seed: Int; decides the first weights and every patch. Defaults to 0.
        start_from: `Run`, run folder or `.weights.h5` of the same network to begin
            from. Defaults to `None`.
        cache: Folder for the pictures without compression, 3 bytes a pixel, from which
            the patches are cut. Defaults to one in the run.
        callbacks: More Keras callbacks. Defaults to none.
        verbose: As in `keras.Model.fit`. Defaults to "auto".

    Returns:
        The `illustkit.training.runs.Run`.

    Raises:
        UserError: If a value cannot work, a name is not in the folder, there is no
            picture to train on, or the folder holds another run, or one of other
            pictures or that holds out others.
    """
    check_options(
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        image_size=image_size,
        samples=samples,
        precision=precision,
        seed=seed,
    )
    devices = choose_devices(strategy, batch_size=batch_size, precision=precision)
    network = dict(network or {})
    settings = {
        "network": network,
        "patch": image_size,
        "epochs": epochs,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "precision": precision,
        "samples": samples,
        "seed": seed,
        **_as_setting(start_from),
    }
    # Runs of version 0.1 have the setting "model" instead of "kind".
    options: dict[str, Any] = {
        "may_change": ("model", "start_from"),
        "kind": MOSAIC_RESTORER,
    }
    Run.check(run, settings, **options)
    files = list_images(images)
    paths = dict(zip(relative_names(files, images), files, strict=True))
    if unknown := sorted(set(held_out) - set(paths)):
        raise UserError(f"{images} holds no picture {unknown[0]}: correct `held_out`.")
    _check_held_out(run, held_out, paths)
    data = compare_data(run, paths, paths.values(), source=images)
    quiet = is_quiet(verbose)
    if data.report and not quiet:
        print(data.report)
    # Built before the pictures are read: a network that cannot be built costs no time.
    with devices.building(seed):
        restorer = MosaicRestorer(MosaicUNet(**network))
        if not has_trained(run):
            _begin_with(restorer, start_from)
    pictures, left_out = _read_all(
        paths,
        own_folder(cache or expand_user(run) / "pictures"),
        progress=not quiet,
    )
    if left_out and not quiet:
        print("\n".join([f"{len(left_out)} pictures are left out:", *left_out]))
    kept = [pictures.pop(name) for name in held_out if name in pictures]
    training = list(pictures)
    drawn = [draw_character(i).image for i in range(samples)]
    if not training and not drawn:
        raise UserError(f"{images} holds no picture to train on: name another folder.")
    if held_out and not kept:
        raise UserError(f"{images}: no picture of `held_out` can be read.")
    batches = CensoredCrops(
        [*pictures.values(), *drawn], steps, batch_size, patch=image_size, seed=seed
    )
    with devices.building():
        rate = WarmupStableDecay(learning_rate, 2 * steps, epochs * steps)
        # Without clipping, one step in a thousand made this network diverge; with
        # Adam's usual epsilon of 1e-7 still one in three thousand: weights whose
        # gradients nearly vanish took whole steps.
        restorer.compile(ClippedAdam(rate, epsilon=1e-5, global_clipnorm=0.6))
    started = Run.start(run, settings, **options)
    if worker_index() == 0:
        write_split(started.folder, training, list(held_out))
        data.write(started.folder, after_epoch=started.epochs_done)
    validation = None
    if held_out:
        validation = _joined(CensoredCrops(kept, 8, 8, patch=image_size, seed=1))
        curve = PSNRCurve(held_out_cases(kept), started.folder / "curve.csv")
        callbacks = [curve, *callbacks]
    fit_run(
        restorer,
        batches,
        started,
        epochs=epochs,
        seed=seed,
        monitor="val_psnr" if held_out else None,
        callbacks=callbacks,
        verbose=verbose,
        validation_data=validation,
        validation_batch_size=batch_size,
    )
    if validation is None and worker_index() == 0:
        restorer.save_weights(started.weights_path)
    return started


def _check_held_out(run, held_out, paths):
    """Refuse other held-out pictures than those of a run that goes on."""
    run = expand_user(run)
    if not has_trained(run) or not (run / SPLIT).exists():
        return
    before = [name for name in read_split(run)[1] if name in paths]
    if set(before) != set(held_out):
        raise UserError(
            f"{run} holds out other pictures: name the same `held_out`, or another run."
        )


def _read_all(paths, cache, progress):
    """Return the pictures by name, of a memory map, and a line for each left out."""
    from tqdm import tqdm

    def fill(writer):
        left_out = writer.details.setdefault("left_out", [])
        bar = tqdm(paths.items(), unit="picture", leave=False, disable=not progress)
        for name, path in bar:
            try:
                writer.add(read_image(path), name=name)
            except Exception as error:
                if (problem := as_user_error(error, path)) is None:
                    raise
                left_out.append(str(problem))

    # A link that leads nowhere has no stamp; `fill` names it.
    stamps = file_stamps(path for path in paths.values() if path.exists())
    stored = store_pictures(cache, {"files": stamps}, fill)
    pictures = {row["name"]: stored[i] for i, row in enumerate(stored.rows)}
    return pictures, stored.details["left_out"]


def _joined(batches):
    """Return all batches as one."""
    arrays = [batches[i] for i in range(len(batches))]
    return tree.map_structure(lambda *each: np.concatenate(each), *arrays)


class PSNRCurve(keras.callbacks.Callback):
    """Write the PSNR of held-out holes every four epochs, by kind, with the time.

    Args:
        cases: What `held_out_cases` returns.
        path: CSV to append to: epoch, seconds of training, and a column for each kind.
        most: Cases of each kind. Defaults to 24.
    """

    COLUMNS = ("epoch", "seconds", "blocks_6_10", "blocks_12_20", "white")

    def __init__(
        self, cases: Sequence[tuple], path: str | os.PathLike, most: int = 24
    ) -> None:
        super().__init__()
        self.cases, self.path = cases[: 3 * most], Path(path)
        self.seconds = 0.0

    def on_train_begin(self, logs=None):
        if rows := self._rows():
            self.seconds = rows[-1][1]

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds += time.monotonic() - self.started
        if epoch % 4 != 3:
            return
        values: list[list[float]] = [[], [], []]
        for number, (case, truth) in enumerate(self.cases):
            picture = self.model.restore_patches(
                case.image[None], case.mask[None], [case.grid]
            )[0]
            hole = case.mask > 0
            error = picture[hole].astype("float32") - truth[hole]
            mse = max(float(np.mean(error**2)), 0.25)
            values[number % 3].append(10 * np.log10(255**2 / mse))
        if worker_index() > 0:  # every worker predicts its part of a batch
            return
        means = [f"{np.mean(v):.3f}" for v in values]
        rows = [row for row in self._rows() if row[0] <= epoch]
        write_table(
            self.path,
            self.COLUMNS,
            [*rows, [epoch + 1, f"{self.seconds:.0f}", *means]],
        )

    def _rows(self):
        if not self.path.exists():
            return []
        rows = read_table(self.path, self.COLUMNS)
        try:
            return [
                [int(row["epoch"]), *(float(row[name]) for name in self.COLUMNS[1:])]
                for _, row in rows
            ]
        except ValueError as error:
            raise UserError(f"{self.path}: {error}. Delete the file.") from None
