"""Pictures for a page: by number, made smaller, decoded once."""

import collections
import io
import threading
from collections.abc import Sequence
from pathlib import Path

from illustkit.errors import UserError
from illustkit.images import read_image

SIDES = 160, 1600, 4096


class ServedPictures:
    """Encodes the pictures of a list as JPEG of a few sizes.

    Args:
        paths: Paths of the pictures.
        cache_bytes: Most bytes of encoded pictures that are kept. Defaults to 64 MB.
    """

    def __init__(self, paths: Sequence[Path], *, cache_bytes: int = 64_000_000) -> None:
        self.paths = list(paths)
        self._cache: collections.OrderedDict[tuple[int, int], bytes] = (
            collections.OrderedDict()
        )
        self._held = 0  # bytes in the cache
        self._limit, self._lock = cache_bytes, threading.Lock()
        self._decoders = threading.Semaphore(2)  # whole pictures in memory at a time

    def path(self, index: int) -> Path:
        """Return the path of the picture with a number.

        Raises:
            UserError: If there is none.
        """
        if not (type(index) is int and 0 <= index < len(self.paths)):
            raise UserError(f"There is no picture {index!r} of {len(self.paths)}.")
        return self.paths[index]

    def encoded(self, index: int, side: int) -> bytes:
        """Encode a picture so that it fits into a square; it is never enlarged.

        Args:
            index: Number of the picture, from 0.
            side: One of 160, 1600 and 4096 pixels.

        Returns:
            Bytes of a JPEG.

        Raises:
            UserError: If the file cannot be read (it is named), or for another side.
        """
        path = self.path(index)
        if side not in SIDES:
            raise UserError(f"side must be one of {SIDES}. Received: {side}")
        with self._lock:
            if (index, side) in self._cache:
                self._cache.move_to_end((index, side))
                return self._cache[index, side]
        with self._decoders:
            data = _encode(path, side)
        with self._lock:
            if (index, side) not in self._cache:
                self._cache[index, side] = data
                self._held += len(data)
            while self._held > self._limit and len(self._cache) > 1:
                self._held -= len(self._cache.popitem(last=False)[1])
        return data


def _encode(path, side):
    from PIL import Image

    image = Image.fromarray(read_image(path))
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    stream = io.BytesIO()
    quality = 80 if side == min(SIDES) else 92
    image.save(stream, "JPEG", quality=quality, subsampling=0)
    return stream.getvalue()
