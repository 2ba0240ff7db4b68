import copy
import math

import numpy as np
import pytest

from diffusion.schedules import Schedule, make_schedule

# β0, β500, β999, ᾱ0, ᾱ499, ᾱ998, ᾱ999, posterior variance at 1, log(SNR)/2 at 999;
# each in the digits that are known.
GOLDEN = {
    "linear": "1e-4 0.01005996 0.02 0.9999 0.0785872429 4.11819e-05 4.03583e-05 "
    "5.45319e-05 -5.059",
    "cosine": "4.12842248e-05 0.00315569144 0.999 0.999958716 0.49384359 2.42877e-06 "
    "2.42877e-09 2.17895e-05 -9.918",
    "sigmoid": "0.000300279197 0.00331436418 0.999 0.999699721 0.500000004 3.00287e-04 "
    "3.00287e-07 1.50592e-04 -7.509",
}


def digits(text):
    """Number of significant digits of a decimal number."""
    return len(text.split("e")[0].lstrip("-0.").replace(".", ""))


@pytest.mark.parametrize("kind", GOLDEN)
def test_known_values_hold_in_every_digit(kind):
    s = make_schedule(kind)
    bar = s.alphas_cumprod
    values = [*s.betas[[0, 500, 999]], *bar[[0, 499, 998, 999]]]
    values += [s.posterior_variance[1], math.log(s.snr[999]) / 2]
    for value, known in zip(values, GOLDEN[kind].split(), strict=True):
        assert float(f"{value:.{digits(known) - 1}e}") == float(known)


@pytest.mark.parametrize("timesteps", [1, 7, 1000])
def test_cosine_is_the_papers_formula(timesteps):
    def f(t):
        return math.cos((t / timesteps + 0.008) / 1.008 * math.pi / 2) ** 2

    s = make_schedule("cosine", timesteps)
    share = 1.0
    for t in range(timesteps):
        beta = min(1 - f(t + 1) / f(t), 0.999)
        before, share = share, share * (1 - beta)
        assert s.betas[t] == pytest.approx(beta, rel=1e-9)
        assert s.alphas_cumprod_prev[t] == pytest.approx(before, rel=1e-9)
        assert s.alphas_cumprod[t] == pytest.approx(share, rel=1e-9)


# betas of denoising-diffusion-pytorch 2.3.0, start=0, end=3, tau=0.5.
@pytest.mark.parametrize(
    "timesteps, known",
    [
        (1000, (0.003014900255948305, 0.006013465579599142, 0.5007579922676086)),
        (50, (0.06022593006491661, 0.1142541691660881, 0.5297624468803406)),
    ],
)
def test_sigmoid_with_other_ends(timesteps, known):
    s = make_schedule("sigmoid", timesteps, start=0, end=3, tau=0.5)
    found = s.betas[[0, timesteps // 2, timesteps - 2]]
    np.testing.assert_allclose(found, known, rtol=2e-7)


def test_linear_keeps_its_noise_with_fewer_timesteps():
    fine, coarse = make_schedule("linear", 1000), make_schedule("linear", 250)
    assert coarse.betas[0] == 4e-4 and coarse.betas[-1] == 0.08
    assert np.log(coarse.alphas_cumprod[-1]) == pytest.approx(
        np.log(fine.alphas_cumprod[-1]), rel=0.05
    )


@pytest.mark.parametrize("kind", GOLDEN)
def test_posterior_is_the_product_of_its_two_gaussians(kind):
    # q(x' | x_t, x0) ∝ N(x_t; √α x', β) N(x'; √ᾱ' x0, 1 - ᾱ'), by their precisions.
    s = make_schedule(kind, 100)
    for t in range(1, 100):
        alpha, beta, before = 1 - s.betas[t], s.betas[t], s.alphas_cumprod_prev[t]
        precision = alpha / beta + 1 / (1 - before)
        assert s.posterior_variance[t] == pytest.approx(1 / precision, rel=1e-9)
        of_x0 = math.sqrt(before) / (1 - before) / precision
        of_x_t = math.sqrt(alpha) / beta / precision
        assert s.posterior_mean_coef1[t] == pytest.approx(of_x0, rel=1e-9)
        assert s.posterior_mean_coef2[t] == pytest.approx(of_x_t, rel=1e-9)
        known = math.log(max(1 / precision, 1e-20))
        assert s.posterior_log_variance_clipped[t] == pytest.approx(known, rel=1e-9)
    assert s.posterior_variance[0] == 0
    assert s.posterior_log_variance_clipped[0] == pytest.approx(math.log(1e-20))
    assert s.posterior_mean_coef1[0] == pytest.approx(1)
    assert s.posterior_mean_coef2[0] == 0


def test_arrays_are_read_only_float64_and_agree():
    s = make_schedule("sigmoid", 50)
    np.testing.assert_allclose(
        s.sqrt_alphas_cumprod**2 + s.sqrt_one_minus_alphas_cumprod**2, 1, rtol=1e-12
    )
    ratio = s.sqrt_alphas_cumprod**2 / s.sqrt_one_minus_alphas_cumprod**2
    np.testing.assert_allclose(s.snr, ratio, rtol=1e-9)
    for array in (v for v in vars(s).values() if isinstance(v, np.ndarray)):
        assert array.dtype == "float64" and array.shape == (50,)
        with pytest.raises(ValueError):
            array[0] = 0.5


@pytest.mark.parametrize(
    "kind, options",
    [("linear", {"beta_end": 0.01}), ("cosine", {"s": 0.02}), ("sigmoid", {"tau": 2})],
)
def test_config_makes_the_same_schedule(kind, options):
    s = make_schedule(kind, 60, **options)
    same, other = make_schedule(**s.config), make_schedule(kind, 60)
    np.testing.assert_array_equal(same.betas, s.betas)
    np.testing.assert_array_equal(copy.deepcopy(s).betas, s.betas)
    assert same.config == s.config and s.timesteps == 60
    assert not np.allclose(other.betas, s.betas)
    assert repr(s).startswith(f"make_schedule(kind='{kind}', timesteps=60, ")


def test_errors_name_the_mend():
    with pytest.raises(ValueError, match="'linear', 'cosine', 'sigmoid'.*'cosin'"):
        make_schedule("cosin")
    with pytest.raises(ValueError, match="has the options.*'s'.*tau"):
        make_schedule("cosine", tau=1)
    for timesteps in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="`timesteps` must be a whole number"):
            make_schedule(timesteps=timesteps)
    with pytest.raises(ValueError, match="20 timesteps.*take more timesteps"):
        make_schedule("linear", 20)
    make_schedule("linear", 21)
    with pytest.raises(ValueError, match="outside of 0 to 1"):
        make_schedule("sigmoid", start=2, end=2)
    with pytest.raises(ValueError, match="`betas` must be one row"):
        Schedule("own", {}, np.array([0.1, 1.0]))
