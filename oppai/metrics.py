"""PSNR, SSIM, L1 and VGG16 distance of a restored picture, inside the hole only.

`psnr_in_hole`, `ssim_in_hole` and `vgg_distance` run inside a Keras graph, for
validation during training, with the networks' mask of 1 = valid; `measure_hole` is
NumPy and needs no Keras, for evaluation. Both follow the same definitions and agree to
rounding.

Only the hole is measured: over the whole picture, unchanged pixels would raise every
figure. The windows of SSIM reach over the edge of the hole, so give the
composite, or a picture that is right outside the hole, rather than a raw prediction.
A perfect restoration has an infinite PSNR, which no average survives: PSNR is capped
at `PSNR_LIMIT`.

Reference:
    Wang et al., "Image Quality Assessment: From Error Visibility to Structural
    Similarity" (2004).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from illustkit.errors import UserError

PSNR_LIMIT = 100.0
"""Decibels beyond which pictures count as equal."""

VGG_TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
"""The layers of VGG16 that `vgg_distance` compares."""

WINDOW, SIGMA = 11, 1.5  # pixels; Wang et al., section III.C
K1, K2 = 0.01, 0.03


def psnr_in_hole(
    truth: Any, prediction: Any, mask: Any, *, max_value: float = 1.0
) -> Any:
    """Compute the peak signal-to-noise ratio inside the hole, in the graph.

    Example:
    ```python
    unit = signed_to_unit(composite(truth, prediction, mask))
    psnr = psnr_in_hole(signed_to_unit(truth), unit, mask)
    ```

    Args:
        truth: `(batch, height, width, channels)`, unit scale.
        prediction: The same shape and scale.
        mask: `(batch, height, width, 1)`, 1 = valid, 0 = hole.
        max_value: The scale's range: 1 for unit, 255 for the uint8 scale.
            Defaults to 1.

    Returns:
        float32 `(batch,)`, decibels, at most `PSNR_LIMIT`. A picture without a hole
        gets `PSNR_LIMIT`.
    """
    from keras import ops

    truth, prediction = _unit(truth, max_value), _unit(prediction, max_value)
    error = _mean_in_hole((prediction - truth) ** 2, mask)
    error = ops.maximum(error, 10 ** (-PSNR_LIMIT / 10))
    return -10.0 * ops.log10(error)


def ssim_in_hole(
    truth: Any, prediction: Any, mask: Any, *, max_value: float = 1.0
) -> Any:
    """Compute the structural similarity inside the hole, in the graph.

    The SSIM map of every channel, with the Gaussian window of 11×11 pixels and
    sigma 1.5, is averaged over the hole's pixels and the channels. Beyond the
    picture's edge the picture is mirrored. The window is summed by shifted copies, not
    by a convolution, for which accelerators round the inputs (TF32 on GPUs, bfloat16 on
    TPUs): the variances are small differences of large numbers.

    Args:
        truth: `(batch, height, width, channels)`, unit scale, 5 px or more a side.
        prediction: The same shape and scale.
        mask: `(batch, height, width, 1)`, 1 = valid, 0 = hole.
        max_value: The scale's range: 1 for unit, 255 for the uint8 scale.
            Defaults to 1.

    Returns:
        float32 `(batch,)`, 1 for equal pictures and for a picture without a hole.
    """
    from keras import ops

    x, y = _unit(truth, max_value), _unit(prediction, max_value)
    maps = _blur(ops.concatenate([x, y, x * x, y * y, x * y], axis=-1))
    similarity = _ssim_map(*ops.split(maps, 5, axis=-1))
    return _mean_in_hole(similarity, mask, without_hole=1.0)


def vgg_distance(
    truth: Any,
    prediction: Any,
    mask: Any = None,
    *,
    features: Callable[[Any], Sequence[Any]],
) -> Any:
    """Compute the uncalibrated perceptual distance by VGG16's features, in the graph.

    At each tap, the features of every position are divided by their length over the
    channels. The squared differences are summed over the channels, averaged over the
    positions and summed over the taps. A mask restricts the average to the hole: it
    weighs each position by the fraction of the hole in the pixels that were pooled into
    it.

    Each tap counts alike, so the figure depends on nothing but VGG16. It is not LPIPS,
    which weighs the channels as people judged distorted photographs, and with another
    VGG16; the two are not comparable.

    Example:
    ```python
    features = load_vgg_features("vgg16.npz", taps=VGG_TAPS)
    distance = vgg_distance(truth, completed, mask, features=features)
    ```

    Args:
        truth: `(batch, height, width, 3)`, signed scale, 16 px or more a side. A batch
            of 1 is compared with each prediction.
        prediction: `(batch, height, width, 3)`, signed scale: the composite, as the
            features around the hole see into it.
        mask: `(batch, height, width, 1)`, 1 = valid, 0 = hole; a batch of 1 is that of
            all. Defaults to `None`: the whole picture.
        features: What `oppai.models.vgg.load_vgg_features` returns with
            `taps=VGG_TAPS`; it has to hold all five blocks.

    Returns:
        float32 `(batch,)`, from 0 for equal pictures, and where there is no hole, to
        10: after ReLU two unit vectors differ by 2 at most.

    Reference:
        Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual
        Metric" (2018), equation (1) with all weights 1.
    """
    from keras import ops

    weight = ops.ones_like(truth[..., :1]) if mask is None else _hole(mask)
    weight = ops.cast(weight, "float32")
    total: Any = 0.0
    pairs = zip(features(truth), features(prediction), strict=True)
    for block, (x, y) in enumerate(pairs):
        if block:  # as VGG16 pools between two taps
            weight = ops.average_pool(weight, 2, data_format="channels_last")
        difference = (_unit_length(x) - _unit_length(y)) ** 2
        difference = ops.sum(difference, axis=-1, keepdims=True)
        mean = ops.sum(difference * weight, (1, 2, 3))
        total = total + mean / ops.maximum(ops.sum(weight, (1, 2, 3)), 1e-6)
    return total


def measure_hole(
    truth: np.ndarray, restored: np.ndarray, hole: np.ndarray
) -> dict[str, float]:
    """Compute L1, PSNR and SSIM of one restored picture inside the hole.

    Example:
    ```python
    figures = measure_hole(truth, restored, mask > 0)  # mask: 255 = hidden
    ```

    Args:
        truth: uint8 `(height, width, 3)`.
        restored: uint8 of the same shape.
        hole: bool `(height, width)`, `True` in the hole.

    Returns:
        Dict with "l1" (mean absolute difference on the unit scale: 0.05 is what
        papers print as 5 %), "psnr" (decibels, at most `PSNR_LIMIT`) and "ssim"
        (at most 1), all floats.

    Raises:
        UserError: If the shapes do not fit, a picture is not uint8, `hole` is not
            bool, or there is no hole.
    """
    import cv2

    truth, restored, hole = np.asarray(truth), np.asarray(restored), np.asarray(hole)
    _check(truth, restored, hole)
    x, y = truth / 255.0, restored / 255.0
    difference = (x - y)[hole]

    def blur(image):
        return cv2.GaussianBlur(
            image, (WINDOW, WINDOW), SIGMA, borderType=cv2.BORDER_REFLECT
        )

    similarity = _ssim_map(*(blur(image) for image in (x, y, x * x, y * y, x * y)))
    error = max(float(np.mean(difference**2)), 10 ** (-PSNR_LIMIT / 10))
    return {
        "l1": float(np.mean(np.abs(difference))),
        "psnr": float(-10 * np.log10(error)),
        "ssim": float(np.mean(similarity[hole])),
    }


def _check(truth, restored, hole):
    if truth.ndim != 3 or truth.shape[-1] != 3 or truth.shape != restored.shape:
        raise UserError(
            "`truth` and `restored` must have one shape (height, width, 3). "
            f"Received: {truth.shape} and {restored.shape}"
        )
    if truth.dtype != np.uint8 or restored.dtype != np.uint8:
        raise UserError(
            "`truth` and `restored` must be uint8. "
            f"Received: {truth.dtype} and {restored.dtype}"
        )
    if hole.dtype != bool or hole.shape != truth.shape[:2]:
        raise UserError(
            f"`hole` must be bool {truth.shape[:2]}, True in the hole. "
            f"Received: {hole.dtype} {hole.shape}"
        )
    if not hole.any():
        raise UserError("There is no hole to measure in. Received: hole all False")


def _ssim_map(mean_x, mean_y, mean_xx, mean_yy, mean_xy):
    """Compute equation (13) of Wang et al. for a range of 1; arrays or tensors."""
    c1, c2 = K1**2, K2**2
    variances = (mean_xx - mean_x**2) + (mean_yy - mean_y**2)
    covariance = mean_xy - mean_x * mean_y
    return ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variances + c2)
    )


def _unit(pictures, max_value):
    from keras import ops

    return ops.cast(pictures, "float32") / max_value


def _unit_length(features):
    """Divide the features of each position by their length over the channels."""
    from keras import ops

    x = ops.cast(features, "float32")
    return x / (ops.sqrt(ops.sum(x * x, axis=-1, keepdims=True)) + 1e-10)


def _hole(mask):
    from keras import ops

    return ops.cast(ops.cast(mask, "float32") < 1, "float32")


def _mean_in_hole(values, mask, *, without_hole=0.0):
    """Return the mean over the hole's pixels and all channels, `(batch,)`."""
    from keras import ops

    hole = _hole(mask)
    count = ops.sum(hole, axis=(1, 2, 3))
    total = ops.sum(ops.mean(values, axis=-1, keepdims=True) * hole, axis=(1, 2, 3))
    return ops.where(count > 0, total / ops.maximum(count, 1.0), without_hole)


def _blur(pictures):
    """Apply the Gaussian window over height and width, mirrored at the edges."""
    from keras import ops

    reach = WINDOW // 2
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SIGMA) ** 2)
    taps = (taps / taps.sum()).tolist()
    _, height, width, _ = ops.shape(pictures)
    padding = ((0, 0), (reach, reach), (reach, reach), (0, 0))
    x = ops.pad(pictures, padding, mode="symmetric")
    x = sum(tap * x[:, i : i + height] for i, tap in enumerate(taps))
    return sum(tap * x[:, :, i : i + width] for i, tap in enumerate(taps))
