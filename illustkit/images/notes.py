"""Notes in picture files: a text of one's own, beside pixels that stay as they are.

A PNG gets a chunk `iTXt`, a JPEG a comment. Other texts, EXIF and profiles are kept.
"""

import struct
import zlib
from collections.abc import Iterator

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_COMMENT, _SCAN, _MARKERS = 0xFE, 0xDA, range(0xE0, 0xF0)
_LONGEST = 65_000  # bytes: a JPEG's comment holds 65,533


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
        The bytes with the note, or `None` where the format is neither PNG nor JPEG,
        the text too long or the file cut short.
    """
    body, name = text.encode(), key.encode("latin-1")
    if len(body) > _LONGEST:
        return None
    others = [(kind, piece) for kind, piece, own in _pieces(data, name) if own is None]
    pieces = [piece for _, piece in others]
    if data.startswith(_PNG) and others and others[-1][0] == b"IEND":
        content = b"iTXt" + name + b"\0\0\0\0\0" + body
        size, check = len(content) - 4, zlib.crc32(content)
        chunk = struct.pack(">I", size) + content + struct.pack(">I", check)
        return _PNG + b"".join([*pieces[:-1], chunk, pieces[-1]])
    if data.startswith(_JPEG) and len(pieces) > 1:
        content = name + b"\0" + body
        marker = struct.pack(">HH", 0xFF00 | _COMMENT, len(content) + 2)
        # After the markers that readers look for first.
        at = sum(kind in _MARKERS for kind, _ in others)
        return _JPEG + b"".join([*pieces[:at], marker + content, *pieces[at:]])
    return None


def read_note(data: bytes, key: str) -> str | None:
    """Return the note of a picture file that `with_note` wrote, else `None`.

    Args:
        data: The bytes of a file.
        key: The note's.
    """
    for _, _, own in _pieces(data, key.encode("latin-1")):
        if own is not None:
            return own.decode(errors="replace")
    return None


def _pieces(data, name) -> Iterator[tuple[bytes | int, bytes, bytes | None]]:
    """Yield `(kind, bytes, own note)` of a file's chunks or segments."""
    if data.startswith(_PNG):
        yield from _chunks(data, name + b"\0\0\0\0\0")
    elif data.startswith(_JPEG):
        yield from _segments(data, name + b"\0")


def _chunks(data, beginning):
    at = len(_PNG)
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        piece = data[at : at + 12 + size]
        body = piece[8 : 8 + size]
        is_own = kind == b"iTXt" and body.startswith(beginning)
        yield kind, piece, body[len(beginning) :] if is_own else None
        at += 12 + size


def _segments(data, beginning):
    at = len(_JPEG)
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind = data[at + 1]
        if kind == _SCAN:
            break
        (size,) = struct.unpack_from(">H", data, at + 2)
        piece = data[at : at + 2 + size]
        body = piece[4:]
        is_own = kind == _COMMENT and body.startswith(beginning)
        yield kind, piece, body[len(beginning) :] if is_own else None
        at += 2 + size
    yield _SCAN, data[at:], None
