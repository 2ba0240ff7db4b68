"""How much slower than `Conv2D` is a partial convolution, ours and the book's?

    python benchmarks/pconv_speed.py [--rounds 40] [--jit] [--no-bias]

Times `Conv2D`, `PConv2D` and the book's formula at `(8, 64, 64, 64 → 64)` in turn. The
book convolves a mask of C channels with a k×k×C×filters kernel of ones. Prints the
median of the ratios to the `Conv2D` of the same round, by processor time. Beside them
stands what `PConv2D` is expected to take: one `Conv2D` and the passes over the features
that no kernel of TensorFlow joins with it. A pass into new memory is as long as the
features times a mask; one in place is as long as one more pass in a chain of such
products and sums. Both are timed in the same rounds. Needs TensorFlow and a CPU.
"""

import argparse
import os
import statistics
import time
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from timing import median_ratio, time_in_turn

from oppai.layers import PConv2D

SHAPE, FILTERS = (8, 64, 64, 64), 64
CHAIN = 8  # passes that are timed together
# Passes over the features beside the convolution: into new memory, and in place.
# Forward: clear the holes, in a copy; multiply by the ratio; with a bias, add it, and
# clear it in the holes, where `Conv2D` adds it as it convolves. Backward: the gradient
# of each but the addition, the first in a copy.
PASSES = {
    ("forward", False): (1, 1),
    ("forward", True): (1, 3),
    ("forward+backward", False): (2, 2),
    ("forward+backward", True): (2, 5),
}


class BookPConv2D(keras.layers.Layer):
    """Convolve by the book's formula: the mask has as many channels as the features."""

    def __init__(self, filters, kernel_size, use_bias):
        super().__init__()
        self.filters, self.kernel_size = filters, (kernel_size, kernel_size)
        self.use_bias = use_bias

    def build(self, input_shape):
        shape = (*self.kernel_size, input_shape[0][-1], self.filters)
        self.kernel = self.add_weight(shape=shape, name="kernel")
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.filters,), name="bias")
        self.ones = np.ones(shape, "float32")

    def call(self, inputs):
        pad = self.kernel_size[0] // 2
        pads = ((0, 0), (pad, pad), (pad, pad), (0, 0))
        picture, mask = (ops.pad(x, pads) for x in inputs)
        total = ops.conv(mask, self.ones, padding="valid")
        out = ops.conv(picture * mask, self.kernel, padding="valid")
        new_mask = ops.clip(total, 0, 1)
        ratio = self.kernel_size[0] * self.kernel_size[1] / (total + 1e-8) * new_mask
        out = out * ratio
        return [out + self.bias if self.use_bias else out, new_mask]


def candidates(kernel_size, use_bias):
    """Return three pairs: a function of (features, one-channel mask), and its layer."""
    plain = keras.layers.Conv2D(FILTERS, kernel_size, padding="same", use_bias=use_bias)
    ours = PConv2D(FILTERS, kernel_size, use_bias=use_bias)
    book = BookPConv2D(FILTERS, kernel_size, use_bias)
    x, mask = np.zeros(SHAPE, "float32"), np.zeros((*SHAPE[:3], 1), "float32")
    plain(x), ours([x, mask]), book([x, np.zeros_like(x)])
    wide = tf.constant(np.repeat(random_mask(), SHAPE[-1], axis=-1))
    return {
        "Conv2D": (lambda x, m: plain(x), plain),
        "PConv2D": (lambda x, m: ours([x, m])[0], ours),
        "book": (lambda x, m: book([x, wide])[0], book),
    }


def random_mask():
    """Return a mask in which 30 % of the pixels are holes.

    Nearly every window is partly valid, which is the slowest case.
    """
    return (np.random.default_rng(0).random((*SHAPE[:3], 1)) > 0.3).astype("float32")


def steps(function, layer, jit):
    """Compile the forward pass, and the forward and backward pass together."""

    @tf.function(jit_compile=jit)
    def forward(x, mask):
        return function(x, mask)

    @tf.function(jit_compile=jit)
    def both(x, mask, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x, mask)
        weights = [v.value for v in layer.trainable_variables]
        return tape.gradient(y, [x, *weights], output_gradients=upstream)

    return forward, both


def chain(n, jit):
    """Return a function of `n` passes: multiply by the mask, add a bias, and so on."""
    offset = tf.constant(np.linspace(0, 1, FILTERS, dtype="float32"))

    @tf.function(jit_compile=jit)
    def passes(x, mask, *_):
        for i in range(n):
            x = x + offset if i % 2 else x * mask
        return x

    return passes


def rate(ms):
    """Return the GB that a pass moves in a second: features read and written."""
    return 2 * 4 * np.prod(SHAPE) / ms / 1e6


def ratios(functions, arguments, rounds):
    """Return the median ratio of each to `Conv2D`, and the median ms of `Conv2D`."""
    # On a CPU a compiled function returns when its work is done.
    calls = {name: partial(f, *arguments) for name, f in functions.items()}
    seconds = time_in_turn(calls, rounds, clock=time.process_time)
    base = seconds["Conv2D"]
    medians = {name: median_ratio(times, base) for name, times in seconds.items()}
    return medians, 1000 * statistics.median(base)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--jit", action="store_true", help="compile with XLA")
    parser.add_argument(
        "--no-bias",
        action="store_true",
        help="no bias in any of the three, as before a BatchNorm",
    )
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    x = tf.constant(rng.normal(size=SHAPE).astype("float32"))
    mask = tf.constant(random_mask())
    upstream = tf.constant(rng.normal(size=(*SHAPE[:3], FILTERS)).astype("float32"))
    columns = "Conv2D ms", "PConv2D", "expected", "book", "new pass", "in place"
    print(f"{'':18s}" + "".join(f"{name:>10s}" for name in columns) + "   (ratios)")
    for kernel_size in (3, 5):
        passes = {
            name: steps(function, layer, options.jit)
            for name, (function, layer) in candidates(
                kernel_size, not options.no_bias
            ).items()
        }
        for i, (what, arguments) in enumerate(
            (("forward", (x, mask)), ("forward+backward", (x, mask, upstream)))
        ):
            functions = {name: pair[i] for name, pair in passes.items()}
            functions |= {n: chain(n, options.jit) for n in (1, CHAIN)}
            medians, ms = ratios(functions, arguments, options.rounds)
            costs = medians[1], (medians[CHAIN] - medians[1]) / (CHAIN - 1)
            expected = 1 + np.dot(PASSES[what, not options.no_bias], costs)
            print(
                f"k{kernel_size} {what:15s}{ms:10.1f}{medians['PConv2D']:10.3f}"
                f"{expected:10.3f}{medians['book']:10.3f}"
                + "".join(
                    f"{cost:10.4f} ({rate(ms * cost):.0f} GB/s)" for cost in costs
                )
            )


if __name__ == "__main__":
    main()
