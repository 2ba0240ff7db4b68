import subprocess
import sys

import numpy as np
import pytest

from illustkit import images

LEVELS = np.arange(256, dtype=np.uint8)


def jit(function):
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=True)


def test_hand_values():
    x = np.uint8([0, 51, 255])
    assert images.uint8_to_unit(x).tolist() == np.float32([0, 0.2, 1]).tolist()
    np.testing.assert_allclose(images.uint8_to_signed(x), [-1, -0.6, 1], atol=1e-7)
    np.testing.assert_allclose(images.signed_to_unit([-1, 0, 0.5]), [0, 0.5, 0.75])
    np.testing.assert_allclose(images.unit_to_signed([0, 0.5, 0.75]), [-1, 0, 0.5])
    # rounded, not cut off; clipped, not wrapped
    levels = images.unit_to_uint8(np.array([-0.3, 0.0, 0.0019, 0.0021, 0.998, 1, 7]))
    assert levels.tolist() == [0, 0, 0, 1, 254, 255, 255]
    signed = images.signed_to_uint8(np.array([-7, -1, 0.01, 0.999, 1, np.inf]))
    assert signed.tolist() == [0, 0, 129, 255, 255, 255]
    assert levels.dtype == signed.dtype == np.uint8
    pixel = images.signed_to_caffe(np.float64([[[1, 0, -1]]]))  # R 255, G 127.5, B 0
    expected = [0 - 103.939, 127.5 - 116.779, 255 - 123.68]
    np.testing.assert_allclose(pixel[0, 0], expected, atol=1e-5)


def test_numpy_gives_float32_and_comes_back_exactly():
    for there, back in [
        (images.uint8_to_unit, images.unit_to_uint8),
        (images.uint8_to_signed, images.signed_to_uint8),
        (lambda x: images.uint8_to_signed(x), lambda x: back_through_unit(x)),
    ]:
        scaled = there(LEVELS)
        assert isinstance(scaled, np.ndarray) and scaled.dtype == np.float32
        np.testing.assert_array_equal(back(scaled), LEVELS)


def back_through_unit(signed):
    return images.unit_to_uint8(images.signed_to_unit(signed))


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_tensors_keep_their_float_and_come_back_exactly(dtype, compiled):
    from keras import backend, ops

    wrap = jit if compiled else (lambda function: function)
    x = ops.cast(ops.convert_to_tensor(LEVELS), dtype)
    for there, back in [
        (images.uint8_to_unit, images.unit_to_uint8),
        (images.uint8_to_signed, images.signed_to_uint8),
        (images.uint8_to_signed, back_through_unit),
        (
            lambda x: images.unit_to_signed(images.uint8_to_unit(x)),
            images.signed_to_uint8,
        ),
    ]:
        scaled = wrap(there)(x)
        expected = "float32" if dtype == "uint8" else dtype
        assert backend.standardize_dtype(scaled.dtype) == expected
        levels = wrap(back)(scaled)
        assert backend.standardize_dtype(levels.dtype) == "uint8"
        np.testing.assert_array_equal(ops.convert_to_numpy(levels), LEVELS)


@pytest.mark.parametrize("compiled", [False, True])
def test_tensors_and_numpy_agree(compiled):
    from keras import ops

    wrap = jit if compiled else (lambda function: function)
    x = np.random.default_rng(0).uniform(-1.2, 1.2, (2, 4, 5, 3)).astype(np.float32)
    for name in (
        "signed_to_uint8",
        "unit_to_uint8",
        "signed_to_unit",
        "unit_to_signed",
    ):
        function = getattr(images, name)
        tensor = ops.convert_to_numpy(wrap(function)(ops.convert_to_tensor(x)))
        np.testing.assert_allclose(tensor, function(x), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_caffe_agrees_with_keras_applications(dtype):
    import keras
    from keras import ops
    from keras.applications import imagenet_utils

    levels = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3)).astype(np.float32)
    expected = imagenet_utils.preprocess_input(
        levels.copy(), data_format="channels_last", mode="caffe"
    )
    signed = images.uint8_to_signed(levels)
    np.testing.assert_allclose(images.signed_to_caffe(signed), expected, atol=1e-4)
    tensor = ops.cast(ops.convert_to_tensor(signed), dtype)
    for function in images.signed_to_caffe, jit(images.signed_to_caffe):
        caffe = function(tensor)
        assert caffe.dtype == tensor.dtype
        caffe = ops.convert_to_numpy(ops.cast(caffe, "float32"))
        atol = 1.0 if dtype == "bfloat16" else 1e-4
        np.testing.assert_allclose(caffe, expected, atol=atol)
    symbolic = images.signed_to_caffe(keras.KerasTensor((None, 4, 5, 3), dtype))
    assert symbolic.shape == (None, 4, 5, 3) and symbolic.dtype == dtype


def test_what_has_no_colour_is_refused():
    with pytest.raises(ValueError, match="1 NaN of 3 values"):
        images.unit_to_uint8(np.float32([0, np.nan, 1]))
    with pytest.raises(ValueError, match=r"Received: shape \(4, 4, 1\)"):
        images.signed_to_caffe(np.zeros((4, 4, 1)))


def test_numpy_needs_no_keras():
    code = (
        "import sys, numpy as np; from illustkit import images, figures;"
        "images.signed_to_uint8(np.zeros(3)); images.signed_to_caffe(np.zeros((1, 3)));"
        "print([n for n in ('keras', 'tensorflow', 'jax', 'matplotlib', 'cv2')"
        " if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
