import importlib
import pkgutil

import keras
import numpy as np
import pytest

import facescore
from tests.layer_checks import check_layer


def activations(shape):
    """Values as large as in a network, so that a normalisation has something to do."""
    return np.random.default_rng(0).normal(0, 30, shape).astype("float32")


# qualified name of a layer, arguments, shape; one layer may have several cases
CASES = [
    ("facescore.scorer.networks.LocalResponseNormalization", {}, (2, 3, 4, 7)),
    (
        "facescore.scorer.networks.LocalResponseNormalization",
        {"n": 3, "k": 1.0, "alpha": 0.02, "beta": 0.5},
        (2, 3, 2),
    ),
    ("facescore.scorer.networks.CoverAllMaxPool", {}, (2, 8, 7, 3)),
    (
        "facescore.scorer.networks.CoverAllMaxPool",
        {"pool_size": 2, "strides": 1},
        (2, 5, 1, 3),
    ),
    ("facescore.scorer.model.CoralThresholds", {"biases": [1.5, 0.0, -0.5]}, (4, 1)),
]


@pytest.mark.parametrize(
    "name,arguments,shape", CASES, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(CASES)]
)
def test_layer_conforms(name, arguments, shape, tmp_path):
    module, _, name = name.rpartition(".")
    layer_class = getattr(importlib.import_module(module), name)
    check_layer(layer_class, arguments, shape, make_inputs=activations, folder=tmp_path)


def public_layers():
    """Qualified names of all layers (models left out) of all public modules."""
    for info in pkgutil.walk_packages(facescore.__path__, "facescore."):
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
        assert registered == f"facescore>{layer_class.__name__}"
