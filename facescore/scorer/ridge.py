"""Ridge regression in closed form, with the errors of leaving each row out."""

from typing import Any

import numpy as np

STRENGTHS = 10.0 ** np.arange(-4, 4)


def standardised(
    features: np.ndarray, blocks: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale features so that a row has a mean squared length of 1, about their mean.

    Args:
        features: `(n, features)`. One that is the same in all rows becomes zero.
        blocks: Each feature's block, whole numbers from 0, `(features,)`: every block
            has the same part of the length, however many features it has. Defaults to
            one block.

    Returns:
        `(rows, centre, scale)`: `rows` is `(features - centre) * scale`.
    """
    centre, spread = features.mean(axis=0), features.std(axis=0)
    # A feature that is the same everywhere says nothing.
    scale = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0.0)
    if blocks is None:
        blocks = np.zeros(features.shape[1], int)
    widths = np.bincount(blocks)
    scale = scale / (widths[blocks] * len(widths)) ** 0.5
    return (features - centre) * scale, centre, scale


def leave_one_out(
    kernel: np.ndarray,
    targets: np.ndarray,
    strengths: Any = STRENGTHS,
    *,
    groups: np.ndarray | None = None,
    constant: np.ndarray | None = None,
) -> tuple[float, np.ndarray, np.ndarray]:
    """Choose a ridge regression's strength by the errors of leaving each row out.

    With the kernel matrix `K = A Aᵀ` and `G = (K + λ I)⁻¹`, the errors of the targets
    of a group of rows `b`, when it is left out, are `(G_bb)⁻¹ (G y)_b`: no row is
    solved for twice.

    Rows that were centred on their mean tell the row that is left out: it is minus the
    sum of the others, and its target, too. λ = 0 would seem best. `constant` is the
    direction `u` that centring took out; `G − u uᵀ / λ` has a bias that is solved for
    without the group.

    Args:
        kernel: `(n, n)`, the rows' products.
        targets: `(n,)`, with a mean of zero.
        strengths: The λ to choose from.
        groups: Numbers of the rows that are left out together, `(n / k, k)`, such as a
            picture and its mirror image. Defaults to each row by itself.
        constant: Vector of length 1, `(n,)`, with `kernel @ constant = 0`. Defaults to
            none: there is no bias.

    Returns:
        `(strength, solved, errors)`: the λ of the least mean squared error, `G y`, and
        the errors, target minus prediction.

    Reference:
        Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning",
        sections 3.4.1 and 7.10; Cawley and Talbot, "Fast exact leave-one-out
        cross-validation of sparse least-squares support vector machines" (2004).
    """
    rows = np.arange(len(targets))[:, None] if groups is None else groups
    spectrum, vectors = np.linalg.eigh(kernel)
    turned = vectors.T @ targets
    solutions: list[tuple[float, float, np.ndarray, np.ndarray]] = []
    for strength in strengths:
        inverse = 1 / (np.maximum(spectrum, 0) + strength)
        solved = vectors @ (inverse * turned)
        chosen = vectors[rows]
        inner = (chosen * inverse) @ chosen.transpose(0, 2, 1)
        if constant is not None:
            inner -= constant[rows][:, :, None] * constant[rows][:, None] / strength
        errors = np.empty_like(solved)
        errors[rows] = np.linalg.solve(inner, solved[rows][..., None])[..., 0]
        solutions.append((float(np.mean(errors**2)), float(strength), solved, errors))
    return min(solutions, key=lambda solution: solution[0])[1:]


def ridge(
    features: np.ndarray,
    targets: np.ndarray,
    strengths: Any = STRENGTHS,
    weights: np.ndarray | None = None,
    *,
    blocks: np.ndarray | None = None,
    places: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, float, float]:
    """Solve a ridge regression; its strength has the least error on what is left out.

    Features are standardised, and divided by the root of their number. With a
    covariance `P` of places the penalty is `λ wᵀ (P ⊗ I)⁻¹ w`: the weights of a channel
    at places that vary together are alike.

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
        blocks: See `standardised`.
        places: Covariance of the places, `(places, places)`, of features whose order is
            that of an array `(places, channels)`. Defaults to places that know nothing
            of each other.
        groups: See `leave_one_out`.

    Returns:
        `(kernel, bias, strength)`: `features @ kernel + bias` predicts.

    Reference:
        Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006),
        section 2.1.2, of the covariance of weights.
    """
    features = np.asarray(features, np.float64)
    rows, centre, scale = standardised(features, blocks)
    targets = np.asarray(targets, np.float64)
    weights = np.ones(len(rows)) if weights is None else np.asarray(weights, np.float64)
    # Rows about their weighted mean, then scaled: the bias is solved for, too.
    middle = np.average(rows, axis=0, weights=weights)
    mean = float(np.average(targets, weights=weights))
    roots = np.sqrt(weights)
    scaled = (rows - middle) * roots[:, None]
    spread = scaled
    if places is not None:
        cells = scaled.reshape(len(scaled), len(places), -1)
        spread = np.einsum("npc,pq->nqc", cells, places).reshape(scaled.shape)
    strength, solved, _ = leave_one_out(
        spread @ scaled.T,
        (targets - mean) * roots,
        strengths,
        groups=groups,
        constant=roots / np.linalg.norm(roots),
    )
    slopes = spread.T @ solved
    bias = mean - float((centre * scale + middle) @ slopes)
    return slopes * scale, bias, strength
