"""Find the mosaics of a picture: first grids, then cells, then pixels."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from illustkit import progress
from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import Box, Region, region_at
from oppai.detection.evidence import (
    changes_at_lines,
    explained_by_blocks,
    finest_grid,
    gather_evidence,
    grid_scores,
    is_grid,
    is_jpeg_grid,
    plain_part,
    scores_on_grid,
    step_profiles,
    weigh,
)
from oppai.detection.grids.blended import excess, find_blended, with_opacity
from oppai.detection.grids.combs import best_comb, comb_score, fit_comb, same_lines
from oppai.detection.grids.corners import from_corner
from oppai.detection.grids.forms import fit_form
from oppai.detection.grids.lattice import coarsest_grid, find_grids
from oppai.detection.grids.ramps import between_pixels
from oppai.detection.grids.soft import find_soft
from oppai.detection.grids.straight import Straight, straighten
from oppai.detection.segmenter import (
    DILATIONS,
    SAMPLES,
    grid_features,
    hidden_cells,
    sharpened,
)

# A region that may be a mosaic, and its evidence as of `gather_evidence`.
Candidate = tuple[Region, np.ndarray]


_MARGIN = 8  # cells examined around the windows
_STRIP = 60_000  # cells that the network sees at a time
_FEW = 2_000  # cells of a picture that is examined as a whole at once
_WIDEST = 40_000  # cells of a view that grows no more, however far a region goes on
_WHOLE = 200_000  # cells of a picture that is searched again for more of a mosaic
_LEAST = 24  # samples of a region
# Least score on a grid of whole pixels that needs no look at others, and by how much
# these have to be better.
_EXPLAINED, _BETTER = 0.8, 0.1
# Log odds: among grids of any size each is less likely; what a fraction of the variance
# that blocks explain adds, and the fraction at which it adds nothing.
_DOUBT, _EXPLAINING, _USUAL = 2.7, 20.0, 0.85
# What a part of plain pixels says less than so much of the variance, and of how much of
# that it says more, as what is plain all over has little; and up to how many blocks a
# rim is much of a region's shorter side.
_BEYOND, _SOME, _ROWS = 0.08, 0.5, 16
# Least part of the box around a region that it fills: the gutters between a page's
# panels lie on a grid too.
_FILLED = 0.12
# Part of the pixels of an opaque mosaic that have their block's colour, at least.
_PLAIN = 0.95
# Log odds that a slight change from block to block takes or gives: of those of a mosaic
# six in ten are steps, of those of shading three in a hundred.
_NO_STEP, _STEP = 0.9, 3.0
_MOST_WHOLE, _MOST_ANY = 16, 8  # grids that are looked at
_SURER = 0.05  # by how much a comb of any size has to be better than the one at hand
# Least side of a picture that is searched at half its size, how sure a find there has
# to be, the part of the picture that it fills less than, and how oblong its blocks are.
_HALVED, _AT_HALF, _MOST_OF, _OBLONG = 160, 0.7, 0.6, 2.0
_ATTEMPTS = 4  # grids that are tried in a place, each fitted to what the last one found
SURE = 1 / (1 + np.exp(-0.3))  # confidence from which a region counts as a mosaic


class MosaicSearch:
    """Searches a picture for mosaics, nowhere twice on the same grid.

    Args:
        grey: uint8 `(height, width)`.
        whole: Whether blocks are whole pixels wide and high, or any size.
        marked: bool `(height, width)`, where somebody says that it is: grids are fitted
            to what is there. Defaults to `None`.
    """

    def __init__(
        self, grey: np.ndarray, *, whole: bool, marked: np.ndarray | None = None
    ) -> None:
        self.grey, self.is_whole, self.marked = grey, whole, marked
        self._done: set = set()
        self._views: dict[Grid, _View] = {}

    def refined(self, grid: Grid, place: Box) -> list[Candidate]:
        """Return the candidates in a place, on the grid that explains the first best.

        Args:
            grid: The `Grid` to begin with.
            place: Box `(left, top, right, bottom)`.

        Returns:
            List of `Candidate`.
        """
        attempts = 3 if self.is_whole else _ATTEMPTS
        for attempt in range(attempts):
            if not {grid, (grid, place)}.isdisjoint(self._done):
                break
            self._done.add((grid, place))
            view = self._view(grid)
            better, margin, goes_on = grid, _MARGIN, True
            while goes_on and better == grid:
                candidates, goes_on = view.segment(view.straight.box(place), margin)
                if candidates:
                    better = self._fit_grid(candidates[0][0], grid)
                margin *= 4
            is_last = attempt == attempts - 1 and not self.is_whole
            if better == grid or (is_last and _near(better, grid)):
                return candidates
            grid = better
        return []

    def whole(self, candidates: Sequence[Candidate], least: float) -> list[Region]:
        """Return all regions of the mosaic of some candidates, on its coarsest grid.

        Args:
            candidates: The candidates of one place, as of `refined`.
            least: Confidence over which a region counts.

        Returns:
            List of `Region`.
        """
        height, width = self.grey.shape
        grid = candidates[0][0].grid if candidates else None
        if grid is None or (candidates[0][0].confidence or 0) <= least:
            return []
        view = self._view(grid)
        if height * width < _WHOLE * np.prod(grid.block):
            self._done.add(grid)
            # A region that the network drops when it sees the whole picture is none.
            candidates, _ = view.segment((0, 0, *view.grey.shape[::-1]), 0)
        regions = [r for r, _ in candidates if (r.confidence or 0) > least]
        if regions:
            grid = coarsest_grid(self.grey, regions[0])
        return [replace(region, grid=grid) for region in regions]

    def _view(self, grid):
        if grid not in self._views:
            self._views = {grid: _View(straighten(self.grey, grid), self.is_whole)}
        return self._views[grid]

    def _fit_grid(self, region, grid):
        """Return the grid that explains the steps in a region best."""
        if self.marked is not None:
            inner = region.mask & self.marked[region.slices]
            region = replace(region, mask=inner) if inner.any() else region
        sides = []
        for axis, (profile, start) in enumerate(
            zip(step_profiles(self.grey, region), region.box[:2], strict=True)
        ):
            own, phase = grid.block[axis], grid.origin[axis]
            block, origin = self._best_comb(profile, own, phase - start)
            # Of combs with the same lines, one of whole pixels is the likelier.
            same = same_lines(len(profile), (block, origin), (own, phase - start))
            if same and not (block % 1 == 0 and own % 1):
                block, origin = own, phase - start
            sides.append((block, origin + start))
        return Grid(*zip(*sides, strict=True))

    def _best_comb(self, profile, own, phase):
        """Return the block and origin that explain a profile best.

        Grids of any size have been fitted to many windows before: they are moved, and
        left only for one that explains more.
        """
        if self.is_whole:
            return best_comb(profile, whole=True)[:2]
        length = len(profile)
        line = phase + own * round((length / 2 - phase) / own)
        near = fit_comb(profile, own, line, length / 2)
        score = comb_score(profile, *near)
        if score >= _EXPLAINED:
            return near
        block, origin, best = best_comb(profile)
        return (block, origin) if best >= score + _SURER else near


def _near(first, second):
    """Return whether two grids are one, fitted to other steps."""
    pairs = zip(first.block, second.block, strict=True)
    return all(abs(a / b - 1) < 0.02 for a, b in pairs)


class _View:
    """A picture on whose grid the network looks."""

    def __init__(self, straight: Straight, whole: bool) -> None:
        self.straight, self.is_whole = straight, whole
        self.grey, self.grid = straight.grey, straight.grid
        self._whole = None  # the network's view of the whole picture

    def segment(self, place: Box, margin: int) -> tuple[list[Candidate], bool]:
        """Return the candidates in and around a place, and whether they go on beyond.

        Args:
            place: Box in the straight picture.
            margin: Cells examined around it.

        Returns:
            `(candidates, goes on)`; the regions lie in the picture itself. The one with
            the most sides on the grid is first.
        """
        import cv2

        grid = self.grid
        height, width = self.grey.shape
        left, top, right, bottom = place
        (block_x, block_y), _ = grid.whole
        view = 0, 0, width, height
        if height * width > _FEW * block_x * block_y:
            view = (
                max(0, left - margin * block_x),
                max(0, top - margin * block_y),
                min(width, right + margin * block_x),
                min(height, bottom + margin * block_y),
            )
        features, probability, (x, y) = self._look(view)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            (probability > 0.5).astype(np.uint8)
        )
        seed = labels[
            max(0, top - y) * SAMPLES // block_y : (bottom - y) * SAMPLES // block_y,
            max(0, left - x) * SAMPLES // block_x : (right - x) * SAMPLES // block_x,
        ]
        counts = np.bincount(seed.ravel(), minlength=len(stats))
        here = np.flatnonzero((counts > 0) & (stats[:, cv2.CC_STAT_AREA] > _LEAST))
        boxes = [(k, *stats[k, :4].tolist()) for k in here[here > 0]]
        middles = _middles(self.grey, grid, (x, y), features.shape)
        candidates = []
        for k, a, b, w, h in boxes:
            # Whole cells around a region, and one more for its rim.
            a, b = max(0, a // SAMPLES - 1), max(0, b // SAMPLES - 1)
            c, d = a + w // SAMPLES + 4, b + h // SAMPLES + 4
            samples = np.s_[b * SAMPLES : d * SAMPLES, a * SAMPLES : c * SAMPLES]
            inside, own = labels[samples] == k, probability[samples]
            own = np.where(inside, own, own.clip(max=0.3))
            region = fit_form(self.grey, grid, own, (x + a * block_x, y + b * block_y))
            if region is not None:
                scores = grid_scores(self.grey, region)
                seen = features[samples], middles[b:d, a:c], own, inside
                evidence = gather_evidence(*seen, self.straight.own, scores)
                log_odds = weigh(evidence, whole=self.is_whole)
                confidence = float(1 / (1 + np.exp(-log_odds)))
                own = self.straight.back(replace(region, confidence=confidence))
                if own is not None:
                    candidates.append((own, evidence))
        candidates.sort(key=lambda c: (is_grid(c[1]), c[1][0]), reverse=True)
        goes_on = probability.size <= _WIDEST * SAMPLES**2 and _touch_rim(
            boxes,
            probability.shape,
            (view[0], view[1], width - view[2], height - view[3]),
        )
        return candidates if candidates and is_grid(candidates[0][1]) else [], goes_on

    def _look(self, view):
        height, width = self.grey.shape
        if height * width > _FEW * np.prod(self.grid.block):
            return _look(self.grey, self.grid, view)
        if self._whole is None:
            self._whole = _look(self.grey, self.grid, view)
        return self._whole


def _touch_rim(boxes, shape, beyond):
    """Return whether regions come near a side of a view beyond which there is more."""
    rim = SAMPLES * 2
    near = [
        (a < rim, b < rim, a + w > shape[1] - rim, b + h > shape[0] - rim)
        for _, a, b, w, h in boxes
    ]
    return bool((np.array(near, bool).reshape(-1, 4) & (np.array(beyond) > 0)).any())


def _look(grey, grid, view):
    """Return features and probabilities of a view, in strips that memory holds."""
    left, top, right, bottom = view
    (block_x, block_y), (_, origin_y) = grid.whole
    columns = (right - left) // block_x + 2
    rows = max(16, _STRIP // columns)
    overlap = sum(DILATIONS) + 1
    top -= (top - origin_y) % block_y
    strips = []
    for y in range(top, bottom, rows * block_y):
        before = min(overlap, (y - top) // block_y)
        box = (
            left,
            y - before * block_y,
            right,
            min(bottom, y + (rows + overlap) * block_y),
        )
        features, corner = grid_features(grey, grid, box)
        probability = hidden_cells(features)
        own = np.s_[before * SAMPLES : (before + rows) * SAMPLES]
        strips.append((features[own][..., :8:4].astype(np.float16), probability[own]))
    features, probability = (np.concatenate(v) for v in zip(*strips, strict=True))
    return features, probability, (corner[0], top)


def _middles(grey, grid, start, shape):
    """Return the grey of the middle of every cell."""
    at = []
    (block_x, block_y), _ = grid.whole
    for n, first, block, length in (
        (shape[0], start[1], block_y, grey.shape[0]),
        (shape[1], start[0], block_x, grey.shape[1]),
    ):
        middles = first + block // 2 + block * np.arange(n // SAMPLES)
        at.append(np.clip(middles, 0, length - 1))
    return grey[at[0]][:, at[1]].astype(int)


def find_mosaics(
    picture: np.ndarray, *, least: float = SURE, marked: np.ndarray | None = None
) -> list[Region]:
    """Find the mosaics of a picture, whatever else it shows.

    Where nothing is found the picture is searched once more at half its size: the lines
    of a mosaic that was enlarged afterwards are ramps, which are steps there.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        least: Confidence over which a region counts as a mosaic. Defaults to what
            fewer than 1 in 200 clean pictures reach.
        marked: bool `(height, width)`, where somebody says that it is. Defaults to
            `None`.

    Returns:
        List of `Region` of the kind "mosaic"; no two share a pixel.
    """
    regions = _find_at_its_size(picture, least, marked)
    if not regions and min(picture.shape[:2]) >= _HALVED:
        regions = _find_at_half(picture, least, marked)
    grey = _grey(picture)
    return [
        replace(region, grid=between_pixels(grey, region) or region.grid)
        if region.opacity is None
        else region
        for region in regions
    ]


def _find_at_half(picture, least, marked):
    """Return the mosaics that a picture shows at half its size."""
    height, width = picture.shape[:2]
    half = np.s_[: height // 2 * 2, : width // 2 * 2]
    if marked is None:
        least = max(least, _AT_HALF)
    else:
        marked = marked[half][::2, ::2]
    found = _find_at_its_size(_halved(picture[half]), least, marked)
    doubled = [
        _doubled(region)
        for region in found
        # Soft mosaics are searched at all sizes anyway.
        if region.grid is not None
        and not region.grid.soft
        and region.opacity is None
        and region.mask.sum() < _MOST_OF * height * width / 4
        and max(region.grid.block) <= _OBLONG * min(region.grid.block)
    ]
    # The blocks of a JPEG begin at multiples of four there, which nothing weighs.
    return [r for r in doubled if marked is not None or not is_jpeg_grid(r.grid)]


def _grey(picture):
    import cv2

    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


def _halved(picture):
    """Return the means of squares of four pixels."""
    import cv2

    height, width = picture.shape[:2]
    size = width // 2, height // 2
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _doubled(region):
    """Return a region of the picture at half its size as it lies in the picture."""
    left, top = (2 * side for side in region.box[:2])
    return region_at(
        (left, top),
        region.mask.repeat(2, 0).repeat(2, 1),
        kind=region.kind,
        grid=region.grid.scaled(2),
        confidence=region.confidence,
    )


def _find_at_its_size(picture, least, marked):
    grey = _grey(picture)
    taken = np.zeros(grey.shape, bool)
    # Blocks of whole pixels are the most frequent and the surest to tell.
    grids = find_grids(grey, whole=True, most=_MOST_WHOLE)
    regions = _search(grey, True, least, marked, taken, grids)
    soft = find_soft(grey, least=least, taken=taken)
    for region in soft:
        taken[region.slices] |= region.mask
    regions += soft
    sharp = sharpened(grey)
    grids = find_grids(sharp, whole=False, most=_MOST_ANY)
    regions += _search(sharp, False, least, marked, taken, grids)
    regions = [with_opacity(picture, region) for region in regions]
    plain = [region for region in regions if _is_plain(grey, region)]
    if not plain or len(plain) < len(regions):
        # What shows edges within its blocks may be a part of a blended mosaic.
        taken = np.zeros_like(taken)
        for region in plain:
            taken[region.slices] |= region.mask
        grids += find_grids(grey, whole=False, most=_MOST_ANY, measure=excess)
        places = [
            (grid, place)
            for grid, windows in grids
            for place in _places(windows, grey.shape)
        ]
        blended = find_blended(picture, places, taken)
        regions = _without(regions, blended, taken) + blended
    return [
        region if region.opacity is not None else _fitted(grey, region)
        for region in regions
    ]


def _fitted(grey, region):
    """Return a region with the grid that its blocks and its corner tell."""
    if not region.grid.soft:
        region = replace(region, grid=finest_grid(grey, region))
    return replace(region, grid=from_corner(grey, region))


def _is_plain(grey, region):
    """Return whether a region's pixels have their blocks' colours, or an opacity."""
    if region.opacity is not None or region.grid.soft:
        return True
    if explained_by_blocks(grey, region) >= _USUAL:
        return True
    return plain_part(grey, region) >= _PLAIN


def _without(regions, blended, taken):
    """Return the regions of which no more than half lies below blended ones."""
    below = np.zeros_like(taken)
    for region in blended:
        below[region.slices] |= region.mask
    return [r for r in regions if below[r.slices][r.mask].mean() <= 0.5]


def _search(grey, whole, least, marked, taken, grids):
    """Return the mosaics of a picture that are not taken, and take them."""
    found: list[Region] = []
    seen = taken.copy()
    search = MosaicSearch(grey, whole=whole, marked=marked)
    progress.begin("looking at grids", len(grids))
    for grid, windows in grids:
        progress.advance()
        for place in _places(windows, grey.shape):
            left, top, right, bottom = place
            if seen[top:bottom, left:right].mean() > 0.3:
                continue
            mosaic = search.whole(search.refined(grid, place), least)
            doubt = 0.0 if whole else _doubt(grey, mosaic)
            for region in mosaic:
                region = region if whole else _checked(grey, region, doubt)
                if (region.confidence or 0) <= least:
                    continue
                if _fits_better(grey, region) if whole else _is_judged(region.grid):
                    continue
                found.append(region)
                seen[region.slices] |= region.mask
    if not whole:  # grids of any size are many, and the first is fitted to a part
        found.sort(key=lambda region: -(region.confidence or 0))
    regions: list[Region] = []
    for region in found:
        under = taken[region.slices]
        if (region.mask & under).sum() < 0.3 * region.mask.sum():
            region.mask[under] = False
            under |= region.mask
            regions.append(region)
    return regions


def _checked(grey, region, doubt):
    """Return a region, less sure where its blocks do not explain the picture."""
    if region.mask.mean() < _FILLED:
        return replace(region, confidence=0.0)
    confidence = region.confidence or 0.5
    odds = np.log(confidence / max(1 - confidence, 1e-6)) - _DOUBT - doubt
    explained = explained_by_blocks(grey, region)
    sides = zip(region.mask.shape[::-1], region.grid.block, strict=True)
    if explained > _SOME and min(side / block for side, block in sides) <= _ROWS:
        explained = max(explained, plain_part(grey, region) - _BEYOND)
    odds += _EXPLAINING * (explained - _USUAL)
    return replace(region, confidence=float(1 / (1 + np.exp(-odds))))


def _doubt(grey, regions):
    """Return the log odds that shading takes from some regions of one grid."""
    counts = [changes_at_lines(grey, region) for region in regions]
    n_steps, n_changes = (sum(n) for n in zip((0, 0), *counts, strict=True))
    return max(0.0, _NO_STEP * (n_changes - n_steps) - _STEP * n_steps)


def _fits_better(grey, region):
    """Return whether blocks that are no whole pixels wide explain a region's steps.

    Three blocks of 10.67 pixels are one of 32.
    """
    profiles = step_profiles(grey, region)
    own = min(scores_on_grid(profiles, region))
    if own >= _EXPLAINED:
        return False
    scores = [best_comb(profile)[2] for profile in profiles]
    return min(scores) > own + _BETTER


def _is_judged(grid):
    """Return whether a grid was judged among those of whole pixels, as a JPEG's is."""
    near = (abs(side / 8 - round(side / 8)) < 0.02 for side in grid.block)
    sides = zip(grid.block, grid.origin, strict=True)
    exact = any(block % 8 == 0 and origin % 8 == 0 for block, origin in sides)
    return grid.is_whole or (exact and all(near))


def find_candidates(picture: np.ndarray, *, whole: bool) -> list[Candidate]:
    """Return every region that the network takes for a mosaic, true or not.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        whole: Whether blocks are whole pixels wide and high, or any size.

    Returns:
        List of `Candidate`.
    """
    grey = _grey(picture)
    grey = grey if whole else sharpened(grey)
    search = MosaicSearch(grey, whole=whole)
    return [
        candidate
        for grid, windows in find_grids(grey, whole=whole)
        for place in _places(windows, grey.shape)
        for candidate in search.refined(grid, place)
    ]


def _places(windows, shape):
    """Yield boxes around the groups of windows that touch, with room on every side."""
    import cv2

    unit = 16
    grid = np.zeros((shape[0] // unit + 2, shape[1] // unit + 2), np.uint8)
    for x, y, size in windows:
        room = size // 4
        x0, y0 = max(0, x - room) // unit, max(0, y - room) // unit
        x1, y1 = (x + size + room) // unit + 1, (y + size + room) // unit + 1
        grid[y0:y1, x0:x1] = 1
    _, _, stats, _ = cv2.connectedComponentsWithStats(grid)
    for x, y, w, h, _ in stats[1:].tolist():
        x, y, right, bottom = (v * unit for v in (x, y, x + w, y + h))
        yield x, y, min(right, shape[1]), min(bottom, shape[0])
