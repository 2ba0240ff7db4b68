"""How many training patches a second does one core make?

    python benchmarks/patch_speed.py [FOLDER] [--pictures 200]

FOLDER holds pictures of about 512 pixels and `meta.json` in the chapter's format. The
default is `$ILLUSTKIT_DATA/clipart`; if that variable is not set, samples are drawn.
Times decoding a file, testing whether it is grey, cutting a 256×256 patch and censoring
it with a mosaic. Prints the processor time of one process with one thread, the best of
three rounds.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from devices import processor

from illustkit.images import read_image, write_image
from oppai.censoring.censor import KINDS, add_mosaic, box_mask, censor
from oppai.data.crops import cut_patch, expand_box, is_grey
from oppai.data.metadata import find_pictures, load_metadata

TARGET = 200  # patches a second


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--pictures", type=int, default=200)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as work:
        samples, source = prepare(options, Path(work))
        report(samples, source)


def prepare(options, work):
    """Return pairs of a file and a box in it, and a name for where they are from."""
    folder = options.folder
    if folder is None and "ILLUSTKIT_DATA" in os.environ:
        folder = Path(os.environ["ILLUSTKIT_DATA"]) / "clipart"
    if folder is None:
        return drawn(options.pictures, work), "drawn samples"
    entries = load_metadata(folder / "meta.json")[: options.pictures]
    paths, _ = find_pictures(entries, folder)
    with_boxes = [e for e in entries if e.name in paths and e.boxes]
    return [(paths[e.name], e.boxes[0]) for e in with_boxes], str(folder)


def drawn(count, work):
    from illustkit.samples import draw_character

    samples = []
    for seed in range(count):
        character = draw_character(seed, size=(384, 512))
        path = work / f"{seed}.png"
        write_image(path, character.image)
        samples.append((path, character.face_box))
    return samples


def report(samples, source):
    steps = {"decode": [], "grey": [], "cut": [], "censor": []}
    for _ in range(3):
        for step, seconds in timed_round(samples).items():
            steps[step].append(seconds)
    best = {step: min(times) / len(samples) for step, times in steps.items()}
    total = sum(best.values())
    long_side = np.mean([max(read_image(path).shape) for path, _ in samples])
    print(f"{len(samples)} pictures from {source}, long side about {long_side:.0f} px")
    print(processor())
    for step, seconds in best.items():
        print(f"  {step:8}{1e3 * seconds:6.2f} ms")
    verdict = "reached" if 1 / total >= TARGET else "not reached"
    print(f"  all     {1e3 * total:6.2f} ms: {1 / total:.0f} a second")
    print(f"  target: at least {TARGET} a second: {verdict}")
    patch = cut_patch(read_image(samples[0][0]), (0, 0, 256, 256), 256)
    mask = box_mask((256, 256), (48, 48, 208, 208))
    for kind in KINDS:
        seconds = timed(lambda kind=kind: censor(patch, mask, kind=kind))
        print(f"  censor, {kind:8}{1e3 * seconds:6.2f} ms")
    ours = timed(lambda: add_mosaic(patch, (48, 48, 208, 208)))
    pillow = timed(lambda: pillow_mosaic(patch, (64, 64, 192, 192)))
    print(f"  add_mosaic{1e3 * ours:6.2f} ms; Pillow alone{1e3 * pillow:6.2f} ms")


def timed_round(samples):
    seconds = dict.fromkeys(("decode", "grey", "cut", "censor"), 0.0)
    for path, box in samples:
        times = [time.process_time()]
        picture = read_image(path)
        times.append(time.process_time())
        is_grey(picture)
        times.append(time.process_time())
        square, box = expand_box((picture.shape[1], picture.shape[0]), box)
        patch = cut_patch(picture, square, 256)
        times.append(time.process_time())
        scale = 256 / (square[2] - square[0])
        add_mosaic(patch, [v * scale for v in box])
        times.append(time.process_time())
        for step, spent in zip(seconds, np.diff(times), strict=True):
            seconds[step] += spent
    return seconds


def timed(function, repeats=50):
    rounds = []
    for _ in range(3):
        start = time.process_time()
        for _ in range(repeats):
            function()
        rounds.append((time.process_time() - start) / repeats)
    return min(rounds)


def pillow_mosaic(patch, rectangle):
    """Censor by the chapter's recipe with Pillow's filters, as a baseline."""
    from PIL import Image, ImageDraw, ImageFilter

    picture = Image.fromarray(patch)
    mask = Image.new("L", picture.size, 255)
    left, top, right, bottom = rectangle
    ImageDraw.Draw(mask).rectangle((left, top, right - 1, bottom - 1), fill=0)
    mask = mask.filter(ImageFilter.GaussianBlur(10))
    small = picture.filter(ImageFilter.GaussianBlur(5)).resize((32, 32), Image.BOX)
    mosaic = small.resize(picture.size, Image.NEAREST)
    return np.asarray(Image.composite(picture, mosaic, mask)), np.asarray(mask)


if __name__ == "__main__":
    main()
