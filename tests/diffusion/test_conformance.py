import importlib
import inspect
import json
import pkgutil

import keras
import numpy as np
import pytest

import diffusion
from illustkit.runtime import precision
from tests.layer_checks import check_cases, conformance

PICTURE = (2, 4, 6, 8)


def activations(shapes):
    """Values as in a network; timesteps for a layer of one number a picture."""
    rng = np.random.default_rng(0)
    if isinstance(shapes[0], tuple):
        return [rng.normal(0, 2, shape).astype("float32") for shape in shapes]
    if len(shapes) == 1:
        return rng.integers(0, 1000, shapes).astype("int32")
    return rng.normal(0, 2, shapes).astype("float32")


ATTENTION = "diffusion.network.attention"
# qualified name of a layer, arguments, shapes; one layer may have several cases
CASES = [
    ("diffusion.network.layers.SinusoidalEmbedding", {"dim": 8}, (3,)),
    ("diffusion.network.layers.UpsampledConv", {"filters": 5}, PICTURE),
    ("diffusion.network.layers.DepthToSpace", {"side": 2}, PICTURE),
    ("diffusion.network.layers.GroupNorm", {"groups": 4, "epsilon": 1e-4}, PICTURE),
    ("diffusion.network.layers.GroupNorm", {}, [PICTURE, (2, 16)]),
    ("diffusion.network.layers.RMSNorm", {}, PICTURE),
    ("diffusion.network.layers.RMSNorm", {}, [PICTURE, (2, 16)]),
    ("diffusion.network.layers.ChannelNorm", {}, PICTURE),
    (f"{ATTENTION}.LinearAttention", {"memory_tokens": 4}, PICTURE),
    (
        f"{ATTENTION}.LinearAttention",
        {"heads": 2, "dim_head": 8},
        PICTURE,
    ),
    (f"{ATTENTION}.FullAttention", {"memory_tokens": 4}, PICTURE),
    (f"{ATTENTION}.FullAttention", {"heads": 2, "dim_head": 8}, PICTURE),
    ("diffusion.gans.layers.EqualizedDense", {"units": 5, "activate": True}, (2, 16)),
    ("diffusion.gans.layers.EqualizedConv2D", {"filters": 5, "down": True}, PICTURE),
    ("diffusion.gans.layers.ModulatedConv2D", {"filters": 5}, [PICTURE, (2, 6)]),
    (
        "diffusion.gans.layers.ModulatedConv2D",
        {"filters": 5, "up": True},
        [PICTURE, (2, 6), (2, 8, 12, 1)],
    ),
    ("diffusion.gans.layers.FIRUpsampling2D", {}, PICTURE),
    ("diffusion.gans.layers.LearnedConstant", {"filters": 5}, (2, 16)),
    ("diffusion.gans.layers.StyleMixing", {"n": 4}, [(2, 6), (2, 6), (2,)]),
    ("diffusion.gans.layers.MinibatchStd", {"group_size": 2}, PICTURE),
]


test_layer_conforms = conformance(CASES, activations)


def test_every_public_layer_has_a_case_and_is_registered():
    check_cases(CASES, "diffusion")


_DCGAN = {
    "image_size": 16,
    "channels": 1,
    "filters": 6,
    "kernel": 5,
    "classes": 2,
    "dtype": "mixed_bfloat16",
}
_STYLEGAN2 = {"image_size": 16, "channels": 1, "base": 32, "dtype": "mixed_bfloat16"}
_ADA = {"augment": "ada", "ada_target": 0.5, "ada_images": 1000.0}
# What a constructor may be given: every argument, none with its default.
ARGUMENTS = {
    "SinusoidalEmbedding": {"dim": 6},
    "UpsampledConv": {"filters": 5},
    "GroupNorm": {"groups": 4, "epsilon": 1e-4},
    "RMSNorm": {},
    "ChannelNorm": {"epsilon": 1e-4},
    "LinearAttention": {"heads": 2, "dim_head": 8, "memory_tokens": 3},
    "FullAttention": {"heads": 2, "dim_head": 8, "memory_tokens": 3},
    "UNet": {
        "image_size": (16, 8),
        "dim": 8,
        "dim_mults": (1, 2),
        "channels": 1,
        "version": "2",
        "self_condition": True,
        "dropout": 0.25,
        "groups": 4,
        "out_channels": 2,
        "attributes": 5,
        "patch": 2,
        "dtype": "mixed_bfloat16",
    },
    "DepthToSpace": {"side": 2},
    "InceptionV3": {},
    "EqualizedDense": {
        "units": 5,
        "activate": True,
        "lr_multiplier": 0.01,
        "bias": 1.0,
    },
    "EqualizedConv2D": {
        "filters": 5,
        "kernel_size": 1,
        "down": True,
        "activate": False,
        "use_bias": False,
    },
    "ModulatedConv2D": {
        "filters": 5,
        "kernel_size": 1,
        "up": True,
        "demodulate": False,
    },
    "FIRUpsampling2D": {},
    "LearnedConstant": {"filters": 5},
    "StyleMixing": {"n": 4},
    "MinibatchStd": {"group_size": 2},
    "DCGenerator": {**_DCGAN, "latent": 7},
    "DCDiscriminator": _DCGAN,
    "DCGAN": {
        **_DCGAN,
        "latent": 7,
        "attributes": {"hair": ["blue", "red"]},
        **_ADA,
    },
    "StyleGenerator": {**_STYLEGAN2, "latent": 7, "mapping_layers": 1},
    "StyleDiscriminator": {**_STYLEGAN2, "group_size": 2},
    "StyleGAN2": {
        **_STYLEGAN2,
        **_ADA,
        "latent": 7,
        "mapping_layers": 1,
        "group_size": 2,
        "path_weight": 1.0,
        "path_every": 2,
        "average_images": 10.0,
        "r1": 2.0,
        "r1_every": 3,
    },
}


def registered():
    """Every class of this package that Keras knows, by its name."""
    for info in pkgutil.walk_packages(diffusion.__path__, "diffusion."):
        importlib.import_module(info.name)
    classes = keras.saving.get_custom_objects().items()
    return {
        name.removeprefix("diffusion>"): value
        for name, value in classes
        if name.startswith("diffusion>") and value.__module__.startswith("diffusion.")
    }


def test_every_registered_class_is_looked_at():
    assert set(registered()) == set(ARGUMENTS)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_every_argument_is_an_attribute_and_in_the_config(name):
    kind, arguments = registered()[name], ARGUMENTS[name]
    if kind is not diffusion.InceptionV3:  # float32 whatever it is given
        arguments = {**arguments, "dtype": "mixed_bfloat16"}
    parameters = inspect.signature(kind.__init__).parameters.values()
    own = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD} - {"self"}
    assert own <= set(arguments)
    made = kind(name="a_name", **arguments)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(made)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is kind and again.name == "a_name"
    for instance in (made, again):
        if "dtype" in arguments:
            assert instance.dtype_policy.name == "mixed_bfloat16"
        for argument in set(arguments) - {"dtype"}:
            assert getattr(instance, argument) == arguments[argument], argument
            kept = type(getattr(instance, argument))  # Keras wraps dicts
            assert kept is type(arguments[argument]) or issubclass(kept, dict)
    defaults = {p.name: p.default for p in parameters}
    for argument in set(arguments) - {"dtype"}:
        assert arguments[argument] != defaults.get(argument), "the test sees a default"


def test_a_diffuser_s_config_makes_the_same_model():
    arguments = {
        "network": {"image_size": (16, 8), "dim": 8, "dim_mults": (1,), "groups": 4},
        "schedule": "sigmoid",
        "timesteps": 20,
        "objective": "v",
        "loss": "mse",
        "min_snr_gamma": 5.0,
        "attributes": {"hair": ["blue", "red"]},
        "focus": [2, 1, 12, 7],
        "focus_weight": 3.0,
        "dtype": "mixed_bfloat16",
    }
    with precision("mixed_bfloat16"):
        made = diffusion.Diffuser(**arguments)
    config = json.loads(json.dumps(made.get_config()))
    again = diffusion.Diffuser.from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config
    assert again.unet.dtype_policy.name == "mixed_bfloat16"
    for name in set(arguments) - {"dtype", "network", "schedule", "loss"}:
        assert getattr(again, name) == arguments[name]
    assert again.schedule.config == made.schedule.config
    assert (again.schedule.kind, again.loss_name) == ("sigmoid", "mse")
    np.testing.assert_array_equal(again.timestep_weights, made.timestep_weights)
    assert again.unet.get_config() == {
        **made.unet.get_config(),
        "name": again.unet.name,
    }
