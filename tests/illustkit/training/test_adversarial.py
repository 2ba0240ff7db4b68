import keras
import numpy as np
import pytest
from keras import layers, ops

from illustkit.errors import UserError
from illustkit.training.adversarial import (
    Adversarial,
    AdversarialAdam,
    SpectralConv2D,
)
from illustkit.training.trainable import Trainable
from tests.layer_checks import gradients

SHAPE = (8, 8, 2)


class Generator(Trainable):
    """A convolution with an L1 term."""

    def __init__(self):
        super().__init__({"l1": 10.0}, monitors=("error",))
        self.network = keras.Sequential(
            [
                keras.Input(SHAPE),
                layers.Conv2D(3, 3, padding="same", activation="tanh"),
                layers.Conv2D(2, 3, padding="same"),
            ]
        )
        self.built = True

    def call(self, inputs, training=False):
        return self.network(inputs, training=training)

    def terms(self, x, y, y_pred, training):
        error = ops.mean(ops.abs(y - y_pred), (1, 2, 3))
        return {"l1": error} if training else {"l1": error, "error": error}


def make_networks():
    """Return a generator and a discriminator with BatchNorm, always the same."""
    keras.utils.set_random_seed(1)
    return Generator(), keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(3, 4, 2, use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(0.2),
            layers.Conv2D(1, 2, use_bias=False),
        ]
    )


def batches(n):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 2, 3, *SHAPE)).astype("float32")


def separate_gradients(loss, variables):
    """Return the gradients of a loss by its own tape, or by its own `jax.grad`."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss()
        return tape.gradient(value, variables)
    import jax

    def function(values):
        with keras.StatelessScope(
            state_mapping=list(zip(variables, values, strict=True))
        ):
            return loss()

    return jax.grad(function)([v.value for v in variables])


def bce(label, logits):
    probability = ops.sigmoid(logits)
    return -ops.mean(ops.log(probability if label else 1 - probability))


def hinge(label, logits):
    return keras.losses.Hinge()(np.full(logits.shape, 2.0 * label - 1), logits)


def square(label, logits):
    return ops.mean((logits - label) ** 2)


# Each by two losses of logits: the discriminator's (real, generated), the generator's.
ORACLES = {
    "bce": (
        lambda r, f: (bce(1, r) + bce(0, f)) / 2,
        lambda r, f: bce(1, f),
    ),
    "hinge": (
        lambda r, f: hinge(1, r) + hinge(0, f),
        lambda r, f: -ops.mean(f),
    ),
    "least_squares": (
        lambda r, f: (square(1, r) + square(0, f)) / 2,
        lambda r, f: square(1, f) / 2,
    ),
    "relativistic": (
        lambda r, f: (bce(1, r - ops.mean(f)) + bce(0, f - ops.mean(r))) / 2,
        lambda r, f: (bce(0, r - ops.mean(f)) + bce(1, f - ops.mean(r))) / 2,
    ),
    "logistic": (
        lambda r, f: bce(1, r) + bce(0, f),
        lambda r, f: bce(1, f),
    ),
}


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("loss", ORACLES)
def test_three_steps_equal_two_tapes_and_two_optimizers(loss):
    model = Adversarial(*make_networks(), adversarial_loss=loss, adversarial_weight=0.5)
    adam = AdversarialAdam(1e-2, discriminator_rate=3.0)
    model.compile(adam)
    generator, discriminator = make_networks()
    learnt = generator.trainable_variables, discriminator.trainable_variables
    optimizers = keras.optimizers.Adam(1e-2, 0.5), keras.optimizers.Adam(3e-2, 0.5)
    loss_of_d, loss_of_g = ORACLES[loss]
    for x, y in batches(3):
        logs = model.train_on_batch(x, y, return_dict=True)
        fake = ops.convert_to_tensor(generator(x))
        real_logits = ops.convert_to_tensor(discriminator(y, training=True))

        def judge(x=x, y=y, fake=fake):
            real = discriminator(y, training=True)
            return loss_of_d(real, discriminator(fake, training=True))

        def deceive(x=x, y=y, real=real_logits):
            made = generator(x)
            value = loss_of_g(real, discriminator(made, training=True))
            return 0.5 * value + 10 * ops.mean(ops.abs(y - made))

        assert float(logs["discriminator"]) == pytest.approx(float(judge()), rel=1e-5)
        of_d, of_g = (
            separate_gradients(judge, learnt[1]),
            separate_gradients(deceive, learnt[0]),
        )
        optimizers[0].apply(of_g, learnt[0])
        optimizers[1].apply(of_d, learnt[1])
    mine = model.generator.trainable_variables, model.discriminator.trainable_variables
    for expected, actual in zip(sum(learnt, []), sum(mine, []), strict=True):
        pair = map(ops.convert_to_numpy, (actual, expected))
        np.testing.assert_allclose(*pair, atol=1e-6)


@pytest.mark.usefixtures("eagerly")
def test_the_logs_name_every_term_and_the_generators_monitors():
    model = Adversarial(*make_networks())
    model.compile(AdversarialAdam())
    x, y = batches(1)[0]
    logs = model.train_on_batch(x, y, return_dict=True)
    terms = {"loss", "l1", "adversarial", "discriminator"}
    assert set(logs) == terms
    expected = 10 * logs["l1"] + logs["adversarial"] + logs["discriminator"]
    assert float(logs["loss"]) == pytest.approx(float(expected), rel=1e-5)
    assert set(model.test_on_batch(x, y, return_dict=True)) == terms | {"error"}


def linear(r1, r1_every=2, normalise=False):
    """A discriminator w·x whose penalty a hand can differentiate."""
    shape = (4,)
    generator = keras.Sequential([keras.Input(shape), layers.Rescaling(1.0)])
    middle = [layers.BatchNormalization()] if normalise else []
    discriminator = keras.Sequential(
        [keras.Input(shape), *middle, layers.Dense(1, use_bias=False)]
    )
    model = Adversarial(
        generator, discriminator, adversarial_loss="hinge", r1=r1, r1_every=r1_every
    )
    model.compile(keras.optimizers.SGD(0.1))
    return model


def test_the_lazy_penalty_is_that_of_a_linear_discriminator():
    """‖∇D‖² = ‖w‖²: a due step moves w by -0.1 · 2 · γ/2 · 2w beside the hinge's."""
    model = linear(r1=0.5)
    x = np.zeros((3, 4), "float32")  # equal samples: the hinge has no gradient
    weights = np.array([1, 2, 0, -1], "float32")
    model.discriminator.set_weights([weights[:, None]])
    for step in range(4):
        logs = model.train_on_batch(x, x, return_dict=True)
        if step % 2 == 0:  # counts twice, since every other step has none
            expected = sum(weights**2) * 2
            weights = weights - 0.1 * 2 * 0.25 * 2 * weights
        model.reset_metrics()
        if step % 2:
            expected = 0
        assert float(logs["r1"]) == pytest.approx(expected, rel=1e-5)
        np.testing.assert_allclose(
            model.discriminator.get_weights()[0][:, 0], weights, rtol=1e-5
        )
    assert int(model.steps_done) == 4
    logs = model.test_on_batch(x, x, return_dict=True)
    assert float(logs["r1"]) == pytest.approx(sum(weights**2), rel=1e-5)


def test_batchnorm_within_the_penalty_changes_no_state_beyond_the_step():
    model = linear(r1=1.0, r1_every=1, normalise=True)
    x, y = np.random.default_rng(0).normal(size=(2, 6, 4)).astype("float32")
    model.train_on_batch(x, y)
    norm = model.discriminator.layers[0]
    expected = 0.99 * (0.01 * y.mean(0)) + 0.01 * x.mean(0)  # the real, the generated
    np.testing.assert_allclose(
        ops.convert_to_numpy(norm.moving_mean), expected, rtol=1e-4, atol=1e-7
    )


def test_each_network_has_its_own_rate_and_norm():
    optimizer = AdversarialAdam(0.1, discriminator_rate=5.0, network_clipnorm=1.0)
    optimizer.n_generator = 1
    variables = [keras.Variable(np.zeros(2, "float32")) for _ in range(2)]
    optimizer.build(variables)
    optimizer.apply([ops.array([3.0, 4.0]), ops.array([0.3, 0.4])], variables)
    # Adam's first step is the rate, whatever the gradient.
    for variable, rate in zip(variables, (0.1, 0.5), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(variable), -rate, rtol=1e-4)
    momenta = [ops.convert_to_numpy(m) for m in optimizer.variables[2::2]]
    np.testing.assert_allclose(momenta[0], [0.3, 0.4], rtol=1e-5)  # (0.6, 0.8) / 2
    np.testing.assert_allclose(momenta[1], [0.15, 0.2], rtol=1e-5)  # not clipped
    config = AdversarialAdam.from_config(optimizer.get_config()).get_config()
    assert config == optimizer.get_config()


def test_compile_counts_the_generators_variables():
    model = Adversarial(*make_networks())
    model.compile(AdversarialAdam())
    scaled = Adversarial(*make_networks())
    scaled.compile(keras.optimizers.LossScaleOptimizer(AdversarialAdam()))
    assert scaled.optimizer.inner_optimizer.n_generator == 4
    n = model.optimizer.n_generator
    assert n == len(model.generator.trainable_variables) == 4
    assert all(
        a is b
        for a, b in zip(
            model.trainable_variables,
            model.generator.trainable_variables
            + model.discriminator.trainable_variables,
            strict=True,
        )
    )


def test_a_saved_model_goes_on_with_the_same_steps(tmp_path):
    model = linear(r1=0.5, r1_every=3)
    x, y = np.random.default_rng(0).normal(size=(2, 6, 4)).astype("float32")
    model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(
        tmp_path / "model.keras", {"Adversarial": Adversarial}
    )
    assert int(again.steps_done) == 1
    for each in (model, again):
        for _ in range(3):
            each.train_on_batch(x, y)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_wrong_arguments_are_named():
    with pytest.raises(UserError, match="`adversarial_loss` must be one of bce, hinge"):
        Adversarial(*make_networks(), adversarial_loss="wasserstein")
    generator, discriminator = make_networks()
    generator.term_weights["adversarial"] = 1.0
    with pytest.raises(ValueError, match=r"\['adversarial'\]"):
        Adversarial(generator, discriminator)


def test_the_spectral_norm_becomes_the_largest_singular_value():
    layer = SpectralConv2D(5, 3, use_bias=False)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 3, 3, 4)).astype("float32")
    for _ in range(30):
        layer(x, training=True)
    kernel = ops.convert_to_numpy(layer.kernel).reshape(-1, 5)
    largest = np.linalg.svd(kernel, compute_uv=False)[0]
    expected = x.reshape(1, -1) @ kernel / largest
    before = ops.convert_to_numpy(layer.direction)
    result = ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(result[:, 0, 0], expected, rtol=1e-4)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.direction), before)


def test_the_gradient_of_the_spectral_norm_is_the_papers():
    """Equation (12): (∂L/∂Ŵ - λ u vᵀ) / σ, with λ = the mean of ∂L/∂Ŵ · Ŵ."""
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(2, 1, 2, 2, 3)).astype("float32")
    layer = SpectralConv2D(3, 1, use_bias=False)
    layer.build(x.shape)
    kernel = ops.convert_to_numpy(layer.kernel)
    left, values, right = np.linalg.svd(kernel[0, 0])
    layer.direction.assign(right[0])

    def loss(value):
        with keras.StatelessScope(state_mapping=[(layer.kernel, value)]):
            return ops.sum(layer(x) * target)

    (result,) = gradients(loss, [kernel])
    of_normalised = np.einsum("nhwi,nhwo->io", x, target)
    along = np.sum(of_normalised * kernel[0, 0] / values[0])
    expected = of_normalised - along * np.outer(left[:, 0], right[0])
    np.testing.assert_allclose(result[0, 0], expected / values[0], rtol=1e-3, atol=1e-5)
