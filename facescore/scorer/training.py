"""Train a scorer on crops and one person's ratings."""

import dataclasses
import inspect
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from facescore.crops import MARGIN, crop_region
from facescore.scorer.agreement import mean_absolute_error, spearman
from facescore.scorer.calibration import (
    CALIBRATION,
    FEWEST,
    fit_calibration,
    write_calibration,
)
from facescore.scorer.data import (
    CropBatches,
    RatedCrops,
    crop_names,
    rated_crops,
    split_crops,
    store_crops,
    write_source_split,
)
from facescore.scorer.model import (
    NETWORKS,
    OBJECTIVES,
    SCORER,
    balanced_weights,
    build_scorer,
    load_scorer,
    threshold_biases,
)
from facescore.scorer.networks import check_size
from facescore.scorer.networks.backbones import IMAGENET, LITE0, find_application
from facescore.scorer.ratings import Rating
from facescore.scorer.transfer import (
    begin_with_convolutions,
    begin_with_features,
    read_layers,
)
from illustkit.errors import UserError
from illustkit.files import expand_user
from illustkit.options import check_choice, check_number, check_options, check_range
from illustkit.runtime import own_folder, worker_index
from illustkit.training.fingerprint import compare_data
from illustkit.training.fit import choose_devices, fit_run, is_quiet
from illustkit.training.folder import has_trained
from illustkit.training.optimizers import OPTIMIZERS, build_optimizer, make_optimizer
from illustkit.training.presets import choose_preset
from illustkit.training.runs import Run


@dataclass(frozen=True)
class ScorerPreset:
    """Settings of `facescore.train_scorer`; each of them is also an option of it.

    Args:
        network: "small", "animecnn", "alexnet" or "transfer".
        image_size: (width, height) in pixels; crops of other sizes are stretched to it.
        network_options: More keyword arguments of the network.
        start_from: File of the convolutions that "alexnet", "animecnn" or "small"
            begins with; see `facescore.scorer.transfer.read_layers`. Of "transfer" with
            another backbone the backbone's weights: "imagenet", which Keras downloads,
            or a file; see `facescore.scorer.networks.backbones.begin_with_application`.
        objective: "regression" or "coral".
        class_weights: "balanced" lets every score count alike in the loss, however rare
            it is; `None` every crop.
        batch_size: Pictures a step, over all devices.
        epochs: Passes over the training crops.
        optimizer: "adamw", or "sgd" with momentum 0.9.
        learning_rate: The highest rate; it rises over the first epoch and falls to
            zero along a cosine.
        weight_decay: Weight decay of the kernels.
        flip: Probability of mirroring.
        shift: Greatest shift either way, as a fraction of the side.
        zoom: Least and greatest scale.
        turn: Greatest rotation either way, in degrees.
        brightness: Greatest relative change of light and of contrast either way.
        blur: Probability of a lower resolution, as in small pictures.
        precision: "auto", "float32", "mixed_bfloat16" or "mixed_float16".
    """

    network: str = "small"
    image_size: Any = (96, 96)
    network_options: dict[str, Any] = field(default_factory=dict)
    start_from: str | None = None
    objective: str = "regression"
    class_weights: str | None = None
    batch_size: int = 16
    epochs: int = 20
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    flip: float = 0.5
    shift: float = 0.03
    zoom: tuple[float, float] = (0.93, 1.08)
    turn: float = 3.0
    brightness: float = 0.1
    blur: float = 0.1
    precision: str = "float32"


SMALL = ScorerPreset()
"""0.39 M parameters. 2,000 crops take 4 to 6 minutes on two CPU cores. On the taste of
`facescore.synthetic.taste` it reached a Spearman correlation of 0.84 on 500 unseen
faces, where the noise allows 0.90, and a mean error of 0.62 points. Faces have to be
framed about as in training: a box moved by a tenth of the face changes a score by half
a point."""

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

TRANSFER = ScorerPreset(
    network="transfer",
    image_size=(160, 160),
    epochs=4,
    learning_rate=2e-5,
    weight_decay=1e-3,
)
"""For few ratings: ImageNet's features (EfficientNet-Lite0, in the package) and a
linear head that is solved for in closed form; then both are fine-tuned a little: at
3e-4 fine-tuning on 100 crops lost .02 of a Spearman correlation of .61, at 1e-3 .16."""

SCORER_PRESETS = {
    "small": SMALL,
    "transfer": TRANSFER,
    "animecnn": ANIMECNN,
    "alexnet-whole": ALEXNET_WHOLE,
    "alexnet-face": ALEXNET_FACE,
}


class HeldOutScores(keras.callbacks.Callback):
    """Logs `val_mae` and `val_spearman` after each epoch.

    It has to come before the callbacks that save.

    Args:
        crops: `RatedCrops` that are not trained on.
    """

    def __init__(self, crops: RatedCrops) -> None:
        super().__init__()
        self.crops = crops

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        predicted = predict_all(self.model, self.crops)
        logs["val_mae"] = mean_absolute_error(self.crops.scores, predicted)
        # nan if all predictions, or all scores, are the same: they have no order
        logs["val_spearman"] = float(spearman(self.crops.scores, predicted))


def train_scorer(
    crops: str | os.PathLike,
    run: str | os.PathLike | Run,
    *,
    ratings: Any = None,
    preset: str = "small",
    margin: Sequence[float] = MARGIN,
    square: bool = True,
    strategy: str = "auto",
    seed: int = 0,
    holdout: float = 0.1,
    cache: str | os.PathLike | None = None,
    calibrate: bool = False,
    verbose: str | int = "auto",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **settings: Any,
) -> Run:
    """Train a scorer, or resume a training that was stopped.

    A tenth of the pictures is held out, with all their crops. The weights with the best
    Spearman correlation on them are kept as the run's best. The same call on the same
    folder resumes after the last whole epoch, with the result of a training that was
    never stopped.

    Example:
    ```python
    run = facescore.train_scorer("crops", "runs/taste", preset="small")
    print(max(run.history["val_spearman"]))
    ```

    Args:
        crops: Folder of crops, of any size; of whole pictures, too.
        run: Folder to write to; see `illustkit.training.runs.Run`.
        ratings: A CSV or a folder of scores, of the crops or of the pictures they were
            cut from; see `facescore.scorer.data`. Defaults to the ratings in the
            folder of crops itself: `1/` to `5/`, or `ratings.csv`.
        preset: Name in `facescore.scorer.training.SCORER_PRESETS`. Defaults to "small".
        margin: (top, sides, bottom) with which the crops were cut; `facescore.score`
            will cut alike. Defaults to that of `crop_face`.
        square: Whether they were cut square, likewise. Defaults to `True`.
        strategy: Kind of `illustkit.get_strategy`. Defaults to "auto".
        seed: Int; decides the split, the first weights and every variation.
        holdout: Fraction of the pictures to hold out. Defaults to 0.1.
        cache: Folder for the stored crops. Defaults to one in the run's folder.
        calibrate: Whether scores are spread over the scale as the ratings are: the map
            of `facescore.scorer.calibration.fit_calibration`, of the held-out crops'
            predictions to the distribution of all ratings, goes into the run's folder,
            and `load_scorer` applies it. The order of pictures stays. The same call on
            a finished run calibrates it, and with `False` takes that back. Defaults to
            `False`.
        verbose: As in `keras.Model.fit`. Defaults to "auto".
        callbacks: More `keras.callbacks.Callback`s.
        **settings: Fields of `facescore.scorer.training.ScorerPreset` that differ, such
            as `objective="coral"`.

    Returns:
        The `illustkit.training.runs.Run`, for `facescore.load_scorer` and its history.

    Raises:
        UserError: If the preset or a setting is unknown, there is no rating, the folder
            holds another run, or `calibrate` finds under 20 held-out crops.
        FloatingPointError: If the loss is not finite.

    Reference:
        The article, years 1 to 3, for the presets of their names.
    """
    check_options(seed=seed, holdout=holdout)
    crop_region((0, 0, 1, 1), margin=margin, square=square)  # refuses a wrong margin
    chosen = choose_scorer_settings(preset, **settings)
    devices = choose_devices(
        strategy, batch_size=chosen.batch_size, precision=chosen.precision
    )
    folder = run.folder if isinstance(run, Run) else expand_user(run)
    quiet = is_quiet(verbose)
    record: dict[str, Any] = {
        **dataclasses.asdict(chosen),
        "margin": margin,
        "square": square,
        "seed": seed,
        "holdout": holdout,
    }
    if has_trained(folder):  # what it has learnt its scores by
        before = SCORER.open(folder).settings
        learnt_by = "mean", "scale", "biases", "score_weights"
        record |= {name: before.get(name) for name in learnt_by}
    Run.check(folder, record, kind=SCORER)
    given = None
    learnt_file = None if chosen.network == "transfer" else chosen.start_from
    if learnt_file is not None and not has_trained(folder):
        given = read_layers(learnt_file)
    gone: list[Rating] = []
    rated, sources = rated_crops(crops, ratings, gone=gone)
    if len(rated) < chosen.batch_size:  # before they are all read
        raise UserError(
            f"{crops}: {len(rated)} rated crops do not fill one batch of "
            f"{chosen.batch_size}: take a smaller `batch_size`, or more crops."
        )
    damaged: dict[int, str] = {}
    with tqdm(total=len(rated), unit="crop", leave=False, disable=quiet) as bar:
        stored = store_crops(
            rated,
            chosen.image_size,
            own_folder(expand_user(cache or folder / "crops-0")),
            progress=lambda n: bar.update(),
            damaged=damaged,
        )
    reasons = [f"{path}: is gone." for path, _ in gone] + list(damaged.values())
    if reasons and not quiet:
        print(f"{len(reasons)} rated crops are left out:", *reasons, sep="\n")
    rated = [rating for i, rating in enumerate(rated) if i not in damaged]
    sources = [source for i, source in enumerate(sources) if i not in damaged]
    names = crop_names(crops, rated)
    data = compare_data(folder, names, [path for path, _ in rated], source=crops)
    if data.report and not quiet:
        print(data.report)
    scores = np.asarray([score for _, score in rated], "float32")
    training, held_out = split_crops(
        folder,
        crops,
        sources,
        scores,
        holdout=holdout,
        seed=seed,
        stored_as=_earlier_names(sources, names, data.renamed),
    )
    if not len(training) or not len(held_out):
        raise UserError(
            f"{crops}: crops of two pictures or more are needed, one to hold out. "
            f"Received: {len(training)} to train on, {len(held_out)} held out"
        )
    if calibrate and len(held_out) < FEWEST:
        raise UserError(
            f"`calibrate` needs {FEWEST} held-out crops or more, and there are "
            f"{len(held_out)}: rate more crops, or raise `holdout`."
        )
    if not has_trained(folder):
        learnt = scores[training]
        record["mean"] = float(learnt.mean())
        # Scores that are all the same leave nothing to scale by.
        record["scale"] = float(learnt.std()) or 1.0
        weights = balanced_weights(learnt) if chosen.class_weights else None
        record["score_weights"] = None if weights is None else weights.tolist()
        record["biases"] = threshold_biases(learnt, weights=weights).tolist()
    run = Run.start(folder, record, kind=SCORER)
    if worker_index() == 0:
        write_source_split(run.folder, sources, training, held_out)
        data.write(run.folder, after_epoch=run.epochs_done)
        (run.folder / CALIBRATION).unlink(missing_ok=True)  # of earlier weights
    if not quiet:
        print(
            f"{len(training)} crops to train on, {len(held_out)} held out. Of score "
            + ", ".join(f"{k}: {np.sum(scores == k)}" for k in range(1, 6))
        )
    batches = CropBatches(stored.select(training), chosen, seed=seed)

    with devices.building(seed):
        # On JAX the batch statistics are those of the whole batch anyway.
        synchronised = devices.strategy is not None and devices.replicas > 1
        scorer = build_scorer(run.settings, synchronised=synchronised)
        if chosen.network == "transfer" and not has_trained(folder):
            begin_with_features(
                *(scorer, stored.select(training), scores[training]), chosen.start_from
            )
        if given is not None and learnt_file is not None:
            begin_with_convolutions(scorer.network, given, learnt_file)
        scorer.compile(_optimizer(chosen, len(batches)))
        build_optimizer(scorer)
    fit_run(
        scorer,
        batches,
        run,
        epochs=chosen.epochs,
        seed=seed,
        monitor="val_spearman",
        callbacks=[*callbacks, HeldOutScores(stored.select(held_out))],
        verbose=verbose,
    )
    if calibrate and worker_index() == 0:
        predicted = predict_all(load_scorer(run), stored.select(held_out))
        write_calibration(run.folder, fit_calibration(predicted, scores))
    return run


def predict_all(scorer: Any, crops: RatedCrops, step: int = 256) -> np.ndarray:
    """Score stored crops, a part of them at a time.

    Args:
        scorer: A `Scorer`.
        crops: `RatedCrops` of its network's size.
        step: Crops that are held in memory. Defaults to 256.

    Returns:
        float32 `(n,)`.
    """
    return np.concatenate(
        [
            scorer.predict_scores(crops[slice(i, i + step)])
            for i in range(0, len(crops), step)
        ]
    )


def _earlier_names(sources, names, renamed):
    """Return a dict from sources to the names that an older run may have them under."""
    earlier = {}
    for source, name in zip(sources, names, strict=True):
        name = renamed.get(name, name)  # of a crop that was sorted into another folder
        if name != source:
            earlier.setdefault(source, name)
    return earlier


def choose_scorer_settings(preset: str = "small", **settings: Any) -> ScorerPreset:
    """Return the settings of a preset, with the fields replaced that the caller names.

    Args:
        preset: Name in `facescore.scorer.training.SCORER_PRESETS`.
        **settings: Fields of `ScorerPreset`; `network_options` are merged with the
            preset's, and `image_size` may be a single side.

    Returns:
        A `ScorerPreset`.

    Raises:
        UserError: If the preset or a field is unknown, or a value cannot work.
    """
    chosen = choose_preset(SCORER_PRESETS, preset, settings)
    options = {**SCORER_PRESETS[preset].network_options, **chosen.network_options}
    chosen = dataclasses.replace(chosen, network_options=options)
    check_choice("network", chosen.network, tuple(NETWORKS))
    check_choice("objective", chosen.objective, OBJECTIVES)
    if chosen.start_from is not None:
        chosen = dataclasses.replace(chosen, start_from=os.fspath(chosen.start_from))
        shipped = options.get("backbone", LITE0) == LITE0
        if chosen.network == "transfer" and shipped and chosen.start_from != IMAGENET:
            raise UserError(
                f"`start_from` is for other networks: {LITE0} begins with ImageNet's "
                "weights, which come with the package. Leave it out, or name another "
                "`backbone`."
            )
    check_choice("class_weights", chosen.class_weights, ("balanced",))
    check_choice("optimizer", chosen.optimizer, OPTIMIZERS)
    check_options(**dataclasses.asdict(chosen))
    check_range("zoom", chosen.zoom, above=0)
    for name in ("shift", "turn", "brightness"):
        check_number(name, getattr(chosen, name), least=0)
    check_number("blur", chosen.blur, least=0, most=1)
    network: Any = NETWORKS[chosen.network]
    check_size(chosen.image_size, *network.sides)
    names = inspect.signature(network).parameters.keys() - {"image_size", "kwargs"}
    for name in options:
        check_choice("network_options", name, sorted(names))
    if options.get("backbone", LITE0) != LITE0:
        find_application(options["backbone"])
    check_number("hidden_units", options.get("hidden_units"), whole=True, least=1)
    if isinstance(chosen.image_size, int):
        chosen = dataclasses.replace(chosen, image_size=(chosen.image_size,) * 2)
    return chosen


def _optimizer(chosen, steps):
    return make_optimizer(
        chosen.optimizer,
        chosen.learning_rate,
        weight_decay=chosen.weight_decay,
        steps=chosen.epochs * steps,
        warm_up=steps,
        first=0.05,
        last=0.0,
        momentum=0.9,
        nesterov=False,
    )
