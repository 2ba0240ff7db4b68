"""The six terms of the restoration loss, each one number per picture.

Pictures are float tensors `(batch, height, width, 3)` on the signed scale, masks are
float `(batch, height, width, 1)` with 1 = valid and 0 = hole; values under 1 count as
hole, as for the network. Every term is a mean of absolute
differences over the elements of one picture ("size-averaged"): a sum over 256×256
positions would leave the range in which low precision counts, and an average over the
holes of a whole batch would change with the way the batch is split over devices.
All arithmetic is float32, whatever the dtype of the inputs.

**Why two colour scales.** The chapter met NaN while training and named three suspects:
pictures on the Caffe scale (about -124 to 151) make values or gradients explode in a
deep U-Net; a Gram matrix adds up 65,536 products, which overflows or underflows; and
depth and resolution, which only let the first two show. So the U-Net uses the signed
scale [-1, 1], and `oppai.models.vgg` converts to the Caffe scale for VGG16, which was
trained on it. The Gram matrix here is channels × channels, never positions × positions,
and is added up in float32.

**Which weights.** On the Caffe scale VGG16's activations are tens of times larger than
on the normalised one, and the Gram matrix grows with their square. With the paper's
weights (`PAPER_WEIGHTS`) the style terms then drown the others, and the colours of the
whole picture shift, a sign of too large a style weight. `BOOK_WEIGHTS` are the
chapter's, found over more than thirty trials; of all weights the style weight mattered
most.

Reference:
    Liu et al., "Image Inpainting for Irregular Holes Using Partial Convolutions"
    (2018), section 3.3; the chapter ("DeepCreamPyで学ぶモザイク除去", chapter 10),
    equations (1) and (2).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

PAPER_WEIGHTS = {
    "valid": 1.0,
    "hole": 6.0,
    "perceptual": 0.05,
    "style_out": 120.0,
    "style_comp": 120.0,
    "tv": 0.1,
}
"""Equation (1): the paper's weights, for one colour scale in both networks."""

BOOK_WEIGHTS = {
    "valid": 10.0,
    "hole": 60.0,
    "perceptual": 0.005,
    "style_out": 1.0,
    "style_comp": 1.0,
    "tv": 0.1,
}
"""Equation (2): the chapter's weights, for a signed U-Net and a Caffe-scale VGG16."""

PIX2PIX_WEIGHTS = {"l1": 100.0}
"""L1 over the whole picture with the weight of Isola et al. (2017), equation 4; their
adversarial term is added by `oppai.train(..., adversarial="pix2pix")`."""

FEATURE_TERMS = ("perceptual", "style_out", "style_comp")
"""The terms that need VGG16."""


def loss_terms(
    truth: Any,
    prediction: Any,
    mask: Any,
    *,
    features: Callable[[Any], Sequence[Any]] | None = None,
) -> dict[str, Any]:
    """Compute all terms of the loss, without their weights.

    The features of the truth carry no gradient, so that nothing of that pass is stored
    for the backward pass.

    Example:
    ```python
    terms = loss_terms(truth, prediction, mask, features=load_vgg_features())
    loss = sum(BOOK_WEIGHTS[k] * keras.ops.mean(v) for k, v in terms.items())
    ```

    Args:
        truth: Signed pictures, `(batch, height, width, 3)`.
        prediction: Signed pictures of the same shape.
        mask: `(batch, height, width, 1)`, 1 = valid, 0 = hole.
        features: A function from signed pictures to a list of feature maps, such as
            `oppai.models.vgg.load_vgg_features()`. With `None` the terms in
            `FEATURE_TERMS` are left out. Defaults to `None`.

    Returns:
        Dict from a term's name, as in `BOOK_WEIGHTS`, to float32 `(batch,)`.
    """
    completed = composite(truth, prediction, mask)
    terms = {
        "valid": valid_loss(truth, prediction, mask),
        "hole": hole_loss(truth, prediction, mask),
    }
    if features is not None:
        of_truth = [ops.stop_gradient(f) for f in features(ops.stop_gradient(truth))]
        of_prediction = features(prediction)
        of_composite = features(completed)
        terms["perceptual"] = perceptual_loss(of_truth, of_prediction, of_composite)
        terms["style_out"] = style_loss(of_truth, of_prediction)
        terms["style_comp"] = style_loss(of_truth, of_composite)
    terms["tv"] = tv_loss(completed, mask)
    return terms


def composite(truth: Any, prediction: Any, mask: Any) -> Any:
    """Return the truth outside the hole, the prediction inside (the paper's I_comp).

    Args:
        truth: `(batch, height, width, channels)`; carries no gradient.
        prediction: The same shape; only pixels in the hole get a gradient.
        mask: `(batch, height, width, 1)`, 1 = valid, 0 = hole.

    Returns:
        A float32 tensor of the pictures' shape.
    """
    return ops.where(_hole(mask) > 0, _float(prediction), _truth(truth))


def valid_loss(truth: Any, prediction: Any, mask: Any) -> Any:
    """Compute L1 of the prediction outside the hole, over all elements of the picture.

    Args:
        truth: `(batch, height, width, channels)`; carries no gradient.
        prediction: The same shape.
        mask: `(batch, height, width, 1)`, 1 = valid, 0 = hole.

    Returns:
        float32 `(batch,)`: the mean over height·width·channels, as the paper has it.
    """
    difference = ops.abs(_float(prediction) - _truth(truth))
    return _mean((1.0 - _hole(mask)) * difference)


def hole_loss(truth: Any, prediction: Any, mask: Any) -> Any:
    """Compute L1 of the prediction inside the hole, over all elements of the picture.

    Args:
        truth: `(batch, height, width, channels)`; carries no gradient.
        prediction: The same shape.
        mask: `(batch, height, width, 1)`, 1 = valid, 0 = hole.

    Returns:
        float32 `(batch,)`: the mean over height·width·channels, not over the hole.
    """
    return _mean(_hole(mask) * ops.abs(_float(prediction) - _truth(truth)))


def perceptual_loss(
    truth_features: Sequence[Any],
    prediction_features: Sequence[Any],
    composite_features: Sequence[Any],
) -> Any:
    """Compute L1 between VGG features of prediction and truth, composite and truth.

    Args:
        truth_features: List of `(batch, height, width, channels)`, one for each tap;
            carries no gradient.
        prediction_features: List of the same shapes.
        composite_features: List of the same shapes.

    Returns:
        float32 `(batch,)`: the size-averaged differences, summed over the taps.
    """
    total = 0.0
    for t, p, c in zip(
        truth_features, prediction_features, composite_features, strict=True
    ):
        t = _truth(t)
        total = total + _mean(ops.abs(_float(p) - t)) + _mean(ops.abs(_float(c) - t))
    return total


def gram_matrix(features: Any) -> Any:
    """Compute the correlations of the channels, FᵀF / (channels · height · width).

    Args:
        features: `(batch, height, width, channels)`, any float dtype.

    Returns:
        float32 `(batch, channels, channels)`, added up in float32.
    """
    _, height, width, channels = ops.shape(features)
    flat = ops.reshape(_float(features), (-1, height * width, channels))
    # Scaled before the product: the sum then stays near the size of the result.
    flat = flat / ops.sqrt(_size(features))
    return ops.matmul(ops.transpose(flat, (0, 2, 1)), flat)


def style_loss(truth_features: Sequence[Any], features: Sequence[Any]) -> Any:
    """Compute L1 between the Gram matrices of two lists of VGG features.

    Args:
        truth_features: List of `(batch, height, width, channels)`, one for each tap;
            carries no gradient.
        features: List of the same shapes: of the prediction (style_out) or of the
            composite (style_comp).

    Returns:
        float32 `(batch,)`: the mean over channels², summed over the taps.
    """
    total = 0.0
    for t, f in zip(truth_features, features, strict=True):
        difference = gram_matrix(f) - gram_matrix(ops.stop_gradient(t))
        total = total + ops.mean(ops.abs(difference), axis=(1, 2))
    return total


def tv_loss(completed: Any, mask: Any) -> Any:
    """Compute the total variation of the composite in the hole and a pixel around it.

    A difference of two neighbours counts when both lie in the hole dilated by 3×3,
    so the seam between hole and picture is smoothed too.

    Args:
        completed: What `composite` returned, `(batch, height, width, channels)`.
        mask: `(batch, height, width, 1)`, 1 = valid, 0 = hole.

    Returns:
        float32 `(batch,)`: horizontal and vertical differences, summed and divided by
        height·width·channels.
    """
    picture = _float(completed)
    region = ops.max_pool(
        _hole(mask), 3, strides=1, padding="same", data_format="channels_last"
    )
    across = ops.abs(picture[:, :, 1:] - picture[:, :, :-1])
    down = ops.abs(picture[:, 1:] - picture[:, :-1])
    across = across * region[:, :, 1:] * region[:, :, :-1]
    down = down * region[:, 1:] * region[:, :-1]
    total = ops.sum(across, axis=(1, 2, 3)) + ops.sum(down, axis=(1, 2, 3))
    return total / _size(picture)


def _float(x):
    return ops.cast(x, "float32")


def _truth(x):
    return ops.stop_gradient(_float(x))


def _hole(mask):
    """Return 1 in the hole, 0 elsewhere, without gradient."""
    return ops.stop_gradient(_float(_float(mask) < 1))


def _mean(x):
    return ops.mean(x, axis=(1, 2, 3))


def _size(x):
    """Return the elements of one picture: height·width·channels, float32."""
    return ops.cast(math.prod(ops.shape(x)[1:]), "float32")
