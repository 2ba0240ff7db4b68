"""How long does the page take to its first result, beside `oppai restore`?

python benchmarks/page_speed.py

Prints seconds by the clock and processor time in a process of its own each: starting
the server with what it loads meanwhile, then opening, searching and predicting a drawn
picture of 600×848 pixels with a mosaic; and the command that restores the same file.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from illustkit.images import write_image
from illustkit.samples import draw_character
from oppai.censoring.censor import add_mosaic

PAGE = "--page"  # the option with which the script measures the page


def now():
    """Return the clock's and the processor's seconds of this process."""
    return np.array([time.perf_counter(), time.process_time()])


def measure_page(path):
    """Print the seconds until the server is up and warm, and until a result."""
    started = now()
    from oppai.pages.opened import encode_png
    from oppai.pages.serve import RestoreApp

    app = RestoreApp()
    app.warm_up()
    up = now()
    key = app.take(Path(path).read_bytes(), {"name": "a.png"})["id"]
    app.view(key)
    app.find(b"", {"id": key})
    labels = cv2.imdecode(np.frombuffer(app.found(key).data, np.uint8), 0)
    app.predict(encode_png(np.where(labels > 0, 255, 0).astype(np.uint8)), {"id": key})
    print(*(up - started), *(now() - up))
    app.close()


def measure_command(path):
    """Return the seconds of `oppai restore` in a process of its own."""
    import resource

    def spent():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = np.array([time.perf_counter(), spent()])
    command = [sys.executable, "-m", "oppai", "restore", path, "--overwrite"]
    subprocess.run(command, check=True, capture_output=True)
    return np.array([time.perf_counter(), spent()]) - before


def main():
    """Measure in turns, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(PAGE, metavar="FILE", help="measure the page alone")
    options = parser.parse_args()
    if options.page:
        measure_page(options.page)
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "a.png")
        picture = draw_character(3, (600, 848)).image
        box = 220, 300, 340, 420
        write_image(path, add_mosaic(picture, box, block=12).image)
        for _ in range(options.rounds):
            own = [sys.executable, __file__, PAGE, path]
            done = subprocess.run(own, check=True, capture_output=True, text=True)
            rows.append([*map(float, done.stdout.split()), *measure_command(path)])
    up, first, command = np.median(rows, axis=0).reshape(3, 2)
    print("                    clock  processor")
    for name, (clock, spent) in (
        ("server up and warm", up),
        ("first result", first),
        ("oppai restore", command),
    ):
        print(f"{name:18}  {clock:5.2f}  {spent:5.2f} s")
    print(f"first result: {first[0] / command[0]:.2f} of the command's by the clock")


if __name__ == "__main__":
    main()
