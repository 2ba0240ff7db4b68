"""How long does the distance part of FID take, and KID beside it?

    python benchmarks/fid_speed.py [--training 158] [--generated 1024] [--features 2048]

Features are drawn as InceptionV3's are: not negative, and correlated. The baseline is
the root of the covariances' product by `scipy.linalg.sqrtm`, as pytorch-fid takes it,
where SciPy is at hand; it is timed once, the others as the best of five rounds, in
turn.
"""

import argparse
import os
import platform
import time

import numpy as np

from diffusion.metrics import fid, kid

WANTED = 0.2  # seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--training", type=int, default=158)
    parser.add_argument("--generated", type=int, default=1024)
    parser.add_argument("--features", type=int, default=2048)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(256, options.features)) / 16
    generated, training = (
        np.maximum(rng.normal(size=(n, 256)) @ mix + shift, 0).astype(np.float32)
        for n, shift in ((options.generated, 0.05), (options.training, 0.0))
    )
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    print(f"{len(generated)} and {len(training)} pictures, {options.features} features")
    rounds = {"ours": [], "kid": []}
    for _ in range(5):
        value, seconds = timed(fid, generated, training)
        rounds["ours"].append(seconds)
        rounds["kid"].append(timed(kid, generated, training)[1])
    ours = min(rounds["ours"])
    verdict = "ok" if ours < WANTED else "too slow"
    print(f"  fid, singular values {ours:8.3f} s   FID {value:.9f}")
    print(f"  wanted: under {WANTED} s: {verdict}")
    print(f"  kid, 100 halves      {min(rounds['kid']):8.3f} s")
    try:
        from scipy.linalg import sqrtm
    except ImportError:
        print("  scipy is not installed: no baseline")
        return
    theirs, seconds = timed(root_of_matrix, generated, training, sqrtm)
    print(f"  fid, sqrtm           {seconds:8.3f} s   FID {theirs:.9f}")
    gap = abs(theirs - value) / theirs
    print(f"  {seconds / ours:.0f} x as fast; relative difference {gap:.1e}")


def root_of_matrix(a, b, sqrtm):
    """The textbook's way, in float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    gap = a.mean(axis=0) - b.mean(axis=0)
    root = np.trace(sqrtm(one @ two)).real
    return float(gap @ gap + np.trace(one) + np.trace(two) - 2 * root)


def timed(function, *arguments):
    start = time.perf_counter()
    value = function(*arguments)
    return value, time.perf_counter() - start


if __name__ == "__main__":
    main()
