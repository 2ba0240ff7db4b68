"""Read the quantised coefficients of a JPEG's blocks, baseline or progressive."""

import math

import numpy as np

from illustkit import progress
from illustkit.images.jpeg_segments import Jpeg, UnknownJpegError, blocks_of_unit

# Bytes whose symbols are looked up at once, and the most that one unit takes.
_CHUNK, _UNIT = 1 << 16, 1 << 13
_BLOCK_END, _INVALID = 64, 200
_ENDED = 128  # coefficients of the code that ends a block, where codes are skipped


def decode(jpeg: Jpeg) -> np.ndarray:
    """Return the quantised coefficients of all blocks.

    Args:
        jpeg: What `parse` returned.

    Returns:
        int16 `(n, 64)`: the blocks in the order of the file, the coefficients in
        zigzag order, the first one whole.

    Raises:
        UnknownJpegError: If the codes are damaged.
    """
    if jpeg.progressive:
        return _decode_progressive(jpeg)
    order, (scan,) = blocks_of_unit(jpeg), jpeg.scans
    n_units = jpeg.units[0] * jpeg.units[1]
    per_part = scan.restart or n_units
    n_parts = -(-n_units // per_part)
    parts = scan.parts
    if len(parts) < n_parts:
        raise UnknownJpegError
    part_ends = np.cumsum([len(part) for part in parts[:n_parts]]).tolist()
    blocks = np.zeros((n_units * len(order), 64), np.int16)
    _read_codes(
        scan.codes, b"".join(parts[:n_parts]), part_ends, per_part, order, blocks
    )
    _add_up_means(blocks, order, per_part, [0] * len(jpeg.components))
    return blocks


def decode_from(
    jpeg: Jpeg, begin: int, n_units: int, means: list[int]
) -> tuple[np.ndarray, int]:
    """Return the coefficients of some units of a baseline JPEG without restarts.

    Args:
        jpeg: What `parse` returned.
        begin: The bit of the scan at which the first unit begins.
        n_units: How many units to read.
        means: Of each component's block before these.

    Returns:
        `(blocks, end)`: as `decode` returns them, and the bit at which they end.

    Raises:
        UnknownJpegError: If the codes are damaged.
    """
    order, (scan,) = blocks_of_unit(jpeg), jpeg.scans
    (data,) = scan.parts
    blocks = np.zeros((n_units * len(order), 64), np.int16)
    codes, ends = scan.codes, [len(data)]
    end = _read_codes(codes, data, ends, n_units, order, blocks, begin)
    _add_up_means(blocks, order, n_units, means)
    return blocks, end


def _add_up_means(blocks, order, per_part, means):
    """Add up the differences as which means are stored; each part begins anew."""
    by_unit = blocks.reshape(-1, len(order), 64)
    part = np.arange(len(by_unit)) // per_part
    for i, mean in enumerate(means):
        own = np.flatnonzero(np.array(order) == i)
        total = np.cumsum(by_unit[:, own, 0].reshape(-1), dtype=np.int64)
        total = total.reshape(len(by_unit), -1)
        before = np.concatenate([[0], total[per_part - 1 :: per_part, -1]])[part]
        total += mean - before[:, None]
        if np.abs(total).max() > np.iinfo(np.int16).max:
            raise UnknownJpegError
        by_unit[:, own, 0] = total


def skip(jpeg: Jpeg, n_units: int) -> tuple[int, list[int]]:
    """Return where a unit of a baseline JPEG without restarts begins.

    All codes before it are read, but of their values only the means are added up.

    Args:
        jpeg: What `parse` returned.
        n_units: The number of units before it.

    Returns:
        `(bit, means)`: its place in the scan, and the mean of each component's block
        before it.

    Raises:
        UnknownJpegError: If the codes are damaged.
    """
    order, (scan,) = blocks_of_unit(jpeg), jpeg.scans
    (data,) = scan.parts
    padded = np.frombuffer(data + bytes(_UNIT + 8), np.uint8)
    codes, components = scan.codes, range(len(jpeg.components))
    tables = [_leaps(codes[i, False], codes[i, True]) for i in components]
    means = [0] * len(components)
    progress.begin("skipping blocks", n_units)
    unit, base, position = 0, 0, 0  # position: in bits, from the byte `base`
    while unit < n_units:
        chunk = padded[base : base + _CHUNK + _UNIT]
        bits = _windows(chunk)
        looked_up: list = []
        for i, own in enumerate(tables):
            same = i and all(codes[i, k] is codes[i - 1, k] for k in (False, True))
            looked_up.append(
                looked_up[-1] if same else [t[bits].tobytes() for t in own]
            )
        of_unit = [looked_up[i] for i in order]
        starts: list[int] = []
        append, limit, first = starts.append, 8 * (len(chunk) - _UNIT), unit
        while unit < n_units and position < limit:
            for number, (head_bits, head_step, ac_bits, ac_step) in enumerate(of_unit):
                append(position)
                k = 1 + head_step[position]
                position += head_bits[position]
                while k < 64:
                    k += ac_step[position]
                    position += ac_bits[position]
                if not _ENDED < k < _ENDED + 64:  # the block ends without its code
                    position = _next_block(bits, codes, order[number], starts[-1])
            unit += 1
        if unit == first or 8 * base + position > 8 * len(data):
            raise UnknownJpegError  # the data end before the unit
        places = np.array(starts).reshape(unit - first, len(order))
        for i in components:
            own = places[:, np.array(order) == i].reshape(-1)
            lengths, sizes = (table[bits[own]] for table in codes[i, False])
            means[i] += int(_read_values(chunk, own + lengths, sizes).sum())
        base, position = base + position // 8, position % 8
        progress.advance(unit - first)
    if max(map(abs, means)) > np.iinfo(np.int16).max:
        raise UnknownJpegError
    return 8 * base + position, means


def _leaps(dc, ac):
    """Return how far the codes lead that a window of 16 bits holds whole.

    Returns:
        Four uint8 tables over windows: bits and coefficients of the codes of a block's
        beginning, and the same within a block. The code that ends a block counts
        `_ENDED` coefficients, one that is none 255.
    """
    windows = np.arange(1 << 16)
    lengths, symbols = (table.astype(np.int64) for table in ac)
    size, run = symbols & 15, symbols >> 4
    one_bits = lengths + size
    one_step = np.where(size > 0, run + 1, np.where(run == 15, 16, _ENDED))
    one_step[lengths == 0] = 255

    def prolonged(bits, step):
        for _ in range(8):
            rest = (windows << np.minimum(bits, 16)) & 0xFFFF
            more, further = one_bits[rest], one_step[rest]
            fits = (step < 64) & (further < 255) & (bits + more <= 16)
            fits &= (further == _ENDED) | (step + further < 64)
            if not fits.any():
                break
            bits, step = bits + fits * more, step + fits * further
        return bits.astype(np.uint8), step.astype(np.uint8)

    lengths, symbols = (table.astype(np.int64) for table in dc)
    head = lengths + symbols
    valid = (lengths > 0) & (symbols <= 11)
    head_bits, head_step = prolonged(np.where(valid, head, 0), np.where(valid, 0, 254))
    return head_bits, head_step, *prolonged(one_bits, one_step)


def _next_block(bits, codes, component, position):
    """Return where the block ends that begins at a bit, code by code."""
    lengths, sizes = codes[component, False]
    window = bits[position]
    if not lengths[window] or sizes[window] > 11:
        raise UnknownJpegError
    position += int(lengths[window]) + int(sizes[window])
    lengths, symbols = codes[component, True]
    k = 1
    while k < 64:
        window = bits[position]
        if not lengths[window]:
            raise UnknownJpegError
        run, size = divmod(int(symbols[window]), 16)
        position += int(lengths[window]) + size
        k += run + 1 if size else 16 if run == 15 else 64
    return position


def _read_codes(codes, data, part_ends, per_part, order, blocks, begin=0):
    """Fill in what the codes of the data say, the mean of each block as a difference.

    Returns the bit after the last code; `begin` is the bit of the first one.

    Of every bit the code that would begin there is looked up at once, so that the loop,
    which alone knows where codes begin, only adds numbers.
    """
    n_units = len(blocks) // len(order)
    padded = np.frombuffer(data + bytes(_UNIT + 8), np.uint8)
    progress.begin("reading blocks", n_units)
    unit, stop = 0, 0
    base, position = divmod(begin, 8)  # position: in bits, from the byte `base`
    while unit < n_units:
        chunk = padded[base : base + _CHUNK + _UNIT]
        bits = _windows(chunk)
        tables: list = []
        for i in range(max(order) + 1):
            # Both chroma components have the same tables.
            same = i and all(codes[i, k] is codes[i - 1, k] for k in (False, True))
            tables.append(
                tables[-1] if same else _steps(codes[i, False], codes[i, True], bits)
            )
        of_unit = [tables[i] for i in order]
        starts: list[int] = []
        ends: list[int] = []
        append = starts.append
        limit = 8 * (len(chunk) - _UNIT)
        first = unit
        while unit < n_units and position < limit:
            for dc_bits, ac_bits, ac_step in of_unit:
                append(position)
                position += dc_bits[position]
                k = 1
                while k < 64:
                    append(position)
                    k += ac_step[position]
                    position += ac_bits[position]
                if k >= _INVALID:
                    raise UnknownJpegError
                ends.append(len(starts))
            unit += 1
            if unit % per_part == 0 or unit == n_units:
                stop = 8 * base + position
                end = 8 * (part_ends[(unit - 1) // per_part] - base)
                if position > end:
                    raise UnknownJpegError
                position = end
        if unit == first:
            raise UnknownJpegError  # the data end before the picture
        own = blocks[first * len(order) : unit * len(order)]
        _values(codes, order, chunk, bits, np.array(starts), np.array(ends), own)
        base, position = base + position // 8, position % 8
        progress.advance(unit - first)
    return stop


def _windows(chunk):
    """Return the 16 bits that begin at every bit."""
    wide = chunk.astype(np.uint32)
    wide = np.pad((wide[:-2] << 16) | (wide[1:-1] << 8) | wide[2:], (0, 2))
    shifts = np.arange(8, 0, -1, dtype=np.uint32)
    return (wide[:, None] >> shifts).astype(np.uint16).reshape(-1)


def _steps(dc, ac, bits):
    """Return, of every bit, how far a code there leads: in bits and coefficients."""
    lengths, symbols = dc
    dc_bits = lengths + symbols
    dc_bits[(lengths == 0) | (symbols > 11)] = 0
    lengths, symbols = ac
    size, run = symbols & 15, symbols >> 4
    step = np.where(size > 0, run + 1, np.where(run == 15, 16, _BLOCK_END))
    step[lengths == 0] = _INVALID
    steps = lengths + size, step.astype(np.uint8)
    return tuple(table[bits].tobytes() for table in (dc_bits, *steps))


def _values(codes, order, chunk, bits, starts, ends, blocks):
    """Fill in the coefficients whose codes begin at the given bits."""
    counts = np.diff(ends, prepend=0)
    block = np.repeat(np.arange(len(ends)), counts)
    is_dc = np.zeros(len(starts), bool)
    is_dc[ends - counts] = True
    component = np.array(order)[np.arange(len(ends)) % len(order)][block]
    lengths = np.zeros(len(starts), np.uint8)
    symbols = np.zeros(len(starts), np.uint8)
    for (i, is_ac), table in codes.items():
        own = (component == i) & (is_dc != is_ac)
        window = bits[starts[own]]
        lengths[own], symbols[own] = (t[window] for t in table)
    if not lengths.all():
        raise UnknownJpegError
    size = np.where(is_dc, symbols, symbols & 15).astype(np.int64)
    run = np.where(is_dc, 0, symbols >> 4).astype(np.int64)
    step = np.where(size > 0, run + 1, np.where(run == 15, 16, _BLOCK_END))
    step[is_dc] = 1
    total = np.cumsum(step)
    before = total - step
    place = before - before[ends - counts][block] + run
    value = _read_values(chunk, starts + lengths, size)
    filled = size > 0
    if (place[filled] > 63).any():
        raise UnknownJpegError
    blocks[block[filled], place[filled]] = value[filled]


def _read_values(chunk, places, sizes):
    """Return the signed numbers of so many bits that begin at the given bits."""
    size = sizes.astype(np.int64)
    wide = np.pad(chunk, (0, 4)).astype(np.int64)
    i = places >> 3
    window = (wide[i] << 24) | (wide[i + 1] << 16) | (wide[i + 2] << 8) | wide[i + 3]
    value = ((window << (places & 7)) & 0xFFFFFFFF) >> (32 - size)
    return np.where(value < (1 << size) >> 1, value - (1 << size) + 1, value)


# Progressive: each scan adds coefficients, or one more bit of them.


def _decode_progressive(jpeg):
    """Return the quantised coefficients of all blocks, as `decode` does."""
    order = blocks_of_unit(jpeg)
    columns, rows = jpeg.units
    blocks = np.zeros((rows * columns * len(order), 64), np.int16)
    progress.begin("reading blocks", len(jpeg.scans))
    for scan in jpeg.scans:
        progress.advance()
        if len(scan.components) > 1:
            within = np.flatnonzero(np.isin(order, scan.components))
            units = np.arange(rows * columns)[:, None] * len(order)
            places, owners = (units + within).ravel(), np.array(order)[within]
        else:
            (number,) = scan.components
            places, owners = _own_blocks(jpeg, number, order), np.array([number])
        per_unit = len(owners)
        per_part = (scan.restart or len(places)) * per_unit
        parts = scan.parts
        starts = range(0, len(places), per_part)
        if len(parts) < len(starts):
            raise UnknownJpegError
        for start, data in zip(starts, parts, strict=False):
            part = places[start : start + per_part]
            _read_scan(
                scan, data, owners[np.arange(len(part)) % per_unit], part, blocks
            )
    return blocks


def _own_blocks(jpeg, number, order):
    """Return the places of one component's blocks, row by row, without the padding."""
    part = jpeg.components[number]
    across = max(c.across for c in jpeg.components)
    down = max(c.down for c in jpeg.components)
    width = math.ceil(math.ceil(jpeg.width * part.across / across) / 8)
    height = math.ceil(math.ceil(jpeg.height * part.down / down) / 8)
    row, column = np.mgrid[:height, :width]
    unit = row // part.down * jpeg.units[0] + column // part.across
    within = row % part.down * part.across + column % part.across
    return (unit * len(order) + order.index(number) + within).ravel()


def _read_scan(scan, data, owners, places, blocks):
    """Read the codes of a progressive scan up to a restart."""
    bits = _windows(np.frombuffer(data + bytes(4), np.uint8))
    try:
        if scan.band[0]:
            read = _refine_band if scan.high else _read_band
            table = scan.codes[scan.components[0], True]
            read(scan, bits, table, places.tolist(), blocks)
        elif scan.high:
            added = (bits[: len(places)] >> 15).astype(np.int16) << scan.low
            blocks[places, 0] |= added
        else:
            _read_means(scan, bits, owners.tolist(), places, blocks)
    except IndexError as error:  # the data end before the scan
        raise UnknownJpegError from error


def _reader(table):
    """Return the code's length, run and size of every 16 bits, quick to look up."""
    lengths, symbols = table
    return lengths.tobytes(), (symbols >> 4).tobytes(), (symbols & 15).tobytes()


def _read_means(scan, bits, owners, places, blocks):
    tables = {i: [t.tobytes() for t in t] for (i, _), t in scan.codes.items()}
    window, position, values = memoryview(bits), 0, []
    total = dict.fromkeys(tables, 0)
    for owner in owners:
        lengths, sizes = tables[owner]
        code = window[position]
        size = sizes[code]
        if not lengths[code] or size > 15:
            raise UnknownJpegError
        position += lengths[code]
        if size:
            value = window[position] >> 16 - size
            total[owner] += value if value >> size - 1 else value - (1 << size) + 1
            position += size
        values.append(total[owner])
    means = np.array(values, np.int64) << scan.low
    if len(means) and np.abs(means).max() > np.iinfo(np.int16).max:
        raise UnknownJpegError
    blocks[places, 0] = means


def _read_band(scan, bits, table, places, blocks):
    lengths, runs, sizes = _reader(table)
    window, position = memoryview(bits), 0
    first, last = scan.band
    skipped = 0  # blocks that end as the band begins
    where, which, values = [], [], []
    for place in places:
        if skipped:
            skipped -= 1
            continue
        k = first
        while k <= last:
            code = window[position]
            if not lengths[code]:
                raise UnknownJpegError
            position += lengths[code]
            run, size = runs[code], sizes[code]
            if size:
                k += run
                value = window[position] >> 16 - size
                position += size
                where.append(place)
                which.append(k)
                values.append(value if value >> size - 1 else value - (1 << size) + 1)
                k += 1
            elif run == 15:
                k += 16
            else:
                skipped = (1 << run) - 1
                if run:
                    skipped += window[position] >> 16 - run
                    position += run
                break
    if which and max(which) > last:
        raise UnknownJpegError
    shifted = np.array(values, np.int64) << scan.low
    if len(shifted) and np.abs(shifted).max() > np.iinfo(np.int16).max:
        raise UnknownJpegError
    blocks[where, which] = shifted


def _refine_band(scan, bits, table, places, blocks):
    lengths, runs, sizes = _reader(table)
    window, position = memoryview(bits), 0
    first, last = scan.band
    plus = 1 << scan.low
    skipped = 0  # blocks in which only known coefficients get a bit
    band = blocks[places, first : last + 1]
    length = last + 1 - first
    rows = band.tolist()
    for row in rows:
        k = 0
        while k < length and not skipped:
            code = window[position]
            if not lengths[code]:
                raise UnknownJpegError
            position += lengths[code]
            run, size = runs[code], sizes[code]
            new = 0
            if size:
                new = plus if window[position] >> 15 else -plus
                position += 1
            elif run < 15:
                skipped = 1 << run
                if run:
                    skipped += window[position] >> 16 - run
                    position += run
                break
            while k < length:
                if value := row[k]:
                    if window[position] >> 15 and not value & plus:
                        row[k] += plus if value > 0 else -plus
                    position += 1
                elif run:
                    run -= 1
                else:
                    break
                k += 1
            if new:
                if k == length:
                    raise UnknownJpegError
                row[k] = new
            k += 1
        if skipped:
            skipped -= 1
            while k < length:
                if value := row[k]:
                    if window[position] >> 15 and not value & plus:
                        row[k] += plus if value > 0 else -plus
                    position += 1
                k += 1
    blocks[places, first : last + 1] = rows
