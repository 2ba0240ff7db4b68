import keras
import numpy as np
import pytest

import diffusion
from diffusion.network.graph import unet_graph
from diffusion.network.model import Diffuser
from diffusion.sampling.exporting import network_of, sampling_table, settings_of
from diffusion.sampling.generate import choose_sampler, sampling_of
from diffusion.sampling.samplers import dpm_solver_pp
from illustkit.engines import open_graph
from illustkit.errors import UserError
from illustkit.exported import ExportedNetwork
from illustkit.images import signed_to_uint8

SCHEMA = {"hair": ["blue", "red"], "glasses": ["no", "yes"]}
WISHES = np.array([[1, 0, 0, 1], [0, 1, 0, 0]], "float32")


def model_of(version="2", objective="v", self_condition=False, **options):
    """Return a model of 16×8 pixels whose weights are all random."""
    network = {"image_size": (16, 8), "dim": 8, "dim_mults": (1, 2), "patch": 2}
    network |= {"version": version, "self_condition": self_condition}
    options = {"timesteps": 50, "attributes": SCHEMA, **options}
    model = Diffuser(network, objective=objective, **options)
    rng = np.random.default_rng(7)
    for weight in model.average.weights:
        value = keras.ops.convert_to_numpy(weight)
        weight.assign(value + 0.1 * rng.standard_normal(value.shape))
    return model


@pytest.fixture(scope="module")
def model():
    return model_of()


def noise(n=2):
    return np.random.default_rng(0).standard_normal((n, 8, 16, 3), "float32")


@pytest.mark.parametrize("version", ["2", "0.25.3"])
def test_the_graph_computes_what_the_network_does(version):
    pytest.importorskip("onnxruntime")
    model = model_of(version, self_condition=True)
    run = open_graph(unet_graph(*network_of(model)), "onnx")
    own, t = noise()[::-1].copy(), np.array([3, 49])
    expected = model.average([noise(), t, own, WISHES])
    found = run(x_t=noise(), t=t.astype("float32"), own=own, attributes=WISHES)
    np.testing.assert_allclose(
        found, keras.ops.convert_to_numpy(expected), atol=1e-4, rtol=1e-5
    )


@pytest.mark.parametrize("objective", ["v", "x0", "noise"])
def test_the_table_walks_as_the_sampler_does(objective):
    def network(x, t):
        return np.tanh(x) * (0.2 + t.reshape(-1, 1, 1, 1) / 100)

    settings = settings_of(model_of(objective=objective))
    table = sampling_table(settings, 5)
    x, before = noise(), 0
    for t, of_x, of_output, *factors in table.astype("float64"):
        x0 = np.clip(of_x * x + of_output * network(x, np.full(2, t)), -1, 1)
        parts = zip(factors, (x, x0, before), strict=True)
        x, before = sum(a * b for a, b in parts), x0
    schedule = diffusion.make_schedule("cosine", 50)
    expected = dpm_solver_pp(
        network, noise(), schedule, objective=objective, steps=5, spacing="logsnr"
    )
    np.testing.assert_allclose(x, expected, atol=2e-4)


@pytest.mark.parametrize("self_condition", [False, True])
def test_an_onnx_file_makes_the_same_icons(tmp_path, self_condition):
    pytest.importorskip("onnxruntime")
    model = model_of(self_condition=self_condition)
    path = diffusion.export(model, tmp_path / "icon.onnx", steps=4)
    network = ExportedNetwork(path)
    assert network.about["attributes"] == SCHEMA
    assert network.about["guidance_built_in"] is False
    given = {"noise": noise(), "attributes": WISHES}
    icons = network(**given, guidance=np.full(1, 2, "float32"))["icons"]
    run = choose_sampler(model, "dpm++", 4)
    expected = signed_to_uint8(run(noise(), None, wishes=WISHES, guidance=2.0))
    assert icons.dtype == np.uint8
    assert np.abs(icons.astype(int) - expected).max() <= 1
    assert icons.std() > 20


def test_a_distilled_model_s_file_has_its_guidance_built_in(tmp_path):
    pytest.importorskip("onnxruntime")
    model = model_of(distilled={"timesteps": [40, 10], "guidance": 3.0})
    network = ExportedNetwork(diffusion.export(model, tmp_path / "icon.onnx"))
    assert network.about["guidance_built_in"] is True and network.about["steps"] == 2
    icons = network(noise=noise(), attributes=WISHES)["icons"]
    run = choose_sampler(model, *sampling_of(model))
    expected = signed_to_uint8(run(noise(), None, wishes=WISHES, guidance=3.0))
    assert np.abs(icons.astype(int) - expected).max() <= 1
    with pytest.raises(UserError, match="distilled to 2 steps"):
        diffusion.export(model, tmp_path / "icon.onnx", steps=3)


def test_the_package_s_model_is_exported_without_keras(tmp_path):
    settings, arrays = network_of("default")
    model = diffusion.load_diffuser("default")
    own = settings_of(model)
    assert {name: own[name] for name in settings} == settings
    assert set(arrays) == {weight.path for weight in model.average.weights}


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow exports"
)
@pytest.mark.large
def test_a_tflite_file_makes_the_same_icon(model, tmp_path):
    path = diffusion.export(model, tmp_path / "icon.tflite", steps=3)
    small = diffusion.export(model, tmp_path / "small.tflite", steps=3, int8=True)
    assert small.stat().st_size < 0.8 * path.stat().st_size
    given = {"noise": noise(1), "attributes": WISHES[:1]}
    given["guidance"] = np.full(1, 2, "float32")
    icons, nearly = (ExportedNetwork(each)(**given)["icons"] for each in (path, small))
    run = choose_sampler(model, "dpm++", 3)
    expected = run(noise(1), None, wishes=WISHES[:1], guidance=2.0)
    off = np.abs(icons.astype(int) - signed_to_uint8(expected))
    assert off.max() <= 1
    assert np.abs(nearly.astype(int) - icons).mean() < 0.2 * icons.std()


def test_what_cannot_be_exported_is_named(model, tmp_path):
    with pytest.raises(UserError, match="icon.onnx: 8 bits are for .tflite"):
        diffusion.export(model, tmp_path / "icon.onnx", int8=True)
    with pytest.raises(UserError, match="icon.h5: a model is exported as"):
        diffusion.export(model, tmp_path / "icon.h5")
    with pytest.raises(UserError, match="there is no folder"):
        diffusion.export(model, tmp_path / "no" / "icon.onnx")
    with pytest.raises(UserError, match="any size"):
        diffusion.export(Diffuser({"dim": 8, "dim_mults": (1,)}), tmp_path / "a.onnx")
