"""What speaks for a mosaic where the network sees one, as one number."""

import numpy as np

from oppai.cell_network import PARTS, load_weights, steps
from oppai.mosaic_lattices import comb_score, long_steps

_LEVELS = 2, 6, 12  # grey levels from which a difference counts as a step
_MOST = 600  # cells: what larger parts have more of says nothing more
_REACH = 3.0  # standard deviations: nothing further out was seen in training
_FULL = 12  # samples of 16 that are censored in a cell that counts as inside
NAMES = (
    *(f"{name}, {level} levels" for level in _LEVELS for name in ("sides", "whole")),
    "lines",
    "colours",
    "sureness",
    "least of the lattice's scores",
    "mean of the lattice's scores",
    "grid of a JPEG",
    "size of a block",
    "cells",
)
_LINES, _COLOURS = NAMES.index("lines"), NAMES.index("colours")


def gather_evidence(on, middles, share, part, lattice, scores):
    """What is seen of a part of a picture that may be a mosaic, in numbers.

    Args:
        on: float `(4 rows, 4 columns, 2)`, the steps on the lattice along x and y, as
            `lattice_features` scales them.
        middles: int `(rows, columns)`, grey of each cell's middle.
        share: float `(4 rows, 4 columns)`, 0..1, of the network.
        part: bool `(4 rows, 4 columns)`, the part's samples.
        lattice: `(block x, origin x, block y, origin y)` in pixels.
        scores: What `lattice_scores` gives.

    Returns:
        float32 `(14,)`, named in `NAMES`.
    """
    rows, columns = middles.shape
    inside = part.reshape(rows, PARTS, columns, PARTS).sum((1, 3)) >= _FULL
    # As if the part had no more than so many cells, of the same kind.
    n_cells = np.count_nonzero(inside)
    shrink = min(1.0, _MOST / max(n_cells, 1))
    beside_x = inside[:, 1:] & inside[:, :-1]
    beside_y = inside[1:] & inside[:-1]
    values, n_lines = [], 0
    for level in np.log1p(_LEVELS) / 3:
        left = (on[:, ::PARTS, 0] > level).reshape(rows, PARTS, columns).sum(1)
        top = (on[::PARTS, :, 1] > level).reshape(rows, columns, PARTS).sum(2)
        left, top = left[:, 1:] * beside_x, top[1:] * beside_y
        whole = np.count_nonzero(left == PARTS) + np.count_nonzero(top == PARTS)
        touched = np.count_nonzero(left) + np.count_nonzero(top)
        values += [np.log1p(shrink * whole), whole / max(touched, 1)]
        n_lines = n_lines or min(
            (left == PARTS).any(0).sum(), (top == PARTS).any(1).sum()
        )
    n_colours = len(np.unique(middles[inside] // 6))
    sure = np.clip(share[part], 1e-3, 1 - 1e-3)
    block = np.sqrt(lattice[0] * lattice[2])
    values += [
        np.log1p(max(min(n_lines, 2), np.sqrt(shrink) * n_lines)),
        np.log1p(n_colours),
        np.log(sure / (1 - sure)).mean() / 4,
        min(scores),
        sum(scores) / 2,
        float(_is_jpeg_grid(lattice)),
        np.log2(block) - 3,
        np.log1p(shrink * n_cells),
    ]
    return np.array(values, np.float32)


def weigh(evidence):
    """Log odds that a part is one of a mosaic: float."""
    weights = load_weights()
    x = (evidence - weights["evidence.mean"]) / weights["evidence.scale"]
    return float(with_products(x) @ weights["evidence.w"] + weights["evidence.b"])


def with_products(x):
    """Numbers `(…, n)`, cut, and their products in twos: `(…, n + n (n + 1) / 2)`."""
    x = np.clip(x, -_REACH, _REACH)
    i, j = np.triu_indices(x.shape[-1])
    return np.concatenate([x, x[..., i] * x[..., j]], -1)


def is_lattice(evidence):
    """Whether a part has two lines of a lattice each way, and four colours."""
    return bool(evidence[_LINES] >= np.log1p(2) and evidence[_COLOURS] >= np.log1p(4))


def lattice_scores(grey, lattice, mask, corner):
    """Part of the long sharp steps in a mask that lie on a lattice, less chance.

    Args:
        grey: uint8 `(height, width)`.
        lattice: `(block x, origin x, block y, origin y)` in pixels.
        mask: bool, the part's pixels.
        corner: `(x, y)` of the mask's upper left corner.

    Returns:
        `(along x, along y)`, 1 where all do.
    """
    profiles = step_profiles(grey, lattice, mask, corner)
    starts = zip(profiles, corner, lattice[::2], lattice[1::2], strict=True)
    return [
        comb_score(profile, block, (origin - start) % block)
        for profile, start, block, origin in starts
    ]


def step_profiles(grey, lattice, mask, corner):
    """Mean of the long sharp steps in a mask on each of its columns, and its rows."""
    x, y = corner
    part = grey[y : y + mask.shape[0], x : x + mask.shape[1]]
    profiles = []
    for view, hole, length in ((part, mask, lattice[2]), (part.T, mask.T, lattice[0])):
        sharp = steps(np.ascontiguousarray(view))[1]
        long = long_steps(sharp, max(3, length // 2))
        profiles.append((long * hole).sum(0) / np.maximum(hole.sum(0), 8))
    return profiles


def _is_jpeg_grid(lattice):
    """Whether the blocks of a JPEG may make the lattice."""
    return not any(value % 8 for value in lattice)
