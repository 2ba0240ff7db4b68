"""Find the nearest training picture of each new picture, and the copies among them.

A model that trains for long on few pictures memorises them. A picture is judged by its
ratio: the distance to its nearest training picture over the mean distance to the fifty
next ones. A copy is far nearer to one picture than to the rest; a new picture is about
as far from the nearest as from those that follow.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from typing import TYPE_CHECKING

import numpy as np

from diffusion.evaluation.metrics import check_sets
from illustkit.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THRESHOLD = 1 / 3
OTHERS = 50
_ROWS = 1024  # pictures of a block of a matrix product
_PAIRS = 1 << 23  # distances that are in memory at once
_EXACT = 256  # products of two sums of signed bytes that float32 adds up exactly


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbours:
    """Holds the nearest training picture of each picture.

    Args:
        index: int `(n,)`, number of the training picture.
        distance: float64 `(n,)`: root of the mean squared difference (uint8 scale),
            or Euclidean distance of features.
        flipped: bool `(n,)`, whether its mirror image is the nearest.
        ratio: float64 `(n,)`, the distance, less the picture's own noise, over the mean
            distance to the next fifty.
        copied: bool `(n,)`, whether the ratio is below the threshold.
    """

    index: np.ndarray
    distance: np.ndarray
    flipped: np.ndarray
    ratio: np.ndarray
    copied: np.ndarray

    @property
    def fraction(self) -> float:
        """Return the fraction of the pictures that are copies, 0 to 1."""
        return float(np.mean(self.copied))

    @property
    def share(self) -> float:
        """Return `fraction`, under its old name."""
        text = "`Neighbours.share` is deprecated: use `fraction`."
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return self.fraction


def find_neighbours(
    generated: np.ndarray,
    training: np.ndarray,
    *,
    flip: bool = True,
    threshold: float = THRESHOLD,
) -> Neighbours:
    """Find each picture's nearest training picture by its pixels, and the copies.

    Noise does not hide a copy: the noise of a picture is estimated from its finest
    details, which are zero on most of a drawing, and subtracted from the distances.

    Example:
    ```python
    neighbours = find_neighbours(generated, training)
    print(f"{neighbours.fraction:.0%} are copies")
    plot_neighbours(generated, training, neighbours, path="neighbours.png")
    ```

    Args:
        generated: uint8 `(n, height, width, channels)`.
        training: uint8 `(m, height, width, channels)` of the same size, m of 2 or more.
        flip: Whether mirrored training pictures count too, as after a training that
            flips. Defaults to `True`.
        threshold: Ratio below which a picture is a copy. Defaults to 1/3: different
            drawings of one illustrator have ratios of about 0.4 and more, copies with
            noise of a standard deviation of 20 grey levels less than 0.3.

    Returns:
        `Neighbours`.

    Raises:
        ValueError: If sizes differ, or there is only one training picture.

    Reference:
        Carlini et al., "Extracting Training Data from Diffusion Models" (2023),
        section 4.2, for the mean over the fifty nearest; Yoon et al., "Diffusion
        Probabilistic Models Generalize when They Fail to Memorize" (2023), for 1/3.
    """
    check_sets(generated, training)
    return _neighbours(
        generated, training, flip=flip, threshold=threshold, noise=_noise(generated)
    )


def find_feature_neighbours(
    generated: np.ndarray, training: np.ndarray, *, threshold: float = THRESHOLD
) -> Neighbours:
    """Find each picture's nearest training picture by features instead of pixels.

    Pictures that look alike are near by features even if their pixels differ.

    Args:
        generated: `(n, dimensions)`, of `extract_features`.
        training: `(m, dimensions)`.
        threshold: See `find_neighbours`. Defaults to 1/3.

    Returns:
        `Neighbours`, none of them flipped.

    Raises:
        ValueError: If the shapes do not fit.
    """
    generated, training = np.asarray(generated), np.asarray(training)
    if generated.ndim != 2 or generated.shape[1:] != training.shape[1:]:
        raise UserError(
            "Features are (n, dimensions), of one kind. "
            f"Received: {generated.shape} and {training.shape}"
        )
    neighbours = _neighbours(
        generated, training, flip=False, threshold=threshold, noise=0.0
    )
    scale = np.sqrt(generated.shape[1])  # from a mean over dimensions to a sum
    return dataclasses.replace(neighbours, distance=neighbours.distance * scale)


def fraction_within(
    training: np.ndarray, *, flip: bool = True, threshold: float = THRESHOLD
) -> float:
    """Compute the fraction of training pictures that count as copies of another.

    It is high for sets with variants of one motif, where new pictures may be as near to
    a training picture as its variants are. Compare the copy rate with this baseline.

    Args:
        training: uint8 `(m, height, width, channels)`, m of 3 or more.
        flip: See `find_neighbours`. Defaults to `True`.
        threshold: See `find_neighbours`. Defaults to 1/3.

    Returns:
        float, 0 to 1.

    Raises:
        ValueError: If there are fewer than three.
    """
    check_sets(training, training)
    if len(training) < 3:
        raise UserError(f"Give 3 pictures or more. Received: {len(training)}")
    options = {"flip": flip, "threshold": threshold, "noise": _noise(training)}
    return _neighbours(training, training, itself=True, **options).fraction


def plot_neighbours(
    generated: np.ndarray,
    training: np.ndarray,
    neighbours: Neighbours,
    *,
    count: int = 24,
    columns: int = 4,
    title: str | None = None,
    path: str | os.PathLike | None = None,
) -> Figure:
    """Draw each new picture beside its nearest training picture; lowest ratio first.

    Args:
        generated: uint8 `(n, height, width, channels)`.
        training: uint8 `(m, height, width, channels)`.
        neighbours: What `find_neighbours` returned for them.
        count: Maximum number of pairs. Defaults to 24.
        columns: Pairs in a row. Defaults to 4.
        title: Text above. Defaults to the fraction of copies.
        path: File to write. Defaults to `None`.

    Returns:
        `matplotlib.figure.Figure`.
    """
    from diffusion.watermark import shown
    from illustkit.figures import picture_grid, save_figure

    pairs, texts = [], []
    for i in np.argsort(neighbours.ratio, kind="stable")[:count]:
        own, nearest = shown(generated[i]), shown(training[neighbours.index[i]])
        if neighbours.flipped[i]:
            nearest = nearest[:, ::-1]
        gap = np.full((len(own), max(1, own.shape[1] // 16), 3), 255, np.uint8)
        pairs.append(np.concatenate([own, gap, nearest], axis=1))
        words = [f"{neighbours.ratio[i]:.2f}"]
        words += ["mirrored"] if neighbours.flipped[i] else []
        words += ["COPY"] if neighbours.copied[i] else []
        texts.append(", ".join(words))
    if title is None:
        title = (
            "New (left) and nearest training picture (right), by their ratio; "
            f"{neighbours.fraction:.0%} of {len(neighbours.index)} are copies"
        )
    figure = picture_grid(pairs, columns=columns, titles=texts, title=title, cell=2.4)
    if path is not None:
        save_figure(figure, path)
    return figure


def _neighbours(a, b, *, flip, threshold, noise, itself=False):
    if len(b) < 2:
        raise UserError(
            "The nearest training picture is compared with the others: give 2 or more. "
            f"Received: {len(b)}"
        )
    rows_of_all = []
    noise = np.broadcast_to(noise, len(a))
    step = min(_ROWS, max(1, _PAIRS // len(b)))
    for start in range(0, len(a), step):
        rows = slice(start, start + step)
        squares, mirrored = _mean_squares(a[rows], b, flip)
        flipped = mirrored < squares
        squares = np.minimum(squares, mirrored)
        if itself:
            here = np.arange(len(squares))
            squares[here, start + here] = np.inf
        nearest = squares.argmin(axis=1)
        at = np.arange(len(squares)), nearest
        less = np.sqrt(np.maximum(squares - noise[rows, None] ** 2, 0))
        last = min(OTHERS, len(b) - itself - 1)
        near = np.sort(np.partition(less, last, axis=1)[:, : last + 1], axis=1)
        others = near[:, 1:].mean(axis=1)
        ratio = less[at] / np.maximum(others, 1e-12)
        rows_of_all.append((nearest, np.sqrt(squares[at]), flipped[at], ratio))
    columns = [np.concatenate(column) for column in zip(*rows_of_all, strict=True)]
    return Neighbours(*columns, columns[-1] < threshold)


def _mean_squares(a, b, flip):
    """Compute the mean squared difference of every pair; exact for uint8.

    Sums s and differences d of mirrored columns give both products for the work of one:
    that of two pictures is half of s·s + d·d, and half of s·s - d·d if one is mirrored.

    Returns:
        Two arrays `(n, m)`: as the pictures are, and with one of them mirrored; without
        `flip` they are one array.
    """
    parts, of_a, exact = _parts(a, flip)
    found = [np.zeros((len(a), len(b))) for _ in parts]
    for start in range(0, len(b), _ROWS):
        rows = slice(start, start + _ROWS)
        others, of_b, _ = _parts(b[rows], flip)
        blocks = [each[:, rows] for each in found]
        for x, y, products in zip(parts, others, blocks, strict=True):
            step = _EXACT if exact else x.shape[1]
            for at in range(0, x.shape[1], step):
                products += x[:, at : at + step] @ y[:, at : at + step].T
        norms = of_a[:, None] + of_b
        if flip:
            sums, differences = blocks
            blocks[0][:], blocks[1][:] = (
                norms - sums - differences,
                norms - sums + differences,
            )
        else:
            blocks[0][:] = norms - 2 * blocks[0]
    dimensions = np.prod(a.shape[1:])
    found = [np.maximum(each, 0, out=each) / dimensions for each in found]
    return found[0], found[-1]


def _parts(pictures, flip):
    """Return the rows of products, squared norms, and whether float32 is exact."""
    exact = pictures.dtype == np.uint8
    # Less 128, a product of two sums is at most 2**16, and 256 of them 2**24: float32,
    # the quicker, holds every integer up to there.
    x = pictures.astype(np.float32) - 128 if exact else pictures.astype(np.float64)
    flat = x.reshape(len(x), -1)
    norms = np.einsum("nd,nd->n", flat, flat, dtype=np.float64)
    if not flip:
        return [flat], norms, exact
    half = x.shape[2] // 2
    left, right = x[:, :, :half], x[:, :, ::-1][:, :, :half]
    sums, differences = left + right, left - right
    if x.shape[2] % 2:  # a middle column, which is its own mirror image, counts twice
        middle = x[:, :, half : half + 1]
        sums = np.concatenate([sums, middle, middle], axis=2)
    rows = [each.reshape(len(x), -1) for each in (sums, differences)]
    return rows, norms, exact


def _noise(pictures):
    """Estimate the deviation of the noise in each picture, `(n,)`, uint8 scale.

    The diagonal detail (a − b − c + d) / 2 of 2×2 pixels is zero on flat colour and on
    linear gradients; on white noise it has the deviation of the noise. The median
    ignores the outlines.
    """
    n, height, width = pictures.shape[:3]
    if min(height, width) < 2:
        return np.zeros(n)
    x = pictures[:, : height // 2 * 2, : width // 2 * 2].astype(np.int32)
    top = x[:, ::2, ::2] - x[:, ::2, 1::2]
    bottom = x[:, 1::2, ::2] - x[:, 1::2, 1::2]
    detail = np.abs(top - bottom).reshape(n, -1) / 2
    return np.median(detail, axis=1) / 0.6745  # of a Gaussian, to its deviation
