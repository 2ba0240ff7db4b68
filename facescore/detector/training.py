"""Train a detector on a folder of pictures with YOLO labels."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np

from facescore.detector.data import DetectorBatches, build_pictures, labelled_images
from facescore.detector.evaluation import draw_faces, measure
from facescore.detector.losses import FaceDetector
from facescore.detector.network import DetectorNetwork, refold
from facescore.detector.prediction import Detector, load_network
from facescore.optimizers import OPTIMIZERS, compile_with, make_optimizer
from facescore.run_kinds import may_train
from illustkit.figures import sheet
from illustkit.images import write_image
from illustkit.runtime import (
    check_batch_size,
    check_precision,
    get_strategy,
    own_folder,
    scope,
    worker_index,
)
from illustkit.training.presets import choose_preset
from illustkit.training.runs import Run
from illustkit.training.trainable import precision


@dataclasses.dataclass(frozen=True)
class DetectorPreset:
    """Settings of a detector's training; `train_detector` takes each as an option."""

    image_size: int  # side of a training picture, pixels
    batch_size: int  # pictures a step, over all devices
    epochs: int
    epoch_size: int  # pictures an epoch, however many there are
    learning_rate: float  # the greatest; it falls to a hundredth along a cosine
    widths: tuple  # channels of the stem and at strides 4, 8, 16, 32
    depths: tuple  # bottlenecks at strides 4, 8, 16, 32
    head: int  # channels in the head
    optimizer: str = "adamw"  # or "sgd", with Nesterov momentum 0.937
    weight_decay: float = 5e-4
    warm_up: float = 1.0  # epochs
    scale: tuple = (0.4, 1.6)  # of a picture that fits, least and greatest
    translate: float = 0.1  # share of the picture
    flip: float = 0.5  # probability
    mosaic: float = 0.5  # probability
    close_mosaic: int = 3  # last epochs without
    hue: float = 0.015
    saturation: float = 0.7
    value: float = 0.4
    max_faces: int = 48  # in a training picture; more than that are left out
    validation_size: int = 640  # side of a picture that is validated, pixels
    precision: str = "float32"  # or "mixed_bfloat16", "mixed_float16"


# The small and the tiny are trained on smaller pictures than they search, scaled so
# that faces have the sizes they will have then. What never fits whole is never found:
# trained at 320, the small one missed faces over 220 of 640 pixels.
DETECTOR_PRESETS = {
    # 0.28 M parameters, for trying things out and the demo.
    "tiny": DetectorPreset(
        image_size=224,
        batch_size=8,
        epochs=10,
        epoch_size=480,
        learning_rate=4e-3,
        widths=(8, 16, 32, 48, 64),
        depths=(1, 1, 1, 1),
        head=16,
        validation_size=320,
    ),
    # 1.27 M parameters; 23 pictures a second at 640 pixels on two CPU cores.
    "small": DetectorPreset(
        image_size=480,
        batch_size=8,
        epochs=30,
        epoch_size=800,
        learning_rate=3e-3,
        widths=(16, 24, 48, 96, 160),
        depths=(1, 2, 2, 1),
        head=32,
    ),
    # 2.9 M parameters, as Ultralytics trains its smallest; for a GPU.
    "full": DetectorPreset(
        image_size=640,
        batch_size=64,
        epochs=100,
        epoch_size=6400,
        learning_rate=1e-2,
        widths=(16, 32, 64, 128, 256),
        depths=(1, 2, 2, 1),
        head=64,
        optimizer="sgd",
        warm_up=3.0,
        scale=(0.5, 1.5),
        mosaic=1.0,
        close_mosaic=10,
    ),
}


class HeldOutFaces(keras.callbacks.Callback):
    """Measures AP on held-out pictures after each epoch, and draws what was found.

    Logs `val_ap50` and `val_ap`. It has to stand before the callbacks that save.

    Args:
        pictures: `LabelledPictures`, as they are stored.
        run: The `Run` whose `pictures/` get the sheets.
        preset: The training's `DetectorPreset`.
        sheet_every: Epochs from one sheet to the next; 0 for none.
    """

    def __init__(self, pictures, run, preset, sheet_every):
        super().__init__()
        self.samples = [pictures[i] for i in range(len(pictures))]
        self.run, self.preset, self.sheet_every = run, preset, sheet_every
        self.detector = None

    def on_epoch_end(self, epoch, logs=None):
        network = self.model.network
        if self.detector is None:
            self.detector = Detector(network)
        refold(network, self.detector.network)
        scores, found = measure(
            self.samples, self.detector, imgsz=self.preset.validation_size
        )
        logs["val_ap50"], logs["val_ap"] = scores.ap50, scores.ap50_95
        last = epoch + 1 == self.params["epochs"]
        if not self.sheet_every or worker_index():
            return
        if last or (epoch + 1) % self.sheet_every == 0:
            examples = [
                draw_faces(image, [f for f in faces if f.confidence >= 0.25], truth)
                for (image, truth), faces in zip(self.samples[:12], found, strict=False)
            ]
            path = self.run.pictures / f"epoch-{epoch + 1:04d}.png"
            write_image(path, sheet(examples, columns=4))


SPLIT = "split.json"


def train_detector(
    images,
    run,
    *,
    preset="small",
    start_from=None,
    strategy="auto",
    seed=0,
    holdout=0.1,
    cache=None,
    most_validated=100,
    sheet_every=4,
    verbose="auto",
    callbacks=(),
    **settings,
):
    """Train a face detector, or go on with a training that was stopped.

    Part of the pictures is held out; the weights that give the best AP (COCO's, over
    the IoUs 0.5 to 0.95) on it are kept as the run's best. The same call on the same
    folder resumes after the last whole epoch, with the same result as a training that
    was never stopped. Pictures without a label file are left out.

    Example:
    ```python
    run = train_detector("pictures", "runs/detector", preset="small", epochs=20)
    faces = detect_faces("picture.png", run)
    ```

    Args:
        images: Folder of labelled pictures, several folders, or a list of paths.
        run: Folder to write to; see `illustkit.training.runs.Run`.
        preset: Name in `facescore.detector.training.DETECTOR_PRESETS`. Defaults to "small".
        start_from: Run whose weights to begin with, of the same widths and depths, as
            a further round of labelling does. Defaults to random weights.
        strategy: Kind of `illustkit.get_strategy`. Defaults to "auto".
        seed: Int; decides the split, the first weights and every change of a picture.
        holdout: Share of the pictures to hold out. Defaults to 0.1.
        cache: Folder for the stored pictures; those of the run by default.
        most_validated: Most pictures to validate on. Defaults to 100.
        sheet_every: Epochs from one sheet of examples to the next; 0 for none.
        verbose: As in `keras.Model.fit`. Defaults to "auto".
        callbacks: More `keras.callbacks.Callback`s.
        **settings: Fields of `facescore.detector.training.DetectorPreset` that differ.

    Returns:
        The `illustkit.training.runs.Run`.

    Raises:
        ValueError: for an unknown preset or setting, too few labelled pictures, wrong
            labels (each with file and line), or a folder with another run.
        FloatingPointError: where the loss is not finite, naming the guilty part.
    """
    chosen = choose_detector_settings(preset, **settings)
    strategy = get_strategy(strategy)  # before anything touches the devices
    n_replicas = check_batch_size(chosen.batch_size, strategy)
    check_precision(chosen.precision, strategy)
    labelled, unlabelled = labelled_images(images)
    may_train(Path(run.folder if isinstance(run, Run) else run), "detector")
    run = Run.start(
        run,
        {
            **dataclasses.asdict(chosen),
            "seed": seed,
            "holdout": holdout,
            "start_from": str(getattr(start_from, "folder", start_from or "")),
        },
    )
    training, held_out = split_pictures(labelled, holdout=holdout, seed=seed)
    if worker_index() == 0:
        print(
            f"{len(training)} pictures to train on, {len(held_out)} held out, "
            f"{len(unlabelled)} without labels left out."
        )
        text = json.dumps({"train": training, "held_out": held_out}, indent=1)
        (run.folder / SPLIT).write_text(text, encoding="utf-8")
    held_out = held_out[:most_validated]
    side = max(
        round(chosen.image_size * min(chosen.scale[1], 2)), chosen.validation_size
    )
    pictures = build_pictures(
        sorted(training + held_out),
        side=side,
        cache=own_folder(cache or run.folder / "pictures-0"),
    )
    batches = DetectorBatches(pictures.select(training), chosen, seed=seed)

    keras.utils.set_random_seed(seed)
    with scope(strategy), precision(chosen.precision):
        network = DetectorNetwork(
            chosen.widths, chosen.depths, chosen.head, synchronised=n_replicas > 1
        )
        if start_from is not None:
            begin_with(network, start_from)
        detector = FaceDetector(network)
        compile_with(detector, _optimizer(chosen, len(batches)))
    callbacks = [batches.follow(), *callbacks]
    callbacks.append(HeldOutFaces(pictures.select(held_out), run, chosen, sheet_every))
    callbacks += run.callbacks("val_ap", "max")
    detector.fit(
        batches,
        epochs=chosen.epochs,
        shuffle=False,
        verbose=verbose,
        callbacks=callbacks,
    )
    return run


def choose_detector_settings(preset="small", **settings):
    """Settings of a preset, with those that the caller names in their place.

    Args:
        preset: Name in `facescore.detector.training.DETECTOR_PRESETS`.
        **settings: Fields of `DetectorPreset`.

    Returns:
        A `DetectorPreset`.

    Raises:
        ValueError: for an unknown preset or field, or a value that cannot work.
    """
    chosen = choose_preset(DETECTOR_PRESETS, preset, settings)
    for name in ("image_size", "validation_size"):
        if getattr(chosen, name) % 32 or getattr(chosen, name) < 32:
            raise ValueError(
                f"`{name}` must be a multiple of 32. Received: {getattr(chosen, name)}"
            )
    if chosen.epochs < 1 or not 1 <= chosen.batch_size <= chosen.epoch_size:
        raise ValueError(
            "`epochs` must be at least 1 and `batch_size` from 1 to `epoch_size`. "
            f"Received: {chosen.epochs}, {chosen.batch_size}, {chosen.epoch_size}"
        )
    if chosen.optimizer not in OPTIMIZERS:
        raise ValueError(
            f"`optimizer` is one of {OPTIMIZERS}. Received: {chosen.optimizer!r}"
        )
    return chosen


def split_pictures(paths, *, holdout=0.1, seed=0):
    """Split paths into those to train on and those held out, at least one of each.

    Args:
        paths: Paths of the labelled pictures.
        holdout: Share to hold out, 0 to 1.
        seed: Int.

    Returns:
        `(training, held_out)`: lists of str.

    Raises:
        ValueError: for fewer than two pictures or a share that is none.
    """
    if len(paths) < 2 or not 0 < holdout < 1:
        raise ValueError(
            "Training needs two labelled pictures or more and a holdout between 0 and "
            f"1. Received: {len(paths)} pictures, holdout={holdout}"
        )
    paths = sorted(map(str, paths))
    n = min(max(1, round(holdout * len(paths))), len(paths) - 1)
    order = np.random.default_rng((seed, 11)).permutation(len(paths))
    return sorted(paths[i] for i in order[n:]), [paths[i] for i in order[:n]]


def begin_with(network, run):
    """Give a network the weights of a trained run.

    Raises:
        ValueError: where that one has other widths or depths.
    """
    trained = load_network(run)
    for name in ("widths", "depths", "head"):
        if getattr(trained, name) != getattr(network, name):
            raise ValueError(
                f"`start_from` needs a detector of the same {name}. Received: "
                f"{getattr(trained, name)} there, {getattr(network, name)} here"
            )
    network.set_weights(trained.get_weights())


def _optimizer(chosen, steps):
    return make_optimizer(
        chosen,
        steps=chosen.epochs * steps,
        warm_up=round(chosen.warm_up * steps),
        first=0.01,
        last=0.01,
        momentum=0.937,
        nesterov=True,
    )
