import math

import numpy as np
import pytest

from diffusion.sampling.samplers import (
    ddim,
    ddim_timesteps,
    ddpm,
    draw_noise,
    picture_generators,
)
from diffusion.schedules import make_schedule
from tests.diffusion.toy_models import START, Recorder, gaussian_model, toy

# Samples of `toy` from START with the noise of default_rng((7, 0)), of
# denoising-diffusion-pytorch (its release) and diffusers 0.42.1 (DDIMScheduler with
# trailing timesteps and the clipped model output, DDPMScheduler with fixed_small).
DDIM = [  # made by, version, objective, schedule, η, steps, self-conditioned, samples
    "0.25.3 0.25.3 noise cosine 1.0 7 0 .80202 -.75964 -.17486 .11189 -.73571 -.3955",
    "0.25.3 0.25.3 noise linear .6 10 0 .05698 -.57308 -.81856 .16674 -.75891 -.54627",
    "0.25.3 0.25.3 noise cosine 0 10 0 -.3513 -.57208 -.68725 .87882 .40848 -.14934",
    "2.3.0 2 noise cosine 0 7 0 -.79284 -1 -1 1 .05016 -.4208",
    "2.3.0 2 noise cosine .6 10 0 .02151 -1 -.94727 .14718 -.85025 -.07735",
    "2.3.0 2 x0 sigmoid .6 7 0 .94269 -.2368 .41839 .90168 .64056 .77591",
    "2.3.0 2 v sigmoid 1 10 0 -.18395 -.28899 -.68269 -.3139 -.53409 -.20442",
    "2.3.0 2 noise cosine .6 10 1 .03743 -1 -.86374 .18475 -.75758 -.05007",
    "diffusers 2 noise linear 0 10 0 -.82466 -1 -1 1 .87266 -.35369",
]
DDPM = [  # made by, objective, schedule, self-conditioned, samples; T = 40
    "0.25.3 noise cosine 0 .20701 -.94352 -.84705 -.99501 -.09762 .87952",
    "2.3.0 x0 sigmoid 0 1 .87945 .97147 .57343 1 1",
    "2.3.0 v sigmoid 1 .11438 -.80312 -.52832 -1 .02175 .41494",
    "diffusers v cosine 0 .07115 -.83564 -.57523 -.9885 .00996 .38849",
]


def noise_7():
    return [np.random.default_rng((7, 0))]


@pytest.mark.parametrize("row", DDIM)
def test_ddim_gives_the_samples_of_others(row):
    _, version, objective, kind, eta, steps, own, *known = row.split()
    x = ddim(
        toy,
        START,
        make_schedule(kind),
        objective=objective,
        steps=int(steps),
        eta=float(eta),
        version=version,
        rng=noise_7(),
        self_condition=own == "1",
    )
    assert x.dtype == "float32" and x.shape == START.shape
    np.testing.assert_allclose(x.ravel(), np.array(known, float), atol=1.2e-5)


@pytest.mark.parametrize("row", DDPM)
def test_ddpm_gives_the_samples_of_others(row):
    _, objective, kind, own, *known = row.split()
    model = Recorder()
    x = ddpm(
        model,
        START,
        make_schedule(kind, 40),
        objective=objective,
        rng=noise_7(),
        self_condition=own == "1",
    )
    assert x.dtype == "float32" and x.shape == START.shape
    np.testing.assert_allclose(x.ravel(), np.array(known, float), atol=1.2e-5)
    assert model.times == list(range(39, -1, -1))


@pytest.mark.parametrize("objective", ["noise", "x0", "v"])
@pytest.mark.parametrize("kind, steps", [("cosine", 20), ("linear", 50)])
def test_ddim_without_noise_is_the_papers_equation_12(kind, steps, objective):
    # One pixel after another, in float64, each ᾱ a product of its own.
    betas = make_schedule(kind).betas
    bar = [math.prod(1 - b for b in betas[: t + 1]) for t in range(1000)]
    known = []
    for x in START.astype("float64").ravel():
        for t in range(999, -1, -1000 // steps):
            a, after = bar[t], bar[t - 1000 // steps] if t >= 1000 // steps else 1.0
            output = math.tanh(0.8 * x + 0.3) + 0.2 * math.cos(t / 150)
            x0 = {
                "noise": (x - math.sqrt(1 - a) * output) / math.sqrt(a),
                "x0": output,
                "v": math.sqrt(a) * x - math.sqrt(1 - a) * output,
            }[objective]
            x0 = min(max(x0, -1.0), 1.0)
            noise = (x - math.sqrt(a) * x0) / math.sqrt(1 - a)
            x = math.sqrt(after) * x0 + math.sqrt(1 - after) * noise
        known.append(x)
    found = ddim(
        toy,
        START,
        make_schedule(kind),
        objective=objective,
        steps=steps,
        version="2",
    )
    np.testing.assert_allclose(found.ravel(), known, atol=2e-5)


def test_eta_defaults_to_the_versions():
    schedule = make_schedule("cosine")
    common = {"objective": "noise", "steps": 5}
    for version, eta in (("0.25.3", 1.0), ("2", 0.0)):
        own, given, other = (
            ddim(toy, START, schedule, version=version, eta=e, rng=noise_7(), **common)
            for e in (None, eta, 0.5)
        )
        np.testing.assert_array_equal(own, given)
        assert np.abs(own - other).max() > 0.01


def test_timesteps_of_both_versions():
    times = ddim_timesteps(1000, 4, "2")
    assert times == [(999, 749), (749, 499), (499, 249), (249, -1)]
    times = ddim_timesteps(1000, 4, "0.25.3")
    assert times == [(800, 600), (600, 400), (400, 200), (200, 0)]
    for version, most in (("2", 30), ("0.25.3", 29)):
        for steps in range(1, most + 1):
            pairs = ddim_timesteps(30, steps, version)
            assert len(pairs) == steps
            assert all(t > after for t, after in pairs)
            assert [t for t, _ in pairs[1:]] == [after for _, after in pairs[:-1]]
        with pytest.raises(ValueError, match=f"1 to {most}.*steps={most + 1}"):
            ddim_timesteps(30, most + 1, version)


@pytest.mark.parametrize("version", ["0.25.3", "2"])
@pytest.mark.parametrize("steps", [1, 7, 29])
def test_one_evaluation_a_step_and_progress(version, steps):
    model, done = Recorder(), []
    x_T = START.copy()
    ddim(
        model,
        x_T,
        make_schedule("cosine", 30),
        objective="noise",
        steps=steps,
        version=version,
        rng=noise_7(),
        progress=lambda *args: done.append(args),
    )
    assert model.times == [t for t, _ in ddim_timesteps(30, steps, version)]
    assert done == [(i + 1, steps) for i in range(steps)]
    np.testing.assert_array_equal(x_T, START)


def test_the_first_own_estimate_is_zeros_and_the_next_is_clipped():
    model, done = Recorder(), []
    ddpm(
        model,
        START,
        make_schedule("cosine", 4),
        objective="noise",
        rng=noise_7(),
        self_condition=True,
        progress=lambda *args: done.append(args),
    )
    assert not model.own[0].any() and np.abs(model.own[1]).max() == 1
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    plain = Recorder()
    ddpm(plain, START, make_schedule("cosine", 4), objective="noise", rng=noise_7())
    assert plain.own == [None] * 4


# Of the deviation; what is missing is lost in steps that are too long.
SAMPLERS = {
    "ddpm": (ddpm, {}, 0.025),
    "ddim": (ddim, {"steps": 250, "eta": 0.0, "version": "2"}, 0.03),
    "ddim with noise": (ddim, {"steps": 250, "eta": 1.0, "version": "2"}, 0.06),
    "ddim 0.25.3": (ddim, {"steps": 250, "version": "0.25.3"}, 0.2),
}


@pytest.mark.parametrize("kind, objective", [("linear", "noise"), ("cosine", "v")])
@pytest.mark.parametrize("name", SAMPLERS)
def test_gaussian_pictures_keep_their_mean_and_deviation(name, kind, objective):
    sampler, options, tolerance = SAMPLERS[name]
    schedule = make_schedule(kind)
    rng = picture_generators(1, 4)
    x_T = draw_noise(rng, (64, 64, 1))
    model = gaussian_model(schedule, objective, 0.3, 0.25)
    x = sampler(model, x_T, schedule, objective=objective, rng=rng, **options)
    # 16,384 pixels: the standard errors are 0.002 and 0.6 %.
    assert x.mean() == pytest.approx(0.3, abs=0.008)
    assert x.std() == pytest.approx(0.25, rel=tolerance)
    if name == "ddim":
        # Without noise each pixel keeps its rank: x = mean + deviation · x_T.
        slope = np.polyfit(x_T.ravel(), x.ravel(), 1)[0]
        assert slope == pytest.approx(0.25, rel=tolerance)
        assert np.corrcoef(x_T.ravel(), x.ravel())[0, 1] > 0.999


def test_a_picture_is_the_same_in_any_batch():
    schedule = make_schedule("cosine", 20)

    def model(x, t):
        return x * np.float32(0.7)

    def run(sampler, n, first, **options):
        rng = picture_generators(5, n, first=first)
        x_T = draw_noise(rng, (4, 5, 3))
        return sampler(model, x_T, schedule, objective="noise", rng=rng, **options)

    for sampler, options in ((ddpm, {}), (ddim, {"steps": 7})):
        together = run(sampler, 5, 0, **options)
        apart = np.concatenate([run(sampler, 1, i, **options) for i in range(5)])
        np.testing.assert_array_equal(together, apart)
        assert np.abs(together[0] - together[1]).max() > 0.1


def test_start_begins_at_that_noise():
    schedule, model = make_schedule("cosine", 100), Recorder()
    ddpm(model, START, schedule, objective="noise", rng=noise_7(), start=3)
    assert model.times == [3, 2, 1, 0]
    model = Recorder()
    ddim(model, START, schedule, objective="x0", steps=4, version="2", start=39)
    assert model.times == [39, 29, 19, 9]


def test_errors_name_the_mend():
    schedule, common = make_schedule("cosine", 10), {"objective": "noise"}
    rng = noise_7()
    with pytest.raises(ValueError, match="'noise', 'x0', 'v'.*'eps'"):
        ddpm(toy, START, schedule, objective="eps", rng=rng)
    with pytest.raises(ValueError, match="a list of 1 generators.*list of 2"):
        ddpm(toy, START, schedule, rng=rng * 2, **common)
    with pytest.raises(ValueError, match="a list of 1 generators.*Generator"):
        ddpm(toy, START, schedule, rng=rng[0], **common)
    with pytest.raises(ValueError, match=r"`x_T` must be floats.*uint8 \(2, 3, 1\)"):
        ddpm(toy, np.zeros((2, 3, 1), "uint8"), schedule, rng=rng, **common)
    with pytest.raises(ValueError, match="`start`.*0 to 9.*10"):
        ddpm(toy, START, schedule, rng=rng, start=10, **common)
    with pytest.raises(ValueError, match="`eta` must be 0 to 1.*eta=1.0, rng=None"):
        ddim(toy, START, schedule, steps=3, **common)
    with pytest.raises(ValueError, match="`eta` must be 0 to 1.*eta=1.5"):
        ddim(toy, START, schedule, steps=3, eta=1.5, rng=rng, **common)
    with pytest.raises(ValueError, match='take version="2".*start=5'):
        ddim(toy, START, schedule, steps=3, rng=rng, start=5, **common)
    with pytest.raises(ValueError, match="'0.25.3', '2'.*'1'"):
        ddim(toy, START, schedule, steps=3, rng=rng, version="1", **common)
    with pytest.raises(ValueError, match="output at timestep 9 is not finite.*float16"):
        ddpm(lambda x, t: x * np.nan, START, schedule, rng=rng, **common)
    with pytest.raises(ValueError, match=r"shape of its input.*\(1, 2, 3, 2\)"):
        ddpm(lambda x, t: np.tile(x, 2), START, schedule, rng=rng, **common)
