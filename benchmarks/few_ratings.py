"""How much does a scorer know after 50, 100, 200 or 500 ratings?

    python benchmarks/few_ratings.py --comic peppercarrot   # a quiet core: an hour

Two made-up persons rate. One rates drawn characters (`facescore.synthetic.taste`; the
best possible scorer reaches a Spearman correlation of .90). The other rates the faces
of the comic Pepper&Carrot by what can be computed from the picture (`comic_liking`;
.94): learnt are faces of the episodes 1 to 17, unseen those of 18 to 23. The presets
`small`, from nothing, and `transfer`, from ImageNet's features, learn from the same
crops, and score the same unseen ones. `head` is what `transfer` begins with: the head
in closed form, before anything is fine-tuned, of nine tenths of the crops. Each draw
takes other crops.

`--comic` is a folder with `faces.json` and `pages/`; without it only drawn characters
are rated.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import cv2
import numpy as np

from facescore.crops import crop_face
from facescore.scorer.agreement import bootstrap_interval, ranks, spearman
from facescore.scorer.model import load_scorer
from facescore.scorer.networks import TransferNet
from facescore.scorer.ratings import write_ratings
from facescore.scorer.ridge import ridge
from facescore.scorer.training import train_scorer
from facescore.scorer.transfer import STRENGTHS, features_of
from facescore.synthetic.taste import rate
from illustkit.images import read_image, write_image
from illustkit.samples import draw_character

SIDE = 160
NOISE = 0.375  # of the comic's rater, where her likings have a deviation of about 1.5


def drawn(first, count):
    """Return uint8 crops (160, 160) of characters, and their scores."""
    crops, scores = [], []
    for seed in range(first, first + count):
        character = draw_character(seed, (300, 424))
        crops.append(crop_face(character.image, character.face_box, size=SIDE))
        scores.append(rate(character.attributes, seed))
    return np.stack(crops), np.array(scores)


def comic_liking(crops):
    """Return how much the made-up reader likes faces: a float each.

    She likes warm colours above the face (Lab's a*, weight 1), light faces (L*, .6),
    and many lines in the face (mean change of L* from a pixel to the next, .9). Each of
    the three is turned into a normal distribution.
    """
    from scipy import stats

    measures = []
    for crop in crops:
        lab = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB).astype(float)
        hair, face = lab[:36, 40:120], lab[60:150, 40:120, 0]
        lines = np.abs(np.diff(face, axis=1)).mean()
        measures.append((hair[..., 1].mean(), face.mean(), lines))
    columns = np.transpose(measures)
    levels = [stats.norm.ppf((ranks(column) - 0.5) / len(crops)) for column in columns]
    return np.array([1.0, 0.6, 0.9]) @ levels


def comic(folder, cuts=(0.2, 0.4, 0.6, 0.8)):
    """Return uint8 crops (160, 160) of the comic's faces, their scores and splits.

    `cuts` are the fractions of the faces up to each score: equally frequent ones.
    """
    crops, test = [], []
    for page in json.loads((folder / "faces.json").read_text()):
        if page["boxes"]:
            image = read_image(folder / "pages" / page["name"])
            crops += [crop_face(image, box, size=SIDE) for box in page["boxes"]]
            test += [page["split"] == "test"] * len(page["boxes"])
    liking = comic_liking(crops)
    liking = liking + np.random.default_rng(5077).normal(0, NOISE, len(liking))
    scores = 1 + np.searchsorted(np.quantile(liking, cuts), liking)
    return np.stack(crops), scores, np.array(test)


def tastes(comic_folder, most):
    """Return a dict from a taste's name to (crops, scores) to learn and unseen ones."""
    found = {"drawn": (drawn(5 * 10**6, 2 * most), drawn(9 * 10**6, 300))}
    if comic_folder:
        crops, scores, test = comic(comic_folder)
        sides = [(crops[side], scores[side]) for side in (~test, test)]
        found["comic"] = (sides[0], sides[1])
    return found


def learnt(preset, crops, scores, folder, **settings):
    """Return a scorer that has learnt from some crops."""
    paths = []
    for i, crop in enumerate(crops):
        paths.append(write_image(folder / "crops" / f"{i:04d}.png", crop))
    pairs = list(zip(paths, scores.tolist(), strict=True))
    write_ratings(folder / "crops" / "ratings.csv", pairs, folder / "crops")
    run = train_scorer(
        folder / "crops", folder / "run", preset=preset, verbose=0, **settings
    )
    return load_scorer(run)


class Heads:
    """The heads in closed form of crops whose features are computed once."""

    def __init__(self, crops):
        # As they are, and mirrored: (2, n, features).
        self.features = np.stack([features_of(crops), features_of(crops[:, :, ::-1])])
        network = TransferNet()
        self.blocks, self.places = network.feature_blocks, network.place_covariance

    def fit(self, part, scores, weights=None):
        """Return the function from features to scores that fits a part of the crops."""
        rows = self.features[:, part]
        kernel, bias, _ = ridge(
            rows.reshape(-1, rows.shape[-1]),
            np.tile(scores[part], 2),
            STRENGTHS,
            None if weights is None else np.tile(weights, 2),
            blocks=self.blocks,
            places=self.places,
            groups=np.arange(2 * len(part)).reshape(2, -1).T,
        )
        return lambda features: features @ kernel + bias


def scored(scorer, crops):
    """Return the scores of crops of another size."""
    views = [
        cv2.resize(crop, scorer.image_size, interpolation=cv2.INTER_AREA)
        for crop in crops
    ]
    return scorer.predict_scores(np.stack(views))


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comic", type=Path, help="folder of Pepper&Carrot")
    parser.add_argument("--numbers", type=int, nargs="+", default=[50, 100, 200, 500])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--presets", nargs="+", default=["small", "transfer", "head"])
    parser.add_argument("--epochs", type=int, help="fewer, as a test only")
    options = parser.parse_args()
    settings = {} if options.epochs is None else {"epochs": options.epochs}
    sets = tastes(options.comic, max(options.numbers))
    heads = {}
    if "head" in options.presets:
        heads = {
            taste: (Heads(learnt_crops), features_of(unseen))
            for taste, ((learnt_crops, _), (unseen, _)) in sets.items()
        }
    values: dict[tuple, list] = {}
    for draw in range(options.draws):
        for taste, ((crops, scores), (unseen, true)) in sets.items():
            order = np.random.default_rng(draw).permutation(len(scores))
            for number in options.numbers:
                part = order[:number]  # of a smaller set all of it
                for preset in options.presets:
                    if preset == "head":
                        head, features = heads[taste]
                        kept = part[: round(0.9 * len(part))]
                        found = head.fit(kept, scores)(features)
                    else:
                        with tempfile.TemporaryDirectory() as folder:
                            scorer = learnt(
                                *(preset, crops[part], scores[part], Path(folder)),
                                **settings,
                            )
                            found = scored(scorer, unseen)
                    low, high, _ = bootstrap_interval(spearman, (true, found))
                    value = spearman(true, found)
                    print(
                        f"draw {draw}, {taste}, {len(part)}, {preset}: {value:.3f} "
                        f"({low:.2f} to {high:.2f})",
                        flush=True,
                    )
                    key = taste, len(part), preset
                    values.setdefault(key, []).append((value, low, high))
    print("| taste | ratings | preset | Spearman | 95 % intervals |\n|-|-|-|-|-|")
    for (taste, number, preset), rows in values.items():
        low, high = np.mean(rows, axis=0)[1:]
        each = ", ".join(f"{value:.3f}" for value, _, _ in rows)
        print(
            f"| {taste} | {number} | {preset} | {np.mean(rows, axis=0)[0]:.3f} "
            f"({each}) | {low:.2f} to {high:.2f} |"
        )


if __name__ == "__main__":
    main()
