import keras
import numpy as np
import pytest
from keras import ops

from diffusion.attributes import encode
from diffusion.gans.dcgan import DCGAN, DCDiscriminator, DCGenerator
from diffusion.training.gan import LatentIcons
from illustkit.errors import UserError


def count(network):
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


def tiny(**options):
    keras.utils.set_random_seed(1)
    return DCGAN(8, filters=6, latent=5, **options)


def batch_of(model, n, labels=None):
    rng = np.random.default_rng(2)
    pictures = rng.integers(0, 256, (n, 8, 8, 3), "uint8")
    return {"pictures": pictures, **model.draw(rng, n, labels)}


def test_the_networks_at_128_have_the_known_numbers_of_parameters():
    model = DCGAN(128)
    assert count(model.generator) == 12_786_560
    assert count(model.discriminator) == 11_164_416


def test_kernels_of_5_and_the_labels_of_every_layer_add_their_weights():
    options = {"image_size": 16, "filters": 8}
    plain = DCGenerator(**options)
    # Two doublings: 8 -> 4 -> 3 channels, 25 places of a kernel in place of 16.
    five = DCGenerator(**options, kernel=5)
    assert count(five) - count(plain) == 9 * (8 * 4 + 4 * 3)
    labelled = DCGenerator(**options, classes=5)
    assert count(labelled) - count(plain) == 5 * (16 * 8 + 16 * 4 + 16 * 3)
    plain, labelled = DCDiscriminator(**options), DCDiscriminator(**options, classes=5)
    assert count(labelled) - count(plain) == 5 * (16 * 4 + 16 * 8 + 1)


def test_weights_begin_with_a_standard_deviation_of_two_hundredths():
    model = DCGAN(16, filters=256)
    for network in (model.generator, model.discriminator):
        for variable in network.trainable_variables:
            values = ops.convert_to_numpy(variable)
            if variable.name == "beta":
                assert not values.any()
                continue
            mean = 1 if variable.name == "gamma" else 0
            assert values.mean() == pytest.approx(mean, abs=2e-3)
            assert values.std() == pytest.approx(0.02, rel=0.2)


def test_the_generator_is_dense_norm_relu_and_a_transposed_convolution():
    """A loop in NumPy: input pixel i adds kernel[k] to output pixel 2i - 1 + k."""
    model = tiny()
    dense, gamma, beta, kernel = map(
        ops.convert_to_numpy, model.generator.trainable_variables
    )
    rng = np.random.default_rng(0)
    kernel, gamma = rng.normal(size=kernel.shape), rng.uniform(1, 2, 6)
    model.generator.trainable_variables[1].assign(gamma)
    model.generator.trainable_variables[3].assign(kernel)
    z = rng.uniform(-1, 1, (2, 5)).astype("float32")
    x = (100 * z @ dense).reshape(2, 4, 4, 6)
    x = np.maximum(x / np.sqrt(1 + 1e-5) * gamma + beta, 0)
    expected = np.zeros((2, 10, 10, 3))
    for i in range(4):
        for j in range(4):
            part = np.einsum("nc,hwoc->nhwo", x[:, i, j], kernel)
            expected[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += part
    made = ops.convert_to_numpy(model.generator({"z": 100 * z}))
    np.testing.assert_allclose(made, np.tanh(expected[:, 1:9, 1:9]), atol=1e-4)


def test_the_discriminator_is_strided_convolutions_with_norms_but_the_first():
    model = DCDiscriminator(16, filters=8)
    kinds = [type(layer).__name__ for layer in model.layers]
    block = ["Conv2D", "BatchNormalization", "LeakyReLU"]
    end = ["Flatten", "Dense", "Activation"]
    assert kinds == ["InputLayer", "Conv2D", "LeakyReLU", *block, *end]
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (2, 16, 16, 3)).astype("float32")
    kernel = ops.convert_to_numpy(model.layers[1].kernel)
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    expected = np.einsum("nhwc,hwco->no", padded[:, 2:6, 4:8], kernel)
    first = keras.Model(model.input, model.layers[1].output)({"pictures": x})
    np.testing.assert_allclose(first[:, 1, 2], expected, atol=1e-5)


@pytest.mark.usefixtures("eagerly")
def test_a_conditional_pair_is_given_the_labels_of_its_icons():
    model = tiny(classes=3)
    model.compile()
    pictures = np.arange(6, dtype="uint8")[:, None, None, None]
    pictures = np.broadcast_to(pictures, (6, 8, 8, 3))
    batches = LatentIcons(
        pictures, model, steps=3, batch_size=4, labels=[0, 1, 2, 0, 1, 2]
    )
    for (x,) in (batches[i] for i in range(3)):
        np.testing.assert_array_equal(
            x["labels"].argmax(1), x["pictures"][:, 0, 0, 0] % 3
        )
        logs = model.train_on_batch(x, return_dict=True)
    assert set(logs) == {"loss", "adversarial", "discriminator"}
    latents = model.latents(2, label=1)
    other = {**latents, "labels": model.latents(2, label=2)["labels"]}
    assert np.any(model.generate(latents) != model.generate(other))
    in_turn = model.latents(4, first=1)["labels"]
    np.testing.assert_array_equal(in_turn.argmax(1), [1, 2, 0, 1])
    with pytest.raises(UserError, match="`label` is the number of a class"):
        tiny().latents(1, label=0)
    with pytest.raises(ValueError, match="needs `labels`"):
        LatentIcons(pictures, model, steps=1, batch_size=2)


def test_attributes_that_no_wish_names_are_drawn_for_each_picture():
    schema = {"hair": ["blue", "red", "white"], "glasses": ["no", "yes"]}
    model = tiny(attributes=schema)
    assert model.classes == 5
    free = model.latents(40, seed=1)
    counts = free["labels"][:, :3].sum(1), free["labels"][:, 3:].sum(1)
    np.testing.assert_array_equal(counts, 1)
    assert free["labels"].any(0).all()
    wishes = encode(schema, [{"hair": "red"}] * 40)
    asked = model.latents(40, seed=1, wishes=wishes)
    np.testing.assert_array_equal(asked["labels"][:, :3], wishes[:, :3])
    np.testing.assert_array_equal(asked["labels"][:, 3:], free["labels"][:, 3:])
    np.testing.assert_array_equal(asked["z"], free["z"])
    with pytest.raises(UserError, match="`attributes` have 5 values"):
        tiny(attributes=schema, classes=3)


def test_a_picture_depends_on_the_seed_and_its_number_alone():
    model = tiny()
    together = model.latents(3, seed=7)["z"]
    assert np.abs(together).max() <= 1
    np.testing.assert_array_equal(together[2:], model.latents(1, seed=7, first=2)["z"])
    pictures = model.generate({"z": together}, batch_size=2)
    assert pictures.shape == (3, 8, 8, 3) and pictures.dtype == np.uint8
    alone = model.sample(1, seed=7, first=2)[0].astype(int)
    assert np.abs(alone - pictures[2]).max() <= 1
