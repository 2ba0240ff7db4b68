"""Reading and writing pictures, and the only place where colour scales are converted.

Scales: *uint8* 0..255; *unit* 0..1; *signed* -1..1; *caffe* = BGR minus
(103.939, 116.779, 123.68), what the VGG16 weights of Keras were trained on.
"""

import os
import re
from pathlib import Path

import numpy as np

from illustkit.images.formats import (
    EXTENSIONS,
    check_image,
    check_path,
    encode,
    format_of,
    write_bytes,
)
from illustkit.images.formats import MAX_PIXELS as MAX_PIXELS
from illustkit.images.formats import ImageError as ImageError
from illustkit.images.read import Picture as Picture
from illustkit.images.read import read_picture as read_picture
from illustkit.images.write import write_picture as write_picture

_CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red


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


def write_image(path, image):
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


def uint8_to_unit(x):
    """Convert 0..255 to 0..1.

    These conversions take NumPy arrays and tensors of the Keras backend alike, eagerly
    and under `jit`. NumPy gives float32 without importing Keras; a tensor of a float
    dtype keeps it (bfloat16 stays bfloat16), an integer one becomes `keras` floatx.
    The arithmetic is float32 or better.

    Example:
    ```python
    uint8_to_unit(np.uint8([0, 255]))   # [0., 1.] float32
    ```

    Args:
        x: Any shape, 0..255, integer or float.

    Returns:
        The same shape, 0..1.
    """
    return _convert(x, lambda x: x / 255.0)


def unit_to_uint8(x):
    """Convert 0..1 to uint8: rounded to nearest, clipped.

    Example:
    ```python
    unit_to_uint8(np.float32([0, 0.5, 1.2]))   # [0, 128, 255]
    ```

    Args:
        x: Any shape, 0..1. NumPy input may not hold NaN.

    Returns:
        uint8 of the same shape.

    Raises:
        ValueError: If a NumPy array holds NaN.
    """
    return _to_uint8(x, lambda x: x * 255.0)


def uint8_to_signed(x):
    """Convert 0..255 to -1..1; see `uint8_to_unit`."""
    return _convert(x, lambda x: x / 127.5 - 1.0)


def signed_to_uint8(x):
    """Convert -1..1 to uint8: rounded to nearest, clipped; see `unit_to_uint8`."""
    return _to_uint8(x, lambda x: (x + 1.0) * 127.5)


def signed_to_unit(x):
    """Convert -1..1 to 0..1; see `uint8_to_unit`."""
    return _convert(x, lambda x: (x + 1.0) / 2.0)


def unit_to_signed(x):
    """Convert 0..1 to -1..1; see `uint8_to_unit`."""
    return _convert(x, lambda x: x * 2.0 - 1.0)


def signed_to_caffe(x):
    """Convert RGB of -1..1 to the scale VGG16 was trained on: BGR minus the mean.

    Example:
    ```python
    signed_to_caffe(np.ones((1, 1, 3)))   # [151.061, 138.221, 131.32]
    ```

    Args:
        x: RGB `(..., 3)`, -1..1.

    Returns:
        BGR `(..., 3)`, 0..255 minus (103.939, 116.779, 123.68).

    Raises:
        ValueError: If the last axis is not 3 long.

    Reference:
        `keras.applications.imagenet_utils.preprocess_input`, mode "caffe".
    """
    shape = np.shape(x) if _is_numpy(x) else tuple(x.shape)
    if not shape or shape[-1] != 3:
        raise ValueError(f"The last axis must be RGB. Received: shape {shape}")

    def formula(x):
        mean = np.asarray(_CAFFE_MEAN, getattr(x.dtype, "name", x.dtype))
        return (x[..., ::-1] + 1.0) * 127.5 - mean

    return _convert(x, formula)


def _is_numpy(x):
    return isinstance(x, (np.ndarray, np.generic, int, float, list, tuple))


def _convert(x, formula):
    if _is_numpy(x):
        return np.asarray(formula(np.asarray(x, np.float32)), np.float32)
    from keras import backend, ops

    dtype = backend.standardize_dtype(x.dtype)
    result = dtype if backend.is_float_dtype(dtype) else backend.floatx()
    work = "float64" if result == "float64" else "float32"
    return ops.cast(formula(ops.cast(x, work)), result)


def _to_uint8(x, formula):
    if _is_numpy(x):
        values = formula(np.asarray(x, np.float32))
        if np.isnan(values).any():
            raise ValueError(
                "NaN has no colour. Received: an array with "
                f"{np.count_nonzero(np.isnan(values))} NaN of {values.size} values"
            )
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)
    from keras import ops

    values = formula(ops.cast(x, "float32"))
    return ops.cast(ops.clip(ops.round(values), 0, 255), "uint8")
