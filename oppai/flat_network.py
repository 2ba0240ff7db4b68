"""Where a picture is hidden by white, light or black: what a small network sees.

A picture is brought to a square of 192 pixels, in cells of 4; the same kind of network
as for mosaics (`oppai.cell_network`) says what part of every pixel there is hidden.
`oppai.flat_training` makes its weights.
"""

import numpy as np

from oppai.cell_network import run_network, steps, to_cells

SIDE = 192  # pixels of the longer side
CHANNELS = 8
DILATIONS = (1, 2, 4, 8, 8, 4, 2, 1)
PLAIN = 250, 8  # least of white, greatest of black
_STEP = 12  # grey levels of a step


def flat_features(picture):
    """Colours, plain white and black, and steps of a picture, scaled to a square.

    Args:
        picture: uint8 RGB `(height, width, 3)`.

    Returns:
        `(features, (columns, rows))`: float32 `(192, 192, 8)`, zero beyond the
        picture, and how much of that the picture takes.
    """
    import cv2

    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    plain_x, sharp_x = steps(grey)
    plain_y, sharp_y = (v.T for v in steps(np.ascontiguousarray(grey.T)))
    layers = [
        picture,
        picture.min(2) >= PLAIN[0],
        picture.max(2) <= PLAIN[1],
        cv2.max(plain_x, np.ascontiguousarray(plain_y)) > _STEP,
        cv2.max(sharp_x, np.ascontiguousarray(sharp_y)) > _STEP,
    ]
    features = np.zeros((SIDE, SIDE, CHANNELS), np.float32)
    inside = features[: size[1], : size[0]]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    inside[..., :3] = cv2.resize(picture, size, interpolation=way) / 127.5 - 1
    for k, layer in enumerate(layers[1:], 3):
        shares = cv2.resize(255 * layer.astype(np.uint8), size, interpolation=way)
        inside[..., k] = shares / 255.0
    inside[..., 7] = 1
    return features, size


def flat_share(picture):
    """Part of every pixel of a picture that is hidden by white, light or black.

    Args:
        picture: uint8 RGB `(height, width, 3)`.

    Returns:
        float32 `(rows, columns)`, 0..1, the longer side 192.
    """
    features, (columns, rows) = flat_features(picture)
    logits = run_network(to_cells(features), "flat.", DILATIONS)
    return 1 / (1 + np.exp(-logits[:rows, :columns]))
