"""Find blended mosaics: the picture shows through, yet it jumps at every block's side.

Steps within the blocks hide such a grid from the network that looks at cells. But
wherever the picture below is smooth, its jump over a line of the grid is the same
fraction of the jump of the blocks' means: the opacity.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from oppai.censoring.blended import (
    PIXELS,
    estimate_opacity,
    jumps_at,
    unblend,
    weighted_median,
)
from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import Box, Region, overlap, region_at
from oppai.detection.grids.combs import fit_comb, long_steps
from oppai.detection.grids.forms import best_rectangle
from oppai.detection.grids.straight import borders

# Opacities that are told from a picture's own edges, and from a full mosaic.
_OPACITIES = 0.3, 0.96
_NOISE = 8.0  # levels: most that the picture below is off where the mosaic is removed
_HARDLY, _COVERED = 0.7, 0.9  # opacity of which little shows, and what of it is found
_ATTEMPTS = 3  # of fitting a grid to a rectangle, and the rectangle to the grid
_ROOM = 14  # blocks around a place that are looked at
_LEAST = 3.0  # levels: from block to block times the opacity, to say anything
_OFF, _OFF_LEVELS = 0.35, 1.5  # by which a jump may be off, as a fraction and in levels
_SIDES, _GOOD = 24, 0.55  # sides of blocks that say something, and that fit, at least
# Of lines that may be a JPEG's, to a tenth of 8 pixels.
_GOOD_JPEG, _OFF_JPEG = 0.7, 0.1
_PIXELS = 600  # that these sides are long, all together, at least
_TWICE = 10.0, 13.0  # pixels: two blocks of five and more, taken for one
_SHARP = 0.5  # least sharpness of the lines: 0.65 and more of blended mosaics
_BLOCKS = 3  # of a mosaic along either side, at least
_TRIED = np.arange(0.3, 0.97, 0.02)  # opacities that sides may agree on
_AGREE = 0.06  # by how much they may differ from it
_NO_SIGN = 0.05  # what a block loses that says nothing
_RIM = 0.35  # part of the jump that is expected over a rim, at least
_PART = 0.5  # by how much of it a jump over a rim may be off


def find_blended(
    picture: np.ndarray, places: Sequence[tuple[Grid, Box]], taken: np.ndarray
) -> list[Region]:
    """Find the blended mosaics of a picture, on grids that were proposed for places.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        places: Pairs of a `Grid` and the box `(left, top, right, bottom)` in which it
            was seen.
        taken: bool `(height, width)`, where another mosaic was found.

    Returns:
        List of `Region` of the kind "mosaic", rectangles, whose opacity is known.
    """
    taken, regions = taken.copy(), []
    for grid, place in places:
        left, top, right, bottom = place
        if taken[top:bottom, left:right].mean() > 0.3:
            continue
        # Edges below a mosaic hide its lines: two small blocks are taken for one.
        grids = [grid, *_halves(grid)]
        grown = (_grown(picture, own, place) for own in grids)
        region = next((region for region in grown if region is not None), None)
        if region is None or taken[region.slices].mean() > 0.3:
            continue
        region.mask[taken[region.slices]] = False
        taken[region.slices] = True
        regions.append(region)
    return regions


def _halves(grid):
    """Return the grids of half the blocks, along either side or both."""
    x, y = (b / 2 if _TWICE[0] <= b <= _TWICE[1] else b for b in grid.block)
    sides = {(x, y), (x, grid.block[1]), (grid.block[0], y)} - {grid.block}
    return [replace(grid, block=side) for side in sorted(sides)]


def excess(grey: np.ndarray) -> np.ndarray:
    """Return by how much jumps along x exceed those beside them, at their greatest.

    Args:
        grey: uint8 `(height, width)`.

    Returns:
        uint8 `(height, width)`, 0 beside a greater one.
    """
    jumps = np.zeros(grey.shape, np.int16)
    at = np.arange(2, grey.shape[1] - 1)
    jumps[:, 2:-1] = np.abs(jumps_at(grey.astype(np.int16) * 2, at)) // 2
    beside = np.maximum(jumps[:, :-2], jumps[:, 2:])
    jumps[:, 1:-1] *= jumps[:, 1:-1] >= beside
    return jumps.clip(0, 255).astype(np.uint8)


def _grown(picture, grid, place):
    """Return the blended mosaic of a place, its grid fitted to more and more of it."""
    import cv2

    box, grey = None, cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    for _ in range(_ATTEMPTS):
        before, box = box, _rectangle(picture, grid, box or place)
        if box is None or box == before:
            break
        grid = _fitted(grey, grid, box)
    box = box or before
    return None if box is None else blended_at(picture, box, grid)


def _fitted(grey, grid, box):
    """Return a grid, moved until it fits all of a box."""
    left, top, right, bottom = box
    view = grey[top:bottom, left:right]
    sides = []
    for k, pixels in enumerate((view, view.T)):
        run = max(3, int(grid.block[1 - k]) // 2)
        steps = long_steps(excess(np.ascontiguousarray(pixels)), run)
        length, block = pixels.shape[1], grid.block[k]
        line = (grid.origin[k] - box[k]) % block
        line += block * round((length / 2 - line) / block)
        own, origin = fit_comb(steps.mean(0, dtype=np.float32), block, line, length)
        sides.append((own, origin + box[k]))
    return Grid(*zip(*sides, strict=True))


def with_opacity(picture: np.ndarray, region: Region) -> Region:
    """Return a mosaic that was found, with its opacity where the picture shows through.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        region: A `Region` with a grid.

    Returns:
        The region itself where it is opaque, no rectangle or too noisy to be removed.
    """
    grid = region.grid
    if grid is None or grid.soft or region.mask.mean() < 0.5:
        return region
    left, top, right, bottom = region.box
    x, y = (round(side) for side in grid.block)
    inner = left + x, top + y, right - x, bottom - y
    if inner[2] - inner[0] < 2 * x or inner[3] - inner[1] < 2 * y:
        return region
    rough = max(estimate_opacity(picture, inner, grid, pixel)[0] for pixel in PIXELS)
    if not _OPACITIES[0] <= rough <= _OPACITIES[1]:
        return region
    blended = _grown(picture, grid, region.box)
    if blended is None:
        return region
    # Little shows through: the mask that was found tells the form better than jumps do.
    if (blended.opacity or 0) >= _HARDLY:
        _, there = overlap(blended.box, region.box)
        if region.mask[there].sum() < _COVERED * blended.mask.size:
            return region
    return blended


def blended_at(picture: np.ndarray, box: Box, grid: Grid) -> Region | None:
    """Return the blended mosaic near a box, its sides and its grid fitted.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        box: `(left, top, right, bottom)`, to a block or so.
        grid: The `Grid` of the lines, as the picture shows them.

    Returns:
        A `Region`, or `None` where jumps do not fit any opacity, or the picture below
        would be too noisy.
    """
    opacity = _rough_opacity(picture, box, grid)
    if opacity < _OPACITIES[0]:
        return None
    box = _to_rims(picture, box, grid, opacity)
    if any(box[k + 2] - box[k] < _BLOCKS * grid.block[k] for k in (0, 1)):
        return None
    fits = [
        (*estimate_opacity(picture, box, own, pixel)[::-1], own, pixel)
        for own, pixel in _grids(box, grid)
    ]
    noise, opacity, own, pixel = min(fits, key=lambda fit: fit[0])
    if not _OPACITIES[0] <= opacity <= _OPACITIES[1]:
        return None
    if noise > _NOISE * (1 - opacity):
        return None
    lines = own.moved(0.5 - pixel, 0.5 - pixel)
    sides = _sides(picture, lines, box)
    good, clear = _judged(sides, opacity)
    least = _GOOD_JPEG if _like_jpeg(own) else _GOOD
    if clear < _SIDES or good < least * clear or _lacks_a_corner(sides, opacity):
        return None
    gains = [_gains(excess, rise, opacity).sum() for excess, rise, *_ in sides]
    if gains @ np.array(own.block[::-1]) < _PIXELS:
        return None
    # Lines of an opaque mosaic that was enlarged are ramps, which jump a little less.
    near, sharp = (f(picture, lines, box) for f in (_near_lines, _sharpness))
    if near > (opacity + 1) / 2 or sharp < _SHARP:
        return None
    left, top, right, bottom = box
    mask = np.ones((bottom - top, right - left), bool)
    return region_at(
        (left, top),
        mask,
        kind="mosaic",
        grid=own,
        confidence=float(good / clear),
        opacity=opacity,
    )


def see_through(picture: np.ndarray, region: Region) -> np.ndarray:
    """Return what a blended mosaic lies upon.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        region: A `Region` with a grid and an opacity, whose box is the mosaic.

    Returns:
        uint8 RGB of the box's size.
    """
    if region.grid is None or region.opacity is None:
        raise ValueError("Only a mosaic of known opacity is taken off.")
    box, grid = region.box, region.grid
    noise = [estimate_opacity(picture, box, grid, pixel)[1] for pixel in PIXELS]
    pixel = PIXELS[int(np.argmin(noise))]
    below = unblend(picture, box, grid, region.opacity, pixel)
    return np.clip(np.rint(below), 0, 255).astype(np.uint8)


def _grids(box, grid) -> Iterator[tuple[Grid, float]]:
    """Yield the grids that may lie in a box, and how they are drawn.

    A part is shrunk to a whole number of blocks mostly, so that its sides are lines.
    """
    for pixel in PIXELS:
        for x in (True, False):
            for y in (True, False):
                blocks, origins = [], []
                for k, whole in enumerate((x, y)):
                    block, origin = grid.block[k], grid.origin[k] + pixel - 0.5
                    if whole:
                        length = box[k + 2] - box[k]
                        block, origin = length / round(length / block), box[k]
                    blocks.append(block)
                    origins.append(origin)
                yield Grid((blocks[0], blocks[1]), (origins[0], origins[1])), pixel


def _sides(picture, grid, box):
    """Return by how much the picture jumps over the sides of blocks, and their means.

    Returns:
        For x and for y a tuple `(excess, rise, column, n)`: float `(blocks across,
        lines)`, the median along each side; the block after each line; and the number
        of blocks along.
    """
    left, top, right, bottom = box
    view = np.asarray(picture[top:bottom, left:right], np.float32)
    own = grid.moved(-left, -top)
    ends = [
        np.unique(borders(n, own.block[k], own.origin[k]).clip(0, n))
        for k, n in enumerate((right - left, bottom - top))
    ]
    found = []
    for k, pixels in enumerate((view, view.swapaxes(0, 1))):
        along, across = ends[k], ends[1 - k]
        means = _means(_means(pixels, across[:-1]).swapaxes(0, 1), along[:-1])
        means = means.swapaxes(0, 1)
        at = along[(along >= 2) & (along < pixels.shape[1] - 1)]
        column = np.searchsorted(along, at)
        inner = (column > 0) & (column < means.shape[1])
        at, column = at[inner], column[inner]
        excess = jumps_at(pixels, at)
        middle = [
            np.median(excess[a:b], axis=0)
            for a, b in zip(across[:-1], across[1:], strict=True)
        ]
        rise = means[:, column] - means[:, column - 1]
        # The colour that differs most says most.
        most = np.abs(rise).argmax(-1)[..., None]
        pick = [
            np.take_along_axis(v, most, -1)[..., 0] for v in (np.stack(middle), rise)
        ]
        found.append((*pick, column, len(along) - 1))
    return found


def _like_jpeg(grid):
    """Return whether the blocks of a JPEG, or of its colours, have the grid's lines."""
    sides = np.array([*grid.block, *grid.origin]) / 8
    return bool((np.abs(sides - np.rint(sides)) <= _OFF_JPEG).all())


def _near_lines(picture, grid, box):
    """Return the opacity that the changes up to a quarter of a block from lines tell.

    From the middle of a block to the next one a part of the change happens over the
    line, and the rest of it evenly in between. Where the lines are ramps of some
    pixels, all of it happens near them.
    """
    left, top, right, bottom = box
    view = np.asarray(picture[top:bottom, left:right], np.float32)
    own = grid.moved(-left, -top)
    told, weights = [], []
    for k, pixels in enumerate((view, view.swapaxes(0, 1))):
        across = borders(pixels.shape[0], own.block[1 - k], own.origin[1 - k])
        starts = np.unique(across.clip(0, pixels.shape[0]))[:-1]
        profile = _means(pixels, starts)
        far, near = int(own.block[k] / 2), max(1, int(own.block[k] / 4))
        lines = borders(pixels.shape[1], own.block[k], own.origin[k])
        lines = lines[(lines > far) & (lines < pixels.shape[1] - far)]
        if not len(lines):
            continue
        whole = profile[:, lines + far] - profile[:, lines - far - 1]
        part = profile[:, lines + near] - profile[:, lines - near - 1]
        even = (2 * near + 1) / (2 * far + 1)
        sizes = np.abs(whole)
        weights.append(sizes.sum() * (1 - even))
        told.append((np.sign(whole) * part - even * sizes).sum())
    return float(sum(told) / max(sum(weights), 1.0))


def _sharpness(picture, grid, box):
    """Return by how much the changes beside lines are the reverse of those over them.

    A line between two pixels exceeds the differences beside it by its jump, and those
    fall short by half of that on either side: 1. Of a ramp, two pixels change: 0.
    """
    left, top, right, bottom = box
    view = np.asarray(picture[top:bottom, left:right], np.float32)
    own = grid.moved(-left, -top)
    over = beside = 0.0
    for k, pixels in enumerate((view, view.swapaxes(0, 1))):
        across = borders(pixels.shape[0], own.block[1 - k], own.origin[1 - k])
        profile = _means(pixels, np.unique(across.clip(0, pixels.shape[0]))[:-1])
        half = max(3, int(own.block[k] / 2))
        lines = borders(pixels.shape[1], own.block[k], own.origin[k])
        lines = lines[(lines >= half) & (lines < pixels.shape[1] - half)]
        # From the middle of a block to the next one.
        sign = np.sign(profile[:, lines + half - 1] - profile[:, lines - half])
        over += float((sign * jumps_at(profile, lines)).sum())
        for at in (lines - 1, lines + 1):
            beside -= float((sign * jumps_at(profile, at)).sum())
    return beside / max(over, 1.0)


def _means(pixels, starts):
    sums = np.add.reduceat(pixels, starts, axis=0)
    counts = np.diff(starts, append=len(pixels))
    return sums / counts.reshape(-1, *[1] * (pixels.ndim - 1))


def _rough_opacity(picture, box, grid):
    """Return the opacity that the most sides agree on, 0 if they are few."""
    sides = _sides(picture, grid, box)
    excess = np.concatenate([s[0].ravel() for s in sides])
    rise = np.concatenate([s[1].ravel() for s in sides])
    clear = np.abs(rise) >= 2 * _LEAST
    ratio = np.sort(excess[clear] / rise[clear])
    first = np.searchsorted(ratio, _TRIED - _AGREE)
    counts = np.searchsorted(ratio, _TRIED + _AGREE) - first
    if counts.max(initial=0) < _SIDES // 2:
        return 0.0
    return float(_TRIED[counts.argmax()])


def _fits(excess, rise, opacity):
    """Return which sides say something, and which of them fit the opacity."""
    clear = np.abs(opacity * rise) >= _LEAST
    off = np.abs(excess - opacity * rise)
    return clear, clear & (
        off <= np.maximum(_OFF_LEVELS, _OFF * np.abs(opacity * rise))
    )


def _gains(excess, rise, opacity):
    """Return by how much likelier jumps are in a mosaic: -1 to 1, 0 where nothing says.

    Edges of the picture below are as likely one way as the other, so that they cancel.
    """
    expected = opacity * rise
    nearer = np.abs(excess) - np.abs(excess - expected)
    clear = np.abs(expected) >= _LEAST
    return np.where(clear, nearer / np.maximum(np.abs(expected), _LEAST), 0.0)


def _judged(sides, opacity):
    """Return the number of sides that fit, and of those that say something."""
    good = clear = 0
    for excess, rise, *_ in sides:
        own, fits = _fits(excess, rise, opacity)
        good, clear = good + int(fits.sum()), clear + int(own.sum())
    return good, clear


def _lacks_a_corner(sides, opacity):
    """Return whether a corner shows no jumps, as beside an ellipse."""
    counts = np.zeros((2, 2, 3))  # sides that fit, lack a jump, and say something
    for k, (excess, rise, column, n) in enumerate(sides):
        clear, fits = _fits(excess, rise, opacity)
        lacks = clear & (np.abs(excess) < _OFF * np.abs(opacity * rise))
        m = len(excess)
        near = (np.arange(m) < m / 4, np.arange(m) >= m * 3 / 4)
        beside = (column <= n / 4, column >= n * 3 / 4)
        for i in (0, 1):
            for j in (0, 1):
                part = near[i][:, None] & beside[j]
                place = (i, j) if k == 0 else (j, i)
                counts[place] += [(v & part).sum() for v in (fits, lacks, clear)]
    good, lack, clear = counts[..., 0], counts[..., 1], counts[..., 2]
    return bool(((clear >= 4) & (lack >= 0.5 * clear) & (lack > good)).any())


def _rectangle(picture, grid, place):
    """Return the rectangle of blocks around a place whose jumps fit best, or `None`."""
    height, width = picture.shape[:2]
    x, y = (_ROOM * side for side in grid.block)
    left, top = max(0, int(place[0] - x)), max(0, int(place[1] - y))
    right, bottom = min(width, int(place[2] + x)), min(height, int(place[3] + y))
    opacity = _rough_opacity(picture, place, grid)
    if opacity < _OPACITIES[0]:
        return None
    sides = _sides(picture, grid, (left, top, right, bottom))
    own = grid.moved(-left, -top)
    ends = [
        np.unique(borders(n, own.block[k], own.origin[k]).clip(0, n))
        for k, n in enumerate((right - left, bottom - top))
    ]
    score = np.full((len(ends[1]) - 1, len(ends[0]) - 1), -_NO_SIGN)
    for k, (excess, rise, column, _) in enumerate(sides):
        value = _gains(excess, rise, opacity)
        target = score if k == 0 else score.T
        target[:, column] += value
        target[:, column - 1] += value
    a, b, c, d = best_rectangle(score)
    if c - a < _BLOCKS or d - b < _BLOCKS or score[b:d, a:c].sum() < _SIDES:
        return None
    columns, rows = ends[0] + left, ends[1] + top
    return int(columns[a]), int(rows[b]), int(columns[c]), int(rows[d])


def _to_rims(picture, box, grid, opacity):
    """Move the sides of a box to where the mosaic ends, to the pixel."""
    box = list(box)
    for _ in range(2):
        for side in range(4):
            box[side] = _rim(picture, box, grid, opacity, side)
    return tuple(box)


def _rim(picture, box, grid, opacity, side):
    """Return where one side of a mosaic lies: the outermost jump as of its blocks."""
    k, outer = side % 2, side // 2
    low, high = (box[1 - k], box[3 - k])
    view = picture[low:high] if k == 0 else picture[:, low:high].swapaxes(0, 1)
    at, length = box[side], view.shape[1]
    # As if the mosaic began on the left.
    view = view[:, ::-1] if outer else view
    at = length - at if outer else at
    block = grid.block[k]
    reach = int(round(1.3 * block)) + 1
    at_most = min(length - 2 - int(block), at + reach)
    places = np.arange(max(2, at - reach), at_most)
    edge = at - reach <= 2
    if not len(places):
        return box[side]
    start = max(0, places[0] - 2)
    pixels = np.asarray(view[:, start : at_most + 2 * int(block) + 2], np.float32)
    along, local = pixels, places - start
    excess = jumps_at(along, local)
    # Beside an edge differences fall short of the edge, but nothing jumps.
    jump = 2 * np.abs(along[:, local] - along[:, local - 1])
    excess = excess.clip(-jump, jump)
    # The mean of the block that would begin there.
    sums = np.cumsum(along, axis=1)
    n = max(2, int(block) - 1)
    mean = (sums[:, local + n - 1] - sums[:, local - 1]) / n
    across = grid.block[1 - k]
    starts = np.unique(
        borders(high - low, across, grid.origin[1 - k] - low).clip(0, high - low - 1)
    )
    counts = np.diff(starts, append=high - low)
    mean = (np.add.reduceat(mean, starts, 0) / counts[:, None, None]).repeat(counts, 0)
    expected = opacity * (mean - along[:, local - 1])
    # By how much what is expected is nearer than nothing, of what it could be.
    gain = (np.abs(excess) - np.abs(excess - expected)).sum((0, 2))
    most = np.abs(expected).sum((0, 2))
    # Over an edge of the picture all of what lies beyond begins, not a part of it.
    ratio = np.divide(excess, expected, out=np.zeros_like(excess), where=expected != 0)
    part = [
        weighted_median(ratio[:, k].ravel(), np.abs(expected[:, k]).ravel())
        for k in range(len(places))
    ]
    good = (gain > _RIM * most) & (most > 0.5 * (high - low))
    good = np.flatnonzero(good & (np.abs(np.array(part) - 1) < _PART))
    if len(good):
        found = int(places[good[0]])
    else:
        found = 0 if edge else at
    return length - found if outer else found
