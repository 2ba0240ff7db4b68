import importlib
import pkgutil

import keras
import numpy as np
import pytest

import diffusion
from tests.layer_checks import check_layer

PICTURE = (2, 4, 6, 8)


def activations(shapes):
    """Values as in a network; timesteps for a layer of one number a picture."""
    rng = np.random.default_rng(0)
    if isinstance(shapes[0], tuple):
        return [rng.normal(0, 2, shape).astype("float32") for shape in shapes]
    if len(shapes) == 1:
        return rng.integers(0, 1000, shapes).astype("int32")
    return rng.normal(0, 2, shapes).astype("float32")


# qualified name of a layer, arguments, shapes; one layer may have several cases
CASES = [
    ("diffusion.network.layers.SinusoidalEmbedding", {"dim": 8}, (3,)),
    ("diffusion.network.layers.UpsampledConv", {"filters": 5}, PICTURE),
    ("diffusion.network.layers.GroupNorm", {"groups": 4, "epsilon": 1e-4}, PICTURE),
    ("diffusion.network.layers.GroupNorm", {}, [PICTURE, (2, 16)]),
    ("diffusion.network.layers.RMSNorm", {}, PICTURE),
    ("diffusion.network.layers.RMSNorm", {}, [PICTURE, (2, 16)]),
    ("diffusion.network.layers.ChannelNorm", {}, PICTURE),
    ("diffusion.network.layers.LinearAttention", {"memory_tokens": 4}, PICTURE),
    ("diffusion.network.layers.LinearAttention", {"heads": 2, "dim_head": 8}, PICTURE),
    ("diffusion.network.layers.FullAttention", {"memory_tokens": 4}, PICTURE),
    ("diffusion.network.layers.FullAttention", {"heads": 2, "dim_head": 8}, PICTURE),
]


@pytest.mark.parametrize(
    "name,arguments,shapes", CASES, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(CASES)]
)
def test_layer_conforms(name, arguments, shapes, tmp_path):
    module, _, name = name.rpartition(".")
    layer_class = getattr(importlib.import_module(module), name)
    check_layer(
        layer_class, arguments, shapes, make_inputs=activations, folder=tmp_path
    )


def public_layers():
    """Qualified names of all layers (models left out) of all public modules."""
    for info in pkgutil.walk_packages(diffusion.__path__, "diffusion."):
        if any(part.startswith("_") for part in info.name.split(".")):
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if (
                isinstance(value, type)
                and issubclass(value, keras.layers.Layer)
                and not issubclass(value, keras.Model)
                and value.__module__ == info.name
                and not name.startswith("_")
            ):
                yield f"{info.name}.{name}", value


def test_every_public_layer_has_a_case_and_is_registered():
    found = dict(public_layers())
    assert set(found) == {name for name, *_ in CASES}
    for layer_class in found.values():
        registered = keras.saving.get_registered_name(layer_class)
        assert registered == f"diffusion>{layer_class.__name__}"
