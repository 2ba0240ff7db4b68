import keras
import numpy as np
import pytest
from keras import ops

from diffusion.gans.dcgan import DCGAN
from diffusion.gans.model import combine_latents, interpolate_latents
from diffusion.gans.stylegan2 import StyleGAN2
from diffusion.training.gan import LatentIcons
from illustkit.errors import UserError
from illustkit.training.adversarial import AdversarialAdam

SMALL = {
    DCGAN: {"filters": 4, "latent": 4},
    StyleGAN2: {"base": 16, "latent": 4, "average_images": 4.0, "path_every": 2},
}
both = pytest.mark.parametrize("kind", SMALL, ids=lambda kind: kind.__name__)


@both
@pytest.mark.usefixtures("eagerly")
def test_a_saved_pair_goes_on_with_the_same_steps(kind, tmp_path):
    model = kind(8, augment="ada", ada_images=20, **SMALL[kind])
    model.compile()
    rng = np.random.default_rng(2)
    x = {"pictures": rng.integers(0, 256, (4, 8, 8, 3), "uint8")}
    x |= model.draw_training(rng, 4)
    model.train_on_batch(x)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for each in (model, again):
        each.train_on_batch(x)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    if kind is StyleGAN2:
        assert np.any(ops.convert_to_numpy(again.mean_style))


def test_only_powers_of_two_are_made():
    for size in (4, 48):
        with pytest.raises(UserError, match="`image_size`"):
            DCGAN(size)


def test_latents_are_interpolated_and_combined_as_in_the_paper():
    row = interpolate_latents([[0.0, 0.0], [1.0, 2.0], [3.0, 2.0]], 5)
    np.testing.assert_allclose(row, [[0, 0], [0.5, 1], [1, 2], [2, 2], [3, 2]])
    smiling_woman = [[1.0, 0.0], [3.0, 2.0], [2.0, 1.0]]  # mean (2, 1)
    result = combine_latents([smiling_woman, [[5.0, 5.0]]], [[[1.0, 0.0], [3.0, 4.0]]])
    np.testing.assert_allclose(result, [5.0, 4.0])
    assert result.dtype == row.dtype == np.float32


@both
@pytest.mark.parametrize("augment", ["diffaugment", "ada"])
def test_both_learn_from_augmented_pictures(kind, augment):
    light = {"path_weight": 0, "r1": 0} if kind is StyleGAN2 else {}
    model = kind(8, augment=augment, **SMALL[kind], **light)
    model.compile(AdversarialAdam(1e-3), run_eagerly=True)
    icons = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), "uint8")
    batches = LatentIcons(icons, model, steps=2, batch_size=4)
    before = model.generator.get_weights()
    logs = model.fit(batches, shuffle=False, verbose=0, callbacks=[batches.follow()])
    assert any(
        (a != b).any()
        for a, b in zip(before, model.generator.get_weights(), strict=True)
    )
    assert ("augment_p" in logs.history) == (augment == "ada")
    assert np.isfinite(logs.history["loss"]).all()


def test_the_probability_follows_the_sign_of_the_discriminator():
    """p rises by 4 · 5 / 100 after each fourth step, and falls, by hand."""
    model = DCGAN(8, filters=4, augment="ada", ada_images=100, ada_target=0.5)
    real = ops.convert_to_tensor(np.full((5, 1), 2, "float32"))
    seen = []
    for step in range(20):
        model.steps.assign(step)
        logits = real if step < 12 else -real
        terms = model.extra_terms({}, logits, True)
        assert np.all(ops.convert_to_numpy(terms["real_sign"]) == np.sign(logits[0]))
        seen.append(float(ops.convert_to_numpy(model.augment_p)))
    expected = [0] * 3 + [0.2] * 4 + [0.4] * 4 + [0.6] * 4 + [0.4] * 4 + [0.2]
    np.testing.assert_allclose(seen, expected, atol=1e-6)


def test_only_known_augmentations_are_taken():
    with pytest.raises(UserError, match="augment"):
        DCGAN(8, filters=4, augment="mixup")
    with pytest.raises(UserError, match="ada_target"):
        DCGAN(8, filters=4, ada_target=2)
