"""Noise schedules: the signal and noise levels at each timestep, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from illustkit.errors import UserError


@dataclass(frozen=True, eq=False)
class Schedule:
    """The constants of one diffusion process, a float64 `(timesteps,)` array each.

    In the papers' symbols, with index t from 0 to T - 1: `betas` are β, `alphas` are
    α = 1 - β, `alphas_cumprod` are ᾱ (the fraction of the variance that is still the
    picture's) and `alphas_cumprod_prev` are ᾱ of the timestep before, 1 at t = 0. The
    arrays are read-only.

    Example:
    ```python
    schedule = make_schedule("cosine", timesteps=1000)
    schedule.alphas_cumprod[499]              # 0.49384359
    same = make_schedule(**schedule.config)
    ```

    Args:
        kind: Name of the schedule: "linear", "cosine" or "sigmoid".
        options: Dict of all options of that schedule.
        betas: β, float64 `(timesteps,)`, above 0 and below 1.

    Raises:
        ValueError: If a beta is not between 0 and 1.

    Reference:
        Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models, 2020, section 2;
        `posterior_*` are its equations 6 and 7.
    """

    kind: str
    options: dict[str, float]
    betas: np.ndarray
    alphas: np.ndarray = field(init=False)
    alphas_cumprod: np.ndarray = field(init=False)
    alphas_cumprod_prev: np.ndarray = field(init=False)
    sqrt_alphas_cumprod: np.ndarray = field(init=False)
    sqrt_one_minus_alphas_cumprod: np.ndarray = field(init=False)
    posterior_variance: np.ndarray = field(init=False)
    posterior_log_variance_clipped: np.ndarray = field(init=False)
    posterior_mean_coef1: np.ndarray = field(init=False)
    posterior_mean_coef2: np.ndarray = field(init=False)
    snr: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        betas = np.array(self.betas, "float64")
        if betas.ndim != 1 or not len(betas) or not np.all((betas > 0) & (betas < 1)):
            raise UserError(
                "`betas` must be one row of numbers between 0 and 1. Received: "
                f"shape {betas.shape}, {betas.min(initial=np.inf):.6g} to "
                f"{betas.max(initial=-np.inf):.6g}"
            )
        alphas = 1.0 - betas
        bar = np.cumprod(alphas)
        before = np.concatenate([[1.0], bar[:-1]])
        of_x0, of_x_t, variance = posterior(alphas, betas, bar, before)
        values = {
            "options": dict(self.options),
            "betas": betas,
            "alphas": alphas,
            "alphas_cumprod": bar,
            "alphas_cumprod_prev": before,
            "sqrt_alphas_cumprod": np.sqrt(bar),
            "sqrt_one_minus_alphas_cumprod": np.sqrt(1.0 - bar),
            "posterior_variance": variance,
            # The variance is 0 at t = 0, where no noise is added.
            "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
            "posterior_mean_coef1": of_x0,
            "posterior_mean_coef2": of_x_t,
            "snr": bar / (1.0 - bar),
        }
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(self, name, value)

    @property
    def timesteps(self) -> int:
        """Return T, the number of timesteps."""
        return len(self.betas)

    @property
    def config(self) -> dict:
        """Return the dict with which `make_schedule(**config)` makes this schedule."""
        return {"kind": self.kind, "timesteps": self.timesteps, **self.options}

    def __repr__(self) -> str:
        config = ", ".join(f"{name}={value!r}" for name, value in self.config.items())
        return f"make_schedule({config})"


def posterior(
    alpha: ArrayLike, beta: ArrayLike, bar: ArrayLike, bar_next: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the posterior q(x_s | x_t, x0) of a step from timestep t down to s.

    The mean is `of_x0` · x0 + `of_x_t` · x_t. The step may skip timesteps: then α is
    ᾱ_t/ᾱ_s.

    Args:
        alpha: α of the step, float or array.
        beta: 1 - α.
        bar: ᾱ_t.
        bar_next: ᾱ_s; 1 for the clean picture.

    Returns:
        `(of_x0, of_x_t, variance)`, shaped as the arguments.

    Reference:
        Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models, 2020, equation 7.
    """
    alpha, beta, bar, bar_next = map(np.asarray, (alpha, beta, bar, bar_next))
    of_x0 = beta * np.sqrt(bar_next) / (1.0 - bar)
    of_x_t = (1.0 - bar_next) * np.sqrt(alpha) / (1.0 - bar)
    return of_x0, of_x_t, beta * (1.0 - bar_next) / (1.0 - bar)


def make_schedule(
    kind: str = "cosine", timesteps: int = 1000, **options: float
) -> Schedule:
    """Make a linear, cosine or sigmoid noise schedule.

    Example:
    ```python
    schedule = make_schedule("sigmoid", timesteps=1000, tau=0.9)
    ```

    Args:
        kind: "linear" (Ho et al.), "cosine" (Nichol and Dhariwal) or "sigmoid" (Jabri
            et al.). Defaults to "cosine".
        timesteps: T. Defaults to 1000.
        **options: "linear": `beta_start` (1e-4) and `beta_end` (0.02), those of 1,000
            timesteps, multiplied by 1000 / T; "cosine": `s` (0.008) and `max_beta`
            (0.999); "sigmoid": `start` (-3), `end` (3), `tau` (1) and `max_beta`
            (0.999).

    Returns:
        A `Schedule`.

    Raises:
        ValueError: If `kind` or an option is invalid, or a beta falls outside 0 to 1.

    Reference:
        - Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models, 2020, section 4
        - Nichol, Dhariwal, Improved Denoising Diffusion Probabilistic Models, 2021,
          section 3.2
        - Jabri, Fleet, Chen, Scalable Adaptive Computation for Iterative Generation,
          2022, appendix
    """
    if kind not in _KINDS:
        raise UserError(f"`kind` must be one of {(*_KINDS,)}. Received: {kind!r}")
    if isinstance(timesteps, bool) or timesteps != int(timesteps) or timesteps < 1:
        raise UserError(
            f"`timesteps` must be a whole number above 0. Received: {timesteps!r}"
        )
    make_betas, defaults = _KINDS[kind]
    if unknown := sorted(set(options) - set(defaults)):
        raise UserError(
            f"a {kind} schedule has the options {(*defaults,)}. Received: {unknown}"
        )
    options = {name: float(options.get(name, defaults[name])) for name in defaults}
    with np.errstate(all="ignore"):
        betas = make_betas(int(timesteps), **options)
    if not np.all((betas > 0) & (betas < 1)):
        raise UserError(
            f"a {kind} schedule of {timesteps} timesteps with {options} has betas "
            "outside of 0 to 1: take more timesteps or other options."
        )
    return Schedule(kind, options, betas)


def _linear_betas(timesteps, *, beta_start, beta_end):
    scale = 1000 / timesteps
    return np.linspace(scale * beta_start, scale * beta_end, timesteps)


def _cosine_betas(timesteps, *, s, max_beta):
    t = np.arange(timesteps + 1) / timesteps
    return _betas(np.cos((t + s) / (1 + s) * np.pi / 2) ** 2, max_beta)


def _sigmoid_betas(timesteps, *, start, end, tau, max_beta):
    t = np.arange(timesteps + 1) / timesteps
    # The two ends are float32, as in the package whose checkpoints are loaded.
    first, last = _sigmoid(np.array([start / tau, end / tau], "float32"))
    bar = float(last) - _sigmoid((t * (end - start) + start) / tau)
    return _betas(bar / float(last - first), max_beta)


def _sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def _betas(bar, max_beta):
    """Compute β from ᾱ at T + 1 times, the first of which is the clean picture."""
    return np.clip(1.0 - bar[1:] / bar[:-1], 0.0, max_beta)


_KINDS: dict[str, tuple[Callable[..., np.ndarray], dict[str, float]]] = {
    "linear": (_linear_betas, {"beta_start": 1e-4, "beta_end": 0.02}),
    "cosine": (_cosine_betas, {"s": 0.008, "max_beta": 0.999}),
    "sigmoid": (
        _sigmoid_betas,
        {"start": -3.0, "end": 3.0, "tau": 1.0, "max_beta": 0.999},
    ),
}
SCHEDULES = (*_KINDS,)
