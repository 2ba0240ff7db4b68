"""Notes in picture files: a text of one's own, beside pixels that stay as they are.

A PNG gets a chunk `iTXt`, a JPEG and a GIF a comment, a WebP a property of its XMP, for
which that chunk is its own: XMP of others stays, and then there is no note. Other
texts, EXIF and profiles are kept. BMP, PPM and TIFF get none: the first two have no
place for a text, and a TIFF's places would all have to move.
"""

import html
import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

_PNG, _JPEG, _GIF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"GIF8"
_WEBP = re.compile(rb"RIFF....WEBP", re.DOTALL)
_COMMENT, _SCAN, _MARKERS = 0xFE, 0xDA, range(0xE0, 0xF0)
_PICTURE, _APPLICATION = 0x2C, 0xFF  # of a GIF
_LONGEST = 65_000  # bytes: a JPEG's comment holds 65,533
# Bits of a WebP's chunk VP8X.
_HAS_XMP, _HAS_ALPHA = 0x04, 0x10
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    'rdf:about="" xmlns:note="urn:{key}" note:text="{text}"/></rdf:RDF></x:xmpmeta>'
)


class _Piece(NamedTuple):
    """A chunk, segment or block of a file, and the note where it is one of ours."""

    kind: bytes | int
    data: bytes
    note: bytes | None = None


def with_note(data: bytes, key: str, text: str) -> bytes | None:
    """Return a picture file with a note, in place of an earlier one of that key.

    Example:
    ```python
    data = with_note(data, "illustkit:restored", "[[8, 8, 24, 24]]")
    read_note(data, "illustkit:restored")  # "[[8, 8, 24, 24]]"
    ```

    Args:
        data: The bytes of a file.
        key: Latin-1, 1 to 79 characters.
        text: Of up to 65,000 bytes.

    Returns:
        The bytes with the note, or `None` where the format holds none, the text is too
        long or the file cut short.
    """
    body, name = text.encode(), key.encode("latin-1")
    if len(body) > _LONGEST:
        return None
    others = [piece for piece in _pieces(data, name) if piece.note is None]
    pieces = [piece.data for piece in others]
    if data.startswith(_PNG) and others and others[-1].kind == b"IEND":
        content = b"iTXt" + name + b"\0\0\0\0\0" + body
        size, check = len(content) - 4, zlib.crc32(content)
        chunk = struct.pack(">I", size) + content + struct.pack(">I", check)
        return _PNG + b"".join([*pieces[:-1], chunk, pieces[-1]])
    if data.startswith(_JPEG) and len(pieces) > 1:
        content = name + b"\0" + body
        marker = struct.pack(">HH", 0xFF00 | _COMMENT, len(content) + 2)
        # After the markers that readers look for first.
        at = sum(piece.kind in _MARKERS for piece in others)
        return _JPEG + b"".join([*pieces[:at], marker + content, *pieces[at:]])
    if data.startswith(_GIF) and others and others[-1].kind == _PICTURE:
        content = name + b"\0" + body
        parts = [content[i : i + 255] for i in range(0, len(content), 255)]
        blocks = b"".join(bytes([len(part)]) + part for part in parts)
        # Blocks like this came with the version of 1989. An application's stay first:
        # one says how often an animation is played.
        pieces[0] = b"GIF89a" + pieces[0][6:]
        at = 1
        while others[at].kind == _APPLICATION:
            at += 1
        comment = b"!\xfe" + blocks + b"\0"
        return b"".join([*pieces[:at], comment, *pieces[at:]])
    if _WEBP.match(data):
        whole = len(data) >= 8 + int.from_bytes(data[4:8], "little")
        return _webp_with_note(others, key, text, whole)
    return None


def _webp_with_note(others, key, text, whole):
    kinds = [piece.kind for piece in others]
    if b"XMP " in kinds or not whole or (header := _extended(others)) is None:
        return None
    xmp = _XMP.format(key=html.escape(key), text=html.escape(text)).encode()
    pieces = [piece.data for piece in others if piece.kind != b"VP8X"]
    body = b"".join([b"WEBP", header, *pieces, _riff(b"XMP ", xmp)])
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _extended(pieces):
    """Return a WebP's chunk VP8X, which says that there is XMP, or `None`."""
    if not pieces:
        return None
    kind, chunk, _ = pieces[0]
    if kind == b"VP8X" and len(chunk) == 18:
        return chunk[:8] + bytes([chunk[8] | _HAS_XMP]) + chunk[9:]
    flags = _HAS_XMP
    if kind == b"VP8L" and len(chunk) > 12:
        (bits,) = struct.unpack_from("<I", chunk, 9)
        width, height = bits & 0x3FFF, bits >> 14 & 0x3FFF  # less one
        flags |= _HAS_ALPHA * (bits >> 28 & 1)
    elif kind == b"VP8 " and len(chunk) > 17:
        width, height = (n & 0x3FFF for n in struct.unpack_from("<HH", chunk, 14))
        width, height = width - 1, height - 1
    else:
        return None
    sides = b"".join(n.to_bytes(3, "little") for n in (width, height))
    return _riff(b"VP8X", bytes([flags, 0, 0, 0]) + sides)


def _riff(name, body):
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def read_note(data: bytes, key: str) -> str | None:
    """Return the note of a picture file that `with_note` wrote, else `None`.

    Args:
        data: The bytes of a file.
        key: The note's.
    """
    for piece in _pieces(data, key.encode("latin-1")):
        if piece.note is not None:
            return piece.note.decode(errors="replace")
    return None


def _pieces(data, name) -> Iterator[_Piece]:
    """Yield the pieces of a file; the last one is often all the rest."""
    if data.startswith(_PNG):
        yield from _chunks(data, name + b"\0\0\0\0\0")
    elif data.startswith(_JPEG):
        yield from _segments(data, name + b"\0")
    elif data.startswith(_GIF):
        yield from _blocks(data, name + b"\0")
    elif _WEBP.match(data):
        yield from _riff_chunks(data, name)


def _chunks(data, beginning):
    at = len(_PNG)
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        piece = data[at : at + 12 + size]
        body = piece[8 : 8 + size]
        yield _Piece(kind, piece, _own(body, beginning) if kind == b"iTXt" else None)
        at += 12 + size


def _segments(data, beginning):
    at = len(_JPEG)
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind = data[at + 1]
        if kind == _SCAN:
            break
        (size,) = struct.unpack_from(">H", data, at + 2)
        piece = data[at : at + 2 + size]
        yield _Piece(
            kind, piece, _own(piece[4:], beginning) if kind == _COMMENT else None
        )
        at += 2 + size
    yield _Piece(_SCAN, data[at:])


def _blocks(data, beginning):
    """Yield a GIF's header with its palette, the blocks before a picture, the rest."""
    at = 13
    if len(data) < at:
        return
    if data[10] & 0x80:
        at += 3 << (data[10] & 7) + 1
    yield _Piece(0, data[:at])
    while data[at : at + 1] == b"!":
        start, at, body = at, at + 2, b""
        while at < len(data) and data[at]:
            body += data[at + 1 : at + 1 + data[at]]
            at += 1 + data[at]
        at += 1
        kind = data[start + 1] if start + 1 < len(data) else 0
        yield _Piece(
            kind, data[start:at], _own(body, beginning) if kind == _COMMENT else None
        )
    if at < len(data):
        yield _Piece(_PICTURE, data[at:])


def _riff_chunks(data, name):
    at = 12
    # The template with this key, and any text in it.
    before, after = _XMP.encode().split(b"{text}")
    before = before.replace(b"{key}", html.escape(name.decode("latin-1")).encode())
    ours = re.compile(re.escape(before) + b"(.*)" + re.escape(after), re.DOTALL)
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        piece = data[at : at + 8 + size + size % 2]
        match = ours.fullmatch(piece[8 : 8 + size]) if kind == b"XMP " else None
        note = match and html.unescape(match[1].decode(errors="replace")).encode()
        yield _Piece(kind, piece, note)
        at += 8 + size + size % 2


def _own(body, beginning):
    """Return the text of a note that begins so, else `None`."""
    return body[len(beginning) :] if body.startswith(beginning) else None
