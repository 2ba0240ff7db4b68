"""Trains the network of `oppai.flat_network` on censors drawn at random."""

import numpy as np

from illustkit.batches import Batches
from oppai.cell_network import to_cells
from oppai.cell_training import fit_network
from oppai.censor_drawing import draw_censor, through_jpeg
from oppai.flat_network import CHANNELS, DILATIONS, SIDE, flat_features


def train_flat_network(pictures, path, *, steps=8000, batch_size=8, seed=0):
    """Train the network that finds white, light and black, and add its weights.

    Example:
    ```python
    train_flat_network(pictures, "oppai/weights/censor_finder.npz")
    ```

    Args:
        pictures: List of uint8 RGB arrays without censors.
        path: Place of the finder's weights, `.npz`.
        steps: Batches to train on, each seen once. Defaults to 8000, some 20
            minutes of two CPU cores.
        batch_size: Pictures in a batch. Defaults to 8.
        seed: Int. Defaults to 0.

    Returns:
        The trained `keras.Model`, from cells' features to the logits of their samples.
    """
    views = _Pictures(pictures, steps, batch_size, seed)
    return fit_network(
        views, path, "flat.", CHANNELS, DILATIONS, steps=steps, seed=seed
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
            # Half of the censors lie in a part of the picture, and are smaller.
            part = _part((height, width), rng, 0.3) if rng.random() < 0.5 else np.s_[:]
            jpeg = 0.35 if part == np.s_[:] else 0
            inner = np.ascontiguousarray(picture[part])
            case = draw_censor(inner, rng, mosaics=0, jpeg=jpeg)
            picture[part], hole[part] = case.picture, case.mask < 128
        elif rng.random() < 0.35:
            picture = through_jpeg(picture, int(rng.integers(30, 101)))
        features, size = flat_features(picture)
        target = np.zeros((SIDE, SIDE, 2), np.float32)
        way = cv2.INTER_AREA if SIDE < max(height, width) else cv2.INTER_LINEAR
        target[: size[1], : size[0], 0] = cv2.resize(hole, size, interpolation=way)
        target[: size[1], : size[0], 1] = 1
        return features, target


def vary(picture, rng):
    """A part of a picture, mirrored, its colours exchanged, its background white.

    Some are made smaller, some are grey, printed in dots or enlarged pixel by pixel.

    Args:
        picture: uint8 RGB `(height, width, 3)`; it stays as it is.
        rng: `np.random.Generator`.

    Returns:
        uint8 RGB, its own memory.
    """
    import cv2

    if rng.random() < 0.4:
        picture = picture[_part(picture.shape, rng, 0.5)]
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
        picture = _grey(picture, rng)
    elif rng.random() < 0.03:
        n = rng.integers(4, 9)
        picture = picture[::n, ::n].repeat(n, 0).repeat(n, 1)
    return np.ascontiguousarray(picture)


def _grey(picture, rng):
    """A picture in grey, every second one in dots of a print."""
    import cv2

    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    if rng.random() < 0.5:
        turn = np.exp(1j * rng.uniform(0, np.pi)) * 2 * np.pi / rng.uniform(3, 14)
        y, x = np.indices(grey.shape)
        u, v = x * turn.real - y * turn.imag, x * turn.imag + y * turn.real
        grey = 255 * (grey > 127.5 + 63 * (np.cos(u) + np.cos(v))).astype(np.uint8)
    return grey[..., None].repeat(3, 2)


def _part(shape, rng, least):
    """Slices of a part of a picture, with sides of `least` of its own and more."""
    slices = []
    for length in shape[:2]:
        side = int(np.ceil(length * rng.uniform(least, 1)))
        start = int(rng.integers(0, length - side + 1))
        slices.append(slice(start, start + side))
    return tuple(slices)
