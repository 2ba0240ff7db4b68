"""A smooth filling of what is missing, from coarse to fine."""

import numpy as np

# Averages over neighbours at a level are this over its pixels, so that each level costs
# alike; fewer leave a surface that is less smooth (0.7 dB at 4 for every level).
_SWEEPS = 2**17


def fill_smoothly(picture, missing):
    """Fill missing pixels with a smooth surface through the valid ones.

    Averages of the valid pixels are halved in size until nothing is missing; on the way
    back every level begins with the coarser one, and a few averages over neighbours
    bring it near the harmonic surface: the smoothest that meets the rim. Averaging
    over what is valid is a partial convolution with a kernel of ones.

    Example:
    ```python
    base = fill_smoothly(picture, mask < 255)
    ```

    Args:
        picture: `(height, width, channels)`, any colour scale; what is missing does
            not matter.
        missing: bool `(height, width)`.

    Returns:
        float32 `(height, width, channels)`, equal to the picture where it is valid.
        Where everything is missing it is 0.

    Reference:
        Gortler et al., "The Lumigraph" (1996), section 3.4 (push and pull).
    """
    picture = np.asarray(picture, np.float32)
    if not missing.any():
        return picture
    return _fill(np.where(missing[..., None], 0, picture), ~missing)


def _fill(picture, valid):
    import cv2

    height, width = valid.shape
    if valid.all() or max(height, width) == 1:
        return picture
    small = (width + 1) // 2, (height + 1) // 2
    share = cv2.resize(valid.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    mean = mean.reshape(*share.shape, -1) / np.maximum(share, 1e-6)[..., None]
    below = _fill(mean, share > 1e-6)
    hole = ~valid[..., None]
    filled = cv2.resize(below, (width, height), interpolation=cv2.INTER_LINEAR)
    filled = np.where(hole, filled.reshape(picture.shape), picture)
    for _ in range(int(np.clip(_SWEEPS / (width * height), 4, 200))):
        even = cv2.blur(filled, (3, 3), borderType=cv2.BORDER_REPLICATE)
        filled = np.where(hole, even.reshape(picture.shape), picture)
    return filled
