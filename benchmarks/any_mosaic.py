"""Are mosaics of other programs found and restored, whatever their blocks?

    python benchmarks/any_mosaic.py CLIPART --held-out NAMES [--n 40] [--kinds WORD ...]
    python benchmarks/any_mosaic.py CLIPART --held-out NAMES --find-only

CLIPART is a folder of uncensored pictures; NAMES is a text file with the names of those
that nothing was trained on, one a line. Every second picture is a drawn character.

A part of each picture is shrunk to a whole number of blocks and enlarged again, as most
programs do, so that blocks are no whole pixels wide. "Found" is the fraction of
pictures in which a mosaic is found; "size" and "offset" are those whose block is right
to one in a hundred, and whose lines are right to a pixel in the middle as well; with
`--find-only`, which restores nothing, to half a pixel too. The gains are PSNR in the
part, over the censored picture: with the grid told, with the part marked, and with
nothing told. A part in which nothing is found keeps its gain of 0. "Below" is the
fraction of pictures that came back worse by more than a tenth.
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
from oppai.censoring.block_grid import Grid, block_means
from oppai.censoring.regions import Region, bounds
from oppai.detection.find_censored import Found
from oppai.detection.mosaic import find_mosaics
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


def cut(part, blocks):
    """Pixelate in blocks of whole pixels, of which the last ones are cut."""
    size = part.shape[1], part.shape[0]
    block = max(1, round(size[0] / blocks[0]))
    grid = Grid((block, block))
    means = np.rint(block_means(part, grid)).astype(np.uint8)
    whole = means.repeat(block, 0).repeat(block, 1)
    return whole[: size[1], : size[0]]


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
    "a free form with a soft rim": {"form": "free", "rim": 3},
    "oblong blocks, 1 to 2": {"oblong": 2},
    "whole pixels, cut at the right and the bottom": {"program": cut},
    "two mosaics of different blocks": {"n": 2},
    "blended, 50 %": {"opacity": 0.5},
    "blended, 75 %": {"opacity": 0.75},
    "blended, 90 %": {"opacity": 0.9},
    "JPEG 90": {"after": lambda p: jpeg(p, 90)},
    "JPEG 60, half the colours": {"after": lambda p: jpeg(p, 60, subsampling=2)},
    "JPEG 90, 70 and 80 in turn": {"after": lambda p: jpeg(jpeg(jpeg(p, 90), 70), 80)},
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
    parser.add_argument("--find-only", action="store_true", help="restore nothing")
    arguments = parser.parse_args()
    names = set(arguments.held_out.read_text("utf-8").split("\n"))
    paths = [path for path in list_images(arguments.clipart) if path.name in names]
    more = ["input", "told", "marked", "nothing told", "below"]
    more = ["offset, half a pixel"] if arguments.find_only else more
    columns = ["mosaic", "found", "size", "offset", *more]
    print(f"| {' | '.join(columns)} |\n{'|-' * len(columns)}|")
    for kind, options in KINDS.items():
        if not any(word in kind for word in arguments.kinds):
            continue
        cases = (case(paths, seed, **options) for seed in range(arguments.n))
        if arguments.find_only:
            found = [judge(find_mosaics(censored), told) for _, censored, told in cases]
            cells = " | ".join(f"{part:.0%}" for part in np.mean(found, 0))
            print(f"| {kind} | {cells} |", flush=True)
            continue
        rows = np.array([measure(*one) for one in cases])
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
    rim=0,
    oblong=1,
    n=1,
    opacity=1.0,
    resize=False,
    after=None,
    whole=False,
    blocks=(5, 24),
    **ways,
):
    """Return a picture, the censored one, and what is told of it, a `Found`."""
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
        counts = np.maximum(4, np.rint(sides / (block, block * oblong))).astype(int)
        if whole:
            sides = counts * np.maximum(1, sides // counts)
        x, y = rng.integers(0, size - sides).tolist()
        width, height = sides.tolist()
        boxes = [(x, y, x + width, y + height)]
        if n == 2:  # one above the other, with a fifth of the height between them
            boxes = [
                (x, y, x + width, y + height * 2 // 5),
                (x, y + height * 3 // 5, x + width, y + height),
            ]
        # On a plain background a mosaic cannot be seen.
        if min(picture[b:d, a:c].std() for a, b, c, d in boxes) > 25:
            break
    censored, regions = picture.astype(float), []
    hidden = np.zeros(picture.shape[:2], np.uint8)
    for number, box in enumerate(boxes):
        left, top, right, bottom = box
        sides = np.array((right - left, bottom - top))
        if n == 2:
            counts = np.maximum(3, np.rint(sides / block / (1, 1.6)[number]))
            counts = counts.astype(int)
        part = picture[top:bottom, left:right]
        filling = picture.copy()
        filled = program(part, tuple(counts.tolist()), **ways)
        filling[top:bottom, left:right] = filled
        mask = draw_form(picture.shape[:2], box, form, rim)
        weight = opacity * (mask[..., None] / 255.0)
        censored += weight * (filling - censored)
        # Whatever the program's lines, its colours are the means of these blocks.
        side = (
            sides / counts if program is not cut else [round(sides[0] / counts[0])] * 2
        )
        regions.append((mask, Grid(tuple(side), (left, top))))
        hidden = np.maximum(hidden, mask)
    censored = np.rint(censored).astype(np.uint8)
    if resize:
        scale = rng.uniform(0.6, 1.8)
        new = tuple(np.rint(size * scale).astype(int).tolist())
        ways = (*OPENCV.values(), cv2.INTER_LANCZOS4)
        way = ways[rng.choice((0, 1, 3, 4))]
        censored = cv2.resize(censored, new, interpolation=way)
        truth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        picture = cv2.resize(picture, new, interpolation=truth)
        hidden = cv2.resize(hidden, new, interpolation=cv2.INTER_NEAREST)
        regions = [
            (
                cv2.resize(mask, new, interpolation=cv2.INTER_NEAREST),
                grid.scaled(*(new / size)),
            )
            for mask, grid in regions
        ]
    if after is not None:
        censored = after(censored)
    told = []
    for mask, grid in regions:
        box = bounds(mask > 0)
        inside = mask[box[1] : box[3], box[0] : box[2]] > 0
        told.append(Region(box, inside, "mosaic", grid))
    return picture, censored, Found(tuple(told), hidden)


def draw_form(shape, box, form, rim):
    """Return a mask, 255 = hidden, of a form that fills a box."""
    left, top, right, bottom = box
    mask = np.zeros(shape, np.uint8)
    if form == "box":
        mask[top:bottom, left:right] = 255
        return mask
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    radius = 1 if form == "ellipse" else 0.8 + 0.2 * np.sin(3 * turn + left)
    around = np.stack([np.cos(turn), np.sin(turn)], 1) * np.reshape(radius, (-1, 1))
    middle, axes = (
        np.array((left + right, top + bottom)) / 2,
        np.array((right - left, bottom - top)),
    )
    points = middle + around * axes / 2
    cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 255)
    return cv2.GaussianBlur(mask, (0, 0), rim) if rim else mask


def measure(picture, censored, told):
    """Return found, size, offset, and PSNR: input, told, marked, nothing told."""
    hole = told.mask > 0
    found = oppai.find_censored(censored)
    columns = judge(found.regions, told)[:3]
    alone = _restored(censored, found=found) if found.regions else censored
    results = [
        psnr(result, picture, hole)
        for result in (
            censored,
            oppai.restore(censored, found=told),
            _restored(censored, mask=told.mask),
            alone,
        )
    ]
    return *columns, *results


def judge(regions, told):
    """Return found, size, and offset to a pixel and to half of one."""
    grids = [region.grid for region in regions if region.grid is not None]
    sizes, pixel, half = [], [], []
    for region in told.regions:
        (width, height), box = region.grid.block, region.box
        sizes.append(
            any(
                abs(g.block[0] / width - 1) <= 0.01
                and abs(g.block[1] / height - 1) <= 0.01
                for g in grids
            )
        )
        pixel.append(any(same_grid(g, region.grid, box) for g in grids))
        half.append(any(same_grid(g, region.grid, box, 0.5) for g in grids))
    return len(grids) >= len(told.regions), all(sizes), all(pixel), all(half)


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
