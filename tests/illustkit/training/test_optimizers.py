import keras
import numpy as np
import pytest

from illustkit.training.optimizers import (
    ClippedAdam,
    ClippedAdamW,
    ClippedSGD,
    WarmupStableDecay,
    make_optimizer,
)

STOCK = {
    ClippedAdam: keras.optimizers.Adam,
    ClippedAdamW: keras.optimizers.AdamW,
    ClippedSGD: keras.optimizers.SGD,
}
OLD_NAMES = {
    "oppai>ClippedAdam": ClippedAdam,
    "diffusion>ClippedAdam": ClippedAdam,
    "facescore>ClippedAdamW": ClippedAdamW,
    "facescore>ClippedSGD": ClippedSGD,
    "oppai>WarmHoldFall": WarmupStableDecay,
    "diffusion>WarmUp": WarmupStableDecay,
}
GRADIENTS = np.float32([[3, 0], [0, 4]]), np.float32([12])  # of norm 13
COSINE = {"steps": 6, "warm_up": 2, "first": 0.1, "last": 0.01, "weight_decay": 0.0}
SGD = {"momentum": 0.9, "nesterov": False}


def stepped(kind, **options):
    """Two variables after one step."""
    variables = [keras.Variable(np.ones_like(g)) for g in GRADIENTS]
    kind(0.1, **options).apply([keras.ops.array(g) for g in GRADIENTS], variables)
    return [keras.ops.convert_to_numpy(v) for v in variables]


def rates(schedule, steps):
    return [float(schedule(step)) for step in steps]


@pytest.mark.parametrize("norm, scale", [(6.5, 0.5), (26.0, 1.0)])
def test_gradients_are_clipped_to_the_norm_of_all(norm, scale):
    for gradient, value in zip(
        GRADIENTS, stepped(ClippedSGD, global_clipnorm=norm), strict=True
    ):
        np.testing.assert_allclose(value, 1 - 0.1 * scale * gradient, rtol=1e-6)


@pytest.mark.parametrize("kind", STOCK)
def test_on_one_device_it_is_what_keras_does(kind):
    for options in ({"global_clipnorm": 2.0}, {"clipnorm": 1.0}, {}):
        if kind is not ClippedSGD:
            options["epsilon"] = 1.0  # so that a step's size depends on the gradient's
        for a, b in zip(
            stepped(kind, **options), stepped(STOCK[kind], **options), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("kind", STOCK)
def test_its_name_and_its_norm_are_saved(kind):
    assert keras.saving.get_registered_name(kind) == f"illustkit>{kind.__name__}"
    saved = keras.saving.serialize_keras_object(kind(0.1, global_clipnorm=3.0))
    again = keras.saving.deserialize_keras_object(saved)
    assert type(again) is kind and again.global_clipnorm == 3.0


@pytest.mark.parametrize("name", OLD_NAMES)
def test_names_of_older_versions_load(name):
    kind = OLD_NAMES[name]
    instance = kind(2.0, 4) if kind is WarmupStableDecay else kind(0.1)
    saved = keras.saving.serialize_keras_object(instance)
    saved["registered_name"] = name
    saved["module"] = f"{name.split('>')[0]}.optimizers"
    saved["class_name"] = name.split(">")[1]
    if name == "diffusion>WarmUp":
        saved["config"] = {"rate": 2.0, "steps": 4}
    again = keras.saving.deserialize_keras_object(saved)
    assert type(again) is kind and again.get_config() == instance.get_config()


def test_the_rate_rises_stays_and_falls():
    schedule = WarmupStableDecay(2.0, warm=2, total=12)
    # The fall begins where (12 - step) / 9 is below 1.
    assert rates(schedule, (0, 1, 2, 3, 6, 12)) == pytest.approx(
        [1.0, 2.0, 2.0, 2.0, 2.0 * 6 / 9, 0.0]
    )
    assert rates(WarmupStableDecay(2.0, 4), (0, 1, 3, 999)) == [0.5, 1.0, 2.0, 2.0]


def test_the_rate_rises_and_falls_along_a_cosine():
    schedule = make_optimizer("sgd", 0.5, **COSINE, **SGD)._learning_rate
    assert rates(schedule, (0, 1, 2, 4, 6)) == pytest.approx(
        [0.05, 0.275, 0.5, 0.5 * (0.01 + 0.99 / 2), 0.005], rel=1e-5
    )


@pytest.mark.parametrize("name, kind", [("adamw", ClippedAdamW), ("sgd", ClippedSGD)])
def test_kernels_decay_and_biases_do_not(name, kind):
    dense = keras.layers.Dense(1, bias_initializer="ones", kernel_initializer="ones")
    dense.build((None, 1))
    optimizer = make_optimizer(name, 0.5, **{**COSINE, "weight_decay": 0.1}, **SGD)
    assert type(optimizer) is kind and optimizer.global_clipnorm == 10
    zeros = [keras.ops.zeros(v.shape) for v in dense.trainable_variables]
    optimizer.apply(zeros, dense.trainable_variables)
    kernel, bias = dense.get_weights()
    assert kernel == pytest.approx(1 - 0.05 * 0.1) and bias == 1.0
