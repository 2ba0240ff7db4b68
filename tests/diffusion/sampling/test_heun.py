import numpy as np
import pytest

from diffusion.sampling.heun import heun, heun_timesteps, most_heun_steps
from diffusion.schedules import make_schedule
from tests.diffusion.toy_models import Recorder, gaussian_model, toy

SCHEDULE = make_schedule("linear", 1000)
NOISE = np.random.default_rng(0).standard_normal((2, 3, 4, 1)).astype("float32")


def ended(schedule, steps, mean=0.3, deviation=0.5):
    """The exact solution for Gaussian pictures, through the levels of `heun`.

    (x - m) / √(s² + σ²) stays the same along dx/dσ = (x - E[x0|x]) / σ.
    """
    times = heun_timesteps(schedule, steps)
    a = schedule.alphas_cumprod[times]
    sigma = np.sqrt((1 - a) / a)
    first = NOISE / np.sqrt(a[0]) - mean
    last = first * np.sqrt(
        (deviation**2 + sigma[-1] ** 2) / (deviation**2 + sigma[0] ** 2)
    )
    # The step to σ = 0 is the model's own estimate.
    return mean + deviation**2 / (deviation**2 + sigma[-1] ** 2) * last


@pytest.mark.parametrize("objective", ["noise", "x0", "v"])
def test_gaussian_pictures_are_found_with_an_error_of_second_order(objective):
    model = gaussian_model(SCHEDULE, objective, 0.3, 0.5)
    errors = []
    for steps in (8, 16, 32):
        found = heun(
            model, NOISE, SCHEDULE, objective=objective, steps=steps, clip=False
        )
        assert found.dtype == np.float32 and found.shape == NOISE.shape
        errors.append(np.abs(found - ended(SCHEDULE, steps)).max())
    assert errors[0] > 3 * errors[1] > 9 * errors[2]
    assert errors[2] < 0.02


def test_the_levels_are_those_of_edm_as_near_as_the_schedule_has_them():
    times = heun_timesteps(SCHEDULE, 18)
    sigma = SCHEDULE.snr[times] ** -0.5
    low, high = SCHEDULE.snr[0] ** -0.5, sigma[0]
    expected = [
        (high ** (1 / 7) + i / 17 * (low ** (1 / 7) - high ** (1 / 7))) ** 7
        for i in range(18)
    ]
    assert times == sorted(set(times), reverse=True) and times[-1] == 0
    np.testing.assert_allclose(np.log(sigma), np.log(expected), atol=0.6)
    np.testing.assert_allclose(np.log(sigma[:9]), np.log(expected[:9]), atol=0.02)
    most = most_heun_steps(SCHEDULE)
    assert SCHEDULE.snr[most - 1] ** -0.5 <= 80 < SCHEDULE.snr[most] ** -0.5
    assert heun_timesteps(SCHEDULE, most) == list(range(most - 1, -1, -1))


def test_a_step_is_written_out_by_hand():
    """Two steps of x/√ᾱ: Heun's from σ1 to σ2, and x0 at the end."""
    schedule = make_schedule("cosine", 20)
    first, second = heun_timesteps(schedule, 2)
    bars = {t: float(np.prod(1 - schedule.betas[: t + 1])) for t in (first, second)}

    def x0(x, t):  # the toy predicts x0
        return toy(np.asarray(x, "float32"), np.full(2, t)).clip(-1, 1)

    sigma = {t: np.sqrt((1 - a) / a) for t, a in bars.items()}
    x = NOISE / np.sqrt(bars[first])
    d = (x - x0(NOISE, first)) / sigma[first]
    euler = x + (sigma[second] - sigma[first]) * d
    d2 = (euler - x0(np.sqrt(bars[second]) * euler, second)) / sigma[second]
    x = x + (sigma[second] - sigma[first]) * (d + d2) / 2
    expected = x0(np.sqrt(bars[second]) * x, second)
    model, done = Recorder(), []
    found = heun(
        model,
        NOISE,
        schedule,
        objective="x0",
        steps=2,
        progress=lambda *args: done.append(args),
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert model.times == [first, second, second]
    assert done == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps": 0}, "steps=0"),
        ({"steps": 21}, "`steps` must be 1 to .*steps=21"),
        ({"steps": 2, "sigma_min": 9, "sigma_max": 1}, "`sigma_min`"),
        ({"steps": 2, "rho": 0}, "`rho`"),
    ],
)
def test_wrong_levels_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        heun_timesteps(make_schedule("cosine", 20), **options)
