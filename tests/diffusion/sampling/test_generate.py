import keras
import numpy as np
import pytest

from diffusion.network.model import Diffuser
from diffusion.sampling import generate
from diffusion.sampling.folder import sample_settings
from diffusion.sampling.generate import (
    default_batch_size,
    most_steps,
    sample,
    sampling_of,
)

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


class ByHand:
    """The samplers as the papers write them, step by step in float64.

    The network is asked for v of both pictures of the seeds (11, 4) and (11, 5).
    """

    def __init__(self, model):
        self.network = model.average
        # ᾱ of the clean picture, then of timesteps 0 to T - 1.
        self.bars = [1.0]
        for beta in model.schedule.betas:
            self.bars.append(self.bars[-1] * (1 - beta))
        self.generators = [np.random.default_rng((11, i)) for i in (4, 5)]
        self.x, self.own = self.noise(), np.zeros((2, 16, 16, 3))

    def noise(self):
        drawn = [g.standard_normal((16, 16, 3), "float32") for g in self.generators]
        return np.array(drawn, "float64")

    def x0(self, t):
        """The estimate of the clean picture, clipped: x0 = √ᾱ x - √(1 - ᾱ) v."""
        inputs = [self.x, np.full(2, t), self.own]
        inputs = [a.astype(d) for a, d in zip(inputs, ("f4", "i4", "f4"), strict=True)]
        v = keras.ops.convert_to_numpy(self.network(inputs)).astype("float64")
        bar = self.bars[t + 1]
        self.eps = np.sqrt(1 - bar) * self.x + np.sqrt(bar) * v
        self.own = np.clip(np.sqrt(bar) * self.x - np.sqrt(1 - bar) * v, -1, 1)
        return self.own

    def ddpm(self):
        """Ho et al., algorithm 2 with σ² = β̃, by the posterior of equation 7."""
        for t in reversed(range(20)):
            x0, bar, bar_before = self.x0(t), self.bars[t + 1], self.bars[t]
            beta = 1 - bar / bar_before
            mean = np.sqrt(bar_before) * beta * x0
            mean += np.sqrt(1 - beta) * (1 - bar_before) * self.x
            self.x = mean / (1 - bar)
            if t > 0:
                variance = (1 - bar_before) / (1 - bar) * beta
                self.x += np.sqrt(variance) * self.noise()
        return self.x

    def ddim(self, version, eta):
        """Song et al., equation 12, with five timesteps of either version."""
        # Of torch.linspace(-1, 19, 6), and of linspace(0, 20, 7) without its last.
        times = {"2": [19, 15, 11, 7, 3, -1], "0.25.3": [16, 13, 10, 6, 3, 0]}[version]
        shift = {"2": 1, "0.25.3": 0}[version]  # 0.25.3 reads ᾱ of the one before
        for t, after in zip(times, times[1:], strict=False):
            x0, bar, bar_after = self.x0(t), *(self.bars[i + shift] for i in (t, after))
            if version == "2":  # ε anew, of the clipped x0
                self.eps = (self.x - np.sqrt(bar) * x0) / np.sqrt(1 - bar)
            sigma = eta * np.sqrt((1 - bar_after) / (1 - bar))
            sigma *= np.sqrt(1 - bar / bar_after)
            self.x = np.sqrt(bar_after) * x0
            if bar_after < 1:
                self.x += np.sqrt(1 - bar_after - sigma**2) * self.eps
                if eta:
                    self.x += sigma * self.noise()
        return self.x

    def dpm_solver(self):
        """Lu et al., algorithm 2 (DPM-Solver++(2M)), λ spaced evenly, of 5 steps."""
        signals, sigmas = np.sqrt(self.bars[1:]), np.sqrt(1 - np.array(self.bars[1:]))
        lambdas = np.log(signals / sigmas)
        last = max(t for t in range(20) if lambdas[t] >= -5.1)
        times = [
            min(range(20), key=lambda t: abs(lambdas[t] - goal))
            for goal in np.linspace(lambdas[last], lambdas[0], 5)
        ]
        assert times == sorted(set(times), reverse=True)
        before = None  # (x0, h) of the step before
        for t, after in zip(times, times[1:], strict=False):
            x0, h = self.x0(t), lambdas[after] - lambdas[t]
            data = x0
            if before is not None:
                r = before[1] / h
                data = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * before[0]
            self.x = sigmas[after] / sigmas[t] * self.x
            self.x -= signals[after] * (np.exp(-h) - 1) * data
            before = x0, h
        return self.x0(times[-1])


@pytest.mark.parametrize(
    "sampler, version, eta",
    [("ddpm", "2", 0), ("dpm++", "2", 0), ("ddim", "2", 0.0), ("ddim", "0.25.3", 1.0)],
)
def test_the_samplers_are_those_of_the_papers(
    model, monkeypatch, sampler, version, eta
):
    monkeypatch.setattr(model.unet, "version", version)
    options = {"sampler": sampler, "seed": 11, "first": 4, "progress": False}
    found = sample(model, 2, steps=5, **options)
    by_hand = ByHand(model)
    if sampler == "ddpm":
        x0 = by_hand.ddpm()
    elif sampler == "dpm++":
        x0 = by_hand.dpm_solver()
    else:
        x0 = by_hand.ddim(version, eta)
    expected = np.round((np.clip(x0, -1, 1) + 1) * 127.5)
    assert differ(found, expected) <= 1 and np.ptp(expected) > 100
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
        ({"n": 0}, "`n` must be a whole number, at least 1. Received: 0"),
        ({"batch_size": 0}, "`batch_size` must be .*at least 1. Received: 0"),
        ({"seed": -1}, "`seed` must be .*at least 0.*Received: -1"),
        ({"first": -1}, "`first` must be .*at least 0. Received: -1"),
        ({"eta": float("nan")}, "`eta` must .*nan"),
        ({"image_size": (0, 8)}, "`image_size` must be .*Received: 0"),
        ({"sampler": "euler"}, "ddim, ddpm, dpm.*Received: 'euler'"),
        ({"steps": 0}, "`steps` must be 1 to 20, .*Received: steps=0"),
        ({"steps": 21}, "`steps` must be 1 to 20, .*Received: steps=21"),
        ({"steps": 20, "sampler": "dpm++"}, "`steps` must be 1 to 1.*steps=20"),
        ({"eta": 1.5, "steps": 5}, "`eta` .*1.5"),
        ({"image_size": (16, 8)}, "pictures of 16x16 pixels. Received: .*16x8"),
    ],
)
def test_mistakes_are_named_before_anything_is_made(model, options, message):
    with pytest.raises(ValueError, match=message) as error:
        sample(model, **{"n": 1, "progress": True, **options})
    assert "\n" not in str(error.value)


def test_all_timesteps_ask_for_no_steps(model):
    # 50 steps are more than this model has.
    found = sample(model, 1, sampler="ddpm", steps=50, progress=False)
    assert found.shape == (1, 16, 16, 3)
    assert sample(model, 1, image_size=[16, 16], steps=2, progress=False).any()


@pytest.mark.parametrize("sampler", ["ddim", "dpm++"])
def test_the_default_is_no_more_steps_than_the_model_has(model, sampler):
    most = most_steps(model.schedule, "2", sampler)
    # λ = log(√ᾱ / √(1 - ᾱ)) of -5.1 or more, for "dpm++".
    bar = model.schedule.alphas_cumprod
    above = np.log(np.sqrt(bar / (1 - bar))) >= -5.1
    assert most == {"ddim": 20, "dpm++": above.sum() - 1}[sampler]
    options = {"sampler": sampler, "progress": False}
    expected = sample(model, 1, steps=most, **options)
    np.testing.assert_array_equal(sample(model, 1, **options), expected)


def test_a_network_of_any_size_is_told_the_size(slim):
    free = Diffuser({"dim": 8, "dim_mults": (1, 2), "channels": 1}, timesteps=20)
    with pytest.raises(ValueError, match="takes any size: give `image_size`"):
        sample(free, 1, steps=2)
    found = sample(free, 2, steps=2, image_size=(12, 6), progress=False)
    assert found.shape == (2, 6, 12, 1)
    with pytest.raises(ValueError, match="sides that 2 divides. Received: .*12x7"):
        sample(free, 1, steps=2, image_size=(12, 7))


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


def test_a_model_brings_a_sampler_and_steps_of_its_own(model, monkeypatch):
    whole = sample(model, 1, sampler="dpm++", steps=3, progress=False)
    monkeypatch.setattr(model, "sampling", ("dpm++", 3))
    np.testing.assert_array_equal(sample(model, 1, progress=False), whole)
    settings = sample_settings(model)
    assert (settings["sampler"], settings["steps"]) == ("dpm++", 3)
    # What is asked for counts; a sampler that is named takes its own number of steps.
    assert sampling_of(model, None, 5) == ("dpm++", 5)
    assert sampling_of(model, "ddim") == ("ddim", None)
