"""ONNX Runtime and OpenCV restore as Keras does, and need no Keras."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from illustkit.errors import UserError
from illustkit.images import signed_to_uint8
from illustkit.training.shipped import read_network
from oppai.censoring.block_grid import Grid
from oppai.data.mosaic_inputs import Case, mosaic_inputs, stack_inputs
from oppai.models.engines import EngineRestorer, network_graph
from oppai.models.mosaic_unet import MosaicUNet
from oppai.models.pconv_unet import PConvUNet
from oppai.models.pretrained import RANGES, SHIPPED, load_restorer, save_shipped
from oppai.models.restorers import MosaicRestorer, Restorer

TINY = {"widths": (6, 8, 12), "blocks": (0, 1, 1)}
CODE = """
import sys
import numpy as np
import oppai
picture = np.full((64, 64, 3), 99, np.uint8)
picture[:, ::5] = 10
oppai.restore(picture, boxes=[(20, 20, 40, 40)], fill=True)
print([m for m in ("keras", "tensorflow", "jax", "scipy") if m in sys.modules])
"""


def case(height, width, seed, grid=None, lost=0.0):
    """A picture of noise; the upper part of its hole shows no mosaic."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    hole = np.zeros((height, width), bool)
    hole[4:-4, 4:-4] = True
    missing = np.zeros_like(hole)
    missing[: int(lost * height)] = hole[: int(lost * height)]
    return Case(picture, hole, grid, missing)


CASES = [
    case(48, 40, 0, Grid((8, 8), (3, 5)), lost=0.5),
    case(64, 32, 1, Grid((7.5, 4.2), (1.3, 2))),
    case(48, 40, 2, lost=1.0),
    case(32, 64, 3),  # a blur
]


def weights_of(network):
    return {w.path: np.asarray(w) for w in network.weights}


@pytest.fixture(scope="module")
def random_network():
    network, rng = MosaicUNet(**TINY), np.random.default_rng(0)
    network.set_weights([rng.normal(0, 0.1, w.shape) for w in network.get_weights()])
    return network


@pytest.mark.parametrize("engine", ["onnx", "opencv"])
def test_predictions_are_those_of_keras(random_network, engine):
    if engine == "onnx":
        pytest.importorskip("onnxruntime")
    network = random_network
    theirs = MosaicRestorer(network).predict_all(CASES)
    ours = EngineRestorer(network.get_config(), weights_of(network), engine)
    assert ours.divisor == network.divisor
    for a, b in zip(ours.predict_all(CASES), theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
        assert a.std() > 0.1


def test_levels_differ_by_one_and_only_where_a_half_lies_between(random_network):
    theirs = MosaicRestorer(random_network).predict_all(CASES)
    config, weights = random_network.get_config(), weights_of(random_network)
    ours = EngineRestorer(config, weights, "opencv").predict_all(CASES)
    a, b = (np.concatenate([x.ravel() for x in each]) for each in (ours, theirs))
    flips = 0
    # Moved by parts of a level, so that halves lie everywhere.
    for shift in np.linspace(0, 2 / 255, 64, endpoint=False):
        one, two = (signed_to_uint8(np.clip(x + shift, -1, 1)) for x in (a, b))
        differs = one != two
        assert np.abs(one.astype(int) - two).max() <= 1
        from_half = np.abs((a + shift + 1) * 127.5 % 1 - 0.5)
        assert from_half[differs].max(initial=0) <= 127.5 * 1e-4
        flips += differs.sum()
    assert 0 < flips < 1e-3 * 64 * a.size


@pytest.mark.parametrize("consistency", ["always", "never"])
def test_the_gate_is_that_of_keras(consistency):
    network = MosaicUNet(**TINY, consistency=consistency)
    theirs = MosaicRestorer(network, passes=1).predict_all(CASES[:1])
    arrays = weights_of(network)
    ours = EngineRestorer(network.get_config(), arrays, "opencv", passes=1)
    np.testing.assert_allclose(ours.predict_all(CASES[:1]), theirs, atol=1e-4)


def test_the_file_is_whole(random_network):
    onnx = pytest.importorskip("onnx")
    data = network_graph(random_network.get_config(), weights_of(random_network))
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)


def test_what_ships_and_what_was_saved_loads_for_an_engine(tmp_path, monkeypatch):
    saved = MosaicRestorer(MosaicUNet(**TINY), passes=1)
    path = save_shipped(saved, tmp_path / "own.npz")
    monkeypatch.setattr("oppai.models.pretrained.SHIPPED", {"default": path})
    monkeypatch.setattr("illustkit.engines._has_gpu", lambda: False)
    saved.save(tmp_path / "own.keras")
    shipped = load_restorer("default", engine="auto", mirror=True)
    assert shipped.engine == "opencv" and shipped.passes == 2
    own = load_restorer(tmp_path / "own.keras", engine="opencv")
    assert own.passes == 1
    # The file holds float16.
    a, b = (r.predict(*CASES[0]) for r in (load_restorer("default"), own))
    np.testing.assert_allclose(a, b, atol=0.02)


def test_an_engine_that_cannot_is_refused(tmp_path):
    network = PConvUNet(16, widths=(4, 8), strides=(1, 2), kernels=(3, 3))
    Restorer(network, {"valid": 1.0}).save(tmp_path / "a.keras")
    with pytest.raises(UserError, match="a.keras: only Keras runs a PConvUNet"):
        load_restorer(tmp_path / "a.keras", engine="opencv")
    with pytest.raises(UserError, match="bfloat16 needs keras"):
        load_restorer("default", engine="opencv", precision="bfloat16")
    with pytest.raises(UserError, match="`engine` is one of"):
        load_restorer("default", engine="tensorrt")


def test_restoring_needs_no_keras():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def float_ranges(network, cases):
    """Return the ends of what convolutions take and give, as Keras computes them."""
    names = [x.name for x in network.layers if isinstance(x, keras.layers.Conv2D)]
    names = [name for name in names if name not in ("stem", "last")]
    layers = [network.get_layer(name) for name in names]
    inside = keras.Model(network.input, [(x.input, x.output) for x in layers])
    ends = {name: [0.0] * 4 for name in names}
    for own in cases:
        inputs = stack_inputs([mosaic_inputs(*own)])
        for name, pair in zip(names, inside(inputs), strict=True):
            low, high = ([float(f(x)) for x in pair] for f in (ops.min, ops.max))
            old = ends[name]
            ends[name] = [
                *(min(old[0], low[0]), max(old[1], high[0])),
                *(min(old[2], low[1]), max(old[3], high[1])),
            ]
    return ends


def test_int8_is_off_by_a_fraction_of_what_it_predicts(random_network):
    pytest.importorskip("onnxruntime")
    config, weights = random_network.get_config(), weights_of(random_network)
    exact = EngineRestorer(config, weights, "onnx")
    ranges = float_ranges(random_network, CASES)
    rounded = EngineRestorer(config, weights, "onnx", ranges=ranges)
    pairs = zip(exact.predict_all(CASES), rounded.predict_all(CASES), strict=True)
    for a, b in pairs:
        assert 0 < np.abs(a - b).mean() < 0.02 * a.std()


@pytest.mark.parametrize("name", ["default", "sharp"])
def test_the_ranges_that_ship_are_of_all_convolutions_but_the_ends(name):
    _, arrays = read_network(SHIPPED[name])
    kernels = {path.split("/")[0] for path in arrays if path.endswith("/kernel")}
    ranges = json.loads(RANGES.read_text("utf-8"))[name]
    assert set(ranges) == kernels - {"stem", "stem_partial", "last"}
    assert all(a < b and c < d for a, b, c, d in ranges.values())


def test_int8_is_for_onnx_and_for_what_ships(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    MosaicRestorer(MosaicUNet(**TINY)).save(tmp_path / "a.keras")
    with pytest.raises(UserError, match="only the package's own"):
        load_restorer(tmp_path / "a.keras", engine="onnx", precision="int8")
    with pytest.raises(UserError, match="needs `engine` onnx"):
        load_restorer("default", engine="opencv", precision="int8")
    assert load_restorer("default", engine="auto", precision="int8").engine == "onnx"
    monkeypatch.setattr("oppai.models.pretrained.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install onnxruntime, or leave"):
        load_restorer("default", engine="auto", precision="int8")
