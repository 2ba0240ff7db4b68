import math

import keras
import numpy as np
import pytest
from keras import ops

from diffusion.network.attention import FullAttention, LinearAttention
from diffusion.network.layers import (
    ChannelNorm,
    GroupNorm,
    RMSNorm,
    SinusoidalEmbedding,
    UpsampledConv,
    torch_uniform,
)
from tests.layer_checks import gradients


def random(*shape, seed=0, scale=1.0, mean=0.0):
    values = np.random.default_rng(seed).normal(mean, scale, shape)
    return values.astype("float32")


def randomised(layer, *inputs):
    """The layer, built, with weights that differ from their first values."""
    layer(*inputs)
    for i, weight in enumerate(layer.weights):
        weight.assign(random(*weight.shape, seed=i + 1, mean=0.3))
    return layer


def numpy(x):
    return ops.convert_to_numpy(x)


def test_timestep_becomes_sines_and_cosines():
    found = numpy(SinusoidalEmbedding(6)(np.array([0, 1, 999], "int32")))
    for row, t in zip(found, (0, 1, 999), strict=True):
        angles = [t * f for f in (1, 0.01, 0.0001)]
        expected = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        np.testing.assert_allclose(row, expected, atol=1e-4)  # 999 rad in float32


def test_embedding_keeps_timesteps_apart_in_bfloat16():
    layer = SinusoidalEmbedding(8, dtype="mixed_bfloat16")
    a, b = numpy(layer(np.array([998, 999], "int32")))
    assert a.dtype == "float32" and np.abs(a - b).max() > 0.4


@pytest.mark.parametrize("dim", [2, 7])
def test_embedding_refuses_a_dim_without_two_frequencies(dim):
    with pytest.raises(ValueError, match="Received: dim="):
        SinusoidalEmbedding(dim)


@pytest.mark.parametrize("mean,scale", [(0, 1), (100, 1), (0, 1e-3)])
def test_group_norm_equals_keras(mean, scale):
    x = random(2, 5, 7, 24, mean=mean, scale=scale)
    x[1] *= 3  # each picture has its own statistics
    ours = randomised(GroupNorm(8), x)
    other = keras.layers.GroupNormalization(8, epsilon=1e-5)
    other.build(x.shape)
    other.set_weights(ours.get_weights())
    # In float64, since float32 itself loses digits of values about 100.
    exact = np.asarray(x, "float64").reshape(2, 35, 8, 3)
    exact = exact - exact.mean((1, 3), keepdims=True)
    exact /= np.sqrt((exact**2).mean((1, 3), keepdims=True) + 1e-5)
    weight, bias = ours.get_weights()
    exact = exact.reshape(x.shape) * weight + bias
    tolerance = 1e-5 if mean == 0 else 1e-4
    np.testing.assert_allclose(numpy(ours(x)), exact, atol=tolerance)
    np.testing.assert_allclose(numpy(other(x)), exact, atol=tolerance)


@pytest.mark.parametrize("layer", [GroupNorm(4), RMSNorm()])
def test_film_scales_and_shifts_what_was_normalised(layer):
    x, film = random(2, 3, 4, 8), random(2, 16, seed=9)
    randomised(layer, x)
    scale, shift = film[:, None, None, :8], film[:, None, None, 8:]
    expected = numpy(layer(x)) * (scale + 1) + shift
    np.testing.assert_allclose(numpy(layer([x, film])), expected, atol=1e-5)


def test_group_norm_refuses_groups_that_do_not_divide():
    with pytest.raises(ValueError, match="groups=8, channels=12"):
        GroupNorm()(random(1, 2, 2, 12))


def test_rms_norm_equals_its_formula_and_bears_a_black_pixel():
    x = random(2, 3, 4, 6)
    x[0, 1, 2] = 0
    layer = randomised(RMSNorm(), x)
    g = layer.get_weights()[0]
    for pixel, got in zip(
        x.reshape(-1, 6), numpy(layer(x)).reshape(-1, 6), strict=True
    ):
        expected = pixel / max(np.sqrt((pixel**2).sum()), 1e-12) * g * math.sqrt(6)
        np.testing.assert_allclose(got, expected, atol=1e-5)
    (gradient,) = gradients(lambda a: ops.sum(ops.square(layer(a))), [x])
    assert np.isfinite(gradient).all()


def test_channel_norm_equals_keras():
    x = random(2, 3, 4, 6)
    ours = randomised(ChannelNorm(), x)
    other = keras.layers.LayerNormalization(epsilon=1e-5)
    other.build(x.shape)
    other.set_weights(ours.get_weights())
    np.testing.assert_allclose(numpy(ours(x)), numpy(other(x)), atol=1e-5)


@pytest.mark.parametrize("layer", [GroupNorm(2), RMSNorm(), ChannelNorm()])
def test_statistics_of_norms_are_float32(layer):
    config = {**layer.get_config(), "dtype": "mixed_float16"}
    half = type(layer).from_config(config)
    x = np.full((1, 16, 16, 8), 60000, "float16")  # its square overflows float16
    x[:, ::2, :, ::2] = 30000
    expected = numpy(layer(x.astype("float32")))
    np.testing.assert_allclose(numpy(half(x)), expected, atol=2e-3)


@pytest.mark.parametrize("height,width", [(4, 4), (3, 5), (1, 2)])
def test_upsampled_conv_equals_nearest_pixels_and_convolution(height, width):
    x = random(2, height, width, 6)
    layer = randomised(UpsampledConv(4), x)
    kernel, bias = layer.get_weights()
    doubled = np.pad(x.repeat(2, 1).repeat(2, 2), ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.zeros((2, 2 * height, 2 * width, 4)) + bias
    for i in range(2 * height):
        for j in range(2 * width):
            window = doubled[:, i : i + 3, j : j + 3]
            expected[:, i, j] += np.einsum("bijc,ijco->bo", window, kernel)
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=2e-5)


def softmax(x, axis):
    x = np.exp(x - x.max(axis, keepdims=True))
    return x / x.sum(axis, keepdims=True)


def by_hand(layer, x):
    """Attention head by head in float64, as the papers write it."""
    weights = {w.name: numpy(w).astype("float64") for w in layer.weights}
    linear = isinstance(layer, LinearAttention)
    name = "to_out.0" if linear else "to_out"
    out_kernel, out_bias = weights[f"{name}.kernel"], weights[f"{name}.bias"]
    pixels = x.astype("float64").reshape(len(x), -1, x.shape[-1])
    q, k, v = np.split(pixels @ weights["to_qkv.kernel"][0, 0], 3, axis=-1)
    results = np.zeros_like(q)
    for picture in range(len(x)):
        for head in range(layer.heads):
            part = slice(head * layer.dim_head, (head + 1) * layer.dim_head)
            hq, hk, hv = q[picture, :, part], k[picture, :, part], v[picture, :, part]
            if layer.memory_tokens:
                memory_k, memory_v = weights["mem_kv"][:, head]
                if linear:
                    memory_k, memory_v = memory_k.T, memory_v.T
                hk, hv = np.vstack([memory_k, hk]), np.vstack([memory_v, hv])
            if linear:
                hq = softmax(hq, 1) * layer.dim_head**-0.5
                result = hq @ (softmax(hk, 0).T @ hv)
            else:
                result = softmax(hq @ hk.T * layer.dim_head**-0.5, 1) @ hv
            results[picture, :, part] = result
    return (results @ out_kernel[0, 0] + out_bias).reshape(x.shape)


@pytest.mark.parametrize("kind", [LinearAttention, FullAttention])
@pytest.mark.parametrize("tokens", [0, 3])
def test_attention_equals_its_formula(kind, tokens):
    x = random(2, 3, 4, 5)
    layer = randomised(kind(heads=2, dim_head=4, memory_tokens=tokens), x)
    expected = by_hand(layer, x)
    np.testing.assert_allclose(numpy(layer(x)), expected, rtol=1e-4, atol=1e-4)


def test_linear_attention_bears_large_keys_and_their_gradient_is_right():
    x = random(1, 4, 4, 4)
    layer = randomised(LinearAttention(heads=1, dim_head=4), x)
    at = layer(x * 1000)
    assert np.isfinite(numpy(at)).all()
    # The largest key is held constant: finite differences must not notice.
    (gradient,) = gradients(lambda a: ops.sum(ops.sin(layer(a))), [x])
    step = random(*x.shape, seed=5)
    sides = [np.sin(by_hand(layer, x + s * step)).sum() for s in (1e-3, -1e-3)]
    slope = (sides[0] - sides[1]) / 2e-3
    assert (gradient * step).sum() == pytest.approx(slope, rel=2e-3)


def test_linear_attention_of_many_equal_pixels_fits_into_float16():
    layer = LinearAttention(dtype="mixed_float16")
    x = np.full((1, 128, 128, 8), 100.0, "float16")
    out = numpy(layer(x)).astype("float32")
    assert np.isfinite(out).all() and np.ptp(out, axis=(1, 2)).max() < 0.1


def test_first_weights_are_spread_as_in_pytorch():
    values = numpy(torch_uniform(25)((100, 100)))
    assert 0.199 < values.max() <= 0.2 and -0.2 <= values.min() < -0.199
    assert values.std() == pytest.approx(0.2 / math.sqrt(3), rel=0.02)
    layer, attention = UpsampledConv(64), LinearAttention()
    layer(random(1, 2, 2, 16)), attention(random(1, 2, 2, 16))
    limits = [(144, layer.kernel), (144, layer.bias), (16, attention.to_qkv)]
    limits += [(128, attention.to_out), (128, attention.out_bias)]
    for fan_in, weight in limits:
        largest = np.abs(numpy(weight)).max() * math.sqrt(fan_in)
        assert 0.7 < largest <= 1, weight.path


def test_depth_to_space_is_a_loop():
    from diffusion.network.layers import DepthToSpace

    x = np.random.default_rng(0).random((2, 3, 4, 12), "float32")
    found = np.asarray(DepthToSpace(2)(x))
    for i, y, x_, c in np.ndindex(2, 6, 8, 3):
        channel = (2 * (y % 2) + x_ % 2) * 3 + c
        assert found[i, y, x_, c] == x[i, y // 2, x_ // 2, channel]
