"""Edit a JPEG without compressing anew what was not edited.

Pillow and OpenCV give pixels alone: decoded and compressed again, they differ by up to
30 levels all over the picture. jpeglib, which gives coefficients, is a wheel of 23 MB.
A JPEG's blocks stand by themselves but for the differences of their means, so that the
coefficients of untouched blocks can be written again as they were read.
"""

import numpy as np

from illustkit import progress
from illustkit.images.jpeg_blocks import decode
from illustkit.images.jpeg_segments import UnknownJpegError, blocks_of_unit, parse

_BLOCKS = 1 << 14  # that are encoded at once


def with_blocks_of(
    original: bytes, encoded: bytes, changed: np.ndarray
) -> bytes | None:
    """Return an edited JPEG whose untouched blocks are those of the original.

    Example:
    ```python
    data = with_blocks_of(original, encoded, changed)
    ```

    Args:
        original: The bytes of a JPEG.
        encoded: The edited picture, compressed with the same quantisation tables and
            subsampling, baseline.
        changed: bool `(height, width)` as stored, the pixels that were edited. Each
            block that holds one is taken from `encoded`.

    Returns:
        The bytes of a baseline JPEG with the segments of `encoded`; `None` for an
        original of another kind: arithmetic, 12-bit, lossless, CMYK, or damaged.
    """
    try:
        old, new = parse(original), parse(encoded)
        if not _fit(old, new) or changed.shape != (old.height, old.width):
            return None
        blocks = decode(new)
        kept = ~_touched(new, changed)
        blocks[kept] = decode(old)[kept]
        scan = _encode(new, blocks)
    except UnknownJpegError:
        return None
    return encoded[: new.start] + scan + b"\xff\xd9"


def _fit(old, new):
    def layout(jpeg):
        parts = [
            (c.across, c.down, jpeg.quantisers.get(c.quantiser))
            for c in jpeg.components
        ]
        return jpeg.width, jpeg.height, parts

    return layout(old) == layout(new) and old.is_ycc and new.is_ycc


def _touched(jpeg, changed):
    """Return of every block, in the file's order, whether a pixel of it changed."""
    across = max(c.across for c in jpeg.components)
    down = max(c.down for c in jpeg.components)
    columns, rows = jpeg.units
    room = [(0, rows * down * 8 - changed.shape[0])]
    room += [(0, columns * across * 8 - changed.shape[1])]
    padded = np.pad(changed, room)
    maps = []
    for part in jpeg.components:
        # rows of units, blocks of a unit, pixels of a block; the same across
        shape = rows, part.down, -1, columns, part.across, 8 * across // part.across
        hit = padded.reshape(shape).any(axis=(2, 5))
        maps.append(hit.transpose(0, 2, 1, 3).reshape(rows * columns, -1))
    return np.concatenate(maps, axis=1).reshape(-1)


def _encode(jpeg, blocks):
    """Return the scan that holds the blocks: bits, stuffed, without restarts."""
    order = np.array(blocks_of_unit(jpeg))
    differences = blocks[:, 0].astype(np.int64)
    for i in range(len(jpeg.components)):
        own = np.flatnonzero(order == i)
        means = differences.reshape(-1, len(order))[:, own]
        steps = np.diff(means.reshape(-1), prepend=0)
        differences.reshape(-1, len(order))[:, own] = steps.reshape(means.shape)
    codes = {name: _codes_of(*table) for name, table in jpeg.codes.items()}
    parts = []
    progress.begin("writing blocks", len(blocks))
    for start in range(0, len(blocks), _BLOCKS):
        own = np.s_[start : start + _BLOCKS]
        component = order[np.arange(start, start + len(blocks[own])) % len(order)]
        parts.append(_bits(jpeg, codes, blocks[own], differences[own], component))
        progress.advance(len(blocks[own]))
    bits = np.concatenate(parts)
    bits = np.pad(bits, (0, -len(bits) % 8), constant_values=1)
    return np.packbits(bits).tobytes().replace(b"\xff", b"\xff\0")


def _codes_of(lengths, symbols):
    """Return the code and its length of every symbol; length 0 where there is none."""
    code, size = np.zeros(256, np.int64), np.zeros(256, np.int64)
    windows = np.flatnonzero(lengths)
    found, first = np.unique(symbols[windows], return_index=True)
    size[found] = lengths[windows[first]]
    code[found] = windows[first] >> (16 - size[found])
    return code, size


def _bits(jpeg, codes, blocks, differences, component):
    """Return the bits of some blocks, one a byte."""
    block, k = np.nonzero(blocks[:, 1:])
    k += 1
    value = blocks[block, k].astype(np.int64)
    first = np.diff(block, prepend=-1) != 0
    run = np.where(first, k, np.diff(k, prepend=0)) - 1
    skips = run // 16
    last = np.zeros(len(blocks), np.int64)
    last[block] = k  # the last one stays
    open_ended = np.flatnonzero(last < 63)
    n = len(blocks)
    # Of each code: its block, its place there, its symbol and its value.
    owner = [np.arange(n), block, np.repeat(block, skips), open_ended]
    place = [np.zeros(n, np.int64), 2 * k, np.repeat(2 * k - 1, skips)]
    place.append(np.full(len(open_ended), 128))
    size, ac_size = _size(differences), _size(value)
    symbol = [size, (run % 16) << 4 | ac_size, np.full(skips.sum(), 0xF0)]
    symbol.append(np.zeros(len(open_ended), np.int64))
    values = [differences, value, *(np.zeros(len(s), np.int64) for s in symbol[2:])]
    sizes = [size, ac_size, *(np.zeros(len(s), np.int64) for s in symbol[2:])]
    owner, place, symbol, values, sizes = map(
        np.concatenate, (owner, place, symbol, values, sizes)
    )
    code, length = np.zeros(len(owner), np.int64), np.zeros(len(owner), np.int64)
    for i, part in enumerate(jpeg.components):
        for name, kind in ((part.dc, place == 0), (part.ac, place > 0)):
            own = kind & (component[owner] == i)
            code[own], length[own] = (table[symbol[own]] for table in codes[name])
    if not length.all():
        raise UnknownJpegError  # a value that the tables do not hold
    extra = np.where(values < 0, values + (1 << sizes) - 1, values)
    code, length = code << sizes | extra, length + sizes
    by_place = np.argsort(owner * 129 + place, kind="stable")
    code, length = code[by_place], length[by_place]
    ends = np.cumsum(length)
    shift = np.repeat(ends, length) - 1 - np.arange(ends[-1])
    return (np.repeat(code, length) >> shift & 1).astype(np.uint8)


def _size(values):
    """Return the bits of the magnitude of each value."""
    return np.ceil(np.log2(np.abs(values) + 1)).astype(np.int64)
