"""White and black bars and white lights: plain areas that do not look drawn."""

import numpy as np

from oppai.frames import bounds

_LEAST = 12  # pixels of a side
_AREA = 0.003, 0.4  # of the picture
_ALIKE = 0.9  # part of the surrounding rectangle, or IoU with the ellipse
_ENDS = 10  # lines and colours that end at the rim
_RIM = 4  # pixels outside where these are counted


def flat_regions(picture):
    """Find rectangles and ellipses of plain black or white that hide something.

    A drawn shape has an outline, or lies on one colour or two. At the rim of a censor
    many lines and colours end. Where a white area fades out it is a light.

    Args:
        picture: uint8 RGB `(height, width, 3)`.

    Returns:
        List of `(kind, mask, (x, y))`: "white", "black" or "light", bool mask of the
        pixels and the place of its upper left corner.
    """
    import cv2

    found = []
    height, width = picture.shape[:2]
    for kind, plain in (
        ("white", picture.min(2) >= 250),
        ("black", picture.max(2) <= 8),
    ):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            plain.astype(np.uint8), connectivity=4
        )
        for k, (x, y, w, h, area) in enumerate(stats.tolist()):
            share = area / plain.size
            # What touches the picture's edge is background far more often.
            inside = min(x, y) > 0 and x + w < width and y + h < height
            if not (k and inside and min(w, h) >= _LEAST):
                continue
            if not _AREA[0] < share < _AREA[1]:
                continue
            left, top = max(0, x - 12), max(0, y - 12)
            part = np.s_[top : y + h + 12, left : x + w + 12]
            mask = (labels[part] == k).astype(np.uint8)
            if not _is_plain_form(mask) or _ends(picture[part], mask) < _ENDS:
                continue
            hole = mask > 0
            name = kind
            if kind == "white":
                light = _light(picture[part], mask)
                if light is not None:
                    hole, name = light, "light"
            x, y, right, bottom = bounds(hole)
            found.append((name, hole[y:bottom, x:right], (left + x, top + y)))
    return found


def _is_plain_form(mask):
    """Whether an area is a full rectangle or ellipse, turned or not."""
    import cv2

    contour = _contour(mask)
    filled = cv2.drawContours(np.zeros_like(mask), [contour], -1, 1, cv2.FILLED)
    if mask.sum() < 0.98 * filled.sum():
        return False
    _, (w, h), _ = cv2.minAreaRect(contour)
    if mask.sum() > _ALIKE * (w + 1) * (h + 1):
        return True
    ellipse = cv2.fitEllipse(contour)
    if not max(ellipse[1]) < 4 * max(mask.shape):
        return False
    form = cv2.ellipse(np.zeros_like(mask), ellipse, 1, cv2.FILLED)
    return (form & mask).sum() > _ALIKE * (form | mask).sum()


def _ends(picture, mask):
    """How often the colour changes on the way round an area, just outside."""
    import cv2

    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _RIM + 1,) * 2)
    x, y = _contour(cv2.dilate(mask, disc))[:, 0].T
    colours = picture[y, x].astype(int)
    far = np.abs(colours - np.roll(colours, 2, 0)).max(1) > 24
    return int((far & ~np.roll(far, 1)).sum())


def _light(picture, mask):
    """An area with its fading rim, or `None` where it ends at once."""
    import cv2

    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    distance = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    means = [grey[(distance > a) & (distance <= a + 1)].mean() for a in range(8)]
    falls = -np.diff([255.0, *means])
    # Soft: no ring of a pixel takes most of the fall.
    if (falls < -2).any() or falls.max() > 0.35 * falls.sum():
        return None
    return distance <= 8


def _contour(mask):
    import cv2

    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return max(found, key=len)
