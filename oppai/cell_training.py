"""Trains the network of `oppai.cell_network` on censors drawn at random."""

from pathlib import Path

import numpy as np

from illustkit.batches import Batches
from oppai.cell_network import (
    CHANNELS,
    DILATIONS,
    FEATURES,
    PARTS,
    cell_targets,
    lattice_features,
    steps,
    to_cells,
)
from oppai.censor_drawing import draw_censor, draw_grid, through_jpeg

CELLS = 24  # cells along a view's side


def train_cell_network(pictures, path, *, steps=6000, batch_size=16, seed=0):
    """Train the finder's network and write its weights.

    Example:
    ```python
    train_cell_network(pictures, "oppai/weights/censor_finder.npz")
    ```

    Args:
        pictures: List of uint8 RGB arrays without censors.
        path: Place of the weights, `.npz`, written as float16.
        steps: Batches to train on, each seen once. Defaults to 6000, some 20 minutes of
            one CPU core.
        batch_size: Views in a batch, even: each comes with its transpose. Defaults
            to 16.
        seed: Int. Defaults to 0.

    Returns:
        The trained `keras.Model`, from cells' features to the logits of their samples.
    """
    views = _Views(pictures, steps, batch_size, seed)
    return fit_network(views, path, "", CHANNELS, DILATIONS, steps=steps, seed=seed)


def fit_network(batches, path, name, channels, dilations, *, steps, seed):
    """Fit a network of cells, and add its weights to a file's.

    Args:
        batches: `Batches` of `(cells, targets)`, as `_Views` draws them.
        path: Place of the weights, `.npz`, written as float16; what it has of other
            networks stays.
        name: What the names of the weights begin with.
        channels: Of a sample.
        dilations: Of the convolutions, one after another.
        steps: Number of batches.
        seed: Int.

    Returns:
        The trained `keras.Model`, from cells' features to the logits of their samples.
    """
    import keras

    keras.utils.set_random_seed(seed)
    inputs = keras.Input((None, None, PARTS * PARTS * channels))
    x = keras.layers.Conv2D(FEATURES, 1, activation="relu", name="embed")(inputs)
    for k, dilation in enumerate(dilations):
        look = keras.layers.Conv2D(
            FEATURES,
            3,
            padding="same",
            dilation_rate=dilation,
            activation="relu",
            name=f"look_{k}",
        )
        x = x + look(x)
    outputs = keras.layers.Conv2D(PARTS * PARTS, 1, name="share")(x)
    model = keras.Model(inputs, outputs)
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


def add_weights(path, weights):
    """Add weights to those of a file, `.npz`, which is made where there is none."""
    known = {}
    if Path(path).exists():
        with np.load(path) as file:
            known = dict(file)
    np.savez_compressed(path, **(known | weights))


def _loss(truth, logits):
    """Cross entropy and soft Dice, where the picture is."""
    from keras import ops

    target, known = ops.split(truth, 2, axis=-1)
    entropy = ops.maximum(logits, 0) - logits * target
    entropy = (entropy + ops.log1p(ops.exp(-ops.abs(logits)))) * known
    share, target = ops.sigmoid(logits) * known, target * known
    both = ops.sum(share * target, (1, 2, 3))
    either = ops.sum(share, (1, 2, 3)) + ops.sum(target, (1, 2, 3))
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
            picture, hole = case.picture, case.mask < 128
        else:
            hole = np.zeros((height, width), bool)
            if rng.random() < 0.5:
                picture = through_jpeg(picture, int(rng.integers(50, 101)))
        grey = _grey(picture)
        block, origin = (
            tuple(int(v) for v in pair) for pair in (grid.block, grid.origin)
        )
        if not hole.any():
            # A lattice that the picture's longest steps lie on is the hardest to tell.
            origin = _strongest(grey) % block[0], _strongest(grey.T) % block[1]
        rows, columns = np.nonzero(hole if hole.any() else ~hole)
        n = rng.integers(len(rows))
        left, top = columns[n] - CELLS * block[0] // 2, rows[n] - CELLS * block[1] // 2
        left += (origin[0] - left) % block[0]
        top += (origin[1] - top) % block[1]
        region = left, top, left + CELLS * block[0], top + CELLS * block[1]
        lattice = block[0], origin[0], block[1], origin[1]
        features, _ = lattice_features(grey, lattice, region)
        share = cell_targets(hole, lattice, region)
        # Nothing is asked beyond the picture.
        x = np.arange(CELLS * PARTS) * block[0] / PARTS + left
        y = np.arange(CELLS * PARTS) * block[1] / PARTS + top
        known = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))
        return features, np.stack([share, known], -1, dtype=np.float32)

    def _crop(self, block, rng):
        """Part of a picture, 20 to 60 cells wide where it is large enough."""
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
