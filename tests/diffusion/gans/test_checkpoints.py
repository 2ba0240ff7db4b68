import zlib

import numpy as np
import pytest

from diffusion.gans.checkpoints import load_stylegan2
from diffusion.gans.stylegan2 import StyleDiscriminator, StyleGAN2, StyleGenerator
from illustkit.state_dicts import StateDictError

# What the networks of stylegan2-ada-pytorch and of rosinality/stylegan2-pytorch, as
# `draggan` 1.1.6 has them, gave with PyTorch 2.14 for the weights below: mean, standard
# deviation, and seven values evenly spaced through the flattened output.
ADA = [0.561854, 1.628349], [0.257232, 3.648575, 2.360999, -0.291694, -1.152293,
                             -1.097866, -0.544216]  # fmt: skip
ADA_HALF = [0.546882, 1.099173], [1.081442, 2.184953, 1.289434, 0.775602, 0.146124,
                                  -0.683519, -0.872937]  # fmt: skip
ADA_LOGITS = [0.027893, 0.022904], [0.058422, 0.058422, 0.007298, 0.004314, 0.004314,
                                    0.004314, 0.041539]  # fmt: skip
ROSINALITY = [2.43631, 5.612963], [9.266927, -1.146887, -1.068, 10.135362, 6.943795,
                                   -3.183822, 1.113386]  # fmt: skip
ROSINALITY_LOGITS = [-3.668381, 0.078309], [-3.75758, -3.75758, -3.570159, -3.731564,
                                            -3.731564, -3.731564,
                                            -3.614222]  # fmt: skip


def waves(name, shape):
    """Weights that follow from a name and a shape in PyTorch's order."""
    begin = zlib.crc32(name.encode()) % 1000
    wave = np.sin(begin + 2.39 * np.arange(np.prod(shape, dtype=int)) ** 1.5)
    wave = wave.reshape(shape)
    mapping = name.startswith(("style.", "mapping.fc"))
    if name.endswith(("modulation.bias", "affine.bias")):
        return 1 + 0.3 * wave
    if name.endswith(("noise.weight", "noise_strength")):
        return 0.3 + 0.1 * wave
    if name.endswith("bias"):
        return wave * (30 if mapping else 0.3)
    return wave * 2**0.5 * (100 if mapping else 1)


def ada_generator():
    """Names and shapes of 16×16 pixels, by hand from its `networks.py`."""
    shapes = {"mapping.w_avg": (16,), "synthesis.b4.const": (32, 4, 4)}
    for i in range(2):
        shapes |= {f"mapping.fc{i}.weight": (16, 16), f"mapping.fc{i}.bias": (16,)}
    layers = [(4, "conv1", 32, 32), (8, "conv0", 32, 16), (8, "conv1", 16, 16)]
    layers += [(16, "conv0", 16, 8), (16, "conv1", 8, 8)]
    for size, layer, before, after in layers:
        name = f"synthesis.b{size}.{layer}"
        shapes |= {f"{name}.weight": (after, before, 3, 3), f"{name}.bias": (after,)}
        shapes |= {f"{name}.noise_strength": (), f"{name}.noise_const": (size, size)}
        shapes |= {f"{name}.affine.weight": (before, 16)}
        shapes |= {f"{name}.affine.bias": (before,)}
    for size, width in ((4, 32), (8, 16), (16, 8)):
        name = f"synthesis.b{size}.torgb"
        shapes |= {f"{name}.weight": (3, width, 1, 1), f"{name}.bias": (3,)}
        shapes |= {f"{name}.affine.weight": (width, 16)}
        shapes |= {f"{name}.affine.bias": (width,)}
    return {name: waves(name, shape) for name, shape in shapes.items()}


def ada_discriminator():
    shapes = {"b16.fromrgb.weight": (8, 3, 1, 1), "b16.fromrgb.bias": (8,)}
    for size, before, after in ((16, 8, 16), (8, 16, 32)):
        shapes |= {f"b{size}.conv0.weight": (before, before, 3, 3)}
        shapes |= {f"b{size}.conv0.bias": (before,), f"b{size}.conv1.bias": (after,)}
        shapes |= {f"b{size}.conv1.weight": (after, before, 3, 3)}
        shapes |= {f"b{size}.skip.weight": (after, before, 1, 1)}
    shapes |= {"b4.conv.weight": (32, 33, 3, 3), "b4.conv.bias": (32,)}
    shapes |= {"b4.fc.weight": (32, 512), "b4.fc.bias": (32,)}
    shapes |= {"b4.out.weight": (1, 32), "b4.out.bias": (1,)}
    return {name: waves(name, shape) for name, shape in shapes.items()}


def rosinality_generator():
    """Names and shapes of 8×8 pixels: 512 channels, whatever is asked for."""
    shapes = {"input.input": (1, 512, 4, 4)}
    for i in (1, 2, 3):
        shapes |= {f"style.{i}.weight": (16, 16), f"style.{i}.bias": (16,)}
    for name in ("conv1", "convs.0", "convs.1"):
        shapes |= {f"{name}.conv.weight": (1, 512, 512, 3, 3)}
        shapes |= {f"{name}.noise.weight": (1,), f"{name}.activate.bias": (512,)}
    for name in ("to_rgb1", "to_rgbs.0"):
        shapes |= {f"{name}.conv.weight": (1, 3, 512, 1, 1)}
        shapes |= {f"{name}.bias": (1, 3, 1, 1)}
    for name in ("conv1", "convs.0", "convs.1", "to_rgb1", "to_rgbs.0"):
        shapes |= {f"{name}.conv.modulation.weight": (512, 16)}
        shapes |= {f"{name}.conv.modulation.bias": (512,)}
    for i, size in enumerate((4, 8, 8)):
        shapes[f"noises.noise_{i}"] = 1, 1, size, size
    return {name: waves(name, shape) for name, shape in shapes.items()}


def rosinality_discriminator():
    shapes = {"convs.0.0.weight": (512, 3, 1, 1), "convs.0.1.bias": (512,)}
    shapes |= {"convs.1.conv1.0.weight": (512, 512, 3, 3)}
    shapes |= {"convs.1.conv1.1.bias": (512,), "convs.1.conv2.2.bias": (512,)}
    shapes |= {"convs.1.conv2.1.weight": (512, 512, 3, 3)}
    shapes |= {"convs.1.skip.1.weight": (512, 512, 1, 1)}
    shapes |= {"final_conv.0.weight": (512, 513, 3, 3), "final_conv.1.bias": (512,)}
    shapes |= {"final_linear.0.weight": (512, 8192), "final_linear.0.bias": (512,)}
    shapes |= {"final_linear.1.weight": (1, 512), "final_linear.1.bias": (1,)}
    return {name: waves(name, shape) for name, shape in shapes.items()}


def pictures(n, size):
    values = np.sin(0.37 * np.arange(n * size * size * 3) ** 1.1)
    return values.reshape(n, size, size, 3).astype("float32")


def z():
    return np.sin(0.9 * np.arange(32) ** 1.2).reshape(2, 16).astype("float32")


def check(output, golden, atol):
    flat = np.asarray(output, "float64").ravel()
    at = np.linspace(0, flat.size - 1, 7).round().astype(int)
    np.testing.assert_allclose([flat.mean(), flat.std()], golden[0], atol=atol)
    np.testing.assert_allclose(flat[at], golden[1], atol=atol)


def generated(generator, noise, truncation=1.0):
    w = np.asarray(generator.mapping(z()))
    mean = np.asarray(generator.mean_style)
    styles = np.repeat((mean + truncation * (w - mean))[:, None], generator.n_styles, 1)
    return generator.synthesis({"styles": styles, "noise": np.repeat(noise, 2, 0)})


def test_a_generator_of_ada_makes_its_pictures():
    generator = StyleGenerator(16, base=128, latent=16)
    noise = load_stylegan2(generator, ada_generator())
    assert noise.shape == (1, generator.n_noise) and noise.dtype == "float32"
    check(generated(generator, noise), ADA, 1e-4)
    check(generated(generator, noise, 0.5), ADA_HALF, 1e-4)


def test_a_discriminator_of_ada_gives_its_logits():
    discriminator = StyleDiscriminator(16, base=128)
    assert load_stylegan2(discriminator, ada_discriminator()) is None
    check(discriminator({"pictures": pictures(4, 16)}), ADA_LOGITS, 1e-4)


def test_a_generator_of_rosinality_makes_its_pictures():
    generator = StyleGenerator(8, base=32768, latent=16, mapping_layers=3)
    noise = load_stylegan2(generator, rosinality_generator())
    check(generated(generator, noise), ROSINALITY, 1e-4)


def test_a_discriminator_of_rosinality_gives_its_logits():
    discriminator = StyleDiscriminator(8, base=32768)
    load_stylegan2(discriminator, rosinality_discriminator())
    check(discriminator({"pictures": pictures(4, 8)}), ROSINALITY_LOGITS, 1e-4)


def test_a_pair_takes_the_average_and_samples_from_it():
    model = StyleGAN2(16, base=128, latent=16)
    model.steps.assign(9)  # trained before: it has an average of its own
    other = {name: 0 * value for name, value in ada_generator().items()}
    state = {"G": other, "G_ema": ada_generator(), "D": ada_discriminator(), "kimg": 7}
    noise = load_stylegan2(model, state)
    with model.averaged():
        check(generated(model.generator, noise), ADA, 1e-4)
    check(model.discriminator({"pictures": pictures(4, 16)}), ADA_LOGITS, 1e-4)


def test_the_mean_style_of_rosinality_stands_beside_its_networks():
    generator = StyleGenerator(8, base=32768, latent=16, mapping_layers=3)
    state = {"g_ema": rosinality_generator(), "latent_avg": np.arange(16.0)}
    load_stylegan2(generator, state)
    np.testing.assert_array_equal(generator.mean_style, np.arange(16))


@pytest.mark.parametrize(
    ("options", "change", "says"),
    [
        ({"image_size": 8}, {}, "image_size=16, mapping_layers=2, latent=16, base=128"),
        ({}, {"mapping.fc1.bias": np.full(16, np.nan)}, "not finite"),
        ({}, {"mapping.embed.weight": np.ones((16, 3))}, "embed.weight, which the"),
        ({}, {"synthesis.b8.torgb.bias": "text"}, "no array of numbers"),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(options, change, says):
    generator = StyleGenerator(
        **{"image_size": 16, "base": 128, "latent": 16, **options}
    )
    before = [np.asarray(weight) for weight in generator.weights]
    with pytest.raises(StateDictError, match=says):
        load_stylegan2(generator, {**ada_generator(), **change})
    for was, weight in zip(before, generator.weights, strict=True):
        np.testing.assert_array_equal(was, weight)


def test_another_file_is_told_what_is_needed(tmp_path):
    np.savez(tmp_path / "other.npz", weight=np.ones(3))
    with pytest.raises(StateDictError, match="no generator of StyleGAN2"):
        load_stylegan2(StyleGenerator(8, base=64, latent=8), tmp_path / "other.npz")
    with pytest.raises(StateDictError, match="no discriminator of StyleGAN2"):
        load_stylegan2(StyleDiscriminator(8, base=64), ada_generator())
