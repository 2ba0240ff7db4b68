"""Each network computes what its paper's table says: against NumPy in float64.

The tables are written down here once more. Convolutions are sums over the taps of their
kernels, padded as Torch pads.
"""

import numpy as np
import pytest

from oppai.translation.colorization import ColorizationNetwork
from oppai.translation.completion import (
    CompletionDiscriminator,
    CompletionNetwork,
    ResidualCompletionNetwork,
)
from oppai.translation.fast_style import FastStyleNetwork, StyleEncoder
from oppai.translation.pix2pix import Pix2PixUNet
from oppai.translation.segmentation import FCN8s, UNet
from oppai.translation.sketch import SketchDiscriminator, SketchNetwork
from oppai.translation.style import StyleDecoder


class Oracle:
    """The weights of a network by the names of its layers, and NumPy for the layers."""

    def __init__(self, network):
        self.weights, layers = {}, list(network.layers)
        for layer in layers:
            if hasattr(layer, "layers"):  # a network within the network
                layers += layer.layers
            else:
                own = {v.name: np.array(v, np.float64) for v in layer.weights}
                self.weights[layer.name] = own

    def conv(self, x, name, stride=1, dilation=1, pad=None, norm=True, act="relu"):
        kernel = self.weights[name]["kernel"]
        side = kernel.shape[0]
        pad = dilation * (side - 1) // 2 if pad is None else pad
        x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        rows = (x.shape[1] - dilation * (side - 1) - 1) // stride + 1
        columns = (x.shape[2] - dilation * (side - 1) - 1) // stride + 1
        y = np.zeros((len(x), rows, columns, kernel.shape[3]))
        for i in range(side):
            for j in range(side):
                top, left = i * dilation, j * dilation
                taps = x[:, top:, left:][:, ::stride, ::stride][:, :rows, :columns]
                y += taps @ kernel[i, j]
        return self.after(y, name, norm, act)

    def deconv(self, x, name, pad, norm=True, act="relu", stride=2):
        kernel = self.weights[name]["kernel"]  # rows, columns, out, in
        side, (_, h, w, _) = kernel.shape[0], x.shape
        y = np.zeros((len(x), stride * h + side, stride * w + side, kernel.shape[2]))
        for i in range(side):
            for j in range(side):
                place = np.s_[
                    :, i : i + stride * h : stride, j : j + stride * w : stride
                ]
                y[place] += x @ kernel[i, j].T
        y = y[:, pad : pad + stride * h, pad : pad + stride * w]
        return self.after(y, name, norm, act)

    def dense(self, x, name, norm=True, act="relu"):
        return self.after(x @ self.weights[name]["kernel"], name, norm, act)

    def after(self, y, name, norm, act):
        y = y + self.weights[name].get("bias", 0)
        if norm:
            y = self.norm(y, f"{name}_norm")
        return np.maximum(y, 0) if act == "relu" else y

    def norm(self, y, name):
        w = self.weights[name]
        scale = w["gamma"] / np.sqrt(w["moving_variance"] + 1e-5)
        return (y - w["moving_mean"]) * scale + w["beta"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def pooled(x):
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))


def doubled(x):
    return x.repeat(2, 1).repeat(2, 2)


def bilinear(x, factor):
    """Add each pixel's tent of twice the factor's width; outside is nothing."""
    n, h, w, c = x.shape
    y = np.zeros((n, factor * h, factor * w, c))
    places = [(i + 0.5) * factor - 0.5 for i in range(max(h, w))]
    for i in range(h):
        for j in range(w):
            rows = np.maximum(1 - abs(np.arange(factor * h) - places[i]) / factor, 0)
            columns = np.maximum(1 - abs(np.arange(factor * w) - places[j]) / factor, 0)
            tent = rows[:, None] * columns
            y += tent[None, :, :, None] * x[:, i, j][:, None, None]
    return y


def pix2pix(o, x):
    """Isola et al. 2017, appendix 6.1.1, with four halvings: C2-C4-C8-C16."""
    skips = []
    for i in range(4):
        x = leaky(x) if i else x
        x = o.conv(x, f"down_{i}", 2, pad=1, norm=i in (1, 2), act="")
        skips.append(x)
    for i in (3, 2, 1):
        x = o.deconv(np.maximum(x, 0), f"up_{i}", 1, act="")
        x = np.concatenate([x, skips[i - 1]], axis=-1)
    return np.tanh(o.deconv(np.maximum(x, 0), "up_0", 1, norm=False, act=""))


def completion(o, x):
    """Iizuka et al. 2017, table 1: kernel, stride, dilation of each convolution."""
    table = [(5, 1, 1), (3, 2, 1), (3, 1, 1), (3, 2, 1), (3, 1, 1), (3, 1, 1)]
    table += [(3, 1, 2), (3, 1, 4), (3, 1, 8), (3, 1, 16), (3, 1, 1), (3, 1, 1)]
    for i, (kernel, stride, dilation) in enumerate(table):
        assert o.weights[f"convolution_{i}"]["kernel"].shape[0] == kernel
        x = o.conv(x, f"convolution_{i}", stride, dilation)
    for i in range(2):
        x = o.conv(o.deconv(x, f"up_{i}", 1), f"after_{i}")
    return sigmoid(o.conv(x, "colours", norm=False, act=""))


def completion_judge(o, inputs):
    """The same, table 2."""
    vectors = []
    for x, name, n in zip(inputs, ("whole", "part"), (6, 5), strict=True):
        for i in range(n):
            x = o.conv(x, f"{name}_{i}", 2)
        vectors.append(o.dense(x.reshape(len(x), -1), f"{name}_vector", norm=False))
    return o.dense(np.concatenate(vectors, -1), "logit", norm=False, act="")


def colours(o, inputs):
    """Iizuka et al. 2016, table 1."""
    picture, small = inputs

    def low(x):
        for i, stride in enumerate((2, 1, 2, 1, 2, 1)):
            x = o.conv(x, f"low_{i}", stride)
        return x

    x = o.conv(o.conv(low(picture), "middle_0"), "middle_1")
    y = low(small)
    for i, stride in enumerate((2, 1, 2, 1)):
        y = o.conv(y, f"global_{i}", stride)
    y = o.dense(o.dense(y.reshape(len(y), -1), "whole_0"), "whole_1")
    classes = o.dense(o.dense(y, "class_0"), "class_1", norm=False, act="")
    y = o.dense(y, "whole_2")
    y = np.broadcast_to(y[:, None, None], (*x.shape[:3], y.shape[-1]))
    x = o.conv(np.concatenate([x, y], -1), "fusion")
    x = doubled(o.conv(x, "colours_0"))
    x = doubled(o.conv(o.conv(x, "colours_1_0"), "colours_1_1"))
    x = o.conv(o.conv(x, "colours_2_0"), "colours_2_1", norm=False, act="")
    return [doubled(sigmoid(x)), classes]


def sketch(o, x):
    """Simo-Serra et al. 2016, table 1: D, F and U blocks."""
    blocks = "D F F D F F D F F F F F F F U F F U F F U F".split()
    for i, kind in enumerate(blocks):
        name = f"convolution_{i}"
        side = o.weights[name]["kernel"].shape[0]
        assert side == (5 if i == 0 else 4 if kind == "U" else 3)
        if kind == "U":
            x = o.deconv(x, name, 1)
        else:
            x = o.conv(x, name, 2 if kind == "D" else 1)
    return sigmoid(o.conv(x, "lines", norm=False, act=""))


def sketch_judge(o, x):
    """Simo-Serra et al. 2018, table 1."""
    for i in range(6):
        x = o.conv(x, f"convolution_{i}", 2, norm=False)
    return o.dense(x.reshape(len(x), -1), "logit", norm=False, act="")


def decoder(o, x):
    """Huang and Belongie 2017: convolutions padded by mirroring, doubled in between."""

    def mirrored(x, name, act="relu"):
        x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
        return o.conv(x, name, pad=0, norm=False, act=act)

    x = mirrored(x, "convolution_0")
    x = mirrored(doubled(x), "convolution_2")
    return mirrored(mirrored(doubled(x), "convolution_4"), "colours", "")


def residual_completion(o, x):
    """Lim et al. 2017 in a U-Net of two scales, added to the picture in the hole."""

    def block(x, name):
        y = leaky(o.conv(x, f"{name}_a", norm=False, act=""))
        return x + o.conv(y, f"{name}_b", norm=False, act="")

    picture, hole = 2 * x[..., :3] - 1, x[..., 3:]
    seen = np.concatenate([picture, np.where(hole > 0.5, 0, picture), hole], -1)
    x = fine = leaky(o.conv(seen, "stem", norm=False, act=""))
    # Keras' "same" pads even sides at their ends alone.
    x = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    x = leaky(o.conv(x, "down_1", 2, pad=0, norm=False, act=""))
    x = block(x, "encoder_1_0")
    x = doubled(o.conv(x, "up_0", norm=False, act=""))
    change = o.conv(leaky(x + fine), "last", norm=False, act="")
    return (np.where(hole > 0.5, picture + change, picture) + 1) / 2


def style_encoder(o, x):
    """Convolutions, the mean over the pixels, a connected layer."""
    for i, (side, stride) in enumerate(((9, 1), (3, 2), (3, 2), (3, 2))):
        x = reflected(o, x, f"convolution_{i}", side, stride)
    return o.dense(x.mean((1, 2)), "style", norm=False, act="")


def fast_style(o, inputs):
    """Johnson et al. 2016, table 1 of the supplement, and a vector for each pixel."""
    x, vector = inputs

    def layer(x, name, side=3, stride=1, act="relu"):
        y = reflected(o, x, name, side, stride, act="")
        w = o.weights[f"{name}_norm"]
        each = y - y.mean((1, 2), keepdims=True)
        deviation = np.sqrt((each**2).mean((1, 2), keepdims=True) + 1e-5)
        y = each / deviation * w["gamma"] + w["beta"]
        return np.maximum(y, 0) if act else y

    for i, (side, stride) in enumerate(((9, 1), (3, 2), (3, 2))):
        x = layer(x, f"down_{i}", side, stride)
    tiled = np.broadcast_to(vector[:, None, None], (*x.shape[:3], vector.shape[-1]))
    x = layer(np.concatenate([x, tiled], -1), "mixed", 1)
    for i in range(5):
        y = layer(x, f"residual_{i}_a")
        x = x + layer(y, f"residual_{i}_b", act="")
    x = layer(doubled(layer(doubled(x), "up_1")), "up_0")
    return reflected(o, x, "colours", 9, act="")


def reflected(o, x, name, side, stride=1, act="relu"):
    n = side // 2
    x = np.pad(x, ((0, 0), (n, n), (n, n), (0, 0)), mode="reflect")
    return o.conv(x, name, stride, pad=0, norm=False, act=act)


def unet(o, x):
    """Ronneberger et al. 2015, figure 1, padded."""
    skips = []
    for i in range(5):
        for j in range(2):
            x = o.conv(x, f"down_{i}_{j}", norm=False)
        if i < 4:
            skips.append(x)
            x = pooled(x)
    for i in (3, 2, 1, 0):
        x = o.deconv(x, f"double_{i}", 0, norm=False, act="")
        x = np.concatenate([skips[i], x], -1)
        for j in range(2):
            x = o.conv(x, f"up_{i}_{j}", norm=False)
    return o.conv(x, "logits", norm=False, act="")


def fcn(o, x):
    """Long et al. 2015, figure 3."""
    pools = []
    for i, n in enumerate((2, 2, 3, 3, 3), 1):
        for j in range(1, n + 1):
            x = o.conv(x, f"block{i}_conv{j}", norm=False)
        x = pooled(x)
        pools.append(x)
    x = o.conv(o.conv(x, "fc1", norm=False), "fc2", norm=False)
    x = bilinear(o.conv(x, "score_32", norm=False, act=""), 2)
    x = bilinear(x + o.conv(pools[3], "score_16", norm=False, act=""), 2)
    return bilinear(x + o.conv(pools[2], "score_8", norm=False, act=""), 8)


NETWORKS = {
    "pix2pix": (lambda: Pix2PixUNet(filters=2, depth=4), pix2pix, [(2, 16, 32, 3)]),
    "completion": (lambda: CompletionNetwork(4), completion, [(2, 24, 16, 4)]),
    "completion's judge": (
        lambda: CompletionDiscriminator(64, filters=2, units=4),
        completion_judge,
        [(2, 64, 64, 3), (2, 32, 32, 3)],
    ),
    "colours": (
        lambda: ColorizationNetwork(3, scale=1 / 64, global_size=32),
        colours,
        [(2, 16, 24, 1), (2, 32, 32, 1)],
    ),
    "sketch": (lambda: SketchNetwork(1 / 24), sketch, [(2, 16, 24, 1)]),
    "sketch's judge": (
        lambda: SketchDiscriminator(64, filters=2),
        sketch_judge,
        [(2, 64, 64, 1)],
    ),
    "style": (
        lambda: StyleDecoder(6, blocks=((4, 1), (3, 2))),
        decoder,
        [(2, 5, 6, 6)],
    ),
    "residual completion": (
        lambda: ResidualCompletionNetwork((3, 4), (0, 1)),
        residual_completion,
        [(2, 8, 12, 4)],
    ),
    "style's encoder": (
        lambda: StyleEncoder(5, scale=1 / 32),
        style_encoder,
        [(2, 16, 20, 3)],
    ),
    "style by two encoders": (
        lambda: FastStyleNetwork(5, scale=1 / 32),
        fast_style,
        [(2, 24, 20, 3), (2, 5)],
    ),
    "unet": (lambda: UNet(3, 4, filters=2), unet, [(2, 16, 32, 3)]),
    "fcn": (lambda: FCN8s(4, scale=1 / 64), fcn, [(2, 32, 64, 3)]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_the_paper_s(name):
    build, oracle, shapes = NETWORKS[name]
    network = build()
    rng = np.random.default_rng(0)
    for variable in network.weights:
        fan_in = np.prod(variable.shape[:-1]) if len(variable.shape) > 1 else 1
        value = rng.normal(0, (2 / fan_in) ** 0.5, variable.shape)
        if "variance" in variable.path or "gamma" in variable.path:
            value = rng.uniform(0.8, 2, variable.shape)
        elif len(variable.shape) == 1:
            value = rng.uniform(-0.3, 0.3, variable.shape)
        variable.assign(value.astype("float32"))
    inputs = [rng.uniform(-1, 1, shape).astype("float32") for shape in shapes]
    if oracle is residual_completion:
        inputs[0][..., 3] = inputs[0][..., 3] > 0  # a mask
    found = network(inputs if len(inputs) > 1 else inputs[0], training=False)
    given = [x.astype(np.float64) for x in inputs]
    expected = oracle(Oracle(network), given if len(given) > 1 else given[0])
    found, expected = (
        v if isinstance(v, list | tuple) else [v] for v in (found, expected)
    )
    for mine, theirs in zip(found, expected, strict=True):
        mine = np.asarray(mine)
        assert np.std(theirs) > 1e-3  # says something
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)
