"""Predict pictures of many sizes without compiling the network for each of them."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

# Sides to which JAX's pictures are padded, in pixels; larger ones to the next 256.
BUCKETS = (64, 96, 128, 192, 256, 384, 512)
# What `missing` holds beyond the picture.
OUTSIDE = 2.0


class AnySize:
    """Predicts with a `MosaicUNet`, compiled once on TensorFlow, a few times on JAX.

    TensorFlow's function takes any size and number. JAX compiles for each shape: so
    there pictures are padded to few sizes, in a copy of the network that clears what
    lies outside the picture after each layer, as a convolution's own padding is clear;
    and batches are filled up to a power of two.

    Example:
    ```python
    predict = AnySize(oppai.MosaicUNet(widths=(8, 8), blocks=(1, 1)))
    inputs = mosaic_inputs(censored, mask, Grid((8, 8)))
    predict({name: x[None] for name, x in inputs.items()})
    ```

    Args:
        network: An `oppai.MosaicUNet`, whose weights are used as they are when it is
            called.
    """

    def __init__(self, network: keras.Model) -> None:
        self.network = network
        self._call: Callable[[dict[str, np.ndarray]], Any] = network.predict_on_batch
        self._pads = False
        backend = keras.backend.backend()
        if backend == "tensorflow":
            self._call = _traced_once(network)
        elif backend == "jax" and network.image_size is None:
            self._pads = True
            self._call = framed(network).predict_on_batch

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the network's output for a batch.

        Args:
            inputs: Dict of arrays, as `MosaicUNet` takes it.

        Returns:
            float32 `(batch, height, width, 3)`.
        """
        arrays = dict(inputs)
        n, height, width, _ = arrays["hole"].shape
        if self._pads:
            arrays = _filled(_padded(arrays))
        result = np.asarray(self._call(arrays), "float32")
        return result[:n, :height, :width]


def _traced_once(network):
    """Return a TensorFlow function of a network that takes any size and number."""
    import tensorflow as tf

    signature = {
        name: tf.TensorSpec((None, *x.shape[1:]), x.dtype, name)
        for name, x in network.input.items()
    }

    @tf.function(input_signature=[signature], autograph=False)
    def predict(inputs):
        return network(inputs, training=False)

    return predict


def framed(network: keras.Model) -> keras.Model:
    """Return a network that predicts padded pictures as if they were not padded.

    It shares all layers with the given one. Where `missing` is 2 lies nothing: after
    each layer whose output a convolution reads, these values become 0, with which
    convolutions pad. A hole must not touch the padding: the mean of a block that lies
    in both is taken of both.

    Args:
        network: An `oppai.MosaicUNet`.

    Returns:
        A `keras.Model` with the same inputs and output.
    """
    inputs = {
        name: keras.Input(x.shape[1:], name=name) for name, x in network.input.items()
    }
    # What convolutions read; all others keep zeros or read these.
    read = (keras.layers.LeakyReLU, keras.layers.Add, keras.layers.Concatenate)

    def call(layer, *args, **kwargs):
        y = layer(*args, **kwargs)
        if isinstance(layer, read):
            return _Frame(dtype=layer.dtype_policy)([y, inputs["missing"]])
        return y

    return keras.models.clone_model(
        network, input_tensors=inputs, clone_function=lambda x: x, call_function=call
    )


class _Frame(keras.layers.Layer):
    """Clears features outside the picture, at their scale."""

    def call(self, inputs):
        x, missing = inputs
        step = missing.shape[1] // x.shape[1]
        inside = ops.less(missing[:, ::step, ::step], OUTSIDE)
        return ops.where(inside, x, ops.zeros((), x.dtype))

    def compute_output_shape(self, input_shape):
        return input_shape[0]


def bucket(side: int) -> int:
    """Return the side to which one of that many pixels is padded."""
    return next((b for b in BUCKETS if b >= side), -(-side // 256) * 256)


def _padded(inputs):
    hole = inputs["hole"]
    # A block that the edge cuts lies in the hole: its mean is of what is inside.
    cut = [hole[:, -1].any(), hole[:, :, -1].any()]
    room = [
        0 if touched else bucket(side) - side
        for side, touched in zip(hole.shape[1:3], cut, strict=True)
    ]
    pads = (0, 0), (0, room[0]), (0, room[1]), (0, 0)
    values = dict.fromkeys(inputs, 0.0) | {"missing": OUTSIDE}
    return {
        name: x if x.ndim == 2 else np.pad(x, pads, constant_values=values[name])
        for name, x in inputs.items()
    }


def _filled(inputs):
    n = len(inputs["hole"])
    room = (1 << (n - 1).bit_length()) - n
    if not room:
        return inputs
    return {
        name: np.concatenate([x, x[-1:].repeat(room, 0)]) for name, x in inputs.items()
    }
