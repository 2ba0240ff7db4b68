"""How long does it take to find look-alikes among up to a million pictures?

Made-up hashes of 64 bits, of which a tenth are copies with four bits turned. Pairs that
differ in six bits or fewer are found by comparing all, those that share one of seven
bands, and as `near_pairs` chooses. Processor time, and memory beside the hashes.
"""

import argparse
import time
import tracemalloc
from unittest.mock import patch

import numpy as np

from facescore.ranking.duplicates import near_pairs

THRESHOLD, LARGEST = 6, {"all": 30_000, "one band": 300_000}


def made_up(n):
    """Return `n` hashes, a tenth of which are near to another."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 1 << 63, n, dtype=np.uint64) * np.uint64(2)
    hashes += rng.integers(0, 2, n, dtype=np.uint64)
    turned = np.zeros(n // 10, np.uint64)
    for _ in range(4):
        turned |= np.uint64(1) << rng.integers(0, 64, len(turned), dtype=np.uint64)
    hashes[-len(turned) :] = hashes[: len(turned)] ^ turned
    return hashes


def compare_all(hashes):
    """Return the near pairs, each hash compared with all that follow."""
    ones = np.array([bin(i).count("1") for i in range(1 << 16)], np.uint8)
    pairs = []
    for i, own in enumerate(hashes[:-1]):
        differ = (hashes[i + 1 :] ^ own).view(np.uint16)
        bits = ones[differ].reshape(-1, 4).sum(axis=-1)
        pairs += [(i, i + 1 + j) for j in np.flatnonzero(bits <= THRESHOLD)]
    return np.array(pairs)


def one_band(hashes):
    """Return the near pairs of those that share one of seven bands."""
    work = "facescore.ranking.duplicates._work"
    with patch(work, lambda n, threshold, shared: shared):
        return near_pairs(hashes, THRESHOLD)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = [10_000, 100_000, 1_000_000]
    parser.add_argument("--numbers", type=int, nargs="+", default=sizes)
    numbers = parser.parse_args().numbers
    ways = {
        "all": compare_all,
        "one band": one_band,
        "near_pairs": lambda hashes: near_pairs(hashes, THRESHOLD),
    }
    print(f"| hashes | pairs | {' | '.join(ways)} | memory of `near_pairs` |")
    print("|-|-|" + "-|" * (len(ways) + 1))
    for n in numbers:
        hashes, cells, found = made_up(n), [], {}
        for name, way in ways.items():
            if n > LARGEST.get(name, n):
                cells.append("–")
                continue
            start = time.process_time()
            found[name] = way(hashes)
            cells.append(f"{time.process_time() - start:.2f} s")
        for name, pairs in found.items():
            np.testing.assert_array_equal(pairs, found["near_pairs"], err_msg=name)
        tracemalloc.start()
        near_pairs(hashes, THRESHOLD)
        memory = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        n_pairs = len(found["near_pairs"])
        print(f"| {n:,} | {n_pairs:,} | {' | '.join(cells)} | {memory:.0f} MiB |")


if __name__ == "__main__":
    main()
