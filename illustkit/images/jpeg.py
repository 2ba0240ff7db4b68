"""Edit a JPEG without compressing anew what was not edited.

Pillow and OpenCV give pixels alone: decoded and compressed again, they differ by up to
30 levels all over the picture. jpeglib, which gives coefficients, is a wheel of 23 MB.
A JPEG's blocks stand by themselves but for the differences of their means, so that the
coefficients of untouched blocks can be written again as they were read.
"""

import math
import re
from dataclasses import dataclass, field

import numpy as np

from illustkit import progress

# The end of a scan: any marker but a stuffed byte, a restart and a filling byte.
_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")
# Bytes whose symbols are looked up at once, and the most that one unit takes.
_CHUNK, _UNIT = 1 << 16, 1 << 13
_BLOCKS = 1 << 14  # that are encoded at once
_BLOCK_END, _INVALID = 64, 200


class _UnknownError(Exception):
    """A JPEG of another kind than is edited here."""


@dataclass
class _Component:
    """One colour of a JPEG: sampling factors, tables, and how its blocks lie."""

    name: int
    across: int
    down: int
    quantiser: int
    dc: int = 0
    ac: int = 0
    columns: int = 0
    rows: int = 0


@dataclass
class _Scan:
    """One pass over some components: which coefficients, and which of their bits."""

    components: list[int]
    band: tuple[int, int]
    high: int
    low: int
    codes: dict[int, tuple[np.ndarray, np.ndarray]]
    restart: int
    data: bytes

    @property
    def parts(self) -> list[bytes]:
        """The codes between the restarts."""
        parts = _RESTART.split(self.data)
        return [part.replace(b"\xff\0", b"\xff") for part in parts]


@dataclass
class _Jpeg:
    """What a JPEG's segments say."""

    width: int = 0
    height: int = 0
    components: list[_Component] = field(default_factory=list)
    quantisers: dict[int, bytes] = field(default_factory=dict)
    codes: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    restart: int = 0
    transform: int | None = None
    is_jfif: bool = False
    progressive: bool = False
    start: int = 0
    scans: list[_Scan] = field(default_factory=list)

    @property
    def units(self) -> tuple[int, int]:
        """Return how many units of interleaved blocks lie across and down."""
        across = max(c.across for c in self.components)
        down = max(c.down for c in self.components)
        return -(-self.width // (8 * across)), -(-self.height // (8 * down))

    @property
    def is_ycc(self) -> bool:
        """Return whether the colours are luma and chroma, as libjpeg decides it."""
        if self.transform is not None and not self.is_jfif:
            return self.transform == 1
        names = bytes(c.name for c in self.components)
        return self.is_jfif or names != b"RGB"


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
        old, new = _parse(original), _parse(encoded)
        if not _fit(old, new) or changed.shape != (old.height, old.width):
            return None
        blocks = _decode(new)
        kept = ~_touched(new, changed)
        blocks[kept] = _decode(old)[kept]
        scan = _encode(new, blocks)
    except _UnknownError:
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


def _parse(data):
    """Read the segments of a JPEG."""
    jpeg, position = _Jpeg(), 2
    while position + 2 <= len(data):
        if data[position] != 0xFF:
            raise _UnknownError
        marker = data[position + 1]
        if marker == 0xFF:  # a filling byte
            position += 1
            continue
        if marker == 0xD9:
            break
        size = int.from_bytes(data[position + 2 : position + 4], "big")
        body = data[position + 4 : position + 2 + size]
        position += 2 + size
        try:
            if marker != 0xDA:
                _parse_segment(jpeg, marker, body)
                continue
            end = _SCAN_END.search(data, position)
            stop = len(data) if end is None else end.start()
            jpeg.start = jpeg.start or position
            jpeg.scans.append(_parse_scan(jpeg, body, data[position:stop]))
            position = stop
        except (IndexError, KeyError, ValueError) as error:
            raise _UnknownError from error
    whole = list(range(len(jpeg.components)))
    if not jpeg.scans or not (
        jpeg.progressive or [scan.components for scan in jpeg.scans] == [whole]
    ):
        raise _UnknownError
    return jpeg


def _parse_segment(jpeg, marker, body):
    if marker in (0xC0, 0xC1, 0xC2):
        jpeg.progressive = marker == 0xC2
        jpeg.height, jpeg.width = (
            int.from_bytes(body[i : i + 2], "big") for i in (1, 3)
        )
        parts = [body[6 + 3 * i : 9 + 3 * i] for i in range(body[5])]
        # One colour alone is not interleaved, whatever its factors.
        jpeg.components = [
            _Component(p[0], p[1] >> 4, p[1] & 15, p[2])
            if len(parts) > 1
            else _Component(p[0], 1, 1, p[2])
            for p in parts
        ]
        factors = [n for c in jpeg.components for n in (c.across, c.down)]
        if (
            body[0] != 8
            or len(parts) not in (1, 3)
            or not all(map((1, 2, 4).count, factors))
        ):
            raise _UnknownError
        if not jpeg.height or not jpeg.width:
            raise _UnknownError
    elif 0xC3 <= marker <= 0xCF and marker not in (0xC4, 0xC8):
        raise _UnknownError
    elif marker == 0xDB:
        while body:
            if body[0] >> 4:
                raise _UnknownError
            jpeg.quantisers[body[0] & 15], body = body[1:65], body[65:]
    elif marker == 0xC4:
        while body:
            n = sum(body[1:17])
            jpeg.codes[body[0]] = _code(body[1:17], body[17 : 17 + n])
            body = body[17 + n :]
    elif marker == 0xDD:
        jpeg.restart = int.from_bytes(body[:2], "big")
    elif marker == 0xE0 and body.startswith(b"JFIF\0"):
        jpeg.is_jfif = True
    elif marker == 0xEE and body.startswith(b"Adobe"):
        jpeg.transform = body[11]


def _parse_scan(jpeg, body, data):
    n, names = body[0], [c.name for c in jpeg.components]
    chosen = [names.index(body[1 + 2 * i]) for i in range(n)]
    first, last, bits = body[1 + 2 * n : 4 + 2 * n]
    for i, number in enumerate(chosen):
        tables, component = body[2 + 2 * i], jpeg.components[number]
        component.dc, component.ac = tables >> 4, 16 | (tables & 15)
    across, down = jpeg.units
    for component in jpeg.components:
        component.columns = across * component.across
        component.rows = down * component.down
    high, low = bits >> 4, bits & 15
    in_order = chosen == sorted(set(chosen)) and first <= last <= 63
    if not in_order or (first and n > 1) or (not first and last and jpeg.progressive):
        raise _UnknownError
    if not jpeg.progressive and (first, last, bits) != (0, 63, 0):
        raise _UnknownError
    # Each scan has the tables that were defined last before it.
    codes = {}
    for number in chosen:
        component = jpeg.components[number]
        tables = [] if first or high else [component.dc]
        tables += [component.ac] if last else []
        for table in tables:
            codes[number, table > 15] = jpeg.codes[table]
    return _Scan(chosen, (first, last), high, low, codes, jpeg.restart, data)


def _code(counts, symbols):
    """Return, of every 16 bits, the length of the code that begins them, its symbol."""
    if len(symbols) != sum(counts):
        raise _UnknownError
    lengths, values = np.zeros(1 << 16, np.uint8), np.zeros(1 << 16, np.uint8)
    code, remaining = 0, iter(symbols)
    for length, count in enumerate(counts, 1):
        for _ in range(count):
            first = code << (16 - length)
            last = first + (1 << (16 - length))
            if last > 1 << 16:
                raise _UnknownError
            lengths[first:last], values[first:last] = length, next(remaining)
            code += 1
        code <<= 1
    return lengths, values


def _units_of(jpeg):
    """Return the components of the blocks of one unit, in their order."""
    return [
        i
        for i, component in enumerate(jpeg.components)
        for _ in range(component.across * component.down)
    ]


def _decode(jpeg):
    """Return the quantised coefficients of all blocks.

    Returns:
        int16 `(n, 64)`: the blocks in the order of the file, the coefficients in
        zigzag order, the first one whole.
    """
    if jpeg.progressive:
        return _decode_progressive(jpeg)
    order, (scan,) = _units_of(jpeg), jpeg.scans
    n_units = jpeg.units[0] * jpeg.units[1]
    per_part = scan.restart or n_units
    n_parts = -(-n_units // per_part)
    parts = scan.parts
    if len(parts) < n_parts:
        raise _UnknownError
    part_ends = np.cumsum([len(part) for part in parts[:n_parts]]).tolist()
    blocks = np.zeros((n_units * len(order), 64), np.int16)
    data = b"".join(parts[:n_parts])
    _read_codes(scan.codes, data, part_ends, per_part, order, blocks)
    # The mean of a block is stored as the difference from the one before.
    by_unit = blocks.reshape(n_units, len(order), 64)
    part = np.arange(n_units) // per_part
    for i in range(len(jpeg.components)):
        own = np.flatnonzero(np.array(order) == i)
        total = np.cumsum(by_unit[:, own, 0].reshape(-1), dtype=np.int64)
        total = total.reshape(n_units, -1)
        # Each part begins at zero.
        before = np.concatenate([[0], total[per_part - 1 :: per_part, -1]])[part]
        total -= before[:, None]
        if np.abs(total).max() > np.iinfo(np.int16).max:
            raise _UnknownError
        by_unit[:, own, 0] = total
    return blocks


def _read_codes(codes, data, part_ends, per_part, order, blocks):
    """Fill in what the codes of the data say, the mean of each block as a difference.

    Of every bit the code that would begin there is looked up at once, so that the loop,
    which alone knows where codes begin, only adds numbers.
    """
    n_units = len(blocks) // len(order)
    padded = np.frombuffer(data + bytes(_UNIT + 8), np.uint8)
    progress.begin("reading blocks", n_units)
    unit, base, position = 0, 0, 0  # position: in bits, from the byte `base`
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
                    raise _UnknownError
                ends.append(len(starts))
            unit += 1
            if unit % per_part == 0 or unit == n_units:
                end = 8 * (part_ends[(unit - 1) // per_part] - base)
                if position > end:
                    raise _UnknownError
                position = end
        if unit == first:
            raise _UnknownError  # the data end before the picture
        own = blocks[first * len(order) : unit * len(order)]
        _values(codes, order, chunk, bits, np.array(starts), np.array(ends), own)
        base, position = base + position // 8, position % 8
        progress.advance(unit - first)


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
        raise _UnknownError
    size = np.where(is_dc, symbols, symbols & 15).astype(np.int64)
    run = np.where(is_dc, 0, symbols >> 4).astype(np.int64)
    step = np.where(size > 0, run + 1, np.where(run == 15, 16, _BLOCK_END))
    step[is_dc] = 1
    total = np.cumsum(step)
    before = total - step
    place = before - before[ends - counts][block] + run
    at = starts + lengths
    wide = np.pad(chunk, (0, 4)).astype(np.int64)
    i = at >> 3
    window = (wide[i] << 24) | (wide[i + 1] << 16) | (wide[i + 2] << 8) | wide[i + 3]
    value = ((window << (at & 7)) & 0xFFFFFFFF) >> (32 - size)
    value = np.where(value < (1 << size) >> 1, value - (1 << size) + 1, value)
    filled = size > 0
    if (place[filled] > 63).any():
        raise _UnknownError
    blocks[block[filled], place[filled]] = value[filled]


# Progressive: each scan adds coefficients, or one more bit of them.


def _decode_progressive(jpeg):
    """Return the quantised coefficients of all blocks, as `_decode` does."""
    order = _units_of(jpeg)
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
            raise _UnknownError
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
        raise _UnknownError from error


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
            raise _UnknownError
        position += lengths[code]
        if size:
            value = window[position] >> 16 - size
            total[owner] += value if value >> size - 1 else value - (1 << size) + 1
            position += size
        values.append(total[owner])
    means = np.array(values, np.int64) << scan.low
    if len(means) and np.abs(means).max() > np.iinfo(np.int16).max:
        raise _UnknownError
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
                raise _UnknownError
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
        raise _UnknownError
    shifted = np.array(values, np.int64) << scan.low
    if len(shifted) and np.abs(shifted).max() > np.iinfo(np.int16).max:
        raise _UnknownError
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
                raise _UnknownError
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
                    raise _UnknownError
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
    order = np.array(_units_of(jpeg))
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
        raise _UnknownError  # a value that the tables do not hold
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
