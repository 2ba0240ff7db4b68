"""How many white, light and black censors are found, and how many that are none?

    python benchmarks/solid_quality.py CLIPART --held-out NAMES [--pages FOLDER]
        [--clean FOLDER ...] [--n 500]

CLIPART is a folder of pictures; NAMES is a text file with the names of those that
nothing was trained on, one a line. `--pages` is the folder of comic pages, of which
episodes 18 and later are held out. Every other `--clean` folder holds pictures without
censors.

`--train WEIGHTS` trains the network and the regressions instead, on CLIPART without the
held-out pictures, the pages of episodes up to 17, `--more` and drawn characters.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
from find_censored import iou
from landscapes import landscape, windows

from illustkit.images import list_images, read_image
from illustkit.samples import draw_character
from oppai.censoring.random_censor import draw_censor
from oppai.detection.solid import find_solid, propose_solid

KINDS = "white", "light", "black"
SIZES = (360, 512), (600, 848), (256, 256), (400, 300), (512, 512), (800, 600)
LONGEST = 1000  # pixels of a picture that the network is trained on


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clipart", type=Path)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--pages", type=Path, help="folder of Pepper&Carrot's pages")
    parser.add_argument("--clean", type=Path, nargs="*", default=[], metavar="FOLDER")
    parser.add_argument("--n", type=int, default=500, help="drawn characters of a kind")
    parser.add_argument("--censored", type=int, default=120, help="pictures of a kind")
    parser.add_argument("--train", type=Path, metavar="WEIGHTS")
    parser.add_argument("--more", type=Path, nargs="*", default=[], metavar="FOLDER",
                        help="further pictures to train on")  # fmt: skip
    parser.add_argument("--left-out", type=Path, help="names of --more to leave out")
    parser.add_argument("--steps", type=int, default=6000)
    arguments = parser.parse_args()
    paths = list_images(arguments.clipart)
    names = set(arguments.held_out.read_text("utf-8").split("\n"))
    held_out = [path for path in paths if path.name in names]
    pages = list_images(arguments.pages) if arguments.pages else []
    early = [path for path in pages if int(path.name[2:4]) <= 17]
    late = [path for path in pages if path not in early]
    if arguments.train:
        training = [path for path in paths if path not in held_out]
        more = [path for folder in arguments.more for path in list_images(folder)]
        if arguments.left_out:
            names = set(arguments.left_out.read_text("utf-8").split("\n"))
            more = [path for path in more if path.name not in names]
        return train(training + more, early, arguments.train, arguments.steps)
    clean = {
        "drawn characters, 600×848": map(character, range(arguments.n)),
        "drawn characters, other sizes": (
            character(10_000 + k, SIZES[k % len(SIZES)]) for k in range(arguments.n)
        ),
        "clip art": map(read_image, paths),
        "of these held out": map(read_image, held_out),
        "drawn landscapes": map(landscape, range(100)),
        "comic pages": map(read_image, early),
        "comic pages held out": map(read_image, late),
    }
    for folder in arguments.clean:
        clean[folder.name] = map(read_image, list_images(folder))
    false_finds(clean)
    n = arguments.censored
    found(
        {
            "clip art held out": [read_image(path) for path in held_out],
            "comic pages held out": [read_image(path) for path in late],
            "drawn characters": [character(50_000 + k, (360, 512)) for k in range(n)],
        },
        n,
    )


def character(seed, size=(600, 848)):
    return draw_character(seed, size).image


def false_finds(sets):
    """Print how many clean pictures of each set have a find of each kind."""
    print("| clean pictures | number | any find | white | light | black | ms each |")
    print("|-|-|-|-|-|-|-|")
    for name, pictures in sets.items():
        kinds, seconds = [], 0.0
        for picture in pictures:
            start = time.process_time()
            kinds.append({region.kind for region in find_solid(picture)})
            seconds += time.process_time() - start
        if kinds:
            counts = [sum(map(bool, kinds))]
            counts += [sum(kind in each for each in kinds) for kind in KINDS]
            cells = " | ".join(map(str, counts))
            each = 1000 * seconds / len(kinds)
            print(f"| {name} | {len(kinds)} | {cells} | {each:.0f} |", flush=True)


def found(sets, n):
    """Print how many censors of each kind are found, and how well they are covered."""
    print("\n| censored | kind | number | found, IoU over 0.6 | IoU of these |")
    print("|-|-|-|-|-|")
    for name, pictures in sets.items():
        results = {kind: [] for kind in KINDS}
        for seed in range(3 * n if pictures else 0):
            rng = np.random.default_rng(seed)
            case = draw_censor(pictures[seed % len(pictures)], rng, mosaics=0)
            image, hole = np.asarray(case.image), case.mask > 127
            mask = np.zeros_like(hole)
            for region in find_solid(image):
                mask[region.slices] |= region.mask
            results[case.kind].append(iou(hole, mask))
        for kind, values in results.items():
            values = np.array(values)
            good = values[values > 0.6]
            if len(values):
                mean = f"{good.mean():.3f}" if len(good) else "–"
                cells = f"{len(values)} | {len(good) / len(values):.0%} | {mean}"
                print(f"| {name} | {kind} | {cells} |", flush=True)


def train(paths, pages, weights, steps):
    """Train the network, and on other pictures those that weigh the evidence.

    The first sees five sixths of the pictures, the pages twice, and 400 characters; the
    others see the last sixth, also under windows, 250 landscapes and 300 characters.
    """
    from oppai.detection import segmenter
    from oppai.detection.overlay_training import fit_overlay, label_proposals
    from oppai.detection.training import train_solid_network

    held = paths[3::6] + pages[3::6]
    seen = [path for path in paths + 2 * pages if path not in held]
    pictures = [reduced(read_image(path)) for path in seen]
    pictures += characters(300_000, 400)
    train_solid_network(pictures, weights, steps=steps)
    segmenter.WEIGHTS = weights  # the search uses the new weights
    segmenter.load_weights.cache_clear()
    segmenter.load_segmenter.cache_clear()
    others = [read_image(path) for path in held for _ in range(3)]
    others += [landscape(seed) for seed in range(1000, 1250)]
    others += characters(400_000, 300)
    labelled = []
    for n, picture in enumerate(others):
        labelled += label_proposals(picture, np.random.default_rng(n))
    for n, path in enumerate(2 * held):
        picture = windows(reduced(read_image(path), 640), n)
        labelled += [(r.kind, numbers, False) for r, numbers in propose_solid(picture)]
    fit_overlay(labelled, weights)


def characters(first, n):
    """Draw characters of various sizes; return a list of uint8 RGB arrays."""
    rng, drawn = np.random.default_rng(2), []
    for k in range(n):
        width, aspect = int(rng.integers(200, 640)), rng.uniform(0.75, 1.42)
        drawn.append(character(first + k, (width, int(aspect * width))))
    return drawn


def reduced(picture, longest=LONGEST):
    scale = longest / max(picture.shape)
    if scale >= 1:
        return picture
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    main()
