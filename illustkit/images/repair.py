"""Read what is there: files that browsers show although a piece of them is spoilt.

Pillow refuses a PNG whose side chunks (text, profiles) are damaged or large, and a JPEG
without its end. None of these pieces holds a pixel.
"""

import io
import zlib

import numpy as np
from PIL import Image, PngImagePlugin

_PNG = b"\x89PNG\r\n\x1a\n"
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_TEXT = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
# Pillow refuses more than this after decompression.
_LARGEST_TEXT = PngImagePlugin.MAX_TEXT_CHUNK
_JPEG, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


def repaired(data: bytes) -> tuple[bytes, str] | None:
    """Return a file's bytes without what is spoilt, and the names of that.

    Example:
    ```python
    data, problem = repaired(open("spoilt.png", "rb").read())
    print(problem)  # "its tEXt chunk is damaged and was left out"
    ```

    Args:
        data: The bytes of a PNG or JPEG file.

    Returns:
        `(data, problem)`, or `None` if the file has no such fault.
    """
    if data.startswith(_PNG):
        return _without_side_chunks(data)
    if data.startswith(_JPEG):
        return _with_end(data)
    return None


def _without_side_chunks(data):
    """Keep the chunks that hold pixels, and the others that are whole and small."""
    kept, problems, position = [_PNG], [], len(_PNG)
    while position + 12 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        chunk = data[position : position + 12 + size]
        if len(chunk) < 12 + size:
            return None  # cut short
        position += len(chunk)
        problem = None if kind in _PIXELS else _fault(kind, chunk)
        if problem is None:
            kept.append(chunk)
        else:
            problems.append(f"its {kind.decode('latin-1')} chunk {problem}")
        if kind == b"IEND":
            break
    else:
        return None
    if position < len(data):
        problems.append(f"{len(data) - position} bytes follow its end")
    if not problems:
        return None
    return b"".join(kept), " and ".join(problems) + " and was left out"


def _fault(kind, chunk):
    body, checksum = chunk[8:-4], int.from_bytes(chunk[-4:], "big")
    if zlib.crc32(kind + body) != checksum:
        return "is damaged"
    if kind in _TEXT and (len(body) > _LARGEST_TEXT or _inflated(kind, body)):
        return f"holds more than {_LARGEST_TEXT} bytes"
    return None


def _inflated(kind, body):
    """Whether the compressed text of a chunk is too large, or cannot be read."""
    head, _, rest = body.partition(b"\0")
    if kind == b"tEXt":
        return False
    if kind == b"iTXt":
        compressed, rest = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
        if not compressed:
            return False
    else:
        rest = rest[1:]
    try:
        inflater = zlib.decompressobj()
        inflater.decompress(rest, _LARGEST_TEXT)
    except zlib.error:
        return True
    return bool(inflater.unconsumed_tail)


def _with_end(data):
    """Add the end that a JPEG lacks, if no row of its picture is missing.

    The decoder fills what is missing of a baseline JPEG with even grey, so that the
    last block tells. A progressive one gives no such sign, and is not repaired.
    """
    whole = data.rstrip(b"\0")
    whole = whole.removesuffix(b"\xff") + _JPEG_END
    try:
        with Image.open(io.BytesIO(whole), formats=["JPEG"]) as image:
            if image.info.get("progressive"):
                return None
            image.load()
            corner = np.asarray(image.convert("L"))[-8:, -8:].astype(int)
    except Exception:
        return None
    if (abs(corner - 128) <= 1).all():
        return None
    return whole, "its last bytes are missing"
