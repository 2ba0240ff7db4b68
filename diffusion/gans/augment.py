"""Augmentations between a GAN and its discriminator, for few icons.

Real and generated pictures are augmented alike, by operations with a gradient, so that
the discriminator cannot learn the few icons by heart and the generator does not learn
the augmentations. All parameters are drawn on the host: a step is then the same on
every backend.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops

AUGMENTS = "diffaugment", "ada"
SHIFT = 0.125  # of a side
CUT = 0.5  # of a side
# In the order of ADA's pipeline: a gate each, and how many numbers it takes.
ADA = {
    "flip": 1, "turn": 1, "shift": 2, "scale": 1, "stretch": 1, "move": 2,
    "brightness": 1, "contrast": 1, "luma": 1, "hue": 1, "saturation": 1,
}  # fmt: skip


def draw_augmentation(
    kind: str, rng: np.random.Generator, n: int, image_size: int
) -> np.ndarray:
    """Draw the parameters of n pictures, for `augment`.

    Args:
        kind: "diffaugment" or "ada".
        rng: The generator to draw from.
        n: Number of pictures.
        image_size: Side of the pictures in pixels.

    Returns:
        float32 `(n, 7)` for "diffaugment": what is added to the colours, the factors of
        saturation and contrast, a shift of whole pixels (y, x), and the centre of the
        square that is cut out (y, x). `(n, 24)` for "ada": a number of 0..1 for each of
        `ADA`, which says from which probability on it is applied, and their numbers.
    """
    if kind == "diffaugment":
        most, cut = int(image_size * SHIFT + 0.5), int(image_size * CUT + 0.5)
        columns = [
            rng.uniform(-0.5, 0.5, (n, 1)),
            rng.uniform(0, 2, (n, 1)),
            rng.uniform(0.5, 1.5, (n, 1)),
            rng.integers(-most, most + 1, (n, 2)),
            rng.integers(0, image_size + 1 - cut % 2, (n, 2)),
        ]
    else:
        columns = [
            rng.random((n, len(ADA))),
            rng.integers(0, 2, (n, 1)),  # flip
            rng.integers(0, 4, (n, 1)),  # quarter turns
            np.round(rng.uniform(-SHIFT, SHIFT, (n, 2)) * image_size),
            2 ** rng.normal(0, 0.2, (n, 2)),  # scale, stretch
            rng.normal(0, SHIFT, (n, 2)) * image_size,  # move
            rng.normal(0, 0.2, (n, 1)),  # brightness
            2 ** rng.normal(0, 0.5, (n, 1)),  # contrast
            rng.integers(0, 2, (n, 1)),  # luma
            rng.uniform(-math.pi, math.pi, (n, 1)),  # hue
            2 ** rng.normal(0, 1, (n, 1)),  # saturation
        ]
    return np.concatenate(columns, axis=1).astype("float32")


def augment(kind: str, pictures: Any, drawn: Any, p: Any = 1.0) -> Any:
    """Augment pictures; the gradient passes, twice if it is asked for.

    Example:
    ```python
    drawn = draw_augmentation("diffaugment", np.random.default_rng(0), 2, 32)
    pictures = augment("diffaugment", np.zeros((2, 32, 32, 3), "float32"), drawn)
    ```

    Args:
        kind: "diffaugment": colour, translation and cutout. "ada": all that `ADA`
            lists, "bgc" without rotation by any angle; pictures are resampled
            bilinearly, where the paper filters, and continue as in a mirror beyond
            their border.
        pictures: Float `(n, side, side, channels)` in -1..1. Of four channels the last
            is opacity, which keeps its values.
        drawn: What `draw_augmentation` returned.
        p: Probability of each of ADA's augmentations. Defaults to 1.

    Returns:
        As `pictures`.

    Reference:
        Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training"
        (2020); Karras et al., "Training Generative Adversarial Networks with Limited
        Data" (2020), appendix B.
    """
    pictures, drawn = ops.convert_to_tensor(pictures), ops.convert_to_tensor(drawn)
    return (
        _diffaugment(pictures, drawn)
        if kind == AUGMENTS[0]
        else _ada(pictures, drawn, p)
    )


def _diffaugment(x, drawn):
    # (n, 1, 1, 1) each
    add, saturation, contrast = (drawn[:, i, None, None, None] for i in range(3))

    def recolour(x):
        x = x + add
        grey = ops.mean(x, axis=3, keepdims=True)
        x = (x - grey) * saturation + grey
        mean = ops.mean(x, axis=(1, 2, 3), keepdims=True)
        return (x - mean) * contrast + mean

    x = _of_colours(recolour, x)
    side = x.shape[1]
    place = ops.arange(side, dtype="float32")
    # Row r is taken from row r - shift; there is none, and so 0, beyond the border.
    source = place - drawn[:, 3:5, None]
    x = _resample(x, source[:, 0], source[:, 1])
    cut = int(side * CUT + 0.5)
    first = drawn[:, 5:7, None] - cut // 2
    inside = ops.cast((place >= first) & (place < first + cut), x.dtype)  # (n, 2, side)
    return x * (1 - inside[:, 0, :, None, None] * inside[:, 1, None, :, None])


def _ada(x, drawn, p):
    applied = drawn[:, : len(ADA)] < p
    column, of = len(ADA), {}
    neutral = {"scale": 1.0, "stretch": 1.0, "contrast": 1.0, "saturation": 1.0}
    for i, (name, n) in enumerate(ADA.items()):
        values = drawn[:, column : column + n]
        column += n
        of[name] = ops.where(applied[:, i, None], values, neutral.get(name, 0.0))
    x = _turn(x, of["flip"], of["turn"])
    side = x.shape[1]
    centre = (side - 1) / 2
    place = ops.arange(side, dtype="float32") - centre
    scales = ops.concatenate(
        [of["scale"] / of["stretch"], of["scale"] * of["stretch"]], axis=1
    )
    moved = of["shift"] + of["move"]
    source = (place - moved[:, :, None]) / scales[:, :, None] + centre  # (n, 2, side)
    # As in a mirror: 2 1 0 1 2 … side-1 side-2 …
    source = ops.mod(source, 2.0 * (side - 1))
    source = ops.minimum(source, 2.0 * (side - 1) - source)
    x = _resample(x, source[:, 0], source[:, 1])

    add, contrast, luma, hue, saturation = (
        of[name][:, :, None, None]
        for name in ("brightness", "contrast", "luma", "hue", "saturation")
    )

    def recolour(x):
        x = (x + add) * contrast
        x = x - 2 * luma * ops.mean(x, axis=3, keepdims=True)
        # Rodrigues' formula about the axis of greys, (1, 1, 1) / √3.
        cross = (ops.roll(x, 1, axis=3) - ops.roll(x, -1, axis=3)) / math.sqrt(3)
        grey = ops.mean(x, axis=3, keepdims=True)
        x = grey + (x - grey) * ops.cos(hue) + cross * ops.sin(hue)
        return grey + (x - grey) * saturation

    return _of_colours(recolour, x)


def _of_colours(function, x):
    """Return pictures with other colours, and the same opacity if they have any."""
    if x.shape[3] < 4:
        return function(x)
    return ops.concatenate([function(x[..., :3]), x[..., 3:]], axis=3)


def _resample(x, rows, columns):
    """Take pixels, linearly between them, from rows and columns `(n, side)`.

    As products of matrices, whose second gradient every backend has. A place of one
    pixel or more beyond the border gives 0.
    """
    place = ops.arange(x.shape[1], dtype="float32")

    def weights(source):  # (n, to, from)
        return ops.cast(ops.relu(1 - ops.abs(source[:, :, None] - place)), x.dtype)

    x = ops.einsum("nrs,nswc->nrwc", weights(rows), x)
    return ops.einsum("ncs,nrsk->nrck", weights(columns), x)


def _turn(x, flip, turns):
    """Mirror where `flip` is 1, and turn by quarters against the clock."""
    flip, turns = flip[:, :, None, None], turns[:, :, None, None]
    x = ops.where(flip > 0.5, ops.flip(x, axis=2), x)
    turned = ops.flip(ops.transpose(x, (0, 2, 1, 3)), axis=1)
    x = ops.where(ops.mod(turns, 2.0) > 0.5, turned, x)
    return ops.where(turns > 1.5, ops.flip(ops.flip(x, axis=1), axis=2), x)
