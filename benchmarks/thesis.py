"""Which loss weights shift the colours of a restored picture?

    python benchmarks/thesis.py CLIPART --meta JSON --vgg-weights FILE --output FOLDER
        [--rows N] [--figure FILE]

The chapter's network learns with the paper's weights, equation (1), and its own, (2),
where the U-Net and VGG16 have two colour scales or one. All networks begin from the
same weights, which have learnt the terms without VGG16, and see the same batches. A
gain and an offset for each channel show which colours a loss asks for. Then numbers
that are not finite are looked for, in Gram matrices and in short trainings, on both
scales and in three dtypes. A stopped run resumes. FILE holds VGG16's five blocks
(`oppai convert-vgg`), for the distance; the losses use the package's three.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import keras
import numpy as np
from keras import ops
from skimage.color import deltaE_ciede2000, rgb2lab

from illustkit.files import write_whole
from illustkit.images import (
    read_image,
    signed_to_caffe,
    signed_to_uint8,
    uint8_to_signed,
    write_image,
)
from illustkit.runtime import precision
from illustkit.training.trainable import Trainable
from oppai import losses
from oppai.data.batches import CensoredPatches
from oppai.data.dataset import Patches, build_patches
from oppai.data.metadata import load_metadata
from oppai.metrics import VGG_TAPS, measure_hole, vgg_distance
from oppai.models.pconv_unet import PConvUNet
from oppai.models.vgg import load_vgg_features

WEIGHTS = {
    "none": {"valid": 10.0, "hole": 60.0, "tv": 0.1},
    "(2)": losses.BOOK_WEIGHTS,
    "(1)": losses.PAPER_WEIGHTS,
}
SCALES = {
    "mixed": "U-Net −1…1, VGG16 Caffe",
    "signed": "both −1…1",
    "caffe": "both Caffe",
}
CAFFE = 151  # the largest number of the Caffe scale
# Side in pixels, scale, weights.
ROWS = [
    *((side, "mixed", weights) for side in (128, 256) for weights in WEIGHTS),
    (128, "signed", "(1)"),
]
BASE_FILTERS = 8  # the chapter has 32
BATCH = {128: 4, 256: 1}
START_EPOCHS, RATE = 4, 5e-4
STEPS = {128: 150, 256: 150}
MEASURED = {128: 24, 256: 12}  # held-out patches
ASKED = (("mixed", "none"), ("mixed", "(2)"), ("mixed", "(1)"), ("signed", "(1)"))
ASKED_STEPS = 25
SHOWN = (3, 11, 17, 22)  # of those at 128, in the figure
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
POLICY_BATCH, POLICY_STEPS = 2, 10


class ChapterRestorer(Trainable):
    """The chapter's network with its losses; VGG16 on a colour scale of its own.

    With `caffe` the network reads, writes and compares colours of the Caffe scale.
    """

    def __init__(self, network, weights, features=None, caffe=False):
        super().__init__(weights)
        self.network, self.features, self.caffe = network, features, caffe
        self.built = True

    def call(self, inputs, training=False):
        censored, mask = inputs
        valid = ops.cast(ops.equal(mask, 255), "float32")
        result = self.network([self.scaled(censored), valid], training=training)
        return ops.cast(result, "float32") * CAFFE if self.caffe else result

    def terms(self, x, y, y_pred, training):
        mask = ops.cast(ops.equal(x[1], 255), "float32")
        truth = self.scaled(y)
        terms = losses.loss_terms(truth, y_pred, mask, features=self.features)
        return {name: terms[name] for name in self.term_weights}

    def scaled(self, pictures):
        signed = uint8_to_signed(pictures)
        return signed_to_caffe(signed) if self.caffe else signed


def features_for(scale, dtype="mixed_bfloat16"):
    """Return VGG16's features of the U-Net's pictures, for the two on some scales."""
    features = load_vgg_features(dtype=dtype)
    if scale == "mixed":
        return features
    inner = keras.Model(
        features.network.get_layer("caffe").output, features.network.outputs
    )
    inner.trainable = False
    if scale == "caffe":
        return lambda pictures: inner(pictures, training=False)
    return lambda pictures: inner(pictures[..., ::-1], training=False)


class Finite(keras.callbacks.Callback):
    """Stop where the loss is not finite, and remember the step."""

    step, steps = None, 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.step is None and not np.isfinite(logs["loss"]):
            self.step = self.steps
            self.model.stop_training = True


class Steps(CensoredPatches):
    """The first batches of an epoch."""

    steps = 0

    def __len__(self):
        return min(super().__len__(), self.steps) if self.steps else super().__len__()


def train(model, patches, side, *, batch=None, epochs=1, steps=0, seed=0):
    """Train a model.

    Returns:
        The number of the first step whose loss is not finite, or `None`; and a dict
        with the means of the last epoch.
    """
    keras.utils.set_random_seed(seed)
    # The rim and the blur of the chapter, which it names for 256 pixels.
    batches = Steps(
        patches,
        batch_size=batch or BATCH[side],
        seed=seed,
        blocks=(side // 32,) * 2,
        blur_sizes=(side / 25.6,) * 2,
        picture_blur=side / 51.2,
    )
    batches.steps = steps
    finite = Finite()
    model.compile(keras.optimizers.Adam(RATE), jit_compile=False)
    history = model.fit(
        batches, epochs=epochs, shuffle=False, verbose=2, callbacks=[finite]
    ).history
    return finite.step, {name: values[-1] for name, values in history.items()}


def restore(model, patches, side):
    """Return `(predictions, holes)` of the first patches, uint8 and bool."""
    boxes = patches.boxes[: MEASURED[side]]
    masks = np.full((len(boxes), side, side, 1), 255, np.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = 0
    truth = patches.patches[: MEASURED[side]]
    censored = np.where(masks == 0, 255, truth).astype("uint8")
    parts = [
        model.predict_on_batch((censored[i : i + 4], masks[i : i + 4]))
        for i in range(0, len(masks), 4)
    ]
    return signed_to_uint8(np.concatenate(parts)), masks[..., 0] == 0


def measure(predictions, holes, truth, features):
    """Return the means of the figures over the patches.

    The colour shift is the distance of the mean CIE Lab colours of the whole
    prediction and the truth: blur does not change it.
    """
    rows = []
    for prediction, hole, picture in zip(predictions, holes, truth, strict=True):
        completed = np.where(hole[..., None], prediction, picture)
        lab = rgb2lab(prediction), rgb2lab(picture)
        shift = np.linalg.norm(lab[0].mean((0, 1)) - lab[1].mean((0, 1)))
        difference = deltaE_ciede2000(*lab)
        signed = [uint8_to_signed(p)[None] for p in (picture, completed)]
        valid = 1 - hole[None, ..., None].astype("float32")
        rows.append(
            {
                "psnr": measure_hole(picture, completed, hole)["psnr"],
                "delta_e_valid": difference[~hole].mean(),
                "delta_e_hole": difference[hole].mean(),
                "shift": shift,
                "vgg": float(vgg_distance(*signed, valid, features=features)[0]),
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def asked_colours(patches):
    """Return the figures of the colours that each loss asks for.

    Where a network can only blur, a loss may still choose the colours. So the
    prediction is the picture, blurred more in the hole than outside, and Adam fits a
    gain and an offset to each channel of each picture.
    """
    import tensorflow as tf

    truth = patches.patches
    holes = np.zeros((*truth.shape[:3], 1), bool)
    for hole, (left, top, right, bottom) in zip(holes, patches.boxes, strict=True):
        hole[top:bottom, left:right] = True
    near, far = (
        np.stack([cv2.GaussianBlur(p, (0, 0), sigma) for p in truth])
        for sigma in (1, 5)
    )
    blurred = np.where(holes, far, near)
    valid = 1 - ops.cast(holes, "float32")
    rows = []
    for scale, weights in ASKED:
        terms = WEIGHTS[weights]
        features = None if weights == "none" else features_for(scale)
        signed = ops.convert_to_tensor(uint8_to_signed(truth))
        base = ops.convert_to_tensor(uint8_to_signed(blurred))
        gain = keras.Variable(np.ones((len(truth), 1, 1, 3), "float32"))
        offset = keras.Variable(np.zeros((len(truth), 1, 1, 3), "float32"))
        optimizer = keras.optimizers.Adam(0.02)
        first = None
        for _ in range(ASKED_STEPS):
            with tf.GradientTape() as tape:
                values = losses.loss_terms(
                    signed, base * gain + offset, valid, features=features
                )
                parts = {k: w * ops.mean(values[k]) for k, w in terms.items()}
                loss = sum(parts.values())
            optimizer.apply(tape.gradient(loss, [gain, offset]), [gain, offset])
            first = first or {k: float(v) for k, v in parts.items()}
        coloured = signed_to_uint8(np.asarray(base * gain + offset))
        pairs = [rgb2lab(pictures) for pictures in (coloured, blurred)]
        means = [lab.mean((1, 2)) for lab in pairs]
        rows.append(
            {
                "scale": scale,
                "weights": weights,
                "shift": float(np.linalg.norm(means[0] - means[1], axis=-1).mean()),
                "delta_e": float(deltaE_ciede2000(*pairs).mean()),
                "parts": first,
            }
        )
        print(rows[-1], flush=True)
    return rows


def cut(whole, names):
    """Return `{side: Patches}` of some pictures, of 128 and 256 pixels."""
    chosen = whole.select(names)
    result = {}
    for side in BATCH:
        pictures = np.asarray(chosen.patches)
        if side < 256:
            shrunk = [
                cv2.resize(p, (side, side), interpolation=cv2.INTER_AREA)
                for p in pictures
            ]
            pictures = np.stack(shrunk)
        boxes = chosen.boxes * side // 256
        result[side] = Patches(pictures, boxes, chosen.names)
    return result


def train_row(folder, row, training, held_out, distance):
    """Train one row of the table, and store its figures and pictures."""
    side, scale, weights = row
    start = folder / "start.weights.h5"
    keras.utils.set_random_seed(0)
    network = PConvUNet(None, BASE_FILTERS, batchnorm_momentum=0.9)
    if not start.exists():
        model = ChapterRestorer(network, WEIGHTS["none"])
        train(model, training[128], 128, epochs=START_EPOCHS)
        network.save_weights(start)
    network.load_weights(start)
    features = None if weights == "none" else features_for(scale)
    model = ChapterRestorer(network, WEIGHTS[weights], features)
    nan, last = train(model, training[side], side, steps=STEPS[side], seed=1)
    predictions, holes = restore(model, held_out[side], side)
    truth = held_out[side].patches[: MEASURED[side]]
    figures = measure(predictions, holes, truth, distance)
    style = sum(
        last.get(name, 0) * WEIGHTS[weights].get(name, 0)
        for name in ("style_out", "style_comp")
    )
    figures |= {"nan": nan, "loss": last["loss"], "style": style / last["loss"]}
    shown = [predictions[i] for i in SHOWN if i < len(predictions)]
    path = row_path(folder, row)
    write_image(path.with_suffix(".png"), np.concatenate(shown))
    write_whole(path, json.dumps(figures, indent=1))


def find_infinite(patches, training):
    """Say which Gram matrices and trainings have numbers that are not finite.

    A Gram matrix is summed in each dtype, of VGG16's features in float32. It would be
    divided afterwards; `oppai.losses` divides first.
    """
    grams, trainings = [], []
    for scale in ("mixed", "signed"):
        features = features_for(scale, "float32")
        for side in patches:
            truth = uint8_to_signed(patches[side].patches[:2])
            blurred = np.stack([cv2.GaussianBlur(p, (0, 0), 2) for p in truth])
            taps = [[np.asarray(f) for f in features(p)] for p in (truth, blurred)]
            for pool in (1, 4):
                pooled = [
                    [f if pool == 1 else ops.average_pool(f, pool) for f in of_picture]
                    for of_picture in taps
                ]
                row = {"scale": scale, "side": side, "pool": pool}
                row["greatest"] = max(float(ops.max(f)) for f in pooled[0])
                row["sum"] = max(float(ops.max(gram_of(f))) for f in pooled[0])
                for dtype in ("float32", "bfloat16", "float16"):
                    row[dtype] = all(
                        np.isfinite(float(ops.max(ops.abs(gram_of(a) - gram_of(b)))))
                        for a, b in zip(
                            *([ops.cast(f, dtype) for f in of] for of in pooled),
                            strict=True,
                        )
                    )
                grams.append(row)
                print(row, flush=True)
    for scale in ("mixed", "caffe"):
        for policy in POLICIES:
            keras.utils.set_random_seed(0)
            with precision(policy):
                network = PConvUNet(None, BASE_FILTERS, batchnorm_momentum=0.9)
                # A CPU computes VGG16 in float16 too slowly.
                of_vgg = "float32" if policy == "float32" else "mixed_bfloat16"
                model = ChapterRestorer(
                    network,
                    WEIGHTS["(1)"],
                    features_for(scale, of_vgg),
                    scale == "caffe",
                )
                nan, last = train(
                    model, training[128], 128, batch=POLICY_BATCH, steps=POLICY_STEPS
                )
            row = {"scale": scale, "policy": policy, "nan": nan, "loss": last["loss"]}
            trainings.append(row)
            print(row, flush=True)
    return {"grams": grams, "trainings": trainings}


def gram_of(features):
    """Return FᵀF of each picture, summed in the dtype of the features."""
    flat = ops.reshape(features, (len(features), -1, features.shape[-1]))
    return ops.matmul(ops.transpose(flat, (0, 2, 1)), flat)


def row_path(folder, row):
    return folder / "{}-{}-{}.json".format(*row)


def print_tables(folder):
    print(
        "| side | scales | loss | its value | of it style | PSNR | VGG16 | ΔE hole | "
        "ΔE outside | shift | NaN |"
    )
    print("|-|-|-|-|-|-|-|-|-|-|-|")
    for row in ROWS:
        if not (path := row_path(folder, row)).exists():
            continue
        side, scale, weights = row
        figures = json.loads(path.read_text())
        numbers = (
            f"{figures['loss']:.4g} | {figures['style']:.0%} | "
            f"{figures['psnr']:.2f} | {figures['vgg']:.2f} | "
            f"{figures['delta_e_hole']:.1f} | {figures['delta_e_valid']:.1f} | "
            f"{figures['shift']:.1f}"
        )
        nan = "no" if figures["nan"] is None else f"step {figures['nan']}"
        print(f"| {side} | {SCALES[scale]} | {weights} | {numbers} | {nan} |")
    if (path := folder / "asked.json").exists():
        print("\n| scales | weights | ΔE | shift | style : pixels |\n|-|-|-|-|-|")
        for row in json.loads(path.read_text()):
            parts = row["parts"]
            style = sum(parts.get(k, 0) for k in ("style_out", "style_comp"))
            ratio = style / (parts["valid"] + parts["hole"])
            print(
                f"| {SCALES[row['scale']]} | {row['weights']} | {row['delta_e']:.1f} | "
                f"{row['shift']:.1f} | {ratio:.3g} |"
            )

    if (path := folder / "infinite.json").exists():
        stored = json.loads(path.read_text())
        for table in stored.values():
            print(f"\n| {' | '.join(table[0])} |\n|{'-|' * len(table[0])}")
            for row in table:
                cells = (
                    f"{v:.3g}" if type(v) is float else f"{v}" for v in row.values()
                )
                print(f"| {' | '.join(cells)} |")


def draw_figure(folder, shown, path):
    """Write rows of pictures: the hole, the three predictions, the truth."""
    columns = []
    for weights in ("none", "(2)", "(1)"):
        column = read_image(folder / f"128-mixed-{weights}.png")
        columns.append(np.split(column, len(SHOWN)))
    rows = []
    for number, (truth, box) in enumerate(zip(shown.patches, shown.boxes, strict=True)):
        left, top, right, bottom = box
        censored = truth.copy()
        censored[top:bottom, left:right] = 255
        row = [censored, *(column[number] for column in columns), truth]
        rows.append(np.concatenate(row, axis=1))
    write_image(path, np.concatenate(rows[-2:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clipart", type=Path, help="folder of the clip art")
    parser.add_argument("--meta", type=Path, required=True, help="its boxes, JSON")
    parser.add_argument("--vgg-weights", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=len(ROWS), help="train the first N")
    parser.add_argument("--figure", type=Path, help="the figure to write")
    names = Path(__file__).with_name("held_out_clipart.txt")
    parser.add_argument("--held-out", type=Path, default=names)
    options = parser.parse_args()
    folder = options.output
    folder.mkdir(parents=True, exist_ok=True)
    names = [n for n in options.held_out.read_text("utf-8").split("\n") if n]
    entries = load_metadata(options.meta)
    whole = build_patches(entries, options.clipart, size=256, cache=None)
    training = cut(whole, set(whole.names) - set(names))
    held_out = cut(whole, names)
    shown = Patches(
        *(array[list(SHOWN)] for array in (held_out[128].patches, held_out[128].boxes)),
        [held_out[128].names[i] for i in SHOWN],
    )
    distance = load_vgg_features(options.vgg_weights, taps=VGG_TAPS)
    for row in ROWS[: options.rows]:
        if not row_path(folder, row).exists():
            train_row(folder, row, training, held_out, distance)
            print_tables(folder)
    if not (path := folder / "asked.json").exists():
        write_whole(path, json.dumps(asked_colours(shown), indent=1))
    if not (path := folder / "infinite.json").exists():
        write_whole(path, json.dumps(find_infinite(held_out, training), indent=1))
    print_tables(folder)
    if options.figure:
        draw_figure(folder, shown, options.figure)


if __name__ == "__main__":
    main()
