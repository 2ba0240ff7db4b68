import numpy as np
import pytest

from diffusion.network.model import Diffuser
from diffusion.sampling import generate
from diffusion.sampling.generate import default_batch_size, sample
from diffusion.sampling.samplers import ddim, ddpm, dpm_solver_pp, draw_noise

STEPS = {"ddim": 6, "ddpm": 20, "dpm++": 6}


def differ(a, b):
    return np.abs(a.astype(int) - b.astype(int)).max()


@pytest.mark.parametrize("sampler", STEPS)
def test_a_picture_is_the_same_in_whatever_batch(model, sampler):
    options = {"sampler": sampler, "steps": 6, "progress": False}
    whole = sample(model, 5, **options)
    assert whole.shape == (5, 16, 16, 3) and whole.dtype == np.uint8
    assert min(differ(whole[i], whole[j]) for i in range(5) for j in range(i)) > 20
    assert differ(sample(model, 5, batch_size=2, **options), whole) <= 1
    assert differ(sample(model, 2, first=3, **options), whole[3:]) <= 1
    np.testing.assert_array_equal(sample(model, 5, **options), whole)
    assert differ(sample(model, 1, seed=1, **options), whole[:1]) > 20


def by_hand(model, sampler, eta):
    generators = [np.random.default_rng((11, i)) for i in (4, 5)]
    x_T = draw_noise(generators, (16, 16, 3))
    arguments = model.denoiser(), x_T, model.schedule
    options = {"objective": "v", "self_condition": True}
    if sampler == "ddpm":
        x0 = ddpm(*arguments, rng=generators, **options)
    elif sampler == "dpm++":
        x0 = dpm_solver_pp(*arguments, steps=5, spacing="logsnr", **options)
    else:
        options |= {"eta": eta, "version": model.unet.version, "rng": generators}
        x0 = ddim(*arguments, steps=5, **options)
    return np.round((np.clip(x0, -1, 1) + 1) * 127.5).astype(int)


@pytest.mark.parametrize(
    "sampler, version, eta",
    [("ddpm", "2", 0), ("dpm++", "2", 0), ("ddim", "2", 0.0), ("ddim", "0.25.3", 1.0)],
)
def test_the_samplers_get_what_they_should(model, monkeypatch, sampler, version, eta):
    monkeypatch.setattr(model.unet, "version", version)
    options = {"sampler": sampler, "seed": 11, "first": 4, "progress": False}
    found = sample(model, 2, steps=5, **options)
    assert differ(found, by_hand(model, sampler, eta)) <= 1
    if sampler == "ddim":
        np.testing.assert_array_equal(
            sample(model, 2, steps=5, eta=eta, **options), found
        )
        other = sample(model, 2, steps=5, eta=1 - eta, **options)
        assert differ(other, found) > 20


def test_the_bar_counts_every_evaluation(model, monkeypatch):
    class Bar:
        def __init__(self, total, **kwargs):
            seen["total"] = total

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def update(self):
            seen["done"] = seen.get("done", 0) + 1

    monkeypatch.setattr(generate, "tqdm", Bar)
    for sampler, steps in STEPS.items():
        seen = {}
        sample(model, 3, sampler=sampler, steps=6, batch_size=2)
        assert seen == {"total": 2 * steps, "done": 2 * steps}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n": 0}, "`n` must be at least 1. Received: 0"),
        ({"batch_size": 0}, "`batch_size` must be at least 1. Received: 0"),
        ({"sampler": "euler"}, "'ddim', 'ddpm', 'dpm.*Received: 'euler'"),
        ({"steps": 0}, "`steps` must be 1 to 20, .*Received: steps=0"),
        ({"steps": 21}, "`steps` must be 1 to 20, .*Received: steps=21"),
        ({"steps": 20, "sampler": "dpm++"}, "`steps` must be 1 to 1.*steps=20"),
        ({"eta": 1.5, "steps": 5}, "`eta` .*1.5"),
        ({"image_size": (16, 8)}, "pictures of 16x16 pixels. Received: .*16, 8"),
    ],
)
def test_mistakes_are_named_before_anything_is_made(model, options, message):
    with pytest.raises(ValueError, match=message) as error:
        sample(model, **{"n": 1, "progress": True, **options})
    assert "\n" not in str(error.value)


def test_all_timesteps_ask_for_no_steps(model):
    # The default of 50 steps is more than this model has.
    assert sample(model, 1, sampler="ddpm", progress=False).shape == (1, 16, 16, 3)
    assert sample(model, 1, image_size=[16, 16], steps=2, progress=False).any()


def test_a_network_of_any_size_is_told_the_size(slim):
    free = Diffuser({"dim": 8, "channels": 1}, timesteps=20)
    with pytest.raises(ValueError, match="takes any size: give `image_size`"):
        sample(free, 1, steps=2)
    found = sample(free, 2, steps=2, image_size=(12, 6), progress=False)
    assert found.shape == (2, 6, 12, 1)


def test_a_run_is_as_good_as_its_model(slim, trained, model):
    options = {"steps": 3, "progress": False}
    expected = sample(model, 2, **options)
    np.testing.assert_array_equal(sample(trained, 2, **options), expected)
    np.testing.assert_array_equal(sample(str(trained.folder), 2, **options), expected)


def test_batches_are_sized_to_memory(model, monkeypatch):
    each = 16 * 16 * 8 * 4 * 16  # bytes of a picture: 16 maps of 8 channels
    assert default_batch_size(model, (16, 16, 3)) == 64
    for pictures, expected in [(63.9, 32), (9, 8), (1.1, 1), (0.1, 1)]:
        monkeypatch.setattr(generate, "MEMORY", pictures * each)
        assert default_batch_size(model, (16, 16, 3)) == expected
