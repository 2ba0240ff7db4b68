"""What does a ranking by Ray's processes cost and gain beside one process?

    pip install "illustkit[ray]"
    python benchmarks/cluster_speed.py

Drawn characters (PNG, 1000x1414) are ranked with the detector of the package and a
small scorer, by `rank_folder` in one process, and by processes of Ray on this machine.
Both are timed from the call to the table, by the clock.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from facescore.export import export_scorer
from facescore.ranking.rank import rank_folder
from facescore.scorer.model import NETWORKS, Scorer
from illustkit.images import write_image
from illustkit.samples import draw_character

SIZE, DISTINCT = (1000, 1414), 24


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=240, help="pictures")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for i in range(min(DISTINCT, options.n)):
            write_image(place / "in" / f"{i}.png", draw_character(i, SIZE).image)
        for i in range(DISTINCT, options.n):  # the same pixels, another file
            picture = place / "in" / f"{i}.png"
            picture.write_bytes((place / "in" / f"{i % DISTINCT}.png").read_bytes())
        scorer = place / "scorer.onnx"
        export_scorer(Scorer(NETWORKS["small"]((96, 96))), scorer)
        bytes_each = sum(p.stat().st_size for p in (place / "in").iterdir())
        print(f"{options.n} pictures of {bytes_each / options.n / 1e6:.2f} MB each")
        print("| | seconds | pictures a second |\n|-|-|-|")
        ways = {"one process": {}}
        ways |= {f"Ray, {n}": {"engine": "ray", "workers": n} for n in options.workers}
        tables = set()
        for name, way in ways.items():
            output = place / name.replace(", ", "-")
            start = time.perf_counter()
            rank_folder(
                place / "in", scorer=scorer, output=output, progress=False, **way
            )
            seconds = time.perf_counter() - start
            tables.add((output / "ranking.csv").read_bytes())
            print(f"| {name} | {seconds:.1f} | {options.n / seconds:.1f} |", flush=True)
        print("the same table" if len(tables) == 1 else "tables differ")


if __name__ == "__main__":
    main()
