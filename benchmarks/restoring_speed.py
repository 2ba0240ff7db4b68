"""How much time and memory does the packaged restorer need?

    python benchmarks/restoring_speed.py [--rounds 15]
        [--huge 10700 10654 [--suffix .png]]
        [--clipart FOLDER]

Times three cases. The first is a patch of 256 pixels, a quarter of it a mosaic with
blocks of 8, after a warm-up, in each precision, with and without its mirror image, and
next to bicubic interpolation of the block means, by processor time: `int8` on ONNX
Runtime, the others in Keras. `--clipart`, a folder with a
`meta.json`, adds what each way loses: the PSNR in the holes of 24 patches kept apart.
The second is a picture of 3000×4000 pixels with 12 mosaics, once with their boxes given
and once without. The third is `oppai restore` of a sample in a new process. `--huge`
times nothing but `oppai restore` of one box in a picture of that width and height.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from devices import process_peak
from mosaic_quality import CELLS, boxed_patches
from timing import median_ratio, time_in_turn

import oppai
from illustkit.images import write_image
from illustkit.samples import draw_character
from oppai.censoring.block_grid import Grid
from oppai.censoring.censor import censor
from oppai.censoring.masks import box_mask
from oppai.data.crops import resize
from oppai.evaluation.baselines import upsample_blocks

BOX = (64, 64, 192, 192)


def load_ways():
    """Return the packaged restorer in each precision, with and without mirror."""
    engines = {"float32": "keras", "bfloat16": "keras", "int8": "onnx"}
    return {
        f"{precision}, {'two passes' if mirror else 'one pass'}": oppai.load_restorer(
            "default", engine=engine, precision=precision, mirror=mirror
        )
        for precision, engine in engines.items()
        for mirror in (True, False)
    }


def time_patch(restorers, rounds):
    """Return seconds of each restorer and of the bicubic filter, one a round."""
    truth = draw_character(7000, (256, 256)).image
    mask = box_mask((256, 256), BOX, blur_size=0, coverage=1)
    seen = censor(truth, mask, block=8, picture_blur=0)
    patch = seen[None], mask[None], [Grid((8, 8))]
    ways = {name: partial(r.restore_patches, *patch) for name, r in restorers.items()}
    ways["bicubic block means"] = lambda: upsample_blocks(seen, mask, block=8)
    return time_in_turn(ways, rounds, warm_up=3, clock=time.process_time)


def quality(restorer, patches, boxes):
    """Return the mean PSNR in the hole for each cell of `mosaic_quality.py`."""
    means = []
    for cell in CELLS.values():
        values = []
        for i, (patch, box) in enumerate(zip(patches, boxes, strict=True)):
            seen, mask, grid = censored_patch(patch, box, cell, i)
            result = restorer.restore_patches(seen[None], mask[None], [grid])[0]
            error = (result.astype(float) - patch)[mask > 127]
            values.append(10 * np.log10(255**2 / np.mean(error**2)))
        means.append(np.mean(values))
    return np.array(means)


def censored_patch(patch, box, cell, seed):
    """Censor a patch as a cell of `mosaic_quality.py`: `(seen, mask, grid)`."""
    kind, blocks, blur = cell
    block = int(np.random.default_rng(seed).integers(blocks[0], blocks[1] + 1))
    mask = box_mask((256, 256), box, blur_size=blur)
    seen = censor(patch, mask, kind=kind, block=block, picture_blur=0)
    return seen, mask, Grid((block, block)) if kind == "mosaic" else None


def compare_ways(rounds, clipart):
    """Print the time of each way and what it loses against the first."""
    restorers = load_ways()
    seconds = time_patch(restorers, rounds)
    first, *_ = seconds.values()
    if clipart:
        names = Path(__file__).with_name("held_out_clipart.txt").read_text("utf-8")
        names = [name for name in names.split("\n") if name][:24]
        _, patches, boxes = boxed_patches(clipart, clipart / "meta.json", names)
        psnr = {k: quality(r, patches[:24], boxes[:24]) for k, r in restorers.items()}
        print("dB in:", "; ".join(CELLS))
    for name, times in seconds.items():
        median, least = 1000 * statistics.median(times), 1000 * min(times)
        row = f"{name}: {median:.0f} ms, at least {least:.0f}; "
        row += f"{median_ratio(times, first):.2f} of the first"
        if clipart and name in psnr:
            loss = psnr[name] - psnr["float32, two passes"]
            row += "; dB " + " ".join(f"{x:+.3f}" for x in loss)
        print(row)


def large_picture():
    """Return a picture of 3000×4000 with 12 mosaics, and their boxes."""
    truth = resize(draw_character(7001, (750, 1000)).image, (3000, 4000))
    rng = np.random.default_rng(0)
    mask = np.zeros((4000, 3000), np.uint8)
    boxes = []
    for i in range(12):
        x, y = 200 + 950 * (i % 3), 200 + 950 * (i // 3)
        width, height = rng.integers(300, 600, 2).tolist()
        boxes.append((x, y, x + width, y + height))
        mask[y : y + height, x : x + width] = 255
    return censor(truth, mask, block=24, picture_blur=0), boxes


def time_huge(width, height, suffix):
    """Print what `oppai restore` takes for one box of a huge picture."""
    character = draw_character(7001, (600, 848)).image
    repeats = -(-height // 848), -(-width // 600), 1
    truth = np.tile(character, repeats)[:height, :width]
    x, y = width // 3, height // 3
    seen = truth.copy()
    around = np.s_[y : y + 400, x : x + 600]
    mask = np.full((400, 600), 255, np.uint8)
    seen[around] = censor(truth[around], mask, block=16, picture_blur=0)
    with tempfile.TemporaryDirectory() as folder:
        path = write_image(Path(folder) / f"huge{suffix}", seen)
        box = f"{x},{y},{x + 600},{y + 400}"
        command = [sys.executable, "-m", "oppai", "restore", str(path), "--box", box]
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{width}×{height}, {suffix}, one box, in a new process: {seconds:.1f} s, "
        f"{used.ru_utime + used.ru_stime:.1f} s of processor time, "
        f"peak memory {used.ru_maxrss / 2**20:.1f} GiB"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--clipart", type=Path, help="clip art with meta.json")
    parser.add_argument("--huge", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--suffix", default=".png", help="of --huge: .png or .jpg")
    options = parser.parse_args()
    if options.huge:
        time_huge(*options.huge, options.suffix)
        return
    compare_ways(options.rounds, options.clipart)
    restorer = oppai.load_restorer("default")
    picture, boxes = large_picture()
    for name, marks in {"with 12 boxes": {"boxes": boxes}, "unmarked": {}}.items():
        start = time.perf_counter()
        oppai.restore(picture, restorer=restorer, **marks)
        seconds = time.perf_counter() - start
        peak = process_peak() / 2**30
        print(f"3000×4000, {name}: {seconds:.1f} s, peak memory {peak:.2f} GiB")
    with tempfile.TemporaryDirectory() as folder:
        truth = draw_character(7002, (400, 566))
        path = Path(folder) / "sample.png"
        seen, _ = oppai.add_mosaic(
            truth.image, truth.face_box, block=8, blur_size=0, picture_blur=0
        )
        write_image(path, seen)
        start = time.perf_counter()
        command = [sys.executable, "-m", "oppai", "restore", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - start
        print(f"`oppai restore` in a new process: {seconds:.1f} s")


if __name__ == "__main__":
    main()
