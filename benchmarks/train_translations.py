"""Train the translations that come with the package: colours, lines, holes, parts.

    python benchmarks/train_translations.py TASK DATA WORK [--export FILE]

DATA holds `clipart`, `clipart_more` and `peppercarrot`. The pictures are written to
WORK first: clip art without the held-out pictures and what resembles them, pages of
the comic's episodes 1 to 17, and characters that `illustkit.samples` draws (seeds from
0). "complete" begins with the package's restorer, "stylize" with decoders that give
back what VGG16 saw. The same command resumes a training that was stopped.
"""

import argparse
import json
from pathlib import Path

import cv2
import keras
import numpy as np

import oppai
from illustkit.images import list_images, read_image, uint8_to_signed, write_image
from illustkit.samples import HANDS, draw_character, draw_lines
from illustkit.training.split import read_split
from oppai.models.pretrained import load_shipped
from oppai.translation.pairs import shrink
from oppai.translation.translate import save_translation

SHARED = {"image_size": 96, "epoch_steps": 100, "strategy": "one", "verbose": 2}
SETTINGS = {
    "colorize": {
        "network": {"scale": 0.25, "global_size": 96},
        "batch_size": 16,
        "epochs": 44,
        "holdout": 0.02,
    },
    "clean": {
        "network": {"scale": 1 / 6},
        "batch_size": 12,
        "epochs": 26,
        "holdout": 0.04,
    },
    "complete": {
        "network": {"residual": True},
        "batch_size": 8,
        "epochs": 40,
        "learning_rate": 3e-4,
        "holdout": 0.02,
    },
    "segment": {
        "network": {"filters": 12},
        "batch_size": 8,
        "epochs": 36,
        "drawn": 1200,
    },
    "stylize": {
        "network": {"coarse_to_fine": True},
        "image_size": 64,
        "batch_size": 4,
        "epochs": 7,
        "learning_rate": 2e-4,
        "holdout": 0.02,
    },
}
"""What differs from the preset `tiny`."""

RECONSTRUCTED = 500  # steps of each decoder before it learns styles
DRAWN = 480  # characters, by the hands in turn without that of black and white
DRAWN_WHOLE = 4200  # more of them, by all hands, to complete


def lines_of(picture):
    """Return a picture of black lines on white in grey, or `None` if it is none."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    dark = (grey < 128).astype("uint8")
    if np.ptp(picture, axis=2).max() >= 30 or not 0.005 < dark.mean() < 0.35:
        return None
    if (grey > 230).mean() < 0.5 or ((grey > 60) & (grey < 200)).mean() >= 0.08:
        return None
    areas = cv2.erode(dark, np.ones((7, 7)))
    return grey if areas.sum() < 0.08 * dark.sum() else None


def clip_art(data):
    """Yield names and pictures that may be trained on."""
    here = Path(__file__).parent
    names = [
        (here / f"{kind}_clipart.txt").read_text("utf-8").splitlines()
        for kind in ("held_out", "left_out")
    ]
    left_out = {line.split()[0] for line in sum(names, []) if line.strip()}
    left_out |= {Path(name).stem for name in left_out}
    relatives = ("pinkhome", "pinkhome2", "pinkhome3")
    for root in ("clipart", "clipart_more"):
        for file in list_images(data / root / "images"):
            if file.stem not in left_out and not file.stem.endswith(relatives):
                yield f"{root}-{file.stem}", read_image(file)


def write_pictures(data, folder):
    """Write the folders `colours` and `lines`."""
    faces = json.loads((data / "peppercarrot" / "faces.json").read_text("utf-8"))
    for page in faces:
        if page["split"] == "train":
            picture = read_image(data / "peppercarrot" / "pages" / page["name"])
            name = f"comic-{Path(page['name']).stem}.png"
            write_image(folder / "colours" / name, shrink(picture, 560))
    for name, picture in clip_art(data):
        if np.ptp(picture.astype(int), axis=2).mean() > 3:
            write_image(folder / "colours" / f"{name}.png", picture)
        elif (lines := lines_of(picture)) is not None:
            write_image(folder / "lines" / f"{name}.png", np.dstack([lines] * 3))
    colours = [hand for hand in HANDS if hand != "manga"]
    for seed in range(DRAWN):
        drawn = draw_character(seed, (300, 420), colours[seed % len(colours)])
        write_image(folder / "colours" / f"drawn-{seed}.png", drawn.image)
    write_whole(data, folder)
    for seed in range(400):
        width = (160, 224, 288, 352)[seed % 4]
        lines = draw_lines(seed, (width, round(1.4 * width)), HANDS[seed % len(HANDS)])
        write_image(folder / "lines" / f"drawn-{seed}.png", np.dstack([lines] * 3))


def write_whole(data, folder):
    """Write the folder `whole`: small pictures, most of them characters."""
    for path in list_images(folder / "colours"):
        if not path.stem.startswith("drawn-"):
            write_image(folder / "whole" / path.name, shrink(read_image(path), 256))
    for seed in range(DRAWN_WHOLE):
        width = (115, 192)[seed // len(HANDS) % 2]
        size = width, round(1.4 * width)
        drawn = draw_character(seed, size, HANDS[seed % len(HANDS)])
        write_image(folder / "whole" / f"drawn-{seed}.png", drawn.image)


class BeginFromRestorer(keras.callbacks.Callback):
    """Take over what the package's restorer knows of white-outs, before the first step.

    Both networks have the same stages. The restorer's two stems become one: a plain
    convolution over the filled picture, the picture and the hole, and a partial one
    over the picture, which equals a plain one away from holes.
    """

    def on_train_begin(self, logs=None):
        if int(self.model.optimizer.iterations):
            return  # resumed
        network = self.model.network
        known = {v.path: np.array(v) for v in load_shipped().network.weights}
        for variable in network.weights:
            if not variable.path.startswith(("stem", "last")):
                variable.assign(known[variable.path])
        plain, partial = known["stem/kernel"], known["stem_partial/kernel"]
        stem = np.zeros((5, 5, 7, plain.shape[-1]), "float32")
        stem[:, :, 3:6] = partial
        stem[1:4, 1:4, :6] += plain[:, :, :6]
        # In a white hole the picture is 1; here it is 0 there.
        stem[1:4, 1:4, 6] = plain[:, :, 3:8].sum(2)
        bias = known["stem/bias"] + known["stem_partial/bias"]
        network.get_layer("stem").set_weights([stem, bias])
        last = known["last/kernel"][..., :3], known["last/bias"][:3]  # no gate
        network.get_layer("last").set_weights(list(last))


class BeginByReconstructing(keras.callbacks.Callback):
    """Teach the decoders of styles to give back a picture, before the first step.

    They learn from crops, by squares and absolute differences.

    Args:
        folder: Of the pictures.
        run: The run's folder, which tells what is held out.
        side: Side of a crop in pixels.
        batch_size: Crops of a step.
    """

    def __init__(self, folder, run, side, batch_size):
        super().__init__()
        self.folder, self.run, self.shape = folder, run, (batch_size, side)

    def on_train_begin(self, logs=None):
        if int(self.model.optimizer.iterations):
            return  # resumed
        names = read_split(self.run)[0]
        pictures = [shrink(read_image(self.folder / name), 256) for name in names]
        rng = np.random.default_rng(0)
        network = self.model.network
        for tap, decoder in network.stages:
            decoder.compile(keras.optimizers.Adam(2e-3), loss=_differences)
            losses = []
            for step in range(RECONSTRUCTED):
                if step == RECONSTRUCTED * 2 // 3:
                    decoder.optimizer.learning_rate = 5e-4
                crops = self._crops(pictures, rng)
                features = network.encode(crops, tap)
                losses.append(float(decoder.train_on_batch(features, crops)))
            print(f"{tap}: {np.mean(losses[:20]):.3f} to {np.mean(losses[-50:]):.3f}")

    def _crops(self, pictures, rng):
        n, side = self.shape
        crops = []
        for i in rng.integers(len(pictures), size=n):
            height, width = pictures[i].shape[:2]
            own = min(height, width, round(side * rng.uniform(1, 3)))
            top, left = rng.integers((height - own + 1, width - own + 1))
            crop = pictures[i][top : top + own, left : left + own]
            crops.append(cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA))
        return uint8_to_signed(np.stack(crops))


def _differences(truth, made):
    error = made - truth
    return keras.ops.mean(keras.ops.abs(error) + error**2, (1, 2, 3))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=sorted(SETTINGS))
    parser.add_argument("data", type=Path, help="folder of the three collections")
    parser.add_argument("work", type=Path, help="folder of pictures and runs")
    parser.add_argument("--export", type=Path, help="store the network there, .npz")
    options = parser.parse_args()
    if not (options.work / "lines").exists():
        write_pictures(options.data, options.work)
    folders = {"clean": "lines", "complete": "whole"}
    pictures = options.work / folders.get(options.task, "colours")
    run, settings = options.work / options.task, SHARED | SETTINGS[options.task]
    begin = []
    if options.task == "complete":
        begin = [BeginFromRestorer()]
    if options.task == "stylize":
        sizes = settings["image_size"], settings["batch_size"]
        begin = [BeginByReconstructing(pictures, run, *sizes)]
    run = oppai.train_translation(
        options.task,
        None if options.task == "segment" else pictures,
        run,
        callbacks=begin,
        **settings,
    )
    if options.export:
        print(save_translation(run, options.export))


if __name__ == "__main__":
    main()
