"""Train a scorer on crops and one person's ratings."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from facescore.crops import MARGIN
from facescore.optimizers import OPTIMIZERS, compile_with, make_optimizer
from facescore.run_kinds import may_train
from facescore.scorer.agreement import mean_absolute_error, spearman
from facescore.scorer.data import (
    CropBatches,
    rated_crops,
    split_by_source,
    store_crops,
    write_split,
)
from facescore.scorer.model import NETWORKS, OBJECTIVES, build_scorer, threshold_biases
from illustkit.runtime import (
    check_batch_size,
    check_precision,
    get_strategy,
    own_folder,
    scope,
    worker_index,
)
from illustkit.training.presets import choose_preset
from illustkit.training.runs import SETTINGS, Run
from illustkit.training.trainable import EpochSeeds, precision


@dataclass(frozen=True)
class ScorerPreset:
    """Settings of `facescore.train_scorer`; each of them is also an option of it.

    Args:
        network: "small", "animecnn" or "alexnet".
        image_size: (width, height) in pixels; crops of other sizes are stretched to it.
        network_options: More keyword arguments of the network.
        objective: "regression" or "coral".
        batch_size: Pictures a step, over all devices.
        epochs: Passes over the training crops.
        optimizer: "adamw", or "sgd" with momentum 0.9.
        learning_rate: The greatest; it rises over the first epoch and falls to zero
            along a cosine.
        weight_decay: Of the kernels.
        flip: Probability of mirroring.
        shift: Greatest shift either way, as a share of the side.
        zoom: Least and greatest scale.
        turn: Greatest rotation either way, in degrees.
        brightness: Greatest change of light and of contrast either way, as a share.
        blur: Probability of losing resolution, as a small picture has lost it.
        precision: "float32", "mixed_bfloat16" or "mixed_float16".
    """

    network: str = "small"
    image_size: tuple = (96, 96)
    network_options: dict = field(default_factory=dict)
    objective: str = "regression"
    batch_size: int = 16
    epochs: int = 20
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    flip: float = 0.5
    shift: float = 0.03
    zoom: tuple = (0.93, 1.08)
    turn: float = 3.0
    brightness: float = 0.1
    blur: float = 0.1
    precision: str = "float32"


SMALL = ScorerPreset()
"""0.39 M parameters. 2,000 crops take 4 to 6 minutes on two CPU cores. On the taste of
`facescore.synthetic.taste` it reached a Spearman correlation of 0.84 on 500 unseen faces, where
the noise allows 0.90, and a mean error of 0.62 points. Faces have to be framed about as
in training: a box moved by a tenth of the face changes a score by half a point."""

ANIMECNN = ScorerPreset(
    network="animecnn",
    image_size=(144, 96),
    batch_size=100,
    epochs=50,
    learning_rate=1e-3,
)
"""The article's first year: pictures of 144×96, a hundred a step."""

ALEXNET_WHOLE = ScorerPreset(
    network="alexnet",
    image_size=(640, 360),
    epochs=50,
    learning_rate=1e-4,
)
"""The article's second year: whole pictures, stretched to 640×360; 239.7 M parameters.
For a GPU: weights, gradients and AdamW's two averages take 4 GB."""

ALEXNET_FACE = ScorerPreset(
    network="alexnet",
    image_size=(360, 360),
    epochs=50,
    learning_rate=1e-4,
)
"""The article's third year: faces of 360×360; 147.4 M parameters, 2.4 GB with AdamW's
averages. For a GPU."""

SCORER_PRESETS = {
    "small": SMALL,
    "animecnn": ANIMECNN,
    "alexnet-whole": ALEXNET_WHOLE,
    "alexnet-face": ALEXNET_FACE,
}


class HeldOutScores(keras.callbacks.Callback):
    """Logs `val_mae` and `val_spearman` after each epoch.

    It has to stand before the callbacks that save.

    Args:
        crops: `RatedCrops` that are not trained on.
    """

    def __init__(self, crops):
        super().__init__()
        self.crops = crops

    def on_epoch_end(self, epoch, logs=None):
        step = 256
        predicted = np.concatenate(
            [
                self.model.predict_scores(self.crops[slice(i, i + step)])
                for i in range(0, len(self.crops), step)
            ]
        )
        logs["val_mae"] = mean_absolute_error(self.crops.scores, predicted)
        # nan where every prediction, or every score, is the same: no order to be seen
        order = spearman(self.crops.scores, predicted)
        logs["val_spearman"] = order if np.isfinite(order) else 0.0


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
        run: Folder to write to; see `illustkit.training.runs.Run`.
        ratings: A CSV or a folder of scores, of the crops or of the pictures they were
            cut from; see `facescore.scorer.data`. Defaults to what the folder of crops
            itself says: `1/` to `5/`, or `ratings.csv`.
        preset: Name in `facescore.scorer.training.SCORER_PRESETS`. Defaults to "small".
        margin: (top, sides, bottom) with which the crops were cut; `facescore.score`
            will cut alike. Defaults to that of `crop_face`.
        square: Whether they were cut square, likewise. Defaults to `True`.
        strategy: Kind of `illustkit.get_strategy`. Defaults to "auto".
        seed: Int; decides the split, the first weights and every variation.
        holdout: Share of the pictures to hold out. Defaults to 0.1.
        cache: Folder for the stored crops; that of the run by default.
        verbose: As in `keras.Model.fit`. Defaults to "auto".
        callbacks: More `keras.callbacks.Callback`s.
        **settings: Fields of `facescore.scorer.training.ScorerPreset` that differ, such
            as `objective="coral"`.

    Returns:
        The `illustkit.training.runs.Run`, for `facescore.load_scorer` and its history.

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
        preset: Name in `facescore.scorer.training.SCORER_PRESETS`.
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
