"""Which pictures a scorer trains on, and which are left to judge it by."""

import json

import numpy as np

from facescore.rated_crops import rated_crops

SPLIT = "split.json"


def split_by_source(sources, scores, *, holdout=0.1, seed=0):
    """Hold out a share of the pictures, all crops of one on the same side.

    Of each score the same share is held out, so that rare scores are in both parts.

    Args:
        sources: For each crop the name of its picture.
        scores: For each crop its score.
        holdout: Share to hold out, between 0 and 1. Defaults to 0.1.
        seed: Int. Defaults to 0.

    Returns:
        `(training, held_out)`: two int arrays, numbers of crops.

    Raises:
        ValueError: for a share that is none, or fewer than two pictures.
    """
    names = sorted(set(sources))
    if not 0 < holdout < 1 or len(names) < 2:
        raise ValueError(
            "Two pictures or more are needed, and `holdout` is between 0 and 1. "
            f"Received: {len(names)} pictures, holdout={holdout}"
        )
    rng = np.random.default_rng((seed, 23))
    score = dict(zip(sources, scores, strict=True))
    # By score, chance within it: every (1 / holdout)-th is held out.
    order = sorted(rng.permutation(len(names)), key=lambda i: score[names[i]])
    count = np.floor(np.arange(len(names) + 1) * holdout + rng.uniform())
    out = np.flatnonzero(np.diff(count))[: len(names) - 1]
    if not len(out):
        out = [rng.integers(len(names))]
    held = {names[order[i]] for i in out}
    is_held = np.asarray([source in held for source in sources])
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)


def write_split(run, sources, training, held_out):
    """Write which pictures a run trains on into its folder.

    Args:
        run: `illustkit.runs.Run`.
        sources: For each crop the name of its picture.
        training: Numbers of the crops to train on.
        held_out: Numbers of those held out.
    """
    names = {"train": training, "held_out": held_out}
    names = {k: sorted({sources[i] for i in v}) for k, v in names.items()}
    (run.folder / SPLIT).write_text(json.dumps(names, indent=1), encoding="utf-8")


def held_out_ratings(run, crops, ratings=None):
    """Ratings of the crops that a run did not train on.

    Of the run's own crops these are the ones held out, of other crops all.

    Example:
    ```python
    held_out = held_out_ratings(run, "crops")
    scores = score_crops([path for path, _ in held_out], run)
    ```

    Args:
        run: `illustkit.runs.Run` of a scorer.
        crops: Folder of crops, named as it was for the training.
        ratings: As in `train_scorer`.

    Returns:
        List of `facescore.ratings.Rating`.

    Raises:
        ValueError: where the run knows no split, or trained on every crop.
    """
    try:
        trained = set(json.loads((run.folder / SPLIT).read_text("utf-8"))["train"])
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{run.folder / SPLIT} does not say which pictures were trained on "
            f"({error}): train again to evaluate on held-out ones."
        ) from None
    found, sources = rated_crops(crops, ratings)
    trained = set(trained)
    kept = [
        r for r, source in zip(found, sources, strict=True) if source not in trained
    ]
    if not kept:
        raise ValueError(
            f"{crops}: the run trained on every picture of it. Name other crops."
        )
    return kept
