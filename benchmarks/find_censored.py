"""How well does `oppai.find_censored` find new censors, and only these?

    python benchmarks/find_censored.py CLIPART [--held-out NAMES] [--n 60]
    python benchmarks/find_censored.py CLIPART --clean-only [--folders FOLDER ...]
    python benchmarks/find_censored.py CLIPART --held-out NAMES --train WEIGHTS

CLIPART is a folder of uncensored pictures. NAMES is a text file with the names of the
pictures that the network was not trained on, one a line. Censors are drawn by
`oppai.censoring.random_censor.draw_censor` on whole held-out pictures and on drawn
characters.

Where the picture and its mosaic have the same single colour, nobody can tell where the
mosaic ends. So the table gives the IoU twice: over all pixels, and over the blocks of
the mosaic that have more than one colour in the uncensored picture. "Pooled" is the IoU
of the pixels of all pictures together.

`--clean-only` measures only how often something is found in clean pictures, also in
those of `--folders`, and names what it finds on the standard error.
"""

import argparse
import itertools
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from clean_pictures import CHARACTER, clean_pictures

from illustkit.images import list_images, read_image
from illustkit.samples import draw_character
from oppai.censoring.block_grid import Grid
from oppai.censoring.random_censor import draw_censor
from oppai.detection.find_censored import find_censored


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clipart", type=Path)
    parser.add_argument("--held-out", type=Path, help="text file, one name a line")
    parser.add_argument("--n", type=int, default=60, help="censored pictures of a kind")
    parser.add_argument(
        "--clean", type=int, default=500, help="clean pictures of a kind"
    )
    parser.add_argument("--clean-only", action="store_true", help="draw no censors")
    parser.add_argument(
        "--folders", type=Path, nargs="*", default=[], help="of more clean pictures"
    )
    parser.add_argument(
        "--train", metavar="WEIGHTS", help="train and write the weights to this file"
    )
    parser.add_argument(
        "--steps", type=int, default=6000, help="training steps for mosaics"
    )
    arguments = parser.parse_args()
    paths = list_images(arguments.clipart)
    held_out = paths[::8]
    if arguments.held_out:
        names = set(arguments.held_out.read_text("utf-8").split("\n"))
        held_out = [path for path in paths if path.name in names]
    if arguments.train:
        training = [path for path in paths if path not in held_out]
        return train(training, arguments.train, arguments.steps)
    kinds = clean_pictures(paths, held_out, arguments.clean)
    for folder in arguments.folders:
        kinds[folder.name] = map(read_image, list_images(folder))
    if arguments.clean_only:
        return clean(kinds)
    mosaics(held_out, arguments.n)
    upper_bound(held_out, arguments.n)
    clean(kinds)
    speed(held_out[0])


def train(paths, weights, steps):
    """Train the network and the regression on clip art and drawn characters.

    `solid_quality.py` trains what finds white, light and black.
    """
    from oppai.detection import segmenter
    from oppai.detection.training import train_cell_network, train_evidence

    pictures, rng = [read_image(path) for path in paths], np.random.default_rng(1)
    train_cell_network(pictures + characters(100_000, 80, rng), weights, steps=steps)
    segmenter.WEIGHTS = Path(weights)  # the search uses the new weights
    segmenter.load_weights.cache_clear()
    segmenter.load_segmenter.cache_clear()
    clean = characters(400_000, 200, rng)  # some wear checks
    clean += [with_bars(picture, rng) for picture in pictures[1::2] + clean]
    pictures = pictures[::2] + characters(200_000, 100, rng)
    train_evidence(pictures, weights)
    train_evidence(pictures, weights, whole=False, clean=clean)


def with_bars(picture, rng):
    """Lay one to four plain rectangles over a picture, at multiples of some pixels."""
    picture, unit = picture.copy(), rng.choice((1, 4, 5, 8, 10, 16, 20, 25, 32))
    for _ in range(rng.integers(1, 5)):
        (y0, y1), (x0, x1) = (
            np.sort(rng.integers(0, max(2, n // unit), 2)) * unit
            for n in picture.shape[:2]
        )
        colours = 0, 255, rng.integers(0, 256, 3)
        picture[y0:y1, x0:x1] = colours[rng.integers(3)]
    return picture


def characters(first, n, rng):
    """Draw characters of various sizes; return a list of uint8 RGB arrays."""
    widths = (int(rng.integers(300, 600)) for _ in range(n))
    return [
        draw_character(first + k, (width, int(1.4 * width))).image
        for k, width in enumerate(widths)
    ]


def mosaics(paths, n):
    """Print the table of mosaics: IoU and grid by block size, JPEG and shape."""
    rows = []
    for seed, (picture, case) in enumerate(cases(paths, n)):
        is_clipart, jpeg = is_from_clipart(seed, n), seed % 2
        start = time.process_time()
        result = find_censored(case.image)
        seconds = time.process_time() - start
        hole, mask = case.mask > 127, result.mask > 127
        detail = cells_with_detail(picture, case.grid)
        least = min(case.grid.block)
        right = grid_is_right(result, case.grid)
        groups = ["clip art" if is_clipart else "drawn characters"]
        groups.append("JPEG of quality 60 to 100" if jpeg else "no JPEG")
        if least >= 6:
            groups.append("6 and more, rectangle or ellipse" if is_plain(hole)
                          else "6 and more, free form")  # fmt: skip
            groups.insert(0, "blocks of 6 and more")
        groups.append(
            "blocks of 4 and 5" if least < 6 else "6 to 10" if least <= 10
            else "11 to 20" if least <= 20 else "21 to 32"
        )  # fmt: skip
        figures = (
            iou(hole, mask), iou(hole & detail, mask & detail), *right,
            (hole & mask).sum(), (hole | mask).sum(), seconds,
        )  # fmt: skip
        if seed >= 2 * n:
            groups = ["blocks of 8 and 16 from the picture's corner"]
        rows += [(group, figures) for group in groups]
    print(
        "| mosaics | pictures | IoU, all pixels | median | pooled | "
        "IoU, blocks with detail | median | found | block ±2 % | and offset ±1 px |"
    )
    print("|-|-|-|-|-|-|-|-|-|-|")
    for group in dict.fromkeys(group for group, _ in rows):
        a = np.array([figures for name, figures in rows if name == group], float)
        mean, median = a.mean(0), np.median(a, 0)
        print(
            f"| {group} | {len(a)} | {mean[0]:.3f} | {median[0]:.3f} | "
            f"{mean[5] / mean[6]:.3f} | {mean[1]:.3f} | {median[1]:.3f} | "
            f"{mean[2]:.0%} | {mean[3]:.0%} | {mean[4]:.0%} |"
        )
    print(f"\n{np.mean([f[-1] for _, f in rows]):.2f} s of one core a picture\n")


def cases(paths, n):
    """Yield `3 n` pictures and their mosaics, the last third on a grid as of JPEGs."""
    for seed in range(3 * n):
        picture = (
            read_image(paths[seed % len(paths)])
            if is_from_clipart(seed, n)
            else draw_character(50_000 + seed, CHARACTER).image
        )
        grid = Grid([(8, 16)[seed % 8 > 3]] * 2) if seed >= 2 * n else None
        rng = np.random.default_rng(seed)
        jpeg = float(seed % 2)
        yield picture, draw_censor(picture, rng, mosaics=1, grid=grid, jpeg=jpeg)


def is_from_clipart(seed, n):
    return seed < n or (seed >= 2 * n and seed % 4 < 2)


def upper_bound(paths, n):
    """Print the IoU that knowing every block with detail would give.

    It uses the same mosaics, with blocks of 6 pixels and more. Between the blocks with
    detail the picture shows nothing, so the gaps are filled in four ways, and the best
    of them is chosen for every picture by the truth.
    """
    rows = []
    for picture, case in itertools.islice(cases(paths, n), 2 * n):
        if min(case.grid.block) < 6:
            continue
        hole = case.mask > 127
        detail = (hole & cells_with_detail(picture, case.grid)).astype(np.uint8)
        size = int(3 * max(case.grid.block)) | 1
        square = np.ones((size, size), np.uint8)
        hull, box = np.zeros_like(detail), np.zeros_like(detail)
        cv2.fillConvexPoly(hull, cv2.convexHull(cv2.findNonZero(detail)), 1)
        x, y, width, height = cv2.boundingRect(detail)
        box[y : y + height, x : x + width] = 1
        closed = cv2.morphologyEx(detail, cv2.MORPH_CLOSE, square)
        best = max(iou(hole, form > 0) for form in (detail, hull, box, closed))
        rows.append((is_plain(hole), best))
    plain, best = np.array(rows).T
    print(
        f"every block with detail given: {best.mean():.3f}; rectangles and ellipses "
        f"{best[plain == 1].mean():.3f}, free forms {best[plain == 0].mean():.3f}\n"
    )


def is_plain(hole):
    """Return whether a hole is a rectangle or an ellipse, rotated or not."""
    forms, _ = cv2.findContours(
        hole.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    hull = cv2.convexHull(forms[0])
    return len(forms) == 1 and hole.sum() > 0.97 * cv2.contourArea(hull)


def iou(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


def cells_with_detail(picture, grid):
    """Return a mask `(height, width)` of the blocks with more than one colour."""
    height, width = picture.shape[:2]
    (bx, by), (x, y) = grid.block, grid.origin
    columns = ((np.arange(width) - x) // bx).astype(int) + 1
    rows = ((np.arange(height) - y) // by).astype(int) + 1
    cells = rows[:, None] * (columns[-1] + 1) + columns
    most = np.zeros((cells[-1, -1] + 1, 3), np.uint8)
    least = 255 - most
    np.maximum.at(most, cells, picture)
    np.minimum.at(least, cells, picture)
    return (most.astype(int) - least > 4).any(1)[cells]


def grid_is_right(result, grid):
    """Return whether a mosaic is found, with the right block, and the right offset."""
    regions = [region for region in result.regions if region.kind == "mosaic"]
    if not regions:
        return False, False, False
    best = max(regions, key=lambda region: region.mask.sum()).grid
    off = [abs(a - b) / b for a, b in zip(best.block, grid.block, strict=True)]
    shift = [
        abs((a - o + b / 2) % b - b / 2)
        for a, o, b in zip(best.origin, grid.origin, grid.block, strict=True)
    ]
    return True, max(off) <= 0.02, max(off) <= 0.02 and max(shift) <= 1


def clean(kinds):
    """Print the table of false finds in clean pictures."""
    print(
        "| clean pictures | number | any find | mosaic | light | white | black | blur |"
    )
    print("|-|-|-|-|-|-|-|-|")
    for name, pictures in kinds.items():
        kinds_of = []
        for number, picture in enumerate(pictures):
            regions = find_censored(picture).regions
            kinds_of.append({region.kind for region in regions})
            for region in regions:
                found = f"{name} {number}: {region.kind} {region.box}"
                print(found, file=sys.stderr, flush=True)
        counts = [sum(map(bool, kinds_of))]
        for kind in ("mosaic", "light", "white", "black", "blur"):
            counts.append(sum(kind in kinds for kinds in kinds_of))
        cells = " | ".join(map(str, counts))
        print(f"| {name} | {len(kinds_of)} | {cells} |", flush=True)


def speed(path):
    """Print the seconds that pictures of two sizes with a mosaic take."""
    picture = read_image(path)
    for size in ((512, 512), (3000, 4000)):
        large = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
        rng = np.random.default_rng(0)
        case = draw_censor(large, rng, mosaics=1, blocks=(10, 10))
        start = time.perf_counter()
        find_censored(case.image)
        print(f"\n{size[0]}x{size[1]}: {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
