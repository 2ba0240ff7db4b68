"""How much better than filters is the packaged restorer?

    python benchmarks/mosaic_quality.py IMAGES [--meta JSON] [--run default]
        [--chapter RUN] [--held-out FILE] [--vgg-weights FILE] [--sheets FOLDER]
        [--limit N]

With `--meta`, patches of 256 pixels are cut around the boxes of every held-out picture,
as `oppai evaluate` does. Without it, two crops of every picture are taken at random
places and at the picture's own scale, and one box of 10 to 30 % of each crop is
censored. `oppai.evaluate` measures inside the hole, whose edge is hard, except for
light. Prints means and medians, and the gain over the best filter for that censor; with
`--chapter`, also those of a run of `oppai train`. With `--vgg-weights`, a file that
`oppai convert-vgg` wrote, also the mean VGG16 distance (`oppai.metrics.vgg_distance`).
`--sheets` draws the ten best, median and worst patches by that gain.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from tqdm import tqdm

from illustkit.images import read_image, write_image
from oppai.censoring.block_grid import Grid
from oppai.censoring.censor import censor
from oppai.censoring.masks import box_mask
from oppai.data.crops import resize
from oppai.data.dataset import build_patches
from oppai.data.metadata import load_metadata
from oppai.evaluation.evaluate import evaluate
from oppai.metrics import VGG_TAPS
from oppai.models.pretrained import load_restorer
from oppai.models.vgg import load_vgg_features

SIZE = 256
CELLS = {
    "mosaic, blocks 6–10": ("mosaic", (6, 10), 0),
    "mosaic, blocks 12–20": ("mosaic", (12, 20), 0),
    "mosaic, blocks 24–32": ("mosaic", (24, 32), 0),
    "white": ("white", (8, 8), 0),
    "light, soft rim": ("light", (8, 8), 10),
}
SHOWN = 10  # patches of a sheet


def cut_patches(images, names):
    """Cut two random crops of each picture; return `(names, patches, boxes)`."""
    owners, patches, boxes = [], [], []
    for number, name in enumerate(names):
        picture = read_image(images / name)
        rng = np.random.default_rng((11, number))
        side = min(SIZE, *picture.shape[:2])
        for _ in range(2):
            y, x = (int(rng.integers(0, n - side + 1)) for n in picture.shape[:2])
            patch = resize(picture[y : y + side, x : x + side], (SIZE, SIZE))
            owners.append(name)
            patches.append(patch)
            boxes.append(draw_box(rng))
    return owners, np.stack(patches), boxes


def boxed_patches(images, metadata, names):
    """Cut patches around the boxes of the metadata: `(names, patches, boxes)`."""
    entries = [e for e in load_metadata(metadata) if e.name in set(names)]
    with tempfile.TemporaryDirectory() as cache:
        cut = build_patches(entries, images, size=SIZE, cache=cache)
        return list(cut.names), np.array(cut.patches), np.array(cut.boxes)


def draw_box(rng):
    """Draw a box of 10 to 30 % of the crop, at least 16 pixels from its edges."""
    area, aspect = SIZE**2 * rng.uniform(0.1, 0.3), 2 ** rng.uniform(-0.7, 0.7)
    sides = np.minimum([(area * aspect) ** 0.5, (area / aspect) ** 0.5], SIZE - 32)
    corner = rng.uniform(16, SIZE - 16 - sides)
    box = np.rint([*corner, *(corner + sides)])
    return tuple(int(v) for v in box)


def measure(restorer, patches, boxes, kind, blocks, blur, features):
    """Evaluate every patch alone; return a list of dicts from a method to its row."""
    results = []
    for i in tqdm(range(len(patches)), unit="patch", desc=kind, leave=False):
        rows = evaluate(
            restorer,
            patches[i : i + 1],
            boxes[i : i + 1],
            kinds=kind,
            blocks=blocks,
            blur_size=blur,
            picture_blur=0,
            features=features,
            seed=i,
            progress=False,
        )
        rows = [row for row in rows if row["hole_ratio"] == "all"]
        results.append({row["method"]: row for row in rows})
    return results


def best_filter(results):
    """Return the filter with the highest mean PSNR on these patches."""
    names = [m for m in results[0] if m not in ("prediction", "blend")]
    return max(names, key=lambda m: np.mean([r[m]["psnr"] for r in results]))


def describe(cell, results, method, label, filter_name):
    """Return a row of the table."""
    psnr = np.array([r[method]["psnr"] for r in results])
    gain = psnr - [r[filter_name]["psnr"] for r in results]
    ssim = np.mean([r[method]["ssim"] for r in results])
    numbers = f"{psnr.mean():.2f} | {np.median(psnr):.2f} | {ssim:.4f}"
    gains = f"{gain.mean():+.2f} | {np.median(gain):+.2f}"
    distance = ""
    if "vgg" in results[0][method]:
        distance = f" {np.mean([r[method]['vgg'] for r in results]):.2f} |"
    better = f"{(gain > 0).mean():.0%}"
    return f"| {cell} | {label} | {numbers} | {gains} | {better} |{distance}"


def draw_sheets(folder, cell, order, restorer, patches, boxes):
    """Write sheets of patches: censored, restored and original side by side."""
    kind, blocks, blur = CELLS[cell]
    middle = len(order) // 2 - SHOWN // 2
    sorts = {
        "worst": order[:SHOWN],
        "median": order[middle : middle + SHOWN],
        "best": order[::-1][:SHOWN],
    }
    for sort, numbers in sorts.items():
        rows = []
        for i in numbers:
            rng = np.random.default_rng(
                (i, ("mosaic", "light", "white").index(kind), 0)
            )
            block = int(rng.integers(blocks[0], blocks[1] + 1))
            mask = box_mask((SIZE, SIZE), boxes[i], blur_size=blur)
            censored = censor(patches[i], mask, kind=kind, block=block, picture_blur=0)
            grid = Grid((block, block)) if kind == "mosaic" else None
            restored = restorer.restore_patches(censored[None], mask[None], [grid])[0]
            rows.append(np.concatenate([censored, restored, patches[i]], axis=1))
        half = len(rows) // 2
        columns = [np.concatenate(rows[:half]), np.concatenate(rows[half:])]
        stem = cell.replace(", ", "_").replace(" ", "_").replace("–", "_")
        write_image(Path(folder) / f"{stem}_{sort}.png", np.concatenate(columns, 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder of the clip art")
    parser.add_argument("--meta", type=Path, help="metadata with boxes, JSON")
    parser.add_argument("--run", default="default", help="the restorer to measure")
    parser.add_argument("--chapter", type=Path, help="a run of `oppai train`")
    names = Path(__file__).with_name("held_out_clipart.txt")
    parser.add_argument("--held-out", type=Path, default=names)
    parser.add_argument("--vgg-weights", type=Path, help="VGG16's five blocks")
    parser.add_argument("--sheets", type=Path, help="folder for the sheets")
    parser.add_argument("--limit", type=int, help="take only the first pictures")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    options = parser.parse_args()
    names = options.held_out.read_text("utf-8").split("\n")
    names = [name for name in names if name][: options.limit]
    if options.meta:
        cut = boxed_patches(options.images, options.meta, names)
    else:
        cut = cut_patches(options.images, names)
    owners, patches, boxes = cut
    restorer = load_restorer(options.run)
    chapter = options.chapter and load_restorer(options.chapter)
    print(f"{len(patches)} patches of {len(names)} pictures\n")
    features = load_vgg_features(options.vgg_weights, taps=VGG_TAPS)
    title = "| censor | method | PSNR | median | SSIM | gain | median | better |"
    title += " VGG16 |" * (features is not None)
    print(title)
    print("|-" * (title.count("|") - 1) + "|")
    for cell in options.cells:
        kind, blocks, blur = CELLS[cell]
        results = measure(restorer, patches, boxes, kind, blocks, blur, features)
        best = best_filter(results)
        for method in [m for m in results[0] if m not in ("prediction", "blend")]:
            print(describe(cell, results, method, method, best))
        print(describe(cell, results, "prediction", "**ours**", best))
        gains = [r["prediction"]["psnr"] - r[best]["psnr"] for r in results]
        if chapter:
            chapters = measure(chapter, patches, boxes, kind, blocks, blur, features)
            for method in ("prediction", "blend"):
                print(describe(cell, chapters, method, f"chapter, {method}", best))
        if options.sheets:
            order = np.argsort(gains).tolist()
            draw_sheets(options.sheets, cell, order, restorer, patches, boxes)
            for i in (*order[:3], *order[-3:]):
                print(f"  {owners[i]}: {gains[i]:+.2f} dB")


if __name__ == "__main__":
    main()
