"""Train a scorer on crops and one person's ratings."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from facescore.crop_batches import CropBatches
from facescore.crops import MARGIN
from facescore.optimizers import OPTIMIZERS, compile_with, make_optimizer
from facescore.ordinal import threshold_biases
from facescore.rated_crops import rated_crops, store_crops
from facescore.run_kinds import may_train
from facescore.scorer import NETWORKS, OBJECTIVES, build_scorer
from facescore.scorer_presets import SCORER_PRESETS
from facescore.scorer_split import split_by_source, write_split
from facescore.training_callbacks import HeldOutScores
from illustkit.presets import choose_preset
from illustkit.runs import SETTINGS, Run
from illustkit.strategy import (
    check_batch_size,
    check_precision,
    get_strategy,
    own_folder,
    scope,
    worker_index,
)
from illustkit.trainable import EpochSeeds, precision


def train_scorer(
    crops,
    run,
    *,
    ratings=None,
    preset="small",
    margin=MARGIN,
    square=True,
    strategy="auto",
    seed=0,
    holdout=0.1,
    cache=None,
    verbose="auto",
    callbacks=(),
    **settings,
):
    """Train a scorer, or go on with a training that was stopped.

    A tenth of the pictures is held out, with all their crops; the weights that give the
    best Spearman correlation on it are kept as the run's best. The same call on the
    same folder resumes after the last whole epoch, with the same result as a training
    that was never stopped.

    Example:
    ```python
    run = facescore.train_scorer("crops", "runs/taste", preset="small")
    print(max(run.history["val_spearman"]))
    ```

    Args:
        crops: Folder of crops, of any size; of whole pictures, too.
        run: Folder to write to; see `illustkit.runs.Run`.
        ratings: A CSV or a folder of scores, of the crops or of the pictures they were
            cut from; see `facescore.rated_crops`. Defaults to what the folder of crops
            itself says: `1/` to `5/`, or `ratings.csv`.
        preset: Name in `facescore.scorer_presets.SCORER_PRESETS`. Defaults to "small".
        margin: (top, sides, bottom) with which the crops were cut; `facescore.score`
            will cut alike. Defaults to that of `crop_face`.
        square: Whether they were cut square, likewise. Defaults to `True`.
        strategy: Kind of `illustkit.get_strategy`. Defaults to "auto".
        seed: Int; decides the split, the first weights and every variation.
        holdout: Share of the pictures to hold out. Defaults to 0.1.
        cache: Folder for the stored crops; that of the run by default.
        verbose: As in `keras.Model.fit`. Defaults to "auto".
        callbacks: More `keras.callbacks.Callback`s.
        **settings: Fields of `facescore.scorer_presets.ScorerPreset` that differ, such
            as `objective="coral"`.

    Returns:
        The `illustkit.runs.Run`, for `facescore.load_scorer` and its history.

    Raises:
        ValueError: for an unknown preset or setting, no rating, or a folder with
            another run.
        FloatingPointError: where the loss is not finite.

    Reference:
        The article, years 1 to 3, for the presets of their names.
    """
    chosen = choose_scorer_settings(preset, **settings)
    strategy = get_strategy(strategy)  # before anything touches the devices
    n_replicas = check_batch_size(chosen.batch_size, strategy)
    check_precision(chosen.precision, strategy)
    quiet = verbose == 0 or worker_index() > 0
    may_train(Path(run), "scorer")
    found, sources = rated_crops(crops, ratings)
    scores = np.asarray([score for _, score in found], "float32")
    training, held_out = split_by_source(sources, scores, holdout=holdout, seed=seed)
    known = scores[training]
    wanted = {
        **dataclasses.asdict(chosen),
        "mean": float(known.mean()),
        # Scores that are all the same leave nothing to scale by.
        "scale": float(known.std()) or 1.0,
        "biases": threshold_biases(known).tolist(),
        "margin": margin,
        "square": square,
        "seed": seed,
        "holdout": holdout,
    }
    if (Path(run) / SETTINGS).exists():
        Run.start(run, wanted)  # before anything is written into another run
    # A crop that cannot be read has to show before its score is in the run's settings.
    with tqdm(total=len(found), unit="crop", leave=False, disable=quiet) as bar:
        stored = store_crops(
            found,
            chosen.image_size,
            own_folder(cache or Path(run, "crops-0")),
            progress=lambda n: bar.update(),
        )
    run = Run.start(run, wanted)
    if worker_index() == 0:
        print(
            f"{len(training)} crops to train on, {len(held_out)} held out. Of score "
            + ", ".join(f"{k}: {np.sum(scores == k)}" for k in range(1, 6))
        )
        write_split(run, sources, training, held_out)
    batches = CropBatches(stored.select(training), chosen, seed=seed)

    keras.utils.set_random_seed(seed)
    with scope(strategy), precision(chosen.precision):
        # On JAX the batch statistics are those of the whole batch without being told.
        synchronised = strategy is not None and n_replicas > 1
        scorer = build_scorer(run.settings, synchronised=synchronised)
        compile_with(scorer, _optimizer(chosen, len(batches)))
    scorer.fit(
        batches,
        epochs=chosen.epochs,
        shuffle=False,
        verbose=verbose,
        callbacks=[
            batches.follow(),
            EpochSeeds(seed),
            *callbacks,
            HeldOutScores(stored.select(held_out)),
            *run.callbacks("val_spearman", "max"),
        ],
    )
    return run


def choose_scorer_settings(preset="small", **settings):
    """Settings of a preset, with those that the caller names in their place.

    Args:
        preset: Name in `facescore.scorer_presets.SCORER_PRESETS`.
        **settings: Fields of `ScorerPreset`; `network_options` are merged with the
            preset's, and `image_size` may be a single side.

    Returns:
        A `ScorerPreset`.

    Raises:
        ValueError: for an unknown preset or field, or a value that cannot work.
    """
    chosen = choose_preset(SCORER_PRESETS, preset, settings)
    options = {**SCORER_PRESETS[preset].network_options, **chosen.network_options}
    chosen = dataclasses.replace(chosen, network_options=options)
    choices = {
        "network": tuple(NETWORKS),
        "objective": OBJECTIVES,
        "optimizer": OPTIMIZERS,
    }
    for name, values in choices.items():
        if getattr(chosen, name) not in values:
            raise ValueError(
                f"`{name}` is one of {values}. Received: {getattr(chosen, name)!r}"
            )
    if chosen.epochs < 1 or chosen.batch_size < 1:
        raise ValueError(
            "`epochs` and `batch_size` must be at least 1. "
            f"Received: {chosen.epochs}, {chosen.batch_size}"
        )
    if isinstance(chosen.image_size, int):
        chosen = dataclasses.replace(chosen, image_size=(chosen.image_size,) * 2)
    if not 0 < chosen.zoom[0] <= chosen.zoom[1]:
        raise ValueError(f"`zoom` is (least, most), over 0. Received: {chosen.zoom}")
    return chosen


def _optimizer(chosen, steps):
    return make_optimizer(
        chosen,
        steps=chosen.epochs * steps,
        warm_up=steps,
        first=0.05,
        last=0.0,
        momentum=0.9,
        nesterov=False,
    )
