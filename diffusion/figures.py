"""How icons of any number of channels are shown."""

import numpy as np


def shown(picture, background=255):
    """A picture as people see it: grey as RGB, transparent parts on a ground.

    Args:
        picture: uint8 `(height, width, 1)`, `(height, width, 3)` or
            `(height, width, 4)`.
        background: Grey value of the ground. Defaults to white.

    Returns:
        uint8 `(height, width, 3)`.
    """
    if picture.shape[-1] == 1:
        return np.repeat(picture, 3, axis=-1)
    if picture.shape[-1] == 3:
        return picture
    alpha = picture[..., 3:].astype("float32") / 255
    rgb = alpha * picture[..., :3] + (1 - alpha) * background
    return np.round(rgb).astype(np.uint8)


def enlarged(picture, least=128):
    """A small picture with each pixel as a square, so that a watermark has room.

    Args:
        picture: uint8 `(height, width, channels)`.
        least: Pixels that its shorter side comes near to, from below. Defaults to 128.

    Returns:
        uint8; the same array where it is large enough.
    """
    factor = max(1, least // min(picture.shape[:2]))
    if factor == 1:
        return picture
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)
