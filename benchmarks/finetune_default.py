"""Train the shipped restorer on, on mosaics of any size and on blurs, on a CPU.

    python benchmarks/finetune_default.py clipart/images clipart_more/images \
        --pages peppercarrot --run runs/default --export default.npz

The package's weights began with those that `train_default.py` made on a GPU, which had
seen neither blurs nor blocks of fractional size; they are in the repository's history
(`--start-from`). The pictures are the same; the crops are those of
`oppai train-mosaic`, but a fifth are blurs, and half of the mosaics have blocks that
are no whole pixels wide. The exported weights are the mean of those before and after:
alone, the latter gain .3 dB more on blurs, but lose .2 dB on mosaics. The same command
resumes a run that was stopped.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2

from illustkit.images import list_images, read_image
from illustkit.runtime import precision
from illustkit.samples import draw_character
from illustkit.training.fit import fit_run, seeded
from illustkit.training.optimizers import ClippedAdam, WarmupStableDecay
from illustkit.training.runs import Run
from oppai.data.batches import CensoredCrops
from oppai.models.mosaic_unet import MosaicUNet
from oppai.models.pretrained import load_restorer, load_shipped, save_shipped
from oppai.models.restorers import MOSAIC_RESTORER, MosaicRestorer

HERE = Path(__file__).parent


def read_pictures(options):
    """Return the pictures to train on: clip art, comic pages, drawn characters."""
    apart = [options.held_out, options.left_out]
    apart = {name for file in apart for name in file.read_text("utf-8").splitlines()}
    paths = [path for folder in options.folders for path in list_images(folder)]
    pictures = [read_image(p) for p in paths if p.name not in apart]
    if options.pages:
        entries = json.loads((options.pages / "faces.json").read_text("utf-8"))
        for name in [e["name"] for e in entries if e["split"] == "train"]:
            page = read_image(options.pages / "pages" / name)
            page = cv2.resize(page, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
            pictures += [page, page]
    return pictures + [draw_character(i).image for i in range(options.samples)]


def add_options(parser):
    """Add what both trainings ask for: the pictures, the run, where it begins."""
    add = parser.add_argument
    add("folders", nargs="+", type=Path, help="folders of pictures")
    add("--pages", type=Path, help="folder of comic pages with faces.json")
    add("--held-out", type=Path, default=HERE / "held_out_clipart.txt")
    add("--left-out", type=Path, default=HERE / "left_out_clipart.txt")
    add("--run", required=True, help="folder of the run")
    add("--export", type=Path, required=True, help=".npz to write")
    add("--start-from", default="default", help='"default", .npz or run to begin with')
    add("--precision", default="mixed_bfloat16")
    add("--samples", type=int, default=240, help="drawn characters to train on")


def load_network(name):
    """Return the network of a restorer, and what `MosaicUNet` makes one like it of."""
    load = load_shipped if name.endswith(".npz") else load_restorer
    network = load(name).network
    config = network.get_config()
    return network, {k: v for k, v in config.items() if k not in ("name", "dtype")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    add = parser.add_argument
    add("--epochs", type=int, default=15)
    add("--steps", type=int, default=200, help="steps in an epoch")
    add("--batch-size", type=int, default=8)
    add("--learning-rate", type=float, default=1.5e-4)
    add("--seed", type=int, default=1)
    options = parser.parse_args()
    before, config = load_network(options.start_from)
    steps, epochs = options.steps, options.epochs
    settings = {
        "network": config,
        "patch": 128,
        "samples": options.samples,
        "steps": steps,
        "epochs": epochs,
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "precision": options.precision,
        "seed": options.seed,
        "start_from": options.start_from,
    }
    run = Run.start(options.run, settings, kind=MOSAIC_RESTORER)
    with seeded(options.seed), precision(options.precision):
        restorer = MosaicRestorer(MosaicUNet(**config))
        restorer.network.set_weights(before.get_weights())
        rate = WarmupStableDecay(options.learning_rate, 100, epochs * steps)
        restorer.compile(ClippedAdam(rate, epsilon=1e-5, global_clipnorm=0.6))
    batches = CensoredCrops(
        read_pictures(options),
        steps,
        options.batch_size,
        mosaics=0.6,
        fractional=0.5,
        blurs=0.2,
        seed=options.seed,
    )
    fit_run(restorer, batches, run, epochs=epochs, seed=options.seed, verbose=2)
    weights = zip(before.get_weights(), restorer.network.get_weights(), strict=True)
    restorer.network.set_weights([(a + b) / 2 for a, b in weights])
    save_shipped(restorer, options.export)


if __name__ == "__main__":
    main()
