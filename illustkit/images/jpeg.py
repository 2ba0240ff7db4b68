"""Edit a JPEG without compressing anew what was not edited.

Pillow and OpenCV give pixels alone: decoded and compressed again, they differ by up to
30 levels all over the picture. jpeglib, which gives coefficients, is a wheel of 23 MB.
A JPEG's blocks stand by themselves but for the differences of their means, so that the
coefficients of untouched blocks can be written again as they were read.
"""

from collections.abc import Callable

import numpy as np

from illustkit import progress
from illustkit.images.jpeg_blocks import decode, decode_from, skip
from illustkit.images.jpeg_segments import UnknownJpegError, blocks_of_unit, parse

_BLOCKS = 1 << 14  # that are encoded at once


def with_blocks_of(
    original: bytes,
    changed: np.ndarray,
    encode_rows: Callable[[slice], bytes],
) -> bytes | None:
    """Return an edited JPEG whose untouched blocks are those of the original.

    Where nothing prevents it, the codes after the edited rows are not even read: they
    are copied, and the edited rows alone are compressed.

    Example:
    ```python
    data = with_blocks_of(original, changed, encode_rows)
    ```

    Args:
        original: The bytes of a JPEG.
        changed: bool `(height, width)` as stored, the pixels that were edited. Each
            block that holds one is compressed anew.
        encode_rows: Function that compresses some rows of the edited picture, with the
            original's quantisation tables and subsampling, baseline.

    Returns:
        The bytes of a baseline JPEG with the segments of what `encode_rows` returns;
        `None` for an original of another kind: arithmetic, 12-bit, lossless, CMYK, or
        damaged.
    """
    try:
        old = parse(original)
        if changed.shape != (old.height, old.width):
            return None
        if spliced := _spliced(old, changed, encode_rows):
            return spliced
        encoded = encode_rows(slice(0, old.height))
        new = parse(encoded)
        if not _fit(old, new):
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
        return jpeg.width, parts

    return layout(old) == layout(new) and old.is_ycc and new.is_ycc


def _spliced(old, changed, encode_rows):
    """Return the original with the edited rows in its scan, or `None`.

    The codes of a baseline JPEG without restarts are one row of bits, in which only a
    block's mean depends on the block before. So the rows of units that were edited are
    replaced, with the first unit after them. Some blocks end with zeros that say
    nothing, until the new bits are as many as the old ones but for whole bytes: then
    all that follows is copied byte by byte.
    """
    if old.progressive or old.restart:
        return None
    theirs = old.scans[0].codes
    columns, n_rows = old.units
    high = 8 * max(c.down for c in old.components)
    edited = np.flatnonzero(changed.any(1))
    top, bottom = (edited[0] // high, edited[-1] // high + 1) if len(edited) else (0, 1)
    rows = slice(int(top) * high, min(int(bottom) * high, old.height))
    encoded = encode_rows(rows)
    new = parse(encoded)
    ours = new.scans[0].codes
    if new.restart or not _fit(old, new):
        return None
    if not all(np.array_equal(theirs[k], ours[k]) for k in ours):
        return None
    header = bytearray(encoded[: new.start])
    header[new.frame : new.frame + 2] = old.height.to_bytes(2, "big")
    if not len(edited):
        return bytes(header) + old.scans[0].data + b"\xff\xd9"
    data = old.scans[0].data.replace(b"\xff\0", b"\xff")
    first, stop = int(top * columns), int(bottom * columns)
    last = min(stop + 1, n_rows * columns)
    per_unit = len(blocks_of_unit(old))
    begin, means = skip(old, first)
    blocks, end = decode_from(old, begin, last - first, means)
    painted, touched = decode(new), _touched(new, changed[rows])
    inside = blocks[: (stop - first) * per_unit]
    inside[touched] = painted[touched]
    bits = _scan_bits(new, blocks, means)
    if last < n_rows * columns:
        lack = (end - begin - len(bits)) % 8
        more = _empty_runs(new, blocks, lack)
        if more is None:
            return None
        bits = _scan_bits(new, blocks, means, more)
    else:
        end = 8 * len(data)
    around = [_bits_of(data, begin)[: begin % 8], bits]
    if end % 8:
        around.append(_bits_of(data, end)[end % 8 :])
    bits = np.concatenate(around)
    bits = np.pad(bits, (0, -len(bits) % 8), constant_values=1)
    scan = data[: begin // 8] + np.packbits(bits).tobytes() + data[-(-end // 8) :]
    return bytes(header) + scan.replace(b"\xff", b"\xff\0") + b"\xff\xd9"


def _bits_of(data, place):
    """Return the bits of the byte in which a bit lies; none beyond the end."""
    return np.unpackbits(np.frombuffer(data[place // 8 : place // 8 + 1], np.uint8))


def _empty_runs(jpeg, blocks, lack):
    """Return the blocks that get a code of 16 zeros, so that bits grow by `lack`.

    The bits are counted modulo 8. A block gets as many as it has room behind its last
    coefficient. `None` if there is no room.
    """
    code = jpeg.codes[jpeg.components[0].ac]
    length = int(_codes_of(*code)[1][0xF0])
    counts = [n for n in range(8) if n * length % 8 == lack]
    order = np.array(blocks_of_unit(jpeg))
    own = order[np.arange(len(blocks)) % len(order)] == 0
    last = 63 - np.argmax(blocks[:, ::-1] != 0, axis=1)
    last[~blocks.any(1)] = 0
    room = np.where(own & (last < 63), (62 - last) // 16, 0)
    free = np.repeat(np.arange(len(blocks)), room)
    if not counts or not length or len(free) < counts[0]:
        return None
    return free[: counts[0]]


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
    bits = _scan_bits(jpeg, blocks, [0] * len(jpeg.components))
    bits = np.pad(bits, (0, -len(bits) % 8), constant_values=1)
    return np.packbits(bits).tobytes().replace(b"\xff", b"\xff\0")


def _scan_bits(jpeg, blocks, before, empty=()):
    """Return the bits of blocks, one a byte.

    `before` are the means of each component's block before these; the blocks that
    `empty` numbers get a code of 16 zeros before they end, as often as they are in it.
    """
    empty = np.asarray(empty, np.int64)
    order = np.array(blocks_of_unit(jpeg))
    differences = blocks[:, 0].astype(np.int64)
    for i in range(len(jpeg.components)):
        own = np.flatnonzero(order == i)
        means = differences.reshape(-1, len(order))[:, own]
        steps = np.diff(means.reshape(-1), prepend=before[i])
        differences.reshape(-1, len(order))[:, own] = steps.reshape(means.shape)
    codes = {name: _codes_of(*table) for name, table in jpeg.codes.items()}
    parts = []
    progress.begin("writing blocks", len(blocks))
    for start in range(0, len(blocks), _BLOCKS):
        own = np.s_[start : start + _BLOCKS]
        component = order[np.arange(start, start + len(blocks[own])) % len(order)]
        more = empty[(empty >= start) & (empty < start + _BLOCKS)] - start
        parts.append(_bits(jpeg, codes, blocks[own], differences[own], component, more))
        progress.advance(len(blocks[own]))
    return np.concatenate(parts)


def _codes_of(lengths, symbols):
    """Return the code and its length of every symbol; length 0 where there is none."""
    code, size = np.zeros(256, np.int64), np.zeros(256, np.int64)
    windows = np.flatnonzero(lengths)
    found, first = np.unique(symbols[windows], return_index=True)
    size[found] = lengths[windows[first]]
    code[found] = windows[first] >> (16 - size[found])
    return code, size


def _bits(jpeg, codes, blocks, differences, component, empty):
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
    owner = [np.arange(n), block, np.repeat(block, skips), open_ended, empty]
    place = [np.zeros(n, np.int64), 2 * k, np.repeat(2 * k - 1, skips)]
    place += [np.full(len(open_ended), 128), np.full(len(empty), 127)]
    size, ac_size = _size(differences), _size(value)
    symbol = [size, (run % 16) << 4 | ac_size, np.full(skips.sum(), 0xF0)]
    symbol += [np.zeros(len(open_ended), np.int64), np.full(len(empty), 0xF0)]
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
