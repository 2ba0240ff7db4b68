import keras
import numpy as np
import pytest
from keras import layers

from facescore.efficientnet_lite import (
    STAGES,
    EfficientNetLite0,
    build_features,
    give_weights,
    read_weights,
)
from illustkit.errors import UserError


def norm(rng, name, n):
    return {
        f"{name}.weight": rng.uniform(0.5, 1.5, n),
        f"{name}.bias": rng.normal(0, 0.3, n),
        f"{name}.running_mean": rng.normal(0, 0.1, n),
        f"{name}.running_var": rng.uniform(0.5, 1.5, n),
    }


def random_state():
    """Random weights by the names and in the shapes of PyTorch's file."""
    rng, state, n, number = np.random.default_rng(0), {}, 32, 0
    state["_conv_stem.weight"] = rng.normal(0, 0.3, (32, 3, 3, 3))
    state |= norm(rng, "_bn0", 32)
    for repeats, k, _, expansion, out in STAGES:
        for _ in range(repeats):
            start, wide = f"_blocks.{number}.", n * expansion
            if expansion > 1:
                kernel = rng.normal(0, n**-0.5, (wide, n, 1, 1))
                state[f"{start}_expand_conv.weight"] = kernel
                state |= norm(rng, f"{start}_bn0", wide)
            kernel = rng.normal(0, 1 / k, (wide, 1, k, k))
            state[f"{start}_depthwise_conv.weight"] = kernel
            state |= norm(rng, f"{start}_bn1", wide)
            kernel = rng.normal(0, wide**-0.5, (out, wide, 1, 1))
            state[f"{start}_project_conv.weight"] = kernel
            state |= norm(rng, f"{start}_bn2", out)
            n, number = out, number + 1
    state["_conv_head.weight"] = rng.normal(0, n**-0.5, (1280, n, 1, 1))
    state |= norm(rng, "_bn1", 1280)
    state["_fc.weight"] = rng.normal(0, 0.03, (1000, 1280))
    state["_fc.bias"] = rng.normal(0, 0.1, 1000)
    return state


def convolve(x, kernel, step, groups=1):
    """PyTorch's kernel (out, in, y, x) with TensorFlow's padding, by loops."""
    k = kernel.shape[2]
    sides = [-(-s // step) for s in x.shape[1:]]
    beyond = [
        max((n - 1) * step + k - s, 0) for n, s in zip(sides, x.shape[1:], strict=True)
    ]
    x = np.pad(x, [(0, 0), *((b // 2, b - b // 2) for b in beyond)])
    out = np.zeros((kernel.shape[0], *sides))
    for i in range(sides[0]):
        for j in range(sides[1]):
            part = x[:, i * step : i * step + k, j * step : j * step + k]
            if groups > 1:
                out[:, i, j] = (part * kernel[:, 0]).sum((1, 2))
            else:
                out[:, i, j] = np.tensordot(kernel, part, 3)
    return out


def by_hand(state, picture):
    """The network of the paper and of PyTorch's file, in NumPy."""

    def finish(x, name, relu=True):
        mean, variance, weight, bias = (
            state[f"{name}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        x = (x - mean) / np.sqrt(variance + 1e-3) * weight + bias
        return np.clip(x, 0, 6) if relu else x

    x = picture.transpose(2, 0, 1) / 127.5 - 1
    x = finish(convolve(x, state["_conv_stem.weight"], 2), "_bn0")
    number = 0
    for repeats, _, step, expansion, _ in STAGES:
        for i in range(repeats):
            start, y, strides = f"_blocks.{number}.", x, step if i == 0 else 1
            if expansion > 1:
                y = convolve(y, state[f"{start}_expand_conv.weight"], 1)
                y = finish(y, f"{start}_bn0")
            kernel = state[f"{start}_depthwise_conv.weight"]
            y = finish(convolve(y, kernel, strides, len(y)), f"{start}_bn1")
            y = convolve(y, state[f"{start}_project_conv.weight"], 1)
            y = finish(y, f"{start}_bn2", relu=False)
            x, number = (x + y if x.shape == y.shape else y), number + 1
    x = finish(convolve(x, state["_conv_head.weight"], 1), "_bn1").mean((1, 2))
    return state["_fc.weight"] @ x + state["_fc.bias"]


def test_the_network_with_weights_of_pytorch_is_that_of_loops(tmp_path):
    state = random_state()
    np.savez(tmp_path / "lite.npz", **state)
    network = EfficientNetLite0(36)  # 36, 18, 9, 5, 3, 2: odd sides too
    weights = read_weights(tmp_path / "lite.npz")
    assert network.count_params() == 4_694_024  # TensorFlow's, with the statistics
    assert give_weights(network, weights) == len(weights) == 99
    picture = np.random.default_rng(1).integers(0, 256, (36, 36, 3), "uint8")
    found = np.asarray(network.predict_on_batch(picture[None]))[0]
    expected = by_hand(state, picture)
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


def test_features_have_their_strides_and_channels():
    picture = keras.Input((64, 96, 3))
    found = build_features(picture, width=0.5)
    assert {stride: tuple(x.shape[1:]) for stride, x in found.items()} == {
        2: (32, 48, 8),
        4: (16, 24, 16),
        8: (8, 12, 16),
        16: (4, 6, 56),
        32: (2, 3, 160),
    }
    plain = keras.Model(picture, build_features(picture, normalise=False)[32])
    kinds = {type(layer) for layer in plain.layers}
    assert layers.BatchNormalization not in kinds


def test_another_file_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(UserError, match="other.npz: is no EfficientNet-Lite0"):
        read_weights(tmp_path / "other.npz")
