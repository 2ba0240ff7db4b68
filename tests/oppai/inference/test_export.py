import json
import warnings
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from illustkit.images import uint8_to_signed
from illustkit.samples import draw_character
from oppai.censoring.block_grid import Grid
from oppai.censoring.censor import censor
from oppai.cli.export import export
from oppai.data.mosaic_inputs import mosaic_inputs, stack_inputs
from oppai.inference.export import _fixed, export_restorer, least_memory
from oppai.inference.graph_inputs import _GraphInputs
from oppai.models.mosaic_unet import MosaicUNet
from oppai.models.pconv_unet import PConvUNet
from oppai.models.restorers import MosaicRestorer, Restorer

SIZE = 32
SHAPES = {
    "chapter": {"picture": (1, SIZE, SIZE, 3), "mask": (1, SIZE, SIZE, 1)},
    "mosaic": {
        "picture": (1, SIZE, SIZE, 3),
        "hole": (1, SIZE, SIZE, 1),
        "grid": (1, 4),
    },
}


def slim(name, dtype="float32"):
    """A small network of any size, with weights such as a training leaves."""
    if name == "chapter":
        network = PConvUNet(
            None,
            widths=(3, 4),
            strides=(1, 2),
            kernels=(3, 3),
            repeats=1,
            see_censored=True,
            dtype=dtype,
        )
    else:
        network = MosaicUNet(widths=(3, 4), blocks=(0, 1), dtype=dtype)
    rng = np.random.default_rng(0)
    for variable in network.weights:
        low = 0.5 if "variance" in variable.path else -0.4
        variable.assign(rng.uniform(low, low + 0.8, variable.shape))
    return network


def restorer_of(network):
    if isinstance(network, MosaicUNet):
        return MosaicRestorer(network)
    return Restorer(network, {"valid": 1.0, "hole": 1.0})


def inputs_of(name, kind):
    """A drawn character's patch: what the file takes, and what the network takes."""
    patch = draw_character(3, size=(96, 128)).image[16 : 16 + SIZE, 32 : 32 + SIZE]
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[6:27, 8:29] = 255
    censored = censor(patch, mask, kind=kind, block=4, picture_blur=1)
    if name == "mosaic":
        grid = Grid((4, 4)) if kind == "mosaic" else None
        x = stack_inputs([mosaic_inputs(censored, mask, grid)])
        return {"picture": x["censored"], "hole": x["hole"], "grid": x["grid"]}, x
    valid = (mask == 0).astype("float32")[None, ..., None]
    x = {"picture": uint8_to_signed(censored)[None], "mask": valid}
    return x, list(x.values())


def onnx_runner(path):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["image_size"]) == SIZE
    assert metadata["output"] == "restored"
    assert {x.type for x in session.get_inputs()} == {"tensor(float)"}
    shapes = {x.name: tuple(x.shape) for x in session.get_inputs()}
    return shapes, lambda x: session.run(None, x)[0]


def tflite_runner(path):
    tf = pytest.importorskip("tensorflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(str(path))
    signature = interpreter.get_signature_runner()
    details = signature.get_input_details()
    assert {x["dtype"] for x in details.values()} == {np.float32}
    shapes = {name: tuple(x["shape"]) for name, x in details.items()}
    return shapes, lambda x: signature(**x)["restored"]


RUNNERS = {".onnx": onnx_runner, ".tflite": tflite_runner}


def needs(suffix):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the exporters need Keras on TensorFlow")
    if suffix == ".onnx":
        pytest.importorskip("tf2onnx")


@pytest.mark.parametrize("size", [(32, 48), (20, 28)])
def test_the_graph_computes_what_the_network_sees(size):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    hole, lost = np.zeros(size, bool), np.zeros(size, bool)
    hole[5:-4, 7:] = True
    lost[: size[0] // 2] = hole[: size[0] // 2]
    inputs = [keras.Input(batch_shape=(1, *size, n)) for n in (3, 1)]
    inputs.append(keras.Input(batch_shape=(1, 4)))
    graph = keras.Model(inputs, _GraphInputs()(inputs))
    cases = [
        (Grid((8, 8), (3, 5)), 0 * lost, (8, 8, 3, 5)),
        (Grid((7.5, 4.2), (1.3, 2)), lost, (7.5, 4.2, 1.3, 2)),
        (None, hole, (0, 0, 0, 0)),
        (None, 0 * lost, (1, 1, 0, 0)),  # a blur
    ]
    for grid, missing, numbers in cases:
        given = hole.astype("float32")
        if grid is not None:
            given += missing
        arrays = uint8_to_signed(picture), given[..., None], np.float32(numbers)
        found = graph.predict_on_batch([x[None] for x in arrays])
        for name, x in mosaic_inputs(picture, hole, grid, missing > 0).items():
            np.testing.assert_allclose(found[name][0], x, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("suffix", RUNNERS)
@pytest.mark.parametrize("name", SHAPES)
def test_the_file_computes_what_keras_does(tmp_path, name, suffix):
    needs(suffix)
    network, half = slim(name), slim(name, "mixed_bfloat16")
    path = tmp_path / f"a{suffix}"
    # Trained in half precision, it is exported in single.
    assert export_restorer(restorer_of(half), path, image_size=SIZE) == path
    assert [x.name for x in tmp_path.iterdir()] == [path.name]
    shapes, run = RUNNERS[suffix](path)
    assert shapes == SHAPES[name]
    for kind in ("mosaic", "white"):
        x, given = inputs_of(name, kind)
        expected = np.asarray(network(given))
        assert expected.std() > 0.1
        np.testing.assert_allclose(run(x), expected, atol=1e-4)


def test_a_square_size_that_the_network_cannot_shrink(tmp_path):
    needs(".tflite")
    for name in SHAPES:
        with pytest.raises(ValueError, match="divisible by 2"):
            export_restorer(
                restorer_of(slim(name)), tmp_path / "a.tflite", image_size=33
            )
    for size in (0, -8, 20_000, 8.5):
        with pytest.raises(ValueError, match=f"image_size.* Received: {size}"):
            export_restorer(None, tmp_path / "a.tflite", image_size=size)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def command(monkeypatch):
    loaded = []

    def load(run):
        loaded.append(run)
        return restorer_of(slim("mosaic"))

    monkeypatch.setattr("oppai.models.pretrained.load_restorer", load)
    app = typer.Typer()
    app.command()(export)

    def run(*arguments):
        return CliRunner().invoke(app, [str(a) for a in arguments])

    run.loaded = loaded
    return run


def test_mistakes_are_told_before_anything_is_loaded(tmp_path, monkeypatch, command):
    needs(".tflite")
    there = tmp_path / "there.tflite"
    there.write_text("mine")
    mistakes = {
        tmp_path / "a.h5": "exported as .onnx or .tflite",
        tmp_path / "no" / "a.onnx": "there is no folder",
        there: "exists already",
    }
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    mistakes[tmp_path / "a.onnx"] = (
        'ONNX needs tf2onnx: pip install "illustkit[export]"'
    )
    for path, message in mistakes.items():
        result = command(path)
        assert result.exit_code == 2 and not command.loaded
        assert message in result.stderr and str(path) in result.stderr
        assert result.stderr.count("\n") == 1
    assert there.read_text() == "mine"


@pytest.mark.parametrize("suffix", RUNNERS)
def test_another_backend_cannot_export(tmp_path, monkeypatch, suffix):
    if keras.backend.backend() == "tensorflow":
        monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(ValueError, match="on TensorFlow, not on .*KERAS_BACKEND=tens"):
        export_restorer(restorer_of(slim("mosaic")), tmp_path / f"a{suffix}")


def test_the_command(tmp_path, command):
    needs(".tflite")
    path = tmp_path / "a.tflite"
    path.write_text("old")
    result = command(path, "--image-size", 16, "--overwrite", "--run", "runs/first")
    assert result.exit_code == 0, result.output
    assert command.loaded == ["runs/first"]
    cost = "each picture of 16x16 pixels takes 0.00 GB of memory or more"
    assert result.stdout == f"{path}: 0.1 MB; {cost}\n"
    shapes, _ = tflite_runner(path)
    assert shapes["hole"] == (1, 16, 16, 1)


class Skip(keras.Model):
    """A network of which one can count what is kept."""

    def __init__(self, image_size=None):
        x = keras.Input((image_size, image_size, 3))
        wide = keras.layers.Conv2D(8, 3, padding="same")(x)
        small = keras.layers.Conv2D(4, 3, 2, padding="same")(wide)
        large = keras.layers.UpSampling2D()(small)
        super().__init__(x, keras.layers.Concatenate()([large, wide]))

    def get_config(self):
        return {}


def test_the_least_memory_is_what_later_layers_read():
    restorer = SimpleNamespace(network=Skip())
    # Of each pixel the skipped 8 channels, 4 enlarged ones, and their 12 joined.
    assert least_memory(restorer, 16) == 4 * 16 * 16 * (8 + 4 + 12)
    assert least_memory(restorer, 64) == 4 * 64 * 64 * (8 + 4 + 12)


def test_an_export_of_any_size_computes_no_picture():
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _fixed(slim("chapter"), 8192)
    # One channel of it in float32 is 268 MB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000
