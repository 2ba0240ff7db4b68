"""Does a taste learn faster from the pictures that `facescore rate` asks for?

    python benchmarks/informative_ratings.py --comic peppercarrot   # two cores: 5 min

The made-up persons of `few_ratings.py` score the pictures that `--ask informative` or
`--ask random` names first: of drawn characters, and of the comic's faces. The head of
`transfer` in closed form learns from them, without fine-tuning, and scores unseen ones.
Each draw chooses from another three quarters of the pictures.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from few_ratings import tastes

from facescore.scorer.agreement import spearman
from facescore.scorer.networks import TransferNet
from facescore.scorer.questions import ASK, Questions
from facescore.scorer.ridge import ridge
from facescore.scorer.transfer import STRENGTHS, features_of


def compare(features, scores, unseen, true, numbers, draws):
    """Return Spearman correlations `(draws, numbers)` for each way to ask."""
    blocks = TransferNet().feature_blocks
    found = {ask: np.zeros((draws, len(numbers))) for ask in ASK}
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(scores))
        pool = order[: 3 * len(scores) // 4]
        for ask, values in found.items():
            chosen = Questions(features[pool], ask).ask([], max(numbers))
            for k, number in enumerate(numbers):
                part = pool[chosen[:number]]
                kernel, bias, _ = ridge(
                    features[part], scores[part], STRENGTHS, blocks=blocks
                )
                values[draw, k] = spearman(true, unseen @ kernel + bias)
    return found


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comic", type=Path, help="folder of Pepper&Carrot")
    parser.add_argument("--numbers", type=int, nargs="+", default=[30, 50, 100, 200])
    parser.add_argument("--draws", type=int, default=10)
    options = parser.parse_args()
    sets = tastes(options.comic, 2 * max(options.numbers))
    print("| taste | ask | " + " | ".join(f"{n} ratings" for n in options.numbers))
    for taste, ((crops, scores), (unseen, true)) in sets.items():
        sides = features_of(crops), scores, features_of(unseen), true
        for ask, values in compare(*sides, options.numbers, options.draws).items():
            cells = [
                f"{mean:.3f} ± {spread:.3f}"
                for mean, spread in zip(values.mean(0), values.std(0), strict=True)
            ]
            print(f"| {taste} | {ask} | " + " | ".join(cells), flush=True)


if __name__ == "__main__":
    main()
