import zipfile
from urllib.error import URLError

import h5py
import keras
import numpy as np
import pytest
from keras.src.applications import vgg16

from oppai.models import vgg as vgg_module
from oppai.models.vgg import (
    WeightsError,
    build_vgg,
    load_vgg_features,
    read_vgg_weights,
)

SHAPES = {
    "block1_conv1": (3, 64),
    "block1_conv2": (64, 64),
    "block2_conv1": (64, 128),
    "block2_conv2": (128, 128),
    "block3_conv1": (128, 256),
    "block3_conv2": (256, 256),
    "block3_conv3": (256, 256),
}


@pytest.fixture(scope="module")
def vgg():
    """Keras' own VGG16, and the three kinds of file that it can save."""
    keras.utils.set_random_seed(3)
    model = keras.applications.VGG16(include_top=False, weights=None)
    rng = np.random.default_rng(0)
    for layer in model.layers:  # biases start at zero and would prove nothing
        if layer.weights:
            layer.bias.assign(rng.normal(0, 5, layer.bias.shape))
    return model


@pytest.mark.parametrize("name", ["vgg.weights.h5", "vgg.keras", "vgg.h5"])
def test_features_equal_those_of_keras_applications(vgg, tmp_path, name):
    path = tmp_path / name
    if name == "vgg.weights.h5":
        vgg.save_weights(path)
    else:
        vgg.save(path)
    features = load_vgg_features(path)
    assert features.network.count_params() == 1_735_488
    assert not features.network.trainable_weights
    picture = np.random.default_rng(1).integers(0, 256, (1, 24, 32, 3))
    taps = [vgg.get_layer(f"block{i}_pool").output for i in (1, 2, 3)]
    expected = keras.Model(vgg.input, taps)(
        vgg16.preprocess_input(picture.astype("float32"))
    )
    found = features((picture / 127.5 - 1).astype("float32"))
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(f, e, rtol=1e-4, atol=1e-3)


def legacy_file(path, change=None):
    """A file like the published one with dense layers, of TensorFlow's first days."""
    rng = np.random.default_rng(2)
    arrays = {}
    for name, (inputs, filters) in SHAPES.items():
        kernel = rng.normal(size=(3, 3, inputs, filters)).astype("float32")
        arrays[f"{name}/{name}_W_1:0"] = kernel
        arrays[f"{name}/{name}_b_1:0"] = kernel[0, 0, 0].copy()
    arrays["fc1/fc1_W_1:0"] = np.zeros((4, 4), "float32")
    if change is not None:
        change(arrays)
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return list(arrays.values())


def test_the_published_format_is_read(tmp_path):
    expected = legacy_file(tmp_path / "legacy.h5")[:14]
    found = read_vgg_weights(str(tmp_path / "legacy.h5"))
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_array_equal(f, e)
    build_vgg().set_weights(found)


def put(name, value):
    return lambda arrays: arrays.update({name: value})


def drop(name):
    return lambda arrays: arrays.pop(name)


@pytest.mark.parametrize(
    "change, message",
    [
        (put("block3_conv4/b:0", np.zeros(256)), "VGG19"),
        (drop("block2_conv2/block2_conv2_b_1:0"), "no block2_conv2 with"),
        (put("block1_conv1/block1_conv1_W_1:0", np.zeros((64, 3, 3, 3))), "shape"),
        (put("block1_conv2/block1_conv2_b_1:0", np.full(64, np.nan)), "not finite"),
        (lambda arrays: arrays.clear(), "no conv2d with a kernel"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, change, message):
    legacy_file(tmp_path / "odd.h5", change)
    with pytest.raises(WeightsError, match=message) as caught:
        read_vgg_weights(tmp_path / "odd.h5")
    assert "odd.h5" in str(caught.value)


def test_vgg19_in_a_keras_file_is_refused(tmp_path):
    with h5py.File(tmp_path / "vgg19.weights.h5", "w") as file:
        file["layers/conv2d_7/vars/0"] = np.zeros((3, 3, 256, 256), "float32")
    with pytest.raises(WeightsError, match="VGG19"):
        read_vgg_weights(tmp_path / "vgg19.weights.h5")


def text_for_numbers(path):
    legacy_file(path, put("block1_conv1/block1_conv1_b_1:0", np.full(64, b"x")))


def truncated(path):
    legacy_file(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def zip_without_weights(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")


def zip_of_a_truncated_file(path):
    truncated(path)
    content = path.read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", content)


def zip_bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(1 << 20))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: None,
        lambda path: path.mkdir(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("<html>404</html>"),
        text_for_numbers,
        truncated,
        zip_without_weights,
        zip_of_a_truncated_file,
        zip_bomb,
    ],
)
def test_a_broken_file_is_one_clear_line(tmp_path, monkeypatch, spoil):
    monkeypatch.setattr(vgg_module, "LARGEST_FILE", 1 << 19)
    path = tmp_path / "broken.h5"
    if spoil is zip_of_a_truncated_file:
        monkeypatch.undo()
    spoil(path)
    with pytest.raises(WeightsError, match="broken.h5") as caught:
        load_vgg_features(path)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_without_a_network_the_error_names_both_ways(monkeypatch):
    def get_file(name, origin, **kwargs):
        raise Exception(f"URL fetch failure on {origin}: None -- [Errno -2] no name")

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    with pytest.raises(WeightsError) as caught:
        load_vgg_features()
    message = str(caught.value)
    assert "vgg_weights=PATH" in message and "vgg_weights=None" in message
    assert "URL fetch failure" in message and "\n" not in message
    assert caught.value.__suppress_context__


def test_a_silent_network_does_not_hang(monkeypatch, tmp_path):
    import socket

    silences = []

    def urlretrieve(url, *args):
        silences.append(socket.getdefaulttimeout())
        raise URLError("timed out")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", urlretrieve)
    monkeypatch.setattr(
        "keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path)
    )
    with pytest.raises(WeightsError, match="timed out"):
        load_vgg_features("imagenet")
    assert silences == [30] and socket.getdefaulttimeout() is None


def test_the_download_is_the_one_that_keras_pins(monkeypatch):
    asked = {}

    def get_file(name, origin, **kwargs):
        asked.setdefault("files", []).append((name, origin, kwargs))
        raise OSError("offline")

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    with pytest.raises(WeightsError):
        load_vgg_features()
    with pytest.raises(OSError):
        keras.applications.VGG16(include_top=False, weights="imagenet")
    ours, theirs = asked["files"]
    assert ours == theirs
