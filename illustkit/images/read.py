"""Read pictures of any mode, depth or orientation as upright RGB."""

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import JpegImagePlugin

from illustkit.images import colours
from illustkit.images.colours import GREY, over_white, to_alpha, to_rgb, upright
from illustkit.images.formats import MAX_PIXELS, ImageError, check_image
from illustkit.images.opening import open_picture

_MODES = (*GREY, "P", "RGB", "RGBA", "CMYK")


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
    return over_white(picture.rgb, picture.alpha)


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


def _samples(image):
    """Return the values of a Pillow image, copied a band of rows at a time.

    Pillow's own way holds the picture three times.
    """
    width, height = image.size
    rows = max(1, colours.BAND // width)
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
