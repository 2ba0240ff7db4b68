"""Reading pictures."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from illustkit.images.formats import (
    EXTENSIONS,
    MAX_PIXELS,
    ImageError,
    check_image,
    check_path,
    deep_samples,
    encoding_of,
    open_picture,
)

GREY = ("1", "L", "LA", "I;16", "I", "F")
_MODES = (*GREY, "P", "RGB", "RGBA", "CMYK")


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as its file holds it, with what is needed to save it so again.

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
    """

    path: object
    rgb: np.ndarray
    alpha: np.ndarray | None
    mode: str
    bits: int
    format: str
    samples: np.ndarray
    white: float = 255
    palette: np.ndarray | None = None
    transparency: object = None
    orientation: int = 1
    exif: bytes | None = None
    icc_profile: bytes | None = None
    encoding: dict = field(default_factory=dict)


def upright(array, orientation):
    """Turn stored pixels the way EXIF orientation 1–8 says they are to be seen."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def as_stored(array, orientation):
    """Undo `upright`."""
    return upright(array, {6: 8, 8: 6}.get(orientation, orientation))


def read_picture(path, *, max_pixels=MAX_PIXELS):
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
    transparency = image.info.get("transparency")
    deep = deep_samples(data) if image.format == "PNG" else None
    if image.format == "PNG" and image.mode == "L" and isinstance(transparency, int):
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
        if mode not in _MODES or (mode == "I" and image.format == "TIFF"):
            raise ImageError(
                f"{path}: its colour mode is {mode}. "
                "Save it as RGB or grey with 8 or 16 bits."
            )
        samples = np.array(image)
    if mode == "P":
        palette = np.frombuffer(bytes(image.getpalette("RGB")), np.uint8).reshape(-1, 3)
        # An index past the palette's end is black, as other readers have it.
        missing = max(0, int(samples.max()) + 1 - len(palette))
        palette = np.pad(palette, ((0, missing), (0, 0)))
    elif mode == "I" and image.format == "PNG":  # as Pillow before 10.3 reads 16 bits
        mode = "I;16"
    if mode == "I;16":
        samples = samples.astype(np.uint16)  # TIFF's may be big-endian
    white = _white(samples, mode, path)
    # Pillow has already turned a TIFF.
    turn = 1 if image.format == "TIFF" else orientation
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
        bits=_bits(image, samples),
        format="JPEG" if image.format == "MPO" else image.format,
        samples=samples,
        white=white,
        palette=palette,
        transparency=transparency,
        orientation=orientation,
        exif=exif,
        icc_profile=image.info.get("icc_profile"),
        encoding=encoding_of(image, data),
    )


def _bits(image, samples):
    if image.format == "TIFF":
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
    return np.rint(samples * (255 / np.float64(white))).astype(np.uint8)


def to_rgb(samples, mode, white=255, palette=None):
    """Return the uint8 RGB colour of a file's samples, transparency left aside."""
    if mode == "P":
        return palette[samples]
    if mode == "CMYK":
        ink = 255 - samples.astype(np.uint16)
        return ((ink[..., :3] * ink[..., 3:].astype(np.uint32) + 127) // 255).astype(
            np.uint8
        )
    values = _to_eight_bits(samples, white)
    if mode in GREY:
        grey = values if values.ndim == 2 else values[..., 0]
        return np.repeat(grey[..., None], 3, axis=-1)
    return values[..., :3].copy()


def to_alpha(samples, mode, white=255, palette=None, transparency=None):
    """Return the uint8 alpha `(height, width)` of a file's samples, or None."""
    if mode in ("LA", "RGBA"):
        return _to_eight_bits(samples[..., -1], white).copy()
    if transparency is None:
        return None
    if mode == "P":
        return palette_alpha(len(palette), transparency)[samples]
    return np.where(is_key(samples, transparency), 0, 255).astype(np.uint8)


def is_key(samples, transparency):
    """Return where the samples are the one colour that stands for transparent."""
    if samples.dtype == bool:
        return samples == bool(transparency)
    key = samples == np.asarray(transparency)
    return key.all(axis=-1) if samples.ndim == 3 else key


def palette_alpha(n, transparency):
    alpha = np.full(max(n, 256), 255, np.uint8)
    if isinstance(transparency, bytes):
        alpha[: len(transparency)] = list(transparency)
    elif transparency is not None:
        alpha[transparency] = 0
    return alpha


def read_image(source, *, max_pixels=MAX_PIXELS):
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
        source: Path of a file, or an array, which is checked and given back.
        max_pixels: Largest width x height in pixels, checked in the header before the
            picture is decoded. Defaults to 200 million.

    Returns:
        uint8 RGB `(height, width, 3)`.

    Raises:
        ImageError: In one line, which file (or array), what is wrong, and the mend.
    """
    if isinstance(source, np.ndarray):
        return check_image(source)
    picture = read_picture(source, max_pixels=max_pixels)
    if picture.alpha is None:
        return picture.rgb.copy()
    alpha = picture.alpha[..., None].astype(np.uint32)
    over_white = picture.rgb * alpha + 255 * (255 - alpha)
    return ((over_white + 127) // 255).astype(np.uint8)


def picture_size(path):
    """Return the size of a picture as it is seen, from its header alone.

    Args:
        path: The picture.

    Returns:
        (width, height) in pixels, turned as EXIF says.

    Raises:
        ImageError: If the file is no picture.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            # Pillow turns a TIFF by itself, and its size with it.
            turned = image.format != "TIFF" and image.getexif().get(0x0112, 1)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(
            f"{path}: no picture that can be read ({reason}). Fetch it again."
        ) from error
    return (height, width) if turned in (5, 6, 7, 8) else (width, height)


def list_images(folder, recursive=True, *, allow_empty=False):
    """List a folder's picture files in natural order ("2.png" before "10.png").

    Files are chosen by extension. Hidden files and folders (".…") are left out, and
    links to folders are not followed.

    Example:
    ```python
    for path in list_images("pictures"):
        image = read_image(path)
    ```

    Args:
        folder: The folder.
        recursive: Whether to look in sub-folders too. Defaults to `True`.
        allow_empty: Whether no picture gives `[]`, not an error. Defaults to `False`.

    Returns:
        List of `Path`, each beginning with `folder`.

    Raises:
        ImageError: If there is no such folder, or no picture in it.
    """
    folder = check_path(folder)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "no such folder"
        raise ImageError(f"{folder}: {what}. Give the folder that holds the pictures.")
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if recursive and not f.startswith(".")]
        found += [
            Path(parent, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS
        ]
    if not found and not allow_empty:
        raise ImageError(
            f"{folder}: no pictures here. Put files in it that end in "
            f"{', '.join(EXTENSIONS)}."
        )
    return sorted(found, key=lambda path: _natural(path.relative_to(folder)))


def _natural(path):
    # "a10b" -> ["a", 10, "b"]; the plain name settles what differs in case only.
    parts = [re.split(r"(\d+)", part.casefold()) for part in path.parts]
    return [
        [int(p) if p.isdecimal() else p for p in part] for part in parts
    ], path.parts
