"""Train a detector on a folder of pictures with YOLO labels."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
from tqdm import tqdm

from facescore.detector import CONFIDENCE
from facescore.detector.data import (
    DetectorBatches,
    LabelledPictures,
    build_pictures,
    labelled_images,
)
from facescore.detector.evaluation import measure
from facescore.detector.losses import DETECTOR, build_detector
from facescore.detector.network import BACKBONES, refold
from facescore.detector.prediction import Detector, load_network
from facescore.detector.results import draw_faces
from illustkit._keras_compat import SwapAverage
from illustkit.errors import UserError
from illustkit.figures import sheet
from illustkit.files import expand_user
from illustkit.images import write_image
from illustkit.options import check_choice, check_number, check_options, check_range
from illustkit.runtime import own_folder, worker_index
from illustkit.training.fingerprint import compare_data
from illustkit.training.fit import choose_devices, fit_run, is_quiet
from illustkit.training.optimizers import OPTIMIZERS, build_optimizer, make_optimizer
from illustkit.training.presets import choose_preset
from illustkit.training.runs import Run
from illustkit.training.split import (
    SPLIT,
    read_split,
    relative_names,
    split_names,
    split_run,
    write_split,
)

# Beside what every run may change: more pictures ask for longer epochs.
MAY_CHANGE = ("epoch_size",)


@dataclasses.dataclass(frozen=True)
class DetectorPreset:
    """Settings of a detector's training; `train_detector` takes each as an option."""

    image_size: int  # side of a training picture, pixels
    batch_size: int  # pictures a step, over all devices
    epochs: int
    epoch_size: int  # pictures an epoch, however many there are
    learning_rate: float  # the highest; it falls to a hundredth along a cosine
    widths: tuple[int, ...]  # channels of the stem and at strides 4, 8, 16, 32
    depths: tuple[int, ...]  # bottlenecks at strides 4, 8, 16, 32
    head: int  # channels in the head
    backbone: str = "plain"  # or "lite0", EfficientNet-Lite0
    optimizer: str = "adamw"  # or "sgd", with Nesterov momentum 0.937
    weight_decay: float = 5e-4
    warm_up: float = 1.0  # epochs
    ema: float | None = None  # decay of the weights' moving average, of a step
    scale: tuple[float, float] = (0.4, 1.6)  # of a picture that fits, least and most
    translate: float = 0.1  # fraction of the picture
    flip: float = 0.5  # probability
    mosaic: float = 0.5  # probability
    close_mosaic: int = 3  # last epochs without
    hue: float = 0.015
    saturation: float = 0.7
    value: float = 0.4
    rotate: float = 0.0  # greatest, degrees
    restyle: float = 0.0  # probability of each change of style
    max_faces: int = 48  # in a training picture; more than that are left out
    validation_size: int = 640  # side of a picture that is validated, pixels
    precision: str = "float32"  # or "auto", "mixed_bfloat16", "mixed_float16"


# "small" and "tiny" train on smaller pictures than they search, scaled so that faces
# have the sizes of the search. A face that never fits whole is never found: trained at
# 320, "small" missed faces over 220 of 640 pixels.
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
        ema=0.999,
        scale=(0.5, 1.5),
        mosaic=1.0,
        close_mosaic=10,
    ),
}


class HeldOutFaces(keras.callbacks.Callback):
    """Measures AP on held-out pictures after each epoch, and draws the faces found.

    It logs `val_ap50` and `val_ap`, and has to come before the callbacks that save.

    Args:
        pictures: `LabelledPictures`, as they are stored.
        run: The `Run` whose `pictures/` get the sheets.
        preset: The training's `DetectorPreset`.
        sheet_every: Epochs from one sheet to the next; 0 for none.
    """

    def __init__(
        self,
        pictures: LabelledPictures,
        run: Run,
        preset: DetectorPreset,
        sheet_every: int,
    ) -> None:
        super().__init__()
        self.samples = [pictures[i] for i in range(len(pictures))]
        self.run, self.preset, self.sheet_every = run, preset, sheet_every
        self.detector: Detector | None = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        network = self.model.network
        if self.detector is None:
            self.detector = Detector(network)
        refold(network, self.detector.network)
        scores, detections = measure(
            self.samples, self.detector, image_size=self.preset.validation_size
        )
        logs["val_ap50"], logs["val_ap"] = scores.ap50, scores.ap50_95
        last = epoch + 1 == self.params["epochs"]
        if not self.sheet_every or worker_index():
            return
        if last or (epoch + 1) % self.sheet_every == 0:
            examples = [
                draw_faces(
                    image, [f for f in faces if f.confidence >= CONFIDENCE], truth
                )
                for (image, truth), faces in zip(
                    self.samples[:12], detections, strict=False
                )
            ]
            path = self.run.pictures / f"epoch-{epoch + 1:04d}.png"
            write_image(path, sheet(examples, columns=4))


def train_detector(
    images: str | os.PathLike | Sequence[str | os.PathLike],
    run: str | os.PathLike | Run,
    *,
    preset: str = "small",
    start_from: Any = None,
    strategy: str = "auto",
    seed: int = 0,
    holdout: float = 0.1,
    face_class: int | None = None,
    root: str | os.PathLike | None = None,
    cache: str | os.PathLike | None = None,
    most_validated: int = 100,
    sheet_every: int = 4,
    verbose: str | int = "auto",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **settings: Any,
) -> Run:
    """Train a face detector, or resume a training that was stopped.

    A fraction of the pictures is held out. The weights with the best AP on them (COCO,
    IoUs 0.5 to 0.95) are kept as the run's best. The same call on the same folder
    resumes after the last whole epoch, with the result of a training that was never
    stopped. Pictures without a label file are left out, and
    those that cannot be read are listed.

    Example:
    ```python
    run = train_detector("pictures", "runs/detector", preset="small", epochs=20)
    faces = detect_faces("picture.png", run)
    ```

    Args:
        images: Folder of labelled pictures, several folders, or a list of paths.
        run: Folder to write to; see `illustkit.training.runs.Run`.
        preset: Name in `facescore.detector.training.DETECTOR_PRESETS`. Defaults to
            "small".
        start_from: Run whose weights to begin with, of the same widths and depths, for
            a further round of labelling; or "default", the detector that comes with
            the package, which is one of the preset "small". Defaults to random
            weights.
        strategy: Kind of `illustkit.get_strategy`. Defaults to "auto".
        seed: Int; decides the split, the first weights and every augmentation.
        holdout: Fraction of the pictures to hold out. Defaults to 0.1. A hash of its
            name decides a picture's side, so that it stays there when others are added;
            of `start_from`, what was trained on there is trained on here.
        face_class: See `facescore.read_labels`.
        root: Folder that the names in the split are relative to. Defaults to `images`,
            or to the folder that holds all of the paths.
        cache: Folder for the stored pictures. Defaults to one in the run's folder.
        most_validated: Most pictures to validate on. Defaults to 100.
        sheet_every: Epochs from one sheet of examples to the next; 0 for none.
        verbose: As in `keras.Model.fit`. Defaults to "auto".
        callbacks: More `keras.callbacks.Callback`s.
        **settings: Fields of `facescore.detector.training.DetectorPreset` that differ.

    Returns:
        The `illustkit.training.runs.Run`.

    Raises:
        UserError: If the preset or a setting is unknown, there are too few labelled
            pictures, labels are invalid (each with file and line), or the folder holds
            another run.
        FloatingPointError: If the loss is not finite, naming the terms.
    """
    check_options(seed=seed, holdout=holdout, sheet_every=sheet_every)
    check_number("most_validated", most_validated, whole=True, least=1)
    chosen = choose_detector_settings(preset, **settings)
    devices = choose_devices(
        strategy, batch_size=chosen.batch_size, precision=chosen.precision
    )
    labelled, unlabelled = labelled_images(images, face_class=face_class)
    folder = run.folder if isinstance(run, Run) else expand_user(run)
    quiet = is_quiet(verbose)
    record = {
        **dataclasses.asdict(chosen),
        "seed": seed,
        "holdout": holdout,
        "start_from": str(getattr(start_from, "folder", start_from or "")),
        **({} if face_class is None else {"face_class": face_class}),
    }
    Run.check(folder, record, MAY_CHANGE, kind=DETECTOR)
    names = relative_names(labelled, _folders(images) if root is None else root)
    paths = dict(zip(names, map(str, labelled), strict=True))
    data = compare_data(folder, names, labelled, source=root or _folders(images)[0])
    if data.report and not quiet:
        print(data.report)
    training, held_out = split_run(
        folder,
        names,
        choose=lambda names: _split_as_before(names, start_from, holdout, seed),
        holdout=holdout,
        seed=seed,
        stored_as={**paths, **data.renamed},
    )
    held_out, unused = held_out[:most_validated], held_out[most_validated:]
    side = max(
        round(chosen.image_size * min(chosen.scale[1], 2)), chosen.validation_size
    )
    used = sorted(paths[name] for name in [*training, *held_out])
    left_out: list[tuple[Path, str]] = []
    with tqdm(total=len(used), unit="picture", leave=False, disable=quiet) as bar:
        pictures = build_pictures(
            used,
            side=side,
            cache=own_folder(expand_user(cache or folder / "pictures-0")),
            face_class=face_class,
            left_out=left_out,
            progress=lambda n: bar.update(),
        )
    if left_out and not quiet:
        print(f"{len(left_out)} pictures cannot be read and are left out:")
        print("\n".join(reason for _, reason in left_out))
    readable = set(pictures.paths)
    training, held_out = (
        [name for name in side if paths[name] in readable]
        for side in (training, held_out)
    )
    if not training or not held_out:
        raise UserError(
            "Training needs two labelled pictures or more, one of them held out. "
            f"Received: {len(training)} to train on, {len(held_out)} held out"
        )
    run = Run.start(folder, record, MAY_CHANGE, kind=DETECTOR)
    if worker_index() == 0:
        write_split(run.folder, training, [*held_out, *unused])
        data.write(run.folder, after_epoch=run.epochs_done)
    if not quiet:
        print(
            f"{len(training)} pictures to train on, {len(held_out)} held out, "
            f"{len(unlabelled)} without labels left out."
        )
    batches = DetectorBatches(
        pictures.select(paths[name] for name in training), chosen, seed=seed
    )
    validated = pictures.select(paths[name] for name in held_out)

    with devices.building(seed):
        detector = build_detector(run.settings, synchronised=devices.replicas > 1)
        if start_from is not None:
            begin_with(detector.network, start_from)
        detector.compile(_optimizer(chosen, len(batches)))
        build_optimizer(detector)
    watch = HeldOutFaces(validated, run, chosen, sheet_every)
    average = [SwapAverage(resumed=run.epochs_done > 0)] if chosen.ema else []
    return fit_run(
        detector,
        batches,
        run,
        epochs=chosen.epochs,
        seed=seed,
        monitor="val_ap",
        callbacks=[*callbacks, *average, watch],
        verbose=verbose,
    )


def _folders(images):
    """Return the folders that the pictures' names in a split are relative to."""
    if isinstance(images, (str, os.PathLike)):
        images = [images]
    images = [expand_user(image) for image in images]
    folders = [image for image in images if image.is_dir()]
    if files := [image.parent for image in images if not image.is_dir()]:
        folders.append(Path(os.path.commonpath(files)))
    return folders


def _split_as_before(names, start_from, holdout, seed):
    """Split names by their hashes; what an earlier round trained on it has seen."""
    training, held_out = split_names(names, holdout=holdout, seed=seed)
    before = getattr(start_from, "folder", start_from)
    if before is None or not (expand_user(before) / SPLIT).is_file():
        return training, held_out
    seen, unseen = map(set, read_split(before))
    held_out = [n for n in names if n in unseen or (n in held_out and n not in seen)]
    return [name for name in names if name not in set(held_out)], held_out


def choose_detector_settings(preset: str = "small", **settings: Any) -> DetectorPreset:
    """Return the settings of a preset, with the fields replaced that the caller names.

    Args:
        preset: Name in `facescore.detector.training.DETECTOR_PRESETS`.
        **settings: Fields of `DetectorPreset`.

    Returns:
        A `DetectorPreset`.

    Raises:
        UserError: If the preset or a field is unknown, or a value cannot work.
    """
    chosen = choose_preset(DETECTOR_PRESETS, preset, settings)
    check_options(**dataclasses.asdict(chosen))
    for name in ("image_size", "validation_size"):
        if getattr(chosen, name) % 32 or getattr(chosen, name) < 32:
            raise UserError(
                f"`{name}` must be a multiple of 32. Received: {getattr(chosen, name)}"
            )
    check_number("max_faces", chosen.max_faces, whole=True, least=1)
    check_number("close_mosaic", chosen.close_mosaic, whole=True, least=0)
    check_number("ema", chosen.ema, least=0, below=1)
    check_number("mosaic", chosen.mosaic, least=0, most=1)
    check_number("rotate", chosen.rotate, least=0, most=180)
    check_number("restyle", chosen.restyle, least=0, most=1)
    check_range("scale", chosen.scale, above=0)
    if chosen.batch_size > chosen.epoch_size:
        raise UserError(
            "`batch_size` must be at most `epoch_size`. "
            f"Received: {chosen.batch_size}, {chosen.epoch_size}"
        )
    check_choice("optimizer", chosen.optimizer, OPTIMIZERS)
    check_choice("backbone", chosen.backbone, BACKBONES)
    return chosen


def begin_with(network: Any, run: Any) -> None:
    """Give a network the weights of a trained run.

    Args:
        network: A `DetectorNetwork`.
        run: See `facescore.load_detector`.

    Raises:
        UserError: If the run has other widths or depths.
    """
    trained = load_network(run)
    for name in ("widths", "depths", "head", "backbone"):
        if getattr(trained, name) != getattr(network, name):
            raise UserError(
                f"`start_from` needs a detector of the same {name}. Received: "
                f"{getattr(trained, name)} there, {getattr(network, name)} here"
            )
    network.set_weights(trained.get_weights())


def _optimizer(chosen, steps):
    return make_optimizer(
        chosen.optimizer,
        chosen.learning_rate,
        weight_decay=chosen.weight_decay,
        steps=chosen.epochs * steps,
        warm_up=round(chosen.warm_up * steps),
        first=0.01,
        last=0.01,
        momentum=0.937,
        nesterov=True,
        ema=chosen.ema,
    )
