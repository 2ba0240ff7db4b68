"""Are mosaics of other programs found and restored, whatever their blocks?

    python benchmarks/any_mosaic.py CLIPART --held-out NAMES [--n 40] [--kinds WORD ...]

CLIPART is a folder of uncensored pictures; NAMES is a text file with the names of those
that nothing was trained on, one a line. Every second picture is a drawn character.

A part of each picture is shrunk to a whole number of blocks and enlarged again, as most
programs do, so that blocks are no whole pixels wide. "Found" is the fraction of
pictures in which a mosaic is found; "size" and "offset" are those whose block is right
to one in a hundred, and whose lines are right to a pixel in the middle as well. The
gains are PSNR in the part, over the censored picture: with the grid told, with the part
marked, and with nothing told. A part in which nothing is found keeps its gain of 0.
"Below" is the fraction of pictures that came back worse by more than a tenth.
"""

import argparse
import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import oppai
from illustkit.errors import UserError
from illustkit.images import list_images, read_image
from illustkit.samples import draw_character
from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import Censored
from oppai.detection.training import same_grid

OPENCV = {
    "area": cv2.INTER_AREA,
    "linear": cv2.INTER_LINEAR,
    "nearest": cv2.INTER_NEAREST,
    "cubic": cv2.INTER_CUBIC,
}


def opencv(part, blocks, down="area", up="nearest"):
    """Pixelate as OpenCV's `resize` does: lines lie at rounded-up multiples."""
    small = cv2.resize(part, blocks, interpolation=OPENCV[down])
    size = part.shape[1], part.shape[0]
    return cv2.resize(small, size, interpolation=OPENCV[up])


def pillow(part, blocks, down="BOX", up="NEAREST"):
    """Pixelate as Pillow's `resize` does: pixels are taken under their middles."""
    ways = Image.Resampling
    small = Image.fromarray(part).resize(blocks, ways[down])
    return np.asarray(small.resize((part.shape[1], part.shape[0]), ways[up]))


def jpeg(picture, quality, **options):
    return _through(picture, "JPEG", quality=quality, **options)


def webp(picture, quality):
    return _through(picture, "WEBP", quality=quality)


def _through(picture, format, **options):
    memory = io.BytesIO()
    Image.fromarray(picture).save(memory, format, **options)
    return np.asarray(Image.open(memory).convert("RGB"))


KINDS = {
    "OpenCV, area and nearest": {},
    "OpenCV, linear and nearest": {"down": "linear"},
    "OpenCV, nearest and nearest": {"down": "nearest"},
    "Pillow, box and nearest": {"program": pillow},
    "Pillow, bilinear and nearest": {"program": pillow, "down": "BILINEAR"},
    "an ellipse": {"form": "ellipse"},
    "blended, 75 %": {"opacity": 0.75},
    "JPEG 90": {"after": lambda p: jpeg(p, 90)},
    "JPEG 60, half the colours": {"after": lambda p: jpeg(p, 60, subsampling=2)},
    "WebP 75": {"after": lambda p: webp(p, 75)},
    "resized by 0.6 to 1.8": {"resize": True},
    "resized, then JPEG 75": {"resize": True, "after": lambda p: jpeg(p, 75)},
    "whole pixels": {"whole": True},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clipart", type=Path)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=40, help="pictures of a kind")
    parser.add_argument("--kinds", nargs="*", default=[""], help="words of their names")
    arguments = parser.parse_args()
    names = set(arguments.held_out.read_text("utf-8").split("\n"))
    paths = [path for path in list_images(arguments.clipart) if path.name in names]
    print(
        "| mosaic | found | size | offset | input | told | marked | nothing told | "
        "below |\n|-|-|-|-|-|-|-|-|-|"
    )
    for kind, options in KINDS.items():
        if not any(word in kind for word in arguments.kinds):
            continue
        rows = np.array(
            [measure(*case(paths, seed, **options)) for seed in range(arguments.n)]
        )
        mean = rows.mean(0)
        below = (rows[:, 4:] < rows[:, 3:4] - 0.1).any(1).mean()
        told, marked, found = mean[4:] - mean[3]
        print(
            f"| {kind} | {mean[0]:.0%} | {mean[1]:.0%} | {mean[2]:.0%} | "
            f"{mean[3]:.2f} | {told:+.2f} | {marked:+.2f} | {found:+.2f} | "
            f"{below:.0%} |",
            flush=True,
        )


def case(
    paths,
    seed,
    *,
    program=opencv,
    form="box",
    opacity=1.0,
    resize=False,
    after=None,
    whole=False,
    blocks=(5, 24),
    **ways,
):
    """Return a picture, the censored one, what is hidden, and the grid."""
    rng = np.random.default_rng(seed)
    while True:
        picture = (
            read_image(paths[rng.integers(len(paths))])
            if seed % 2
            else draw_character(60_000 + int(rng.integers(1000)), (300, 424)).image
        )
        size = np.array(picture.shape[1::-1])
        if min(size) < 150:
            continue
        sides = (rng.uniform(0.3, 0.6, 2) * size).astype(int)
        block = blocks[0] * (blocks[1] / blocks[0]) ** rng.random()
        n = np.maximum(4, np.rint(sides / block)).astype(int)
        if whole:
            sides = n * np.maximum(1, sides // n)
        x, y = rng.integers(0, size - sides).tolist()
        width, height = sides.tolist()
        part = picture[y : y + height, x : x + width]
        if part.std() > 25:
            break
    mask = np.zeros(picture.shape[:2], np.uint8)
    mask[y : y + height, x : x + width] = 255
    if form == "ellipse":
        mask[:] = 0
        middle, axes = (x + width // 2, y + height // 2), (width // 2, height // 2)
        cv2.ellipse(mask, middle, axes, 0, 0, 360, 255, cv2.FILLED)
    filling = picture.copy()
    filling[y : y + height, x : x + width] = program(part, tuple(n.tolist()), **ways)
    weight = opacity * (mask[..., None] > 0)
    censored = np.rint(picture + weight * (filling.astype(float) - picture))
    censored = censored.astype(np.uint8)
    # Whatever the program's lines, its colours are the means of these blocks.
    grid = Grid(tuple(sides / n), (x, y))
    if resize:
        scale = rng.uniform(0.6, 1.8)
        new = tuple(np.rint(size * scale).astype(int).tolist())
        ways = (*OPENCV.values(), cv2.INTER_LANCZOS4)
        way = ways[rng.choice((0, 1, 3, 4))]
        censored = cv2.resize(censored, new, interpolation=way)
        truth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        picture = cv2.resize(picture, new, interpolation=truth)
        mask = cv2.resize(mask, new, interpolation=cv2.INTER_NEAREST)
        grid = grid.scaled(*(new / size))
    if after is not None:
        censored = after(censored)
    return picture, censored, mask, grid


def measure(picture, censored, mask, grid):
    """Return found, size, offset, and PSNR: input, told, marked, nothing told."""
    hole = mask > 0
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    box = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    found = oppai.find_censored(censored)
    grids = [region.grid for region in found.regions if region.grid is not None]
    size = any(
        abs(a / b - 1) <= 0.01 and abs(c / d - 1) <= 0.01
        for (a, c), (b, d) in ((g.block, grid.block) for g in grids)
    )
    offset = any(same_grid(g, grid, box) for g in grids)
    told = oppai.restore(Censored(censored, mask, grid, "mosaic"))
    marked = _restored(censored, mask=mask)
    alone = _restored(censored, found=found) if found.regions else censored
    results = [
        psnr(result, picture, hole) for result in (censored, told, marked, alone)
    ]
    return bool(grids), size, offset, *results


def _restored(censored, **marks):
    try:
        return oppai.restore(censored, **marks)
    except UserError:
        return censored


def psnr(result, truth, hole):
    error = (result.astype(float) - truth)[hole]
    return 10 * np.log10(255**2 / max((error**2).mean(), 0.1))


if __name__ == "__main__":
    main()
