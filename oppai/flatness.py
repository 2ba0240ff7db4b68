"""Where nothing is drawn, what a filter says is right: the network keeps still."""

import numpy as np

# Levels of 255 between which the network comes in, and the pixels looked at.
_MOSAIC, _WINDOW = (1, 3), 17
_MISSING, _RING = (4, 12), 6


def activity(base, hole, missing):
    """How far the network's change of the base is wanted, from 0 to 1.

    A mosaic is flat where the base, its upsampled block means, is of one colour for two
    blocks around; missing content where nine tenths of what surrounds it are. There the
    truth is that colour nearly always, and a network's answer a level or two beside it.

    Example:
    ```python
    result = base + activity(base, hole, missing)[..., None] * (prediction - base)
    ```

    Args:
        base: float32 `(height, width, 3)`, signed scale.
        hole: bool `(height, width)`.
        missing: bool `(height, width)`, what of the hole shows no mosaic.

    Returns:
        float32 `(height, width)`.
    """
    import cv2

    window = np.ones((_WINDOW, _WINDOW), np.uint8)
    spread = cv2.dilate(base, window) - cv2.erode(base, window)
    wanted = _between(127.5 * spread.max(-1), _MOSAIC)
    if missing.any():
        ring = np.ones((2 * _RING + 1,) * 2, np.uint8)
        ring = (cv2.dilate(missing.astype(np.uint8), ring) > 0) & ~hole
        colours = base[ring] if ring.any() else base.reshape(-1, 3)
        low, high = np.percentile(colours, (5, 95), axis=0)
        wanted[missing] = _between(127.5 * (high - low).max(), _MISSING)
    return wanted


def _between(value, levels):
    return np.clip((value - levels[0]) / (levels[1] - levels[0]), 0, 1)
