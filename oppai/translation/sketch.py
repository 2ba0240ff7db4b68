"""Clean lines from rough sketches."""

from typing import Any

import cv2
import keras
import numpy as np
from keras import layers

from oppai.translation.blocks import TranslationNetwork, as_float32, connect, convolve

SIMPLIFICATION = (
    # kernel, stride (½ doubles the sides), filters
    *((5, 2, 48), (3, 1, 128), (3, 1, 128)),
    *((3, 2, 256), (3, 1, 256), (3, 1, 256)),
    *((3, 2, 256), (3, 1, 512), *[(3, 1, 1024)] * 4, (3, 1, 512), (3, 1, 256)),
    *((4, 0.5, 256), (3, 1, 256), (3, 1, 128)),
    *((4, 0.5, 128), (3, 1, 128), (3, 1, 48)),
    *((4, 0.5, 48), (3, 1, 24)),
)


@keras.saving.register_keras_serializable(package="oppai")
class SketchNetwork(TranslationNetwork):
    """Turn a rough sketch of any size into clean lines.

    Three convolutions halve the picture, three transposed ones double it again; there
    are 23 convolutions and 44,845,185 weights.

    Example:
    ```python
    network = SketchNetwork(scale=1 / 16)
    rough = np.ones((1, 64, 96, 1), "float32")
    network(rough).shape  # (1, 64, 96, 1)
    ```

    Args:
        scale: Factor of all numbers of filters. Defaults to 1.
        dtype: Dtype policy of the layers. Defaults to `None`, the global policy.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: Grey pictures `(batch, height, width, 1)`, unit scale, 1 for white.
            Sides are multiples of 8.

    Returns:
        `(batch, height, width, 1)`, unit scale, float32.

    Reference:
        Simo-Serra et al., "Learning to Simplify: Fully Convolutional Networks for Rough
        Sketch Cleanup" (2016), table 1; seed 003.
    """

    multiple = 8

    def __init__(self, scale: float = 1.0, *, dtype: Any = None, **kwargs: Any) -> None:
        inputs = x = keras.Input((None, None, 1), name="inputs")
        for i, (kernel, stride, width) in enumerate(SIMPLIFICATION):
            x = convolve(
                x,
                max(1, round(width * scale)),
                kernel,
                strides=2 if stride != 1 else 1,
                transposed=stride < 1,
                name=f"convolution_{i}",
                dtype=dtype,
            )
        x = convolve(x, 1, 3, norm=False, activation=None, name="lines", dtype=dtype)
        super().__init__(inputs=inputs, outputs=as_float32(x, "sigmoid"), **kwargs)
        self.keep(dtype, scale=scale)


@keras.saving.register_keras_serializable(package="oppai")
class SketchDiscriminator(TranslationNetwork):
    """Judge whether a picture of lines was cleaned by hand or by a network.

    Six convolutions of stride 2 and one logit. With 384 pixels it has 1,591,169
    weights.

    Example:
    ```python
    judge = SketchDiscriminator(64, filters=4)
    judge(np.ones((1, 64, 64, 1))).shape  # (1, 1)
    ```

    Args:
        image_size: Side of the pictures in pixels, a multiple of 64. Defaults to 384.
        filters: Filters of the first convolution. Defaults to 16.
        dtype: Dtype policy of the layers. Defaults to `None`, the global policy.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: `(batch, side, side, 1)`, unit scale.

    Returns:
        Logits, float32 `(batch, 1)`.

    Reference:
        Simo-Serra et al., "Mastering Sketching: Adversarial Augmentation for Structured
        Prediction" (2018), table 1.
    """

    def __init__(
        self,
        image_size: int = 384,
        *,
        filters: int = 16,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        inputs = x = keras.Input((image_size, image_size, 1), name="inputs")
        for i in range(6):
            x = convolve(
                x,
                filters * 2**i,
                3 if i else 5,
                strides=2,
                norm=False,
                name=f"convolution_{i}",
                dtype=dtype,
            )
        x = layers.Flatten(dtype=dtype, name="flat")(x)
        x = connect(x, 1, norm=False, activation=None, name="logit", dtype=dtype)
        super().__init__(inputs=inputs, outputs=as_float32(x), **kwargs)
        self.keep(dtype, image_size=image_size, filters=filters)


def paper_ratio(grey: np.ndarray) -> float:
    """Return the fraction of pixels that have the colour of one light paper.

    It is the most that lie within 24 levels of one level in the light half. Of sketches
    it is .6 and more, of photographs mostly below .4.

    Example:
    ```python
    paper_ratio(np.full((8, 8), 240, "uint8"))  # 1.0
    ```

    Args:
        grey: uint8 `(height, width)`.
    """
    counts = np.bincount(grey.ravel(), minlength=256)
    near = np.convolve(counts, np.ones(2 * 24 + 1), "same")
    return float(near[128:].max() / grey.size)


def line_weights(lines: np.ndarray, *, radius: int = 2, bins: int = 10) -> np.ndarray:
    """Return how much each pixel of a picture of lines counts in the loss.

    Most of such a picture is white, so that a network which leaves out thin lines loses
    little. A line counts 1. A pixel that is not of a line counts the less the more of
    its neighbours are like it: `min(6·exp(-h) - 2, 1)`, where `h` is the share of the
    pixels of its square neighbourhood that fall into its own bin of a histogram.

    Example:
    ```python
    lines = np.ones((32, 32), "float32")
    lines[16] = 0
    weights = line_weights(lines)
    weights[16, 16], weights[2, 2]  # 1.0 and 0.207
    ```

    Args:
        lines: Grey picture `(height, width)`, unit scale, 1 for white.
        radius: Pixels of the neighbourhood to each side. Defaults to 2.
        bins: Bins of the histogram, between 0 and 1. Defaults to 10.

    Returns:
        float32 `(height, width)`, above 0 and up to 1.

    Reference:
        Simo-Serra et al. (2016), section 4.2, equation 2.
    """
    side = 2 * radius + 1
    number = np.minimum((lines * bins).astype(int), bins - 1)
    share = np.zeros(lines.shape, "float32")
    for i in np.unique(number):
        own = (number == i).astype("float32")
        near = cv2.boxFilter(own, -1, (side, side), borderType=cv2.BORDER_REFLECT_101)
        share = np.where(number == i, near, share)
    weights = np.minimum(6 * np.exp(-share) - 2, 1)
    return np.where(number == 0, 1, weights).astype("float32")


def blacken(lines: np.ndarray) -> np.ndarray:
    """Give lines that grew grey when they were shrunk their black again.

    The median of what is clearly of a line becomes nearly black. White stays white.

    Args:
        lines: Grey uint8, of any shape.

    Returns:
        The same shape, uint8.
    """
    ink = 255 - lines.astype("float32")
    drawn = ink[ink > 60]
    if not drawn.size:
        return lines
    gain = np.clip(230 / np.median(drawn), 1, 3)
    return (255 - np.minimum(gain * ink, 255)).round().astype("uint8")


def roughen(
    lines: np.ndarray, rng: np.random.Generator, side: float | None = None
) -> np.ndarray:
    """Draw a rough sketch over clean lines: the inverse of cleaning them.

    Every line is drawn two to four times, each time a little beside the clean one and
    as faint as a pencil; parts are shaded; construction lines cross the picture; and
    the paper is grey, uneven and grained. How far a line is off grows with the picture,
    half a pixel to 2.5 in one of 200 pixels.

    Example:
    ```python
    lines = draw_lines(7, (120, 160))
    rough = roughen(lines, np.random.default_rng(0))
    ```

    Args:
        lines: Grey uint8 `(height, width)`, black on white.
        rng: NumPy generator.
        side: Shorter side in pixels of the picture that the lines are a part of.
            Defaults to `None`, their own.

    Returns:
        Grey uint8 `(height, width)`.

    Reference:
        Simo-Serra et al. (2016), section 4.1, "inverse dataset construction": there
        illustrators draw the rough over the clean lines.
    """
    height, width = lines.shape
    scale = float(np.clip((side or min(lines.shape)) / 200, 0.3, 4))
    ink = 1 - lines.astype("float32") / 255
    left = np.ones_like(ink)  # of the paper's light
    for _ in range(rng.integers(2, 5)):
        reach = scale * rng.uniform(0.5, 2.5)
        moved = _moved(ink, reach, rng)
        moved = cv2.GaussianBlur(moved, (0, 0), max(0.4, scale * rng.uniform(0.4, 1.1)))
        # A pencil presses more here than there.
        pressed = 1 + 0.4 * _clouds(ink.shape, max(8, width // 8), rng)
        left *= 1 - np.clip(rng.uniform(0.35, 0.75) * moved * pressed, 0, 1)
    for _ in range(rng.integers(0, 4)):
        left *= 1 - rng.uniform(0.1, 0.3) * _construction(ink.shape, rng)
    if rng.random() < 0.6:
        left *= 1 - _shading(ink.shape, rng)
    paper = rng.uniform(0.8, 1) + rng.uniform(0, 0.05) * _clouds(
        ink.shape, max(8, width // 3), rng
    )
    grain = rng.normal(0, rng.uniform(0, 0.03), ink.shape)
    return np.clip(255 * (paper * left + grain), 0, 255).round().astype("uint8")


def _clouds(shape, period, rng):
    """Return smooth noise of mean 0 and deviation 1."""
    small = rng.normal(size=[-(-n // period) + 3 for n in shape]).astype("float32")
    large = cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return (large - large.mean()) / (large.std() + 1e-6)


def _moved(ink, reach, rng):
    """Return the lines where an unsteady hand would have drawn them."""
    height, width = ink.shape
    period = max(8, min(height, width) // int(rng.integers(3, 9)))
    columns, rows = np.meshgrid(
        *[np.arange(n, dtype="float32") for n in (width, height)]
    )
    columns += reach * _clouds(ink.shape, period, rng)
    rows += reach * _clouds(ink.shape, period, rng)
    return cv2.remap(
        ink, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )


def _construction(shape, rng):
    """Return a straight line or an ellipse, as those that a figure is built on."""
    height, width = shape
    drawn = np.zeros(shape, "float32")
    centre = [int(n) for n in rng.uniform(0, 1, 2) * (width, height)]
    if rng.random() < 0.5:
        end = [int(n) for n in rng.uniform(0, 1, 2) * (width, height)]
        cv2.line(drawn, centre, end, 1.0, 1, cv2.LINE_AA)
    else:
        axes = [int(n) for n in rng.uniform(0.05, 0.5, 2) * (width, height)]
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(drawn, centre, axes, turn, 0, 360, 1.0, 1, cv2.LINE_AA)
    return drawn


def _shading(shape, rng):
    """Return hatching or a soft tone over some parts."""
    where = np.clip(_clouds(shape, max(8, min(shape) // 3), rng) - 0.6, 0, 1)
    if rng.random() < 0.5:
        rows, columns = np.indices(shape)
        angle, period = rng.uniform(0, np.pi), rng.uniform(4, 9)
        across = (columns * np.cos(angle) + rows * np.sin(angle)) / period
        return 0.5 * where * (across % 1 < 0.3)
    return 0.3 * where
