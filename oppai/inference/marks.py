"""Read boxes, masks and paint as a soft alpha of what is to be restored."""

from collections.abc import Sequence

import numpy as np

from illustkit.errors import UserError

# Noise of a JPEG mask around pure black and pure white, in levels of 255.
_NOISE = 8


def boxes_alpha(
    shape: Sequence[int], boxes: Sequence[Sequence[float]], *, feather: float = 8
) -> np.ndarray:
    """Return the alpha of boxes, with a soft rim outside them.

    Example:
    ```python
    alpha = boxes_alpha((848, 600), [(57.4, 258.2, 343.8, 471.0)], feather=8)
    ```

    Args:
        shape: (height, width) of the picture.
        boxes: Boxes (left, top, right, bottom), in pixels, floats allowed. They are
            cut at the picture's edges.
        feather: Width of the rim in pixels. Defaults to `8`.

    Returns:
        uint8 (height, width): 255 in the boxes, falling to 0 over the rim.

    Raises:
        UserError: If a box is empty, not finite or wholly outside the picture.
    """
    height, width = shape[:2]
    hard = np.zeros((height, width), bool)
    for box in boxes:
        values = np.asarray(box, np.float64)
        if values.shape != (4,) or not np.isfinite(values).all():
            raise UserError(
                "A box is four finite numbers (left, top, right, bottom). "
                f"Received: box={box}"
            )
        left, top, right, bottom = values
        if left >= right or top >= bottom:
            raise UserError(
                "A box needs left < right and top < bottom, in pixels. "
                f"Received: box={box}"
            )
        if left >= width or top >= height or right <= 0 or bottom <= 0:
            raise UserError(
                f"A box lies wholly outside the picture of {width}x{height} pixels. "
                f"Received: box={box}"
            )
        rows = slice(max(int(np.floor(top)), 0), int(np.ceil(bottom)))
        hard[rows, max(int(np.floor(left)), 0) : int(np.ceil(right))] = True
    return _feathered(hard, feather)


def mask_alpha(
    mask: np.ndarray, shape: Sequence[int], *, feather: float = 8
) -> np.ndarray:
    """Read a mask picture (white = restore) as a soft alpha.

    A mask with greys is used as it is: its greys are the soft rim. A mask of only black
    and white gets a rim of `feather` pixels outside the white. Levels within 8 of
    black or white are the noise of a JPEG and count as black or white.

    Example:
    ```python
    alpha = mask_alpha(read_image("mask.png"), picture.shape)
    ```

    Args:
        mask: bool or uint8 (height, width), (height, width, 1) or (height, width, 3).
        shape: (height, width) of the picture.
        feather: Width in pixels of the rim of a black and white mask. Defaults to `8`.

    Returns:
        uint8 (height, width): 255 = restore, 0 = keep.

    Raises:
        UserError: If the mask has another size than the picture or another type.
    """
    mask = np.asarray(mask)
    if mask.ndim == 3 and mask.shape[-1] in (1, 3):
        mask = mask.max(axis=-1)
    if mask.ndim != 2 or mask.dtype not in (np.bool_, np.uint8):
        raise UserError(
            "A mask is a bool or uint8 array (height, width) with white = restore. "
            f"Received: shape={mask.shape}, dtype={mask.dtype}"
        )
    if mask.shape != tuple(shape[:2]):
        raise UserError(
            f"The mask has to be of the picture's size, {shape[1]}x{shape[0]} pixels. "
            f"Received: {mask.shape[1]}x{mask.shape[0]}"
        )
    if mask.dtype == np.bool_:
        return _feathered(mask, feather)
    alpha = np.where(mask < _NOISE, 0, mask)
    alpha = np.where(mask > 255 - _NOISE, 255, alpha).astype(np.uint8)
    soft = (alpha > 0) & (alpha < 255)
    return alpha if soft.any() else _feathered(alpha > 0, feather)


def _feathered(hard, feather):
    import cv2

    if feather < 0:
        raise UserError(f"feather is a number of pixels >= 0. Received: {feather}")
    if hard.all() or not hard.any():
        return hard.astype(np.uint8) * 255
    distance = cv2.distanceTransform(
        (~hard).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    # A rim as wide as a tiny picture would leave nothing of it to restore from.
    feather = min(feather, max(distance.max() - 1, 0) / 2)
    return np.rint(255 * np.clip(1 - distance / (feather + 1), 0, 1)).astype(np.uint8)


def painted_mask(
    image: np.ndarray,
    colour: Sequence[int] = (0, 255, 0),
    *,
    tolerance: int = 0,
    grow: int | None = None,
) -> np.ndarray:
    """Find pixels painted over in one colour, as DeepCreamPy's users do in green.

    Example:
    ```python
    mask = painted_mask(read_image("painted.png"))
    ```

    Args:
        image: uint8 (height, width, 3), RGB.
        colour: The paint, RGB in 0..255. Defaults to `(0, 255, 0)`.
        tolerance: Largest difference from the colour in any channel, in levels of 255;
            0 suits a PNG, 40 or so a JPEG. Defaults to `0`.
        grow: Pixels by which the paint is widened, because the edge of a smooth brush
            mixes paint and picture, and a JPEG of half the colour resolution spreads
            it further. Defaults to `2`, and to `6` with a tolerance.

    Returns:
        uint8 (height, width): 255 = painted, 0 = picture.

    Raises:
        UserError: If the colour is invalid.

    Reference:
        deeppomf/DeepCreamPy, "green (0, 255, 0) marks what to decensor".
    """
    import cv2

    if len(colour) != 3 or not all(0 <= value <= 255 for value in colour):
        raise UserError(
            f"A colour is three numbers (R, G, B) in 0..255. Received: {colour}"
        )
    if grow is None:
        grow = 6 if tolerance else 2
    difference = np.abs(image.astype(np.int16) - np.asarray(colour, np.int16))
    painted = (difference.max(axis=-1) <= tolerance).astype(np.uint8) * 255
    return cv2.dilate(painted, np.ones((2 * grow + 1,) * 2, np.uint8))


def fill_painted(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Replace painted pixels by the nearest pixel of the picture.

    So neither a network that sees the hole nor resampling reads the paint.

    Example:
    ```python
    clean = fill_painted(image, painted_mask(image))
    ```

    Args:
        image: uint8 (height, width, 3).
        mask: uint8 (height, width), not 0 where painted; some pixel has to be 0.

    Returns:
        A new uint8 (height, width, 3), equal to `image` where `mask` is 0.
    """
    import cv2

    _, labels = cv2.distanceTransformWithLabels(
        mask, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colours = np.zeros((labels.max() + 1, 3), np.uint8)
    valid = mask == 0
    colours[labels[valid]] = image[valid]
    return np.where(valid[..., None], image, colours[labels])
