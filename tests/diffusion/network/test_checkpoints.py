import argparse
import json
import zlib

import numpy as np
import pytest
from keras import ops

from diffusion.network.checkpoints import load_state_dict, state_dict
from diffusion.network.unet import UNet
from illustkit.state_dicts import StateDictError

# What denoising-diffusion-pytorch 0.25.3 and 2.3.4 with PyTorch 2.13 gave for the
# weights and pictures below: mean, standard deviation, and seven values evenly spaced
# through the flattened output from the first to the last.
RGB = dict(dim=16, dim_mults=(1, 2, 4)), (16, 16)
WIDE_GREY = dict(dim=16, dim_mults=(1, 4), channels=1), (8, 12)
RGBA = dict(dim=8, dim_mults=(1, 2, 2), channels=4), (8, 16)
SELF = dict(dim=16, dim_mults=(1, 2), self_condition=True), (8, 8)
GOLDEN = [
    ("0.25.3", RGB, [-0.061149, 0.589371], [-0.684767, -0.536583, -0.170493, 0.758545,
                                            -0.694572, 0.035262, 0.514772]),
    ("0.25.3", WIDE_GREY, [-0.435878, 0.226429], [-0.616117, -0.960672, -0.592254,
                                                  -0.64606, -0.368399, -0.233732,
                                                  -0.572831]),
    ("0.25.3", RGBA, [-0.515987, 0.944306], [-0.348199, -0.858022, -1.110526, 0.289782,
                                             -1.318526, -0.466262, 0.29932]),
    ("2", RGB, [-0.058305, 0.516136], [1.340746, -0.252732, 0.072441, 0.14479, -0.23817,
                                       -0.074293, 0.009078]),
    ("2", WIDE_GREY, [0.321212, 0.519264], [0.645841, -0.793656, 0.356837, 1.761025,
                                            0.429807, -0.202301, 1.410522]),
    ("2", RGBA, [-0.155291, 0.994796], [1.205671, -1.629737, -0.547959, -1.39078,
                                        -0.51207, 2.111242, -1.469325]),
    ("2", SELF, [-0.056189, 0.273026], [0.579799, 0.220308, 0.393295, -0.618222,
                                        0.106173, 0.237548, -0.453395]),
]  # fmt: skip


def waves(name, shape):
    """Weights that follow from a name and a shape in PyTorch's order."""
    begin = zlib.crc32(name.encode()) % 1000
    wave = np.sin(begin + 1.7 * np.arange(np.prod(shape), dtype="float64"))
    wave = wave.reshape(shape)
    if name.endswith(("norm.weight", ".g")):
        return 1 + 0.3 * wave
    if len(shape) == 1 or name.endswith(".b"):
        return 0.3 * wave
    if name.endswith("mem_kv"):
        return wave
    return wave * np.sqrt(2 / np.prod(shape[1:]))


def pictures(height, width, channels, begin=0):
    values = np.sin(begin + 0.37 * np.arange(2 * height * width * channels) ** 1.1)
    return values.reshape(2, height, width, channels).astype("float32")


def wavy(model):
    return {name: waves(name, a.shape) for name, a in state_dict(model).items()}


def tiny(version="2", **options):
    return UNet(dim=8, dim_mults=(1, 2), version=version, **options)


@pytest.mark.parametrize("version,case,moments,values", GOLDEN)
def test_output_equals_the_original_network(version, case, moments, values):
    arguments, (height, width) = case
    model = UNet(version=version, **arguments)
    load_state_dict(model, wavy(model))
    x = pictures(height, width, model.channels)
    inputs = [x, np.array([999, 3], "int32")]
    if model.self_condition:
        inputs.append(pictures(height, width, model.channels, begin=1))
    out = ops.convert_to_numpy(model(inputs))
    flat = out.ravel()
    np.testing.assert_allclose([out.mean(), out.std()], moments, atol=2e-5)
    seven = flat[np.linspace(0, flat.size - 1, 7).astype(int)]
    np.testing.assert_allclose(seven, values, atol=1e-4)


@pytest.mark.parametrize("version", ["0.25.3", "2"])
def test_names_and_shapes_of_a_state_dict(version):
    model = UNet(dim=8, dim_mults=(2, 3), version=version)
    found = {n: a.shape for n, a in state_dict(model).items()}
    common = {
        "init_conv.weight": (8, 3, 7, 7),
        "time_mlp.1.weight": (32, 8),
        "time_mlp.3.bias": (32,),
        "downs.0.0.mlp.1.weight": (16, 32),
        "downs.1.1.block2.proj.weight": (16, 16, 3, 3),
        "downs.1.3.weight": (24, 16, 3, 3),
        "ups.0.0.block1.proj.weight": (24, 40, 3, 3),
        "ups.0.0.res_conv.bias": (24,),
        "ups.0.3.1.weight": (16, 24, 3, 3),
        "ups.1.3.weight": (8, 16, 3, 3),
        "final_res_block.res_conv.weight": (8, 16, 1, 1),
        "final_conv.weight": (3, 8, 1, 1),
    }
    old = {
        "downs.0.0.block1.norm.weight": (8,),
        "downs.0.2.fn.norm.b": (1, 8, 1, 1),
        "downs.1.2.fn.fn.to_qkv.weight": (384, 16, 1, 1),
        "downs.0.2.fn.fn.to_out.0.weight": (8, 128, 1, 1),
        "downs.0.2.fn.fn.to_out.1.g": (1, 8, 1, 1),
        "downs.0.3.weight": (16, 8, 4, 4),
        "mid_attn.fn.fn.to_out.bias": (24,),
    }
    new = {
        "downs.0.0.block1.norm.g": (1, 8, 1, 1),
        "downs.0.2.norm.g": (1, 8, 1, 1),
        "downs.0.2.mem_kv": (2, 4, 32, 4),
        "downs.0.2.to_out.1.g": (1, 8, 1, 1),
        "downs.0.3.1.weight": (16, 32, 1, 1),
        "downs.1.2.mem_kv": (2, 4, 4, 32),
        "mid_attn.to_out.weight": (24, 128, 1, 1),
        "ups.0.2.to_out.bias": (24,),
    }
    mine, others = (old, new) if version == "0.25.3" else (new, old)
    for name, shape in {**common, **mine}.items():
        assert found[name] == shape, name
    assert not set(others) & set(found)


@pytest.mark.parametrize("version", ["0.25.3", "2"])
def test_what_was_loaded_is_given_back(version):
    model = tiny(version)
    state = wavy(model)
    load_state_dict(model, state)
    for name, array in state_dict(model).items():
        assert array.dtype == "float32" and array.flags["C_CONTIGUOUS"]
        np.testing.assert_array_equal(array, state[name].astype("float32"))


def write_safetensors(path, state):
    """As the format's description says: a length, a header in JSON, the bytes."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in state.items():
        raw = array.astype("<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    header = json.dumps(header).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_files_are_read(kind, tmp_path):
    model = tiny()
    state, path = wavy(model), tmp_path / f"model.{kind}"
    if kind == "npz":
        np.savez(path, **state)
    else:
        write_safetensors(path, state)
    load_state_dict(model, str(path))
    for name, array in state_dict(model).items():
        np.testing.assert_allclose(array, state[name], atol=1e-6)


def test_a_whole_trainer_gives_its_average():
    model = tiny()
    state = wavy(model)
    half = {name: array / 2 for name, array in state.items()}
    # As denoising-diffusion-pytorch's Trainer saves: the diffusion object with its
    # schedule, and the object that keeps the average of it.
    diffusion = {"betas": np.zeros(1000), **{f"model.{n}": a for n, a in state.items()}}
    average = {"initted": np.True_, "step": np.int64(5)}
    average |= {f"online_model.model.{n}": a for n, a in state.items()}
    average |= {f"ema_model.model.{n}": a for n, a in half.items()}
    for given, expected in (
        ({"step": 5, "model": diffusion, "ema": average, "scaler": None}, half),
        ({"step": 5, "model": diffusion, "version": "2.3.4"}, state),
        (diffusion, state),
        (average, half),
    ):
        load_state_dict(model, given)
        for name, array in state_dict(model).items():
            np.testing.assert_allclose(array, expected[name], atol=1e-6)


def test_all_faults_are_told_at_once_and_nothing_is_loaded(tmp_path):
    model = tiny()
    before = state_dict(model)
    state = wavy(model)
    del state["final_conv.bias"]
    state["mid_attn.other"] = np.zeros(3)
    state["init_conv.weight"] = np.zeros((8, 6, 7, 7))
    state["final_conv.weight"][0, 0] = np.nan
    state["time_mlp.1.bias"] = "words"
    np.savez(tmp_path / "bad.npz", **state)
    for given in (state, tmp_path / "bad.npz"):
        with pytest.raises(StateDictError) as caught:
            load_state_dict(model, given)
        told = str(caught.value)
        assert "\n" not in told and "version 2" in told
        for part in (
            "lacks final_conv.bias",
            "has mid_attn.other, which the network lacks",
            "init_conv.weight of shape (8, 6, 7, 7) instead of (8, 3, 7, 7)",
            "final_conv.weight that are not finite",
            "no array of numbers in time_mlp.1.bias",
        ):
            assert part in told
    assert "bad.npz" in told
    for name, array in state_dict(model).items():
        np.testing.assert_array_equal(array, before[name])


def test_a_checkpoint_of_the_other_version_is_refused():
    with pytest.raises(StateDictError, match="version 2.*lacks .* more"):
        load_state_dict(tiny("2"), state_dict(tiny("0.25.3")))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="nothing.npz"):
        load_state_dict(tiny(), tmp_path / "nothing.npz")


class Tensor:
    """Stands for a parameter of torch: NumPy takes it once it is detached alone."""

    def __init__(self, array):
        self.array = array

    def detach(self):
        return self

    cpu = float = detach

    def __array__(self, *_, **__):
        return self.array


def test_what_lies_beside_the_arrays_is_passed_over():
    model = tiny()
    state = wavy(model)
    half = {name: array / 2 for name, array in state.items()}
    beside = {
        "step": np.float64(5),
        "best": np.array(0.5),
        "options": argparse.Namespace(rate=0.1),
        "note": "words",
        "epoch": 3,
        "names": ["a", "b"],
    }
    for given, expected in (
        ({**beside, **state}, state),
        ({"model": {**beside, **state}, **beside}, state),
        ({"model": state, "ema": {"decay": 0.9, "shadow": half}, **beside}, half),
        ({"module": state, "module_ema": half}, half),
        ({"schema": half, "net": state}, state),
        ({name: Tensor(array) for name, array in half.items()}, half),
    ):
        load_state_dict(model, given)
        for name, array in state_dict(model).items():
            np.testing.assert_allclose(array, expected[name], atol=1e-6)


def test_what_fits_no_network_is_one_line():
    model = tiny("0.25.3")
    for given in ([1, 2], 5, np.zeros(3), None):
        with pytest.raises(StateDictError, match="is no dict of arrays but"):
            load_state_dict(model, given)
    with pytest.raises(StateDictError, match=r"0\.26\.4 passes for 0\.25\.3"):
        load_state_dict(model, {"init_conv.weight": np.zeros(3)})
