"""Reading pictures: whatever their mode, depth or orientation, as upright RGB."""

import contextlib
import io
import logging
import os
import re
import threading
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, JpegImagePlugin, UnidentifiedImageError, features

from illustkit.errors import as_user_error
from illustkit.files import walk_folder
from illustkit.images.formats import (
    EXTENSIONS,
    FORMATS,
    MAX_PIXELS,
    MAX_SIDE,
    ImageError,
    check_image,
    check_path,
    reason_of,
)
from illustkit.images.repair import repaired

_log = logging.getLogger(__name__)

GREY = ("1", "L", "LA", "I;16", "I", "F")
_MODES = (*GREY, "P", "RGB", "RGBA", "CMYK")
_BAND = 1 << 20  # pixels that are converted at a time


def read_image(
    source: str | os.PathLike | np.ndarray, *, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Read any picture file as upright uint8 RGB.

    EXIF rotation is applied; palettes, grey, 1-bit and CMYK become RGB; 16 bits are
    scaled to 8 (`round(v / 257)`); floating-point TIFF may hold 0..1 or whole numbers
    0..255; transparency is laid over white; of an animation the first frame is read.
    Colour profiles are not applied.

    Example:
    ```python
    image = read_image("character.png")   # (848, 600, 3) uint8
    ```

    Args:
        source: Path of a file, or an array, which is checked and returned.
        max_pixels: Largest width x height in pixels, checked in the header before the
            picture is decoded. Defaults to 200 million.

    Returns:
        uint8 RGB `(height, width, 3)`.

    Raises:
        ImageError: Naming the file (or array), what is wrong, and the fix.
    """
    if isinstance(source, np.ndarray):
        return check_image(source)
    picture = read_picture(source, max_pixels=max_pixels)
    if picture.alpha is None:
        image = picture.rgb
        image.flags.writeable = True  # the `Picture` is dropped
        return image
    return _in_bands(_over_white, (*picture.rgb.shape,), picture.rgb, picture.alpha)


def _over_white(rgb, alpha):
    alpha = alpha[..., None].astype(np.uint32)
    return (rgb * alpha + 255 * (255 - alpha) + 127) // 255


@dataclass(frozen=True, eq=False)
class Picture:
    """Holds a picture as its file does, with what is needed to save it so again.

    `rgb` is the raw colour: where `alpha` is 0 it is still the colour the file keeps
    under the transparent pixel, not the white one sees. `rgb`, `alpha` and `samples`
    are upright (turned by the EXIF orientation) and read-only: change a copy.

    Args:
        path: The file it came from.
        rgb: uint8 `(height, width, 3)`, raw colour without alpha.
        alpha: uint8 `(height, width)`, 255 = opaque, or `None` without transparency.
        mode: Pillow's mode: "1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I" or
            "F". It tells the channels; with `bits=16`, "LA", "RGB", "RGBA" have 16-bit
            samples.
        bits: Bits of one sample in the file (1, 8, 16 or 32).
        format: "PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF".
        samples: The file's own values (palette indices, CMYK, 16 bits, ...), shaped
            `(height, width)` or `(height, width, channels)`.
        white: The sample value that stands for white (255, 65535, 1.0, ...).
        palette: uint8 `(n, 3)` of mode "P", else `None`.
        transparency: Palette alphas (bytes), transparent index or colour, or `None`.
        orientation: EXIF orientation, 1 to 8; 1 = stored upright.
        exif: The EXIF block, or `None`.
        icc_profile: The colour profile, or `None`. Colours are not converted by it.
        encoding: How the file was compressed: JPEG quantisation tables ("qtables"),
            "subsampling", "progressive", TIFF "compression", WebP "lossless", "dpi".
        data: The bytes of a JPEG file, whose blocks stay where nothing is edited, else
            `None`.
    """

    path: str | os.PathLike
    rgb: np.ndarray
    alpha: np.ndarray | None
    mode: str
    bits: int
    format: str
    samples: np.ndarray
    white: float = 255
    palette: np.ndarray | None = None
    transparency: Any = None
    orientation: int = 1
    exif: bytes | None = None
    icc_profile: bytes | None = None
    encoding: dict[str, Any] = field(default_factory=dict)
    data: bytes | None = None


def read_picture(path: str | os.PathLike, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture file with all that is needed to save it as it came.

    Example:
    ```python
    picture = read_picture("character.png")
    rgb = picture.rgb.copy()
    rgb[:8] = 0
    write_picture("out.png", rgb, like=picture)
    ```

    Args:
        path: The file.
        max_pixels: See `read_image`. Defaults to 200 million.

    Returns:
        A `Picture`. Its `rgb` is the raw colour, also under transparent pixels, where
        `read_image` shows white.

    Raises:
        ImageError: See `read_image`.
    """
    image, data, orientation, exif = open_picture(path, max_pixels)
    format, profile = image.format, image.info.get("icc_profile")
    encoding = encoding_of(image, data)
    transparency = image.info.get("transparency")
    deep = _deep_samples(data) if format == "PNG" else None
    if format == "PNG" and image.mode == "L" and isinstance(transparency, int):
        # Pillow stretches levels of 2 and 4 bits to 8, but not the transparent one.
        levels = 1 << data[24]
        transparency *= 255 // (levels - 1) if transparency < levels else 1
    palette = None
    if deep is not None:
        (samples, mode), transparency = deep, None
    else:
        mode = "I;16" if image.mode.startswith("I;16") else image.mode
        if mode in ("PA", "La", "RGBa", "RGBX"):
            mode = "RGB" if mode == "RGBX" else "RGBA"
            image = image.convert(mode)
        # Nothing says which value is white in a TIFF of 32-bit whole numbers.
        if mode not in _MODES or (mode == "I" and format == "TIFF"):
            raise ImageError(
                f"{path}: its colour mode is {mode}. "
                "Save it as RGB or grey with 8 or 16 bits."
            )
        samples = _samples(image)
    if mode == "P":
        palette = np.frombuffer(bytes(image.getpalette("RGB")), np.uint8).reshape(-1, 3)
        # An index past the palette's end is black, as other readers have it.
        missing = max(0, int(samples.max()) + 1 - len(palette))
        palette = np.pad(palette, ((0, missing), (0, 0)))
    elif mode == "I" and format == "PNG":  # as Pillow before 10.3 reads 16 bits
        mode = "I;16"
    if mode == "I;16":
        samples = samples.astype(np.uint16, copy=False)  # TIFF's may be big-endian
    bits = _bits(image, samples)
    image.close()  # its pixels are in `samples`
    white = _white(samples, mode, path)
    # Pillow has already turned a TIFF.
    turn = 1 if format == "TIFF" else orientation
    samples = upright(samples, turn)
    rgb = to_rgb(samples, mode, white, palette)
    alpha = to_alpha(samples, mode, white, palette, transparency)
    for array in (samples, rgb, alpha):
        if array is not None:
            array.flags.writeable = False
    return Picture(
        path=path,
        rgb=rgb,
        alpha=alpha,
        mode=mode,
        bits=bits,
        format="JPEG" if format == "MPO" else format,
        samples=samples,
        white=white,
        palette=palette,
        transparency=transparency,
        orientation=orientation,
        exif=exif,
        icc_profile=profile,
        encoding=encoding,
        data=data if format in ("JPEG", "MPO") else None,
    )


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


def _deep_samples(data):
    """Return `(uint16 samples, mode)` of a 16-bit colour PNG, else None.

    Pillow keeps the high byte only; OpenCV reads all 16 bits.
    """
    depth, kind = data[24], data[25]
    if depth != 16 or kind not in (2, 4, 6):
        return None
    import cv2

    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16:
        return None
    if kind == 4:
        return samples[..., [0, -1]], "LA"
    if samples.shape[-1] == 4:
        return samples[..., [2, 1, 0, 3]], "RGBA"
    return samples[..., ::-1], "RGB"


_TIFF_COMPRESSIONS = {
    "raw": "raw",
    "packbits": "packbits",
    "tiff_lzw": "tiff_lzw",
    "tiff_adobe_deflate": "tiff_adobe_deflate",
    "tiff_deflate": "tiff_adobe_deflate",
    "jpeg": "jpeg",
    "zstd": "zstd",
    "lzma": "lzma",
    "group3": "group3",
    "group4": "group4",
}


def encoding_of(image, data):
    """Return the options that save a picture the way its own file was saved."""
    options = {}
    if image.format in ("JPEG", "MPO"):
        options["qtables"] = [list(t) for _, t in sorted(image.quantization.items())]
        sampling = JpegImagePlugin.get_sampling(image)
        if sampling != -1:
            options["subsampling"] = sampling
        options["progressive"] = bool(image.info.get("progressive"))
    elif image.format == "TIFF":
        options["compression"] = _TIFF_COMPRESSIONS.get(image.info.get("compression"))
    elif image.format == "WEBP":
        options["lossless"] = b"VP8L" in _webp_chunks(data)
    if "dpi" in image.info and image.format in ("JPEG", "PNG", "BMP"):
        options["dpi"] = tuple(map(float, image.info["dpi"]))
    return options


def _webp_chunks(data):
    names, position = set(), 12
    while position + 8 <= len(data):
        name, size = data[position : position + 4], data[position + 4 : position + 8]
        names.add(name)
        # The picture of an animation's frame lies inside the frame's own chunk.
        inside = 16 if name == b"ANMF" else int.from_bytes(size, "little")
        position += 8 + inside + inside % 2
    return names


def _bits(image, samples):
    if hasattr(image, "tag_v2"):
        return max(image.tag_v2.get(258, (1,)))
    return 1 if samples.dtype == bool else 8 * samples.itemsize


def _white(samples, mode, path):
    if samples.dtype == bool:
        return 1
    if samples.dtype == np.uint8:
        return 255
    if mode == "F":
        low, high = float(samples.min()), float(samples.max())
        if 0 <= low and high <= 1:
            return 1.0
        if 0 <= low and high <= 255 and (samples == np.rint(samples)).all():
            return 255.0
        raise ImageError(
            f"{path}: floating-point values from {low:g} to {high:g}. "
            "Save it with values from 0 to 1, or with 8 or 16 bits."
        )
    return 65535


def _to_eight_bits(samples, white):
    if samples.dtype == np.uint8:
        return samples

    def convert(values):
        return np.rint(values * (255 / np.float64(white)))

    return _in_bands(convert, samples.shape, samples)


def _in_bands(convert, shape, *arrays):
    """Return a uint8 array of a shape, converted a band of pixels at a time.

    What a conversion takes in between is larger than what comes out, up to 24 times.
    """
    out = np.empty(shape, np.uint8)
    n = shape[0] * shape[1]
    flat = out.reshape(n, *shape[2:])
    arrays = [array.reshape(n, *array.shape[2:]) for array in arrays]
    for start in range(0, n, _BAND):
        band = slice(start, start + _BAND)
        flat[band] = convert(*(array[band] for array in arrays))
    return out


def _samples(image):
    """Return the values of a Pillow image, copied a band of rows at a time.

    Pillow's own way holds the picture three times.
    """
    width, height = image.size
    rows = max(1, _BAND // width)
    bands = (
        np.asarray(image.crop((0, top, width, min(top + rows, height))))
        for top in range(0, height, rows)
    )
    first = next(bands)
    samples = np.empty((height, *first.shape[1:]), first.dtype)
    samples[:rows] = first
    for i, band in enumerate(bands, 1):
        samples[i * rows : i * rows + len(band)] = band
    return samples


def to_rgb(
    samples: np.ndarray,
    mode: str,
    white: float = 255,
    palette: np.ndarray | None = None,
) -> np.ndarray:
    """Return the uint8 RGB colour of a file's samples, transparency left aside."""
    if mode == "P" and palette is not None:
        return palette[samples]
    if mode == "CMYK":
        return _in_bands(_without_ink, (*samples.shape[:2], 3), samples)
    values = _to_eight_bits(samples, white)
    if mode in GREY:
        grey = values if values.ndim == 2 else values[..., 0]
        return np.repeat(grey[..., None], 3, axis=-1)
    return values if values.shape[-1] == 3 else values[..., :3].copy()


def _without_ink(samples):
    light = 255 - samples.astype(np.uint16)
    return (light[..., :3] * light[..., 3:].astype(np.uint32) + 127) // 255


def to_alpha(
    samples: np.ndarray,
    mode: str,
    white: float = 255,
    palette: np.ndarray | None = None,
    transparency: Any = None,
) -> np.ndarray | None:
    """Return the uint8 alpha `(height, width)` of a file's samples, or None."""
    if mode in ("LA", "RGBA"):
        return _to_eight_bits(samples[..., -1], white).copy()
    if transparency is None:
        return None
    if mode == "P" and palette is not None:
        return palette_alpha(len(palette), transparency)[samples]
    return np.where(is_key(samples, transparency), 0, 255).astype(np.uint8)


def is_key(samples: np.ndarray, transparency: Any) -> np.ndarray:
    """Return where the samples are the one colour that stands for transparent."""
    if samples.dtype == bool:
        return samples == bool(transparency)
    key = samples == np.asarray(transparency)
    return key.all(axis=-1) if samples.ndim == 3 else key


def palette_alpha(n: int, transparency: Any) -> np.ndarray:
    """Return the alpha of each entry of a palette, 256 or `n` if that is more."""
    alpha = np.full(max(n, 256), 255, np.uint8)
    if isinstance(transparency, bytes):
        alpha[: len(transparency)] = list(transparency)
    elif transparency is not None:
        alpha[transparency] = 0
    return alpha


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored pixels the way that EXIF orientation 1–8 says they are seen."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def as_stored(array: np.ndarray, orientation: int) -> np.ndarray:
    """Undo `upright`."""
    return upright(array, {6: 8, 8: 6}.get(orientation, orientation))


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


def list_images(
    folder: str | os.PathLike, recursive: bool = True, *, allow_empty: bool = False
) -> list[Path]:
    """List a folder's picture files in natural order ("2.png" before "10.png").

    Files are chosen by extension. Hidden files and folders (".…") are left out. Links
    to folders are followed; no file is listed twice by them.

    Example:
    ```python
    for path in list_images("pictures"):
        image = read_image(path)
    ```

    Args:
        folder: The folder.
        recursive: Whether to look in sub-folders too. Defaults to `True`.
        allow_empty: Whether to return `[]` for no picture, instead of an error.
            Defaults to `False`.

    Returns:
        List of `Path`, each beginning with `folder`.

    Raises:
        ImageError: If there is no such folder, or no picture in it.
    """
    folder = check_path(folder)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "no such folder"
        raise ImageError(f"{folder}: {what}. Give the folder that holds the pictures.")
    try:
        if recursive:
            walk = list(walk_folder(folder))
        else:
            with os.scandir(folder) as entries:
                walk = [(folder, [e.name for e in entries if not e.is_dir()])]
    except OSError as error:
        raise as_user_error(error, folder) or error from None
    paths = [
        parent / name
        for parent, names in walk
        for name in names
        if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS
    ]
    if not paths and not allow_empty:
        raise ImageError(
            f"{folder}: no pictures here. Put files in it that end in "
            f"{', '.join(EXTENSIONS)}."
        )
    return sorted(paths, key=lambda path: _natural(path.relative_to(folder)))


def _natural(path):
    # "a10b" -> ["a", 10, "b"]; the plain name settles what differs in case only.
    parts = [re.split(r"(\d+)", part.casefold()) for part in path.parts]
    return [
        [int(p) if p.isdecimal() else p for p in part] for part in parts
    ], path.parts
