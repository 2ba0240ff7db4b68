"""What the picture formats hold, and how to save a picture as its file was saved."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, JpegImagePlugin

from illustkit._picture_files import ImageError

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
