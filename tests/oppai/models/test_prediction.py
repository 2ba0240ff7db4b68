import keras
import numpy as np
import pytest

from illustkit.errors import UserError
from oppai.censoring.block_grid import Grid
from oppai.data.mosaic_inputs import (
    Case,
    mirrored_inputs,
    mosaic_inputs,
    stack_inputs,
)
from oppai.models.mosaic_unet import MosaicUNet
from oppai.models.pconv_unet import PConvUNet
from oppai.models.prediction import AnySize, _padded, bucket, framed
from oppai.models.pretrained import load_restorer
from oppai.models.restorers import MosaicRestorer, Restorer

TINY = {"widths": (6, 8, 12), "blocks": (0, 1, 1)}
GRID = Grid((8, 8), (3, 5))
SIZES = [(48, 40), (64, 64), (40, 72), (96, 48), (56, 56), (72, 64)]


def case(height, width, seed=0, grid=GRID, border=8):
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    hole = np.zeros((height, width), bool)
    hole[border : height - border, border : width - border] = True
    missing = np.zeros_like(hole)
    missing[: height // 2] = hole[: height // 2]
    return Case(picture, hole, grid, missing)


def counting(network, monkeypatch):
    """Count how often the network is called in Python: once for each trace."""
    calls = []
    call = MosaicUNet.call

    def counted(self, *args, **kwargs):
        calls.append(1)
        return call(self, *args, **kwargs)

    monkeypatch.setattr(MosaicUNet, "call", counted)
    return calls


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="JAX compiles for each shape"
)
def test_pictures_of_six_sizes_and_numbers_are_traced_once(monkeypatch):
    restorer = MosaicRestorer(MosaicUNet(**TINY))
    calls = counting(restorer.network, monkeypatch)
    results = restorer.predict_all([case(*size) for size in SIZES])
    assert [r.shape[:2] for r in results] == SIZES
    restorer.predict_all([case(48, 40, seed) for seed in range(5)], batch_size=4)
    assert len(calls) == 1


def test_the_size_of_the_batch_and_its_mates_change_nothing():
    restorer = MosaicRestorer(MosaicUNet(**TINY))
    cases = [case(64, 48, 0), case(40, 72, 1), case(64, 48, 2), case(64, 48, 3)]
    together = restorer.predict_all(cases, batch_size=64)
    for one, result in zip(cases, together, strict=True):
        np.testing.assert_allclose(restorer.predict(*one), result, atol=1e-5)


def test_sides_that_the_network_cannot_halve_are_refused():
    restorer = MosaicRestorer(MosaicUNet(**TINY))
    with pytest.raises(UserError, match="divisible by 4"):
        restorer.predict_all([case(42, 40)])


@pytest.mark.parametrize("border", [8, 0])
def test_padded_pictures_are_predicted_as_if_they_were_not(border):
    network = MosaicUNet(**TINY)
    one = case(40, 56, grid=Grid((7, 5), (2, 3)), border=border)
    inputs = stack_inputs([mosaic_inputs(*one)])
    padded = _padded(inputs)
    # A hole that the edge cuts is not padded there.
    size = (40, 56) if border == 0 else (64, 64)
    assert padded["hole"].shape == (1, *size, 1)
    expected = network.predict_on_batch(inputs)
    result = framed(network).predict_on_batch(padded)[:, :40, :56]
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_padding_brings_many_sizes_to_few():
    sides = [bucket(side) for side in range(16, 1040, 16)]
    assert len(set(sides)) == 9
    assert all(b >= s for b, s in zip(sides, range(16, 1040, 16), strict=True))


def test_any_size_equals_the_network_with_its_present_weights():
    network = MosaicUNet(**TINY)
    predict = AnySize(network)
    inputs = stack_inputs([mosaic_inputs(*case(48, 40, i)) for i in range(3)])
    for _ in range(2):
        expected = network.predict_on_batch(inputs)
        np.testing.assert_allclose(predict(inputs), expected, atol=1e-5)
        network.set_weights([w + 0.01 for w in network.get_weights()])


def test_mirrored_inputs_are_those_of_the_mirrored_picture():
    one = case(48, 40)
    turned = [np.ascontiguousarray(x[:, ::-1]) for x in (one[0], one[1], one[3])]
    picture, hole, missing = turned
    expected = mosaic_inputs(picture, hole, one.grid.mirrored(40), missing)
    for name, x in mirrored_inputs(mosaic_inputs(*one)).items():
        np.testing.assert_allclose(x, expected[name], atol=1e-5, err_msg=name)


def test_a_restorer_loads_in_bfloat16_and_predicts_once(tmp_path):
    saved = MosaicRestorer(MosaicUNet(**TINY))
    saved.save(tmp_path / "a.keras")
    fast = load_restorer(tmp_path / "a.keras", precision="bfloat16", mirror=False)
    assert fast.network.dtype_policy.name == "mixed_bfloat16" and fast.passes == 1
    for a, b in zip(fast.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    one = case(48, 40)
    inputs = stack_inputs([mosaic_inputs(*one)])
    once = saved.network.predict_on_batch(inputs)[0]
    found = fast.predict(*one)[one.hole]
    # Eight bits of a float, of values up to 5 here.
    np.testing.assert_allclose(found, once[one.hole], atol=0.1)
    assert np.abs(found - once[one.hole]).max() > 0
    again = load_restorer(tmp_path / "a.keras", precision="float32", mirror=True)
    np.testing.assert_allclose(again.predict(*one), saved.predict(*one), atol=1e-6)


def test_precisions_and_mirrors_that_do_not_exist_are_refused(tmp_path):
    network = PConvUNet(16, widths=(4, 8), strides=(1, 2), kernels=(3, 3))
    Restorer(network, {"valid": 1.0}).save(tmp_path / "a.keras")
    with pytest.raises(UserError, match="`precision` must be one of float32, bfloat16"):
        load_restorer(tmp_path / "a.keras", precision="float8")
    with pytest.raises(UserError, match="`mirror` is for restorers that see mosaics"):
        load_restorer(tmp_path / "a.keras", mirror=False)
