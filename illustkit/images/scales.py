"""Conversions of colour scales, all of them.

Scales: *uint8* 0..255; *unit* 0..1; *signed* -1..1; *caffe* = BGR minus
(103.939, 116.779, 123.68), what the VGG16 weights of Keras were trained on; *lab* is
CIE Lab.
"""

from typing import Any

import numpy as np

from illustkit.errors import UserError

_CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red


def uint8_to_unit(x: Any) -> Any:
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


def unit_to_uint8(x: Any) -> Any:
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
        UserError: If a NumPy array holds NaN.
    """
    return _to_uint8(x, lambda x: x * 255.0)


def uint8_to_signed(x: Any) -> Any:
    """Convert 0..255 to -1..1; see `uint8_to_unit`."""
    return _convert(x, lambda x: x / 127.5 - 1.0)


def signed_to_uint8(x: Any) -> Any:
    """Convert -1..1 to uint8: rounded to nearest, clipped; see `unit_to_uint8`."""
    return _to_uint8(x, lambda x: (x + 1.0) * 127.5)


def signed_to_unit(x: Any) -> Any:
    """Convert -1..1 to 0..1; see `uint8_to_unit`."""
    return _convert(x, lambda x: (x + 1.0) / 2.0)


def unit_to_signed(x: Any) -> Any:
    """Convert 0..1 to -1..1; see `uint8_to_unit`."""
    return _convert(x, lambda x: x * 2.0 - 1.0)


def signed_to_caffe(x: Any) -> Any:
    """Convert RGB of -1..1 to the scale VGG16 was trained on: BGR minus the mean.

    Example:
    ```python
    signed_to_caffe(np.ones((1, 1, 3)))[0, 0]   # [151.061, 138.221, 131.32]
    ```

    Args:
        x: RGB `(..., 3)`, -1..1.

    Returns:
        BGR `(..., 3)`, 0..255 minus (103.939, 116.779, 123.68).

    Raises:
        UserError: If the last axis is not 3 long.

    Reference:
        `keras.applications.imagenet_utils.preprocess_input`, mode "caffe".
    """
    shape = np.shape(x) if _is_numpy(x) else tuple(x.shape)
    if not shape or shape[-1] != 3:
        raise UserError(f"The last axis must be RGB. Received: shape {shape}")

    def formula(x):
        mean = np.asarray(_CAFFE_MEAN, getattr(x.dtype, "name", x.dtype))
        return (x[..., ::-1] + 1.0) * 127.5 - mean

    return _convert(x, formula)


# Linear RGB (sRGB, D65) to CIE XYZ, rows X, Y, Z; and the white point.
_RGB_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE_POINT = (0.95047, 1.0, 1.08883)


def uint8_to_lab(x: np.ndarray) -> np.ndarray:
    """Convert sRGB pictures to CIE Lab (D65).

    Example:
    ```python
    uint8_to_lab(np.uint8([[[255, 0, 0]]]))   # [[[53.2, 80.1, 67.2]]]
    ```

    Args:
        x: RGB `(..., 3)`, 0..255.

    Returns:
        float32 `(..., 3)`: L* of 0..100, a* and b* of about -110..110.

    Reference:
        CIE 15:2004; IEC 61966-2-1.
    """
    x = uint8_to_unit(x).astype(float)
    linear = np.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)
    xyz = linear @ np.transpose(_RGB_TO_XYZ) / _WHITE_POINT
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lightness = 116 * f[..., 1] - 16
    a, b = 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])
    return np.stack([lightness, a, b], axis=-1).astype("float32")


def lab_to_uint8(x: np.ndarray) -> np.ndarray:
    """Convert CIE Lab (D65) to sRGB; colours that a screen lacks are clipped.

    Example:
    ```python
    lab_to_uint8(np.float32([[[53.2, 80.1, 67.2]]]))   # [[[255, 0, 0]]]
    ```

    Args:
        x: `(..., 3)`: L* of 0..100, a* and b*.

    Returns:
        uint8 `(..., 3)`.

    Raises:
        UserError: If it holds NaN.
    """
    x = np.asarray(x, float)
    y = (x[..., 0] + 16) / 116
    f = np.stack([y + x[..., 1] / 500, y, np.maximum(y - x[..., 2] / 200, 0)], axis=-1)
    xyz = np.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787) * _WHITE_POINT
    linear = np.clip(xyz @ np.linalg.inv(_RGB_TO_XYZ).T, 0, None)
    unit = np.where(
        linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear
    )
    return unit_to_uint8(unit)


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
            raise UserError(
                "NaN has no colour. Received: an array with "
                f"{np.count_nonzero(np.isnan(values))} NaN of {values.size} values"
            )
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)
    from keras import ops

    values = formula(ops.cast(x, "float32"))
    return ops.cast(ops.clip(ops.round(values), 0, 255), "uint8")
