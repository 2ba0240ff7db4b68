"""White and black bars, white-out and lights: pixels where the network sees them."""

import numpy as np

from oppai.data.mosaic_frames import bounds
from oppai.detection.segmenter import run_network, steps, to_cells

SIDE = 192  # pixels of the longer side
SOLID_CHANNELS = 8
SOLID_DILATIONS = (1, 2, 4, 8, 8, 4, 2, 1)
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
    features = np.zeros((SIDE, SIDE, SOLID_CHANNELS), np.float32)
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
    logits = run_network(to_cells(features), "flat.", SOLID_DILATIONS)
    return 1 / (1 + np.exp(-logits[:rows, :columns]))


_LEAST = 0.002  # of the picture: the least area
_SURE = 2.5  # mean log odds: below 1 % of clean pictures that it has not seen
_OPEN = 0.15, 4.0  # of the rim that shows the same colour, and how sure it is then
_BESIDE = 1.0  # and from which it is beside a part that is surely hidden
_MOST = 6.0  # log odds: what is surer counts no more
_BAND = 0.1, 0.9  # shares between which the pixels' own colours decide
_FADING = 0.06  # of the picture's shorter side: the widest rim
_FADED = 0.9  # part of the greatest mean difference
_SAME = 6  # levels: the noise of a JPEG
_ALIKE = 24, 110  # levels from the part's colour: taken in, left out


def flat_regions(picture):
    """Find what white, light or black hides.

    Args:
        picture: uint8 RGB `(height, width, 3)`.

    Returns:
        List of `(kind, mask, (x, y))`: "white", "black" or "light", bool mask of the
        pixels and the place of its upper left corner.
    """
    import cv2

    share = flat_share(picture)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        (share > 0.5).astype(np.uint8)
    )
    _, wider = cv2.connectedComponents((share > _BAND[0]).astype(np.uint8))
    found = []
    for k, (*_, area) in enumerate(stats.tolist()):
        part = labels == k
        if not (k and area >= _LEAST * share.size):
            continue
        log_odds = _log_odds(share[part])
        if log_odds > _BESIDE:
            around = (wider == wider[part][0]) & (labels == 0)
            alone = np.where(part, share, around * share.clip(max=0.3))
            region = _pixels(picture, alone)
            if region is not None:
                # What goes on beyond its rim is background more often.
                is_open = _same_beyond(picture, region) > _OPEN[0]
                sure = log_odds > (_OPEN[1] if is_open else _SURE)
                found.append((sure, region))
    # Where one is sure, what is as dark or as bright is another part of the censor.
    kinds = {kind == "black" for sure, (kind, *_) in found if sure}
    return [region for _, region in found if (region[0] == "black") in kinds]


def _same_beyond(picture, region):
    """Part of the pixels just outside a region that have its very colour."""
    import cv2

    _, hole, (x, y) = region
    n = max(1, round(0.01 * min(picture.shape[:2])))
    left, top = max(0, x - n), max(0, y - n)
    around = picture[top : y + hole.shape[0] + n, left : x + hole.shape[1] + n]
    mask = np.zeros(around.shape[:2], np.uint8)
    mask[y - top : y - top + hole.shape[0], x - left : x - left + hole.shape[1]] = hole
    rim = cv2.dilate(mask, np.ones((2 * n + 1,) * 2, np.uint8)) > mask
    if not rim.any():
        return 1.0
    gap = np.abs(around[rim] - _colour(around, mask > 0)).max(1)
    return float((gap <= _SAME).mean())


def _pixels(picture, share):
    """Kind, mask and place of the picture's pixels that a part covers.

    Where the network leaves it open, near the rim, what has the part's colour belongs
    to it and what has quite another one does not.
    """
    import cv2

    size = picture.shape[1::-1]
    share = cv2.resize(share, size, interpolation=cv2.INTER_LINEAR)
    box = bounds(share > _BAND[0])
    if box is None:
        return None
    (left, top), inside = box[:2], np.s_[box[1] : box[3], box[0] : box[2]]
    picture, share = picture[inside], share[inside]
    hole = share > 0.5
    sure = share > _BAND[1]
    if not hole.any():
        return None
    colour = _colour(picture, sure if sure.any() else hole)
    rim = (share > _BAND[0]) & ~sure
    gap = np.abs(picture[rim] - colour).max(1)
    hole[rim] = (gap <= _ALIKE[0]) | (hole[rim] & (gap <= _ALIKE[1]))
    if not hole.any():
        return None
    x, y, right, bottom = bounds(hole)
    hole, colours = hole[y:bottom, x:right], picture[y:bottom, x:right]
    return _kind(colours[hole]), hole, (left + x, top + y)


def with_rim(picture, region):
    """Mask of what hides something, and of the rim over which it fades out.

    Round the region the colours are ever further from its own; where they are nearly as
    far as they get, the picture begins.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        region: A `FoundRegion` of the kind "white", "black" or "light".

    Returns:
        `(mask, (x, y))`: bool mask of the pixels and the place of its upper left
        corner.
    """
    import cv2

    height, width = picture.shape[:2]
    widest = max(3, round(_FADING * min(height, width)))
    left, top, right, bottom = region.box
    x0, y0 = max(0, left - widest), max(0, top - widest)
    x1, y1 = min(width, right + widest), min(height, bottom + widest)
    hole = np.zeros((y1 - y0, x1 - x0), bool)
    hole[top - y0 : bottom - y0, left - x0 : right - x0] = region.hole
    around = picture[y0:y1, x0:x1]
    gap = np.abs(around - _colour(around, hole)).mean(2)
    distance = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 5)
    ring = np.minimum(np.ceil(distance).astype(int), widest + 1)
    total = np.bincount(ring.ravel(), gap.ravel(), widest + 2)[1:-1]
    number = np.bincount(ring.ravel(), minlength=widest + 2)[1:-1]
    means = total / np.maximum(number, 1)
    rim = 1 + int(np.argmax(means >= _FADED * means.max()))
    return distance <= rim, (x0, y0)


def _colour(picture, mask):
    return np.median(picture[mask], axis=0).astype(np.float32)


def _log_odds(share):
    """Mean log odds of a part's pixels, cut."""
    least = 1 / (1 + np.exp(_MOST))
    share = share.clip(least, 1 - least)
    return float(np.log(share / (1 - share)).mean())


def _kind(colours):
    """What hides something, by the colours of its pixels `(n, 3)`."""
    if np.median(colours.max(1)) < 64:
        return "black"
    plain = (colours.min(1) >= PLAIN[0]).mean()
    return "white" if plain > 0.9 else "light"
