"""Convert a file's samples to uint8 RGB and alpha, and turn them upright."""

from typing import Any

import numpy as np

GREY = ("1", "L", "LA", "I;16", "I", "F")
BAND = 1 << 20  # pixels that are converted at a time


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


def over_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return uint8 RGB laid over white as the uint8 alpha says."""
    return _in_bands(_blend_with_white, rgb.shape, rgb, alpha)


def _blend_with_white(rgb, alpha):
    if (alpha == 255).all():  # as most of a large picture is
        return rgb
    alpha = alpha[..., None].astype(np.uint32)
    return (rgb * alpha + 255 * (255 - alpha) + 127) // 255


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
    for start in range(0, n, BAND):
        band = slice(start, start + BAND)
        flat[band] = convert(*(array[band] for array in arrays))
    return out


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
