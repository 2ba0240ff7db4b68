"""Writing pictures: new ones, or edited ones in the form of the file they came from."""

import io
import logging
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from illustkit.files import write_whole
from illustkit.images.colours import (
    GREY,
    as_stored,
    is_key,
    palette_alpha,
    to_rgb,
    upright,
)
from illustkit.images.formats import (
    HOLDS,
    HOLDS_EXIF,
    HOLDS_ICC,
    HOLDS_QUALITY,
    ImageError,
    check_image,
    check_path,
    format_of,
    reason_of,
)
from illustkit.images.jpeg import with_blocks_of
from illustkit.images.opening import without_warnings
from illustkit.images.read import Picture

_log = logging.getLogger(__name__)

_ICC_SPACE = {
    "1": b"GRAY",
    "L": b"GRAY",
    "LA": b"GRAY",
    "I;16": b"GRAY",
    "F": b"GRAY",
    "CMYK": b"CMYK",
}

# With no file to follow: the most exact each format gives.
_BEST: dict[str, dict[str, Any]] = {
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "GIF": {"optimize": False},
    "JPEG": {"quality": 95, "subsampling": 0},
    "TIFF": {"compression": "tiff_adobe_deflate"},
    # `exact` keeps the colour under transparent pixels.
    "WEBP": {"lossless": True, "quality": 95, "exact": True},
}


def write_image(path: str | os.PathLike, image: np.ndarray) -> Path:
    """Write a picture or a mask; the whole file appears at once or not at all.

    Missing folders are made. PNG, BMP, PPM, TIFF and WebP are lossless; JPEG and AVIF
    are written at quality 95 with full colour resolution.

    Example:
    ```python
    write_image("out/character.png", image)
    ```

    Args:
        path: The file; its extension names the format.
        image: uint8 RGB `(height, width, 3)`, or a grey mask `(height, width)`.

    Returns:
        The path written.

    Raises:
        ImageError: For a wrong array, an unknown extension, or a place that cannot be
            written.
    """
    format = format_of(path)
    if format == "GIF":
        raise ImageError(f"{path}: GIF holds 256 colours only. Write a .png instead.")
    grey = isinstance(image, np.ndarray) and image.ndim == 2
    rgb = check_image(np.stack([image] * 3, -1) if grey else image)
    mode = "L" if grey and format not in ("AVIF", "WEBP") else "RGB"
    samples = image if mode == "L" else rgb
    return write_bytes(path, encode(path, samples, mode, format))


def write_picture(path: str | os.PathLike, rgb: np.ndarray, *, like: Picture) -> Path:
    """Write `rgb` in the size, mode, depth and orientation of the picture it came from.

    Pixels whose 8-bit colour equals `like.rgb` keep the file's own samples (palette
    index, CMYK, 16-bit value), so PNG, BMP, GIF, TIFF, PPM and lossless WebP give them
    back bit for bit; so does alpha, and the colour under it. EXIF (with its
    orientation: the pixels are turned back) and the ICC profile stay; XMP and text are
    left out. A JPEG keeps the blocks of the original in which no pixel is edited, bit
    for bit; of blocks that share their colour with an edited one, the next pixel may
    differ. The others are compressed with the original's quantisation tables and
    subsampling.

    Choices where something has to give:

    - Grey, 1-bit: changed pixels become their luma (BT.601), 1-bit ones at 128.
    - Palette: new colours take free entries; when more than 256 are needed a PNG, BMP
      or TIFF is saved as RGB(A), a GIF takes the nearest colour of its palette.
    - CMYK: changed pixels are written without black ink.
    - An extension other than the original's: what that format holds, else 8-bit RGB(A).
    - A progressive JPEG becomes a baseline one with the same blocks. One of CMYK is
      compressed anew with the same tables; a line says by how much pixels change.
    - An animation: its first frame only; see `illustkit.images.animation`.

    Example:
    ```python
    write_picture("out/character.png", rgb, like=read_picture("character.png"))
    ```

    Args:
        path: The file to write; the extension names the format.
        rgb: uint8 `(height, width, 3)`, upright, raw colour as in `like.rgb`.
        like: The `Picture` from `read_picture`.

    Returns:
        The path written.

    Raises:
        ImageError: If the size differs, the extension is unknown, the format cannot
            hold the picture's transparency, or the file cannot be written.
    """
    data, _ = encode_picture(path, rgb, like=like)
    return write_bytes(path, data)


def encode_picture(
    path: str | os.PathLike,
    rgb: np.ndarray,
    *,
    like: Picture,
    quality: int | None = None,
) -> tuple[bytes, np.ndarray | None]:
    """Return the bytes of the file that `write_picture` writes, and what it shows.

    Example:
    ```python
    picture = read_picture("character.png")
    data, shown = encode_picture("out.png", picture.rgb, like=picture)
    ```

    Args:
        path: See `write_picture`.
        rgb: See `write_picture`.
        like: See `write_picture`.
        quality: 1 to 100, of a JPEG, a WebP or an AVIF, which is then compressed anew
            as a whole; the other formats lose nothing. Defaults to `None`, as `like`
            was compressed.

    Returns:
        `(data, shown)`: the bytes, and the raw colours of the file, uint8 `(height,
        width, 3)`, upright, where they are known without decoding it, else `None`.

    Raises:
        ImageError: As `write_picture`, but for a file that cannot be written.
    """
    path, format = check_path(path), format_of(path)
    check_image(rgb, name="rgb")
    if rgb.shape != like.rgb.shape:
        raise ImageError(
            f"{path}: rgb must have the shape of {like.path}, {like.rgb.shape}. "
            f"Received: {rgb.shape}"
        )
    _check_depth(path, format, like)
    try:
        samples, mode, palette, transparency = store(like, rgb, format)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None
    options = dict(like.encoding) if format == like.format else {}
    keeps_blocks = format == "JPEG" and like.data is not None and mode == like.mode
    if like.data is not None and mode != "CMYK":
        options.pop("progressive", None)  # its blocks are kept in a baseline JPEG
    if mode != like.mode:
        options.pop("compression", None)  # group4 holds 1 bit only
    if format in HOLDS_EXIF:
        samples = as_stored(samples, like.orientation)
        options["exif"] = like.exif
    profile = like.icc_profile or b""
    if format in HOLDS_ICC and profile[16:20] == _ICC_SPACE.get(mode, b"RGB "):
        options["icc_profile"] = profile
    if quality is not None and format in HOLDS_QUALITY:
        keeps_blocks = False
        options.pop("qtables", None)
        options |= at_quality(format, quality)
    options |= {"palette": palette, "transparency": transparency}

    def encode_rows(rows):
        return encode(path, samples[rows], mode, format, **options)

    if keeps_blocks:
        return _keep_blocks(path, rgb, like, encode_rows)
    data = encode_rows(slice(None))
    exact = format == "PNG" and mode in ("RGB", "RGBA") and like.bits == 8
    return data, rgb if exact else None


def at_quality(format: str, quality: int) -> dict[str, Any]:
    """Return the options with which Pillow saves a format at a quality of 1 to 100."""
    return {"quality": quality} | ({"lossless": False} if format == "WEBP" else {})


def _keep_blocks(path, rgb, like, encode_rows):
    """Return an edited JPEG with the original's blocks where nothing is edited.

    Also what it shows: it is decoded, so that no block is lost.
    """
    changed = _changed(rgb, like.rgb)
    stored = as_stored(changed, like.orientation)
    kept = with_blocks_of(like.data, stored, encode_rows)
    if kept is not None:
        shown = _shown(kept, like)
        # A unit of blocks has up to 32 pixels, and the next one's colour fades in.
        if _difference(shown, like, changed, 33) == 0:
            return kept, shown
    data = encode_rows(slice(None))
    shown = _shown(data, like)
    _log.warning(
        "%s: was compressed anew, since its blocks cannot be kept: pixels that were "
        "not edited differ by up to %d levels. A .png keeps them.",
        path,
        _difference(shown, like, changed, 0),
    )
    return data, shown


def _shown(data, like):
    """Return the raw colours of an encoded JPEG, upright."""
    with without_warnings(), Image.open(io.BytesIO(data)) as image:
        return upright(to_rgb(np.asarray(image), image.mode), like.orientation)


def _difference(shown, like, changed, n):
    """Return the largest difference `n` pixels and more from those that changed."""
    import cv2

    rows = changed_rows(shown, like.rgb)
    if rows.start == rows.stop:
        return 0
    band = slice(max(rows.start - n, 0), rows.stop + n)
    near = changed[band].astype(np.uint8)
    near = cv2.dilate(near, np.ones((2 * n + 1,) * 2, np.uint8)) > 0
    gap = cv2.absdiff(shown[band], like.rgb[band])
    gap[near] = 0
    return gap.max()


def changed_rows(one: np.ndarray, other: np.ndarray) -> slice:
    """Return the slice of rows outside which two pictures are equal.

    Example:
    ```python
    edited = picture.copy()
    edited[8:12] = 255 - edited[8:12]
    changed_rows(edited, picture)  # slice(8, 12, None)
    ```

    Args:
        one: uint8 `(height, width, channels)`.
        other: Of the same shape.

    Returns:
        A slice, empty if all is equal.
    """
    # Comparing bytes is faster than comparing numbers one by one.
    pairs = zip(one, other, strict=True)
    rows = np.flatnonzero([a.tobytes() != b.tobytes() for a, b in pairs])
    return slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0)


def _changed(one, other):
    """Return which pixels differ: bool `(height, width)`."""
    rows = changed_rows(one, other)
    changed = np.zeros(one.shape[:2], bool)
    changed[rows] = (one[rows] != other[rows]).any(axis=-1)
    return changed


def check_like(path: str | os.PathLike, like: Picture) -> None:
    """Refuse a file whose format cannot hold a picture, before the picture is edited.

    Example:
    ```python
    picture = read_picture("picture.png")
    check_like("out.jpg", picture)    # an error if the picture is transparent
    ```

    Args:
        path: The file to write.
        like: The `Picture` from `read_picture`.

    Raises:
        ImageError: If the extension is unknown, or the format cannot hold the
            picture's transparency or depth.
    """
    path, format = check_path(path), format_of(path)
    _check_depth(path, format, like)
    if format == like.format:
        return
    try:
        store(like, like.rgb, format)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None


def _check_depth(path, format, like):
    if format == "TIFF" and like.bits > 8 and like.samples.dtype == np.uint8:
        raise ImageError(
            f"{path}: {like.bits}-bit colour cannot be written as TIFF. "
            "Write a .png instead (8 bits)."
        )


def write_bytes(path: str | os.PathLike, data: bytes) -> Path:
    """Write an encoded picture, the whole file or none.

    Raises:
        ImageError: If the file cannot be written.
    """
    path = check_path(path)
    try:
        return write_whole(path, data)
    except OSError as error:
        raise ImageError(
            f"{path}: cannot be written ({reason_of(error)}). "
            "Choose another name or free the place."
        ) from error


def encode(
    path: str | os.PathLike,
    samples: np.ndarray,
    mode: str,
    name: str,
    *,
    palette: np.ndarray | None = None,
    transparency: Any = None,
    **options: Any,
) -> bytes:
    """Return the bytes of a picture file.

    Args:
        path: The file to be, for the error.
        samples: Array in Pillow's layout for `mode`; uint16 colour is for PNG only.
        mode: Pillow's mode.
        name: Pillow's format name.
        palette: uint8 `(n, 3)` for mode "P".
        transparency: What Pillow's `transparency` takes.
        **options: What Pillow's `save` takes; `None` values are left out.

    Returns:
        bytes.

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
    return save_bytes(path, image, name, **options)


def save_bytes(
    path: str | os.PathLike, image: Image.Image, name: str, **options: Any
) -> bytes:
    """Return the bytes of a Pillow image in a format, as exact as that is.

    Raises:
        ImageError: If the format refuses the picture.
    """
    options = {k: v for k, v in options.items() if v is not None}
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


def store(
    picture: Picture, rgb: np.ndarray, format: str
) -> tuple[np.ndarray, str, np.ndarray | None, Any]:
    """Return what `encode` needs to save `rgb` as `picture` was saved.

    Args:
        picture: The `Picture` that was read.
        rgb: uint8 `(height, width, 3)`, upright, raw colour.
        format: Pillow's name of the format to be written.

    Returns:
        `(samples, mode, palette, transparency)`, upright.

    Raises:
        ImageError: If the format cannot hold the picture's transparency or colours.
    """
    if picture.mode not in HOLDS[format] or _too_deep(picture, format):
        return _plain(picture, rgb, format)
    changed = _changed(rgb, picture.rgb)
    colours = rgb[changed]
    samples = picture.samples.copy()
    if picture.mode == "P":
        return _store_palette(picture, rgb, changed, format)
    if picture.mode in GREY:
        values = _to_depth(grey_of(colours), samples, picture.white)
        if samples.ndim == 2:
            samples[changed] = values
        else:
            samples[changed, 0] = values
    elif picture.mode == "CMYK":
        # Without black ink the 8-bit colour comes back exactly.
        samples[changed, :3] = 255 - colours
        samples[changed, 3] = 0
    else:
        samples[changed, :3] = _to_depth(colours, samples, picture.white)
    transparency = picture.transparency
    if transparency is None:
        return samples, picture.mode, None, None
    key = is_key(samples, transparency)
    if (key == (picture.alpha == 0)).all() and format in ("PNG", "GIF"):
        return samples, picture.mode, None, transparency
    # The transparent colour appeared where the picture is opaque, or vanished.
    if samples.dtype == np.uint16 and format == "PNG":
        alpha = picture.alpha * np.uint16(257)
        return np.stack([samples, alpha], axis=-1), "LA", None, None
    return _plain(picture, rgb, format)


def _too_deep(picture, format):
    if picture.samples.dtype == np.uint16 and picture.samples.ndim == 3:
        return format != "PNG"
    return False


def _to_depth(values, samples, white):
    # White goes to white and every 8-bit step comes back as itself.
    if samples.dtype == bool:
        return values >= 128
    if samples.dtype == np.uint8:
        return values
    return (values * (np.float64(white) / 255)).astype(samples.dtype)


def grey_of(rgb: np.ndarray) -> np.ndarray:
    """Return ITU-R BT.601 luma as Pillow rounds it: exact for grey colours."""
    red, green, blue = np.moveaxis(rgb.astype(np.uint32), -1, 0)
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)


def _plain(picture, rgb, format):
    """8-bit grey or RGB with alpha: for what the format cannot hold as it came."""
    alpha = picture.alpha
    if alpha is not None and (alpha == 255).all():
        alpha = None
    grey = picture.mode in GREY
    modes = ("LA", "RGBA") if alpha is not None else ("L", "RGB")
    mode = next((m for m in modes[not grey :] if m in HOLDS[format]), None)
    if mode is None:
        what = "transparency" if alpha is not None else "more than 256 colours"
        raise ImageError(f"{format} does not hold {what}. Write a .png instead.")
    colour = grey_of(rgb)[..., None] if mode in ("L", "LA") else rgb
    if alpha is not None:
        return np.concatenate([colour, alpha[..., None]], axis=-1), mode, None, None
    return (colour[..., 0] if mode == "L" else colour), mode, None, None


def _store_palette(picture, rgb, changed, format):
    """Keep the palette while all colours fit in 256; the old ones keep their index."""
    alpha = palette_alpha(256, picture.transparency)[: len(picture.palette), None]
    one_clear = np.count_nonzero(alpha < 255) <= 1 and alpha.min() in (0, 255)
    if picture.alpha is not None and format != "PNG":
        if format != "GIF" or not one_clear:
            return _plain(picture, rgb, format)
    entries = np.concatenate([picture.palette, alpha], axis=-1)
    colours = np.full((np.count_nonzero(changed), 4), 255, np.uint8)
    colours[:, :3] = rgb[changed]
    if picture.alpha is not None:
        colours[:, 3] = picture.alpha[changed]
    packed, inverse = np.unique(_packed(colours), return_inverse=True)
    new = packed[~np.isin(packed, _packed(entries))].view(np.uint8).reshape(-1, 4)
    # A GIF has one transparent index, and no other mode to go over to.
    fits = len(entries) + len(new) <= 256
    if fits and (format != "GIF" or (new[:, 3] == 255).all()):
        entries = np.concatenate([entries, new])
    elif format != "GIF":
        return _plain(picture, rgb, format)
    samples = picture.samples.copy()
    samples[changed] = nearest_entries(packed.view(np.uint8).reshape(-1, 4), entries)[
        inverse
    ]
    transparency = picture.transparency
    if (entries[:, 3] < 255).any():
        transparency = entries[:, 3].tobytes()
        if format == "GIF":
            transparency = transparency.find(b"\0")
    return samples, "P", entries[:, :3], transparency


def _packed(rgba):
    return np.ascontiguousarray(rgba).view(np.uint32).reshape(-1)


def nearest_entries(colours: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """Return the index of the palette's entry nearest to each colour.

    Args:
        colours: uint8 `(n, 4)`, RGB and alpha.
        entries: uint8 `(m, 4)`, up to 256.

    Returns:
        uint8 `(n,)`: the entry of equal opacity nearest in RGB, the first of equals.
    """
    best = np.full(len(colours), 1 << 30, np.int32)
    index = np.zeros(len(colours), np.uint8)
    for i, entry in enumerate(entries.astype(np.int32)):
        step = colours.astype(np.int32) - entry
        distance = (step[:, :3] ** 2).sum(axis=1) + (step[:, 3] != 0) * (1 << 20)
        closer = distance < best
        best[closer], index[closer] = distance[closer], i
    return index
