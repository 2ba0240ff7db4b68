"""Saliency maps of a network: guided back-propagation, DCSM and Grad-CAM."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

ALPHA = 3.0  # the slope of tanh in the paper, section 3.2


def guided_relu(x: Any, most: float | None = None) -> Any:
    """Rectify, with the gradient of guided back-propagation.

    A gradient passes where the input was positive, as with ReLU, and where it is
    positive itself: what would lower the target on the way is left out.

    Example:
    ```python
    guided_relu(np.array([-1.0, 2.0], "float32"))   # [0., 2.]
    ```

    Args:
        x: Tensor of any shape.
        most: Greatest output, 6 for ReLU6. Defaults to none.

    Returns:
        The same shape.

    Reference:
        Springenberg et al., "Striving for Simplicity: The All Convolutional Net"
        (2015), section 3.4.
    """

    @ops.custom_gradient
    def rectify(x):
        y = ops.relu(x) if most is None else ops.clip(x, 0.0, most)
        open_ = x > 0 if most is None else ops.logical_and(x > 0, x < most)

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            return upstream * ops.cast(
                ops.logical_and(open_, upstream > 0), upstream.dtype
            )

        return y, gradient

    return rectify(x)


class _GuidedReLU(layers.Layer):
    """`guided_relu` as a layer."""

    def __init__(self, most=None, **kwargs):
        super().__init__(**kwargs)
        self.most = most

    def call(self, x):
        return guided_relu(x, self.most)


class _Probe(layers.Layer):
    """Adds zeros, a row for each target: their gradient is that of the tensor.

    Neither backend gives the gradient of a tensor within a model; both give that of
    a weight.
    """

    def __init__(self, rows, **kwargs):
        super().__init__(**kwargs)
        self.rows = rows

    def build(self, input_shape):
        self.zeros = self.add_weight(
            (self.rows, *input_shape[1:]), initializer="zeros", name="zeros"
        )

    def call(self, x):
        return x + self.zeros

    def compute_output_shape(self, input_shape):
        return input_shape


class ProbedNetwork:
    """A float32 copy of a network that gives the gradients of its inner tensors.

    Args:
        network: A functional model with one input and one output `(batch, n)`.
        rows: Number of targets, which are the batch.
        guided: Whether ReLUs pass gradients by `guided_relu`.
        before: Layers before whose calls a tensor is probed: a function of a layer.
    """

    def __init__(self, network, rows, *, guided, before):
        self.rows, found = rows, []

        def copy(layer):
            config = {**layer.get_config(), "dtype": "float32"}
            if guided and isinstance(layer, layers.ReLU):
                if config["negative_slope"] == 0 and config["threshold"] == 0:
                    return _GuidedReLU(config["max_value"], dtype="float32")
            if guided and config.get("activation") == "relu":
                config["activation"] = guided_relu
            if guided and config.get("activation") == "relu6":
                config["activation"] = lambda x: guided_relu(x, 6.0)
            return type(layer).from_config(config)

        def call(layer, *args, **kwargs):
            if not (isinstance(layer, layers.Layer) and before(layer)):
                return layer(*args, **kwargs)
            probe = _Probe(rows, dtype="float32")
            tensor = probe(args[0])
            found.append((probe, tensor))
            return layer(tensor, *args[1:], **kwargs)

        plain = keras.Model(network.inputs[0], network.outputs[0])
        model = keras.models.clone_model(plain, clone_function=copy, call_function=call)
        probes = {id(probe) for probe, _ in found}
        kept = [layer for layer in model.layers if id(layer) not in probes]
        for layer, source in zip(kept, plain.layers, strict=True):
            layer.set_weights(source.get_weights())
            layer.trainable = False
        self.probes = [probe for probe, _ in found]
        tensors = [tensor for _, tensor in found]
        self.model = keras.Model(model.inputs[0], [*model.outputs, *tensors])

        self._differentiate = (
            self._by_jax()
            if keras.backend.backend() == "jax"
            else self._by_tensorflow()
        )

    def gradients(self, picture: np.ndarray, seeds: np.ndarray) -> Any:
        """Propagate each target back to the probed tensors.

        Args:
            picture: float32 `(height, width, 3)`, the network's scale.
            seeds: float32 `(targets, n)`: the derivatives of a target with respect to
                the outputs.

        Returns:
            Pair (gradients, values): lists of `(targets, height, width, channels)`,
            one for each probe, in the network's order.
        """
        pictures = np.repeat(picture[None], self.rows, axis=0)
        gradients, values = self._differentiate(pictures, seeds)
        return [[ops.convert_to_numpy(v) for v in part] for part in (gradients, values)]

    def _by_tensorflow(self):
        import tensorflow as tf

        weights = [probe.zeros.value for probe in self.probes]

        @tf.function
        def differentiate(pictures, seeds):
            with tf.GradientTape() as tape:
                outputs, *values = self.model(pictures, training=False)
                total = ops.sum(outputs * seeds)
            return tape.gradient(total, weights), values

        return differentiate

    def _by_jax(self):
        import jax

        variables = self.model.trainable_variables
        others = [v.value for v in self.model.non_trainable_variables]
        weights = [v.value for v in variables]
        places = {id(v): i for i, v in enumerate(variables)}
        order = [places[id(probe.zeros)] for probe in self.probes]

        def total(weights, others, pictures, seeds):
            (outputs, *values), _ = self.model.stateless_call(
                weights, others, pictures, training=False
            )
            return ops.sum(outputs * seeds), values

        gradient = jax.jit(jax.grad(total, has_aux=True))

        def differentiate(pictures, seeds):
            gradients, values = gradient(weights, others, pictures, seeds)
            return [gradients[i] for i in order], values

        return differentiate


Places = Sequence[tuple[float, float]]


def feature_places(network: keras.Model) -> dict[int, Places]:
    """Find where in the picture the features of each tensor have their middles.

    A convolution with a step of two and "same" padding moves them by half a pixel of
    its input towards the right and down: after five of them, maps that are enlarged as
    if they filled the picture lie beside what they show.

    Example:
    ```python
    feature_places(network)[id(network.get_layer("features").input)]
    ```

    Args:
        network: A functional model.

    Returns:
        Dict from the `id` of a tensor to [(step, first) of x, the same of y]: feature
        `i` is centred on pixel `first + step * i`.
    """
    places: dict[int, Places] = {
        id(tensor): [(1.0, 0.0), (1.0, 0.0)] for tensor in network.inputs
    }
    for layer in network.layers:
        given = layer.input if isinstance(layer.input, list) else [layer.input]
        known = [places[id(tensor)] for tensor in given if id(tensor) in places]
        if not known or len(layer.output.shape) != 4 or id(layer.output) in places:
            continue
        # Where two ways meet, between their middles.
        there = np.mean(known, axis=0)
        sides = zip(given[0].shape[2:0:-1], layer.output.shape[2:0:-1], strict=True)
        moved = [
            _middle(layer, axis, *pair) for axis, pair in zip("xy", sides, strict=True)
        ]
        places[id(layer.output)] = [
            (step * by, first + step * start)
            for (step, first), (by, start) in zip(there, moved, strict=True)
        ]
    return places


def _middle(layer, axis, before, after):
    """Return (step, first): where in its input a layer's outputs are centred."""
    number = 1 if axis == "x" else 0
    if isinstance(layer, layers.ZeroPadding2D):
        return 1.0, -float(layer.padding[number][0])
    size = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if before == after and (size is None or getattr(layer, "padding", "") == "same"):
        return 1.0, 0.0
    if size is None:  # of an unknown kind: as if both filled the picture
        return before / after, (before / after - 1) / 2
    size, step = (
        value if isinstance(value, int) else value[number]
        for value in (size, layer.strides)
    )
    same = getattr(layer, "padding", "valid") == "same"
    beyond = max((after - 1) * step + size - before, 0) // 2 if same else 0
    return float(step), (size - 1) / 2 - beyond


def distinct_maps(
    maps: Sequence[np.ndarray],
    size: tuple[int, int],
    places: Sequence[Places] | None = None,
) -> np.ndarray:
    """Make the saliency maps of several targets distinct, and merge them.

    With `M_i^c` the map of target `c` at layer `i`, enlarged, over its greatest value
    of any target,

        D_i^c = Σ_{c' ≠ c} max(M_i^c − M_i^c', 0)
        g^c   = mean over i of tanh(α D_i^c),   α = 3

    Example:
    ```python
    distinct_maps([np.random.rand(2, 8, 8)], (64, 64)).shape   # (2, 64, 64)
    ```

    Args:
        maps: One array `(targets, height, width)` for each layer, 0 or more, of any
            size.
        size: (width, height) of the result, pixels.
        places: Where each layer's features lie; see `feature_places`. Defaults to
            maps that fill the picture.

    Returns:
        float32 `(targets, height, width)`, 0 to 1.

    Reference:
        Shimoda and Yanai, "Distinct Class-Specific Saliency Maps for Weakly Supervised
        Semantic Segmentation" (2016), sections 3.2 to 3.4; seed 002, section 2.3.
    """
    merged = np.zeros((len(maps[0]), size[1], size[0]))
    for i, layer in enumerate(maps):
        place = None if places is None else places[i]
        enlarged = _enlarged(layer / max(float(layer.max()), 1e-30), size, place)
        # (target, other, y, x); a target's difference from itself is zero
        differences = np.maximum(enlarged[:, None] - enlarged[None], 0)
        merged += np.tanh(ALPHA * differences.sum(axis=1))
    return (merged / len(maps)).astype("float32")


def _enlarged(maps, size, places=None):
    """Enlarge maps `(targets, height, width)`; beyond the last features, the last."""
    import cv2

    if places is None:
        steps = size[0] / maps.shape[2], size[1] / maps.shape[1]
        places = [(step, (step - 1) / 2) for step in steps]
    (step_x, x), (step_y, y) = places
    # From a pixel to the place among the features.
    matrix = np.array([[1 / step_x, 0, -x / step_x], [0, 1 / step_y, -y / step_y]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    options = {"flags": flags, "borderMode": cv2.BORDER_REPLICATE}
    return np.stack(
        [cv2.warpAffine(m.astype("float32"), matrix, size, **options) for m in maps]
    )


def level_derivatives(logits: np.ndarray) -> np.ndarray:
    """Return d log P(score = k) / dz for all levels, z being CORAL's shared number.

    With `p_k = P(score > k)`, `p_0 = 1`, `p_K = 0`, and `dp_k/dz = p_k (1 − p_k)`,

        P(score = k) = p_{k−1} − p_k
        d log P / dz = (p_{k−1}(1 − p_{k−1}) − p_k(1 − p_k)) / (p_{k−1} − p_k)
                     = 1 − p_{k−1} − p_k

    Example:
    ```python
    level_derivatives(np.array([0.0]))   # [-0.5, 0.5]
    ```

    Args:
        logits: `(thresholds,)`, logits of P(score > k), falling.

    Returns:
        `(thresholds + 1,)`, rising from below 0 to above 0.
    """
    above = 0.5 * (1 + np.tanh(np.asarray(logits) / 2))  # sigmoid
    ends = np.concatenate([[1.0], above, [0.0]])
    return 1 - ends[:-1] - ends[1:]


def grad_cam(
    values: np.ndarray,
    gradients: np.ndarray,
    size: tuple[int, int],
    places: Places | None = None,
) -> np.ndarray:
    """Weight features by their mean gradients, and keep what is positive.

    Example:
    ```python
    features = np.random.rand(2, 8, 8, 16)
    grad_cam(features, features, (64, 64)).shape   # (2, 64, 64)
    ```

    Args:
        values: `(targets, height, width, channels)`.
        gradients: Of the targets, of the same shape.
        size: (width, height) of the result, pixels.
        places: Where the features lie; see `feature_places`. Defaults to features that
            fill the picture.

    Returns:
        float32 `(targets, height, width)`, over the greatest value of any target.

    Reference:
        Selvaraju et al. (2017), equations 1 and 2.
    """
    weights = gradients.mean(axis=(1, 2), keepdims=True)
    maps = np.maximum((weights * values).sum(axis=-1), 0)
    return _enlarged(maps / max(float(maps.max()), 1e-30), size, places)
