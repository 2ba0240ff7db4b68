"""How long does the distance of FID take, by singular values and by a matrix root?

    python benchmarks/fid_speed.py [--n 158] [--m 1024] [--d 2048]

The baseline is pytorch-fid's formula with `scipy.linalg.sqrtm`.
"""

import argparse
import time

import numpy as np


def by_root(a, b):
    """Compute FID by the square root of the product of the covariances."""
    from scipy.linalg import sqrtm

    covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(covariances[0] @ covariances[1])
    return float(
        np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
        + np.trace(sum(covariances) - 2 * root.real)
    )


def main():
    """Print the time and the distance of both ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=158, help="pictures of the first set")
    parser.add_argument("--m", type=int, default=1024, help="of the second set")
    parser.add_argument("--d", type=int, default=2048, help="features of a picture")
    options = parser.parse_args()
    from diffusion.evaluation.metrics import fid

    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(options.d, options.d)).astype("float32") / options.d**0.5
    a = rng.normal(size=(options.n, options.d)).astype("float32") @ mixing
    b = rng.normal(0.1, size=(options.m, options.d)).astype("float32") @ mixing
    times = []
    for _ in range(5):
        start = time.perf_counter()
        ours = fid(a, b)
        times.append(time.perf_counter() - start)
    print(f"singular values: {sorted(times)[2]:.3f} s  FID {ours:.6f}")
    start = time.perf_counter()
    theirs = by_root(a, b)
    seconds = time.perf_counter() - start
    print(f"sqrtm:           {seconds:.3f} s  FID {theirs:.6f}")


if __name__ == "__main__":
    main()
