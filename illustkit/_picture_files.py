"""Opening a picture file whatever its state, and writing one whole or not at all."""

import contextlib
import os
import secrets
import threading
import warnings
from pathlib import Path

import numpy as np
from PIL import Image


class ImageError(ValueError):
    """A picture or its file cannot be used; one line says which, why, and the mend."""


MAX_PIXELS = 200_000_000

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

# EXIF keeps these of a TIFF's own tags; the others say where and how the pixels lie.
_TIFF_TAGS = (270, 271, 272, 274, 282, 283, 296, 305, 306, 315, 33432, 34665, 34853)
_TIFF_IFDS = (34665, 34853)

_filter_lock = threading.RLock()


@contextlib.contextmanager
def _without_warnings():
    # Sizes are checked here, with a limit of our own, and Pillow's warnings name no
    # file. The filters belong to the whole process: one thread at a time swaps them.
    with _filter_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _reason(error):
    return " ".join((str(error) or type(error).__name__).split())


def check_path(path):
    """Return `path` as a Path, or raise `ImageError` for what is no path."""
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise ImageError(
            f"A picture's path must be a str or a Path. Received: {path!r}"
        )
    return Path(path)


def check_image(image, *, name="image"):
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


def open_picture(path, max_pixels):
    """Open and decode the first frame of a picture file.

    Args:
        path: The file.
        max_pixels: Largest width x height; read from the header, before any decoding.

    Returns:
        `(image, data, orientation, exif)`: the loaded Pillow image as Pillow gives it
        (a TIFF turned upright, others not), the bytes of the file, the EXIF orientation
        (1–8), and the EXIF block to save with the picture or `None`.

    Raises:
        ImageError: Naming the file, what is wrong and what to do.
    """
    path = check_path(path)
    try:
        if path.is_dir():
            raise ImageError(
                f"{path}: is a folder. Give one file, or list_images(folder)."
            )
        if not path.is_file():
            raise ImageError(f"{path}: no such file. Check the path.")
        with open(path, "rb") as file:
            return _decode(file, path, max_pixels)
    except ImageError:
        raise
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{path}: cannot be read ({_reason(error)}). Check the path and its rights."
        ) from error


def _decode(file, path, max_pixels):
    prefix = file.read(16)
    if not prefix:
        raise ImageError(f"{path}: is empty (0 bytes). Fetch or export it again.")
    Image.init()
    names = [n for n in FORMATS if n in Image.OPEN and Image.OPEN[n][1](prefix) is True]
    if not names:
        raise ImageError(
            f"{path}: is not a picture this can read (it begins with {prefix[:8]!r}). "
            f"Use {', '.join(EXTENSIONS)}."
        )
    # A damaged file makes Pillow raise nearly anything: struct.error, KeyError,
    # zlib.error, MemoryError, ...
    try:
        with _without_warnings():
            file.seek(0)
            image = Image.OPEN[names[0]][0](file, os.fspath(path))
    except Image.DecompressionBombError as error:
        raise _too_large(path, _reason(error), max_pixels) from error
    except Exception as error:
        raise _damaged(path, names[0], error) from error
    width, height = image.size
    if width * height > max_pixels:
        megapixels = f"{width} x {height} = {width * height / 1e6:.0f} megapixels"
        raise _too_large(path, megapixels, max_pixels)
    large = Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS
    try:
        # Loading turns a TIFF and forgets how; a PNG's EXIF may follow its pixels.
        tiff = image.format == "TIFF"
        orientation, exif = _exif(image) if tiff else (1, None)
        with _without_warnings() if large else contextlib.nullcontext():
            image.load()
        if not tiff:
            orientation, exif = _exif(image)
        with open(path, "rb") as again:  # Pillow may have closed the file
            data = again.read()
        return image, data, orientation, exif
    except Image.DecompressionBombError as error:
        raise _too_large(path, _reason(error), max_pixels) from error
    except Exception as error:
        raise _damaged(path, names[0], error) from error


def _too_large(path, size, max_pixels):
    return ImageError(
        f"{path}: too large ({size}; the limit is {max_pixels / 1e6:g} megapixels). "
        "Make it smaller, or raise max_pixels if the file is to be trusted."
    )


def _damaged(path, name, error):
    return ImageError(
        f"{path}: damaged or cut short {name} file ({_reason(error)}). "
        "Fetch or export it again."
    )


def _exif(image):
    """Return the orientation, 1 to 8, and the EXIF block to save; damaged EXIF is left.

    An orientation may come from XMP, which is not kept: then it goes into the block.
    """
    try:
        with _without_warnings():
            exif = image.getexif()
        orientation = exif.get(0x0112, 1)
        orientation = orientation if orientation in range(1, 9) else 1
        if raw := image.format != "TIFF" and image.info.get("exif"):
            block = Image.Exif()
            block.load(raw)
            if 0x0112 in block or orientation == 1:
                return orientation, raw
        if image.format == "TIFF":
            block = Image.Exif()
            for tag in filter(exif.__contains__, _TIFF_TAGS):
                block[tag] = exif.get_ifd(tag) if tag in _TIFF_IFDS else exif[tag]
            exif = block
        return orientation, exif.tobytes() if len(exif) else None
    except Exception:
        return 1, None


def format_of(path):
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


def write_bytes(path, data):
    """Write a whole file or none: a temporary neighbour takes the name at the end."""
    path = check_path(path)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(partial, "xb") as file:
                file.write(data)
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ImageError(
            f"{path}: cannot be written ({_reason(error)}). "
            "Choose another name or free the place."
        ) from error
    return path
