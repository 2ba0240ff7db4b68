import numpy as np
import pytest

from diffusion.sampling.editing import repaint, repaint_path
from diffusion.sampling.samplers import picture_generators
from diffusion.schedules import make_schedule
from tests.diffusion.toy_models import Recorder, gaussian_model, toy

KNOWN = np.random.default_rng(0).uniform(-1, 1, (2, 4, 5, 3)).astype("float32")
MASK = np.arange(20).reshape(4, 5) % 3 > 0
SCHEDULE = make_schedule("cosine", 40)


def run(model=toy, known=KNOWN, mask=MASK, **options):
    options = {
        "objective": "noise",
        "rng": picture_generators(1, len(known)),
        "steps": 8,
        "jump_length": 2,
        "jump_n_sample": 2,
        **options,
    }
    return repaint(model, known, mask, SCHEDULE, **options)


def test_path_by_hand():
    assert repaint_path(4, 2, 2) == [3, 2, 1, 0, 1, 2, 1, 0, -1]
    assert repaint_path(5, 10, 10) == [4, 3, 2, 1, 0, -1]
    assert repaint_path(3, 1, 1) == [2, 1, 0, -1]
    # Levels 1 and 0 are walked three times.
    assert repaint_path(3, 1, 3) == [2, 1, 2, 1, 2, 1, 0, 1, 0, 1, 0, -1]


def test_the_papers_path():
    path = np.array(repaint_path(250, 10, 10))
    steps = np.diff(path)
    assert path[0] == 249 and path[-1] == -1 and path.max() == 249
    assert set(steps) == {-1, 1} and (steps < 0).sum() == 2410
    # The stretch above each of the 24 turning points is walked ten times.
    turns = path[1:-1][(steps[:-1] < 0) & (steps[1:] > 0)]
    levels, times = np.unique(turns, return_counts=True)
    assert levels.tolist() == list(range(0, 240, 10)) and set(times) == {9}


def test_the_known_part_is_kept_exactly_and_the_unknown_filled():
    model, done = Recorder(), []
    filled = run(model, progress=lambda *args: done.append(args))
    assert filled.dtype == "float32" and np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[:, MASK], KNOWN[:, MASK])
    assert (filled[:, ~MASK] != KNOWN[:, ~MASK]).all()
    path = repaint_path(8, 2, 2)
    falls = [a for a, b in zip(path, path[1:], strict=False) if b < a]
    # Level i of 8 is the timestep 5 i + 4 of 40.
    assert model.times == [5 * i + 4 for i in falls]
    assert done == [(i + 1, len(falls)) for i in range(len(falls))]


def test_the_model_sees_the_known_part_with_the_noise_of_its_level():
    seen = []

    def model(x, t):
        seen.append((int(t[0]), x[0, :32]))
        return x

    mask = np.repeat([True, False], 32)[:, None] & np.ones((64, 64), bool)
    run(model, np.full((1, 64, 64, 1), 0.8), mask, jump_n_sample=1)
    assert [t for t, _ in seen] == [39, 34, 29, 24, 19, 14, 9, 4]
    for t, x in seen[1:]:
        a = np.prod(1 - SCHEDULE.betas[: t + 1])
        # 2,048 pixels: the standard errors are 0.022 and 1.6 % of √(1 - ᾱ).
        assert x.mean() == pytest.approx(a**0.5 * 0.8, abs=0.07 * (1 - a) ** 0.5)
        assert x.std() == pytest.approx((1 - a) ** 0.5, rel=0.05)


def test_what_lies_in_the_unknown_part_does_not_matter():
    other = np.where(MASK[..., None], KNOWN, 0.9).astype("float32")
    np.testing.assert_array_equal(run(), run(known=other))


def test_masks_of_every_shape():
    known = run()
    for mask in (
        MASK[..., None],
        np.stack([MASK] * 2),
        np.stack([MASK] * 2)[..., None],
    ):
        np.testing.assert_array_equal(run(mask=mask), known)
    each = np.stack([MASK, ~MASK])
    filled = run(mask=each)
    np.testing.assert_array_equal(filled[0], known[0])
    np.testing.assert_array_equal(filled[1, ~MASK], KNOWN[1, ~MASK])


def test_nothing_known_is_the_ancestral_sampler_in_distribution():
    mean, deviation = 0.2, 0.25
    schedule = make_schedule("cosine")
    x = repaint(
        gaussian_model(schedule, "noise", mean, deviation),
        np.zeros((1, 64, 64, 1)),
        np.zeros((64, 64), bool),
        schedule,
        objective="noise",
        rng=picture_generators(3, 1),
        steps=100,
        jump_length=5,
        jump_n_sample=2,
    )
    assert x.mean() == pytest.approx(mean, abs=0.015)
    assert x.std() == pytest.approx(deviation, rel=0.1)


def pairs_model(schedule, covariance):
    """The best model of rows of two pixels that are jointly Gaussian, mean 0."""

    def model(x, t):
        a = schedule.alphas_cumprod[t[0]]
        # E[ε | x_t] = √(1 - ᾱ) (ᾱ C + (1 - ᾱ) I)⁻¹ x_t
        noisy = a * covariance + (1 - a) * np.eye(2)
        flat = np.linalg.solve(noisy, x.reshape(-1, 2).T).T
        return (np.sqrt(1 - a) * flat).reshape(x.shape).astype("float32")

    return model


def test_the_unknown_part_follows_the_known_and_climbs_help():
    # Rows of a known and an unknown pixel, of correlation 0.9: given the known pixel a,
    # the other is N(0.9 a, 0.19 · 0.3²).
    schedule = make_schedule("cosine")
    covariance = 0.09 * np.array([[1, 0.9], [0.9, 1]])
    rows = np.random.default_rng(2).multivariate_normal([0, 0], covariance, 4000)
    known = rows.reshape(1, 4000, 2, 1)
    mask = np.tile([True, False], (4000, 1))

    def slope(jump_n_sample):
        filled = repaint(
            pairs_model(schedule, covariance),
            known,
            mask,
            schedule,
            objective="noise",
            rng=picture_generators(4, 1),
            steps=100,
            jump_length=5,
            jump_n_sample=jump_n_sample,
        )
        a, b = filled[0, :, 0, 0], filled[0, :, 1, 0]
        assert np.abs(b).max() > 0.5
        found = np.polyfit(a, b, 1)
        return found[0], np.std(b - np.polyval(found, a))

    once, ten = slope(1), slope(10)
    assert ten[0] == pytest.approx(0.9, abs=0.09)
    assert ten[1] == pytest.approx(0.3 * 0.19**0.5, rel=0.1)
    assert once[0] < 0.7


def test_a_picture_is_the_same_in_any_batch():
    def model(x, t):
        return x * np.float32(0.7)

    together = run(model)
    apart = run(model, known=KNOWN[1:], rng=picture_generators(1, 1, first=1))
    np.testing.assert_array_equal(together[1:], apart)
    assert np.abs(together[0, ~MASK] - together[1, ~MASK]).max() > 0.1


def test_errors_name_the_mend():
    for mask in (MASK.astype("uint8"), MASK[:3], MASK[None, None]):
        with pytest.raises(ValueError, match="`mask` must be bool.*`mask == 255`.*5x4"):
            run(mask=mask)
    with pytest.raises(ValueError, match="`known` must be floats"):
        run(known=KNOWN[0])
    for name in ("steps", "jump_length", "jump_n_sample"):
        with pytest.raises(ValueError, match=f"`{name}` must be a whole number.*0"):
            run(**{name: 0})
    with pytest.raises(ValueError, match="`steps` must be 1 to 40.*steps=41"):
        run(steps=41)
