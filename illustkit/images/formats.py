"""What the picture formats hold, and how to save a picture as its file was saved."""

import contextlib
import io
import os
import secrets
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin


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
HOLDS_ICC = ("AVIF", "JPEG", "PNG", "TIFF", "WEBP")

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


def deep_samples(data):
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


def _webp_chunks(data):
    names, position = set(), 12
    while position + 8 <= len(data):
        name, size = data[position : position + 4], data[position + 4 : position + 8]
        names.add(name)
        # The picture of an animation's frame lies inside the frame's own chunk.
        inside = 16 if name == b"ANMF" else int.from_bytes(size, "little")
        position += 8 + inside + inside % 2
    return names


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


# With no file to follow: the most exact each format gives.
_BEST = {
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "GIF": {"optimize": False},
    "JPEG": {"quality": 95, "subsampling": 0},
    "TIFF": {"compression": "tiff_adobe_deflate"},
    # `exact` keeps the colour under transparent pixels.
    "WEBP": {"lossless": True, "quality": 95, "exact": True},
}


def encode(path, samples, mode, name, *, palette=None, transparency=None, **options):
    """Return the bytes of a picture file.

    Args:
        path: The file to be, for the error.
        samples: Array in Pillow's layout for `mode`; uint16 colour is for PNG only.
        mode: Pillow's mode.
        name: Pillow's format name.
        palette: uint8 `(n, 3)` for mode "P".
        transparency: What Pillow's `transparency` takes.
        **options: What Pillow's `save` takes; `None` values are left out.

    Raises:
        ImageError: If the format refuses the picture.
    """
    options = {k: v for k, v in options.items() if v is not None}
    if samples.dtype == np.uint16 and samples.ndim == 3:
        return _deep_png(samples, **options)
    if mode in ("1", "I;16", "I", "F"):
        image = Image.fromarray(np.ascontiguousarray(samples))
    else:
        height, width = samples.shape[:2]
        image = Image.frombytes(mode, (width, height), samples.tobytes())
    if palette is not None:
        image.putpalette(palette.tobytes(), "RGB")
    if transparency is not None:
        options["transparency"] = transparency
    if "qtables" not in options:
        options = {**_BEST.get(name, {}), **options}
    stream = io.BytesIO()
    try:
        image.save(stream, name, **options)
    except Exception as error:  # a side over the format's limit, a codec not built in
        raise ImageError(
            f"{path}: cannot be saved as {name} ({error}). Write a .png instead."
        ) from error
    return stream.getvalue()


def _deep_png(samples, exif=None, icc_profile=None, dpi=None):
    # Neither Pillow nor OpenCV writes 16-bit colour with a profile and EXIF.
    height, width, channels = samples.shape
    kind = {2: 4, 3: 2, 4: 6}[channels]
    rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (1, 0)))  # filter 0 before each row
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))]
    if icc_profile:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile)))
    if dpi:
        metre = [round(d / 0.0254) for d in dpi]
        chunks.append((b"pHYs", struct.pack(">IIB", *metre, 1)))
    if exif:
        chunks.append((b"eXIf", exif.removeprefix(b"Exif\0\0")))
    chunks += [(b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")]
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, body in chunks:
        check = zlib.crc32(name + body)
        parts.append(
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)
        )
    return b"".join(parts)
