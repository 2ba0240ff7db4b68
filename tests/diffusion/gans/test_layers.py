import keras
import numpy as np
import pytest
from keras import ops

from diffusion.gans import layers
from illustkit.training.adversarial import gradient_of
from tests.layer_checks import gradients

TAPS = np.array([1, 3, 3, 1]) / 8


def values(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def upfirdn(x, up, down, pad, gain=1.0):
    """Put zeros between pixels, pad, filter by a loop over the taps, and thin out."""
    n, height, width, channels = x.shape
    wide = np.zeros((n, height * up, width * up, channels))
    wide[:, ::up, ::up] = x
    wide = np.pad(wide, [(0, 0), pad, pad, (0, 0)])
    out = np.zeros((n, wide.shape[1] - 3, wide.shape[2] - 3, channels))
    for i in range(4):
        for j in range(4):
            part = wide[:, i : i + out.shape[1], j : j + out.shape[2]]
            out += gain * TAPS[i] * TAPS[j] * part
    return out[:, ::down, ::down]


def correlate(x, kernel, stride=1):
    """A convolution without padding, by a loop over the kernel's places."""
    side = len(kernel)
    height, width = x.shape[1] - side + 1, x.shape[2] - side + 1
    out = 0
    for i in range(side):
        for j in range(side):
            out = out + x[:, i : i + height, j : j + width] @ kernel[i, j]
    return out[:, ::stride, ::stride]


def leaky(x):
    return np.where(x > 0, x, 0.2 * x) * np.sqrt(2)


def test_fir_filters_equal_a_loop():
    x = values(2, 6, 8, 3)
    for actual, expected in (
        (layers.fir_up(x), upfirdn(x, 2, 1, (2, 1), gain=4)),
        (layers.fir_down(x), upfirdn(x, 1, 2, (1, 1))),
        (layers.fir_blur(x, 2), upfirdn(x, 1, 1, (2, 2))),
        (layers.fir_blur(x, 1, gain=4.0), upfirdn(x, 1, 1, (1, 1), gain=4)),
    ):
        np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_filters_have_second_gradients():
    """The gradient of the squared norm of the gradient of ‖f(x)‖²/2: 2 (FᵀF)² x."""
    x = values(1, 4, 4, 1)

    def slope(x, f):
        first = gradient_of(lambda v: ops.sum(ops.square(f(v))) / 2, x)
        return ops.sum(ops.square(first))

    for f, up, down, pad, gain in (
        (layers.fir_up, 2, 1, (2, 1), 4),
        (layers.fir_down, 1, 2, (1, 1), 1),
    ):
        unit = np.eye(16).reshape(16, 4, 4, 1)
        matrix = upfirdn(unit, up, down, pad, gain).reshape(16, -1).T
        square = matrix.T @ matrix
        (second,) = gradients(lambda v, f=f: slope(v, f), [x])
        expected = 2 * square @ square @ x.ravel()
        np.testing.assert_allclose(second.ravel(), expected, atol=1e-5)


def test_a_dense_layer_scales_its_weights_and_biases():
    layer = layers.EqualizedDense(3, activate=True, lr_multiplier=0.01, bias=0.5)
    x = values(4, 5)
    layer.build(x.shape)
    kernel = ops.convert_to_numpy(layer.kernel)
    assert 30 < kernel.std() < 300  # N(0, 1) / 0.01
    expected = leaky(x @ kernel * 0.01 / np.sqrt(5) + 0.5)
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


@pytest.mark.parametrize("side", [1, 3])
def test_a_convolution_that_halves_filters_first(side):
    layer = layers.EqualizedConv2D(4, side, down=True)
    x = values(2, 8, 6, 3)
    layer.build(x.shape)
    layer.offset.assign(values(4, seed=1))
    kernel = ops.convert_to_numpy(layer.kernel) / np.sqrt(3 * side * side)
    border = 1 + side // 2
    filtered = upfirdn(x, 1, 1, (border, border))
    expected = leaky(correlate(filtered, kernel, 2) + values(4, seed=1))
    assert expected.shape == (2, 4, 3, 4)
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_modulation_equals_a_kernel_of_its_own_for_each_picture(up, demodulate):
    x, w, noise = values(3, 4, 5, 6), values(3, 7, seed=1), values(3, 8, 10, 1, seed=2)
    noise = noise if up else noise[:, :4, :5]
    layer = layers.ModulatedConv2D(2, 3, up=up, demodulate=demodulate)
    layer.build([x.shape, w.shape, noise.shape])
    layer.strength.assign(0.3)
    layer.offset.assign([0.1, -0.2])
    kernel, affine = (
        ops.convert_to_numpy(k) for k in (layer.kernel, layer.style_kernel)
    )
    expected = []
    for picture, style in zip(x, w, strict=True):
        s = style @ affine / np.sqrt(7) + 1
        own = kernel / np.sqrt(6 * 9) * s[None, None, :, None]
        if demodulate:
            own = own / np.sqrt((own**2).sum((0, 1, 2)) + 1e-8)
        if up:
            # Zeros between the pixels, the flipped kernel, then the filter.
            wide = np.zeros((1, 9, 11, 6))
            wide[0, :8:2, :10:2] = picture
            wide = np.pad(wide[:, :7, :9], [(0, 0), (2, 2), (2, 2), (0, 0)])
            full = correlate(wide, own[::-1, ::-1])
            expected.append(upfirdn(full, 1, 1, (1, 1), gain=4)[0])
        else:
            padded = np.pad(picture[None], [(0, 0), (1, 1), (1, 1), (0, 0)])
            expected.append(correlate(padded, own)[0])
    expected = np.stack(expected) + 0.3 * noise + [0.1, -0.2]
    expected = leaky(expected) if demodulate else expected
    np.testing.assert_allclose(layer([x, w, noise]), expected, atol=1e-5)


def test_noise_begins_without_effect_and_the_style_at_one():
    x, w = values(2, 4, 4, 3), np.zeros((2, 5), "float32")
    layer = layers.ModulatedConv2D(2)
    noisy = layer([x, w, values(2, 4, 4, 1, seed=1)])
    np.testing.assert_array_equal(noisy, layer([x, w, np.zeros((2, 4, 4, 1))]))
    assert float(ops.min(layer.style_bias)) == float(ops.max(layer.style_bias)) == 1


def test_the_deviation_is_that_of_a_group_of_neighbours():
    x = values(6, 2, 2, 3)
    result = ops.convert_to_numpy(layers.MinibatchStd(3)(x))
    for group in (slice(0, 3), slice(3, 6)):
        expected = np.sqrt(x[group].var(0) + 1e-8).mean()
        np.testing.assert_allclose(result[group, ..., 3], expected, rtol=1e-5)
    np.testing.assert_array_equal(result[..., :3], x)
    alone = ops.convert_to_numpy(layers.MinibatchStd(4)(x[:1]))
    np.testing.assert_allclose(alone[..., 3], 1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="multiple of `group_size`"):
        layers.MinibatchStd(4)(x)


def test_styles_change_at_the_layer_of_their_own_number():
    first, second = values(3, 4), values(3, 4, seed=1)
    mixing = np.array([1, 3, 5], "int32")
    mixed = ops.convert_to_numpy(layers.StyleMixing(5)([first, second, mixing]))
    for i, n in enumerate([1, 3, 5]):
        expected = [first[i]] * n + [second[i]] * (5 - n)
        np.testing.assert_array_equal(mixed[i], expected)


def test_every_picture_begins_with_the_same_features():
    layer = layers.LearnedConstant(3)
    features = ops.convert_to_numpy(layer(np.zeros((2, 7), "float32")))
    assert features.shape == (2, 4, 4, 3)
    np.testing.assert_array_equal(features[0], features[1])
    assert keras.saving.get_registered_name(type(layer)) == "diffusion>LearnedConstant"
