import numpy as np
import pytest

from diffusion.sampling.samplers import (
    ddim,
    dpm_solver_pp,
    dpm_timesteps,
    draw_noise,
    picture_generators,
)
from diffusion.schedules import make_schedule
from tests.diffusion.toy_models import START, Recorder, gaussian_model, toy

# Samples of `toy` from START of diffusers 0.42.1's DPMSolverMultistepScheduler
# ("dpmsolver++", order 2; clipped: thresholding with ratio 1 and greatest value 1).
KNOWN = [  # objective, schedule, clipped, least λ, steps, samples
    "noise cosine 1 -5.1 12 -.79778 -1 -1 1 .14168 -.39824",
    "noise linear 1 -5.1 6 -.77236 -1 -1 1 .93296 -.29743",
    "x0 cosine 0 -inf 6 .42286 -.15321 -.46754 .94076 .87904 .75606",
    "v cosine 0 -5.1 20 -.37183 -.54791 -.75654 .32157 .02726 -.19225",
    "v linear 1 -5.1 2 .07451 .28326 .42983 -.29606 -.27173 -.13319",
    "noise cosine 1 -5.1 1 -1 -1 -1 1 -1 -1",
]
TWELVE = [995, 912, 829, 746, 663, 580, 498, 415, 332, 249, 166, 83]  # of the first


@pytest.mark.parametrize("row", KNOWN)
def test_gives_the_samples_of_diffusers(row):
    objective, kind, clip, least, steps, *known = row.split()
    model, done = Recorder(), []
    x = dpm_solver_pp(
        model,
        START,
        make_schedule(kind),
        objective=objective,
        steps=int(steps),
        lambda_min_clipped=float(least),
        clip=clip == "1",
        progress=lambda *args: done.append(args),
    )
    assert x.dtype == "float32" and x.shape == START.shape
    np.testing.assert_allclose(x.ravel(), np.array(known, float), atol=2e-5)
    assert len(model.times) == int(steps)
    assert done == [(i + 1, int(steps)) for i in range(int(steps))]
    if row == KNOWN[0]:
        assert model.times == TWELVE


def test_timesteps_begin_where_the_limit_lets_them():
    for kind in ("linear", "cosine", "sigmoid"):
        schedule = make_schedule(kind)
        lambdas = np.log(schedule.sqrt_alphas_cumprod) - np.log(
            schedule.sqrt_one_minus_alphas_cumprod
        )
        last = max(t for t in range(1000) if lambdas[t] >= -5.1)
        for spacing in ("time", "logsnr"):
            times = dpm_timesteps(schedule, 10, spacing=spacing)
            assert times[0] == last
        # Evenly in λ: as near as the timesteps allow.
        gaps = np.diff(lambdas[times])
        assert times[-1] == 0
        np.testing.assert_allclose(gaps, gaps.mean(), rtol=0.35)
    assert dpm_timesteps(schedule, 3, lambda_min_clipped=-np.inf)[0] == 999


@pytest.mark.parametrize("spacing", ["time", "logsnr"])
def test_timesteps_are_all_different(spacing):
    schedule = make_schedule("cosine", 60)
    last = dpm_timesteps(schedule, 1)[0]
    for steps in range(1, last + 1):
        times = dpm_timesteps(schedule, steps, spacing=spacing)
        assert len(times) == steps and times[0] == last and times[-1] >= 0
        assert all(a > b for a, b in zip(times, times[1:], strict=False))
        assert {type(t) for t in times} == {int}


@pytest.mark.parametrize("objective", ["noise", "x0", "v"])
def test_gaussian_pictures_keep_their_mean_and_deviation(objective):
    schedule = make_schedule("cosine")
    rng = picture_generators(1, 4)
    x_T = draw_noise(rng, (32, 32, 1))
    model = gaussian_model(schedule, objective, 0.3, 0.25)

    def deviation(sampler, **options):
        x = sampler(model, x_T, schedule, objective=objective, **options)
        assert x.mean() == pytest.approx(0.3 + 0.25 * x_T.mean(), abs=0.004)
        slope = np.polyfit(x_T.ravel(), x.ravel(), 1)[0]
        return slope / 0.25

    # Fifty steps lose 1 %; a dozen lose much less where they are spaced by log SNR.
    assert deviation(dpm_solver_pp, steps=50) == pytest.approx(1, abs=0.02)
    few = deviation(dpm_solver_pp, steps=12)
    even = deviation(dpm_solver_pp, steps=12, spacing="logsnr")
    assert even == pytest.approx(1, abs=0.04)
    assert abs(1 - few) > 2 * abs(1 - even)
    # Of second order: as near as the first-order solver with three times the steps.
    first = deviation(ddim, steps=36, eta=0.0, version="2")
    assert abs(1 - even) < abs(1 - first)


def test_a_picture_is_the_same_in_any_batch():
    schedule = make_schedule("cosine")

    def run(n, first):
        x_T = draw_noise(picture_generators(5, n, first=first), (4, 5, 3))
        return dpm_solver_pp(
            lambda x, t: x * np.float32(0.7), x_T, schedule, objective="noise", steps=5
        )

    together = run(4, 0)
    np.testing.assert_array_equal(
        together, np.concatenate([run(1, i) for i in range(4)])
    )


def test_self_conditioning_gives_the_last_estimate():
    model = Recorder()
    dpm_solver_pp(
        model,
        START,
        make_schedule("cosine"),
        objective="noise",
        steps=3,
        self_condition=True,
    )
    schedule, t = make_schedule("cosine"), 995
    first = np.clip(
        (START - schedule.sqrt_one_minus_alphas_cumprod[t] * toy(START, [t]))
        / schedule.sqrt_alphas_cumprod[t],
        -1,
        1,
    )
    assert not model.own[0].any()
    np.testing.assert_allclose(model.own[1], first, atol=1e-4)


def test_errors_name_the_mend():
    schedule = make_schedule("cosine", 10)
    with pytest.raises(ValueError, match="`steps` must be 1 to 8.*cosine.*steps=9"):
        dpm_timesteps(schedule, 9)
    with pytest.raises(ValueError, match="'time', 'logsnr'.*'karras'"):
        dpm_timesteps(schedule, 3, spacing="karras")
    with pytest.raises(ValueError, match="'noise', 'x0', 'v'.*'eps'"):
        dpm_solver_pp(toy, START, schedule, objective="eps", steps=3)
