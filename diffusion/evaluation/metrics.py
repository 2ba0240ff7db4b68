"""FID, KID, MAE and the preprint's NWI, in NumPy's float64.

FID and KID compare features `(n, dimensions)` of pictures, which
`diffusion.evaluation.features` extracts; MAE compares the pictures themselves, on the
uint8 scale.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np

from diffusion.evaluation.features import load_extractor
from diffusion.evaluation.statistics import FeatureStatistics, read_statistics
from illustkit.errors import UserError
from illustkit.options import check_choice, check_number

DEFINITIONS = ("nearest", "all", "mean picture")
CHANNELS = ("sum", "mean")
_BLOCK = 2048  # rows of a kernel matrix in memory at once


def mae(
    generated: np.ndarray,
    training: np.ndarray,
    *,
    definition: str = "nearest",
    channels: str = "sum",
) -> float:
    """Compute the mean absolute error between generated and training pictures.

    The preprint does not define its MAE. Its tables imply MAE = NWI + FID: 61.3 for an
    illustrator's later icons against the early ones, 131.8 and 93.6 for two games, 187
    and 197 for a game against the icons; 91 for DCGAN, 32.3 for StyleGAN2, 24.3 for the
    diffusion model, 56.8 for the preprint's own model.

    - The mean over all pairs cannot be 24.3: pictures near to some training pictures
      are as far from the others as these are from each other, about 60. The preprint
      also mentions the training picture with the lowest MAE. So the default is the mean
      over generated pictures of the distance to the *nearest* training picture.
    - As a mean over channels, 187 is implausible on a scale of 255. As the *sum* over
      red, green and blue every figure is plausible: 62 per channel between two domains,
      8 for a model that nearly copies, 20 for the later icons and 19 for the preprint's
      own model. So the default is the sum.

    Subtraction in uint8, which wraps around at 0, would fit the figures too; it would
    be a mistake and is not offered.

    Example:
    ```python
    mae(generated, training)                    # sum of RGB, to the nearest
    mae(generated, training, channels="mean")   # a third of it
    ```

    Args:
        generated: uint8 `(n, height, width, channels)`.
        training: uint8 `(m, height, width, channels)` of the same size.
        definition: "nearest", the mean over generated pictures of the distance to the
            nearest training picture; "all", the mean over all pairs; "mean picture",
            the distance between the two sets' mean pictures. Defaults to "nearest".
        channels: "sum" or "mean" over a pixel's channels. Defaults to "sum".

    Returns:
        float, on the uint8 scale.

    Raises:
        ValueError: If `definition` or `channels` is invalid, or pictures do not fit.

    Reference:
        The preprint, §5.1, tables 1 and 2.
    """
    check_mae(definition, channels)
    check_sets(generated, training)
    factor = generated.shape[-1] if channels == "sum" else 1
    if definition == "mean picture":
        means = [np.mean(x, axis=0, dtype=np.float64) for x in (generated, training)]
        return float(factor * np.abs(means[0] - means[1]).mean())
    distances = absolute_errors(generated, training)
    if definition == "nearest":
        distances = distances.min(axis=1)
    return float(factor * distances.mean())


def check_mae(definition: str, channels: str) -> None:
    """Raise a `UserError` unless `mae` knows the definition and the channels."""
    check_choice("definition", definition, DEFINITIONS)
    check_choice("channels", channels, CHANNELS)


def absolute_errors(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Compute the mean absolute difference of every pair of pictures.

    The mean runs over pixels and channels.

    Args:
        a: uint8 `(n, ...)`.
        b: uint8 `(m, ...)`, of the same shape but for the first axis.

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


def check_sets(generated: Any, training: Any) -> None:
    """Raise a `ValueError` unless both are uint8 pictures of one size."""
    for name, x in (("generated", generated), ("training", training)):
        if not isinstance(x, np.ndarray) or x.dtype != np.uint8 or x.ndim != 4:
            got = f"{x.dtype} {x.shape}" if isinstance(x, np.ndarray) else type(x)
            raise UserError(
                f"{name} pictures are uint8 (n, height, width, channels). "
                f"Received: {got}"
            )
        if not x.size:
            raise UserError(f"There is no {name} picture. Received: {x.shape}")
    if generated.shape[1:] != training.shape[1:]:
        raise UserError(
            "Generated and training pictures are compared at one size. "
            f"Received: {generated.shape[1:]} and {training.shape[1:]}"
        )


class Kid(NamedTuple):
    """Holds a kernel distance and its 95 % interval."""

    value: float
    low: float
    high: float


class KidOfSubsets(NamedTuple):
    """Holds the mean and the standard deviation of the kernel distance of subsets."""

    mean: float
    std: float


def fid(
    a: Any,
    b: Any,
    *,
    features: Any = "inception",
    resizing: str = "pytorch-fid",
    engine: str = "auto",
    workers: int | None = None,
    progress: bool = True,
) -> float:
    """Compute the Fréchet distance of two sets of features, modelled as Gaussians.

        FID = |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½)

    The last trace is the sum of the singular values of A Bᵀ / √((n₁−1)(n₂−1)), where A
    and B are the features minus their means. This is exact, needs no square root of a
    2048×2048 matrix, and works for any number of pictures: pytorch-fid's root loses
    digits, or fails, if n < 2048 makes the covariances singular.

    FID falls with n: compare only figures of the same n.

    Example:
    ```python
    fid(inception.features(generated), inception.features(training))
    fid("new", "icons", features="pixels")
    ```

    Args:
        a: Features `(n₁, dimensions)`, n₁ of 2 or more. Or pictures: a folder, whose
            mean and covariance are gathered batch by batch and stored for the next
            time, or uint8 `(n₁, height, width, 3)`. Or `FeatureStatistics`, or the
            `.npz` in which pytorch-fid stored them.
        b: Like `a`.
        features: See `diffusion.evaluation.features.load_extractor`; for pictures.
            Quote it with the figure. Defaults to "inception".
        resizing: How pictures become InceptionV3's: "pytorch-fid", "clean-fid" or
            "torch-fidelity". Defaults to "pytorch-fid".
        engine: "auto", or "ray" for folders of more pictures than one process takes;
            see `diffusion.evaluation.statistics.read_statistics`. Defaults to "auto".
        workers: Number of processes of `engine` "ray". Defaults to one for each core.
        progress: Whether to show progress bars. Defaults to `True`.

    Returns:
        float, 0 or more.

    Raises:
        WeightsError: If InceptionV3's weights are asked for and not available.
        ValueError: If the shapes do not fit, or a value is not finite.

    Reference:
        Heusel et al. (2017), equation 6; pytorch-fid, for covariances over n − 1.
    """
    options = {"engine": engine, "workers": workers, "progress": progress}
    sets = [_gathered(x, features, resizing, **options) for x in (a, b)]
    arrays = [x for x in sets if not isinstance(x, FeatureStatistics)]
    if arrays:
        _features(arrays[0], arrays[-1])  # raises
    means, roots = zip(*map(_moments, sets), strict=True)
    if means[0].shape != means[1].shape:
        raise UserError(
            "Features are compared with features of the same network. Received: "
            f"{len(means[0])} and {len(means[1])} dimensions"
        )
    gap = means[0] - means[1]
    a, b = roots
    overlap = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return max(0.0, float(gap @ gap + (a**2).sum() + (b**2).sum() - 2 * overlap))


def _gathered(x, features, resizing, **options):
    """Return features as they are, and statistics of whatever is none."""
    if isinstance(x, FeatureStatistics):
        return x
    if not isinstance(x, str | os.PathLike) and np.ndim(x) != 4:
        return x
    if _is_stored(x):
        return FeatureStatistics.load(x)
    extractor = load_extractor(features, resizing=resizing)
    return read_statistics(x, extractor, **options)


def _is_stored(x):
    return not isinstance(x, np.ndarray) and os.fspath(x).endswith(".npz")


def _moments(x):
    """Return the mean, and R with RᵀR = Σ and at most as many rows as columns."""
    if isinstance(x, FeatureStatistics):
        return x.mean, x.root
    x = np.asarray(x, np.float64)
    mean = x.mean(axis=0)
    root = (x - mean) / np.sqrt(len(x) - 1)
    return mean, root if len(x) <= x.shape[1] else np.linalg.qr(root, mode="r")


def kid(
    a: np.ndarray,
    b: np.ndarray,
    *,
    subsets: int = 100,
    subset_size: int | None = None,
    degree: int = 3,
    gamma: float | None = None,
    coef: float = 1.0,
    seed: int = 0,
) -> Kid:
    """Compute the squared maximum mean discrepancy with a polynomial kernel.

        k(x, y) = (γ xᵀy + coef)^degree

    The estimate over all pairs is unbiased: unlike FID it does not change with n, and
    it may be negative. The interval is the spread of the estimate on random halves of
    both sets, which is the standard error of the whole (the delete-half jackknife). It
    contains the truth in 92 % of cases, and of two sets alike always, being too wide.

    Example:
    ```python
    value, low, high = kid(generated_features, training_features)
    ```

    Args:
        a: `(n₁, dimensions)`, n₁ of 4 or more.
        b: `(n₂, dimensions)`.
        subsets: Number of random subsets. Defaults to 100.
        subset_size: Pictures of each set in a subset. Defaults to half of each set.
        degree: Degree of the polynomial. Defaults to 3.
        gamma: Factor γ. Defaults to 1 / dimensions.
        coef: Constant of the polynomial. Defaults to 1.
        seed: Seed of the subsets. Defaults to 0.

    Returns:
        `Kid`: value, low, high.

    Raises:
        ValueError: If the shapes do not fit, a value is not finite, or a subset is
            larger than a set.

    Reference:
        Bińkowski et al., "Demystifying MMD GANs" (2018), section 4; Gretton et al.
        (2012), lemma 6; Shao and Wu (1989), for the jackknife.
    """
    a, b = _features(a, b)
    sizes = [subset_size or len(x) // 2 for x in (a, b)]
    if any(not 2 <= size <= len(x) for size, x in zip(sizes, (a, b), strict=True)):
        raise UserError(
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
    between = _mean_kernel(a, b, chosen[0], chosen[1], (gamma, coef, degree))
    value, *halves = within[0] + within[1] - 2 * between
    # Centred on the value, because the mean of halves differs a little from it.
    spread = np.percentile(np.asarray(halves) - np.mean(halves), [2.5, 97.5])
    return Kid(float(value), *(float(value + s) for s in spread))


def kid_of_subsets(
    a: np.ndarray,
    b: np.ndarray,
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    degree: int = 3,
    gamma: float | None = None,
    coef: float = 1.0,
    seed: int = 2020,
) -> KidOfSubsets:
    """Compute KID as torch-fidelity and most papers do: over random subsets.

    `kid` uses all pairs: its value depends on no draw, and its interval is that of the
    whole sets. Here the deviation is that of a subset: it falls with `subset_size`, and
    not with the numbers of pictures.

    Example:
    ```python
    mean, std = kid_of_subsets(generated_features, training_features, subset_size=100)
    ```

    Args:
        a: `(n₁, dimensions)`.
        b: `(n₂, dimensions)`.
        subsets: Number of subsets. Defaults to 100.
        subset_size: Pictures of each set in a subset. Defaults to 1000.
        degree: See `kid`. Defaults to 3.
        gamma: See `kid`. Defaults to 1 / dimensions.
        coef: See `kid`. Defaults to 1.
        seed: Seed of the subsets. Defaults to 2020, torch-fidelity's.

    Returns:
        `KidOfSubsets`: mean, and standard deviation over the subsets.

    Raises:
        ValueError: If the shapes do not fit, a value is not finite, or a subset is
            larger than a set.

    Reference:
        Bińkowski et al., "Demystifying MMD GANs" (2018), section 4; torch-fidelity,
        `metric_kid.py`.
    """
    a, b = _features(a, b)
    check_number("subsets", subsets, whole=True, least=1)
    if not 2 <= subset_size <= min(len(a), len(b)):
        raise UserError(
            "KID takes subsets of 2 pictures or more, from sets as large: give a "
            f"smaller `subset_size`. Received: {len(a)} and {len(b)} pictures, "
            f"subset_size={subset_size}"
        )
    kernel = 1 / a.shape[1] if gamma is None else gamma, coef, degree
    rng = np.random.RandomState(seed)  # NumPy's older generator, as there
    all_of = np.ones((1, subset_size))
    values = []
    for _ in range(subsets):
        x, y = (s[rng.choice(len(s), subset_size, replace=False)] for s in (a, b))
        values.append(
            _mean_kernel(x, x, all_of, all_of, kernel)
            + _mean_kernel(y, y, all_of, all_of, kernel)
            - 2 * _mean_kernel(x, y, all_of, all_of, kernel)
        )
    return KidOfSubsets(float(np.mean(values)), float(np.std(values)))


def _choices(n, size, subsets, rng):
    """Draw subsets as rows of 0 and 1, `(1 + subsets, n)`; the first row is all 1."""
    chosen = np.zeros((1 + subsets, n))
    chosen[0] = 1
    for row in chosen[1:]:
        row[rng.choice(n, size, replace=False)] = 1
    return chosen


def _mean_kernel(x, y, in_x, in_y, kernel):
    """Average k over the pairs of each subset, without a picture's pair with itself."""
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


def new_work_index(mae: float, fid: float) -> float:
    """Compute the preprint's New Work Index: high for new pictures of the same style.

        NWI = MAE − FID

    The two have no common unit, and both depend on n and on their definitions (see
    `mae`): compare only figures that were computed alike.

    Args:
        mae: Result of `mae`.
        fid: Result of `fid` on InceptionV3's features.

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
        raise UserError(
            "Features are (n, dimensions), of two or more pictures in each set. "
            f"Received: {a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise UserError("Features are finite numbers. Received: some nan or infinite")
    return a, b
