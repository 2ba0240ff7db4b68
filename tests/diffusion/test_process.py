import math

import keras
import numpy as np
import pytest

from diffusion.process import (
    OBJECTIVES,
    input_scales,
    loss_weights,
    preconditioning,
    predict_noise,
    predict_x0,
    q_posterior,
    q_sample,
    target,
    timestep_chances,
)
from diffusion.schedules import make_schedule
from illustkit.errors import UserError

T = [0, 1, 500, 998, 999]


def batch(dtype="float32"):
    rng = np.random.default_rng(0)
    x0 = rng.uniform(-1, 1, (len(T), 2, 3, 2)).astype(dtype)
    return x0, np.array(T, "int32"), rng.standard_normal(x0.shape).astype(dtype)


def share_left(kind, t):
    """ᾱ by a product in plain Python, from the betas."""
    return math.prod(1 - beta for beta in make_schedule(kind).betas[: t + 1])


def of_edm(a):
    """c_skip, c_out and c_in of EDM's table 1 at σ = √((1 - ᾱ)/ᾱ), for x = x_t/√ᾱ."""
    sigma, data = math.sqrt((1 - a) / a), 0.5
    whole = sigma**2 + data**2
    return data**2 / whole, sigma * data / math.sqrt(whole), 1 / math.sqrt(whole)


def compiled(function):
    """The function as XLA compiles it."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=True)


@pytest.mark.parametrize("kind", ["linear", "cosine", "sigmoid"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_q_sample_and_target_by_hand(kind, objective):
    x0, t, noise = batch()
    schedule = make_schedule(kind)
    x_t = np.asarray(q_sample(schedule, x0, t, noise))
    wanted = np.asarray(target(schedule, objective, x0, t, noise))
    assert x_t.dtype == wanted.dtype == "float32"
    for i, step in enumerate(T):
        a = share_left(kind, step)
        x, e = x0[i].astype("float64"), noise[i].astype("float64")
        known = math.sqrt(a) * x + math.sqrt(1 - a) * e
        np.testing.assert_allclose(x_t[i], known, atol=3e-7)
        known = {"noise": e, "x0": x, "v": math.sqrt(a) * e - math.sqrt(1 - a) * x}
        skip, out, _ = of_edm(a)
        known["edm"] = (x - skip * (x + math.sqrt((1 - a) / a) * e)) / out
        np.testing.assert_allclose(wanted[i], known[objective], atol=3e-7)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_predictions_undo_the_noising(objective):
    x0, t, noise = batch()
    schedule = make_schedule("linear")
    x_t = q_sample(schedule, x0, t, noise)
    output = target(schedule, objective, x0, t, noise)
    found = np.asarray(predict_x0(schedule, objective, x_t, t, output))
    # At the noisiest timestep, float32's error of x_t is multiplied by 1/√ᾱ = 157.
    np.testing.assert_allclose(found, x0, atol=1e-4)
    np.testing.assert_allclose(found[:3], x0[:3], atol=1e-5)
    found = np.asarray(predict_noise(schedule, x_t, t, x0))
    # At t = 0 it is multiplied by 1/√(1 - ᾱ) = 100.
    np.testing.assert_allclose(found, noise, atol=1e-4)


def test_posterior_of_one_number():
    # T = 2 with β = 0.1, 0.2 by hand: ᾱ = 0.9, 0.72.
    schedule = make_schedule("linear", 1000, beta_start=0.1, beta_end=0.2)
    schedule = type(schedule)("own", {}, schedule.betas[[0, -1]])
    x0, x_t = (
        np.full((2, 1, 1, 1), 0.5, "float32"),
        np.full((2, 1, 1, 1), 2.0, "float32"),
    )
    mean, variance, log_variance = (
        np.asarray(v) for v in q_posterior(schedule, x0, x_t, np.array([0, 1], "int32"))
    )
    assert variance.shape == log_variance.shape == (2, 1, 1, 1)
    # (0.2 √0.9 · 0.5 + 0.1 √0.8 · 2) / 0.28, and 0.2 · 0.1 / 0.28.
    np.testing.assert_allclose(mean.ravel(), [0.5, 0.977692], rtol=1e-6)
    np.testing.assert_allclose(variance.ravel(), [0, 0.0714286], rtol=1e-6)
    np.testing.assert_allclose(log_variance.ravel(), [-46.0517, -2.639057], rtol=1e-6)


def everything(x0, t, noise):
    schedule = make_schedule("cosine")
    x_t = q_sample(schedule, x0, t, noise)
    v = target(schedule, "v", x0, t, noise)
    mean, variance, log_variance = q_posterior(schedule, x0, x_t, t)
    again = predict_noise(schedule, x_t, t, predict_x0(schedule, "v", x_t, t, v))
    return x_t, v, mean, variance, log_variance, again


def test_compiled_and_under_bfloat16_the_same_float32():
    inputs = batch()
    known = [np.asarray(value) for value in everything(*inputs)]
    found = compiled(everything)(*inputs)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        low = everything(*inputs)
    finally:
        keras.config.set_dtype_policy(policy)
    for a, b, c in zip(known, found, low, strict=True):
        assert np.asarray(b).dtype == np.asarray(c).dtype == "float32"
        # The noise found again at t = 0 has the rounding of x_t times 100.
        np.testing.assert_allclose(
            b, a, rtol=1e-5, atol=1e-4 if a is known[-1] else 1e-6
        )
        np.testing.assert_array_equal(c, a)


def test_bfloat16_arguments_are_computed_with_in_float32():
    # √(1 - ᾱ) = 0.0064252 at t = 0; in bfloat16 it would be 0.0064087.
    x0, t = np.zeros((1, 1, 1, 1)), np.array([0])
    noise = keras.ops.cast(np.full((1, 1, 1, 1), 1.0), "bfloat16")
    x_t = q_sample(make_schedule("cosine"), keras.ops.cast(x0, "bfloat16"), t, noise)
    assert float(np.asarray(x_t).item()) == pytest.approx(0.00642528, rel=1e-6)


# Of denoising-diffusion-pytorch 2.3.0, cosine, at t = 0, 300, 700, 999.
HEAD = {
    ("noise", None): (1, 1, 1, 1),
    ("noise", 5): (0.0002064296422759071, 1, 1, 1),
    ("x0", None): (24221.328125, 3.664884328, 0.2529269755, 2.428766965e-09),
    ("x0", 5): (5, 3.664884328, 0.2529269755, 2.428766965e-09),
    ("v", None): (0.999958694, 0.785632432, 0.2018688917, 2.428766965e-09),
    ("v", 5): (0.00020642113, 0.785632432, 0.2018688917, 2.428766965e-09),
}
# Of 0.25.3: (gamma, k).
JULY = {
    (0, 1): (1, 1, 1, 1),
    (1, 1): (4.12842237e-05, 0.214367583, 0.798131108, 1),
    (0.5, 2): (0.00642514741, 0.420150101, 0.66623348, 0.707106769),
}


def test_loss_weights_of_both_versions():
    schedule, at = make_schedule("cosine"), [0, 300, 700, 999]
    for (objective, gamma), known in HEAD.items():
        found = loss_weights(schedule, objective, min_snr_gamma=gamma, version="2")
        assert found.dtype == "float64" and found.shape == (1000,)
        np.testing.assert_allclose(found[at], known, rtol=1e-7)
        if gamma:
            same = loss_weights(schedule, objective, min_snr_gamma=gamma)
            np.testing.assert_array_equal(same, found)
    for (gamma, k), known in JULY.items():
        for objective in OBJECTIVES:
            found = loss_weights(schedule, objective, p2_gamma=gamma, p2_k=k)
            np.testing.assert_allclose(found[at], known, rtol=1e-7)


def test_errors_say_what_is_known():
    schedule = make_schedule("cosine", 10)
    x0, t, noise = np.zeros((1, 1, 1, 1)), np.zeros(1, int), np.zeros((1, 1, 1, 1))
    for call in (
        lambda: target(schedule, "eps", x0, t, noise),
        lambda: predict_x0(schedule, "eps", x0, t, noise),
        lambda: loss_weights(schedule, "eps"),
    ):
        with pytest.raises(ValueError, match="'noise', 'x0', 'v'.*'eps'"):
            call()
    with pytest.raises(ValueError, match="'0.25.3', '2'.*'3'"):
        loss_weights(schedule, "v", version="3")
    for wrong in ({"min_snr_gamma": 0}, {"p2_gamma": -1}, {"p2_k": -1}):
        with pytest.raises(ValueError, match="`min_snr_gamma` must be positive"):
            loss_weights(schedule, "v", **wrong)


@pytest.mark.parametrize("t", [0, 20, 500, 990])
def test_preconditioning_is_that_of_edm(t):
    schedule = make_schedule("linear")
    a = share_left("linear", t)
    skip, out, into = of_edm(a)
    signal = math.sqrt(a)
    found = preconditioning(signal, math.sqrt(1 - a))
    np.testing.assert_allclose(found, [skip / signal, out], rtol=1e-9)
    # The network is given c_in x, with x = x_t/√ᾱ.
    assert input_scales(schedule)[t] == pytest.approx(into / signal, rel=1e-9)
    # Of pictures with a deviation of 0.5, input and target have a deviation of 1.
    rng = np.random.default_rng(t)
    x0 = rng.normal(0, 0.5, (1, 200, 200, 1)).astype("float32")
    noise, at = rng.standard_normal(x0.shape).astype("float32"), np.array([t])
    x_t = np.asarray(q_sample(schedule, x0, at, noise))
    assert np.std(x_t * into / signal) == pytest.approx(1, abs=0.02)
    wanted = np.asarray(target(schedule, "edm", x0, at, noise))
    assert np.std(wanted) == pytest.approx(1, abs=0.02)
    # λ (D - x0)², with λ = (σ² + 0.25)/(σ 0.5)², is the plain error of the output.
    output = wanted + 0.1
    found = np.asarray(predict_x0(schedule, "edm", x_t, at, output))
    weight = 1 / out**2
    assert weight * np.mean((found - x0) ** 2) == pytest.approx(0.01, rel=1e-3)
    assert set(loss_weights(schedule, "edm", version="2")) == {1.0}
    with pytest.raises(UserError, match="weights of its own"):
        loss_weights(schedule, "edm", min_snr_gamma=5)


def test_timesteps_of_edm_are_log_normal():
    schedule = make_schedule("linear")
    chances = timestep_chances(schedule)
    levels = np.log(schedule.snr) / -2  # ln σ
    drawn = np.random.default_rng(0).normal(-1.2, 1.2, 20_000)
    nearest = np.abs(levels[:, None] - drawn[None]).argmin(axis=0)
    counted = np.bincount(nearest, minlength=1000) / len(drawn)
    np.testing.assert_allclose(np.cumsum(chances), np.cumsum(counted), atol=0.015)
    assert chances.sum() == pytest.approx(1) and (chances > 0).all()
    # The one end of the schedule at σ = .01 is reached by 0.2 % of all draws.
    assert chances @ levels == pytest.approx(-1.2, abs=0.02)
