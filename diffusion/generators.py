"""One random generator for each picture."""

import numpy as np


def picture_generators(seed, n, *, first=0):
    """Make one random generator for each picture, so that a picture has its own noise.

    Picture number i of a seed is the same in whatever batch it is made.

    Example:
    ```python
    rng = picture_generators(3407, 16)
    x_T = draw_noise(rng, (128, 128, 3))
    pictures = ddim(model, x_T, schedule, objective="noise", rng=rng)
    ```

    Args:
        seed: Int, not negative.
        n: Number of pictures.
        first: Number of the first picture. Defaults to 0.

    Returns:
        List of n `numpy.random.Generator`.
    """
    return [np.random.default_rng((seed, i)) for i in range(first, first + n)]


def draw_noise(rng, shape):
    """Draw standard normal noise of `shape` from each generator.

    Args:
        rng: List of n generators.
        shape: `(height, width, channels)`.

    Returns:
        float32 `(n, height, width, channels)`.
    """
    return np.stack([each.standard_normal(shape, dtype="float32") for each in rng])
