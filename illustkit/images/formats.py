"""The picture formats: their names and extensions, and what each of them holds."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from illustkit.errors import UserError
from illustkit.files import expand_user


class ImageError(UserError):
    """A picture or its file cannot be used; one line says which, why, and the fix."""


MAX_PIXELS = 200_000_000
# Of one side: a line of pixels is small, but not what it is enlarged to.
MAX_SIDE = 1_000_000

# What is tried on opening, whatever the file is called. Pillow knows more formats, but
# some of them run other programs (EPS) or accept almost any bytes (TGA).
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")

EXTENSIONS = {
    ".avif": "AVIF",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".jp2": "JPEG2000",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".png": "PNG",
    ".ppm": "PPM",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}

# The modes each format gives back as they were written.
HOLDS = {
    "AVIF": ("RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB"),
    "GIF": ("1", "L", "P"),
    "JPEG": ("L", "RGB", "CMYK"),
    "JPEG2000": ("L", "LA", "RGB", "RGBA", "I;16"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "PPM": ("1", "L", "RGB", "I"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"),
    "WEBP": ("RGB", "RGBA"),
}
HOLDS_EXIF = ("AVIF", "JPEG", "PNG", "TIFF", "WEBP")
HOLDS_QUALITY = ("AVIF", "JPEG", "WEBP")
HOLDS_ICC = ("AVIF", "JPEG", "PNG", "TIFF", "WEBP")


def check_path(path: Any) -> Path:
    """Return `path` as a Path, "~" expanded, or raise `ImageError` if it is none."""
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise ImageError(
            f"A picture's path must be a str or a Path. Received: {path!r}"
        )
    return expand_user(path)


def check_image(image: Any, *, name: str = "image") -> np.ndarray:
    """Return `image` if it is uint8 RGB `(height, width, 3)`, else raise `ImageError`.

    Example:
    ```python
    check_image(np.zeros((8, 8, 3), "uint8"))
    ```

    Args:
        image: What should be a picture.
        name: What to call it in the error. Defaults to "image".

    Returns:
        The same array.

    Raises:
        ImageError: Naming the type, dtype and shape received.
    """
    if not isinstance(image, np.ndarray):
        received = f"{type(image).__module__}.{type(image).__name__}"
    else:
        received = f"an array of dtype {image.dtype} and shape {image.shape}"
        shape_ok = image.ndim == 3 and image.shape[-1] == 3 and image.size
        if image.dtype == np.uint8 and shape_ok:
            return image
    raise ImageError(
        f"{name} must be a uint8 RGB array (height, width, 3). Received: {received}"
    )


def format_of(path: str | os.PathLike) -> str:
    """Return Pillow's name of the format that a path's extension stands for."""
    path = check_path(path)
    Image.init()
    known = [e for e, name in EXTENSIONS.items() if name in Image.SAVE]
    name = EXTENSIONS.get(path.suffix.lower())
    if name not in Image.SAVE:  # AVIF and JPEG2000 are not in every Pillow
        raise ImageError(
            f"{path}: unknown picture extension {path.suffix!r}. "
            f"Use {', '.join(known)}."
        )
    return name


def reason_of(error: BaseException) -> str:
    """Return what an error says, in one line."""
    return " ".join((str(error) or type(error).__name__).split())
