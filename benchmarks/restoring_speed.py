"""How long does the restorer that comes with the package take, and with what memory?

    python benchmarks/restoring_speed.py [--rounds 15]

A patch of 256 pixels whose middle (a quarter of it) is a mosaic of blocks of 8, after a
warm-up, beside bicubic block means; a picture of 3000×4000 pixels with 12 mosaics, told
where they are and not; and `oppai restore` of a sample from a cold start.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import oppai
from illustkit.images import write_image
from illustkit.samples import draw_character
from oppai.censoring.block_grid import Grid
from oppai.censoring.censor import censor
from oppai.censoring.masks import box_mask
from oppai.data.crops import resize
from oppai.evaluation.baselines import upsample_blocks

BOX = (64, 64, 192, 192)


def time_patch(restorer, rounds):
    """Medians of the restorer's and of the filter's milliseconds, in turn."""
    truth = draw_character(7000, (256, 256)).image
    mask = box_mask((256, 256), BOX, blur_size=0, coverage=1)
    seen = censor(truth, mask, block=8, picture_blur=0)
    ways = (
        lambda: restorer.restore_patches(seen[None], mask[None], [Grid((8, 8))]),
        lambda: upsample_blocks(seen, mask, block=8),
    )
    times = [[], []]
    for turn in range(rounds + 3):
        for way, kept in zip(ways, times, strict=True):
            start = time.perf_counter()
            way()
            if turn >= 3:
                kept.append(1000 * (time.perf_counter() - start))
    return [float(np.median(kept)) for kept in times]


def large_picture():
    """A picture of 3000×4000 with 12 mosaics, and their boxes."""
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    restorer = oppai.load_restorer("default")
    ours, bicubic = time_patch(restorer, options.rounds)
    print(f"a patch: {ours:.0f} ms; bicubic block means: {bicubic:.1f} ms")
    picture, boxes = large_picture()
    for name, marks in {"12 boxes": {"boxes": boxes}, "found": {}}.items():
        start = time.perf_counter()
        oppai.restore(picture, restorer=restorer, **marks)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"3000×4000, {name}: {seconds:.1f} s, peak of the process {peak:.2f} GiB")
    with tempfile.TemporaryDirectory() as folder:
        truth = draw_character(7002, (400, 566))
        path = Path(folder) / "sample.png"
        seen, _ = oppai.add_mosaic(
            truth.image, truth.garment_box, block=8, blur_size=0, picture_blur=0
        )
        write_image(path, seen)
        start = time.perf_counter()
        command = [sys.executable, "-m", "oppai", "restore", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        print(f"`oppai restore` from a cold start: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
