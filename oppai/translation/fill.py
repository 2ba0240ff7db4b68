"""Complete the holes of a picture, and give a picture the style of another."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from keras import ops

from illustkit.errors import UserError
from illustkit.images import uint8_to_signed
from illustkit.options import check_number
from oppai.inference.marks import boxes_alpha, mask_alpha, read_mask
from oppai.translation.pairs import shrink
from oppai.translation.style import mix_styles, moments
from oppai.translation.translate import (
    DEFAULT,
    as_picture,
    in_parts,
    load_translation,
    pad_to,
)

RIM = 3  # pixels by which `cv2.seamlessClone` makes its mask smaller
STYLE_SIDE = 512  # pixels of a style's shorter side: more show no more of its strokes
FRAME = 32  # pixels: VGG16 takes what is outside for black, and sees it so far
# Pixels of the picture's shorter side at most, by tap: deep features are as large as
# those of the style, and soon seen.
SEEN_SIDES = dict.fromkeys(("relu4_1", "relu3_1", "relu2_1"), STYLE_SIDE)


def complete(
    picture: Any,
    model: Any = DEFAULT,
    *,
    boxes: Sequence[Sequence[float]] | None = None,
    mask: Any = None,
    feather: float = 4,
    poisson: bool = False,
) -> np.ndarray:
    """Fill holes of a picture with what fits around them.

    Each hole is seen with as much around it as it is wide. What is larger than the
    crops that the network learnt from is shrunk for it, so that large holes come back
    soft.

    Example:
    ```python
    whole = oppai.complete("torn.png", boxes=[(30, 40, 90, 80)])
    whole = oppai.complete("torn.png", "runs/complete", boxes=[(30, 40, 90, 80)])
    ```

    Args:
        picture: RGB uint8 `(height, width, 3)`, or the path of a picture.
        model: Run folder of the task "complete", or a loaded model. Defaults to
            "default", the package's own network.
        boxes: Boxes (left, top, right, bottom) in pixels. Defaults to none.
        mask: uint8 or bool `(height, width)`, white where the picture is hidden, or the
            path of a mask. Defaults to `None`.
        feather: Width in pixels of the rim over which the result fades in, outside the
            hole. Defaults to 4.
        poisson: Whether `blend_poisson` finishes each hole, as in the paper. Defaults
            to `False`.

    Returns:
        uint8 `(height, width, 3)`; away from the holes, the picture itself.

    Raises:
        UserError: If neither boxes nor a mask, or both, are given, nothing is marked,
            or all is.

    Reference:
        Iizuka et al. (2017).
    """
    if (boxes is None) == (mask is None):
        raise UserError("Completing needs `boxes` or a `mask`, and not both.")
    model = load_translation(model, "complete")
    picture = as_picture(picture)
    if boxes is not None:
        alpha = boxes_alpha(picture.shape, boxes, feather=feather)
    else:
        if not isinstance(mask, np.ndarray):
            mask = read_mask(mask, picture)
        alpha = mask_alpha(mask, picture.shape, feather=feather)
    hole = (alpha > 0).astype(np.uint8)
    if not hole.any():
        raise UserError("The mask marks nothing: white is what is to be completed.")
    if hole.all():
        raise UserError("All of the picture is marked: nothing is left to go by.")
    filled = picture.copy()
    found = cv2.connectedComponentsWithStats(hole, connectivity=8)
    for left, top, width, height, _ in found[2][1:]:
        place = _around(picture.shape, left, top, width, height, model.image_size)
        made = _made(model, filled[place], hole[place])
        if poisson:
            made = blend_poisson(filled[place], made, hole[place])
        inside = hole[place][..., None] > 0
        filled[place] = np.where(inside, made, filled[place])
        hole[top : top + height, left : left + width] = 0  # done: it can be seen now
    share = alpha[..., None] / np.float32(255)
    return np.rint(share * filled + (1 - share) * picture).astype("uint8")


def _around(shape, left, top, width, height, least):
    """Return the place of a hole with what it is seen with."""
    side = max(least, 2 * width, 2 * height)
    spans = []
    for first, extent, limit in zip((top, left), (height, width), shape, strict=False):
        length = min(side, limit)
        start = min(max(first + extent // 2 - length // 2, 0), limit - length)
        spans.append(slice(int(start), int(start + length)))
    return tuple(spans)


def _made(model, picture, hole):
    """Return what the network makes of a crop with a hole."""
    height, width = hole.shape
    scale = min(1.0, model.image_size / max(height, width))
    size = [max(8, round(n * scale)) for n in (width, height)]
    seen = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    # A pixel that is partly of the hole shows some of what is hidden: it counts whole.
    small = cv2.resize(255 * hole, size, interpolation=cv2.INTER_AREA)
    small = np.where(small > 0, 255, 0).astype("uint8")[..., None]
    seen = model.task.fill(seen, small)
    made = model.predict({"picture": seen, "hole": small}, (size[1], size[0]))
    large = cv2.resize(made, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint(large * 255), 0, 255).astype("uint8")


def blend_poisson(
    picture: np.ndarray, made: np.ndarray, hole: np.ndarray
) -> np.ndarray:
    """Fit what a network made for a hole to the colours around it, by its gradients.

    The fast marching method fills the hole. But for its rim of 3 pixels, which OpenCV
    leaves as they are, that is replaced by what has the gradients of `made`.

    Example:
    ```python
    finished = blend_poisson(picture, made, hole)
    ```

    Args:
        picture: uint8 `(height, width, 3)`; the pixels of the hole are not read.
        made: What the network made, of the same shape, outside the hole as well.
        hole: uint8 `(height, width)`, above 0 in the hole.

    Returns:
        uint8 `(height, width, 3)`; outside the hole, the picture.

    Reference:
        Iizuka et al. (2017), section 3.4; Telea (2004); Pérez et al. (2003).
    """
    inside = np.where(hole > 0, 255, 0).astype("uint8")
    marched = cv2.inpaint(picture, inside, 1, cv2.INPAINT_TELEA)
    # The solver needs pixels around the hole.
    pad = RIM + 1
    sides = [(pad, pad), (pad, pad), (0, 0)]
    marched, made = (np.pad(p, sides, mode="edge") for p in (marched, made))
    inside = np.pad(inside, pad)
    left, top, width, height = cv2.boundingRect(inside)
    middle = left + width // 2, top + height // 2
    blended = cv2.seamlessClone(made, marched, inside, middle, cv2.NORMAL_CLONE)
    blended = blended[pad:-pad, pad:-pad]
    return np.where(hole[..., None] > 0, blended, picture)


def stylize(
    picture: Any,
    style: Any,
    model: Any = DEFAULT,
    *,
    strength: float = 1.0,
    weights: Sequence[float] | None = None,
    keep_colours: bool = False,
) -> np.ndarray:
    """Give a picture the style of another, or of several.

    A large picture is decoded in parts, all with the means and deviations of the whole
    picture's features, so that no seam shows. From coarse to fine, deep features are
    those of the picture at 512 pixels. The network with two encoders paints
    each part by itself.

    Example:
    ```python
    made = oppai.stylize("photo.png", "painting.png", strength=0.8)
    ```

    Args:
        picture: RGB uint8 `(height, width, 3)`, or the path of a picture.
        style: A picture likewise, or a list of them.
        model: Run folder of the task "stylize", or a loaded model. Defaults to
            "default", the package's own network.
        strength: From 0 (the picture; by a run without `coarse_to_fine` the picture,
            decoded) to 1. Defaults to 1.
        weights: One number for each of several styles. Defaults to equal ones.
        keep_colours: Whether only the lightness is changed. Defaults to `False`.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        UserError: If an option is out of its range, or a file is no picture.

    Reference:
        Huang and Belongie (2017), sections 7.3 and 7.4.
    """
    check_number("strength", strength, least=0, most=1)
    styles = style if isinstance(style, (list, tuple)) else [style]
    weights = [1.0] * len(styles) if weights is None else list(weights)
    if len(weights) != len(styles) or min(weights) < 0 or sum(weights) <= 0:
        raise UserError(
            f"`weights` has a number of 0 or more for each of {len(styles)} styles. "
            f"Received: {weights}"
        )
    model = load_translation(model, "stylize")
    picture = as_picture(picture)
    seen = [_signed(model, shrink(as_picture(each), STYLE_SIDE)) for each in styles]
    paint = _by_vector if hasattr(model.network, "painter") else _by_moments
    result = model.task.result({}, paint(model, picture, seen, weights, strength))
    return _with_colours_of(picture, result) if keep_colours else result


def _signed(model, picture):
    """Return a picture, uint8 or signed, as a batch of one, padded for the network."""
    padded = ops.convert_to_tensor(pad_to(picture, model.network.multiple)[None])
    return uint8_to_signed(padded) if picture.dtype == np.uint8 else padded


def _by_moments(model, picture, styles, weights, strength):
    """Paint with the mixed moments of the styles' features (AdaIN), tap by tap."""
    network, picture = model.network, uint8_to_signed(picture)
    frame = FRAME if network.coarse_to_fine else 0
    picture = np.pad(picture, [(frame, frame), (frame, frame), (0, 0)], "symmetric")
    for tap, decoder in network.stages:
        wanted = mix_styles([network.encode(style, tap) for style in styles], weights)
        seen = picture
        if network.coarse_to_fine:
            seen = shrink(picture, SEEN_SIDES.get(tap, max(picture.shape)))
        made = _at_tap(model, seen, tap, decoder, wanted, strength)
        if seen is not picture:  # what changes is soft
            made = picture + cv2.resize(made - seen, picture.shape[1::-1])
        picture = made
    height, width = picture.shape[:2]
    return picture[frame : height - frame, frame : width - frame]


def _at_tap(model, picture, tap, decoder, wanted, strength):
    """Return a picture decoded with the moments that its features shall have."""
    known: list[Any] = []

    def encode(place):
        if known:
            return known[0]
        features = model.network.encode(_signed(model, picture[place]), tap)
        if place == np.s_[:, :]:  # the whole picture, which is seen twice
            known.append(features)
        return features

    mean, deviation = _moments_of(picture.shape[:2], model.tile, encode)
    to_mean, to_deviation = wanted

    def decode(place, size):
        features = encode(place)
        mixed = (features - mean) / deviation * to_deviation + to_mean
        mixed = strength * mixed + (1 - strength) * features
        part = _signed(model, picture[place])
        made = model.network.decode(decoder, part, features, mixed)
        return ops.convert_to_numpy(made)[0, : size[0], : size[1]]

    return in_parts(picture.shape[:2], model.tile, decode)


def _moments_of(size, tile, encode):
    """Return mean and deviation of the features of a whole picture, seen in parts."""
    own: list[tuple[Any, Any, int]] = []

    def measure(place, size):
        mean, deviation = moments(encode(place))
        own.append((mean, deviation**2 + mean**2, size[0] * size[1]))
        return np.zeros((*size, 1), "float32")

    in_parts(size, tile, measure)
    pixels = sum(n for _, _, n in own)
    mean = sum(m * n for m, _, n in own) / pixels
    return mean, ops.sqrt(sum(s * n for _, s, n in own) / pixels - mean**2)


def _by_vector(model, picture, styles, weights, strength):
    """Paint with the mixed vectors of the styles, and of the picture's own."""
    network = model.network
    own = network.encoder(_signed(model, shrink(picture, STYLE_SIDE)), training=False)
    vector = (1 - strength) * own
    for style, weight in zip(styles, weights, strict=True):
        share = strength * weight / sum(weights)
        vector = vector + share * network.encoder(style, training=False)

    def paint(place, size):
        made = network.painter([_signed(model, picture[place]), vector], training=False)
        return ops.convert_to_numpy(made)[0, : size[0], : size[1]]

    return in_parts(picture.shape[:2], model.tile, paint)


def _with_colours_of(picture, result):
    """Return the lightness of one picture with the colours of another."""
    from illustkit.images import lab_to_uint8, uint8_to_lab

    lightness = uint8_to_lab(result)[..., :1]
    return lab_to_uint8(np.concatenate([lightness, uint8_to_lab(picture)[..., 1:]], 2))
