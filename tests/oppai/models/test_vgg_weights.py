import socket
import zipfile

import h5py
import keras
import numpy as np
import pytest

from oppai.models import vgg as vgg_module
from oppai.models.vgg import WeightsError, build_vgg, load_vgg_features

# Block and number, inputs and filters of VGG16's convolutions (Simonyan and Zisserman,
# table 1, column D).
CONVOLUTIONS = [
    (1, 1, 3, 64),
    (1, 2, 64, 64),
    (2, 1, 64, 128),
    (2, 2, 128, 128),
    (3, 1, 128, 256),
    (3, 2, 256, 256),
    (3, 3, 256, 256),
    (4, 1, 256, 512),
    *((block, i, 512, 512) for block, i in ((4, 2), (4, 3), (5, 1), (5, 2), (5, 3))),
]


@pytest.fixture(scope="module")
def vgg():
    """Keras' own VGG16, with biases that are not zero and so prove something."""
    keras.utils.set_random_seed(3)
    model = keras.applications.VGG16(include_top=False, weights=None)
    rng = np.random.default_rng(0)
    for layer in model.layers:
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
    pools = [vgg.get_layer(f"block{i}_pool").output for i in (1, 2, 3)]
    expected = keras.Model(vgg.input, pools)(
        keras.applications.vgg16.preprocess_input(picture.astype("float32"))
    )
    ours = features((picture / 127.5 - 1).astype("float32"))
    for ours_i, expected_i in zip(ours, expected, strict=True):
        np.testing.assert_allclose(ours_i, expected_i, rtol=1e-4, atol=1e-3)


def published_file(path, change=None):
    """Write a file in the format of Keras' own notop file, of TensorFlow's first days.

    Returns:
        Dict from the name of each weight to its array.
    """
    rng = np.random.default_rng(2)
    arrays = {}
    for block, i, inputs, filters in CONVOLUTIONS:
        name = f"block{block}_conv{i}"
        kernel = rng.standard_normal((3, 3, inputs, filters), np.float32)
        arrays[name, f"{name}_W_1:0"] = kernel
        arrays[name, f"{name}_b_1:0"] = kernel[0, 0, 0].copy()
    if change is not None:
        change(arrays)
    with h5py.File(path, "w") as file:
        names = list(dict.fromkeys(layer for layer, _ in arrays))
        file.attrs["layer_names"] = [name.encode() for name in names]
        for name in names:
            weights = [weight for layer, weight in arrays if layer == name]
            group = file.create_group(name)
            group.attrs["weight_names"] = [weight.encode() for weight in weights]
            for weight in weights:
                group[weight] = arrays[name, weight]
    return arrays


def test_the_published_format_is_read(tmp_path):
    arrays = published_file(tmp_path / "notop.h5")
    weights = load_vgg_features(str(tmp_path / "notop.h5")).network.get_weights()
    assert len(weights) == 14
    for ours, expected in zip(weights, list(arrays.values())[:14], strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_files_with_dense_layers_are_read(vgg, tmp_path, monkeypatch):
    """Dense layers of 4 units stand in for those of 4,096, whose file has 553 MB."""

    def build(include_top=False, weights=None):
        model = vgg16(include_top=False, weights=weights)
        x = keras.layers.GlobalAveragePooling2D()(model.output)
        x = keras.layers.Dense(4, name="fc1")(x)
        return keras.Model(model.input, x) if include_top else model

    vgg16 = keras.applications.VGG16
    monkeypatch.setattr(keras.applications, "VGG16", build)
    whole = build(include_top=True)
    for name in ("top.h5", "top.weights.h5"):
        path = tmp_path / name
        whole.save_weights(path) if "weights" in name else whole.save(path)
        weights = load_vgg_features(path).network.get_weights()
        for ours, expected in zip(weights, whole.get_weights()[:14], strict=True):
            np.testing.assert_array_equal(ours, expected)


def put(layer, weight, value):
    return lambda arrays: arrays.update({(layer, f"{layer}_{weight}:0"): value})


def drop(layer):
    def change(arrays):
        for key in [key for key in arrays if key[0] == layer]:
            del arrays[key]

    return change


@pytest.mark.parametrize(
    "change",
    [
        drop("block2_conv2"),
        put("block1_conv1", "W_1", np.zeros((64, 3, 3, 3), "float32")),
        put("block1_conv2", "b_1", np.full(64, np.nan, "float32")),
        put("block1_conv1", "b_1", np.full(64, b"x")),
        lambda arrays: arrays.clear(),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, change):
    published_file(tmp_path / "odd.h5", change)
    with pytest.raises(WeightsError, match="odd.h5 does not hold VGG16's weights"):
        load_vgg_features(tmp_path / "odd.h5")


def test_vgg19_is_refused(tmp_path):
    path = tmp_path / "vgg19.weights.h5"
    keras.applications.VGG19(include_top=False, weights=None).save_weights(path)
    with pytest.raises(WeightsError, match="vgg19.weights.h5 does not hold VGG16's"):
        load_vgg_features(path)


def test_a_file_that_keras_only_warns_about_is_refused(vgg, tmp_path):
    part = keras.Sequential(vgg.layers[:6])  # block 1 and a half of block 2
    part.save_weights(tmp_path / "part.weights.h5")
    with pytest.raises(WeightsError, match="part.weights.h5 does not hold"):
        load_vgg_features(tmp_path / "part.weights.h5")


def truncated(path):
    published_file(path)
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


@pytest.mark.parametrize("name", ["broken.h5", "broken.weights.h5", "broken.keras"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: None,
        lambda path: path.mkdir(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("<html>404</html>"),
        truncated,
        zip_without_weights,
        zip_of_a_truncated_file,
    ],
)
def test_a_broken_file_is_one_clear_line(tmp_path, name, spoil):
    path = tmp_path / name
    spoil(path)
    with pytest.raises(WeightsError, match=name) as caught:
        load_vgg_features(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_zip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(vgg_module, "LARGEST_FILE", 1 << 19)
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(1 << 20))
    with pytest.raises(WeightsError, match="would take 1048576 bytes"):
        load_vgg_features(path)


def test_a_dead_network_gives_both_ways_out_and_a_silent_one_does_not_hang(
    monkeypatch,
):
    timeouts = []

    def offline(include_top, weights):
        assert (include_top, weights) == (False, "imagenet")
        timeouts.append(socket.getdefaulttimeout())
        raise Exception("URL fetch failure: None -- [Errno -2] no name\nmore")

    monkeypatch.setattr(keras.applications, "VGG16", offline)
    with pytest.raises(WeightsError) as caught:
        load_vgg_features()
    message = str(caught.value)
    assert "vgg_weights=PATH" in message and "vgg_weights=None" in message
    assert "URL fetch failure" in message and "\n" not in message
    assert caught.value.__suppress_context__
    assert timeouts == [vgg_module.SILENT_SECONDS]
    assert socket.getdefaulttimeout() is None


def test_random_weights_of_another_dtype():
    network = build_vgg(dtype="mixed_bfloat16")
    assert {w.dtype for w in network.weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
