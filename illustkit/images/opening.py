"""Open and decode picture files, and say what is wrong with those that are damaged."""

import contextlib
import io
import logging
import os
import re
import threading
import warnings

from PIL import Image, UnidentifiedImageError, features

from illustkit.images.formats import (
    EXTENSIONS,
    FORMATS,
    MAX_PIXELS,
    MAX_SIDE,
    ImageError,
    check_path,
    reason_of,
)
from illustkit.images.repair import repaired

_log = logging.getLogger(__name__)

# EXIF keeps these of a TIFF's own tags; the others say where and how the pixels lie.
_TIFF_TAGS = (270, 271, 272, 274, 282, 283, 296, 305, 306, 315, 33432, 34665, 34853)
_TIFF_IFDS = (34665, 34853)

# How files begin: to tell a damaged picture from what is none.
_BEGINNINGS = {
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "GIF": re.compile(rb"GIF8[79]a"),
    "BMP": re.compile(rb"BM"),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]|II\0[*]|MM[*]\0"),
    "PPM": re.compile(rb"P[0-6fy]"),
    "JPEG2000": re.compile(rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  "),
    "AVIF": re.compile(rb"....ftyp(avi[fs]|m[is]f1)", re.DOTALL),
}
_CODECS = {"JPEG": "jpg", "WEBP": "webp", "JPEG2000": "jpg_2000", "AVIF": "avif"}
_filter_lock = threading.RLock()


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
            if path.is_symlink():
                raise ImageError(
                    f"{path}: is a link to {os.readlink(path)}, which is no file. "
                    "Remove it, or fetch what it stood for."
                )
            raise ImageError(f"{path}: no such file. Check the path.")
        with open(path, "rb") as file:
            return _decode(file, path, max_pixels)
    except ImageError:
        raise
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{path}: cannot be read ({reason_of(error)}). Check the path and its "
            "permissions."
        ) from error


def _decode(file, path, max_pixels):
    """Decode an open file; or, where it is spoilt, what is left without the fault."""
    try:
        return _decode_whole(file, path, max_pixels)
    except ImageError:
        file.seek(0)
        if (fixed := repaired(file.read())) is None:
            raise
    data, problem = fixed
    decoded = _decode_whole(io.BytesIO(data), path, max_pixels)
    _log.warning("%s: %s.", path, problem)
    return decoded


def _decode_whole(file, path, max_pixels):
    prefix = file.read(16)
    if not prefix:
        raise ImageError(f"{path}: is empty (0 bytes). Fetch or export it again.")
    # A damaged file makes Pillow raise nearly anything: struct.error, KeyError,
    # zlib.error, MemoryError, ...
    try:
        with without_warnings():
            file.seek(0)
            image = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(path, reason_of(error), max_pixels) from error
    except Exception as error:
        raise _unreadable(path, prefix, error) from error
    width, height = _checked_size(image, path, max_pixels)
    large = Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS
    try:
        # Loading turns a TIFF and forgets how; a PNG's EXIF may follow its pixels.
        tiff = image.format == "TIFF"
        orientation, exif = _exif(image) if tiff else (1, None)
        with without_warnings() if large else contextlib.nullcontext():
            image.load()
        if not tiff:
            orientation, exif = _exif(image)
        file.seek(0)
        return image, file.read(), orientation, exif
    except Image.DecompressionBombError as error:
        raise _too_large(path, reason_of(error), max_pixels) from error
    except Exception as error:
        raise _damaged(path, image.format, error) from error


def _unreadable(path, prefix, error):
    """The error for a file that Pillow cannot open: damaged, or no picture at all."""
    name = next((n for n, start in _BEGINNINGS.items() if start.match(prefix)), None)
    # Pillow may have been built without some of the formats.
    if name is None or not features.check(_CODECS.get(name, "pil")):
        return ImageError(
            f"{path}: is not a picture this can read (it begins with {prefix[:8]!r}). "
            f"Use {', '.join(EXTENSIONS)}."
        )
    if isinstance(error, UnidentifiedImageError):
        error = ValueError("its header is broken")
    return _damaged(path, name, error)


def _checked_size(image, path, max_pixels):
    """Return (width, height); every reader of pictures has the same limits."""
    width, height = image.size
    if width * height > max_pixels:
        megapixels = f"{width} x {height} = {width * height / 1e6:.0f} megapixels"
        raise _too_large(path, megapixels, max_pixels)
    if max(width, height) > MAX_SIDE:
        raise ImageError(
            f"{path}: too long ({width} x {height}; a side has at most {MAX_SIDE} "
            "pixels). Cut it into pieces."
        )
    return width, height


def _too_large(path, size, max_pixels):
    return ImageError(
        f"{path}: too large ({size}; the limit is {max_pixels / 1e6:g} megapixels). "
        "Make it smaller, or raise max_pixels if the file is to be trusted."
    )


def _damaged(path, name, error):
    return ImageError(
        f"{path}: damaged or cut short {name} file ({reason_of(error)}). "
        "Fetch or export it again."
    )


def picture_size(path: str | os.PathLike) -> tuple[int, int]:
    """Return the size of a picture as it is seen, from its header alone.

    Args:
        path: The picture.

    Returns:
        (width, height) in pixels, turned as EXIF says.

    Raises:
        ImageError: If the file is no picture, or one that `read_image` refuses as too
            large.
    """
    (width, height), orientation = stored_size(path)
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def stored_size(path: str | os.PathLike) -> tuple[tuple[int, int], int]:
    """Return the size of a picture as it is stored, and how EXIF turns it.

    Args:
        path: The picture.

    Returns:
        `((width, height), orientation)`: pixels, and EXIF's 1 (upright) to 8.

    Raises:
        ImageError: If the file is no picture, or one that `read_image` refuses as too
            large.
    """
    try:
        with open(check_path(path), "rb") as file, without_warnings():
            try:
                image = Image.open(file, formats=FORMATS)
            except Exception:
                file.seek(0)
                if (fixed := repaired(file.read())) is None:
                    raise
                image = Image.open(io.BytesIO(fixed[0]), formats=FORMATS)
            size = _checked_size(image, path, MAX_PIXELS)
            # Pillow turns a TIFF by itself, and its size with it.
            orientation = 1 if image.format == "TIFF" else _exif(image)[0]
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(
            f"{path}: no picture that can be read ({reason_of(error)}). Fetch it again."
        ) from error
    return size, orientation


def _exif(image):
    """Return the orientation, 1 to 8, and the EXIF block to save; damaged EXIF is left.

    An orientation may come from XMP, which is not kept: then it goes into the block.
    """
    try:
        with without_warnings():
            return _orientation_and_block(image)
    except Exception:
        return 1, None


def _orientation_and_block(image):
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


@contextlib.contextmanager
def without_warnings():
    # Sizes are checked here, with one limit of our own, and Pillow's warnings name no
    # file. Both belong to the whole process: one thread at a time swaps them.
    with _filter_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
