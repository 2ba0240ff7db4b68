"""Find white and black bars, white-out and lights."""

import math
from dataclasses import replace

import numpy as np

from oppai.censoring.regions import Region, bounds, region_at
from oppai.detection.overlay import (
    difference,
    gather_overlay_evidence,
    is_drawn,
    weigh_overlay,
)
from oppai.detection.segmenter import predict_cells, steps, to_cells

SIDE = 192  # pixels of the longer side
SOLID_CHANNELS = 8
SOLID_DILATIONS = (1, 2, 4, 8, 8, 4, 2, 1)
PLAIN = 250, 8  # least of white, greatest of black
_STEP = 12  # grey levels of a step


def solid_features(picture: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Compute colours, plain white and black, and steps, scaled to a square.

    Args:
        picture: uint8 RGB `(height, width, 3)`.

    Returns:
        `(features, (columns, rows))`: float32 `(192, 192, 8)`, zero beyond the
        picture, and the size of the picture in it.
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
        fractions = cv2.resize(255 * layer.astype(np.uint8), size, interpolation=way)
        inside[..., k] = fractions / 255.0
    inside[..., 7] = 1
    return features, size


def hidden_pixels(picture: np.ndarray) -> np.ndarray:
    """Return the probability that white, light or black hides each pixel.

    Args:
        picture: uint8 RGB `(height, width, 3)`.

    Returns:
        float32 `(rows, columns)`, 0..1, the longer side 192.
    """
    features, (columns, rows) = solid_features(picture)
    logits = predict_cells(to_cells(features), "flat.", SOLID_DILATIONS)
    return 1 / (1 + np.exp(-logits[:rows, :columns]))


_LEAST = 0.002  # least area, as a fraction of the picture
_BESIDE = 1.0  # log odds of the network from which a region is looked at
# Log odds of the evidence above those of any clean picture that they were chosen on.
_SURE = {"white": 2.8, "black": 3.1, "light": 3.0}
_MOST = 6.0  # cap of the log odds
_BAND = 0.1, 0.9  # probabilities between which the pixels' own colours decide
_FADING = 0.06  # widest rim, as a fraction of the picture's shorter side
_FADED = 0.9  # fraction of the greatest mean difference at which the rim ends
_ALIKE = 24, 110  # levels from the region's colour: up to it inside, beyond it outside


def find_solid(picture: np.ndarray) -> list[Region]:
    """Find the regions that white, light or black hides.

    A network proposes them; `oppai.detection.overlay` weighs whether a region was laid
    over the picture or belongs to it.

    Args:
        picture: uint8 RGB `(height, width, 3)`.

    Returns:
        List of `Region` of the kinds "white", "black" and "light".
    """
    weighed: list[Region] = []
    surest = {True: (0.0, False), False: (0.0, False)}
    for region, evidence in propose_solid(picture):
        is_black = region.kind == "black"
        log_odds = weigh_overlay(evidence, region.kind)
        region = replace(region, confidence=1 / (1 + math.exp(-log_odds)))
        weighed.append(region)
        if log_odds > max(_SURE[region.kind], surest[is_black][0]):
            surest[is_black] = log_odds, not is_drawn(evidence, region.kind)
    # Regions as dark or as bright belong to one censor: the surest tells whether it is.
    return [region for region in weighed if surest[region.kind == "black"][1]]


def propose_solid(picture: np.ndarray) -> list[tuple[Region, np.ndarray]]:
    """Propose regions that white, light or black may hide.

    Args:
        picture: uint8 RGB `(height, width, 3)`.

    Returns:
        List of `(region, evidence)`, the evidence as `gather_overlay_evidence`
        measures it.
    """
    import cv2

    probability = hidden_pixels(picture)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        (probability > 0.5).astype(np.uint8)
    )
    _, wider = cv2.connectedComponents((probability > _BAND[0]).astype(np.uint8))
    proposed = []
    for k, (*_, area) in enumerate(stats.tolist()):
        own = labels == k
        if not (k and area >= _LEAST * probability.size):
            continue
        log_odds = _log_odds(probability[own])
        if log_odds > _BESIDE:
            around = (wider == wider[own][0]) & (labels == 0)
            alone = np.where(own, probability, around * probability.clip(max=0.3))
            region = _pixels(picture, alone)
            if region is not None:
                evidence = gather_overlay_evidence(picture, region, log_odds)
                proposed.append((region, evidence))
    return proposed


def _pixels(picture, probability):
    """Return the `Region` of the picture's pixels, or `None`.

    Where the network is not sure, near the rim, pixels of the region's colour belong to
    it and pixels of quite another colour do not.
    """
    import cv2

    size = picture.shape[1::-1]
    probability = cv2.resize(probability, size, interpolation=cv2.INTER_LINEAR)
    box = bounds(probability > _BAND[0])
    if box is None:
        return None
    (left, top), inside = box[:2], np.s_[box[1] : box[3], box[0] : box[2]]
    picture, probability = picture[inside], probability[inside]
    hole = probability > 0.5
    sure = probability > _BAND[1]
    if not hole.any():
        return None
    colour = _colour(picture, sure if sure.any() else hole)
    rim = (probability > _BAND[0]) & ~sure
    gap = difference(picture[rim], colour)
    hole[rim] = (gap <= _ALIKE[0]) | (hole[rim] & (gap <= _ALIKE[1]))
    if not hole.any():
        return None
    x, y, right, bottom = bounds(hole)
    hole, colours = hole[y:bottom, x:right], picture[y:bottom, x:right]
    kind = _kind(colours[hole])
    return region_at((left + x, top + y), hole, kind=kind)


def with_rim(picture: np.ndarray, region: Region) -> Region:
    """Widen a region by the rim over which it fades out.

    Around the region the colours differ more and more from its own; where the
    difference is nearly at its greatest, the picture begins.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        region: A `Region` of the kind "white", "black" or "light".

    Returns:
        A `Region` of the same kind.
    """
    import cv2

    height, width = picture.shape[:2]
    widest = max(3, round(_FADING * min(height, width)))
    left, top, right, bottom = region.box
    x0, y0 = max(0, left - widest), max(0, top - widest)
    x1, y1 = min(width, right + widest), min(height, bottom + widest)
    hole = np.zeros((y1 - y0, x1 - x0), bool)
    hole[top - y0 : bottom - y0, left - x0 : right - x0] = region.mask
    around = picture[y0:y1, x0:x1]
    gap = np.abs(around - _colour(around, hole)).mean(2)
    distance = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 5)
    ring = np.minimum(np.ceil(distance).astype(int), widest + 1)
    total = np.bincount(ring.ravel(), gap.ravel(), widest + 2)[1:-1]
    number = np.bincount(ring.ravel(), minlength=widest + 2)[1:-1]
    means = total / np.maximum(number, 1)
    rim = 1 + int(np.argmax(means >= _FADED * means.max()))
    return region_at(
        (x0, y0), distance <= rim, kind=region.kind, confidence=region.confidence
    )


def _colour(picture, mask):
    return np.median(picture[mask], axis=0).astype(np.float32)


def _log_odds(probability):
    """Return the mean log odds of a region's pixels, each capped."""
    least = 1 / (1 + np.exp(_MOST))
    p = probability.clip(least, 1 - least)
    return float(np.log(p / (1 - p)).mean())


def _kind(colours):
    """Return the kind of a region by the colours of its pixels `(n, 3)`."""
    if np.median(colours.max(1)) < 64:
        return "black"
    plain = (colours.min(1) >= PLAIN[0]).mean()
    return "white" if plain > 0.9 else "light"
