"""Read boxes, masks and paint as a soft alpha of what is to be restored."""

import math
import os
from collections.abc import Sequence

import numpy as np

from illustkit.errors import UserError
from illustkit.images import read_picture, write_image
from illustkit.options import check_number
from oppai.censoring.regions import bounds

# Noise of a JPEG mask around pure black and pure white, in levels of 255.
_NOISE = 8
# From this level on a pixel of a mask is hidden, and a pixel of a layer painted.
_HALF = 128
# Greys that make a rim: ringing of a JPEG reaches less far from black and white.
_GREY = 32, 224
# Pixels of grey for each pixel of the edge: an anti-aliased edge has 0.7 to 1.3, the
# narrowest rim of a blurred mask 2.
_RIM = 1.5
# Largest difference of a layer's colours, and of a copy from its picture, in levels.
_ALIKE = 16


class NothingCensoredError(UserError):
    """Report that nothing is marked or found, or that it shows no known censor."""


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
    check_boxes(boxes, shape)
    height, width = shape[:2]
    hard = np.zeros((height, width), bool)
    for left, top, right, bottom in boxes:
        rows = slice(max(math.floor(top), 0), math.ceil(bottom))
        hard[rows, max(math.floor(left), 0) : math.ceil(right)] = True
    return _feathered(hard, feather)


def check_boxes(
    boxes: Sequence[Sequence[float]], shape: Sequence[int] | None = None
) -> None:
    """Refuse boxes that mark nothing.

    Example:
    ```python
    check_boxes([(57.4, 258.2, 343.8, 471.0)], (848, 600))
    ```

    Args:
        boxes: Boxes (left, top, right, bottom), in pixels, floats allowed.
        shape: (height, width) of the picture. Defaults to `None`: unknown as yet.

    Raises:
        UserError: If a box is empty, not finite, in fractions of the picture, or
            wholly outside it.
    """
    for box in boxes:
        values = np.asarray(box, np.float64)
        if values.shape != (4,) or not np.isfinite(values).all():
            raise UserError(
                "A box is four finite numbers (left, top, right, bottom). "
                f"Received: box={box}"
            )
        left, top, right, bottom = values.tolist()
        if left >= right or top >= bottom:
            raise UserError(
                "A box needs left < right and top < bottom, in pixels. "
                f"Received: box={box}"
            )
        # Less than one pixel: no one means that.
        if 0 <= values.min() and values.max() <= 1 and (values % 1).any():
            scaled = ""
            if shape is not None:
                pixels = np.rint(values * ((shape[1], shape[0]) * 2)).astype(int)
                scaled = f", here {','.join(map(str, pixels.tolist()))}"
            raise UserError(
                "A box is in pixels; these are fractions of the picture. Multiply them "
                f"by its width and height{scaled}. Received: box={box}"
            )
        if shape is None:
            continue
        height, width = shape[:2]
        if left >= width or top >= height or right <= 0 or bottom <= 0:
            raise UserError(
                f"A box lies wholly outside the picture of {width}x{height} pixels. "
                f"Received: box={box}"
            )


def mask_alpha(
    mask: np.ndarray, shape: Sequence[int], *, feather: float = 8
) -> np.ndarray:
    """Read a mask picture (white = restore) as a soft alpha.

    Each connected part of the mask is read by itself. Where greys make a rim around it
    of two pixels and more, they are the soft alpha. Where they are fewer (a hard edge,
    anti-aliased or from a JPEG), the part gets a rim of `feather` pixels outside.
    Levels within 8 of black or white are noise and count as black or white. A mask of
    0 and 1 alone counts as one of 0 and 255.

    Example:
    ```python
    alpha = mask_alpha(read_image("mask.png"), picture.shape)
    ```

    Args:
        mask: bool or uint8 (height, width), (height, width, 1) or (height, width, 3).
        shape: (height, width) of the picture.
        feather: Width in pixels of the rim of hard edges; 0 takes the mask as it is.
            Defaults to `8`.

    Returns:
        uint8 (height, width): 255 = restore, 0 = keep.

    Raises:
        UserError: If the mask has another size than the picture, another type, or
            levels so dark that they mark nothing.
    """
    import cv2

    check_number("feather", feather, least=0)
    mask = _flat(mask)
    if mask.shape != tuple(shape[:2]):
        raise UserError(
            f"The mask has to be of the picture's size, {shape[1]}x{shape[0]} pixels. "
            f"Received: {mask.shape[1]}x{mask.shape[0]}"
        )
    largest = int(mask.max())
    if mask.dtype == np.bool_ or largest == 1:
        return _feathered(mask > 0, feather)
    if 0 < largest < _NOISE:
        raise UserError(
            "The mask marks nothing: white, level 255, is restored, and its brightest "
            f"pixel has level {largest}. Multiply it by {255 // largest}, or save it "
            "as black and white."
        )
    alpha = np.where(mask < _NOISE, 0, mask)
    alpha = np.where(mask > 255 - _NOISE, 255, alpha).astype(np.uint8)
    box = bounds(alpha > 0)
    if box is None or feather == 0:
        return alpha
    marked = np.s_[box[1] : box[3], box[0] : box[2]]
    # One pixel beyond, or the edge of the picture where that is the mask's own edge.
    around = np.s_[max(box[1] - 1, 0) : box[3] + 1, max(box[0] - 1, 0) : box[2] + 1]
    part = alpha[around]
    core = part >= _HALF
    n, labels = cv2.connectedComponents((part > 0).astype(np.uint8))
    inner = cv2.erode(core.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    edges = np.bincount(labels[core & ~inner], minlength=n)
    greys = np.bincount(labels[(part >= _GREY[0]) & (part < _GREY[1])], minlength=n)
    hard = np.zeros(alpha.shape, bool)
    hard[around] = core & (greys < _RIM * edges)[labels]
    soft = _feathered(hard, feather)
    soft[marked] = np.maximum(soft[marked], alpha[marked])
    return soft


def grow_mask(mask: np.ndarray, n: int) -> np.ndarray:
    """Widen what a mask marks on every side, or narrow it.

    Each level reaches `n` pixels further, in every direction alike, so that a soft rim
    moves and keeps its width. The edge of the picture is no edge of what is marked.

    Example:
    ```python
    wider = grow_mask(mask, 4)
    narrower = grow_mask(mask, -4)
    ```

    Args:
        mask: bool or uint8, as `mask_alpha` takes it.
        n: Pixels; negative ones narrow.

    Returns:
        An array `(height, width)` of the same type.

    Reference:
        Grey dilation and erosion by a disc of radius `n`.
    """
    import cv2

    mask = _flat(mask)
    if mask.dtype == np.bool_:
        return grow_mask(mask.astype(np.uint8), n) > 0
    if n < 0:
        return 255 - grow_mask(255 - mask, -n)
    box = bounds(mask > 0)
    if n == 0 or box is None:
        return mask.copy()
    left, top = max(box[0] - n, 0), max(box[1] - n, 0)
    around = np.s_[top : box[3] + n, left : box[2] + n]
    part = mask[around]
    height, grown = len(part), part.copy()
    # A disc is a stack of rows: each is widened at once, and laid over the others.
    for dy in range(min(n, height - 1) + 1):
        half = math.isqrt(n * n - dy * dy)
        row = cv2.dilate(part, np.ones((1, 2 * half + 1), np.uint8))
        np.maximum(grown[dy:], row[: height - dy], out=grown[dy:])
        np.maximum(grown[: height - dy], row[dy:], out=grown[: height - dy])
    result = mask.copy()
    result[around] = grown
    return result


def invert_mask(mask: np.ndarray) -> np.ndarray:
    """Turn a mask round: what was black is hidden, and white is not.

    Example:
    ```python
    mask = invert_mask(read_mask("mask.png"))
    ```

    Args:
        mask: bool or uint8, as `mask_alpha` takes it; of 0 and 1 alone, 1 is white.

    Returns:
        An array `(height, width)` of the same type.
    """
    mask = _flat(mask)
    if mask.dtype == np.bool_:
        return ~mask
    return (1 if mask.max(initial=0) == 1 else 255) - mask


def _flat(mask):
    """Return a mask as an array `(height, width)`."""
    mask = np.asarray(mask)
    if mask.ndim == 3 and mask.shape[-1] in (1, 3):
        mask = mask.max(axis=-1)
    if mask.ndim != 2 or mask.dtype not in (np.bool_, np.uint8):
        raise UserError(
            "A mask is a bool or uint8 array (height, width) with white = restore. "
            f"Received: shape={mask.shape}, dtype={mask.dtype}"
        )
    return mask


def grow_boxes(
    boxes: Sequence[Sequence[float]], n: float
) -> list[tuple[float, float, float, float]]:
    """Widen boxes on every side, or narrow them.

    Example:
    ```python
    grow_boxes([(10, 20, 30, 40)], 4)     # [(6, 16, 34, 44)]
    ```

    Args:
        boxes: Boxes (left, top, right, bottom), in pixels.
        n: Pixels; negative ones narrow.

    Returns:
        List of boxes; they may reach beyond the picture.

    Raises:
        UserError: If nothing is left of a box.
    """
    grown = []
    for box in boxes:
        left, top, right, bottom = box
        grown.append((left - n, top - n, right + n, bottom + n))
        if right - left + 2 * n <= 0 or bottom - top + 2 * n <= 0:
            raise UserError(f"`grow` of {n} leaves nothing of a box. Received: {box}")
    return grown


def erased_mask(alpha: np.ndarray) -> np.ndarray:
    """Return what is not opaque: no colour can be trusted there.

    Example:
    ```python
    erased_mask(np.array([[255, 128, 0]], np.uint8))     # [[0, 255, 255]]
    ```

    Args:
        alpha: uint8 `(height, width)`, 255 = opaque.

    Returns:
        uint8 `(height, width)`, 255 = erased.
    """
    return np.where(alpha > 255 - _NOISE, 0, 255).astype(np.uint8)


def _feathered(hard, feather):
    import cv2

    check_number("feather", feather, least=0)
    alpha = hard.astype(np.uint8) * 255
    box = bounds(hard)
    if box is None or feather == 0:
        return alpha
    # Twice the rim, so that it is seen whether the picture has room for it.
    room = math.ceil(2 * feather) + 2
    left, top = max(box[0] - room, 0), max(box[1] - room, 0)
    around = np.s_[top : box[3] + room, left : box[2] + room]
    if hard[around].all():
        return alpha
    distance = cv2.distanceTransform(
        (~hard[around]).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    # A rim as wide as a tiny picture would leave nothing of it to restore from.
    feather = min(feather, max(distance.max() - 1, 0) / 2)
    rim = 255 * np.clip(1 - distance / (feather + 1), 0, 1)
    alpha[around] = np.rint(rim).astype(np.uint8)
    return alpha


def read_mask(
    path: str | os.PathLike[str], picture: np.ndarray | None = None
) -> np.ndarray:
    """Read a mask file: white is hidden, or what its transparency says.

    Without transparency the brightest channel is the mask. With it, these are told
    apart:

    - All that is painted has one colour, whichever: a layer. Where its whole outer edge
      is empty, the paint is hidden (strokes on an empty layer). Where its whole outer
      edge is painted, the transparent part is hidden (a hole in a sheet).
    - The opaque part shows the picture itself: the transparent part, which was erased,
      is hidden.
    - The opaque part is black and white: white is hidden; black and transparent stay.

    Example:
    ```python
    alpha = mask_alpha(read_mask("b_mask.png", picture), picture.shape)
    ```

    Args:
        path: The file.
        picture: uint8 `(height, width, 3)`, the picture that it is the mask of.
            Defaults to `None`: no mask is a copy of it.

    Returns:
        uint8 `(height, width)`, 255 = hidden.

    Raises:
        UserError: If the transparency can be read in two ways.
        ImageError: If the file is no readable picture.
    """
    mask = read_picture(path)
    values, alpha = mask.rgb.max(axis=-1), mask.alpha
    if alpha is None or alpha.min() > 255 - _NOISE:
        return values
    if alpha.max() < _NOISE:
        raise UserError(
            f"{path}: this mask is transparent everywhere. Paint white what is to be "
            "restored."
        )
    opaque = alpha >= min(_HALF, int(alpha.max()))
    colours = mask.rgb[opaque]
    advice = (
        "Save the mask as black and white, without transparency: white is restored."
    )
    if np.ptp(colours, axis=0).max() <= _ALIKE:
        edge = np.concatenate([opaque[0], opaque[-1], opaque[:, 0], opaque[:, -1]])
        if edge.all() and not opaque.all():
            return 255 - alpha
        if not edge.any():
            return alpha
        raise UserError(
            f"{path}: this mask has one colour and transparent parts, and both reach "
            f"its edge: it is not clear which of them is to be restored. {advice}"
        )
    if picture is not None and picture.shape == mask.rgb.shape:
        difference = np.abs(colours.astype(np.int16) - picture[opaque]).max(axis=-1)
        if np.mean(difference <= _ALIKE) > 0.95:
            return 255 - alpha
    extreme = (colours.max(axis=-1) < _NOISE) | (colours.min(axis=-1) > 255 - _NOISE)
    if extreme.mean() > 0.9:
        return np.rint(values * (alpha / 255)).astype(np.uint8)
    raise UserError(
        f"{path}: this mask has several colours and transparent parts, and is no copy "
        f"of the picture: it is not clear which part is to be restored. {advice}"
    )


def write_mask(
    path: str | os.PathLike[str], mask: np.ndarray, *, overwrite: bool = False
) -> None:
    """Write a mask as a grey picture, unless another file has the name.

    Example:
    ```python
    write_mask("masks/a.png", oppai.find_censored("a.png").mask)
    ```

    Args:
        path: The file.
        mask: uint8 `(height, width)`, 255 = hidden.
        overwrite: Whether to replace another file. Defaults to `False`; the same mask
            may be there.

    Raises:
        UserError: If another file is there.
        ImageError: If it cannot be written.
    """
    if os.path.exists(path) and not overwrite:
        try:
            same = np.array_equal(read_picture(path).rgb[..., 0], mask)
        except UserError:  # no picture at all
            same = False
        if not same:
            raise UserError(f"{path}: another mask is here. `overwrite` replaces it.")
        return
    write_image(path, mask)


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
