"""Are the U-Net's hand-made layers faster than the stock layers they replace?

    python benchmarks/handmade_layers.py [--rounds 40] [--batch-size 2] [--layer NAME]
                                         [--xla] [--dtype mixed_bfloat16]

Each layer gets the input shape at which it costs the most in the network of dim 64 at
128×128. The baseline is the stock layer, or a sequence of stock layers, with the same
weights. Both are compiled in the same way, their outputs are compared, and they are
timed in turn: the forward pass, then the forward and backward pass. Prints the median
times and the median of the ratios. A layer stays hand-made if it saves 5 % of the time.
Needs TensorFlow.
"""

import argparse
import os
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import ops  # noqa: E402
from timing import median_ratio, time_in_turn  # noqa: E402


def upsampled_conv():
    """Compare with nearest-neighbour upsampling and a 3×3 convolution."""
    from diffusion.network.layers import UpsampledConv

    stock = keras.Sequential(
        [keras.layers.UpSampling2D(), keras.layers.Conv2D(64, 3, padding="same")]
    )
    return UpsampledConv(64), stock, [(64, 64, 128)]


class FilmAfter(keras.layers.Layer):
    """Normalise by a stock layer, then scale and shift."""

    def __init__(self, norm, **kwargs):
        super().__init__(**kwargs)
        self.norm = norm

    def build(self, shapes):
        self.norm.build(shapes[0])

    def call(self, inputs):
        x, film = inputs
        scale, shift = ops.split(film[:, None, None], 2, axis=-1)
        return self.norm(x) * (scale + 1) + shift


def group_norm():
    """Compare with `GroupNormalization`, then scale and shift."""
    from diffusion.network.layers import GroupNorm

    stock = keras.layers.GroupNormalization(8, epsilon=1e-5)
    return GroupNorm(8), FilmAfter(stock), [(128, 128, 64), (128,)]


def group_norm_alone():
    """Compare with `GroupNormalization`."""
    from diffusion.network.layers import GroupNorm

    stock = keras.layers.GroupNormalization(8, epsilon=1e-5)
    return GroupNorm(8), stock, [(128, 128, 64)]


def rms_norm():
    """Compare with `RMSNormalization`, then scale and shift."""
    from diffusion.network.layers import RMSNorm

    stock = keras.layers.RMSNormalization(epsilon=1e-24)
    return RMSNorm(), FilmAfter(stock), [(128, 128, 64), (128,)]


def rms_norm_alone():
    """Compare with `RMSNormalization`."""
    from diffusion.network.layers import RMSNorm

    stock = keras.layers.RMSNormalization(epsilon=1e-24)
    return RMSNorm(), stock, [(128, 128, 64)]


def channel_norm():
    """Compare with `LayerNormalization`."""
    from diffusion.network.layers import ChannelNorm

    stock = keras.layers.LayerNormalization(epsilon=1e-5)
    return ChannelNorm(), stock, [(128, 128, 64)]


class TextbookLinearAttention(keras.layers.Layer):
    """Compute linear attention head by head, as the PyTorch package does."""

    def __init__(self, heads=4, dim_head=32, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.dim_head = heads, dim_head

    def build(self, shape):
        hidden = self.heads * self.dim_head
        self.to_qkv = keras.layers.Conv2D(3 * hidden, 1, use_bias=False)
        self.to_out = keras.layers.Conv2D(shape[-1], 1)
        self.to_qkv.build(shape)
        self.to_out.build((*shape[:-1], hidden))

    def call(self, x):
        batch, height, width, _ = ops.shape(x)
        heads, dim = self.heads, self.dim_head
        shape = batch, height * width, heads, dim
        q, k, v = (ops.reshape(a, shape) for a in ops.split(self.to_qkv(x), 3, axis=-1))
        q, k = ops.softmax(q, axis=-1) * dim**-0.5, ops.softmax(k, axis=1)
        context = ops.einsum("bnhd,bnhe->bhde", k, v)
        out = ops.einsum("bhde,bnhd->bnhe", context, q)
        return self.to_out(ops.reshape(out, (batch, height, width, heads * dim)))


def linear_attention():
    """Compare with the paper's linear attention, built from stock convolutions."""
    from diffusion.network.attention import LinearAttention

    return LinearAttention(), TextbookLinearAttention(), [(128, 128, 64)]


class StockAttention(keras.layers.Layer):
    """Apply `MultiHeadAttention` to the pixels; its biases are zero."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention = keras.layers.MultiHeadAttention(4, 32)

    def build(self, shape):
        self.attention.build((None, None, shape[-1]), (None, None, shape[-1]))

    def call(self, x):
        batch, height, width, channels = ops.shape(x)
        x = ops.reshape(x, (batch, height * width, channels))
        x = self.attention(x, x)
        return ops.reshape(x, (batch, height, width, channels))

    def set_weights(self, values):
        qkv, out, out_bias = (np.squeeze(value) for value in values)
        zeros = np.zeros((4, 32), "float32")
        heads = [kernel.reshape(-1, 4, 32) for kernel in np.split(qkv, 3, axis=-1)]
        weights = [w for kernel in heads for w in (kernel, zeros)]
        super().set_weights([*weights, out.reshape(4, 32, -1), out_bias])


def full_attention():
    """Compare with `MultiHeadAttention`."""
    from diffusion.network.attention import FullAttention

    return FullAttention(), StockAttention(), [(16, 16, 512)]


CASES = {
    "UpsampledConv": upsampled_conv,
    "GroupNorm": group_norm_alone,
    "GroupNorm, film": group_norm,
    "RMSNorm": rms_norm_alone,
    "RMSNorm, film": rms_norm,
    "ChannelNorm": channel_norm,
    "LinearAttention": linear_attention,
    "FullAttention": full_attention,
}


def compiled(layer, inputs, xla):
    """Compile a layer's forward pass, and its forward and backward pass together."""
    weights = [weight.value for weight in layer.trainable_variables]

    @tf.function(jit_compile=xla)
    def forward(*inputs):
        return tf.reduce_sum(layer(list(inputs) if len(inputs) > 1 else inputs[0]))

    @tf.function(jit_compile=xla)
    def backward(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            out = layer(list(inputs) if len(inputs) > 1 else inputs[0])
            loss = tf.reduce_mean(tf.square(tf.cast(out, "float32")))
        # A sum forces each gradient to be computed and costs the same on both sides.
        gradients = tape.gradient(loss, [*weights, *inputs])
        return [tf.reduce_sum(tf.cast(g, "float32")) for g in gradients]

    def once(function):
        return lambda: tf.nest.map_structure(lambda a: a.numpy(), function(*inputs))

    return once(forward), once(backward)


def compare(ours, stock, rounds):
    """Return the median milliseconds of both and the median of their ratio, as text."""
    seconds = time_in_turn({"ours": ours, "stock": stock}, rounds)
    a, b = (1e3 * statistics.median(times) for times in seconds.values())
    ratio = median_ratio(seconds["ours"], seconds["stock"])
    return f"{f'{a:.1f} / {b:.1f} ms':>18}  ×{ratio:.2f}  "


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--layer", choices=CASES)
    parser.add_argument("--xla", action="store_true")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    keras.config.set_dtype_policy(options.dtype)
    rng = np.random.default_rng(0)
    print(f"{'layer':<18}{'forward':>26}{'forward and backward':>28}")
    for name, make in CASES.items():
        if options.layer not in (None, name):
            continue
        ours, stock, shapes = make()
        inputs = [
            tf.constant(rng.normal(size=(options.batch_size, *shape)).astype("float32"))
            for shape in shapes
        ]
        argument = inputs if len(inputs) > 1 else inputs[0]
        ours(argument), stock(argument)
        for i, weight in enumerate(ours.weights):
            generator = np.random.default_rng(i)
            weight.assign(0.1 * generator.normal(size=weight.shape))
        stock.set_weights(ours.get_weights())
        a, b = (
            np.asarray(ops.cast(layer(argument), "float32")) for layer in (ours, stock)
        )
        error = np.abs(a - b).max() / np.abs(b).max()
        if error > (1e-4 if options.dtype == "float32" else 0.1):
            raise SystemExit(
                f"{name}: the outputs differ by {error:.1e} of the largest value."
            )
        row = f"{name:<18}"
        sides = (compiled(layer, inputs, options.xla) for layer in (ours, stock))
        for functions in zip(*sides, strict=True):
            row += compare(*functions, options.rounds)
        print(row, flush=True)


if __name__ == "__main__":
    main()
