import numpy as np

from tests.layer_checks import check_cases, conformance


def activations(shape):
    """Values as large as in a network, so that a normalisation has something to do."""
    return np.random.default_rng(0).normal(0, 30, shape).astype("float32")


# qualified name of a layer, arguments, shape; one layer may have several cases
CASES = [
    ("facescore.scorer.networks.alexnet.LocalResponseNormalization", {}, (2, 3, 4, 7)),
    (
        "facescore.scorer.networks.alexnet.LocalResponseNormalization",
        {"n": 3, "k": 1.0, "alpha": 0.02, "beta": 0.5},
        (2, 3, 2),
    ),
    ("facescore.scorer.networks.alexnet.CoverAllMaxPool", {}, (2, 8, 7, 3)),
    (
        "facescore.scorer.networks.alexnet.CoverAllMaxPool",
        {"pool_size": 2, "strides": 1},
        (2, 5, 1, 3),
    ),
    ("facescore.scorer.networks.transfer_net.CellStatistics", {}, (2, 10, 12, 3)),
    (
        "facescore.scorer.networks.transfer_net.CellStatistics",
        {"grid": 2},
        (1, 5, 3, 2),
    ),
    ("facescore.efficientnet_lite.Signed", {}, (2, 4, 4, 3)),
    ("facescore.scorer.model.CoralThresholds", {"biases": [1.5, 0.0, -0.5]}, (4, 1)),
]


test_layer_conforms = conformance(CASES, activations)


def test_every_public_layer_has_a_case_and_is_registered():
    check_cases(CASES, "facescore")
