import keras
import numpy as np
import pytest
from keras import ops

import oppai
from oppai.layers import PConv2D, PConv2DTranspose
from tests.layer_checks import gradients

SMALL = {"widths": (4, 6, 8), "strides": (1, 4, 2), "kernels": (3, 5, 3)}
VARIANTS = {
    "plain": {},
    "book": {"normalization": "book"},
    "transposed": {"upsampling": "transposed"},
    "residual": {"residual": True},
    "input_skip": {"input_skip": True},
    "see_censored": {"see_censored": True},
    "all": {
        "upsampling": "transposed",
        "residual": True,
        "input_skip": True,
        "see_censored": True,
        "activation": "leaky_relu",
        "repeats": 1,
        "widths": (4, 6),
        "strides": (1, 2),
        "kernels": (3, 3),
    },
}


def batch(size=16, n=2):
    rng = np.random.default_rng(0)
    picture = rng.uniform(-1, 1, (n, size, size, 3)).astype("float32")
    mask = np.ones((n, size, size, 1), "float32")
    mask[:, 3:9, 4:13] = 0
    return picture, mask


def small(image_size=16, **arguments):
    keras.utils.set_random_seed(0)
    return oppai.PConvUNet(image_size, **{**SMALL, **arguments})


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def test_the_default_is_the_chapters_network():
    network = oppai.PConvUNet()
    convolutions = [layer for layer in network.layers if isinstance(layer, PConv2D)]
    # filters, kernel, stride and channels that come in, as in the chapter's listing;
    # the last convolution takes the picture too
    expected = [
        *[(32, 3, 1, 3), (32, 3, 1, 32), (64, 5, 4, 32), (64, 5, 1, 64)],
        *[(128, 3, 2, 64), (128, 3, 1, 128), (256, 3, 2, 128), (256, 3, 1, 256)],
        *[(512, 3, 2, 256), (512, 3, 1, 512), (256, 3, 1, 768), (256, 3, 1, 256)],
        *[(128, 3, 1, 384), (128, 3, 1, 128), (64, 3, 1, 192), (64, 3, 1, 64)],
        *[(32, 5, 1, 96), (32, 5, 1, 32), (3, 3, 1, 35)],
    ]
    assert expected == [
        (c.filters, c.kernel_size[0], c.strides[0], c.channels) for c in convolutions
    ]
    weights = sum(f * k * k * c for f, k, _, c in expected) + 3
    batchnorm = 4 * sum(f for f, *_ in expected[:-1])
    assert network.count_params() == weights + batchnorm
    assert network.output_shape == (None, 256, 256, 3)
    last = network.get_layer("unmasked")
    assert last.activation is keras.activations.tanh
    assert not any(isinstance(layer, keras.layers.Lambda) for layer in network.layers)


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_train_and_come_back_from_a_file(variant, tmp_path):
    network = small(**VARIANTS[variant])
    picture, mask = batch()
    # Tracing is most of the work: what "all" has together is traced there.
    eager = variant not in ("book", "all")
    network.compile("sgd", "mae", jit_compile=variant == "all", run_eagerly=eager)
    network.fit([picture, mask], picture, batch_size=2, verbose=0)
    out = numpy(network([picture, mask]))
    assert out.shape == picture.shape and np.isfinite(out).all()
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras", safe_mode=True)
    assert type(again) is oppai.PConvUNet
    assert again.get_config() == network.get_config()
    np.testing.assert_array_equal(numpy(again([picture, mask])), out)


@pytest.mark.parametrize("variant", ("plain", "transposed", "residual"))
def test_no_value_in_a_hole_reaches_the_output(variant):
    network = small(**VARIANTS[variant])
    picture, mask = batch()
    dirty = np.where(mask > 0, picture, np.nan).astype("float32")
    for training in (False, True):
        network = small(**VARIANTS[variant])
        clean = numpy(network([picture, mask], training=training))
        np.testing.assert_array_equal(
            numpy(network([dirty, mask], training=training)), clean
        )
    found, _ = gradients(lambda *x: ops.sum(network(list(x)) ** 2), [picture, mask])
    hole = np.broadcast_to(mask == 0, picture.shape)
    assert not found[hole].any() and found[~hole].any()


def test_the_input_skip_adds_twice_the_tanh():
    picture, mask = batch()
    skipping, plain = small(input_skip=True), small()
    plain.set_weights(skipping.get_weights())
    np.testing.assert_allclose(
        numpy(skipping([picture, mask])),
        picture + 2 * numpy(plain([picture, mask])),
        atol=1e-6,
    )


def test_the_censored_picture_is_seen_only_on_demand():
    picture, mask = batch()
    other = np.where(mask > 0, picture, 0.5).astype("float32")
    for see in (False, True):
        network = small(see_censored=see)
        a, b = numpy(network([picture, mask])), numpy(network([other, mask]))
        assert np.array_equal(a, b) != see


def test_masks_of_the_graph_are_masks():
    # the mask of every P-Conv is the mask output of a P-Conv, an upsampled one, or
    # the input's: never activations, as in the first decoder stage of the book
    network = small()
    for layer in network.layers:
        if isinstance(layer, PConv2D | PConv2DTranspose):
            for mask in layer.input[1::2]:
                assert mask.shape[-1] == 1
                producer, _, index = mask._keras_history
                if isinstance(producer, PConv2D):
                    assert index == 1
                else:
                    assert producer.name == "mask" or producer.name.endswith("up_mask")


def test_sizes():
    network = small(image_size=None)
    for height, width in ((8, 16), (24, 8)):
        picture, mask = np.zeros((1, height, width, 3)), np.ones((1, height, width, 1))
        assert network([picture, mask]).shape == (1, height, width, 3)
    with pytest.raises(ValueError, match="divisible by 8.*Received.*20"):
        network([np.zeros((1, 20, 8, 3)), np.ones((1, 20, 8, 1))])
    assert small(image_size=(24, 16)).input_shape[0] == (None, 16, 24, 3)


@pytest.mark.parametrize(
    "arguments,said",
    [
        ({"image_size": 20}, "divisible by 8"),
        ({"widths": (4, 8)}, "equally long"),
        ({"strides": (2, 2, 2)}, "first stride 1"),
        ({"upsampling": "cubic"}, "upsampling"),
        ({"normalization": "none"}, "normalization"),
    ],
)
def test_wrong_arguments_are_named(arguments, said):
    with pytest.raises(ValueError, match=f"{said}.*Received"):
        small(**arguments)


def test_the_encoders_batchnorm_can_be_frozen(tmp_path):
    picture, mask = batch()
    network = small()
    network.freeze_encoder_batchnorm()
    network.compile("sgd", "mae")
    layers = [x for x in network.layers if type(x) is keras.layers.BatchNormalization]
    before = [[numpy(w) for w in layer.weights] for layer in layers]
    network.fit([picture, mask], picture, batch_size=2, verbose=0)
    for layer, old in zip(layers, before, strict=True):
        same = all(np.array_equal(numpy(w), o) for w, o in zip(layer.weights, old))  # noqa: B905
        assert same == layer.name.startswith("encoder")
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    assert again.encoder_batchnorm_frozen
    assert not again.get_layer("encoder_0_0_bn").trainable
    again.freeze_encoder_batchnorm(False)
    assert again.get_layer("encoder_0_0_bn").trainable


@pytest.mark.parametrize("policy", ("mixed_bfloat16", "mixed_float16"))
def test_mixed_precision(policy):
    network, exact = small(dtype=policy, input_skip=True), small(input_skip=True)
    picture, mask = batch()
    out = network([picture, mask])
    assert keras.backend.standardize_dtype(out.dtype) == "float32"
    np.testing.assert_allclose(numpy(out), numpy(exact([picture, mask])), atol=0.1)
    again = oppai.PConvUNet.from_config(network.get_config())
    assert again.get_layer("last_pconv").compute_dtype == policy.removeprefix("mixed_")


def test_a_picture_that_is_all_hole_stays_finite():
    picture, mask = batch()
    for dtype in ("float32", "mixed_bfloat16", "mixed_float16"):
        out = numpy(small(dtype=dtype)([picture * np.nan, mask * 0]))
        np.testing.assert_array_equal(out, 0)
