"""Read what the segments of a JPEG say: its components, tables and scans."""

import re
from dataclasses import dataclass, field

import numpy as np

# The end of a scan: any marker but a stuffed byte, a restart and a filling byte.
_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_FRAMES = 0xC0, 0xC1, 0xC2
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")


class UnknownJpegError(Exception):
    """A JPEG of another kind than is edited here."""


@dataclass
class Component:
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
class Scan:
    """One pass over some components: which coefficients, and which of their bits."""

    components: list[int]
    band: tuple[int, int]
    high: int
    low: int
    codes: dict[tuple[int, bool], tuple[np.ndarray, np.ndarray]]
    restart: int
    data: bytes

    @property
    def parts(self) -> list[bytes]:
        """The codes between the restarts."""
        parts = _RESTART.split(self.data)
        return [part.replace(b"\xff\0", b"\xff") for part in parts]


@dataclass
class Jpeg:
    """What a JPEG's segments say; `frame` is where height and width lie in it."""

    width: int = 0
    height: int = 0
    components: list[Component] = field(default_factory=list)
    quantisers: dict[int, bytes] = field(default_factory=dict)
    codes: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    restart: int = 0
    transform: int | None = None
    is_jfif: bool = False
    progressive: bool = False
    start: int = 0
    frame: int = 0
    scans: list[Scan] = field(default_factory=list)

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


def parse(data: bytes) -> Jpeg:
    """Read the segments of a JPEG.

    Args:
        data: The bytes of the file.

    Raises:
        UnknownJpegError: If it is arithmetic, 12-bit, lossless, CMYK or damaged.
    """
    jpeg, position = Jpeg(), 2
    while position + 2 <= len(data):
        if data[position] != 0xFF:
            raise UnknownJpegError
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
                if marker in _FRAMES:
                    jpeg.frame = position - len(body) + 1
                continue
            end = _SCAN_END.search(data, position)
            stop = len(data) if end is None else end.start()
            jpeg.start = jpeg.start or position
            jpeg.scans.append(_parse_scan(jpeg, body, data[position:stop]))
            position = stop
        except (IndexError, KeyError, ValueError) as error:
            raise UnknownJpegError from error
    whole = list(range(len(jpeg.components)))
    if not jpeg.scans or not (
        jpeg.progressive or [scan.components for scan in jpeg.scans] == [whole]
    ):
        raise UnknownJpegError
    return jpeg


def _parse_segment(jpeg, marker, body):
    if marker in _FRAMES:
        jpeg.progressive = marker == 0xC2
        jpeg.height, jpeg.width = (
            int.from_bytes(body[i : i + 2], "big") for i in (1, 3)
        )
        parts = [body[6 + 3 * i : 9 + 3 * i] for i in range(body[5])]
        # One colour alone is not interleaved, whatever its factors.
        jpeg.components = [
            Component(p[0], p[1] >> 4, p[1] & 15, p[2])
            if len(parts) > 1
            else Component(p[0], 1, 1, p[2])
            for p in parts
        ]
        factors = [n for c in jpeg.components for n in (c.across, c.down)]
        if (
            body[0] != 8
            or len(parts) not in (1, 3)
            or not all(map((1, 2, 4).count, factors))
        ):
            raise UnknownJpegError
        if not jpeg.height or not jpeg.width:
            raise UnknownJpegError
    elif 0xC3 <= marker <= 0xCF and marker not in (0xC4, 0xC8):
        raise UnknownJpegError
    elif marker == 0xDB:
        while body:
            if body[0] >> 4:
                raise UnknownJpegError
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
        raise UnknownJpegError
    if not jpeg.progressive and (first, last, bits) != (0, 63, 0):
        raise UnknownJpegError
    # Each scan has the tables that were defined last before it.
    codes = {}
    for number in chosen:
        component = jpeg.components[number]
        tables = [] if first or high else [component.dc]
        tables += [component.ac] if last else []
        for table in tables:
            codes[number, table > 15] = jpeg.codes[table]
    return Scan(chosen, (first, last), high, low, codes, jpeg.restart, data)


def _code(counts, symbols):
    """Return, of every 16 bits, the length of the code that begins them, its symbol."""
    if len(symbols) != sum(counts):
        raise UnknownJpegError
    lengths, values = np.zeros(1 << 16, np.uint8), np.zeros(1 << 16, np.uint8)
    code, remaining = 0, iter(symbols)
    for length, count in enumerate(counts, 1):
        for _ in range(count):
            first = code << (16 - length)
            last = first + (1 << (16 - length))
            if last > 1 << 16:
                raise UnknownJpegError
            lengths[first:last], values[first:last] = length, next(remaining)
            code += 1
        code <<= 1
    return lengths, values


def blocks_of_unit(jpeg: Jpeg) -> list[int]:
    """Return the components of the blocks of one unit, in their order."""
    return [
        i
        for i, component in enumerate(jpeg.components)
        for _ in range(component.across * component.down)
    ]
