"""From the network's samples to the pixels that a mosaic covers."""

import numpy as np

from oppai.cell_network import PARTS
from oppai.frames import bounds

_EDGE = 0.25  # gain of a pixel of a side that is a step, in samples
_ALIKE = 0.88  # IoU from which a form counts as a rectangle


def fit_form(grey, lattice, share, start):
    """Turn the shares of a lattice's samples into a mask of pixels.

    The shares are interpolated and cut at one half. Where that is nearly a rectangle,
    each of its sides moves to where shares and steps of the picture agree best.

    Args:
        grey: uint8 `(height, width)`, the whole picture.
        lattice: `(block x, origin x, block y, origin y)` in pixels.
        share: float32 `(4 rows, 4 columns)`, 0..1.
        start: Pixel `(x, y)` of the picture at which the first sample begins.

    Returns:
        `(mask, (x, y))`: bool mask of the pixels, cut to what is found, and where in
        the picture its upper left corner lies; `None` without a pixel.
    """
    height, width = grey.shape
    block_x, _, block_y, _ = lattice
    x0, y0 = max(0, start[0]), max(0, start[1])
    x1 = min(width, start[0] + share.shape[1] // PARTS * block_x)
    y1 = min(height, start[1] + share.shape[0] // PARTS * block_y)
    values = _interpolated(share, np.arange(y0, y1) - start[1], block_y, 0)
    values = _interpolated(values, np.arange(x0, x1) - start[0], block_x, 1)
    mask = values > 0.5
    if not mask.any():
        return None
    box = bounds(mask)
    box = _rectangle(2 * values - 1, grey[y0:y1, x0:x1], box, (block_x, block_y))
    rectangle = np.zeros_like(mask)
    rectangle[box[1] : box[3], box[0] : box[2]] = True
    if (mask & rectangle).sum() > _ALIKE * (mask | rectangle).sum():
        mask = rectangle
    left, top, right, bottom = bounds(mask)
    return mask[top:bottom, left:right], (x0 + left, y0 + top)


def _interpolated(a, pixels, block, axis):
    """Values of samples at pixels, linear between the samples' middles."""
    inner = np.arange(PARTS) * block // PARTS
    middle = (inner + np.append(inner[1:], block) - 1) / 2
    n = a.shape[axis] // PARTS
    places = (np.arange(n)[:, None] * block + middle).ravel()
    right = np.clip(np.searchsorted(places, pixels), 1, len(places) - 1)
    gap = places[right] - places[right - 1]
    part = np.clip((pixels - places[right - 1]) / gap, 0, 1).astype(np.float32)
    part = part[:, None] if axis == 0 else part
    return a.take(right - 1, axis) * (1 - part) + a.take(right, axis) * part


def _rectangle(gain, grey, box, block):
    """Likeliest rectangle near a first one, side by side."""
    d = grey.astype(np.int16)
    edges = []
    for axis in (1, 0):
        step = np.minimum(np.abs(np.diff(d, axis=axis)), 8) / np.float32(8)
        edges.append(np.insert(step, 0, 0, axis))
    gains, edges = (gain, gain.T), (edges[0], edges[1].T)
    box = list(box)
    for side in (0, 2, 1, 3) * 3:
        axis = side % 2  # 0: a side that is a column
        a, b = box[1 - axis], box[3 - axis]
        total = np.r_[0, np.cumsum(gains[axis][a:b].sum(0))]
        bonus = np.r_[edges[axis][a:b].sum(0), 0] * (_EDGE * block[axis] / PARTS)
        opposite = box[(side + 2) % 4]
        if side < 2:
            scores = total[opposite] - total + bonus
            scores[opposite:] = -np.inf
        else:
            scores = total - total[opposite] + bonus
            scores[: opposite + 1] = -np.inf
        box[side] = int(scores.argmax())
    return box
