import keras
import numpy as np
import pytest

from diffusion.optimizers import ClippedAdam
from facescore.detector.training import choose_detector_settings
from facescore.optimizers import ClippedAdamW, ClippedSGD, make_optimizer
from illustkit.training.optimizers import GlobalClipping

KINDS = {
    "diffusion>ClippedAdam": (ClippedAdam, keras.optimizers.Adam),
    "facescore>ClippedAdamW": (ClippedAdamW, keras.optimizers.AdamW),
    "facescore>ClippedSGD": (ClippedSGD, keras.optimizers.SGD),
}
GRADIENTS = np.float32([[3, 0], [0, 4]]), np.float32([12])  # of norm 13


def stepped(kind, **options):
    """Two variables after one step."""
    variables = [keras.Variable(np.ones_like(g)) for g in GRADIENTS]
    kind(0.1, **options).apply([keras.ops.array(g) for g in GRADIENTS], variables)
    return [keras.ops.convert_to_numpy(v) for v in variables]


@pytest.mark.parametrize("norm, share", [(6.5, 0.5), (26.0, 1.0)])
def test_gradients_are_cut_to_the_norm_of_all(norm, share):
    for gradient, value in zip(
        GRADIENTS, stepped(ClippedSGD, global_clipnorm=norm), strict=True
    ):
        np.testing.assert_allclose(value, 1 - 0.1 * share * gradient, rtol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_on_one_device_it_is_what_keras_does(name):
    mine, of_keras = KINDS[name]
    for options in ({"global_clipnorm": 2.0}, {"clipnorm": 1.0}, {}):
        if of_keras is not keras.optimizers.SGD:
            options["epsilon"] = 1.0  # so that a step's size tells the gradient's
        for a, b in zip(
            stepped(mine, **options), stepped(of_keras, **options), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_its_name_and_its_norm_are_saved(name):
    kind, _ = KINDS[name]
    assert keras.saving.get_registered_name(kind) == name
    saved = keras.saving.serialize_keras_object(kind(0.1, global_clipnorm=3.0))
    again = keras.saving.deserialize_keras_object(saved)
    assert type(again) is kind and issubclass(kind, GlobalClipping)
    assert again.global_clipnorm == 3.0


@pytest.mark.parametrize("name, kind", [("adamw", ClippedAdamW), ("sgd", ClippedSGD)])
def test_the_detector_and_the_scorer_train_with_it(name, kind):
    chosen = choose_detector_settings("tiny", optimizer=name)
    options = {"first": 0.1, "last": 0.1, "momentum": 0.9, "nesterov": False}
    optimizer = make_optimizer(chosen, steps=4, warm_up=1, **options)
    assert type(optimizer) is kind and optimizer.global_clipnorm == 10
