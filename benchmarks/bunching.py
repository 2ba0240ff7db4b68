"""Do a scorer's predictions bunch in the middle, and what do the two options change?

    python benchmarks/bunching.py peppercarrot   # two cores: 3 min

The made-up reader of `few_ratings.py` rates the faces of the comic Pepper&Carrot
unevenly: 5, 10, 60, 18 and 7 % of them 1 to 5. The head of `transfer` in closed form
learns from 180 or 360 faces of the episodes 1 to 17, with and without
`class_weights="balanced"`, and scores those of 18 to 23. A calibration is fitted on 40
other faces of 1 to 17. The folder holds `faces.json` and `pages/`.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from few_ratings import Heads, comic

from facescore.scorer.agreement import (
    macro_mean_absolute_error,
    mean_absolute_error,
    middle_share,
    spearman,
)
from facescore.scorer.calibration import calibrate, fit_calibration
from facescore.scorer.model import balanced_weights
from facescore.scorer.transfer import features_of

CUTS = 0.05, 0.15, 0.75, 0.93
HELD_OUT = 40


def measured(true, predicted):
    """Return Spearman, MAE, macro MAE, spread, and fractions that are the middle."""
    middle = middle_share(true, predicted)
    return [
        spearman(true, predicted),
        mean_absolute_error(true, predicted),
        macro_mean_absolute_error(true, predicted),
        predicted.std() / true.std(),
        middle.predicted,
        middle.true,
    ]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("comic", type=Path, help="folder of Pepper&Carrot")
    parser.add_argument("--draws", type=int, default=5)
    options = parser.parse_args()
    crops, scores, test = comic(options.comic, CUTS)
    heads, unseen = Heads(crops[~test]), features_of(crops[test])
    scores, true = scores[~test], scores[test]
    heads_of_table = "Spearman", "MAE", "macro MAE", "spread", "at the middle", "true"
    print("| ratings | options | " + " | ".join(heads_of_table) + " |")
    print("|-" * (2 + len(heads_of_table)) + "|")
    for number in (180, 360):
        rows = {}
        for draw in range(options.draws):
            order = np.random.default_rng(draw).permutation(len(scores))
            held_out, part = order[:HELD_OUT], order[HELD_OUT : HELD_OUT + number]
            rated = scores[np.concatenate([held_out, part])]
            for name in ("none", "balanced"):
                weights = None
                if name == "balanced":
                    weights = balanced_weights(scores[part])[scores[part] - 1]
                predict = heads.fit(part, scores, weights)
                plain = predict(unseen)
                knots = fit_calibration(predict(heads.features[0, held_out]), rated)
                variants = {
                    name: plain,
                    f"{name}, calibrated": calibrate(plain, knots),
                }
                for key, predicted in variants.items():
                    rows.setdefault(key, []).append(measured(true, predicted))
        for key, values in rows.items():
            cells = " | ".join(f"{value:.2f}" for value in np.mean(values, axis=0))
            print(f"| {number} | {key} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
