"""Which training picture each new picture is nearest to, and which are copies of one.

A model that was trained for long on few pictures gives them back. Whether a picture is
a copy is judged by its own surroundings: the distance to its nearest training picture
over the mean distance to the fifty next ones. A copy is far nearer to one picture than
to the rest; a new one is about as far from the nearest as from those that follow.
"""

from typing import NamedTuple

import numpy as np

from diffusion.evaluation.metrics import check_sets

THRESHOLD = 1 / 3
OTHERS = 50
_ROWS = 64  # pictures whose distances are in memory at once


class Neighbours(NamedTuple):
    """The nearest training picture of each picture.

    Args:
        index: int `(n,)`, its number among the training pictures.
        distance: float64 `(n,)`: root of the mean squared difference (uint8 scale),
            or Euclidean distance of features.
        flipped: bool `(n,)`, whether it is nearest when mirrored.
        ratio: float64 `(n,)`, that distance, less the picture's own noise, over the
            mean one to the next fifty.
        copied: bool `(n,)`, whether the ratio is under the threshold.
    """

    index: np.ndarray
    distance: np.ndarray
    flipped: np.ndarray
    ratio: np.ndarray
    copied: np.ndarray

    @property
    def share(self):
        """Share of the pictures that are copies, 0 to 1."""
        return float(np.mean(self.copied))


def find_neighbours(generated, training, *, flip=True, threshold=THRESHOLD):
    """Find each picture's nearest training picture by its pixels, and the copies.

    Noise does not hide a copy: what a picture has of it is estimated from its finest
    details, which are nought on most of a drawing, and taken off the distances.

    Example:
    ```python
    found = find_neighbours(generated, training)
    print(f"{found.share:.0%} are copies")
    plot_neighbours(generated, training, found, path="neighbours.png")
    ```

    Args:
        generated: uint8 `(n, height, width, channels)`.
        training: uint8 `(m, height, width, channels)`, of one size with them, m of 2
            or more.
        flip: Whether mirrored training pictures count as well, as they do where a
            training flips. Defaults to `True`.
        threshold: Ratio under which a picture is a copy. Defaults to 1/3: drawings of
            one hand that are different have some 0.4 and more, copies with noise of
            a standard deviation of 20 grey levels under 0.3.

    Returns:
        `Neighbours`.

    Raises:
        ValueError: where sizes differ, or there is but one training picture.

    Reference:
        Carlini et al., "Extracting Training Data from Diffusion Models" (2023),
        section 4.2, for the mean over the fifty nearest; Yoon et al., "Diffusion
        Probabilistic Models Generalize when They Fail to Memorize" (2023), for 1/3.
    """
    check_sets(generated, training)
    return _neighbours(
        generated, training, flip=flip, threshold=threshold, noise=_noise(generated)
    )


def find_feature_neighbours(generated, training, *, threshold=THRESHOLD):
    """The same by features: what looks alike though its pixels do not agree.

    Args:
        generated: `(n, dimensions)`, of `extract_features`.
        training: `(m, dimensions)`.
        threshold: As in `find_neighbours`. Defaults to 1/3.

    Returns:
        `Neighbours`, none of them flipped.

    Raises:
        ValueError: where the shapes do not fit.
    """
    generated, training = np.asarray(generated), np.asarray(training)
    if generated.ndim != 2 or generated.shape[1:] != training.shape[1:]:
        raise ValueError(
            "Features are (n, dimensions), of one kind. "
            f"Received: {generated.shape} and {training.shape}"
        )
    found = _neighbours(generated, training, flip=False, threshold=threshold, noise=0.0)
    scale = np.sqrt(generated.shape[1])  # of a mean over dimensions
    return found._replace(distance=found.distance * scale)


def share_within(training, *, flip=True, threshold=THRESHOLD):
    """Share of the training pictures that would be copies of another of them.

    Sets with variants of one motif have many, and new pictures may then be as near to
    some as these are: what share of copies says must be read beside it.

    Args:
        training: uint8 `(m, height, width, channels)`, m of 3 or more.
        flip: As in `find_neighbours`. Defaults to `True`.
        threshold: As there. Defaults to 1/3.

    Returns:
        float, 0 to 1.

    Raises:
        ValueError: where there are fewer than three.
    """
    check_sets(training, training)
    if len(training) < 3:
        raise ValueError(f"Give 3 pictures or more. Received: {len(training)}")
    options = {"flip": flip, "threshold": threshold, "noise": _noise(training)}
    return _neighbours(training, training, itself=True, **options).share


def plot_neighbours(
    generated, training, neighbours, *, count=24, columns=4, title=None, path=None
):
    """Draw new pictures, each beside its nearest training picture; nearest first.

    Args:
        generated: uint8 `(n, height, width, channels)`.
        training: uint8 `(m, height, width, channels)`.
        neighbours: What `find_neighbours` gave for them.
        count: Most pairs. Defaults to 24.
        columns: Pairs in a row. Defaults to 4.
        title: Text above. Defaults to what the share of copies is.
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
            f"{neighbours.share:.0%} of {len(neighbours.index)} are copies"
        )
    figure = picture_grid(pairs, columns=columns, titles=texts, title=title, cell=2.4)
    if path is not None:
        save_figure(figure, path)
    return figure


def _neighbours(a, b, *, flip, threshold, noise, itself=False):
    if len(b) < 2:
        raise ValueError(
            "A nearest training picture is told from the others: give 2 or more. "
            f"Received: {len(b)}"
        )
    parts = []
    noise = np.broadcast_to(noise, len(a))
    for start in range(0, len(a), _ROWS):
        rows = slice(start, start + _ROWS)
        squares = _mean_squares(a[rows], b)
        flipped = np.zeros(squares.shape, bool)
        if flip:
            mirrored = _mean_squares(a[rows][:, :, ::-1], b)
            flipped = mirrored < squares
            squares = np.minimum(squares, mirrored)
        if itself:
            here = np.arange(len(squares))
            squares[here, start + here] = np.inf
        nearest = squares.argmin(axis=1)
        at = np.arange(len(squares)), nearest
        less = np.sqrt(np.maximum(squares - noise[rows, None] ** 2, 0))
        others = np.sort(less, axis=1)[:, 1 : len(b) - itself][:, :OTHERS].mean(axis=1)
        ratio = less[at] / np.maximum(others, 1e-12)
        parts.append((nearest, np.sqrt(squares[at]), flipped[at], ratio))
    found = [np.concatenate(part) for part in zip(*parts, strict=True)]
    return Neighbours(*found, found[-1] < threshold)


def _mean_squares(a, b):
    """Mean squared difference of every pair, `(n, m)`; exact for whole numbers."""
    a = a.reshape(len(a), -1).astype(np.float64)
    out = np.empty((len(a), len(b)))
    for start in range(0, len(b), 4 * _ROWS):
        part = slice(start, start + 4 * _ROWS)
        y = b[part].reshape(len(b[part]), -1).astype(np.float64)
        out[:, part] = (a**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * (a @ y.T)
    return np.maximum(out, 0) / a.shape[1]


def _noise(pictures):
    """Standard deviation of the noise in each picture, `(n,)`, uint8 scale.

    Of 2×2 pixels the diagonal detail (a − b − c + d) / 2 is nought on flat colour and
    on straight slopes; of white noise it has the deviation of the noise. The median
    passes over the outlines.
    """
    n, height, width = pictures.shape[:3]
    if min(height, width) < 2:
        return np.zeros(n)
    x = pictures[:, : height // 2 * 2, : width // 2 * 2].astype(np.int32)
    top = x[:, ::2, ::2] - x[:, ::2, 1::2]
    bottom = x[:, 1::2, ::2] - x[:, 1::2, 1::2]
    detail = np.abs(top - bottom).reshape(n, -1) / 2
    return np.median(detail, axis=1) / 0.6745  # of a Gaussian, to its deviation
