"""Restore the censored regions of one picture of any size."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from illustkit.errors import UserError
from illustkit.images import read_image, read_picture
from illustkit.options import check_number
from oppai.censoring.censor import blend as mix
from oppai.censoring.regions import Censored, Region, bounds
from oppai.detection.find_censored import Found, find_censored
from oppai.detection.grids.blended import see_through
from oppai.detection.recognise import blurs_under, mosaics_under
from oppai.inference.marks import (
    NothingCensoredError,
    boxes_alpha,
    check_boxes,
    erased_mask,
    fill_painted,
    grow_boxes,
    grow_mask,
    invert_mask,
    mask_alpha,
    painted_mask,
    read_mask,
)
from oppai.inference.sharpen import sharpen_blurs
from oppai.inference.tiling import plan_tiles, predict_regions

if TYPE_CHECKING:
    from oppai.models.restorers import BaseRestorer

# Width in pixels of the rim over which the restored part of a found blur fades.
_RIM = 6
# What `load_restorer` takes beside a name.
LOADING = "engine", "precision", "mirror"
# Pixels around what is marked that are looked at, at least.
_AROUND = 1024
# Share of a picture above which a mask is likely to be the wrong way round.
_MOST = 0.5
# The mask that stands for the transparency of the picture's own file.
OWN_ALPHA = "alpha"
_MASKS = {"mask", "masks", "mask_pattern"}
_MARKS = _MASKS | {"boxes", "metadata", "mask_colour"}
_DONE = 0.9  # of a marked part that was restored before, from which all of it was
_RESTORED = (
    "Nothing censored is here: it was restored before and is as it was then. `again` "
    "restores it anyway."
)
_NOTHING = "Nothing censored was found: mark it with boxes, a mask or paint."
_BLACK = (
    "There is nothing to restore: no pixel is marked. The mask is black everywhere."
)
_UNKNOWN = (
    "What is marked shows no mosaic, blur, white-out, light or bar, and is left as it "
    "is. `fill` fills it anyway."
)


def restore(
    image: "str | os.PathLike[str] | np.ndarray | Censored",
    *,
    restorer: "BaseRestorer | str | os.PathLike[str] | None" = None,
    boxes: Sequence[Sequence[float]] | None = None,
    mask: Any = None,
    mask_colour: Sequence[int] | None = None,
    found: "Found | Censored | None" = None,
    tolerance: int = 0,
    blend: float | None = None,
    feather: float = 8,
    grow: int = 0,
    invert: bool = False,
    fill: bool = False,
    batch_size: int = 8,
    engine: str | None = None,
    precision: str | None = None,
    mirror: bool | None = None,
    done: np.ndarray | None = None,
    used: list[np.ndarray] | None = None,
) -> np.ndarray:
    """Restore the marked regions of a picture and keep every other pixel.

    With the soft alpha `a` of what is marked, the network's prediction `p` and the
    given picture `c`, the result is `c + a · blend · (p − c)`: bit-exact where `a` is
    0, and without a seam. Each region is cut out with its context, brought to the
    network's scale, predicted and brought back; tiles of a long region fade into one
    another. A restorer of a fixed size gets squares as in training (1.5 times the
    region's long side, at least `restorer.minimum` pixels); one that sees mosaics, as
    the package's own, gets each mosaic and blur at the scale on which it was trained.

    With nothing marked, `oppai.find_censored` finds what is censored. For a restorer
    that sees mosaics, the blocks of marked mosaics and the strength of marked blurs are
    found too. Such a restorer leaves alone what is marked and shows no mosaic, blur,
    white-out, light or bar: so a mosaic with steps is restored once. What was a blur of
    7 pixels and more, a white-out or a soft mosaic comes back soft, and in an array
    nothing tells it from a blur: if it is marked again, it may be restored again.
    `oppai restore` notes in a PNG, JPEG, WebP or GIF what it restored, and leaves that
    alone.

    A blended mosaic, through which the picture shows, is taken off: what lies below
    follows from it nearly exactly, and no network is asked. A blur is deconvolved
    first; its kernel, Gaussian or the mean over a square, is found within some percent.

    Example:
    ```python
    restored = oppai.restore("a.png")  # what it finds, with the package's own weights
    restored = oppai.restore("a.png", restorer="sharp")
    restored = oppai.restore(oppai.add_mosaic(picture, (64, 80, 192, 176)))
    restorer = oppai.load_restorer("runs/first")
    restored = oppai.restore("a.png", boxes=[(57, 258, 344, 471)], restorer=restorer)
    restored = oppai.restore("b.png", mask="b_mask.png", restorer=restorer)
    restored = oppai.restore("b.png", mask="b_mask.png", grow=4)
    restored = oppai.restore("c.png", mask_colour=(0, 255, 0), restorer=restorer)
    ```

    Args:
        image: Path, or uint8 RGB array (height, width, 3), which is not changed. A
            transparent file is laid over white. Or a `Censored`, as of
            `oppai.add_mosaic`, whose hidden pixels are restored.
        restorer: What `load_restorer` takes or returns: "default", the package's own;
            "sharp", its second, which invents likely detail; a run; or any
            `oppai.BaseRestorer`. Defaults to `None`, "default".
        boxes: Boxes (left, top, right, bottom) in pixels of the picture. Give one of
            `boxes`, `mask`, `mask_colour` and `found`, or none.
        mask: Path, or bool or uint8 array (height, width), as large as the picture:
            white is restored, and greys around it are the soft rim; see
            `oppai.mask_alpha`. Of a file with transparency: strokes on an empty layer
            are restored; so is what was erased from a copy of the picture or from a
            sheet of one colour. What can be read in two ways is refused. "alpha" is
            the transparency of the picture's own file: what was erased is restored
            (a file of that name is "./alpha").
        mask_colour: RGB colour, 0..255, with which regions are painted over, as
            (0, 255, 0) for DeepCreamPy.
        found: A `Found`, as of `oppai.find_censored`, or a `Censored`, as of
            `oppai.irregular_mask`, whose mask and grids are taken.
        tolerance: Largest difference from `mask_colour` per channel, in levels of
            255; a JPEG needs some 40. Defaults to `0`.
        blend: Weight of the prediction inside the mask, 0..1; the rest is the given
            picture. Defaults to the restorer's (0.5 for the chapter's, 1 for the
            package's own). Paint has no content to blend with, so it is 1 there.
        feather: Width in pixels of the soft rim outside boxes, paint and the hard
            edges of masks. Defaults to `8`.
        grow: Pixels by which boxes, a mask or paint are widened on every side;
            negative ones narrow. Defaults to `0`.
        invert: Whether black is restored in the mask, and white stays. Defaults to
            `False`.
        fill: Restore what is marked even where it shows no known censor, as if its
            content were missing. Defaults to `False`.
        batch_size: Tiles that are predicted at once. Defaults to `8`.
        engine: As in `load_restorer`, for a restorer that is named; so are `precision`
            and `mirror`. Defaults to `None`, "auto".
        precision: As in `load_restorer`. Defaults to `None`.
        mirror: As in `load_restorer`. Defaults to `None`.
        done: bool `(height, width)`, what was restored before and stays as it is. An
            array does not tell: `oppai restore` notes it in the file. Defaults to
            `None`, nothing.
        used: List that receives the mask of what is restored: uint8 `(height, width)`,
            255 = restored, with its soft rim. Defaults to `None`.

    Returns:
        A new uint8 RGB array of the picture's size.

    Raises:
        UserError: If what to restore is given twice; if nothing is given and nothing is
            found; if what is marked lies outside the picture, has another size, is
            nothing or is the whole picture.
        NothingCensoredError: If nothing is found, or what is marked shows no known
            censor; a `UserError`.
        ImageError: If a path is no readable picture.

    Reference:
        The chapter, "Inference" and its result figures (the blend of 0.5).
    """
    if isinstance(image, Censored):
        if image.image is None:
            raise UserError("The `Censored` holds no image: give it as `found`.")
        if found is None and boxes is None and mask is None and mask_colour is None:
            found = image
        image = image.image
    if isinstance(mask, (Censored, Found)):
        mask = mask.mask
    picture = read_image(image)
    marks = {"boxes": boxes, "mask": mask, "mask_colour": mask_colour, "found": found}
    given = [name for name, value in marks.items() if value is not None]
    if len(given) > 1:
        raise UserError(
            "Say what to restore by one of boxes, mask, mask_colour and found. "
            f"Received: {' and '.join(given)}"
        )
    check_changes(given, grow, invert, mask)
    if isinstance(mask, str) and mask == OWN_ALPHA:
        picture, found = without_erased(picture, _own_alpha(image), grow)
        mask, blend = None, whole_blend(blend)
    chosen = open_restorer(restorer, engine=engine, precision=precision, mirror=mirror)
    # None: the mosaics and blurs under what is marked are not known yet.
    censors: list[Region] | None = None
    if boxes is not None:
        check_boxes(boxes, picture.shape)
        alpha = boxes_alpha(picture.shape, grow_boxes(boxes, grow), feather=feather)
    elif mask is not None:
        alpha = _alpha_of(mask, picture, feather, grow, invert)
    elif mask_colour is not None:
        blend, censors = whole_blend(blend), []
        painted = painted_mask(picture, mask_colour, tolerance=tolerance)
        painted = grow_mask(painted, grow)
        alpha = mask_alpha(painted, picture.shape, feather=feather)
        if not alpha.any():
            raise NothingCensoredError(
                f"Nothing is painted in the colour {tuple(mask_colour)}. A JPEG needs "
                f"a tolerance. Received: tolerance={tolerance}"
            )
        if not painted.all():
            picture = fill_painted(picture, painted)
    else:
        found = find_censored(picture) if found is None else found
        alpha, censors = _hidden(picture, found, feather)
    blend = chosen.blend if blend is None else blend
    if not 0 <= blend <= 1:
        raise UserError(f"blend is a weight, 0..1. Received: blend={blend}")
    # A small part of a large picture is restored in a cut of it.
    output, cut = picture.copy(), _neighbourhood(alpha)
    picture, alpha = picture[cut], alpha[cut]
    if done is not None:
        alpha = _not_done(alpha, done[cut])
    censors = _moved(censors, cut)
    hole = alpha > 0
    if not chosen.sees_mosaics:
        censors = []
    elif censors is None:
        censors = mosaics_under(picture, hole) if hole.any() else []
        blurs, unknown = blurs_under(picture, alpha > 127, censors)
        censors += blurs
        if found is None and not fill and unknown.any():
            alpha = _known(alpha, unknown)
    if used is not None:
        whole = np.zeros(output.shape[:2], np.uint8)
        whole[cut] = alpha
        used.append(whole)
    restored = output[cut]
    if any(censor.opacity is not None for censor in censors):
        picture, alpha = _without_blended(picture, alpha, censors, blend)
        np.copyto(restored, picture)
        censors = [censor for censor in censors if censor.opacity is None]
        if not alpha.any():
            return output
    hole = alpha > 0
    sharpened = sharpen_blurs(picture, alpha, censors)
    plan = plan_tiles(hole, chosen, sharpened.censors)
    predictions = predict_regions(sharpened.picture, hole, plan, chosen, batch_size)
    for (region, _), prediction in zip(plan, predictions, strict=True):
        place = region.slices
        prediction = sharpened.mean(prediction, place)
        mask = alpha[place] * region.mask
        mixed = mix(picture[place], prediction, mask, blend)
        np.copyto(restored[place], mixed, where=region.mask[..., None])
    return output


def check_changes(
    given: Sequence[str], grow: int, invert: bool, mask: Any = None
) -> None:
    """Refuse `grow` and `invert` where nothing is marked that they could change.

    Args:
        given: Names of the arguments that mark something.
        grow: See `restore`.
        invert: See `restore`.
        mask: See `restore`. Defaults to `None`.

    Raises:
        UserError: Naming what they need.
    """
    check_number("grow", grow, whole=True, least=-_AROUND, most=_AROUND)
    if grow and not _MARKS & {*given}:
        raise UserError(
            "`grow` widens what is marked, and nothing is: give boxes, a mask or paint."
        )
    own_alpha = isinstance(mask, str) and mask == OWN_ALPHA
    if invert and (own_alpha or not _MASKS & {*given}):
        raise UserError("`invert` turns a mask round: give the file of one with it.")


def whole_blend(blend: float | None) -> float:
    """Return the blend where nothing shows through: 1, and no other may be asked for.

    Args:
        blend: See `restore`.

    Raises:
        UserError: If it is less than 1.
    """
    if blend not in (None, 1):
        raise UserError(
            "Under paint, and where a picture was erased, there is nothing to blend "
            f"with: `blend` is 1 there. Received: {blend}"
        )
    return 1


def without_erased(
    picture: np.ndarray, alpha: np.ndarray | None, grow: int = 0
) -> tuple[np.ndarray, Censored]:
    """Return a picture without its erased pixels, and where they were.

    Args:
        picture: uint8 `(height, width, 3)`, over white.
        alpha: uint8 `(height, width)` of its file, or `None` where that is opaque.
        grow: See `restore`. Defaults to `0`.

    Returns:
        `(picture, found)`: in the picture, the nearest pixels stand for those that
        were erased.

    Raises:
        NothingCensoredError: If nothing was erased.
        UserError: If everything was.
    """
    erased = None if alpha is None else erased_mask(alpha)
    if erased is None or not erased.any():
        raise NothingCensoredError(
            "It has no transparent part: nothing was erased that could be restored."
        )
    erased = grow_mask(erased, grow)
    if erased.all():
        raise UserError(
            "It is transparent everywhere: nothing is left to restore it from."
        )
    return fill_painted(picture, erased), Censored(None, erased)


def _own_alpha(image):
    if not isinstance(image, (str, os.PathLike)):
        raise UserError(
            'An array has no transparency: mask="alpha" needs the path of a picture.'
        )
    return read_picture(image).alpha


def open_restorer(restorer: Any, **options: Any) -> "BaseRestorer":
    """Return the restorer of a name or a path, or a restorer as it is."""
    if restorer is None or isinstance(restorer, (str, os.PathLike)):
        name: Any = restorer or "default"
        return load_once(name, **options)
    if given := [name for name, value in options.items() if value is not None]:
        raise UserError(
            f"`{given[0]}` is chosen when a restorer is loaded: give it to "
            "load_restorer, or name the restorer."
        )
    return restorer


@lru_cache(maxsize=2)
def load_once(
    name: str | os.PathLike[str], *, engine: str | None = None, **options: Any
) -> "BaseRestorer":
    """Return what `load_restorer` does; the last two stay in memory."""
    from oppai.models.pretrained import load_restorer

    return load_restorer(name, engine=engine or "auto", **options)


def _neighbourhood(alpha):
    """Return rows and columns of what is marked and of all that it is restored from.

    Finders look up to 800 pixels around a part; a network's crop reaches beyond it by
    less than its long side, or by 300 pixels where it is small.
    """
    height, width = alpha.shape
    left, top, right, bottom = bounds(alpha > 0) or (0, 0, width, height)
    n = max(_AROUND, right - left, bottom - top)
    rows = slice(max(top - n, 0), min(bottom + n, height))
    return rows, slice(max(left - n, 0), min(right + n, width))


def _moved(censors, cut):
    """Return regions as they lie in a cut of the picture."""
    y, x = cut[0].start, cut[1].start
    if not censors or (x, y) == (0, 0):
        return censors
    shift = np.array([x, y, x, y])
    return [
        replace(
            censor,
            box=tuple(np.subtract(censor.box, shift).tolist()),
            grid=censor.grid and censor.grid.moved(-x, -y),
        )
        for censor in censors
    ]


def _known(alpha, unknown):
    """Return the alpha of the marked parts that show a known censor."""
    import cv2

    # Every soft rim belongs to the part that it surrounds.
    _, labels = cv2.connectedComponents((alpha > 0).astype(np.uint8))
    keep = np.unique(labels[(alpha > 127) & ~unknown])
    alpha = np.where(np.isin(labels, keep) & ~unknown, alpha, 0)
    if not alpha.any():
        raise NothingCensoredError(_UNKNOWN)
    warnings.warn(f"In a part: {_UNKNOWN}", stacklevel=3)
    return alpha


def _not_done(alpha, done):
    """Return the alpha of the marked parts that were not restored before."""
    import cv2

    n, labels = cv2.connectedComponents((alpha > 0).astype(np.uint8))
    core = alpha > 127
    sizes = np.bincount(labels[core], minlength=n)
    finished = np.bincount(labels[core & done], minlength=n) >= _DONE * sizes
    alpha = np.where(finished[labels] | done, 0, alpha)
    if not alpha.any():
        raise NothingCensoredError(_RESTORED)
    return alpha


def _without_blended(picture, alpha, censors, blend):
    """Take off the mosaics through which a picture shows.

    Returns:
        `(picture, alpha)` of what is left to restore: a marked part in which nothing
        else was found is done.
    """
    import cv2

    picture, alpha = picture.copy(), alpha.copy()
    _, labels = cv2.connectedComponents((alpha > 0).astype(np.uint8))
    done, others = set(), set()
    for censor in censors:
        own = labels[censor.slices][censor.mask]
        parts = set(np.unique(own[own > 0]).tolist())
        if censor.opacity is None:
            others |= parts
            continue
        done |= parts
        hidden = np.where(censor.mask, np.uint8(255), np.uint8(0))
        place = censor.slices
        picture[place] = mix(
            picture[place], see_through(picture, censor), hidden, blend
        )
        alpha[place][censor.mask] = 0
    alpha[np.isin(labels, list(done - others))] = 0
    return picture, alpha


def _with_rims(picture, found):
    """Return a mask of the regions, with the rims over which they fade."""
    from oppai.detection.solid import with_rim

    alpha = found.mask.copy()
    for region in found.regions:
        if region.kind == "blur":
            soft = mask_alpha(_drawn(region, alpha.shape), alpha.shape, feather=_RIM)
            np.maximum(alpha, soft, out=alpha)
        elif region.grid is None:
            rim = with_rim(picture, region)
            alpha[rim.slices][rim.mask] = 255
    return alpha


def _hidden(picture, found, feather):
    """Return the alpha of a `Found` or a `Censored`, and its mosaics and blurs."""
    if isinstance(found, Found):
        if not found.regions:
            raise NothingCensoredError(_NOTHING)
        kinds = "mosaic", "blur"
        censors = [region for region in found.regions if region.kind in kinds]
        return _with_rims(picture, found), censors
    # A mosaic ends where its mask does: what lies beyond is no block's.
    feather = feather if found.grid is None else 0
    alpha = mask_alpha(found.mask, picture.shape, feather=feather)
    if found.grid is None and found.sigma is None:
        return alpha, None if found.kind in ("mosaic", "blur") else []
    box = bounds(found.mask > 0)
    if box is None:
        return alpha, []
    left, top, right, bottom = box
    mask = found.mask[top:bottom, left:right] > 0
    return alpha, [Region(box, mask, found.kind, found.grid, sigma=found.sigma)]


def _drawn(region, shape):
    """Return a mask of the picture's shape: bool, true in the region."""
    mask = np.zeros(shape, bool)
    mask[region.slices] = region.mask
    return mask


def _alpha_of(mask, picture, feather, grow, invert):
    """Return the alpha of a mask or its file, which is named in every error."""
    is_file = isinstance(mask, (str, os.PathLike))
    pixels = read_mask(mask, picture) if is_file else mask
    try:
        if invert:
            pixels = invert_mask(pixels)
        if grow:
            pixels = grow_mask(pixels, grow)
        alpha = mask_alpha(pixels, picture.shape, feather=feather)
    except UserError as error:
        if not is_file:
            raise
        raise UserError(f"{os.fspath(mask)}: {error}") from None
    if not alpha.any():
        raise NothingCensoredError(_BLACK)
    if (share := (alpha > 127).mean()) > _MOST:
        white, black = ("black", "white") if invert else ("white", "black")
        warnings.warn(
            f"The mask is {white} in {share:.0%} of the picture, and {white} is "
            f"restored. If {black} is what is hidden, "
            f"{'leave `invert` away' if invert else 'give `invert`'}.",
            stacklevel=3,
        )
    return alpha
