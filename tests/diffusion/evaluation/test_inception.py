import hashlib
import urllib.error

import keras
import numpy as np
import pytest
from PIL import Image

from diffusion.evaluation import inception
from diffusion.evaluation.features import load_extractor
from diffusion.evaluation.inception import (
    InceptionV3,
    WeightsError,
    find_inception_weights,
    interpolation_matrix,
    load_inception,
    resize,
    to_network,
)
from illustkit.errors import UserError


def torch_shape(variable):
    shape = tuple(variable.shape)
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape


def random_state(model):
    """Weights by names alone, so that torch can make the same."""
    shapes = {n: torch_shape(v) for n, v in model._variables_by_name().items()}
    rng, state = np.random.default_rng(0), {}
    for name in sorted(shapes):
        shape = shapes[name]
        if len(shape) == 4:
            scale = np.float32(np.sqrt(2 / np.prod(shape[1:])))
            state[name] = rng.standard_normal(shape, np.float32) * scale
        elif name.endswith("running_mean"):
            state[name] = rng.normal(0, 0.2, shape).astype("float32")
        elif name.endswith(("running_var", "bn.weight")):
            state[name] = rng.uniform(0.7, 1.4, shape).astype("float32")
        else:
            state[name] = rng.normal(0, 0.2, shape).astype("float32")
    return state


@pytest.fixture(scope="module")
def network():
    """Made under a policy of bfloat16, which it does not follow."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return InceptionV3()
    finally:
        keras.config.set_dtype_policy(before)


@pytest.fixture(scope="module")
def state(network):
    return random_state(network)


def test_the_features_are_those_of_pytorch_fid(network, state):
    counters = {"Conv2d_1a_3x3.bn.num_batches_tracked": np.array(7)}
    classifier = {"fc.weight": np.zeros((1008, 2048)), "fc.bias": np.zeros(1008)}
    network.load_state_dict({**state, **counters, **classifier})
    pictures = np.random.default_rng(1).integers(0, 256, (2, 40, 51, 3), "uint8")
    found = network.features(pictures)
    assert found.shape == (2, 2048) and found.dtype == np.float32
    # Of pytorch_fid.inception.InceptionV3([3]) with the same weights (torch 2.13).
    first = [0.7806809, 0, 3.4759789, 0, 0.1762402, 6.2729015, 3.4661374, 0.8084644]
    second = [0.84555912, 0, 3.4986274, 0.0051056007]
    second += [0.1747794, 6.2107773, 3.6033168, 0.91986239]
    np.testing.assert_allclose(found[0, ::256], first, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found[1, ::256], second, rtol=1e-4, atol=1e-4)
    norms = np.linalg.norm(found, axis=1)
    np.testing.assert_allclose(norms, [190.09079, 190.25647], rtol=1e-5)
    assert found.mean() == pytest.approx(2.4425087, rel=1e-5)


def test_the_network_is_frozen_and_of_the_published_size(network):
    # Of torchvision's 23,851,784 + 2,048 for 1008 classes less the classifier's.
    assert sum(np.prod(w.shape) for w in network.weights) == 21_820_000
    assert not network.trainable_weights
    made = [la for la in network.layers if not isinstance(la, keras.layers.InputLayer)]
    assert {layer.compute_dtype for layer in made} == {"float32"}


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda s: s.pop("Mixed_7c.branch_pool.bn.bias"),
            "1 missing .*Mixed_7c.branch",
        ),
        (lambda s: s.update({"AuxLogits.fc.bias": np.zeros(3)}), "1 unknown .*AuxLog"),
        (
            lambda s: s.update({"Conv2d_1a_3x3.conv.weight": np.zeros((3, 3, 3, 32))}),
            r"Conv2d_1a_3x3.conv.weight should be \(3, 3, 3, 32\)",
        ),
        (
            lambda s: s.update({"Conv2d_1a_3x3.bn.bias": np.full(32, np.nan)}),
            "bn.bias has values that are not finite",
        ),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(network, state, change, message):
    network.load_state_dict(state)
    wrong = dict(state)
    wrong["Conv2d_1a_3x3.conv.weight"] = state["Conv2d_1a_3x3.conv.weight"] + 1
    change(wrong)
    with pytest.raises(ValueError, match=message) as caught:
        network.load_state_dict(wrong, source="my.pth")
    assert str(caught.value).startswith("my.pth: ")
    kernel = keras.ops.convert_to_numpy(network.get_layer("Conv2d_1a_3x3.conv").kernel)
    expected = state["Conv2d_1a_3x3.conv.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(kernel, expected)


def test_weights_come_from_a_file(network, state, tmp_path, monkeypatch):
    monkeypatch.setattr("diffusion.evaluation.inception.InceptionV3", lambda: network)
    shifted = {**state, "Mixed_7c.branch_pool.bn.bias": np.arange(192.0)}
    np.savez(tmp_path / "weights.npz", **shifted)
    extractor = load_extractor(str(tmp_path / "weights.npz"))
    assert extractor.name == "inception"
    assert extractor.function.func == network.features
    assert extractor.function.keywords == {"resizing": "pytorch-fid"}
    beta = network.get_layer("Mixed_7c.branch_pool.bn").beta
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(beta), np.arange(192))


def bilinear(picture, side):
    """Half-pixel centres, clamped at the edge; one pixel after the other."""
    height, width = picture.shape[:2]
    out = np.zeros((side, side, picture.shape[2]))
    for i in range(side):
        for j in range(side):
            y = max((i + 0.5) * height / side - 0.5, 0)
            x = max((j + 0.5) * width / side - 0.5, 0)
            for dy in (0, 1):
                for dx in (0, 1):
                    v, u = min(int(y) + dy, height - 1), min(int(x) + dx, width - 1)
                    share = abs(1 - dy - y % 1) * abs(1 - dx - x % 1)
                    out[i, j] += share * picture[v, u]
    return out


@pytest.mark.parametrize("height, width", [(5, 4), (11, 11), (23, 40), (1, 3)])
def test_the_resizing_is_bilinear_between_pixel_centres(height, width):
    pictures = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), "uint8")
    found = resize(pictures, side=11)
    assert found.dtype == np.float32 and found.shape == (2, 11, 11, 3)
    for picture, expected in zip(found, pictures, strict=True):
        np.testing.assert_allclose(picture, bilinear(expected / 255, 11), atol=2e-6)


def test_the_resizing_is_that_of_torch():
    # torch.nn.functional.interpolate([3, 7, 1, 9], mode="bilinear")
    row = np.array([3, 7, 1, 9], "float32")
    seven = [3, 4.4285717, 6.7142859, 3.9999993, 1.5714302, 6.1428585, 9]
    np.testing.assert_allclose(interpolation_matrix(4, 7) @ row, seven, rtol=3e-7)
    three = [3.6666667, 4, 7.6666679]
    np.testing.assert_allclose(interpolation_matrix(4, 3) @ row, three, rtol=3e-7)


def test_clean_resizing_is_pillow_s_filter_of_each_channel():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 40, 30, 3), "uint8")
    found = to_network(pictures, "clean-fid", side=11)
    for channel in range(3):
        image = Image.fromarray(pictures[1, ..., channel].astype("float32"))
        expected = np.asarray(image.resize((11, 11), Image.Resampling.BICUBIC))
        expected = expected.clip(0, 255) / 128 - 1
        np.testing.assert_allclose(found[1, ..., channel], expected, atol=1e-6)
    # A filter averages what sampling picks out: the noise shrinks.
    assert found.std() < 0.7 * to_network(pictures, side=11).std()


@pytest.mark.parametrize("height, width", [(5, 4), (23, 40)])
def test_torch_fidelity_s_resizing_is_tensorflow_1_s(height, width):
    tf = pytest.importorskip("tensorflow")
    pictures = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), "uint8")
    expected = tf.compat.v1.image.resize_bilinear(pictures, (11, 11)).numpy()
    found = to_network(pictures, "torch-fidelity", side=11)
    np.testing.assert_allclose(found, expected / 128 - 1, atol=1e-5)


def test_an_unknown_resizing_is_named():
    with pytest.raises(UserError, match="`resizing` must be .*'lanczos'"):
        to_network(np.zeros((1, 4, 4, 3), "uint8"), "lanczos")


def content_of(monkeypatch, content):
    """Let the published file be a small one."""
    sha256 = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(inception, "SHA256", sha256)
    monkeypatch.setattr(inception, "SIZE", len(content))


def no_network(*args, **kwargs):
    raise urllib.error.URLError("Name or service not known")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    return tmp_path / "cache"


def test_offline_it_says_so_in_one_line_and_stops(offline):
    for call in (load_inception, load_extractor):
        with pytest.raises(WeightsError) as caught:
            call()
        message = str(caught.value)
        assert "\n" not in message and "Name or service not known" in message
        assert "Give the path of pt_inception-2015-12-05-6726825d.pth" in message
        assert 'features="pixels"' in message
        assert caught.value.__suppress_context__
    assert not [p for p in offline.rglob("*") if p.is_file()]


def test_what_pytorch_fid_fetched_is_found(offline, monkeypatch):
    content_of(monkeypatch, b"weights")
    path = offline / "torch" / "hub" / "checkpoints" / inception.FILE_NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(b"others!")  # as long, but not the pinned bytes
    with pytest.raises(WeightsError):
        find_inception_weights()
    path.write_bytes(b"weights")
    assert find_inception_weights() == path
    assert find_inception_weights("inception") == path


def test_a_download_is_kept_only_if_it_is_the_pinned_one(offline, monkeypatch):
    import contextlib
    import io

    asked = []

    def urlopen(url, **options):
        asked.append(url)
        return contextlib.closing(io.BytesIO(content))

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    content_of(monkeypatch, b"weights")
    content = b"other bytes"
    with pytest.raises(WeightsError, match="another file than the one known"):
        find_inception_weights()
    assert not [p for p in offline.rglob("*") if p.is_file()]
    content = b"weights"
    path = find_inception_weights()
    assert path.read_bytes() == b"weights"
    assert find_inception_weights() == path and len(asked) == 2
    assert set(asked) == {inception.URL}
    assert asked[0].startswith("https://") and len(inception.SHA256) == 64


@pytest.mark.parametrize("name", ["none.pth", "pixel"])
def test_a_file_of_weights_that_is_not_there_is_named(name, offline):
    with pytest.raises(WeightsError, match=f"{name}: no such file of weights"):
        load_inception(name)


def test_a_file_of_something_else_is_named(tmp_path):
    (tmp_path / "page.pth").write_text("<html>404</html>")
    with pytest.raises(WeightsError, match="page.pth: cannot be read") as caught:
        load_inception(tmp_path / "page.pth")
    assert "\n" not in str(caught.value)
