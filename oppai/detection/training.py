"""Train the detectors: two networks of cells, and a regression of the evidence.

The logistic regression takes the evidence and its products, since the meaning of a
number of steps depends on the number of cells.
"""

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from illustkit.errors import UserError
from illustkit.files import expand_user, write_whole
from illustkit.options import check_options
from illustkit.training.batches import Batches
from oppai.censoring.block_grid import Grid
from oppai.censoring.random_censor import draw_censor, draw_grid, through_jpeg
from oppai.detection.evidence import relevant, weights_of, with_products
from oppai.detection.mosaic import find_candidates
from oppai.detection.segmenter import (
    CHANNELS,
    DILATIONS,
    SAMPLES,
    build_segmenter,
    cell_targets,
    grid_features,
    steps,
    to_cells,
)
from oppai.detection.solid import SIDE, SOLID_CHANNELS, SOLID_DILATIONS, solid_features

if TYPE_CHECKING:
    import keras

CELLS = 24  # cells along a view's side


def train_cell_network(
    pictures: Sequence[np.ndarray],
    path: str | os.PathLike[str],
    *,
    steps: int = 6000,
    batch_size: int = 16,
    seed: int = 0,
) -> "keras.Model":
    """Train the network that finds the cells of mosaics, and store its weights.

    Example:
    ```python
    train_cell_network(pictures, "oppai/weights/censor_finder.npz")
    ```

    Args:
        pictures: List of uint8 RGB arrays without censors.
        path: The `.npz` to write, in float16.
        steps: Batches to train on, each seen once. Defaults to 6000, some 20 minutes of
            one CPU core.
        batch_size: Views in a batch, even: each comes with its transpose. Defaults
            to 16.
        seed: Int. Defaults to 0.

    Returns:
        The trained `keras.Model`, from cells' features to the logits of their samples.
    """
    check_options(steps=steps, batch_size=batch_size, seed=seed)
    if batch_size % 2:
        raise UserError(f"`batch_size` must be even. Received: {batch_size}")
    views = _Views(pictures, steps, batch_size, seed)
    return fit_network(views, path, "", CHANNELS, DILATIONS, steps=steps, seed=seed)


def fit_network(
    batches: Batches,
    path: str | os.PathLike[str],
    name: str,
    channels: int,
    dilations: Sequence[int],
    *,
    steps: int,
    seed: int,
) -> "keras.Model":
    """Train a network of cells, and add its weights to a file.

    Args:
        batches: `Batches` of `(cells, targets)`, as `_Views` draws them.
        path: The `.npz` to write, in float16; weights of other networks in it are kept.
        name: What the names of the weights begin with.
        channels: Channels of a sample.
        dilations: Of the convolutions, one after another.
        steps: Number of batches.
        seed: Int.

    Returns:
        The trained `keras.Model`, from cells' features to the logits of their samples.
    """
    import keras

    from illustkit.training.fit import seeded

    with seeded(seed):
        model = build_segmenter(channels, dilations)
    rate = keras.optimizers.schedules.CosineDecay(
        1e-4, steps, warmup_target=4e-3, warmup_steps=min(60, steps // 2)
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-4, clipnorm=1.0)
    model.compile(optimizer, _loss)
    model.fit(batches, shuffle=False)
    weights = {}
    for layer in model.layers:
        if layer.weights:
            kernel, bias = (np.asarray(v) for v in layer.get_weights())
            kernel = kernel[0, 0] if kernel.shape[0] == 1 else kernel
            weights[f"{name}{layer.name}.w"] = kernel.astype(np.float16)
            weights[f"{name}{layer.name}.b"] = bias.astype(np.float16)
    add_weights(path, weights)
    return model


def add_weights(path: str | os.PathLike[str], weights: dict[str, np.ndarray]) -> None:
    """Add weights to an `.npz`, which is made if there is none."""
    path, stored = expand_user(path), {}
    if path.exists():
        with np.load(path) as file:
            stored = dict(file)
    memory = io.BytesIO()
    np.savez_compressed(memory, **(stored | weights))
    write_whole(path, memory.getvalue())


def _loss(truth, logits):
    """Compute cross entropy and soft Dice inside the picture."""
    from keras import ops

    target, inside = ops.split(truth, 2, axis=-1)
    entropy = ops.maximum(logits, 0) - logits * target
    entropy = (entropy + ops.log1p(ops.exp(-ops.abs(logits)))) * inside
    hidden, target = ops.sigmoid(logits) * inside, target * inside
    both = ops.sum(hidden * target, (1, 2, 3))
    either = ops.sum(hidden, (1, 2, 3)) + ops.sum(target, (1, 2, 3))
    return ops.mean(entropy, (1, 2, 3)) + 0.3 * (1 - (2 * both + 20) / (either + 20))


class _Views(Batches):
    """Views of 24x24 cells, censored or not, each followed by its transpose."""

    def __init__(self, pictures, n_batches, batch_size, seed):
        super().__init__(n_batches, batch_size=1, seed=seed, shuffle=False)
        self.pictures, self.n_views = pictures, batch_size // 2

    def make(self, indices, rng):
        x, y = zip(*(self._draw(rng) for _ in range(self.n_views)), strict=True)
        x, y = np.stack(x), np.stack(y)
        turned = [4, 5, 6, 7, 0, 1, 2, 3, 9, 8, 10, 11]
        x = np.concatenate([x, x.swapaxes(1, 2)[..., turned]])
        y = np.concatenate([y, y.swapaxes(1, 2)])
        return to_cells(x), np.concatenate(
            [to_cells(y[..., :1]), to_cells(y[..., 1:])], -1
        )

    def _draw(self, rng):
        grid = draw_grid(rng)
        picture = self._crop(grid.block, rng)
        height, width = picture.shape[:2]
        if rng.random() < 0.85:
            case = draw_censor(picture, rng, mosaics=1, grid=grid)
            picture, hole = case.image, case.mask > 127
        else:
            hole = np.zeros((height, width), bool)
            if rng.random() < 0.5:
                picture = through_jpeg(picture, int(rng.integers(50, 101)))
        grey = _grey(picture)
        block, origin = grid.whole
        if not hole.any():
            # A grid on which the picture's longest steps lie is the hardest to tell.
            origin = _strongest(grey) % block[0], _strongest(grey.T) % block[1]
        rows, columns = np.nonzero(hole if hole.any() else ~hole)
        n = rng.integers(len(rows))
        left, top = columns[n] - CELLS * block[0] // 2, rows[n] - CELLS * block[1] // 2
        left += (origin[0] - left) % block[0]
        top += (origin[1] - top) % block[1]
        box = left, top, left + CELLS * block[0], top + CELLS * block[1]
        grid = Grid(block, origin)
        features, _ = grid_features(grey, grid, box)
        target = cell_targets(hole, grid, box)
        # The loss leaves out what is beyond the picture.
        x = np.arange(CELLS * SAMPLES) * block[0] / SAMPLES + left
        y = np.arange(CELLS * SAMPLES) * block[1] / SAMPLES + top
        inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))
        return features, np.stack([target, inside], -1, dtype=np.float32)

    def _crop(self, block, rng):
        """Crop a picture, 20 to 60 cells wide where it is large enough."""
        import cv2

        while True:
            picture = self.pictures[rng.integers(len(self.pictures))]
            scale = rng.uniform(0.6, 1.5) if rng.random() < 0.3 else 1
            cells = rng.uniform(20, 60)
            size = [max(64, int(cells * b / scale)) for b in block]
            y, x = (
                int(rng.integers(0, max(1, n - s + 1)))
                for n, s in zip(picture.shape[:2], size[::-1], strict=True)
            )
            crop = picture[y : y + size[1], x : x + size[0]]
            if crop.std() > 8 or rng.random() < 0.1:
                break
        if scale != 1:
            way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            crop = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=way)
        return np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)


def _strongest(grey):
    return int(steps(np.ascontiguousarray(grey))[1].sum(0, dtype=np.int64).argmax())


def _grey(picture):
    import cv2

    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


def train_solid_network(
    pictures: Sequence[np.ndarray],
    path: str | os.PathLike[str],
    *,
    steps: int = 8000,
    batch_size: int = 8,
    seed: int = 0,
) -> "keras.Model":
    """Train the network that finds white, light and black, and add its weights.

    Example:
    ```python
    train_solid_network(pictures, "oppai/weights/censor_finder.npz")
    ```

    Args:
        pictures: List of uint8 RGB arrays without censors.
        path: The `.npz` of the finder's weights.
        steps: Batches to train on, each seen once. Defaults to 8000, some 20
            minutes of two CPU cores.
        batch_size: Pictures in a batch. Defaults to 8.
        seed: Int. Defaults to 0.

    Returns:
        The trained `keras.Model`, from cells' features to the logits of their samples.
    """
    check_options(steps=steps, batch_size=batch_size, seed=seed)
    views = _Pictures(pictures, steps, batch_size, seed)
    return fit_network(
        views, path, "flat.", SOLID_CHANNELS, SOLID_DILATIONS, steps=steps, seed=seed
    )


class _Pictures(Batches):
    """Pictures, censored or not, as the network sees them."""

    def __init__(self, pictures, n_batches, batch_size, seed):
        super().__init__(n_batches, batch_size=1, seed=seed, shuffle=False)
        self.pictures, self.n = pictures, batch_size

    def make(self, indices, rng):
        x, y = zip(*(self._draw(rng) for _ in range(self.n)), strict=True)
        y = np.stack(y)
        return to_cells(np.stack(x)), np.concatenate(
            [to_cells(y[..., :1]), to_cells(y[..., 1:])], -1
        )

    def _draw(self, rng):
        import cv2

        picture = vary(self.pictures[rng.integers(len(self.pictures))], rng)
        height, width = picture.shape[:2]
        hole = np.zeros((height, width), np.float32)
        if rng.random() < 0.55:
            # Half of the censors lie in a crop of the picture, and are smaller.
            crop = _crop((height, width), rng, 0.3) if rng.random() < 0.5 else np.s_[:]
            jpeg = 0.35 if crop == np.s_[:] else 0
            inner = np.ascontiguousarray(picture[crop])
            case = draw_censor(inner, rng, mosaics=0, jpeg=jpeg)
            picture[crop], hole[crop] = case.image, case.mask > 127
        elif rng.random() < 0.35:
            picture = through_jpeg(picture, int(rng.integers(30, 101)))
        features, size = solid_features(picture)
        target = np.zeros((SIDE, SIDE, 2), np.float32)
        way = cv2.INTER_AREA if SIDE < max(height, width) else cv2.INTER_LINEAR
        target[: size[1], : size[0], 0] = cv2.resize(hole, size, interpolation=way)
        target[: size[1], : size[0], 1] = 1
        return features, target


def vary(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vary a picture: crop, mirror, exchange colours, whiten the background.

    Some are shrunk, some are grey, printed in dots or enlarged pixel by pixel.

    Args:
        picture: uint8 RGB `(height, width, 3)`; it is not changed.
        rng: `np.random.Generator`.

    Returns:
        A new uint8 RGB array.
    """
    import cv2

    if rng.random() < 0.4:
        picture = picture[_crop(picture.shape, rng, 0.5)]
    picture = picture[:, :: rng.choice((-1, 1))].copy()
    if rng.random() < 0.25:
        picture[(picture == picture[0, 0]).all(2)] = rng.choice((255, 255, 0))
    if rng.random() < 0.5:
        picture = picture[..., rng.permutation(3)]
    if rng.random() < 0.4:
        scale = rng.uniform(0.7 * SIDE, 2 * SIDE) / max(picture.shape)
        if scale < 1:
            way = {"fx": scale, "fy": scale, "interpolation": cv2.INTER_AREA}
            picture = cv2.resize(np.ascontiguousarray(picture), None, **way)
    if rng.random() < 0.15:
        picture = _printed(picture, rng)
    elif rng.random() < 0.03:
        n = rng.integers(4, 9)
        picture = picture[::n, ::n].repeat(n, 0).repeat(n, 1)
    return np.ascontiguousarray(picture)


def _printed(picture, rng):
    """Return a picture in grey, every second one in the dots of a print."""
    import cv2

    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    if rng.random() < 0.5:
        turn = np.exp(1j * rng.uniform(0, np.pi)) * 2 * np.pi / rng.uniform(3, 14)
        y, x = np.indices(grey.shape)
        u, v = x * turn.real - y * turn.imag, x * turn.imag + y * turn.real
        grey = 255 * (grey > 127.5 + 63 * (np.cos(u) + np.cos(v))).astype(np.uint8)
    return grey[..., None].repeat(3, 2)


def _crop(shape, rng, least):
    """Draw slices of a picture, with sides from `least` times its own."""
    slices = []
    for length in shape[:2]:
        side = int(np.ceil(length * rng.uniform(least, 1)))
        start = int(rng.integers(0, length - side + 1))
        slices.append(slice(start, start + side))
    return tuple(slices)


def train_evidence(
    pictures: Sequence[np.ndarray],
    path: str | os.PathLike[str],
    *,
    whole: bool = True,
    clean: Sequence[np.ndarray] = (),
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Learn the weights of the evidence and add them to the finder's weights.

    Each picture is searched twice: as it is or, every second time, as a JPEG of low
    quality, and with a mosaic. A candidate is true if at least half of it is mosaic and
    its grid is right. Among grids of any size, a mosaic on a wrong grid is left out.

    Example:
    ```python
    train_evidence(pictures, "oppai/weights/censor_finder.npz")
    ```

    Args:
        pictures: List of uint8 RGB arrays without censors, if there are enough,
            other ones than the network was trained on.
        path: The `.npz` of the finder's weights.
        whole: Whether grids of whole pixels are searched, or of any size, some in
            pictures that were resized afterwards. Defaults to `True`.
        clean: More such pictures, with patterns that are much like mosaics; they are
            searched without one. Defaults to none.
        seed: Int. Defaults to 0.

    Returns:
        `(evidence, truth)`: float32 `(n, 16)` and bool `(n,)`, of all candidates.

    Raises:
        UserError: If there is no true candidate, or no false one.
    """
    labelled = []
    for n, picture in enumerate(pictures):
        rng = np.random.default_rng((seed, n))
        labelled += label_candidates(picture, rng, whole=whole)
    for n, picture in enumerate(clean):
        if n % 3 == 0:
            rng = np.random.default_rng((seed, 1, n))
            picture = through_jpeg(picture, int(rng.integers(50, 96)))
        found = find_candidates(picture, whole=whole)
        labelled += [(evidence, False) for _, evidence in found]
    return fit_evidence(labelled, path, whole=whole)


def label_candidates(
    picture: np.ndarray, rng: np.random.Generator, *, whole: bool = True
) -> list[tuple[np.ndarray, bool]]:
    """Collect what the network takes for mosaics, without and with one.

    Args:
        picture: uint8 RGB array without censors.
        rng: `np.random.Generator`.
        whole: As of `train_evidence`. Defaults to `True`.

    Returns:
        List of `(evidence, truth)`.
    """
    clean = picture
    if rng.random() < 0.5:
        clean = through_jpeg(picture, int(rng.integers(10, 96)))
    found = find_candidates(clean, whole=whole)
    labelled = [(evidence, False) for _, evidence in found]
    grid = draw_grid(rng, fractional=0.0 if whole else 0.5)
    if rng.random() < (0.3 if whole else 0.2):
        # As programs draw them: from the corner, where a JPEG has its blocks too.
        side = int(rng.choice((8, 8, 8, 16, 16, 24, 32)))
        grid = Grid((side, side))
    case = draw_censor(picture, rng, mosaics=1, grid=grid, jpeg=0.5)
    censored, mask = np.asarray(case.image), case.mask
    if not whole and rng.random() < 0.5:
        censored, mask, grid = _resized(censored, mask, grid, rng)
        if rng.random() < 0.5:
            censored = through_jpeg(censored, int(rng.integers(50, 96)))
    for region, evidence in find_candidates(censored, whole=whole):
        hole = mask[region.slices] > 127
        inside = (hole & region.mask).sum() / region.mask.sum()
        right = region.grid and same_grid(region.grid, grid, region.box)
        # A mosaic on another grid, as of two blocks, teaches nothing about mosaics.
        if whole or right or inside < 0.2:
            labelled.append((evidence, bool(inside > 0.5 and right)))
    return labelled


def _resized(censored, mask, grid, rng):
    """Resize a censored picture, as web sites do."""
    import cv2

    scale = 2 ** rng.uniform(-0.7, 0.7)
    height, width = mask.shape
    size = max(1, round(width * scale)), max(1, round(height * scale))
    ways = cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4, cv2.INTER_AREA
    way = ways[rng.integers(4)]
    x, y = size[0] / width, size[1] / height
    if min(grid.block[0] * x, grid.block[1] * y) < 4:
        return censored, mask, grid
    resized = cv2.resize(censored, size, interpolation=way)
    mask = cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR)
    return resized, mask, grid.scaled(x, y)


def same_grid(
    first: Grid, second: Grid, box: Sequence[float], most: float = 1.0
) -> bool:
    """Return whether two grids are one within a box.

    Their blocks differ by at most one in a hundred, their lines in the box's middle by
    at most a pixel or what is told.

    Args:
        first: A `Grid`.
        second: Another.
        box: `(left, top, right, bottom)` in pixels.
        most: Pixels by which the lines may differ. Defaults to 1.

    Returns:
        Bool.
    """
    for axis in (0, 1):
        a, b = first.block[axis], second.block[axis]
        middle = (box[axis] + box[axis + 2]) / 2
        shift = (middle - first.origin[axis]) % a - (middle - second.origin[axis]) % b
        if abs(a / b - 1) > 0.01 or abs((shift + b / 2) % b - b / 2) > most:
            return False
    return True


def fit_evidence(
    labelled: Sequence[tuple[np.ndarray, bool]],
    path: str | os.PathLike[str],
    *,
    whole: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit the regression to labelled evidence and add it to the weights.

    Args:
        labelled: List of `(evidence, truth)`.
        path: The `.npz` of the finder's weights.
        whole: As of `train_evidence`. Defaults to `True`.

    Returns:
        `(evidence, truth)`: float32 `(n, 16)` and bool `(n,)`.

    Raises:
        UserError: If all are true, or none.
    """
    truth = np.array([is_mosaic for _, is_mosaic in labelled], bool)
    if truth.all() or not truth.any():
        raise UserError(
            "The regression needs mosaics and what is much like one. Give more "
            f"pictures. Received: {truth.sum()} of {len(truth)} candidates are mosaics"
        )
    evidence = np.stack([numbers for numbers, _ in labelled])
    seen = relevant(evidence, whole)
    mean, scale = seen.mean(0), seen.std(0) + 1e-3
    x = with_products((seen - mean) / scale)
    # There are fewer examples of grids of any size.
    weights, bias = fit_logistic(x, truth, decay=3.0 if whole else 10.0)
    learned = {"mean": mean, "scale": scale, "w": weights, "b": bias}
    name = weights_of(whole)
    add_weights(path, {f"{name}.{k}": np.float32(v) for k, v in learned.items()})
    return evidence, truth


def fit_logistic(
    x: np.ndarray, truth: np.ndarray, *, decay: float = 3.0
) -> tuple[np.ndarray, float]:
    """Fit a logistic regression with scikit-learn, which only this training needs.

    Args:
        x: float `(n, m)`.
        truth: bool `(n,)`.
        decay: Half of it times the sum of the squared weights is added to the loss, the
            sum of the cross entropies. Defaults to 3.

    Returns:
        `(weights, bias)`, float64.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=1 / decay, solver="newton-cholesky", tol=1e-10, max_iter=200
    )
    model.fit(np.asarray(x, np.float64), truth)
    return model.coef_[0], float(model.intercept_[0])
