import keras
import numpy as np
import pytest
from keras import ops

from oppai.layers import PConv2D, PConv2DTranspose
from tests import oracles
from tests.layer_checks import gradients

KERNELS = (1, 3, 5, 7, (3, 5))


@pytest.fixture(scope="module")
def worst():
    """Largest error by quantity, relative where the exact value is above 1."""
    errors = {}
    yield errors
    print("\nlargest error against the NumPy loop:")
    for name, error in sorted(errors.items()):
        print(f"  {name:12s} {error:.1e}")


def close(worst, name, found, exact):
    found = ops.convert_to_numpy(found)
    assert found.shape == exact.shape
    error = float((abs(found - exact) / np.maximum(1, abs(exact))).max())
    worst[name] = max(error, worst.get(name, 0))
    assert error <= 1e-5, (name, error)


def masks(rng, shape):
    """One sample each: all valid, all hole, random per channel, a large hole."""
    mask = (rng.random((4, *shape)) > 0.4).astype("float32")
    mask[0], mask[1], mask[3] = 1, 0, 1
    mask[3, 2:10, 1:9] = 0
    return mask


def weights(layer, rng):
    for weight in layer.weights:
        spread = np.prod(weight.shape[:-1]) ** -0.5 if len(weight.shape) > 1 else 1
        weight.assign(rng.uniform(-1, 1, weight.shape) * spread)
    return [ops.convert_to_numpy(w).astype("float64") for w in layer.weights]


def uniform(rng, *shape):
    return rng.uniform(-1, 1, shape).astype("float32")


@pytest.mark.parametrize("dilation", (1, 2))
@pytest.mark.parametrize("strides", (1, 2, 4))
@pytest.mark.parametrize("kernel_size", KERNELS)
@pytest.mark.parametrize("use_bias", (True, False))
def test_matches_the_loop(kernel_size, strides, dilation, use_bias, worst):
    rng = np.random.default_rng(0)
    x, mask = uniform(rng, 4, 12, 11, 3), masks(rng, (12, 11, 3))
    layer = PConv2D(3, kernel_size, strides, dilation, use_bias=use_bias)
    layer.build([x.shape, mask.shape])
    kernel, bias = (*weights(layer, rng), np.zeros(3))[:2]
    steps = {"strides": strides, "dilation": dilation}
    exact, exact_mask = oracles.pconv2d(x, mask, kernel, bias, **steps)
    out, new_mask = layer([x, mask])
    close(worst, "features", out, exact)
    close(worst, "mask", new_mask, exact_mask)

    upstream = uniform(rng, *exact.shape) / 10
    found = gradients(
        lambda x, *w: loss(layer, [x, mask], w, upstream), [x, *raw(layer)]
    )
    exact = oracles.pconv2d_gradients(x, mask, kernel, upstream, **steps)
    for name, a, b in zip(("∂input", "∂kernel", "∂bias"), found, exact, strict=False):
        close(worst, name, a, b)


def raw(layer):
    return [ops.convert_to_numpy(weight) for weight in layer.weights]


def loss(layer, inputs, weight_values, upstream):
    (out, _), _ = layer.stateless_call(weight_values, [], inputs)
    return ops.sum(out * upstream)


@pytest.mark.parametrize("kernel_size,strides", [(3, 1), (5, 2), ((3, 5), (2, 1))])
@pytest.mark.parametrize("book", (False, True))
def test_pairs_equal_the_concatenated_channels(kernel_size, strides, book, worst):
    rng = np.random.default_rng(1)
    a, b = uniform(rng, 4, 12, 11, 2), uniform(rng, 4, 12, 11, 5)
    mask_a, mask_b = masks(rng, (12, 11, 1)), masks(rng, (12, 11, 1))[[3, 1, 2, 0]]
    mask = np.concatenate([mask_a.repeat(2, -1), mask_b.repeat(5, -1)], -1)
    x = np.concatenate([a, b], -1)
    layer = PConv2D(3, kernel_size, strides, 1, "book" if book else "paper")
    layer.build([a.shape, mask_a.shape, b.shape, mask_b.shape])
    kernel, bias = weights(layer, rng)
    exact = oracles.pconv2d(x, mask, kernel, bias, strides=strides, book=book)
    for inputs in ([a, mask_a, b, mask_b], [x, mask], [a, mask[..., :2], b, mask_b]):
        for name, found, wanted in zip(
            ("features", "mask"), layer(inputs), exact, strict=True
        ):
            close(worst, f"{name}, pairs", found, wanted)


@pytest.mark.parametrize(
    "kernel_size,strides",
    [(2, 2), (3, 2), (4, 2), (5, 3), (8, 4), (3, 1), ((3, 4), (2, 1))],
)
def test_transpose_matches_the_loop(kernel_size, strides, worst):
    rng = np.random.default_rng(2)
    x, mask = uniform(rng, 4, 12, 9, 2), masks(rng, (12, 9, 2))
    layer = PConv2DTranspose(3, kernel_size, strides)
    layer.build([x.shape, mask.shape])
    exact = oracles.pconv2d_transpose(x, mask, *weights(layer, rng), strides=strides)
    for name, found, wanted in zip(
        ("features", "mask"), layer([x, mask]), exact, strict=True
    ):
        close(worst, f"{name}, transposed", found, wanted)
    plain = keras.layers.Conv2DTranspose(3, kernel_size, strides, padding="same")
    plain.build(x.shape)
    plain.set_weights(layer.get_weights())
    inner = np.s_[:, 8:-8, 8:-8]
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer([x, np.ones_like(mask)])[0])[inner],
        ops.convert_to_numpy(plain(x))[inner],
        atol=1e-5,
    )


def test_all_valid_is_a_convolution_and_the_border_is_a_hole():
    rng = np.random.default_rng(3)
    x, mask = uniform(rng, 1, 9, 9, 2), np.ones((1, 9, 9, 1), "float32")
    layer = PConv2D(4, 3)
    layer.build([x.shape, mask.shape])
    plain = keras.layers.Conv2D(4, 3, padding="same")
    plain.build(x.shape)
    weights(layer, rng)
    layer.bias.assign(np.zeros(4))
    plain.set_weights(layer.get_weights())
    a, b = (ops.convert_to_numpy(y) for y in (layer([x, mask])[0], plain(x)))
    np.testing.assert_allclose(a[:, 1:-1, 1:-1], b[:, 1:-1, 1:-1], atol=1e-6)
    np.testing.assert_allclose(a[:, 0, 0], 2.25 * b[:, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(a[:, 0, 4], 1.5 * b[:, 0, 4], rtol=1e-5)


@pytest.mark.parametrize("layer_class", (PConv2D, PConv2DTranspose))
@pytest.mark.parametrize("junk", (np.nan, np.inf, 1e30))
def test_what_stands_in_a_hole_changes_nothing(layer_class, junk):
    rng = np.random.default_rng(4)
    x, mask = uniform(rng, 4, 8, 12, 3), masks(rng, (8, 12, 1))
    layer = layer_class(2, 3)
    layer.build([x.shape, mask.shape])
    weights(layer, rng)
    dirty = np.where(mask > 0, x, junk).astype("float32")

    def value(x, *w):
        (out, _), _ = layer.stateless_call(w, [], [x, mask])
        return ops.sum(ops.square(out))

    for a, b in zip(layer([x, mask]), layer([dirty, mask]), strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))
    clean = gradients(value, [x, *raw(layer)])
    for a, b in zip(clean, gradients(value, [dirty, *raw(layer)]), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.isfinite(b).all()
    assert not clean[0][np.broadcast_to(mask == 0, x.shape)].any()


@pytest.mark.parametrize("layer_class", (PConv2D, PConv2DTranspose))
@pytest.mark.parametrize("dtype", ("float32", "bfloat16", "float16"))
def test_all_hole_is_zero_and_stays_a_hole(layer_class, dtype):
    x, mask = np.full((2, 8, 8, 3), 1e4, "float32"), np.zeros((2, 8, 8, 1), "float32")
    layer = layer_class(2, 3, bias_initializer="ones", dtype=dtype)
    out, new_mask = layer([x, mask])
    assert not ops.convert_to_numpy(ops.cast(out, "float32")).any()
    assert not ops.convert_to_numpy(ops.cast(new_mask, "float32")).any()


def test_a_mask_below_one_is_a_hole_before_any_rounding():
    x = np.ones((1, 4, 4, 1), "float32")
    for mask, valid in ((0.01, 0), (0.9999, 0), (1.0, 1)):
        layer = PConv2D(1, 1, dtype="mixed_bfloat16")
        new_mask = layer([x, np.full((1, 4, 4, 1), mask, "float32")])[1]
        assert float(ops.max(new_mask)) == float(ops.min(new_mask)) == valid


def test_the_mask_receives_no_gradient():
    rng = np.random.default_rng(5)
    x, mask = uniform(rng, 1, 6, 6, 2), np.ones((1, 6, 6, 1), "float32")
    layer = PConv2D(2, 3)
    found = gradients(lambda m: ops.sum(layer([x, m])[0]), [mask])[0]
    assert found is None or not found.any()


@pytest.mark.parametrize(
    "shapes,said",
    [
        ([(2, 8, 8, 3)], "takes"),
        ([(2, 8, 8, 3), (2, 8, 8)], "takes"),
        ([(2, 8, 8, 3), (2, 8, 8, 2)], "1 channel"),
        ([(2, 8, 8, 3), (2, 8, 9, 1)], "same batch size, height"),
        ([(2, 8, 8, 3), (2, 8, 8, 1), (2, 4, 4, 2), (2, 4, 4, 1)], "same batch size"),
    ],
)
def test_a_wrong_pair_of_shapes_is_named(shapes, said):
    with pytest.raises(ValueError, match=rf"(?s){said}.*Received: shapes"):
        PConv2D(2, 3)([np.zeros(shape, "float32") for shape in shapes])


def test_one_tensor_is_not_a_pair():
    with pytest.raises(ValueError, match="takes.*Received"):
        PConv2D(2, 3)(np.zeros((2, 8, 8, 3), "float32"))


@pytest.mark.parametrize(
    "arguments",
    [
        {"filters": 0},
        {"kernel_size": 0},
        {"strides": (1, 2, 3)},
        {"dilation_rate": 0.5},
        {"normalization": "none"},
        {"padding": "full"},
    ],
)
def test_wrong_arguments_are_named(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=rf"{name}.*Received"):
        PConv2D(**{"filters": 2, "kernel_size": 3, **arguments})
