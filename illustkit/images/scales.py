"""Conversions of colour scales, all of them.

Scales: *uint8* 0..255; *unit* 0..1; *signed* -1..1; *caffe* = BGR minus
(103.939, 116.779, 123.68), what the VGG16 weights of Keras were trained on.
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
