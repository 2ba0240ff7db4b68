"""How much memory do the pictures of a mosaic training take, and how fast are crops?

    python benchmarks/crops_memory.py [--pictures 1000] [--of 4264]

Writes copies of a drawn character at the size of the chapter's pictures, 600×848, and
reads them as `oppai train-mosaic` does: into a file from which the crops are cut.
Prints by how much the process's own memory has grown after 40 batches of 8 (RssAnon of
Linux, without the file's pages, which the system drops when it needs room), and how
many crops one core makes in a second. The baseline keeps the pictures in memory at the
three scales at which crops show them, as version 0.1 did; its crops are cut from the
first. The memory of `--of` pictures is extrapolated.
"""

import argparse
import re
import tempfile
import time
from pathlib import Path

from illustkit.images import write_image
from illustkit.samples import draw_character
from oppai.data.batches import LEVELS, CensoredCrops
from oppai.data.crops import resize
from oppai.training import _read_all


def own_memory():
    """Return the process's own memory in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status).group(1)) / 1024


def crops_a_second(batches):
    start = time.process_time()
    for i in range(40):
        batches[i]
    return 320 / (time.process_time() - start)


def report(name, before, n, options, speed):
    each = (own_memory() - before) / n
    whole = each * options.of / 1024
    print(f"| {name} | {each:.2f} MiB | {whole:.2f} GiB | {speed:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--of", type=int, default=4264)
    options = parser.parse_args()
    n, few = options.pictures, min(options.pictures, 200)
    print("| pictures | memory of one | of all | crops a second of one core |")
    print("|-|-|-|-|")
    with tempfile.TemporaryDirectory() as folder:
        write_image(Path(folder, "0.jpg"), draw_character(0, (600, 848)).image)
        paths = {"0.jpg": Path(folder, "0.jpg")}
        for i in range(1, n):
            path = Path(folder, f"{i}.jpg")
            path.write_bytes(paths["0.jpg"].read_bytes())
            paths[path.name] = path
        CensoredCrops([draw_character(0).image], 40, 8)[0]  # what is loaded once
        before = own_memory()
        pictures, _ = _read_all(paths, Path(folder, "cache"), progress=True)
        batches = CensoredCrops(pictures.values(), 40, 8)
        speed = crops_a_second(batches)
        report("in a file, shrunk when they are cut", before, n, options, speed)
        before = own_memory()
        kept = [[], [], []]
        for picture in list(pictures.values())[:few]:
            height, width = picture.shape[:2]
            for scale, shrunk in zip(LEVELS, kept, strict=True):
                size = round(width * scale), round(height * scale)
                shrunk.append(resize(picture, size).copy())
        speed = crops_a_second(CensoredCrops(kept[0], 40, 8))
        report("in memory, three scales", before, few, options, speed)


if __name__ == "__main__":
    main()
