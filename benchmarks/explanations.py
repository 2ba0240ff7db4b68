"""Do explanations of a score look at the part that makes it?

Faces are drawn whose score depends on one known part: the eyes' colour, the hair's
colour, or what is worn on the head. A scorer learns each taste; then DCSM and Grad-CAM
explain unseen faces, beside a random map. The part's place is where a second drawing,
of the same face with that part changed, differs.

    python benchmarks/explanations.py            # about 10 minutes on two cores
"""

import argparse
import dataclasses
from pathlib import Path

import cv2
import keras
import numpy as np
from scipy import stats

from facescore.scorer.explanation import HIGHER, LOWER, METHODS, Explainer
from facescore.scorer.model import Scorer
from facescore.scorer.networks import SmallNet
from illustkit.images import write_image
from illustkit.samples import colours
from illustkit.samples.canvas import Canvas
from illustkit.samples.colours import pick
from illustkit.samples.heads import accessories, whole

PARTS = "eyes", "hair", "accessory"
SIZE = 96
_OPEN = "smile", "joy", "calm", "surprise", "pout", "sad", "eager", "shy"


def draw(head, seed):
    """Return uint8 `(SIZE, SIZE, 3)`: a head on white."""
    rng = np.random.default_rng(seed)
    tilt = rng.uniform(-6, 6)
    sheet = Canvas.blank((SIZE, SIZE))
    skull = sheet.placed(SIZE / 2, 0.535 * SIZE, scale=0.26 * SIZE, angle=tilt)
    pen = np.random.default_rng(int(rng.integers(2**31)))
    whole.draw_head_back(skull, head, pen)
    whole.draw_head_front(skull, head, pen)
    return sheet.picture((SIZE, SIZE))


def face(part, seed):
    """Return (picture, score, mask of the part) of one drawn face."""
    rng = np.random.default_rng(seed)
    head = whole.choose_head(rng, icon=True)
    look = dataclasses.replace(
        head.face, expression=pick(rng, _OPEN), pupil="round", yaw=0.3 * head.face.yaw
    )
    head = dataclasses.replace(head, face=look, glasses=False, mark="none")
    names = {
        "eyes": list(colours.EYES),
        "hair": list(colours.HAIR),
        "accessory": list(accessories.ACCESSORIES),
    }[part]
    chosen, other = rng.choice(len(names), 2, replace=False)
    head, changed = (_with(head, part, names[i]) for i in (chosen, other))
    if part == "accessory":  # where it is, not where another one would be too
        changed = _with(head, part, "none")
    picture, beside = draw(head, seed), draw(changed, seed)
    mask = np.abs(picture.astype(int) - beside).max(axis=-1) > 24
    score = 1 + 4 * chosen / (len(names) - 1)
    return picture, score, mask


def _with(head, part, name):
    if part == "accessory":
        return dataclasses.replace(head, accessory=name)
    if part == "eyes":
        iris = colours.tones(colours.EYES[name])
        return dataclasses.replace(head, face=dataclasses.replace(head.face, iris=iris))
    tones = colours.tones(colours.HAIR[name])._replace(line=colours.INK)
    return dataclasses.replace(head, hair=tones)


def train(part, count, epochs):
    """Return a scorer of one taste, and its rank correlation on unseen faces."""
    faces = [face(part, seed) for seed in range(count + 200)]
    pictures = np.stack([picture for picture, _, _ in faces])
    scores = np.array([score for _, score, _ in faces], "float32")
    keras.utils.set_random_seed(0)
    scorer = Scorer(
        SmallNet(SIZE), mean=float(scores.mean()), scale=float(scores.std())
    )
    steps = epochs * (count // 32)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    scorer.compile(keras.optimizers.AdamW(rate), jit_compile=False)
    scorer.fit(pictures[:count], scores[:count], batch_size=32, epochs=epochs)
    found = scorer.predict_scores(pictures[count:])
    return scorer, stats.spearmanr(found, scores[count:]).statistic


def deletion(scorer, picture, saliency, sign, steps=16):
    """Return the area under the score's fall as the greatest places are blurred."""
    blurred = cv2.GaussianBlur(picture, (0, 0), 12)
    order = np.argsort(-saliency, axis=None, kind="stable")
    ranks = np.empty(order.size, int)
    ranks[order] = np.arange(order.size)
    shares = np.linspace(0, 1, steps + 1)
    gone = ranks.reshape(saliency.shape) < (shares * order.size)[:, None, None]
    shots = np.where(gone[..., None], blurred, picture)
    scores = sign * (scorer.predict_scores(shots) - scorer.mean)
    return float(np.trapezoid(scores / scores[0], shares))


def judged(scorer, part, seeds, saliency_of):
    """Return a dict of figures of one kind of map, and the maps."""
    mass, points, areas, maps = [], [], [], []
    for seed in seeds:
        picture, _, mask = face(part, seed)
        sign, saliency = saliency_of(picture)
        saliency = saliency + 1e-12
        mass.append(saliency[mask].sum() / saliency.sum())
        near = cv2.dilate(mask.astype("uint8"), np.ones((5, 5)))
        points.append(bool(near.flat[saliency.argmax()]))
        areas.append(deletion(scorer, picture, saliency, sign))
        maps.append((saliency / saliency.max(), mask))
    figures = {"mass": np.mean(mass), "pointing": np.mean(points)}
    return {**figures, "deletion": np.median(areas)}, maps


def overlap(maps, cut):
    """Return the mean of the part's and the background's intersection over union."""
    found = [(saliency >= cut, mask) for saliency, mask in maps]
    ious = []
    for positive in (True, False):
        both = sum(np.sum((f == positive) & (m == positive)) for f, m in found)
        either = sum(np.sum((f == positive) | (m == positive)) for f, m in found)
        ious.append(both / either)
    return float(np.mean(ious))


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1500, help="faces to learn from")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--n", type=int, default=100, help="unseen faces")
    parser.add_argument("--output", type=Path, help="folder for sheets of maps")
    options = parser.parse_args()
    print("| part | map | mass in it | pointing | deletion | mIoU | random head |")
    print("|-|-|-|-|-|-|-|")
    for part in PARTS:
        scorer, correlation = train(part, options.count, options.epochs)
        row(scorer, part, correlation, options)


def row(scorer, part, correlation, options):
    """Print the lines of one part."""
    first = 10**6

    def extreme(seed):
        picture, _, mask = face(part, seed)
        score = scorer.predict_scores(picture[None])[0]
        return mask.sum() > 20 and abs(score - scorer.mean) > 0.5 * scorer.scale

    def some(start, count):
        chosen, seed = [], start
        while len(chosen) < count:
            chosen += [seed] if extreme(seed) else []
            seed += 1
        return chosen

    tuning, unseen = some(10**7, max(20, options.n // 2)), some(first, options.n)
    area = np.mean([face(part, seed)[2].mean() for seed in unseen])
    print(
        f"| {part} | its area: {area:.3f}; Spearman of the scorer {correlation:.2f} "
        "| | | | | |",
        flush=True,
    )
    for method in METHODS:
        explainer = Explainer(scorer, method)

        def saliency(picture, explainer=explainer):
            explained = explainer(picture)
            up = explained.score > scorer.mean
            return 1 if up else -1, explained.map(HIGHER if up else LOWER)

        _, known = judged(scorer, part, tuning, saliency)
        cut = max(np.linspace(0.05, 0.95, 19), key=lambda c: overlap(known, c))
        figures, maps = judged(scorer, part, unseen, saliency)
        changed = randomised(scorer, method, part, unseen[:20], saliency)
        line(part, method, figures, overlap(maps, cut), changed)
        if options.output:
            sheets = [explainer(face(part, seed)[0]).sheet() for seed in unseen[:24]]
            rows = [np.hstack(sheets[i : i + 4]) for i in range(0, 24, 4)]
            write_image(options.output / f"{part}_{method}.png", np.vstack(rows))
    rng = np.random.default_rng(0)

    def noise(picture):
        up = scorer.predict_scores(picture[None])[0] > scorer.mean
        blobs = cv2.GaussianBlur(rng.random(picture.shape[:2]), (0, 0), 4)
        return 1 if up else -1, blobs - blobs.min()

    figures, maps = judged(scorer, part, unseen, noise)
    line(part, "random", figures, overlap(maps, 0.5), float("nan"))


def randomised(scorer, method, part, seeds, saliency):
    """Return the mean rank correlation with the maps of a random last layer."""
    other = Scorer.from_config(scorer.get_config())
    other.set_weights(scorer.get_weights())
    rng = np.random.default_rng(0)
    for name in ("fc", "score"):
        layer = other.network.get_layer(name)
        layer.set_weights(
            [rng.permuted(w.ravel()).reshape(w.shape) for w in layer.get_weights()]
        )
    explainer = Explainer(other, method)
    correlations = []
    for seed in seeds:
        picture = face(part, seed)[0]
        sign, true = saliency(picture)
        there = explainer(picture).map(HIGHER if sign > 0 else LOWER)
        correlations.append(stats.spearmanr(true.ravel(), there.ravel()).statistic)
    return float(np.nanmean(correlations))


def line(part, name, figures, miou, changed):
    """Print one line of the table."""
    values = figures["mass"], figures["pointing"], figures["deletion"], miou, changed
    print(
        f"| {part} | {name} | " + " | ".join(f"{v:.2f}" for v in values) + " |",
        flush=True,
    )


if __name__ == "__main__":
    main()
