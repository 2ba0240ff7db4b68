import numpy as np
import pytest

from diffusion.sampling.editing import interpolate
from diffusion.sampling.samplers import picture_generators
from diffusion.schedules import make_schedule
from tests.diffusion.toy_models import Recorder, gaussian_model, toy

RNG = np.random.default_rng(0)
FIRST, SECOND = RNG.uniform(-1, 1, (2, 3, 4, 5, 3)).astype("float32")
SCHEDULE = make_schedule("cosine", 50)


def run(model, first=FIRST, second=SECOND, **options):
    options = {"objective": "noise", "rng": picture_generators(1, 3), **options}
    return interpolate(model, first, second, SCHEDULE, **options)


def test_both_are_noised_alike_and_mixed():
    seen = []

    def model(x, t):
        seen.append((x, t))
        return np.zeros_like(x)

    run(model, t=20, weight=np.array([0, 0.25, 1]))
    a = np.prod(1 - SCHEDULE.betas[:21])
    weight = np.array([0, 0.25, 1])[:, None, None, None]
    x_t, t = seen[0]
    mixed = np.sqrt(a) * ((1 - weight) * FIRST + weight * SECOND)
    left = (x_t - mixed) / np.sqrt(1 - a)
    drawn = [
        np.random.default_rng((1, i)).standard_normal((4, 5, 3), "float32")
        for i in range(3)
    ]
    np.testing.assert_allclose(left, drawn, atol=1e-5)
    assert t.tolist() == [20, 20, 20]


def test_two_noises_have_less_variance_in_the_middle_than_one():
    seen = []

    def model(x, t):
        seen.append(x)
        return np.zeros_like(x)

    nought = np.zeros((4, 32, 32, 3), "float32")
    weight = np.array([0, 0.25, 0.5, 1])
    rng = [np.random.default_rng(3) for _ in weight]
    for noises in (1, 2):
        options = {"t": 20, "weight": weight, "noises": noises, "steps": 1}
        run(model, nought, nought, rng=rng, **options)
    a = np.prod(1 - SCHEDULE.betas[:21])
    one, two = (x.std(axis=(1, 2, 3)) / np.sqrt(1 - a) for x in seen)
    np.testing.assert_allclose(one, 1, atol=0.05)
    expected = np.sqrt((1 - weight) ** 2 + weight**2)  # .71 in the middle
    np.testing.assert_allclose(two, expected, atol=0.05)
    with pytest.raises(ValueError, match="`noises` must be"):
        run(model, noises=3)


def test_steps_of_both_samplers():
    ancestral, few, half = Recorder(), Recorder(), Recorder()
    run(ancestral, t=9)
    assert ancestral.times == list(range(9, -1, -1))
    done = []
    run(few, t=39, steps=4, progress=lambda *args: done.append(args))
    assert few.times == [39, 29, 19, 9] and done[-1] == (4, 4)
    run(half, steps=5)
    assert half.times[0] == 25


def test_the_ends_are_the_pictures_where_the_model_knows_them():
    # A model of which each pixel is sure: at little noise it gives back what it was
    # given, and the middle is the mean of both.
    model = gaussian_model(SCHEDULE, "noise", 0.0, 1.0)
    options = {"t": 3, "steps": 4, "eta": 0.0}
    first = run(model, weight=0.0, **options)
    second = run(model, weight=1.0, **options)
    middle = run(model, weight=0.5, **options)
    np.testing.assert_allclose(middle, (first + second) / 2, atol=0.2)
    assert np.abs(first - FIRST).mean() < 0.15
    assert np.abs(second - SECOND).mean() < 0.15
    assert np.abs(first - SECOND).mean() > 0.5


def test_errors_name_the_mend():
    with pytest.raises(ValueError, match="`second` must have the shape of `first`"):
        run(toy, second=SECOND[:2])
    with pytest.raises(ValueError, match="`weight` be one number or 3"):
        run(toy, weight=[0.5, 0.5])
    with pytest.raises(ValueError, match="`weight` must be 0 to 1.*1.5"):
        run(toy, weight=1.5)
    with pytest.raises(ValueError, match="`t` must be a timestep, 0 to 49.*50"):
        run(toy, t=50)
    with pytest.raises(ValueError, match="list of 3 generators.*list of 1"):
        run(toy, rng=picture_generators(1, 1))
