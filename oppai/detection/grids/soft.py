"""Find soft mosaics: small pictures that were enlarged bilinearly or bicubically.

Between the middles of four blocks such a picture is one polynomial, so that its rows
and columns lie in the few dimensions that the blocks' colours span. With any other size
or offset of the blocks, the picture keeps a residual: the ratio of both tells the grid.
"""

from functools import lru_cache

import numpy as np

from oppai.censoring.block_grid import Grid, keys_cubic
from oppai.censoring.regions import Region, bounds, region_at
from oppai.detection.grids.forms import likely_rectangle

_SIDE, _STEP = 40, 20  # pixels: windows, and from one to the next
_LEAST, _MOST = 4.0, 9.0  # pixels: blocks that a window can tell
_LEVELS = 4  # the picture, and shrunk by 2, 4 and 8
_FLOOR = 0.15  # squared levels: the rounding of colours and of grey
_RATIO = 3.0  # least ratio of residuals in a window
_NOISE = 16.0  # squared levels: most residual in a window, as of a JPEG
_SEEDS = 6  # windows from which a grid is fitted, at most
_TOGETHER = 0.3  # fraction of the windows that agree which lie in one place, at least
_SURE_RATIO = 4.0  # ratio in a region at which a mosaic is as likely as not
_DETAIL = 6  # levels: what varies less within a block shows nothing
_ROOM = 12  # blocks around the windows in which the rest of a mosaic is looked for
_ERROR = 2.5  # levels: what a pixel that fits is off, without noise
_CELLS = 12  # blocks with detail in a region, at least
# Kernel of an enlargement, and over how many blocks it reaches: Pillow's cubic has
# a = -1/2, OpenCV's a = -3/4.
_KERNELS = {
    "linear": (lambda x: np.maximum(0, 1 - np.abs(x)), 1),
    "cubic": (lambda x: keys_cubic(x, -0.75), 2),
    "softer cubic": (lambda x: keys_cubic(x, -0.5), 2),
}
_SEARCHED = "linear", "cubic"  # kernels with which windows are searched


def enlarging(length: int, block: float, middle: float, kernel: str) -> np.ndarray:
    """Return the weights of blocks in an enlarged line of pixels.

    Args:
        length: Of the line in pixels.
        block: In pixels.
        middle: The middle of any block, in pixels from the line's start.
        kernel: "linear", "cubic" (a = -3/4) or "softer cubic" (a = -1/2).

    Returns:
        float64 `(length, n_blocks)`, all blocks that a pixel depends on.
    """
    weigh, reach = _KERNELS[kernel]
    place = (np.arange(length) + 0.5 - middle) / block
    first, last = int(np.floor(place[0])) - reach, int(np.ceil(place[-1])) + reach
    weights = weigh(place[:, None] - np.arange(first, last + 1))
    return weights[:, np.abs(weights).sum(0) > 1e-6]


@lru_cache(maxsize=4)
def _bank(kernel):
    """Return projections on the lines of all grids in a window.

    Returns:
        `(projections, keys, n_free, starts)`: float32 `(side², n)`; `(block, middle)`
        of each; the dimensions that each leaves; where the next block begins.
    """
    n_blocks = int(2 * _SIDE * np.log(_MOST / _LEAST))
    projections, keys, n_free, starts = [], [], [], []
    for block in _LEAST * (_MOST / _LEAST) ** (np.arange(n_blocks + 1) / n_blocks):
        n = int(np.ceil(2 * block))  # offsets half a pixel apart
        starts.append(len(keys))
        for middle in _SIDE / 2 + np.arange(n) * block / n:
            basis = _orthonormal(enlarging(_SIDE, block, middle, kernel))
            projections.append((basis @ basis.T).astype(np.float32).ravel())
            keys.append((block, middle))
            n_free.append(_SIDE - basis.shape[1])
    matrix = np.ascontiguousarray(np.stack(projections, 1))
    return matrix, np.array(keys), np.array(n_free, np.float32), np.array(starts)


def _orthonormal(basis):
    u, s, _ = np.linalg.svd(basis, full_matrices=False)
    return u[:, s > 1e-2]


def _search(products, kernel):
    """Find the likeliest grid along one side of each window.

    Args:
        products: float32 `(n, side, side)`, of the lines of pixels with one another.
        kernel: Name of the kernel.

    Returns:
        `(ratio, key, residual)` of each window: by how much the block's other offsets
        leave more; `(block, middle)`; the residual in squared levels.
    """
    projections, keys, n_free, starts = _bank(kernel)
    total = np.trace(products, axis1=1, axis2=2)[:, None]
    left = total - products.reshape(len(products), -1) @ projections
    left = np.maximum(left / (_SIDE * n_free), 0) + _FLOOR
    counts = np.diff(np.append(starts, len(keys)))
    least = np.minimum.reduceat(left, starts, 1)
    ratio = np.exp(np.add.reduceat(np.log(left), starts, 1) / counts) / least
    rows, best = np.arange(len(left)), ratio.argmax(1)
    of_block = np.repeat(np.arange(len(starts)), counts) == best[:, None]
    key = keys[np.where(of_block, left, np.inf).argmin(1)]
    return ratio[rows, best], key, least[rows, best]


def _windows(level):
    """Return the windows that are not plain, less their means, and their corners."""
    view = np.lib.stride_tricks.sliding_window_view(level, (_SIDE, _SIDE))
    view = view[::_STEP, ::_STEP]
    y, x = np.indices(view.shape[:2]).reshape(2, -1) * _STEP
    windows = view.reshape(-1, _SIDE, _SIDE)
    windows = windows - windows.mean((1, 2), keepdims=True)
    busy = windows.std((1, 2)) > _DETAIL
    return windows[busy], np.stack([x, y], 1)[busy]


def find_soft(
    grey: np.ndarray, *, least: float, taken: np.ndarray | None = None
) -> list[Region]:
    """Find the mosaics whose blocks fade into one another.

    Args:
        grey: uint8 `(height, width)`.
        least: Confidence over which a region counts.
        taken: bool `(height, width)`, where another mosaic was found. Defaults to
            `None`.

    Returns:
        List of `Region` of the kind "mosaic", whose grids are soft.
    """
    taken = np.zeros(grey.shape, bool) if taken is None else taken.copy()
    candidates = []
    for votes in _levels(grey):
        free = np.ones(len(votes.score), bool)
        for _ in range(_SEEDS):
            score = np.where(free, votes.score, 0)
            if not score.any():
                break
            seed = int(score.argmax())
            alike = votes.alike(seed) & free
            free &= ~alike
            agree = votes.together(seed, alike)
            if agree.sum() < _TOGETHER * alike.sum():
                continue
            # One window alone may be a chance.
            if agree.sum() < 2 and score[seed] < 2 * _RATIO:
                continue
            if taken[votes.middles(agree)].mean() > 0.3:
                continue
            region = _segment(grey, *_refined(votes, seed, agree))
            if region is not None and (region.confidence or 0) > least:
                candidates.append(region)
    regions: list[Region] = []
    for region in sorted(candidates, key=lambda r: -(r.confidence or 0)):
        under = taken[region.slices]
        if (region.mask & under).sum() < 0.3 * region.mask.sum():
            region.mask[under] = False
            under |= region.mask
            regions.append(region)
    return regions


class _Votes:
    """Windows of a shrunk picture that look like a soft mosaic.

    Args:
        scale: By which the picture was shrunk.
        windows: float32 `(n, side, side)`.
        corner: int `(n, 2)`, x and y in the shrunk picture.
        grid: float `(n, 2, 2)`: block and middle, for x and for y, in the shrunk
            picture, the middle counted from its corner.
        score: float `(n,)`.
        kernel: Names of kernels.
    """

    def __init__(self, scale, windows, corner, grid, score, kernel):
        self.scale, self.windows, self.corner = scale, windows, corner
        self.grid, self.score, self.kernel = grid, score, kernel

    def alike(self, seed):
        """Return which windows have the seed's grid, as far as they can tell."""
        agree = np.ones(len(self.score), bool)
        for axis in (0, 1):
            block, middle = self.grid[seed, axis]
            away = np.abs(self.corner[:, axis] - self.corner[seed, axis])
            agree &= np.abs(self.grid[:, axis, 0] / block - 1) < 0.04
            shift = (self.grid[:, axis, 1] - middle + block / 2) % block - block / 2
            agree &= np.abs(shift) < 0.75 + 0.02 * away
        return agree & (self.kernel == self.kernel[seed])

    def together(self, seed, agree):
        """Return which of the windows that agree lie together with the seed.

        Those of a mosaic do. In a large picture others agree by chance, anywhere.
        """
        import cv2

        place = self.corner // _STEP
        marks = np.zeros(place.max(0) + 1, np.uint8)
        marks[tuple(place[agree].T)] = 1
        reach = [
            int(np.ceil(max(_ROOM * block, _SIDE) / _STEP))
            for block in self.grid[seed, :, 0]
        ]
        near = np.ones([r | 1 for r in reach], np.uint8)  # joins two that far apart
        _, labels = cv2.connectedComponents(cv2.dilate(marks, near))
        return agree & (labels[tuple(place.T)] == labels[tuple(place[seed])])

    def middles(self, chosen):
        """Return the pixels in the middles of some windows, as rows and columns."""
        x, y = ((self.corner[chosen] + _SIDE // 2) * self.scale).T
        return y, x


def _levels(grey):
    """Yield the votes in the picture, and shrunk by 2, 4 and so on."""
    import cv2

    level, scale = grey.astype(np.float32), 1
    for _ in range(_LEVELS):
        if min(level.shape) < _SIDE:
            break
        windows, corner = _windows(level)
        found = []
        for kernel in _SEARCHED if len(windows) else ():
            turned = windows.transpose(0, 2, 1)
            x, y = _search(turned @ windows, kernel), _search(windows @ turned, kernel)
            score = np.minimum(x[0], y[0])
            good = (score > _RATIO) & (np.maximum(x[2], y[2]) < _NOISE)
            grid = np.stack([x[1], y[1]], 1)[good]
            grid[..., 1] += corner[good]
            names = np.full(good.sum(), kernel)
            found.append((windows[good], corner[good], grid, score[good], names))
        if found:
            yield _Votes(scale, *(np.concatenate(v) for v in zip(*found, strict=True)))
        height, width = (n // 2 for n in level.shape)
        even = np.ascontiguousarray(level[: 2 * height, : 2 * width])
        level = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
        scale *= 2


def _refined(votes, seed, agree):
    """Fit the seed's grid to the windows that agree with it.

    Returns:
        `(grid, kernel, box)`: the `Grid`, the kernel's name, and the box of the windows
        in pixels of the picture.
    """
    order = np.flatnonzero(agree)
    order = order[np.argsort(-votes.score[order])][:8]
    windows, corner = votes.windows[order].astype(np.float64), votes.corner[order]
    kernel = str(votes.kernel[seed])
    products = [
        windows.transpose(0, 2, 1) @ windows,
        windows @ windows.transpose(0, 2, 1),
    ]
    # Windows are searched with one cubic kernel of both.
    names = [kernel] if kernel == "linear" else ["cubic", "softer cubic"]
    fits = {
        name: [
            _fit(products[axis], corner[:, axis], *votes.grid[seed, axis], name)
            for axis in (0, 1)
        ]
        for name in names
    }
    kernel = min(fits, key=lambda name: sum(residual for *_, residual in fits[name]))
    sides = [side[:2] for side in fits[kernel]]
    scale = votes.scale
    blocks = [block * scale for block, _ in sides]
    origins = [(middle + block / 2) * scale for block, middle in sides]
    grid = Grid((blocks[0], blocks[1]), (origins[0], origins[1]), soft=True)
    corner = votes.corner[agree]
    low, high = corner.min(0) * scale, (corner.max(0) + _SIDE) * scale
    return grid, kernel, (*low.tolist(), *high.tolist())


def _fit(products, corner, block, middle, kernel):
    """Move block and middle to where the windows' residual is least.

    Returns:
        `(block, middle, residual)`.
    """
    span = np.ptp(corner) + _SIDE
    at = corner.mean() + _SIDE / 2
    middle += block * round((at - middle) / block)
    steps = np.array((0, -1, -0.5, 0.5, 1))
    left = np.empty(0)
    for reach in (1.0, 0.5, 0.25, 0.12):
        blocks, middles = np.meshgrid(
            block * (1 + reach / span * steps), middle + reach / 2 * steps
        )
        left = _residuals(products, corner, blocks.ravel(), middles.ravel(), kernel)
        best = left.argmin()
        block, middle = float(blocks.flat[best]), float(middles.flat[best])
    return block, middle, float(left.min())


def _residuals(products, corner, blocks, middles, kernel):
    """Return what each grid leaves of some windows' squares, all together."""
    weigh, reach = _KERNELS[kernel]
    pixels = corner[:, None] + np.arange(_SIDE) + 0.5
    place = (pixels - middles[:, None, None]) / blocks[:, None, None]
    first = np.floor(place[..., :1]) - reach
    n = int(np.ceil(_SIDE / blocks.min())) + 2 * reach + 2
    weights = weigh(place[..., None] - first[..., None] - np.arange(n))
    turned = weights.swapaxes(-1, -2)
    # Blocks that no pixel depends on have no weights.
    square = turned @ weights + 1e-3 * np.eye(n)
    explained = np.linalg.solve(square, turned @ products @ weights)
    total = np.trace(products, axis1=1, axis2=2).sum()
    return total - np.trace(explained, axis1=-2, axis2=-1).sum(1)


def _segment(grey, grid, kernel, box):
    """Return the region around a box that a grid explains, or `None`."""
    import cv2

    height, width = grey.shape
    block = grid.block
    room = [_ROOM * b + (box[k + 2] - box[k]) for k, b in enumerate(block)]
    left, top = (max(0, int(box[k] - room[k])) for k in (0, 1))
    right, bottom = (
        min(n, int(box[k + 2] + room[k])) for k, n in enumerate((width, height))
    )
    inner = np.s_[
        int(box[1]) - top : int(box[3]) - top, int(box[0]) - left : int(box[2]) - left
    ]
    view = grey[top:bottom, left:right].astype(np.float32)
    local = grid.moved(-left, -top)
    error = _error(view, local, kernel)
    noise = 1.5 * float(np.median(error[inner]))
    good = (error <= max(_ERROR, 4 * noise)).astype(np.float32)
    cell = tuple(max(3, round(b)) | 1 for b in block)
    around = np.ones(cell[::-1], np.uint8)
    # Squares of a block's size that the grid explains.
    fits = cv2.blur(good, cell, borderType=cv2.BORDER_REPLICATE) > 0.97
    fits = cv2.dilate(fits.astype(np.uint8), around) & (good > 0)
    pixels = grey[top:bottom, left:right]
    varied = cv2.dilate(pixels, around) - cv2.erode(pixels, around) >= _DETAIL
    shows = cv2.morphologyEx(fits & varied, cv2.MORPH_OPEN, around)
    # Plain blocks may lie between those that show something.
    wide = np.ones((4 * cell[1] + 1, 4 * cell[0] + 1), np.uint8)
    _, labels = cv2.connectedComponents(cv2.dilate(shows, wide))
    counts = np.bincount(labels[inner][shows[inner] > 0], minlength=1)
    if not counts.any():
        return None
    shows = (labels == counts.argmax()) & (shows > 0)
    across, down = shows.any(0).sum() / block[0], shows.any(1).sum() / block[1]
    if shows.sum() < _CELLS * block[0] * block[1] or min(across, down) < 2.5:
        return None
    ratio = _ratio(view, local, kernel, shows)
    # What is plain within it belongs to it.
    own = cv2.morphologyEx(shows.astype(np.uint8), cv2.MORPH_CLOSE, wide)
    _, holes = cv2.connectedComponents(np.pad(1 - own, 1, constant_values=1))
    own = (holes != holes[0, 0])[1:-1, 1:-1]
    gain = np.where(own, 1.0, np.where(good > 0, -0.1, -1.0)).astype(np.float32)
    (b0, b1), _ = grid.whole
    tight = likely_rectangle(gain, pixels, bounds(own), (b0, b1))
    rectangle = np.zeros_like(own)
    rectangle[tight[1] : tight[3], tight[0] : tight[2]] = True
    if (own & rectangle).sum() > 0.8 * (own | rectangle).sum():
        own = rectangle
    x0, y0, x1, y1 = bounds(own)
    odds = 3 * np.log(ratio / _SURE_RATIO)
    return region_at(
        (left + x0, top + y0),
        own[y0:y1, x0:x1],
        kind="mosaic",
        grid=grid,
        confidence=float(1 / (1 + np.exp(-odds))),
    )


def _error(view, grid, kernel):
    """Return how far each pixel is from what the blocks' colours enlarge to."""
    height, width = view.shape
    middle = [o + b / 2 for o, b in zip(grid.origin, grid.block, strict=True)]
    columns = enlarging(width, grid.block[0], middle[0], kernel).astype(np.float32)
    rows = enlarging(height, grid.block[1], middle[1], kernel).astype(np.float32)
    colours = _sampled(view, rows, columns)
    error = np.abs(view - rows @ colours @ columns.T)
    for scale in (12.0, 6.0, 3.0):
        weight = 1 / (1 + (error / scale) ** 2) ** 2
        colours = _solved(view, rows, columns, weight, colours)
        error = np.abs(view - rows @ colours @ columns.T)
    return error


def _sampled(view, rows, columns):
    """Return the picture's values where blocks have their middles."""
    y, x = rows.argmax(0), columns.argmax(0)
    return view[y][:, x]


def _solved(view, rows, columns, weight, colours, steps=10):
    """Return the colours of least weighted squares, by conjugate gradients."""

    def normal(c):
        return rows.T @ (weight * (rows @ c @ columns.T)) @ columns + 0.01 * c

    rest = rows.T @ (weight * view) @ columns + 0.01 * colours - normal(colours)
    way, size = rest, (rest**2).sum()
    for _ in range(steps):
        if size < 1e-6:
            break
        moved = normal(way)
        step = size / (way * moved).sum()
        colours = colours + step * way
        rest = rest - step * moved
        size, before = (rest**2).sum(), size
        way = rest + size / before * way
    return colours


def _ratio(view, grid, kernel, mask):
    """Return by how much other offsets leave more of a region, along x or y."""
    weight = mask.astype(np.float32)
    y0, y1 = np.flatnonzero(mask.any(1))[[0, -1]]
    x0, x1 = np.flatnonzero(mask.any(0))[[0, -1]]
    inside = np.s_[y0 : y1 + 1, x0 : x1 + 1]
    view, weight = view[inside], weight[inside]
    grid = grid.moved(-x0, -y0)

    def left(shift_x, shift_y):
        moved = grid.moved(shift_x * grid.block[0], shift_y * grid.block[1])
        middle = [o + b / 2 for o, b in zip(moved.origin, moved.block, strict=True)]
        columns = enlarging(view.shape[1], moved.block[0], middle[0], kernel)
        rows = enlarging(view.shape[0], moved.block[1], middle[1], kernel)
        rows, columns = rows.astype(np.float32), columns.astype(np.float32)
        colours = _solved(view, rows, columns, weight, _sampled(view, rows, columns))
        error = (view - rows @ colours @ columns.T)[weight > 0] ** 2
        # A few pixels of the rim may be no mosaic's.
        return np.minimum(error, np.quantile(error, 0.9)).mean() + _FLOOR

    own = left(0, 0)
    others = [
        [left(s, 0) for s in (0.25, 0.5, 0.75)],
        [left(0, s) for s in (0.25, 0.5, 0.75)],
    ]
    return min(np.exp(np.log(side).mean()) for side in others) / own
