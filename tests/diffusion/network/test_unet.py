import keras
import numpy as np
import pytest
from keras import ops

from diffusion.network.unet import UNet
from illustkit.training.dropout import Dropout

T = np.array([999, 3], "int32")


def tiny(image_size=None, version="2", **options):
    return UNet(image_size, 8, (1, 2), version=version, **options)


def pictures(height, width, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (2, height, width, channels)).astype("float32")


def run(model, *inputs, **options):
    return ops.convert_to_numpy(model([*inputs], **options))


def counts(version, dim_mults):
    """Parameters of each part, counted without allocating them."""
    with keras.StatelessScope():
        model = UNet(None, 64, dim_mults, version=version)
    parts = {}
    for layer in model.layers:
        names = layer.name.split(".")
        name = names[0] + (names[1] if names[0] in ("downs", "ups") else "")
        for weight in layer.weights:
            parts[name] = parts.get(name, 0) + int(np.prod(weight.shape))
    parts["mid"] = sum(parts.pop(n) for n in ("mid_block1", "mid_attn", "mid_block2"))
    return {name: n for name, n in parts.items() if n}


@pytest.mark.parametrize(
    "version,dim_mults,downs,mid,ups,final_res,total",
    [
        (
            "0.25.3",
            (1, 2, 4, 8),
            [312_704, 378_304, 1_313_664, 3_938_048],
            10_233_344,
            [14_561_024, 3_839_872, 1_059_776, 374_272],
            152_128,
            36_255_235,
        ),
        (
            "0.25.3",
            (1, 4, 16),
            [312_704, 509_504, 5_118_208],
            39_341_056,
            [49_044_736, 3_364_672, 374_272],
            152_128,
            98_309_379,
        ),
        (
            "2",
            (1, 2, 4, 8),
            [264_192, 280_640, 920_704, 3_937_280],
            10_231_808,
            [14_558_464, 3_839_360, 1_060_032, 374_912],
            152_000,
            35_711_491,
        ),
        (
            "2",
            (1, 4, 16),
            [264_192, 313_536, 5_117_440],
            39_336_960,
            [49_038_592, 3_364_160, 374_912],
            152_000,
            98_053_891,
        ),
    ],
)
def test_parameters_of_every_part(
    version, dim_mults, downs, mid, ups, final_res, total
):
    expected = {"init_conv": 9_472, "time_mlp": 82_432, "final_conv": 195}
    expected |= {f"downs{i}": n for i, n in enumerate(downs)}
    expected |= {f"ups{i}": n for i, n in enumerate(ups)}
    expected |= {"mid": mid, "final_res_block": final_res}
    found = counts(version, dim_mults)
    assert found == expected and sum(found.values()) == total


@pytest.mark.parametrize("version", ["0.25.3", "2"])
def test_any_size_gives_what_its_own_network_gives(version):
    free, fixed = tiny(version=version), tiny((10, 6), version)
    assert fixed.input_shape[0] == (None, 6, 10, 3)
    fixed.set_weights(free.get_weights())
    x = pictures(6, 10)
    out = run(free, x, T)
    assert out.shape == x.shape and out.dtype == "float32"
    np.testing.assert_allclose(out, run(fixed, x, T), atol=1e-5)
    assert run(free, pictures(2, 4), T).shape == (2, 2, 4, 3)


def test_each_picture_has_its_own_time_and_no_other_picture():
    model, x = tiny(), pictures(8, 8)
    both = run(model, x, T)
    for i in range(2):
        alone = run(model, x[i : i + 1], T[i : i + 1])
        np.testing.assert_allclose(both[i : i + 1], alone, atol=1e-5)
    swapped = run(model, x, T[::-1].copy())
    assert np.abs(both - swapped).max(axis=(1, 2, 3)).min() > 1e-3


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="divisible by 4.*height=30, width=32"):
        UNet((32, 30), 8, (1, 2, 2))
    with pytest.raises(ValueError, match="divisible by 2.*height=8, width=7"):
        tiny()([pictures(8, 7), T])


@pytest.mark.parametrize(
    "options,message",
    [
        ({"version": "1"}, "`version` must be one of"),
        ({"dim_mults": ()}, "`dim_mults`"),
        ({"dim_mults": (1, 1.5)}, "`dim_mults`"),
        ({"version": "0.25.3", "dropout": 0.1}, "dropout=0.1"),
        ({"version": "0.25.3", "dim": 12}, "groups=8, dim=12"),
        ({"dim": 9}, "dim=9"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        UNet(**{"dim": 8, "version": "2", **options})


def test_own_estimate_is_an_input():
    model, x = tiny(self_condition=True), pictures(8, 8)
    nothing = run(model, x, T, np.zeros_like(x))
    assert np.abs(nothing - run(model, x, T, pictures(8, 8, seed=1))).max() > 1e-3
    kernel = model.get_layer("init_conv").kernel
    assert kernel.shape == (7, 7, 6, 8)


@pytest.mark.parametrize("channels,out_channels", [(1, None), (4, None), (3, 6)])
def test_channels(channels, out_channels):
    model = tiny(channels=channels, out_channels=out_channels)
    out = run(model, pictures(4, 6, channels), T)
    assert out.shape == (2, 4, 6, out_channels or channels)


def test_dropout_in_training_alone():
    model, x = tiny(dropout=0.5), pictures(8, 8)
    names = [n.name for n in model.layers if isinstance(n, Dropout)]
    assert len(names) == 2 * 2 + 2 + 2 * 2 + 1  # once in each residual block
    np.testing.assert_array_equal(run(model, x, T), run(model, x, T))
    training = [run(model, x, T, training=True) for _ in range(2)]
    assert np.abs(training[0] - training[1]).max() > 1e-3


@pytest.mark.parametrize("version", ["0.25.3", "2"])
def test_bfloat16_is_near_and_its_time_is_float32(version):
    x = pictures(16, 16)
    exact, model = tiny(version=version), tiny(version=version, dtype="mixed_bfloat16")
    model.set_weights(exact.get_weights())
    expected, found = run(exact, x, T), run(model, x, T)
    assert found.dtype == "float32"
    error = np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2))
    assert 1e-4 < error < 0.03
    assert all(w.dtype == "float32" for w in model.weights)
    for layer in model.layers:
        if "mlp" in layer.name:
            assert layer.compute_dtype == "float32" or "time_mlp.0" == layer.name
    assert model.get_layer("init_conv").compute_dtype == "bfloat16"


def test_config_and_file_make_the_same_network(tmp_path):
    model = tiny(
        (8, 6), channels=4, self_condition=True, dropout=0.1, name="net", groups=4
    )
    again = UNet.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    inputs = pictures(6, 8, 4), T, pictures(6, 8, 4, seed=1)
    model.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras", safe_mode=True)
    np.testing.assert_array_equal(run(loaded, *inputs), run(model, *inputs))


def test_every_weight_learns():
    for version in ("0.25.3", "2"):
        model = tiny(version=version, groups=4)
        before = model.get_weights()
        model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
        model.train_on_batch([pictures(4, 4), T], pictures(4, 4, seed=1))
        for weight, old in zip(model.weights, before, strict=True):
            assert not np.array_equal(old, weight), f"{weight.path} does not learn"


def test_xla_gives_the_same():
    model, x = tiny((8, 4)), pictures(4, 8)
    model.compile(jit_compile=True)
    found = model.predict([x, T], verbose=0)
    np.testing.assert_allclose(found, run(model, x, T), atol=1e-5)


@pytest.mark.large
@pytest.mark.parametrize("version", ["0.25.3", "2"])
def test_xla_learns_the_same(version):
    x, target = pictures(4, 4), pictures(4, 4, seed=1)
    first, after = None, []
    for jit_compile in (False, True):
        model = tiny(4, version, groups=4)
        first = first or model.get_weights()
        model.set_weights(first)
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
        model.train_on_batch([x, T], target)
        after.append(model.get_weights())
    for plain, compiled in zip(*after, strict=True):
        np.testing.assert_allclose(plain, compiled, atol=1e-5)


def test_a_patched_network_works_at_half_the_size():
    network = UNet((16, 8), dim=8, dim_mults=(1, 2), patch=2)
    x_t, t = np.zeros((2, 8, 16, 3), "f4"), np.array([1, 2])
    assert network([x_t, t]).shape == (2, 8, 16, 3)
    assert network.get_layer("downs.0.0.block1.proj").output.shape == (None, 4, 8, 8)
    with pytest.raises(ValueError, match="divisible by 4"):
        UNet((16, 6), dim=8, dim_mults=(1, 2), patch=2)


def test_no_attributes_are_the_timestep_alone():
    rng = np.random.default_rng(0)
    plain = UNet(8, dim=8, dim_mults=(1, 2))
    steered = UNet(8, dim=8, dim_mults=(1, 2), attributes=3)
    kernel = [w for w in steered.weights if "attributes_embedding" in w.path]
    assert [w.shape for w in kernel] == [(3, 32)]
    names = {w.path: w for w in steered.weights if w is not kernel[0]}
    for weight in plain.weights:
        names[weight.path].assign(weight)
    x_t, t = rng.standard_normal((2, 8, 8, 3)).astype("f4"), np.array([3, 700])
    same = steered([x_t, t, np.zeros((2, 3), "f4")])
    np.testing.assert_allclose(same, plain([x_t, t]), atol=1e-5)
    assert np.abs(steered([x_t, t, np.eye(3)[:2]]) - plain([x_t, t])).max() > 1e-3
