"""How far does each translation of the package reach on pictures it has not seen?

    python benchmarks/translation.py TASK DATA [--n 16] [--run RUN] [--output SHEET]

The tasks are those of `train_translations.py`, and "pix2pix", which is trained twice
first, by L1 alone and with its discriminator. Unseen are the clip art of
`held_out_clipart.txt`, the comic's episodes 18 to 23, and characters of seeds from
2,000,000. Each task is compared with what needs no training. The sheet has a row for
each picture and a column for each candidate.
"""

import argparse
import contextlib
import json
import tempfile
from pathlib import Path

import cv2
import keras
import numpy as np
from keras import ops
from skimage.color import deltaE_ciede2000

import oppai
from illustkit.figures import sheet
from illustkit.images import read_image, uint8_to_lab, uint8_to_signed, write_image
from illustkit.samples import HANDS, PARTS, draw_character, draw_lines, draw_parts
from illustkit.training.runs import Run
from oppai.data.mosaic_inputs import fill_smoothly
from oppai.metrics import vgg_distance
from oppai.models.vgg import load_vgg_features
from oppai.translation.hole_task import draw_hole
from oppai.translation.pairs import Pair, crop_pair, shrink
from oppai.translation.sketch import roughen
from oppai.translation.tasks import make_task
from oppai.translation.translate import load_translation

UNSEEN = 2_000_000  # the first seed
TAPS = ("relu1_2", "relu2_2", "relu3_3")  # of the packaged VGG16
PAINTING = {
    "network": {"filters": 32, "depth": 5},
    "image_size": 64,
    "batch_size": 4,
    "epochs": 24,
    "epoch_steps": 50,
    "drawn": 600,
    "strategy": "one",
    "learning_rate": 2e-4,
    "verbose": 2,
}
MEAN_COLOUR = 4.0, 6.3  # a*, b* of the 1,637 coloured pictures that were learnt
COLOURED = [hand for hand in HANDS if hand != "manga"]


def unseen(data, n, side=256):
    """Return a dict from a kind to `n` RGB pictures of a shorter side in pixels."""
    here = Path(__file__).parent
    names = (here / "held_out_clipart.txt").read_text("utf-8").split()
    clips = [read_image(data / "clipart" / "images" / name) for name in names]
    clips = [p for p in clips if np.ptp(p.astype(int), axis=2).mean() > 3]
    faces = json.loads((data / "peppercarrot" / "faces.json").read_text("utf-8"))
    pages = [page["name"] for page in faces if page["split"] == "test"]
    pages = pages[:: max(1, len(pages) // n)][:n]
    drawn = (
        draw_character(UNSEEN + i, (side, round(1.4 * side)), COLOURED[i % 5]).image
        for i in range(n)
    )
    kinds = {
        "drawn characters": drawn,
        "clip art": clips[:: max(1, len(clips) // n)][:n],
        "comic pages": (
            read_image(data / "peppercarrot" / "pages" / name) for name in pages
        ),
    }
    return {k: [shrink(p, side) for p in pictures] for k, pictures in kinds.items()}


def colorize(data, n, model, beside=None):
    """Compare the colours with grey, a mean colour, and those with hints.

    `beside` is another network; the gain over its ΔE00, picture by picture, is printed.
    """
    rng = np.random.default_rng(0)
    rows, shown = [], []
    gains: list[float] = []
    for kind, pictures in unseen(data, n).items():
        truths = [uint8_to_lab(p) for p in pictures]
        one = np.mean([t[..., 1:].mean((0, 1)) for t in truths], axis=0)
        figures = {}
        for picture, truth in zip(pictures, truths, strict=True):
            height, width = picture.shape[:2]
            made = {
                "grey": np.dstack([truth[..., :1], np.zeros_like(truth[..., 1:])]),
                **{
                    name: np.dstack(
                        [truth[..., :1], np.broadcast_to(ab, truth[..., 1:].shape)]
                    )
                    for name, ab in (("one colour", one), ("mean colour", MEAN_COLOUR))
                },
            }
            places = [
                (int(rng.integers(width)), int(rng.integers(height))) for _ in range(30)
            ]
            pairs = [((x, y), picture[y, x]) for x, y in places]
            for name, n_hints in (("network", 0), ("10 hints", 10), ("30 hints", 30)):
                hints = dict(pairs[:n_hints])
                coloured = oppai.colorize(picture, model, hints=hints)
                made[name] = uint8_to_lab(coloured)
                if len(shown) < 5 * 12 and len(figures.get("grey", [])) < 4:
                    grey = np.dstack([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)] * 3)
                    shown += [] if n_hints else [picture, grey]
                    shown.append(coloured)
            for name, lab in made.items():
                error = deltaE_ciede2000(truth, lab)
                figures.setdefault(name, []).append(error.mean())
            if beside:
                other = uint8_to_lab(oppai.colorize(picture, beside))
                error = deltaE_ciede2000(truth, other).mean()
                gains.append(error - figures["network"][-1])
            near = np.zeros((height, width), "uint8")
            for x, y in places[:10]:
                cv2.circle(near, (x, y), 5, 1, -1)
            for name in ("network", "10 hints"):
                error = deltaE_ciede2000(truth, made[name])[near > 0].mean()
                figures.setdefault(f"{name}, near", []).append(error)
        rows.append((kind, {k: np.mean(v) for k, v in figures.items()}))
    if beside:
        rows.append(("gain over the other", interval(gains)))
    return rows, shown, 5


def interval(values):
    """Return the mean and how far its 95 % interval reaches."""
    reach = 1.96 * np.std(values, ddof=1) / np.sqrt(len(values))
    return {"mean": np.mean(values), "±": reach, "pictures": len(values)}


def line_figures(found, truth, radius=2):
    """Return precision, recall and F1 of black pixels, off by `radius` at most."""
    found, truth = found < 128, truth < 128
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    near_truth, near_found = (
        cv2.dilate(a.astype("uint8"), kernel) > 0 for a in (truth, found)
    )
    precision = (found & near_truth).sum() / max(1, found.sum())
    recall = (truth & near_found).sum() / max(1, truth.sum())
    return precision, recall, 2 * precision * recall / max(1e-9, precision + recall)


def xdog(grey, epsilon, *, sigma=0.8, k=1.6, p=20.0, phi=10.0):
    """Return the lines of XDoG (Winnemöller et al., 2012, equations 7 and 5)."""
    unit = grey.astype("float32") / 255
    near, far = (cv2.GaussianBlur(unit, (0, 0), s) for s in (sigma, k * sigma))
    sharp = (1 + p) * near - p * far
    soft = np.where(sharp >= epsilon, 1, 1 + np.tanh(phi * (sharp - epsilon)))
    return np.clip(255 * soft, 0, 255).astype("uint8")


def clean(data, n, model):
    """Compare the lines with a threshold, Otsu's and XDoG, tuned on other roughs."""
    features = load_vgg_features("package", taps=TAPS)

    def pair(seed, side):
        lines = draw_lines(seed, (side, side), HANDS[seed % len(HANDS)])
        return roughen(lines, np.random.default_rng(seed)), lines

    def score(method, pairs):
        return np.mean([line_figures(method(r), t)[2] for r, t in pairs])

    rows, shown = [], []
    for side in (96, 192, 320):
        others = [pair(UNSEEN + 10**5 + i, side) for i in range(8)]
        level = max(
            range(60, 240, 10),
            key=lambda t: score(lambda r: np.where(r < t, 0, 255), others),
        )
        epsilon = max(
            np.arange(0.1, 1.2, 0.05), key=lambda e: score(lambda r: xdog(r, e), others)
        )
        methods = {
            "the rough": lambda r: r,
            "threshold": lambda r, t=level: np.where(r < t, 0, 255).astype("uint8"),
            "Otsu": lambda r: cv2.threshold(r, 0, 255, cv2.THRESH_OTSU)[1],
            "XDoG": lambda r, e=epsilon: xdog(r, e),
            "network": lambda r: oppai.clean_sketch(np.dstack([r] * 3), model)[..., 0],
        }
        figures = {}
        for i in range(n):
            rough, lines = pair(UNSEEN + i, side)
            made = {name: method(rough) for name, method in methods.items()}
            for name, found in made.items():
                both = (np.dstack([p] * 3)[None] for p in (lines, found))
                distance = vgg_distance(*map(uint8_to_signed, both), features=features)
                figures.setdefault(f"{name}, F1", []).append(
                    line_figures(found, lines)[2]
                )
                figures.setdefault(f"{name}, distance", []).append(float(distance[0]))
            if i < 4:
                columns = [lines, *made.values()]
                shown += [np.dstack([p] * 3) for p in columns]
        rows.append((f"{side} px", {k: np.mean(v) for k, v in figures.items()}))
    return rows, shown, len(methods) + 1


def complete(data, n, model):
    """Compare what fills a hole with filters, and with what restores censors."""
    features = load_vgg_features("package", taps=TAPS)
    rows, shown = [], []
    for kind, pictures in unseen(data, n, 115).items():
        figures = {}
        for i, picture in enumerate(pictures):
            rng = np.random.default_rng(i)
            truth = crop_pair(Pair(None, picture), 96, rng).target
            hole = np.zeros((96, 96), np.uint8)
            top, left = rng.integers(0, 49, 2)
            hole[top : top + 48, left : left + 48] = draw_hole(48, rng)
            seen = np.where(hole[..., None] > 0, np.uint8(255), truth)
            made = {
                "Telea": cv2.inpaint(seen, hole, 3, cv2.INPAINT_TELEA),
                "Navier-Stokes": cv2.inpaint(seen, hole, 3, cv2.INPAINT_NS),
                "push-pull": fill_smoothly(seen.astype("float32"), hole > 0),
                "restore": oppai.restore(seen, mask=hole, feather=0, fill=True),
                "network": oppai.complete(seen, model, mask=hole, feather=0),
            }
            made["push-pull"] = np.rint(made["push-pull"]).astype("uint8")
            made["Poisson"] = oppai.complete(
                seen, model, mask=hole, feather=0, poisson=True
            )
            valid = 1 - (hole[None, ..., None] > 0).astype("float32")
            for name, filled in made.items():
                filled = np.where(hole[..., None] > 0, filled, truth)
                error = filled.astype(float) - truth
                squares = (error[hole > 0] ** 2).mean()
                pair = uint8_to_signed(truth[None]), uint8_to_signed(filled[None])
                distance = vgg_distance(*pair, valid, features=features)
                figures.setdefault(f"{name}, dB", []).append(
                    10 * np.log10(255**2 / max(squares, 1))
                )
                figures.setdefault(f"{name}, distance", []).append(float(distance[0]))
            if i < 4:
                shown += [truth, seen, *made.values()]
        rows.append((kind, {k: np.mean(v) for k, v in figures.items()}))
    return rows, shown, 8


def optimised(task, y, marks):
    """Yield pixels of less and less loss, from the picture's own (Gatys et al., 2016).

    `marks` are the numbers of steps, rising.
    """
    if keras.backend.backend() != "tensorflow":
        raise SystemExit("This task takes its gradients from TensorFlow.")
    import tensorflow as tf

    pixels = keras.Variable(uint8_to_signed(y["picture"]))
    optimiser = keras.optimizers.Adam(0.02)
    optimiser.build([pixels])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            terms = task.terms(y, pixels.value, training=True)
            loss = ops.mean(terms["content"] + 10 * terms["style"])
        optimiser.apply([tape.gradient(loss, pixels.value)], [pixels])

    for i in range(marks[-1]):
        step()
        if i + 1 in marks:
            yield np.asarray(pixels)


def stylize(data, n, model, marks=(10, 30, 60, 100, 300)):
    """Compare the loss of one pass with that of pixels optimised by Gatys' method."""
    network, task = model.network, make_task("stylize")
    task.attach(network)
    pictures = unseen(data, n)
    contents = [shrink(p, 128)[:128, :128] for p in pictures["drawn characters"]]
    others = [*pictures["clip art"][: n // 2], *pictures["comic pages"][n // 2 :]]
    figures, shown = {}, []
    for picture, other in zip(contents, others, strict=False):
        style = shrink(other, 128)[:128, :128]
        y = {"picture": picture[None], "style": style[None]}
        made = {
            "the picture": picture,
            "one pass": oppai.stylize(picture, style, model),
        }
        for steps, found in zip(marks, optimised(task, y, marks), strict=True):
            made[f"{steps} steps"] = task.result({}, found[0])
        for name, result in made.items():
            terms = task.terms(y, uint8_to_signed(result[None]), training=True)
            for term, value in terms.items():
                figures.setdefault(f"{name}, {term}", []).append(float(value[0]))
        shown += [style, *made.values()]
    rows = [("128 px", {k: np.mean(v) for k, v in figures.items()})]
    return rows, shown, len(marks) + 3


def mean_iou(confusion):
    """Return each class' IoU in a confusion matrix (truth, found), and the mean."""
    both = np.diag(confusion)
    each = both / np.maximum(confusion.sum(0) + confusion.sum(1) - both, 1)
    return each, each.mean()


def segment(data, n, model):
    """Compare the parts with those of the illustrator, in one confusion matrix."""
    rows, shown = [], []
    for side in (96, 256):
        confusion = np.zeros((len(PARTS),) * 2, int)
        size = side, round(1.4 * side)
        for i in range(n):
            hand = HANDS[i % len(HANDS)]
            picture = draw_character(UNSEEN + i, size, hand).image
            truth = draw_parts(UNSEEN + i, size, hand)
            found = model(picture)
            np.add.at(confusion, (truth.ravel(), found.ravel()), 1)
            if i < 4:
                shown += [picture, *(model.task.coloured(p) for p in (truth, found))]
        each, mean = mean_iou(confusion)
        named = dict(zip(PARTS, each, strict=True))
        only_background = confusion[0].sum() / confusion.sum() / len(PARTS)
        rows.append(
            (f"{side} px", {"mIoU": mean, "all background": only_background, **named})
        )
    for page in unseen(data, 4)["comic pages"]:
        shown += [page, page, model.task.coloured(model(page))]
    return rows, shown, 3


def steepness(picture):
    """Return the mean difference of neighbouring pixels."""
    return sum(np.abs(np.diff(picture.astype(float), axis=i)).mean() for i in (0, 1))


def painter(run, adversarial):
    """Return what a run has learnt to paint, once its training is done."""
    if (
        not (run / "settings.json").exists()
        or Run(run).epochs_done < PAINTING["epochs"]
    ):
        oppai.train_translation(
            "pix2pix", None, run, adversarial=adversarial, **PAINTING
        )
    return load_translation(run)


def pix2pix(data, n, runs):
    """Paint lines with and without a discriminator, after as many steps."""
    features = load_vgg_features("package", taps=TAPS)
    task = make_task("pix2pix")
    pairs = [Pair(*task.draw(UNSEEN + i, (64, 64))) for i in range(n)]
    with contextlib.ExitStack() as stack:
        if runs == "default":
            runs = stack.enter_context(tempfile.TemporaryDirectory())
        models = {
            name: painter(Path(runs) / name, name != "L1")
            for name in ("L1", "with a judge")
        }
    figures, shown = {}, []
    for lines, truth in pairs:
        shown += [lines, truth]
        for name, each in models.items():
            painted = each(lines)
            pair = uint8_to_signed(truth[None]), uint8_to_signed(painted[None])
            distance = vgg_distance(*pair, features=features)
            error = np.abs(painted.astype(float) - truth).mean()
            figures.setdefault(f"{name}, distance", []).append(float(distance[0]))
            figures.setdefault(f"{name}, L1 levels", []).append(error)
            sharp = steepness(painted) / steepness(truth)
            figures.setdefault(f"{name}, sharpness", []).append(sharp)
            shown.append(painted)
    return [("64 px", {k: np.mean(v) for k, v in figures.items()})], shown[:32], 4


TASKS = {f.__name__: f for f in (colorize, clean, complete, stylize, segment, pix2pix)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("data", type=Path, help="folder of the collections")
    parser.add_argument("--n", type=int, default=16, help="pictures of each kind")
    parser.add_argument(
        "--run",
        default="default",
        help="a run instead of ours; of pix2pix the folder of both",
    )
    parser.add_argument("--beside", help="another run, of colorize")
    parser.add_argument("--output", type=Path, help="sheet to write, PNG")
    options = parser.parse_args()
    model = options.run
    if options.task != "pix2pix":
        model = load_translation(options.run, options.task)
    more = {}
    if options.beside:
        more["beside"] = load_translation(options.beside, "colorize")
    rows, shown, columns = TASKS[options.task](options.data, options.n, model, **more)
    for name, figures in rows:
        print(name)
        for figure, value in figures.items():
            print(f"  {figure}: {value:.3f}")
    if options.output:
        write_image(options.output, sheet(shown, columns=columns))


if __name__ == "__main__":
    main()
