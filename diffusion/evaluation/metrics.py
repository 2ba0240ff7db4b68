"""FID, KID, MAE and the preprint's NWI, in NumPy's float64.

FID and KID compare features `(n, dimensions)`, which `diffusion.evaluation.features` takes from
pictures; MAE compares the pictures themselves, on the uint8 scale.
"""

from typing import NamedTuple

import numpy as np

DEFINITIONS = ("nearest", "all", "mean picture")
CHANNELS = ("sum", "mean")


def mae(generated, training, *, definition="nearest", channels="sum"):
    """How far generated pictures are from the training pictures, pixel by pixel.

    The preprint leaves its MAE undefined. What it implies is MAE = NWI + FID: 61.3 for
    an illustrator's later icons against the early ones, 131.8 and 93.6 for two games,
    187 and 197 for a game against the icons; 91 for DCGAN, 32.3 for StyleGAN2, 24.3 for
    the diffusion model, 56.8 for the preprint's own.

    - The mean over all pairs cannot give 24.3: pictures near to some training pictures
      are as far from the others as these are from each other, about 60.
      And the preprint speaks of the training picture with the lowest MAE. So the
      default is the mean over generated pictures of the distance to the *nearest*.
    - As a mean over channels 187 is implausible on a scale of 255, even more so for
      the nearest. As the *sum* over red, green and blue every figure is plausible:
      62 a channel between two domains, 8 for a model that nearly copies, and 20 for
      the later icons as for the preprint's own, 19. So the default is the sum.

    Subtraction in uint8, which wraps around at 0, would fit as well; it would be a
    mistake and is not offered.

    Example:
    ```python
    mae(generated, training)                    # sum of RGB, to the nearest
    mae(generated, training, channels="mean")   # a third of it
    ```

    Args:
        generated: uint8 `(n, height, width, channels)`.
        training: uint8 `(m, height, width, channels)`, of the same size.
        definition: "nearest", the mean over generated pictures of the distance to the
            nearest training picture; "all", the mean over all pairs; "mean picture",
            the distance between the two sets' mean pictures. Defaults to "nearest".
        channels: "sum" or "mean" over a pixel's channels. Defaults to "sum".

    Returns:
        float, on the uint8 scale.

    Raises:
        ValueError: for another definition, or pictures that do not fit.

    Reference:
        The preprint, §5.1, tables 1 and 2.
    """
    if definition not in DEFINITIONS or channels not in CHANNELS:
        raise ValueError(
            f"The MAE is one of {DEFINITIONS}, channels one of {CHANNELS}. "
            f"Received: definition={definition!r}, channels={channels!r}"
        )
    check_sets(generated, training)
    factor = generated.shape[-1] if channels == "sum" else 1
    if definition == "mean picture":
        means = [np.mean(x, axis=0, dtype=np.float64) for x in (generated, training)]
        return float(factor * np.abs(means[0] - means[1]).mean())
    distances = absolute_errors(generated, training)
    if definition == "nearest":
        distances = distances.min(axis=1)
    return float(factor * distances.mean())


def absolute_errors(a, b):
    """Mean absolute difference of every pair of pictures, over pixels and channels.

    Args:
        a: uint8 `(n, ...)`.
        b: uint8 `(m, ...)`, of the same shape but the first.

    Returns:
        float64 `(n, m)`.
    """
    a, b = (np.reshape(x, (len(x), -1)) for x in (a, b))
    sums = [x.sum(axis=1, dtype=np.int64) for x in (a, b)]
    out = np.empty((len(a), len(b)))
    # |x - y| = 2 max(x, y) - x - y: two passes over uint8.
    for row, picture in enumerate(a):
        greater = np.maximum(picture, b).sum(axis=1, dtype=np.int64)
        out[row] = 2 * greater - sums[0][row] - sums[1]
    return out / a.shape[1]


def check_sets(generated, training):
    """Raise `ValueError` unless both are uint8 pictures of one size."""
    for name, x in (("generated", generated), ("training", training)):
        if not isinstance(x, np.ndarray) or x.dtype != np.uint8 or x.ndim != 4:
            got = f"{x.dtype} {x.shape}" if isinstance(x, np.ndarray) else type(x)
            raise ValueError(
                f"{name} pictures are uint8 (n, height, width, channels). "
                f"Received: {got}"
            )
        if not x.size:
            raise ValueError(f"There is no {name} picture. Received: {x.shape}")
    if generated.shape[1:] != training.shape[1:]:
        raise ValueError(
            "Generated and training pictures are compared at one size. "
            f"Received: {generated.shape[1:]} and {training.shape[1:]}"
        )


_BLOCK = 2048  # rows of a kernel matrix in memory at once


class Kid(NamedTuple):
    """A kernel distance and its 95 % interval."""

    value: float
    low: float
    high: float


def fid(a, b):
    """Fréchet distance between two sets of features, each taken for a Gaussian.

        FID = |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½)

    The last trace is the sum of the singular values of A Bᵀ / √((n₁−1)(n₂−1)), A and B
    being the features less their means. That is exact, needs no root of a
    2048×2048 matrix, and holds for any number of pictures: pytorch-fid's root loses
    digits, or fails, where n < 2048 leaves the covariances singular.

    FID falls with n: compare figures of like n alone.

    Example:
    ```python
    fid(inception.features(generated), inception.features(training))
    ```

    Args:
        a: `(n₁, dimensions)`, n₁ of 2 or more.
        b: `(n₂, dimensions)`.

    Returns:
        float, 0 or more.

    Raises:
        ValueError: where the shapes do not fit, or a value is not finite.

    Reference:
        Heusel et al. (2017), equation 6; pytorch-fid, for covariances over n − 1.
    """
    a, b = _features(a, b)
    gap = a.mean(axis=0) - b.mean(axis=0)
    a, b = _root_of_covariance(a), _root_of_covariance(b)
    overlap = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return max(0.0, float(gap @ gap + (a**2).sum() + (b**2).sum() - 2 * overlap))


def _root_of_covariance(x):
    """R of at most as many rows as columns with RᵀR = Σ."""
    x = (x - x.mean(axis=0)) / np.sqrt(len(x) - 1)
    return x if len(x) <= x.shape[1] else np.linalg.qr(x, mode="r")


def kid(a, b, *, subsets=100, subset_size=None, degree=3, gamma=None, coef=1.0, seed=0):
    """Kernel distance: squared maximum mean discrepancy with a polynomial kernel.

        k(x, y) = (γ xᵀy + coef)^degree

    The estimate over all pairs has no bias, so that unlike FID it does not change
    with n, and may fall under 0. The interval comes from the estimate on random halves
    of both sets: the spread of halves is the standard error of the whole (the
    delete-half jackknife).

    Example:
    ```python
    value, low, high = kid(generated_features, training_features)
    ```

    Args:
        a: `(n₁, dimensions)`, n₁ of 4 or more.
        b: `(n₂, dimensions)`.
        subsets: Number of random subsets. Defaults to 100.
        subset_size: Pictures of each set in a subset. Defaults to half of each set.
        degree: Of the polynomial. Defaults to 3.
        gamma: Factor γ. Defaults to 1 / dimensions.
        coef: Defaults to 1.
        seed: Of the subsets. Defaults to 0.

    Returns:
        `Kid`: value, low, high.

    Raises:
        ValueError: where the shapes do not fit, a value is not finite, or a subset is
            larger than a set.

    Reference:
        Bińkowski et al., "Demystifying MMD GANs" (2018), section 4; Gretton et al.
        (2012), lemma 6; Shao and Wu (1989), for the jackknife.
    """
    a, b = _features(a, b)
    sizes = [subset_size or len(x) // 2 for x in (a, b)]
    if any(not 2 <= size <= len(x) for size, x in zip(sizes, (a, b), strict=True)):
        raise ValueError(
            "KID takes subsets of 2 pictures or more, from sets as large. Received: "
            f"{len(a)} and {len(b)} pictures, subset_size={subset_size}"
        )
    rng = np.random.default_rng(seed)
    chosen = [
        _choices(len(x), n, subsets, rng) for x, n in zip((a, b), sizes, strict=True)
    ]
    gamma = 1 / a.shape[1] if gamma is None else gamma
    within = [
        _mean_kernel(x, x, s, s, (gamma, coef, degree))
        for x, s in zip((a, b), chosen, strict=True)
    ]
    between = _mean_kernel(a, b, *chosen, (gamma, coef, degree))
    value, *halves = within[0] + within[1] - 2 * between
    # About the value, because halves stray a little from it.
    spread = np.percentile(np.asarray(halves) - np.mean(halves), [2.5, 97.5])
    return Kid(float(value), *(float(value + s) for s in spread))


def _choices(n, size, subsets, rng):
    """Which pictures are in a subset, `(1 + subsets, n)` of 0 and 1; first all."""
    chosen = np.zeros((1 + subsets, n))
    chosen[0] = 1
    for row in chosen[1:]:
        row[rng.choice(n, size, replace=False)] = 1
    return chosen


def _mean_kernel(x, y, in_x, in_y, kernel):
    """Mean of k over the pairs of each subset; over different ones where x is y."""
    gamma, coef, degree = kernel
    total = np.zeros(len(in_x))
    for start in range(0, len(x), _BLOCK):
        rows = slice(start, start + _BLOCK)
        k = (gamma * (x[rows] @ y.T) + coef) ** degree
        total += ((in_x[:, rows] @ k) * in_y).sum(axis=1)
    if x is not y:
        return total / (in_x.sum(axis=1) * in_y.sum(axis=1))
    itself = (gamma * (x**2).sum(axis=1) + coef) ** degree
    n = in_x.sum(axis=1)
    return (total - in_x @ itself) / (n * (n - 1))


def new_work_index(mae, fid):
    """The preprint's New Work Index: like in style, unlike pixel by pixel.

        NWI = MAE − FID

    The two have no common unit, and either depends on n and on its definition (see
    `mae`): compare figures that were made alike.

    Args:
        mae: float, of `mae`.
        fid: float, of `fid` on InceptionV3's features.

    Returns:
        float.

    Reference:
        The preprint, equation 1.
    """
    return mae - fid


def _features(a, b):
    a, b = (np.asarray(x, np.float64) for x in (a, b))
    if (
        a.ndim != 2
        or b.ndim != 2
        or a.shape[1] != b.shape[1]
        or min(len(a), len(b)) < 2
    ):
        raise ValueError(
            "Features are (n, dimensions), of two pictures or more a set. "
            f"Received: {a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("Features are finite numbers. Received: some nan or infinite")
    return a, b
