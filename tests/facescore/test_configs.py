"""Every constructor argument of every registered class is kept and saved."""

import importlib
import inspect
import pkgutil

import keras
import pytest

import facescore
from facescore.detector.losses import FaceDetector
from facescore.detector.network import DetectorNetwork, _Unit
from facescore.efficientnet_lite import EfficientNetLite0, Signed
from facescore.scorer.model import CoralThresholds, Scorer
from facescore.scorer.networks import (
    AlexNet,
    AnimeCNN,
    CellStatistics,
    CoverAllMaxPool,
    LocalResponseNormalization,
    SmallNet,
    TransferNet,
)

MIXED = "mixed_bfloat16"
SYNCHRONISED = keras.backend.backend() == "tensorflow"  # Keras refuses it elsewhere


def small_net():
    return SmallNet((16, 18), (4, 6), 1, 3, 0.2, SYNCHRONISED, dtype=MIXED, name="net")


# Arguments that all differ from the defaults.
CASES = {
    _Unit: {"dtype": MIXED},
    DetectorNetwork: {
        **{"widths": (2, 3, 4, 5, 6), "depths": (1, 1, 1, 2), "head": 3},
        **{"backbone": "lite0", "normalise": True, "synchronised": SYNCHRONISED},
        "dtype": MIXED,
    },
    Signed: {"dtype": MIXED},
    EfficientNetLite0: {"image_size": 32, "dtype": MIXED},
    TransferNet: {
        **{"image_size": (80, 160), "dropout": 0.2, "backbone": "MobileNet"},
        "dtype": MIXED,
    },
    FaceDetector: {
        "network": lambda: DetectorNetwork((2,) * 5, (1,) * 4, 2, normalise=False),
        "term_weights": {"box": 1.0, "cls": 2.0, "dfl": 3.0},
        "dtype": MIXED,
    },
    LocalResponseNormalization: {
        **{"n": 3, "k": 1.5, "alpha": 0.1, "beta": 0.5, "dtype": MIXED}
    },
    CellStatistics: {"grid": 3, "dtype": MIXED},
    CoverAllMaxPool: {"pool_size": 4, "strides": 3, "dtype": MIXED},
    AlexNet: {
        **{"image_size": (40, 32), "hidden_units": 3, "dropout": 0.1, "dtype": MIXED}
    },
    AnimeCNN: {"image_size": (16, 24), "dropout": 0.25, "dtype": MIXED},
    SmallNet: {
        **{"image_size": (16, 18), "widths": (4, 6), "depth": 2, "places": 3},
        **{"dropout": 0.2, "synchronised": SYNCHRONISED, "dtype": MIXED},
    },
    CoralThresholds: {"biases": [2.0, 0.5, -1.0], "dtype": MIXED},
    Scorer: {
        **{"network": small_net, "objective": "coral", "mean": 2.5, "scale": 0.5},
        **{"biases": (2.0, 1.0, 0.0, -2.0), "margin": (0.1, 0.2, 0.3)},
        **{"square": False, "score_weights": (2.0, 1.0, 0.5, 1.0, 3.0)},
        **{"calibration": ((2.0, 1.0), (4.0, 5.0)), "dtype": MIXED},
    },
}


def registered_classes():
    """Return the classes of the package that Keras finds by a registered name."""
    for info in pkgutil.walk_packages(facescore.__path__, "facescore."):
        if not info.name.endswith("__main__"):
            importlib.import_module(info.name)
    objects = keras.saving.get_custom_objects()
    return {c for name, c in objects.items() if c.__module__.startswith("facescore.")}


def test_every_registered_class_has_a_case():
    assert registered_classes() == set(CASES)


def plain(value):
    """Return tuples as lists, as JSON has them."""
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
def test_every_argument_is_an_attribute_and_in_the_config(kind, tmp_path):
    parameters = inspect.signature(kind.__init__).parameters.values()
    named = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD} - {"self"}
    arguments = CASES[kind]
    assert named <= set(arguments)
    values = {k: v() if callable(v) else v for k, v in arguments.items()}
    item = kind(**values)
    config = item.get_config()
    for name, value in values.items():
        assert name in config
        if name == "dtype":
            assert item.dtype_policy.name == value
        elif name != "network":
            assert plain(getattr(item, name)) == plain(config[name]) == plain(value)
        else:
            assert item.network is value
    again = kind.from_config(config)
    assert again.get_config() == config
    policies = [[x.dtype_policy.name for x in _layers(m)] for m in (item, again)]
    assert policies[0] == policies[1]


def _layers(item):
    network = getattr(item, "network", item)
    return [item, *getattr(network, "layers", [])]
