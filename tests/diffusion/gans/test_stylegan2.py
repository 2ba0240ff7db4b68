import keras
import numpy as np
import pytest
from keras import ops

from diffusion.gans.stylegan2 import StyleDiscriminator, StyleGAN2, StyleGenerator
from diffusion.training.gan import LatentIcons

SIDE, STYLE = 8, 5


def count(network):
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


def tiny(**options):
    keras.utils.set_random_seed(1)
    options = {"path_every": 1, "r1_every": 1, "average_images": 100.0, **options}
    return StyleGAN2(SIDE, latent=STYLE, base=24, mapping_layers=1, **options)


def icons(n):
    return np.random.default_rng(3).integers(0, 256, (n, SIDE, SIDE, 3), "uint8")


def batch_of(model, n=4):
    return LatentIcons(icons(n), model, steps=1, batch_size=n)[0][0]


def test_the_networks_at_128_have_the_known_numbers_of_parameters(monkeypatch):
    """As in the official code: ADA's small configuration, and the paper's F."""
    zeros = keras.initializers.Zeros  # the numbers themselves take seconds to draw
    monkeypatch.setattr(keras.initializers, "RandomNormal", lambda **_: zeros())
    assert count(StyleGenerator(128)) == 22_949_277
    assert count(StyleDiscriminator(128)) == 23_882_369
    f = StyleGenerator(128, base=32768, mapping_layers=8)
    assert count(f) == 29_328_669
    assert count(StyleDiscriminator(128, base=32768)) == 28_389_121
    assert f.n_styles == 12


def test_a_picture_is_the_sum_of_what_every_size_adds():
    """The skips: the picture of 4 pixels, doubled, and that of 8 pixels."""
    generator = tiny().generator
    x = {
        "styles": np.random.default_rng(0).normal(size=(2, 4, STYLE)),
        "noise": np.zeros((2, generator.n_noise)),
    }
    x = {name: value.astype("float32") for name, value in x.items()}
    synthesis = generator.synthesis
    small, large = (synthesis.get_layer(f"rgb_{size}").output for size in (4, 8))
    parts = keras.Model(synthesis.input, [small, large])(x)
    small, large = (ops.convert_to_numpy(part) for part in parts)
    padded = np.pad(small, [(0, 0), (1, 1), (1, 1), (0, 0)])
    doubled = np.zeros((2, 8, 8, 3))
    taps = {0: ((0, 1), (1, 3)), 1: ((1, 3), (2, 1))}  # (place, weight) of a phase
    for i in range(8):
        for j in range(8):
            for a, p in taps[i % 2]:
                for b, q in taps[j % 2]:
                    part = padded[:, i // 2 + a, j // 2 + b] * p * q / 16
                    doubled[:, i, j] += part
    np.testing.assert_allclose(synthesis(x), doubled + large, atol=1e-5)


def test_noise_reaches_its_own_layer_alone():
    """The second layer's noise changes what follows, not the picture of 4 pixels."""
    synthesis = tiny().generator.synthesis
    for layer in synthesis.layers:
        if hasattr(layer, "strength"):
            layer.strength.assign(1.0)
    styles = np.ones((1, 4, STYLE), "float32")
    names = "conv_4", "conv_8_up", "conv_8"
    watched = keras.Model(
        synthesis.input, [synthesis.get_layer(n).output for n in names]
    )
    still = watched({"styles": styles, "noise": np.zeros((1, 144), "float32")})
    for number, start in enumerate((0, 16, 80)):
        noise = np.zeros((1, 144), "float32")
        noise[0, start] = 1.0  # the upper left corner of a layer
        moved = watched({"styles": styles, "noise": noise})
        changed = [
            np.any(ops.convert_to_numpy(a) != ops.convert_to_numpy(b))
            for a, b in zip(still, moved, strict=True)
        ]
        assert changed == [False] * number + [True] * (3 - number)


def test_the_mapping_begins_with_a_unit_mean_square():
    generator = tiny().generator
    z = np.random.default_rng(0).normal(size=(3, STYLE)).astype("float32")
    w = ops.convert_to_numpy(generator.mapping(z))
    np.testing.assert_allclose(generator.mapping(7 * z), w, rtol=1e-4)
    kernel = ops.convert_to_numpy(generator.mapping.layers[-1].kernel)
    x = z / np.sqrt((z**2).mean(1, keepdims=True))
    x = x @ kernel * 0.01 / np.sqrt(STYLE)
    expected = np.where(x > 0, x, 0.2 * x) * np.sqrt(2)
    np.testing.assert_allclose(w, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("eagerly")
def test_the_path_length_is_that_of_differences():
    """‖Jᵀy‖ by finite differences of every number of every style."""
    model = tiny(path_weight=2.0)
    x = batch_of(model)
    term = ops.convert_to_numpy(model.extra_terms(x, None, False)["path_length"])
    lengths = []
    for i in (0, 2):  # every second picture
        one = {name: value[i : i + 1] for name, value in x.items()}
        styles = ops.convert_to_numpy(model._styles(one)[1]).astype("float64")
        slopes = np.zeros(styles.shape[1:])
        for layer, number in np.ndindex(*slopes.shape):
            ends = []
            for step in (-1e-2, 1e-2):
                moved = styles.copy()
                moved[0, layer, number] += step
                picture = model._pictures(moved.astype("float32"), one["noise"])
                direction = one["direction"] / SIDE
                ends.append(np.sum(ops.convert_to_numpy(picture) * direction))
            slopes[layer, number] = (ends[1] - ends[0]) / 2e-2
        lengths.append(np.sqrt((slopes**2).sum(1).mean()))
    np.testing.assert_allclose(np.sqrt(term), lengths, rtol=5e-3)


@pytest.mark.usefixtures("eagerly")
def test_a_due_step_moves_the_mean_length_and_counts_for_those_between():
    model = tiny(path_every=3)
    model.compile(keras.optimizers.SGD(0.0))
    x = batch_of(model)
    lengths = np.sqrt(
        ops.convert_to_numpy(model.extra_terms(x, None, False)["path_length"])
    )
    mean, seen = 0.0, []
    for step in range(4):
        model.reset_metrics()
        logs = model.train_on_batch(x, return_dict=True)
        if step % 3 == 0:
            mean += 0.01 * (lengths.mean() - mean)
        expected = 3 * ((lengths - mean) ** 2).mean() if step % 3 == 0 else 0
        seen.append((float(logs["path_length"]), expected))
        assert float(model.mean_length) == pytest.approx(mean, rel=1e-4)
    np.testing.assert_allclose(*np.transpose(seen), rtol=1e-3)


def test_averages_forget_half_after_some_pictures():
    """After 6 pictures, or a twentieth of those seen; the first is a copy."""
    model = tiny(average_images=6.0)
    weight = model.generator.trainable_variables[0]
    start, expected = ops.convert_to_numpy(weight), None
    for step in range(60):
        weight.assign(start + step)
        half = min(6.0, 0.05 * 4 * step)
        decay = 0.5 ** (4 / half) if half else 0.0
        expected = decay * (expected if step else 0) + (1 - decay) * (start + step)
        model._average(4)
        model.steps.assign_add(1)
    np.testing.assert_allclose(model._averages[0], expected, rtol=1e-4)
    with model.averaged():
        np.testing.assert_allclose(weight, expected, rtol=1e-4)
    np.testing.assert_array_equal(weight, start + 59)


def test_truncation_draws_styles_towards_their_mean():
    model = tiny()
    mean = np.arange(STYLE, dtype="float32")
    model.mean_style.assign(mean)
    latents = model.latents(3, seed=1)
    styles, half = model.styles(latents), model.styles(latents, 0.5)
    np.testing.assert_allclose(half, (styles + mean) / 2, rtol=1e-5)
    assert np.ptp(styles, axis=1).max() == 0  # one style for all layers
    average = model.sample(3, truncation=0.0, seed=1)
    alone = model.generate({**latents, "styles": np.broadcast_to(mean, styles.shape)})
    np.testing.assert_array_equal(average, alone)
    assert average.shape == (3, SIDE, SIDE, 3) and average.dtype == np.uint8


def test_nine_in_ten_training_pictures_have_two_styles():
    model = tiny()
    mixing = model.draw_training(np.random.default_rng(0), 4000)["mixing"]
    n = model.generator.n_styles
    assert 0.88 < np.mean(mixing < n) < 0.92
    assert set(mixing[mixing < n]) == {1, 2, 3}
    assert set(model.draw(np.random.default_rng(0), 9)["mixing"]) == {n}
