"""Ridge regression in closed form, with the errors of leaving each row out."""

from typing import Any

import numpy as np

STRENGTHS = 10.0 ** np.arange(-4, 4)


def standardised(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale features so that a row has a mean squared length of 1, about their mean.

    Args:
        features: `(n, features)`. One that is the same in all rows becomes zero.

    Returns:
        `(rows, centre, scale)`: `rows` is `(features - centre) * scale`.
    """
    centre, spread = features.mean(axis=0), features.std(axis=0)
    # A feature that is the same everywhere says nothing.
    scale = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0.0)
    scale = scale / features.shape[1] ** 0.5
    return (features - centre) * scale, centre, scale


def leave_one_out(
    kernel: np.ndarray, targets: np.ndarray, strengths: Any = STRENGTHS
) -> tuple[float, np.ndarray, np.ndarray]:
    """Choose a ridge regression's strength by the errors of leaving each row out.

    With the kernel matrix `K = A Aᵀ` and `G = (K + λ I)⁻¹`, the error of target `i`,
    when row `i` is left out, is `(G y)_i / G_ii`: no row is solved for twice.

    Args:
        kernel: `(n, n)`, the rows' products.
        targets: `(n,)`, with a mean of zero.
        strengths: The λ to choose from.

    Returns:
        `(strength, solved, errors)`: the λ of the least mean squared error, `G y`, and
        the errors, target minus prediction.

    Reference:
        Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning",
        sections 3.4.1 and 7.10.
    """
    spectrum, vectors = np.linalg.eigh(kernel)
    turned = vectors.T @ targets
    solutions: list[tuple[float, float, np.ndarray, np.ndarray]] = []
    for strength in strengths:
        inverse = 1 / (np.maximum(spectrum, 0) + strength)
        solved = vectors @ (inverse * turned)
        errors = solved / (vectors**2 @ inverse)
        solutions.append((float(np.mean(errors**2)), float(strength), solved, errors))
    return min(solutions, key=lambda solution: solution[0])[1:]


def ridge(
    features: np.ndarray,
    targets: np.ndarray,
    strengths: Any = STRENGTHS,
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, float, float]:
    """Solve a ridge regression; its strength has the least error on what is left out.

    Features are standardised, and divided by the root of their number.

    Example:
    ```python
    kernel, bias, strength = ridge(np.random.rand(50, 400), np.random.rand(50))
    ```

    Args:
        features: `(n, features)`.
        targets: `(n,)`.
        strengths: The λ to choose from.
        weights: How much each row's squared error counts, `(n,)`, positive. Defaults
            to 1 each.

    Returns:
        `(kernel, bias, strength)`: `features @ kernel + bias` predicts.
    """
    features = np.asarray(features, np.float64)
    rows, centre, scale = standardised(features)
    targets = np.asarray(targets, np.float64)
    weights = np.ones(len(rows)) if weights is None else np.asarray(weights, np.float64)
    # Rows about their weighted mean, then scaled: the bias is solved for, too.
    middle = np.average(rows, axis=0, weights=weights)
    mean = float(np.average(targets, weights=weights))
    roots = np.sqrt(weights)
    scaled = (rows - middle) * roots[:, None]
    strength, solved, _ = leave_one_out(
        scaled @ scaled.T, (targets - mean) * roots, strengths
    )
    kernel = (scaled.T @ solved) * scale
    return (
        kernel,
        mean - float((centre * scale + middle) @ (scaled.T @ solved)),
        strength,
    )
