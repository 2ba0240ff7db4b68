"""How much does a scorer know after 50, 100, 200 or 500 ratings?

    python benchmarks/few_ratings.py            # two CPU cores: 10 minutes

A made-up person rates drawn characters (`facescore.synthetic.taste`; the best possible
scorer reaches a Spearman correlation of .90). The presets `small`, from nothing, and
`transfer`, from ImageNet's features, learn from the same crops, and score the same
unseen ones.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import cv2
import numpy as np

from facescore.crops import crop_face
from facescore.scorer.agreement import bootstrap_interval, spearman
from facescore.scorer.data import write_ratings
from facescore.scorer.model import load_scorer
from facescore.scorer.training import train_scorer
from facescore.synthetic.taste import rate
from illustkit.images import write_image
from illustkit.samples import draw_character


def rated(first, count):
    """Return uint8 crops (160, 160) of characters, and their scores."""
    crops, scores = [], []
    for seed in range(first, first + count):
        character = draw_character(seed, (300, 424))
        crops.append(crop_face(character.image, character.face_box, size=160))
        scores.append(rate(character.attributes, seed))
    return np.stack(crops), np.array(scores)


def learnt(preset, crops, scores, folder, epochs):
    """Return a scorer that has learnt from some crops."""
    paths = []
    for i, crop in enumerate(crops):
        paths.append(write_image(folder / "crops" / f"{i:04d}.png", crop))
    pairs = list(zip(paths, scores.tolist(), strict=True))
    write_ratings(folder / "crops" / "ratings.csv", pairs, folder / "crops")
    settings = {} if epochs is None else {"epochs": epochs}
    run = train_scorer(
        folder / "crops", folder / "run", preset=preset, verbose=0, **settings
    )
    return load_scorer(run)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--numbers", type=int, nargs="+", default=[50, 100, 200, 500])
    parser.add_argument("--unseen", type=int, default=300)
    parser.add_argument("--epochs", type=int, help="fewer, as a test only")
    options = parser.parse_args()
    unseen, true = rated(9 * 10**6, options.unseen)
    print("| ratings | preset | Spearman | 95 % interval |\n|-|-|-|-|")
    crops, scores = rated(5 * 10**6, max(options.numbers))
    for number in options.numbers:
        for preset in ("small", "transfer"):
            with tempfile.TemporaryDirectory() as folder:
                part = crops[:number], scores[:number]
                scorer = learnt(preset, *part, Path(folder), options.epochs)
            width, height = scorer.image_size

            size = width, height
            views = [
                cv2.resize(crop, size, interpolation=cv2.INTER_AREA) for crop in unseen
            ]
            found = scorer.predict_scores(np.stack(views))
            low, high, _ = bootstrap_interval(spearman, (true, found))
            value = spearman(true, found)
            print(
                f"| {number} | {preset} | {value:.3f} | {low:.2f} to {high:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
