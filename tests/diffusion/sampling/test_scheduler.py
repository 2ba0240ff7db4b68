import numpy as np
import pytest

from diffusion.sampling.heun import heun
from diffusion.sampling.samplers import ddim, ddpm, dpm_solver_pp, picture_generators
from diffusion.sampling.scheduler import Scheduler
from diffusion.schedules import make_schedule
from tests.diffusion.toy_models import toy

SCHEDULE = make_schedule("cosine", 40)
NOISE = np.random.default_rng(0).standard_normal((2, 4, 5, 3)).astype("float32")
WHOLE = {
    "ddim": lambda rng: ddim(
        *(toy, NOISE, SCHEDULE), objective="v", steps=6, version="2", eta=0.0
    ),
    "ddim, noisy": lambda rng: ddim(
        *(toy, NOISE, SCHEDULE), objective="v", steps=6, version="2", eta=0.7, rng=rng
    ),
    "ddpm": lambda rng: ddpm(toy, NOISE, SCHEDULE, objective="v", rng=rng),
    "dpm++": lambda rng: dpm_solver_pp(
        *(toy, NOISE, SCHEDULE), objective="v", steps=6, spacing="logsnr"
    ),
    "heun": lambda rng: heun(toy, NOISE, SCHEDULE, objective="v", steps=6),
}


def walk(scheduler):
    sample, seen = NOISE, []
    for t in scheduler.timesteps:
        seen.append(int(t))
        output = toy(sample, np.full(len(sample), t))
        sample, x0 = scheduler.step(output, t, sample)
    return sample, x0, seen


@pytest.mark.parametrize("name", WHOLE)
def test_steps_one_by_one_are_the_sampler(name):
    sampler, _, noisy = name.partition(", ")
    scheduler = Scheduler(
        SCHEDULE,
        objective="v",
        sampler=sampler,
        steps=6,
        eta=0.7 if noisy else 0.0,
        rng=picture_generators(1, 2),
    )
    expected = WHOLE[name](picture_generators(1, 2))
    sample, x0, seen = walk(scheduler)
    np.testing.assert_array_equal(sample, expected)
    np.testing.assert_array_equal(x0, expected)  # the last step ends on it
    assert len(seen) == {"ddpm": 40, "heun": 11}.get(sampler, 6)
    if sampler != "ddpm" and not noisy:  # the generators have gone on
        np.testing.assert_array_equal(walk(scheduler)[0], expected)


def test_a_sample_that_was_changed_counts():
    scheduler = Scheduler(SCHEDULE, objective="x0", steps=4)
    t, after, *_ = scheduler.timesteps
    x0 = np.full_like(NOISE, 0.25)
    scheduler.step(x0, t, NOISE)
    changed = scheduler.add_noise(np.zeros_like(NOISE), NOISE, after)
    bar = np.prod(1 - SCHEDULE.betas[: after + 1])
    np.testing.assert_allclose(changed, np.sqrt(1 - bar) * NOISE, rtol=1e-5)
    bars = [np.prod(1 - SCHEDULE.betas[: i + 1]) for i in scheduler.timesteps[1:3]]
    noise = (changed - np.sqrt(bars[0]) * x0) / np.sqrt(1 - bars[0])
    found = scheduler.step(x0, after, changed).prev_sample
    expected = np.sqrt(bars[1]) * x0 + np.sqrt(1 - bars[1]) * noise
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_wrong_steps_are_named():
    scheduler = Scheduler(SCHEDULE, objective="v", steps=4)
    with pytest.raises(ValueError, match="the next is 39. Received: t=9"):
        scheduler.step(NOISE, 9, NOISE)
    with pytest.raises(ValueError, match="shape"):
        scheduler.step(NOISE[:1], 39, NOISE)
    with pytest.raises(ValueError, match="give `rng`"):
        Scheduler(SCHEDULE, objective="v", sampler="ddpm")
    with pytest.raises(ValueError, match="`sampler` must be"):
        Scheduler(SCHEDULE, objective="v", sampler="euler")
