"""Train any of the translations, on drawn pairs or on one's own folder."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from illustkit.errors import UserError
from illustkit.figures import sheet
from illustkit.files import expand_user
from illustkit.images import list_images, read_image, write_image
from illustkit.options import check_number, check_options
from illustkit.runtime import own_folder, worker_index
from illustkit.training.adversarial import Adversarial, AdversarialAdam
from illustkit.training.batches import even_batch_size
from illustkit.training.fingerprint import compare_data
from illustkit.training.fit import choose_devices, fit_run, is_quiet
from illustkit.training.folder import has_trained
from illustkit.training.optimizers import ClippedAdam, WarmupStableDecay
from illustkit.training.presets import choose_preset
from illustkit.training.runs import Run, RunKind
from illustkit.training.split import split_run, write_split
from illustkit.training.trainable import Trainable, state_of
from oppai.translation.pairs import Pair, PairBatches, draw_pairs, read_pairs, shrink
from oppai.translation.task import Task, grey_of
from oppai.translation.tasks import make_task

HELD_OUT = 24  # drawn pairs that are measured, or a quarter of those learnt from
FIRST_HELD_OUT = 10**6  # their seeds begin here


@dataclass(frozen=True)
class TranslationPreset:
    """Hold the settings of `oppai.train_translation`; each is also an argument of it.

    Args:
        image_size: Side of the crops in pixels.
        networks: Dict from each task to the arguments of its network.
        batch_size: Crops in a step, over all devices.
        epochs: Number of epochs.
        epoch_steps: Steps in an epoch.
        learning_rate: The highest learning rate of Adam.
        drawn: Number of drawn pairs to learn from, where no folder is given.
        adversarial: Whether a discriminator takes part, in the tasks that have one:
            "pix2pix", "complete" and "clean".
        alone: Fraction of the steps at the beginning in which the discriminator alone
            learns.
        precision: "auto", "float32", "mixed_bfloat16" or "mixed_float16".
    """

    image_size: int = 128
    networks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    batch_size: int = 8
    epochs: int = 20
    epoch_steps: int = 100
    learning_rate: float = 1e-3
    drawn: int = 400
    adversarial: bool = False
    alone: float = 0.0
    precision: str = "float32"


PRESETS = {
    "tiny": TranslationPreset(
        image_size=96,
        networks={
            "clean": {"scale": 1 / 6},
            "colorize": {"scale": 1 / 6, "global_size": 96},
            "complete": {"filters": 16},
            "segment": {"filters": 8},
            "pix2pix": {"filters": 16, "depth": 5},
            "stylize": {"coarse_to_fine": True},
        },
    ),
    "colab": TranslationPreset(
        image_size=256,
        networks={
            "clean": {"scale": 0.5},
            "colorize": {"scale": 0.5},
            "complete": {"filters": 32},
            "stylize": {"coarse_to_fine": True},
        },
        batch_size=16,
        epochs=60,
        epoch_steps=250,
        drawn=4000,
        precision="auto",
    ),
    "paper": TranslationPreset(
        image_size=256,
        networks={"stylize": {"tap": "relu4_1", "vgg_weights": "imagenet"}},
        batch_size=8,
        epochs=200,
        epoch_steps=500,
        learning_rate=2e-4,
        drawn=4000,
        adversarial=True,
    ),
}
"""Settings by name: minutes on two cores, a GPU of Colab, and the papers' networks."""

TRANSLATION = RunKind("translation", frozenset({"task", "network", "adversarial"}))


@keras.saving.register_keras_serializable(package="oppai")
class Translator(Trainable):
    """A translation's network with its loss.

    Example:
    ```python
    translator = Translator(SketchNetwork(1 / 16), "clean")
    translator.compile("adam")
    translator.fit(batches, shuffle=False)
    ```

    Args:
        network: What the task's `build` returns.
        task: Name in `oppai.translation.tasks.TASKS`.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        inputs: Dict of the batch's arrays; see `Task.sample`.

    Returns:
        The network's output.
    """

    def __init__(self, network: Any, task: str, **kwargs: Any) -> None:
        rules = make_task(task)
        rules.attach(network)
        super().__init__(
            rules.term_weights, rules.monitors, **{"autocast": False, **kwargs}
        )
        self.network, self.task, self.rules = network, task, rules
        self.built = True

    def call(self, inputs, training=False):
        return self.network(self.rules.inputs(inputs), training=training)

    def terms(self, x, y, y_pred, training):
        return self.rules.terms(y, ops.cast(y_pred, "float32"), training)

    def get_config(self):
        config = super().get_config()
        network = keras.saving.serialize_keras_object(self.network)
        return {**config, "network": network, "task": self.task}

    @classmethod
    def from_config(cls, config):
        network = keras.saving.deserialize_keras_object(config["network"])
        return cls(**{**config, "network": network})


@keras.saving.register_keras_serializable(package="oppai")
class AdversarialTranslator(Adversarial):
    """A `Translator` against the discriminator of its task.

    "pix2pix" has a `PatchGAN` that sees the input beside the picture, "complete" one
    that sees the picture and the part around its hole, "clean" one of lines alone. With
    inputs that have no target (`x["unpaired"]`) the discriminator judges what becomes
    of them, too.

    Example:
    ```python
    translator = Translator(Pix2PixUNet(), "pix2pix")
    model = AdversarialTranslator(translator, PatchGAN())
    model.compile(AdversarialAdam(2e-4))
    ```

    Args:
        generator: The `Translator`.
        discriminator: What the task's `judge` returns.
        alone: Steps at the beginning in which the discriminator alone learns. Defaults
            to 0.
        **kwargs: See `illustkit.training.adversarial.Adversarial`.

    Reference:
        Isola et al. (2017), equation 4; Iizuka et al. (2017), algorithm 1, for the
        steps alone; Simo-Serra et al. (2018), equation 5, for inputs without targets.
    """

    generator: Any

    def __init__(
        self,
        generator: Translator,
        discriminator: Any,
        *,
        alone: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(generator, discriminator, **kwargs)
        self.alone = int(alone)
        self.steps_alone = None
        if self.alone:
            self.steps_alone = state_of(self, "steps_alone", (), "int32")

    def samples(self, x, y, y_pred):
        rules = self.generator.rules
        real, fake = rules.real_and_fake(x, y, ops.cast(y_pred, "float32"))
        if "unpaired" not in x:
            return real, fake
        more = self.generator({**x, "grey": x["unpaired"]}, training=True)
        # Two samples for one of the batch: the discriminator sees them one by one.
        return ops.stack([real, real], 1), ops.stack([fake, more], 1)

    def discriminator_inputs(self, x, samples):
        if "unpaired" in x:
            samples = ops.reshape(samples, (-1, *samples.shape[2:]))
        return self.generator.rules.judge_inputs(x, samples)

    def _logits(self, x, samples, training):
        return _by_sample(super()._logits(x, samples, training), x)

    def _stateless_logits(self, variables, x, samples, training):
        return _by_sample(super()._stateless_logits(variables, x, samples, training), x)

    def terms(self, x, y, y_pred, training):
        terms = super().terms(x, y, y_pred, training)
        if self.steps_alone is None or not training:
            return terms
        learns = ops.cast(self.steps_alone.value >= self.alone, "float32")
        self.steps_alone.assign(self.steps_alone + 1)
        return {k: v if k == "discriminator" else learns * v for k, v in terms.items()}

    def get_config(self):
        return {**super().get_config(), "alone": self.alone}


def _by_sample(logits, x):
    """Return the logits with an axis for each sample of the batch."""
    return ops.reshape(logits, (-1, 2)) if "unpaired" in x else logits


def train_translation(
    task: str,
    pictures: str | os.PathLike | None,
    run: str | os.PathLike,
    *,
    targets: str | os.PathLike | None = None,
    unpaired: str | os.PathLike | None = None,
    preset: str = "tiny",
    strategy: str = "auto",
    seed: int = 0,
    holdout: float = 0.1,
    start_from: Any = None,
    cache: str | os.PathLike | None = None,
    sheet_every: int = 5,
    verbose: str | int = "auto",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    network: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Run:
    """Train one of the translations, or resume a training that was stopped.

    Each translation learns to undo what can be done to a picture. "clean" undoes a
    rough sketch, "colorize" the loss of colours, "complete" a hole, "segment" finds the
    parts of a character, "stylize" gives one picture the style of another, and
    "pix2pix" learns whatever the pairs of a folder show, or to paint lines. Without a
    folder, the illustrator of `illustkit.samples` draws the pairs.

    The same call on the same folder resumes after the last whole epoch, with the same
    result as a training that was never stopped. Pictures that are held out stay so.

    Example:
    ```python
    run = oppai.train_translation("clean", None, "runs/clean", epochs=5)
    lines = oppai.translate("sketch.png", run)
    ```

    Args:
        task: "clean", "colorize", "complete", "stylize", "segment" or "pix2pix".
        pictures: Folder: of clean lines ("clean"), coloured pictures ("colorize"),
            whole ones ("complete"), contents and styles together ("stylize"), or
            inputs, with `targets` or each beside its target in one picture ("segment",
            "pix2pix"). `None` for drawn pairs.
        run: Folder to write to; see `illustkit.training.runs.Run`.
        targets: Folder of the targets, named as their inputs. Defaults to `None`.
        unpaired: Folder of rough sketches without clean lines, for "clean" with
            `adversarial=True`. Defaults to `None`.
        preset: "tiny" (minutes on two cores), "colab" or "paper". Defaults to "tiny".
        strategy: Kind of `illustkit.get_strategy`. Defaults to "auto".
        seed: Int; decides the split, the first weights and every crop.
        holdout: Fraction of the pictures to hold out. Defaults to 0.1.
        start_from: Run of the same task and network to begin from. Defaults to random
            weights.
        cache: Folder for the pictures without compression. Defaults to one in the run.
        sheet_every: Epochs from one sheet of samples to the next; 0 for none.
        verbose: As in `keras.Model.fit`. Defaults to "auto".
        callbacks: More Keras callbacks.
        network: Arguments of the network that differ from the preset's.
        **settings: Fields of `TranslationPreset` that differ from the preset.

    Returns:
        The `illustkit.training.runs.Run`.

    Raises:
        UserError: If the task, the preset or a setting is unknown, a value cannot work,
            there are fewer than two pairs, or the folder holds another run.
        FloatingPointError: If the loss is not finite; the message names the term.

    Reference:
        Seeds 002, section 3.2, and 003; the papers are named by the networks.
    """
    check_options(seed=seed, holdout=holdout, sheet_every=sheet_every)
    rules = make_task(task)
    chosen = choose_preset(PRESETS, preset, settings)
    check_options(
        image_size=chosen.image_size,
        batch_size=chosen.batch_size,
        epochs=chosen.epochs,
        learning_rate=chosen.learning_rate,
        precision=chosen.precision,
    )
    adversarial = bool(chosen.adversarial) and rules.judged
    if settings.get("adversarial") and not rules.judged:
        raise UserError(
            f"`adversarial` is for the tasks with a discriminator, not {task!r}."
        )
    if unpaired is not None and not (adversarial and task == "clean"):
        raise UserError(
            '`unpaired` sketches are for "clean" with `adversarial=True`: only a '
            "discriminator learns from them."
        )
    check_number("alone", chosen.alone, least=0, below=1)
    devices = choose_devices(
        strategy, batch_size=chosen.batch_size, precision=chosen.precision
    )
    stored: dict[str, Any] = dataclasses.asdict(chosen)
    del stored["networks"]
    stored |= {
        "task": task,
        "network": _arguments(rules, chosen, network or {}),
        "adversarial": adversarial,
        "seed": seed,
        "holdout": holdout,
    }
    if start_from is not None:
        stored["start_from"] = str(getattr(start_from, "folder", start_from))
    options: dict[str, Any] = {"may_change": ("start_from",), "kind": TRANSLATION}
    Run.check(run, stored, **options)
    if pictures is None and has_trained(run):
        if Run(run).epochs_done >= chosen.epochs:  # drawing takes longer than the rest
            return Run.start(run, stored, **options)
    rules = make_task(task, stored["network"])
    # Built before the pictures are read: a network that cannot be built costs no time.
    with devices.building(seed):
        model = build_translator(stored)
        _check_side(model, chosen.image_size)
        if start_from is not None:
            _begin_from(model, TRANSLATION.open(start_from))
    quiet = is_quiet(verbose)
    training, held_out, data = _collect(
        rules,
        pictures,
        targets,
        run,
        chosen,
        seed=seed,
        holdout=holdout,
        cache=own_folder(cache or expand_user(run) / "pairs"),
        quiet=quiet,
    )
    roughs = [] if unpaired is None else _read_roughs(unpaired, chosen.image_size)
    batches = PairBatches(
        rules,
        training,
        image_size=chosen.image_size,
        batch_size=chosen.batch_size,
        steps=chosen.epoch_steps,
        seed=seed,
        unpaired=roughs,
    )
    validation = PairBatches(
        rules,
        held_out,
        image_size=chosen.image_size,
        batch_size=even_batch_size(
            len(held_out), min(len(held_out), chosen.batch_size), devices.replicas
        ),
        seed=seed + 1,
        unpaired=roughs,
    )
    with devices.building():
        steps = chosen.epochs * len(batches)
        rate = WarmupStableDecay(chosen.learning_rate, min(200, steps // 10), steps)
        if adversarial:
            model.compile(AdversarialAdam(chosen.learning_rate))
        else:
            model.compile(ClippedAdam(rate, global_clipnorm=rules.clip))
    started = Run.start(run, stored, **options)
    if worker_index() == 0 and data is not None:
        write_split(started.folder, *data.names)
        data.found.write(started.folder, after_epoch=started.epochs_done)
    if sheet_every:
        sheets = TranslationSheets(rules, validation, started.pictures, sheet_every)
        callbacks = [*callbacks, sheets]
    monitor, mode = rules.best
    return fit_run(
        model,
        batches,
        started,
        epochs=chosen.epochs,
        seed=seed,
        monitor=monitor,
        mode=mode,
        callbacks=callbacks,
        verbose=verbose,
        validation_data=validation,
    )


@dataclass(frozen=True)
class _Data:
    """The names on both sides, and the fingerprint."""

    names: tuple[list[str], list[str]]
    found: Any


def _collect(
    rules: Task, pictures, targets, run, chosen, *, seed, holdout, cache, quiet
) -> tuple[list[Pair], list[Pair], _Data | None]:
    """Return the pairs to learn from, those to measure, and the record of a folder."""
    side = chosen.image_size
    if pictures is None:
        if targets is not None:
            raise UserError("`targets` needs the folder of their inputs, `pictures`.")
        learnt = draw_pairs(rules, range(chosen.drawn), side)
        seeds = FIRST_HELD_OUT + np.arange(min(HELD_OUT, max(2, chosen.drawn // 4)))
        return learnt, draw_pairs(rules, seeds.tolist(), side), None
    pairs, paths, left_out = read_pairs(
        rules, pictures, targets, side=side, cache=cache, progress=not quiet
    )
    if left_out and not quiet:
        print("\n".join([f"{len(left_out)} pictures are left out:", *left_out]))
    if len(pairs) < 2:
        raise UserError(
            f"{pictures}: two pairs or more are needed, one to learn from and one to "
            f"hold out. Received: {len(pairs)}"
        )
    names = list(pairs)
    found = compare_data(run, names, [paths[n] for n in names], source=pictures)
    if found.report and not quiet:
        print(found.report)
    training, held_out = split_run(
        run, names, holdout=holdout, seed=seed, stored_as=found.renamed
    )
    kept = _Data((training, held_out), found)
    return [pairs[n] for n in training], [pairs[n] for n in held_out], kept


def _read_roughs(folder, side):
    """Return the grey sketches of a folder, none much larger than the crops."""
    pictures = [grey_of(read_image(path)) for path in list_images(folder)]
    return [shrink(picture, 2 * side) for picture in pictures]


def _begin_from(model, source):
    """Load a run's weights; without a discriminator they are the generator's alone."""
    if isinstance(model, AdversarialTranslator) and not source.settings["adversarial"]:
        model = model.generator
    source.load_weights(model)


def _check_side(model, side):
    multiple = getattr(model, "generator", model).network.multiple
    if side % multiple:
        raise UserError(
            f"`image_size` must be a multiple of {multiple} for this network. "
            f"Received: {side}"
        )


def _arguments(rules, chosen, network):
    """Return the preset's arguments with the user's; none of it are the other's."""
    if network.get(rules.other):
        return dict(network)
    return {**chosen.networks.get(rules.name, {}), **network}


def build_translator(
    settings: Mapping[str, Any],
) -> Translator | AdversarialTranslator:
    """Build the untrained model of a run's settings.

    Args:
        settings: Dict, as `Run.settings`.

    Returns:
        A `Translator`, or an `AdversarialTranslator` around it.
    """
    rules = make_task(settings["task"], settings["network"])
    translator = Translator(rules.build(), settings["task"])
    if not settings.get("adversarial"):
        return translator
    steps = settings["epochs"] * settings["epoch_steps"]
    return AdversarialTranslator(
        translator,
        rules.judge(settings["image_size"]),
        adversarial_weight=rules.adversarial_weight,
        alone=round(settings.get("alone", 0) * steps),
    )


class TranslationSheets(keras.callbacks.Callback):
    """Draw held-out pairs and the translations every few epochs.

    Args:
        rules: The `Task`.
        batches: Validation batches; the first of the first are shown.
        folder: Folder of `epoch-0005.png` and the like.
        every: Epochs from one sheet to the next; the last epoch has one as well.
        rows: Number of pairs. Defaults to 6.
    """

    def __init__(
        self, rules: Task, batches: PairBatches, folder: Path, every: int, rows: int = 6
    ) -> None:
        super().__init__()
        self.rules, self.folder, self.every = rules, Path(folder), every
        self.x, self.y = (
            {name: array[:rows] for name, array in part.items()} for part in batches[0]
        )

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every and epoch + 1 != self.params["epochs"]:
            return
        predictions = self.model.predict_on_batch(self.x)
        if worker_index() > 0:  # every worker predicts its part of a batch
            return
        pictures: list[np.ndarray] = []
        for i in range(len(predictions)):
            x = {name: array[i] for name, array in self.x.items()}
            y = {name: array[i] for name, array in self.y.items()}
            pictures += self.rules.shown(x, y, np.asarray(predictions[i]))
        picture = sheet(pictures, columns=3)
        write_image(self.folder / f"epoch-{epoch + 1:04d}.png", picture)
