"""How many pictures a second does a ranking score, and what limits it?

    python benchmarks/ranking_speed.py [FOLDER] [--pictures 48] [--size 1000 1414]
        [--detector small|cascade|RUN|middle|none] [--scorer RUN] [--workers 2]

Without FOLDER, characters are drawn and saved as PNG. Without runs, the small networks
are timed untrained, because the time does not depend on the weights; one face in the
middle of each picture is then scored. The baseline is decoding alone with as many
threads: a ranking cannot be faster. The table gives the time of each stage. The threads
decode while the main thread detects and scores, so only the waiting of the main thread
is time lost to decoding. "middle" is a detector that takes no time, like one on a fast
GPU: it shows the time of everything else. The first pictures, which compile the
networks, are not timed.
"""

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from devices import process_peak, processor

from facescore.boxes import Face
from facescore.ranking.rank import rank_folder
from illustkit.images import list_images, read_image, write_image

THREADS = "decode", "thumbnail", "hash"
MAIN = "wait", "detect", "crop", "score", "journal"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--size", type=int, nargs=2, default=(1000, 1414))
    parser.add_argument("--detector", default="small")
    parser.add_argument("--scorer", default="small")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = options.folder or drawn(options, Path(work, "pictures"))
        report(folder, Path(work), options)


def drawn(options, folder):
    """Draw 12 characters and copy them under other names, because drawing is slow."""
    from illustkit.samples import draw_character

    for i in range(options.pictures):
        if i < 12:
            write_image(folder / f"{i}.png", draw_character(i, options.size).image)
        else:
            (folder / f"{i}.png").write_bytes((folder / f"{i % 12}.png").read_bytes())
    return folder


def report(folder, work, options):
    models = {"detector": detector(options), "scorer": scorer(options)}
    models["workers"] = options.workers
    warm = work / "warm"
    for path in list_images(folder)[:20]:
        write_image(warm / f"{path.stem}.png", read_image(path))
    rank_folder(warm, output=work / "warm out", progress=False, **models)

    images = list_images(folder)
    start = time.perf_counter()
    with ThreadPoolExecutor(options.workers) as pool:
        pixels = sum(pool.map(lambda path: read_image(path).size / 3e6, images))
    decoding = time.perf_counter() - start
    start = time.perf_counter()
    ranking = rank_folder(folder, output=work / "out", progress=False, **models)
    whole = time.perf_counter() - start
    faces = sum(len(picture.faces) for picture in ranking.pictures)

    n = len(images)
    print(processor())
    print(f"{n} pictures of {pixels / n:.2f} megapixels, {faces} faces")
    print(f"detector {options.detector}, scorer {options.scorer}\n")
    print(f"decoding alone   {n / decoding:7.1f} pictures/s")
    print(f"ranking          {n / whole:7.1f} pictures/s, {decoding / whole:.0%} of it")
    print(f"peak memory      {process_peak() / 1e6:7.0f} MB\n")
    spent = ranking.seconds
    print(f"in {options.workers} threads   ms/picture (processor)")
    for stage in THREADS:
        print(f"  {stage:<12}{spent[stage] / n * 1e3:8.1f}")
    print("in the main one    ms/picture (wall)   fraction")
    rest = whole - sum(spent[stage] for stage in MAIN)
    for stage, seconds in [*((s, spent[s]) for s in MAIN), ("files, groups", rest)]:
        print(f"  {stage:<14}{seconds / n * 1e3:8.1f}{seconds / whole:18.0%}")


def detector(options):
    if options.detector != "small":
        functions = {"none": None, "middle": in_the_middle}
        return functions.get(options.detector, options.detector)
    from facescore.detector.network import DetectorNetwork
    from facescore.detector.prediction import Detector
    from facescore.detector.training import DETECTOR_PRESETS

    preset = DETECTOR_PRESETS["small"]
    network = DetectorNetwork(preset.widths, preset.depths, preset.head)
    network.build((None, 640, 640, 3))

    class Untrained(Detector):
        """Detect with an untrained network, then return a face in the middle."""

        def detect_all(self, images, **options):
            super().detect_all(images, **options)
            return [in_the_middle(image) for image in images]

    return Untrained(network)


def in_the_middle(image):
    height, width = image.shape[:2]
    return [Face((width * 3 / 8, height * 3 / 8, width * 5 / 8, height * 5 / 8), 0.5)]


def scorer(options):
    from facescore.scorer.model import load_scorer

    if options.scorer != "small":
        return load_scorer(options.scorer)
    from facescore.scorer.model import NETWORKS, Scorer
    from facescore.scorer.training import SCORER_PRESETS

    return Scorer(NETWORKS["small"](SCORER_PRESETS["small"].image_size))


if __name__ == "__main__":
    main()
